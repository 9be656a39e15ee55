"""In force: what a node's settings say that the log decides otherwise by, so that an edit without effect is told.

Pure.  Only that comparison may live here.  What nodes must agree on entered the log when the first leader began, and
holds from there; a file that says something else is right by itself, and means nothing.  `meltica mode` changes the
mode, so that is not compared; nor is what is in force and not in the file: a strategy may be taken out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from attrs import asdict
from structlog.typing import FilteringBoundLogger

from meltica.config import NodeSettings
from meltica.core.commands import Limits, StrategyPolicy, VenuePolicy
from meltica.core.state import State
from meltica.core.values import text_of

MS: Final = 1_000_000
NEXT: Final = (
    "in this release an edit of what is agreed changes nothing: put it back, the same on every node; other limits "
    "need a new cluster (runbooks/change-settings.md)"
)
IN_NS: Final = frozenset(
    {"book_age", "window", "settle", "mandate_after", "gap_after", "ramp"}
)  # in a file: milliseconds

SHARED: Final = frozenset({"window", "drift_ppm", "mandate_after"})  # a venue's, or [authority]'s for it

Settled = Mapping[str, str]  # by the setting's name as a file has it


def settled_by(settings: NodeSettings) -> Settled:
    """What one node's settings say."""
    ramp = settings.trading.ramp_ms * MS
    return _settled(settings.limits, settings.venue_policies, settings.strategy_policies, ramp)


def in_force(state: State) -> Settled:
    """What the log decides by; nothing before the first leader began."""
    limits = state.settings.limits
    if limits is None:
        return {}
    strategies = [record.policy for record in state.strategies.values()]
    return _settled(limits, list(state.venues.values()), strategies, state.settings.ramp)


def ignored(wanted: Settled, found: Settled) -> list[dict[str, str | None]]:
    """Each setting that has another value in force, or none."""
    if not found:
        return []
    return [
        {"setting": name, "value": value, "in_force": found.get(name)}
        for name, value in wanted.items()
        if found.get(name) != value
    ]


def sentence(one: Mapping[str, Any]) -> str:
    """One of these, for people."""
    held = "nothing of it is in force" if one["in_force"] is None else f"{one['in_force']} is in force"
    return f"{one['setting']} = {one['value']}, and {held}"


def say_ignored(settings: NodeSettings, state: State, log: FilteringBoundLogger) -> None:
    """A warning for each, in the log of a node that starts."""
    for one in ignored(settled_by(settings), in_force(state)):
        log.warning(
            "a setting of the file is not in force",
            setting=one["setting"],
            value=one["value"],
            in_force=one["in_force"],
            next=NEXT,
        )


def _settled(limits: Limits, venues: Sequence[VenuePolicy], strategies: Sequence[StrategyPolicy], ramp: int) -> Settled:
    tables = [("[limits]", asdict(limits))]
    tables += [(f"[venues.{one.venue}]", _without(asdict(one), "venue")) for one in venues]
    tables += [(f"[[strategies]] {one.strategy}", _without(asdict(one), "strategy")) for one in strategies]
    found = {_named(table, key): _text(key, value) for table, keys in tables for key, value in keys.items()}
    return {**found, "[trading] ramp_ms": _text("ramp", ramp)}


def _without(keys: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in keys.items() if key != name}


def _named(table: str, key: str) -> str:
    """As a file has it; what the log has does not tell which of the two tables it came from."""
    shared = table.startswith("[venues.") and key in SHARED
    return f"{table}{' or [authority]' if shared else ''} {_key(key)}"


def _key(name: str) -> str:
    return f"{name}_ms" if name in IN_NS else name


def _text(name: str, value: object) -> str:
    if isinstance(value, Decimal):
        return text_of(value)
    if isinstance(value, bool):
        return str(value).lower()
    if name in IN_NS and isinstance(value, int):
        whole, rest = divmod(value, MS)
        return str(whole) if not rest else f"{value / MS:g}"
    return str(value)
