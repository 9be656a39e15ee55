"""The account's events without a socket: when they are subscribed to, and when nothing may be asked."""

from __future__ import annotations

import json

import pytest

from meltica.core.values import Account, Nanos, Symbol, Venue
from meltica.venues.base import BalanceReport, Report
from meltica.venues.binance_spot.connections import PATIENCE, StreamLost, Vigil
from meltica.venues.binance_spot.events import SUBSCRIBE, UserEvents
from meltica.venues.binance_spot.settings import Secret, Settings
from meltica.venues.clock import Sample, VenueClock
from meltica.venues.rates import RateBudget, Urgency

SECOND = 1_000_000_000
SETTINGS = Settings(
    venue=Venue("v"), account=Account("a"), symbols=(Symbol("BTCUSDT"),), rest_url="http://venue", ws_api_url="",
    stream_url="", api_key="key", secret=Secret("secret"), user_agent="meltica/test (n1)",
)  # fmt: skip
BALANCES: dict[str, object] = {"e": "outboundAccountPosition", "B": [{"a": "BTC", "f": "1", "l": "0"}]}
ENDED: dict[str, object] = {"e": "eventStreamTerminated"}
TOO_MUCH = {"code": -1003, "msg": "too much", "data": {"serverTime": 1_000_000, "retryAfter": 1_004_000}}


class Bench:
    def __init__(self, *, known_clock: bool = True) -> None:
        self.clock = VenueClock(drift_ppm=500, stale=Nanos(10**12))
        if known_clock:
            self.clock.add(Sample(Nanos(0), Nanos(1), Nanos(10**18), Nanos(1000)))
        self.budget = RateBudget(weight_kept=0.2, orders_kept=0.1)
        self.gaps: list[str] = []
        self.reports: list[Report | BalanceReport] = []
        self.events = UserEvents(
            SETTINGS,
            venue_clock=self.clock,
            budget=self.budget,
            on_report=self.reports.append,
            on_gap=self.gaps.append,
            on_change=lambda: None,
        )

    def hear(self, name: str, now: int, **said: object) -> None:
        self.events.take_in(json.dumps({"id": name, **said}), Nanos(now))

    def stand(self, **result: object) -> None:
        self.events.opened(Nanos(0))
        self.events.subscription(Nanos(1))
        self.hear(SUBSCRIBE, 5, status=200, result=result)
        self.gaps.clear()

    def tell(self, event: dict[str, object], **more: object) -> None:
        self.events.take_in(json.dumps({**more, "event": event}), Nanos(6))


def test_a_subscription_waits_for_the_venues_clock_and_not_for_ever() -> None:
    bench = Bench(known_clock=False)
    bench.events.opened(Nanos(0))
    assert bench.events.subscription(Nanos(10 * SECOND)) is None
    with pytest.raises(StreamLost, match="not known"):
        bench.events.subscription(Nanos(10 * SECOND + 1))
    assert Bench().events.subscription(Nanos(1)) is not None


def test_nothing_is_asked_within_a_pause() -> None:
    """A subscription that was refused with 429 is not written again before its time, on whatever connection."""
    bench = Bench()
    bench.events.opened(Nanos(0))
    bench.events.subscription(Nanos(1))
    with pytest.raises(StreamLost, match="429"):
        bench.hear(SUBSCRIBE, 5, status=429, error=TOO_MUCH)
    assert bench.budget.refusal("REQUEST_WEIGHT", 1, Urgency.READ, Nanos(4 * SECOND)) is not None
    bench.events.opened(Nanos(SECOND))
    assert bench.events.subscription(Nanos(4 * SECOND)) is None
    assert bench.events.subscription(Nanos(4 * SECOND + 5)) is not None


def test_a_banned_address_pings_nobody_and_concludes_nothing() -> None:
    bench = Bench()
    bench.events.opened(Nanos(0))
    bench.events.subscription(Nanos(1))
    bench.hear(SUBSCRIBE, 5, status=200, result={})
    bench.budget.slow_down(Nanos(60 * SECOND), Nanos(5), banned=True)
    assert bench.events.ping(Nanos(59 * SECOND)) is None
    assert bench.events.ping(Nanos(61 * SECOND)) is not None
    with pytest.raises(StreamLost, match="answers nothing"):
        bench.events.ping(Nanos(70 * SECOND))


