"""What scenarios say of the waits behind which connections are begun anew, and the bounds made of it, by `Backoff`."""

from __future__ import annotations

import random
import re

import pytest

from chaos.live import library
from chaos.live.nemeses import NEMESES, NETWORK
from chaos.live.pauses import HEALING_NS
from meltica.core.values import Account, Venue
from meltica.venues import backoff as room
from meltica.venues.backoff import Backoff
from meltica.venues.binance_spot.settings import Secret, Settings

SETTINGS = Settings(
    venue=Venue("paper"),
    account=Account("main"),
    symbols=(),
    rest_url="",
    ws_api_url="",
    stream_url="",
    api_key="",
    secret=Secret(""),
    user_agent="",
)
S = 1e9
PROXIES_S = 0.35  # all of a scope are told in a third of a second: a fault of links is in force for so much longer
ROUNDED_MS = 50  # a text may say so much more
NO_MORE_MS = 300 + 300  # all is read; what is no gap
SHOPWORN = re.compile(r"\bdoubl(es|ed|ing)\b")
QUOTED = re.compile(r"grows by a quarter with each attempt[^(]*\(([\d,]+)(?: at most)?[^)]*\)")
ANEW = re.compile(r"grows by a quarter each time \(([\d,]+) at most by the fourth\)")
LOST = {  # scenarios in which connections are lost as long as a fault lasts, and what their bounds are made of besides
    "venue-reset": NO_MORE_MS,
    "venue-lost-by-all": NO_MORE_MS,
    "venue-away-for-minutes": NO_MORE_MS + 400,
    "venue-disconnects": 1000 + NO_MORE_MS,
    "takeover-while-disconnected": 500 + 1000 + NO_MORE_MS,
    "rounds-of-hand-overs": 500 + 50 + NO_MORE_MS,
    "rounds-of-resets": 1250 + 750,
    "rounds-of-resets-for-long": 1250 + 750,
}
DROPPED = {  # those in which a stream is begun anew each time that something of it is missed
    "venue-events-lost": 300 + 300 + 200,
    "takeover-without-events": 750 + 300,
}
CAPPED = {name for name in LOST if name.startswith("rounds-of-resets") or name == "venue-away-for-minutes"}
CALM = {"rounds-of-hand-overs"}  # between two outages connections stand for so long that nothing grows
SHIPPED = {one.name: one for one in library.shipped()}


class Drawn(random.Random):
    """Draws the least or the most that may come."""

    most = False

    def randrange(self, start, *_):
        return start - 1 if self.most else 0


def waits():
    """A backoff as a connection of the shipped settings has it, and who draws for it."""
    drawn = Drawn()
    return Backoff(SETTINGS.backoff_first, SETTINGS.backoff_cap, drawn), drawn


def number_of(backoff, drawn, outages):
    """How many waits may begin by the last outage's end, since one stood: each as short as it can be."""
    drawn.most, now, stands, begun = False, 0.0, 0.0, 0
    for begin, end in outages:
        if begin - max(now, stands) >= SETTINGS.silence / S:
            backoff.succeeded()
            begun = 0
        now = max(now, begin)
        while now <= end:
            now += backoff.next_wait() / S
            begun += 1
        stands = end
    return begun


def longest_ms(outages):
    """The longest wait in which a connection may be when the last of these outages ends; seconds, in order."""
    begun = number_of(*waits(), outages)
    backoff, drawn = waits()
    drawn.most = True
    return [backoff.next_wait() for _ in range(begun)][-1] / 1e6


def outages(one):
    """When connections to the venue are lost, at their longest and closest, from the scenario's own steps."""
    (step,) = [
        step
        for step in one.steps
        if step.kind == "venue_disconnect" or (step.kind in {"reset", "refuse"} and step.links == "venue")
    ]
    told = PROXIES_S if NEMESES[step.kind].room == NETWORK else 0.0
    at, lasts, apart = step.at_s[0], step.lasts_s[1], step.between_s[0]
    begins = [at + number * (lasts + apart) for number in range(int(step.times[1]))]
    return [(begin, begin + lasts + told) for begin in begins]


def quoted(one, words):
    (found,) = words.findall(one.because)
    return int(found.replace(",", ""))


@pytest.mark.parametrize("name", LOST)
def test_a_bound_is_made_of_the_longest_wait_behind_which_a_connection_may_be_begun_anew(name):
    one = SHIPPED[name]
    said, longest = quoted(one, QUOTED), longest_ms(outages(one))
    assert longest <= said <= longest + ROUNDED_MS
    assert (one.gap_ms or one.back_ms) == said + LOST[name]


@pytest.mark.parametrize("name", DROPPED)
def test_a_bound_is_made_of_the_wait_behind_which_a_stream_that_missed_something_is_begun_anew(name):
    """Each stands until something is missed again, and is not heard of before `meet_within`."""
    one = SHIPPED[name]
    lasts = max(step.lasts_s[1] for step in one.steps if step.kind == "venue_lose_event")
    backoff, drawn = waits()
    drawn.most = True
    times = int((lasts * S + HEALING_NS) // SETTINGS.meet_within)
    assert times == 4
    longest = [backoff.next_wait() for _ in range(times)][-1] / 1e6
    said = quoted(one, ANEW)
    assert longest <= said <= longest + ROUNDED_MS
    assert one.gap_ms == said + DROPPED[name]


@pytest.mark.parametrize("name", sorted({*LOST} - CAPPED - CALM))
def test_waits_that_double_again_would_be_over_what_is_said(name, monkeypatch):
    """By more than the bound has besides, but for what a fault or a kill has it wait anyway."""
    one = SHIPPED[name]
    monkeypatch.setattr(room, "_GROWS", (2, 1))
    assert longest_ms(outages(one)) > quoted(one, QUOTED) + NO_MORE_MS


@pytest.mark.parametrize("one", SHIPPED.values(), ids=lambda one: one.name)
def test_each_that_speaks_of_growing_waits_is_held_to_them_and_none_says_that_they_double(one):
    assert not SHOPWORN.search(one.because)
    assert ("grows by a quarter" in one.because) == (one.name in {*LOST, *DROPPED})


def test_a_connection_that_stood_for_a_while_is_begun_anew_as_if_it_had_never_been_lost():
    lost, closely, apart = (0.0, 6.0), (14.0, 14.5), (17.0, 17.5)
    assert longest_ms([lost, apart]) == longest_ms([(0.0, 0.5)]) < longest_ms([lost, closely])


@pytest.mark.parametrize("name", CALM)
def test_where_connections_stand_for_long_between_two_outages_each_begins_anew(name):
    every = outages(SHIPPED[name])
    closer = [(begin - 3 * number, end - 3 * number) for number, (begin, end) in enumerate(every)]
    assert longest_ms(every) == longest_ms(every[:1])
    assert longest_ms(closer) > quoted(SHIPPED[name], QUOTED) + ROUNDED_MS


def test_a_wait_that_grows_to_its_most_says_the_most():
    assert {quoted(SHIPPED[name], QUOTED) for name in CAPPED} == {SETTINGS.backoff_cap / 1e6}
