"""Fills that a venue knows and the log lacks: whatever fails on the way, each enters once and none is forgotten."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve

from cluster.types import NotLeader, Outcome, OutcomeUnknown
from meltica.core import commands as c
from meltica.core.ids import make_id
from meltica.core.values import Epoch, Index, Nanos, Symbol, Trading, Venue, VenueOrderId
from meltica.leader.dropcopy import DropCopy
from meltica.leader.ports import Order
from meltica.leader.reconcile import Learnt, Stamp, news, owner, report
from meltica.leader.strangers import FOR_EVER, LONGEST, ODD_AFTER, Strangers
from meltica.venues.base import Read, ReadKind, Report
from tests.meltica.leader.test_rooms import trade
from tests.meltica.leader.test_takeover_reads import blocked
from tests.meltica.leader.world import ACCOUNT, MS, SYMBOL, VENUE, Idle, Node, S, World, by, submit


def two_submitted(world: World) -> None:
    """Two buy orders rest at the venue."""
    for request, price in (("a", "59999"), ("b", "59998")):
        world.act("n1", Order(submit(price=price, request=request)))
        world.run(20 * MS)


def filled_unheard(world: World) -> None:
    """The two orders are filled, and no stream says so."""
    world.exchange.report = False
    for name in list(world.exchange.orders)[-2:]:
        world.exchange.fill(name, tell=False)
    world.exchange.report = True


def assert_both_counted(node: Node) -> None:
    assert [(str(each.filled), each.leaves) for each in node.state.orders.values()] == [("0.01", 0)] * 2
    assert node.state.position_of((VENUE, ACCOUNT, SYMBOL)).traded == Decimal("0.02")
    assert node.state.low_water[VENUE, ACCOUNT, SYMBOL] == 2, "it goes on once all is accounted for"
    assert node.state.risk.trading is Trading.RUNNING


@pytest.mark.parametrize("broken", [5, 200])
def test_a_trade_whose_order_could_not_be_read_at_once_is_not_forgotten(broken: int) -> None:
    world = World(make=Idle)
    world.start()
    world.exchange.answers, world.exchange.report = "drop", False  # so the log never hears the venue's ids
    two_submitted(world)
    world.kill("n1")
    filled_unheard(world)
    world.run(30 * S)
    world.exchange.answers = "answer"
    node = world.nodes["n2"]
    node.port.failing = {ReadKind.ORDER, ReadKind.BALANCES}
    world.elect("n2")
    world.run(broken * MS)
    node.port.failing = set()
    world.run(200 * S)
    assert_both_counted(node)


def test_a_trade_whose_order_is_not_shown_yet_is_not_forgotten() -> None:
    world = World(make=Idle)
    world.start()
    world.exchange.answers, world.exchange.report = "drop", False
    two_submitted(world)
    world.kill("n1")
    filled_unheard(world)
    world.run(30 * S)
    world.exchange.answers = "answer"
    node = world.nodes["n2"]
    for each in world.exchange.orders.values():
        each.visible_from = Nanos(world.now + 300 * MS)
    world.elect("n2")
    world.run(200 * S)
    assert_both_counted(node)


def test_a_fill_that_replication_refused_for_a_moment_holds_the_mark_down() -> None:
    world = World(make=Idle)
    world.start()
    two_submitted(world)
    world.run(500 * MS)
    filled_unheard(world)
    world.kill("n1")
    world.run(30 * S)
    node = world.nodes["n2"]
    busy = _busy(node)
    world.elect("n2")
    world.run(1500_000)
    busy.append(True)
    world.run(6 * MS)
    busy.clear()
    world.run(200 * S)
    assert_both_counted(node)


def _busy(node: Node) -> list[bool]:
    """While the list holds anything, replication takes nothing but the epoch; balances are read last."""
    busy: list[bool] = []
    propose, read = node.cluster.propose, node.port.read

    def refuse(command: c.Command, on_outcome: Any) -> None:
        if busy and not isinstance(command, c.EpochStarted):
            outcome: Outcome = NotLeader(None)
            if on_outcome is not None:
                on_outcome(outcome)
            return
        propose(command, on_outcome)

    def slow(asked: Read) -> None:
        node.port.read_latency = Nanos(12 * MS if asked.kind is ReadKind.BALANCES else 2 * MS)
        read(asked)

    node.cluster.propose = refuse  # type: ignore[method-assign] # a full queue, for a moment
    node.port.read = slow
    return busy


def test_a_foreign_trade_does_not_hold_the_mark_down() -> None:
    world = World(make=Idle)
    node = world.start()
    foreign = world.exchange.add_foreign()
    world.exchange.fill(foreign.venue_order_id, "0.1", tell=False)
    world.run(130 * S)
    assert node.state.low_water[VENUE, ACCOUNT, SYMBOL] == 1
    assert not node.state.trades.seen.get((VENUE, ACCOUNT, SYMBOL))


def test_a_trade_of_an_order_of_ours_that_the_log_never_knew_counts_and_reduces() -> None:
    world = World(make=Idle)
    node = world.start()
    strange = world.exchange.add_foreign()
    name = make_id(node.state.cluster, Epoch(1), Index(7), 9)
    world.exchange.orders[strange.venue_order_id].shown = evolve(strange, placed_as=name, shown_as=name)
    world.exchange.fill(strange.venue_order_id, "0.1", tell=False)
    world.run(130 * S)
    assert node.state.position_of((VENUE, ACCOUNT, SYMBOL)).traded == Decimal("0.1")
    assert node.state.low_water[VENUE, ACCOUNT, SYMBOL] == 1
    assert node.state.risk.trading is Trading.REDUCING
    assert [name for name, _ in node.notes.alerts] == ["unknown_order"], "and no drift besides"


def test_a_stranger_is_asked_about_until_somebody_answers_ever_more_rarely() -> None:
    strangers, name = Strangers(), (VENUE, SYMBOL, VenueOrderId("1"))
    strangers.meet(name, [trade(5, 1)], Nanos(0))
    strangers.meet(name, [trade(5, 1), trade(6, 2)], Nanos(0))
    assert [each.trade_id for each in strangers.trades_of(name)] == [5, 6]
    assert strangers.due(Nanos(0)) == [name]
    assert strangers.due(Nanos(S)) == [], "a question is on its way"
    now, told = Nanos(S), 0
    for _ in range(12):
        told += strangers.unanswered(name, now, Nanos(100 * MS))
        due = strangers.next_due()
        assert due is not None
        assert strangers.due(due) == [name]
        last, now = now, due
    assert (now - last, told) == (LONGEST, 1)
    assert ODD_AFTER < 12
    strangers.settled(name, passed=FOR_EVER)
    assert strangers.is_passed(VENUE, trade(7, 3))
    assert strangers.names() == []
    strangers.clear()
    assert strangers.is_passed(VENUE, trade(7, 3)), "whose it is never changes"


def test_what_no_read_of_trades_shows_any_more_is_forgotten() -> None:
    """An account that somebody else trades too: one name for each of his orders, for ever, and over every term."""
    strangers, one, other = Strangers(), VenueOrderId("1"), VenueOrderId("2")
    elsewhere = (Venue("okx"), SYMBOL, one), (VENUE, Symbol("ETHUSDT"), one)
    for name in ((VENUE, SYMBOL, one), (VENUE, SYMBOL, other), *elsewhere):
        strangers.settled(name, passed=FOR_EVER)
    strangers.read(VENUE, SYMBOL, [trade(7, 3)])  # of order 1
    assert strangers.is_passed(VENUE, trade(7, 3))
    assert not strangers.is_passed(VENUE, evolve(trade(6, 2), venue_order_id=other))
    assert len(strangers._passed) == 3, "other symbols and venues have reads of their own"


def test_an_order_of_somebody_elses_that_trades_again_is_asked_about_once_more_and_stays_his() -> None:
    world = World(make=Idle)
    node = world.start()
    for _ in range(50):
        world.exchange.fill(world.exchange.add_foreign().venue_order_id, "0.1", tell=False)
        world.run(30 * S)
    slow = world.exchange.add_foreign().venue_order_id
    for _ in range(3):
        for name in (slow, world.exchange.add_foreign().venue_order_id):
            world.exchange.fill(name, "0.1", tell=False)
            world.run(150 * S)
    asked = [read.venue_order_id for read in node.port.reads if read.kind is ReadKind.ORDER]
    assert asked.count(slow) == 3
    assert len(node.leader._recon._adoption._strangers._passed) <= 1
    assert node.state.low_water[VENUE, ACCOUNT, SYMBOL] == 56
    assert node.state.position_of((VENUE, ACCOUNT, SYMBOL)).traded == 0
    assert blocked(node) == ""


# --- the drop copy --------------------------------------------------------------------------------


def test_a_failover_after_a_quiet_hour_does_not_mistake_what_was_forgotten_for_unknown() -> None:
    world = World()
    node = world.start()
    order = next(iter(node.state.live_orders()))
    world.act("n1", Order(c.Cancel(Epoch(0), Nanos(0), order.id, "by hand", by("c1"))))
    world.run(S)
    world.kill("n1")
    world.now = Nanos(world.now + 3700 * S)
    world.elect("n2")
    world.tick()
    world.run(2 * S)
    successor = world.nodes["n2"]
    assert order.id not in successor.state.orders, "closed for an hour"
    assert successor.state.risk.trading is Trading.RUNNING
    assert not successor.notes.alerts


def test_the_drop_copy_gives_a_new_leader_only_what_it_heard_in_the_last_minute() -> None:
    world = World(make=Idle)
    world.start()
    two_submitted(world)
    heard = DropCopy(Nanos(5 * S))
    old, new = (Report(each.shown, None, Nanos(0)) for each in list(world.exchange.orders.values())[-2:])
    heard.add(VENUE, ACCOUNT, old, Nanos(S))
    heard.add(VENUE, ACCOUNT, new, Nanos(30 * S))
    assert heard.take(Nanos(75 * S)) == [(VENUE, new)]
    assert heard.take(Nanos(75 * S)) == []


def test_a_report_of_an_end_that_the_log_forgot_tightens_nothing_but_its_trade_is_looked_for() -> None:
    world = World(make=Idle)
    node = world.start()
    stamp = Stamp(Epoch(1), Nanos(0), VENUE, ACCOUNT)
    name = make_id(node.state.cluster, Epoch(1), Index(7), 9)
    shown = evolve(world.exchange.add_foreign(), placed_as=name, shown_as=name)
    gone = evolve(shown, status="cancelled")
    assert report(node.state, stamp, Report(gone, None, Nanos(0)), frozenset()) == Learnt()
    learnt = report(node.state, stamp, Report(gone, trade(5, 1), Nanos(0)), frozenset())
    assert (learnt.commands, learnt.behind) == ((), {SYMBOL})
    (command,) = report(node.state, stamp, Report(shown, None, Nanos(0)), frozenset()).commands
    assert isinstance(command, c.Discrepancy)
    assert command.tighten, "it rests at the venue, and nobody knows why"


def test_what_an_older_report_says_is_no_news() -> None:
    world = World(make=Idle)
    node = world.start()
    two_submitted(world)
    shown = world.exchange.open()[0]
    order = owner(node.state, VENUE, shown)
    assert order is not None
    world.act("n1", Order(c.Cancel(Epoch(0), Nanos(0), order.id, "by hand", by("c1"))))
    world.run(S)
    order = node.state.orders[order.id]
    assert order.closed
    assert not news(order, shown)
    assert not news(order, world.exchange.orders[shown.venue_order_id].shown)
    assert news(order, evolve(shown, executed=shown.quantity))
    before = world.proposed.count("OrderUpdated")
    world.kill("n1")
    world.elect("n2")
    world.run(S)
    assert world.proposed.count("OrderUpdated") == before, "the log has all that the drop copy heard"


def test_the_active_node_reads_everything_when_a_fill_that_it_heard_does_not_enter_the_log() -> None:
    world = World(make=Idle)
    node = world.start()
    two_submitted(world)
    world.run(S)
    shown = world.exchange.open()[0]
    propose = node.cluster.propose
    lost: list[c.Command] = []

    def lose(command: c.Command, on_outcome: Any) -> None:
        if isinstance(command, c.FillSeen | c.OrderUpdated) and len(lost) < 2:
            lost.append(command)
            if on_outcome is not None:
                on_outcome(OutcomeUnknown("lost"))
            return
        propose(command, on_outcome)

    node.cluster.propose = lose  # type: ignore[method-assign] # proposals that are lost
    world.exchange.fill(shown.venue_order_id)
    world.run(5500 * MS)
    assert [name for name, _ in node.notes.alerts] == ["FillMissing"]
    assert len(lost) == 2
    assert [e["reason"] for name, e in node.notes.events if name == "surveyed"][-1] == "a fill is not in the log"
    assert node.state.position_of((VENUE, ACCOUNT, SYMBOL)).traded == Decimal("0.01")


def test_nobody_waits_for_somebody_elses_fill() -> None:
    world = World(make=Idle)
    node = world.start()
    world.exchange.fill(world.exchange.add_foreign().venue_order_id)
    world.run(7 * S)
    assert "FillMissing" not in [name for each in world.nodes.values() for name, _ in each.notes.alerts]
    assert node.state.risk.trading is Trading.RUNNING


@pytest.mark.parametrize("quantity", ["0.004", None])
def test_a_fill_that_only_a_standby_heard_is_read_by_the_leader_within_its_period_of_open_orders(
    quantity: str | None,
) -> None:
    """Partly filled, its order shows it; filled, its order is missing among the open ones, and is looked up."""
    world = World(make=Idle)
    node = world.start()
    two_submitted(world)
    shown = world.exchange.open()[0]
    tell = node.port.tell
    node.port.tell = lambda heard: None if heard.trade is not None else tell(heard)  # type: ignore[method-assign] # an event is lost
    world.exchange.fill(shown.venue_order_id, quantity)
    world.run(6 * S)
    assert [name for name, _ in world.nodes["n2"].notes.alerts] == ["FillMissing"]
    world.run(node.settings.open_orders_every - 6 * S + 100 * MS)
    assert node.state.position_of((VENUE, ACCOUNT, SYMBOL)).traded == Decimal(quantity or "0.01")


def test_a_question_of_an_older_term_makes_no_foreigner_of_an_order_of_ours() -> None:
    """Its answer came before the new term had read the trades, and they were passed over for ever."""
    world = World(make=Idle)
    node = world.start()
    world.run(70 * S)
    name = make_id("c0ffee", Epoch(1), Index(2), 0)  # of ours, and unknown to the log
    shown = world.exchange.add_foreign()
    world.exchange.orders[shown.venue_order_id].shown = evolve(shown, shown_as=name, placed_as=name)
    world.exchange.fill(shown.venue_order_id, "0.4", tell=False)
    node.port.read_latency = Nanos(50 * MS)
    node.leader.on_stream_gap(VENUE, "lost")
    world.run(60 * MS)
    assert node.port.reads[-1].kind is ReadKind.ORDER
    world.depose()
    world.elect("n1")
    node.port.read_latency = Nanos(100 * MS)
    world.run(70 * S)
    world.exchange.fill(shown.venue_order_id, "0.6", tell=False)
    world.run(70 * S)
    assert node.state.position_of((VENUE, ACCOUNT, SYMBOL)).traded == 1


@pytest.mark.parametrize("how", ["a gap", "a failover"])
def test_trades_before_the_opening_make_no_foreigner_of_an_order_of_ours(how: str) -> None:
    """A first survey that is begun anew once the opening is in the log reads what was traded before it."""
    world = World(make=Idle)
    name = make_id("c0ffee", Epoch(1), Index(2), 0)  # of ours, and unknown to the log
    shown = world.exchange.add_foreign()
    world.exchange.orders[shown.venue_order_id].shown = evolve(shown, shown_as=name, placed_as=name)
    world.exchange.fill(shown.venue_order_id, "0.4", tell=False)
    world.run(60 * S)
    for node in world.nodes.values():
        node.port.failing = {ReadKind.INSTRUMENTS}  # the first survey stays without an end
    node = world.start()
    assert (VENUE, ACCOUNT) in node.state.openings
    for each in world.nodes.values():
        each.port.failing = set()
    if how == "a gap":
        node.leader.on_stream_gap(VENUE, "lost")
    else:
        world.elect("n2")
        node = world.nodes["n2"]
    world.run(70 * S)
    world.exchange.fill(shown.venue_order_id, "0.6", tell=False)
    world.run(140 * S)
    assert node.state.position_of((VENUE, ACCOUNT, SYMBOL)).traded == Decimal("0.6")
    assert node.state.low_water[VENUE, ACCOUNT, SYMBOL] == 2
    assert "unexplained_position" not in [alert for alert, _ in node.notes.alerts]
