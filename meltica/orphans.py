"""Orphans: orders of ours at a venue, or on an account there, that the settings do not name any more.

Only the finding and refusing of them may live here.  A symbol that is taken out is watched until nothing of ours can
trade there (meltica/leader/DESIGN.md); a whole venue that is taken out has no connection: nobody would see its fills,
nor could cancel.  Of another account's connection the same is true: its orders are not this one's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from cluster.store import WrongFolder
from meltica.core.orders import Order
from meltica.core.values import Account, Venue


def orphans(orders: Iterable[Order], accounts: Mapping[str, str]) -> dict[tuple[Venue, Account], int]:
    """How many orders may still trade on each account that is none of these, by venue."""
    live = [(order.venue, order.account) for order in orders if order.live]
    return dict(Counter(one for one in live if accounts.get(one[0]) != one[1]))


def refuse(data: Path, orders: Iterable[Order], accounts: Mapping[str, str]) -> None:
    """Raises WrongFolder where there are any: before the node takes part with settings that lose sight of them."""
    found = orphans(orders, accounts)
    if found:
        told = ", ".join(f"{count} at {venue}, account {account}" for (venue, account), count in sorted(found.items()))
        raise WrongFolder(
            f"{data}: orders of ours may still trade at a venue, or on an account there, that the settings do not name "
            f"({told}): nobody would see their fills. Put the venue back as it was, cancel them (`meltica kill`, or "
            "`meltica cancel ID`), see them gone in `meltica orders`, and take it out then"
        )
