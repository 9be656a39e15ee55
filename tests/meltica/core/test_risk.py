"""The risk decision and the risk state (design.md, rules 5 and 6)."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from meltica.core import commands as c
from meltica.core.effects import CancelOrder
from meltica.core.events import CommandResult, RiskEvent
from meltica.core.orders import Order
from meltica.core.values import (
    Account,
    Asset,
    Epoch,
    Nanos,
    OrderType,
    Side,
    Symbol,
    TimeInForce,
    Trading,
    VenueOrderId,
)
from tests.meltica.core.harness import (
    KEY,
    LIMITS,
    MM,
    OTHER,
    SECOND,
    VENUE,
    Hand,
    by,
    d,
    instrument,
    trading,
    wish,
)

ZERO = (Epoch(0), Nanos(0))


def bound(hand: Hand, command: Any, limit: str, value: str, at: str, code: str = "limit") -> None:  # noqa: PLR0917 # short to read
    """Refused, and the limit's name, the value and the bound are said."""
    rejection = hand.refused(command, code, limit).rejection
    assert rejection is not None
    assert (rejection.value, rejection.bound) == (value, at)


# --- limits: each at its edge --------------------------------------------------------------------------------


def test_order_notional() -> None:
    hand = trading()
    hand.limits(order_notional=d(6_000))
    hand.buy("0.1", "60000")
    bound(hand, wish(Side.BUY, "0.1", "60000.01"), "order_notional", "6000.001", "6000")


def test_position_counts_open_and_in_doubt_orders() -> None:
    hand = trading()
    hand.limits(position=d(72_000))
    resting = hand.accept(hand.buy("0.1"))
    doubtful = hand.buy("0.1")
    hand.ok(c.InDoubt(*ZERO, doubtful.id, "no answer"))
    bound(hand, wish(Side.BUY, "0.001", "60000"), "position", "72060", "72000")
    hand.sell("0.16")  # it only brings the position nearer to zero
    hand.fill(resting, "0.1")
    bound(hand, wish(Side.BUY, "0.001", "60000"), "position", "72060", "72000")
    for _ in range(2):
        hand.ok(c.NotFound(*ZERO, doubtful.id, final=True))
    hand.buy("0.1")  # the dead count no more


def test_position_bounds_both_ways() -> None:
    hand = trading()
    hand.limits(position=d(60_000))
    bound(hand, wish(Side.BUY, "0.001", "60000"), "position", "60060", "60000")
    hand.sell("0.1")
    hand.limits(position=d(0))
    hand.sell("0.1")
    bound(hand, wish(Side.BUY, "0.001", "60000"), "position", "60060", "0")


def test_gross_notional_adds_up_all_symbols_at_their_worst() -> None:
    hand = trading()
    hand.limits(gross_notional=d(93_000))
    hand.buy("1", "3000", symbol=OTHER, reference=d(3000))  # 11 ETH at 3,000, and 1 BTC not priced yet
    bound(hand, wish(Side.BUY, "0.001", "60000"), "gross_notional", "93060", "93000")
    hand.sell("0.1")


def test_open_orders_of_a_symbol_and_in_all() -> None:
    hand = trading()
    hand.limits(open_orders_symbol=2, open_orders=3)
    for _ in range(2):
        hand.buy("0.01")
    bound(hand, wish(Side.BUY, "0.01", "60000"), "open_orders_symbol", "3", "2")
    eth = {"symbol": OTHER, "reference": d(3000)}
    first = hand.buy("0.01", "3000", **eth)
    bound(hand, wish(Side.BUY, "0.01", "3000", **eth), "open_orders", "4", "3")
    hand.ok(c.Answered(*ZERO, first.id, accepted=False))
    hand.buy("0.01", "3000", **eth)


