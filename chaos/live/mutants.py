"""Mutants that a live run must see: each with the scenario in which it matters, and the checks that may see it.

Only the list, and how one is found by its name, may live here; what each breaks is `chaos/mutants`, or `unseen`.  The
scenarios are those that are shipped: what no scenario shows is no mutant of this list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from chaos.live.unseen import UNSEEN, Unseen
from chaos.mutants.catalogue import named
from chaos.mutants.mutant import Mutant

SEEDS: Final = 3  # that are played until one is caught


@frozen
class Shown:
    """One mutant, by its name."""

    mutant: str
    scenario: str
    seen_by: tuple[str, ...]


SHOWN: Final[tuple[Shown, ...]] = (
    Shown("no deadline", "cut-off-with-orders-held", ("one_trader",)),
    Shown("every node sends", "leader-killed", ("intent_first", "one_send")),
    Shown("the price is rounded on the wire", "follower-killed", ("intent_first",)),
    Shown("an unknown outcome is sent again", "venue-answers-lost", ("one_send",)),
    # The state's sum counts that trade twice too, so what was stored is refused when a run is judged.
    Shown("a trade told twice counts twice", "venue-events-twice", ("every_fill_once", "positions", "judged")),
    Shown("trades that a read shows are ignored", "venue-events-lost", ("every_fill_once",)),
    Shown("fees are not taken", "follower-killed", ("positions",)),
    Shown("silence is taken for failure", "venue-answers-lost", ("accounted",)),
    Shown("a takeover assumes what flew to be never sent", "takeover-on-a-stalled-engine", ("accounted",)),
    Shown("a new epoch forgets the halts", "halt-and-kill", ("halt_survives",)),
    Shown("halts are not asked for", "halt-and-kill", ("halt_survives",)),
    Shown("apply reads a clock", "follower-killed", ("state_equal",)),
    Shown(
        "a leader without a majority sends on",
        "leader-cut-off",
        ("silent", "one_trader", "orders_equal", "tightened", "acknowledged", "intent_first"),
    ),
    Shown("refusals are not recorded", "halt-and-kill", ("audit_trail", "state_equal")),
    Shown("the chain begins anew with every entry", "follower-killed", ("audit_trail",)),
    Shown("a halt leaves the quotes", "follower-killed", ("came_to_rest",)),
    Shown("a sync syncs nothing", "power-cut-of-all", ("acknowledged", "intent_first")),
    Shown("no wait", "leader-killed", ("windows_apart",)),
    Shown("orders are let through before authority", "leader-killed", ("in_authority",)),
    Shown("a refused cancel closes the order", "venue-refuses", ("orders_equal", "worst_case")),
    Shown("the age of the book is not asked for", "stream-silent", ("worst_case",)),
    Shown("what was done is told as refused", "follower-killed", ("denied",)),
    Shown("a failed sync is taken for done", "leader-disk-sync-error", ("failed_closed",)),
    Shown("a wrong clock is believed", "takeover-with-a-wrong-clock", ("no_authority",)),
    Shown("no pre vote", "follower-held", ("leader_kept",)),
    Shown("a leader whose disk stalls stays", "leader-disk-stalls", ("leader_lost", "gap")),
    Shown("a takeover never ends", "leader-killed", ("recovered", "gap")),
    Shown("the mandate waits for nothing", "leader-cut-off", ("mandate",)),
    Shown("one lost leader is a storm", "leader-killed", ("unaided",)),
    Shown("who is asked to end hands nothing over", "leader-stopped", ("ended_well",)),
    Shown("a storm of takeovers halts nobody", "rounds-of-resets", ("stormed",)),
    Shown("a descriptor is lost with each link", "rounds-of-resets", ("not_grown",)),
    Shown("a thread is lost with each link", "rounds-of-resets", ("not_grown",)),
    Shown("memory is lost with each link", "rounds-of-resets", ("not_grown",)),
)

# Checks of a live run that no mutant of this list makes fail, and why; each has tests in which it does.
_RIG: Final = "it judges the rig and the plan, not the product: that what was to be shown was"
UNSHOWN: Final[Mapping[str, str]] = {
    "faults_played": _RIG,
    "paused_briefly": _RIG,
    "through_proxies": _RIG,
    "links_used": _RIG,
    "cancelled": _RIG,
    "unseen_fills": _RIG,
    "ledger_whole": "it judges the venue's own record, which no node writes",
    "played": "it says that a run broke off, which is no catch",
    "told": "it says that no page could be made of a run",
}


def found(name: str) -> Mutant | Unseen:
    """The one of this name, of the catalogue or of those that only a live run can show.  Raises LookupError."""
    return next((one for one in UNSEEN if one.name == name), None) or named(name)
