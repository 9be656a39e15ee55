import json
from pathlib import Path

from meltica.paper.signing import matches, rest_payload, sign, ws_payload
from tests.ci import lacking

VECTORS = Path(__file__).resolve().parents[4] / "shared" / "fixtures" / "ccxt" / "official_signature_vectors.json"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"


def test_the_official_vectors_recompute():
    if not VECTORS.exists():
        lacking("shared/fixtures is not beside the checkout")
    rows = [row for row in json.loads(VECTORS.read_text()) if row["venue"] == "binance"]
    assert rows
    for row in rows:
        assert matches(row["secret"], row["payload"], row["signature"])


def test_query_and_body_join_without_an_ampersand_as_in_the_pages_third_example():
    query = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC"
    body = "quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559&signature=ff"
    expected = "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77"
    assert sign(SECRET, rest_payload(query, body)) == expected


def test_the_websocket_signs_sorted_parameters_as_in_the_pages_example():
    params = {
        "symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01000000",
        "price": "52000.00", "newOrderRespType": "ACK", "recvWindow": "100", "timestamp": "1645423376532",
        "apiKey": "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A", "signature": "x",
    }  # fmt: skip
    expected = "cc15477742bd704c29492d96c7ead9414dfd8e0ec4a00f947bb5bb454ddbd08a"
    assert sign(SECRET, ws_payload(params)) == expected


def test_case_of_the_signature_does_not_matter_but_of_the_secret_does():
    right = sign(SECRET, "a=1")
    assert matches(SECRET, "a=1", right.upper())
    assert not matches(SECRET.lower(), "a=1", right)
    assert not matches(SECRET, "a=1", "é")
