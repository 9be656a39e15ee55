"""Each check holds on an honest history and fails on one doctored to break its rule."""

from __future__ import annotations

from decimal import Decimal

import pytest
from attrs import evolve

from chaos.checkers.accounted import accounted
from chaos.checkers.all import CHECKS, check_all
from chaos.checkers.every_fill_once import every_fill_once
from chaos.checkers.halt_survives import halt_survives
from chaos.checkers.history import AuditRecord, ClockStep, History, LocalCommit, Sight, VenueOrder
from chaos.checkers.intent_first import intent_first
from chaos.checkers.log_clock import SECOND
from chaos.checkers.one_send import one_send
from chaos.checkers.one_trader import one_trader
from chaos.checkers.orders_equal import orders_equal
from chaos.checkers.positions import positions
from chaos.checkers.state_equal import state_equal
from chaos.checkers.verdict import Check, verdict
from tests.chaos.checkers import honest as h
from tests.chaos.checkers.honest import fails


def test_all_hold_on_an_honest_history() -> None:
    checks = check_all(h.honest())
    assert [(c.name, c.violations) for c in checks if not c.held] == []
    assert verdict(checks) == "pass"
    assert len(CHECKS) == 11


def test_a_check_that_looked_at_nothing_has_not_held() -> None:
    empty = History(h.ACCOUNT, h.CLUSTER, (), (), (), ())
    checks = check_all(empty)
    assert [c.looked_at for c in checks] == [0] * len(CHECKS)
    assert not any(c.held for c in checks)
    assert verdict(checks) == "fail"


def test_a_violation_fails_the_verdict() -> None:
    assert verdict([Check("a", 1, ()), Check("b", 1, ("no",))]) == "fail"
    assert verdict([]) == "fail"


# --- one trader ---------------------------------------------------------------------------------------------


def test_an_older_epoch_admitted_behind_a_newer_one() -> None:
    late = h.request(4, "n1", "order.place", h.cid(1, 15), 400)
    fails(one_trader(h.with_request(h.honest(), late)), "after epoch 2")


def test_a_refused_request_counts_if_it_was_admitted() -> None:
    late = evolve(h.request(4, "n1", "order.place", h.cid(1, 15), 400), outcome="rejected")
    fails(one_trader(h.with_request(h.honest(), late)), "after epoch 2")


LATE = 4_000  # s + W of what the older epoch sent last
STEP = (ClockStep(LATE + 100, -500),)  # the venue's clock goes back by 500, behind the successor's first order


def late(admitted: int, steps: tuple[ClockStep, ...] = STEP, *, until: int | None = LATE, **sights: Sight) -> Check:
    """An order of epoch 1 is admitted behind epoch 2; `sights`: of that one, and of the successor's first."""
    name = h.cid(1, 15)
    names = {"late": name, "first": h.SECOND}
    commits = (*h.COMMITS["n1"], LocalCommit(15, 1, LATE - 300, (name,), until))
    request = evolve(h.request(4, "n1", "order.place", name, admitted), admitted_ns=admitted)
    history = evolve(
        h.with_request(h.honest(), request), steps=steps, sights={names[one]: seen for one, seen in sights.items()}
    )
    return one_trader(h.with_node(history, "n1", commits=commits))


def test_what_only_a_clock_that_went_back_let_in_is_nobodys_doing() -> None:
    """Nobody can call back what is on its way: the successor's order was there before the venue set its clock back."""
    found = late(LATE + 500)
    assert found.held
    assert found.looked_at == 3, "it is not looked at"
    assert late(LATE + 500, (ClockStep(50, 300), ClockStep(LATE + 100, -200))).held, "from where it stood"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("later than the clock went back", late(LATE + 501)),
        ("in its window", late(LATE)),
        ("before the clock went back", late(LATE + 500, (ClockStep(LATE + 501, -500),))),
        ("the clock went forward", late(LATE + 200, (ClockStep(LATE + 100, 500),))),
        ("there and back is nothing", late(LATE + 200, (*STEP, ClockStep(LATE + 150, 0)))),
        ("dated by the clock behind the step", late(LATE + 500, late=Sight(1, 0))),
        ("the successor had seen it", late(LATE + 500, first=Sight(1, 1))),
        ("nobody knows when its window ended", late(LATE + 2, until=None)),
    ],
)
def test_a_clock_that_went_back_excuses_nothing_else(name: str, found: Check) -> None:
    assert not found.held, name
    fails(found, "after epoch 2")


