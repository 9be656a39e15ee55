"""Judge: what came of a live run, beyond what the shared checkers say.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from chaos.bench.figures import ranked
from chaos.checkers.history import History
from chaos.checkers.verdict import Check
from chaos.live.plan import Plan
from chaos.live.strike import Struck
from chaos.live.workload import Told
from chaos.rig.gaps import Span, longest

HEALING_NS: Final = 3_000_000_000  # behind a fault's end that belongs to it
RECOVERS_NS: Final = 20_000_000_000  # from the last healing to an order


@frozen
class Gap:
    """The longest time without an admitted order in one fault and the healing after it."""

    struck: Struck
    span: Span


def gaps(done: Sequence[Struck], admitted: Sequence[int]) -> tuple[Gap, ...]:
    """One of each fault; `admitted`: when the venue let an order of ours through, sorted."""
    return tuple(Gap(one, longest(admitted, Span(one.begin_ns, one.end_ns + HEALING_NS))) for one in done)


def spread(found: Sequence[Gap]) -> dict[str, float | int | None]:
    """As in contracts.md section 8."""
    values = sorted(gap.span.ms for gap in found)
    return {
        "p50": ranked(values, 0.5),
        "p99": ranked(values, 0.99),
        "max": values[-1] if values else None,
        "n": len(values),
    }


def in_bound(found: Sequence[Gap], bound_ms: float, waited: Mapping[int, Mapping[str, float]]) -> Check:
    """No fault stopped trading for longer; `waited`: by a fault's number, how long each process had no processor."""
    over = [gap for gap in found if gap.span.ms > bound_ms]
    told = tuple(
        f"{gap.struck}: {gap.span.ms:g} ms, over {bound_ms:g} (waited for a processor: {dict(waited[_number(gap)])})"
        for gap in over
    )
    return Check("gap", len(found), told)


def _number(gap: Gap) -> int:
    return gap.struck.fault.number


def all_done(plan: Plan, done: Sequence[Struck]) -> Check:
    """Every fault of the plan began, and was healed."""
    left = {fault.number for fault in plan.faults} - {one.fault.number for one in done}
    told = tuple(f"{fault.kind} {fault.target} was not played" for fault in plan.faults if fault.number in left)
    return Check("faults_played", len(plan.faults), told)


def recovered(done: Sequence[Struck], admitted: Sequence[int]) -> Check:
    """Trading came back by itself, with whoever is on duty lifting what halted by itself."""
    healed = max((one.end_ns for one in done), default=0)
    first = next((at for at in admitted if at > healed), None)
    if first is not None and first - healed <= RECOVERS_NS:
        return Check("recovered", 1, ())
    when = "never" if first is None else f"{(first - healed) / 1e9:.1f} s after"
    return Check("recovered", 1, (f"the first order after the last healing was admitted {when}",))


def acknowledged(history: History, told: Sequence[Told]) -> Check:
    """What an operator was told is done is in every node's log, where it was said to be."""
    violations = []
    for node in history.nodes:
        found = {(record.index, _request(record.command)) for record in node.audit}
        violations += [
            f"{node.name} lacks {one.request}, acknowledged at index {one.index}"
            for one in told
            if (one.index, one.request) not in found
        ]
    return Check("acknowledged", len(told), tuple(violations))


def _request(command: Mapping[str, Any]) -> str:
    """What an operator called it; "" of what nobody asked for."""
    return str((command.get("by") or {}).get("request") or "")
