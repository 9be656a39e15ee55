"""Parse: what Binance writes, as the values of `venues.base`; the account's side.

Only pure functions may live here.  Whatever the bytes say, they return a value or raise ParseFault, which says
where and what was found.  Numbers are exact decimals from their text; a time is taken as microseconds if it is
too large to be milliseconds of this millennium.  What is named or numbered here fits into the log: names are short
and printable, whole numbers have 63 bits, and a fee always has an asset.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, cast

from attrs import frozen

from meltica.core.values import (
    Asset,
    BadValue,
    Money,
    Nanos,
    Price,
    Quantity,
    Side,
    Symbol,
    TradeId,
    VenueOrderId,
    decimal_of,
    text_of,
)
from meltica.core.wire import decoding
from meltica.venues.base import (
    Accepted,
    Answer,
    BalanceReport,
    BalanceShown,
    InstrumentShown,
    OrderShown,
    Report,
    TradeShown,
    Unknown,
)
from meltica.venues.binance_spot.errors import outcome
from meltica.venues.rates import RateLimit

MILLIS_END: Final = 10**14  # milliseconds stay below this until the year 5138
MICROS_END: Final = 10**17
LARGEST: Final = (1 << 63) - 1
NAME: Final = 64

STATUSES: Final = {
    "NEW": "open",
    "PENDING_NEW": "open",
    "PARTIALLY_FILLED": "partially_filled",
    "FILLED": "filled",
    "CANCELED": "cancelled",
    "PENDING_CANCEL": "open",  # "currently unused" by the pages; an order that is not gone is open
    "REJECTED": "rejected",
    "EXPIRED": "expired",
    "EXPIRED_IN_MATCH": "expired",
}


class ParseFault(ValueError):
    """The venue wrote what it should not; the message says where and what was found."""


@frozen
class SocketAnswer:
    """One answer of the WebSocket API.  `retry_after` and `server_time` are the venue's Unix time, nanoseconds."""

    id: str | None
    status: int
    result: object
    code: int | None
    text: str
    retry_after: Nanos | None
    limits: tuple[RateLimit, ...]
    server_time: Nanos | None = None  # when it said so; with a `retry_after` only, if at all

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.status == 200


@frozen
class Notice:
    """An event that is about the stream or of no account of ours: `word` is its type."""

    word: str


UserEvent = Report | BalanceReport | Notice


@frozen
class Told:
    """One event, and the subscription that it was told under, if it names one: a connection may have several.

    One that cannot be read is no fault of the frame's: it may be somebody else's.
    """

    event: UserEvent | ParseFault
    subscription: str | None


# --- plain JSON -----------------------------------------------------------------------------------------------


def json_of(raw: str | bytes) -> object:
    """The JSON document in `raw`; floats stay exact."""
    try:
        text = raw if isinstance(raw, str) else raw.decode(json.detect_encoding(raw), "surrogatepass")
        return cast("object", _DECODE(text))
    except (ValueError, RecursionError) as fault:
        raise ParseFault(f"not JSON ({type(fault).__name__}): {raw[:80]!r}") from None


def _no_constant(word: str) -> object:
    raise ValueError(word)


# Made once: json.loads would make one a call.
_DECODE: Final = decoding(json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant))


def mapping(value: object, where: str) -> Mapping[str, Any]:
    """`value` as an object."""
    if not isinstance(value, dict):
        raise ParseFault(f"{where}: expected an object, found {value!r:.80}")
    return value


def sequence(value: object, where: str) -> Sequence[Any]:
    """`value` as an array."""
    if not isinstance(value, list):
        raise ParseFault(f"{where}: expected an array, found {value!r:.80}")
    return value


def text_at(data: Mapping[str, Any], key: str, *, empty: bool = False) -> str:
    """The text at `key`, not empty unless that is allowed."""
    value = data.get(key)
    if type(value) is not str or not (value or empty):
        raise ParseFault(f"{key}: expected a text, found {value!r:.80}")
    return value


def integer_at(data: Mapping[str, Any], key: str) -> int:
    """The whole number at `key`."""
    value = data.get(key)
    if type(value) is not int or not -LARGEST <= value <= LARGEST:
        raise ParseFault(f"{key}: expected a whole number of at most 63 bits, found {value!r:.80}")
    return value


def name_at(data: Mapping[str, Any], key: str) -> str:
    """The name at `key`, such as a symbol's: one that may be part of a key in the log."""
    value = text_at(data, key)
    if len(value) > NAME or not value.isprintable() or "/" in value:
        raise ParseFault(f"{key}: expected at most {NAME} printable characters without a slash, found {value!r:.80}")
    return value


