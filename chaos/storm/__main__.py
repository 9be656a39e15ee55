"""`python -m chaos.storm WEATHER FIRST:BEHIND [NODES]`: short, dense storms of one kind; exit 1 if any seed failed.

Only the command line; the storms are in `chaos.sim.storm`.  `meltica-chaos sim --profile cluster` plays the long ones.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from chaos.sim.storm import PROFILES, Storm
from chaos.storm.outcome import play_storm


def main(arguments: Sequence[str]) -> int:
    """Run them; print each failure as it is found, and what was looked at."""
    if len(arguments) not in {2, 3} or arguments[0] not in PROFILES:
        print(f"usage: python -m chaos.storm {{{','.join(PROFILES)}}} FIRST:BEHIND [NODES]", file=sys.stderr)
        return 2
    first, behind = (int(part) for part in arguments[1].split(":"))
    nodes = int(arguments[2]) if len(arguments) == 3 else 3
    failed = acknowledged = terms = 0
    for seed in range(first, behind):
        outcome = play_storm(seed, arguments[0], Storm(seed, arguments[0], nodes=nodes))
        if outcome.violation:
            failed += 1
            print(f"seed {seed}: {outcome.violation}", flush=True)
        acknowledged += outcome.commands
        terms += outcome.terms
    print(f"{behind - first} seeds, {failed} failed, {acknowledged} commands acknowledged, {terms} terms")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
