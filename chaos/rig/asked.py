"""Asked: what an operator called the action that a log's command came of.

Pure; only that may live here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def request_of(command: Mapping[str, Any]) -> str:
    """Its request id; "" of what nobody asked for."""
    return str((command.get("by") or {}).get("request") or "")
