"""Storms in which all nodes but one are lost for good: a group is made of that one; who was only away is refused."""

from __future__ import annotations

import json
from random import Random

import pytest
from click.testing import CliRunner

from chaos.checkers.facts import Answered, Ended, Founded, Led, Met, Proposed, Recovered
from chaos.checkers.lives import lives
from chaos.cli import main
from chaos.sim import bereft
from chaos.sim.desk import member
from chaos.sim.history import Violation
from chaos.sim.network import FIRST, MS, SECOND
from chaos.sim.plan import Fault, document_of, plan_of
from chaos.sim.profiles import MEMBERS, RECOVER
from chaos.sim.recovery import LeftDisk, refound, removed_by
from chaos.sim.storm import played
from chaos.sim.strikes import strikes
from chaos.sim.turnover import Turnover, VouchedMachine
from chaos.storm.plans import plan
from cluster.members import Configuration, Refused, encode
from cluster.memory import MemoryDisk, MemoryStore
from cluster.snapshot.summing import DIGEST
from cluster.snapshot.words import Offer
from cluster.snapshot.words import encode as encode_word
from cluster.store import Memory, StoredEntry
from cluster.survivor import survey
from cluster.types import LogIndex, Peer, Retention, Role, Term
from cluster.wire import pack_commands
from tests.chaos.checkers.test_members import FOUR

N1, N2, N3 = Peer("n1"), Peer("n2"), Peer("n3")
FEW = Retention(entries=8, most_entries=8)


def stricken(pick: int, *, seed: int = 5, until: int = 3500 * MS, duration: int = 8 * SECOND) -> Turnover:
    fault = Fault(3 * SECOND, until, RECOVER, pick)
    return Turnover(seed, "tcp", duration=duration, retention=FEW, planned=[fault])


@pytest.fixture(scope="module")
def storm() -> Turnover:
    """One in which somebody who seemed lost was only out of reach, and comes back."""
    storm = stricken(7)
    assert played(storm) == ""
    assert storm.bereft.recovered == 1
    assert storm.bereft.strangers()
    return storm


def test_a_group_of_its_own_goes_on_and_its_nodes_are_replaced(storm: Turnover) -> None:
    old, new = lives(storm.history.facts())
    (recovered,) = new.only(Recovered)
    assert {fact.node for fact in new.only(Founded)} == {*recovered.nodes}
    assert (recovered.former, recovered.term) == (FIRST, 1_000_000)
    assert min(fact.term for fact in new.only(Led)) > recovered.term > max(fact.term for fact in old.only(Led))
    assert {*new.nodes} > {*recovered.nodes}, "nobody joined the new group"
    assert len([fact for fact in new.only(Answered) if fact.how == "applied"]) > 50
    assert storm.faults == {RECOVER: 1}
    assert storm.desk.asked["recover"] == 1
    looked_at = {check.name: check.looked_at for check in storm.history.checks}
    assert looked_at["recovery"] > 100


def test_who_comes_back_dials_and_is_refused_and_asked_and_leads_nothing(storm: Turnover) -> None:
    facts = storm.history.facts()
    old, new = lives(facts)
    (back,) = storm.bereft.strangers()
    met = facts.only(Met)
    assert back in {fact.peer for fact in met}
    assert not any(fact.let_in for fact in met)
    assert back not in new.nodes
    founded = new.only(Recovered)[0].at
    assert any(fact.node == back and fact.at > founded for fact in old.only(Proposed))
    assert not any(fact.at > founded for fact in old.only(Led))
    assert len([fact for fact in facts.only(Ended) if fact.node == back]) == 1, "it ran on, and was turned off at last"
    assert storm.network.processes[back].replica is None


def test_the_same_seed_gives_the_same_run(storm: Turnover) -> None:
    again = stricken(7)
    played(again)
    assert again.history.digest() == storm.history.digest()


@pytest.mark.parametrize("moment", sorted({*bereft.MOMENTS}))
def test_it_is_survived_at_each_kind_of_moment(moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bereft, "MOMENTS", (moment,))
    storm = stricken(7)
    assert played(storm) == ""
    (recovered,) = storm.history.facts().only(Recovered)
    lasts = {bereft.BEHIND: 2 * SECOND}.get(moment, bereft.PATIENCE) + 80 * MS
    assert 0 <= recovered.at - 3500 * MS <= lasts


