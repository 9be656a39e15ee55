"""Bodies: an action's request body, from bytes to a typed wish.

Only the bodies' shapes and their parsing may live here: pure, total, and it trusts nothing.  Whatever the bytes,
`action_of` returns an Action or raises BadBody, which names every field that does not fit, what was found in it and
what is allowed.  A null is as good as an absent field.
"""

from __future__ import annotations

import abc
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Final, NoReturn

from attrs import evolve, fields_dict, frozen

from cluster import hosts
from meltica.api.ports import (
    Action,
    ActivateVersion,
    ApproveBuild,
    ApproveOpening,
    CancelOrders,
    HaltTrading,
    KillTrading,
    Promote,
    ReduceOnly,
    ReplaceNode,
    ResumeTrading,
    Role,
    SetMode,
    SkipEntry,
    StartStrategy,
    StopStrategy,
    SubmitOrder,
    TakeSnapshot,
    Wish,
)
from meltica.core.commands import By
from meltica.core.values import (
    ClientOrderId,
    Mode,
    OrderType,
    RequestId,
    Side,
    StrategyId,
    Symbol,
    TimeInForce,
    Venue,
    text_of,
)
from meltica.structure import Rule, Unfit, Wrong, matching, read, strict_converter

MAX_BODY: Final = 64 * 1024  # bytes; the largest honest one is under a kilobyte
ID: Final = r"[A-Za-z0-9_.:-]{1,64}"
NAME: Final = r"[a-z][a-z0-9_-]{0,30}"
TEXT: Final = 500  # characters of a reason
BIGGEST: Final = 2**63 - 1
TOLD: Final = 10  # misfits in one answer

Id = matching(ID, "1 to 64 letters, digits, or _ . : -")
Reason = Rule(
    f"why, in 1 to {TEXT} printable characters; it goes to the audit trail",
    lambda text: bool(text.strip()) and len(text) <= TEXT and text.isprintable(),
)
Actor = matching(r"[\w.@-]{1,64}", "1 to 64 letters, digits, or _ . @ -")
Whole = Rule("a whole number, 0 or more", lambda number: 0 <= number <= BIGGEST)
Keep = Rule("how many of the log's newest entries stay, 100 or more", lambda number: 100 <= number <= BIGGEST)
RiskIndex = Rule("the risk index that `status` showed with these causes", lambda number: 0 <= number <= BIGGEST)
Cause = Rule("a cause to lift, as `status` shows it", lambda text: 0 < len(text) <= TEXT)
Causes = Rule("a list of the causes to lift, as `status` shows them", bool)
Order = matching(r"[0-9a-f]{32}", "a client order id: 32 lower-case hex digits")
Strategy = matching(NAME, "a strategy's id")
Digest = matching(r"[0-9a-f]{64}|", "the entry's digest, 64 lower-case hex digits, as `status` shows it")
Build = matching(r"[A-Za-z0-9_.:+-]{1,128}", "1 to 128 letters, digits, or _ . : + -, as `meltica version show` has it")
Node = matching(NAME, "a node's name")
HostPort = Rule(f"host:port, as its peers dial it; {hosts.WORDS}", lambda text: not hosts.fault(text))
Pair = matching(r"[A-Z0-9]{2,20}", "a symbol, like BTCUSDT")
Amount = Rule('a decimal above 0, as text, like "1.5", at most 18 digits a side', lambda amount: amount > 0)


Held = Rule('a decimal, 0 or more, as text, like "1.5", at most 18 digits a side', lambda amount: amount >= 0)
Balances = Rule("what `status` shows under openings: an amount an asset", bool)


class BadBody(ValueError):
    """A body that asks for nothing that could be done; the message says why."""


# --- one shape a kind -----------------------------------------------------------------------------------------


@frozen(kw_only=True)
class _Body(abc.ABC):
    """What every body has."""

    request_id: Annotated[RequestId, Id]
    reason: Annotated[str, Reason]
    actor: Annotated[str, Actor] | None = None
    dry_run: bool = False

    @property
    @abc.abstractmethod
    def wish(self) -> Wish:
        """What is asked for."""


