"""A verdict: what one check found.

Only the result value and what combines results may live here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen

MOST_SHOWN = 20  # violations listed in full; the rest are counted


@frozen
class Check:
    """One property, whether it held, and how much was looked at."""

    name: str
    looked_at: int
    violations: tuple[str, ...]

    @property
    def held(self) -> bool:
        """A check that looked at nothing has not held (contracts.md section 6)."""
        return self.looked_at > 0 and not self.violations

    def document(self) -> dict[str, Any]:
        """Its JSON form."""
        shown = list(self.violations[:MOST_SHOWN])
        if len(self.violations) > MOST_SHOWN:
            shown.append(f"... and {len(self.violations) - MOST_SHOWN} more")
        return {"name": self.name, "held": self.held, "looked_at": self.looked_at, "violations": shown}


def together(checks: Sequence[Check]) -> Check:
    """One property that was looked at in several places; raises ValueError if it is not one."""
    (name,) = {check.name for check in checks}
    return Check(name, sum(check.looked_at for check in checks), tuple([v for one in checks for v in one.violations]))


def verdict(checks: Sequence[Check]) -> str:
    """`pass` if all checks held, else `fail`."""
    return "pass" if checks and all(check.held for check in checks) else "fail"
