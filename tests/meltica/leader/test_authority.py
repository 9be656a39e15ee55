"""The gate and the wait, as tables and against a dumb model (Authority.tla by name)."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from meltica.core.commands import VenuePolicy
from meltica.core.effects import CancelOrder, PlaceOrder
from meltica.core.records import EpochRecord
from meltica.core.state import State
from meltica.core.values import (
    Account,
    ClientOrderId,
    Epoch,
    Index,
    Nanos,
    NodeName,
    OrderType,
    Price,
    Quantity,
    Side,
    StrategyId,
    Symbol,
    TimeInForce,
    Venue,
)
from meltica.leader import authority
from meltica.leader.authority import (
    Gate,
    Jump,
    OlderSend,
    Ordered,
    Sends,
    stretched,
    wait_longer,
    wait_over_at,
    why_shut,
)
from meltica.venues.base import Health
from meltica.venues.clock import SetBack

VENUE = Venue("paper")
W = 300_000_000
PLACE = PlaceOrder(
    ClientOrderId("a" * 32), Epoch(3), Index(9), VENUE, Account("main"), Symbol("BTCUSDT"), StrategyId("mm"), Side.BUY,
    OrderType.LIMIT, TimeInForce.GTC, True, Quantity(Decimal(1)), Price(Decimal(1)),
)  # fmt: skip
CANCEL = CancelOrder(
    ClientOrderId("b" * 32),
    Epoch(3),
    Index(9),
    VENUE,
    Account("main"),
    Symbol("BTCUSDT"),
    ClientOrderId("a" * 32),
    None,
)
ORDERED = Ordered(PLACE, Epoch(3), True, Nanos(1000), Nanos(1000 + W))
TAKEN = EpochRecord(
    Epoch(3), NodeName("n1"), "election", "0", Index(5), Nanos(0), {VENUE: Nanos(W)}, taken_index=Index(7)
)


def send(epoch: int, appended: int, window: int = W) -> OlderSend:
    return OlderSend(Epoch(epoch), VENUE, Nanos(appended), Nanos(window))


HEALTH = Health(True, True, (), None, Nanos(0), Nanos(0), Nanos(1400), Nanos(900), None, None)


def record(epoch: int, *, released: bool = False, window: int = W) -> EpochRecord:
    windows = {VENUE: Nanos(window)}
    index = Index(8) if released else None
    return EpochRecord(
        Epoch(epoch), NodeName("n1"), "", "0", Index(5), Nanos(0), windows, taken_index=Index(7), released_index=index
    )


@pytest.mark.parametrize(
    ("name", "gate", "epoch", "ordered", "now", "shut"),
    [
        ("all holds", Gate(Epoch(3)), TAKEN, ORDERED, 1000, ""),
        ("the last instant", Gate(Epoch(3)), TAKEN, ORDERED, 999 + W, ""),
        ("the tie at s + W", Gate(Epoch(3)), TAKEN, ORDERED, 1000 + W, "past s + W"),
        ("after it", Gate(Epoch(3)), TAKEN, ORDERED, 1001 + W, "past s + W"),
        ("another's entry", Gate(Epoch(3)), TAKEN, evolve(ORDERED, own=False), 1000, "another leader's entry"),
        ("an entry of another term", Gate(Epoch(3)), TAKEN, evolve(ORDERED, term=Epoch(2)), 1000, "another leader's"),
        ("does not lead", Gate(None), TAKEN, ORDERED, 1000, "does not lead"),
        ("leads in a newer term", Gate(Epoch(4)), TAKEN, ORDERED, 1000, "does not lead in its term"),
        ("no epoch", Gate(Epoch(3)), None, ORDERED, 1000, "not committed"),
        ("a newer epoch", Gate(Epoch(3)), evolve(TAKEN, epoch=Epoch(4)), ORDERED, 1000, "not committed"),
        ("not taken", Gate(Epoch(3)), evolve(TAKEN, taken_index=None), ORDERED, 1000, "not taken"),
        ("released", Gate(Epoch(3)), evolve(TAKEN, released_index=Index(9)), ORDERED, 1000, "released"),
        ("draining", Gate(Epoch(3), Epoch(3)), TAKEN, ORDERED, 1000, "released"),
        ("an older epoch drained", Gate(Epoch(3), Epoch(2)), TAKEN, ORDERED, 1000, ""),
        ("cancels only", Gate(Epoch(3)), evolve(TAKEN, cancels_only=True), ORDERED, 1000, "cancels only"),
        ("a cancel then", Gate(Epoch(3)), evolve(TAKEN, cancels_only=True), evolve(ORDERED, effect=CANCEL), 1000, ""),
        ("proposed before a jump", Gate(Epoch(3), jump=Jump(Nanos(1000), "it jumped")), TAKEN, ORDERED, 1500, "before"),
        ("after a jump", Gate(Epoch(3), jump=Jump(Nanos(999), "it jumped")), TAKEN, ORDERED, 1500, ""),
        ("before the clock's last break", Gate(Epoch(3)), TAKEN, evolve(ORDERED, proposed=Nanos(900)), 1500, "before"),
        ("a pause", Gate(Epoch(3), pauses={"stall": "it stood still"}), TAKEN, ORDERED, 1000, "it stood still"),
    ],
)
def test_the_gate(*, name: str, gate: Gate, epoch: EpochRecord | None, ordered: Ordered, now: int, shut: str) -> None:
    found = why_shut(gate, epoch, ordered, Nanos(now), HEALTH)
    assert (shut in found) if shut else found == "", name


@settings(deadline=None)
@given(window=st.integers(1, 10**10), ppm=st.integers(0, 200_000))
def test_the_wait_covers_the_ratio_of_two_clocks_and_not_much_more(window: int, ppm: int) -> None:
    rho = Fraction(ppm, 1_000_000)
    exact = window * (1 + rho) / (1 - rho)
    assert exact <= stretched(Nanos(window), ppm) < exact + 1


@settings(deadline=None)
@given(
    ppm=st.integers(0, 10_000),
    window=st.integers(1, 10**9),
    s=st.integers(0, 10**9),
    delay=st.integers(0, 10**8),
)
def test_the_wait_outlasts_the_older_authority_on_any_two_clocks(ppm: int, window: int, s: int, delay: int) -> None:
    """Old leader's clock slow, successor's fast, appended `delay` after s: still no overlap in true time."""
    rho = Fraction(ppm, 1_000_000)
    old_ends = s + Fraction(window) / (1 - rho)  # true time at which the slow clock shows s + W
    appended = s + delay
    wait = wait_over_at({Epoch(1): record(1, window=window)}, [send(1, 0, window)], Epoch(2), ppm)
    assert appended + Fraction(wait) / (1 + rho) >= old_ends


@pytest.mark.parametrize(
    ("name", "epochs", "sends", "expected"),
    [
        ("nothing older", {}, [], 0),
        ("no send was ordered", {Epoch(1): record(1)}, [], 0),
        ("counted from the last append", {Epoch(1): record(1)}, [send(1, 50)], 50 + W),
        ("own sends do not count", {Epoch(1): record(1)}, [send(3, 50)], 0),
        (
            "with the window that the epoch had",
            {Epoch(1): record(1, window=7 * W), Epoch(2): record(2)},
            [send(1, 50, 7 * W), send(2, 60)],
            50 + 7 * W,
        ),
        ("released", {Epoch(1): record(1, released=True)}, [send(1, 50)], 0),
        (
            "an older release is no excuse",
            {Epoch(1): record(1, released=True), Epoch(2): record(2)},
            [send(2, 50)],
            50 + W,
        ),
        (
            "with the window of one that the log has forgotten",
            {Epoch(2): record(2)},
            [send(1, 50, 9 * W), send(2, 60)],
            50 + 9 * W,
        ),
    ],
)
def test_the_wait(name: str, epochs: dict[Epoch, EpochRecord], sends: list[OlderSend], expected: int) -> None:
    assert wait_over_at(epochs, sends, Epoch(3), 0) == expected, name


S = 1_000_000_000


@pytest.mark.parametrize(
    ("name", "ends", "back", "longer"),
    [
        ("nothing older", 0, [(10 * S, 700)], 0),
        ("no clock went back", 10 * S, [], 0),
        ("while it waited", 10 * S, [(10 * S - 1, 700)], 700),
        ("after it, before anything was sent", 10 * S, [(11 * S, 700)], 700),
        ("while what is still in time may have been dated by the old clock", 10 * S, [(5 * S - W - 700, 700)], 700),
        ("before that", 10 * S, [(5 * S - W - 701, 700)], 0),
        ("of two venues the longer", 10 * S, [(9 * S, 700), (9 * S, 900)], 900),
    ],
)
def test_a_venue_that_set_its_clock_back_is_waited_for(
    name: str, ends: int, back: list[tuple[int, int]], longer: int
) -> None:
    seen = [SetBack(Nanos(at), Nanos(by)) for at, by in back]
    assert wait_longer(Nanos(ends), seen, Nanos(W), Nanos(5 * S)) == longer, name


def test_what_came_with_a_snapshot_counts_from_its_installation() -> None:
    """design.md, section 5: the state knows epochs, and intents, that this node never saw ordered."""
    state = State()
    state.put_epoch(record(1))
    sends, never_seen = Sends(born=Nanos(5)), ClientOrderId("never seen")
    before = sends.limit_of(never_seen, state)
    sends.installed(state, Nanos(1000))
    assert sends.older() == [send(1, 1000)]
    assert sends.limit_of(never_seen, state) - before == 995


def test_what_was_loaded_at_start_counts_from_the_start() -> None:
    state = State()
    state.put_epoch(record(1))
    sends = Sends(born=Nanos(777))
    sends.loaded(state)
    assert sends.older() == [send(1, 777)]


def test_a_later_append_of_an_older_epoch_prolongs_the_wait_and_an_earlier_one_does_not() -> None:
    sends = Sends(born=Nanos(0))
    for at in (10, 30, 20):
        sends.ordered(PLACE, Epoch(1), Nanos(at), Nanos(at + W), Nanos(W))
    assert [each.appended for each in sends.older()] == [30]


def test_deadlines_that_nothing_asks_for_are_forgotten() -> None:
    sends = Sends(born=Nanos(0))
    for number in range(authority.KEEP_LIMITS + 1):
        sends.ordered(evolve(PLACE, intent=ClientOrderId(f"{number:032x}")), Epoch(1), Nanos(1), Nanos(2), Nanos(W))
    sends.prune(State())
    assert not sends.limits


def test_after_a_restart_an_unknown_send_had_the_widest_window_that_the_log_knows_not_todays() -> None:
    state = State()
    state.venues = {VENUE: VenuePolicy(VENUE, Account("main"), Nanos(W), Nanos(0), 100)}
    wide = Nanos(1_000_000_000)
    state.epochs = {Epoch(1): EpochRecord(Epoch(1), NodeName("n1"), "", "", Index(1), Nanos(0), {VENUE: wide})}
    assert Sends(born=Nanos(0)).limit_of(ClientOrderId("x"), state) == stretched(wide, 100)


def test_a_window_that_an_epoch_had_stays_beside_what_it_sent_when_the_log_forgets_the_epoch() -> None:
    """Review 5, finding 10: 60 s of epoch 10 were waited for with the 0.3 s of those that came after."""
    wide = Nanos(60_000_000_000)
    state, sends = State(), Sends(born=Nanos(0))
    state.put_epoch(record(10, window=wide))
    sends.ordered(PLACE, Epoch(10), Nanos(50), Nanos(50 + wide), authority.window_at(state, Epoch(10), VENUE))
    state.epochs = {Epoch(number): record(number) for number in range(11, 27)}
    assert wait_over_at(state.epochs, sends.older(), Epoch(26), 0) == 50 + wide


def test_a_venue_without_a_window_in_an_epoch_that_was_loaded_had_the_widest() -> None:
    state = State()
    state.put_epoch(record(1, window=7 * W))
    state.venues = {Venue("new"): VenuePolicy(Venue("new"), Account("main"), Nanos(W), Nanos(0), 100)}
    sends = Sends(born=Nanos(5))
    sends.loaded(state)
    assert {each.venue: each.window for each in sends.older()} == {VENUE: 7 * W, "new": 7 * W}
