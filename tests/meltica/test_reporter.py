"""What happens in a node, as metrics and as lines of its log."""

from __future__ import annotations

from decimal import Decimal

import pytest
from attrs import define, evolve, field

from cluster.types import (
    Applied,
    AppliedEntry,
    ApplyStop,
    LogIndex,
    MonoNs,
    OutcomeUnknown,
    Peer,
    Role,
    RoleChanged,
    Status,
    Term,
)
from meltica.core.effects import CancelOrder, PlaceOrder
from meltica.core.events import AuthorityEvent, CommandResult, DiscrepancyEvent, Rejection, RiskEvent
from meltica.core.records import EpochRecord
from meltica.core.values import Account, Epoch, Index, Nanos, Price, Quantity, Symbol, Trading, Venue
from meltica.metered import MeteredPort
from meltica.reporter import REMEMBERED, Reporter, takeover_kind
from meltica.telemetry.metrics import Metrics
from meltica.telemetry.observer import NodeObserver
from meltica.venues.base import Health, PublicTrade, Ticker

VENUE, SYMBOL = Venue("paper"), Symbol("BTCUSDT")
STATUS = Status(Peer("n1"), Role.FOLLOWER, Term(3), None, *[LogIndex(9)] * 4, ())


@define
class Told:
    """Records every call: of the observer, and of the log."""

    calls: list = field(factory=list)

    def __getattr__(self, name):
        def call(*words, **named):
            self.calls.append((name, *words, *named.items()))

        return call

    def of(self, name):
        return [call[1:] for call in self.calls if call[0] == name]


@define
class Bench:
    log: Told = field(factory=Told)
    observer: Told = field(factory=Told)
    now: int = 1000
    state: object = None

    def reporter(self):
        return Reporter(self.log, self.observer, lambda: Nanos(self.now), lambda: Nanos(self.now + 10**18), "n1")


def place(intent="a" * 32):
    return PlaceOrder(
        intent=intent,
        epoch=Epoch(1),
        index=Index(5),
        venue=VENUE,
        account=Account("trader"),
        symbol=SYMBOL,
        strategy="maker",
        side="BUY",
        order_type="LIMIT",
        time_in_force="GTC",
        post_only=False,
        quantity=Quantity(Decimal(1)),
        price=Price(Decimal(100)),
    )


def entry(*results, own=True, proposed=900):
    when = MonoNs(proposed) if own else None
    return AppliedEntry(LogIndex(5), Term(1), (), results, own=own, proposed=when, appended=MonoNs(950))


def result(*events, effects=(), rejection=None, kind="submit"):
    return CommandResult(Index(5), 0, kind, rejection, effects, events)


def ticker(mono):
    one = Quantity(Decimal(1))
    return Ticker(SYMBOL, Price(Decimal(99)), one, Price(Decimal(101)), one, Nanos(mono))


# --- sends ----------------------------------------------------------------------------------------------------


def test_what_an_own_entry_orders_is_on_record_with_its_times_before_it_is_sent():
    """The checkers judge intent first by this line."""
    bench = Bench()
    bench.reporter().on_applied(entry(result(effects=(place(),))))
    (line,) = bench.log.of("info")
    assert dict(line[1:]) == {
        "index": 5,
        "term": 1,
        "mono_ns": 1000,
        "proposed_mono_ns": 900,
        "intents": ["a" * 32],
    }


def test_of_anothers_entry_nothing_is_claimed():
    bench = Bench()
    bench.reporter().on_applied(entry(result(effects=(place(),)), own=False))
    assert not bench.log.calls


def test_a_write_is_timed_from_its_proposal_and_from_the_tick_before_that():
    bench = Bench()
    reporter = bench.reporter()
    for mono in (500, 890, 950):  # the last came after the decision
        reporter.on_market(VENUE, ticker(mono))
    reporter.on_applied(entry(result(effects=(place(),))))
    reporter.on_write(place())
    assert bench.observer.of("sent") == [(100,)]
    assert bench.observer.of("tick_to_send") == [(110,)]
    reporter.on_write(place())  # one id, one send: a second would not be of ours
    assert len(bench.observer.of("sent")) == 1


