"""The engine against a dumb model, and the rules of a recorded market's queue, one by one."""

from __future__ import annotations

from decimal import Decimal
from itertools import count

import pytest
from attrs import define
from hypothesis import given, settings
from hypothesis import strategies as st

from meltica.paper.book import Level
from meltica.paper.engine import Engine
from meltica.paper.orders import Order, Scale

SCALE = Scale(Decimal("0.01"), step_atoms=10)
_ids = count(1)


def order(price: int | None, quantity: int, *, buying: bool, account: str = "a") -> Order:
    return Order(next(_ids), account, "BTCUSDT", buying, price, quantity, SCALE)


def engine() -> Engine:
    return Engine(step=10)


# the recorded market: what of a level can be taken


def test_a_level_gives_each_recorded_unit_once() -> None:
    level = Level(100)
    level.state(50)
    level.left -= 40
    level.state(30)
    assert level.left == 10, "a smaller statement refills nothing"
    level.state(5)
    assert level.left == 5, "and caps what is left"
    level.state(45)
    assert level.left == 45, "a larger one adds what it grew by"
    level.left = 0
    level.state(0)
    level.state(20)
    assert level.left == 20, "a level that went and came back is new"


def test_a_taker_takes_the_recorded_size_once() -> None:
    book = engine()
    book.state(False, 101, 50)
    first = order(101, 30, buying=True)
    assert [(match.price, match.quantity, match.maker) for match in book.take(first).matches] == [(101, 30, None)]
    second = order(101, 30, buying=True)
    assert [match.quantity for match in book.take(second).matches] == [20]
    assert second.leaves == 10
    book.state(False, 101, 50)
    assert not book.take(order(101, 30, buying=True)).matches, "stating the same size again is no refill"
    book.state(False, 101, 60)
    assert [match.quantity for match in book.take(order(101, 30, buying=True)).matches] == [10]


def test_recorded_sizes_trade_in_whole_steps_only() -> None:
    book = engine()
    book.state(False, 101, 37)
    assert [match.quantity for match in book.take(order(None, 100, buying=True)).matches] == [30]


# the recorded market: the queue of our makers


def queued(*, ahead: int, size: int, buying: bool = True) -> tuple[Engine, Order]:
    book = engine()
    book.state(buying, 100, ahead)
    mine = order(100, size, buying=buying)
    book.rest(mine)
    return book, mine


def test_only_opposite_prints_at_the_price_shorten_the_queue() -> None:
    book, mine = queued(ahead=50, size=20)
    book.state(True, 100, 10)  # others cancelled: not assumed to have been before us
    book.state(True, 100, 500)
    book.printed(100, 30, seller_aggressive=False)
    book.printed(101, 400, seller_aggressive=True)
    assert (mine.ahead, mine.executed) == (50, 0)
    assert not book.printed(100, 40, seller_aggressive=True).level
    assert (mine.ahead, mine.executed) == (10, 0)
    assert [match.quantity for match in book.printed(100, 25, seller_aggressive=True).level] == [10]
    assert (mine.ahead, mine.executed) == (0, 10), "10 of the queue, 15 for us, of which a whole step is 10"
    book.printed(100, 500, seller_aggressive=True)
    assert mine.executed == 20
    assert not book.bids.levels[100].orders


def test_prints_through_the_price_fill_us_first_up_to_their_size() -> None:
    book, mine = queued(ahead=5000, size=100)
    printed = book.printed(99, 60, seller_aggressive=True)
    assert [(match.price, match.quantity) for match in printed.through] == [(100, 60)]
    assert mine.executed == 60
    assert [match.quantity for match in book.printed(99, 60, seller_aggressive=False).through] == [40]


def test_asks_mirror_bids() -> None:
    book, mine = queued(ahead=50, size=20, buying=False)
    book.printed(100, 45, seller_aggressive=True)
    book.printed(99, 45, seller_aggressive=False)
    assert mine.executed == 0
    book.printed(100, 55, seller_aggressive=False)
    assert mine.executed == 0
    assert mine.ahead == 0
    book.printed(101, 10, seller_aggressive=False)
    assert mine.executed == 10