@frozen(kw_only=True)
class _Promote(_Body):
    node: Annotated[str, Node] | None = None
    epoch: Annotated[int, Whole] | None = None

    @property
    def wish(self) -> Promote:
        return Promote(node=self.node, epoch=self.epoch)


@frozen(kw_only=True)
class _Halt(_Body):
    cause: Annotated[str, Id] = "operator"
    leave_quotes: bool = False

    @property
    def wish(self) -> HaltTrading:
        return HaltTrading(cause=self.cause, leave_quotes=self.leave_quotes)


@frozen(kw_only=True)
class _Reduce(_Body):
    cause: Annotated[str, Id] = "operator"

    @property
    def wish(self) -> ReduceOnly:
        return ReduceOnly(cause=self.cause)


@frozen(kw_only=True)
class _Resume(_Body):
    causes: Annotated[tuple[Annotated[str, Cause], ...], Causes]
    risk_index: Annotated[int, RiskIndex]

    @property
    def wish(self) -> ResumeTrading:
        return ResumeTrading(causes=self.causes, risk_index=self.risk_index)


@frozen(kw_only=True)
class _Kill(_Body):
    cause: Annotated[str, Id] = "operator"
    without_quorum: bool = False

    @property
    def wish(self) -> KillTrading:
        return KillTrading(cause=self.cause, without_quorum=self.without_quorum)


@frozen(kw_only=True)
class _Mode(_Body):
    mode: Mode

    @property
    def wish(self) -> SetMode:
        return SetMode(mode=self.mode)


@frozen(kw_only=True)
class _Cancel(_Body):
    order: Annotated[ClientOrderId, Order] | None = None
    strategy: Annotated[StrategyId, Strategy] | None = None
    symbol: Annotated[Symbol, Pair] | None = None
    all: bool = False

    def __attrs_post_init__(self) -> None:
        several = bool(self.strategy or self.symbol or self.all)
        if self.order and several:
            raise Wrong(f"{self.order!r}", "one order, or `strategy`, `symbol` or `all`, not both", "order")
        if not self.order and not several:
            raise Wrong("nothing", "an order, a strategy, a symbol, or `all`: true", "order")

    @property
    def wish(self) -> CancelOrders:
        return CancelOrders(order=self.order, strategy=self.strategy, symbol=self.symbol)


@frozen(kw_only=True)
class _Submit(_Body):
    venue: Annotated[Venue, matching(NAME, "a venue's name in the settings")]
    symbol: Annotated[Symbol, Pair]
    side: Side
    type: OrderType
    quantity: Annotated[Decimal, Amount]
    price: Annotated[Decimal, Amount] | None = None
    time_in_force: TimeInForce | None = None
    post_only: bool = False
    strategy: Annotated[StrategyId, Strategy] = StrategyId("operator")

    def __attrs_post_init__(self) -> None:
        if self.limit and self.price is None:
            raise Wrong("nothing", f"{Amount.allowed} (a limit order needs it)", "price")
        if not self.limit and self.price is not None:
            raise Wrong(f"{text_of(self.price)!r}", "none: a market order has no price", "price")

    @property
    def limit(self) -> bool:
        return self.type is OrderType.LIMIT

    @property
    def wish(self) -> SubmitOrder:
        return SubmitOrder(
            venue=self.venue,
            symbol=self.symbol,
            side=self.side,
            order_type=self.type,
            quantity=self.quantity,
            price=self.price,
            time_in_force=self.time_in_force or (TimeInForce.GTC if self.limit else TimeInForce.IOC),
            post_only=self.post_only,
            strategy=self.strategy,
        )


@frozen(kw_only=True)
class _Skip(_Body):
    index: Annotated[int, Whole]
    digest: Annotated[str, Digest] = ""

    @property
    def wish(self) -> SkipEntry:
        return SkipEntry(index=self.index, digest=self.digest, role=Role.OPERATOR)


@frozen(kw_only=True)
class _Version(_Body):
    version: Annotated[int, Whole]

    @property
    def wish(self) -> ActivateVersion:
        return ActivateVersion(version=self.version)


@frozen(kw_only=True)
class _Approve(_Body):
    build: Annotated[str, Build]
    config: Annotated[str, Build]
    only: bool = False
    in_advance: bool = False

    @property
    def wish(self) -> ApproveBuild:
        return ApproveBuild(build=self.build, config=self.config, only=self.only, in_advance=self.in_advance)


