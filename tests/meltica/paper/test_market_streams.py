"""The shipped market through the venue's streams: what a client builds from them is what the venue has."""

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest

from meltica.paper.exchange import PaperExchange, open_exchange
from meltica.paper.floor import TimeLine
from meltica.paper.ledger import MemoryLedger
from meltica.paper.market import StillMarket
from meltica.paper.ports import AccountSettings
from meltica.paper.symbols import BTCUSDT
from meltica.paper.venue import PaperVenue

START = 1_700_000_000_000_000  # the rig's wall clock at its beginning, microseconds
MONEY = {"USDT": Decimal(1_000)}


def on_market(rig, exchange, line=None):
    accounts = [AccountSettings("main", "mainkey" * 8, "mainsecret", MONEY)]
    rig.ledger = MemoryLedger()
    rig.venue = PaperVenue(exchange, accounts, 1, rig.ledger, line=line)
    return rig


def test_depth_events_follow_each_other_and_build_the_snapshot(rig):
    on_market(rig, open_exchange("synthetic", 3, START))
    depth = rig.open("stream", target="/ws/btcusdt@depth@100ms")
    best = rig.open("stream", target="/ws/btcusdt@bookTicker")
    prints = rig.open("stream", target="/ws/btcusdt@trade")
    snapshot = rig.rest("GET", "/api/v3/depth", symbol="BTCUSDT", limit=5000, wait=0)[2]
    rig.run(20_000)
    events = [event for event in rig.frames(depth) if event["u"] > snapshot["lastUpdateId"]]
    assert len(events) > 20
    assert events[0]["U"] <= snapshot["lastUpdateId"] + 1
    assert all(later["U"] == earlier["u"] + 1 for earlier, later in pairwise(events))
    book = {side: dict(snapshot[side]) for side in ("bids", "asks")}
    for event in events:
        for side, letter in (("bids", "b"), ("asks", "a")):
            book[side].update(event[letter])
    bids = {Decimal(price): size for price, size in book["bids"].items() if Decimal(size)}
    asks = {Decimal(price): size for price, size in book["asks"].items() if Decimal(size)}
    shown = [tick for tick in rig.frames(best) if tick["u"] <= events[-1]["u"]][-1]
    assert (Decimal(shown["b"]), shown["B"]) == (max(bids), bids[max(bids)])
    assert (Decimal(shown["a"]), shown["A"]) == (min(asks), asks[min(asks)])
    ids = [each["t"] for each in rig.frames(prints)]
    assert ids
    assert ids == sorted(set(ids))


@pytest.mark.parametrize("speed", ["0.5", "1", "3", "20"])
def test_a_market_at_another_speed_shows_times_on_the_venues_clock(rig, speed):
    line = TimeLine(START, Fraction(speed))
    on_market(rig, open_exchange("synthetic", 3, START), line)
    prints = rig.open("stream", target="/ws/btcusdt@trade")
    rig.run(5_000)
    for each in rig.frames(prints):
        assert START // 1000 <= each["T"] <= each["E"] <= START // 1000 + 5_000


def test_a_time_line_and_its_inverse():
    for speed in (Fraction(1, 3), Fraction(1), Fraction(7, 2)):
        line = TimeLine(1_000, speed)
        for at in range(1_000, 1_200):
            assert line.to_exchange(line.from_exchange(at)) >= at
            assert line.to_exchange(line.from_exchange(at) - 1) < at or line.from_exchange(at) == 1_000


def test_a_venue_whose_clock_is_off_says_so_everywhere(make_rig):
    rig = make_rig()
    accounts = [AccountSettings("main", "mainkey" * 8, "mainsecret", MONEY)]
    exchange = PaperExchange([BTCUSDT], StillMarket())
    rig.venue = PaperVenue(exchange, accounts, 1, MemoryLedger(), offset_ns=-3_000_000_000)
    assert rig.rest("GET", "/api/v3/time", wait=0)[2]["serverTime"] == rig.now.wall_ns // 1_000_000 - 3_000
    assert rig.rest("GET", "/api/v3/account", account="main")[2]["code"] == -1021
