"""A disk that went back: a node comes back on an older log than it acknowledged, and nothing acknowledged is lost.

Design.md section 6, "A node that lost its disk"; the argument is in cluster/DESIGN.md.  First each rule in a node
played by hand, then on the simulated network, the leader dying in the same moment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from cluster import home
from cluster.members import Configuration, Member
from cluster.remembered import Remembered
from cluster.rocks import RocksStore
from cluster.store import StoredEntry, StoreFault
from cluster.types import LogIndex, Peer, Role, Term
from cluster.wire import Ack, Append, AskPreVote, AskVote, Known, PreVote, Resign, StandNow, Vote, encode, pack_commands

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Hand, Scene

MS = 1_000_000


def follow(node: Hand, *terms: int, commit: int = 1, commit_term: int = 0, leader: str = "n2") -> None:
    """Take entries 2 and so on from a leader of the last one's term."""
    entries = tuple((pack_commands((b"%d" % i,)), i + 2, term) for i, term in enumerate(terms))
    node.hears(leader, Append(terms[-1], commit, 1, 0, entries, 50, commit_term))
    node.sync()
    node.said.clear()


def votes_for(node: Hand, peer: str, ask: AskVote) -> bool:
    node.wait(500)  # no leader is heard any more
    node.said.clear()
    node.hears(peer, ask)
    node.sync()
    return bool(node.take(Vote, peer))


def encourages(node: Hand, peer: str, ask: AskPreVote) -> bool:
    node.wait(500)
    node.said.clear()
    node.hears(peer, ask)
    return any(answer.granted for answer in node.take(PreVote, peer))


def asks(node: Hand) -> bool:
    node.said.clear()
    node.wait(1500)
    return bool(node.take(AskPreVote))


# What is known to be committed


def test_a_log_below_what_is_known_to_be_committed_gets_no_vote(hand: type[Hand]) -> None:
    """n1 lags: it has heard that entry 9 of term 3 is committed, and has only entry 2 itself."""
    node = hand()
    node.hears("n2", Append(3, 9, 8, 3, (), 50, 3))
    node.hears("n2", Append(3, 9, 1, 0, ((pack_commands((b"x",)), 2, 3),), 51, 3))
    node.sync()
    assert not encourages(node, "n3", AskPreVote(1, 3, 8, 3))
    assert encourages(node, "n3", AskPreVote(2, 3, 9, 3))
    assert not votes_for(node, "n3", AskVote(4, 8, 3))
    assert votes_for(node, "n3", AskVote(4, 9, 3))


def test_a_longer_old_tail_hides_nothing_that_was_committed(hand: type[Hand]) -> None:
    """Its entries up to 6 are of a term that nobody else has them of; entry 4 of term 4 is committed elsewhere."""
    node = hand()
    follow(node, 2, 2, 2, 2, 2)
    node.hears("n3", Append(4, 4, 5, 4, (), 60, 4))  # it does not fit: entry 5 here is of term 2
    node.sync()
    assert not asks(node)
    assert not encourages(node, "n2", AskPreVote(1, 4, 6, 2))
    assert not votes_for(node, "n2", AskVote(9, 6, 2))
    again = node.crash()
    assert not votes_for(again, "n2", AskVote(10, 6, 2))
    assert votes_for(again, "n3", AskVote(11, 4, 4))


def test_what_its_own_log_has_is_not_remembered_beside_it(hand: type[Hand]) -> None:
    """A follower that keeps up writes nothing but its log."""
    node = hand()
    follow(node, 3, 3, 3)
    for commit in (2, 3, 4, 4):
        node.hears("n2", Append(3, commit, 4, 3, (), 60 + commit, 3))
    assert node.store.memory().known == (0, 0)
    assert node.ready is not None
    assert node.ready.ticket is None


def test_it_stands_on_no_such_log_itself_and_remembers_over_a_crash(hand: type[Hand]) -> None:
    node = hand()
    follow(node, 3, commit=9, commit_term=3)
    assert not asks(node)
    again = node.crash()
    assert not asks(again)
    assert not votes_for(again, "n3", AskVote(4, 8, 3))
    assert votes_for(again, "n3", AskVote(5, 4, 4))  # a later term's entry: its leader had entry 9


def test_caught_up_it_stands_again(hand: type[Hand]) -> None:
    node = hand()
    follow(node, 3, commit=3, commit_term=3)
    assert not asks(node)
    follow(node, 3, 3, commit=3, commit_term=3)
    assert asks(node)


