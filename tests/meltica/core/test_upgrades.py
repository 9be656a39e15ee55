"""Upgrades and faults in the core: reports, versions, approvals, isolated entries."""

from __future__ import annotations

from typing import Any

import pytest

from meltica.core import commands as c
from meltica.core.apply import ROOMS, apply_entry, isolate_entry
from meltica.core.apply_upgrades import APPROVER, CAUSE, MAX_APPROVALS, OPERATOR
from meltica.core.codec import encode_command
from meltica.core.events import Rejection
from meltica.core.reports import api_of, read, written
from meltica.core.rules import Rules, TooOld
from meltica.core.state import State
from meltica.core.values import Epoch, Index, Nanos, NodeName
from tests.meltica.core.harness import Hand, by, stored

ZERO = (Epoch(0), Nanos(0))
DIGEST = "d" * 64


def report(node: str, oldest: int = 1, newest: int = 2, build: str = "B") -> c.NodeReport:
    return c.NodeReport(NodeName(node), build, "config", oldest, newest)


def crew(*reports: c.NodeReport) -> c.NodesReported:
    return c.NodesReported(*ZERO, reports)


def activate(version: int, request: str = "v") -> c.ActivateVersion:
    return c.ActivateVersion(*ZERO, version, "B", by(request))


class NewHand(Hand):
    """A build that has two versions; in the second nobody halts."""

    rules = Rules({1: ROOMS, 2: {**ROOMS, c.Halt: lambda _turn, _command: Rejection("never", "version 2")}})

    def entry(self, *commands: bytes, term: int | None = None) -> Any:
        index, term = Index(self.state.index + 1), Epoch(self.epoch if term is None else term)
        self.log.append((index, term, commands))
        return apply_entry(self.state, index, term, commands, self.rules)


def begun(cls: type[Hand] = NewHand) -> Hand:
    hand = cls()
    hand.start()
    return hand


def test_a_version_is_activated_once_every_node_has_it_and_decides_from_the_next_command_on() -> None:
    hand = begun()
    hand.refused(activate(2, "a"), "not_reported")
    hand.ok(crew(report("n1"), report("n2", newest=1), report("n3")))
    hand.refused(activate(2, "b"), "not_supported")
    hand.ok(crew(report("n1"), report("n2", 0, 0, ""), report("n3")))
    hand.refused(activate(2, "c"), "not_supported")
    hand.ok(crew(report("n1"), report("n2"), report("n3")))
    hand.refused(activate(3, "d"), "bad_version")
    hand.refused(activate(1, "e"), "bad_version")
    before, now, after = hand.many(c.Halt(*ZERO, "x"), activate(2, "f"), c.Halt(*ZERO, "y"))
    assert before.accepted
    assert now.accepted
    assert after.rejection is not None
    assert after.rejection.code == "never"
    assert hand.state.version == 2
    disk = stored(hand.state.take_changes(), {})
    assert State.load(sorted(disk.items())).version == 2


def test_who_takes_part_in_an_epoch_never_changes_its_place_in_it() -> None:
    """The ids of the mandate are shared out by it, by nodes that know more or less of the log."""
    hand = begun()
    hand.refused(c.NodesReported(*ZERO, ()), "bad_report")
    hand.ok(crew(report("n1"), report("n2"), report("n3")))
    assert (hand.state.epochs[Epoch(1)].members, hand.state.epochs[Epoch(1)].late) == ((), ("n1", "n2", "n3"))
    names = (NodeName("n3"), NodeName("n1"), NodeName("n2"), NodeName("n1"))
    hand.epoch = Epoch(2)
    hand.ok(c.EpochStarted(*ZERO, NodeName("n1"), "election", "B", names))
    assert (hand.state.epochs[Epoch(2)].members, hand.state.epochs[Epoch(2)].late) == (("n1", "n2", "n3"), ())
    hand.ok(crew(report("n1"), report("n2"), report("n4")))
    hand.ok(crew(report("a"), report("n1"), report("n4")))
    found = hand.state.epochs
    assert (found[Epoch(2)].members, found[Epoch(2)].late) == (("n1", "n2", "n3"), ("n4", "a"))
    assert found[Epoch(1)].late == ("n1", "n2", "n3", "n4", "a"), "of an older epoch's mandate, too"
    assert hand.state.epoch == found[Epoch(2)]
    for at in range(10, 20):
        hand.ok(crew(report(f"n{at}")))
    assert found[Epoch(2)].late == ("n4", "a", *[f"n{at}" for at in range(10, 16)])
    disk = stored(hand.state.take_changes(), {})
    again = State.load(sorted(disk.items()))
    assert (again.epochs, again.epoch) == (found, found[Epoch(2)])
    many = tuple([NodeName(f"n{at:02}") for at in range(99)])
    hand.epoch = Epoch(3)
    hand.ok(c.EpochStarted(*ZERO, NodeName("n1"), "election", "B", many))
    assert found[Epoch(3)].members == many[:16]


def test_a_node_too_old_for_the_version_raises_and_says_which_build_it_needs() -> None:
    hand = begun(Hand)
    hand.ok(crew(report("n1")))
    with pytest.raises(TooOld, match=r"version 2 of apply.*none beyond 1: start build B or a newer one"):
        hand.do(activate(2))
    other = begun()
    other.ok(crew(report("n1")))
    other.ok(activate(2))
    other.rules = Rules({1: ROOMS})  # type: ignore[attr-defined] # an older build
    with pytest.raises(TooOld, match="start a newer build"):
        other.do(c.Halt(*ZERO, "x"))