def test_a_successor_that_began_behind_the_step_could_not_see_it() -> None:
    assert late(LATE + 500, first=Sight(1, 0)).held


def test_what_the_deadline_stopped_breaks_nothing() -> None:
    late = evolve(h.request(4, "n1", "order.place", h.cid(1, 15), 400), admitted_ns=None)
    assert one_trader(h.with_request(h.honest(), late)).held


def test_admission_not_receipt_is_what_counts() -> None:
    early = evolve(h.request(4, "n1", "order.place", h.cid(1, 15), 250), admitted_ns=9_000)
    fails(one_trader(h.with_request(h.honest(), early)), "after epoch 2")


def test_two_nodes_in_one_epoch() -> None:
    other = h.request(4, "n3", "order.place", h.cid(2, 25), 400)
    fails(one_trader(h.with_request(h.honest(), other)), "epoch 2 was spoken for by n2")


def test_a_late_cancel_under_the_mandate_is_known() -> None:
    assert one_trader(h.with_request(h.honest(), h.request(4, "n1", "order.cancel", h.IN_MANDATE, 400))).held


def test_an_order_under_the_mandate_is_a_violation() -> None:
    fails(one_trader(h.with_request(h.honest(), h.request(4, "n1", "order.place", h.IN_MANDATE, 400))), "mandate")


@pytest.mark.parametrize("stranger", ["", "web_1234", "0" * 32, h.PLACED[:-1] + "f"])
def test_an_id_that_is_not_ours(stranger: str) -> None:
    fails(one_trader(h.with_request(h.honest(), h.request(4, "n2", "order.place", stranger, 400))), "no id of ours")


# --- intent first -------------------------------------------------------------------------------------------


def test_a_send_that_no_entry_ordered() -> None:
    ghost = h.request(4, "n2", "order.place", h.cid(2, 30), 400)
    fails(intent_first(h.with_request(h.honest(), ghost)), "not in the final log")


def test_a_send_before_its_commit() -> None:
    hasty = h.request(3, "n2", "order.place", h.SECOND, 290)
    fails(intent_first(h.with_request(h.honest(), hasty)), "before its sender had applied")


def test_a_send_by_a_node_that_never_applied_it() -> None:
    history = h.with_node(h.honest(), "n2", commits=())
    fails(intent_first(history), "n2 has no record")


def test_an_id_ordered_at_another_index() -> None:
    moved = tuple(evolve(r, index=22) if r.index == 20 else r for r in h.AUDIT)
    history = h.honest()
    for name in ("n1", "n2", "n3"):
        history = h.with_node(history, name, audit=moved)
    fails(intent_first(history), "was ordered at index 22")


def test_a_mandate_that_no_authority_gave() -> None:
    cut = tuple(r for r in h.AUDIT if r.kind != "authority_taken")
    history = h.with_request(h.honest(), h.request(4, "n1", "order.cancel", h.IN_MANDATE, 400))
    assert intent_first(history).held
    for name in ("n1", "n2", "n3"):
        history = h.with_node(history, name, audit=cut)
    fails(intent_first(history), "its mandate")


@pytest.mark.parametrize(
    ("field", "value"),
    [("side", "SELL"), ("symbol", "ETHUSDT"), ("quantity", Decimal("0.2")), ("price", Decimal(60001)), ("price", None)],
)
def test_an_order_sent_otherwise_than_it_was_committed(field: str, value: object) -> None:
    altered = h.request(3, "n2", "order.place", h.SECOND, 300, **{**h.ORDER, field: value})
    fails(intent_first(h.with_request(h.honest(), altered)), f"is {field}")


