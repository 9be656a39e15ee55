"""The synthetic market: the same seed, the same market; alive, narrow, and willing to trade with us."""

from __future__ import annotations

from decimal import Decimal
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meltica.paper.exchange import PaperExchange, open_exchange
from meltica.paper.types import BestChange, DepthChange, ExchangeEvent, Execution, NewOrder, OrderView, Print

START = 1_700_000_000_000_000
SECOND = 1_000_000
D = Decimal


def opened(seed: int = 7) -> PaperExchange:
    exchange = open_exchange("synthetic", seed, START)
    exchange.open_account("a", {"USDT": D(100_000), "BTC": D(2), "ETH": D(30)})
    return exchange


def run(exchange: PaperExchange, seconds: float, slice_us: int = 50_000) -> list[ExchangeEvent]:
    events: list[ExchangeEvent] = []
    end = START + int(seconds * SECOND)
    for now in range(START, end, slice_us):
        events += exchange.advance(now)
    return events + exchange.advance(end)


def test_the_book_is_full_from_the_start() -> None:
    exchange = opened()
    for symbol in ("BTCUSDT", "ETHUSDT"):
        _, bids, asks = exchange.depth(symbol, 50)
        assert len(bids) > 5 < len(asks)
        assert bids == sorted(bids, reverse=True)
        assert asks == sorted(asks)
        assert exchange.best(symbol).bid == bids[0][0] < asks[0][0] == exchange.best(symbol).ask


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 900_000), min_size=1, max_size=40))
def test_the_same_seed_is_the_same_market_however_time_is_cut(slices: list[int]) -> None:
    whole, cut = opened(), opened()
    events, now = [], START
    for each in slices:
        now += each
        events += cut.advance(now)
    assert events == whole.advance(now)


def test_a_seed_is_the_same_market_on_every_machine() -> None:
    """A change of the agents' habits changes this digest, and every seed that someone wrote down: mean it."""
    prints = [each for each in run(opened(7), 10) if isinstance(each, Print)]
    text = "\n".join(f"{each.at - START} {each.symbol} {each.trade_id} {each.price} {each.quantity}" for each in prints)
    assert sha256(text.encode()).hexdigest()[:16] == "1e05fc1f41167a95"


def test_another_seed_is_another_market() -> None:
    assert run(opened(1), 2) != run(opened(2), 2)


def test_our_orders_do_not_move_the_agents_dice() -> None:
    """After we are gone, the market returns to where it would have been: nothing of ours changed a draw."""
    alone, visited = opened(), opened()
    visited.open_account("rich", {"USDT": D(10) ** 9, "BTC": D(1000)})
    for side in ("BUY", "SELL"):
        order = NewOrder("rich", "BTCUSDT", side, "MARKET", "GTC", D(500), None, side)
        visited.place(order, START + SECOND)
    assert visited.depth("BTCUSDT", 1)[1:] == ([], []), "nothing is left for an agent to look at"
    for exchange in (alone, visited):
        run(exchange, 9)  # outer quoters replace their orders within 4 s
    assert alone.depth("BTCUSDT", 50)[1:] == visited.depth("BTCUSDT", 50)[1:]


