"""A symbol that can't be read takes cancels only; the others of its venue trade, and their marks rise."""

from __future__ import annotations

from decimal import Decimal

import pytest
from attrs import evolve

from meltica.core.values import Nanos, Symbol, Trading
from meltica.leader import survey as survey_room
from meltica.leader.ports import Order
from meltica.leader.reads import Question
from meltica.leader.survey import Survey, needs_of
from meltica.venues.base import Read, ReadDone, ReadFailed, ReadKind
from tests.meltica.leader.test_takeover_reads import reading
from tests.meltica.leader.world import ACCOUNT, MS, SETTINGS, SYMBOL, VENUE, Idle, Node, S, World, submit

OTHER = Symbol("GONEUSDT")  # delisted: -1121
BOTH = evolve(SETTINGS, symbols=((VENUE, (SYMBOL, OTHER)),))
RULES = (ReadKind.INSTRUMENTS, None)


def unreadable(world: World, *needs: tuple[ReadKind, Symbol | None]) -> set[tuple[ReadKind, Symbol | None]]:
    """These reads fail, as long as they are in the set."""
    failing = set(needs)
    for node in world.nodes.values():

        def instead(asked: Read, real: object, node: Node = node) -> None:
            node.port.failing = {asked.kind} if (asked.kind, asked.symbol) in failing else set()
            real(asked)  # type: ignore[operator] # a function

        reading(node, instead)
    return failing


def blocked(node: Node) -> set[str]:
    return {symbol for _, symbol in node.leader.status().blocked}


@pytest.mark.parametrize("how", ["from the start", "a gap", "a failover"])
def test_trades_of_one_symbol_that_cannot_be_read_block_no_other(how: str) -> None:
    world = World(make=Idle, settings=BOTH)
    if how != "from the start":
        world.start()
    unreadable(world, (ReadKind.TRADES, OTHER))
    node = world.nodes["n1"]
    if how == "from the start":
        node = world.start()
    elif how == "a gap":
        node.leader.on_stream_gap(VENUE, "lost")
    else:
        world.kill("n1")
        world.elect("n2")
        node = world.nodes["n2"]
    world.run(5 * S)
    assert blocked(node) == {OTHER}
    world.tick()
    world.act(node.name, Order(submit()))
    world.run(S)
    world.exchange.report = False
    world.exchange.fill(next(iter(world.exchange.orders)), "0.004", tell=False)
    world.run(140 * S)
    assert node.state.position_of((VENUE, ACCOUNT, SYMBOL)).traded == Decimal("0.004")
    assert node.state.low_water[VENUE, ACCOUNT, SYMBOL] == 1
    assert node.state.risk.trading is Trading.RUNNING
    assert blocked(node) == {OTHER}


def test_what_comes_up_on_a_symbol_that_was_read_does_not_wait_for_the_others() -> None:
    """A cancel that crossed a fill would keep the symbol to cancels, as before authority, for as long as that lasts."""
    world = World(make=Idle, settings=BOTH)
    unreadable(world, (ReadKind.TRADES, OTHER))
    node = world.start()
    world.run(5 * S)
    world.act("n1", Order(submit()))
    world.run(S)
    (name,) = world.exchange.orders
    (order,) = node.state.live_orders()
    node.port.read_latency = Nanos(200 * MS)
    world.exchange.fill(name, "0.004", tell=False)
    node.leader._recon.want(order.id)
    world.run(100 * MS)
    assert blocked(node) == {OTHER}


def test_what_is_read_of_the_whole_account_blocks_every_symbol() -> None:
    world = World(make=Idle, settings=BOTH)
    unreadable(world, (ReadKind.BALANCES, None))
    node = world.start()
    world.run(5 * S)
    assert blocked(node) == {SYMBOL, OTHER}


def test_rules_that_cannot_be_read_together_are_read_one_by_one() -> None:
    """Binance answers -1121 to all symbols because of one."""
    world = World(make=Idle, settings=BOTH)
    unreadable(world, RULES, (ReadKind.INSTRUMENTS, OTHER))
    node = world.start()
    world.run(5 * S)
    assert blocked(node) == {OTHER}
    assert (VENUE, SYMBOL) in node.state.instruments
    asked = [read for read in node.port.reads if read.kind is ReadKind.INSTRUMENTS]
    before = len(asked)
    assert before <= 10
    world.run(600 * S)
    again = [read.symbol for read in node.port.reads if read.kind is ReadKind.INSTRUMENTS][before:]
    assert again.count(SYMBOL) == 2, "each period"
    assert again.count(OTHER) <= 600 * S / survey_room.LONGEST_ALONE + 2, "rules weigh much"


def test_an_outage_that_is_over_leaves_no_symbol_blocked() -> None:
    world = World(make=Idle, settings=BOTH)
    failing = unreadable(world, RULES, (ReadKind.INSTRUMENTS, OTHER), (ReadKind.INSTRUMENTS, SYMBOL))
    node = world.start()
    world.run(60 * S)
    assert blocked(node) == {SYMBOL, OTHER}
    failing.clear()
    world.run(survey_room.LONGEST_ALONE)
    assert blocked(node) == set()


def test_a_survey_says_of_each_symbol_what_of_it_is_missing() -> None:
    survey = Survey(VENUE, "takeover", Nanos(100), needs_of([SYMBOL, OTHER]))
    for kind, symbol in needs_of([SYMBOL, OTHER]) - {(ReadKind.TRADES, OTHER)}:
        assert survey.unread(SYMBOL) == "not reconciled yet"
        survey.done(Question(VENUE, kind, symbol), ReadDone(Read(1, kind, symbol), Nanos(100), Nanos(102)))
    assert survey.unread(SYMBOL) == ""
    question = Question(VENUE, ReadKind.TRADES, OTHER)
    survey.failed(question, ReadFailed(Read(1, ReadKind.TRADES, OTHER), "-1121"), Nanos(200), Nanos(50))
    assert "-1121" in survey.unread(OTHER)
    assert survey.unread(SYMBOL) == ""
    assert not survey.complete