def test_a_peer_is_told_what_is_known_when_its_connection_comes_up(hand: type[Hand]) -> None:
    node = hand(linked=False)
    node.link("n3")
    node.step()
    assert node.take(Known, "n3") == [Known(0, 0, 0, 0)]
    follow(node, 3, 3, commit=9, commit_term=3)
    node.replica.disconnected(Peer("n3"))
    node.link("n3")
    node.step()
    assert node.take(Known, "n3") == [Known(9, 3, 0, 0)]
    told = hand()
    told.hears("n3", Known(9, 3, 0, 0))
    assert not votes_for(told, "n2", AskVote(4, 8, 3))


# What it has acknowledged itself


def test_a_leader_tells_a_peer_what_it_has_acknowledged_even_after_a_crash(hand: type[Hand]) -> None:
    node = hand()
    term = node.lead()
    node.propose(b"a", 1)
    node.sync()
    node.hears("n2", Ack(term, 3, True, node.now))
    node.unlink("n2")
    node.said.clear()
    node.link("n2")
    node.step()
    assert node.take(Known, "n2") == [Known(3, term, 3, term)]
    node.wait(60)
    node.sync()
    again = node.crash()
    again.said.clear()
    again.replica.disconnected(Peer("n2"))
    again.link("n2")
    again.step()
    assert again.take(Known, "n2") == [Known(3, term, 3, term)]


def test_below_what_it_has_acknowledged_it_takes_no_part_until_it_has_caught_up(hand: type[Hand]) -> None:
    node = hand()
    node.hears("n2", Known(1, 0, 3, 3))
    for _ in range(2):
        said = str(node.replica.status().stalled)
        assert "acknowledged entry 3 of term 3: its disk went back" in said
        assert "(`meltica cluster replace`, runbooks/replace-a-node.md)" in said
        assert not asks(node)
        assert not encourages(node, "n3", AskPreVote(1, 9, 9, 9))
        assert not votes_for(node, "n3", AskVote(9, 9, 9))
        node.sync()
        node = node.crash()  # it remembers
    follow(node, 3)
    assert not asks(node)
    follow(node, 3, 3)
    assert node.replica.status().stalled is None
    assert votes_for(node, "n3", AskVote(9, 9, 9))


def test_what_it_owes_is_synced_before_it_promises_anything_more(hand: type[Hand]) -> None:
    """What is known to be committed asks for no sync; what it has lost itself does."""
    node = hand()
    follow(node, 2)
    node.hears("n2", Known(9, 3, 0, 0))
    assert node.ready is not None
    assert node.ready.ticket is None
    node.hears("n2", Known(1, 0, 3, 3))
    assert node.ready.ticket is not None
    node.said.clear()
    node.hears("n2", Append(2, 1, 2, 2, (), 50))
    assert node.take(Ack) == []
    node.sync()
    assert len(node.take(Ack, "n2")) == 1
    assert "acknowledged entry 3" in str(node.crash().replica.status().stalled)


def test_what_it_still_has_bars_nothing(hand: type[Hand]) -> None:
    node = hand()
    follow(node, 3, 3)
    node.hears("n2", Known(3, 3, 3, 3))
    assert node.replica.status().stalled is None
    assert asks(node)


# It learns of it while its election is under way

BARS = (Known(1, 0, 5, 3), Known(5, 3, 0, 0))  # it has acknowledged entry 5; entry 5 was committed


def asked(node: Hand) -> AskPreVote:
    """It has entry 2 of term 3, and asks whether it could be elected."""
    follow(node, 3)
    node.wait(700)
    return next(m for m in reversed(node.take(AskPreVote, "n2")) if isinstance(m, AskPreVote))


@pytest.mark.parametrize("told", BARS)
def test_told_between_its_question_and_the_answer_it_does_not_stand(hand: type[Hand], told: Known) -> None:
    """The grant of a peer that knows nothing of it was under way already."""
    node = hand()
    question = asked(node)
    node.hears("n3", told)
    node.hears("n2", PreVote(question.round, 3, granted=True))
    node.sync()
    assert (node.take(AskVote), node.role, node.term) == ([], Role.FOLLOWER, 3)