def test_an_order_sent_under_a_cancels_id() -> None:
    altered = h.request(2, "n1", "order.place", h.CANCEL, 200, **h.ORDER)
    fails(intent_first(h.with_request(h.honest(), altered)), "committed was a cancel")


def test_a_cancel_of_another_order_than_was_committed() -> None:
    altered = h.request(2, "n1", "order.cancel", h.CANCEL, 200, symbol="BTCUSDT", names=("501",))
    fails(intent_first(h.with_request(h.honest(), altered)), "cancels 501")


def test_a_cancel_may_name_the_order_by_our_id() -> None:
    same = h.request(2, "n1", "order.cancel", h.CANCEL, 200, symbol="BTCUSDT", names=(h.PLACED,))
    assert intent_first(h.with_request(h.honest(), same)).held


def test_a_request_that_was_refused_unread_shows_nothing_to_compare() -> None:
    unread = evolve(h.request(2, "n1", "order.cancel", h.CANCEL, 200), admitted_ns=None, outcome="rejected")
    assert intent_first(h.with_request(h.honest(), unread)).held
    assert not intent_first(h.with_request(h.honest(), evolve(unread, admitted_ns=210))).held


# --- one send -----------------------------------------------------------------------------------------------


def test_an_id_received_twice() -> None:
    again = h.request(4, "n2", "order.place", h.SECOND, 400)
    fails(one_send(h.with_request(h.honest(), again)), "and again as 4")


def test_an_id_refused_once_still_counts() -> None:
    again = evolve(h.request(4, "n2", "order.place", h.SECOND, 400), outcome="rejected", admitted_ns=None)
    fails(one_send(h.with_request(h.honest(), again)), "and again as 4")


def test_a_send_without_an_id() -> None:
    fails(
        one_send(h.with_request(h.honest(), h.request(4, "n2", "openOrders.cancelAll", "", 400))), "no client order id"
    )


# --- every fill once ----------------------------------------------------------------------------------------


def test_a_fill_that_a_node_lacks() -> None:
    fails(every_fill_once(h.with_node(h.honest(), "n3", fills=())), "n3 lacks trade 7")


def test_a_fill_that_the_venue_never_made() -> None:
    extra = evolve(h.FILL, trade_id=8)
    fails(every_fill_once(h.with_node(h.honest(), "n1", fills=(h.FILL, extra))), "never made")


@pytest.mark.parametrize("field", ["price", "quantity", "fee"])
def test_a_fill_with_another_amount(field: str) -> None:
    wrong = evolve(h.FILL, **{field: Decimal("0.2")})
    fails(every_fill_once(h.with_node(h.honest(), "n1", fills=(wrong,))), "n1 has trade 7")


def test_trailing_zeros_are_the_same_amount() -> None:
    same = evolve(h.FILL, quantity=Decimal("0.1000"))
    assert every_fill_once(h.with_node(h.honest(), "n1", fills=(same,))).held


def test_a_fill_counted_twice_in_the_log() -> None:
    twice = (*h.AUDIT, h.record(22, 2, "fill_seen", **h.FILLED))
    fails(every_fill_once(h.with_node(h.honest(), "n1", audit=twice)), "2 times")


def test_a_fill_known_before_is_not_counted_again() -> None:
    again = h.record(22, 2, "fill_seen", **h.FILLED)
    twice = (*h.AUDIT, evolve(again, duplicate=True))
    assert every_fill_once(h.with_node(h.honest(), "n1", audit=twice)).held


# --- positions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("held", ["10.1", "10", "10.09990001"])
def test_a_holding_that_fills_do_not_make(held: str) -> None:
    wrong = (("BTC", Decimal(held)), h.HELD[1])
    fails(positions(h.with_node(h.honest(), "n2", holdings=wrong)), "n2 holds")


def test_a_fill_that_no_holding_shows() -> None:
    history = h.honest()
    more = evolve(h.FILL, trade_id=8)
    fails(positions(evolve(history, fills=(*history.fills, more))), "opening and fills make 10.1998")


