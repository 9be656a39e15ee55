"""Pages: the audit trail, and the fills that it tells of, as a node's HTTP API gives them: a page after another.

Only reading may live here.  A page says where this node has no records because a snapshot was installed: other nodes
have them.  The newest rows are read from the end, in growing steps back, so that a long trail costs no more than a
short one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attrs import define

from cluster.store import StoreFault
from meltica.api.ports import Page, ReadFault, Row
from meltica.archive.records import Record, gap_row
from meltica.archive.trail import Trail
from meltica.core.state import State

AUDIT_SCAN: Final = 20_000  # audit records looked through for one page of fills
BACK_SCAN: Final = 5_000  # and from the end back, where a page is asked of every node at once
SPAN: Final = 64  # entries of the first step back
WIDEST: Final = 2_048  # and of the longest


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

    async def newest_fills(self, count: int, before: int | None) -> Page:
        """The newest fills of entries below `before` (None: up to now), oldest of them first."""
        return await self._newest(count, before, lambda one: is_new_fill(one.document), self._fill)

    async def newest_audit(self, count: int, before: int | None) -> Page:
        """The newest audit records of entries below `before` (None: up to now), oldest of them first."""
        return await self._newest(count, before, lambda _: True, _audit)

    async def newest_stop(self, strategy: str) -> int | None:
        """When the log was told last that this strategy is stopped; None: not among its newest records.

        Raises ReadFault.
        """

        def wanted(one: Record) -> bool:
            document = one.document
            return document["kind"] == "strategy_stopped" and bool(document["command"]["strategy"] == strategy)

        before: int | None = None
        for _ in range(AUDIT_SCAN // BACK_SCAN):
            page = await self._newest(1, before, wanted, _audit)
            if page.rows:
                return int(str(page.rows[-1]["wall_ns"]))
            before = page.next_before
            if before is None:
                break
        return None

    async def _newest(
        self,
        count: int,
        before: int | None,
        wanted: Callable[[Record], bool],
        row: Callable[[Mapping[str, Any]], Row],
    ) -> Page:
        """As few whole entries as hold `count` of the wanted, or what was found when enough was looked through."""
        end = int(self.state.index) if before is None else before - 1
        found: list[Record] = []
        after, scanned, span = end, 0, SPAN
        while after > 0 and len(found) < count and scanned < BACK_SCAN:
            last, after = after, max(0, after - span)
            records = await self._between(after, last)
            found[:0] = [one for one in records if wanted(one)]
            scanned, span = scanned + len(records), min(2 * span, WIDEST)
        found, whole = _newest_of(found, count), len(found)
        if len(found) < whole:
            after = found[0].index - 1
        gaps = self._gaps(after, None if before is None else end)
        rows = [row(one.document) for one in found]
        return Page(rows, end if before is None else None, gaps, next_before=after + 1 if after else None)

    async def _read(self, after: int, limit: int) -> list[Record]:
        try:
            return await self.trail.page(after, limit)
        except StoreFault as fault:
            raise _unreadable(fault) from fault

    async def _between(self, after: int, last: int) -> list[Record]:
        try:
            return await self.trail.between(after, last)
        except StoreFault as fault:
            raise _unreadable(fault) from fault

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
            "wall_ns": record["at"],
        }


def _unreadable(fault: StoreFault) -> ReadFault:
    return ReadFault(str(fault), "Read runbooks/archive-stands.md; another node may show it: --node.")


def _newest_of(found: Sequence[Record], count: int) -> list[Record]:
    """The newest `count`, and what else is of the same entry as the oldest of them."""
    if len(found) <= count:
        return list(found)
    oldest = found[-count].index
    return [one for one in found if one.index >= oldest]


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