@pytest.mark.parametrize("told", BARS)
def test_told_between_its_request_and_the_vote_it_does_not_win(hand: type[Hand], told: Known) -> None:
    node = hand()
    node.hears("n2", PreVote(asked(node).round, 3, granted=True))
    node.sync()
    (request,) = node.take(AskVote, "n2")
    assert node.role is Role.CANDIDATE
    node.hears("n3", told)
    assert (node.role, node.term, node.roles[-1].reason) == (Role.FOLLOWER, 5, "its disk went back")
    node.hears("n2", Vote(4))
    node.sync()
    assert request == AskVote(4, 2, 3)
    assert (node.role, node.take(Append)) == (Role.FOLLOWER, [])
    assert not asks(node)


def test_a_stalled_disk_wins_no_election_that_was_under_way(hand: type[Hand]) -> None:
    node = hand()
    node.hears("n2", PreVote(asked(node).round, 3, granted=True))
    node.sync()
    node.hears("n3", Known(1, 0, 2, 3))  # what it has: it goes on
    assert node.role is Role.CANDIDATE
    node.replica._guard.stalled = "the disk has not synced for 350 ms"
    node.replica.received(Peer("n2"), encode(Vote(4)))
    assert node.role is Role.CANDIDATE
    node.replica._guard.stalled = None
    node.hears("n3", Vote(4))
    assert node.role is Role.LEADER


def test_a_leader_that_has_lost_what_a_later_leader_committed_leads_no_more(hand: type[Hand]) -> None:
    node = hand()
    term = node.lead()
    node.sync()
    node.hears("n3", Known(2, term, 2, term))  # it has that
    assert node.role is Role.LEADER
    node.said.clear()
    node.hears("n3", Known(9, term + 1, 0, 0))
    assert (node.role, node.roles[-1].reason) == (Role.FOLLOWER, "its disk went back")
    assert node.take(Resign, "n2") == [Resign(term)]


# It went back to before the entry that names who tells it: a guest here, and the only one who can know


@pytest.mark.parametrize("told", [Known(9, 3, 0, 0), Known(1, 0, 9, 3)], ids=["committed", "acknowledged"])
def test_what_one_remembers_that_came_meanwhile_keeps_the_old_majority_from_losing_it(
    hand: type[Hand], told: Known
) -> None:
    """n4 came in the place of n3, and entry 9 was committed by it and n1, which had acknowledged it to n4.

    Then n1's disk went back; n3, which does not know that it was removed, asks for its vote: those two were a majority.
    """
    beginning = Configuration(0, tuple(Member(Peer(name), f"{name}:7400") for name in ("n1", "n2", "n3")))
    node = hand(members=beginning)
    assert encourages(node, "n3", AskPreVote(1, 3, 5, 2))
    node.link("n4")
    node.hears("n4", told)
    assert Peer("n4") not in node.replica._guard.peers
    assert not encourages(node, "n3", AskPreVote(2, 3, 5, 2))
    assert not votes_for(node, "n3", AskVote(4, 5, 2))
    assert not asks(node)
    node.sync()
    node = node.crash()  # it remembers
    assert not votes_for(node, "n3", AskVote(4, 5, 2))


# A folder that is a copy


def test_a_copied_disk_takes_no_part_until_a_leader_has_brought_it_up(hand: type[Hand]) -> None:
    first = hand()
    follow(first, 3, 3, commit=2, commit_term=3)
    disk = first.store.crash().copy()
    disk.suspect = True
    node = hand(disk=disk)
    assert "is a copy" in str(node.replica.status().stalled)
    assert "runbooks/folder-is-a-copy.md (`meltica cluster attest`)" in str(node.replica.status().stalled)
    assert not asks(node)
    assert not votes_for(node, "n3", AskVote(4, 9, 3))
    node.hears("n3", Append(4, 3, 3, 3, (), 60, 3))  # a leader whose own term has no entry here yet
    node.hears("n3", StandNow(4))
    assert node.role is Role.FOLLOWER
    node.hears("n3", Append(4, 4, 3, 3, ((b"\x01", 4, 4),), 61, 4))
    node.sync()
    assert node.replica.status().stalled is None
    assert hand(disk=node.store.crash()).replica.status().stalled is None


def test_a_copied_folder_is_seen_until_it_is_attested(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "n", "c", Peer("n1"), first_start=True)
    store.close()
    store = RocksStore(tmp_path / "n", "c", Peer("n1"))
    assert not store.suspect
    store.close()
    shutil.copytree(tmp_path / "n", tmp_path / "copy")
    for _ in range(2):
        store = RocksStore(tmp_path / "copy", "c", Peer("n1"))
        assert store.suspect
        store.close()
    (tmp_path / "copy" / "home").unlink()
    store = RocksStore(tmp_path / "copy", "c", Peer("n1"))
    assert store.suspect
    store.attest()
    store.commit()
    store.close()
    store = RocksStore(tmp_path / "copy", "c", Peer("n1"))
    assert not store.suspect
    store.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A node's, after a start and a stop."""
    RocksStore(tmp_path / "n", "c", Peer("n1"), first_start=True).close()
    return tmp_path / "n"