@frozen(kw_only=True)
class _Opening(_Body):
    venue: Annotated[Venue, matching(NAME, "a venue's name in the settings")]
    balances: Annotated[dict[str, Annotated[Decimal, Held]], Balances]

    @property
    def wish(self) -> ApproveOpening:
        return ApproveOpening(venue=self.venue, balances=tuple(sorted(self.balances.items())))


@frozen(kw_only=True)
class _Start(_Body):
    strategy: Annotated[StrategyId, Strategy]

    @property
    def wish(self) -> StartStrategy:
        return StartStrategy(strategy=self.strategy)


@frozen(kw_only=True)
class _Stop(_Body):
    strategy: Annotated[StrategyId, Strategy]

    @property
    def wish(self) -> StopStrategy:
        return StopStrategy(strategy=self.strategy)


@frozen(kw_only=True)
class _Replace(_Body):
    old: Annotated[str, Node]
    new: Annotated[str, Node]
    address: Annotated[str, HostPort] | None = None
    give_up: bool = False

    def __attrs_post_init__(self) -> None:
        if self.old == self.new:
            raise Wrong(f"{self.new!r}", "another name: a removed node never comes back", "new")
        if self.address is None and not self.give_up:
            raise Wrong("nothing", HostPort.allowed, "address")

    @property
    def wish(self) -> ReplaceNode:
        return ReplaceNode(old=self.old, new=self.new, address=self.address or "", give_up=self.give_up)


@frozen(kw_only=True)
class _Snapshot(_Body):
    keep: Annotated[int, Keep] = 1000

    @property
    def wish(self) -> TakeSnapshot:
        return TakeSnapshot(keep=self.keep)


WISHES: Final[Mapping[str, type[_Body]]] = {
    "promote": _Promote,
    "halt": _Halt,
    "reduce": _Reduce,
    "resume": _Resume,
    "kill": _Kill,
    "mode": _Mode,
    "cancel": _Cancel,
    "submit": _Submit,
    "skip": _Skip,
    "version": _Version,
    "approve": _Approve,
    "opening": _Opening,
    "start": _Start,
    "stop": _Stop,
    "replace": _Replace,
    "snapshot": _Snapshot,
}
SECONDED: Final = frozenset({"skip"})  # what an approver may ask for as well: it needs both roles
CONVERTER: Final = strict_converter()


# --- from bytes -----------------------------------------------------------------------------------------------


def action_of(kind: str, raw: bytes, role: str) -> Action:
    """The action that `raw` asks for on the path `kind`, by someone who holds `role`'s token.

    Raises BadBody; KeyError where there is no action of that kind.
    """
    shape = WISHES[kind]
    known = fields_dict(shape)
    given = {key: value for key, value in _object(raw).items() if value is not None or key not in known}
    try:
        body = read(CONVERTER, given, shape)
    except Unfit as unfit:
        raise BadBody(_told(unfit)) from None
    actor = f"{role}:{body.actor}" if body.actor else role
    by = By(request=body.request_id, actor=actor, reason=body.reason.strip())
    wish = body.wish
    if isinstance(wish, SkipEntry):
        wish = evolve(wish, role=Role(role))
    return Action(wish=wish, by=by, dry_run=body.dry_run)


def _told(unfit: Unfit) -> str:
    """All that is wrong, on one line; of very many the first."""
    told = [str(misfit) for misfit in unfit.misfits[:TOLD]]
    more = len(unfit.misfits) - len(told)
    return " | ".join([*told, f"and {more} more"] if more else told)


def _object(raw: bytes) -> Mapping[str, object]:
    if len(raw) > MAX_BODY:
        raise BadBody(f"the body has {len(raw)} bytes; allowed are {MAX_BODY}")
    try:
        document = json.loads(raw.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadBody(f"the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadBody(f"the body is a JSON {type(document).__name__}; allowed is an object")
    return document


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadBody("a key of the body appears twice")
    return found


def _no_constant(word: str) -> NoReturn:
    raise BadBody(f"{word} is no JSON value")