def test_where_the_storm_ends_before_the_operator_has_done_it_he_does_it_then() -> None:
    storm = stricken(1, until=9 * SECOND, duration=5 * SECOND)
    assert played(storm) == ""
    assert storm.bereft.recovered == 1
    assert storm.history.facts().only(Recovered)[0].at == 5 * SECOND


def test_one_that_strikes_while_another_is_under_way_does_nothing() -> None:
    storm = stricken(1, until=5 * SECOND)
    storm.planned = (*storm.planned, Fault(3200 * MS, 4 * SECOND, RECOVER, 2))
    assert played(storm) == ""
    assert (storm.bereft.recovered, storm.faults) == (1, {RECOVER: 2})


def test_a_seed_has_it_rarely_and_the_others_stay_what_they_were() -> None:
    plans = [plan(MEMBERS, seed) for seed in range(200)]
    with_it = [one for one in plans if any(fault.kind == RECOVER for fault in one.faults)]
    assert 30 < len(with_it) < 90
    assert {sum(fault.kind == RECOVER for fault in one.faults) for one in with_it} == {1, 2}
    short = [strikes(seed, "tcp", 10 * SECOND, SECOND, turnover=True) for seed in range(60)]
    assert not any(fault.kind == RECOVER for faults in short for fault in faults)
    kept = with_it[0]
    assert plan_of(json.loads(json.dumps(document_of(kept)))) == kept


def test_a_seed_by_command_tells_how_many_groups_were_recovered() -> None:
    seed = next(seed for seed in range(99) if any(fault.kind == RECOVER for fault in plan(MEMBERS, seed).faults))
    ran = CliRunner().invoke(main, ["sim", "--profile", MEMBERS, "--seed", str(seed), "-o", "json"])
    assert ran.exit_code == 0, ran.output
    document = json.loads(ran.stdout)
    assert document["recovered"] == document["operators"]["recover"] >= 1
    assert document["faults"][RECOVER] >= document["recovered"]
    assert {each["name"]: each["looked_at"] for each in document["checks"]}["recovery"] > 100


# --- who is of which group ------------------------------------------------------------------------------------


def test_two_groups_on_one_network_hear_nothing_of_each_other() -> None:
    storm = Turnover(1)
    network = storm.network
    for name in network.names:
        network.start(name)
    network.run(2 * SECOND)
    network.kill(N1)
    network.kill(N3)
    new = members("n1", "n3")
    network.found("c0ffee", new, {N1: MemoryDisk()})
    network.start(N1)
    network.run(SECOND)
    assert [network.links[pair].up for pair in ((N1, N2), (N2, N1))] == [False, False]
    assert {(fact.node, fact.peer, fact.let_in) for fact in storm.history.facts().only(Met)} == {
        (N1, N2, False),
        (N2, N1, False),
    }
    network.processes[N1].cluster = FIRST
    network.run(6 * SECOND)
    assert network.links[N2, N1].up, "one that says that it is of the same is let in, and that is noted"
    assert any(fact.let_in for fact in storm.history.facts().only(Met))


def test_who_is_away_stays_away_whatever_is_healed() -> None:
    storm = Turnover(1)
    for name in storm.network.names:
        storm.network.start(name)
    storm.network.run(2 * SECOND)
    storm.network.part(N2)
    storm.network.heal_all()
    storm.network.run(SECOND)
    assert storm.network.links[N1, N2].cut
    assert storm.network.replica(N2).status().role is not Role.LEADER
    storm.network.rejoin(N2)
    assert not storm.network.links[N1, N2].cut


def test_a_name_on_a_new_disk_is_not_kept_away_by_what_was_wrong_with_the_old_one() -> None:
    storm = Turnover(1)
    storm.away, storm.rotten = {N2: "entry 3 is damaged", N3: "entry 4 is damaged"}, N2
    storm.refounded(members("n2", "n7", "n8"), [N1, N3])
    assert (storm.away, storm.rotten) == ({N3: "entry 4 is damaged"}, None)
    assert storm.gone == {N1, N3}
    assert storm.wanted == 3