def test_executed_notional_counts_what_may_have_been_executed() -> None:
    hand = trading()
    hand.limits(executed_notional_minute=d(6_000))
    order = hand.accept(hand.buy("0.05"))
    hand.buy("0.05")  # nobody knows: it counts whole
    bound(hand, wish(Side.BUY, "0.06", "60000"), "executed_notional_minute", "6600", "6000")
    hand.fill(order, "0.05")
    bound(hand, wish(Side.BUY, "0.001", "60000"), "executed_notional_minute", "6060", "6000")
    hand.now += 61 * SECOND
    hand.buy("0.05")


@pytest.mark.parametrize(
    ("status", "executed", "notional"),
    [("filled", "0.05", "7800"), ("partially_filled", "0.04", "7200"), ("expired", "0.04", "7200")],
)
def test_executed_notional_counts_what_the_venue_executed_and_no_fill_tells_yet(
    status: str, executed: str, notional: str
) -> None:
    hand = trading()
    hand.limits(executed_notional_minute=d(6_000))
    order = hand.buy("0.05")
    said = {"venue_order_id": VenueOrderId("77"), "status": status, "executed": d(executed)}
    hand.ok(c.Answered(*ZERO, order.id, accepted=True, **said))
    bound(hand, wish(Side.BUY, "0.08", "60000"), "executed_notional_minute", notional, "6000")
    hand.fill(hand.order(order), executed)
    bound(hand, wish(Side.BUY, "0.08", "60000"), "executed_notional_minute", notional, "6000")  # counted once
    hand.now += 61 * SECOND
    hand.buy("0.08")


def test_a_sell_below_the_market_counts_at_the_market() -> None:
    hand = trading()
    bound(hand, wish(Side.SELL, "0.17", "58800"), "order_notional", "10200", "10000")
    bound(hand, wish(Side.SELL, "0.17", None), "order_notional", "10200", "10000")
    bound(hand, wish(Side.SELL, "0.165", "61200"), "order_notional", "10098", "10000")
    hand.limits(executed_notional_minute=d(9_600))
    hand.sell("0.16", "58800")
    bound(hand, wish(Side.SELL, "0.00009", "58800"), "executed_notional_minute", "9605.4", "9600")


def test_the_collar_on_either_side() -> None:
    hand = trading()
    hand.buy("0.1", "61200")
    bound(hand, wish(Side.BUY, "0.1", "61200.6"), "collar_bps", "200.1", "200")
    bound(hand, wish(Side.BUY, "0.1", "58799"), "collar_bps", "200.17", "200")


def test_the_age_of_the_book() -> None:
    hand = trading()
    hand.buy(book_age=Nanos(SECOND))
    bound(hand, wish(Side.BUY, "0.1", "60000", book_age=Nanos(SECOND + 1)), "book_age", str(SECOND + 1), str(SECOND))


def test_orders_a_second_by_the_logs_clock() -> None:
    hand = trading()
    hand.limits(orders_second=2)
    hand.buy("0.01")
    hand.buy("0.01")
    bound(hand, wish(Side.BUY, "0.01", "60000"), "orders_second", "3", "2")
    hand.now += SECOND - 3_000_000
    first, second = hand.many(wish(Side.BUY, "0.01", "60000"), wish(Side.BUY, "0.01", "60000"))
    assert first.accepted, "the oldest is a second old"
    assert second.rejection is not None
    assert second.rejection.limit == "orders_second", "the next not yet"


def test_two_intents_of_one_entry_cannot_both_pass_a_limit_that_one_may() -> None:
    hand = trading()
    hand.limits(position=d(66_000))
    first, second = hand.many(wish(Side.BUY, "0.1", "60000"), wish(Side.BUY, "0.1", "60000"))
    assert first.accepted
    assert second.rejection is not None
    assert second.rejection.limit == "position"


