"""Wording: what a scenario does and is bound to, in words and as data, for whoever looks at the list.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from chaos.live.nemeses import NEMESES, NETWORK
from chaos.live.scenarios import Range, Scenario, Step, closes

CLAIMS: Final = {  # of each fault, by the field that says so; what is closed is told by `closes`
    "leader_kept": "no leader changes",
    "leader_lost": "it costs whoever trades the lead, and another trades",
    "unseen_fills": "the venue fills orders of ours meanwhile, which nobody hears of then",
}


def lines(scenario: Scenario, *, whole: bool) -> Iterator[str]:
    """Its lines of the list; `whole`: with all that its file says."""
    yield f"{scenario.name}  [{', '.join(scenario.suites)}; {bound(scenario)}]"
    for step in scenario.steps:
        yield f"    does       {full(step) if whole else brief(step)}"
    yield f"    shows      {scenario.shows}"
    yield f"    threatens  {scenario.threatens}"
    yield f"    recovers   {scenario.recovers}"
    for state in closes(scenario):
        yield f"    closes     {state}"
    if whole:
        yield from (f"    {word:10} {what}" for word, what in _more(scenario) if what)


def _more(scenario: Scenario) -> Iterator[tuple[str, str]]:
    yield "bound", scenario.because
    yield "claims", ", ".join(CLAIMS[word] for word in CLAIMS if getattr(scenario, word))
    yield "keeps", f"{scenario.keeps} entries of its log on each node" if scenario.keeps is not None else ""
    yield "grows", f"by {scenario.grows_mib} MiB a round at most" if scenario.grows_mib is not None else ""


def bound(scenario: Scenario) -> str:
    """The bound on the gap."""
    if scenario.gap_ms is not None:
        return f"gap at most {scenario.gap_ms} ms"
    if scenario.back_ms is not None:
        kinds = ", ".join(dict.fromkeys(step.kind for step in scenario.steps if step.stops))
        return f"gap as long as {kinds}, and {scenario.back_ms} ms"
    return "no bound on the gap"


def brief(step: Step) -> str:
    """What is done to whom, when and for how long."""
    words = [
        step.kind,
        " or ".join(step.targets),
        *_way(step),
        f"at {_range(step.at_s)} s for {_range(step.lasts_s)} s",
    ]
    if step.times != (1, 1):
        words.append(f"{_range(step.times)} times, {_range(step.between_s)} s between")
    return " ".join(words)


def full(step: Step) -> str:
    """The same with its parameters, what its kind of fault is, and whether trading may rest meanwhile."""
    given = "".join(f", {word} {_range(value)}" for word, value in step.parameters)
    rests = "; trading may rest as long as it lasts" if step.stops else ""
    return f"{brief(step)}{given}: {NEMESES[step.kind].does}{rests}"


def step_of(step: Step) -> dict[str, Any]:
    """As data: each number a pair, [least, most]."""
    return {
        "kind": step.kind,
        "does": NEMESES[step.kind].does,
        "targets": list(step.targets),
        "at_s": list(step.at_s),
        "lasts_s": list(step.lasts_s),
        "times": list(step.times),
        "between_s": list(step.between_s),
        "links": step.links,
        "direction": step.direction,
        "parameters": {word: list(value) for word, value in step.parameters},
        "stops": step.stops,
    }


def _way(step: Step) -> list[str]:
    """Which links, and which way, where that is not what is usual."""
    one_way = NEMESES[step.kind].room == NETWORK and step.direction != "both"
    return [word for word in (step.links, step.direction if one_way else "") if word]


def _range(found: Range) -> str:
    least, most = found
    return f"{least:g}" if least == most else f"{least:g} to {most:g}"
