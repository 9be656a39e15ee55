"""Patience: which of the gaps of a live run are no busy machine's.

Pure.  The check `gap` judges a bound in both its forms, how long trading may rest and how long beside what may stop it;
this reads what that check has told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

STANDS = 4  # times the bound: then trading stood still
OVER = re.compile(r": ([\d.e+]+) ms, over [\d.e+]+ \(")


def stood_still(found: Mapping[str, Any]) -> list[str]:
    """What a run's document says of gaps that were longer than four times its bound, already for patient timers.

    Also if nobody looked at any, or what is told of one can't be read.
    """
    (gap,) = [one for one in found["checks"] if one["name"] == "gap"]
    bound = found["bound_ms"] or found["back_ms"]
    if not gap["looked_at"]:
        return ["no gap was looked at"]
    return [
        text for text in gap["violations"] if not ((over := OVER.search(text)) and float(over[1]) <= STANDS * bound)
    ]
