"""The exchange as its faces see it: orders, balances, ids, events; and its invariants under random orders."""

from __future__ import annotations

from decimal import Decimal

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from meltica.paper import orders
from meltica.paper.exchange import PaperExchange, open_exchange
from meltica.paper.market import StillMarket
from meltica.paper.symbols import BTCUSDT, ETHUSDT
from meltica.paper.types import (
    BalanceChange,
    BestChange,
    DepthChange,
    Exchange,
    ExchangeEvent,
    Execution,
    NewOrder,
    OrderView,
    Print,
    Refusal,
)

BTC = "BTCUSDT"
D = Decimal


def venue(**balances: str) -> PaperExchange:
    exchange = PaperExchange([BTCUSDT, ETHUSDT], StillMarket())
    for account in ("a", "b"):
        exchange.open_account(
            account, {asset: D(amount) for asset, amount in ({"USDT": "1000", "BTC": "1"} | balances).items()}
        )
    return exchange


def ask_for(
    account: str, side: str, quantity: str, price: str | None = None, *, kind: str = "", tif: str = "GTC", cid: str = ""
) -> NewOrder:
    kind = kind or ("MARKET" if price is None else "LIMIT")
    return NewOrder(account, BTC, side, kind, tif, D(quantity), None if price is None else D(price), cid, 7)


def placed(exchange: PaperExchange, order: NewOrder, now: int = 0) -> tuple[OrderView, list[ExchangeEvent]]:
    answer, events = exchange.place(order, now)
    assert isinstance(answer, OrderView), answer
    return answer, events


def refused(exchange: PaperExchange, order: NewOrder) -> tuple[int, str]:
    before = exchange.balances(order.account) if order.account else []
    answer, events = exchange.place(order, 0)
    assert isinstance(answer, Refusal), answer
    assert not events
    assert not order.account or exchange.balances(order.account) == before
    return answer.code, answer.text


def kinds(events: list[ExchangeEvent]) -> list[str]:
    return [each.kind if isinstance(each, Execution) else type(each).__name__ for each in events]


def held(exchange: PaperExchange, account: str) -> dict[str, tuple[Decimal, Decimal]]:
    return {asset: (free, locked) for asset, free, locked in exchange.balances(account) if free or locked}


def test_it_is_an_exchange() -> None:
    exchange: Exchange = venue()
    assert set(exchange.rules) == {"BTCUSDT", "ETHUSDT"}


def test_a_trade_moves_money_takes_fees_and_releases_what_a_better_price_saved() -> None:
    exchange = venue()
    maker, _ = placed(exchange, ask_for("a", "SELL", "0.5", "1000", cid="m"))
    assert held(exchange, "a")["BTC"] == (D("0.5"), D("0.5"))
    taker, events = placed(exchange, ask_for("b", "BUY", "0.7", "1010", cid="t"), now=5)
    assert taker.status == "PARTIALLY_FILLED"
    assert (taker.executed, taker.quote_executed) == (D("0.5"), D(500))
    assert kinds(events) == ["NEW", "Print", "TRADE", "TRADE", "BalanceChange", "BalanceChange", "BestChange"]
    # the buyer paid 500, has 0.2 * 1010 locked, and got 0.5 less 0.1 %
    assert held(exchange, "b") == {"BTC": (D("1.4995"), D(0)), "USDT": (D(298), D(202))}
    assert held(exchange, "a") == {"BTC": (D("0.5"), D(0)), "USDT": (D("1499.5"), D(0))}
    assert exchange.fees == {"BTC": D("0.0005"), "USDT": D("0.5")}
    [trade] = exchange.trades("a", BTC, None, None, 10)
    assert (trade.maker, trade.side, trade.order_id, trade.fee, trade.fee_asset) == (
        True,
        "SELL",
        maker.order_id,
        D("0.5"),
        "USDT",
    )
    assert trade.placed_as == "m"
    assert [each.trade_id for each in exchange.trades("b", BTC, None, taker.order_id, 10)] == [trade.trade_id]
    [public] = exchange.recent_prints(BTC, 5)
    assert (public.price, public.quantity, public.buyer_is_maker, public.at) == (D(1000), D("0.5"), False, 5)


