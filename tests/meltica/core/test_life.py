"""What the venue says of an order, in every order of telling (design.md, rules 3, 4 and 5)."""

from __future__ import annotations

import pytest
from attrs import evolve

from meltica.core import commands as c
from meltica.core.effects import CancelOrder, PlaceOrder
from meltica.core.events import DiscrepancyEvent, FillEvent, OrderEvent
from meltica.core.events import OrderEventKind as K
from meltica.core.ids import MANDATE_PLACE, mandate_id, parse_id
from meltica.core.orders import CANCELS_KEPT, Asked, Order, OrderState
from meltica.core.state import ORDERS_KEPT
from meltica.core.values import Asset, ClientOrderId, Epoch, Nanos, Side, Trading, VenueOrderId
from tests.meltica.core.harness import (
    ACCOUNT,
    KEY,
    MM,
    MOMENTUM,
    OTHER,
    SYMBOL,
    VENUE,
    Hand,
    d,
    ids,
    trade,
    trading,
    updated,
    wish,
)

ZERO = (Epoch(0), Nanos(0))
S = OrderState


def kinds(result: object) -> list[K]:
    return [event.kind for event in getattr(result, "events", ()) if isinstance(event, OrderEvent)]


def doubtful(hand: Hand) -> Order:
    order = hand.buy()
    hand.ok(c.InDoubt(*ZERO, order.id, "no answer"))
    return hand.order(order)


def dead(hand: Hand) -> Order:
    order = doubtful(hand)
    for _ in range(2):
        hand.ok(c.NotFound(*ZERO, order.id, final=True))
    return hand.order(order)


def test_a_submit_orders_one_send_under_an_id_of_its_entry() -> None:
    hand = trading()
    first, second = hand.many(wish(Side.BUY, "0.1", "60000"), wish(Side.SELL, "0.1", "60001"))
    for place, result in enumerate((first, second)):
        (effect,) = result.effects
        assert isinstance(effect, PlaceOrder)
        parts = parse_id(effect.intent)
        assert parts is not None
        assert (parts.epoch, parts.index, parts.place) == (hand.epoch, hand.state.index, place)
        assert hand.state.orders[effect.intent].asked is Asked.SUBMIT_IN_FLIGHT
    assert list(hand.state.intents) == [first.order, second.order]


def test_an_accepted_answer_opens_it() -> None:
    hand = trading()
    order = hand.buy()
    result = hand.ok(c.Answered(*ZERO, order.id, True, VenueOrderId("7"), "open"))
    assert kinds(result) == [K.ACKNOWLEDGED]
    order = hand.order(order)
    assert (order.state, order.asked, order.venue_order_id) == (S.OPEN, Asked.NOTHING, "7")
    assert hand.state.intents == {}
    assert hand.state.by_venue_id == {(VENUE, SYMBOL, "7"): order.id}


def test_a_refused_answer_ends_it() -> None:
    hand = trading()
    order = hand.buy()
    result = hand.ok(c.Answered(*ZERO, order.id, accepted=False, code="-2010", text="no balance"))
    assert kinds(result) == [K.REJECTED]
    assert (hand.order(order).state, hand.order(order).reason) == (S.REJECTED, "-2010 no balance")


def test_doubt_is_left_only_on_evidence() -> None:
    hand = trading()
    order = doubtful(hand)
    assert (order.state, order.asked) == (S.INTENT_ACCEPTED, Asked.SUBMIT_IN_DOUBT)
    hand.start()
    hand.wait(ORDERS_KEPT * 2)
    hand.take()
    assert hand.order(order).asked is Asked.SUBMIT_IN_DOUBT, "neither time nor a failover resolves it"
    hand.ok(updated(order, "open"))
    assert (hand.order(order).state, hand.order(order).asked) == (S.OPEN, Asked.NOTHING)


def test_a_fill_resolves_doubt_before_any_answer() -> None:
    hand = trading()
    order = doubtful(hand)
    result = hand.fill(order, "0.04")
    assert kinds(result) == [K.PARTIAL_FILL]
    assert (hand.order(order).state, hand.order(order).asked) == (S.PARTIALLY_FILLED, Asked.NOTHING)
    hand.ok(c.Answered(*ZERO, order.id, True, VenueOrderId("unknown"), "open"))
    assert hand.order(order).state is S.PARTIALLY_FILLED, "a late answer does not go back"


