"""Ready: what one step of a replica asks of its driver.

Only that value may live here.
"""

from __future__ import annotations

from typing import NamedTuple

from cluster.roster import Roster
from cluster.store import Ticket
from cluster.types import AppliedEntry, Installed, MonoNs, Outcome, Peer, RoleChanged, Token


class Ready(NamedTuple):
    """What one step asks of its driver (a named tuple: a frozen class of six fields takes as long as a whole part).

    `sends` leave at once (what had to wait for a sync is only here once it is synced).  `ticket`: a sync is wanted,
    at least up to it; call `synced` with what `Store.sync` returned.  Call `step` again after the next input, and
    at `wake_at` at the latest.  `installed`: the state has jumped, in a step in which nothing was applied.  `roster`:
    whom the links are for from now on, where that is news.
    """

    sends: tuple[tuple[Peer, bytes], ...]
    ticket: Ticket | None
    applied: tuple[AppliedEntry, ...]
    outcomes: tuple[tuple[Token, Outcome], ...]
    roles: tuple[RoleChanged, ...]
    wake_at: MonoNs
    installed: Installed | None = None
    roster: Roster | None = None