def test_maker_and_taker_pay_their_own_rates() -> None:
    rules = evolve(BTCUSDT, maker_fee=D("0.0002"), taker_fee=D("0.0005"))
    exchange = PaperExchange([rules], StillMarket())
    exchange.open_account("a", {"BTC": D(1)})
    exchange.open_account("b", {"USDT": D(1000)})
    placed(exchange, ask_for("a", "SELL", "1", "1000", cid="m"))
    placed(exchange, ask_for("b", "BUY", "1", "1000", cid="t"))
    assert exchange.fees == {"USDT": D("0.2"), "BTC": D("0.0005")}


def test_reports_show_the_order_after_each_trade() -> None:
    exchange = venue()
    for price in ("1000", "1001"):
        placed(exchange, ask_for("a", "SELL", "0.1", price, cid=price))
    _, events = placed(exchange, ask_for("b", "BUY", "0.3", "1001", tif="IOC", cid="t"))
    mine = [each.order for each in events if isinstance(each, Execution) and each.order.account == "b"]
    assert [(each.status, each.executed) for each in mine] == [
        ("NEW", D(0)),
        ("PARTIALLY_FILLED", D("0.1")),
        ("PARTIALLY_FILLED", D("0.2")),
        ("EXPIRED", D("0.2")),
    ]
    assert not exchange.open_orders("b", None)
    assert held(exchange, "b")["USDT"] == (D("799.9"), D(0))


@pytest.mark.parametrize(("tif", "executed"), [("IOC", "0.1"), ("FOK", "0")])
def test_remainders_that_may_not_rest_expire(tif: str, executed: str) -> None:
    exchange = venue()
    placed(exchange, ask_for("a", "SELL", "0.1", "1000", cid="m"))
    taker, _ = placed(exchange, ask_for("b", "BUY", "0.2", "1000", tif=tif, cid="t"))
    assert (taker.status, taker.executed) == ("EXPIRED", D(executed))
    assert held(exchange, "b")["USDT"][1] == 0


def test_fill_or_kill_fills_across_levels_but_never_with_own_orders() -> None:
    exchange = venue()
    placed(exchange, ask_for("a", "SELL", "0.1", "1000", cid="1"))
    placed(exchange, ask_for("b", "SELL", "0.1", "1001", cid="2"))
    assert placed(exchange, ask_for("b", "BUY", "0.2", "1001", tif="FOK", cid="3"))[0].status == "EXPIRED"
    placed(exchange, ask_for("a", "SELL", "0.1", "1002", cid="4"))
    filled, _ = placed(exchange, ask_for("b", "BUY", "0.2", "1002", tif="FOK", cid="5"))
    assert (filled.status, filled.quote_executed) == ("FILLED", D("200.2"))
    own = exchange.order("b", BTC, None, "2")
    assert own is not None
    assert own.status == "EXPIRED", "self-trade prevention expires the maker"


def test_a_market_order_takes_what_is_there_and_expires_the_rest() -> None:
    exchange = venue()
    placed(exchange, ask_for("a", "SELL", "0.1", "1000", cid="1"))
    placed(exchange, ask_for("a", "SELL", "0.1", "1100", cid="2"))
    bought, _ = placed(exchange, ask_for("b", "BUY", "0.5", cid="3"))
    assert (bought.status, bought.executed, bought.quote_executed) == ("EXPIRED", D("0.2"), D(210))
    assert held(exchange, "b")["USDT"] == (D(790), D(0))
    empty, _ = placed(exchange, ask_for("b", "SELL", "0.5", cid="4"))
    assert (empty.status, empty.executed) == ("EXPIRED", D(0))


def test_post_only_never_takes() -> None:
    exchange = venue()
    placed(exchange, ask_for("a", "SELL", "0.1", "1000", cid="1"))
    text = "Order would immediately match and take."
    assert refused(exchange, ask_for("b", "BUY", "0.1", "1000", kind="LIMIT_MAKER", cid="2")) == (-2010, text)
    resting, _ = placed(exchange, ask_for("b", "BUY", "0.1", "999.99", kind="LIMIT_MAKER", cid="3"))
    assert resting.status == "NEW"


