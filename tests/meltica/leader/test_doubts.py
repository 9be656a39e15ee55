"""Doubts: orders of ours whose end, or whose being there, only the venue can tell."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from attrs import evolve

from meltica.core import commands as c
from meltica.core.orders import OrderState
from meltica.core.values import Epoch, Nanos
from meltica.leader.ports import Order
from meltica.leader.status import Phase
from meltica.venues.base import Read, ReadKind
from tests.meltica.leader.test_takeover_reads import began, blocked, in_doubt, log_of, phase_of, reading
from tests.meltica.leader.world import MS, VENUE, Idle, Node, S, World, by, submit


def sent(answers: str = "answer") -> tuple[World, Node]:
    """One order is sent, and the stream tells nothing; with "drop" or "lose" nobody knows of it for two seconds."""
    world = World(make=Idle)
    node = world.start()
    world.exchange.answers, world.exchange.report = answers, False
    world.act("n1", Order(submit()))
    world.run(10 * MS)
    return world, node


def state_of(node: Node) -> OrderState:
    (order,) = node.state.orders.values()
    return order.state


def asked_by_name(node: Node) -> int:
    return sum(bool(read.order_ids) for read in node.port.reads)


def test_a_live_order_that_the_open_ones_lack_is_asked_for_by_name_and_ends() -> None:
    world, node = sent()
    (placed,) = world.exchange.orders.values()
    placed.shown = evolve(placed.shown, status="cancelled")
    world.run(5 * S)
    assert (state_of(node), asked_by_name(node)) == (OrderState.OPEN, 0)
    world.run(5 * S)
    assert (state_of(node), asked_by_name(node)) == (OrderState.CANCELLED, 1)


def test_a_send_is_asked_for_once_nobody_answers_it_any_more_and_not_before() -> None:
    world, node = sent("drop")
    (placed,) = world.exchange.orders.values()
    placed.visible_from = Nanos(world.now + S)
    node.leader.on_stream_gap(VENUE, "cut")  # its read of the open orders does not show it yet
    world.run(1900 * MS)
    assert (state_of(node), asked_by_name(node)) == (OrderState.INTENT_ACCEPTED, 0)
    world.run(200 * MS)
    assert (state_of(node), asked_by_name(node)) == (OrderState.OPEN, 1)


@pytest.mark.parametrize("answers", ["lose", "answer"])
def test_a_successor_asks_for_what_was_absent_before_it_led_though_no_open_orders_can_be_read(answers: str) -> None:
    """Never there, as far as anybody knows; or there once, and the venue has forgotten it."""
    world, node = sent(answers)
    world.exchange.orders.clear()
    world.run(12 * S)
    assert state_of(node) is OrderState.ABSENT
    world.kill("n1")
    successor = world.nodes["n2"]
    successor.port.failing = {ReadKind.OPEN_ORDERS}
    world.elect("n2")
    assert asked_by_name(successor) == 0
    world.run(5 * MS)
    assert asked_by_name(successor) == 1


def test_authority_waits_for_the_first_answer_about_each_doubt() -> None:
    world = in_doubt("lose")
    node = world.nodes["n2"]

    def slow(asked: Read, real: Callable[[Read], None]) -> None:
        node.port.read_latency = Nanos(300 * MS if asked.kind is ReadKind.ORDER else 2 * MS)
        real(asked)

    reading(node, slow)
    world.elect("n2")
    world.run(290 * MS)
    assert phase_of(node) is Phase.RECONCILING
    world.run(20 * MS)
    assert (phase_of(node), state_of(node)) == (Phase.ACTIVE, OrderState.ABSENT)


def test_an_order_that_could_not_be_read_is_not_absent_and_is_asked_for_again() -> None:
    world, node = sent("drop")
    node.port.failing = {ReadKind.ORDER}
    world.run(5 * S)
    assert state_of(node) is OrderState.INTENT_ACCEPTED
    assert "could not be read: broken" in blocked(node)
    node.port.failing = set()
    world.run(3 * S)
    assert (state_of(node), blocked(node)) == (OrderState.OPEN, "")


def test_death_takes_two_full_reads_and_they_wait_for_no_period() -> None:
    world, node = sent("lose")
    before = len(node.port.reads)
    world.run(11 * S)
    assert state_of(node) is OrderState.ABSENT
    world.run(6 * S)
    assert state_of(node) is OrderState.DEAD
    assert [read.kind for read in node.port.reads[before:]].count(ReadKind.TRADES) == 2


def test_who_leads_again_asks_at_once_however_often_it_failed_before() -> None:
    world, node = sent("lose")
    node.port.failing = {ReadKind.ORDER}
    world.run(10 * S)  # by now two seconds lie between two questions
    node.port.failing = set()
    world.depose()
    world.run(100 * MS)
    world.elect("n1")
    before = asked_by_name(node)
    world.run(10 * MS)
    assert asked_by_name(node) > before


def test_trades_that_named_an_order_before_it_was_found_are_its_fills_before_authority() -> None:
    """Its trades are shown once, the order by the name that we gave it, and by the venue's own number never."""
    world = in_doubt("drop", filled="0.01")
    node, trades = world.nodes["n2"], 0

    def instead(asked: Read, real: Callable[[Read], None]) -> None:
        nonlocal trades
        trades += asked.kind is ReadKind.TRADES
        node.port.read_latency = Nanos(3 * MS if asked.order_ids else 2 * MS)
        by_its_number = asked.kind is ReadKind.ORDER and not asked.order_ids
        if not by_its_number and not (asked.kind is ReadKind.TRADES and trades > 1):
            real(asked)

    reading(node, instead)
    world.elect("n2")
    world.run(50 * MS)
    assert [each for each in log_of(world, 2) if each in {"fill_seen", "authority_taken"}] == [
        "fill_seen",
        "authority_taken",
    ]
    assert began(world) == (Decimal("1.01"), "")


