"""Apply: how many commands one core applies in a second, by processor time.

The whole of the machine's work: decode, decide, encode what changed, digest, audit; `decode` and `encode` beside it say
what two parts cost.  Processor time, so that what else the machine does counts as little as it can; and each
round measures all of them, so that what it does to one it does to the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

from attrs import frozen

from chaos.bench import trading
from chaos.bench.figures import Row, Turn, Who, row_of
from chaos.bench.profiled import Profile
from chaos.bench.sampler import Sampler
from cluster.types import LogIndex, Term
from meltica.core.codec import decode_command, encode_command
from meltica.core.events import CommandResult
from meltica.machine import Machine

TERM: Final = 1
BATCHES: Final = (1, 32)  # orders of the mix side by side, so about so many commands an entry


@frozen
class Log:
    """A log of the mix, and the digest that it comes to."""

    entries: tuple[tuple[bytes, ...], ...]
    digest: str

    @property
    def commands(self) -> int:
        """How many there are in it."""
        return sum(len(entry) for entry in self.entries)


def log_of(commands: int, batch: int) -> Log:
    """A log of so many commands or a few more, made by applying them once."""
    machine = Machine()
    made: list[tuple[bytes, ...]] = []

    def apply(entry: tuple[bytes, ...]) -> Sequence[CommandResult]:
        made.append(entry)
        return applied(machine, entry)

    for place, command in enumerate(trading.opening("n1")):
        trading.taken(apply((trading.encoded(command, TERM, trading.START + place),)))
    mix = trading.entries(machine.state, apply, TERM, batch)
    left = commands - len(made)
    while left > 0:
        left -= sum(len(entry) for entry in islice(mix, 1))
    return Log(tuple(made), machine.state.digest())


def applied(machine: Machine, entry: tuple[bytes, ...]) -> Sequence[CommandResult]:
    """One entry more; its results."""
    outcome = machine.apply(LogIndex(machine.state.index + 1), Term(TERM), entry)
    return [one for one in outcome.results if isinstance(one, CommandResult)]


def apply_log(log: Log) -> Machine:
    """A new machine that has applied it."""
    machine = Machine()
    for index, entry in enumerate(log.entries, 1):
        machine.apply(LogIndex(index), Term(TERM), entry)
    return machine


def measure(commands: int, rounds: int, say: Callable[[str], None], profile: Profile | None = None) -> list[Row]:
    """Rows of `apply`, and of its parts.  Raises ValueError if a replay came to another state."""
    logs = {batch: log_of(commands, batch) for batch in BATCHES}
    turns: dict[tuple[str, int], list[Turn]] = {}
    for number in range(rounds):
        for batch, log in logs.items():
            for what, work in WORKS.items():
                seconds = work(log) if profile is None else _sampled(profile, f"{what}, {batch} an entry", work, log)
                turns.setdefault((what, batch), []).append(Turn((), log.commands, seconds))
        say(f"round {number + 1} of {rounds}")
    return [_row(what, batch, found, logs[batch]) for (what, batch), found in turns.items()]


def _sampled(profile: Profile, title: str, work: Callable[[Log], float], log: Log) -> float:
    sampler = Sampler()
    sampler.begin()
    try:
        return work(log)
    finally:
        profile.add(title, sampler.end(), log.commands)


def _row(what: str, batch: int, turns: Sequence[Turn], log: Log) -> Row:
    each = [1e6 * turn.seconds / turn.commands for turn in turns]
    who = Who("meltica", f"{batch} an entry", "processor time of one core; the mix of a market maker")
    size = sum(len(raw) for entry in log.entries for raw in entry) / log.commands
    return row_of(what, who, turns, cpu_us_min=round(min(each), 2), cpu_us_max=round(max(each), 2), bytes=round(size))


def _apply(log: Log) -> float:
    began = time.process_time()
    machine = apply_log(log)
    seconds = time.process_time() - began
    if machine.state.digest() != log.digest:
        raise ValueError("the same log came to another state: this is no bench's business, but rule 7's")
    return seconds


def _decode(log: Log) -> float:
    began = time.process_time()
    for entry in log.entries:
        for raw in entry:
            decode_command(raw)
    return time.process_time() - began


def _encode(log: Log) -> float:
    decoded = [decode_command(raw)[1] for entry in log.entries for raw in entry]
    began = time.process_time()
    for command in decoded:
        encode_command(command)
    return time.process_time() - began


WORKS: Final = {"apply": _apply, "decode": _decode, "encode": _encode}