def test_a_lapse_ends_what_was_surely_never_sent() -> None:
    hand = trading()
    first, second = hand.buy(), hand.buy()
    result = hand.ok(c.Lapsed(*ZERO, (first.id, first.id, second.id), "window"))
    assert kinds(result) == [K.LAPSED, K.LAPSED]
    assert hand.order(first).closed
    hand.refused(c.Lapsed(*ZERO, (first.id,), "window"), "no_such_intent")
    hand.ok(updated(first, "open"))
    assert hand.order(first).live, "late evidence revives"


def test_a_lapsed_cancel_leaves_the_order_to_be_gone() -> None:
    hand = trading()
    order = hand.accept(hand.buy())
    (effect,) = hand.ok(c.Cancel(*ZERO, order.id, "requote")).effects
    hand.ok(c.Lapsed(*ZERO, (effect.intent,), "window"))
    order = hand.order(order)
    assert (order.state, order.asked, order.to_be_gone) == (S.OPEN, Asked.NOTHING, "requote")
    (again,) = hand.ok(c.Cancel(*ZERO, order.id, "requote")).effects
    assert again.intent != effect.intent, "a new intent each"


def test_two_final_reads_in_a_row_make_it_dead_and_fewer_do_not() -> None:
    hand = trading()
    order = doubtful(hand)
    assert kinds(hand.ok(c.NotFound(*ZERO, order.id, final=False))) == [K.ABSENT]
    hand.ok(c.NotFound(*ZERO, order.id, final=False))
    hand.ok(c.NotFound(*ZERO, order.id, final=True))
    assert hand.order(order).state is S.ABSENT
    hand.ok(updated(order, "open"))
    assert kinds(hand.ok(c.NotFound(*ZERO, order.id, final=True))) == [K.ABSENT], "evidence starts the count afresh"
    assert kinds(hand.ok(c.NotFound(*ZERO, order.id, final=True))) == [K.DEAD]
    hand.refused(c.NotFound(*ZERO, order.id, final=True), "order_closed")


def test_what_is_in_flight_cannot_be_absent() -> None:
    hand = trading()
    hand.refused(c.NotFound(*ZERO, hand.buy().id, final=True), "in_flight")


@pytest.mark.parametrize("status", ["open", "partially_filled", "filled", "cancelled", "expired"])
def test_late_evidence_revives_the_dead(status: str) -> None:
    hand = trading()
    order = dead(hand)
    assert order.closed
    hand.ok(updated(order, status, "0.02"))
    assert hand.order(order).state == S(status)


def test_what_revives_under_a_kill_goes_at_once() -> None:
    hand = trading()
    order = dead(hand)
    hand.ok(c.Kill(*ZERO, "panic"))
    assert hand.order(order).to_be_gone == ""
    (effect,) = hand.ok(updated(order, "open")).effects
    assert isinstance(effect, CancelOrder)
    assert effect.order == order.id
    assert hand.order(order).to_be_gone == "kill"


def test_what_revives_under_a_halt_or_of_a_stopped_strategy_goes_at_once() -> None:
    hand = trading()
    first, second = dead(hand), dead(hand)
    hand.ok(c.StrategyStopped(*ZERO, MM, "raised"))
    assert len(hand.ok(updated(first, "open")).effects) == 1
    hand.ok(c.StrategyStarted(*ZERO, MM))
    hand.ok(c.Halt(*ZERO, "x"))
    assert len(hand.ok(updated(second, "open")).effects) == 1


def test_a_refused_cancel_proves_nothing() -> None:
    hand = trading()
    order = hand.accept(hand.buy())
    (effect,) = hand.ok(c.Cancel(*ZERO, order.id, "requote")).effects
    result = hand.ok(c.Answered(*ZERO, effect.intent, accepted=False, code="-2011", text="Unknown order sent."))
    assert result.events == ()
    order = hand.order(order)
    assert (order.state, order.asked, order.to_be_gone) == (S.OPEN, Asked.NOTHING, "requote")
    assert order.leaves == d("0.1"), "it still counts at its worst case"


