"""Snapshots in the replica: sent where the log ends too late, installed in a step of their own, told once synced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random

import pytest

from chaos.sim.network import Network, Process
from cluster import firststart
from cluster.adopted import Placed
from cluster.journal import JournalFault
from cluster.members import AddLearner, Configuration, Member, Promote, Remove, follow
from cluster.members import encode as encode_members
from cluster.memory import MemoryDisk
from cluster.replica import Ready, Replica
from cluster.rocks import RocksStore
from cluster.snapshot.faces import Gap, Splice
from cluster.snapshot.sending import Pace
from cluster.snapshot.summing import Sum
from cluster.snapshot.words import DONE, Closed, Offer, Part, PartAck, encode, members_of
from cluster.store import Memory, StoredEntry
from cluster.types import ApplyOutcome, Installed, LogIndex, OutcomeUnknown, Peer, Receipt, Retention, Role, Term, Token
from cluster.wire import NO_OP, Ack, Append, AskPreVote, PreVote, pack_commands
from tests.cluster import conftest
from tests.cluster.conftest import MS, Hand, ListMachine
from tests.cluster.test_applying import Answering

LEADER = "n2"
N1, N2, N3, N4 = (Peer(f"n{number}") for number in range(1, 5))
SETTINGS = Configuration(0, tuple(Member(name, f"{name}:7400") for name in (N1, N2, N3)))
LEARNS = follow(SETTINGS, AddLearner(Member(N4, "n4:7400")))
FOUR = follow(LEARNS, Promote(N4))
PAIRS = ((b"last", b"40"),)
BASE = StoredEntry(LogIndex(40), Term(5), pack_commands((b"forty",)))


def offer(term: int = 5, base: StoredEntry = BASE, members: bytes = b"") -> Offer:
    added = Sum(base)
    added.add(PAIRS)
    return Offer(term, base.index, base.term, base.command, added.pairs, added.size, added.digest(), members)


def heartbeat(node: Hand, *, term: int = 5, previous: int = 40, previous_term: int = 5, commit: int = 40) -> None:
    node.hears(LEADER, Append(term, commit, previous, previous_term, (), node.now, previous_term))


def word(node: Hand, said: Offer | Part) -> None:
    node.replica.received(Peer(LEADER), encode(said))
    node.step()


def lagging(node: Hand) -> None:
    """It follows n2 in term 5, and lacks what n2's log does not hold any more; the snapshot is staged."""
    heartbeat(node)
    node.sync()
    word(node, offer())
    node.sync()
    word(node, Part(5, offer().digest, b"", PAIRS))
    node.sync()


@pytest.fixture
def behind(hand: type[Hand]) -> Hand:
    """One with a staged snapshot."""
    node = hand()
    lagging(node)
    return node


def install(node: Hand) -> Ready:
    """The end of the parts, and the steps until it is installed, without a sync."""
    word(node, Part(5, offer().digest, PAIRS[-1][0], ()))
    for _ in range(5):
        ready = node.step()
        if ready.installed is not None:
            return ready
        node.now += MS
    raise AssertionError("not installed")


def test_state_log_and_indexes_jump_together_and_the_links_stay(behind: Hand) -> None:
    ready = install(behind)
    assert ready.installed == Installed(LogIndex(40), Term(5))
    assert ready.applied == ()
    status = behind.replica.status()
    assert (status.base_index, status.last_index, status.committed_index, status.applied_index) == (40, 40, 40, 40)
    assert [peer.connected for peer in status.peers] == [True, True]
    assert behind.machine.loaded[-1] == (40, dict(PAIRS))
    assert status.synced_index == 0


class Trailing(ListMachine):
    """One whose trail is chained: a class of its own, as what a class can do is asked once and remembered."""

    def mark(self) -> bytes:
        return b"%d loads" % len(self.loaded)

    def mark_in(self, read: Callable[[bytes, int], Sequence[tuple[bytes, bytes]]]) -> bytes:
        return read(b"", 1)[0][1]


