"""Counted: what the code does for a fixed sequence of commands, in bytecode instructions, calls and encodings.

A count is the same on any machine with the same minor version of Python, however busy it is; so a test can hold the
product to it (tests/chaos/bench/test_counted.py).  What C does within one call is not seen, but that it was called is;
encodings, which are mostly C, are counted by themselves.  What is counted:

- `apply`: the machine's whole work on a market maker's mix, one and 32 commands an entry;
- `commit`: three replicas on their real stores, over frames that are handed on by hand: encoding of a submit, proposal,
  append, frames, batches, acknowledgements, commit, apply by a machine that does nothing; one and 32 at a time.  The
  Trio driver, TLS and the disk are not in it.
"""

from __future__ import annotations

import gc
import sys
import tempfile
from collections import Counter as Names
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any, Final

from attrs import define, field, frozen

from chaos.bench import trading
from chaos.bench.apply import apply_log, log_of
from chaos.bench.child import BenchFault
from chaos.bench.figures import Row, Who
from chaos.bench.nothing import Nothing
from chaos.bench.systems import NODES
from cluster.replica import Replica
from cluster.rocks import RocksStore
from cluster.types import Applied, MonoNs, Outcome, Peer, Role, Timers, Token

COMMANDS: Final = 96
BATCHES: Final = (1, 32)
MS: Final = 1_000_000
TERM: Final = 1
PATIENCE: Final = 10_000  # rounds of stepping before a commit counts as lost
ENCODERS: Final = ("encode", "pack", "dump")
MORE: Final = 1.02  # instructions and calls may grow so far unsaid; encodings not at all
LESS: Final = 0.9  # below it the stored counts are to be made anew, or they would let later growth pass
ELSEWHERE: Final = 1.15  # on another version of Python than any whose counts are stored
VERSION: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
Work = Callable[[], object]


@frozen
class Counts:
    """What some work took."""

    commands: int
    instructions: int
    calls: int  # of Python and of C
    encodings: int  # those of them that encode or pack something, by their names
    encoders: Mapping[str, int] = field(factory=dict)  # the same by who calls which; told, and not stored

    def document(self) -> dict[str, int]:
        """As it is stored."""
        return {"commands": self.commands, "instructions": self.instructions} | {
            "calls": self.calls,
            "encodings": self.encodings,
        }


def counted(commands: int, prepare: Callable[[], Work]) -> Counts:
    """Work that was done once before, so that nothing is made for the first time in it."""
    prepare()()
    instructions, calls = Counter(), Counter()
    work = prepare()
    _alone(lambda: instructions.instructions_of(work))
    work = prepare()
    _alone(lambda: calls.calls_of(work))
    return Counts(commands, instructions.count, calls.count, calls.encodings.total(), dict(calls.encodings))


def _alone(count: Callable[[], None]) -> None:
    """No garbage is collected meanwhile: when, depends on what else was made."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        count()
    finally:
        if enabled:
            gc.enable()


@define
class Counter:
    """Counts by the interpreter's own hooks; whoever used them before has them back afterwards."""

    count: int = 0
    encodings: Names[str] = field(factory=Names)

    def instructions_of(self, work: Work) -> None:
        """Every bytecode instruction of every frame that begins in `work`."""
        before = sys.gettrace()
        sys.settrace(self._entered)
        try:
            work()
        finally:
            sys.settrace(before)

    def calls_of(self, work: Work) -> None:
        """Every call of a function, a generator's step, and of what is written in C."""
        before = sys.getprofile()
        sys.setprofile(self._called)
        try:
            work()
        finally:
            sys.setprofile(before)

    def _entered(self, frame: FrameType, _event: str, _about: object) -> Callable[..., Any]:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._instruction

    def _instruction(self, _frame: FrameType, event: str, _about: object) -> Callable[..., Any]:
        if event == "opcode":
            self.count += 1
        return self._instruction

    def _called(self, frame: FrameType, event: str, about: object) -> None:
        if event not in ("call", "c_call"):
            return
        self.count += 1
        name = frame.f_code.co_name if event == "call" else getattr(about, "__name__", "")
        if name.lstrip("_").startswith(ENCODERS):
            by = frame.f_back if event == "call" else frame
            called = _called_as(frame) if event == "call" else getattr(about, "__qualname__", name)
            self.encodings[f"{'' if by is None else _called_as(by)} calls {called}"] += 1


def _called_as(frame: FrameType) -> str:
    return f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}"


# What is counted


def apply_counts(batch: int) -> Counts:
    """Of a log of the mix."""
    log = log_of(COMMANDS, batch)
    return counted(log.commands, lambda: lambda: apply_log(log))


def commit_counts(batch: int) -> Counts:
    """Of commits, so many commands at a time."""
    with tempfile.TemporaryDirectory(prefix="meltica-counted-") as folder:
        made: list[Three] = []

        def prepare() -> Work:
            made.append(Three(Path(folder) / str(len(made))))
            return lambda: made[-1].commit(COMMANDS, batch)

        try:
            return counted(COMMANDS, prepare)
        finally:
            for one in made:
                one.close()