def test_an_accepted_cancel_ends_it_and_owed_fills_still_count() -> None:
    hand = trading()
    order = hand.accept(hand.buy())
    (effect,) = hand.ok(c.Cancel(*ZERO, order.id, "requote")).effects
    hand.ok(c.Answered(*ZERO, effect.intent, accepted=True, executed=d("0.03")))
    order = hand.order(order)
    assert (order.state, order.leaves) == (S.CANCELLED, d("0.03"))
    assert hand.state.order_index.exposure(KEY).buy == d("0.03")
    assert kinds(hand.fill(order, "0.03")) == [K.PARTIAL_FILL]
    assert hand.order(order).state is S.CANCELLED, "a late fill reopens nothing"
    assert hand.state.order_index.exposure(KEY).buy == 0


def test_one_cancel_at_a_time_but_doubt_does_not_hold_it_up() -> None:
    hand = trading()
    order = hand.accept(hand.buy())
    (first,) = hand.ok(c.Cancel(*ZERO, order.id, "requote")).effects
    assert hand.ok(c.Cancel(*ZERO, order.id, "requote")).effects == ()
    hand.ok(c.InDoubt(*ZERO, first.intent, "no answer"))
    assert hand.order(order).asked is Asked.CANCEL_IN_DOUBT
    (second,) = hand.ok(c.Cancel(*ZERO, order.id, "requote")).effects
    assert hand.order(order).cancels == (first.intent, second.intent)
    hand.ok(c.Answered(*ZERO, second.intent, accepted=False))
    assert hand.order(order).asked is Asked.CANCEL_IN_DOUBT, "the first is still unresolved"


def test_a_cancel_waits_for_the_answer_to_the_submit() -> None:
    hand = trading()
    order = hand.buy()
    assert hand.ok(c.Cancel(*ZERO, order.id, "changed my mind")).effects == ()
    assert hand.order(order).to_be_gone
    hand.ok(c.InDoubt(*ZERO, order.id, "no answer"))
    assert len(hand.ok(c.Cancel(*ZERO, order.id, "changed my mind")).effects) == 1, "doubt does not hold it up"


def test_cancel_all_orders_effects_by_id_and_takes_only_what_matches() -> None:
    hand = trading()
    orders = [
        hand.accept(hand.buy("0.01", symbol=symbol, strategy=strategy, reference=d(price), price=str(price)))
        for symbol, price in ((SYMBOL, 60_000), (OTHER, 3_000))
        for strategy in (MM, MOMENTUM)
    ]
    some = hand.ok(c.CancelAll(*ZERO, "x", strategy=MOMENTUM, symbol=OTHER)).effects
    assert [effect.order for effect in some if isinstance(effect, CancelOrder)] == [orders[3].id]
    rest = hand.ok(c.CancelAll(*ZERO, "x")).effects
    assert [effect.order for effect in rest if isinstance(effect, CancelOrder)] == sorted(ids(orders[:3]))


def test_cancels_of_what_is_not_there_are_refused() -> None:
    hand = trading()
    hand.refused(c.Cancel(*ZERO, ClientOrderId("0" * 32), "x"), "unknown_order")
    order = hand.accept(hand.buy(), "filled")
    hand.refused(c.Cancel(*ZERO, order.id, "x"), "order_closed")
    hand.refused(c.Answered(*ZERO, ClientOrderId("0" * 32), accepted=True), "no_such_intent")
    hand.refused(c.InDoubt(*ZERO, order.id, "x"), "no_such_intent")


# --- names ---------------------------------------------------------------------------------------------------------


def test_an_update_is_matched_by_each_name_the_venue_may_show() -> None:
    hand = trading()
    order = hand.accept(hand.buy())
    (effect,) = hand.ok(c.Cancel(*ZERO, order.id, "requote")).effects
    by_venue_id = evolve(updated(order, "partially_filled", "0.01"), order=None, shown_as="random")
    hand.ok(by_venue_id)
    assert hand.order(order).shown_as == "random"
    renamed = doubtful(hand)
    hand.ok(c.Cancel(*ZERO, renamed.id, "requote"))
    (second,) = hand.order(renamed).cancels
    hand.ok(evolve(updated(renamed, "cancelled"), order=None, shown_as=second, venue_order_id=VenueOrderId("88")))
    assert (hand.order(renamed).state, hand.order(renamed).shown_as) == (S.CANCELLED, second)
    assert effect.intent in hand.state.intents


