"""What a folder was begun with: configuration 0, kept from the first start on; then two schedules that broke it.

[peers] was read at every start and kept nowhere.  Who edited it, to make five nodes of three or three of five, had two
groups of one cluster, each with a leader of the same term, and both acknowledged entries of the same index.
"""

from __future__ import annotations

import pytest

from cluster.journal import JournalFault
from cluster.members import AddLearner, Configuration, Member, Remove, encode, follow
from cluster.types import LogIndex, Peer
from cluster.wire import NO_OP, Ack, Append
from tests.cluster.conftest import Hand, Scene

N1, N2, N3, N4, N5 = NAMES = tuple(Peer(f"n{number}") for number in range(1, 6))
MEMBERS = {name: Member(name, f"{name}:7400") for name in NAMES}
THREE = Configuration(0, tuple([MEMBERS[name] for name in NAMES[:3]]))
FIVE = Configuration(0, tuple([MEMBERS[name] for name in NAMES]))
MOVED = Configuration(0, tuple([Member(name, f"{name}.elsewhere:7400") for name in NAMES[:3]]))
LEARNS = follow(THREE, AddLearner(MEMBERS[N4]))


def kept(node: Hand) -> list[tuple[int, bytes]]:
    """What is stored of who takes part."""
    return [(int(index), entry) for index, entry in node.store.places()]


def follows(node: Hand, *commands: bytes, first: int = 2, term: int = 3, commit: int = 1) -> None:
    """It follows n2, with these entries from there on."""
    entries = tuple((command, first + place, term) for place, command in enumerate(commands))
    node.hears(N2, Append(term, commit, first - 1, 0 if first == 2 else term, entries, node.now))
    node.sync()


# One node


def test_the_first_start_keeps_it_before_anything_is_promised(hand: type[Hand]) -> None:
    node = hand(members=THREE)
    assert kept(node) == [(0, encode(THREE))]
    assert kept(node.crash(keep=0)) == [(0, encode(THREE))]


def test_a_folder_of_before_keeps_it_from_its_next_start_on_and_promises_nothing_earlier(hand: type[Hand]) -> None:
    old = hand(members=THREE)
    follows(old, NO_OP, b"a")
    disk = old.store.crash()
    disk.places = ()  # as a release left it that kept nothing
    disk.opened = False
    node = hand(disk=disk, members=THREE)
    assert kept(node) == [(0, encode(THREE))]
    with pytest.raises(JournalFault, match="begun with n1, n2, n3"):
        hand(disk=node.store.crash(), members=FIVE)


def test_what_is_promised_waits_for_its_sync(hand: type[Hand], monkeypatch: pytest.MonkeyPatch) -> None:
    disk = hand(members=THREE).store.crash()
    disk.places = ()
    with monkeypatch.context() as patched:
        patched.setattr(Hand, "sync", lambda _self: None)  # the disk takes its time
        node = hand(disk=disk, members=THREE)
        node.hears(N2, Append(0, 1, 1, 0, (), node.now))
        assert not [said for said in node.take(Ack) if isinstance(said, Ack) and said.success]
    node.sync()
    assert [said for said in node.take(Ack) if isinstance(said, Ack) and said.success]


@pytest.mark.parametrize("others", [FIVE, Configuration(0, (MEMBERS[N1], MEMBERS[N2], MEMBERS[N4]))])
def test_other_names_are_refused_with_what_to_do_and_the_folder_stays_as_it_is(
    hand: type[Hand], others: Configuration
) -> None:
    disk = hand(members=THREE).store.crash()
    said = ", ".join(others.voting)
    with pytest.raises(
        JournalFault, match=rf"begun with n1, n2, n3 .*names {said}: .*Put \[peers\] back to n1, n2, n3"
    ):
        hand(disk=disk, members=others)
    disk.crash()
    assert hand(disk=disk, members=THREE).replica.status().configuration == 0


def test_who_was_begun_with_wrong_names_is_told_the_way_out(hand: type[Hand]) -> None:
    """A typo in [peers] at its first start: to put it back would help nobody (review of 2026-11-30)."""
    disk = hand(members=Configuration(0, (MEMBERS[N1], MEMBERS[N2], MEMBERS[N5]))).store.crash()
    with pytest.raises(JournalFault) as told:
        hand(disk=disk, members=THREE)
    assert "If these names were wrong from the beginning" in str(told.value)
    assert "(`meltica cluster prepare`, `replace`)" in str(told.value)
    assert "where no leader ever was, found the cluster anew (`meltica cluster create`)" in str(told.value)


