"""Compose: a scenario made up from a seed, of whatever may be broken, as much and as close together as it draws.

Pure.  Each kind has a weight (`WEIGHTS`), which says how often it is drawn beside the others.  What would hardly ever
come by chance is drawn with what brings it about: an instant of a takeover with a kill of the leader (and, of one that
must learn something, with answers that never came), one of a snapshot's installation with a node that is away for long.
A fault that finds nothing to do is told, and counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Final

from attrs import evolve

from chaos.live.links import DIRECTIONS, EITHER, SCOPES
from chaos.live.nemeses import (
    CANCEL,
    DISK,
    FILLED,
    FOLDER,
    HALT,
    INSTANT,
    KILL,
    NEMESES,
    NETWORK,
    PAUSE,
    PROMOTE,
    REFUSE,
    STRAIT,
    TERM,
    TIME,
    VENUE,
    Nemesis,
)
from chaos.live.scenarios import EVERY, NODES, ONE, PAIRS, SHORTEST_S, STORM, Range, Scenario, Step

LENGTH_S: Final = 20.0
CUT: Final = "power_cut"
STEPS: Final = (3, 7)
LASTS_S: Final[Range] = (0.1, 5.0)  # of a process; of a network, no shorter than it takes to be set
AWAY_S: Final[Range] = (9.0, 10.0)  # of a node that is to lack more of the log than the others keep
UNANSWERED: Final = "venue_drop_answer"
DOUBT_S: Final[Range] = (2.5, 4.0)  # in which the leader hears nothing: it is killed within two seconds
KEPT: Final = 100  # entries, where a snapshot is to be sent
ROOMS: Final[Mapping[str, int]] = {NETWORK: 6, TIME: 5, VENUE: 2, INSTANT: 1, DISK: 2, STRAIT: 3, FOLDER: 1}
OWN: Final[Mapping[str, int]] = {  # kinds with a weight other than their room's
    KILL: 12,
    PAUSE: 12,
    TERM: 6,
    PROMOTE: 3,
    HALT: 2,
    CANCEL: 2,
    CUT: 5,
    "disk_slow": 4,
}
NOT_DRAWN: Final[Mapping[str, str]] = {
    FILLED: "it takes the superuser, and a small file system under the data of every node",
}
WEIGHTS: Final[Mapping[str, int]] = {
    kind: OWN.get(kind) or ROOMS[one.room] for kind, one in sorted(NEMESES.items()) if kind not in NOT_DRAWN
}
TAUGHT: Final = ("looked_up", "learnt")  # instants of a takeover that finds something in doubt
TAKEOVER: Final = ("elected", "epoch_started", "reading", *TAUGHT, "reconciled", "taking", "authority", "first_order")
SNAPSHOT: Final = ("staging", "staged", "verified", "installed")
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
    "more_mib": (0, 64),
    "sync_ms": (50, 4000),
    "write_ms": (0, 400),
    "kept": (0, 100),
    "after": (0, 40),
    "percent": (20, 100),
    "code": (-1000, -1000),
    "lag_ms": (500, 5000),
    "refusals": (0, 3),
    "ban_seconds": (1, 4),
    "pause_seconds": (1, 2),
}


def composed(seed: int) -> Scenario:
    """The scenario of a seed: no bound on the gap, as faults overlap, but trading comes back by itself."""
    random = Random(f"endless-{seed}")
    drawn = [step for _ in range(random.randint(*STEPS)) for step in _steps(random)]
    snapshots = any(step.kind in _kinds(SNAPSHOT) for step in drawn)
    return Scenario(
        name=f"endless-{seed}",
        shows="that any mixture of faults loses nothing, doubles nothing, and is recovered from",
        threatens="every rule: nobody chose these faults",
        gap_ms=None,
        alert="",
        runbook="",
        suites=("endless",),
        steps=tuple(drawn),
        recovers=STORM,
        keeps=KEPT if snapshots else None,
        mixture=True,
    )


def shares() -> dict[str, float]:
    """How large a part of what is drawn each kind is."""
    every = sum(WEIGHTS.values())
    return {kind: round(weight / every, 4) for kind, weight in WEIGHTS.items()}


def _steps(random: Random) -> tuple[Step, ...]:
    """One that is drawn, with what brings it about."""
    (kind,) = random.choices(list(WEIGHTS), list(WEIGHTS.values()))
    step = _step(random, NEMESES[kind])
    if kind in _kinds(TAKEOVER):  # whoever comes to it, and a leader that is gone
        at = random.uniform(0.0, LENGTH_S)
        own = evolve(step, targets=(EVERY,), at_s=(at, at), times=(1, 1), parameters=(("after", (0, 0)),))
        gone = evolve(_step(random, NEMESES[KILL]), targets=("leader",), at_s=(at + 0.5, at + 2), times=(1, 1))
        return (own, gone, _doubts(random, at)) if kind in _kinds(TAUGHT) else (own, gone)
    if kind in _kinds(SNAPSHOT):  # armed while the node is down, as it reads what is wanted of it when it starts
        node, at = random.choice(NODES), random.uniform(0.0, LENGTH_S / 2)
        own = evolve(step, targets=(node,), at_s=(at + 1, at + 1), times=(1, 1), parameters=(("after", (0, 0)),))
        away = evolve(_step(random, NEMESES[KILL]), targets=(node,), at_s=(at, at), lasts_s=AWAY_S, times=(1, 1))
        return own, away
    return (step,)


def _doubts(random: Random, at: float) -> Step:
    """The leader hears nothing of what it has done: so there is something to look up, and to learn."""
    step = evolve(_step(random, NEMESES[UNANSWERED]), targets=("leader",), links="ws_api", times=(1, 1))
    return evolve(step, at_s=(at, at), lasts_s=DOUBT_S, parameters=(("percent", (100, 100)),))


def _kinds(instants: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"kill_{instant}" for instant in instants)


def _step(random: Random, nemesis: Nemesis) -> Step:
    network = nemesis.room == NETWORK
    once = nemesis.room == FOLDER and nemesis.kind != CUT  # it takes two starts; of all nodes at once it shows no more
    others = () if once else (*PAIRS, EVERY) if network else (EVERY,)
    target = random.choice((*ONE, *others))
    return Step(
        kind=nemesis.kind,
        targets=(target,),
        at_s=(0.0, LENGTH_S),
        lasts_s=(SHORTEST_S, LASTS_S[1]) if network else LASTS_S,
        links=_links(random, nemesis, target),
        direction=random.choice(DIRECTIONS) if network and nemesis.kind != REFUSE else EITHER,
        times=(1, 1 if once else random.choice((1, 1, 1, 4))),
        between_s=(0.2, 2.0),
        parameters=tuple((word, USUAL[word]) for word in nemesis.takes),
    )


def _links(random: Random, nemesis: Nemesis, target: str) -> str:
    if nemesis.room == VENUE:
        return random.choice(("venue", "venue", "ws_api"))
    if nemesis.room != NETWORK:
        return ""
    return "peers" if target in PAIRS else random.choice(sorted(SCOPES))
