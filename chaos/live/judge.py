"""Judge: what came of a live run, beyond what the shared checkers and the pauses say.

Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from chaos.checkers.history import History
from chaos.checkers.verdict import Check
from chaos.live.missed import DidNotRun
from chaos.live.nemeses import DISK, FOLDER, INSTANT, KILL, NEMESES, OPERATOR, PAUSE, STRAIT, TERM, VENUE, VOLUME
from chaos.live.nodes import End
from chaos.live.pauses import HEALING_NS
from chaos.live.plan import Fault, Plan
from chaos.live.strike import Struck
from chaos.live.workload import Denied, Lifted, Told
from chaos.rig.asked import request_of

MS: Final = 1_000_000
ENDS: Final = (INSTANT, DISK, FOLDER, VOLUME, STRAIT)  # rooms whose faults may end processes
NEVER: Final = (INSTANT, VENUE, OPERATOR)  # rooms in which nothing that was not done is excused


def all_done(plan: Plan, done: Sequence[Struck]) -> Check:
    """Every fault of the plan began, did what it says to whom it says, and was healed.

    What could not be done is right only where another fault of the plan stood in the way: a node that it has down can't
    be stopped, and while everything else is broken nobody may lead.  An instant that never came, a venue that found
    nothing to strike and an operator whom nobody obeyed are never excused: the scenario has shown nothing then.  A
    mixture need only do something: what it meant to do besides is told of each fault, and counted over many runs.
    """
    if plan.scenario.mixture:
        return _some_done(plan, done)
    left = {fault.number for fault in plan.faults} - {one.fault.number for one in done}
    told = [f"{fault.kind} {fault.target} was not played" for fault in plan.faults if fault.number in left]
    for one in done:
        others = [other for other in done if other is not one and _beside(other, one)]
        excused = NEMESES[one.fault.kind].room not in NEVER and any(_kept(other, one) for other in others)
        told += [f"{one}: {what}" for what in one.not_done if not (excused and isinstance(what, DidNotRun))]
        if one.fault.needs_leader and one.led is None and not others:
            told.append(f"{one}: meant for the {one.fault.target}, and nobody traded when it began")
    return Check("faults_played", len(plan.faults), tuple(told))


def _some_done(plan: Plan, done: Sequence[Struck]) -> Check:
    left = {fault.number for fault in plan.faults} - {one.fault.number for one in done}
    told = [f"{fault.kind} {fault.target} was not played" for fault in plan.faults if fault.number in left]
    if all(one.not_done for one in done):
        told.append("nothing of the whole mixture was done")
    return Check("faults_played", len(plan.faults), tuple(told))


def disturbed(done: Sequence[Struck]) -> set[tuple[int, str]]:
    """By a fault's number, the nodes that another fault may have ended, stopped or cut off meanwhile."""
    return {
        (one.fault.number, node)
        for one in done
        for other in done
        if other is not one and _beside(other, one)
        for node in {*one.aim.nodes} & {*other.aim.nodes}
    }


def brief(faults: Iterable[Fault], window_ms: int) -> set[int]:
    """The numbers of the pauses that are to be shorter than the window."""
    return {fault.number for fault in faults if fault.kind == PAUSE and fault.lasts < window_ms * MS}


def paused_briefly(done: Sequence[Struck], window_ms: int) -> Check:
    """A pause that was to be shorter than the window was: it lasts until our process gets a processor to end it."""
    numbers = brief([one.fault for one in done], window_ms)
    found = [one for one in done if one.fault.number in numbers]
    told = tuple(
        f"{one}: stopped for {(one.end_ns - one.begin_ns) / MS:.0f} ms, not {one.fault.lasts / MS:.0f} as planned, "
        f"and the window is {window_ms} ms: what it was to show it did not"
        for one in found
        if one.end_ns - one.begin_ns >= window_ms * MS
    )
    return Check("paused_briefly", len(found), told)


def _beside(other: Struck, one: Struck) -> bool:
    """Whether it, or the healing after it, was there meanwhile."""
    return other.begin_ns <= one.end_ns and one.begin_ns <= other.end_ns + HEALING_NS


def _kept(other: Struck, one: Struck) -> bool:
    """Whether it may have kept a node of these from running."""
    ends = other.fault.kind in {KILL, TERM, PAUSE} or NEMESES[other.fault.kind].room in ENDS
    return ends and bool(set(other.aim.nodes) & set(one.aim.nodes))


def acknowledged(history: History, told: Sequence[Told]) -> Check:
    """What an operator was told is done is in every node's log, where it was said to be."""
    violations = []
    for node in history.nodes:
        found = {(record.index, request_of(record.command)) for record in node.audit}
        violations += [
            f"{node.name} lacks {one.request}, acknowledged at index {one.index}"
            for one in told
            if (one.index, one.request) not in found
        ]
    return Check("acknowledged", len(told), tuple(violations))


