"""Doubts: orders of ours whose end, or whose being there, only the venue can tell."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from meltica.core.values import Nanos
from meltica.venues.base import Read, ReadKind
from tests.meltica.leader.test_takeover_reads import began, in_doubt, log_of, reading
from tests.meltica.leader.world import MS


def test_trades_that_named_an_order_before_it_was_found_are_its_fills_before_authority() -> None:
    """The venue answers the first questions and no more: of its trades, and the order by the name that we gave it."""
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
