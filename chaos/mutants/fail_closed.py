"""Rule 9, fail closed: a node that lacks what it needs, and acts all the same.

Only mutants of the gate's switches may live here.
"""

from __future__ import annotations

from typing import Any

from chaos.mutants.intents import commits_alone
from chaos.mutants.mutant import mutant
from chaos.mutants.patches import Patches
from chaos.mutants.replication import the_fallback_takes_thirty_seconds
from chaos.mutants.scenes import CUT_OFF, DISK_STALLED, EVERYBODY_ALONE
from cluster.acks import Acks
from cluster.replica import Replica
from meltica.leader.mandate import Mandate

FAR = 1 << 62


@mutant("9", CUT_OFF, "fail_closed")
def a_leader_without_a_majority_sends_on(patches: Patches) -> None:
    """A leader that hears nobody leads on, commits alone, and sends."""
    the_fallback_takes_thirty_seconds.patch(patches)
    commits_alone.patch(patches)


@mutant("9", DISK_STALLED, "fail_closed")
def a_leader_that_cannot_sync_sends_on(patches: Patches) -> None:
    """A leader whose disk stalls counts its own copy all the same, leads on, and sends."""
    whole = Acks.tell
    patches.attribute(Acks, "tell", lambda self, peer, _synced: whole(self, peer, FAR))
    patches.attribute(Replica, "_watch_disk", lambda *_args: None)


@mutant("9", EVERYBODY_ALONE, "quotes_gone")
def the_mandate_is_not_used(patches: Patches) -> None:
    """An active node that has lost its majority leaves its quotes to the market."""
    patches.attribute(Mandate, "work", lambda *_args: None)


@mutant("9", CUT_OFF, "mandate")
def the_mandate_waits_for_nothing(patches: Patches) -> None:
    """A node cancels under the mandate as soon as it misses a commit."""
    whole = Mandate.due_for

    def due(self: Any, order: Any) -> Any:
        return None if whole(self, order) is None else 0

    patches.attribute(Mandate, "due_for", due)