def _trade_id_at(data: Mapping[str, Any], key: str) -> TradeId:
    value = integer_at(data, key)
    if value < 0:
        raise ParseFault(f"{key}: expected a trade id, found {value}")
    return TradeId(value)


def _fee_asset_at(data: Mapping[str, Any], key: str, fee: Decimal, symbol: Symbol) -> Asset:
    """What a fee was taken in.  No fee may come without: then the symbol stands there, and nothing is booked in it."""
    return Asset(name_at(data, key)) if fee or data.get(key) else Asset(symbol)


def flag_at(data: Mapping[str, Any], key: str) -> bool:
    """The truth value at `key`."""
    value = data.get(key)
    if not isinstance(value, bool):
        raise ParseFault(f"{key}: expected true or false, found {value!r:.80}")
    return value


def decimal_at(data: Mapping[str, Any], key: str) -> Decimal:
    """The decimal, written as text, at `key`; not negative."""
    try:
        value = decimal_of(data.get(key))
    except BadValue as fault:
        raise ParseFault(f"{key}: {fault}") from None
    if value < 0:
        raise ParseFault(f"{key}: expected no negative number, found {value}")
    return value


def time_of(value: int, where: str) -> Nanos:
    """A venue's time, milliseconds or microseconds, in nanoseconds."""
    if 0 <= value < MILLIS_END:
        return Nanos(value * 1_000_000)
    if MILLIS_END <= value < MICROS_END:
        return Nanos(value * 1_000)
    raise ParseFault(f"{where}: expected a time in milliseconds or microseconds, found {value}")


def resolution_of(value: int) -> Nanos:
    """How coarse a time is that reads `value`, nanoseconds."""
    return Nanos(1_000_000 if value < MILLIS_END else 1_000)


def side_at(data: Mapping[str, Any], key: str) -> Side:
    """The side at `key`."""
    try:
        return Side(text_at(data, key))
    except ValueError:
        raise ParseFault(f"{key}: expected BUY or SELL, found {data.get(key)!r:.80}") from None


def status_at(data: Mapping[str, Any], key: str) -> str:
    """The order status at `key`, in our words."""
    word = STATUSES.get(text_at(data, key))
    if word is None:
        raise ParseFault(f"{key}: expected an order status, found {data.get(key)!r:.80}")
    return word


def _price_at(data: Mapping[str, Any], key: str) -> Price | None:
    price = decimal_at(data, key)
    return Price(price) if price else None  # Binance writes 0 for an order without one


def _strategy_at(data: Mapping[str, Any], key: str) -> int | None:
    return integer_at(data, key) if data.get(key) is not None else None


def _plain(value: Decimal) -> Decimal:
    return Decimal(text_of(value))


# --- the WebSocket API ------------------------------------------------------------------------------------------


def socket_message(raw: str | bytes, mono: Nanos) -> SocketAnswer | Told:
    """One frame of the WebSocket API: an answer to a request, or an event of an account."""
    data = mapping(json_of(raw), "frame")
    if "event" in data:
        try:
            return Told(user_event(data["event"], mono), subscription_of(data))
        except ParseFault as fault:
            return Told(fault, subscription_of(data))
    if "status" in data:
        return _socket_answer(data)
    if "e" in data:
        return Told(user_event(data, mono), None)
    raise ParseFault(f"frame: neither an answer nor an event, found the keys {sorted(data)!r:.80}")


def _socket_answer(data: Mapping[str, Any]) -> SocketAnswer:
    status, error = integer_at(data, "status"), data.get("error")
    answer_id = _id_at(data, "id")
    limits = rate_limits(data["rateLimits"]) if "rateLimits" in data else ()
    if error is None:
        return SocketAnswer(answer_id, status, data.get("result"), None, "", None, limits)
    code, text = error_of(error)
    until, said = _moment(error, "retryAfter"), _moment(error, "serverTime")
    return SocketAnswer(answer_id, status, None, code, text, until, limits, said)


def _id_at(data: Mapping[str, Any], key: str) -> str | None:
    found = data.get(key)
    return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else None


def subscription_of(value: object) -> str | None:
    """Which subscription to an account's events an event, or the answer to a subscription, names; None: none."""
    return _id_at(value, "subscriptionId") if isinstance(value, dict) else None


