"""Ledger: what the venue saw, in the order in which it decided; the ground truth of every checker.

The shapes of the records are contracts (golden files pin them).  The upper half is pure: it makes records.  The
lower half keeps them, in memory or in a file of one JSON object a line.
"""

from __future__ import annotations

import json
import os
from collections import deque
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from meltica.paper.ports import LedgerSink, Times
from meltica.paper.render import dump, status_of
from meltica.paper.types import Execution, TradeView

SCHEMA = "meltica.ledger/1"
IN_MEMORY = 20_000  # records that a file ledger answers without reading its file

REQUEST_FIELDS = (
    "transport", "method", "account", "user_agent", "client_order_id", "orig_client_order_id", "order_id", "symbol",
    "side", "order_type", "quantity", "price", "time_in_force", "timestamp_us", "recv_window_us", "received_mono_ns",
    "admitted_mono_ns", "decided_mono_ns", "outcome", "code", "answered",
)  # fmt: skip


def plain(value: Decimal) -> str:
    """An exact decimal without an exponent."""
    return format(value, "f")


def request_fields(**known: Any) -> dict[str, Any]:
    """A `request` record's fields; what is not known is null."""
    unknown = set(known) - set(REQUEST_FIELDS)
    if unknown:
        raise KeyError(f"no such fields of a request record: {sorted(unknown)}")
    return {"type": "request", **{name: known.get(name) for name in REQUEST_FIELDS}}


def order_fields(event: Execution) -> dict[str, Any]:
    """An `order` record's fields: a change of state."""
    order = event.order
    return {
        "type": "order", "order_id": order.order_id, "client_order_id": order.client_order_id,
        "account": order.account, "symbol": order.symbol, "status": status_of(order),
        "executed_quantity": plain(order.executed),
    }  # fmt: skip


def fill_fields(trade: TradeView) -> dict[str, Any]:
    """A `fill` record's fields."""
    return {
        "type": "fill", "trade_id": trade.trade_id, "order_id": trade.order_id, "client_order_id": trade.placed_as,
        "account": trade.account, "symbol": trade.symbol, "side": trade.side, "price": plain(trade.price),
        "quantity": plain(trade.quantity), "fee": plain(trade.fee), "fee_asset": trade.fee_asset,
        "maker": trade.maker,
    }  # fmt: skip


def fault_fields(kind: str, action: str, target: str) -> dict[str, Any]:
    """A `fault` record's fields; `action` is begin or end."""
    return {"type": "fault", "kind": kind, "action": action, "target": target}


class Recorder:
    """Numbers records and hands them to a sink."""

    def __init__(self, sink: LedgerSink) -> None:
        self.sink = sink
        self._seq = sink.last_seq

    def write(self, fields: dict[str, Any], now: Times) -> None:
        """Append one record, stamped `now`."""
        self._seq += 1
        self.sink.append({"schema": SCHEMA, "seq": self._seq, "mono_ns": now.mono_ns, "wall_ns": now.wall_ns, **fields})


def line(record: dict[str, Any]) -> str:
    """A record as its line, newline included."""
    return dump(record) + "\n"


class MemoryLedger:
    """Keeps every record; for tests, simulations and a venue without a file."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def append(self, record: dict[str, Any]) -> None:
        """Keep it."""
        self.records.append(record)

    def query(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Records above `after`; seq runs from 1 without a gap, so it is an index."""
        return self.records[max(0, after) : max(0, after) + limit]

    @property
    def last_seq(self) -> int:
        """The newest seq."""
        return len(self.records)


class FileLedger:
    """Appends each record to a file, handed to the system before `append` returns.

    It is not fsynced: what must be known after a power loss is the nodes' own logs, not the venue's.  A file that is
    there already is continued; a line torn by a crash is cut off.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._last = _repair(path)
        self._recent: deque[dict[str, Any]] = deque(maxlen=IN_MEMORY)
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def append(self, record: dict[str, Any]) -> None:
        """Write its line."""
        self._file.write(line(record))
        self._recent.append(record)
        self._last = record["seq"]

    def query(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Records above `after`: from memory, and for older ones from the file."""
        if self._recent and self._recent[0]["seq"] <= after + 1:
            start = max(0, after + 1 - self._recent[0]["seq"])
            return list(islice(self._recent, start, start + limit))
        with self._path.open(encoding="utf-8") as lines:
            newer = (record for record in map(json.loads, lines) if record["seq"] > after)
            return list(islice(newer, limit))

    @property
    def last_seq(self) -> int:
        """The newest seq in the file."""
        return self._last

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _repair(path: Path) -> int:
    """Cut a torn last line off; the last whole line's seq, 0 if there is none."""
    if not path.exists():
        return 0
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)
    if not whole:
        return 0
    last = data[:whole].splitlines()[-1]
    try:
        return int(json.loads(last)["seq"])
    except (ValueError, KeyError, TypeError) as broken:
        raise ValueError(
            f"{path} is no ledger: its last line is {last[:80]!r}; move it away or name another"
        ) from broken