# --- state equal --------------------------------------------------------------------------------------------


def test_digests_that_differ() -> None:
    fails(state_equal(h.with_node(h.honest(), "n2", common_digest="c2")), "the nodes differ at index 21")


def test_a_stored_state_that_its_audit_trail_does_not_replay_to() -> None:
    fails(state_equal(h.with_node(h.honest(), "n2", state_digest="d2")), "its audit trail replays to d1")


def test_a_node_that_was_stopped_an_entry_earlier() -> None:
    history = h.with_node(h.honest(), "n2", applied_index=20, state_digest="d0", replayed_digest="d0")
    assert state_equal(history).held


def test_chains_that_part() -> None:
    parted = tuple(evolve(r, chain="other") if r.index == 12 else r for r in h.AUDIT)
    fails(state_equal(h.with_node(h.honest(), "n3", audit=parted)), "index 12")


def test_one_node_alone_compares_nothing() -> None:
    history = evolve(h.honest(), nodes=h.honest().nodes[:1])
    assert not state_equal(history).held


# --- orders equal -------------------------------------------------------------------------------------------


def test_an_order_that_a_node_does_not_know() -> None:
    fails(orders_equal(h.with_node(h.honest(), "n1", orders=h.ORDERS[:1])), "does not know")


def test_an_order_open_at_the_venue_alone() -> None:
    history = h.honest()
    opened = (VenueOrder("BTCUSDT", "500", h.PLACED, "NEW", Decimal(0)), history.orders[1])
    fails(orders_equal(evolve(history, orders=opened)), "as cancelled, the venue as NEW")


def test_an_order_that_only_a_node_believes_open() -> None:
    ghost = evolve(h.ORDERS[0], client_order_id=h.cid(2, 40), venue_order_id="777", state="open")
    fails(orders_equal(h.with_node(h.honest(), "n2", orders=(*h.ORDERS, ghost))), "the venue does not")


def test_an_order_filled_by_another_amount() -> None:
    other = (h.ORDERS[0], evolve(h.ORDERS[1], filled=Decimal("0.05")))
    fails(orders_equal(h.with_node(h.honest(), "n2", orders=other)), "0.05")


# --- accounted ----------------------------------------------------------------------------------------------


def test_an_order_left_in_doubt() -> None:
    doubtful = (h.ORDERS[0], evolve(h.ORDERS[1], in_doubt=True))
    fails(accounted(h.with_node(h.honest(), "n1", orders=doubtful)), "in doubt")


def test_a_send_without_an_end() -> None:
    unsent = (*h.AUDIT, h.record(22, 2, "submit", (h.cid(2, 22),)))
    fails(accounted(h.with_node(h.honest(), "n1", audit=unsent)), "nothing says why")


def test_a_lapsed_send_has_an_end() -> None:
    lapsed = (
        *h.AUDIT,
        h.record(22, 2, "submit", (h.cid(2, 22),)),
        evolve(h.record(23, 2, "lapsed"), command={"intents": [h.cid(2, 22)]}),
    )
    assert accounted(h.with_node(h.honest(), "n1", audit=lapsed)).held


def test_a_cancel_that_never_left_owes_nothing() -> None:
    intent = h.cid(2, 22)
    unsent = (*h.AUDIT, evolve(h.record(22, 2, "cancel", (intent,)), cancels=frozenset({intent})))
    assert accounted(h.with_node(h.honest(), "n1", audit=unsent)).held


def test_a_fill_of_an_id_nobody_ordered() -> None:
    history = h.honest()
    odd = evolve(h.FILL, trade_id=9, client_order_id=h.cid(3, 99))
    fails(accounted(evolve(history, fills=(*history.fills, odd))), "which no entry ordered")


def test_what_lapsed_was_never_received() -> None:
    lapsed = (*h.AUDIT, evolve(h.record(22, 2, "lapsed"), command={"intents": [h.PLACED]}))
    fails(accounted(h.with_node(h.honest(), "n1", audit=lapsed)), "lapsed, and the venue received it")


