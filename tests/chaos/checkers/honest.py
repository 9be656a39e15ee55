"""A small honest history, and the ledger and audit records that it is read from; tests doctor copies of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from attrs import evolve

from chaos.checkers.audit_trail import BEGINNING, link
from chaos.checkers.history import (
    AuditRecord,
    History,
    LocalCommit,
    NodeHistory,
    NodeOrder,
    Request,
    VenueFill,
    VenueOrder,
)
from chaos.checkers.verdict import Check
from meltica.core import ids
from meltica.core.values import Epoch, Index

CLUSTER = "a1b2c3"
ACCOUNT = "main"


def cid(epoch: int, index: int, place: int = 0) -> str:
    return str(ids.make_id(CLUSTER, Epoch(epoch), Index(index), place))


PLACED = cid(1, 10)
CANCEL = cid(1, 12)
SECOND = cid(2, 20)
IN_MANDATE = str(ids.mandate_id(CLUSTER, Epoch(1), Index(5), 0))


def request(seq: int, node: str, method: str, client_order_id: str, at: int, **sent: Any) -> Request:
    return evolve(Request(seq, node, method, client_order_id, at, at + 10, "accepted", None), **sent)


ORDER: dict[str, Any] = {"symbol": "BTCUSDT", "side": "BUY", "quantity": Decimal("0.1"), "price": Decimal(60000)}
SUBMITTED = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.1", "price": "60000", "reference": "60000"}
LIMITS = {"open_orders_symbol": 2, "open_orders": 3, "position": "618000"}
FILLED = {
    "symbol": "BTCUSDT",
    "trade_id": 7,
    "order": SECOND,
    "venue_order_id": "501",
    "side": "BUY",
    "quantity": "0.1",
    "price": "60000",
    "fee": "0.0001",
    "fee_asset": "BTC",
}
GONE: dict[str, Any] = {"symbol": "BTCUSDT", "names": ("500",)}


def record(index: int, term: int, kind: str, intents: tuple[str, ...] = (), **command: Any) -> AuditRecord:
    return AuditRecord(index, term, 0, kind, command, True, intents, f"chain{index}")


FILL = VenueFill("BTCUSDT", 7, "501", SECOND, "BUY", Decimal(60000), Decimal("0.1"), Decimal("0.0001"), "BTC")


def linked(*records: AuditRecord) -> tuple[AuditRecord, ...]:
    """The records with the chain that they make."""
    chain, found = BEGINNING, []
    for one in records:
        chain = link(chain, one)
        found.append(evolve(one, chain=chain.hex()))
    return tuple(found)


AUDIT = linked(
    record(4, 1, "configured", limits=LIMITS),
    record(5, 1, "authority_taken"),
    record(10, 1, "submit", (PLACED,), **SUBMITTED),
    record(11, 1, "answered", intent=PLACED, accepted=True, venue_order_id="500"),
    record(12, 1, "cancel", (CANCEL,), order=PLACED),
    record(13, 1, "answered", intent=CANCEL, accepted=True),
    record(14, 1, "order_updated", order=PLACED, symbol="BTCUSDT", venue_order_id="500", status="cancelled"),
    record(20, 2, "submit", (SECOND,), **SUBMITTED),
    record(21, 2, "fill_seen", **FILLED),
)
ORDERS = (
    NodeOrder(PLACED, "BTCUSDT", "500", "cancelled", Decimal(0), in_doubt=False),
    NodeOrder(SECOND, "BTCUSDT", "501", "filled", Decimal("0.1"), in_doubt=False),
)
OPENING = (("BTC", Decimal(10)), ("USDT", Decimal(100_000)))
HELD = (("BTC", Decimal("10.0999")), ("USDT", Decimal(94_000)))  # 0.1 bought at 60,000, the fee taken in BTC
ASSETS = (("BTCUSDT", "BTC", "USDT"),)
COMMITS = {
    "n1": (LocalCommit(10, 1, 90, (PLACED,)), LocalCommit(12, 1, 190, (CANCEL,))),
    "n2": (LocalCommit(20, 2, 290, (SECOND,)),),
    "n3": (),
}


def honest() -> History:
    return History(
        account=ACCOUNT,
        cluster=CLUSTER,
        requests=(
            request(1, "n1", "order.place", PLACED, 100, **ORDER),
            request(2, "n1", "order.cancel", CANCEL, 200, **GONE),
            request(3, "n2", "order.place", SECOND, 300, **ORDER),
        ),
        fills=(FILL,),
        orders=(
            VenueOrder("BTCUSDT", "500", PLACED, "CANCELED", Decimal(0)),
            VenueOrder("BTCUSDT", "501", SECOND, "FILLED", Decimal("0.1")),
        ),
        nodes=tuple(
            NodeHistory(name, 21, "d1", "d1", "c1", AUDIT, COMMITS[name], (FILL,), ORDERS, OPENING, HELD, ASSETS)
            for name in ("n1", "n2", "n3")
        ),
    )


def with_request(history: History, changed: Request) -> History:
    """The history with one more request, or another in the place of the one with the same seq."""
    kept = tuple(r for r in history.requests if r.seq != changed.seq)
    return evolve(history, requests=(*kept, changed))


def with_node(history: History, name: str, **changes: Any) -> History:
    nodes = tuple(evolve(node, **changes) if node.name == name else node for node in history.nodes)
    return evolve(history, nodes=nodes)


def fails(check: Check, word: str) -> None:
    """The check failed, and says why."""
    assert not check.held
    assert any(word in violation for violation in check.violations), check.violations