def error_of(error: object) -> tuple[int | None, str]:
    """Code and text of an error body; of a strange one, what can be read."""
    if not isinstance(error, dict):
        return None, f"{error!r:.120}"
    code, text = error.get("code"), error.get("msg")
    return (
        code if isinstance(code, int) and not isinstance(code, bool) else None,
        text[:200] if isinstance(text, str) else "",
    )


def _moment(error: object, key: str) -> Nanos | None:
    """A time of an error's `data`."""
    data = error.get("data") if isinstance(error, dict) else None
    found = data.get(key) if isinstance(data, dict) else None
    return time_of(found, key) if isinstance(found, int) and 0 <= found < MICROS_END else None


def answer_of(answer: SocketAnswer) -> Answer:
    """What an answer to a place or a cancel says of it.  Never raises: what cannot be read is Unknown."""
    if not answer.ok:
        return outcome(answer.status, answer.code, answer.text)
    try:
        result = mapping(answer.result, "result")
        return Accepted(
            VenueOrderId(str(integer_at(result, "orderId"))),
            status_at(result, "status"),
            Quantity(decimal_at(result, "executedQty")),
        )
    except ParseFault as fault:
        return Unknown(f"an answer that cannot be read: {fault}")


def server_time(result: object) -> tuple[Nanos, Nanos]:
    """The venue's time and its resolution, of an answer to `time`; nanoseconds."""
    value = integer_at(mapping(result, "result"), "serverTime")
    return time_of(value, "serverTime"), resolution_of(value)


def rate_limits(value: object) -> tuple[RateLimit, ...]:
    """The `rateLimits` of an answer or of exchangeInfo."""
    return tuple(_rate_limit(mapping(item, "rateLimits")) for item in sequence(value, "rateLimits"))


def _rate_limit(item: Mapping[str, Any]) -> RateLimit:
    return RateLimit(
        text_at(item, "rateLimitType"),
        text_at(item, "interval"),
        integer_at(item, "intervalNum"),
        integer_at(item, "limit"),
        integer_at(item, "count") if "count" in item else None,
    )


# --- events of the account --------------------------------------------------------------------------------------


def user_event(value: object, mono: Nanos) -> UserEvent:
    """One event of the user data stream."""
    event = mapping(value, "event")
    word = text_at(event, "e")
    if word == "executionReport":
        return Report(_reported_order(event), _reported_trade(event), mono)
    if word == "outboundAccountPosition":
        return BalanceReport(tuple(_reported_balance(mapping(b, "B")) for b in sequence(event.get("B"), "B")), mono)
    return Notice(word)


def _reported_order(event: Mapping[str, Any]) -> OrderShown:
    shown_as = text_at(event, "c", empty=True)
    placed_as = event.get("C")
    return OrderShown(
        symbol=Symbol(name_at(event, "s")),
        venue_order_id=VenueOrderId(str(integer_at(event, "i"))),
        shown_as=shown_as,
        placed_as=placed_as if isinstance(placed_as, str) and placed_as else shown_as,
        strategy_id=_strategy_at(event, "j"),
        side=side_at(event, "S"),
        quantity=Quantity(decimal_at(event, "q")),
        price=_price_at(event, "p"),
        executed=Quantity(decimal_at(event, "z")),
        status=status_at(event, "X"),
    )


def _reported_trade(event: Mapping[str, Any]) -> TradeShown | None:
    if text_at(event, "x") != "TRADE":
        return None
    quantity = decimal_at(event, "l")
    if not quantity:
        return None  # nothing changed hands
    symbol = Symbol(name_at(event, "s"))
    shown_as, placed_as = text_at(event, "c", empty=True), event.get("C")
    fee = decimal_at(event, "n")
    return TradeShown(
        symbol=symbol,
        trade_id=_trade_id_at(event, "t"),
        venue_order_id=VenueOrderId(str(integer_at(event, "i"))),
        order=placed_as if isinstance(placed_as, str) and placed_as else (shown_as or None),
        side=side_at(event, "S"),
        price=Price(decimal_at(event, "L")),
        quantity=Quantity(quantity),
        fee=Money(fee),
        fee_asset=_fee_asset_at(event, "N", fee, symbol),
        maker=flag_at(event, "m"),
        venue_at=time_of(integer_at(event, "T"), "T"),
    )


def _reported_balance(item: Mapping[str, Any]) -> BalanceShown:
    return BalanceShown(Asset(text_at(item, "a")), Money(decimal_at(item, "f")), Money(decimal_at(item, "l")))


# --- reads ------------------------------------------------------------------------------------------------------