def test_its_gap_keeps_the_snapshot_s_digest_and_where_the_trail_goes_on(behind: Hand) -> None:
    """Asked before the change over, of the state that goes and of what is staged."""
    behind.machine.__class__ = Trailing
    loads = len(behind.machine.loaded)
    install(behind)
    splice = Splice(offer().digest, b"%d loads" % loads, b"40")
    assert behind.replica._store.gaps() == (Gap(LogIndex(2), LogIndex(40), splice),)


def test_how_much_of_it_has_come_is_told(behind: Hand) -> None:
    size = offer().size
    assert behind.replica.status().receipt == Receipt(LogIndex(40), size, size)
    install(behind)
    assert behind.replica.status().receipt is None


def test_nothing_is_said_of_it_before_it_is_synced(behind: Hand) -> None:
    assert install(behind).ticket is not None
    behind.said.clear()
    heartbeat(behind)
    assert behind.take(Ack) == behind.take(Closed) == []
    behind.sync()
    said = list(behind.said)
    assert (LEADER, Closed(5, offer().digest, DONE, b"installed")) in said
    assert [(m.verified, m.success) for _, m in said if isinstance(m, Ack)] == [(40, True)]


def test_a_power_cut_before_the_sync_leaves_the_old_state_and_what_is_staged(behind: Hand) -> None:
    install(behind)
    again = behind.crash(0)
    assert again.replica.status().applied_index < 40
    heartbeat(again)
    again.sync()
    word(again, offer())
    assert [m.after for _, m in again.said if isinstance(m, PartAck)] == [PAIRS[-1][0]]


def test_it_goes_on_behind_the_base_and_the_wait_is_counted_from_its_own_appends(behind: Hand) -> None:
    install(behind)
    behind.sync()
    behind.now += 30 * MS
    entry = (pack_commands((b"next",)), 41, 5)
    behind.hears(LEADER, Append(5, 41, 40, 5, (entry,), behind.now, 5))
    behind.sync()
    assert [(one.index, one.commands, one.appended) for one in behind.applied[-1:]] == [(41, (b"next",), behind.now)]


def test_an_append_that_contradicts_the_base_s_term_is_refused(behind: Hand) -> None:
    install(behind)
    behind.sync()
    behind.replica.received(Peer(LEADER), _raw(Append(5, 40, 40, 4, (), behind.now, 4)))
    with pytest.raises(Exception, match="contradicts entry 40"):
        behind.step()


def _raw(message: Append) -> bytes:
    from cluster.wire import encode as frame  # noqa: PLC0415 # two words of one name

    return frame(message)


def test_one_that_has_caught_up_meanwhile_installs_nothing(behind: Hand) -> None:
    """Hazard 27: what is staged is not above what it has any more."""
    entries = tuple((NO_OP, index, 5) for index in range(2, 41))
    behind.hears(LEADER, Append(5, 40, 1, 0, entries, behind.now, 5))
    word(behind, Part(5, offer().digest, PAIRS[-1][0], ()))
    for _ in range(5):
        assert behind.step().installed is None
        behind.sync()
    assert behind.replica.status().base_index == 1
    assert behind.store.staged() is None


def test_an_offer_of_an_entry_that_the_log_holds_would_cost_its_tail(hand: type[Hand]) -> None:
    """What lies behind that entry may be acknowledged, though this node has not heard yet that it is."""
    node = hand()
    entries = tuple((NO_OP, index, 5) for index in range(2, 46))
    node.hears(LEADER, Append(5, 1, 1, 0, entries, node.now, 0))
    node.sync()
    word(node, offer())
    node.sync()
    assert [m.what for m in node.take(Closed)] == [DONE]
    assert node.store.staged() is None
    assert node.last == 45


