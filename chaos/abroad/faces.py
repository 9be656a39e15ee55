"""Faces: what the nodes of a deployed cluster tell of themselves over their API: trades, orders, the audit trail.

Only asking may live here.  It is less than a node's data folder holds: of a command its kind, its place, the chain,
who asked and why, not what it says.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any, Final

import httpx
from attrs import frozen

from chaos.checkers.history import NodeHistory, NodeOrder, VenueFill
from chaos.rig.watch import ActRefused, Watcher, bearer
from meltica.api.calls import ask
from meltica.core.orders import Asked

AT_ONCE: Final = 1_000  # rows of a page, the most that a node gives
ANSWER_WITHIN: Final = 20.0  # seconds
DOUBT: Final = (Asked.SUBMIT_IN_DOUBT, Asked.CANCEL_IN_DOUBT, Asked.AMEND_IN_DOUBT)

Row = Mapping[str, Any]


@frozen(eq=False)
class Face:
    """What one node told when all had come to rest; rows of its trail and trades from where the run began."""

    node: str
    audit: tuple[Row, ...]
    fills: tuple[Row, ...]
    orders: tuple[Row, ...]
    gaps: tuple[tuple[int, int], ...] = ()  # entries without records, as a snapshot was installed: first and last

    def excuses(self, index: int) -> bool:
        """Whether it says that it has no record there."""
        return any(first <= index <= last for first, last in self.gaps)

    def history(self, ours: Collection[str]) -> NodeHistory:
        """As the shared checks read it: of the orders of this run alone, without a log."""
        return NodeHistory(
            name=self.node,
            applied_index=0,
            state_digest="",
            replayed_digest="",
            common_digest="",
            audit=(),
            commits=(),
            fills=tuple(_fill(row) for row in self.fills if row["order"] in ours),
            orders=tuple(_order(row) for row in self.orders if row["id"] in ours),
        )


def _fill(row: Row) -> VenueFill:
    return VenueFill(
        symbol=str(row["symbol"]),
        trade_id=int(row["trade_id"]),
        order_id="",
        client_order_id=str(row["order"]),
        side=str(row["side"]),
        price=Decimal(row["price"]),
        quantity=Decimal(row["quantity"]),
        fee=Decimal(row["fee"]),
        fee_asset=str(row["fee_asset"]),
    )


def _order(row: Row) -> NodeOrder:
    return NodeOrder(
        client_order_id=str(row["id"]),
        symbol=str(row["symbol"]),
        venue_order_id=row["venue_order_id"],
        state=str(row["state"]),
        filled=Decimal(row["filled"]),
        in_doubt=str(row["asked"]) in DOUBT,
    )


async def face(watcher: Watcher, node: str, after: int) -> Face:
    """All of it, behind an index.  Raises ActRefused."""
    audit, gaps = await _pages(watcher, node, "audit", after)
    fills, _ = await _pages(watcher, node, "fills", after)
    orders = (await _asked(watcher, node, "orders?all=1"))["orders"]
    return Face(node, audit, fills, tuple(orders), gaps)


async def _pages(
    watcher: Watcher, node: str, what: str, after: int
) -> tuple[tuple[Row, ...], tuple[tuple[int, int], ...]]:
    """All rows, and all gaps between them."""
    found, gaps = list[Row](), set[tuple[int, int]]()
    while True:
        page = await _asked(watcher, node, f"{what}?after={after}&limit={AT_ONCE}")
        found += page[what]
        gaps |= {(int(one["first"]), int(one["last"])) for one in page["gaps"]}
        if page["next_after"] is None:
            return tuple(found), tuple(sorted(gaps))
        after = int(page["next_after"])


async def _asked(watcher: Watcher, node: str, path: str) -> dict[str, Any]:
    try:
        answer = await ask(
            watcher.client,
            "GET",
            node,
            f"{watcher.apis[node]}/api/v1/{path}",
            headers=bearer(watcher.viewer),
            timeout=ANSWER_WITHIN,
        )
        answer.raise_for_status()
        document: dict[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise ActRefused(f"{path} of {node}: {error!r}") from error
    return document
