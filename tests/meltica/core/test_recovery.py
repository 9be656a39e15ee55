"""A log goes on as another cluster's: what the founding entry does, and what refuses it."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings

from meltica.core import commands as c
from meltica.core.apply import apply_entry
from meltica.core.apply_recovery import MAX_FORMER
from meltica.core.codec import encode_command
from meltica.core.events import CommandResult
from meltica.core.orders import Asked
from meltica.core.records import FormerCluster, LineageRecord
from meltica.core.state import State
from meltica.core.values import Epoch, Index, Mode, Nanos, NodeName, Side, Trading
from tests.meltica.core.harness import CLUSTER, LIMITS, SECOND, by, d, loaded, stored, trading, updated, wish
from tests.meltica.core.test_model import Day, check_sums
from tests.strategies import scripts

ZERO = (Epoch(0), Nanos(0))
TERM = Epoch(1_000_000)
NEW = "d00d42"
HALT = c.Halt(*ZERO, "cluster_recovered", by=by("halt"))
MANUAL = c.ModeSet(*ZERO, Mode.MANUAL, by("mode"))
RECOVERED = c.ClusterRecovered(*ZERO, NEW, by("recovered"))
FOUNDING = (HALT, MANUAL, RECOVERED)
WIDE = evolve(
    LIMITS,
    position=d(10**9),
    gross_notional=d(10**9),
    open_orders_symbol=1000,
    open_orders=1000,
    executed_notional_minute=d(10**9),
)
QUIET = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


def found(state: State, *commands: Any, term: Epoch = TERM) -> tuple[CommandResult, ...]:
    """The founding entry, as `meltica cluster recover` writes it, with these commands behind its epoch."""
    epoch = c.EpochStarted(term, state.clock, NodeName("n1"), "recovery", "B")
    rest = [evolve(one, epoch=term, at=state.clock) for one in commands]
    return apply_entry(state, Index(state.index + 1), term, [encode_command(one) for one in (epoch, *rest)])


def codes(results: tuple[CommandResult, ...]) -> list[str]:
    return ["" if one.rejection is None else one.rejection.code for one in results]


def test_it_halts_waits_for_a_person_and_names_its_ids_after_the_new_cluster() -> None:
    hand = trading()
    before = hand.accept(hand.buy())
    assert codes(found(hand.state, *FOUNDING)) == [""] * 4
    state = hand.state
    assert (state.risk.trading, state.mode, state.cluster) == (Trading.HALTED, Mode.MANUAL, NEW)
    assert state.clusters == (NEW, CLUSTER)
    assert state.lineage.former == (FormerCluster(CLUSTER, state.index, state.clock),)
    hand.epoch = TERM
    hand.start()
    hand.take(promoted=True)
    hand.ok(c.Resume(*ZERO, ("cluster_recovered",), state.risk.index, by("resume")))
    after = hand.buy()
    assert (after.id[:6], before.id[:6]) == (NEW, CLUSTER)
    assert after.epoch == TERM + 1
    hand.ok(updated(hand.order(before), "cancelled"))
    assert hand.order(before).closed, "what the venue says of an order of the former cluster is heard"


def test_what_was_in_flight_is_in_doubt_and_what_rests_is_to_be_gone_but_nothing_is_sent() -> None:
    hand = trading()
    resting = hand.accept(hand.buy())
    flying = hand.sell()
    results = found(hand.state, *FOUNDING)
    assert [one.effects for one in results] == [()] * 4
    assert hand.order(flying).asked is Asked.SUBMIT_IN_DOUBT
    assert hand.order(resting).to_be_gone
    assert hand.order(flying).to_be_gone


@pytest.mark.parametrize(
    ("commands", "code"),
    [
        ((MANUAL, RECOVERED), "not_halted"),
        ((HALT, RECOVERED), "not_halted"),
        ((c.Reduce(*ZERO, "x", by("reduce")), MANUAL, RECOVERED), "not_halted"),
        ((HALT, MANUAL, c.AuthorityTaken(*ZERO, promoted=True), RECOVERED), "epoch_taken"),
        ((HALT, MANUAL, c.AuthorityTaken(*ZERO, cancels_only=True), RECOVERED), "epoch_taken"),
        ((HALT, MANUAL, evolve(RECOVERED, cluster=CLUSTER)), "cluster_reused"),
        ((HALT, MANUAL, evolve(RECOVERED, cluster="nothex")), "bad_config"),
        ((HALT, MANUAL, RECOVERED, evolve(RECOVERED, by=by("again"))), "cluster_reused"),
        ((HALT, MANUAL, RECOVERED, evolve(RECOVERED, cluster=CLUSTER, by=by("back"))), "cluster_reused"),
    ],
)
def test_what_would_change_the_maker_of_ids_while_somebody_may_send_is_refused(commands: Any, code: str) -> None:
    hand = trading()
    assert codes(found(hand.state, *commands))[-1] == code


def test_it_is_of_its_own_epoch_and_of_no_older_one() -> None:
    hand = trading()
    assert codes(found(hand.state, *FOUNDING, term=hand.epoch)) == ["stale_epoch", "", "", "epoch_taken"]


def test_a_log_that_was_never_configured_is_nobody_s() -> None:
    state = State()
    assert codes(found(state, *FOUNDING))[-1] == "not_configured"


def test_a_log_can_be_recovered_again_and_no_name_comes_twice() -> None:
    hand = trading()
    found(hand.state, *FOUNDING)
    second = evolve(RECOVERED, cluster="d00d43", by=by("second"))
    assert codes(found(hand.state, second, term=Epoch(2_000_000))) == ["", ""]
    assert hand.state.clusters == ("d00d43", CLUSTER, NEW)
    third = evolve(RECOVERED, cluster=NEW, by=by("third"))
    assert codes(found(hand.state, third, term=Epoch(3_000_000))) == ["", "cluster_reused"]
    many = tuple(FormerCluster(f"{place:06x}", Index(1), Nanos(1)) for place in range(MAX_FORMER))
    hand.state.put_lineage(LineageRecord(many))
    fourth = evolve(RECOVERED, cluster="ffffff", by=by("fourth"))
    assert codes(found(hand.state, fourth, term=Epoch(4_000_000))) == ["", "too_many"]


def test_a_configuration_under_the_former_name_is_refused_afterwards() -> None:
    hand = trading()
    found(hand.state, *FOUNDING)
    hand.epoch = TERM
    hand.start()
    assert hand.state.settings.limits is not None
    config = c.Configured(*ZERO, CLUSTER, "digest", hand.state.settings.limits, (), ())
    hand.refused(config, "cluster_changed")
    hand.ok(evolve(config, cluster=NEW))


@QUIET
@given(scripts())
def test_after_any_day_it_halts_sends_nothing_and_no_id_comes_twice(script: Any) -> None:
    """And what is stored is what is loaded."""
    day = Day()
    for move in script:
        day.play(move)
    hand, state = day.hand, day.state
    results = found(state, *FOUNDING)
    assert codes(results) == [""] * 4
    assert all(one.effects == () for one in results)
    assert state.risk.trading is Trading.HALTED
    assert all(intent.in_doubt for intent in state.intents.values())
    assert all(order.to_be_gone for order in state.live_orders())
    check_sums(state)
    again = loaded(stored(state.take_changes(), day.disk))
    assert (again.digest(), again.clusters) == (state.digest(), state.clusters)
    hand.epoch = TERM
    hand.start()
    hand.take(promoted=True)
    hand.configure(WIDE, cluster=NEW)
    causes = tuple(sorted({*state.risk.halts, *state.risk.reduces}))
    hand.ok(c.Resume(*ZERO, causes, state.risk.index, by("resume")))
    hand.now += 10 * SECOND
    ids = {effect.intent for side in Side for effect in hand.do(wish(side, "0.001", "60000")).effects}
    assert ids
    assert not ids & set(day.model.intents)
    assert {name[:6] for name in ids} == {NEW}