def test_balances_bound_what_is_bought_and_sold() -> None:
    hand = Hand()
    hand.start()
    hand.configure()
    hand.ok(instrument())
    hand.refused(wish(Side.BUY, "0.1", "60000"), "no_authority")
    hand.take()
    hand.refused(wish(Side.BUY, "0.1", "60000"), "opening_not_approved")
    hand.approve(BTC="0.05", USDT="7000")
    hand.buy("0.1")
    bound(hand, wish(Side.BUY, "0.1", "60000"), "balance:USDT", "12000", "7000", "insufficient_balance")
    order = hand.accept(hand.sell("0.05"))
    bound(hand, wish(Side.SELL, "0.01", "60000"), "balance:BTC", "0.06", "0.05", "insufficient_balance")
    hand.fill(order, "0.05", fee=d(3))
    assert hand.state.holdings[(*KEY[:2], hand.state.instruments[VENUE, KEY[2]].quote)] == d(9997)


def test_a_market_order_counts_at_the_end_of_its_collar() -> None:
    hand = trading()
    order = hand.buy("0.1", None)
    assert order.worst_price == d(61_200)
    hand.limits(order_notional=d(6_100))
    bound(hand, wish(Side.BUY, "0.1", None), "order_notional", "6120", "6100")
    hand.sell("0.1", None)


# --- filters and forms --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "quantity", "price", "value", "at"),
    [
        ("tick", "0.1", "60000.005", "60000.005", "0.01"),
        ("step", "0.100001", "60000", "0.100001", "0.00001"),
        ("min_quantity", "0", "60000", "", ""),
        ("max_quantity", "9001", "60000", "9001", "9000"),
        ("min_notional", "0.00008", "60000", "4.8", "5"),
    ],
)
def test_the_instruments_filters(limit: str, quantity: str, price: str, value: str, at: str) -> None:
    hand = trading()
    if quantity == "0":
        hand.refused(wish(Side.BUY, quantity, price), "bad_order")
        hand.ok(instrument(min_quantity=d("0.01")))
        quantity, value, at = "0.005", "0.005", "0.01"
    bound(hand, wish(Side.BUY, quantity, price), limit, value, at, "filter")


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("bad_order", {"price": None}),
        ("bad_order", {"price": d(0)}),
        ("bad_order", {"order_type": OrderType.MARKET}),
        ("bad_order", {"post_only": True, "time_in_force": TimeInForce.IOC}),
        ("bad_order", {"reference": d(0)}),
        ("unknown_instrument", {"symbol": Symbol("XRPUSDT")}),
        ("unknown_venue", {"venue": "elsewhere"}),
        ("unknown_venue", {"account": "other"}),
        ("unknown_strategy", {"strategy": "ghost"}),
    ],
)
def test_forms_and_names(code: str, changes: dict[str, Any]) -> None:
    trading().refused(evolve(wish(Side.BUY, "0.1", "60000"), **changes), code)


def test_an_instrument_that_does_not_trade() -> None:
    hand = trading()
    hand.ok(instrument(trading=False))
    hand.refused(wish(Side.BUY, "0.1", "60000"), "not_trading")
    hand.refused(instrument(base="ETH"), "instrument_changed")
    hand.refused(instrument(tick=d(0)), "bad_instrument")


def test_a_stopped_strategy_submits_no_more_and_its_orders_go() -> None:
    hand = trading()
    order = hand.accept(hand.buy())
    (effect,) = hand.ok(c.StrategyStopped(*ZERO, MM, "raised KeyError")).effects
    assert isinstance(effect, CancelOrder)
    assert effect.order == order.id
    hand.refused(wish(Side.BUY, "0.1", "60000"), "strategy_stopped")
    hand.ok(c.StrategyStarted(*ZERO, MM))
    hand.buy()


def test_a_strategy_that_is_configured_no_more_takes_its_orders_with_it() -> None:
    hand = trading()
    hand.accept(hand.buy())
    assert len(hand.configure(strategies=()).effects) == 1
    hand.refused(wish(Side.BUY, "0.1", "60000"), "unknown_strategy")


