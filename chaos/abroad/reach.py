"""Reach: which faults of a plan can be done to a cluster that somebody else deployed, and why the others can't.

Pure.  A fault is done whole or left out: one of the network only if each link that it may hit has a proxy, whoever
leads by then.  What is left out is said; of a scenario that lacks something only what fewer faults keep more easily is
still claimed, and what is claimed no more is said too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Final

from attrs import evolve, frozen

from chaos.live.links import Link, links_of, struck
from chaos.live.nemeses import CANCEL, NEMESES, NETWORK, OPERATOR, PAUSE, PROCESS, SAYS, STRAIT, VENUE
from chaos.live.plan import Fault, LeftOut, Plan
from chaos.live.scenarios import EVERY, NODES, PAIRS, Scenario

MACHINE: Final = "it takes a hand on the node's machine"
INSIDE: Final = "it takes nodes that are started by chaos' own launcher"
PROCESSES: Final = "it takes the nodes' processes"
TRAILS: Final = "it takes the nodes' folders and logs"
LEDGER: Final = "it takes the ledger of a paper venue ([paper])"
PARTS: Final = "it is claimed of the whole scenario, of which faults were left out"
NO_DOOR: Final = "the exchange has no door for faults ([paper])"


NOT_GROWN: Final = "not_grown"
STORMED: Final = "stormed"
CLAIMS: Final[Mapping[str, tuple[str, Any]]] = {  # by its check, a scenario's word for a claim, and what it is without
    "leader_lost": ("leader_lost", False),
    "silent": ("silent_within_ms", None),
    "no_authority": ("no_authority", False),
    "unseen_fills": ("unseen_fills", False),
    NOT_GROWN: ("grows_mib", None),
    STORMED: ("storms", False),
}


@frozen
class Reach:
    """What there is to reach: nodes, links with a proxy, and whether the venue has a door."""

    nodes: tuple[str, ...]
    links: frozenset[str]  # by our names of them
    paper: bool


def links_between(nodes: Sequence[str]) -> tuple[Link, ...]:
    """Every link that there may be, by name: where it listens is its proxy's."""
    nowhere = dict.fromkeys((*nodes, "rest", "ws_api", "stream"), 0)
    return links_of(nodes, 0, nowhere, nowhere, nowhere)


def reached(plan: Plan, reach: Reach) -> Plan:
    """The faults of it that can be done, meant for the nodes that there are; and what was left out, with why."""
    left, kept = list[LeftOut](), list[Fault]()
    for fault in plan.faults:
        here = evolve(fault, target=_called(fault.target, reach.nodes))
        why = why_not(here, reach)
        if why:
            left.append(LeftOut(here.kind, here.target, here.links, why))
        else:
            kept.append(here)
    unclaimed = tuple(_unclaimed(plan, {one.kind for one in left}, reach))
    scenario = _less(plan.scenario, {one.kind for one in kept}, {check for check, _ in unclaimed})
    return Plan(scenario, plan.seed, tuple(kept), tuple(left), unclaimed)


def why_not(fault: Fault, reach: Reach) -> str:
    """Why it can't be done; "" if it can."""
    room = NEMESES[fault.kind].room
    if room == NETWORK:
        lacking = sorted(_may_hit(fault, reach.nodes) - reach.links)
        return f"no proxy stands in {_few(lacking)}" if lacking else ""
    if room == VENUE:
        return "" if reach.paper else NO_DOOR
    if room == OPERATOR:
        return ""
    return MACHINE if room in {PROCESS, STRAIT} else INSIDE


def _may_hit(fault: Fault, nodes: Sequence[str]) -> set[str]:
    """The links that it hits, whoever leads when it begins."""
    links = links_between(nodes)
    return {
        link.name
        for hit, between in _aims(fault.target, nodes)
        for link, _ in struck(links, fault.links, hit, fault.direction, between=between)
    }


def _aims(target: str, nodes: Sequence[str]) -> Iterator[tuple[Sequence[str], bool]]:
    if target == EVERY:
        yield nodes, False
    elif target in PAIRS:
        for pair in combinations(nodes, 2):
            yield pair, True
    elif target in nodes:
        yield (target,), False
    else:
        for node in nodes:
            yield (node,), False


def _called(target: str, nodes: Sequence[str]) -> str:
    """The nodes that a scenario calls n1, n2 and n3 are the first, the second and the third."""
    return nodes[NODES.index(target)] if target in NODES else target


def _few(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more links" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _unclaimed(plan: Plan, left: Collection[str], reach: Reach) -> Iterator[tuple[str, str]]:
    """The checks of what the scenario says that can't be made here, and why; `left`: the kinds that were left out."""
    for check, (word, nothing) in CLAIMS.items():
        if getattr(plan.scenario, word) == nothing:
            continue
        if check == NOT_GROWN:
            yield check, PROCESSES
        elif check == STORMED:
            yield check, TRAILS
        elif left:  # what it is claimed of may have been there for that
            yield check, PARTS
        elif not reach.paper:
            yield check, LEDGER
    if any(fault.kind == CANCEL for fault in plan.faults) and not reach.paper:
        yield "cancelled", LEDGER
    if SAYS.keys() & left:
        yield "failed_closed", PROCESSES
    if plan.scenario.leader_kept and PAUSE in left:
        yield "paused_briefly", PROCESSES


def _less(scenario: Scenario, kinds: Collection[str], unclaimed: Collection[str]) -> Scenario:
    """What is left of it: steps of these kinds, and what it says without what is `unclaimed`."""
    words = {word: nothing for check, (word, nothing) in CLAIMS.items() if check in unclaimed}
    steps = tuple(step for step in scenario.steps if step.kind in kinds)
    return evolve(scenario, steps=steps, **words)


def playable(plans: Iterable[Plan], reach: Reach, skipped: dict[str, list[dict[str, Any]]]) -> Iterator[Plan]:
    """Those of which something can be done; of the others, by scenario, what was left out goes into `skipped`."""
    for each in plans:
        found = reached(each, reach)
        if found.faults:
            yield found
        else:
            skipped.setdefault(each.scenario.name, [one.document() for one in found.left_out])
