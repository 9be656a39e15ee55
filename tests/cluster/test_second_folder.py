"""A second folder of one name: a mark of a first start was left behind, and opens it after the first one burned.

`create` and `prepare` mark a folder, it is copied to its machine, and the original stays.  What is opened so is empty,
and nothing in it says that a node of its name lived before: cluster/DESIGN.md, "A disk that went back", point 1.
"""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import pytest

from cluster.members import Configuration
from cluster.remembered import vouch
from cluster.rocks import RocksStore
from cluster.types import Peer, Role
from cluster.wire import Append, AskPreVote, AskVote, Known, PreVote, Vote, pack_commands
from tests.cluster.conftest import MS, Scene
from tests.cluster.test_changes import N1, N2, N3, N4, NAMES, SETTINGS, Group

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.conftest import Hand


def opened_again(scene: Scene, name: Peer) -> None:
    """Its disk is gone; the folder is copied once more, with its mark, and started."""
    if scene.network.processes[name].replica is not None:
        scene.network.kill(name, power=False)
    scene.network.processes[name] = scene.network._new(name)
    scene.network.start(name)


def empty_and_gone(scene: Scene, gone: Peer, emptied: Peer, late: Peer) -> None:
    """`late` is cut off, E is acknowledged by the other two, both die, and one of them comes back empty."""
    scene.cut_off(late)
    scene.run(100)
    scene.until(lambda: gone in scene.leading, 3000)
    scene.propose(gone, b"E")
    scene.until(lambda: any(b"E" in commands for commands in scene.acknowledged.values()), 500)
    scene.network.kill(gone, power=False)
    scene.network.kill(emptied, power=False)
    scene.network.heal_all()
    opened_again(scene, emptied)


def kept(scene: Scene) -> None:
    """What was acknowledged is in the log of who leads, and nobody has stopped."""
    assert scene.faults == []
    held = {entry[1]: entry[0] for entry in scene.network.replica(scene.leader)._journal[0:]}
    assert all(pack_commands(commands) == held[index] for index, commands in scene.acknowledged.items())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("members", [None, SETTINGS])
def test_a_founder_s_second_folder_elects_nobody_who_lacks_what_it_acknowledged(
    seed: int, members: Configuration | None
) -> None:
    """Review of 2026-11-30: `late` and the empty one elected a leader, and another entry took E's place."""
    scene = Scene(seed, members=members)
    first = scene.leader
    emptied, late = scene.others()
    empty_and_gone(scene, first, emptied, late)
    scene.network.run(3000 * MS)
    assert scene.leading == []
    assert "was empty when the others had begun" in str(scene.network.replica(emptied).status().stalled)
    scene.network.start(first)
    scene.run(2000)
    kept(scene)
    assert scene.network.replica(emptied).status().stalled is None
    scene.network.kill(scene.leader)
    scene.run(2000)
    kept(scene)  # it votes again


@pytest.mark.parametrize("seed", range(4))
def test_a_joined_node_s_second_folder_never_votes_before_a_leader_has_brought_it_up(seed: int) -> None:
    group = Group(seed)
    group.replace(4000)
    group.network.kill(N3)
    group.until(lambda: group.leading in ([N1], [N2]), 4000)
    first = group.leader
    empty_and_gone(group, first, N4, N2 if first == N1 else N1)
    group.network.run(3000 * MS)
    assert group.leading == []
    group.network.start(first)
    group.run(2000)
    group.check()


def test_a_new_node_does_not_vote_or_encourage_whoever_asks_and_tells_it_nothing(hand: type[Hand]) -> None:
    """Who asks may have been cut off so early that it has never heard of a commit itself."""
    node = hand(N4, NAMES[:3], members=SETTINGS)
    node.wait(500)
    node.hears(N1, AskPreVote(1, 3, 9, 3))
    node.hears(N1, AskVote(4, 9, 3))
    node.sync()
    assert not any(answer.granted for answer in node.take(PreVote))
    assert not node.take(Vote)
    again = node.crash()
    again.hears(N1, AskVote(5, 9, 3))
    again.sync()
    assert not again.take(Vote)


def test_a_new_node_is_careful_from_its_first_entry_on_over_a_power_cut(hand: type[Hand]) -> None:
    """With an entry it does not look new any more."""
    node = hand(N4, NAMES[:3], members=SETTINGS)
    node.hears(N1, Append(3, 1, 1, 0, ((b"\x01", 2, 3),), 50, 3))
    node.sync()
    assert node.store.suspect is False  # its leader has brought it up
    other = hand(N4, NAMES[:3], members=SETTINGS)
    other.hears(N1, Append(3, 9, 1, 0, ((b"\x01", 2, 3),), 50, 3))
    other.sync()
    for _ in range(2):
        other = other.crash()
        assert (other.last, other.store.suspect) == (2, True)


def test_a_new_node_s_status_names_no_trouble_while_it_has_no_vote(hand: type[Hand]) -> None:
    """It may wait for days before it takes anybody's place; nobody is to restart it meanwhile."""
    assert hand(N4, NAMES[:3], members=SETTINGS).replica.status().stalled is None


# A first founding


@pytest.mark.parametrize("order", list(permutations(("n1", "n2", "n3"))))
def test_founders_that_start_one_after_another_found(order: tuple[str, ...]) -> None:
    scene = Scene(1, members=SETTINGS, absent=("n1", "n2", "n3"))
    for name in order:
        scene.network.start(Peer(name))
        scene.run(1500)
    assert len(scene.leading) == 1
    for name in order:
        assert scene.network.replica(Peer(name)).status().stalled is None
        assert not scene.network.processes[Peer(name)].disk.suspect
    scene.network.kill(scene.leader)
    scene.run(2000)
    kept(scene)


