"""Model: how TLC is asked, in its own words, and what its answer means.

Pure: text out, text in.  `Authority.tla` of `meltica/leader/spec` is extended by a module that holds nothing but
the cases; TLC reads that module and a configuration.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from attrs import asdict, frozen

from chaos.spec.cases import Case

MODULE: Final = "Asked"
REACHED: Final = frozenset({"HandedOver", "Installed", "Overlap", "Replaced", "Traded"})  # no property: a state
_HEAD: Final = """CONSTANTS
  n1 = n1
  n2 = n2
  n3 = n3
  n4 = n4
  Nodes = {n1, n2, n3, n4}
  First = n1
  New = n4
  None = None
  Cases <- Listed
SPECIFICATION Spec
SYMMETRY Symmetry
VIEW View
"""


@frozen
class Answer:
    """What TLC made of one run.  `hits`: of each case, what was hit and after how many steps."""

    ended: bool  # all that the bounds allow was looked at, or a case alone was hit
    hits: dict[str, dict[str, int]]
    states: int  # distinct ones
    trouble: str  # what TLC said, where it neither ended nor hit
    trace: str  # the steps to a hit, of a case alone


@frozen
class Verdict:
    """One row."""

    name: str
    good: bool
    text: str


def literal(value: object) -> str:
    """A Python value in TLA+.

    Raises:
        TypeError: there is no word for it.
    """
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, frozenset):
        return "{" + ", ".join(sorted(literal(each) for each in value)) + "}"
    raise TypeError(f"no TLA+ for {value!r}")


def module(cases: Iterable[Case]) -> str:
    """The module that TLC reads."""
    records = []
    for place, case in enumerate(cases, 1):
        fields = {"id": place, **{name: value for name, value in asdict(case).items() if name != "why"}}
        records.append("  [" + ", ".join(f"{name} |-> {literal(value)}" for name, value in fields.items()) + "]")
    listed = ",\n".join(records)
    return f"---- MODULE {MODULE} ----\nEXTENDS Authority\nListed == {{\n{listed}}}\nASSUME Begin\n====\n"


def configuration(*, alone: bool) -> str:
    """A case alone ends at its first hit, with the steps to it; several are all looked at to their ends."""
    stop = (
        "INVARIANTS Nothing LeaderCompleteness BaseMatched\n"
        if alone
        else "CONSTRAINT Explore\nINVARIANTS LeaderCompleteness BaseMatched\n"
    )
    return _HEAD + stop


def read(output: str, cases: Sequence[Case]) -> Answer:
    """What TLC's output says of `cases`."""
    hits: dict[str, dict[str, int]] = {case.name: {} for case in cases}
    for name, steps, names in re.findall(r'<<"HIT", "([^"]+)", (\d+), \{([^}]*)\}>>', output):
        for hit in re.findall(r'"([^"]+)"', names):
            hits[name].setdefault(hit, int(steps))
    broken = re.search(r"Invariant (\w+) is violated", output)
    trace = output[broken.start() :] if broken else ""
    if broken and broken[1] == "Nothing":
        hits[cases[0].name] = dict.fromkeys(_last_hits(trace, cases[0]), trace.count("\nState ") - 1)
    counts = re.findall(r"([\d,]+) distinct states found", output)
    ended = "Model checking completed. No error has been found." in output
    bad = broken is not None and broken[1] != "Nothing"
    trouble = "" if ended or (broken and not bad) else _trouble(output)
    states = int(counts[-1].replace(",", "")) if counts else 0
    return Answer(ended or (broken is not None and not bad), hits, states, trouble, trace)


def _last_hits(trace: str, case: Case) -> list[str]:
    """What the last state violates; of a state that only had to be reached, its name."""
    last = re.findall(r"/\\ viol = \{([^}]*)\}", trace)
    violated = re.findall(r'"([^"]+)"', last[-1]) if last else []
    wanted = sorted(case.expect)
    return [name for name in violated if not wanted or name in wanted] or wanted


def _trouble(output: str) -> str:
    found = re.search(r"\*\*\*|Error:", output)
    return output[found.start() :][:2000].strip() if found else f"it did not end: {output[-300:].strip()}"


def verdict(case: Case, answer: Answer) -> Verdict:
    """Whether `case` came out as it must."""
    hits = answer.hits[case.name]
    told = ", ".join(f"{name} after {steps} steps" for name, steps in sorted(hits.items()))
    if case.expect:
        missing = sorted(case.expect - set(hits))
        word = "reached" if not case.broken and case.expect <= REACHED else "caught"
        if not missing:
            return Verdict(case.name, good=True, text=f"{word}: {told}")
        return Verdict(case.name, good=False, text=f"NOT {word}: {', '.join(missing)}")
    if hits:
        return Verdict(case.name, good=False, text=f"VIOLATED: {told}")
    if not answer.ended:
        return Verdict(case.name, good=False, text="NOT ENDED")
    return Verdict(case.name, good=True, text="holds")


def steps(trace: str) -> str:
    """The steps of a counterexample, a line each: the action, and the variables that it changed."""
    lines: list[str] = []
    before: dict[str, str] = {}
    for action, body in re.findall(r"State \d+: <(\w+)[^>]*>\n(.*?)(?:\n\n|\Z)", trace, re.DOTALL):
        now = {
            name: re.sub(r"\s+", " ", value).strip()
            for name, value in re.findall(r"/\\ (\w+) = (.*?)(?=\n/\\ |\Z)", body, re.DOTALL)
        }
        changed = [f"{name} = {value}" for name, value in now.items() if before and before.get(name) != value]
        lines.append(f"{action}: {'; '.join(changed)}" if before else action)
        before = now
    return "\n".join(lines)