def test_a_gap_is_said_when_it_is_lost_and_whenever_it_stands_the_first_time_too() -> None:
    bench = Bench()
    for _ in range(2):
        bench.events.opened(Nanos(0))
        bench.events.subscription(Nanos(1))
        bench.hear(SUBSCRIBE, 5, status=200, result={})
        bench.events.lost("cut")
        bench.events.lost("could not be opened")
    assert bench.gaps == [
        "the user stream stands after: nothing was heard yet",
        "the user stream was lost: cut",
        "the user stream stands after: cut",
        "the user stream was lost: cut",
    ]


def test_events_of_another_account_on_our_connection_are_not_ours_and_are_told_once_a_session() -> None:
    bench = Bench()
    bench.stand(subscriptionId=0)
    for _ in range(2):
        bench.tell(BALANCES, subscriptionId=1)
    assert (bench.reports, bench.events.foreign) == ([], 2)
    assert bench.gaps == [
        "events of another account came on the user stream's connection (subscription 1, ours is 0): they are dropped"
    ]
    bench.tell(BALANCES, subscriptionId=0)
    assert len(bench.reports) == 1
    bench.events.lost("cut")
    bench.stand(subscriptionId=3)
    bench.tell(BALANCES, subscriptionId=0)
    assert (len(bench.reports), bench.events.foreign, len(bench.gaps)) == (1, 3, 1)
    assert "(subscription 0, ours is 3)" in bench.gaps[0]


def test_the_end_of_another_subscription_is_not_the_end_of_ours() -> None:
    bench = Bench()
    bench.stand(subscriptionId=0)
    bench.tell(ENDED, subscriptionId=1)
    assert bench.events.subscribed
    with pytest.raises(StreamLost, match="eventStreamTerminated"):
        bench.tell(ENDED, subscriptionId=0)


@pytest.mark.parametrize("named", [{}, {"subscriptionId": 1}, {"subscriptionId": 9}])
def test_where_the_venue_does_not_name_ours_every_event_is_ours(named: dict[str, object]) -> None:
    """After a session whose id was known, too."""
    bench = Bench()
    bench.stand(subscriptionId=0)
    bench.events.lost("cut")
    bench.stand()
    bench.tell(BALANCES, **named)
    assert (len(bench.reports), bench.events.foreign, bench.gaps) == (1, 0, [])


def test_what_names_a_subscription_before_ours_is_known_is_left_to_the_read_that_follows() -> None:
    """Review of 2026-11-30, L3: a stranger's balance was ours until the answer came."""
    bench = Bench()
    bench.tell(BALANCES, subscriptionId=0)
    bench.tell(ENDED, subscriptionId=1)
    assert (bench.reports, bench.events.foreign) == ([], 0)
    bench.tell(BALANCES)
    assert len(bench.reports) == 1, "one that names none is ours"


def test_a_strangers_event_that_cannot_be_read_is_no_fault_of_our_stream() -> None:
    """Review of 2026-11-30, L1: it was read before it was told apart."""
    bench = Bench()
    bench.stand(subscriptionId=0)
    bench.tell({"e": "executionReport"}, subscriptionId=1)
    assert (bench.events.foreign, bench.events.garbage) == (1, 0)
    with pytest.raises(StreamLost, match="cannot be read"):
        bench.tell({"e": "executionReport"}, subscriptionId=0)
    assert bench.events.garbage == 1


def test_an_event_that_names_no_subscription_is_ours() -> None:
    bench = Bench()
    bench.stand(subscriptionId=0)
    bench.tell(BALANCES)
    bench.tell(BALANCES, subscriptionId=None)
    assert (len(bench.reports), bench.events.foreign) == (2, 0)


def test_a_shutdown_is_the_connection_s_whoever_it_is_told() -> None:
    bench = Bench()
    bench.stand(subscriptionId=0)
    with pytest.raises(StreamLost, match="serverShutdown"):
        bench.tell({"e": "serverShutdown"}, subscriptionId=1)


def test_a_vigil() -> None:
    vigil = Vigil(Nanos(10 * SECOND))
    assert vigil.quiet(Nanos(0))
    vigil.heard(Nanos(0))
    assert not vigil.quiet(Nanos(5 * SECOND))
    assert vigil.quiet(Nanos(5 * SECOND + 1))
    vigil.answered(Nanos(PATIENCE * 10 * SECOND))
    with pytest.raises(StreamLost):
        vigil.answered(Nanos(PATIENCE * 10 * SECOND + 1))
    with pytest.raises(StreamLost):
        vigil.unanswered()
