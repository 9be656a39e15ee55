"""Causes: what the nodes' own logs say of why a run went as it did.

Pure.  A check says what was broken; whoever asks why nobody traded looks here: trading was halted, the machine had no
time for its processes, a disk was too slow, what was ordered lapsed for one reason again and again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from chaos.report.incident import State, Struck
from chaos.report.left import Logs

LONG_NS: Final = 100_000_000  # an event loop that stands still for so long is late for all that counts in milliseconds
HOLDING: Final = frozenset({"pause", "loop_stall", "disk_slow", "cpu_taken"})  # faults that make a node stand still
RUNNING: Final = "running"
MANY: Final = 20  # orders that lapsed for one reason

Moment = Callable[[Mapping[str, Any]], int]  # a log line's, by the monotonic clock


def states_of(logs: Logs, moment: Moment, end: int) -> tuple[State, ...]:
    """When trading was halted or reduced, and by what: each change as the first node that applied it says."""
    found: dict[tuple[int, str, str], int] = {}
    for line in _named(logs, "risk state changed"):
        key = (int(line.get("index", 0)), str(line["trading"]), str(line["cause"]))
        found[key] = min(found.get(key, end), moment(line))
    ordered = sorted((at, index, trading, cause) for (index, trading, cause), at in found.items())
    until = [*(at for at, *_ in ordered), end][1:]
    return tuple(
        State(trading, cause, at, max(at, ends))
        for (at, _, trading, cause), ends in zip(ordered, until, strict=True)
        if trading != RUNNING
    )


def causes(
    logs: Logs, states: Iterable[State], begin: int, faults: Sequence[Struck], moment: Moment
) -> tuple[str, ...]:
    """Sentences, the weightiest first; empty where nothing stands out."""
    return (
        *(f"trading was {s.trading} from {(s.begin_ns - begin) / 1e9:.1f} s on: {s.cause}" for s in states),
        *_lapses(logs),
        *_stalls(logs, faults, moment),
        *_disks(logs),
    )


def _lapses(logs: Logs) -> Iterator[str]:
    """A few lapse at every change of leader; many, for one reason, are why nothing was sent."""
    for node, lines in sorted(logs.items()):
        counts: Counter[str] = Counter()
        for line in lines:
            if line.get("event") == "lapsed":
                counts[str(line.get("reason", "")).partition(" (")[0]] += int(line.get("count", 1))
        yield from (
            f"{node} sent {count} orders not at all: {reason}"
            for reason, count in counts.most_common()
            if count >= MANY
        )


def _stalls(logs: Logs, faults: Sequence[Struck], moment: Moment) -> Iterator[str]:
    """What was done to a node on purpose is not the machine's."""
    for node, lines in sorted(logs.items()):
        done = [one for one in faults if one.kind in HOLDING and node in one.target.split(",")]
        long = [line for line in lines if line.get("event") == "stall" and int(line["ns"]) >= LONG_NS]
        ours = [(line, {one.kind for one in done if _within(line, one, moment)}) for line in long]
        own = [int(line["ns"]) for line, kinds in ours if not kinds]
        if own:
            yield f"{_stood(node, own)}: its machine had no time for it, or a call of its own took so long"
        struck = [int(line["ns"]) for line, kinds in ours if kinds]
        if struck:
            kinds = set[str]().union(*(kinds for _, kinds in ours))
            yield f"{_stood(node, struck)}, by what was done to it: {', '.join(sorted(kinds))}"


def _within(line: Mapping[str, Any], fault: Struck, moment: Moment) -> bool:
    """Whether some of that stall, which had just ended when it was told, lies within the fault."""
    end = moment(line)
    return end - int(line["ns"]) <= (fault.end_ns or fault.begin_ns) and fault.begin_ns <= end


def _stood(node: str, long: Sequence[int]) -> str:
    least, most = LONG_NS // 1_000_000, max(long) / 1e6
    return f"{node} stood still {_times(len(long))} for {least} ms or more, at most {most:,.0f} ms"


def _disks(logs: Logs) -> Iterator[str]:
    for node, lines in sorted(logs.items()):
        times = sum(line.get("event") == "role changed" and line.get("reason") == "disk" for line in lines)
        if times:
            yield f"{node} gave up the lead {_times(times)} as its disk did not sync in time"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _named(logs: Logs, event: str) -> Iterator[Mapping[str, Any]]:
    for lines in logs.values():
        yield from (line for line in lines if line.get("event") == event)