def test_an_update_of_nothing_of_ours_is_refused() -> None:
    hand = trading()
    order = hand.buy()
    strange = evolve(updated(order, "open"), order=None, shown_as="web_123", venue_order_id=VenueOrderId("99"))
    hand.refused(strange, "unknown_order")
    hand.refused(evolve(updated(order, "open"), symbol=OTHER), "unknown_order")
    hand.refused(updated(order, "melted"), "bad_status")


def test_a_mandates_cancel_is_no_intent_of_the_log() -> None:
    hand = trading()
    order = hand.accept(hand.buy())
    assert hand.state.epoch is not None
    assert hand.state.epoch.taken_index is not None
    name = mandate_id(hand.state.cluster, hand.epoch, hand.state.epoch.taken_index, 0)
    hand.ok(evolve(updated(order, "cancelled"), shown_as=name))
    assert hand.order(order).state is S.CANCELLED
    parts = parse_id(hand.order(order).shown_as)
    assert parts is not None
    assert parts.place == MANDATE_PLACE


def test_one_venue_id_is_one_order() -> None:
    hand = trading()
    first, second = hand.accept(hand.buy()), hand.buy()
    clash = updated(second, "open", venue_order_id=first.venue_order_id)
    hand.ok(evolve(clash, order=second.id))
    assert hand.order(second).venue_order_id is None, "the venue's id rules"
    result = hand.ok(c.Answered(*ZERO, second.id, True, first.venue_order_id, "open"))
    assert any(isinstance(event, DiscrepancyEvent) and event.kind == "conflicting_order" for event in result.events)


# --- fills -----------------------------------------------------------------------------------------------------


def test_a_fill_enters_once_whatever_it_comes_from() -> None:
    hand = trading()
    order = hand.accept(hand.buy())
    hand.fill(order, "0.04")
    position = hand.state.position_of(KEY)
    again = hand.ok(evolve(trade(1, order, "0.04"), source="read", order=None))
    assert again.duplicate
    assert again.events == ()
    assert hand.state.position_of(KEY) == position
    assert hand.order(order).filled == d("0.04")


def test_a_fill_below_the_low_water_mark_is_known_for_ever() -> None:
    hand = trading()
    order = hand.accept(hand.buy())
    for _ in range(3):
        hand.fill(order, "0.01")
    hand.ok(c.Reconciled(*ZERO, VENUE, ACCOUNT, ((SYMBOL, 3),)))
    assert list(hand.state.trades.seen[KEY]) == [3], "the mark itself stays in memory"
    for number in (1, 2, 3):
        assert hand.ok(trade(number, order, "0.01")).duplicate
    hand.ok(c.Reconciled(*ZERO, VENUE, ACCOUNT, ((SYMBOL, 2),)))
    assert hand.state.low_water[KEY] == 3, "a mark never goes back"
    assert not hand.ok(trade(4, order, "0.01")).duplicate


def test_a_trade_that_contradicts_itself_tightens() -> None:
    hand = trading()
    order = hand.accept(hand.buy())
    hand.fill(order, "0.04")
    result = hand.ok(trade(1, order, "0.05"))
    assert result.duplicate
    assert hand.order(order).filled == d("0.04")
    assert hand.state.risk.trading is Trading.REDUCING
    assert [event.kind for event in result.events if isinstance(event, DiscrepancyEvent)] == ["conflicting_fill"]


def test_an_overfill_is_recorded_reported_and_tightens() -> None:
    hand = trading()
    order = hand.accept(hand.buy())
    hand.fill(order, "0.1")
    result = hand.fill(order, "0.02")
    assert hand.order(order).filled == d("0.12")
    assert hand.state.position_of(KEY).quantity == d("1.12")
    assert set(hand.state.risk.reduces) == {"overfill:paper:BTCUSDT"}
    assert [event.kind for event in result.events if isinstance(event, DiscrepancyEvent)] == ["overfill"]


