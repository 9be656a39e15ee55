"""Snapshots: what is sent in the place of a log that was dropped, sent, kept or installed wrongly.

Only mutants of that may live here.  Those of the disk break its twin in memory: RocksDB is in no simulation, and what
one of the two may do is one contract's (tests/cluster/contracts/test_staging.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import evolve

from chaos.mutants.cluster_scenes import SNAPSHOTS, TORN_INSTALLATION
from chaos.mutants.mutant import directed, mutant
from chaos.mutants.patches import Patches
from cluster import memory
from cluster.memory import MemoryStore
from cluster.replica import Replica
from cluster.retention import Keeper
from cluster.snapshot import receiving
from cluster.snapshot.faces import Pair
from cluster.snapshot.preparing import Making
from cluster.standing import Standing
from cluster.types import LogIndex, Term
from meltica.leader.authority import Sends

PREPARING = "cluster/snapshot/test_preparing.py"
INSTALLING = "cluster/test_installing.py"
STAGING = "cluster/contracts/test_staging.py"
AS_IT_WAS = "test_a_source_is_the_state_as_it_was_however_far_the_node_goes_on"
MADE = "test_it_is_made_once_it_is_verified_and_installed_once_it_is_whole"
UNSAID = "test_nothing_is_said_of_it_before_it_is_synced"
CAUGHT_UP = "test_one_that_has_caught_up_meanwhile_installs_nothing"
KEPT = "test_the_log_is_kept_for_one_that_is_sent_a_snapshot_and_dropped_once_it_has_it"
HELD = "test_an_offer_of_an_entry_that_the_log_holds_would_cost_its_tail"
LATER = "test_what_came_with_a_snapshot_counts_from_its_installation"


@mutant("8", TORN_INSTALLATION, "state_machine_safety")
def the_log_is_replaced_in_a_batch_of_its_own(patches: Patches) -> None:
    """An installation is two batches, the log's and the state's: a power cut can come between."""
    whole = MemoryStore.install

    def install(self: MemoryStore, entry: Any, *splice: Any) -> None:
        disk, before = self.disk, self.disk.live
        whole(self, entry, *splice)
        after, disk.live = disk.live, before
        self.commit()
        disk.live = after
        self._undo.append(lambda: setattr(disk, "live", before))

    patches.attribute(MemoryStore, "install", install)


# The log is hardly ever faster than a snapshot in the storms: who has it meanwhile was not offered it.
@mutant("h27", directed(INSTALLING, CAUGHT_UP), CAUGHT_UP)
def a_late_snapshot_is_installed(patches: Patches) -> None:
    """A snapshot is taken and installed whatever its receiver has applied meanwhile."""
    patches.attribute(receiving, "_has", lambda _place, _offer: False)


@mutant("7", SNAPSHOTS, "state_machine_safety")
def a_source_of_a_wrong_index(patches: Patches) -> None:
    """A snapshot says that it is the state after the entry before the last."""
    whole = MemoryStore.source

    def source(self: MemoryStore) -> Any:
        made = whole(self)
        for entry in self.entries(LogIndex(made.entry.index - 1), 1):
            made.entry = entry
        return made

    patches.attribute(MemoryStore, "source", source)


@mutant("7", directed(STAGING, AS_IT_WAS), AS_IT_WAS)
def a_source_shows_what_came_since(patches: Patches) -> None:
    """A snapshot is read from the state as it is by then, not as it was: what was measured is not what is sent.

    No storm shows it: its receiver finds another digest, and asks anew until the state stands still.
    """
    whole = MemoryStore.source

    def source(self: MemoryStore) -> Any:
        made = whole(self)

        def read(after: bytes, most: int) -> Sequence[Pair]:
            return memory._bounded(sorted(self.disk.state.items()), after, most)  # noqa: SLF001 # what is broken

        made.read = read  # type: ignore[method-assign] # the same
        return made

    patches.attribute(MemoryStore, "source", source)


@mutant("8", SNAPSHOTS, "JournalFault", "state_machine_safety", "log_matching", "durability")
def the_base_s_term_is_forgotten(patches: Patches) -> None:
    """The entry that the log begins with after an installation is of term 0."""
    whole = MemoryStore.install
    patches.attribute(MemoryStore, "install", lambda self, one, *more: whole(self, evolve(one, term=Term(0)), *more))


@mutant("7", SNAPSHOTS, "state_machine_safety")
def a_state_is_taken_over_half_made(patches: Patches) -> None:
    """What a snapshot brings is the machine's state once its first pairs are in it."""
    whole = Making.step

    def step(self: Making) -> bool:
        if whole(self):
            return True
        self.coming.end(self._applied)
        return True

    patches.attribute(Making, "step", step)


# The node applies nothing meanwhile, as it lacks what comes next; what it would answer, or leave to a stop, is wrong.
@mutant("8", directed(PREPARING, MADE), MADE)
def a_state_is_taken_over_before_it_is_installed(patches: Patches) -> None:
    """The machine has a snapshot's state as soon as it is made: the disk, and what the node says, have the old one."""
    whole = Making.step

    def step(self: Making) -> bool:
        if whole(self):
            self.coming.take_over()
            return True
        return False

    patches.attribute(Making, "step", step)


# What of an installation a power cut takes back was on a majority before: to say it too early costs a resend, no data.
@mutant("8", directed(INSTALLING, UNSAID), UNSAID)
def an_installation_is_spoken_of_unsynced(patches: Patches) -> None:
    """That a snapshot is installed is acknowledged as soon as it is written."""
    whole = Replica._install  # noqa: SLF001 # what is broken is inside

    def install(self: Any) -> Any:
        found = whole(self)
        self._promised = self._durable
        return found

    patches.attribute(Replica, "_install", install)


# The next snapshot is as good, and once nobody proposes any more one is in time.
@mutant("7", directed(INSTALLING, KEPT), KEPT)
def the_log_is_dropped_behind_a_snapshot_that_is_on_its_way(patches: Patches) -> None:
    """What lies between a snapshot and the log's base is gone by the time it is installed: another one is needed."""
    whole = Keeper.step
    patches.attribute(Keeper, "step", lambda self, applied, now, _needed=None: whole(self, applied, now))


# A leader that offers so is told at once, by the next heartbeat's answer, that it need not.
@mutant("h27", directed(INSTALLING, HELD), HELD)
def a_snapshot_may_cost_the_tail_of_a_log(patches: Patches) -> None:
    """One of an entry that the log holds, and has not applied yet, is taken: what lies behind it was acknowledged."""
    patches.attribute(Standing, "holds", lambda *_args: False)


# A successor takes over no sooner than it has read the venues: in the simulation that takes longer than the window.
@mutant("1", directed("meltica/leader/test_authority.py", LATER), LATER)
def the_wait_does_not_count_from_an_installation(patches: Patches) -> None:
    """A node that installed a snapshot waits for what it saw ordered itself, and for nothing that the state knows."""
    patches.attribute(Sends, "installed", lambda *_args: None)
