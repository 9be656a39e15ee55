"""Openings: the balances that accounts start from: what a venue shows, and whether an operator may approve it.

Only reading the state may live here.  Where the policy does not approve an opening by itself (`approve_opening`),
nothing is ordered at that venue until an operator has, once and for good.  They approve what they saw, to the last
digit: what has changed meanwhile is looked at again.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from meltica.api.ports import ActionOutcome, ApproveOpening, OutcomeKind, Row
from meltica.core.exact import add
from meltica.core.state import State
from meltica.core.values import Account, Venue, text_of

LOOK: Final = "look again with `meltica opening show`, then approve what you see: `meltica opening approve {0}`"


def rows(state: State) -> list[Row]:
    """Each configured account: what was approved, by whom; or what the venue shows and nobody has approved yet."""
    found: list[Row] = []
    for venue, policy in sorted(state.venues.items()):
        opening = state.openings.get((venue, policy.account))
        here = (venue, policy.account)
        times = [int(one.at) for (*where, _), one in state.balances.items() if tuple(where) == here]
        found.append(
            {
                "venue": venue,
                "account": policy.account,
                "approved": opening is not None,
                "by": opening.actor if opening else None,
                "index": int(opening.index) if opening else None,
                "wall_ns": int(opening.at) if opening else max(times, default=None),
                "balances": _texts(dict(opening.balances)) if opening else _texts(shown(state, venue, policy.account)),
            }
        )
    return found


def shown(state: State, venue: Venue, account: Account) -> dict[str, Decimal]:
    """What the venue says the account holds, free or locked, as far as the log was told."""
    found = {
        asset: add(one.free, one.locked)
        for (where, whose, asset), one in sorted(state.balances.items())
        if (where, whose) == (venue, account)
    }
    return {asset: amount for asset, amount in found.items() if amount}


def refusal(wish: ApproveOpening, state: State, *, current: bool) -> ActionOutcome | None:
    """Why it may not be approved now; None: it may.  `current`: this node trades, and hears the venue."""
    policy = state.venues.get(wish.venue)
    if policy is None or (wish.venue, policy.account) in state.openings:
        return None  # the log says so better
    if not current:
        text = f"{wish.venue} is not connected to a node that trades, so what it holds for us may be another by now"
        return ActionOutcome(OutcomeKind.REFUSED, text, "approve it once `meltica status` shows somebody active")
    found, wanted = shown(state, wish.venue, policy.account), dict(wish.balances)
    if not found:
        text = f"{wish.venue} shows no balance of {policy.account}"
        return ActionOutcome(OutcomeKind.REFUSED, text, "fund the account; the log is told within seconds")
    if found != wanted:
        odd = sorted(asset for asset in {*found, *wanted} if found.get(asset) != wanted.get(asset))
        told = ", ".join(f"{_amount(found, one)} {one}, not {_amount(wanted, one)}" for one in odd)
        return ActionOutcome(OutcomeKind.REFUSED, f"{wish.venue} shows {told}"[:1000], LOOK.format(wish.venue))
    return None


def planned(wish: ApproveOpening, state: State) -> ActionOutcome:
    """What approving it would do."""
    policy = state.venues.get(wish.venue)
    if policy is None:
        return ActionOutcome(OutcomeKind.REFUSED, f"{wish.venue} is not in the log's configuration yet")
    opening = state.openings.get((wish.venue, policy.account))
    if opening is not None:
        text = f"the opening balance of {policy.account} at {wish.venue} was approved at entry {opening.index}"
        return ActionOutcome(OutcomeKind.REFUSED, text, "nothing is to be done")
    held = told_of(_texts(dict(wish.balances)))
    text = f"{policy.account} at {wish.venue} would start from {held}, and orders be accepted"
    return ActionOutcome(OutcomeKind.DONE, text)


def told_of(balances: Mapping[str, str]) -> str:
    """For people."""
    return ", ".join(f"{amount} {asset}" for asset, amount in balances.items()) or "nothing"


def _texts(balances: Mapping[Any, Decimal]) -> dict[str, str]:
    return {asset: text_of(amount) for asset, amount in sorted(balances.items())}


def _amount(balances: Mapping[str, Decimal], asset: str) -> str:
    return text_of(balances.get(asset, Decimal(0)))
