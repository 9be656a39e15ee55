"""Members: who takes part, counted, changed or forgotten wrongly.

Only mutants of that may live here.  Where a storm does not show one, a directed test does: chaos/DESIGN.md says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import evolve

from chaos.mutants.members_scenes import EMPTIED, LONG_TURNOVER, OLD_COPY, ONE_AWAY, SHORTENED, TORN_JOINING, TURNOVER
from chaos.mutants.mutant import directed, mutant
from chaos.mutants.patches import Patches
from cluster import appending
from cluster.acks import Acks
from cluster.adopted import Adopted, Placed
from cluster.appending import Appending
from cluster.elections import Elections
from cluster.guard import Guard
from cluster.journal import Journal, _stored
from cluster.leading import Leading
from cluster.members import Ground, allow, encode, follow
from cluster.memory import MemoryStore
from cluster.proposals import Proposals
from cluster.raft import RaftCore
from cluster.remembered import Remembered
from cluster.standing import Standing
from cluster.types import Peer

CHANGES = "cluster/test_changes.py"
BEGINNING = "cluster/test_beginning.py"
STANDING = "cluster/test_standing.py"
INSTALLING = "cluster/test_installing.py"
SHRUNK = "test_three_of_five_by_their_settings_are_no_second_group"
LESS = "test_one_that_says_less_than_what_is_committed_here_stops_the_node"
AS_OF = "test_who_took_part_is_said_as_of_the_entry_that_is_asked_about"
GOES = "test_a_removed_voter_is_sent_nothing_and_counts_for_nothing_from_the_append_on"
HAD = "test_what_a_learner_had_counts_as_soon_as_it_votes"
UNHEARD = "test_a_removed_node_is_denied_while_its_removal_is_not_committed_and_unheard_from_then_on"
ENDS = "test_a_change_that_waits_for_the_end_of_a_lead_is_not_done"
ANY_MORE = "test_a_change_that_is_not_allowed_any_more_when_it_is_appended_is_not_done"
STRANGER = "test_four_voters_elect_by_three_and_a_stranger_s_grant_is_none"


@mutant("members", TURNOVER, "durability", "members", seeds=12)
def a_learner_votes(patches: Patches) -> None:
    """Whoever gets the log is counted, too."""
    whole = RaftCore.adopt

    def adopt(self: RaftCore, voters: Sequence[Any], learners: Sequence[Any] = ()) -> None:
        whole(self, (*voters, *learners))

    patches.attribute(RaftCore, "adopt", adopt)


@mutant("members", LONG_TURNOVER, "members", "election_safety", seeds=20)
def a_learner_stands(patches: Patches) -> None:
    """A node asks for votes though it has none itself."""
    patches.attribute(Guard, "_may_stand", lambda self: self.unfit is None and not self._remembered.lacks())


@mutant("members", TURNOVER, "members")
def two_changes_at_once(patches: Patches) -> None:
    """A change is appended though the one before it is not committed: their majorities need not meet."""
    patches.attribute(appending, "allow", lambda force, change, ground: allow(force, change, evolve(ground, placed=0)))


@mutant("members", TURNOVER, "members")
def a_change_before_an_entry_of_the_own_term(patches: Patches) -> None:
    """A leader changes who takes part before it has committed anything in its term (Ongaro's correction of 2015)."""
    patches.attribute(appending, "allow", lambda force, change, ground: allow(force, change, evolve(ground, no_op=0)))


@mutant("members", directed(CHANGES, GOES), GOES)
def a_removed_node_is_counted_on(patches: Patches) -> None:
    """Who was removed still elects and commits with the others."""
    whole = RaftCore.adopt

    def adopt(self: Any, voters: Sequence[Any], learners: Sequence[Any] = ()) -> None:
        whole(self, tuple(sorted({*voters, *self._voters})), learners)

    patches.attribute(RaftCore, "adopt", adopt)


@mutant("members", directed(CHANGES, UNHEARD), UNHEARD)
def a_removed_node_is_answered_on(patches: Patches) -> None:
    """A node that was removed for good is heard as before."""
    patches.attribute(Guard, "_settled", lambda _self: None)


@mutant("members", TURNOVER, "members")
def a_change_counts_once_it_is_committed(patches: Patches) -> None:
    """A configuration is in force from its commit on, not from its append on."""
    whole = Guard._adopt  # noqa: SLF001 # what is broken is inside
    patches.attribute(Guard, "_adopt", lambda _self: None)
    patches.attribute(Guard, "_settled", whole)


@mutant("members", directed(CHANGES, HAD), HAD)
def what_a_new_voter_had_said_is_forgotten(patches: Patches) -> None:
    """The core is not told again of a learner that votes now."""
    whole = Acks.adopt

    def adopt(self: Acks, *told: Any) -> list[Any]:
        whole(self, *told)
        return []

    patches.attribute(Acks, "adopt", adopt)


@mutant("members", TURNOVER, "members", "JournalFault")
def a_truncation_keeps_the_configuration(patches: Patches) -> None:
    """An entry goes, and what it said of who takes part stays in force."""
    patches.attribute(Adopted, "truncated", lambda _self, _index: False)


@mutant("members", ONE_AWAY, "members", seeds=20)
def a_silent_voter_is_healthy(patches: Patches) -> None:
    """Whether those who stay are a majority that answers is not looked at."""
    patches.attribute(Leading, "_healthy", lambda *_args: True)


@mutant("8", TURNOVER, "members", "JournalFault")
def who_takes_part_is_not_stored(patches: Patches) -> None:
    """A restart knows only what the settings say."""
    patches.attribute(MemoryStore, "set_places", lambda _self, _places: None)


# No storm edits settings.
@mutant("members", directed(BEGINNING, SHRUNK), SHRUNK)
def the_settings_are_believed_at_each_start(patches: Patches) -> None:
    """What a folder was begun with is not kept: who takes part is what its settings say today."""
    patches.attribute(Journal, "keep_beginning", lambda _self, _members: None)


@mutant("members", LONG_TURNOVER, "members", seeds=20)
def a_learner_that_lags_votes(patches: Patches) -> None:
    """Whoever learns may vote, whatever it lacks of the log."""
    whole = Leading.ground

    def ground(self: Any, name: Peer) -> Ground:
        return evolve(whole(self, name), caught_up=frozenset(self._catching))

    patches.attribute(Leading, "ground", ground)


@mutant("members", TURNOVER, "JournalFault", "members", seeds=20)
def a_leader_removes_itself(patches: Patches) -> None:
    """A leader appends a configuration in which it does not vote."""
    nobody = Peer("")
    patches.attribute(
        appending, "allow", lambda force, change, ground: allow(force, change, evolve(ground, leader=nobody))
    )


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


@mutant("8", directed(STANDING, AS_OF), AS_OF)
def a_snapshot_says_who_takes_part_by_now(patches: Patches) -> None:
    """Whoever installs one goes by a configuration whose entry it has not got."""
    patches.attribute(Standing, "members_at", lambda self, _index: self._journal.book and self._journal.book.in_force)


@mutant("8", TURNOVER, "members", "JournalFault")
def an_installation_keeps_who_took_part(patches: Patches) -> None:
    """What a snapshot says of who takes part is not taken."""
    patches.attribute(Journal, "install_book", lambda _self, _placed: None)


# No leader of a storm has a snapshot that says less than what its receiver knows to be committed.
@mutant("h15", directed(INSTALLING, LESS), LESS)
def a_snapshot_s_members_win(patches: Patches) -> None:
    """What a snapshot says of who takes part is taken, whatever is committed here, as stock takes a dump's members."""

    def install_book(self: Any, placed: Placed | None) -> None:
        if self.book is not None:
            self.book._placed = [placed or self.book.places[0]]  # noqa: SLF001 # what is broken is inside
            self._store.set_places(_stored(self.book))

    patches.attribute(Journal, "install_book", install_book)


@mutant("8", TORN_JOINING, "members")
def an_installation_stores_who_takes_part_in_a_batch_of_its_own(patches: Patches) -> None:
    """A power cut can come between a snapshot's state and what it says of who takes part."""
    whole = Journal.install_book

    def install_book(self: Any, placed: Placed | None) -> None:
        self._store.commit()
        whole(self, placed)

    patches.attribute(Journal, "install_book", install_book)


# A vote is asked of those who vote alone, and no candidate's log changes: only a stranger gives what was not asked.
@mutant("members", directed(CHANGES, STRANGER), STRANGER)
def a_removed_node_s_vote_counts(patches: Patches) -> None:
    """The core counts whoever's vote comes."""
    patches.attribute(RaftCore, "_takes", lambda *_args: True)


# An election that too few encourage is not won by that: it costs time, and a term.
@mutant("members", directed(CHANGES, STRANGER), STRANGER)
def who_encourages_is_counted_by_the_settings(patches: Patches) -> None:
    """How many must encourage a candidate stays what it was at the start."""
    patches.attribute(Elections, "adopt", lambda _self, _members: None)


# In the simulation a change is appended in the very step in which it was asked for: nothing comes between.
@mutant("h8", directed(CHANGES, ENDS), ENDS)
def a_change_that_was_dropped_bars_the_next(patches: Patches) -> None:
    """One that waited when the lead ended counts as waiting for ever."""

    def settle_queue(self: Any, leader: Peer | None) -> None:
        if self.queue:
            self.refuse(list(self.queue), leader)
            self.queue.clear()

    patches.attribute(Proposals, "settle_queue", settle_queue)


# The same.
@mutant("members", directed(CHANGES, ANY_MORE), ANY_MORE)
def a_change_is_judged_only_when_it_is_asked_for(patches: Patches) -> None:
    """What has come between the question and the append is not looked at."""

    def hand_over(self: Any) -> list[Any]:
        wish = self._proposals.take_change()
        entry = encode(follow(self._journal.book.in_force.configuration, wish.change))
        self._guard.propose(entry)
        return [(entry, [wish])]

    patches.attribute(Appending, "_hand_change_over", hand_over)


@mutant("8", OLD_COPY, "leader_completeness", "durability")
def a_copy_of_a_disk_votes(patches: Patches) -> None:
    """A node whose folder is an older copy of its own takes part in elections like any other."""
    whole = Remembered.__init__

    def made(self: Any, journal: Any, store: Any, *, joins: bool = False) -> None:
        whole(self, journal, store, joins=joins)
        self._suspect = False

    patches.attribute(Remembered, "__init__", made)


@mutant("8", SHORTENED, "leader_completeness", "durability")
def a_log_that_lost_its_end_is_taken(patches: Patches) -> None:
    """A node starts, and votes, on a log that ends before what it had synced."""
    patches.attribute(MemoryStore, "check", lambda _self: None)


@mutant("8", EMPTIED, "leader_completeness", "durability")
def an_empty_disk_under_an_old_name_votes(patches: Patches) -> None:
    """A node that finds nothing of its own takes part, though it hears that the others had begun."""
    patches.attribute(Remembered, "_doubt", lambda _self: None)
