"""Inquiry: what is read of accounts and symbols, and when again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from meltica.core.values import Nanos
from meltica.leader.status import Phase
from meltica.venues.base import Read, ReadKind
from tests.meltica.leader.test_takeover_reads import blocked, phase_of, reading
from tests.meltica.leader.world import MS, SYMBOL, VENUE, Idle, Node, S, World


def kinds(node: Node, since: int = 0) -> Counter[ReadKind]:
    return Counter(read.kind for read in node.port.reads[since:])


def test_each_kind_is_read_in_its_own_period() -> None:
    world = World(make=Idle)
    node = world.start()
    before = len(node.port.reads)
    world.run(300 * S)
    assert kinds(node, before) == {
        ReadKind.OPEN_ORDERS: 30,
        ReadKind.TRADES: 5,
        ReadKind.BALANCES: 5,
        ReadKind.INSTRUMENTS: 1,
    }


def test_what_was_read_for_another_reason_is_due_a_whole_period_later() -> None:
    world = World(make=Idle)
    node = world.start()
    world.run(6 * S)
    node.leader.on_stream_gap(VENUE, "cut")
    before = len(node.port.reads)
    world.run(9 * S)
    assert kinds(node, before) == {}
    world.run(2 * S)
    assert kinds(node, before) == {ReadKind.OPEN_ORDERS: 1}


def test_of_a_full_read_what_failed_is_asked_again_and_nothing_else() -> None:
    world = World(make=Idle)
    world.start()
    world.kill("n1")
    node = world.nodes["n2"]
    node.port.failing = {ReadKind.BALANCES}
    world.elect("n2")
    world.run(50 * MS)
    assert phase_of(node) is Phase.RECONCILING
    assert "balances could not be read: broken" in blocked(node)
    node.port.failing = set()
    world.run(100 * MS)
    assert phase_of(node) is Phase.ACTIVE
    assert kinds(node) == {**dict.fromkeys(kinds(node), 1), ReadKind.BALANCES: 2}


def test_trades_are_read_from_the_mark_on_by_a_successor_too() -> None:
    world = World()
    node = world.start()
    for shown in world.exchange.open():
        world.exchange.fill(shown.venue_order_id)
    world.run(130 * S)
    world.kill("n1")
    world.elect("n2")
    world.run(100 * MS)
    for each in (node, world.nodes["n2"]):
        assert [read.from_trade for read in each.port.reads if read.kind is ReadKind.TRADES][-1] == 2


def test_a_gap_within_a_full_read_has_all_of_it_read_once_more() -> None:
    """What was on its way when the stream broke may not show what the stream did not tell."""
    world = World(make=Idle)
    node = world.start()
    node.port.read_latency = Nanos(50 * MS)
    node.leader.on_stream_gap(VENUE, "cut")
    world.run(30 * MS)
    node.leader.on_stream_gap(VENUE, "cut again")
    world.run(60 * MS)
    assert blocked(node) == "not reconciled yet"
    world.run(30 * MS)
    assert blocked(node) == ""


def test_who_leads_again_after_a_while_reads_each_kind_once() -> None:
    world = World(make=Idle)
    node = world.start()
    first = kinds(node)
    world.depose()
    before = len(node.port.reads)
    world.run(70 * S)
    assert kinds(node, before) == {}
    world.elect("n1")
    world.run(100 * MS)
    assert kinds(node, before) == first == dict.fromkeys(first, 1)


def test_rules_that_were_read_symbol_by_symbol_in_an_older_lead_are_read_together_in_the_next() -> None:
    world = World(make=Idle)
    node = world.nodes["n1"]

    def apart(asked: Read, real: Callable[[Read], None]) -> None:
        node.port.failing = {ReadKind.INSTRUMENTS} if asked.symbol is None else set()
        real(asked)

    reading(node, apart)
    world.start()
    world.run(S)
    assert [read.symbol for read in node.port.reads if read.kind is ReadKind.INSTRUMENTS][-1] == SYMBOL
    del node.port.read  # type: ignore[method-assign] # the venue answers again
    node.port.failing = set()
    world.depose()
    world.elect("n1")
    world.run(S)
    before = len(node.port.reads)
    world.run(300 * S)
    assert [read.symbol for read in node.port.reads[before:] if read.kind is ReadKind.INSTRUMENTS] == [None]
