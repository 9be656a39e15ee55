from decimal import Decimal

from attrs import evolve

from meltica.paper.readview import KEPT, ReadView
from meltica.paper.types import BalanceChange, Execution, OrderView, TradeView

ORDER = OrderView(
    1, "main", "BTCUSDT", "BUY", "LIMIT", "GTC", Decimal(1), Decimal(5), Decimal(0), Decimal(0), "NEW", "a", "a", None,
    100, 100,
)  # fmt: skip
GONE = evolve(ORDER, status="CANCELED", client_order_id="b")


def view():
    seen = ReadView()
    seen.open_account("main", [("USDT", Decimal(9), Decimal(0))], 0)
    seen.apply(Execution("NEW", ORDER, 100), 10)
    seen.apply(BalanceChange("main", (("USDT", Decimal(4), Decimal(5)),), 100), 10)
    seen.apply(Execution("CANCELED", GONE, 200, None, "b"), 20)
    return seen


def test_an_order_as_of_every_moment():
    seen = view()
    assert seen.order("main", "BTCUSDT", 1, None, 9) is None
    assert seen.order("main", "BTCUSDT", 1, None, 10) == ORDER
    assert seen.order("main", "BTCUSDT", None, "a", 19) == ORDER
    assert seen.order("main", "BTCUSDT", None, "a", 20) is None
    assert seen.order("main", "BTCUSDT", None, "b", 20) == GONE
    assert seen.order("main", "ETHUSDT", 1, None, 20) is None


def test_what_was_open_then():
    seen = view()
    assert [len(seen.open_orders("main", None, at)) for at in (9, 10, 19, 20)] == [0, 1, 1, 0]
    assert seen.open_orders("other", None, 15) == []


def test_balances_then():
    seen = view()
    assert seen.balances("main", 5) == [("USDT", Decimal(9), Decimal(0))]
    assert seen.balances("main", 10) == [("USDT", Decimal(4), Decimal(5))]


def test_trades_then_by_id_and_by_time():
    seen = ReadView()
    for number in range(5):
        trade = TradeView(
            number, 1, "main", "BTCUSDT", "BUY", Decimal(5), Decimal(1), Decimal(0), "BTC", True, number, "a"
        )
        seen.apply(Execution("TRADE", ORDER, number, trade), number)

    def ids(as_of, from_id=None, order_id=None, between=(None, None), limit=10):
        rows = seen.trades(
            "main", "BTCUSDT", from_id=from_id, order_id=order_id, between=between, limit=limit, as_of=as_of
        )
        return [row.trade_id for row in rows]

    assert ids(2) == [0, 1, 2]
    assert ids(9, limit=2) == [3, 4]
    assert ids(9, from_id=1, limit=2) == [1, 2]
    assert ids(9, between=(1, 3)) == [1, 2, 3]
    assert ids(9, order_id=2) == []


def test_old_versions_are_forgotten_but_for_the_newest_of_them():
    seen = view()
    seen.apply(BalanceChange("main", (("USDT", Decimal(1), Decimal(1)),), 0), 10 + 2 * KEPT)
    assert seen.balances("main", 2 * KEPT) == [("USDT", Decimal(4), Decimal(5))]