def taken_for_a_copy(folder: Path) -> bool:
    """At two starts alike."""
    found = []
    for _ in range(2):
        store = RocksStore(folder, "c", Peer("n1"))
        found.append(store.suspect)
        store.close()
    assert found[0] is found[1]
    return found[0]


def _hard_linked(folder: Path) -> None:
    """As a backup by hard links does it; the copy stays."""
    subprocess.run(["cp", "-al", str(folder), f"{folder}.links"], check=True)  # noqa: S603, S607  # our own words


def _owned(folder: Path) -> None:
    """As an image's entry point or a volume's group does it at each start: to whom they are already."""
    for path in (folder, *folder.iterdir()):
        os.chown(path, os.getuid(), os.getgid())
        path.chmod(path.stat().st_mode & 0o777)


def _timed(folder: Path) -> None:
    for path in folder.iterdir():
        os.utime(path, (1, 1))


def _renamed(folder: Path) -> None:
    folder.rename(folder.with_name("m"))
    folder.with_name("m").rename(folder)


@pytest.mark.parametrize("harmless", [_hard_linked, _owned, _timed, _renamed])
def test_what_copies_no_folder_makes_none_a_copy(folder: Path, harmless: Callable[[Path], None]) -> None:
    """Two nodes of three that take themselves for copies can elect nobody."""
    harmless(folder)
    assert not taken_for_a_copy(folder)


def _copied(folder: Path) -> None:
    """Away and back, with all times and owners kept: `mv` to another disk and back does the same."""
    away = folder.with_name("away")
    subprocess.run(["cp", "-a", str(folder), str(away)], check=True)  # noqa: S603, S607  # our own words
    shutil.rmtree(folder)
    subprocess.run(["cp", "-a", str(away), str(folder)], check=True)  # noqa: S603, S607  # our own words


def _synchronised(folder: Path) -> None:
    """As rsync puts an older copy back into the living folder: what differs in size or time becomes a new file."""
    backup = shutil.copytree(folder, folder.with_name("backup"))
    RocksStore(folder, "c", Peer("n1")).close()
    for path in backup.iterdir():
        living, old = folder / path.name, path.stat()
        if not living.exists() or (living.stat().st_size, living.stat().st_mtime_ns) != (old.st_size, old.st_mtime_ns):
            shutil.copy2(path, folder / ".new").replace(living)


def _unmarked(folder: Path) -> None:
    """By whoever puts a snapshot of a whole machine back, and knows it."""
    (folder / "home").unlink()


@pytest.mark.parametrize("copies", [_copied, _synchronised, _unmarked])
def test_what_copies_a_folder_makes_it_a_copy(folder: Path, copies: Callable[[Path], None]) -> None:
    copies(folder)
    assert taken_for_a_copy(folder)


def test_an_older_hard_link_backup_in_the_folder_s_place_is_refused(folder: Path) -> None:
    """The mark is the same file; but so is the note of what was synced, and it says more than the backup holds."""
    _hard_linked(folder)
    store = RocksStore(folder, "c", Peer("n1"))
    for index in range(1, 4):
        store.append(StoredEntry(LogIndex(index), Term(1), b"x"))
        store.commit()
    store._noted_at = 0  # what is synced is noted every 20 ms: now
    store.sync()
    store.close()
    shutil.rmtree(folder)
    folder.with_name(f"{folder.name}.links").rename(folder)
    with pytest.raises(StoreFault, match="replace the node"):
        RocksStore(folder, "c", Peer("n1"))


