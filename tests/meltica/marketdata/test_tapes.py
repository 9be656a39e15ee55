"""Reading captures: every kind of line, damaged files, and the real recordings against Binance's own rule."""

from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path

import pytest

from meltica.marketdata import tapes
from meltica.marketdata.tapes import TapeDepth, TapeError, TapeSnapshot, TapeTicker, TapeTrade, read_tape
from tests.ci import lacking

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
D = Decimal

LINES = """\
1000000 {"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","s":"BTCUSDT","U":5,"u":7,"b":[["1.50","2"]],"a":[]}}
2000000 {"stream":"btcusdt@bookTicker","data":{"u":8,"s":"BTCUSDT","b":"1.5","B":"2","a":"1.6","A":"3"}}

3000000 {"stream":"btcusdt@trade","data":{"e":"trade","s":"BTCUSDT","t":4,"p":"1.6","q":"0.5","m":false}}
4000000 {"stream":"btcusdt@kline_1m","data":{"e":"kline"}}
5000000 {"lastUpdateId":6,"bids":[["1.5","2"]],"asks":[["1.6","3"]]}
"""


def test_each_kind_of_line_becomes_its_record(tmp_path: Path) -> None:
    plain, zipped = tmp_path / "plain", tmp_path / "zipped.gz"
    plain.write_text(LINES)
    zipped.write_bytes(gzip.compress(LINES.encode()))
    expected = [
        TapeDepth(1_000_000, "BTCUSDT", 5, 7, ((D("1.50"), D(2)),), ()),
        TapeTicker(2_000_000, "BTCUSDT", 8, D("1.5"), D(2), D("1.6"), D(3)),
        TapeTrade(3_000_000, "BTCUSDT", 4, D("1.6"), D("0.5"), buyer_is_maker=False),
        TapeSnapshot(5_000_000, 6, ((D("1.5"), D(2)),), ((D("1.6"), D(3)),)),
    ]
    assert list(read_tape(plain)) == list(read_tape(zipped)) == expected


@pytest.mark.parametrize(
    "line",
    [
        "x {}",
        "12",
        '12 {"stream":',
        "12 []",
        "12 7",
        '12 {"stream":"a@trade","data":{"s":"A","t":1,"p":"NaN","q":"1","m":true}}',
        '12 {"stream":"a@trade","data":{"s":"A","t":1,"p":"-1","q":"1","m":true}}',
        '12 {"stream":"a@trade","data":{"s":"A","t":1,"p":"x","q":"1","m":true}}',
        '12 {"stream":"a@trade","data":{"s":"A"}}',
        '12 {"stream":"a@depth","data":{"s":"A","U":1,"u":1,"b":[["1"]],"a":[]}}',
        "12 " + "[" * 100_000,
    ],
)
def test_a_line_that_is_no_record_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "tape"
    path.write_text(LINES + line + "\n")
    with pytest.raises(TapeError, match="tape:7: expected"):
        list(read_tape(path))


def test_an_endless_line_is_refused_without_being_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tapes, "MAX_LINE", 300)
    path = tmp_path / "tape"
    path.write_text(LINES + "x" * 10_000)
    with pytest.raises(TapeError, match="more than 300 bytes"):
        list(read_tape(path))


def test_a_torn_or_missing_file_is_an_error_of_the_tape(tmp_path: Path) -> None:
    torn = tmp_path / "torn.gz"
    torn.write_bytes(gzip.compress((LINES * 500).encode())[:-40])
    flipped = tmp_path / "flipped.gz"
    whole = bytearray(gzip.compress((LINES * 500).encode()))
    whole[len(whole) // 2] ^= 0xFF
    flipped.write_bytes(bytes(whole))
    for path in (torn, flipped, tmp_path / "missing", tmp_path):
        with pytest.raises(TapeError, match=r"cannot be read as a capture|expected"):
            list(read_tape(path))


def recording(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        lacking(f"the recording {name} is not beside this checkout")
    return path


@pytest.mark.parametrize("name", ["spot_btcusdt_20240808.gz", "spot_ethusdt_20240808.gz"])
def test_a_recording_replayed_by_the_venues_rule_equals_its_tickers(name: str) -> None:
    """Snapshot plus updates joins without a gap, never crosses, and is the ticker at every shared update id."""
    bids: dict[Decimal, Decimal] = {}
    asks: dict[Decimal, Decimal] = {}
    last = compared = 0
    tickers: dict[int, TapeTicker] = {}
    records = list(read_tape(recording(name)))
    records.sort(key=lambda each: not isinstance(each, TapeSnapshot))  # updates wait for the snapshot
    for record in records:
        if isinstance(record, TapeSnapshot):
            bids, asks, last = dict(record.bids), dict(record.asks), record.last_id
        elif isinstance(record, TapeTicker):
            tickers[record.update_id] = record
        elif isinstance(record, TapeDepth) and record.last_id > last:
            assert record.first_id <= last + 1
            last = record.last_id
            bids.update(record.bids)
            asks.update(record.asks)
            ticker = tickers.pop(last, None)
            if ticker is None:
                continue
            bid = max(price for price, size in bids.items() if size)
            ask = min(price for price, size in asks.items() if size)
            assert (ticker.bid, ticker.bid_quantity, ticker.ask, ticker.ask_quantity) == (
                bid,
                bids[bid],
                ask,
                asks[ask],
            )
            compared += 1
    assert compared > 100