def test_a_fill_before_the_answer_waits_under_the_venues_id() -> None:
    """Binance's own trades carry no client id: a read may show the trade before anything shows the order."""
    hand = trading()
    order = doubtful(hand)
    orphan = evolve(trade(1, order, "0.04"), order=None, venue_order_id=VenueOrderId("7"))
    (event,) = hand.ok(orphan).events
    assert isinstance(event, FillEvent)
    assert event.order is None
    assert hand.state.position_of(KEY).quantity == d("1.04"), "it counts at once"
    assert hand.order(order).filled == 0
    result = hand.ok(updated(order, "partially_filled", "0.04", venue_order_id=VenueOrderId("7")))
    assert (hand.order(order).filled, hand.order(order).state) == (d("0.04"), S.PARTIALLY_FILLED)
    assert K.PARTIAL_FILL in kinds(result)
    assert hand.state.position_of(KEY).quantity == d("1.04"), "and once"
    assert hand.state.trades.orphans == {}


def test_a_duplicate_that_shows_the_order_claims_its_fill() -> None:
    hand = trading()
    order = doubtful(hand)
    orphan = evolve(trade(1, order, "0.1"), order=None, venue_order_id=VenueOrderId("7"))
    hand.ok(orphan)
    assert hand.ok(evolve(orphan, order=order.id)).duplicate
    assert hand.order(order).state is S.FILLED


def test_fills_that_cannot_be_placed_are_refused_not_lost() -> None:
    """A refused fact is read again by the next reconciliation: the mark is not past it."""
    hand = trading()
    order = hand.accept(hand.buy())
    hand.refused(evolve(trade(1, order, "0.1"), symbol="XRPUSDT"), "unknown_instrument")
    hand.refused(evolve(trade(1, order, "0.1"), account="other"), "opening_not_approved")
    hand.refused(trade(1, order, "0"), "bad_fill")
    assert not hand.ok(trade(1, order, "0.1")).duplicate


def test_old_closed_orders_are_forgotten_but_not_while_a_fill_is_owed() -> None:
    hand = trading()
    plain, owed, resting = (hand.accept(hand.buy()) for _ in range(3))
    hand.ok(updated(plain, "cancelled"))
    hand.ok(updated(owed, "cancelled", "0.02"))
    hand.wait(ORDERS_KEPT + 1)
    hand.ok(c.Reduce(*ZERO, "tick"))
    assert sorted(hand.state.orders) == sorted([owed.id, resting.id])
    hand.fill(owed, "0.02")
    assert sorted(hand.state.orders) == [resting.id]


def test_events_of_fills_carry_what_they_were() -> None:
    hand = trading()
    order = hand.accept(hand.buy())
    event = hand.fill(order, "0.1", fee=d("0.0001"), fee_asset=Asset("BTC")).events[0]
    assert isinstance(event, FillEvent)
    assert (event.order, event.strategy, event.fee, event.fee_asset) == (order.id, MM, d("0.0001"), "BTC")


def test_an_order_is_known_by_the_cancel_that_worked_however_many_were_refused_after_it() -> None:
    hand = trading()
    order = doubtful(hand)  # so the venue's id of it is not known either
    hand.ok(c.Cancel(*ZERO, order.id, "gone"))
    worked = hand.order(order).cancels[0]
    hand.ok(c.InDoubt(*ZERO, worked, "no answer"))
    for _ in range(40):
        hand.ok(c.Cancel(*ZERO, order.id, "gone"))
        newest = hand.order(order).cancels[-1]
        hand.ok(c.Answered(*ZERO, newest, accepted=False, code="-2011", text="Unknown order sent."))
    assert worked in hand.order(order).cancels
    hand.ok(evolve(updated(order, "cancelled"), order=None, shown_as=worked))
    assert hand.order(order).state is S.CANCELLED


def test_the_doubt_about_a_submit_outlives_any_number_of_cancels_in_doubt() -> None:
    hand = trading()
    order = doubtful(hand)
    for _ in range(40):
        hand.ok(c.Cancel(*ZERO, order.id, "gone"))
        hand.ok(c.InDoubt(*ZERO, hand.order(order).cancels[-1], "no answer"))
    assert order.id in hand.state.intents
    assert len(hand.order(order).unanswered) <= CANCELS_KEPT


def test_a_fill_of_a_refused_order_brings_it_back() -> None:
    hand = trading()
    order = hand.buy()
    hand.ok(c.Answered(*ZERO, order.id, accepted=False, code="-1006", text="unexpected"))
    hand.fill(order, "0.04")
    assert (hand.order(order).state, hand.order(order).leaves) == (S.PARTIALLY_FILLED, d("0.06"))
    assert order.id in {each.id for each in hand.state.live_orders()}
