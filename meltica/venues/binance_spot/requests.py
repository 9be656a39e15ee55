"""Requests: what is written to Binance's WebSocket API, byte for byte.

Only pure functions may live here.  Every value is plain ASCII without a character that would need escaping,
so the text that is signed is the text that is sent.
"""

from __future__ import annotations

from meltica.core.effects import CancelOrder, Effect, PlaceOrder
from meltica.core.values import OrderType, TimeInForce, text_of
from meltica.core.wire import write_text
from meltica.venues.binance_spot.settings import Secret
from meltica.venues.binance_spot.signing import sign, socket_payload
from meltica.venues.deadlines import Deadline
from meltica.venues.numbers import strategy_number

Parameters = dict[str, str | int]

PLACE_WEIGHT = 1  # failures weigh; successes have been free since 2026-04-02: counted until the answer says so
CANCEL_WEIGHT = 1


def method_of(effect: Effect) -> str:
    """The method that carries `effect`."""
    return "order.place" if isinstance(effect, PlaceOrder) else "order.cancel"


def parameters_of(effect: Effect) -> Parameters:
    """The parameters of `effect`, without credentials and date."""
    return _place(effect) if isinstance(effect, PlaceOrder) else _cancel(effect)


def _place(effect: PlaceOrder) -> Parameters:
    parameters: Parameters = {
        "symbol": effect.symbol,
        "side": effect.side.value,
        "type": _order_type(effect),
        "quantity": text_of(effect.quantity),
        "newClientOrderId": effect.intent,
        "newOrderRespType": "RESULT",  # ACK would not tell the status
        "strategyId": strategy_number(effect.strategy),
    }
    if effect.order_type is OrderType.LIMIT:
        if effect.price is None:
            raise ValueError("a limit order has a price")
        parameters["price"] = text_of(effect.price)
        if not effect.post_only:
            parameters["timeInForce"] = effect.time_in_force.value
    return parameters


def _order_type(effect: PlaceOrder) -> str:
    if effect.order_type is OrderType.MARKET:
        return "MARKET"
    if not effect.post_only:
        return "LIMIT"
    if effect.time_in_force is not TimeInForce.GTC:
        raise ValueError("a post-only order rests until it is cancelled")
    return "LIMIT_MAKER"  # takes no timeInForce


def _cancel(effect: CancelOrder) -> Parameters:
    parameters: Parameters = {"symbol": effect.symbol, "newClientOrderId": effect.intent}
    if effect.venue_order_id is not None and effect.venue_order_id.isdigit():
        parameters["orderId"] = int(effect.venue_order_id)  # alone: a renamed order would answer -2039 to both
    else:
        parameters["origClientOrderId"] = effect.order
    return parameters


def signed_request(
    request_id: str, method: str, parameters: Parameters, dated: Deadline, *, api_key: str, secret: Secret
) -> str:
    """One frame: dated, signed, and exactly what was signed."""
    window = dated.window_text
    full: Parameters = {**parameters, "apiKey": api_key, "timestamp": dated.timestamp_us, "recvWindow": window}
    signature = sign(secret, socket_payload(full))
    listed = [f'"{name}":{_literal(name, value)}' for name, value in full.items()]
    listed.append(f'"signature":"{signature}"')
    return f'{{"id":"{request_id}","method":"{method}","params":{{{",".join(listed)}}}}}'


def _literal(name: str, value: str | int) -> str:
    """A JSON literal: the window is a number with the very digits that were signed."""
    if name == "recvWindow" and isinstance(value, str):
        return value
    return write_text(value) if isinstance(value, str) else str(value)


def plain_request(request_id: str, method: str) -> str:
    """A request without parameters."""
    return f'{{"id":"{request_id}","method":"{method}"}}'
