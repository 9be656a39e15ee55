"""Members: who takes part, counted, changed or forgotten wrongly.

Only mutants of that may live here.  No scene changes who takes part yet, so each is seen by a directed test.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import evolve

from chaos.mutants.mutant import directed, mutant
from chaos.mutants.patches import Patches
from cluster import appending
from cluster.acks import Acks
from cluster.adopted import Adopted
from cluster.guard import Guard
from cluster.leading import Leading
from cluster.members import allow, follow
from cluster.memory import MemoryStore
from cluster.raft import RaftCore

CHANGES = "cluster/test_changes.py"
LEARNS = "test_a_learner_is_sent_the_log_and_counts_for_nothing"
ONE = "test_one_change_at_a_time"
OWN_TERM = "test_nothing_changes_before_the_leader_has_committed_an_entry_of_its_own_term"
GOES = "test_a_removed_voter_is_sent_nothing_and_counts_for_nothing_from_the_append_on"
COUNTS = "test_one_that_votes_now_is_sent_that_entry_and_counts_by_what_it_has"
HAD = "test_what_a_learner_had_counts_as_soon_as_it_votes"
FALLS_BACK = "test_a_follower_goes_by_it_before_it_is_committed_and_falls_back_with_a_truncation"
NEVER_STANDS = "test_a_learner_never_stands_and_its_restart_does_not_make_it"
UNHEARD = "test_a_removed_node_is_denied_while_its_removal_is_not_committed_and_unheard_from_then_on"
HEALTHY = "test_a_change_that_leaves_no_majority_of_healthy_voters_is_refused"
KEPT = "test_a_configuration_survives_a_power_cut_with_its_entry_and_only_with_it"


@mutant("h15", directed(CHANGES, LEARNS), LEARNS)
def a_learner_votes(patches: Patches) -> None:
    """Whoever gets the log is counted, too."""
    whole = RaftCore.adopt

    def adopt(self: RaftCore, voters: Sequence[Any], learners: Sequence[Any] = ()) -> None:
        whole(self, (*voters, *learners))

    patches.attribute(RaftCore, "adopt", adopt)


@mutant("h15", directed(CHANGES, NEVER_STANDS), NEVER_STANDS)
def a_learner_stands(patches: Patches) -> None:
    """A node asks for votes though it has none itself."""
    patches.attribute(Guard, "_may_stand", lambda self: self.unfit is None and not self._remembered.lacks())


@mutant("h15", directed(CHANGES, ONE), ONE)
def two_changes_at_once(patches: Patches) -> None:
    """A change is appended though the one before it is not committed: their majorities need not meet."""
    patches.attribute(appending, "allow", lambda force, change, _ground: follow(force, change))


@mutant("h15", directed(CHANGES, OWN_TERM), OWN_TERM)
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


@mutant("h15", directed(CHANGES, COUNTS), COUNTS)
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


@mutant("h15", directed(CHANGES, FALLS_BACK), FALLS_BACK)
def a_truncation_keeps_the_configuration(patches: Patches) -> None:
    """An entry goes, and what it said of who takes part stays in force."""
    patches.attribute(Adopted, "truncated", lambda _self, _index: False)


@mutant("h15", directed(CHANGES, HEALTHY), HEALTHY)
def a_silent_voter_is_healthy(patches: Patches) -> None:
    """Whether those who stay are a majority that answers is not looked at."""
    patches.attribute(Leading, "_healthy", lambda *_args: True)


@mutant("8", directed(CHANGES, KEPT), KEPT)
def who_takes_part_is_not_stored(patches: Patches) -> None:
    """A restart knows only what the settings say."""
    patches.attribute(MemoryStore, "set_places", lambda _self, _places: None)
