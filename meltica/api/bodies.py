"""Bodies: an action's request body, from bytes to a typed wish.

Only parsing may live here: pure, total, and it trusts nothing.  Whatever the bytes, `action_of` returns an
Action or raises BadBody, which names the field, what was found and what is allowed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final, NoReturn, TypeVar

from attrs import define, field

from meltica.api.ports import (
    Action,
    CancelOrders,
    HaltTrading,
    KillTrading,
    Promote,
    ReduceOnly,
    ResumeTrading,
    SetMode,
    SubmitOrder,
    Wish,
)
from meltica.core.commands import By
from meltica.core.values import (
    BadValue,
    ClientOrderId,
    Mode,
    OrderType,
    RequestId,
    Side,
    StrategyId,
    Symbol,
    TimeInForce,
    Venue,
    decimal_of,
)

MAX_BODY: Final = 64 * 1024  # bytes; the largest honest one is under a kilobyte
ID: Final = r"[A-Za-z0-9_.:-]{1,64}"
NAME: Final = r"[a-z][a-z0-9_-]{0,30}"
CAUSE: Final = r"[A-Za-z0-9_.:-]{1,64}"
SYMBOL: Final = r"[A-Z0-9]{2,20}"
CLIENT_ORDER_ID: Final = r"[0-9a-f]{32}"
TEXT: Final = 500  # characters of a reason
BIGGEST: Final = 2**63 - 1

Word = TypeVar("Word", Mode, Side, OrderType, TimeInForce)


class BadBody(ValueError):
    """A body that asks for nothing that could be done; the message says why."""


def action_of(kind: str, raw: bytes, role: str) -> Action:
    """The action that `raw` asks for on the path `kind`, by someone who holds `role`'s token.

    Raises BadBody; KeyError where there is no action of that kind.
    """
    parse = WISHES[kind]
    fields = _Fields(_object(raw))
    request = fields.text("request_id", ID, "1 to 64 letters, digits, or _ . : -")
    reason = fields.reason()
    actor = fields.optional_text("actor", r"[\w.@-]{1,64}", "1 to 64 letters, digits, or _ . @ -")
    dry_run = fields.flag("dry_run")
    wish = parse(fields)
    fields.finish()
    by = By(request=RequestId(request), actor=f"{role}:{actor}" if actor else role, reason=reason)
    return Action(wish=wish, by=by, dry_run=dry_run)


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


@define
class _Fields:
    """The body's fields, each asked for once."""

    body: Mapping[str, object]
    asked: list[str] = field(factory=list)

    def get(self, key: str) -> object:
        self.asked.append(key)
        return self.body.get(key)

    def bad(self, key: str, found: object, allowed: str) -> NoReturn:
        what = "nothing" if found is None else f"{found!r:.60}"
        raise BadBody(f"{key}: found {what}; allowed: {allowed}")

    def text(self, key: str, pattern: str, allowed: str) -> str:
        found = self.get(key)
        if not isinstance(found, str) or not re.fullmatch(pattern, found):
            self.bad(key, found, allowed)
        return found

    def optional_text(self, key: str, pattern: str, allowed: str) -> str | None:
        if self.body.get(key) is None:
            self.asked.append(key)
            return None
        return self.text(key, pattern, allowed)

    def reason(self) -> str:
        found = self.get("reason")
        if not isinstance(found, str) or not found.strip() or len(found) > TEXT or not found.isprintable():
            self.bad("reason", found, f"why, in 1 to {TEXT} printable characters; it goes to the audit trail")
        return found.strip()

    def flag(self, key: str) -> bool:
        found = self.get(key)
        if found is not None and not isinstance(found, bool):
            self.bad(key, found, "true or false")
        return bool(found)

    def whole(self, key: str) -> int | None:
        found = self.get(key)
        if found is None:
            return None
        if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= BIGGEST:
            self.bad(key, found, "a whole number, 0 or more")
        return found

    def word(self, key: str, words: type[Word], default: Word | None = None) -> Word:
        found = self.get(key)
        if found is None and default is not None:
            return default
        try:
            return words(str(found))
        except ValueError:
            self.bad(key, found, ", ".join(words))

    def amount(self, key: str) -> Decimal:
        found = self.get(key)
        try:
            value = decimal_of(found)
        except BadValue as error:
            raise BadBody(f"{key}: {error}") from None
        if value <= 0:
            self.bad(key, found, "a decimal above 0, as text")
        return value

    def finish(self) -> None:
        unknown = sorted(set(self.body) - set(self.asked))
        if unknown:
            raise BadBody(f"unknown field {unknown[0]!r:.60}; allowed: {', '.join(self.asked)}")


