"""The pure rooms: balances, surveys, look-ups, bars, drop copy, watchdog."""

from __future__ import annotations

from decimal import Decimal

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from meltica.core.orders import CANCELS_KEPT
from meltica.core.state import State
from meltica.core.values import (
    Asset,
    ClientOrderId,
    Money,
    Nanos,
    Price,
    Quantity,
    Symbol,
    TradeId,
    Venue,
    VenueOrderId,
)
from meltica.leader.balances import BalanceNews, BalanceWatch
from meltica.leader.bars import Bars
from meltica.leader.lookups import Bounds, Lookups, Verdict, bounds, names_to_ask
from meltica.leader.reads import Question
from meltica.leader.reconcile import low_water
from meltica.leader.survey import Survey, needs_of
from meltica.venues.base import BalanceShown, PublicTrade, Read, ReadDone, ReadFailed, ReadKind, TradeShown
from tests.meltica.leader.world import MS, SYMBOL, VENUE, S, World

BTC = Asset("BTC")


def balance(total: int, begun: int, ended: int) -> ReadDone:
    shown = (BalanceShown(BTC, Money(Decimal(total)), Money(Decimal(0))),)
    return ReadDone(Read(1, ReadKind.BALANCES), Nanos(begun), Nanos(ended), balances=shown)


def watched(values: list[tuple[int, int]]) -> BalanceWatch:
    watch = BalanceWatch(Nanos(2 * S), Nanos(15 * S))
    for at, amount in values:
        watch.held(BTC, Decimal(amount), Nanos(at))
    return watch


def shown(asset: str, total: int) -> BalanceShown:
    return BalanceShown(Asset(asset), Money(Decimal(total)), Money(Decimal(0)))


def test_the_streams_balances_are_told_together_the_newest_of_each_asset() -> None:
    news = BalanceNews(Nanos(10))
    news.heard([shown("BTC", 1), shown("USDT", 5)], Nanos(100))
    news.heard([shown("BTC", 2)], Nanos(105))
    assert news.due == 110
    assert news.take(Nanos(109)) == []
    assert news.take(Nanos(110)) == [shown("BTC", 2), shown("USDT", 5)]
    assert news.due is None
    assert news.take(Nanos(200)) == []


def test_a_read_says_more_than_what_the_stream_said_before_it() -> None:
    news = BalanceNews(Nanos(10))
    news.heard([shown("BTC", 1)], Nanos(100))
    news.heard([shown("USDT", 5)], Nanos(105))
    news.read(Nanos(100))
    assert news.take(Nanos(110)) == [shown("USDT", 5)]
    news.heard([shown("BTC", 3)], Nanos(120))
    news.read(Nanos(125))
    assert news.due is None
    assert news.take(Nanos(200)) == []


def test_a_balance_that_the_log_explains_is_no_drift() -> None:
    watch = watched([(0, 10)])
    watch.read(balance(10, 50 * S, 50 * S))
    assert watch.compare(Nanos(52 * S)) == []
    assert not watch.read_again


@pytest.mark.parametrize("value", [10, 11, 12])
def test_a_balance_agrees_with_any_value_that_was_held_near_the_read(value: int) -> None:
    watch = watched([(0, 10), (49 * S, 11), (51 * S, 12)])
    watch.read(balance(value, 50 * S, 50 * S))
    assert watch.compare(Nanos(52 * S)) == []
    assert not watch.read_again


def test_one_read_that_disagrees_is_a_reason_to_read_again_and_two_are_a_drift() -> None:
    watch = watched([(0, 10)])
    watch.read(balance(9, 50 * S, 50 * S))
    assert watch.compare(Nanos(52 * S)) == []
    assert watch.read_again
    watch.read(balance(9, 53 * S, 53 * S))
    (drift,) = watch.compare(Nanos(55 * S))
    assert (drift.asset, drift.expected, drift.found) == (BTC, 10, 9)
    watch.read(balance(9, 60 * S, 60 * S))
    assert watch.compare(Nanos(62 * S)) == [], "the same drift is reported once"


