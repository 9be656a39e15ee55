"""Members: who takes part, counted, changed or forgotten wrongly.

Only mutants of that may live here.  Where a storm does not show one, a directed test does: chaos/DESIGN.md says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import evolve

from chaos.mutants.members_scenes import TURNOVER
from chaos.mutants.mutant import directed, mutant
from chaos.mutants.patches import Patches
from cluster import appending
from cluster.acks import Acks
from cluster.adopted import Adopted, Placed
from cluster.guard import Guard
from cluster.leading import Leading
from cluster.members import Ground, allow
from cluster.memory import MemoryStore
from cluster.raft import RaftCore
from cluster.standing import Standing
from cluster.types import Peer

CHANGES = "cluster/test_changes.py"
GOES = "test_a_removed_voter_is_sent_nothing_and_counts_for_nothing_from_the_append_on"
HAD = "test_what_a_learner_had_counts_as_soon_as_it_votes"
UNHEARD = "test_a_removed_node_is_denied_while_its_removal_is_not_committed_and_unheard_from_then_on"


@mutant("h15", TURNOVER, "durability", "members", seeds=12)
def a_learner_votes(patches: Patches) -> None:
    """Whoever gets the log is counted, too."""
    whole = RaftCore.adopt

    def adopt(self: RaftCore, voters: Sequence[Any], learners: Sequence[Any] = ()) -> None:
        whole(self, (*voters, *learners))

    patches.attribute(RaftCore, "adopt", adopt)


@mutant("h15", TURNOVER, "members")
def a_learner_stands(patches: Patches) -> None:
    """A node asks for votes though it has none itself."""
    patches.attribute(Guard, "_may_stand", lambda self: self.unfit is None and not self._remembered.lacks())


@mutant("h15", TURNOVER, "members")
def two_changes_at_once(patches: Patches) -> None:
    """A change is appended though the one before it is not committed: their majorities need not meet."""
    patches.attribute(appending, "allow", lambda force, change, ground: allow(force, change, evolve(ground, placed=0)))


@mutant("h15", TURNOVER, "members")
def a_change_before_an_entry_of_the_own_term(patches: Patches) -> None:
    """A leader changes who takes part before it has committed anything in its term (Ongaro's correction of 2015)."""
    patches.attribute(appending, "allow", lambda force, change, ground: allow(force, change, evolve(ground, no_op=0)))


@mutant("h15", directed(CHANGES, GOES), GOES)
def a_removed_node_is_counted_on(patches: Patches) -> None:
    """Who was removed still elects and commits with the others."""
    whole = RaftCore.adopt

    def adopt(self: Any, voters: Sequence[Any], learners: Sequence[Any] = ()) -> None:
        whole(self, tuple(sorted({*voters, *self._voters})), learners)

    patches.attribute(RaftCore, "adopt", adopt)


@mutant("h15", directed(CHANGES, UNHEARD), UNHEARD)
def a_removed_node_is_answered_on(patches: Patches) -> None:
    """A node that was removed for good is heard as before."""
    patches.attribute(Guard, "_settled", lambda _self: None)


@mutant("h15", TURNOVER, "members")
def a_change_counts_once_it_is_committed(patches: Patches) -> None:
    """A configuration is in force from its commit on, not from its append on."""
    whole = Guard._adopt  # noqa: SLF001 # what is broken is inside
    patches.attribute(Guard, "_adopt", lambda _self: None)
    patches.attribute(Guard, "_settled", whole)


@mutant("h15", directed(CHANGES, HAD), HAD)
def what_a_new_voter_had_said_is_forgotten(patches: Patches) -> None:
    """The core is not told again of a learner that votes now."""
    whole = Acks.adopt

    def adopt(self: Acks, *told: Any) -> list[Any]:
        whole(self, *told)
        return []

    patches.attribute(Acks, "adopt", adopt)


@mutant("h15", TURNOVER, "members", "JournalFault")
def a_truncation_keeps_the_configuration(patches: Patches) -> None:
    """An entry goes, and what it said of who takes part stays in force."""
    patches.attribute(Adopted, "truncated", lambda _self, _index: False)


@mutant("h15", TURNOVER, "members")
def a_silent_voter_is_healthy(patches: Patches) -> None:
    """Whether those who stay are a majority that answers is not looked at."""
    patches.attribute(Leading, "_healthy", lambda *_args: True)


@mutant("8", TURNOVER, "members", "JournalFault")
def who_takes_part_is_not_stored(patches: Patches) -> None:
    """A restart knows only what the settings say."""
    patches.attribute(MemoryStore, "set_places", lambda _self, _places: None)


@mutant("h15", TURNOVER, "members")
def a_learner_that_lags_votes(patches: Patches) -> None:
    """Whoever learns may vote, whatever it lacks of the log."""
    whole = Leading.ground

    def ground(self: Any, name: Peer) -> Ground:
        return evolve(whole(self, name), caught_up=frozenset(self._catching))

    patches.attribute(Leading, "ground", ground)


@mutant("8", TURNOVER, "members", "JournalFault", seeds=20)
def what_was_in_force_at_the_base_is_forgotten(patches: Patches) -> None:
    """Once a change is followed by another, a truncation of that one falls back too far."""

    def based(self: Any, index: int) -> Placed:
        base: Placed = self.at(index)
        self._placed = [self._placed[0], *[placed for placed in self._placed if placed.index > base.index]]
        return base

    patches.attribute(Adopted, "based", based)


@mutant("8", TURNOVER, "members", "JournalFault")
def a_snapshot_says_nothing_of_who_takes_part(patches: Patches) -> None:
    """Whoever installs one goes by what its settings say."""
    patches.attribute(Standing, "members_at", lambda _self, _index: None)