def test_refusals_in_binance_words() -> None:
    exchange = venue()
    poor = "Account has insufficient balance for requested action."
    assert refused(exchange, ask_for("a", "BUY", "1", "1000.01", cid="1")) == (-2010, poor)
    assert refused(exchange, ask_for("a", "SELL", "1.00001", "1000", cid="1")) == (-2010, poor)
    placed(exchange, ask_for("a", "SELL", "0.9", "2000", cid="1"))
    assert refused(exchange, ask_for("a", "SELL", "0.01", "2000", cid="1")) == (-2010, "Duplicate order sent.")
    assert refused(exchange, ask_for("b", "BUY", "0.6", cid="2")) == (-2010, poor)
    assert refused(exchange, ask_for("b", "BUY", "0.001", "1", cid="2")) == (-1013, "Filter failure: NOTIONAL")
    unknown = NewOrder("a", "XRPUSDT", "BUY", "LIMIT", "GTC", D(1), D(1), "x")
    assert refused(exchange, unknown) == (-1121, "Invalid symbol.")


def test_selling_all_that_was_bought_is_refused_for_the_fee_was_taken_from_it() -> None:
    exchange = venue(BTC="0")
    exchange.open_account("c", {"BTC": D(1)})
    placed(exchange, ask_for("c", "SELL", "0.1", "1000", cid="1"))
    placed(exchange, ask_for("b", "BUY", "0.1", "1000", cid="2"))
    assert refused(exchange, ask_for("b", "SELL", "0.1", "1000", cid="3"))[0] == -2010
    placed(exchange, ask_for("b", "SELL", "0.0999", "1000", cid="3"))


def test_a_cancel_renames_the_order_and_releases_its_balance() -> None:
    exchange = venue()
    order, _ = placed(exchange, ask_for("a", "BUY", "0.5", "1000", cid="mine"))
    gone, events = exchange.cancel("a", BTC, None, "mine", "the-cancel", 9)
    assert isinstance(gone, OrderView)
    assert (gone.status, gone.client_order_id, gone.placed_as, gone.updated_at) == ("CANCELED", "the-cancel", "mine", 9)
    assert kinds(events) == ["CANCELED", "BalanceChange", "BestChange"]
    assert isinstance(events[0], Execution)
    assert events[0].cancelled_by == "the-cancel"
    assert held(exchange, "a")["USDT"] == (D(1000), D(0))
    assert exchange.order("a", BTC, None, "mine") is None
    assert exchange.order("a", BTC, None, "the-cancel") == exchange.order("a", BTC, order.order_id, None) == gone
    assert exchange.order("a", BTC, order.order_id, "mine") is None, "both ids given must agree"
    for order_id, cid in ((order.order_id, None), (None, "mine"), (None, "the-cancel"), (99, None), (None, None)):
        again, _ = exchange.cancel("a", BTC, order_id, cid, "x", 9)
        assert again == Refusal(-2011, "Unknown order sent.")
    assert exchange.cancel("b", BTC, order.order_id, None, "x", 9)[0] == Refusal(-2011, "Unknown order sent.")


def test_a_client_id_is_free_again_once_its_order_is_closed() -> None:
    exchange = venue()
    first, _ = placed(exchange, ask_for("a", "SELL", "0.1", "1000", cid="x"))
    placed(exchange, ask_for("b", "BUY", "0.1", "1000", cid="y"))
    second, _ = placed(exchange, ask_for("a", "SELL", "0.1", "1000", cid="x"))
    assert exchange.order("a", BTC, None, "x") == second, "the newest of that name"
    exchange.cancel("a", BTC, None, "x", "c", 0)
    found = exchange.order("a", BTC, None, "x")
    assert found is not None
    assert found.order_id == first.order_id, "the older one never lost its name"