def test_a_command_that_a_version_does_not_know_is_garbage_to_it_on_every_build() -> None:
    rooms = {kind: room for kind, room in ROOMS.items() if kind is not c.ApproveBuild}
    command = encode_command(c.ApproveBuild(Epoch(1), Nanos(5), "B", "config"))
    states = []
    for raw in (command, command.replace(b"approve_build", b"approve_bulid")):  # what no build knows
        hand = Hand()
        hand.start()
        clock = hand.state.clock
        (result,) = apply_entry(hand.state, Index(2), Epoch(1), (raw,), Rules({1: rooms}))
        assert result.kind == "garbage"
        assert hand.state.clock == clock
        states.append(hand.state.meta().sum)
    assert states[0] == states[1]


@pytest.mark.parametrize("names", [(), ("n2", "n1"), ("n1", "n1"), tuple(f"m{n:02d}" for n in range(17))])
def test_a_report_that_is_none(names: tuple[str, ...]) -> None:
    begun().refused(crew(*[report(name) for name in names]), "bad_report")


def test_the_first_approval_needs_nobody_and_the_others_an_operator() -> None:
    hand = begun()
    assert hand.state.approved.covers("anything", "at all"), "before the first start"
    hand.ok(c.ApproveBuild(*ZERO, "A", "config"))
    assert not hand.state.approved.covers("B", "config")
    hand.refused(c.ApproveBuild(*ZERO, "B", "config"), "needs_operator")
    hand.refused(c.ApproveBuild(*ZERO, "", "config", by=by("r0")), "bad_approval")
    hand.ok(c.ApproveBuild(*ZERO, "B", "config", by=by("r1")))
    assert hand.state.approved.covers("A", "config")
    assert hand.state.approved.covers("B", "config")
    assert not hand.state.approved.covers("B", "other")
    hand.ok(c.ApproveBuild(*ZERO, "B", "config", only=True, by=by("r2")))
    assert not hand.state.approved.covers("A", "config")
    for number in range(20):
        hand.ok(c.ApproveBuild(*ZERO, f"C{number}", "config", by=by(f"many{number}")))
    assert len(hand.state.approved.approvals) == MAX_APPROVALS


def isolated(hand: Hand) -> Index:
    """The next entry, of two commands that nobody may read, is isolated."""
    index = Index(hand.state.index + 1)
    results = isolate_entry(hand.state, index, hand.epoch, (b"\xff", b"{}"), digest=DIGEST)
    assert [(result.kind, result.accepted, result.effects) for result in results] == [("isolated", False, ())] * 2
    return index


def test_an_isolated_entry_leaves_nothing_but_its_name() -> None:
    hand = begun()
    before, chain = hand.state.risk, hand.state.chain
    index = isolated(hand)
    assert hand.state.index == index
    assert hand.state.chain != chain, "the audit trail has it"
    assert hand.state.risk == before
    assert (hand.state.isolated[index].digest, hand.state.isolated[index].commands) == (DIGEST, 2)
    disk = stored(hand.state.take_changes(), {})
    again = State.load(sorted(disk.items()))
    assert again.isolated == hand.state.isolated
    assert again.digest() == hand.state.digest()


def test_who_asked_for_a_change_of_who_takes_part_is_on_record_and_changes_nothing() -> None:
    hand = begun()
    before = hand.state.digest()
    result = hand.ok(c.MembersAsked(*ZERO, NodeName("n3"), NodeName("n4"), "n4:7400", "learns", by("r1")))
    assert result.kind == "members_asked"
    assert before != hand.state.digest()  # of its request alone
    hand.refused(c.MembersAsked(*ZERO, NodeName("n3"), NodeName("n3"), "n4:7400", "learns", by("r2")), "bad_members")


def skip(index: int, role: str, digest: str = DIGEST, request: str = "s") -> c.SkipEntry:
    return c.SkipEntry(*ZERO, Index(index), digest, role, by(request))


def test_a_skip_names_what_was_isolated_or_has_no_effect() -> None:
    hand = begun()
    hand.refused(skip(1, OPERATOR, request="a"), "not_stopped")
    index = isolated(hand)
    hand.refused(skip(index, OPERATOR, "e" * 64, "b"), "other_entry")
    assert hand.state.risk.halts == {}
    hand.ok(skip(index, OPERATOR, request="c"))
    assert CAUSE in hand.state.risk.halts
    at = hand.state.risk.index
    hand.ok(skip(index, APPROVER, request="d"))
    assert hand.state.risk.halts[CAUSE].index == at, "one halt for both"


def test_a_skip_is_of_its_own_term_and_neither_waits_for_an_epoch_nor_moves_the_clock() -> None:
    hand = begun()
    index = isolated(hand)
    clock = hand.state.clock
    late = Nanos(clock + 10**18)
    old = encode_command(c.SkipEntry(Epoch(1), late, index, DIGEST, OPERATOR, by("x")))
    new = encode_command(c.SkipEntry(Epoch(2), late, index, DIGEST, OPERATOR, by("y")))
    first, second = hand.entry(old, new, term=2)
    assert first.rejection is not None
    assert first.rejection.code == "not_own_term"
    assert second.accepted, "the stopped leader's epoch has not started yet"
    assert hand.state.clock == clock


def test_a_report_is_read_back_and_whatever_else_is_none() -> None:
    assert read(written(report("n1"))) == read(written(report("n1"), "https://n1:1")) == report("n1")
    assert (api_of(written(report("n1"), "https://n1:1")), api_of(written(report("n1"))), api_of(b"")) == (
        "https://n1:1",
        "",
        "",
    )
    for raw in (b"", b"{}", b"\xff", b'{"build":1}', written(report("n1")) + b" "):
        assert read(raw) is None
