"""A history: what the venue saw and what the nodes recorded, as the checkers read it.

Only frozen records and their readers from plain JSON may live here; no file, no clock.  The ledger's shape is
contracts.md section 4, the audit trail's is `meltica.machine`'s.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from itertools import groupby
from typing import Any

from attrs import field, frozen

from meltica.core import ids
from meltica.core.apply import ISOLATED, apply_entry, isolate_entry
from meltica.core.state import State
from meltica.core.values import Epoch, Index

# Signed methods that change no order; whatever else is signed is looked at, so that nothing slips by unnamed.
READS = frozenset(
    {
        "order.status",
        "openOrders.status",
        "allOrders",
        "myTrades",
        "account.status",
        "account.rateLimits.orders",
        "userDataStream.subscribe.signature",
        "userDataStream.unsubscribe",
    }
)
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
TERMINAL = frozenset({"FILLED", "CANCELED", "REJECTED", "EXPIRED", "EXPIRED_IN_MATCH"})


@frozen
class Request:
    """An order-changing request as the venue received it."""

    seq: int
    node: str  # from the User-Agent; "" if it names none
    method: str
    client_order_id: str
    received_ns: int
    admitted_ns: int | None
    outcome: str
    code: int | None
    symbol: str = ""
    side: str = ""
    order_type: str = ""
    quantity: Decimal | None = None
    price: Decimal | None = None
    names: tuple[str, ...] = ()  # of a cancel: the order, by our id or by the venue's

    @property
    def is_cancel(self) -> bool:
        """Whether it can only close orders."""
        return "ancel" in self.method or self.method.startswith("DELETE")


@frozen
class VenueFill:
    """One side of a match that concerns our account."""

    symbol: str
    trade_id: int
    order_id: str
    client_order_id: str
    side: str
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str

    @property
    def key(self) -> tuple[str, int]:
        """What names it for ever (rule 4), within one venue and account."""
        return (self.symbol, self.trade_id)


@frozen
class VenueOrder:
    """An order's last state at the venue.  A venue's order ids are unique within a symbol only."""

    symbol: str
    order_id: str
    placed_as: str
    status: str
    executed: Decimal

    @property
    def open(self) -> bool:
        """Whether it may still trade."""
        return self.status not in TERMINAL


@frozen
class AuditRecord:
    """One command of the log with what it did, as a node recorded it."""

    index: int
    term: int
    place: int
    kind: str
    command: Mapping[str, Any]
    accepted: bool
    intents: tuple[str, ...]
    chain: str
    cancels: frozenset[str] = frozenset()  # those of its intents that ask for an order to be gone
    duplicate: bool = False  # known before: nothing changed


@frozen
class LocalCommit:
    """When the sending node had applied the entry that ordered these sends."""

    index: int
    term: int
    mono_ns: int
    intents: tuple[str, ...]
    until_ns: int | None = None  # s + W of the sender's own clock, by the same clock as mono_ns; None: not known


@frozen
class ClockStep:
    """The venue's own clock was moved: from `at_ns` on, by the clock of `received_ns`, it is off by `off_ns`."""

    at_ns: int
    off_ns: int


@frozen
class Sight:
    """What the node that wrote a request knew of the venue's clock then: of so many steps, counted from the first."""

    dated: int  # its estimate rests on the clock behind that many
    fell: int  # it had seen that many happen, or a later one


@frozen
class NodeOrder:
    """An order of ours as one node's final state has it."""

    client_order_id: str
    symbol: str
    venue_order_id: str | None
    state: str  # OrderState's word
    filled: Decimal
    in_doubt: bool


@frozen
class AuditGap:
    """Entries whose records a node says that it never had, as a snapshot of the state after the last was installed."""

    first: int
    last: int
    before: str = ""  # the chain of the state that it replaced; "" if nothing says so, which explains no gap
    behind: str = ""  # of the one that it brought


@frozen
class NodeHistory:
    """What one node holds at the end."""

    name: str
    applied_index: int
    state_digest: str
    replayed_digest: str  # of the state that its own audit trail replays to, at that index
    common_digest: str  # the same at the newest index that all nodes have reached
    audit: tuple[AuditRecord, ...]  # what lies in its gaps as another node has it, so far as one does
    commits: tuple[LocalCommit, ...]
    fills: tuple[VenueFill, ...]  # as this node's state holds them; order ids may be empty
    orders: tuple[NodeOrder, ...]
    openings: tuple[tuple[str, Decimal], ...] = ()  # approved, by asset
    holdings: tuple[tuple[str, Decimal], ...] = ()  # by asset
    assets: tuple[tuple[str, str, str], ...] = ()  # symbol, base, quote
    gaps: tuple[AuditGap, ...] = ()
    lent: int = 0  # so many of the records are another node's
    installed: frozenset[int] | None = None  # entries whose snapshot it was seen to install; None: nobody looked


@frozen
class History:
    """Everything that a verdict is computed from."""

    account: str
    cluster: str  # the six hex digits that our ids begin with
    requests: tuple[Request, ...]
    fills: tuple[VenueFill, ...]
    orders: tuple[VenueOrder, ...]
    nodes: tuple[NodeHistory, ...] = field(factory=tuple)
    gone: Mapping[str, tuple[LocalCommit, ...]] = field(factory=dict)  # of nodes that are not there any more
    steps: tuple[ClockStep, ...] = ()  # of the venue's clock; only a simulation knows
    sights: Mapping[str, Sight] = field(factory=dict)  # of requests that were written behind a step


def node_of(user_agent: str) -> str:
    """The node in `meltica/<version> (<node>)`; "" where there is none."""
    before, bracket, rest = user_agent.partition("(")
    return rest.rstrip(")") if bracket and before.startswith("meltica/") else ""