def test_a_cancel_answers_no_tick():
    bench = Bench()
    reporter = bench.reporter()
    reporter.on_market(VENUE, ticker(890))
    account = Account("trader")
    effect = CancelOrder("b" * 32, Epoch(1), Index(5), VENUE, account, SYMBOL, "a" * 32, None)
    reporter.on_applied(entry(result(effects=(effect,))))
    reporter.on_write(effect)
    assert bench.observer.of("sent") == [(100,)]
    assert not bench.observer.of("tick_to_send")


def test_sends_that_are_never_written_are_not_remembered_for_ever():
    bench = Bench()
    reporter = bench.reporter()
    reporter._proposed.update({str(number): Nanos(1) for number in range(REMEMBERED + 1)})
    reporter.on_applied(entry(result(effects=(place(),))))
    assert len(reporter._proposed) == 1


@pytest.mark.parametrize("may", [True, False])
def test_the_metered_port_hands_the_leaders_word_through(may):
    class Inner:
        venue, account, capabilities = VENUE, "trader", "can"

        def send(self, effect, send_by, may_send):
            self.sent = (effect, send_by, may_send())

        def read(self, read):
            self.asked = read

        def health(self):
            return "well"

    inner, written = Inner(), []
    port = MeteredPort(inner, written.append)
    effect = place()
    port.send(effect, Nanos(7), lambda: may)
    port.read("orders")
    assert inner.sent == (effect, 7, may)
    assert written == ([effect] if may else [])
    assert (inner.asked, port.health(), port.venue) == ("orders", "well", VENUE)
    assert (port.account, port.capabilities) == ("trader", "can")


# --- what the log says ----------------------------------------------------------------------------------------


def test_rejections_risk_and_discrepancies_are_told():
    bench = Bench()
    found = DiscrepancyEvent("foreign_order", VENUE, Account("trader"), "77", "none", "open", tightened=False)
    risk = RiskEvent(Trading.HALTED, "drill", 9)
    bench.reporter().on_applied(
        entry(result(rejection=Rejection("limit", "too large")), result(found, risk, kind="reconciled"), own=False)
    )
    assert bench.observer.of("order_outcome") == [("risk_rejected",)]
    assert bench.observer.of("discrepancy") == [("foreign_order",)]
    assert bench.observer.of("trading") == [("halted",)]
    assert len(bench.log.of("warning")) == 2
    assert ("risk state changed", ("index", 5), ("trading", "halted"), ("cause", "drill")) in bench.log.of("warning")


def epochs(*taken_and_released):
    """A state with epochs 1, 2, ...: each (taken, released)."""
    found = {}
    for number, (taken, released) in enumerate(taken_and_released, start=1):
        record = EpochRecord(Epoch(number), "n1", "election", "0", Index(number), Nanos(0))
        marks = {"taken_index": Index(1) if taken else None, "released_index": Index(2) if released else None}
        found[number] = evolve(record, **marks)

    class State:
        pass

    State.epochs = found
    return State


@pytest.mark.parametrize(
    ("older", "kind"),
    [
        ((), "start"),
        (((False, False),), "start"),
        (((True, True),), "promote"),
        (((True, False),), "kill"),
        (((True, False), (True, True)), "promote"),
        (((True, True), (False, False)), "promote"),
    ],
)
def test_why_a_takeover_was_due(older, kind):
    state = epochs(*older, (True, False))
    assert takeover_kind(state, Epoch(len(older) + 1)) == kind


def test_taking_authority_is_counted_on_the_node_that_took_it_and_not_for_cancels_alone():
    bench = Bench()
    reporter = bench.reporter()
    reporter.state = epochs((True, False))
    for node, alone in (("n2", False), ("n1", True), ("n1", False)):
        reporter.on_applied(entry(result(AuthorityEvent("taken", Epoch(1), node, alone)), own=False))
    assert bench.observer.of("takeover") == [("start",)]
    assert [dict([call[1]])["active"] for call in bench.observer.of("epoch")] == [False, False, True]


