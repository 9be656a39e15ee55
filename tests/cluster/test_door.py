"""Who may connect, by the names in a certificate."""

from __future__ import annotations

import pytest

from cluster.adopted import Adopted, Placed
from cluster.door import MAX_GUESTS, Door, Stranger, Unwelcome
from cluster.members import AddLearner, Change, Configuration, Member, Promote, Remove, follow
from cluster.roster import Roster, roster_of
from cluster.types import Peer

N1, N2, N3, N4 = (Peer(f"n{number}") for number in range(1, 5))
PIN = b"p" * 32
MEMBERS = {name: Member(name, f"{name}:7400") for name in (N1, N2, N3, N4)}
SETTINGS = Configuration(0, (MEMBERS[N1], MEMBERS[N2], MEMBERS[N3]))
OPEN = Door(N1, (N2, N4), Roster((MEMBERS[N2], Member(N4, "n4:1", PIN)), frozenset({N3})))


def who(door: Door, *names: str, fingerprint: bytes = b"", inside: tuple[Peer, ...] = (), guests: int = 0) -> Peer:
    return door.who(names, fingerprint, inside, guests)


@pytest.mark.parametrize("name", ["n1", "n3", "n9", "operator", "localhost"])
def test_a_fixed_set_is_all_that_there_is(name: str) -> None:
    door = Door(N1, (N2,))
    assert who(door, "n2", "localhost") == N2
    with pytest.raises(Stranger, match=rf"names {name}, which is none of the peers \(n2\)"):
        who(door, name)


def test_members_come_in_and_so_does_any_other_node_of_the_cluster() -> None:
    assert who(OPEN, "n2", "localhost") == N2
    assert who(OPEN, "n9", "localhost") == "n9"
    assert who(OPEN, "n9.example.com", "n9") == "n9"


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["n1", "localhost"], "this node itself"),
        (["operator"], "names operator: not one node"),
        (["localhost"], "not one node"),
        ([], "names nobody"),
        (["n8", "n9"], "names n8 n9: not one node"),
        (["N9"], "not one node"),
    ],
)
def test_what_is_no_other_node_does_not(names: list[str], why: str) -> None:
    with pytest.raises(Stranger, match=why) as told:
        who(OPEN, *names)
    assert not isinstance(told.value, Unwelcome)


def test_a_removed_node_is_told_that_it_was_whatever_else_its_certificate_names() -> None:
    for names in (["n3", "localhost"], ["n3", "n9"]):
        with pytest.raises(Unwelcome, match=r"^n3 was removed from this cluster .* stop this node"):
            who(OPEN, *names)


def test_a_pinned_member_needs_its_very_certificate() -> None:
    assert who(OPEN, "n4", fingerprint=PIN) == N4
    with pytest.raises(Stranger, match=f"not the one that n4 was added with: SHA-256 {(b'q' * 32).hex()}"):
        who(OPEN, "n4", fingerprint=b"q" * 32)
    OPEN.check_pin(N2, b"q" * 32)
    OPEN.check_pin(Peer("n9"), b"q" * 32)


def test_so_many_guests_and_no_more_but_one_that_is_here_comes_again() -> None:
    assert who(OPEN, "n9", guests=MAX_GUESTS - 1) == "n9"
    assert who(OPEN, "n9", guests=MAX_GUESTS, inside=(Peer("n9"),)) == "n9"
    assert who(OPEN, "n2", guests=MAX_GUESTS) == N2
    with pytest.raises(Stranger, match="n9 is one more"):
        who(OPEN, "n9", guests=MAX_GUESTS)


# The roster that a book makes


def book(*changes: Change) -> tuple[Adopted, list[Configuration]]:
    """Entries 2, 3 and so on."""
    made = [SETTINGS]
    for change in changes:
        made.append(follow(made[-1], change))
    return Adopted(Placed(0, SETTINGS), *[Placed(place, one) for place, one in enumerate(made[1:], 2)]), made


def names(roster: Roster) -> list[str]:
    return [member.name for member in roster.members]


def test_members_are_those_of_what_is_committed_and_of_all_behind_it() -> None:
    found, _ = book(AddLearner(MEMBERS[N4]), Promote(N4), Remove(N3))
    assert [(names(roster_of(found, commit)), set(roster_of(found, commit).removed)) for commit in range(1, 5)] == [
        (["n1", "n2", "n3", "n4"], set()),
        (["n1", "n2", "n3", "n4"], set()),
        (["n1", "n2", "n3", "n4"], set()),
        (["n1", "n2", "n4"], {N3}),
    ]


def test_one_whose_coming_was_taken_back_is_a_member_no_more_and_is_not_refused() -> None:
    found, _ = book(AddLearner(MEMBERS[N4]))
    assert names(roster_of(found, 1)) == ["n1", "n2", "n3", "n4"]
    found.truncated(2)
    assert roster_of(found, 1) == Roster(SETTINGS.voters)
