"""Naming: of a ledger and audit trails, only what a violation names.

Pure.  A violation is a sentence; what it names are requests by their number, client order ids, an operator's own
requests, trades and indexes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from chaos.checkers.history import AuditRecord, NodeHistory
from chaos.report.incident import Line
from chaos.rig.asked import request_of

_REQUESTS = re.compile(r"requests? (\d+)(?: and again as (\d+))?")
_ID = re.compile(r"\b[0-9a-f]{32}\b")  # an order's, or what an operator called his request
_INDEX = re.compile(r"\bindex(?:es)? (\d+)")
_TRADE = re.compile(r"\btrade (\d+)(?: of (\w+))?")
_SHOWN: Final = (  # of a ledger's record, in this order
    "type",
    "kind",
    "action",
    "target",
    "method",
    "symbol",
    "side",
    "quantity",
    "price",
    "client_order_id",
    "orig_client_order_id",
    "order_id",
    "trade_id",
    "status",
    "executed_quantity",
    "outcome",
    "code",
    "answered",
)


@frozen
class Named:
    """What a violation names."""

    requests: frozenset[int]
    ids: frozenset[str]
    indexes: frozenset[int]
    trades: frozenset[tuple[int, str]]  # a trade's id and its symbol ("" if it is not said)

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to look for."""
        return not (self.requests or self.ids or self.indexes or self.trades)


def named_in(violation: str) -> Named:
    """Read off the sentence."""
    requests = {int(number) for found in _REQUESTS.findall(violation) for number in found if number}
    trades = {(int(number), symbol) for number, symbol in _TRADE.findall(violation)}
    indexes = {int(number) for number in _INDEX.findall(violation)}
    return Named(frozenset(requests), frozenset(_ID.findall(violation)), frozenset(indexes), frozenset(trades))


def by_name(violation: str, ledger: Sequence[Mapping[str, Any]], nodes: Sequence[NodeHistory]) -> list[Line]:
    """The lines that it names, the ledger's by time and then the trails'."""
    named = named_in(violation)
    if named.nothing:
        return []
    named = _with_ids_of_orders(_with_ids_of_requests(named, ledger), nodes)
    return [*_of_ledger(named, ledger), *_of_trails(named, nodes)]


def _with_ids_of_requests(named: Named, ledger: Sequence[Mapping[str, Any]]) -> Named:
    """A request that is named by its number is of an order: the rest of that order's life belongs to it."""
    found = {
        str(record["client_order_id"])
        for record in ledger
        if record.get("seq") in named.requests and record.get("client_order_id")
    }
    return Named(named.requests, named.ids | found, named.indexes, named.trades)


def _with_ids_of_orders(named: Named, nodes: Iterable[NodeHistory]) -> Named:
    """What came of an operator's request belongs to it."""
    asked = (record for node in nodes for record in node.audit if request_of(record.command) in named.ids)
    found = {intent for record in asked for intent in record.intents}
    return Named(named.requests, named.ids | found, named.indexes, named.trades)


def _of_ledger(named: Named, ledger: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
    for record in ledger:
        trade = (record.get("trade_id"), record.get("symbol"))
        if (
            record.get("seq") in named.requests
            or record.get("client_order_id") in named.ids
            or record.get("orig_client_order_id") in named.ids
            or trade in named.trades
            or (trade[0], "") in named.trades
        ):
            yield Line(f"ledger {record['seq']}", int(record["mono_ns"]), _words(record))


def _words(record: Mapping[str, Any]) -> str:
    said = [f"{key}={record[key]}" for key in _SHOWN if record.get(key) is not None and key != "type"]
    sender = str(record.get("user_agent") or "").partition("(")[2].rstrip(")")
    return " ".join([str(record.get("type")), *([f"from={sender}"] if sender else []), *said])


def _of_trails(named: Named, nodes: Iterable[NodeHistory]) -> Iterator[Line]:
    """Trails that say the same are shown once, with the names of all that say it."""
    said: dict[tuple[int, str], list[str]] = {}
    for node in nodes:
        for record in node.audit:
            if _is_named(record, named):
                said.setdefault((record.index, _entry(record)), []).append(node.name)
    for (index, text), names in sorted(said.items()):
        yield Line(f"audit {', '.join(names)} at {index}", None, text)


def _is_named(record: AuditRecord, named: Named) -> bool:
    trade, symbol = record.command.get("trade_id"), record.command.get("symbol")
    return (
        record.index in named.indexes
        or not named.ids.isdisjoint((*record.intents, str(record.command.get("order")), request_of(record.command)))
        or (trade is not None and not named.trades.isdisjoint({(int(trade), str(symbol)), (int(trade), "")}))
    )


def _entry(record: AuditRecord) -> str:
    command = json.dumps(dict(record.command), sort_keys=True, default=str)
    ordered = f" orders {', '.join(record.intents)}" if record.intents else ""
    return f"term {record.term} {record.kind} {'accepted' if record.accepted else 'rejected'} {command}{ordered}"