def test_a_read_in_between_that_agrees_clears_the_suspicion() -> None:
    watch = watched([(0, 10)])
    for total, at in ((9, 50), (10, 53), (9, 56)):
        watch.read(balance(total, at * S, at * S))
        assert watch.compare(Nanos((at + 2) * S)) == []


def test_a_value_held_long_before_the_read_explains_nothing() -> None:
    watch = watched([(0, 10), (10 * S, 11)])
    watch.read(balance(10, 50 * S, 50 * S))
    watch.compare(Nanos(52 * S))
    assert watch.read_again


def test_what_was_held_a_while_ago_is_read_again_and_no_drift_until_it_is_older_than_reads_may_be() -> None:
    """A venue that answered from a copy three seconds old was taken for one that holds something else."""
    watch = watched([(0, 10), (50 * S, 11)])
    for at in (53, 56, 59, 62, 65):
        watch.read(balance(10, at * S, at * S))
        assert watch.compare(Nanos((at + 2) * S)) == []
        assert watch.read_again
    watch.read(balance(10, 66 * S, 66 * S))
    (drift,) = watch.compare(Nanos(68 * S))
    assert (drift.expected, drift.found) == (11, 10), "for so long no read is behind: the venue holds this"


def test_what_may_be_of_before_the_watch_began_is_no_drift_until_it_is_older_than_reads_may_be() -> None:
    """Three seeds of a campaign: a node that had just started took a read of before its start for a discrepancy."""
    watch = watched([(50 * S, 11)])
    for at in (53, 56, 59, 62, 65 - 1):
        watch.read(balance(10, at * S, at * S))
        assert watch.compare(Nanos((at + 2) * S)) == []
        assert watch.read_again
    watch.read(balance(10, 65 * S, 65 * S))
    assert [drift.found for drift in watch.compare(Nanos(67 * S))] == [10]


def test_of_trades_that_the_log_applied_at_once_each_has_its_moment() -> None:
    """A campaign's seed: a successor applied three trades in one step; the venue had held what lies between them."""
    watch = watched([(0, 10)])
    for change in (3, -2):
        watch.moved(BTC, Decimal(change), Nanos(50 * S))
    for at in (53, 56, 59):
        watch.read(balance(13, at * S, at * S))
        assert watch.compare(Nanos((at + 2) * S)) == []
    assert watch.past[BTC][-1][1] == 11


@settings(deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(1, 3 * S), st.integers(-5, 5)), min_size=1, max_size=20),
    lags=st.lists(st.integers(0, 15 * S), min_size=2, max_size=5),
)
def test_reads_that_lag_never_drift(changes: list[tuple[int, int]], lags: list[int]) -> None:
    """The venue shows the value of some moment up to the lag before each read."""
    at, amount, history = 0, 100, [(0, 100)]
    for wait, change in changes:
        at, amount = at + wait, amount + change
        history.append((at, amount))
    watch = watched(history)
    for number, lag in enumerate(lags):
        read_at = at + number * 3 * S
        true = [value for since, value in history if since <= max(read_at - lag, 0)][-1]
        watch.read(balance(true, read_at, read_at))
        assert watch.compare(Nanos(read_at + 2 * S)) == []


@settings(deadline=None)
@given(changes=st.lists(st.tuples(st.integers(1, 3 * S), st.integers(-5, 5)), max_size=20), lag=st.integers(0, 2 * S))
def test_a_read_of_a_true_history_never_drifts(changes: list[tuple[int, int]], lag: int) -> None:
    """The venue shows the value of some moment at most the margin before or after the read."""
    at, amount, history = 0, 100, [(0, 100)]
    for wait, change in changes:
        at, amount = at + wait, amount + change
        history.append((at, amount))
    watch = watched(history)
    read_at = at // 2 + lag
    true = [value for since, value in history if since <= read_at][-1]
    watch.read(balance(true, read_at, read_at))
    watch.compare(Nanos(read_at + 10 * S))
    assert not watch.read_again


