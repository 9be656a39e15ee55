"""Smaller: a plan that failed, shrunk, and kept in a file that `meltica-chaos sim --plan` plays.

Only telling, writing and how much is tried may live here; shrinking is `shrink`'s.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from chaos.sim.plan import Plan, document_of
from chaos.sim.shrink import smallest

OF_A_RANGE: Final = 2  # failures of a range of seeds that are shrunk
TRIES_OF_A_RANGE: Final = 40
TRIES: Final = 120  # of a single one


@frozen
class Smaller:
    """`run` plays a plan and names the checks that it violates; `folder` is where plans are kept."""

    run: Callable[[Plan], frozenset[str]]
    folder: Path

    def kept(self, plan: Plan, failing: frozenset[str], tries: int) -> dict[str, Any]:
        """The smallest plan that was found to fail like this one, and how to play it.

        Raises:
            OSError: it can't be written.
        """
        print(f"seed {plan.seed}: looking for a smaller plan, at most {tries} runs", file=sys.stderr, flush=True)
        found = smallest(plan, failing, self.run, tries)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{found.profile}-{found.seed}.json"
        path.write_text(json.dumps(document_of(found), indent=1) + "\n")
        return {"plan": document_of(found), "replay": f"meltica-chaos sim --plan {path}"}
