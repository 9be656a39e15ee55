"""Holds: what keeps the cluster from trading as its settings say though its nodes are well, a sentence each.

Only that judgement of the status document may live here: pure.  `meltica status` tells them, and its exit code does;
`meltica cluster status` is about the nodes alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from meltica.inforce import NEXT, sentence

WORDS: Final = {"halted": "nothing but cancels is sent", "reducing": "positions may only shrink"}
LONG_S: Final = 30.0  # the venue's settling (10 s by default) and the two reads behind it have passed by far


def holds(document: Mapping[str, Any]) -> list[str]:
    """Each with what to do."""
    judges = (_risk, _openings, _strategies, _doubt, _venues, _settings)
    return [sentence for judge in judges for sentence in judge(document)]


def _risk(document: Mapping[str, Any]) -> list[str]:
    """A halt is somebody's will, and yet not how the cluster is to stay: only a person ends it."""
    trading = document.get("trading")
    if trading not in WORDS:
        return []
    risk = document.get("risk") or {}
    causes = dict.fromkeys(str(one["cause"]) for one in (*risk.get("halts", ()), *risk.get("reduces", ())))
    named = ", ".join(causes)
    lift = f"when the causes are gone, `meltica resume`; causes: {named}; see runbooks/trading-halted.md"
    return [f"trading is {trading}, so {WORDS[trading]}: {lift}"]


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


def _doubt(document: Mapping[str, Any]) -> list[str]:
    """Every timeout is a doubt for a moment: what lasts is a trouble."""
    age = document.get("oldest_doubt_s")
    if age is None or age <= LONG_S:
        return []
    doubt = f"an order has been in doubt for {age:,.0f} s, and counts as executed until the venue shows its end"
    return [f"{doubt}: look with `meltica orders`, and whether the venue is connected"]


def _venues(document: Mapping[str, Any]) -> list[str]:
    return [
        f"{one['name']} is not connected ({one.get('refused') or 'no way to it'}): see runbooks/leader-unfit.md"
        for one in document.get("venues", ())
        if not one["connected"]
    ]


def _settings(document: Mapping[str, Any]) -> list[str]:
    """Limits that somebody edited and that do not hold: a line for all nodes whose files say the same."""
    found: dict[str, list[str]] = {}
    for row in document.get("nodes", ()):
        said = "; ".join(sentence(one) for one in row.get("not_in_force", ()))
        if said:
            found.setdefault(said, []).append(row["name"])
    return [f"the settings of {', '.join(names)} say {said}; {NEXT}" for said, names in found.items()]