def test_an_empty_founder_votes_for_a_log_of_which_nothing_was_committed(hand: type[Hand]) -> None:
    """Its first leader fell before anything committed: else a founding that was begun could not be ended."""
    node = hand()
    node.hears("n2", Known(0, 0, 0, 0))
    node.wait(500)
    node.said.clear()
    node.hears("n2", AskVote(4, 2, 3))
    node.sync()
    assert node.take(Vote, "n2")


def test_a_founder_that_was_there_from_the_beginning_votes_though_it_never_got_an_entry(hand: type[Hand]) -> None:
    """It was cut off at once, and restarted; the leader is lost for good before it brings this one up.

    Seed 4 of the profile snapshots: else those two of three could elect nobody.
    """
    node = hand(members=SETTINGS)
    node.hears("n2", Known(1, 0, 0, 0))
    node.sync()
    node = node.crash()
    node.hears("n3", Known(9, 3, 0, 0))
    node.sync()
    assert node.replica.status().stalled is None
    node.wait(500)
    votes_for_all_that_is_known(node)


def test_a_word_of_who_has_no_vote_does_not_show_that_a_founder_is_one(hand: type[Hand]) -> None:
    """A new node has heard of nothing either, and dials the founders as soon as it is started."""
    node = hand(members=SETTINGS)
    node.hears("n4", Known(1, 0, 0, 0))
    node.hears("n3", Known(9, 3, 0, 0))
    assert "was empty" in str(node.replica.status().stalled)


def test_a_founder_that_comes_late_takes_part_as_soon_as_a_leader_has_brought_it_up(hand: type[Hand]) -> None:
    node = hand(members=SETTINGS)
    node.hears("n2", Known(2, 3, 0, 0))
    assert node.ready is not None
    assert node.ready.ticket is not None, "durable before any promise: a power cut must not let it vote"
    node.sync()
    assert "was empty" in str(node.replica.status().stalled)
    node = node.crash()  # over a restart too
    assert "was empty" in str(node.replica.status().stalled)
    node.hears("n2", Append(3, 2, 1, 0, ((b"\x01", 2, 3),), 50, 3))
    node.sync()
    assert node.replica.status().stalled is None
    assert node.role is Role.FOLLOWER


@pytest.mark.parametrize("heard", [False, True])
def test_an_empty_founder_that_an_operator_vouched_for_stays_so_whatever_it_hears(
    hand: type[Hand], *, heard: bool
) -> None:
    """It was doubted as its folder had been moved, before it heard of anybody: it was doubted again by the first word
    that something was committed, and it had been said that it takes part in elections (review of 2026-11-30).
    """
    node = hand(members=SETTINGS)
    if heard:
        node.hears("n2", Known(2, 3, 0, 0))
        node.sync()
    node.store.doubt()
    node.store.commit()
    node = again(hand, node)
    assert "was empty" in str(node.replica.status().stalled)
    vouch(node.store)
    node.store.commit()
    node = again(hand, node)
    for _ in range(2):
        node.hears("n2", Known(9, 3, 0, 0))
        node.sync()
        assert node.replica.status().stalled is None
        node = again(hand, node)
    node.wait(700)
    votes_for_all_that_is_known(node)


def votes_for_all_that_is_known(node: Hand) -> None:
    """It was told of entry 9 of term 3: whoever asks for its vote must have that."""
    node.hears("n3", AskVote(4, 8, 3))
    node.sync()
    assert not node.take(Vote), "for no log that lacks what is known"
    node.hears("n3", AskVote(5, 9, 3))
    node.sync()
    assert node.take(Vote, "n3")


def again(hand: type[Hand], node: Hand) -> Hand:
    """Stopped and started, all of it synced."""
    node.store.sync()
    disk = node.store.crash()
    disk.opened = False
    return hand(disk=disk, members=SETTINGS)


def test_an_operator_s_word_says_nothing_of_what_a_log_holds_or_owes(hand: type[Hand]) -> None:
    node = hand(members=SETTINGS)
    node.hears("n2", Known(2, 3, 7, 3))
    node.sync()
    before = node.store.memory()
    assert before.owed == (3, 7)
    vouch(node.store)
    assert node.store.memory() == before
    assert "has acknowledged entry 7" in str(again(hand, node).replica.status().stalled)


def test_who_never_had_a_vote_is_careful_whoever_vouched_for_it(hand: type[Hand]) -> None:
    """A joined node's second folder looks as its first one did."""
    node = hand(N4, NAMES[:3], members=SETTINGS)
    vouch(node.store)
    node.store.commit()
    node.store.sync()
    disk = node.store.crash()
    disk.opened = False
    node = hand(N4, NAMES[:3], disk=disk, members=SETTINGS)
    node.sync()
    assert node.store.suspect


def test_a_folder_in_doubt_is_taken_for_a_copy_until_it_is_attested(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "n", "c", Peer("n1"), first_start=True)
    store.doubt()
    assert store.suspect
    store.close()
    store = RocksStore(tmp_path / "n", "c", Peer("n1"))
    assert not store.suspect, "it was not committed"
    store.doubt()
    store.commit()
    store.close()
    for _ in range(2):
        store = RocksStore(tmp_path / "n", "c", Peer("n1"))
        assert store.suspect
        store.close()
    store = RocksStore(tmp_path / "n", "c", Peer("n1"))
    store.attest()
    store.commit()
    store.close()
    store = RocksStore(tmp_path / "n", "c", Peer("n1"))
    assert not store.suspect
    store.close()