def test_checkpoints_are_kept() -> None:
    hand = trading()
    hand.ok(c.Checkpoint(*ZERO, MM, "remember"))
    hand.configure()
    assert hand.state.strategies[MM].checkpoint == "remember"
    hand.refused(c.Checkpoint(*ZERO, "ghost", "x"), "unknown_strategy")  # type: ignore[arg-type] # plain text


def test_sizes_ramp_up_after_a_takeover() -> None:
    hand = trading()
    hand.configure(ramp=Nanos(10 * SECOND))
    hand.start()
    hand.take()
    bound(hand, wish(Side.BUY, "0.1", "60000"), "ramp", "6000", "1000")
    hand.buy("0.01")
    hand.now += 5 * SECOND - 3_000_000
    bound(hand, wish(Side.BUY, "0.1", "60000"), "ramp", "6000", "5000")
    hand.now += 5 * SECOND
    hand.buy("0.1")


# --- reducing ---------------------------------------------------------------------------------------------------


def test_reducing_cancels_what_would_grow_and_keeps_what_shrinks() -> None:
    hand = trading()
    growing, shrinking = hand.accept(hand.buy("0.1")), hand.accept(hand.sell("0.1"))
    result = hand.ok(c.Reduce(*ZERO, "drawdown"))
    assert [effect.order for effect in result.effects if isinstance(effect, CancelOrder)] == [growing.id]
    assert hand.order(growing).to_be_gone == "reducing"
    assert hand.order(shrinking).to_be_gone == ""
    hand.refused(wish(Side.BUY, "0.1", "60000"), "reducing", "reducing")


def test_open_and_doubtful_reducing_quantity_never_exceeds_the_position() -> None:
    hand = trading()
    hand.sell("0.1")
    hand.ok(c.Reduce(*ZERO, "drawdown"))
    for _ in range(8):
        hand.sell("0.1")
    order = hand.sell("0.1")
    bound(hand, wish(Side.SELL, "0.001", "60000"), "reducing", "1.001", "1", "reducing")
    hand.ok(c.InDoubt(*ZERO, order.id, "no answer"))
    bound(hand, wish(Side.SELL, "0.001", "60000"), "reducing", "1.001", "1", "reducing")


def test_a_shrinking_position_takes_what_is_too_much_with_it() -> None:
    hand = trading()
    older, newer = hand.accept(hand.sell("0.1")), hand.accept(hand.sell("0.1"))
    big = [hand.accept(hand.sell("0.1")) for _ in range(8)]
    hand.ok(c.Reduce(*ZERO, "drawdown"))
    assert not any(order.to_be_gone for order in hand.state.orders.values())
    hand.limits(open_orders_symbol=20)
    hand.fill(big[0], "0.05", fee=d("0.05"), fee_asset="BTC")  # more is gone than was sold
    gone = [order.id for order in hand.state.live_orders() if order.to_be_gone]
    assert gone == [big[-1].id], "the newest goes first"
    assert not hand.order(older).to_be_gone
    assert not hand.order(newer).to_be_gone


def test_dust_counts_as_flat() -> None:
    hand = Hand()
    hand.start()
    hand.configure()
    hand.ok(instrument())
    hand.approve(BTC="0.00008", USDT="100000")
    hand.take()
    order = hand.accept(hand.buy("0.01"))
    hand.ok(c.Reduce(*ZERO, "drawdown"))
    hand.refused(wish(Side.SELL, "0.0001", "60000"), "reducing", "reducing")
    hand.fill(order, "0.01")
    hand.sell("0.01")


def test_reducing_while_nobody_may_send_marks_and_orders_nothing() -> None:
    hand = trading()
    order = hand.accept(hand.buy())
    hand.start()
    assert hand.ok(c.Reduce(*ZERO, "drawdown")).effects == ()
    assert hand.order(order).to_be_gone == "reducing"


# --- halts ------------------------------------------------------------------------------------------------------


def orders_of(result: CommandResult) -> list[Any]:
    return [effect.order for effect in result.effects if isinstance(effect, CancelOrder)]


