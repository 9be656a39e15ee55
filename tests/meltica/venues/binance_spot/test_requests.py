"""Requests: what is signed is what is sent, and both are what Binance documents."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from meltica.core.effects import CancelOrder, Effect, PlaceOrder
from meltica.core.values import (
    Account,
    ClientOrderId,
    Epoch,
    Index,
    OrderType,
    Price,
    Quantity,
    Side,
    StrategyId,
    Symbol,
    TimeInForce,
    Venue,
    VenueOrderId,
)
from meltica.venues.binance_spot.requests import method_of, parameters_of, signed_request
from meltica.venues.binance_spot.settings import Secret
from meltica.venues.binance_spot.signing import query_of, sign, signed_query, socket_payload
from meltica.venues.deadlines import Deadline
from tests.ci import lacking

HERE = Path(__file__).resolve()
VECTORS = HERE.parents[5] / "shared" / "fixtures" / "ccxt" / "official_signature_vectors.json"
GOLDEN = HERE.parents[3] / "golden" / "venues" / "binance_spot_requests.jsonl"
KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"  # the pages' own example
SECRET = Secret("NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j")


def place(**changes: Any) -> PlaceOrder:
    fields: dict[str, Any] = {
        "intent": ClientOrderId("0a" * 16), "epoch": Epoch(1), "index": Index(2), "venue": Venue("paper"),
        "account": Account("main"), "symbol": Symbol("BTCUSDT"), "strategy": StrategyId("mm"), "side": Side.SELL,
        "order_type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC, "post_only": False,
        "quantity": Quantity(Decimal("0.01000")), "price": Price(Decimal("52000.00")),
    }  # fmt: skip
    return PlaceOrder(**{**fields, **changes})


def cancel(venue_order_id: str | None) -> CancelOrder:
    return CancelOrder(
        ClientOrderId("0b" * 16), Epoch(1), Index(3), Venue("paper"), Account("main"), Symbol("BTCUSDT"),
        ClientOrderId("0a" * 16), VenueOrderId(venue_order_id) if venue_order_id else None,
    )  # fmt: skip


EFFECTS: list[Effect] = [
    place(),
    place(post_only=True),
    place(time_in_force=TimeInForce.IOC, side=Side.BUY),
    place(order_type=OrderType.MARKET, price=None, time_in_force=TimeInForce.IOC),
    cancel("12"),
    cancel(None),
]


def request_of(effect: Effect) -> str:
    dated = Deadline(1645423376532000, 249_120)
    return signed_request(effect.intent, method_of(effect), parameters_of(effect), dated, api_key=KEY, secret=SECRET)


def test_the_official_vectors() -> None:
    if not VECTORS.exists():
        lacking(f"the vectors are not here: {VECTORS}")
    vectors = [v for v in json.loads(VECTORS.read_text()) if v["venue"] == "binance"]
    assert len(vectors) == 2
    for vector in vectors:
        assert sign(Secret(vector["secret"]), vector["payload"]) == vector["signature"]


def test_the_vector_of_the_websocket_api() -> None:
    """The pages' own example of a signed order.place (web-socket-api.md, HMAC)."""
    parameters: dict[str, str | int] = {
        "symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01000000",
        "price": "52000.00", "newOrderRespType": "ACK", "recvWindow": 100, "timestamp": 1645423376532, "apiKey": KEY,
    }  # fmt: skip
    expected = "cc15477742bd704c29492d96c7ead9414dfd8e0ec4a00f947bb5bb454ddbd08a"
    assert sign(SECRET, socket_payload(parameters)) == expected


def test_a_query_is_encoded_before_it_is_signed() -> None:
    """The second official vector's symbol, given plain."""
    wide = "".join(chr(0xFF10 + digit) for digit in (1, 2, 3, 4, 5, 6))
    assert query_of({"symbol": wide}) == "symbol=%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96"
    query, _, signature = signed_query(SECRET, {"a": "b c"}).rpartition("&signature=")
    assert (query, signature) == ("a=b%20c", sign(SECRET, "a=b%20c"))


@pytest.mark.parametrize("effect", EFFECTS)
def test_what_is_signed_is_what_is_sent(effect: Effect) -> None:
    text = request_of(effect)
    sent = json.loads(text, parse_float=str)
    parameters = dict(sent["params"])
    signature = parameters.pop("signature")
    assert signature == sign(SECRET, socket_payload(parameters))
    assert sent["id"] == parameters["newClientOrderId"] == effect.intent
    as_floats = json.loads(text)["params"]["recvWindow"]
    assert str(as_floats) == parameters["recvWindow"]  # a reader with floats signs the same text


def test_requests_are_those_of_the_golden_file() -> None:
    assert GOLDEN.read_text().splitlines() == [request_of(effect) for effect in EFFECTS]


def test_a_cancel_names_the_venues_id_alone_when_it_is_known() -> None:
    assert parameters_of(cancel("12"))["orderId"] == 12
    assert "origClientOrderId" not in parameters_of(cancel("12"))
    assert parameters_of(cancel(None))["origClientOrderId"] == "0a" * 16


def test_orders_that_cannot_be_written_are_refused() -> None:
    with pytest.raises(ValueError, match="has a price"):
        parameters_of(place(price=None))
    with pytest.raises(ValueError, match="rests"):
        parameters_of(place(post_only=True, time_in_force=TimeInForce.IOC))


def test_a_secret_is_never_shown() -> None:
    assert "NhqP" not in f"{SECRET} {SECRET!r} {[SECRET]}"
    assert Secret("a") == Secret("a")
    assert len({Secret("a"), Secret("a")}) == 1
