"""The venue's clock: whatever the delays and the drift, no request is admitted after its time."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meltica.core.values import Nanos
from meltica.venues.clock import CONSISTENT, ERAS, Sample, VenueClock, apart
from meltica.venues.deadlines import Deadline, deadline

MS = 1_000_000
US = 1_000
PPM = 500
STALE = Nanos(5_000 * MS)


def a_clock() -> VenueClock:
    return VenueClock(drift_ppm=PPM, stale=STALE)


def feed(clock: VenueClock, *, offset: int, begin: int = 0, trips: int = CONSISTENT, trip: int = 2 * MS) -> int:
    now = begin
    for _ in range(trips):
        venue = (now + trip // 2 + offset) // MS * MS
        assert clock.add(Sample(Nanos(now), Nanos(now + trip), Nanos(venue), Nanos(MS)))
        now += 500 * MS
    return now


def test_nothing_is_sent_before_samples_agree() -> None:
    clock = a_clock()
    assert clock.refusal(Nanos(0)) == "the venue's clock is not known yet"
    feed(clock, offset=10**18, trips=CONSISTENT - 1)
    assert clock.refusal(Nanos(0)) == "the venue's clock has too few samples that agree"
    feed(clock, offset=10**18, begin=1_000 * MS, trips=1)
    assert clock.refusal(Nanos(1_002 * MS)) is None


def test_an_estimate_grows_stale() -> None:
    clock = a_clock()
    feed(clock, offset=10**18)
    at = clock.sampled_at
    assert at is not None
    assert clock.refusal(Nanos(at + STALE)) is None
    assert clock.refusal(Nanos(at + STALE + 1)) is not None
    assert isinstance(
        deadline(clock, Nanos(at + STALE + 1), Nanos(at + 10 * STALE), floor=Nanos(MS), guard=Nanos(MS)), str
    )


def test_a_contradiction_closes_until_a_run_agrees() -> None:
    clock = a_clock()
    now = feed(clock, offset=10**18)
    jumped = 10**18 + 400 * MS
    assert not clock.add(Sample(Nanos(now), Nanos(now + 2 * MS), Nanos(now + MS + jumped), Nanos(MS)))
    assert clock.contradictions == 1
    assert clock.refusal(Nanos(now + 3 * MS)) is not None
    now = feed(clock, offset=jumped, begin=now + 10 * MS, trips=CONSISTENT - 1)
    assert clock.refusal(Nanos(now)) is None
    estimate = clock.at(Nanos(now))
    assert estimate is not None
    assert estimate.low <= jumped <= estimate.high


def back(clock: VenueClock, now: int, offset: int, trip: int = 2 * MS) -> None:
    """A sample that contradicts."""
    venue = (now + trip // 2 + offset) // MS * MS
    assert not clock.add(Sample(Nanos(now), Nanos(now + trip), Nanos(venue), Nanos(MS)))


def stands_back(clock: VenueClock, now: int) -> list[tuple[int, int]]:
    """When, and by how many milliseconds, rounded."""
    return [(int(one.at), round(one.by / MS)) for one in clock.set_backs(Nanos(now))]


def test_a_clock_that_was_set_back_is_remembered_by_no_less_than_it_was() -> None:
    """Campaign, retention 412: what is on its way is in time for so much longer."""
    clock = a_clock()
    now = feed(clock, offset=10**18)
    assert clock.set_backs(Nanos(now)) == ()
    back(clock, now, 10**18 - 300 * MS)
    at = now + 2 * MS
    (seen,) = clock.set_backs(Nanos(at))
    assert seen.at == at
    assert 300 * MS <= seen.by < 310 * MS, "not much more than what the samples leave open"
    now = feed(clock, offset=10**18 - 300 * MS, begin=now + 500 * MS)
    assert [each for each, _ in stands_back(clock, now)] == [at]


def test_one_that_goes_forward_was_not_set_back_and_there_and_back_is_nothing() -> None:
    clock = a_clock()
    now = feed(clock, offset=10**18)
    back(clock, now, 10**18 + 300 * MS)
    assert clock.contradictions == 1
    assert clock.set_backs(Nanos(now)) == ()
    back(clock, now + 500 * MS, 10**18)
    (_, first), (_, second) = stands_back(clock, now + 502 * MS)
    assert 300 <= second < 310, "below what it was for half a second"
    assert first < 5, "and as it was before, but for what the samples leave open"


def test_a_small_step_behind_a_large_one_hides_nothing() -> None:
    """Review of 2026-11-30, M1: a later one took the place of the larger one before it."""
    clock = a_clock()
    now = feed(clock, offset=10**18)
    back(clock, now, 10**18 - 9_000 * MS)
    first = now + 2 * MS
    now = feed(clock, offset=10**18 - 9_000 * MS, begin=now + 500 * MS, trips=11)
    back(clock, now, 10**18 - 9_020 * MS)
    (early, by), (_, small) = stands_back(clock, now + 2 * MS)
    assert early == first
    assert 9_020 <= by < 9_050
    assert 20 <= small < 50


def test_a_clock_that_jitters_stands_back_by_its_jitter_however_often() -> None:
    """Review of 2026-11-30, M2: steps there and back added up, to hours of waiting."""
    clock = a_clock()
    now = feed(clock, offset=10**18)
    for turn in range(4 * ERAS):
        back(clock, now, 10**18 + (40 * MS if turn % 2 == 0 else 0))
        now += 1_000 * MS
    found = stands_back(clock, now)
    assert 1 < len(found) <= ERAS
    assert max(by for _, by in found) < 40 + 5 + 2 * ERAS * 2 * PPM / 1_000


def test_of_many_steps_the_highest_is_kept_at_a_later_time() -> None:
    clock = a_clock()
    now = feed(clock, offset=10**18)
    for turn in range(ERAS + 4):
        back(clock, now, 10**18 - (turn + 1) * 50 * MS)
        now += 1_000 * MS
    found = stands_back(clock, now)
    assert len(found) == ERAS
    assert found[0][1] >= (ERAS + 4) * 50, "from where it stood at first"


def test_samples_narrow_the_estimate() -> None:
    """A slow trip one way and a fast one the other intersect to less than either."""
    clock = a_clock()
    clock.add(Sample(Nanos(0), Nanos(100 * MS), Nanos(99 * MS), Nanos(MS)))
    clock.add(Sample(Nanos(200 * MS), Nanos(300 * MS), Nanos(201 * MS), Nanos(MS)))
    estimate = clock.at(Nanos(300 * MS))
    assert estimate is not None
    assert estimate.high - estimate.low < 5 * MS


def test_it_says_since_when_its_estimate_is_one_and_the_same() -> None:
    """What was proposed before must not be dated by what is known since: our own clock may have stood still."""
    clock = a_clock()
    assert clock.since is None
    now = feed(clock, offset=0)
    assert clock.since == 2 * MS, "from the first sample on"
    clock.add(Sample(Nanos(now), Nanos(now + 2 * MS), Nanos(now + 400 * MS), Nanos(MS)))
    assert clock.since == now + 2 * MS, "from the contradiction on"
    feed(clock, offset=399 * MS, begin=now + 500 * MS)
    assert clock.since == now + 2 * MS
    later = now + 3_000 * MS + STALE
    feed(clock, offset=399 * MS, begin=later)
    assert clock.since == later + 2 * MS, "an estimate that was stale is too wide to show a short stop"


def test_a_trip_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="ends after it begins"):
        Sample(Nanos(2), Nanos(1), Nanos(0), Nanos(0))


def test_too_late_is_said() -> None:
    clock = a_clock()
    now = feed(clock, offset=10**18)
    found = deadline(clock, Nanos(now), Nanos(now + MS), floor=Nanos(MS), guard=Nanos(MS))
    assert isinstance(found, str)
    assert "too late" in found


@pytest.mark.parametrize(
    ("window", "text"), [(250_000, "250"), (249_120, "249.12"), (1, "0.001"), (60_000_000, "60000")]
)
def test_the_window_has_one_text(window: int, text: str) -> None:
    assert Deadline(0, window).window_text == text


@given(
    offset=st.integers(-(10**18), 2 * 10**18),
    drift=st.integers(-PPM * 499 // 500, PPM * 499 // 500),  # (1+d)(1+d) - 1 stays within the bound
    trips=st.lists(
        st.tuples(st.integers(0, 80 * MS), st.integers(0, 80 * MS), st.integers(0, 900 * MS)),
        min_size=CONSISTENT,
        max_size=12,
    ),
    resolution=st.sampled_from([US, MS]),
    pause=st.integers(0, 5_000 * MS),
    window=st.integers(MS, 2_000 * MS),
    transit=st.integers(0, 4_000 * MS),
    whole_milliseconds=st.booleans(),
)
@settings(deadline=None, max_examples=400)
def test_the_venue_never_admits_after_send_by(
    *,
    offset: int,
    drift: int,
    trips: list[tuple[int, int, int]],
    resolution: int,
    pause: int,
    window: int,
    transit: int,
    whole_milliseconds: bool,
) -> None:
    """Any offset, any drift within the bound, any asymmetry: admitted implies not after send_by."""

    def venue_at(mono: int) -> int:
        return int(offset + mono + Fraction(mono * drift, 1_000_000))

    clock, now = a_clock(), 0
    for out, back, gap in trips:
        read = venue_at(now + out) // resolution * resolution
        assert clock.add(Sample(Nanos(now), Nanos(now + out + back), Nanos(read), Nanos(resolution)))
        now += out + back + gap
    now += pause
    send_by = now + window
    dated = deadline(clock, Nanos(now), Nanos(send_by), floor=Nanos(US), guard=Nanos(MS))
    if isinstance(dated, str):
        return
    arrival = now + transit
    server_us = venue_at(arrival) // US
    if whole_milliseconds:
        server_us = server_us // 1000 * 1000
    assert dated.timestamp_us * US <= venue_at(now)
    admitted = dated.timestamp_us < server_us + 1_000_000 and server_us - dated.timestamp_us <= dated.window_us
    assert not (admitted and arrival > send_by)
    # and it is not uselessly early: what is lost of the window is the clock's uncertainty, its drift and the guard
    lost = venue_at(send_by) - dated.last_us * US
    estimate = clock.at(Nanos(send_by))
    assert estimate is not None
    assert lost <= (estimate.high - estimate.low) + MS + 2 * US


@pytest.mark.parametrize(("each", "both"), [(0, 0), (1000, 2003), (100_000, 222_223)])
def test_two_clocks_drift_apart_by_the_ratio_of_what_each_is_off(each: int, both: int) -> None:
    assert apart(each) == both
