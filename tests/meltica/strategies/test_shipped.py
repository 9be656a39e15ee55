"""The shipped strategies, on a hand-made context: what they ask for, and what they never do."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from meltica.core.commands import InstrumentSeen
from meltica.core.events import FillEvent, OrderEvent, OrderEventKind
from meltica.core.values import (
    Account,
    Asset,
    ClientOrderId,
    Epoch,
    Money,
    Nanos,
    Price,
    Quantity,
    Side,
    StrategyId,
    Symbol,
    TimeInForce,
    TradeId,
    Venue,
)
from meltica.strategies.base import Handle, Kline, Working, ceil_to, floor_to
from meltica.strategies.catalogue import BadParameter, make_strategy
from meltica.strategies.market_maker import MarketMaker, Quoting
from meltica.strategies.momentum import Following, Momentum
from meltica.venues.base import Ticker

SYMBOL = Symbol("BTCUSDT")
MS = 1_000_000
S = 1_000_000_000


def d(text: str) -> Any:
    return Decimal(text)


RULES = InstrumentSeen(
    Epoch(1), Nanos(0), Venue("paper"), SYMBOL, Asset("BTC"), Asset("USDT"), d("0.01"), d("0.00001"), d("0.00001"),
    d("9000"), Money(Decimal(5)), True,
)  # fmt: skip


class Desk:
    """A context that remembers what it was asked for."""

    strategy = StrategyId("mm")
    symbols = (SYMBOL,)
    wall = Nanos(0)
    gap = Nanos(0)

    def __init__(self) -> None:
        self.now = Nanos(10 * S)
        self.asked: list[tuple[Side, Decimal, Decimal]] = []
        self.forms: list[tuple[TimeInForce, bool]] = []
        self.cancelled: list[ClientOrderId] = []
        self.resting: list[Working] = []
        self.held = Decimal(1)
        self.funds = {Asset("BTC"): Decimal(1), Asset("USDT"): Decimal(100_000)}
        self.why = ""
        self.best: Ticker | None = None

    def quotable(self, _symbol: Symbol) -> str:
        return self.why

    def instrument(self, _symbol: Symbol) -> InstrumentSeen | None:
        return RULES

    def ticker(self, _symbol: Symbol) -> Ticker | None:
        return self.best

    def position(self, _symbol: Symbol) -> Decimal:
        return self.held

    def available(self, asset: Asset) -> Decimal:
        return self.funds[asset]

    def working(self, _symbol: Symbol | None = None) -> tuple[Working, ...]:
        return tuple(self.resting)

    def limit(self, symbol: Symbol, side: Side, quantity: Any, price: Any, **form: Any) -> Handle:
        self.asked.append((side, quantity, price))
        self.forms.append((form.get("time_in_force", TimeInForce.GTC), form.get("post_only", False)))
        return Handle(symbol, side, quantity, price, "")

    def cancel(self, order: ClientOrderId, _reason: str = "") -> None:
        self.cancelled.append(order)


def ticker(bid: str = "60000.00", ask: str = "60000.01") -> Ticker:
    return Ticker(SYMBOL, d(bid), d("1"), d(ask), d("1"), Nanos(0))


def resting(side: Side, price: str, *, going: bool = False) -> Working:
    return Working(
        ClientOrderId(f"{side}{price}"), SYMBOL, side, d(price), d("0.001"), "", acknowledged=True, going=going
    )


def maker(**changes: Any) -> tuple[MarketMaker, Any]:
    desk: Any = Desk()
    strategy = MarketMaker(evolve(Quoting(), **changes))
    strategy.on_start(desk)
    return strategy, desk


def test_it_quotes_both_sides_at_the_touch_post_only() -> None:
    strategy, desk = maker()
    strategy.on_ticker(desk, ticker())
    assert [(side, price) for side, _, price in desk.asked] == [(Side.BUY, d("60000.00")), (Side.SELL, d("60000.01"))]
    assert desk.forms == [(TimeInForce.GTC, True)] * 2


def test_it_requotes_at_most_every_250_ms() -> None:
    strategy, desk = maker()
    for each in range(10):
        desk.now = Nanos(10 * S + each * 100 * MS)
        strategy.on_ticker(desk, ticker())
    assert len(desk.asked) == 2 * 4


def quoted() -> tuple[MarketMaker, Any]:
    """One that has looked at its market once and may quote again."""
    strategy, desk = maker()
    strategy.on_ticker(desk, ticker())
    desk.asked.clear()
    desk.now = Nanos(desk.now + 300 * MS)
    return strategy, desk


def test_a_quote_that_is_near_enough_stays_and_one_that_is_not_is_replaced() -> None:
    strategy, desk = quoted()
    desk.resting = [resting(Side.BUY, "59999.99"), resting(Side.SELL, "60005.00")]
    strategy.on_ticker(desk, ticker())
    assert desk.cancelled == ["SELL60005.00"]
    assert [(side, price) for side, _, price in desk.asked] == [(Side.SELL, d("60000.01"))], "beside the cancel"


def test_no_third_order_while_one_is_going_and_its_successor_is_there() -> None:
    strategy, desk = quoted()
    desk.resting = [resting(Side.SELL, "60009.00", going=True), resting(Side.SELL, "60005.00")]
    strategy.on_ticker(desk, ticker())
    assert desk.cancelled == ["SELL60005.00"]
    assert [side for side, _, _ in desk.asked] == [Side.BUY]


def test_a_quote_of_which_less_than_half_is_left_is_replaced() -> None:
    strategy, desk = quoted()
    desk.resting = [evolve(resting(Side.BUY, "60000.00"), leaves=d("0.0003")), resting(Side.SELL, "60000.01")]
    strategy.on_ticker(desk, ticker())
    assert desk.cancelled == ["BUY60000.00"]
    assert [side for side, _, _ in desk.asked] == [Side.BUY]


def test_on_a_warm_book_it_quotes_at_its_start_and_replaces_what_lay_unattended() -> None:
    desk: Any = Desk()
    desk.best = ticker()
    desk.resting = [resting(Side.BUY, "60000.00")]
    MarketMaker(Quoting()).on_start(desk)
    assert desk.cancelled == ["BUY60000.00"]
    assert [side for side, _, _ in desk.asked] == [Side.BUY, Side.SELL]


def test_it_leans_against_its_inventory_and_stops_on_the_full_side() -> None:
    strategy, desk = maker(inventory_value=d("600"))
    desk.held = Decimal("1.0101")
    strategy.on_ticker(desk, ticker())
    assert [side for side, _, _ in desk.asked] == [Side.SELL]
    strategy, desk = maker(inventory_value=d("600"), skew_ticks=10)
    desk.held = Decimal("1.005")
    strategy.on_ticker(desk, ticker())
    (_, _, bid), (_, _, ask) = desk.asked
    assert bid < d("60000.00")
    assert ask == d("60000.01"), "never through the other side"


def test_it_asks_for_nothing_while_it_may_not() -> None:
    strategy, desk = maker()
    desk.why = "halted"
    strategy.on_ticker(desk, ticker())
    assert desk.asked == []


def test_its_target_survives_a_failover() -> None:
    strategy, desk = maker()
    again = MarketMaker(Quoting())
    again.restore(strategy.checkpoint())
    desk.held = Decimal(5)
    again.on_start(desk)
    assert again.checkpoint() == "BTCUSDT=1"


@settings(deadline=None)
@given(
    bid=st.integers(1, 10**8),
    spread=st.integers(1, 1000),
    held=st.integers(-10, 10),
    quote=st.integers(0, 10**6),
    base=st.integers(0, 10**6),
)
def test_whatever_the_market_its_quotes_respect_the_rules(
    bid: int, spread: int, held: int, quote: int, base: int
) -> None:
    strategy, desk = maker()
    desk.held = Decimal(1) + Decimal(held) / 1000
    desk.funds = {Asset("BTC"): Decimal(base) / 1000, Asset("USDT"): Decimal(quote)}
    low, high = Decimal(bid) / 100, Decimal(bid + spread) / 100
    strategy.on_ticker(desk, Ticker(SYMBOL, Price(low), d("1"), Price(high), d("1"), Nanos(0)))
    for side, quantity, price in desk.asked:
        assert price % RULES.tick == 0
        assert quantity % RULES.step == 0
        assert quantity >= RULES.min_quantity
        assert quantity * price >= RULES.min_notional
        assert price < high if side is Side.BUY else price > low
        assert quantity <= desk.funds[Asset("BTC")] if side is Side.SELL else quantity * price <= quote


# --- momentum ------------------------------------------------------------------------------------------------


def kline(close: str) -> Kline:
    return Kline(SYMBOL, Nanos(0), Nanos(S), d(close), d(close), d(close), d(close), d("1"), 1)


def rising(strategy: Momentum, desk: Any, prices: list[str]) -> None:
    for price in prices:
        desk.now = Nanos(desk.now + S)
        desk.best = ticker(price, str(Decimal(price) + Decimal("0.01")))
        strategy.on_kline_summary(desk, kline(price))


def following() -> tuple[Momentum, Any]:
    desk: Any = Desk()
    strategy = Momentum(Following())
    strategy.on_start(desk)
    return strategy, desk


def fill(side: Side, quantity: Decimal) -> FillEvent:
    return FillEvent(
        None, None, Venue("paper"), Account("main"), SYMBOL, TradeId(1), side, d("1"), Quantity(quantity), d("0"),
        Asset("USDT"), False,
    )  # fmt: skip


def test_it_buys_into_a_rise_and_flips_when_it_falls_with_ioc_limits() -> None:
    strategy, desk = following()
    rising(strategy, desk, [str(60000 + 10 * n) for n in range(10)])
    (side, bought, price) = desk.asked[0]
    assert side is Side.BUY
    assert price > desk.best.ask - 1
    assert desk.forms[0] == (TimeInForce.IOC, False)
    event = OrderEvent(OrderEventKind.FILLED, ClientOrderId("x"), StrategyId("m"), Venue("paper"), SYMBOL)
    strategy.on_order_filled(desk, event, fill(Side.BUY, bought))
    desk.asked.clear()
    rising(strategy, desk, [str(60100 - 20 * n) for n in range(10)])
    (side, sold, _) = desk.asked[0]
    assert side is Side.SELL
    assert sold > bought, "through neutral to the other side"


def test_a_flat_market_is_left_alone() -> None:
    strategy, desk = following()
    rising(strategy, desk, ["60000"] * 30)
    assert desk.asked == []


def test_it_waits_for_the_last_order_to_end() -> None:
    strategy, desk = following()
    desk.resting = [resting(Side.BUY, "60000")]
    rising(strategy, desk, [str(60000 + 10 * n) for n in range(20)])
    assert desk.asked == []


def test_what_it_holds_survives_a_failover() -> None:
    strategy, desk = following()
    event = OrderEvent(OrderEventKind.FILLED, ClientOrderId("x"), StrategyId("m"), Venue("paper"), SYMBOL)
    strategy.on_order_partial_fill(desk, event, fill(Side.BUY, Decimal("0.001")))
    again = Momentum(Following())
    again.restore(strategy.checkpoint())
    assert again.checkpoint() == "BTCUSDT=0.001"


# --- catalogue -----------------------------------------------------------------------------------------------


def test_the_catalogue_makes_what_settings_name() -> None:
    assert isinstance(make_strategy("market_maker", {"order_value": "50", "requote_ms": 300}), MarketMaker)
    assert isinstance(make_strategy("momentum", {"fast": 2, "slow": 5}), Momentum)


@pytest.mark.parametrize(
    ("kind", "parameters", "said"),
    [
        ("scalper", {}, "allowed: market_maker, momentum"),
        ("market_maker", {"size": "1"}, "size: no such parameter"),
        ("market_maker", {"skew_ticks": "x"}, "allowed: a whole number"),
        ("market_maker", {"order_value": "-1"}, "allowed: more than 0"),
        ("market_maker", {"order_value": 1.5}, "order_value"),
    ],
)
def test_a_bad_parameter_says_what_is_allowed(kind: str, parameters: dict[str, object], said: str) -> None:
    with pytest.raises(BadParameter, match=said):
        make_strategy(kind, parameters)


@given(value=st.decimals(-1000, 1000, places=4), unit=st.sampled_from([Decimal("0.01"), Decimal("0.5"), Decimal(3)]))
def test_the_roundings_go_their_way_and_no_further(value: Decimal, unit: Decimal) -> None:
    assert floor_to(value, unit) <= value < floor_to(value, unit) + unit
    assert ceil_to(value, unit) - unit < value <= ceil_to(value, unit)