# --- one parser a kind ----------------------------------------------------------------------------------------


def _promote(fields: _Fields) -> Promote:
    return Promote(node=fields.optional_text("node", NAME, "a node's name"), epoch=fields.whole("epoch"))


def _cause(fields: _Fields) -> str:
    return fields.optional_text("cause", CAUSE, "1 to 64 letters, digits, or _ . : -") or "operator"


def _halt(fields: _Fields) -> HaltTrading:
    return HaltTrading(cause=_cause(fields), leave_quotes=fields.flag("leave_quotes"))


def _reduce(fields: _Fields) -> ReduceOnly:
    return ReduceOnly(cause=_cause(fields))


def _resume(fields: _Fields) -> ResumeTrading:
    allowed = "a list of the causes to lift, as `status` shows them"
    found = fields.get("causes")
    causes = found if isinstance(found, list) else []
    good = tuple(cause for cause in causes if isinstance(cause, str) and 0 < len(cause) <= TEXT)
    if not good or len(good) != len(causes):
        fields.bad("causes", found, allowed)
    risk_index = fields.whole("risk_index")
    if risk_index is None:
        fields.bad("risk_index", None, "the risk index that `status` showed with these causes")
    return ResumeTrading(causes=good, risk_index=risk_index)


def _kill(fields: _Fields) -> KillTrading:
    return KillTrading(cause=_cause(fields), without_quorum=fields.flag("without_quorum"))


def _mode(fields: _Fields) -> SetMode:
    return SetMode(mode=fields.word("mode", Mode))


def _cancel(fields: _Fields) -> CancelOrders:
    order = fields.optional_text("order", CLIENT_ORDER_ID, "a client order id: 32 lower-case hex digits")
    strategy = fields.optional_text("strategy", NAME, "a strategy's id")
    symbol = fields.optional_text("symbol", SYMBOL, "a symbol, like BTCUSDT")
    everything = fields.flag("all")
    if order and (strategy or symbol or everything):
        fields.bad("order", order, "one order, or `strategy`, `symbol` or `all`, not both")
    if not (order or strategy or symbol or everything):
        fields.bad("order", None, "an order, a strategy, a symbol, or `all`: true")
    return CancelOrders(
        order=ClientOrderId(order) if order else None,
        strategy=StrategyId(strategy) if strategy else None,
        symbol=Symbol(symbol) if symbol else None,
    )


def _submit(fields: _Fields) -> SubmitOrder:
    order_type = fields.word("type", OrderType)
    limit = order_type is OrderType.LIMIT
    price = fields.amount("price") if limit else None
    if not limit and fields.get("price") is not None:
        fields.bad("price", fields.body["price"], "none: a market order has no price")
    return SubmitOrder(
        venue=Venue(fields.text("venue", NAME, "a venue's name in the settings")),
        symbol=Symbol(fields.text("symbol", SYMBOL, "a symbol, like BTCUSDT")),
        side=fields.word("side", Side),
        order_type=order_type,
        quantity=fields.amount("quantity"),
        price=price,
        time_in_force=fields.word("time_in_force", TimeInForce, TimeInForce.GTC if limit else TimeInForce.IOC),
        post_only=fields.flag("post_only"),
        strategy=StrategyId(fields.optional_text("strategy", NAME, "a strategy's id") or "operator"),
    )


WISHES: Final[Mapping[str, Callable[[_Fields], Wish]]] = {
    "promote": _promote,
    "halt": _halt,
    "reduce": _reduce,
    "resume": _resume,
    "kill": _kill,
    "mode": _mode,
    "cancel": _cancel,
    "submit": _submit,
}
