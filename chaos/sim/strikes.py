"""Strikes: what a storm of replication alone is to meet, and when: its plan, drawn from a seed before anything runs.

Pure.  Each strike has draws of its own (`pick`), so that one can be taken away, or made shorter, and the others stay
what they were: that is what a failing plan is shrunk by.  What each kind does is `storm`'s and `turnover`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

from chaos.sim.network import MS, SECOND
from chaos.sim.plan import Fault
from chaos.sim.profiles import (
    FATES,
    GO_BACK,
    LEAVE_BEHIND,
    POWER_CUTS,
    RECOVER,
    RECOVERS,
    STRIKES,
    WAITING,
    WENT_BACK,
)

FIRST: Final = 500 * MS
QUIET_END: Final = SECOND // 2
LONG: Final = 20 * SECOND  # a shorter storm is too short for two groups
EARLIEST: Final = 4 * SECOND  # when the first of them may be lost
MOMENTS: Final = frozenset({"hand_over", "resign", "reset", "change_rate"})  # what does not last


def strikes(
    seed: int, weather: str, duration: int, rest: int, *, short_logs: bool = False, turnover: bool = False
) -> tuple[Fault, ...]:
    """Those of a seed, in order; `rest`: from one to the next, at most; times in nanoseconds."""
    random = Random(f"strikes {seed} {weather}")
    found = [*_random(random, weather, duration, rest, short_logs=short_logs, turnover=turnover)]
    if turnover:
        found += _waiting(random, duration)
        # Draws of their own: the others stay what they were.
        found += _went_back(Random(f"went back {seed} {weather}"), duration)
        found += _recovery(Random(f"recover {seed} {weather}"), duration)
    return tuple(sorted(found, key=lambda fault: fault.at))


def _random(
    random: Random, weather: str, duration: int, rest: int, *, short_logs: bool, turnover: bool
) -> Iterator[Fault]:
    at = FIRST
    while at < duration - QUIET_END:
        yield _fault(random, at, _kind(random, weather, short_logs=short_logs, turnover=turnover))
        at += random.randint(20 * MS, rest)


def _kind(random: Random, weather: str, *, short_logs: bool, turnover: bool) -> str:
    """Where nodes are replaced nobody is left behind as often as where that is what it is about."""
    if short_logs and random.random() < 0.5:
        return "freeze" if turnover and random.random() < 0.6 else LEAVE_BEHIND
    if weather in POWER_CUTS and random.random() < 0.6:
        return POWER_CUTS[weather]
    return random.choices(list(STRIKES), list(STRIKES.values()))[0]


def _fault(random: Random, at: int, kind: str) -> Fault:
    short, long = random.randint(1, 300), random.randint(300, 1500)
    lasts = random.randint(600, 2000) if kind == LEAVE_BEHIND else random.choice((short, long))
    return Fault(at, at if kind in MOMENTS else at + lasts * MS, kind, random.getrandbits(32))


def _waiting(random: Random, duration: int) -> Iterator[Fault]:
    begins, ends = 3 * FIRST, max(3 * FIRST, duration - QUIET_END)
    for kind, often in WAITING.items():
        for _ in range(round(often * (ends - begins) / SECOND)):
            at = random.randint(begins, ends)
            lasts = random.randint(500, 5000) if kind in FATES else random.randint(1, 1500)
            yield Fault(at, at + lasts * MS, kind, random.getrandbits(32))


def _went_back(random: Random, duration: int) -> Iterator[Fault]:
    """Whose disk goes back lacks what came within this fault's time, and what comes until it may be lost."""
    for kind in WENT_BACK:
        if duration >= LONG and random.random() < GO_BACK:
            at = random.randint(EARLIEST // 2, 3 * duration // 4)
            lasts = random.choice((random.randint(20, 300), random.randint(300, 3000)))
            yield Fault(at, at + lasts * MS, kind, random.getrandbits(32))


def _recovery(random: Random, duration: int) -> Iterator[Fault]:
    """In some seeds, once or twice: late enough for members to have changed, early enough for the new group to live."""
    if duration >= LONG and random.random() < RECOVERS:
        for _ in range(random.choice((1, 1, 1, 1, 2))):
            at = random.randint(EARLIEST, 2 * duration // 3)
            yield Fault(at, at + random.randint(300, 2000) * MS, RECOVER, random.getrandbits(32))