def test_it_lives_at_the_pace_it_promises() -> None:
    events = run(opened(), 60)
    for symbol in ("BTCUSDT", "ETHUSDT"):
        mine = [each for each in events if not isinstance(each, Execution) and getattr(each, "symbol", "") == symbol]
        prints = sum(isinstance(each, Print) for each in mine)
        levels = sum(len(each.bids) + len(each.asks) for each in mine if isinstance(each, DepthChange))
        assert 60 <= prints <= 600, "one to ten a second"
        assert 600 <= levels <= 3000, "ten to fifty changed levels a second"
        best = [each for each in mine if isinstance(each, BestChange)]
        spreads = sorted((each.ask - each.bid) / each.bid * 10_000 for each in best if each.bid and each.ask)
        assert spreads[0] > 0
        assert 1 <= spreads[len(spreads) // 2] <= 3, "basis points"


def test_depth_events_join_and_equal_the_best_prices_at_shared_ids() -> None:
    exchange = opened()
    books: dict[str, tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]] = {}
    last: dict[str, int] = {}
    best: dict[str, BestChange] = {}
    compared = 0
    for event in run(exchange, 30):
        if isinstance(event, BestChange):
            best[event.symbol] = event
        elif isinstance(event, DepthChange):
            bids, asks = books.setdefault(event.symbol, ({}, {}))
            assert event.first_id == last.get(event.symbol, 0) + 1
            assert event.at % 100_000 == 0
            last[event.symbol] = event.last_id
            bids.update(event.bids)
            asks.update(event.asks)
            ticker = best.get(event.symbol)
            if ticker is not None and ticker.update_id == event.last_id:
                compared += 1
                top = (
                    max(price for price, size in bids.items() if size),
                    min(price for price, size in asks.items() if size),
                )
                assert (ticker.bid, ticker.ask) == top
                assert (ticker.bid_quantity, ticker.ask_quantity) == (bids[top[0]], asks[top[1]])
    assert compared > 20
    assert {symbol: exchange.depth(symbol, 1)[0] for symbol in books} == last


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_a_maker_at_the_touch_is_filled_on_both_sides_within_seconds(symbol: str) -> None:
    exchange = opened(3)
    sizes = {"BTCUSDT": D("0.002"), "ETHUSDT": D("0.02")}
    filled: dict[str, int] = {"BUY": 0, "SELL": 0}
    for number in range(40):  # ten seconds, requoting each 250 ms one tick inside the touch
        now = START + number * 250_000
        for order in exchange.open_orders("a", symbol):
            exchange.cancel("a", symbol, order.order_id, None, f"c{order.order_id}", now)
        best = exchange.best(symbol)
        for side, price in (("BUY", best.bid + D("0.01")), ("SELL", best.ask - D("0.01"))):
            exchange.place(
                NewOrder("a", symbol, side, "LIMIT_MAKER", "GTC", sizes[symbol], price, f"{side}{number}"), now
            )
        for event in exchange.advance(now + 249_999):
            if isinstance(event, Execution) and event.trade is not None:
                filled[event.order.side] += 1
    assert filled["BUY"] >= 3 <= filled["SELL"]


def test_stale_quotes_of_ours_are_taken_by_who_knows_better() -> None:
    exchange = opened(5)
    ask = exchange.best("BTCUSDT").ask
    stale = NewOrder("a", "BTCUSDT", "BUY", "LIMIT", "GTC", D("0.5"), ask * D("1.001") // D("0.01") * D("0.01"), "x")
    answer, _ = exchange.place(stale, START)
    assert isinstance(answer, OrderView)
    run(exchange, 30)
    order = exchange.order("a", "BTCUSDT", answer.order_id, None)
    assert order is not None
    assert order.executed > answer.executed or order.status == "FILLED"


def test_the_market_outlives_an_emptied_book_and_an_absurd_offer() -> None:
    exchange = opened()
    exchange.open_account("rich", {"BTC": D(100_000), "USDT": D(10) ** 12})
    for side, price in (("SELL", D("0.01")), ("BUY", D(900_000))):
        order = NewOrder("rich", "BTCUSDT", side, "LIMIT", "GTC", D(600), price, side)
        exchange.place(order, START)
        run(exchange, 5)
        exchange.cancel("rich", "BTCUSDT", None, side, f"c{side}", START + 5 * SECOND)
    events = exchange.advance(START + 15 * SECOND)
    prints = [each for each in events if isinstance(each, Print)]
    assert prints
    assert all(earlier.at <= later.at for earlier, later in pairwise(prints))
    assert exchange.best("BTCUSDT").bid > D(50_000)