def test_what_it_once_appended_as_leader_is_unknown(hand: type[Hand]) -> None:
    node = hand()
    term = node.lead()
    node.propose(b"mine", 7)
    base = StoredEntry(LogIndex(40), Term(term + 1), BASE.command)
    heartbeat(node, term=term + 1, previous_term=term + 1)
    node.sync()
    told = offer(term + 1, base)
    word(node, told)
    node.sync()
    word(node, Part(term + 1, told.digest, b"", PAIRS))
    node.sync()
    word(node, Part(term + 1, told.digest, PAIRS[-1][0], ()))
    for _ in range(5):
        node.now += MS
        node.step()
    assert node.replica.status().base_index == 40
    assert isinstance(node.outcomes[7], OutcomeUnknown)
    assert node.role is Role.FOLLOWER


def owing(rank: tuple[int, int], *, copy: bool = False) -> Hand:
    """A node whose disk went back: it owes an entry, or its folder is a copy; then it installs the snapshot."""
    disk = MemoryDisk()
    disk.memory = Memory(owed=rank)
    disk.suspect = copy
    node = Hand(disk=disk)
    heartbeat(node)
    node.sync()
    word(node, offer())
    node.sync()
    word(node, Part(5, offer().digest, b"", PAIRS))
    node.sync()
    install(node)
    node.sync()
    return node


@pytest.mark.parametrize(("rank", "barred"), [((5, 40), False), ((4, 90), False), ((5, 41), True), ((6, 3), True)])
def test_what_is_owed_is_compared_with_the_base_s_rank(rank: tuple[int, int], *, barred: bool) -> None:
    stalled = owing(rank).replica.status().stalled
    assert (stalled is not None and "acknowledged entry" in stalled) == barred


def test_a_copied_folder_is_attested_by_an_entry_of_the_leader_s_own_term() -> None:
    node = owing((0, 0), copy=True)
    heartbeat(node, term=6)
    assert "is a copy" in (node.replica.status().stalled or "")
    node.hears(LEADER, Append(6, 40, 40, 5, ((NO_OP, 41, 6),), node.now, 5))
    assert node.replica.status().stalled is None


def _ask(token: Token, replica: Replica) -> None:
    replica.propose(b"c%d" % token, token)


class Group:
    """Three replicas that keep few entries; one of them is away for a while."""

    def __init__(
        self, seed: int = 1, rate: int = 4096, machine: Callable[[Peer], ListMachine] = lambda _name: ListMachine()
    ) -> None:
        self.installed: list[tuple[int, Peer, Installed]] = []
        self.faults: list[Exception] = []
        self.random = Random(seed)  # noqa: S311 # seeded
        pace = Pace(part=16, rate=rate, flight=64, patience=200 * MS, give_up=1000 * MS)
        keep = Retention(entries=10, most_entries=20)
        self.network = Network(seed, machine, self, retention=keep, pace=pace)
        self.token = 0
        for name in self.network.names:
            self.network.start(name)
        self.network.at(500 * MS, self._propose)
        self.network.run(1000 * MS)

    def started(self, process: Process) -> None:
        pass

    def fault(self, process: Process, error: Exception) -> None:
        self.faults.append(error)

    def ready(self, process: Process, ready: Ready) -> None:
        if ready.installed is not None:
            self.installed.append((self.network.now, process.name, ready.installed))

    def _propose(self) -> None:
        for name in self.leading():
            self.token += 1
            token = Token(self.token)
            self.network.call(name, partial(_ask, token))
        self.network.at(10 * MS, self._propose)

    def leading(self) -> Iterator[Peer]:
        for process in self.network.alive():
            if process.replica is not None and process.replica.status().role is Role.LEADER:
                yield process.name

    def applied(self, name: Peer) -> int:
        return self.network.replica(name).status().applied_index


