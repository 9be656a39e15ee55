"""Holds: what keeps the cluster from trading as its settings say though its nodes are well, a sentence each.

Only that judgement of the status document may live here: pure.  `meltica status` tells them, and its exit code does;
`meltica cluster status` is about the nodes alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def holds(document: Mapping[str, Any]) -> list[str]:
    """Each with what to do."""
    return [*_openings(document), *_strategies(document)]


def _openings(document: Mapping[str, Any]) -> list[str]:
    return [
        f"no order is accepted at {one['venue']}: the opening balance of {one['account']} waits for your approval; "
        f"look with `meltica opening show`, then `meltica opening approve {one['venue']}`"
        for one in document.get("openings", ())
        if not one["approved"]
    ]


def _strategies(document: Mapping[str, Any]) -> list[str]:
    return [
        f"{one['id']} is stopped: {one['stopped']}; look with `meltica strategies`, then `meltica start {one['id']}`"
        for one in document.get("strategies", ())
        if one["stopped"]
    ]
