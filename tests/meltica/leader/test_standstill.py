"""Standstill: what happens while apply stands on the active node is made good once it goes on; a dispute stays shut."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve

from cluster.types import ApplyStop, LogIndex, NotLeader, Peer, Role, RoleChanged, Status, Term
from meltica.core import commands as c
from meltica.core.ids import make_id
from meltica.core.orders import OrderState
from meltica.core.values import ClientOrderId, Epoch, Index, Nanos, Price, Quantity, Side, Trading
from meltica.leader.ports import Done, Order
from meltica.venues.base import Accepted, Answer, PublicTrade, ReadKind, Refused, Unknown
from tests.meltica.leader.world import ACCOUNT, MS, QUOTER, SYMBOL, VENUE, Idle, Node, S, World, by, submit

ONE, LOW = Quantity(Decimal("0.01")), Price(Decimal(59_000))


def says(node: Node, **changes: Any) -> None:
    """Replication says so of `node`, which leads."""
    now: Status = evolve(type(node.cluster).status(node.cluster), **changes)
    node.cluster.status = lambda: now  # type: ignore[method-assign] # what it says from here on
    node.call("on_role", RoleChanged(Role.LEADER, Term(node.world.term), Peer(node.name), "told"))


def stands(node: Node, *, stands: bool) -> None:
    says(node, stopped=ApplyStop(LogIndex(99), Term(1), "d" * 64, "KeyError: 'x'") if stands else None)


def resting(world: World) -> ClientOrderId:
    handle = world.made[0].contexts[0].limit(SYMBOL, Side.BUY, ONE, LOW)  # type: ignore[attr-defined] # Idle has them
    world.run(50 * MS)
    assert handle.order is not None
    return handle.order


@pytest.mark.parametrize("answer", [Unknown("the connection closed"), Refused("-2011", "Unknown order sent.")])
def test_a_cancel_whose_answer_came_while_apply_stood_is_sent_again(answer: Answer) -> None:
    world = World(Idle)
    node = world.start()
    name = resting(world)
    world.exchange.arrive = lambda *_: None  # type: ignore[method-assign] # this cancel is lost on its way
    world.made[0].contexts[0].cancel(name)  # type: ignore[attr-defined] # Idle has them
    world.run(20 * MS)
    del world.exchange.arrive
    (cancel,) = node.state.orders[name].cancels
    stands(node, stands=True)
    node.port.answer(cancel, answer)
    world.run(100 * MS)
    stands(node, stands=False)
    world.run(node.settings.answer_backstop + 2 * S)
    assert world.exchange.open() == [], "it counted as in flight for the rest of the epoch"
    assert node.state.orders[name].state is OrderState.CANCELLED


def test_a_submit_whose_refusal_came_while_apply_stood_ends_as_dead() -> None:
    world = World(Idle)
    node = world.start()
    world.exchange.answers = "lose"
    name = resting(world)
    world.exchange.answers = "answer"
    stands(node, stands=True)
    node.port.answer(name, Refused("-2010", "Account has insufficient balance for requested action."))
    world.run(100 * MS)
    stands(node, stands=False)
    world.run(40 * S)
    assert node.state.orders[name].state is OrderState.DEAD
    assert len(world.exchange.written) == 1


def asked_as_apply_stops(world: World, *, strange: bool) -> Node:
    """One order's read, of a doubt or of a stranger, is on its way as apply stops; its answer comes while it stands."""
    node = world.nodes["n1"]
    node.port.read_latency = Nanos(50 * MS)
    asked = len(node.port.reads)
    for _ in range(400):
        world.run(10 * MS)
        about = [each for each in node.port.reads[asked:] if each.kind is ReadKind.ORDER]
        if any(not each.order_ids for each in about) if strange else about:
            break
    else:
        raise AssertionError("nobody asked")
    stands(node, stands=True)
    world.run(5 * S)
    return node


def test_a_doubt_that_was_asked_about_as_apply_stopped_is_asked_about_again() -> None:
    world = World(Idle)
    world.start()
    world.exchange.answers, world.exchange.report = "drop", False
    name = resting(world)
    node = asked_as_apply_stops(world, strange=False)
    about = [each for each in node.port.reads if each.kind is ReadKind.ORDER]
    assert len(about) == 1, "nothing is asked while it stands"
    stands(node, stands=False)
    world.run(5 * S)
    assert node.state.orders[name].state is OrderState.OPEN
    assert not node.leader.status().blocked