def test_one_print_serves_the_better_price_then_the_older_order() -> None:
    book = engine()
    book.state(True, 100, 20)
    first, better = order(100, 30, buying=True), order(101, 10, buying=True)
    book.rest(first)
    book.state(True, 100, 60)
    last = order(100, 30, buying=True)
    for each in (better, last):
        book.rest(each)
    assert (first.ahead, last.ahead) == (20, 60)
    printed = book.printed(100, 70, seller_aggressive=True)
    assert [match.maker for match in printed.through] == [better]
    assert [(match.maker, match.quantity) for match in printed.level] == [(first, 30)]
    assert last.ahead == 30, "20 passed before the first order, 10 after it"


def test_a_taker_of_ours_meets_the_queue_in_its_order() -> None:
    book, mine = queued(ahead=50, size=20)
    book.state(True, 100, 90)
    taker = order(100, 100, buying=False, account="b")
    assert [(match.quantity, match.maker) for match in book.take(taker).matches] == [(50, None), (20, mine), (30, None)]
    assert book.bids.levels[100].left == 10


def test_self_trade_expires_the_resting_order_and_goes_on() -> None:
    book = engine()
    mine, other = order(100, 20, buying=True), order(99, 20, buying=True, account="b")
    book.rest(mine)
    book.rest(other)
    taken = book.take(order(99, 20, buying=False))
    assert taken.expired == [mine]
    assert [match.maker for match in taken.matches] == [other]
    assert book.bids.best() is None


def test_what_never_rested_cannot_be_rested_or_removed() -> None:
    market = order(None, 10, buying=True)
    with pytest.raises(ValueError, match="no price"):
        engine().rest(market)
    with pytest.raises(ValueError, match="no price"):
        engine().remove(market)


# price-time priority, against a model too dumb to be wrong


@define
class Dumb:
    """All resting orders in one list, oldest first; the best is searched for every unit that trades."""

    resting: list[list[int | bool]]

    def take(self, number: int, price: int, quantity: int, *, buying: bool) -> list[tuple[int, int, int]]:
        trades = []
        while quantity:
            others = [each for each in self.resting if each[3] != buying]
            met = [each for each in others if (each[1] <= price if buying else each[1] >= price)]
            if not met:
                break
            best = min(met, key=lambda each: each[1] if buying else -each[1])
            units = min(quantity, int(best[2]))
            trades.append((int(best[0]), int(best[1]), units))
            best[2] -= units
            quantity -= units
            self.resting = [each for each in self.resting if each[2]]
        if quantity:
            self.resting.append([number, price, quantity, buying])
        return trades


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(95, 105), st.integers(1, 9), st.integers(0, 5)), min_size=1, max_size=60
    )
)
def test_price_then_time(steps: list[tuple[bool, int, int, int]]) -> None:
    book, dumb, live = engine(), Dumb([]), {}
    for number, (buying, price, lots, action) in enumerate(steps):
        if action == 0 and dumb.resting:
            gone = int(dumb.resting.pop(lots % len(dumb.resting))[0])
            book.remove(live[gone])
            continue
        taker = Order(number, str(number), "BTCUSDT", buying, price, lots * 10, SCALE)
        live[number] = taker
        expected = dumb.take(number, price, lots * 10, buying=buying)
        reach, cost = book.available(taker)
        trades = book.take(taker).matches
        assert [(match.maker.order_id, match.price, match.quantity) for match in trades if match.maker] == expected
        assert (reach, cost) == (sum(each[2] for each in expected), sum(each[1] * each[2] for each in expected))
        if taker.leaves:
            book.rest(taker)
        bid, ask = book.bids.best(), book.asks.best()
        assert bid is None or ask is None or bid < ask
        for level in (*book.bids.levels.values(), *book.asks.levels.values()):
            assert level.resting == sum(each.leaves for each in level.orders.values()) > 0
