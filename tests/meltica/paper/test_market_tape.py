"""A recorded market: hand-made tapes for each rule, and the real recordings."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meltica.marketdata.tapes import TapeDepth, TapeError, TapeRecord, TapeSnapshot, TapeTicker, TapeTrade, read_tape
from meltica.paper.exchange import PaperExchange, open_exchange
from meltica.paper.market_tape import TapeMarket, open_tape_market
from meltica.paper.types import BestChange, DepthChange, ExchangeEvent, Execution, NewOrder, OrderView, Print, Refusal
from tests.ci import lacking

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
START = 1_700_000_000_000_000
MS = 1000
D = Decimal

Line = tuple[int, dict[str, Any]]


def snapshot(at_ms: int, last_id: int, bids: dict[str, str], asks: dict[str, str]) -> Line:
    return at_ms, {"lastUpdateId": last_id, "bids": list(bids.items()), "asks": list(asks.items())}


def stream(at_ms: int, kind: str, **data: Any) -> Line:
    return at_ms, {"stream": f"btcusdt@{kind}", "data": {"s": "BTCUSDT", **data}}


def depth(
    at_ms: int, first: int, last: int, bids: dict[str, str] | None = None, asks: dict[str, str] | None = None
) -> Line:
    return stream(at_ms, "depth@100ms", U=first, u=last, b=list((bids or {}).items()), a=list((asks or {}).items()))


def ticker(  # noqa: PLR0917 - as a bookTicker reads
    at_ms: int, last: int, bid: str, bid_size: str, ask: str, ask_size: str
) -> Line:
    return stream(at_ms, "bookTicker", u=last, b=bid, B=bid_size, a=ask, A=ask_size)


def trade(at_ms: int, price: str, size: str, *, seller: bool) -> Line:
    return stream(at_ms, "trade", t=at_ms, p=price, q=size, m=seller)


OPENING = snapshot(1000, 10, {"100.00": "2", "99.00": "5"}, {"101.00": "3", "102.00": "4"})

Player = Callable[..., PaperExchange]


@pytest.fixture
def play(tmp_path: Path) -> Player:
    def opened(*lines: Line) -> PaperExchange:
        path = tmp_path / "tape"
        padding = depth(60_000, 1000, 1000)  # keeps the seam out of sight
        path.write_text("".join(f"{at * 1_000_000} {json.dumps(body)}\n" for at, body in (*lines, padding)))
        exchange = open_exchange(f"tape:{path}", 0, START)
        for account in ("a", "b"):
            exchange.open_account(account, {"USDT": D(100_000), "BTC": D(100)})
        return exchange

    return opened


def put(
    exchange: PaperExchange,
    side: str,
    quantity: str,
    price: str,
    *,
    kind: str = "LIMIT",
    at_ms: int = 0,
    cid: str = "x",
    account: str = "a",
) -> OrderView:
    order = NewOrder(account, "BTCUSDT", side, kind, "GTC", D(quantity), D(price), cid)
    answer, _ = exchange.place(order, START + at_ms * MS)
    assert isinstance(answer, OrderView), answer
    return answer


def executed(exchange: PaperExchange, order: OrderView) -> Decimal:
    found = exchange.order(order.account, "BTCUSDT", order.order_id, None)
    assert found is not None
    return found.executed


def book(exchange: PaperExchange) -> tuple[dict[str, str], dict[str, str]]:
    _, bids, asks = exchange.depth("BTCUSDT", 100)
    plain = [{f"{price:.2f}": f"{size.normalize():f}" for price, size in side} for side in (bids, asks)]
    return plain[0], plain[1]


def test_the_snapshot_is_there_at_once_with_what_was_newer(play: Player) -> None:
    early = (
        depth(900, 8, 9, {"99.00": "77"}),  # older than the snapshot
        depth(950, 10, 12, {"98.00": "7"}),
        ticker(960, 13, "100.00", "1", "101.00", "3"),
    )
    assert book(play(*early, OPENING)) == (
        {"100.00": "1", "99.00": "5", "98.00": "7"},
        {"101.00": "3", "102.00": "4"},
    )


def test_records_come_at_their_receive_times(play: Player) -> None:
    exchange = play(OPENING, depth(1250, 11, 12, {"99.50": "1"}), trade(1260, "100.00", "0.4", seller=True))
    assert exchange.next_event_at() == START + 100 * MS, "the snapshot's own depth event"
    events = exchange.advance(START + 400 * MS)
    assert [(type(each).__name__, each.at - START) for each in events] == [
        ("DepthChange", 100 * MS),
        ("Print", 260 * MS),
        ("DepthChange", 300 * MS),
    ]
    [public] = exchange.recent_prints("BTCUSDT", 9)
    assert (public.trade_id, public.price, public.quantity, public.buyer_is_maker) == (1, D(100), D("0.4"), True)


def test_a_ticker_removes_what_was_better_and_is_stated_again_over_an_older_depth_event(play: Player) -> None:
    exchange = play(
        OPENING,
        ticker(1100, 15, "99.00", "4", "100.00", "1"),
        depth(1150, 11, 13, {"100.00": "1.5"}, {"103.00": "9"}),
        ticker(1200, 12, "100.00", "1", "101.00", "1"),  # older than both: passed over
    )
    exchange.advance(START + 300 * MS)
    assert book(exchange) == ({"99.00": "4"}, {"100.00": "1", "101.00": "3", "102.00": "4", "103.00": "9"})


def test_an_older_depth_event_refills_nothing(play: Player) -> None:
    exchange = play(
        OPENING, ticker(1100, 15, "100.00", "2", "101.00", "1"), depth(1150, 11, 13, {}, {"101.00": "3", "103.00": "1"})
    )
    exchange.advance(START + 120 * MS)
    assert put(exchange, "BUY", "1", "101", at_ms=120).status == "FILLED"
    exchange.advance(START + 200 * MS)
    assert book(exchange)[1] == {"102.00": "4", "103.00": "1"}


def test_the_newest_word_wins_where_levels_would_cross(play: Player) -> None:
    exchange = play(OPENING, depth(1100, 11, 12, {"101.50": "1"}))
    exchange.advance(START + 200 * MS)
    assert book(exchange) == ({"101.50": "1", "100.00": "2", "99.00": "5"}, {"102.00": "4"})


def test_our_taker_takes_what_the_book_offers_once_until_it_is_refilled(play: Player) -> None:
    exchange = play(
        OPENING,
        depth(1100, 11, 12, {}, {"101.00": "2.5"}),
        depth(1200, 13, 14, {}, {"101.00": "3"}),
    )
    assert put(exchange, "BUY", "1", "101", cid="1").status == "FILLED"
    assert book(exchange)[1] == {"101.00": "2", "102.00": "4"}
    big = put(exchange, "BUY", "4", "101", cid="2")
    assert big.executed == D(2)
    assert book(exchange) == ({"101.00": "2", "100.00": "2", "99.00": "5"}, {"102.00": "4"})
    exchange.cancel("a", "BTCUSDT", None, "2", "c2", START)
    exchange.advance(START + 150 * MS)
    assert put(exchange, "BUY", "1", "101", cid="3", at_ms=150).executed == 0, "a smaller size is no refill"
    exchange.cancel("a", "BTCUSDT", None, "3", "c3", START)
    assert put(exchange, "BUY", "1", "101", cid="4", at_ms=250).executed == D("0.5"), "a larger one refills its growth"


def test_our_maker_waits_behind_what_rested_when_it_came(play: Player) -> None:
    exchange = play(
        OPENING,
        trade(1100, "100.00", "0.5", seller=False),
        trade(1150, "101.00", "9", seller=False),
        depth(1200, 11, 12, {"100.00": "0.1"}),  # cancels of others do not advance us
        trade(1300, "100.00", "1.5", seller=True),
        trade(1400, "100.00", "1", seller=True),
        trade(1500, "100.00", "7", seller=True),
    )
    mine = put(exchange, "BUY", "1", "100", at_ms=10)
    assert book(exchange)[0]["100.00"] == "3", "ours is in the public book"
    for at_ms, filled in ((350, "0"), (450, "0.5"), (550, "1")):
        exchange.advance(START + at_ms * MS)
        assert executed(exchange, mine) == D(filled)
    prints = [(each.price, each.quantity, each.trade_id) for each in exchange.recent_prints("BTCUSDT", 4)]
    assert prints == [(D(100), D("0.5"), 4), (D(100), D("0.5"), 5), (D(100), D("6.5"), 6), (D(100), D("0.5"), 7)]
    assert [each.trade_id for each in exchange.trades("a", "BTCUSDT", None, None, 9)] == [5, 7]
    assert all(each.maker for each in exchange.trades("a", "BTCUSDT", None, None, 9))


def test_prints_through_our_price_fill_us_first_up_to_their_size(play: Player) -> None:
    exchange = play(OPENING, trade(1100, "99.99", "0.6", seller=True), trade(1200, "99.00", "3", seller=True))
    mine = put(exchange, "BUY", "1", "100")
    exchange.advance(START + 150 * MS)
    assert executed(exchange, mine) == D("0.6")
    events = exchange.advance(START + 250 * MS)
    assert executed(exchange, mine) == D(1)
    public = [(each.price, each.quantity) for each in events if isinstance(each, Print)]
    assert public == [(D(100), D("0.4")), (D(99), D("2.6"))], "we at our price, the rest where it traded"


def test_a_market_that_moves_through_us_without_a_print_does_not_fill_us_nor_cross_the_book(play: Player) -> None:
    exchange = play(OPENING, ticker(1100, 11, "99.00", "1", "99.50", "2"), trade(1200, "99.50", "0.3", seller=False))
    mine = put(exchange, "BUY", "1", "100")
    exchange.advance(START + 150 * MS)
    assert executed(exchange, mine) == 0
    assert book(exchange) == ({"100.00": "1", "99.00": "1"}, {"101.00": "3", "102.00": "4"})
    order = NewOrder("a", "BTCUSDT", "BUY", "LIMIT_MAKER", "GTC", D(1), D("99.80"), "y")
    assert exchange.place(order, START + 160 * MS)[0] == Refusal(-2010, "Order would immediately match and take.")
    exchange.advance(START + 250 * MS)
    assert executed(exchange, mine) == D("0.3"), "who bought below us would have bought from who met us"
    exchange.cancel("a", "BTCUSDT", None, "x", "c", START + 260 * MS)
    assert book(exchange) == ({"99.00": "1"}, {"99.50": "2", "101.00": "3", "102.00": "4"})


def test_two_accounts_of_ours_can_trade_with_each_other(play: Player) -> None:
    exchange = play(OPENING)
    inside = put(exchange, "SELL", "1", "100.50", account="b")
    assert put(exchange, "BUY", "2", "101").status == "FILLED"
    assert executed(exchange, inside) == D(1)
    assert book(exchange)[1] == {"101.00": "2", "102.00": "4"}
    money = {asset: free + locked for asset, free, locked in exchange.balances("b")}
    assert money["USDT"] == D(100_000) + D("100.5") * D("0.999")


def seam_tape(tmp_path: Path) -> PaperExchange:
    path = tmp_path / "tape"
    lines = (OPENING, trade(1100, "100.00", "1", seller=True), depth(1200, 11, 12, {"100.00": "0", "98.00": "1"}))
    path.write_text("".join(f"{at * 1_000_000} {json.dumps(body)}\n" for at, body in lines))
    exchange = open_exchange(f"tape:{path}", 0, START)
    exchange.open_account("a", {"USDT": D(100_000), "BTC": D(100)})
    return exchange


def test_the_tape_plays_again_and_our_orders_survive_the_seam(tmp_path: Path) -> None:
    exchange = seam_tape(tmp_path)
    mine = put(exchange, "BUY", "1", "100")
    events = exchange.advance(START + 1000 * MS)  # a turn is 201 ms: the fifth print comes at 904 ms
    prints = [each for each in events if isinstance(each, Print)]
    assert [each.trade_id for each in prints] == list(range(1, len(prints) + 1))
    assert [each.at - START for each in prints[:3]] == [100 * MS, 301 * MS, 502 * MS]
    # two prints serve the 2 that rested before us, the third is ours
    [fill] = exchange.trades("a", "BTCUSDT", None, None, 9)
    assert (fill.at - START, fill.quantity) == (502 * MS, D(1))
    assert executed(exchange, mine) == D(1)
    ids = [(each.first_id, each.last_id) for each in events if isinstance(each, DepthChange)]
    assert all(later[0] == earlier[1] + 1 for earlier, later in pairwise(ids))
    assert book(exchange) == ({"100.00": "2", "99.00": "5"}, {"101.00": "3", "102.00": "4"})


def test_a_tape_is_the_same_however_time_is_cut(tmp_path: Path) -> None:
    whole, cut = seam_tape(tmp_path), seam_tape(tmp_path)
    events = [event for now in range(0, 900 * MS, 7919) for event in cut.advance(START + now)]
    events += cut.advance(START + 900 * MS)
    assert events == whole.advance(START + 900 * MS)


def test_a_capture_without_snapshot_or_stream_is_refused(tmp_path: Path) -> None:
    for name, lines in (("no-snapshot", [trade(1, "1.00", "1", seller=True)]), ("no-stream", [OPENING]), ("empty", [])):
        path = tmp_path / name
        path.write_text("".join(f"{at} {json.dumps(body)}\n" for at, body in lines))
        with pytest.raises(TapeError, match="no depth snapshot"):
            open_exchange(f"tape:{path}", 0, START)


def test_rules_of_an_unknown_symbol_come_from_its_decimals(tmp_path: Path) -> None:
    path = tmp_path / "tape"
    text = json.dumps(snapshot(1, 1, {"0.52310000": "12.30"}, {"0.52400000": "7.00"})[1])
    other = '{"stream":"xrpusdt@trade","data":{"s":"%s","t":1,"p":"0.5231","q":"1.1","m":true}}'
    path.write_text(f"1 {text}\n2 {other % 'XRPUSDT'}\n")
    rules = open_tape_market(path, START).rules
    assert (rules.symbol, rules.base, rules.quote, rules.tick, rules.step) == (
        "XRPUSDT",
        "XRP",
        "USDT",
        D("0.0001"),
        D("0.1"),
    )
    path.write_text(f"1 {text}\n2 {other % 'XRPABC'}\n")
    with pytest.raises(TapeError, match="XRPABC"):
        open_tape_market(path, START)


def test_a_price_off_the_tick_is_an_error_of_the_tape(play: Player) -> None:
    exchange = play(OPENING, trade(1100, "100.001", "1", seller=True))
    with pytest.raises(TapeError, match=r"100\.001"):
        exchange.advance(START + 200 * MS)


# random tapes and random orders: what must hold whatever comes

price_level = st.integers(95, 105)
recorded = st.one_of(
    st.tuples(st.just("level"), st.booleans(), price_level, st.integers(0, 40)),
    st.tuples(st.just("best"), price_level, st.integers(1, 3), st.integers(1, 40)),
    st.tuples(st.just("print"), st.booleans(), price_level, st.integers(1, 40)),
)
ours = st.tuples(
    st.sampled_from(["a", "b"]),
    st.sampled_from(["BUY", "SELL"]),
    st.sampled_from(["LIMIT", "LIMIT_MAKER"]),
    price_level,
    st.integers(1, 30),
)


def as_record(number: int, step: tuple[Any, ...]) -> TapeRecord:
    at, unit = number * 10_000_000, D("0.001")
    if step[0] == "print":
        return TapeTrade(at, "BTCUSDT", number, D(step[2]), step[3] * unit, buyer_is_maker=step[1])
    if step[0] == "best":
        return TapeTicker(at, "BTCUSDT", number, D(step[1]), step[3] * unit, D(step[1] + step[2]), step[3] * unit)
    level = ((D(step[2]), step[3] * unit),)
    return TapeDepth(at, "BTCUSDT", number, number, level if step[1] else (), () if step[1] else level)


def stated(record: TapeRecord) -> Decimal:
    """The most that a record can have added to what may be taken."""
    if isinstance(record, TapeTicker):
        return record.bid_quantity + record.ask_quantity
    return D(0) if isinstance(record, TapeTrade) else sum((size for _, size in record.bids + record.asks), D(0))


def check_depth_events(exchange: PaperExchange, events: list[ExchangeEvent]) -> None:
    heard: tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]] = {}, {}
    last = 0
    for event in events:
        if isinstance(event, DepthChange):
            assert event.first_id == last + 1
            last = event.last_id
            for side, changed in zip(heard, (event.bids, event.asks), strict=True):
                side.update(changed)
    shown = exchange.depth("BTCUSDT", 1000)[1:]
    assert [{price: size for price, size in side.items() if size} for side in heard] == [dict(side) for side in shown]


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(recorded, st.none() | ours), min_size=1, max_size=50))
def test_whatever_is_recorded_and_asked_the_public_book_never_crosses_and_nothing_is_given_twice(
    steps: list[tuple[tuple[Any, ...], tuple[Any, ...] | None]],
) -> None:
    whole = TapeSnapshot(0, 0, ((D(99), D(1)),), ((D(101), D(1)),))
    records = [as_record(number, step) for number, (step, _) in enumerate(steps, start=1)]
    end = TapeDepth(10**12, "BTCUSDT", 10**6, 10**6, (), ())
    market = TapeMarket(lambda: iter([whole, *records, end]), START)
    exchange = PaperExchange([market.rules], market, start_us=START)
    for account in ("a", "b"):
        exchange.open_account(account, {"USDT": D(10**6), "BTC": D(1000)})
    events: list[ExchangeEvent] = []
    for number, (_, order) in enumerate(steps, start=1):
        events += exchange.advance(START + number * 10_000)
        if order is not None:
            account, side, kind, price, size = order
            asked = NewOrder(account, "BTCUSDT", side, kind, "GTC", size * D("0.06"), D(price), f"o{number}")
            events += exchange.place(asked, START + number * 10_000)[1]
        best = exchange.best("BTCUSDT")
        assert not best.bid or not best.ask or best.bid < best.ask
        for mine in (*exchange.open_orders("a", None), *exchange.open_orders("b", None)):
            _, bids, asks = exchange.depth("BTCUSDT", 1000)
            assert dict(bids if mine.side == "BUY" else asks)[mine.price] >= mine.quantity - mine.executed
    fills = [each.trade for each in events if isinstance(each, Execution) and each.trade]
    pairs = {each.trade_id: [] for each in fills}
    for fill in fills:
        pairs[fill.trade_id].append(fill)
    taken = sum((both[0].quantity for both in pairs.values() if len(both) == 1 and not both[0].maker), D(0))
    assert taken <= D(2) + sum((stated(each) for each in records), D(0))
    printed = sum((each.quantity for each in records if isinstance(each, TapeTrade)), D(0))
    public = sum((each.quantity for each in events if isinstance(each, Print)), D(0))
    crossed = sum((both[0].quantity for both in pairs.values() if len(both) == 2 or not both[0].maker), D(0))
    assert public == printed + crossed, "a print that fills us is split, never grown"
    check_depth_events(exchange, events + exchange.advance(START + 10**6))


# the real recordings


def recording(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        lacking(f"the recording {name} is not beside this checkout")
    return path


def until(path: Path, seconds: int) -> Iterator[TapeRecord]:
    first = None
    for record in read_tape(path):
        first = record.at_ns if first is None else first
        if record.at_ns - first > seconds * 10**9:
            return
        yield record


@pytest.mark.parametrize("name", ["spot_btcusdt_20240808.gz", "spot_ethusdt_20240808.gz", "usdm_btcusdt_20240808.gz"])
def test_the_replayed_book_equals_the_recorded_tickers(name: str) -> None:
    """The book is fed by depth events alone, and looked at where a ticker has the same update id."""
    path = recording(name)
    tickers = {each.update_id: each for each in until(path, 60) if isinstance(each, TapeTicker)}
    depths = [each for each in until(path, 60) if not isinstance(each, TapeTicker | TapeTrade)]
    market = TapeMarket(lambda: iter(depths), START)
    exchange = PaperExchange([market.rules], market, start_us=START)
    compared = 0
    while market.loops == 0:
        playing = market._next
        exchange.advance(market._next_at)
        wanted = tickers.get(playing.last_id) if isinstance(playing, TapeDepth) else None
        if wanted is not None and market.loops == 0 and market._next is not playing:
            best = exchange.best(market.rules.symbol)
            if market._depth_id == wanted.update_id:
                assert (best.bid, best.bid_quantity) == (wanted.bid, wanted.bid_quantity)
                assert (best.ask, best.ask_quantity) == (wanted.ask, wanted.ask_quantity)
                compared += 1
    assert compared > 20


@pytest.mark.parametrize("name", ["spot_btcusdt_20240808.gz", "spot_ethusdt_20240808.gz"])
def test_a_maker_at_the_touch_trades_both_ways_and_never_more_than_was_printed(name: str) -> None:
    """Quote both touches of a real market for 40 s: the book never crosses, fills keep to the prints."""
    exchange = open_exchange(f"tape:{recording(name)}", 0, START)
    [symbol] = exchange.rules
    exchange.open_account("a", {"USDT": D(10**6), "BTC": D(10), "ETH": D(100)})
    size = {"BTCUSDT": D("0.01"), "ETHUSDT": D("0.1")}[symbol]
    events: list[ExchangeEvent] = []
    quotes: dict[str, OrderView] = {}
    for number in range(160):
        now = START + number * 250 * MS
        events += exchange.advance(now)
        best = exchange.best(symbol)
        for side, price in (("BUY", best.bid), ("SELL", best.ask)):
            old = quotes.get(side)
            live = old and exchange.order("a", symbol, old.order_id, None)
            if live and live.status in {"NEW", "PARTIALLY_FILLED"}:
                if live.price == price:
                    continue
                events += exchange.cancel("a", symbol, live.order_id, None, f"c{number}{side}", now)[1]
            order = NewOrder("a", symbol, side, "LIMIT_MAKER", "GTC", size, price, f"{side}{number}")
            answer, more = exchange.place(order, now)
            events += more
            if isinstance(answer, OrderView):
                quotes[side] = answer
    fills = [each.trade for each in events if isinstance(each, Execution) and each.trade]
    assert sum(each.side == "BUY" for each in fills) >= 3
    assert sum(each.side == "SELL" for each in fills) >= 3
    assert all(each.bid < each.ask for each in events if isinstance(each, BestChange))
    end_ns = next(iter(exchange._market._records)).at_ns  # type: ignore[attr-defined] - the tape behind the port
    printed = sum((each.quantity for each in read_tape_until(name, end_ns)), D(0))
    public = sum((each.quantity for each in events if isinstance(each, Print)), D(0))
    assert sum((each.quantity for each in fills), D(0)) < public <= printed


def read_tape_until(name: str, end_ns: int) -> Iterator[TapeTrade]:
    for record in read_tape(recording(name)):
        if record.at_ns >= end_ns:
            return
        if isinstance(record, TapeTrade):
            yield record
