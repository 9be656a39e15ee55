"""`python -m chaos.storm PROFILE FIRST:BEHIND [NODES]`: seeded storms over replicas; exit 1 if any seed failed.

Only the command line; the storms are in `chaos.sim.storm`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from chaos.sim import storm
from cluster.types import Applied


def main(arguments: Sequence[str]) -> int:
    """Run them; print each failure as it is found, and what was looked at."""
    if len(arguments) not in {2, 3} or arguments[0] not in storm.PROFILES:
        print(f"usage: python -m chaos.storm {{{','.join(storm.PROFILES)}}} FIRST:BEHIND [NODES]", file=sys.stderr)
        return 2
    first, behind = (int(part) for part in arguments[1].split(":"))
    nodes = int(arguments[2]) if len(arguments) == 3 else 3
    failed = acknowledged = terms = 0
    for seed in range(first, behind):
        try:
            history = storm.run(seed, arguments[0], nodes=nodes).history
        except Exception as error:  # noqa: BLE001 - whatever a seed raises is its finding
            failed += 1
            print(f"seed {seed}: {type(error).__name__}: {error}", flush=True)
            continue
        acknowledged += sum(isinstance(outcome, Applied) for outcome in history.outcomes.values())
        terms += len(history.leaders)
    print(f"{behind - first} seeds, {failed} failed, {acknowledged} commands acknowledged, {terms} terms")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
