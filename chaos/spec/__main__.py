"""`make spec`: the specification of authority is checked, and each way of breaking it is seen.

Only the table on the terminal may live here.  `quick` runs all its cases in one TLC; other words run each case in
its own, so that a counterexample can be shown (`--steps`).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence

from chaos.spec import model, tools
from chaos.spec.cases import GROUPS, QUICK, Case, chosen

WITHIN = 900.0  # seconds a TLC may take; one that needs longer has not ended, and that is a failure


def main(words: Sequence[str]) -> int:
    """Run what `words` name; 0 if each case came out as it must, 1 if not, 2 for a wrong word or a missing tool."""
    parser = argparse.ArgumentParser(prog="make spec SPEC=", description="TLC over the specification of authority")
    parser.add_argument("cases", nargs="*", default=["all"], help=f"{', '.join(GROUPS)}, or names of cases")
    parser.add_argument("--steps", action="store_true", help="show the steps of each counterexample")
    parser.add_argument("--within", type=float, default=WITHIN, metavar="S", help="seconds that one TLC may take")
    asked = parser.parse_args(words)
    try:
        cases = chosen(asked.cases)
        tools.jar()
    except (ValueError, tools.Missing) as why:
        print(why, file=sys.stderr)
        return 2
    together = asked.cases == ["quick"]
    width = max(len(case.name) for case in cases)
    bad = 0
    for case, answer, seconds in _answers(cases, asked.within, together=together):
        row = model.verdict(case, answer)
        bad += not row.good
        counted = "" if together else f"  {answer.states:>9,} states  {seconds:6.1f} s"
        print(f"{'ok ' if row.good else 'BAD'}  {case.name:<{width}}{counted}  {row.text}  ({case.why})", flush=True)
        if answer.trace and (asked.steps or not row.good):
            print(model.steps(answer.trace), flush=True)
    print(f"{len(cases) - bad} of {len(cases)} as they must be")
    return 1 if bad else 0


def _answers(cases: Sequence[Case], within: float, *, together: bool) -> Iterator[tuple[Case, model.Answer, float]]:
    for group in [list(cases)] if together else [[case] for case in cases]:
        begun = time.monotonic()
        answer = tools.ask(group, within)
        seconds = time.monotonic() - begun
        if together:
            print(f"{answer.states:,} states in {seconds:.1f} s, one TLC for {len(QUICK)} cases")
        if answer.trouble:
            print(answer.trouble, file=sys.stderr)
        yield from ((case, answer, seconds) for case in group)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