@pytest.mark.parametrize("ours", [False, True])
def test_a_stranger_that_was_asked_about_as_apply_stopped_is_asked_about_again(*, ours: bool) -> None:
    world = World(Idle)
    node = world.start()
    world.exchange.answers, world.exchange.report = "lose", False
    name = resting(world)  # its doubt may be the stranger's trade, as long as nobody knows whose that is
    world.exchange.answers = "answer"
    shown = world.exchange.add_foreign("59000")
    if ours:
        strange = make_id(node.state.cluster, Epoch(1), Index(7), 9)
        world.exchange.orders[shown.venue_order_id].shown = evolve(shown, placed_as=strange, shown_as=strange)
    world.exchange.fill(shown.venue_order_id, "0.004", tell=False)
    node.leader.on_stream_gap(VENUE, "so that the trades are read")
    asked_as_apply_stops(world, strange=True)
    stands(node, stands=False)
    world.run(40 * S)
    assert not node.leader.status().blocked
    assert node.state.orders[name].state is OrderState.DEAD
    assert node.state.position_of((VENUE, ACCOUNT, SYMBOL)).traded == Decimal("0.004" if ours else 0)


def test_what_was_reported_in_the_entry_that_is_passed_over_is_reported_again() -> None:
    world = World(Idle)
    node = world.start()
    shown = world.exchange.add_foreign()
    name = make_id(node.state.cluster, Epoch(1), Index(7), 9)
    world.exchange.orders[shown.venue_order_id].shown = evolve(shown, placed_as=name, shown_as=name)
    propose = node.cluster.propose

    def isolated(command: c.Command, on_outcome: Any) -> None:
        if not isinstance(command, c.Discrepancy):
            propose(command, on_outcome)

    node.cluster.propose = isolated  # type: ignore[method-assign] # its entry is the one that nobody can apply
    world.run(20 * S)
    node.cluster.propose = propose  # type: ignore[method-assign] # as it was
    assert node.state.risk.trading is Trading.RUNNING
    stands(node, stands=True)
    world.run(100 * MS)
    stands(node, stands=False)
    world.run(1 * S)
    assert node.state.risk.trading is Trading.REDUCING


def test_a_send_whose_answer_never_comes_is_looked_up_and_its_order_cancelled_again() -> None:
    world = World(Idle)
    node = world.start()
    name = resting(world)
    world.exchange.arrive = lambda *_: None  # type: ignore[method-assign] # an adapter that breaks its word
    world.made[0].contexts[0].cancel(name)  # type: ignore[attr-defined] # Idle has them
    world.run(20 * MS)
    del world.exchange.arrive
    world.run(node.settings.answer_backstop)
    assert world.exchange.open()
    world.run(2 * S)
    assert world.exchange.open() == []
    (first, *_) = node.state.orders[name].cancels
    node.port.answer(first, Accepted(next(iter(world.exchange.orders.values())).shown.venue_order_id, "cancelled", ONE))
    assert len(world.exchange.written) == len(set(world.exchange.written))


class Raises(Idle):
    saved = ""

    def on_trade(self, context: Any, trade: Any) -> None:
        raise RuntimeError("boom")

    def checkpoint(self) -> str:
        return self.saved


def test_a_strategy_that_fails_while_apply_stands_is_stopped_in_the_log_once_it_goes_on() -> None:
    world = World(Raises)
    node = world.start()
    resting(world)
    stands(node, stands=True)
    node.leader.on_market(VENUE, PublicTrade(SYMBOL, LOW, ONE, False, world.now))
    world.run(100 * MS)
    stands(node, stands=False)
    world.run(1 * S)
    assert node.state.strategies[QUOTER].stopped == "on_trade raised RuntimeError: boom"
    assert world.exchange.open() == [], "nobody speaks for them"


