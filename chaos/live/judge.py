"""Judge: what came of a live run, beyond what the shared checkers and the pauses say.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from chaos.checkers.history import History
from chaos.checkers.verdict import Check
from chaos.live.nemeses import KILL, TERM
from chaos.live.pauses import HEALING_NS
from chaos.live.plan import Plan
from chaos.live.strike import Struck
from chaos.live.workload import Told

ENDS: Final = (KILL, TERM)


def all_done(plan: Plan, done: Sequence[Struck]) -> Check:
    """Every fault of the plan began, did what it says to whom it says, and was healed.

    What could not be done is right only where another fault of the plan stood in the way: a node that is down can't be
    stopped, and while everything else is broken nobody may lead.
    """
    left = {fault.number for fault in plan.faults} - {one.fault.number for one in done}
    told = [f"{fault.kind} {fault.target} was not played" for fault in plan.faults if fault.number in left]
    for one in done:
        others = [other for other in done if other is not one and _beside(other, one)]
        if one.not_done and not any(_ended(other, one) for other in others):
            told += [f"{one}: {what}" for what in one.not_done]
        if one.fault.needs_leader and one.led is None and not others:
            told.append(f"{one}: meant for the {one.fault.target}, and nobody traded when it began")
    return Check("faults_played", len(plan.faults), tuple(told))


def _beside(other: Struck, one: Struck) -> bool:
    """Whether it, or the healing after it, was there meanwhile."""
    return other.begin_ns <= one.end_ns and one.begin_ns <= other.end_ns + HEALING_NS


def _ended(other: Struck, one: Struck) -> bool:
    return other.fault.kind in ENDS and bool(set(other.aim.nodes) & set(one.aim.nodes))


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


def leader_kept(done: Sequence[Struck], elected: Iterable[Mapping[str, Any]]) -> Check:
    """Nobody became leader in a fault or the healing after it."""
    told = [
        f"{one}: {change['node']} became leader in term {change['term']} ({change['reason']}), "
        f"{(int(change['mono_ns']) - one.begin_ns) / 1e6:.0f} ms after it began; lost: {change['lost']}, "
        f"a node stood still for {change['stall_ms']} ms"
        for change in elected
        for one in done
        if one.begin_ns <= int(change["mono_ns"]) <= one.end_ns + HEALING_NS
    ]
    return Check("leader_kept", len(done), tuple(told))
