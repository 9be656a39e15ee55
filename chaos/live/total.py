"""Total: what many runs come to, in a memory that does not grow with them.

Pure: documents of single runs in (`document.one`), the document of all out.  Kept whole is only what failed, and of
that no more than MOST_WHOLE; of what passed a line each, the last MOST_LINES of them.  Lengths of pauses are counted,
not listed: to four digits there are only so many.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from typing import Any, Final

from attrs import define, evolve, field

from chaos.bench.figures import rounded
from chaos.checkers.verdict import MOST_SHOWN, Check, verdict
from chaos.live.allowed import judged, kind_of
from chaos.live.pauses import Spread, spread_of

MOST_WHOLE: Final = 50  # failed runs that are kept whole; of the others a line, and their own folders
MOST_LINES: Final = 5_000
MOST_FAULTS: Final = 5_000  # that are listed one by one
LINE: Final = ("scenario", "seed", "verdict", "gaps_ms", "bound_ms", "back_ms", "slower", "lifted", "report")

Told = Mapping[str, Any]


@define
class Total:
    """Adds up runs, one after the other."""

    played: int = 0
    failed: int = 0
    checks: dict[str, Check] = field(factory=dict)
    faults: list[Told] = field(factory=list)
    kinds: dict[str, Counter[str]] = field(factory=dict)  # by kind of fault: times, and how often not done
    pauses: dict[str, Counter[float]] = field(factory=dict)  # by kind of fault, how often each length came
    during: dict[str, Counter[float]] = field(factory=dict)  # the same of the longest in each fault, whatever caused it
    phases: dict[str, dict[str, Counter[float]]] = field(
        factory=dict
    )  # by kind and phase, of the takeovers that they cost
    rows: dict[tuple[str, str], Counter[float]] = field(factory=dict)  # the same by row of a budget
    whole: list[Told] = field(factory=list)
    lines: deque[Told] = field(factory=lambda: deque(maxlen=MOST_LINES))
    _number: Counter[str] = field(factory=Counter)  # violations of each check that are counted and not listed

    def add(self, run: Told) -> None:
        """One more."""
        self.played += 1
        failed = run["verdict"] != "pass"
        self.failed += failed
        if failed and len(self.whole) < MOST_WHOLE:
            self.whole.append(run)
        self.lines.append({**{word: run[word] for word in LINE}, "checks": _broken(run)})
        self.faults += run["faults"][: MOST_FAULTS - len(self.faults)]
        for fault in run["faults"]:
            told = self.kinds.setdefault(str(fault["kind"]), Counter())
            told["times"] += 1
            told["not_done"] += bool(fault["not_done"])
            self.during.setdefault(str(fault["kind"]), Counter())[_length(fault["gap_ms"])] += 1
        self._takeovers(run)
        for check in run["checks"]:
            self._check(check)
        for pause in run["pauses"]:
            self._pause(pause, slower=int(run["slower"]))

    def _takeovers(self, run: Told) -> None:
        """How long behind a fault each phase came of the takeover that it cost."""
        for fault in run["faults"]:
            for phase, ms in fault.get("phases_ms", {}).items():
                if ms is not None:
                    by_phase = self.phases.setdefault(str(fault["kind"]), {})
                    by_phase.setdefault(phase, Counter())[_length(ms)] += 1

    def _check(self, found: Told) -> None:
        """One that looked at nothing in any run has not held."""
        name, looked, said = str(found["name"]), int(found["looked_at"]), tuple(map(str, found["violations"]))
        before = self.checks.get(name, Check(name, looked, ()))
        if name in self.checks:
            looked = before.looked_at + looked if before.looked_at and looked else 0
        violations = (*before.violations, *said)
        self._number[name] += len(violations[MOST_SHOWN:])
        self.checks[name] = Check(name, looked, violations[:MOST_SHOWN])

    def _pause(self, pause: Told, *, slower: int) -> None:
        length = _length(pause["ms"])
        self.pauses.setdefault(str(pause["kind"]), Counter())[length] += 1
        row = kind_of(pause)
        if row is not None and slower == 1:  # a budget is of the timers as they are shipped
            self.rows.setdefault(row, Counter())[length] += 1

    @property
    def verdict(self) -> str:
        """Whether everything passed."""
        return verdict(tuple(self.checks.values()))

    def document(self) -> dict[str, Any]:
        """Of all together, and a line of each."""
        every = sum(self.pauses.values(), Counter[float]())
        return {
            "verdict": self.verdict,
            "played": self.played,
            "failed": self.failed,
            "faults": list(self.faults),
            "faults_by_kind": {kind: _times(told) for kind, told in sorted(self.kinds.items())},
            "gaps_ms": spread_of(every.elements()),
            "gaps_ms_by_kind": _spreads(_sorted(self.pauses)),
            "gaps_ms_during": _spreads(_sorted(self.during)),
            "phases_ms_by_kind": {kind: _spreads(found) for kind, found in sorted(self.phases.items())},
            "budgets": judged(self.rows),
            "checks": [self._told(check) for check in self.checks.values()],
            "runs": [*self.lines],
            "failures": [*self.whole],
        }

    def _told(self, check: Check) -> dict[str, Any]:
        more = self._number[check.name]
        if more:
            check = evolve(check, violations=(*check.violations[:-1], f"{check.violations[-1]} (and {more} more)"))
        return check.document()


def _length(ms: Any) -> float:
    return rounded(float(ms)) or 0.0


def _spreads(found: Mapping[str, Counter[float]]) -> dict[str, Spread]:
    """By kind of fault, or by phase."""
    return {kind: spread_of(times.elements()) for kind, times in found.items()}


def _sorted(found: Mapping[str, Counter[float]]) -> dict[str, Counter[float]]:
    return dict(sorted(found.items()))


def _times(told: Counter[str]) -> dict[str, int]:
    return {"times": told["times"], "not_done": told["not_done"]}


def _broken(run: Told) -> list[Told]:
    """What did not hold, shortly: the whole is in the run's own document."""
    return [{**one, "violations": one["violations"][:2]} for one in run["checks"] if not one["held"]]
