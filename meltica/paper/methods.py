"""Methods: the endpoints of both APIs, as one table.

Only the table and the lookups in it may live here.  An operation has the WebSocket API's name, even where only REST
offers it; `rest` and `ws` say where it is offered.  Weights are Binance's, as `weigh` computes them; places and
cancels weigh 0 and are charged 1 if they fail.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from meltica.paper.params import (
    Field,
    client_id,
    flag,
    free,
    number,
    one_of,
    symbol,
    unsupported,
    whole,
)

REST_ROOT = "/api/v3"


class Security(enum.Enum):
    """What a request must prove."""

    NONE = "none"
    SIGNED_READ = "user_data"
    SIGNED_TRADE = "trade"


@frozen
class Operation:
    """One endpoint."""

    name: str
    ws: bool
    rest: tuple[str, str] | None
    security: Security
    fields: dict[str, Field]
    weight: int = 1

    @property
    def signed(self) -> bool:
        """Whether it takes key, timestamp and signature."""
        return self.security is not Security.NONE

    @property
    def trades(self) -> bool:
        """Whether it goes through the engine's queue."""
        return self.security is Security.SIGNED_TRADE


_SIGNED = (Field("timestamp", free), Field("recvWindow", free), Field("signature", free))

_SIDES = one_of("BUY", "SELL", code=-1117)
_ORDER_TYPES = one_of(
    "LIMIT", "MARKET", "LIMIT_MAKER", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT", code=-1116
)
_TIMES_IN_FORCE = one_of("GTC", "IOC", "FOK", code=-1115)
_ANSWERS = one_of("ACK", "RESULT", "FULL", code=-1130)
_SELF_TRADE = one_of("EXPIRE_MAKER", code=-1130)
_RESTRICTIONS = one_of("ONLY_NEW", "ONLY_PARTIALLY_FILLED", code=-1145)
_INFO_STATUS = one_of("TRADING", "HALT", "BREAK", code=-1122)


def _fields(*fields: Field, signed: bool) -> dict[str, Field]:
    return {field.name: field for field in (*fields, *(_SIGNED if signed else ()))}


def _plain(name: str, path: str, *fields: Field, ws: bool = False, weight: int = 1) -> Operation:
    return Operation(name, ws, ("GET", REST_ROOT + path), Security.NONE, _fields(*fields, signed=False), weight)


def _signed(
    name: str, rest: tuple[str, str] | None, *fields: Field, ws: bool = True, weight: int = 1, trade: bool = False
) -> Operation:
    where = (rest[0], REST_ROOT + rest[1]) if rest else None
    security = Security.SIGNED_TRADE if trade else Security.SIGNED_READ
    return Operation(name, ws, where, security, _fields(*fields, signed=True), weight)


_ONE_ORDER = (Field("symbol", symbol, mandatory=True), Field("orderId", whole), Field("origClientOrderId", client_id))

_PLACE = (
    Field("symbol", symbol, mandatory=True),
    Field("side", _SIDES, mandatory=True),
    Field("type", _ORDER_TYPES, mandatory=True),
    Field("timeInForce", _TIMES_IN_FORCE),
    Field("quantity", number),
    Field("price", number),
    Field("newClientOrderId", client_id),
    Field("newOrderRespType", _ANSWERS),
    Field("strategyId", whole),
    Field("selfTradePreventionMode", _SELF_TRADE),
    *(
        Field(name, unsupported)
        for name in (
            "quoteOrderQty", "stopPrice", "trailingDelta", "icebergQty", "strategyType", "pegPriceType",
            "pegOffsetValue", "pegOffsetType",
        )
    ),
)  # fmt: skip

OPERATIONS = (
    _plain("ping", "/ping", ws=True),
    _plain("time", "/time", ws=True),
    _plain(
        "exchangeInfo", "/exchangeInfo", Field("symbol", symbol), Field("symbols", free), Field("permissions", free),
        Field("showPermissionSets", flag), Field("symbolStatus", _INFO_STATUS), weight=20,
    ),
    _plain("depth", "/depth", Field("symbol", symbol, mandatory=True), Field("limit", whole), weight=5),
    _plain("trades.recent", "/trades", Field("symbol", symbol, mandatory=True), Field("limit", whole), weight=25),
    _plain("ticker.book", "/ticker/bookTicker", Field("symbol", symbol), Field("symbols", free), weight=4),
    _signed("order.place", ("POST", "/order"), *_PLACE, weight=0, trade=True),
    _signed(
        "order.cancel", ("DELETE", "/order"), *_ONE_ORDER, Field("newClientOrderId", client_id),
        Field("cancelRestrictions", _RESTRICTIONS), weight=0, trade=True,
    ),
    _signed(
        "openOrders.cancelAll", ("DELETE", "/openOrders"), Field("symbol", symbol, mandatory=True), weight=0,
        trade=True,
    ),
    _signed("order.status", ("GET", "/order"), *_ONE_ORDER, weight=4),
    _signed("openOrders.status", ("GET", "/openOrders"), Field("symbol", symbol), weight=80),
    _signed(
        "allOrders", ("GET", "/allOrders"), Field("symbol", symbol, mandatory=True), Field("orderId", whole),
        Field("startTime", whole), Field("endTime", whole), Field("limit", whole), ws=False, weight=20,
    ),
    _signed(
        "myTrades", ("GET", "/myTrades"), Field("symbol", symbol, mandatory=True), Field("orderId", whole),
        Field("fromId", whole), Field("startTime", whole), Field("endTime", whole), Field("limit", whole), weight=20,
    ),
    _signed("account.status", ("GET", "/account"), Field("omitZeroBalances", flag), weight=20),
    _signed("account.rateLimits.orders", ("GET", "/rateLimit/order"), weight=40),
    _signed("userDataStream.subscribe.signature", None, weight=2),
    Operation(
        "userDataStream.unsubscribe", True, None, Security.NONE, _fields(Field("subscriptionId", whole), signed=False),
        weight=2,
    ),
)  # fmt: skip

WS_METHODS = {operation.name: operation for operation in OPERATIONS if operation.ws}
REST_METHODS = {operation.rest: operation for operation in OPERATIONS if operation.rest}

# The weight of a book by its levels; the last row is for all deeper ones.
_DEPTH_WEIGHTS = ((100, 5), (500, 25), (1000, 50))
_DEEPEST_WEIGHT = 250
DEFAULT_DEPTH = 100


def weigh(operation: Operation, values: Mapping[str, Any]) -> int:
    """The weight of one request."""
    if operation.name == "depth":
        limit = values.get("limit", DEFAULT_DEPTH)
        return next((weight for levels, weight in _DEPTH_WEIGHTS if limit <= levels), _DEEPEST_WEIGHT)
    if operation.name == "openOrders.status" and "symbol" in values:
        return 6
    if operation.name == "myTrades" and "orderId" in values:
        return 5
    if operation.name == "ticker.book" and "symbol" in values:
        return 2
    return operation.weight


def ws_method(text: str) -> Operation | None:
    """The operation of a WebSocket method; `v3/` may stand before it."""
    return WS_METHODS.get(text.removeprefix("v3/"))
