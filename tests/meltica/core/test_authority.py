"""Epochs, authority and the log's clock (design.md, sections 4 and 5)."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from meltica.core import commands as c
from meltica.core.apply import LATEST, LEAP, STANDSTILL, CoreFault, apply_entry
from meltica.core.apply_authority import STORM
from meltica.core.codec import encode_command
from meltica.core.events import AuthorityEvent, OrderEventKind
from meltica.core.orders import Asked
from meltica.core.risk import MAX_CAUSES, MORE
from meltica.core.state import EPOCHS_KEPT, EPOCHS_MOST, State
from meltica.core.values import Epoch, Index, Mode, Nanos, NodeName, Side, Trading, Venue
from tests.meltica.core.harness import (
    KEY,
    POLICY,
    SECOND,
    START,
    VENUE,
    Hand,
    by,
    d,
    loaded,
    stored,
    trade,
    trading,
    wish,
)

ZERO = (Epoch(0), Nanos(0))

DAY = 24 * 3600 * SECOND


def test_an_epoch_carries_its_entrys_term_and_is_newer() -> None:
    hand = trading()
    start = c.EpochStarted(Epoch(5), Nanos(hand.now), NodeName("n2"), "election", "test")
    (result,) = hand.entry(encode_command(start), term=6)
    assert result.rejection is not None
    assert result.rejection.code == "not_own_term"
    (result,) = hand.entry(encode_command(evolve(start, epoch=Epoch(1))), term=6)
    assert result.rejection is not None
    hand.epoch = Epoch(6)
    assert hand.ok(evolve(start, epoch=Epoch(6))).events == (AuthorityEvent("started", Epoch(6), "n2"),)
    hand.refused(evolve(start, epoch=Epoch(6)), "stale_epoch")


def test_a_command_of_an_older_epoch_has_no_effect() -> None:
    hand = trading()
    order = hand.accept(hand.buy())
    old = hand.epoch
    hand.start()
    for command in (wish(Side.BUY, "0.1", "60000"), trade(1, order, "0.1"), c.Kill(*ZERO, "x")):
        before = hand.state.position_of(KEY), hand.state.risk, hand.state.orders
        raw = encode_command(evolve(command, epoch=old, at=Nanos(hand.now)))
        for term in (old + 1, hand.epoch):
            (result,) = hand.entry(raw, term=term)
            assert result.rejection is not None
            assert result.rejection.code == "stale_epoch"
            assert (hand.state.position_of(KEY), hand.state.risk, hand.state.orders) == before


def test_an_intent_needs_an_entry_of_its_own_term() -> None:
    hand = trading()
    raw = encode_command(evolve(wish(Side.BUY, "0.1", "60000"), epoch=hand.epoch, at=Nanos(hand.now)))
    (result,) = hand.entry(raw, term=hand.epoch + 1)
    assert result.rejection is not None
    assert result.rejection.code == "not_own_term"
    assert result.effects == ()


def test_nothing_is_ordered_before_authority_is_taken_or_after_it_is_released() -> None:
    hand = trading()
    order = hand.accept(hand.buy())
    hand.start()
    hand.refused(wish(Side.BUY, "0.1", "60000"), "no_authority")
    assert hand.ok(c.Cancel(*ZERO, order.id, "requote")).effects == ()
    assert hand.order(order).to_be_gone == "requote"
    hand.take()
    assert len(hand.ok(c.Cancel(*ZERO, order.id, "requote")).effects) == 1
    hand.release()
    hand.refused(wish(Side.BUY, "0.1", "60000"), "no_authority")
    assert hand.ok(c.Kill(*ZERO, "panic")).effects == ()


def test_authority_for_cancels_alone_may_become_all() -> None:
    hand = trading()
    order = hand.accept(hand.buy())
    hand.start()
    hand.take(cancels_only=True)
    hand.refused(wish(Side.BUY, "0.1", "60000"), "no_authority")
    assert len(hand.ok(c.Cancel(*ZERO, order.id, "unattended")).effects) == 1
    hand.refused(c.AuthorityTaken(*ZERO, cancels_only=True), "already_taken")
    hand.take()
    hand.buy()
    hand.refused(c.AuthorityTaken(*ZERO), "already_taken")


def test_a_release_needs_a_taking_and_ends_the_epoch() -> None:
    hand = trading()
    hand.start()
    hand.refused(c.AuthorityReleased(*ZERO), "not_taken")
    hand.take()
    hand.release()
    hand.refused(c.AuthorityReleased(*ZERO), "released")
    hand.refused(c.AuthorityTaken(*ZERO), "released")


@pytest.mark.parametrize("end", ["start", "release"])
def test_what_is_in_flight_when_its_sender_is_gone_is_in_doubt(end: str) -> None:
    hand = trading()
    order, resting = hand.buy(), hand.accept(hand.buy())
    hand.ok(c.Cancel(*ZERO, resting.id, "requote"))
    events = (hand.start() if end == "start" else hand.release()).events
    assert hand.order(order).asked is Asked.SUBMIT_IN_DOUBT
    assert hand.order(resting).asked is Asked.CANCEL_IN_DOUBT
    assert all(intent.in_doubt for intent in hand.state.intents.values())
    assert [event.order for event in events if getattr(event, "kind", "") == OrderEventKind.IN_DOUBT] == sorted(
        [order.id, resting.id]
    )


def test_windows_are_fixed_for_an_epoch() -> None:
    hand = trading()
    assert hand.state.epoch is not None
    assert hand.state.epoch.windows == {VENUE: 300_000_000}, "configured during the epoch: no older one could send"
    wider, other = evolve(POLICY, window=Nanos(SECOND)), evolve(POLICY, venue=Venue("other"))
    hand.configure(venues=(wider, other))
    assert hand.state.epoch.windows == {VENUE: 300_000_000, "other": 300_000_000}
    hand.start()
    assert hand.state.epoch.windows == {VENUE: SECOND, "other": 300_000_000}
    assert hand.state.epochs[Epoch(1)].windows[VENUE] == 300_000_000, "a successor waits with the older one's"


def test_only_the_newest_epochs_are_kept() -> None:
    hand = trading()
    for _ in range(30):
        hand.wait(120 * SECOND)
        hand.start()
        hand.take()
    assert sorted(hand.state.epochs) == list(range(32 - EPOCHS_KEPT, 32))


@pytest.mark.parametrize("apart", [10 * SECOND, 120 * SECOND])
def test_the_newest_epoch_that_was_taken_is_kept_however_many_follow_untaken(apart: int) -> None:
    """Sixth review: who cancels by hand, or tells strategies of the gap, looks for it; it was forgotten by count."""
    hand = trading()
    for _ in range(EPOCHS_KEPT + 4):
        hand.wait(apart)
        hand.start()
    assert hand.state.epochs[Epoch(1)].taken_index is not None
    hand.wait(300 * SECOND)
    hand.start()
    assert sorted(hand.state.epochs) == [1, *range(hand.epoch - EPOCHS_KEPT + 2, hand.epoch + 1)]
    hand.take()
    assert 1 in hand.state.epochs, "while the next one that is taken looks back at it"
    hand.wait(120 * SECOND)
    hand.start()
    assert sorted(hand.state.epochs) == list(range(hand.epoch - EPOCHS_KEPT + 1, hand.epoch + 1))


def test_what_was_taken_last_is_kept_while_the_current_epoch_is_taken_and_released() -> None:
    """All were young when it started, and their time is over when it is taken: its predecessor is looked for then."""
    hand = trading()
    for _ in range(EPOCHS_KEPT + 4):
        hand.wait(SECOND)
        hand.start()
    hand.wait(300 * SECOND)
    hand.take()
    assert len(hand.state.epochs) == EPOCHS_KEPT
    hand.configure(venues=(POLICY, evolve(POLICY, venue=Venue("other"))))
    hand.release()
    assert Epoch(1) in hand.state.epochs


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 90), st.sampled_from(["take", "cancels", "release"]))))
def test_whatever_starts_is_taken_and_released_the_last_that_was_taken_is_known(
    runs: list[tuple[int, int, str]],
) -> None:
    """Each run: elections, so many seconds apart, the last of which is taken.  A node that loads forgets alike."""
    hand, disk, taken = trading(), {}, Epoch(1)
    for elections, seconds, then in runs[:8]:
        for _ in range(elections):
            hand.wait(seconds * SECOND)
            hand.start()
            disk = stored(hand.state.take_changes(), disk)
            assert loaded(disk).epochs == hand.state.epochs
        hand.state = loaded(disk)
        hand.take(cancels_only=then == "cancels")
        if then == "release":
            hand.release()
        kept = hand.state.epochs
        assert hand.state.epoch is kept[hand.epoch]
        assert kept[taken].taken_index is not None
        young = [epoch for epoch in kept if hand.now - kept[epoch].started_at < 61 * SECOND]
        assert len(kept) <= max(EPOCHS_KEPT, len(young) + 2), "bounded by what may be on its way, and the taken one"
        taken = hand.epoch


def test_an_epoch_whose_sends_may_still_arrive_is_kept_however_many_follow() -> None:
    """Review 5, finding 10: who starts by then must wait for it, and with the window that it had."""
    hand = trading()
    hand.configure(venues=(evolve(POLICY, window=Nanos(60 * SECOND)),))
    hand.start()
    wide = hand.epoch
    hand.configure()
    for _ in range(EPOCHS_KEPT + 8):
        hand.wait(2 * SECOND)
        hand.start()
    assert hand.state.epochs[wide].windows == {VENUE: 60 * SECOND}
    hand.wait(300 * SECOND)
    hand.start()
    assert len(hand.state.epochs) == EPOCHS_KEPT
    for _ in range(EPOCHS_MOST + 1):
        hand.start()
    assert len(hand.state.epochs) == EPOCHS_MOST, "whatever the clock says, not without bound"
    assert min(hand.state.epochs) == 1, "the newest that was taken is among them"


def _storm(hand: Hand, times: int, *, release: bool = False, apart: int = SECOND) -> None:
    for _ in range(times):
        hand.take()
        if release:
            hand.release()
        hand.now += apart
        hand.start()


def stormy() -> Hand:
    hand = trading()
    hand.configure(storm_takeovers=3)
    hand.start()
    return hand


def test_a_third_lost_leader_within_ten_minutes_starts_halted() -> None:
    hand = stormy()
    hand.state.put_losses(type(hand.state.losses)())
    _storm(hand, 2)
    assert hand.state.risk.trading is Trading.RUNNING
    _storm(hand, 1)
    assert set(hand.state.risk.halts) == {"takeover_storm"}
    hand.ok(c.Resume(*ZERO, ("takeover_storm",), hand.state.risk.index, by()))
    _storm(hand, 2)
    assert hand.state.risk.trading is Trading.RUNNING, "counted afresh once an operator has seen it"


def test_a_resume_of_something_else_does_not_count_a_storm_afresh() -> None:
    """Review 5, finding 9: it had nothing to do with the leaders that were lost."""
    hand = stormy()
    _storm(hand, 1)
    assert len(hand.state.losses.times) == 2
    hand.ok(c.Halt(*ZERO, "maintenance"))
    hand.ok(c.Reduce(*ZERO, STORM))
    hand.ok(c.Resume(*ZERO, ("maintenance", STORM), hand.state.risk.index, by()))
    assert hand.state.risk.trading is Trading.RUNNING
    _storm(hand, 1)
    assert set(hand.state.risk.halts) == {STORM}


def test_a_resume_of_the_causes_that_share_a_name_may_be_one_of_the_storm() -> None:
    hand = stormy()
    for number in range(MAX_CAUSES):
        hand.ok(c.Halt(*ZERO, f"cause {number}"))
    _storm(hand, 3)
    assert MORE in hand.state.risk.halts
    hand.ok(c.Resume(*ZERO, (MORE,), hand.state.risk.index, by()))
    assert hand.state.losses.times == ()


def test_in_manual_mode_authority_in_full_needs_a_promote_whatever_the_mode_was_when_it_was_proposed() -> None:
    """Review 5, finding 6: apply did not look at the mode at all."""
    hand = trading()
    hand.start()
    mode = c.ModeSet(*ZERO, Mode.MANUAL, by())
    first, second = hand.many(mode, c.AuthorityTaken(*ZERO))
    assert first.accepted
    assert second.rejection is not None
    assert second.rejection.code == "manual_mode"
    assert hand.state.epoch is not None
    assert hand.state.epoch.taken_index is None
    hand.take(cancels_only=True)
    hand.refused(c.AuthorityTaken(*ZERO), "manual_mode")
    hand.ok(c.AuthorityTaken(*ZERO, promoted=True))
    assert hand.state.epoch.trades
    hand.refused(c.AuthorityTaken(*ZERO, promoted=True), "already_taken")


def test_planned_hand_overs_are_no_storm() -> None:
    hand = stormy()
    _storm(hand, 20, release=True)
    assert hand.state.risk.trading is Trading.RUNNING


def test_elections_of_leaders_that_never_traded_are_no_storm() -> None:
    hand = stormy()
    for _ in range(10):
        hand.start()
    assert hand.state.risk.trading is Trading.RUNNING


def test_losses_far_apart_are_no_storm() -> None:
    hand = stormy()
    _storm(hand, 6, apart=301 * SECOND)
    assert hand.state.risk.trading is Trading.RUNNING


# --- the log's clock ------------------------------------------------------------------------------------------


def _at(hand: Hand, command: Any, at: int) -> Any:
    (result,) = hand.entry(encode_command(evolve(command, epoch=hand.epoch, at=Nanos(at))))
    return result


def test_the_clock_never_goes_back() -> None:
    hand = trading()
    before = hand.state.clock
    assert _at(hand, c.ModeSet(*ZERO, Mode.MANUAL, by()), START - 5).accepted
    assert hand.state.clock == before


def test_an_implausible_leap_is_a_rejected_command() -> None:
    hand = trading()
    clock = hand.state.clock
    result = _at(hand, c.ModeSet(*ZERO, Mode.MANUAL, by()), clock + LEAP + 1)
    assert result.rejection.code == "implausible_clock"
    assert (hand.state.clock, hand.state.mode) == (clock, Mode.AUTOMATIC)
    assert _at(hand, c.ModeSet(*ZERO, Mode.MANUAL, by()), clock + LEAP).accepted


def test_a_cluster_that_was_off_for_weeks_starts_again() -> None:
    hand = trading()
    hand.now += 30 * DAY
    hand.start()
    assert hand.state.clock == hand.now
    hand.take()
    hand.buy()


def test_a_leader_that_waits_for_a_promote_for_hours_tells_the_time_meanwhile() -> None:
    hand = trading()
    hand.start()
    hand.wait(5 * 3600 * SECOND)
    hand.take()
    hand.buy()


def test_a_leader_whose_clock_is_days_off_cannot_move_the_logs_clock_within_its_epoch() -> None:
    hand = trading()
    hand.start()
    clock = hand.state.clock
    for command in (c.AuthorityTaken(*ZERO, cancels_only=False), c.ClockTold(*ZERO)):
        assert _at(hand, command, clock + DAY).rejection.code == "implausible_clock"
    assert hand.state.clock == clock


def test_a_start_in_another_century_is_refused() -> None:
    hand = trading()
    hand.epoch = Epoch(2)
    start = c.EpochStarted(*ZERO, NodeName("n2"), "election", "test")
    assert _at(hand, start, hand.state.clock + STANDSTILL + 1).rejection.code == "implausible_clock"
    first = Hand()
    first.epoch = Epoch(1)
    assert _at(first, start, LATEST + 1).rejection.code == "implausible_clock"
    assert first.state.clock == 0


def test_an_entry_that_goes_back_is_a_fault_of_the_program() -> None:
    hand = trading()
    for index, term in ((hand.state.index, hand.epoch), (hand.state.index + 1, 0)):
        with pytest.raises(CoreFault):
            apply_entry(hand.state, Index(index), Epoch(term), ())


def test_nothing_but_an_epoch_can_come_first() -> None:
    hand = Hand()
    for command in (c.Halt(*ZERO, "x"), c.AuthorityTaken(*ZERO)):
        hand.refused(command, "stale_epoch")
    assert State().digest() != hand.state.digest(), "the chain notes them"


# --- retried requests -------------------------------------------------------------------------------------------


def test_a_retried_request_does_nothing_and_says_what_the_first_did() -> None:
    hand = trading()
    first = hand.ok(c.Halt(*ZERO, "maintenance", by=by("h1")))
    assert not first.duplicate
    index = hand.state.risk.index
    hand.start()
    again = hand.ok(c.Halt(*ZERO, "maintenance", by=by("h1")))
    assert again.duplicate
    assert again.events == ()
    assert hand.state.risk.index == index


def test_a_retried_refusal_is_the_same_refusal() -> None:
    hand = trading()
    resume = c.Resume(*ZERO, ("nothing",), 77, by("r1"))
    first = hand.refused(resume, "risk_moved", "risk_index")
    hand.ok(c.Halt(*ZERO, "later"))
    again = hand.refused(resume, "risk_moved", "risk_index")
    assert again.rejection == first.rejection
    assert again.duplicate


def test_a_retried_submit_names_the_first_order() -> None:
    hand = trading()
    first = hand.ok(wish(Side.BUY, "0.1", "60000", by=by("s1")))
    again = hand.ok(wish(Side.BUY, "0.1", "60000", by=by("s1")))
    assert again.order == first.order
    assert again.effects == ()
    assert len(hand.state.orders) == 1


def test_a_request_id_means_one_thing() -> None:
    hand = trading()
    hand.ok(c.Halt(*ZERO, "maintenance", by=by("h1")))
    hand.refused(c.Halt(*ZERO, "other", by=by("h1")), "request_reused")
    hand.refused(c.Reduce(*ZERO, "maintenance", by=by("h1")), "request_reused")


def test_a_stale_request_may_be_tried_again() -> None:
    hand = trading()
    halt = evolve(c.Halt(*ZERO, "x", by=by("h1")), epoch=hand.epoch, at=Nanos(hand.now))
    hand.start()
    (result,) = hand.entry(encode_command(halt))
    assert not result.accepted
    assert not hand.ok(halt).duplicate


def test_requests_are_forgotten_after_a_day() -> None:
    hand = trading()
    hand.ok(c.Halt(*ZERO, "x", by=by("h1")))
    hand.wait(DAY - SECOND)
    hand.ok(c.Reduce(*ZERO, "x"))
    assert "h1" in hand.state.requests
    hand.now += 2 * SECOND
    hand.ok(c.Reduce(*ZERO, "x"))
    assert hand.state.requests == {}


def test_two_nodes_that_are_configured_differently_cannot_share_a_log() -> None:
    hand = trading()
    config = c.Configured(*ZERO, "c0ffef", "x", hand.state.settings.limits or d(0), (), ())
    hand.refused(config, "cluster_changed")
    hand.refused(evolve(config, cluster="C0FFEE"), "bad_config")
    hand.refused(evolve(config, cluster="c0ffee", venues=(POLICY, POLICY)), "bad_config")