def resting(hand: Hand, count: int = 3) -> list[Order]:
    return [hand.accept(hand.buy("0.01")) for _ in range(count)]


def test_a_halt_stops_submits_and_cancels_quotes() -> None:
    hand = trading()
    orders = resting(hand)
    result = hand.ok(c.Halt(*ZERO, "maintenance", by=by()))
    assert orders_of(result) == sorted(order.id for order in orders)
    assert result.events == (RiskEvent(Trading.HALTED, "maintenance", hand.state.index),)
    hand.refused(wish(Side.BUY, "0.1", "60000"), "halted")
    hand.refused(wish(Side.SELL, "0.1", "60000"), "halted")


def test_a_halt_may_leave_quotes_and_a_tighter_one_takes_them() -> None:
    hand = trading()
    resting(hand)
    assert hand.ok(c.Halt(*ZERO, "maintenance", leave_quotes=True)).effects == ()
    index = hand.state.risk.index
    assert hand.ok(c.Halt(*ZERO, "maintenance", leave_quotes=True)).events == ()
    assert hand.state.risk.index == index, "nothing changed"
    assert len(hand.ok(c.Halt(*ZERO, "maintenance")).effects) == 3
    assert hand.state.risk.index > index


def test_a_kill_marks_everything_and_is_reissued_until_it_is_shown() -> None:
    hand = trading()
    orders = resting(hand)
    in_flight = hand.buy("0.01")
    result = hand.ok(c.Kill(*ZERO, "panic"))
    assert orders_of(result) == sorted(order.id for order in orders)
    assert hand.state.risk.killed
    assert all(order.to_be_gone for order in hand.state.live_orders())
    assert hand.order(in_flight).to_be_gone == "kill: panic"
    hand.start()
    hand.take()
    again = hand.ok(c.Kill(*ZERO, "panic"))
    assert len(again.effects) == 4, "the older epoch's cancels are in doubt: new intents"


@pytest.mark.parametrize(
    "tries",
    [
        lambda hand: hand.start(),
        lambda hand: (hand.start(), hand.take()),
        lambda hand: hand.ok(c.Reduce(*ZERO, "other")),
        lambda hand: hand.ok(c.StrategyStarted(*ZERO, MM)),
        lambda hand: hand.configure(),
        lambda hand: hand.ok(c.Reconciled(*ZERO, *KEY[:2], ())),
        lambda hand: hand.ok(c.ModeSet(*ZERO, hand.state.mode, by("m"))),
        lambda hand: hand.ok(c.Halt(*ZERO, "maintenance", leave_quotes=True)),
        lambda hand: hand.ok(c.Halt(*ZERO, "panic", leave_quotes=True)),
        lambda hand: hand.refused(c.Resume(*ZERO, ("maintenance",), 0, by("x")), "risk_moved", "risk_index"),
        lambda hand: hand.refused(c.Resume(*ZERO, (), hand.state.risk.index, by("x")), "unknown_cause"),
        lambda hand: hand.refused(
            c.Resume(*ZERO, ("maintenance", "typo"), hand.state.risk.index, by("x")), "unknown_cause"
        ),
    ],
)
def test_nothing_relaxes_a_halt_but_a_resume_that_saw_it(tries: Any) -> None:
    hand = trading()
    hand.ok(c.Halt(*ZERO, "maintenance"))
    hand.ok(c.Kill(*ZERO, "panic"))
    halts = hand.state.risk.halts
    tries(hand)
    assert set(hand.state.risk.halts) == set(halts)
    assert hand.state.risk.killed
    assert not hand.state.risk.halts["maintenance"].leave_quotes
    hand.state.risk = evolve(hand.state.risk, halts=halts)
    assert hand.state.risk.trading is Trading.HALTED