def test_a_refused_lapse_said_nothing() -> None:
    refused = evolve(h.record(22, 2, "lapsed"), command={"intents": [h.PLACED]}, accepted=False)
    assert accounted(h.with_node(h.honest(), "n1", audit=(*h.AUDIT, refused))).held


def test_what_is_called_dead_never_was_an_order() -> None:
    once = (*h.AUDIT, h.record(22, 2, "not_found", order=h.PLACED, final=True))
    assert accounted(h.with_node(h.honest(), "n1", audit=once)).held
    twice = (*once, h.record(23, 2, "not_found", order=h.PLACED, final=True))
    fails(accounted(h.with_node(h.honest(), "n1", audit=twice)), "called dead, and the venue had it")
    refused = evolve(h.honest(), orders=h.honest().orders[1:])  # it came, and never was an order there
    assert accounted(h.with_node(refused, "n1", audit=twice)).held


# --- halt survives ------------------------------------------------------------------------------------------


def halted(*more: AuditRecord) -> History:
    """The honest history with an order of epoch 3 behind other records, from index 30 on."""
    placed = h.cid(3, 40)
    audit = (*h.AUDIT, h.record(30, 2, "halt", cause="x"), *more, h.record(40, 3, "submit", (placed,)))
    history = h.with_request(h.honest(), h.request(4, "n3", "order.place", placed, 400))
    for name in ("n1", "n2", "n3"):
        history = h.with_node(history, name, audit=audit)
    return history


def test_an_order_behind_a_halt() -> None:
    fails(halt_survives(halted()), "was admitted")
    fails(halt_survives(halted(h.record(35, 3, "epoch_started"))), "halted (x) since index 30")


def test_a_resume_that_names_the_cause_ends_it() -> None:
    assert halt_survives(halted(h.record(31, 2, "resume", causes=["x"]))).held
    fails(halt_survives(halted(h.record(31, 2, "resume", causes=["y"]))), "halted (x)")
    fails(halt_survives(halted(evolve(h.record(31, 2, "resume", causes=["x"]), accepted=False))), "halted (x)")


def test_each_cause_must_be_lifted() -> None:
    two = h.record(31, 2, "kill", cause="y")
    fails(halt_survives(halted(two, h.record(32, 2, "resume", causes=["x"]))), "halted (y)")
    assert halt_survives(halted(two, h.record(32, 2, "resume", causes=["x", "y"]))).held


def test_a_retried_halt_is_no_new_one() -> None:
    lifted = h.record(31, 2, "resume", causes=["x"])
    assert halt_survives(halted(lifted, evolve(h.record(32, 2, "halt", cause="x"), duplicate=True))).held


def stormy(*more: AuditRecord, every: int = 100, starts: int = 3, **configured: object) -> History:
    """Leaders lost in the middle of their work, `every` seconds; each `configured` anew, as the first of them is."""
    records = [h.record(29, 2, "configured", limits={}, **configured)]
    for number in range(starts + 1):
        term, at = 3 + number, number * every * SECOND
        records += [
            h.record(30 + 2 * number, term, "epoch_started", epoch=term, at=at),
            h.record(31 + 2 * number, term, "authority_taken", epoch=term, at=at),
        ]
    placed = h.cid(3 + starts, 60)
    last = h.record(60, 3 + starts, "submit", (placed,), epoch=3 + starts)
    history = h.with_request(h.honest(), h.request(4, "n3", "order.place", placed, 400))
    for name in ("n1", "n2", "n3"):
        history = h.with_node(history, name, audit=(*records, *more, last))
    return history


def test_a_takeover_storm_halts_though_nobody_said_so() -> None:
    fails(halt_survives(stormy()), "halted (takeover_storm) since index 36")
    assert halt_survives(stormy(starts=2)).held
    assert halt_survives(stormy(every=200, storm_window=400 * SECOND)).held  # the first is forgotten by the third
    assert halt_survives(stormy(storm_takeovers=0)).held
    fails(halt_survives(stormy(starts=2, storm_takeovers=2)), "takeover_storm")