def order(value: object) -> OrderShown:
    """One order, as `GET /api/v3/order` and `openOrders` show it."""
    data = mapping(value, "order")
    shown_as = text_at(data, "clientOrderId", empty=True)
    return OrderShown(
        symbol=Symbol(name_at(data, "symbol")),
        venue_order_id=VenueOrderId(str(integer_at(data, "orderId"))),
        shown_as=shown_as,
        placed_as=shown_as,
        strategy_id=_strategy_at(data, "strategyId"),
        side=side_at(data, "side"),
        quantity=Quantity(decimal_at(data, "origQty")),
        price=_price_at(data, "price"),
        executed=Quantity(decimal_at(data, "executedQty")),
        status=status_at(data, "status"),
        placed_at=time_of(integer_at(data, "time"), "time") if "time" in data else None,
    )


def orders(value: object) -> tuple[OrderShown, ...]:
    """An array of orders."""
    return tuple(order(item) for item in sequence(value, "orders"))


def trades(value: object) -> tuple[TradeShown, ...]:
    """Own trades, as `GET /api/v3/myTrades` shows them."""
    return tuple(_trade(mapping(item, "trade")) for item in sequence(value, "trades"))


def _trade(data: Mapping[str, Any]) -> TradeShown:
    symbol, fee = Symbol(name_at(data, "symbol")), decimal_at(data, "commission")
    return TradeShown(
        symbol=symbol,
        trade_id=_trade_id_at(data, "id"),
        venue_order_id=VenueOrderId(str(integer_at(data, "orderId"))),
        order=None,
        side=Side.BUY if flag_at(data, "isBuyer") else Side.SELL,
        price=Price(decimal_at(data, "price")),
        quantity=Quantity(decimal_at(data, "qty")),
        fee=Money(fee),
        fee_asset=_fee_asset_at(data, "commissionAsset", fee, symbol),
        maker=flag_at(data, "isMaker"),
        venue_at=time_of(integer_at(data, "time"), "time"),
    )


def balances(value: object) -> tuple[BalanceShown, ...]:
    """Balances, as `GET /api/v3/account` shows them; assets without any are left out."""
    items = sequence(mapping(value, "account").get("balances"), "balances")
    return tuple(shown for item in items if (shown := _balance(mapping(item, "balance"))).free or shown.locked)


def _balance(data: Mapping[str, Any]) -> BalanceShown:
    return BalanceShown(
        Asset(text_at(data, "asset")), Money(decimal_at(data, "free")), Money(decimal_at(data, "locked"))
    )


def instruments(value: object) -> tuple[InstrumentShown, ...]:
    """The rules of each symbol, as `GET /api/v3/exchangeInfo` shows them."""
    items = sequence(mapping(value, "exchangeInfo").get("symbols"), "symbols")
    return tuple(_instrument(mapping(item, "symbol")) for item in items)


def _instrument(data: Mapping[str, Any]) -> InstrumentShown:
    symbol = name_at(data, "symbol")
    filters = {
        text_at(item, "filterType"): item
        for item in (mapping(f, "filters") for f in sequence(data.get("filters"), "filters"))
    }
    price, lot = filters.get("PRICE_FILTER"), filters.get("LOT_SIZE")
    notional = filters.get("NOTIONAL", filters.get("MIN_NOTIONAL"))
    if price is None or lot is None or notional is None:
        raise ParseFault(f"{symbol}: expected PRICE_FILTER, LOT_SIZE and NOTIONAL, found {sorted(filters)!r:.120}")
    shown = InstrumentShown(
        symbol=Symbol(symbol),
        base=Asset(name_at(data, "baseAsset")),
        quote=Asset(name_at(data, "quoteAsset")),
        tick=Price(_plain(decimal_at(price, "tickSize"))),
        step=Quantity(_plain(decimal_at(lot, "stepSize"))),
        min_quantity=Quantity(_plain(decimal_at(lot, "minQty"))),
        max_quantity=Quantity(_plain(decimal_at(lot, "maxQty"))),
        min_notional=Money(_plain(decimal_at(notional, "minNotional"))),
        trading=text_at(data, "status") == "TRADING",
    )
    if not shown.tick or not shown.step:
        raise ParseFault(f"{symbol}: a tick or step of 0 is not handled")
    return shown


def order_counts(value: object) -> tuple[tuple[str, int, int], ...]:
    """Interval, used and limit, as `GET /api/v3/rateLimit/order` shows them."""
    limits = rate_limits(value)
    return tuple((limit.name, limit.count, limit.limit) for limit in limits if limit.count is not None)