# --- look-ups ------------------------------------------------------------------------------------------------


def test_absence_begins_after_deadline_uncertainty_and_read_lag_and_death_after_settle_too() -> None:
    limits = bounds(Nanos(1000 * MS), Nanos(5 * MS), Nanos(20 * MS), Nanos(10 * S))
    assert limits == Bounds(Nanos(1025 * MS), Nanos(1025 * MS + 10 * S))


def looked_up() -> tuple[Lookups, Question]:
    lookups, question, _ = looked_up_in()
    return lookups, question


def looked_up_in() -> tuple[Lookups, Question, State]:
    world = World()
    node = world.start()
    order = next(iter(node.state.orders.values()))
    lookups = Lookups()
    lookups.want(order, Nanos(0))
    return lookups, Question(VENUE, ReadKind.ORDER, SYMBOL, None, (order.id,)), node.state


def nowhere(_name: ClientOrderId) -> bool:
    return False


def order_read(begun: int) -> ReadDone:
    return ReadDone(Read(1, ReadKind.ORDER, SYMBOL), Nanos(begun), Nanos(begun + MS))


@pytest.mark.parametrize("older", [0, CANCELS_KEPT - 31, CANCELS_KEPT - 30])
def test_refused_cancels_cost_no_weight_unless_one_that_worked_may_be_forgotten(older: int) -> None:
    """Simulated seed 1491: three absent orders, a cancel a second each: the address was banned, the doubt stayed.

    Endless 97002: of 720 reads of single orders before trading stood still 209 asked for cancels that were refused.
    """
    world = World()
    node = world.start()
    order = next(iter(node.state.orders.values()))
    cancels = tuple(ClientOrderId(f"{number:032x}") for number in range(1, 31 + older))
    asked = evolve(order, cancels=cancels, unanswered=((cancels[3], True), (cancels[29], False)))
    doubtful = (cancels[29], cancels[3], order.id)
    assert names_to_ask(asked, whole=False) == doubtful
    forgotten = len(cancels) == CANCELS_KEPT
    assert names_to_ask(asked, whole=True) == ((*reversed(cancels), order.id) if forgotten else doubtful)


def test_an_early_read_proves_nothing_and_is_repeated_when_it_counts() -> None:
    lookups, question = looked_up()
    verdict = lookups.not_found(question.order_ids[0], order_read(99), Bounds(Nanos(100), Nanos(200)))
    assert not verdict.absent
    assert lookups.next_due() == 100


def rest_read(lookups: Lookups, begun: Nanos) -> list[Verdict]:
    """Open orders and the symbol's trades, which do not show it."""
    found = []
    for kind, symbol in ((ReadKind.OPEN_ORDERS, None), (ReadKind.TRADES, SYMBOL)):
        done = ReadDone(Read(2, kind, symbol), begun, Nanos(begun + MS))
        found += [each for _, each in lookups.also_read(Question(VENUE, kind, symbol), done, nowhere)]
    return found


def test_absent_then_dead_only_after_two_full_reads_later_than_settle() -> None:
    """And each read of it behind the one that says absent is part of a full one: none is asked for in vain."""
    lookups, question = looked_up()
    name, limits = question.order_ids[0], Bounds(Nanos(100), Nanos(200))
    assert lookups.not_found(name, order_read(100), limits).absent
    assert rest_read(lookups, Nanos(150)) == [], "before settle was over"
    ends = []
    for _ in range(2):
        now = lookups.next_due()
        assert now is not None
        assert [each.order for each in lookups.due(now)] == [name]
        assert not lookups.not_found(name, order_read(now), limits).final, "the rest is still to come"
        ends += [now for verdict in rest_read(lookups, now) if verdict.final]
    assert ends == [2 * S, 4 * S]