def requests_of(ledger: Iterable[Mapping[str, Any]], account: str) -> tuple[Request, ...]:
    """The order-changing requests of an account, in the ledger's order."""
    return tuple(
        Request(
            seq=int(record["seq"]),
            node=node_of(record.get("user_agent") or ""),
            method=record["method"],
            client_order_id=record.get("client_order_id") or "",
            received_ns=int(record["received_mono_ns"]),
            admitted_ns=record.get("admitted_mono_ns"),
            outcome=record.get("outcome") or "",
            code=record.get("code"),
            symbol=record.get("symbol") or "",
            side=record.get("side") or "",
            order_type=record.get("order_type") or "",
            quantity=_amount(record.get("quantity")),
            price=_amount(record.get("price")),
            names=tuple(str(record[key]) for key in ("orig_client_order_id", "order_id") if record.get(key)),
        )
        for record in ledger
        if record["type"] == "request" and changes_orders(record["method"]) and record.get("account") == account
    )


def changes_orders(method: str) -> bool:
    """Whether a signed method is more than a read."""
    return not method.startswith("GET ") and method not in READS


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def fills_of(ledger: Iterable[Mapping[str, Any]], account: str) -> tuple[VenueFill, ...]:
    """The fills of an account, in the ledger's order."""
    return tuple(
        VenueFill(
            symbol=record["symbol"],
            trade_id=int(record["trade_id"]),
            order_id=str(record["order_id"]),
            client_order_id=record["client_order_id"],
            side=record["side"],
            price=Decimal(record["price"]),
            quantity=Decimal(record["quantity"]),
            fee=Decimal(record["fee"]),
            fee_asset=record["fee_asset"],
        )
        for record in ledger
        if record["type"] == "fill" and record["account"] == account
    )


def orders_of(ledger: Iterable[Mapping[str, Any]], account: str) -> tuple[VenueOrder, ...]:
    """The last state of every order of an account, by the first time it was seen.

    An order is known by the client id under which it was first shown: a cancel renames it later.
    """
    first: dict[tuple[str, str], str] = {}
    last: dict[tuple[str, str], VenueOrder] = {}
    for record in ledger:
        if record["type"] != "order" or record["account"] != account:
            continue
        key = (record["symbol"], str(record["order_id"]))
        placed_as = first.setdefault(key, record["client_order_id"])
        last[key] = VenueOrder(*key, placed_as, record["status"], Decimal(record["executed_quantity"]))
    return tuple(last.values())


def audit_of(records: Iterable[Mapping[str, Any]]) -> tuple[AuditRecord, ...]:
    """A node's audit trail."""
    return tuple(
        AuditRecord(
            index=int(record["index"]),
            term=int(record["term"]),
            place=int(record["place"]),
            kind=record["kind"],
            command=record["command"],
            accepted=bool(record["result"]["accepted"]),
            intents=tuple(one["intent"] for one in record["result"].get("intents", ())),
            chain=record["chain"],
            cancels=frozenset(i["intent"] for i in record["result"].get("intents", ()) if i["what"] == "cancel"),
            duplicate=bool(record["result"].get("duplicate")),
        )
        for record in records
    )


@frozen
class Named:
    """A client order id of ours, taken apart."""

    epoch: int
    index: int
    place: int

    @property
    def mandate(self) -> bool:
        """Whether it is a cancel under the cancel mandate."""
        return self.place >= ids.MANDATE_PLACE


def replayed(records: Iterable[Mapping[str, Any]], common: int, end: tuple[int, int]) -> tuple[str, str]:
    """The digests of the state that a whole audit trail replays to (rule 10): at index `common`, and at the end.

    `end` is the index and the term at which the node ended.  An entry without commands, as each new leader's first is,
    leaves no record: a node that ended behind one ended as its trail has it, at that index and term.  What is compared
    with others' at `common` is as the last record before it left it, because their terms say nothing of that entry's.

    Nobody stores this state, so its changes are never taken: what changes often is written once, for a digest.
    """
    state = State()
    shared: str | None = None
    own: str | None = None
    for index, entry in groupby(records, key=lambda record: int(record["index"])):
        if shared is None and common < index:
            shared = state.digest()
        if own is None and end[0] < index:  # what it borrowed of others goes on behind its end
            own = state.digest()
        rows = list(entry)
        term, raws = Epoch(int(rows[0]["term"])), [_raw(row) for row in rows]
        if rows[0]["kind"] == ISOLATED:
            isolate_entry(state, Index(index), term, raws, digest=str(rows[0]["result"]["value"]))
        else:
            apply_entry(state, Index(index), term, raws)
    shared = shared or state.digest()
    if state.index < end[0] and state.term <= end[1]:
        apply_entry(state, Index(end[0]), Epoch(end[1]), ())
    return shared, own or state.digest()


def canonical(command: Mapping[str, Any]) -> bytes:
    """A command as canonical JSON, written anew: its keys in order, whatever order they came in."""
    return _CANONICAL.encode(command).encode()


def _raw(record: Mapping[str, Any]) -> bytes:
    """A command's own bytes: canonical JSON, so that they can be written again."""
    if record["kind"] in {"garbage", ISOLATED}:
        return bytes.fromhex(record["command"]["hex"])
    return canonical(record["command"])


@lru_cache(1 << 14)  # many checks ask, each of the same requests
def named(text: str, cluster: str) -> Named | None:
    """The parts of an id of this cluster; None for anything else."""
    parts = ids.parse_id(text)
    if parts is None or parts.cluster != cluster:
        return None
    return Named(int(parts.epoch), int(parts.index), parts.place)