def test_ids_only_grow_and_pages_start_at_an_id() -> None:
    exchange = PaperExchange([BTCUSDT], StillMarket(), first_order_id=100, first_trade_id=50, first_update_id=10)
    for account in ("a", "b"):
        exchange.open_account(account, {"BTC": D(1), "USDT": D(1000)})
    for number in range(4):
        placed(exchange, ask_for("a", "SELL", "0.01", "1000", cid=f"s{number}"))
        placed(exchange, ask_for("b", "BUY", "0.01", "1000", cid=f"b{number}"))
    assert [each.order_id for each in exchange.all_orders("a", BTC, None, 3)] == [102, 104, 106]
    assert [each.order_id for each in exchange.all_orders("a", BTC, 101, 2)] == [102, 104]
    assert [each.trade_id for each in exchange.trades("a", BTC, None, None, 2)] == [52, 53]
    assert [each.trade_id for each in exchange.trades("a", BTC, 51, None, 2)] == [51, 52]
    assert [each.trade_id for each in exchange.trades("a", BTC, 51, 104, 9)] == [52]
    assert exchange.depth(BTC, 5) == (17, [], []), "eight changed levels after 9"


def test_the_past_is_forgotten_beyond_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "ORDERS_KEPT", 20)
    monkeypatch.setattr(orders, "TRADES_KEPT", 10)
    exchange = venue()
    resting, _ = placed(exchange, ask_for("a", "BUY", "0.01", "900", cid="rests"))
    for number in range(40):
        placed(exchange, ask_for("a", "SELL", "0.01", "1000", cid=f"s{number}"))
        placed(exchange, ask_for("b", "BUY", "0.01", "1000", cid=f"b{number}"))
    assert len(exchange.all_orders("a", BTC, None, 1000)) <= 21
    assert len(exchange.trades("a", BTC, None, None, 1000)) <= 12
    assert exchange.order("a", BTC, resting.order_id, "rests") is not None, "open orders are never forgotten"
    assert exchange.order("a", BTC, None, "s0") is None
    assert exchange.order("a", BTC, None, "s39") is not None


def test_depth_comes_every_100_ms_and_its_numbers_join() -> None:
    exchange = venue()
    _, events = placed(exchange, ask_for("a", "BUY", "0.1", "1000", cid="1"), now=250_000)
    assert exchange.next_event_at() == 300_000
    assert [each for each in events if isinstance(each, DepthChange)] == []
    placed(exchange, ask_for("a", "BUY", "0.1", "999", cid="2"), now=260_000)
    exchange.cancel("a", BTC, None, "1", "c", 270_000)
    [depth] = exchange.advance(320_000)
    assert isinstance(depth, DepthChange)
    assert (depth.first_id, depth.last_id, depth.at) == (1, 3, 300_000)
    assert dict(depth.bids) == {D(1000): D(0), D(999): D("0.1")}
    assert exchange.next_event_at() is None
    _, events = placed(exchange, ask_for("a", "SELL", "0.1", "2000", cid="3"), now=900_000)
    assert [type(each) for each in events] == [Execution, BalanceChange, BestChange]
    [depth] = exchange.advance(1_000_000)
    assert isinstance(depth, DepthChange)
    assert (depth.first_id, depth.last_id, depth.at) == (4, 4, 1_000_000)
    assert exchange.depth(BTC, 1) == (4, [(D(999), D("0.1"))], [(D(2000), D("0.1"))])


def test_time_does_not_go_back() -> None:
    exchange = venue()
    placed(exchange, ask_for("a", "BUY", "0.1", "1000", cid="1"), now=500)
    late, _ = placed(exchange, ask_for("a", "BUY", "0.1", "1000", cid="2"), now=100)
    assert late.placed_at == 500


def test_an_unknown_market_is_refused() -> None:
    for name in ("", "real", "tape:"):
        with pytest.raises(ValueError, match="is allowed"):
            open_exchange(name, 1, 0)


# random orders: what must hold after each of them

ACCOUNTS = ("a", "b", "c")
START = {"USDT": D(3000), "BTC": D("0.03"), "ETH": D(0)}

