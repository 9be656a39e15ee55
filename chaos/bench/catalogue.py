"""Catalogue: what there is to measure, and how much of it a run of some minutes makes.

Pure, and quick to import: the command's help is made of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import field, frozen

GROWTH: Final = ("commit", "apply", "failover", "memory")
PEERS: Final = ("etcd", "pysyncobj")
STRIKES: Final = "Strikes of each; of what has no budget of its tail as many as a median needs."


@frozen
class Extra:
    """An option that one bench alone has."""

    text: str
    usual: int | str
    metavar: str | None = None


WAIT: Final = {"wait": Extra("Seconds for which a machine that is not quiet is waited for, at most.", 300)}

PROFILE: Final = {
    "profile": Extra("Write where processor time goes into this file; no figure is judged then.", "", "FILE")
}


@frozen
class Bench:
    """One of them."""

    text: str
    rounds: int
    samples: int
    rounds_are: str = "Turns of each system."  # what people are told of the two numbers
    samples_are: str = ""  # empty: there are none to choose
    against: tuple[str, ...] = PEERS  # which may be named: each is measured, or it is told why none is
    alone: str = ""  # why none is measured
    fewest: int = 1  # samples
    extras: Mapping[str, Extra] = field(factory=lambda: WAIT)


BENCHES: Final = {
    "commit": Bench(
        "one durable command: three processes a system, 1 and 32 callers",
        5,
        1000,
        samples_are="Commands of one caller, a turn.",
        extras=WAIT | PROFILE | {"seconds": Extra("How long 32 callers go on, a turn.", 10)},
    ),
    "apply": Bench(
        "commands a second of the core on one processor core",
        5,
        20_000,
        rounds_are="Turns.",
        samples_are="Commands, a turn.",
        alone="what is measured is the deciding of orders, and neither peer decides any",
        fewest=300,
        extras=WAIT | PROFILE,
    ),
    "failover": Bench(
        "SIGKILL of the active node, to the venue's first admitted order",
        100,
        1,
        rounds_are=STRIKES,
    ),
    "promote": Bench("a hand-over, to the venue's first order after it", 60, 1, rounds_are=STRIKES),
    "freeze": Bench("the active node frozen or cut off, to another's first order", 100, 1, rounds_are=STRIKES),
    "heal": Bench(
        "a standby cut off and healed, or killed: no gap in trading, no new leader",
        10,
        1,
        rounds_are="Cuts, and as many kills; of a peer half as many.",
        extras=WAIT | {"seconds": Extra("How long each cut lasts; an equal time without one follows it.", 5)},
    ),
    "snapshot": Bench(
        "a client's commits beside a snapshot that is taken and sent",
        5,
        5_000,
        rounds_are="Snapshots.",
        samples_are="Orders without a snapshot, one every 5 ms, twice a round.",
        alone="the budget is a share of our own commits without a snapshot",
        fewest=100,
        extras=WAIT | {"orders": Extra("Open orders in the state.", 50_000)},
    ),
    "restart": Bench(
        "a node with a million commands, from its start to caught up",
        5,
        1_000_000,
        rounds_are="Restarts.",
        samples_are="Commands in its log.",
        alone="no peer starts on a million commands: etcd drops its log every 100,000, PySyncObj has none on disk",
        fewest=1000,
        extras=WAIT | PROFILE,
    ),
    "growth": Bench(
        "how it grows with the orders that there are, and with the commands that were",
        5,
        1_000,
        rounds_are="Turns of each size; of failover: strikes.",
        samples_are="commit: commands of one caller, a turn; apply: commands, a turn, 50,000 at least.",
        alone="neither peer has orders, open or in doubt",
        extras=WAIT
        | {
            "of": Extra(f"Any of {', '.join(GROWTH)}, with commas.", ",".join(GROWTH)),
            "commands": Extra("memory: how many.", 1_000_000),
            "most": Extra("Leave out sizes beyond it.", 100_000),
        },
    ),
    "counts": Bench(
        "instructions, calls, encodings a command: the same on any machine",
        1,
        1,
        rounds_are="",
        against=(),
        extras={},  # the same on any machine, quiet or not
    ),
}
