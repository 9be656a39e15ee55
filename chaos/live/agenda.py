"""Agenda: what operators ask for, drawn from a seed: orders a beat each, some of which rest; halts and hand-overs.

Pure.  The pace is whoever asks' own: of each beat only what is asked for is drawn.  A halt and a hand-over stop
trading, so they are drawn for mixtures alone: each scenario of a file has a bound on the gap, which would mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Final

from attrs import frozen

from chaos.live.links import EITHER
from chaos.live.nemeses import HALT, PROMOTE
from chaos.live.scenarios import Range, Scenario, Step

OPERATORS: Final = 3
SIDES: Final = ("BUY", "SELL")
MARKETS: Final = (2, 8)  # orders at the market before one that rests
RESTS: Final = (2, 8)  # beats that one rests for
AWAY_BPS: Final = (30, 60)  # of the last price: too far to be taken at once, and within the collar of the limits
ACTS: Final = (0, 1)  # halts and hand-overs of each
FIRST_S: Final = 1.0  # seconds into the plan
HALTED_S: Final[Range] = (0.2, 1.0)


@frozen
class Item:
    """What is asked for at a beat; `rests`: for so many beats it lies away from the price; 0: it is at the market."""

    side: str
    rests: int = 0
    away_bps: int = 0


def items(seed: int, number: int) -> Iterator[Item]:
    """Of one operator, for ever; never two at a time that rest."""
    random = Random(f"operators-{seed}-{number}")
    while True:
        for _ in range(random.randint(*MARKETS)):
            yield Item(random.choice(SIDES))
        rests = random.randint(*RESTS)
        yield Item(random.choice(SIDES), rests, random.randint(*AWAY_BPS))
        for _ in range(rests):
            yield Item(random.choice(SIDES))


def acts(scenario: Scenario, seed: int, ends_s: float) -> Sequence[Step]:
    """What operators do besides in a plan that ends then, in seconds; nothing where trading is not to stop for it."""
    if not scenario.mixture:
        return ()
    found = list[Step]()
    for number in range(OPERATORS):
        random = Random(f"operators-{seed}-{number}-acts")
        for _ in range(random.randint(*ACTS)):
            lasts = random.uniform(*HALTED_S)
            at = random.uniform(FIRST_S, max(FIRST_S, ends_s - lasts))
            found.append(_act(random.choice((HALT, PROMOTE)), number, at, lasts))
    return found


def _act(kind: str, number: int, at_s: float, lasts_s: float) -> Step:
    return Step(
        kind=kind,
        targets=(f"n{number + 1}",),
        at_s=(at_s, at_s),
        lasts_s=(lasts_s, lasts_s),
        links="",
        direction=EITHER,
        times=(1, 1),
        between_s=(1.0, 1.0),
        parameters=(),
    )
