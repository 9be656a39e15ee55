"""Faults: what is wrong with the venue on purpose, whom it strikes, how often and for how long.

Pure: this file decides only whether a fault strikes; what a strike does is done where it happens.  Times are
monotonic nanoseconds; chance is drawn from the seed that is passed in.

A fault is asked for as `{"kind": ..., "target": ..., "count" | "seconds" | "probability": ..., more}`.  `target` is a
text of terms joined by commas, all of which must hold: `method:order.place` (either API's name of it; for user
events the event's name, `method:executionReport`), `account:main`, `symbol:BTCUSDT`, `connection:ws_api` (`stream`,
`rest`), `node:n1` (found in the User-Agent); an object of the same keys does too; a term without a key matches any of
these.  No target strikes all.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from attrs import Factory, define, field, frozen

SECOND = 1_000_000_000

# Kinds, each with the parameters that it takes besides the common ones, and their defaults.
KINDS: dict[str, dict[str, int]] = {
    "drop_answer": {},
    "delay_answer": {"delay_ms": 1_000},
    "drop_request": {},
    "reject": {"code": -1000},
    "duplicate_event": {},
    "reorder_events": {"delay_ms": 500},  # how long an event waits for another to overtake it
    "silence": {},
    "disconnect": {},
    "rate_limit": {  # how many 429 before 418; how long a 429 asks to wait: to the end of the minute, if 0
        "refusals": 3,
        "ban_seconds": 120,
        "pause_seconds": 0,
    },
    "maintenance": {},
    "clock_offset": {"offset_ms": 1_000},
    "slow": {"delay_ms": 1_000},
    "stale_reads": {"lag_ms": 2_000},
    "engine_stall": {},
    "lose_event": {},
    "mix_events": {},  # behind each event comes one of somebody else's account, under another subscription
}

ONCE = ("lose_event",)  # strikes once unless told otherwise
LONGEST_STALL = 15 * SECOND
LONGEST_S = 86_400

_COMMON = ("kind", "target", "count", "seconds", "probability", "msg")
_KEYS = ("method", "account", "symbol", "connection", "node")


class BadFaultError(ValueError):
    """A fault that cannot be; the text says why and what is allowed."""


@frozen
class Subject:
    """What a fault may strike: one request, event or connection."""

    connection: str = ""
    node: str = ""  # the User-Agent
    method: str = ""
    label: str = ""  # the method as the other API or the ledger calls it
    account: str = ""
    symbol: str = ""


@frozen
class Target:
    """Whom a fault strikes."""

    terms: tuple[tuple[str, str], ...] = ()

    def text(self) -> str:
        """As the ledger writes it."""
        return ",".join(f"{key}:{value}" if key else value for key, value in self.terms)

    def matches(self, subject: Subject) -> bool:
        """Whether every term holds."""
        return all(_holds(key, value, subject) for key, value in self.terms)


@define
class Fault:
    """One fault, running."""

    id: int
    kind: str
    target: Target
    params: dict[str, int]
    begun: int
    ends: int | None
    left: int | None  # strikes that are left
    probability: Fraction | None
    msg: str = ""
    struck: int = 0

    def view(self) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "id": self.id,
            "kind": self.kind,
            "target": self.target.text(),
            "struck": self.struck,
            "left": self.left,
            "probability": None if self.probability is None else str(self.probability),
            "begun_mono_ns": self.begun,
            "ends_mono_ns": self.ends,
            **self.params,
        }


@define
class Faults:
    """All faults that run.  `on_change` hears of each begin and end, for the ledger."""

    rng: random.Random
    on_change: Callable[[str, Fault], None]
    running: dict[int, Fault] = field(factory=dict)
    last_id: int = 0
    kinds: frozenset[str] = Factory(frozenset)

    def begin(self, asked: object, now: int) -> Fault:
        """Start the fault that `asked` describes.

        Raises:
            BadFaultError: If it cannot be.
        """
        fault = _read_fault(asked, self.last_id + 1, now)
        self.last_id = fault.id
        self.running[fault.id] = fault
        self._changed("begin", fault)
        return fault

    def end(self, fault_id: int) -> bool:
        """Heal one; whether there was one."""
        fault = self.running.pop(fault_id, None)
        if fault is None:
            return False
        self._changed("end", fault)
        return True

    def end_all(self) -> int:
        """Heal all; how many."""
        ids = list(self.running)
        for fault_id in ids:
            self.end(fault_id)
        return len(ids)

    def expire(self, now: int) -> None:
        """End those whose time is over."""
        for fault in [each for each in self.running.values() if each.ends is not None and each.ends <= now]:
            self.end(fault.id)

    def next_end(self) -> int | None:
        """When the next one ends by itself."""
        return min((each.ends for each in self.running.values() if each.ends is not None), default=None)

    def peek(self, kind: str, subject: Subject) -> Fault | None:
        """The fault of `kind` that holds for `subject`; for states (silence, a stall), so nothing is used up."""
        if kind not in self.kinds:
            return None
        return next((f for f in self.running.values() if f.kind == kind and f.target.matches(subject)), None)

    def strike(self, kind: str, subject: Subject) -> Fault | None:
        """The fault of `kind` that strikes `subject` now; uses up one of its count."""
        if kind not in self.kinds:
            return None
        for fault in list(self.running.values()):
            if fault.kind == kind and fault.target.matches(subject) and self._hits(fault):
                return fault
        return None

    def offset_ms(self) -> int:
        """How wrong the venue's clock is."""
        if "clock_offset" not in self.kinds:
            return 0
        return sum(f.params["offset_ms"] for f in self.running.values() if f.kind == "clock_offset")

    def _hits(self, fault: Fault) -> bool:
        if fault.probability is not None and self.rng.random() >= fault.probability:
            return False
        fault.struck += 1
        if fault.left is not None:
            fault.left -= 1
            if fault.left <= 0:
                self.end(fault.id)
        return True

    def _changed(self, action: str, fault: Fault) -> None:
        self.kinds = frozenset(each.kind for each in self.running.values())
        self.on_change(action, fault)