# --- the survivor's disk --------------------------------------------------------------------------------------


def left(*, places: bool = True) -> MemoryDisk:
    """Four entries, two of them committed, none applied; a ninth was heard to be committed."""
    store = MemoryStore(FIRST, N1)
    third = encode(FOUR) if places else pack_commands((b"w",))
    for index, content in enumerate((pack_commands(()), pack_commands(()), third, pack_commands((b"x",))), 1):
        store.append(StoredEntry(LogIndex(index), Term(3), content))
    if places:
        store.set_places(((LogIndex(3), encode(FOUR)),))
    store.set_vote(Term(5), N2)
    store.set_commit(LogIndex(2))
    store.set_memory(Memory(known=(4, 9)))
    store.commit()
    store.stage_anew(b"no offer that can be read")
    store.commit()
    store.sync()
    store.close()
    return store.disk


def members(*names: str) -> Configuration:
    return Configuration(0, tuple([member(Peer(name)) for name in names]))


RANDOM = Random(1)  # noqa: S311 # a simulated operator


def test_the_disk_is_read_as_the_product_reads_a_folder_and_stays_as_it_is() -> None:
    disk = left()
    survivor = survey(LeftDisk(disk))
    assert (survivor.cluster, survivor.node, survivor.last, survivor.term, survivor.tail) == (FIRST, N1, 4, 5, 2)
    assert (survivor.missing, survivor.staged) == (5, (0, 0))
    made = refound(disk, (FIRST,), members("n1", "n7", "n8").voters, VouchedMachine(), RANDOM)
    assert disk.identity == (FIRST, N1)
    assert (len(disk.entries), disk.meta.voted_for) == (4, N2)
    for name in ("n1", "n7", "n8"):
        new = made.disks[Peer(name)]
        assert new.identity == (made.founding.cluster, Peer(name))
        assert (len(new.entries), new.meta.applied_index, new.meta.voted_for) == (6, 6, None)
        assert (new.memory, new.staging) == (Memory(), None)
    assert made.in_force.number == FOUR.number + 1
    assert {*made.in_force.removed} == {"n2", "n3", "n4"}
    assert made.states[-1][0] == 6
    assert made.remembered == ((4, 9),)


def test_a_snapshot_that_was_being_sent_is_remembered_and_dropped() -> None:
    disk = left()
    assert disk.staging is not None
    disk.staging = (disk.staging[0], encode_word(Offer(6, 40, 5, pack_commands(()), 1, 9, b"d" * DIGEST)))
    made = refound(disk, (FIRST,), members("n1", "n7", "n8").voters, VouchedMachine(), RANDOM)
    assert made.remembered[0] == (5, 40)
    assert made.survivor.missing == 36
    assert {new.staging for new in made.disks.values()} == {None}


def test_a_log_that_never_said_who_takes_part_goes_on_by_the_settings() -> None:
    made = refound(left(places=False), (FIRST,), members("n1", "n7", "n8").voters, VouchedMachine(), RANDOM)
    assert made.in_force == made.members
    assert made.in_force.voting == ("n1", "n7", "n8")


def test_a_name_that_was_removed_is_refused_by_the_product_and_told_before() -> None:
    disk = left()
    removed = Configuration(FOUR.number, FOUR.voters[:3], (), (Peer("n4"),))
    disk.places = ((LogIndex(3), encode(removed)),)
    assert removed_by(disk) == {"n4"}
    with pytest.raises(Refused, match="n4 was removed from the cluster once"):
        refound(disk, (FIRST,), members("n1", "n4", "n8").voters, VouchedMachine(), RANDOM)


def test_what_can_t_be_applied_is_the_storm_s_end() -> None:
    class Stuck(VouchedMachine):
        def apply(self, index: LogIndex, term: Term, commands: tuple[bytes, ...]) -> None:  # type: ignore[override] # it only raises
            raise RuntimeError(f"{index} {term} {commands!r}")

        def stopped(self, index: LogIndex, digest: str, error: Exception) -> str:
            return f"{index} {digest} {error}"

    with pytest.raises(Violation, match="the end of n1's log can't be applied"):
        refound(left(), (FIRST,), members("n1", "n7", "n8").voters, Stuck(), RANDOM)