def test_one_that_was_away_is_brought_up_and_takes_part() -> None:
    group = Group()
    (leader,) = group.leading()
    away, other = [name for name in group.network.names if name != leader]
    group.network.kill(away, power=False)
    group.network.run(1000 * MS)
    group.network.start(away)
    group.network.run(1500 * MS)
    assert [name for _, name, _ in group.installed] == [away]
    assert not group.faults
    assert group.applied(leader) - group.applied(away) <= 3
    assert not any(peer.needs_snapshot for peer in group.network.replica(leader).status().peers)
    group.network.kill(other, power=False)  # its copy is needed now
    before = group.applied(leader)
    group.network.run(500 * MS)
    assert group.applied(leader) > before + 10


class Totals(Answering):
    """Its state is how many commands came: a bit that flips in it stays wrong for ever, and goes with a snapshot."""

    def load(self, applied: LogIndex, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        super().load(applied, pairs)
        self.total = int(dict(self.loaded[-1][1]).get(b"total", b"0"))

    def apply(self, index: LogIndex, term: Term, commands: tuple[bytes, ...]) -> ApplyOutcome:
        self.total += len(commands)
        return ApplyOutcome(tuple(b"" for _ in commands), ((b"total", b"%d" % self.total),), commands)

    def vouch(self, index: LogIndex) -> bytes | None:
        return b"%032d" % self.total if index % 20 == 0 else None


def in_dispute(away_in_it: bool) -> tuple[Group, Peer, Peer, Peer]:  # noqa: FBT001 # a test's shorthand
    """Of two nodes the leader's state is wrong; the third was away, and needs a snapshot.  Leader, right one, third."""
    machines: dict[Peer, Totals] = {}
    group = Group(machine=lambda name: machines.setdefault(name, Totals()))
    (leader,) = group.leading()
    away, right = [name for name in group.network.names if name != leader]
    group.network.kill(away, power=False)
    group.network.run(300 * MS)
    if away_in_it:
        machines[leader].total += 1000
        group.network.run(1000 * MS)
        assert [group.network.replica(name).status().disputed is None for name in (leader, right)] == [False, False]
    else:
        group.network.run(1000 * MS)
        while group.applied(right) % 20 != 1:
            group.network.run(MS)
        machines[leader].total += 1000  # the nodes compare again after 19 entries
        group.network.run(20 * MS)
    machines.pop(away)
    group.network.start(away)
    group.network.run(3000 * MS)
    return group, leader, right, away


def test_a_state_in_dispute_is_copied_to_nobody() -> None:
    """Rule 7: the copy would make it the majority's, and stop the node that is right."""
    group, leader, right, away = in_dispute(away_in_it=True)
    assert not group.installed
    assert group.network.replica(leader).status().disputed is not None
    assert [group.network.replica(name).status().diverged for name in (leader, right, away)] == [None] * 3
    assert group.network.replica(right).status().stalled is None


def test_a_wrong_state_that_was_copied_before_anybody_knew_is_no_majority_by_that() -> None:
    group, leader, right, away = in_dispute(away_in_it=False)
    assert [name for _, name, _ in group.installed] == [away]
    assert [group.network.replica(name).status().diverged for name in (leader, right, away)] == [None] * 3
    assert all(group.network.replica(name).status().disputed for name in (leader, right, away))


def test_one_that_was_brought_up_is_borne_out_by_both_others_and_judges_again() -> None:
    machines: dict[Peer, Totals] = {}
    group = Group(machine=lambda name: machines.setdefault(name, Totals()))
    (leader,) = group.leading()
    away, right = [name for name in group.network.names if name != leader]
    group.network.kill(away, power=False)
    group.network.run(1000 * MS)
    machines.pop(away)
    group.network.start(away)
    group.network.run(2000 * MS)
    assert [name for _, name, _ in group.installed] == [away]
    machines[leader].total += 1000
    group.network.run(1000 * MS)
    assert group.network.replica(leader).status().diverged is not None
    assert [group.network.replica(name).status().diverged for name in (right, away)] == [None] * 2


class Unheard(Totals):
    """What it has to say of its state never arrives."""

    mute = False

    def vouch(self, index: LogIndex) -> bytes | None:
        return None if self.mute else super().vouch(index)


def test_a_word_that_was_lost_does_not_keep_a_state_from_who_lacks_it() -> None:
    """Found by seeds 17 and 202 of `members`: who waits for it asks again."""
    machines: dict[Peer, Unheard] = {}
    group = Group(machine=lambda name: machines.setdefault(name, Unheard()))
    (leader,) = group.leading()
    away, other = [name for name in group.network.names if name != leader]
    group.network.kill(away, power=False)
    machines[other].mute = True
    group.network.run(1000 * MS)
    machines.pop(away)
    group.network.start(away)
    group.network.run(2000 * MS)
    assert [name for _, name, _ in group.installed] == [away]
    assert not group.faults


def test_the_log_is_kept_for_one_that_is_sent_a_snapshot_and_dropped_once_it_has_it() -> None:
    group = Group(rate=40)
    (leader,) = group.leading()
    away = next(name for name in group.network.names if name != leader)
    group.network.kill(away, power=False)
    group.network.run(1000 * MS)
    group.network.start(away)
    spans = []
    for _ in range(40):
        group.network.run(50 * MS)
        status = group.network.replica(leader).status()
        spans.append((bool(status.snapshot), status.applied_index - status.base_index))
    assert max(span for sends, span in spans if sends) > 20
    assert spans[-1] == (False, spans[-1][1])
    assert spans[-1][1] <= 20
    assert len(group.installed) == 1


def test_the_same_on_rocksdb(hand: type[Hand], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source of one node's disk, another's to install it, and what a restart finds there."""
    firststart.mark(tmp_path)
    opened: list[RocksStore] = []

    def store(cluster: str, name: Peer, _disk: object) -> RocksStore:
        opened.append(RocksStore(tmp_path, cluster, name))
        return opened[-1]

    monkeypatch.setattr(conftest, "MemoryStore", store)
    node = hand()
    heartbeat(node)
    node.sync()
    word(node, offer())
    node.sync()
    word(node, Part(5, offer().digest, b"", PAIRS))
    node.sync()
    assert install(node).ticket is not None
    node.sync()
    opened[0].close()
    again = hand()
    status = again.replica.status()
    assert (status.base_index, status.applied_index) == (40, 40)
    assert again.machine.loaded == [(40, dict(PAIRS))]
    opened[1].close()


# Who takes part


def staged(hand: type[Hand], said: Offer, members: Configuration | None, *log: bytes) -> Hand:
    """It follows n2 in term 5, with these entries behind the first; the snapshot is staged whole."""
    node = hand(members=members)
    entries = tuple((command, place + 2, 5) for place, command in enumerate(log))
    node.hears(LEADER, Append(5, 1, 1, 0, entries, node.now))
    node.sync()
    word(node, said)
    node.sync()
    word(node, Part(5, said.digest, b"", PAIRS))
    node.sync()
    return node


def test_who_takes_part_comes_with_it_in_its_batch(hand: type[Hand]) -> None:
    node = staged(hand, offer(members=members_of(Placed(30, FOUR))), SETTINGS)
    install(node)
    lost = node.crash(0)
    assert (lost.replica.status().configuration, [peer.name for peer in lost.replica.status().peers]) == (0, [N2, N3])
    node = staged(hand, offer(members=members_of(Placed(30, FOUR))), SETTINGS, encode_members(LEARNS))
    install(node)
    for _ in range(2):
        status = node.replica.status()
        assert (status.configuration, status.base_index, status.votes) == (2, 40, True)
        assert [(peer.name, peer.votes) for peer in status.peers] == [(N2, True), (N3, True), (N4, True)]
        assert {peer for peer, _ in node.replica._guard.core._nodes.items()} >= {N2, N3, N4}
        node.sync()
        node = node.crash(0)
    heartbeat(node)
    after = encode_members(follow(FOUR, Remove(N3)))
    node.hears(LEADER, Append(5, 40, 40, 5, ((after, 41, 5),), node.now, 5))
    assert node.replica.status().configuration == 3


def test_what_an_old_tail_said_goes_with_it(hand: type[Hand]) -> None:
    node = staged(hand, offer(), SETTINGS, encode_members(LEARNS))
    assert node.replica.status().configuration == 1
    install(node)
    node.sync()
    assert node.replica.status().configuration == 0
    assert node.crash(0).replica.status().configuration == 0


def test_one_that_was_removed_is_known_by_it(hand: type[Hand]) -> None:
    node = staged(hand, offer(members=members_of(Placed(39, follow(FOUR, Remove(N3))))), SETTINGS)
    install(node)
    assert node.replica._guard.refused == {N3}


@pytest.mark.parametrize("said", [b"", members_of(Placed(39, follow(SETTINGS, Remove(N3))))], ids=["none", "older"])
def test_one_that_says_less_than_what_is_committed_here_stops_the_node(hand: type[Hand], said: bytes) -> None:
    """Hazard 15: stock takes who takes part from a dump, whatever its log has committed since."""
    node = hand(members=SETTINGS)
    log = tuple((encode_members(one), place + 2, 5) for place, one in enumerate((LEARNS, FOUR)))
    node.hears(LEADER, Append(5, 3, 1, 0, log, node.now, 5))
    node.sync()
    node.hears(LEADER, Append(5, 3, 3, 5, ((encode_members(follow(FOUR, Remove(N3))), 4, 5),), node.now, 5))
    node.sync()
    word(node, offer(members=said))
    node.sync()
    word(node, Part(5, offer().digest, b"", PAIRS))
    node.sync()
    with pytest.raises(JournalFault, match=r"who takes part|behind"):
        install(node)


def test_without_addresses_none_that_says_who_takes_part_is_installed(hand: type[Hand]) -> None:
    node = staged(hand, offer(members=members_of(Placed(30, FOUR))), None)
    with pytest.raises(JournalFault, match="more than a name"):
        install(node)


# What goes on over it


def test_it_follows_its_leader_over_an_installation(behind: Hand) -> None:
    """Until the next append it would else take part in deposing it."""
    install(behind)
    assert behind.replica.status().leader == N2
    behind.said.clear()
    behind.hears(N3, AskPreVote(9, 5, 41, 5))
    assert behind.take(PreVote, N3) == [PreVote(9, 5, granted=False)]
    assert not [role for role in behind.roles if role.leader is None and role.term == 5]
    behind.now += 2000 * MS
    behind.hears(N3, AskPreVote(10, 5, 41, 5))
    assert behind.take(PreVote, N3) == [PreVote(10, 5, granted=True)]


def test_an_answer_to_a_pre_vote_of_before_counts_for_none_of_its_own(hand: type[Hand]) -> None:
    node = hand()
    node.wait(1200)
    asked = [message.round for message in node.take(AskPreVote, N3) if isinstance(message, AskPreVote)]
    heartbeat(node)
    node.sync()
    word(node, offer())
    node.sync()
    word(node, Part(5, offer().digest, b"", PAIRS))
    node.sync()
    install(node)
    node.sync()
    node.said.clear()
    node.wait(1200)
    again = [message.round for message in node.take(AskPreVote, N3) if isinstance(message, AskPreVote)]
    assert min(again) > max(asked)


def test_on_a_slow_disk_it_answers_over_an_installation(behind: Hand) -> None:
    """What is synced of its log is nothing; but that would be an answer to nothing that a leader sends."""
    install(behind)
    behind.said.clear()
    behind.now += 60 * MS
    heartbeat(behind)
    assert [message.verified for message in behind.take(Ack) if isinstance(message, Ack)] == [1]