def test_what_was_begun_before_the_second_full_read_was_to_begin_is_no_part_of_it() -> None:
    lookups, question = looked_up()
    name, limits = question.order_ids[0], Bounds(Nanos(100), Nanos(200))
    lookups.not_found(name, order_read(300), limits)
    lookups.not_found(name, order_read(2 * S), limits)
    assert any(verdict.final for verdict in rest_read(lookups, Nanos(2 * S)))
    soon = Nanos(2 * S + 2 * MS)  # a second must lie between
    assert not lookups.not_found(name, order_read(soon), limits).final
    assert rest_read(lookups, soon) == []
    assert lookups.next_due() == 4 * S
    assert not any(verdict.final for verdict in rest_read(lookups, Nanos(4 * S)))
    assert lookups.not_found(name, order_read(4 * S), limits).final


def test_a_full_read_that_is_dropped_again_and_again_begins_anew_ever_more_rarely() -> None:
    lookups, question = looked_up()
    name, trades = question.order_ids[0], Question(VENUE, ReadKind.TRADES, SYMBOL)
    limits, now, waits = Bounds(Nanos(100), Nanos(200)), 200, []
    for turn in range(8):
        hidden = bool(turn % 2)
        verdict = lookups.not_found(name, order_read(now), limits, hidden=hidden)
        ended = now + MS
        if not hidden:  # and then the trades show one that may be its own
            begun = ended + MS
            ended = begun + MS
            read = ReadDone(Read(2, ReadKind.TRADES, SYMBOL), Nanos(begun), Nanos(ended))
            assert lookups.also_read(trades, read, lambda _: True) == []
        assert verdict.absent
        due = lookups.next_due()
        assert due is not None
        waits.append(due - ended)
        now = due
    assert waits == [each * S for each in (1, 2, 4, 8, 16, 30, 30, 30)]
    lookups.found(name, Nanos(now))
    lookups.not_found(name, order_read(now), limits, hidden=True)
    assert lookups.next_due() == now + MS + S, "it was found: all begins anew"


