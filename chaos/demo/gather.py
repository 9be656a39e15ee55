"""Gathering: the files that a stopped cluster leaves behind, as a `History`.

Only reading may live here.  The stores are opened read-only, so the processes must have ended.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from chaos.checkers.history import (
    History,
    LocalCommit,
    NodeHistory,
    NodeOrder,
    VenueFill,
    audit_of,
    fills_of,
    orders_of,
    replayed,
    requests_of,
)
from cluster.rocks import RocksReader, open_readonly
from cluster.types import LogIndex
from meltica.core.keys import FORMS, parts_of
from meltica.core.orders import Order
from meltica.core.records import FillRecord
from meltica.core.state import State

AUDIT_PAGE: Final = 100_000
Replay = Callable[[list[dict[str, Any]], tuple[int, ...]], dict[int, str]]


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of a file, one a line.

    A last line that was cut short, and what is no JSON (a library's traceback in a log), is passed over.
    """
    with path.open("rb") as file:
        for line in file:
            try:
                document = json.loads(line)
            except ValueError:
                continue
            if isinstance(document, dict):
                yield document


def gather(folder: Path, nodes: Iterable[str]) -> History:
    """The whole history of a demo's folder."""
    ledger = list(json_lines(folder / "ledger.jsonl"))
    account, cluster = _identity(folder)
    stored = [_stored(folder, name) for name in nodes]
    common = min(int(one.state.index) for one in stored)
    return History(
        account=account,
        cluster=cluster,
        requests=requests_of(ledger, account),
        fills=fills_of(ledger, account),
        orders=orders_of(ledger, account),
        nodes=tuple(_node(one, common, folder / "logs" / f"{one.name}.jsonl") for one in stored),
    )


def _identity(folder: Path) -> tuple[str, str]:
    """The account's name at the venue, and the cluster's six digits."""
    paper = tomllib.loads((folder / "paper.toml").read_text())
    node = tomllib.loads((folder / "nodes" / "n1" / "meltica.toml").read_text())
    return str(paper["accounts"][0]["name"]), str(node["node"]["cluster"])


@frozen
class Stored:
    """What one node's store holds."""

    name: str
    pairs: list[tuple[bytes, bytes]]
    audit: list[dict[str, Any]]
    state: State


def _stored(folder: Path, name: str) -> Stored:
    reader = open_readonly(folder / "nodes" / name / "data")
    try:
        pairs, audit = list(reader.state()), list(_audit(reader))
    finally:
        reader.close()
    return Stored(name, pairs, audit, State.load(pairs))


def _node(stored: Stored, common: int, log: Path) -> NodeHistory:
    return node_history(stored, common, commits_of(json_lines(log)))


def node_history(stored: Stored, common: int, commits: Iterable[LocalCommit], replay: Replay = replayed) -> NodeHistory:
    """What a checker needs of one node; `common` is the newest index that all nodes have reached."""
    state = stored.state
    digests = replay(stored.audit, (common, int(state.index)))
    return NodeHistory(
        name=stored.name,
        applied_index=int(state.index),
        state_digest=state.digest(),
        replayed_digest=digests[int(state.index)],
        common_digest=digests[common],
        audit=audit_of(stored.audit),
        commits=tuple(commits),
        fills=tuple(fills_held(stored.pairs)),
        orders=tuple(_order(order) for order in state.orders.values()),
        openings=tuple(pair for opening in state.openings.values() for pair in sorted(opening.balances.items())),
        holdings=tuple((asset, amount) for (_, _, asset), amount in sorted(state.holdings.items())),
        assets=tuple((symbol, one.base, one.quote) for (_, symbol), one in sorted(state.instruments.items())),
    )


def _audit(reader: RocksReader) -> Iterator[dict[str, Any]]:
    after = LogIndex(0)
    while page := reader.audit(after, AUDIT_PAGE):
        whole = page if len(page) < AUDIT_PAGE else [row for row in page if row[0] != page[-1][0]]
        yield from (json.loads(raw) for _, _, raw in whole)
        after = whole[-1][0]


def commits_of(lines: Iterable[dict[str, Any]]) -> Iterator[LocalCommit]:
    """A node's own record of when it had applied what it was about to send."""
    for line in lines:
        if line.get("event") == "intents_applied":
            intents = tuple(str(one) for one in line["intents"])
            yield LocalCommit(int(line["index"]), int(line["term"]), int(line["mono_ns"]), intents)


def fills_held(pairs: Iterable[tuple[bytes, bytes]]) -> Iterator[VenueFill]:
    """Every trade in a stored state."""
    for key, value in pairs:
        if parts_of(key)[0] == "trade":
            yield _fill(FORMS["trade"].load(value))


def _fill(record: FillRecord) -> VenueFill:
    return VenueFill(
        symbol=record.symbol,
        trade_id=int(record.trade_id),
        order_id=record.venue_order_id,
        client_order_id=record.order or "",
        side=str(record.side),
        price=record.price,
        quantity=record.quantity,
        fee=record.fee,
        fee_asset=record.fee_asset,
    )


def _order(order: Order) -> NodeOrder:
    return NodeOrder(
        client_order_id=order.id,
        symbol=order.symbol,
        venue_order_id=order.venue_order_id,
        state=str(order.state),
        filled=order.filled,
        in_doubt=bool(order.unanswered),  # in flight or in doubt: at the end, both are a doubt
    )