def test_a_takeover_s_phases_are_the_steps_between_its_marks():
    bench = Bench()
    reporter = bench.reporter()
    reporter.marks = lambda: {"detected": 100, "elected": 150, "authority": 400}
    reporter.event("taken", {"epoch": 2})
    assert bench.observer.of("phase") == [("elected", 50), ("authority", 250)]


def test_only_what_was_applied_is_a_commit():
    bench = Bench()
    reporter = bench.reporter()
    reporter.outcome(5, Applied(LogIndex(1), Term(1), None))
    reporter.outcome(7, OutcomeUnknown("deposed"))
    assert bench.observer.of("commit_latency") == [(5,)]


def test_roles_answers_and_alerts():
    bench = Bench()
    reporter = bench.reporter()
    reporter.on_role(RoleChanged(Role.LEADER, Term(4), None, "election"))
    reporter.event("answered", {"ns": 12, "intent": "x"})
    reporter.alert("FillMissing", "trade 7")
    assert bench.observer.of("role") == [("leader", 4)]
    assert bench.observer.of("acknowledged") == [(12,)]
    assert dict(bench.log.of("error")[0][1:]) == {"alert": "FillMissing", "text": "trade 7"}


# --- by the clock ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "moved"),
    [
        (STATUS, {}),
        (evolve(STATUS, diverged=LogIndex(1000)), {"state_diverged_index": 1000}),
        (evolve(STATUS, disputed=LogIndex(2000)), {"states_disputed_index": 2000}),
        (evolve(STATUS, stopped=ApplyStop(LogIndex(30), Term(2), "d" * 64, "boom")), {"apply_stopped_index": 30}),
    ],
)
def test_a_state_that_is_not_to_be_acted_on_is_exported_by_its_index(status, moved):
    """Each in its own metric, and 0 in the others."""
    metrics = Metrics(node="n1", version="0.1.0", cluster="demo", venues=[], peers=[])
    bench = Bench(observer=NodeObserver(metrics, frozenset()))
    bench.reporter().gauges(status, gate_open=False, gate_reason="not_leader", active=False)
    lines = metrics.text().decode().splitlines()
    for name in ("state_diverged_index", "states_disputed_index", "apply_stopped_index"):
        assert f"meltica_{name} {float(moved.get(name, 0))}" in lines


def health(**changes):
    known = {
        "orders_connected": True,
        "user_stream": True,
        "market_data": (),
        "user_heard": Nanos(400),
        "clock_offset": Nanos(5),
        "clock_uncertainty": Nanos(2),
        "clock_at": Nanos(1),
        "clock_since": Nanos(1),
        "signed_read_at": Nanos(1),
        "refused": None,
    }
    return Health(**{**known, **changes})


def test_a_venue_s_connection_clock_and_streams_are_measured():
    bench = Bench()
    reporter = bench.reporter()
    reporter.on_health(VENUE, health())
    assert bench.observer.of("venue_connected") == [("paper", ("connected", True))]
    assert bench.observer.of("venue_clock") == [("paper", 5, 2)]
    assert bench.observer.of("stream_event") == [("paper", "user", 10**18 + 1000 - 600)]
    assert not bench.observer.of("reconnected")
    reporter.on_health(VENUE, health(orders_connected=False, clock_offset=None, user_heard=None))
    reporter.on_health(VENUE, health())
    reporter.on_gap(VENUE)
    assert bench.observer.of("reconnected") == [("paper", "orders"), ("paper", "user")]


def test_prints_tell_that_the_market_stream_lives():
    bench = Bench()
    one = Quantity(Decimal(1))
    bench.reporter().on_market(VENUE, PublicTrade(SYMBOL, Price(Decimal(1)), one, True, Nanos(1)))
    assert bench.observer.of("stream_event") == [("paper", "market", 10**18 + 1000)]


def test_frames_that_are_none_are_told_once_each():
    bench = Bench()
    reporter = bench.reporter()
    counts = iter([0, 2, 2, 3])
    reporter.bad_frames = lambda: next(counts)
    for _ in range(4):
        reporter.frames()
    assert [dict(call[1:])["frames"] for call in bench.log.of("warning")] == [2, 1]
