"""Nemeses: what can be broken, and what each takes to say how.

Pure: tables, and the toxics of a nemesis.  Where, when and how long are a plan's; who does it is `network` and `nodes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from chaos.toxiproxy.toxics import Toxic, toxic

NETWORK, PROCESS = "network", "process"
REFUSE: Final = "refuse"
KILL, TERM, PAUSE = "kill", "term", "pause"


@frozen
class Nemesis:
    """One kind of fault."""

    kind: str
    room: str  # NETWORK or PROCESS
    does: str
    takes: Mapping[str, tuple[int, int]]  # parameters, all needed, with what they may be
    toxic: str = ""  # the server's word
    as_told: Mapping[str, str] = {}  # our word for a parameter -> the server's


_ALL: Final = (
    Nemesis("hold", NETWORK, "nothing passes; what was said arrives in a burst when it heals", {}, "bandwidth"),
    Nemesis("cut", NETWORK, "nothing passes; what was said is lost, connections end when it heals", {}, "timeout"),
    Nemesis(
        "slow",
        NETWORK,
        "everything comes so much later, give or take the jitter",
        {"delay_ms": (0, 10_000), "jitter_ms": (0, 10_000)},
        "latency",
        {"delay_ms": "latency", "jitter_ms": "jitter"},
    ),
    Nemesis("narrow", NETWORK, "no more than so much a second", {"kb_s": (1, 100_000)}, "bandwidth", {"kb_s": "rate"}),
    Nemesis(
        "slice",
        NETWORK,
        "everything comes in crumbs, with a pause between",
        {"bytes": (8, 65_536), "give_or_take": (0, 65_535), "pause_us": (0, 100_000)},
        "slicer",
        {"bytes": "average_size", "give_or_take": "size_variation", "pause_us": "delay"},
    ),
    Nemesis("reset", NETWORK, "whoever says something is hung up on", {}, "reset_peer"),
    Nemesis(
        "slow_close",
        NETWORK,
        "a connection that ends, ends so much later",
        {"delay_ms": (1, 60_000)},
        "slow_close",
        {"delay_ms": "delay"},
    ),
    Nemesis(REFUSE, NETWORK, "connections end, and nobody answers a new one", {}),
    Nemesis(KILL, PROCESS, "SIGKILL; started again when it heals", {}),
    Nemesis(TERM, PROCESS, "SIGTERM; started again when it heals", {}),
    Nemesis(PAUSE, PROCESS, "SIGSTOP; SIGCONT when it heals", {}),
)
NEMESES: Final[Mapping[str, Nemesis]] = {one.kind: one for one in _ALL}


def toxic_of(kind: str, name: str, stream: str, parameters: Mapping[str, int]) -> Toxic:
    """The toxic of a network nemesis, with its parameters.  Raises BadToxic."""
    nemesis = NEMESES[kind]
    told = {nemesis.as_told[word]: value for word, value in parameters.items()}
    return toxic(name, nemesis.toxic, stream, **told)