placing = st.tuples(
    st.sampled_from(ACCOUNTS),
    st.sampled_from(["BUY", "SELL"]),
    st.sampled_from(
        [
            ("LIMIT", "GTC"),
            ("LIMIT", "GTC"),
            ("LIMIT", "IOC"),
            ("LIMIT", "FOK"),
            ("LIMIT_MAKER", "GTC"),
            ("MARKET", "GTC"),
        ]
    ),
    st.integers(1, 700),  # of a hundred-thousandth
    st.integers(5_999_990, 6_000_010),  # ticks
)
cancelling = st.tuples(st.sampled_from(ACCOUNTS), st.integers(0, 20))


def check_invariants(exchange: PaperExchange) -> None:
    total = {asset: D(0) for asset in START}
    for account in ACCOUNTS:
        owed = dict.fromkeys(START, D(0))
        for order in exchange.open_orders(account, None):
            left = order.quantity - order.executed
            assert order.status in orders.OPEN
            assert order.price is not None
            owed["USDT" if order.side == "BUY" else "BTC"] += left * order.price if order.side == "BUY" else left
        for asset, free, locked in exchange.balances(account):
            assert free >= 0
            assert locked == owed[asset]
            total[asset] += free + locked
    for asset in ("USDT", "BTC"):
        assert total[asset] + exchange.fees.get(asset, D(0)) == 3 * START[asset]
    best = exchange.best(BTC)
    assert not best.bid or not best.ask or best.bid < best.ask


@settings(max_examples=80, deadline=None)
@given(st.lists(st.one_of(placing, placing, placing, cancelling), min_size=1, max_size=40))
def test_money_is_conserved_and_the_streams_tell_the_whole_book(steps: list[tuple[object, ...]]) -> None:
    exchange = PaperExchange([BTCUSDT], StillMarket())
    for account in ACCOUNTS:
        exchange.open_account(account, START)
    events: list[ExchangeEvent] = []
    for number, step in enumerate(steps):
        account = str(step[0])
        if len(step) == 2:
            mine = exchange.open_orders(account, BTC)
            if mine:
                chosen = mine[int(str(step[1])) % len(mine)]
                events += exchange.cancel(account, BTC, chosen.order_id, None, f"c{number}", number * 30_000)[1]
        else:
            _, side, (kind, tif), lots, ticks = step  # type: ignore[misc] - the two shapes are told apart by length
            price = None if kind == "MARKET" else D(ticks) / 100
            order = NewOrder(account, BTC, str(side), kind, tif, D(lots) / 100_000, price, f"o{number}")
            events += exchange.place(order, number * 30_000)[1]
        check_invariants(exchange)
    events += exchange.advance(10**9)
    assert exchange.outside.keys() <= START.keys()
    assert not any(exchange.outside.values())
    check_streams(exchange, events)


def check_streams(exchange: PaperExchange, events: list[ExchangeEvent]) -> None:
    """A client who heard every event knows the book, the balances and the orders."""
    book: dict[str, dict[Decimal, Decimal]] = {"bids": {}, "asks": {}}
    last, trade_ids, balances = (
        0,
        [],
        {(account, asset): amount for account in ACCOUNTS for asset, amount in START.items()},
    )
    shown: dict[tuple[str, int], OrderView] = {}
    for event in events:
        if isinstance(event, DepthChange):
            assert event.first_id == last + 1
            last = event.last_id
            book["bids"].update(event.bids)
            book["asks"].update(event.asks)
        elif isinstance(event, Print):
            trade_ids.append(event.trade_id)
        elif isinstance(event, BalanceChange):
            balances.update({(event.account, asset): free + locked for asset, free, locked in event.balances})
        elif isinstance(event, Execution):
            shown[event.order.account, event.order.order_id] = event.order
    update_id, bids, asks = exchange.depth(BTC, 1000)
    assert update_id == last
    assert bids == sorted(((p, q) for p, q in book["bids"].items() if q), reverse=True)
    assert asks == sorted((p, q) for p, q in book["asks"].items() if q)
    assert trade_ids == list(range(1, len(trade_ids) + 1))
    for account in ACCOUNTS:
        for asset, free, locked in exchange.balances(account):
            assert balances[account, asset] == free + locked
        for order in exchange.all_orders(account, BTC, None, 1000):
            assert shown[account, order.order_id] == order
