"""Compose: a scenario made up from a seed, of whatever may be broken, as much and as close together as it draws.

Pure.  Not drawn is what would make a run fail, or end nodes, by chance alone: an instant that need not come, a fault of
the venue that may find nothing, an operator's that may find nobody, a disk to which nothing may be written meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Final

from chaos.live.links import DIRECTIONS, SCOPES
from chaos.live.nemeses import NEMESES, NETWORK, PROCESS, REFUSE, TIME, VENUE
from chaos.live.scenarios import EVERY, ONE, PAIRS, SHORTEST_S, Range, Scenario, Step

LENGTH_S: Final = 20.0
STEPS: Final = (3, 7)
LASTS_S: Final[Range] = (0.1, 5.0)  # of a process; of a network, no shorter than it takes to be set
ROOMS: Final = (NETWORK, PROCESS, TIME)  # all of them
OTHERS: Final = ("venue_silence", "venue_clock_offset", "venue_engine_stall", "cpu_taken")
KINDS: Final = sorted({*OTHERS, *(kind for kind, one in NEMESES.items() if one.room in ROOMS)})
USUAL: Final[Mapping[str, Range]] = {  # what a parameter is, where its whole range would break nothing, or everything
    "delay_ms": (20, 1000),
    "jitter_ms": (0, 300),
    "kb_s": (4, 200),
    "bytes": (64, 1024),
    "give_or_take": (0, 32),
    "pause_us": (0, 500),
    "by_ms": (-3_600_000, 3_600_000),
    "every_ms": (100, 1000),
    "stall_ms": (50, 1500),
    "offset_ms": (-3000, 3000),
    "hogs": (1, 4),
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
    nemesis = NEMESES[random.choice(KINDS)]
    network = nemesis.room == NETWORK
    target = random.choice((*ONE, *PAIRS, EVERY) if network else (*ONE, EVERY))
    links = random.choice(sorted(SCOPES)) if network and target not in PAIRS else "peers" if network else ""
    links = "venue" if nemesis.room == VENUE else links
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