def test_what_replication_refused_as_apply_stopped_is_proposed_again_once_it_goes_on() -> None:
    world = World(Raises)
    node = world.start()
    resting(world)
    propose = node.cluster.propose
    node.cluster.propose = lambda _command, on_outcome: on_outcome(NotLeader(None))  # type: ignore[method-assign] # as it stops
    node.leader.on_market(VENUE, PublicTrade(SYMBOL, LOW, ONE, False, world.now))
    node.cluster.propose = propose  # type: ignore[method-assign] # as it was
    stands(node, stands=True)
    world.run(500 * MS)
    assert not node.state.strategies[QUOTER].stopped
    stands(node, stands=False)
    world.run(100 * MS)
    assert node.state.strategies[QUOTER].stopped
    assert world.exchange.open() == []


def test_a_checkpoint_that_was_made_while_apply_stood_is_saved_once_it_goes_on() -> None:
    world = World(Raises)
    node = world.start()
    stands(node, stands=True)
    Raises.saved = "seven"
    try:
        world.run(node.settings.checkpoint_every + 100 * MS)
        assert node.state.strategies[QUOTER].checkpoint == ""
        stands(node, stands=False)
        world.run(node.settings.checkpoint_every + 100 * MS)
    finally:
        Raises.saved = ""
    assert node.state.strategies[QUOTER].checkpoint == "seven"


def test_a_dispute_that_goes_on_keeps_the_gate_shut_though_its_halt_was_resumed() -> None:
    world = World(Idle)
    node = world.start()
    says(node, disputed=LogIndex(5))
    world.run(node.settings.dispute_patience + 100 * MS)
    risk = node.state.risk
    assert risk.trading is Trading.HALTED
    assert node.leader.status().gate_open, "for cancels"
    world.act("n1", Order(c.Resume(Epoch(0), Nanos(0), ("states_differ",), risk.index, by("r"))))
    world.run(world.COMMIT)
    assert node.state.risk.trading is Trading.RUNNING
    assert not node.leader.status().gate_open
    world.run(node.settings.dispute_patience + 100 * MS)
    assert node.state.risk.trading is Trading.HALTED


def test_a_state_that_differs_from_the_majority_s_is_one_alert_that_names_the_index() -> None:
    world = World(Idle)
    node = world.start()
    says(node, diverged=LogIndex(1000))
    says(node, diverged=LogIndex(1000))
    world.run(1 * S)
    (text,) = [text for name, text in node.notes.alerts if name == "StateDiverged"]
    assert "at index 1000:" in text


def in_a_dispute_that_halted(world: World) -> Node:
    node = world.start()
    says(node, disputed=LogIndex(5))
    world.run(node.settings.dispute_patience + 100 * MS)
    assert node.state.risk.trading is Trading.HALTED
    return node


def resume(world: World) -> None:
    index = world.nodes["n1"].state.risk.index
    world.act("n1", Order(c.Resume(Epoch(0), Nanos(0), ("states_differ",), index, by(f"resume-{index}"))))


def halt(world: World) -> None:
    world.act("n1", Order(c.Halt(Epoch(0), Nanos(0), "states_differ", by("halt"))))


@pytest.mark.parametrize("halted_again", [False, True])
def test_in_a_dispute_an_order_in_one_entry_with_its_resume_is_not_sent(*, halted_again: bool) -> None:
    """Halted, resumed, ordered, halted: an entry's sends leave when all of it is applied."""
    world = World(Idle)
    node = in_a_dispute_that_halted(world)
    resume(world)
    results = world.act("n1", Order(submit(request="order")))
    if halted_again:
        halt(world)
    world.run(50 * MS)
    (result,) = results
    assert isinstance(result, Done)
    assert result.result is not None
    order = result.result.order
    assert order is not None
    assert world.exchange.written == []
    assert node.state.orders[order].state is OrderState.LAPSED


def test_in_a_dispute_that_halted_cancels_leave() -> None:
    world = World(Idle)
    node = world.start()
    name = resting(world)
    says(node, disputed=LogIndex(5))
    world.run(node.settings.dispute_patience + 100 * MS)
    assert node.state.risk.trading is Trading.HALTED
    world.act("n1", Order(c.Cancel(Epoch(0), Nanos(0), name, "by hand", by("cancel"))))
    world.run(50 * MS)
    assert world.exchange.open() == []


def test_after_a_dispute_orders_leave_again() -> None:
    world = World(Idle)
    node = in_a_dispute_that_halted(world)
    says(node, disputed=None)
    resume(world)
    world.act("n1", Order(submit(request="order")))
    world.run(50 * MS)
    assert len(world.exchange.open()) == 1
