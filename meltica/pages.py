"""Pages: the audit trail, and the fills that it tells of, as a node's HTTP API gives them: a page after another.

Only reading may live here.  A page says where this node has no records because a snapshot was installed: other nodes
have them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import define

from cluster.store import StoreFault
from meltica.api.ports import Page, ReadFault, Row
from meltica.archive.records import Record, gap_row
from meltica.archive.trail import Trail
from meltica.core.state import State

AUDIT_SCAN: Final = 20_000  # audit records looked through for one page of fills


@define(eq=False)
class Pages:
    """One node's."""

    trail: Trail
    state: State

    async def fills(self, after: int, limit: int) -> Page:
        """Fills in the order in which the log took them; `seq` is the entry's index."""
        rows: list[Row] = []
        scanned, last = 0, after
        while scanned < AUDIT_SCAN and (found := await self._read(last, limit)):
            for record in found:
                if len(rows) >= limit and record.index != last:
                    return Page(rows, last, self._gaps(after, last))
                last = record.index
                if is_new_fill(record.document):
                    rows.append(self._fill(record.document))
            scanned += len(found)
        ended = scanned < AUDIT_SCAN
        return Page(rows, last if last > after else None, self._gaps(after, None if ended else last))

    async def audit(self, after: int, limit: int) -> Page:
        """Audit records; `seq` is the entry's index, so that an entry is never cut in two."""
        found = await self._read(after, limit)
        last = found[-1].index if found else None
        gaps = self._gaps(after, last if len(found) >= limit else None)
        return Page([_audit(record.document) for record in found], last, gaps)

    async def _read(self, after: int, limit: int) -> list[Record]:
        try:
            return await self.trail.page(after, limit)
        except StoreFault as fault:
            raise ReadFault(str(fault), "Read runbooks/archive-stands.md; another node may show it: --node.") from fault

    def _gaps(self, after: int, last: int | None) -> tuple[Row, ...]:
        """Where a snapshot took the place of entries, behind `after` and up to `last` (None: the end)."""
        return tuple(gap_row(one) for one in self.trail.gaps(after, last))

    def _fill(self, record: Mapping[str, Any]) -> Row:
        command = record["command"]
        keys = ("venue", "symbol", "trade_id", "order", "side", "price", "quantity", "fee", "fee_asset", "maker")
        order = self.state.orders.get(command.get("order"))
        return {
            "seq": record["index"],
            **{key: command.get(key) for key in keys},
            "strategy": order.strategy if order else None,
            "index": record["index"],
        }


def is_new_fill(record: Mapping[str, Any]) -> bool:
    """Whether an audit record is a fill's first: read-back tells a leader again what its stream had told it."""
    result = record["result"]
    return record["kind"] == "fill_seen" and bool(result["accepted"]) and not result.get("duplicate")


def _audit(record: Mapping[str, Any]) -> Row:
    command = record["command"] if record["kind"] != "garbage" else {}
    by = command.get("by") or {}
    result = record["result"]
    return {
        "seq": record["index"],
        "index": record["index"],
        "term": record["term"],
        "place": record["place"],
        "kind": record["kind"],
        "by": by.get("actor", ""),
        "reason": by.get("reason", "") or command.get("reason", ""),
        "rejection": None if result["accepted"] else f"{result.get('code')}: {result.get('text')}",
        "wall_ns": record["at"],
        "chain": record["chain"],
    }
