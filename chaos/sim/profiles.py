"""Profiles: what each kind of storm stresses, and which faults there are.

Only tables may live here: a fault's kind with its weight.  A kind that ends in `_active` strikes the active node (or
who leads, or anybody); what each does is in `faults` and `operators`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from cluster.types import Retention

MS: Final = 1_000_000
SECOND: Final = 1000 * MS
EVERYTHING: Final = "everything"

LASTS: Final = (50 * MS, 200 * MS, 500 * MS, SECOND, SECOND, 3 * SECOND, 5 * SECOND)
SHORT: Final = (30 * MS, 100 * MS, 200 * MS, 350 * MS, 500 * MS, 800 * MS, 1500 * MS)

# Processes: killed (nothing is lost), unplugged (of what is not synced a prefix survives), stopped, and their clocks.
PROCESSES: Final[Mapping[str, int]] = {
    "kill_active": 5,
    "kill": 2,
    "power_active": 2,
    "power": 1,
    "torn_active": 2,  # unplugged in the middle of a write
    "kill_all": 1,
    "power_all": 1,
    "restarts": 1,  # again and again, a moment after each start
    "pause_active": 4,
    "pause": 1,
    "clock_rate": 1,
    "wall_jump": 1,
    "wall_jump_active": 1,
}
# Struck when it matters: the next active node while it takes over, this one while it hands over.
MOMENTS: Final[Mapping[str, int]] = {
    "kill_taking_active": 2,
    "pause_taking_active": 1,
    "isolate_taking_active": 1,
    "kill_draining_active": 2,
    "pause_draining_active": 1,
    "isolate_draining_active": 1,
}
NETWORK: Final[Mapping[str, int]] = {
    "isolate_active": 3,
    "isolate": 2,
    "bridge": 1,
    "one_way_in": 1,
    "one_way_in_active": 1,
    "one_way_out": 1,
    "one_way_out_active": 1,
    "hold_active": 2,
    "reset": 1,
    "slow_link": 1,
    "slow_links": 1,  # each of the six by something else: what one carries overtakes what another does
}
DISKS: Final[Mapping[str, int]] = {
    "disk_stall_active": 2,
    "disk_stall": 1,
    "sync_error_active": 1,
    "sync_error": 1,
    "disk_full": 1,
    "bit_flip": 1,
    "old_copy": 1,  # a disk comes back as it was some time ago
}
VENUE: Final[Mapping[str, int]] = {
    "slow_active": 3,
    "venue_cut_active": 2,
    "drop_answer": 2,
    "delay_answer": 1,
    "drop_request": 1,
    "reject": 1,
    "duplicate_event": 1,
    "reorder_events": 1,
    "silence_active": 1,
    "disconnect": 2,
    "rate_limit": 1,
    "maintenance": 1,
    "clock_offset": 1,
    "slow_venue": 1,
    "stale_reads": 2,
    "engine_stall": 1,
    "lose_event": 2,
    "mix_events": 1,
}
OPERATORS: Final[Mapping[str, int]] = {  # no faults, and told apart from them
    "promote": 4,
    "halt_resume": 2,
    "risk_kill": 1,
    "reduce": 1,
    "manual": 1,
    "hand_order": 3,
    "cancel_all": 1,
    "without_quorum": 1,
}
# What surely ends a lead, or nearly so: every plan has one.
LEADER_CHANGES: Final = frozenset(
    {"kill_active", "power_active", "torn_active", "kill_all", "power_all", "kill_taking_active"}
)


@frozen
class Profile:
    """One kind of storm; lengths in nanoseconds, from and to."""

    kinds: Mapping[str, int]
    faults: tuple[int, int]
    acts: tuple[int, int] = (1, 4)  # of operators
    length: int = 29 * SECOND
    lasts: tuple[int, ...] = LASTS
    counts: bool = True  # whether a seed must have enough in it (run.py), and is traded on in calm until it has
    retention: Retention | None = None  # how little of its log each node keeps, so that snapshots are sent; None: all


def _stressed(kinds: Mapping[str, int], others: int, *stressed: Mapping[str, int]) -> dict[str, int]:
    """All kinds, those of `stressed` that many times as often."""
    often = {kind for each in stressed for kind in each}
    return {kind: weight * (others if kind in often else 1) for kind, weight in kinds.items()}


ALL: Final[Mapping[str, int]] = {**PROCESSES, **MOMENTS, **NETWORK, **DISKS, **VENUE}
ELECTIONS: Final = {**PROCESSES, **MOMENTS, **NETWORK, "disk_stall_active": 2, "slow_active": 3}
UNPLUGGED: Final = {kind: PROCESSES[kind] for kind in ("power_active", "power", "torn_active", "power_all", "restarts")}
POWER: Final = {**DISKS, **PROCESSES, "isolate_active": 2, "drop_answer": 2, "slow_active": 2}
MARKET: Final = {**VENUE, "kill_active": 3, "pause_active": 2, "isolate_active": 2}
# Long absences of standbys, over logs that reach back for a second or two: who comes back is sent a snapshot.  Without
# disks that are lost for good: once two nodes have installed a snapshot over a record, the third one has the only copy.
ABSENCES: Final[Mapping[str, int]] = {
    "kill": 4,
    "power": 4,
    "pause": 3,
    "isolate": 6,
    "one_way_in": 2,
    "hold_active": 2,
}
LOST: Final = frozenset({"bit_flip", "old_copy"})
AWAY: Final = {**{kind: weight for kind, weight in ALL.items() if kind not in LOST}, **ABSENCES}
KEPT: Final = Retention(entries=20, most_entries=40)
PROFILES: Final[Mapping[str, Profile]] = {
    EVERYTHING: Profile(ALL, faults=(6, 12)),
    "elections": Profile(_stressed(ELECTIONS, 2, NETWORK), faults=(9, 16), lasts=(*SHORT, *LASTS)),
    "disks": Profile(_stressed(POWER, 4, DISKS, UNPLUGGED), faults=(7, 13)),
    "venue": Profile(_stressed(MARKET, 2, VENUE), faults=(7, 14), acts=(0, 3)),
    # Short and few, for many seeds in little time: nothing is asked of what a seed holds, so it proves less.
    "small": Profile(ALL, faults=(3, 7), acts=(0, 2), length=8 * SECOND, counts=False),
    "handovers": Profile(_stressed(ALL, 3, MOMENTS), faults=(6, 10), acts=(6, 14), lasts=SHORT),
    "retention": Profile(AWAY, faults=(8, 14), lasts=(SECOND, 3 * SECOND, 5 * SECOND), retention=KEPT),
}

# --- replication alone (chaos.storm): what strikes it ---------------------------------------------------------------

CLUSTER: Final = "cluster"
SNAPSHOTS: Final = "snapshots"
MEMBERS: Final = "members"
ALONE: Final = (CLUSTER, SNAPSHOTS, MEMBERS)
STRIKES: Final[Mapping[str, int]] = {
    "partition": 6,
    "isolate": 3,
    "kill": 6,
    "freeze": 3,
    "stall_disk": 3,
    "hand_over": 3,
    "rolling": 2,
    "resign": 3,
    "reset": 3,
    "kill_all": 1,
    "power_all": 3,
    "slow_link": 3,
    "fail_disk": 3,
    "flip_bit": 3,
    "change_rate": 3,
}
LEAVE_BEHIND: Final = "leave_behind"  # only where logs are short
POWER_CUTS: Final[Mapping[str, str]] = {"power": "power_cut", "restarts": "restart_and_power_cut"}  # by weather
# Where nodes are replaced: a fault that waits for its moment, and how many of it there are in a second.
MEANWHILE: Final = "meanwhile"  # for the next change that is about to be appended
ASKED_ALONE: Final = "asked_alone"  # for the next question: whoever leads is cut off just before it
FATES: Final = ("old_killed", "old_cut_off", "old_frozen", "old_lost")  # for the next node that is to be replaced
# One disk at a time comes back as what it was before: as a copy, without its end, or as a second, empty folder.
WENT_BACK: Final = ("old_copy", "shorten", "emptied")
GO_BACK: Final = 0.7  # of seeds, for each of them
RECOVER: Final = "recover"  # all nodes but one are lost for good, and a group of its own is made of that one
RECOVERS: Final = 0.3  # of seeds
WAITING: Final[Mapping[str, float]] = {MEANWHILE: 0.5, ASKED_ALONE: 0.5, **dict.fromkeys(FATES, 0.08)}
_STRUCK: Final = (*STRIKES, *POWER_CUTS.values())
KINDS: Final[Mapping[str, tuple[str, ...]]] = {  # what a plan of each profile may have in it
    **{name: (*dict.fromkeys((*ALL, *ABSENCES, *OPERATORS)),) for name in PROFILES},
    CLUSTER: _STRUCK,
    SNAPSHOTS: (*_STRUCK, LEAVE_BEHIND),
    MEMBERS: (*_STRUCK, LEAVE_BEHIND, *WAITING, *WENT_BACK, RECOVER),
}