def test_other_addresses_of_the_same_nodes_are_taken_and_kept(hand: type[Hand]) -> None:
    disk = hand(members=THREE).store.crash()
    node = hand(disk=disk, members=MOVED)
    roster = node.replica.roster
    assert roster is not None
    assert [one.address for one in roster.members] == [f"{name}.elsewhere:7400" for name in NAMES[:3]]
    assert kept(node) == [(0, encode(MOVED))]


def test_the_same_settings_again_write_nothing(hand: type[Hand]) -> None:
    disk = hand(members=THREE).store.crash()
    ticket = disk.ticket
    hand(disk=disk, members=THREE, linked=False)
    assert disk.ticket == ticket


def test_once_the_log_says_it_the_settings_may_name_anybody(hand: type[Hand]) -> None:
    node = hand(members=THREE)
    follows(node, NO_OP, encode(LEARNS), commit=3)
    node = hand(disk=node.store.crash(), members=Configuration(0, (MEMBERS[N1], MEMBERS[N2], MEMBERS[N4])))
    assert node.replica.status().configuration == 1
    follows(node, encode(follow(LEARNS, Remove(N3))), first=4, commit=3)
    assert node.replica.status().configuration == 2


def test_what_was_taken_back_leaves_what_the_folder_was_begun_with_whatever_the_settings_say(hand: type[Hand]) -> None:
    node = hand(members=THREE)
    follows(node, NO_OP, encode(LEARNS))
    disk = node.store.crash()
    node = hand(disk=disk, members=FIVE)  # by the log alone, of which the last entry may go
    follows(node, NO_OP, first=2, term=4, commit=2)
    assert node.replica.members == THREE
    assert kept(node) == [(0, encode(THREE))]
    with pytest.raises(JournalFault, match="begun with"):
        hand(disk=node.store.crash(), members=FIVE)


def test_one_that_joins_keeps_who_founded_the_cluster_and_learns_the_rest_from_the_log(hand: type[Hand]) -> None:
    node = hand("n4", ("n1", "n2", "n3"), members=THREE)
    assert kept(node) == [(0, encode(THREE))]
    follows(node, NO_OP, encode(LEARNS), commit=3)
    assert kept(node)[-1] == (LogIndex(3), encode(LEARNS))
    with pytest.raises(JournalFault, match="begun with"):  # another, that no log has spoken of, made a voter by hand
        hand("n5", ("n1", "n2", "n3"), hand("n5", ("n1",), members=THREE).store.crash(), members=FIVE)


# Whole clusters


def part(found: Scene) -> None:
    """n1 and n2 on one side, n3 to n5 on the other."""
    for one in (N1, N2):
        for other in (N3, N4, N5):
            found.network.cut(one, other)
            found.network.cut(other, one)


def refused(found: Scene, name: Peer) -> None:
    with pytest.raises(JournalFault, match="begun with"):
        found.network.start(name)
    found.network.processes[name].disk.opened = False  # its process has ended


def test_three_of_five_by_their_settings_are_no_second_group(scene: type[Scene]) -> None:
    """n1 and n2, restarted with [peers] of three, were elected by two, beside the three others of five."""
    found = scene(7, names=NAMES, members=FIVE)
    for name in (N1, N2):
        found.network.kill(name, power=False)
    part(found)
    found.network.set_members(THREE)
    for name in (N1, N2):
        refused(found, name)
    found.run(2000)
    assert found.leader in {N3, N4, N5}
    found.propose(found.leader, b"x")
    found.run(300)
    assert list(found.acknowledged.values()) == [(b"x",)]
    found.network.set_members(FIVE)
    found.network.heal_all()
    for name in (N1, N2):
        found.network.start(name)
    found.run(1000)
    assert {name for _, name, entry in found.applied if entry.commands == (b"x",)} == {*NAMES}
    assert not found.faults


def test_five_of_three_by_their_settings_are_no_second_group(scene: type[Scene]) -> None:
    """n3, restarted with [peers] of five, was a majority with two new nodes, and lacked what n1 and n2 had."""
    found = scene(7, names=NAMES, members=THREE, absent=("n4", "n5"))
    found.network.kill(N3, power=False)
    found.run(500)
    first = found.leader
    found.propose(first, b"x")
    found.run(300)
    assert list(found.acknowledged.values()) == [(b"x",)]
    part(found)
    found.network.set_members(FIVE)
    refused(found, N3)
    for name in (N4, N5):
        found.network.start(name)
    found.run(3000)
    assert found.leading == [first]  # n4 and n5 are two of five
    found.network.set_members(THREE)
    found.network.start(N3)
    found.run(3000)
    assert found.leading == [first]  # n3 counts neither, and votes for no log that lacks what it has
    found.network.heal_all()
    found.run(1000)
    assert {name for _, name, entry in found.applied if entry.commands == (b"x",)} >= {N1, N2, N3}
    assert not found.faults
