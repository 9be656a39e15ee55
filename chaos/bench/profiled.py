"""Profiled: where the processor time of processes goes, by samples, as text for people.

Pure: samples in, text out.  A sample is a stack, outermost first, each part `module.function`, with the processor time
that it stands for; a module's share is that of the samples in which any of it ran.  What C does counts for the function
that called it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import define, field, frozen

from chaos.bench.document import aligned

BETWEEN: Final = ";"
OTHER_THREADS: Final = "(other threads)"  # the disk's: a sync, and what RocksDB does by itself
ROWS: Final = 30  # of a part of the text
PRODUCT: Final = ("cluster", "meltica", "chaos")  # whose modules are told apart; of others the package


@frozen
class Sampled:
    """What one process, or several of one kind one after the other, gave."""

    stacks: Mapping[str, float] = field(factory=dict)  # microseconds of processor time, by stack
    lines: Mapping[str, float] = field(factory=dict)  # the same by the line that ran
    samples: int = 0
    cpu_us: float = 0.0  # of the whole process meanwhile
    steps: int = 0  # of the replica, and how long they held the loop
    steps_us: float = 0.0
    syncs: int = 0
    syncs_us: float = 0.0  # on the clock, not of processors

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Sampled:
        """As a process told it."""
        return cls(**document)

    def plus(self, other: Sampled) -> Sampled:
        """Both together."""
        return Sampled(
            _sum(self.stacks, other.stacks),
            _sum(self.lines, other.lines),
            self.samples + other.samples,
            self.cpu_us + other.cpu_us,
            self.steps + other.steps,
            self.steps_us + other.steps_us,
            self.syncs + other.syncs,
            self.syncs_us + other.syncs_us,
        )


def _sum(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in [*one, *(set(other) - set(one))]}


@define
class Profile:
    """All of one run of a bench: a part a system, its callers and its role."""

    found: dict[str, Sampled] = field(factory=dict)
    commands: Counter[str] = field(factory=Counter)

    def add(self, title: str, sampled: Sampled, commands: int) -> None:
        """Another turn of one part."""
        before = self.found.get(title)
        self.found[title] = sampled if before is None else before.plus(sampled)
        self.commands[title] += commands

    def text(self) -> str:
        """All parts, each with its tables."""
        return "\n".join(line for title, one in self.found.items() for line in _part(title, one, self.commands[title]))


def _part(title: str, sampled: Sampled, commands: int) -> Iterator[str]:
    yield f"== {title}"
    whole, each = sum(sampled.stacks.values()), max(1, commands)
    yield (
        f"{sampled.samples:,} samples; {commands:,} commands; {sampled.cpu_us / each:,.1f} us of this process's "
        "processor time a command"
    )
    if sampled.steps:
        held = f"{sampled.steps / each:.2f} a command, {sampled.steps_us / sampled.steps:,.1f} us each on the clock"
        yield f"steps of the replica and what they asked: {held}"
    if sampled.syncs:
        took = f"{sampled.syncs / each:.2f} a command, {sampled.syncs_us / sampled.syncs:,.1f} us each on the clock"
        yield f"syncs: {took}"
    scale = sampled.cpu_us / each / whole if whole else 0.0
    for head, shares in (
        ("itself, by function", by_function(sampled.stacks)),
        ("and all that it called, by function", cumulated(sampled.stacks, _same)),
        ("and all that it called, by module", cumulated(sampled.stacks, module_of)),
        ("itself, by module", itself(sampled.stacks)),
        ("itself, by line", sampled.lines),
    ):
        yield ""
        yield from aligned([("share", "us", head), *_rows(shares, whole, scale)])
    yield ""


def _rows(shares: Mapping[str, float], whole: float, scale: float) -> Iterator[Sequence[str]]:
    for name, us in sorted(shares.items(), key=lambda pair: (-pair[1], pair[0]))[:ROWS]:
        yield f"{us / whole if whole else 0:6.1%}", f"{us * scale:8,.1f}", name


def by_function(stacks: Mapping[str, float]) -> dict[str, float]:
    """Of each function that ran, without what it called."""
    return _gathered((stack.rpartition(BETWEEN)[2], us) for stack, us in stacks.items())


def itself(stacks: Mapping[str, float]) -> dict[str, float]:
    """The same of each module."""
    return _gathered((module_of(name), us) for name, us in by_function(stacks).items())


def cumulated(stacks: Mapping[str, float], called: Any) -> dict[str, float]:
    """Of each function or module (`called` makes one of a part of a stack), with what it called; once a sample."""
    return _gathered((name, us) for stack, us in stacks.items() for name in {called(p) for p in stack.split(BETWEEN)})


def module_of(part: str) -> str:
    """Whose it is: of the product a module, of others the package."""
    module, _, function = part.partition(":")
    if not function:
        return part
    return module if module.partition(".")[0] in PRODUCT else module.partition(".")[0]


def _same(part: str) -> str:
    return part


def _gathered(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, us in pairs:
        found[name] = found.get(name, 0.0) + us
    return found
