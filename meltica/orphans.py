"""Orphans: orders of ours at a venue that the settings do not name any more.

Only the finding and refusing of them may live here.  A symbol that is taken out is watched until nothing of ours can
trade there (meltica/leader/DESIGN.md); a whole venue that is taken out has no connection: nobody would see its fills,
nor could cancel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable
from pathlib import Path

from cluster.store import WrongFolder
from meltica.core.orders import Order
from meltica.core.values import Venue


def orphans(orders: Iterable[Order], venues: Container[str]) -> dict[Venue, int]:
    """How many orders may still trade at each venue that is not among these."""
    return dict(Counter(order.venue for order in orders if order.live and order.venue not in venues))


def refuse(data: Path, orders: Iterable[Order], venues: Container[str]) -> None:
    """Raises WrongFolder where there are any: before the node takes part with settings that lose sight of them."""
    found = orphans(orders, venues)
    if found:
        told = ", ".join(f"{count} at {venue}" for venue, count in sorted(found.items()))
        raise WrongFolder(
            f"{data}: orders of ours may still trade at a venue that the settings do not name ({told}): nobody would "
            "see their fills. Put the venue back, cancel them (`meltica kill`, or `meltica cancel ID`), see them gone "
            "in `meltica orders`, and take it out then"
        )