# --- a cancel that the venue refused ---------------------------------------------------------------------------


def refused_as_reads_hang(word: Nanos | None) -> tuple[Node, int]:
    """An order fills as its cancel is on its way: that is refused, and no order can be read for three seconds.

    `word`: how long after the cancel the stream tells the fill; None: never.  Returns how often it was asked for, too.
    """
    world, node = sent()
    (placed,), (name,) = world.exchange.orders, node.state.orders
    asked: list[Read] = []
    reading(node, lambda read, real: asked.append(read) if read.kind is ReadKind.ORDER else real(read))
    world.act("n1", Order(c.Cancel(Epoch(0), Nanos(0), name, "requote", by("r2"))))
    trade = world.exchange.fill(placed, tell=False)
    world.exchange.report = True
    if word is not None:
        world.after(word, lambda: world.exchange.tell(world.exchange.orders[placed].shown, trade))
    world.run(3 * S)
    assert node.state.orders[name].unanswered == (), "the refusal came"
    return node, len(asked)


@pytest.mark.parametrize(("word", "asked"), [(Nanos(0), 0), (Nanos(50 * MS), 1)])
def test_an_order_whose_end_the_stream_told_is_not_waited_for_though_a_cancel_of_it_was_refused(
    word: Nanos, asked: int
) -> None:
    """Found live (rest-lost): a symbol stood still for as long as reads did, for orders that had ended."""
    node, questions = refused_as_reads_hang(word)
    assert (state_of(node), questions) == (OrderState.FILLED, asked)
    assert blocked(node) == ""


def test_an_order_whose_cancel_was_refused_and_of_which_nobody_tells_more_takes_cancels_only() -> None:
    node, questions = refused_as_reads_hang(None)
    assert (state_of(node), questions) == (OrderState.OPEN, 1)
    assert "could not be read" in blocked(node)


# --- what reads cost --------------------------------------------------------------------------------------------


def test_many_doubts_that_began_at_different_times_share_their_full_reads() -> None:
    """Endless 81017: a read of all open orders, 80 of Binance's 6,000 a minute, twice a second for twenty seconds,

    and of its trades as often: at 4,500 nothing new is sent, and so nobody traded until the minute was over.
    """
    world = World(make=Idle)
    node = world.start()
    world.exchange.answers = "lose"
    before = len(node.port.reads)
    for number in range(30):
        world.act("n1", Order(submit(request=f"r{number}")))
        world.run(300 * MS)
    world.exchange.answers = "answer"
    world.run(30 * S)
    kinds = [read.kind for read in node.port.reads[before:]]
    assert {order.state for order in node.state.orders.values()} == {OrderState.DEAD}
    spent = 80 * kinds.count(ReadKind.OPEN_ORDERS) + 20 * kinds.count(ReadKind.TRADES)
    assert spent < 1200, f"{spent} of a minute's weight, beside {kinds.count(ReadKind.ORDER)} orders by name"
