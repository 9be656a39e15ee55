"""Remedies: what an operator does about what was refused, by the refusal's code.

Only that table may live here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

REMEDIES: Final[Mapping[str, str]] = {
    "already_approved": "nothing is to be done: `meltica opening show` tells who approved what, and when",
    "opening_not_approved": "look with `meltica opening show`, then approve it: `meltica opening approve VENUE`",
    "unknown_strategy": "look with `meltica strategies`: a strategy comes with the settings of the nodes",
}


def remedy(code: str) -> str:
    """A sentence; "" where nobody knows one."""
    return REMEDIES.get(code, "")
