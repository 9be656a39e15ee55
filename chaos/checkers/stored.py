"""Stored: what nodes' stores hold at the end, as the history that the checks read.

Pure; where the stores are, files of ended processes or a simulation's heap, is their reader's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from chaos.checkers.history import (
    AuditGap,
    AuditRecord,
    ClockStep,
    History,
    LocalCommit,
    NodeHistory,
    NodeOrder,
    Sight,
    VenueFill,
    audit_of,
    fills_of,
    orders_of,
    replayed,
    requests_of,
)
from cluster.snapshot.faces import Gap
from meltica.core.keys import FORMS, parts_of
from meltica.core.orders import Order
from meltica.core.records import FillRecord
from meltica.core.state import State

Replay = Callable[[list[dict[str, Any]], int, tuple[int, int]], tuple[str, str]]
Audit = Callable[[list[dict[str, Any]]], tuple[AuditRecord, ...]]


@frozen
class Stored:
    """What one node's store holds."""

    name: str
    pairs: list[tuple[bytes, bytes]]
    audit: list[dict[str, Any]]
    state: State
    commits: tuple[LocalCommit, ...]  # when it had applied what it was about to send
    gaps: tuple[AuditGap, ...] = ()  # of the audit trail, as its disk says
    installed: frozenset[int] | None = None  # see `NodeHistory`


def gaps_of(gaps: Iterable[Gap]) -> tuple[AuditGap, ...]:
    """As a disk has them."""
    return tuple(
        AuditGap(int(gap.first), int(gap.last), gap.splice.before.hex(), gap.splice.behind.hex()) for gap in gaps
    )


def history_from(
    ledger: Sequence[Mapping[str, Any]],
    account: str,
    cluster: str,
    stored: Sequence[Stored],
    *,
    gone: Mapping[str, tuple[LocalCommit, ...]] | None = None,
    steps: tuple[ClockStep, ...] = (),
    sights: Mapping[str, Sight] | None = None,
    replay: Replay = replayed,
    audit: Audit = audit_of,
) -> History:
    """The venue's ledger and the nodes that are there at the end (none: the ledger alone); `gone` are the others."""
    common = min((int(one.state.index) for one in stored), default=0)
    return History(
        account=account,
        cluster=cluster,
        requests=requests_of(ledger, account),
        fills=fills_of(ledger, account),
        orders=orders_of(ledger, account),
        nodes=tuple(_node(one, completed(one, stored), common, replay, audit) for one in stored),
        gone=gone or {},
        steps=steps,
        sights=sights or {},
    )


def completed(stored: Stored, everybody: Sequence[Stored]) -> list[dict[str, Any]]:
    """A node's trail, and in its gaps what the others have: what it lacks elsewhere it lacks."""
    if not stored.gaps:
        return stored.audit
    rows = {_place(row): row for row in stored.audit}
    for other in everybody:
        for row in other.audit:
            if any(gap.first <= int(row["index"]) <= gap.last for gap in stored.gaps):
                rows.setdefault(_place(row), row)
    return [rows[place] for place in sorted(rows)] if len(rows) > len(stored.audit) else stored.audit


def _place(row: Mapping[str, Any]) -> tuple[int, int]:
    return int(row["index"]), int(row["place"])


def _node(stored: Stored, rows: list[dict[str, Any]], common: int, replay: Replay, audit: Audit) -> NodeHistory:
    """What a checker needs of one node; `common` is the newest index that all nodes have reached."""
    state = stored.state
    common_digest, digest = replay(rows, common, (int(state.index), int(state.term)))
    return NodeHistory(
        name=stored.name,
        applied_index=int(state.index),
        state_digest=state.digest(),
        replayed_digest=digest,
        common_digest=common_digest,
        audit=audit(rows),
        commits=stored.commits,
        fills=tuple(_fills_held(stored.pairs)),
        orders=tuple(_order(order) for order in state.orders.values()),
        openings=tuple(pair for opening in state.openings.values() for pair in sorted(opening.balances.items())),
        holdings=tuple((asset, amount) for (_, _, asset), amount in sorted(state.holdings.items())),
        assets=tuple((symbol, one.base, one.quote) for (_, symbol), one in sorted(state.instruments.items())),
        gaps=stored.gaps,
        lent=len(rows) - len(stored.audit),
        installed=stored.installed,
    )


def _fills_held(pairs: Iterable[tuple[bytes, bytes]]) -> Iterator[VenueFill]:
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
