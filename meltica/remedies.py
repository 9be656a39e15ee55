"""Remedies: what an operator does about what was refused, by the refusal's code.

Only that table may live here: a sentence for each code by which the log's rules or the leader refuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_AGAIN: Final = "the lead has just moved: look with `meltica status`, and ask again in a moment"
_OWN: Final = "it is between nodes and venue, not yours to mend: see `meltica audit --last 50`, and keep the logs"
_SETTINGS: Final = "correct the settings, the same on every node, and look with `meltica config check`"
_RECOVER: Final = "follow runbooks/two-nodes-lost.md from its beginning"
_ENTRY: Final = "look with `meltica log show`, and skip the entry that it names"
_RISK: Final = "look with `meltica status`: it names the causes; how they are lifted: runbooks/trading-halted.md"

REMEDIES: Final[Mapping[str, str]] = {
    # an order
    "halted": _RISK,
    "reducing": _RISK,
    "limit": "make it smaller, or wait until less is open; a limit that is too low is in [limits] of the settings",
    "filter": "give a price and a quantity that the venue's rules allow: the message tells the bound",
    "insufficient_balance": "make it smaller, or cancel what binds the balance: see `meltica orders`",
    "bad_order": "correct the order: `meltica submit --help` tells what it is made of",
    "opening_not_approved": "look with `meltica opening show`, then approve it: `meltica opening approve VENUE`",
    "not_trading": "wait until the venue trades this symbol again: its own status page says when",
    "strategy_stopped": "look with `meltica strategies`; when why is understood, `meltica start STRATEGY`",
    "not_quotable": "look with `meltica status`; the leader's log says what it waits for at this symbol",
    "not_now": "wait until the market was heard: `meltica status` says whether the venue is connected; then ask again",
    "not_proposed": _AGAIN,
    "entry_full": "ask again: the next entry has room",
    "order_closed": "nothing is to be done: it is over; see `meltica orders --all`",
    "unknown_order": "look for its id with `meltica orders --all`",
    "nothing_to_cancel": "look with `meltica orders`; an order that may still live is cancelled again by itself",
    # what there is not
    "unknown_strategy": "look with `meltica strategies`: a strategy comes with the settings of the nodes",
    "unknown_venue": "look with `meltica opening show`: a venue and its account come with the settings of the nodes",
    "unknown_instrument": "wait until the venue was read, or add the symbol to the settings of the nodes",
    "not_configured": "wait: the first leader puts its settings into the log; `meltica status` says who leads",
    # the risk state
    "risk_moved": "look with `meltica status` again, then resume what you see",
    "unknown_cause": "look with `meltica status`, and name causes as it shows them",
    "bad_cause": "give a shorter cause, of printable characters",
    # openings
    "already_approved": "nothing is to be done: `meltica opening show` tells who approved what, and when",
    "bad_opening": "look with `meltica opening show`, and approve what it shows",
    "not_allowed": "an operator approves it: `meltica opening approve VENUE`",
    # a request
    "request_reused": "leave --request-id out, so that a new one is made; look first whether the other one was done",
    "bad_command": "correct what the message names, and ask again",
    "not_an_operators": "ask for one of the actions that README lists under HTTP",
    # who leads, and takeovers
    "no_authority": _AGAIN,
    "released": _AGAIN,
    "stale_epoch": "look with `meltica status`: somebody else leads by now; then name the epoch that it shows",
    "not_own_term": _AGAIN,
    "already_taken": _AGAIN,
    "not_taken": _AGAIN,
    "manual_mode": "in manual mode a person promotes: runbooks/fail-over-by-hand.md",
    "already_active": "nothing is to be done; to move trading elsewhere, name another: `meltica promote NODE`",
    "epoch_needed": "look with `meltica status`, and promote with the epoch that it shows: --epoch",
    "handover_running": "wait for its end: look with `meltica status` in a moment",
    "handover_failed": "look with `meltica status`: whoever is elected takes over; promote again if you still want it",
    "no_standby": "start another node, or look why none is connected: `meltica cluster status`",
    "no_such_standby": "look who could take over: `meltica cluster status`",
    # an entry that no node could apply
    "apply_stopped": "see runbooks/apply-stopped.md",
    "not_stopped": _ENTRY,
    "other_entry": _ENTRY,
    "isolated": "nothing is to be done: two roles have said that it is passed; what it was to do is to be asked anew",
    "garbage": "a build wrote what this version does not know: see runbooks/apply-stopped.md and runbooks/upgrade.md",
    # versions and members
    "bad_version": "look with `meltica version show`, and activate the next one",
    "not_reported": "wait until every node has reported: `meltica version show`",
    "not_supported": "roll the newer build out on that node first: runbooks/upgrade.md",
    "bad_approval": "name both as `meltica version show` has them",
    "needs_operator": "an operator approves a build: `meltica version approve BUILD CONFIG`",
    "bad_members": "follow runbooks/replace-a-node.md: one node takes another's place at a time",
    # settings
    "bad_config": _SETTINGS,
    "bad_instrument": _SETTINGS,
    "instrument_changed": _SETTINGS,
    "cluster_changed": _SETTINGS,
    # a cluster that was recovered
    "cluster_reused": _RECOVER,
    "epoch_taken": _RECOVER,
    "not_halted": _RECOVER,
    "too_many": "make a new cluster: `meltica cluster create`",
    # what nodes say of venues and of themselves
    "implausible_clock": "set that node's clock: `meltica status` shows how far off it is: runbooks/leader-unfit.md",
    "bad_fill": _OWN,
    "bad_kind": _OWN,
    "bad_report": _OWN,
    "bad_status": _OWN,
    "in_flight": _OWN,
    "no_such_intent": _OWN,
}


def remedy(code: str) -> str:
    """A sentence; "" where nobody knows one."""
    return REMEDIES.get(code, "")