@define
class Three:
    """Three replicas on real stores; time and frames go on by hand, in one order, and every sync is taken for done."""

    folder: Path
    now: int = 1_000 * MS
    tokens: int = 0
    replicas: dict[Peer, Replica] = field(factory=dict)
    stores: dict[Peer, RocksStore] = field(factory=dict)
    frames: deque[tuple[Peer, Peer, bytes]] = field(factory=deque)  # from, to
    outcomes: dict[int, Outcome] = field(factory=dict)
    inputs: set[Peer] = field(factory=set)
    wake_at: dict[Peer, int] = field(factory=dict)
    steps: int = 0

    def __attrs_post_init__(self) -> None:
        names = [Peer(one) for one in NODES]
        for place, name in enumerate(names):
            self.stores[name] = store = RocksStore(self.folder / name, trading.CLUSTER, name, first_start=True)
            others = [one for one in names if one != name]
            rng = Random(place)
            self.replicas[name] = Replica(name, others, Timers(), store, Nothing(), self._clock, rng)
        for name, replica in self.replicas.items():
            for other in names:
                if other != name:
                    replica.inbound_up(other)
                    replica.connected(other)
        while self._leader() is None:
            self.now += 10 * MS
            self._settle()

    def _clock(self) -> MonoNs:
        return MonoNs(self.now)

    def _leader(self) -> Replica | None:
        leading = [one for one in self.replicas.values() if one.status().role is Role.LEADER]
        return leading[0] if leading else None

    def commit(self, commands: int, batch: int) -> None:
        """Submits, so many at a time, each time until all of them are applied and nobody has anything to say.

        Raises:
            BenchFault: one was not.
        """
        leader = self._leader()
        if leader is None:
            raise BenchFault("the lead was lost although no time passes by itself")
        for first in range(0, commands, batch):
            self.now += MS
            for number in range(first, first + batch):
                self.tokens += 1
                command = trading.encoded(trading.submit(number), TERM, trading.START + number)
                leader.propose(command, Token(self.tokens))
            self.inputs.add(leader.status().name)
            self._settle()
            for token in range(self.tokens - batch + 1, self.tokens + 1):
                if not isinstance(self.outcomes.pop(token), Applied):
                    raise BenchFault(f"proposal {token} was not applied")

    def _settle(self) -> None:
        """Step whoever has something to do, as a driver does, until nobody has: after an input, or when it is due."""
        for _ in range(PATIENCE):
            for name in self.replicas:
                while name in self.inputs or self.wake_at.get(name, 0) <= self.now:
                    self._step(name)
            if not self.frames:
                return
            while self.frames:
                sender, to, frame = self.frames.popleft()
                self.replicas[to].received(sender, frame)
                self.inputs.add(to)
        raise BenchFault("three replicas did not come to rest")

    def _step(self, name: Peer) -> None:
        """One step."""
        self.inputs.discard(name)
        ready = self.replicas[name].step()
        self.steps += 1
        self.wake_at[name] = ready.wake_at
        self.frames.extend((name, to, frame) for to, frame in ready.sends)
        self.outcomes.update((int(token), outcome) for token, outcome in ready.outcomes)
        if ready.ticket is not None:
            self.replicas[name].synced(ready.ticket)  # taken for done: a disk's time is no count
            self.inputs.add(name)

    def close(self) -> None:
        """Give the folders up."""
        for store in self.stores.values():
            store.close()


WORKS: Final[dict[str, Callable[[int], Counts]]] = {"apply": apply_counts, "commit": commit_counts}


def count_all() -> dict[str, Counts]:
    """Everything that is counted, by its name."""
    return {f"{what}, {batch} at a time": work(batch) for what, work in WORKS.items() for batch in BATCHES}


def judged(found: Mapping[str, Counts], stored: Mapping[str, Mapping[str, Mapping[str, int]]]) -> list[str]:
    """What is wrong with these counts, by those that are stored, by versions of Python; nothing if all is well."""
    exact = VERSION in stored
    kept = stored[VERSION] if exact else stored[min(stored)]
    if {*kept} != {*found}:
        return [f"what is counted and what is stored differ: {sorted({*kept} ^ {*found})}"]
    return [text for name, one in found.items() for text in _judged(name, one.document(), kept[name], exact=exact)]


def _judged(name: str, one: Mapping[str, int], kept: Mapping[str, int], *, exact: bool) -> Iterator[str]:
    for what, before in kept.items():
        allowed = 1.0 if what in ("commands", "encodings") else MORE if exact else ELSEWHERE
        if one[what] > before * allowed:
            yield f"{name}: {what} {before:,} -> {one[what]:,}: more than is allowed; find out what costs it"
        elif exact and one[what] < before * LESS:
            yield f"{name}: {what} {before:,} -> {one[what]:,}: better; store it, so that it stays"


def rows(found: Mapping[str, Counts]) -> Sequence[Row]:
    """As rows: counts a command."""
    note = f"counts a command, Python {VERSION}; the same on any machine"
    return [
        Row(
            what="counts",
            who=Who("meltica", name, note),
            n=one.commands,
            more=(
                ("instructions", round(one.instructions / one.commands, 1)),
                ("calls", round(one.calls / one.commands, 1)),
                ("encodings", round(one.encodings / one.commands, 1)),
                ("encoders", {who: round(count / one.commands, 2) for who, count in one.encoders.items()}),
            ),
        )
        for name, one in found.items()
    ]