def _holds(key: str, value: str, subject: Subject) -> bool:
    if key == "node":
        return f"({value})" in subject.node or value == subject.node or (bool(value) and value in subject.node)
    if key == "method":
        return value in {subject.method, subject.label}
    if key:
        return bool(getattr(subject, key) == value)
    exact = (subject.method, subject.label, subject.account, subject.symbol, subject.connection)
    return value in exact or value in subject.node


def _read_fault(asked: object, fault_id: int, now: int) -> Fault:
    if not isinstance(asked, Mapping):
        raise BadFaultError(f"a fault is an object with a kind; found {type(asked).__name__}")
    kind = asked.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise BadFaultError(f"kind: found {kind!r}, allowed: {', '.join(KINDS)}")
    unknown = sorted(set(asked) - set(_COMMON) - set(KINDS[kind]))
    if unknown:
        raise BadFaultError(f"{kind} takes no {', '.join(unknown)}; it takes {', '.join((*_COMMON, *KINDS[kind]))}")
    params = {name: _whole(name, asked.get(name, default)) for name, default in KINDS[kind].items()}
    seconds = _positive("seconds", asked.get("seconds"))
    count = asked.get("count", 1 if kind in ONCE and seconds is None and "probability" not in asked else None)
    left = None if count is None else _whole("count", count)
    if left is not None and left < 1:
        raise BadFaultError(f"count: found {left}, allowed: 1 or more")
    ends = None if seconds is None else now + int(seconds * SECOND)
    if kind == "engine_stall":
        ends = min(ends or now + LONGEST_STALL, now + LONGEST_STALL)
    return Fault(
        fault_id, kind, read_target(asked.get("target")), params, now, ends, left,
        _probability(asked.get("probability")), str(asked.get("msg", "")),
    )  # fmt: skip


def read_target(asked: object) -> Target:
    """The target that a text or an object describes.

    Raises:
        BadFaultError: For a key that is none of ours, or another type.
    """
    if asked is None or asked == "":
        return Target()
    if isinstance(asked, str):
        parts = [part.strip().partition(":") for part in asked.split(",")]
        terms = [(key, value) if colon else ("", key) for key, colon, value in parts]
    elif isinstance(asked, Mapping):
        terms = [(str(key), str(value)) for key, value in asked.items()]
    else:
        raise BadFaultError(f"target: found {type(asked).__name__}, allowed: a text or an object")
    for key, _ in terms:
        if key and key not in _KEYS:
            raise BadFaultError(f"target: found the key {key!r}, allowed: {', '.join(_KEYS)}")
    return Target(tuple(terms))


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadFaultError(f"{name}: found {value!r}, allowed: a whole number")
    return value


def _positive(name: str, value: object) -> Fraction | None:
    found = _number(value)
    if value is not None and (found is None or not 0 < found <= LONGEST_S):
        raise BadFaultError(f"{name}: found {value!r}, allowed: a number above 0, at most {LONGEST_S}")
    return found


def _probability(value: object) -> Fraction | None:
    found = _number(value)
    if value is not None and (found is None or not 0 < found <= 1):
        raise BadFaultError(f"probability: found {value!r}, allowed: a number above 0, at most 1")
    return found


def _number(value: object) -> Fraction | None:
    """A JSON number, exactly as it was written; None for anything else."""
    if value is None or isinstance(value, bool | str):
        return None
    try:
        return Fraction(str(value))
    except ValueError:
        return None