def test_an_answer_that_was_on_its_way_when_the_full_read_was_dropped_begins_it_no_sooner() -> None:
    """Seen by review: an order that is cancelled again and again asks by each of its ids, longer than the trades do."""
    lookups, question = looked_up()
    name, trades = question.order_ids[0], Question(VENUE, ReadKind.TRADES, SYMBOL)
    limits, now, waits = Bounds(Nanos(100), Nanos(200)), 200, []
    for _ in range(4):
        lookups.not_found(name, order_read(now), limits)
        begun = lookups.next_due()
        assert begun is not None
        read = ReadDone(Read(2, ReadKind.TRADES, SYMBOL), begun, Nanos(begun + MS))
        assert lookups.also_read(trades, read, lambda _: True) == []
        lookups.not_found(name, order_read(begun), limits)  # placed meanwhile: it hides nothing any more
        due = lookups.next_due()
        assert due is not None
        waits.append((due - begun) // S)
        now = due
    assert waits == [2, 4, 6, 10], "1, 2, 4, 8, and each until the next common tick"


def test_trades_read_before_the_full_read_began_do_not_complete_it() -> None:
    lookups, question = looked_up()
    name = question.order_ids[0]
    limits = Bounds(Nanos(100), Nanos(200))
    lookups.not_found(name, order_read(300), limits)
    old = ReadDone(Read(2, ReadKind.TRADES, SYMBOL), Nanos(299), Nanos(301))
    assert lookups.also_read(Question(VENUE, ReadKind.TRADES, SYMBOL), old, nowhere) == []


def test_what_cannot_be_read_is_not_absent_and_is_asked_again_later_each_time() -> None:
    lookups, question, state = looked_up_in()
    name = question.order_ids[0]
    lookups.failed(name, Nanos(0), Nanos(100 * MS), "503")
    assert lookups.next_due() == 100 * MS
    lookups.failed(name, Nanos(0), Nanos(100 * MS), "503")
    assert lookups.next_due() == 200 * MS
    unread = lookups.unread(state, VENUE, SYMBOL, Nanos(0))
    assert unread is not None
    assert unread.order == name
    assert lookups.unread(state, VENUE, Symbol("ETHUSDT"), Nanos(0)) is None


@pytest.mark.parametrize(("owed", "age", "blocks"), [(True, 0, True), (False, 999, False), (False, 1001, True)])
def test_an_order_that_nobody_answered_about_blocks_where_trading_waits_for_it_or_for_long(
    *, owed: bool, age: int, blocks: bool
) -> None:
    node = World().start()
    lookups, order = Lookups(), next(iter(node.state.orders.values()))
    lookups.want(order, Nanos(5000), owed=owed)
    assert (lookups.unread(node.state, VENUE, SYMBOL, Nanos(5000 + age - 1000)) is not None) == blocks
    lookups.found(order.id, Nanos(5001))
    assert lookups.unread(node.state, VENUE, SYMBOL, Nanos(9000)) is None


# --- surveys -------------------------------------------------------------------------------------------------


def test_a_survey_is_complete_when_all_was_read_no_earlier_than_it_began() -> None:
    survey = Survey(VENUE, "takeover", Nanos(100), needs_of([SYMBOL]))
    for kind, symbol in needs_of([SYMBOL]):
        question = Question(VENUE, kind, symbol)
        old = ReadDone(Read(1, kind, symbol), Nanos(99), Nanos(101))
        assert not survey.done(question, old), "begun too early"
        done = survey.done(question, ReadDone(Read(1, kind, symbol), Nanos(100), Nanos(102)))
        assert done == (not survey.missing)
    assert survey.complete


def test_a_failed_read_says_so_and_is_due_again() -> None:
    survey = Survey(VENUE, "takeover", Nanos(100), needs_of([SYMBOL]))
    question = Question(VENUE, ReadKind.BALANCES)
    survey.failed(question, ReadFailed(Read(1, ReadKind.BALANCES), "503"), Nanos(200), Nanos(50))
    assert "503" in survey.unread(SYMBOL)
    assert survey.due(Nanos(250)) == [(ReadKind.BALANCES, None)]


# --- others --------------------------------------------------------------------------------------------------


def trade(number: int, at: int) -> TradeShown:
    return TradeShown(
        SYMBOL, TradeId(number), VenueOrderId("1"), None, "BUY", Price(Decimal(1)), Quantity(Decimal(1)),
        Money(Decimal(0)), BTC, True, Nanos(at),
    )  # fmt: skip


def test_the_low_water_mark_is_the_newest_trade_older_than_settle_and_never_goes_back() -> None:
    shown = [trade(5, 100), trade(6, 200), trade(7, 300)]
    assert low_water(shown, None, Nanos(250), _all) == 6
    assert low_water(shown, TradeId(6), Nanos(250), _all) is None
    assert low_water(shown, TradeId(9), Nanos(350), _all) is None
    assert low_water(shown, None, Nanos(100), _all) is None


def test_the_low_water_mark_stops_below_the_first_trade_that_nobody_accounts_for() -> None:
    shown = [trade(7, 300), trade(5, 100), trade(6, 200)]
    assert low_water(shown, None, Nanos(900), lambda each: each.trade_id != 6) == 5
    assert low_water(shown, TradeId(4), Nanos(900), lambda each: each.trade_id != 5) is None


def _all(_trade: TradeShown) -> bool:
    return True


def test_prints_make_bars() -> None:
    bars = Bars(Nanos(10))
    prints = [(1, 5), (3, 9), (9, 2), (12, 4)]
    ended = [
        bars.add(
            VENUE, PublicTrade(SYMBOL, Price(Decimal(p)), Quantity(Decimal(1)), buyer_is_maker=False, mono=Nanos(at))
        )
        for at, p in prints
    ]
    assert ended[:3] == [None] * 3
    kline = ended[3]
    assert kline is not None
    assert (kline.open, kline.high, kline.low, kline.close, kline.volume, kline.trades) == (5, 9, 2, 2, 3, 3)
    assert [(venue, bar.close) for venue, bar in bars.ended(Nanos(20))] == [(Venue("paper"), 4)]
    assert bars.ended(Nanos(30)) == []
    assert Symbol("BTCUSDT") == SYMBOL