@pytest.mark.parametrize("word", [c.Halt, c.Kill, c.Reduce])
def test_a_second_operators_wish_of_the_same_cause_is_not_lifted_by_who_has_not_seen_it(word: Any) -> None:
    hand = trading()
    hand.ok(word(*ZERO, "operator", by=by("ann")))
    seen = hand.state.risk.index
    hand.ok(word(*ZERO, "operator", by=by("bob")))
    hand.refused(c.Resume(*ZERO, ("operator",), seen, by("r1")), "risk_moved", "risk_index")
    again = hand.state.risk.index
    hand.ok(word(*ZERO, "operator"))  # by the cluster itself: nothing new
    assert hand.state.risk.index == again
    hand.ok(c.Resume(*ZERO, ("operator",), again, by("r2")))
    assert hand.state.risk.trading is Trading.RUNNING


def test_a_drift_that_grew_is_not_lifted_by_who_saw_the_smaller_one() -> None:
    hand = trading()
    drift = c.Discrepancy(*ZERO, *KEY[:2], "balance_drift", "USDT", "1000000", "999990", tighten=True)
    cause = "balance_drift:paper:USDT"
    hand.ok(drift)
    seen, first = hand.state.risk.index, hand.state.risk.reduces[cause]
    hand.ok(drift)  # as by a leader that led again: the same figures are nothing new
    assert hand.state.risk.index == seen
    hand.ok(evolve(drift, found="500000"))
    hand.refused(c.Resume(*ZERO, (cause,), seen, by("r1")), "risk_moved", "risk_index")
    record = hand.state.risk.reduces[cause]
    assert record == evolve(first, reason="expected 1000000, found 500000")
    hand.ok(c.Resume(*ZERO, (cause,), hand.state.risk.index, by("r2")))
    assert hand.state.risk.trading is Trading.RUNNING


def test_resume_lifts_what_it_names_and_nothing_else() -> None:
    hand = trading()
    order = resting(hand, 1)[0]
    hand.ok(c.Halt(*ZERO, "maintenance"))
    hand.ok(c.Reduce(*ZERO, "drawdown"))
    hand.ok(c.Halt(*ZERO, "other"))
    hand.ok(c.Resume(*ZERO, ("maintenance",), hand.state.risk.index, by("1")))
    assert hand.state.risk.trading is Trading.HALTED
    hand.ok(c.Resume(*ZERO, ("other",), hand.state.risk.index, by("2")))
    assert hand.state.risk.trading is Trading.REDUCING
    hand.ok(c.Resume(*ZERO, ("drawdown",), hand.state.risk.index, by("3")))
    assert hand.state.risk.trading is Trading.RUNNING
    assert hand.order(order).to_be_gone, "what was to be gone still is"
    hand.buy()


@pytest.mark.parametrize("cause", ["", "x" * 201, "a\nb", "a\x7f", "a\x85", "\ud800"])
def test_causes_are_names(cause: str) -> None:
    hand = trading()
    for command in (c.Halt(*ZERO, cause), c.Reduce(*ZERO, cause), c.Kill(*ZERO, cause)):
        hand.refused(command, "bad_cause")


@pytest.mark.parametrize("name", ["\u0378", "\U000e1000", "\u5e01\u5b89", "a\u00a0b", "\u2028"])
def test_names_and_causes_do_not_depend_on_python_s_unicode_tables(name: str) -> None:
    """Not yet assigned, or no letter: another version of Python may call it printable, or no more."""
    hand = trading()
    hand.ok(c.Halt(*ZERO, name))
    hand.ok(c.BalanceSeen(*ZERO, VENUE, Account("main"), Asset(name), d(1), d(0)))


def test_a_cause_made_of_what_the_venue_said_is_one_too() -> None:
    hand = trading()
    hand.ok(c.Discrepancy(*ZERO, VENUE, Account("main"), "unknown_order", "a\n\ud800b", "", "", tighten=True))
    (cause,) = hand.state.risk.reduces
    assert cause == "unknown_order:paper:a??b"
    hand.ok(c.Resume(*ZERO, (cause,), hand.state.risk.index, by()))