def test_where_no_time_of_birth_is_known_the_time_of_change_tells(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark of an older release is read too, and made surer once there is a time of birth."""
    assert not taken_for_a_copy(folder)
    with monkeypatch.context() as patched:
        patched.setattr(home, "born", lambda _path: None)
        assert taken_for_a_copy(folder)  # what it was known by can't be read any more
        store = RocksStore(folder, "c", Peer("n1"))
        store.attest()
        store.commit()
        store.close()
        assert not taken_for_a_copy(folder)
    assert not taken_for_a_copy(folder)
    _owned(folder)
    assert not taken_for_a_copy(folder)


# On a network: one disk goes back while the leader dies


def strike(scene: Scene, *, copied: bool, lagging_ms: int, seed: int) -> None:
    """n-leader and n-b commit, n-c is cut off from what is appended; n-b's disk goes back, the leader dies at once."""
    network = scene.network
    leader = scene.leader
    b, c = scene.others()
    old = network.processes[b].disk.copy()
    old.suspect = copied
    for peer in (leader, b):
        network.hold(peer, c)
    for i in range(20):
        scene.propose(leader, b"k%d-%d" % (seed, i))
        network.run(2 * MS)
    scene.until(lambda: len(scene.acknowledged) >= 1, 500)
    network.run(lagging_ms * MS)
    network.heal_all()
    network.run(MS // 2)
    network.kill(leader, power=True, keep=0)
    network.kill(b, power=True, keep=0)
    network.processes[b].disk = old
    network.start(b)


def survivors_lost_nothing(scene: Scene) -> None:
    for index, commands in scene.acknowledged.items():
        assert scene.log[index][1] == commands
    assert scene.faults == []


@pytest.mark.parametrize("seed", range(6))
def test_a_restored_copy_elects_nobody_without_what_it_acknowledged(scene: type[Scene], seed: int) -> None:
    """The third node has heard nothing of it: only the copy's own caution is left, and the dead leader comes back."""
    run = scene(seed)
    leader = run.leader
    strike(run, copied=True, lagging_ms=20, seed=seed)
    term = max(run.leaders)
    run.run(3000)
    assert max(run.leaders) == term
    run.network.start(leader)
    run.until(lambda: len(run.leading) == 1, 2000)
    run.propose(run.leader, b"after")
    run.run(1000)
    assert len({p.replica.status().applied_index for p in run.network.alive() if p.replica}) == 1
    assert all(p.replica.status().stalled is None for p in run.network.alive() if p.replica)
    survivors_lost_nothing(run)


def went_back_unseen(scene: Scene) -> Peer:
    """n-c was cut off, and has just heard how far the others have committed: then both of them fail."""
    network = scene.network
    leader = scene.leader
    b, c = scene.others()
    old = network.processes[b].disk.copy()
    scene.cut_off(c)
    for i in range(20):
        scene.propose(leader, b"k%d" % i)
        network.run(2 * MS)
    scene.run(300)
    assert len(scene.acknowledged) > 3
    network.heal_all()
    remembered = network.replica(c)._guard._remembered
    scene.until(lambda: remembered.known[1] >= max(scene.acknowledged), 3000)
    network.kill(leader, power=True, keep=0)
    network.kill(b, power=True, keep=0)
    network.processes[b].disk = old
    network.start(b)
    return leader


@pytest.mark.parametrize("seed", range(6))
def test_a_disk_that_went_back_under_its_node_elects_nobody_either(scene: type[Scene], seed: int) -> None:
    """Nothing on that disk shows it, but the third node has heard how far the cluster had committed."""
    run = scene(seed)
    leader = went_back_unseen(run)
    run.run(2000)
    run.network.start(leader)
    run.until(lambda: len(run.leading) == 1, 2000)
    run.propose(run.leader, b"after")
    run.run(1000)
    assert run.log[max(run.log)][1] == (b"after",)
    survivors_lost_nothing(run)


def forget(scene: Scene, what: str, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """The same strikes on nodes that do without the one memory or the other."""
    leader = scene.leader
    with monkeypatch.context() as patch:
        if what == "suspect":
            patch.setattr(Remembered, "bar", lambda _self: None)
            strike(scene, copied=True, lagging_ms=20, seed=seed)
        else:
            went_back_unseen(scene)
            patch.setattr(Remembered, "known", (0, 0))
            patch.setattr(Remembered, "lacks", lambda _self: False)
        scene.run(2000)
        for name in scene.leading:
            scene.propose(name, b"other")
        scene.network.start(leader)
        scene.run(2000)


@pytest.mark.parametrize("what", ["known", "suspect"])
def test_without_that_memory_it_is_lost(scene: type[Scene], monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Broken on purpose: another entry is applied where one was acknowledged."""
    lost = 0
    for seed in range(4):
        try:
            forget(scene(seed), what, monkeypatch, seed)
        except AssertionError as error:
            lost += "applied another entry" in str(error)
    assert lost
