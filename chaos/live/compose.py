"""Compose: a scenario made up from a seed, of links and processes broken, as many and as close together as it draws.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Final

from chaos.live.links import DIRECTIONS, SCOPES
from chaos.live.nemeses import NEMESES, NETWORK, PROCESS, REFUSE
from chaos.live.scenarios import EVERY, ONE, PAIRS, SHORTEST_S, Range, Scenario, Step

LENGTH_S: Final = 20.0
STEPS: Final = (3, 7)
LASTS_S: Final[Range] = (0.1, 5.0)  # of a process; of a network, no shorter than it takes to be set
ROOMS: Final = (NETWORK, PROCESS)
USUAL: Final[Mapping[str, Range]] = {  # what a parameter is, where its whole range would break nothing, or everything
    "delay_ms": (20, 1000),
    "jitter_ms": (0, 300),
    "kb_s": (4, 200),
    "bytes": (64, 1024),
    "give_or_take": (0, 32),
    "pause_us": (0, 500),
}


def composed(seed: int) -> Scenario:
    """The scenario of a seed: no bound on the gap, as faults overlap, but trading comes back by itself."""
    random = Random(f"endless-{seed}")
    steps = tuple(_step(random) for _ in range(random.randint(*STEPS)))
    return Scenario(
        name=f"endless-{seed}",
        shows="that any mixture of faults loses nothing, doubles nothing, and is recovered from",
        threatens="every rule: nobody chose these faults",
        gap_ms=None,
        alert="",
        runbook="",
        suites=("endless",),
        steps=steps,
    )


def _step(random: Random) -> Step:
    nemesis = NEMESES[random.choice(sorted(kind for kind, one in NEMESES.items() if one.room in ROOMS))]
    network = nemesis.room == NETWORK
    target = random.choice((*ONE, *PAIRS, EVERY) if network else (*ONE, EVERY))
    links = random.choice(sorted(SCOPES)) if network and target not in PAIRS else "peers" if network else ""
    return Step(
        kind=nemesis.kind,
        targets=(target,),
        at_s=(0.0, LENGTH_S),
        lasts_s=(SHORTEST_S, LASTS_S[1]) if network else LASTS_S,
        links=links,
        direction=random.choice(DIRECTIONS) if network and nemesis.kind != REFUSE else "both",
        times=(1, random.choice((1, 1, 1, 4))),
        between_s=(0.2, 2.0),
        parameters=tuple((word, USUAL[word]) for word in nemesis.takes),
    )