def test_what_cannot_be_explained_tightens() -> None:
    hand = trading()
    seen = c.Discrepancy(*ZERO, *KEY[:2], "unexplained_position", "BTC", "1", "2", tighten=True)
    hand.ok(seen)
    assert set(hand.state.risk.reduces) == {"unexplained_position:paper:BTC"}
    hand.ok(evolve(seen, kind="foreign_order", tighten=False))
    assert len(hand.state.risk.reduces) == 1
    hand.refused(evolve(seen, kind="gremlin"), "bad_kind")


# --- accounts ------------------------------------------------------------------------------------------------------


def test_an_opening_is_approved_once() -> None:
    hand = trading()
    opening = c.OpeningApproved(*ZERO, *KEY[:2], ((hand.state.instruments[VENUE, OTHER].base, d(1)),))
    hand.refused(opening, "already_approved")
    assert hand.state.position_of(KEY).quantity == d(1)
    hand.refused(evolve(opening, account="other"), "unknown_venue")


def test_an_account_that_is_not_on_paper_needs_an_operators_hand() -> None:
    hand = Hand()
    hand.start()
    (policy,) = (evolve(one, approve_opening=False) for one in (hand_policy(),))
    hand.configure(venues=(policy,))
    opening = c.OpeningApproved(*ZERO, *KEY[:2], (("BTC", d(1)),))  # type: ignore[arg-type] # plain text
    hand.refused(opening, "not_allowed")
    hand.refused(evolve(opening, balances=(("BTC", d(1)), ("BTC", d(2))), by=by("a")), "bad_opening")
    hand.refused(evolve(opening, balances=(("BTC", d(-1)),), by=by("b")), "bad_opening")
    hand.ok(evolve(opening, by=by("c")))
    hand.ok(instrument())
    assert hand.state.position_of(KEY).opening == d(1), "instruments seen later open at it too"


def hand_policy() -> c.VenuePolicy:
    return trading().state.venues[VENUE]


def test_a_balance_is_told_when_it_changes() -> None:
    hand = trading()
    seen = c.BalanceSeen(*ZERO, *KEY[:2], "BTC", d(1), d(0))  # type: ignore[arg-type] # plain text
    assert len(hand.ok(seen).events) == 1
    assert hand.ok(seen).events == ()
    assert len(hand.ok(evolve(seen, locked=d("0.5"))).events) == 1
    assert hand.state.risk.trading is Trading.RUNNING, "what it means is for the leader to judge"


def test_limits_are_replicated_and_may_tighten_at_once() -> None:
    hand = trading()
    hand.buy()
    hand.configure(evolve(LIMITS, order_notional=d(1)))
    hand.refused(wish(Side.BUY, "0.1", "60000"), "limit", "order_notional")
    config = c.Configured(*ZERO, hand.state.cluster, "x", evolve(LIMITS, position=d(-1)), (), ())
    hand.refused(config, "bad_config")


def test_a_strategy_that_is_taken_out_and_put_back_is_still_stopped_and_remembers() -> None:
    hand = trading()
    hand.ok(c.Checkpoint(*ZERO, MM, "remember"))
    hand.ok(c.StrategyStopped(*ZERO, MM, "it raised"))
    hand.configure(strategies=())
    hand.refused(wish(Side.BUY, "0.1", "60000"), "unknown_strategy")
    hand.refused(c.StrategyStarted(*ZERO, MM), "unknown_strategy")
    hand.refused(c.Checkpoint(*ZERO, MM, "another"), "unknown_strategy")
    assert sorted(hand.state.left) == [MM], "the other one had nothing to remember"
    hand.configure()
    hand.refused(wish(Side.BUY, "0.1", "60000"), "strategy_stopped")
    hand.ok(c.StrategyStarted(*ZERO, MM))
    assert hand.state.strategies[MM].checkpoint == "remember"
    assert not hand.state.left
    hand.buy()