def test_a_leader_that_handed_over_or_never_traded_was_not_lost() -> None:
    history = stormy()
    released = h.record(33, 4, "authority_released", epoch=4, at=0)
    for changed in (released, evolve(history.nodes[0].audit[4], command={"epoch": 4, "cancels_only": True})):
        audit = [one for one in history.nodes[0].audit if changed.kind != "authority_taken" or one.index != 33]
        at = next(place for place, one in enumerate(audit) if one.index > 33)
        with_it = (*audit[:at], changed, *audit[at:])
        assert halt_survives(evolve(history, nodes=(evolve(history.nodes[0], audit=with_it),))).held


def test_whoever_resumes_has_seen_the_losses() -> None:
    assert halt_survives(stormy(h.record(40, 6, "resume", causes=["takeover_storm"], epoch=6))).held
    fails(halt_survives(stormy(h.record(40, 6, "resume", causes=["x"], epoch=6))), "takeover_storm")
    old = h.record(40, 6, "resume", causes=["takeover_storm"], epoch=6, risk_index=35)
    fails(halt_survives(stormy(old)), "resumes by a look at index 35; a cause was added at 36")


def test_a_resume_of_something_else_does_not_count_the_losses_afresh() -> None:
    """Whoever resumes what is not the storm's has seen no storm."""
    history = stormy()
    audit = list(history.nodes[0].audit)
    at = next(place for place, one in enumerate(audit) if one.index > 35)
    for cause in ("x", "more", "takeover_storm"):  # none of them is a halt in force
        audit[at:at] = [h.record(35, 5, "resume", causes=[cause], epoch=5)]
        fails(halt_survives(evolve(history, nodes=(evolve(history.nodes[0], audit=tuple(audit)),))), "takeover_storm")


def test_a_time_that_leaps_does_not_end_a_storm() -> None:
    """A command that is refused for its time moves nothing: the losses are still young."""
    history = stormy()
    leap = evolve(h.record(35, 5, "clock_told", epoch=5, at=9_000 * SECOND), accepted=False)
    audit = history.nodes[0].audit
    with_it = (*audit[:7], leap, *audit[7:])
    fails(halt_survives(evolve(history, nodes=(evolve(history.nodes[0], audit=with_it),))), "takeover_storm")


def test_an_entry_that_was_passed_unread_halts() -> None:
    def audit(said: AuditRecord) -> History:
        return halted(h.record(31, 2, "resume", causes=["x"]), said)

    skipped = h.record(33, 2, "skip_entry")
    fails(halt_survives(audit(skipped)), "halted (entry_isolated) since index 33")
    assert halt_survives(audit(evolve(skipped, accepted=False))).held
    assert halt_survives(audit(evolve(skipped, duplicate=True))).held


def test_causes_beyond_the_most_share_one() -> None:
    many = [h.record(31, 2, "halt", cause=f"c{number}") for number in range(300)]
    named = [*(f"c{number}" for number in range(255)), "x"]
    fails(halt_survives(halted(*many, h.record(32, 2, "resume", causes=named))), "halted (more)")
    assert halt_survives(halted(*many, h.record(32, 2, "resume", causes=[*named, "more"]))).held


def test_cancels_go_on_while_halted() -> None:
    cancel = h.cid(3, 36)
    history = h.honest()
    audit = (
        *h.AUDIT,
        h.record(30, 2, "halt", cause="x"),
        evolve(h.record(36, 3, "cancel", (cancel,)), cancels=frozenset({cancel})),
    )
    for name in ("n1", "n2", "n3"):
        history = h.with_node(history, name, audit=audit)
    assert halt_survives(h.with_request(history, h.request(4, "n3", "order.cancel", cancel, 400))).held


def test_an_order_that_was_ordered_and_never_sent_is_seen_too() -> None:
    fails(halt_survives(evolve(halted(), requests=h.honest().requests)), "was ordered at index 40")
