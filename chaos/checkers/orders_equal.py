"""Orders equal: what the venue shows of each order of ours, every node's final state shows too.

Pure.  Open at the venue must be open here under the same venue id, with the same executed quantity; closed there,
closed here.
"""

from __future__ import annotations

from chaos.checkers.history import History, NodeHistory, NodeOrder, VenueOrder
from chaos.checkers.verdict import Check

SAME = {
    "NEW": "open",
    "PARTIALLY_FILLED": "partially_filled",
    "FILLED": "filled",
    "CANCELED": "cancelled",
    "EXPIRED": "expired",
    "EXPIRED_IN_MATCH": "expired",
    "REJECTED": "rejected",
}
OPEN = frozenset({"open", "partially_filled"})


def orders_equal(history: History) -> Check:
    """Every order of the venue's ledger against every node, and every open order of a node against the venue."""
    violations = []
    looked_at = 0
    at_venue = {(order.symbol, order.order_id) for order in history.orders if order.open}
    for node in history.nodes:
        held = {order.client_order_id: order for order in node.orders}
        for order in history.orders:
            looked_at += 1
            violations.extend(_differs(node, order, held.get(order.placed_as)))
        violations.extend(
            f"{node.name} believes {order.client_order_id} open; the venue does not"
            for order in node.orders
            if order.state in OPEN and (order.symbol, order.venue_order_id) not in at_venue
        )
    return Check("orders_equal", looked_at, tuple(violations))


def _differs(node: NodeHistory, order: VenueOrder, held: NodeOrder | None) -> list[str]:
    if held is None:
        return [f"{node.name} does not know {order.placed_as} (venue order {order.order_id})"]
    expected = SAME.get(order.status, order.status)
    if held.state != expected:
        return [f"{node.name} has {order.placed_as} as {held.state}, the venue as {order.status}"]
    if held.filled != order.executed:
        return [f"{node.name} has {held.filled} of {order.placed_as} filled, the venue {order.executed}"]
    return []
