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
    assert len(asked) <= 10
    world.run(55 * S)  # until it is sure that the fault is the symbol's own
    before = sum(read.kind is ReadKind.INSTRUMENTS for read in node.port.reads)
    assert before <= 30
    world.run(600 * S)
    again = [read.symbol for read in node.port.reads if read.kind is ReadKind.INSTRUMENTS][before:]
    assert again.count(SYMBOL) == 2, "each period"
    assert again.count(OTHER) <= 600 * S / survey_room.LONGEST_ALONE + 2, "rules weigh much"


OF_RULES = {RULES, (ReadKind.INSTRUMENTS, OTHER), (ReadKind.INSTRUMENTS, SYMBOL)}
OF_TRADES = {(ReadKind.TRADES, OTHER), (ReadKind.TRADES, SYMBOL)}
OF_ALL = {*OF_RULES, *OF_TRADES, (ReadKind.OPEN_ORDERS, None), (ReadKind.BALANCES, None)}


@pytest.mark.parametrize("lasts", [9, 26, 61])
@pytest.mark.parametrize("how", ["a start", "a gap", "a failover"])
@pytest.mark.parametrize("needs", [OF_RULES, OF_TRADES, OF_ALL], ids=["rules", "trades", "all"])
def test_an_outage_that_is_over_leaves_no_symbol_blocked(
    needs: set[tuple[ReadKind, Symbol | None]], how: str, lasts: int
) -> None:
    """Its reads had come to be 30 s apart: they failed for a reason that had nothing to do with their symbol."""
    world = World(make=Idle, settings=BOTH)
    if how != "a start":
        world.start()
        world.run(S)
    failing = unreadable(world, *needs)
    node = world.nodes["n2" if how == "a failover" else "n1"]
    if how == "a gap":
        node.leader.on_stream_gap(VENUE, "lost")
    else:
        world.tick()
        world.elect(node.name)
    world.run(lasts * S)
    assert blocked(node) == {SYMBOL, OTHER}
    failing.clear()
    world.run(3 * S)
    assert blocked(node) == set()


def test_one_symbol_that_is_gone_keeps_no_other_shut_behind_an_outage() -> None:
    """The rules of all can't be read together then, and each outage begins the reading one by one anew."""
    world = World(make=Idle, settings=BOTH)
    gone = {RULES, (ReadKind.INSTRUMENTS, OTHER), (ReadKind.TRADES, OTHER)}
    failing = unreadable(world, *gone)
    node = world.start()
    world.run(60 * S)
    assert blocked(node) == {OTHER}
    failing |= OF_ALL
    node.leader.on_stream_gap(VENUE, "lost")
    world.run(26 * S)
    assert blocked(node) == {SYMBOL, OTHER}
    failing -= OF_ALL - gone
    world.run(5 * S)
    assert blocked(node) == {OTHER}
    failing.clear()
    world.run(survey_room.LONGEST_ALONE)
    assert blocked(node) == set(), "it is asked for as long as it takes"


def test_rules_that_none_of_can_be_read_are_not_read_symbol_by_symbol_all_the_time() -> None:
    """Each such read weighs as much as one of all."""
    world = World(make=Idle, settings=BOTH)
    unreadable(world, *OF_RULES)
    node = world.start()
    world.run(60 * S)
    before = len(node.port.reads)
    world.run(600 * S)
    asked = [read.symbol for read in node.port.reads[before:] if read.kind is ReadKind.INSTRUMENTS]
    assert asked.count(None) <= 600 / 2 + 3
    assert asked.count(SYMBOL) <= 600 * S / survey_room.LONGEST_ALONE + 3


@pytest.mark.parametrize("how", ["a start", "a gap"])
def test_trades_of_a_symbol_that_is_gone_are_asked_for_ever_more_rarely(how: str) -> None:
    """Every 2 s for ever, 600 of the weight a minute."""
    world = World(make=Idle, settings=BOTH)
    failing = unreadable(world, (ReadKind.TRADES, OTHER))
    node = world.start()
    if how == "a gap":
        node.leader.on_stream_gap(VENUE, "lost")
    world.run(60 * S)
    before = len(node.port.reads)
    world.run(600 * S)
    asked = [read.symbol for read in node.port.reads[before:] if read.kind is ReadKind.TRADES]
    assert 600 / 30 <= asked.count(OTHER) <= 600 / 30 + 600 / 60 + 2, "its own, and the period's"
    assert blocked(node) == {OTHER}
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


@pytest.mark.parametrize("first", ["the rules", "the rest"])
def test_rules_are_read_one_by_one_at_their_second_failure_whichever_answer_came_first(first: str) -> None:
    """A takeover waits for it."""
    survey = Survey(VENUE, "takeover", Nanos(100), needs_of([SYMBOL, OTHER]))
    rules = Question(VENUE, *RULES), ReadFailed(Read(1, *RULES), "-1121")
    if first == "the rules":
        survey.failed(*rules, Nanos(200), Nanos(50))
    for kind, symbol in needs_of([SYMBOL, OTHER]) - {RULES}:
        survey.done(Question(VENUE, kind, symbol), ReadDone(Read(1, kind, symbol), Nanos(100), Nanos(201)))
    if first == "the rest":
        survey.failed(*rules, Nanos(202), Nanos(50))
    assert survey.missing == {RULES}
    survey.failed(*rules, Nanos(300), Nanos(50))
    assert (
        survey.missing == {(ReadKind.INSTRUMENTS, SYMBOL), (ReadKind.INSTRUMENTS, OTHER)} == set(survey.due(Nanos(300)))
    )


def test_rules_stay_together_while_the_venue_answers_nothing() -> None:
    survey = Survey(VENUE, "takeover", Nanos(100), needs_of([SYMBOL, OTHER]))
    for turn in range(50):
        survey.failed(Question(VENUE, *RULES), ReadFailed(Read(1, *RULES), "503"), Nanos(200 + turn), Nanos(100 * MS))
    assert RULES in survey.missing
    assert survey.next_due() == 249 + survey_room.LONGEST_BACKOFF


def test_a_read_of_all_rules_serves_each_symbol_if_it_is_no_older_than_the_survey() -> None:
    survey = Survey(VENUE, "takeover", Nanos(100), {(ReadKind.INSTRUMENTS, SYMBOL), (ReadKind.INSTRUMENTS, OTHER)})
    question = Question(VENUE, *RULES)
    assert not survey.done(question, ReadDone(Read(1, *RULES), Nanos(99), Nanos(120)))
    assert survey.due(Nanos(120)) == [RULES]
    assert survey.done(question, ReadDone(Read(2, *RULES), Nanos(100), Nanos(130)))
    assert survey.complete
    assert survey.next_due() is None