def denied(history: History, told: Sequence[Denied]) -> Check:
    """What an operator was told was not done is in no node's log as done; and nothing is there as done twice.

    Looks at every request of an operator's that any log has.
    """
    violations, seen = [], set[str]()
    refused = {one.request: one.status for one in told}
    for node in history.nodes:
        times = Counter(request_of(one.command) for one in node.audit if one.accepted and not one.duplicate)
        times.pop("", None)
        seen |= times.keys()
        violations += [
            f"{node.name} has done {request}, of which {refused[request]} was answered, that nothing was done"
            for request in times
            if request in refused
        ]
        violations += [
            f"{node.name} has done {request} {number} times" for request, number in times.items() if number > 1
        ]
    return Check("denied", len(seen | refused.keys()), tuple(violations))


def tightened(logs: Mapping[str, Iterable[Mapping[str, Any]]], allowed: Collection[str]) -> Check:
    """Trading was halted, or reduced, for these causes alone; `logs`: each node's lines.  Looks at every such line."""
    looked_at, violations = 0, list[str]()
    for name, lines in logs.items():
        for line in lines:
            if line.get("event") != "risk state changed":
                continue
            looked_at += 1
            causes = str(line["cause"]).split(", ")  # of a resume, all that it lifted
            if not set(causes) <= set(allowed):
                violations.append(f"{name}: trading {line['trading']}, because of {line['cause']}")
    return Check("tightened", looked_at, tuple(dict.fromkeys(violations)))


def ended_well(ends: Sequence[End], last: Mapping[str, int], done: Sequence[Struck], history: History) -> Check:
    """No process ended by itself; one that was asked to end did so in time and in order, and released what it led.

    `last`: by node, the code with which it ended when all were asked to.
    """
    told = [f"{end}: nobody asked it to" for end in ends if not end.why]
    told += [f"{end}, not with 0" for end in ends if end.why and not end.disturbed and end.code]
    told += [f"{name} ended with code {code} at the end, not with 0" for name, code in sorted(last.items()) if code]
    released = {
        record.term
        for node in history.nodes
        for record in node.audit
        if record.kind == "authority_released" and record.accepted
    }
    told += [
        f"{one}: it traded in epoch {one.epoch}, and ended without a release of it"
        for one in done
        if one.fault.kind == TERM and one.led in one.aim.nodes and one.epoch not in released and _alone(one, done)
    ]
    return Check("ended_well", len(ends) + len(last), tuple(told))


def _alone(one: Struck, done: Sequence[Struck]) -> bool:
    return len(one.aim.nodes) == 1 and not any(other is not one and _beside(other, one) for other in done)


def leader_kept(done: Sequence[Struck], elected: Sequence[Mapping[str, Any]]) -> Check:
    """Nobody became leader in a fault or the healing after it.  Looks at all elections: the first one must be there."""
    told = [
        f"{one}: {change['node']} became leader in term {change['term']} ({change['reason']}), "
        f"{(int(change['mono_ns']) - one.begin_ns) / 1e6:.0f} ms after it began; lost: {change['lost']}, "
        f"a node stood still for {change['stall_ms']} ms"
        for change in elected
        for one in done
        if one.begin_ns <= int(change["mono_ns"]) <= one.end_ns + HEALING_NS
    ]
    first = min((one.begin_ns for one in done), default=0)
    if not any(int(change["mono_ns"]) < first for change in elected):
        told.append("no log tells of the election before the first fault: elections are not seen at all")
    return Check("leader_kept", len(elected), tuple(told))


def unaided(lifted: Sequence[Lifted]) -> Check:
    """Nobody had to do anything for trading to come back.  Looks at the run."""
    told = (f"somebody lifted {one.cause} at index {one.index}: without that nobody would trade" for one in lifted)
    return Check("unaided", 1, tuple(told))


def cancelled(history: History, asked: Mapping[int, Collection[str]]) -> Check:
    """By hand some order was cancelled; `asked`: by a fault's number, its requests that were acknowledged."""
    found = {request_of(record.command) for node in history.nodes for record in node.audit if record.cancels}
    return found_some(found, asked)


def found_some(found: Collection[str], asked: Mapping[int, Collection[str]]) -> Check:
    """The same, of the requests that are known to have found an order to be cancelled."""
    told = [
        f"cancel {number}: {len(requests)} requests were acknowledged, and no order was to be cancelled by any of them"
        for number, requests in sorted(asked.items())
        if not set(found).intersection(requests)
    ]
    return Check("cancelled", len(asked), tuple(told))
