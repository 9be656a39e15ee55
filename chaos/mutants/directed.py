"""What three nodes at a venue can't show: mutants that a named directed test must see.

Only such mutants may live here, each with why no scene shows it.  The patch is in place when the test is read and run.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from msgpack import unpackb  # type: ignore[import-untyped] # ships no types

from chaos.mutants.mutant import directed, mutant
from chaos.mutants.patches import Patches
from cluster.acks import Acks
from cluster.applying import Applying, Passed
from cluster.following import Following
from cluster.guard import Guard
from cluster.leading import Leading
from cluster.replica import Replica
from cluster.types import ApplyOutcome, LogIndex, Peer, Term
from meltica.core.orders import ORDER_LIFE, OrderState, Sign
from meltica.core.records import EpochRecord
from meltica.core.state import State
from meltica.core.values import NodeName
from meltica.leader import authority, mandate
from meltica.leader.dispatch import Dispatch
from meltica.leader.mandate import Mandate

RATIO = "test_the_wait_covers_the_ratio_of_two_clocks_and_not_much_more"
TWICE = "test_two_votes_of_one_peer_are_one"
BELOW = "test_a_stale_reset_does_not_go_below_the_match"
UNVERIFIED = "test_a_follower_commits_only_what_it_has_verified"
STALLED = "test_a_stalled_loop_sends_nothing_until_a_full_pass"
FINAL = "test_fills_are_legal_from_every_state_and_reopen_no_final_one"
POISON = "test_9_ours_stops_there_once_and_says_where"
ABOVE = "test_22_ours_the_leader_is_elected_above_it"
WAITS = "test_23_ours_it_waits_and_asks"
WHOLE = "test_after_stepping_down_it_waits_a_whole_election_timeout"
FORWARDED = "test_a_forwarded_command_is_no_message"
BARRED = "test_told_between_its_question_and_the_answer_it_does_not_stand"
ASLEEP = "test_a_node_that_slept_reads_what_came_before_its_mandate_acts"
QUEUED = "test_a_cancel_that_waits_at_the_socket_does_not_leave_once_this_node_leads_again"
PLACE = "test_a_node_that_takes_another_s_place_does_not_take_its_ids"
UNTAKEN = "test_an_operator_cancels_by_hand_what_the_last_epoch_that_traded_left"
STARVED = "test_the_catching_up_of_one_is_no_heartbeat_for_the_others"


# Two clocks part by a quarter of a millisecond in a window: less than an entry takes to its followers.
@mutant("1", directed("meltica/leader/test_authority.py", RATIO), RATIO)
def the_wait_leaves_out_what_clocks_drift(patches: Patches) -> None:
    """The successor waits for W by its own clock, which may be the faster of the two."""
    patches.attribute(authority, "stretched", lambda window, _drift: window)


# A stall that is longer than the window is told by the window itself, and in a shorter one nobody else may send.
@mutant("9", directed("meltica/leader/test_leader.py", STALLED), STALLED)
def a_stalled_process_sends_at_once(patches: Patches) -> None:
    """A process whose event loop stood still sends before it has looked at what came meanwhile."""
    whole = Dispatch.__init__

    def made(self: Any, desk: Any, stalled: Any) -> None:  # noqa: ARG001 # that it stood still is not asked
        whole(self, desk, lambda _now: False)

    patches.attribute(Dispatch, "__init__", made)


# The checks let a process that goes on act before it hears: in that instant it can't have read what came.
@mutant("9", directed("meltica/leader/test_mandate.py", ASLEEP), ASLEEP)
def the_mandate_acts_before_the_inbox(patches: Patches) -> None:
    """A node that was stopped takes the time for one without a majority, and cancels before it reads what came."""
    patches.attribute(Mandate, "_slept", lambda _self, _now: False)


# Nobody in the simulation of the whole product takes another's place while authority is not taken.
@mutant("3", directed("meltica/leader/test_mandate.py", PLACE), PLACE)
def who_takes_another_s_place_takes_its_ids(patches: Patches) -> None:
    """A node that came since the epoch began cancels under the ids of one that took part then."""
    whole = mandate.places_of

    def places_of(epoch: EpochRecord, node: NodeName) -> tuple[int, int]:
        return whole(epoch, node if node in epoch.members else epoch.members[-1])

    patches.attribute(mandate, "places_of", places_of)


# No connection of the simulation keeps a request back for as long as a takeover takes.
@mutant("2", directed("meltica/leader/test_mandate.py", QUEUED), QUEUED)
def a_mandates_cancel_is_judged_once(patches: Patches) -> None:
    """A cancel without a majority that waits at the socket is written whoever leads by then."""
    patches.attribute(Mandate, "_may", lambda _self, _order, _epoch: True)


# Sixteen elections in a row that nobody may take, minutes apart, are more than a run is long.
@mutant("9", directed("meltica/leader/test_untaken.py", UNTAKEN), UNTAKEN)
def epochs_are_forgotten_by_count_and_age_alone(patches: Patches) -> None:
    """The log forgets the last epoch that traded under a run of others that took no authority."""

    def oldest(self: Any) -> tuple[Any, Any]:
        first, second, *_ = sorted(self.epochs)
        return first, second

    patches.attribute(State, "_oldest_epochs", oldest)


# The next read of open orders does not show it, and closes it again before the end.
@mutant("4", directed("meltica/core/test_orders.py", FINAL), FINAL)
def a_fill_reopens_a_closed_order(patches: Patches) -> None:
    """A fill of an order that the venue called cancelled or expired opens it again."""
    for state in (OrderState.CANCELLED, OrderState.EXPIRED):
        patches.item(ORDER_LIFE, (state, Sign.FILL_PART), OrderState.PARTIALLY_FILLED)


# In three nodes the one that votes twice is with the candidate a majority already.
@mutant("8", directed("cluster/test_guard.py", TWICE), TWICE)
def a_vote_that_comes_twice_counts_twice(patches: Patches) -> None:
    """A candidate counts votes, not voters."""
    whole = Guard._vote  # noqa: SLF001 # what is broken is inside

    def vote(self: Any, peer: Any, told: Any) -> None:
        self._votes = set()
        whole(self, peer, told)

    patches.attribute(Guard, "_vote", vote)


# No storm puts an older disk under a node and has the one who knows of it connect within that node's election.
@mutant("8", directed("cluster/test_went_back.py", BARRED), BARRED)
def a_node_whose_disk_went_back_goes_on_standing(patches: Patches) -> None:
    """Who hears, after it asked whether it could be elected, that its log lacks something acknowledged, stands on."""

    def pre_vote(self: Any, peer: Any, answer: Any) -> None:
        if not self._leads and self._elections.answered(peer, answer, self._clock()):
            self.core.raise_term(self._elections.term)
            self._stand(self._elections.reason)

    def known(self: Any, peer: Any, message: Any) -> None:
        self._remembered.told(message, voter=peer in self.voting)

    patches.attribute(Guard, "_known", known)
    patches.attribute(Guard, "_pre_vote", pre_vote)


# In the storms something is proposed all the time, and each proposal is a heartbeat for everyone.
@mutant("h4", directed("cluster/test_guard.py", STARVED), STARVED)
def what_one_is_sent_is_everyones_heartbeat(patches: Patches) -> None:
    """Whatever is sent to one follower puts the next heartbeat of all of them off."""
    whole = Leading.send

    def send(self: Any, peer: Any, message: Any) -> None:
        whole(self, peer, message)
        guard = self._say.__self__
        guard._beat = self._clock() + self._timers.heartbeat  # noqa: SLF001 # what is broken is inside

    patches.attribute(Leading, "send", send)


# It costs a round trip: what is sent again is matched, and changes nothing.
@mutant("h6", directed("cluster/test_guard.py", BELOW), BELOW)
def a_stale_reset_goes_below_the_match(patches: Patches) -> None:
    """A refusal that comes late has the leader begin again below what the follower has acknowledged since."""
    whole = Acks.answer

    def answer(self: Any, peer: Any, ack: Any, *known: Any) -> Any:
        follower = self.followers[peer]
        matched = follower.matched
        follower.matched = matched if ack.success else 0
        try:
            return whole(self, peer, ack, *known)
        finally:
            follower.matched = max(follower.matched, matched)

    patches.attribute(Acks, "answer", answer)


# A leader sends what its commit index speaks of, and its snapshots carry none: 8 seeds of three storms see nothing.
@mutant("h7", directed("cluster/test_guard.py", UNVERIFIED), UNVERIFIED)
def the_commit_index_is_taken_unverified(patches: Patches) -> None:
    """A follower takes the leader's commit index over whatever its own log has there."""
    whole = Following.fit
    patches.attribute(Following, "fit", lambda self, append: whole(self, append)._replace(commit=append.commit))


# The product's state machine never raises but for a fault of the program, which the simulation does not have.
@mutant("h9", directed("cluster/hazards/test_commands.py", POISON), POISON)
def an_entry_that_raises_is_tried_again_for_ever(patches: Patches) -> None:
    """An exception in apply stops nothing: the entry is tried again in every step, as in stock at every tick."""
    whole = Applying._go_on  # noqa: SLF001 # what is broken is inside

    def go_on(self: Any, commit: int, passed: list[Passed]) -> None:
        with suppress(Exception):
            whole(self, commit, passed)

    patches.attribute(Applying, "_go_on", go_on)


# The same.
@mutant("7", directed("cluster/hazards/test_commands.py", POISON), POISON)
def an_entry_that_raises_is_passed_over(patches: Patches) -> None:
    """An exception in apply is swallowed: the node goes on behind the entry, and acknowledges it."""
    whole = Applying._apply  # noqa: SLF001 # what is broken is inside

    def apply(self: Any, entry: Any) -> Passed:
        try:
            return whole(self, entry)
        except Exception:  # noqa: BLE001 # that is the mutant
            self.applied = entry[1]
            return Passed(LogIndex(entry[1]), Term(entry[2]), (), ApplyOutcome((), (), ()), None)

    patches.attribute(Applying, "_apply", apply)


# Nobody in the storms sends what is none of our frames.
@mutant("h19", directed("cluster/test_guard.py", FORWARDED), FORWARDED)
def a_forwarded_command_is_taken(patches: Patches) -> None:
    """A leader appends whatever command a peer sends it, as stock does: nobody is told what came of it."""
    whole = Replica.received

    def received(self: Any, peer: Peer, frame: bytes) -> None:
        if b"apply_command" in frame:
            self._guard.core.deliver(peer, unpackb(frame))
            self._guard.core.tick()
        else:
            whole(self, peer, frame)

    patches.attribute(Replica, "received", received)


# Whoever is above the leader stands by itself before long, and the log is none the worse for it.
@mutant("h22", directed("cluster/hazards/test_elections.py", ABOVE), ABOVE)
def a_newer_term_is_not_answered(patches: Patches) -> None:
    """A node whose term is above the leader's is silent, and hears it no more."""
    patches.attribute(Guard, "_newer_term", lambda _self, _message: None)


# Terms that run up cost elections, which the checks of a history don't count.
@mutant("h4", directed("cluster/hazards/test_elections.py", WAITS), WAITS)
def a_leader_that_fell_back_stands_unasked(patches: Patches) -> None:
    """Who has led and leads no more stands at each of its timeouts, without asking whether it could win."""
    whole, asks = Guard.core_role, Guard._ask  # noqa: SLF001 # what is broken is inside

    def core_role(self: Any, role: Any) -> None:
        was = self._leads
        whole(self, role)
        self.fell = was or getattr(self, "fell", False)

    def ask(self: Any, reason: str) -> None:
        asks(self, reason)
        if getattr(self, "fell", False):
            self._stand(reason)

    patches.attribute(Guard, "core_role", core_role)
    patches.attribute(Guard, "_ask", ask)


# The pre-vote asks in vain then, and moves no term.
@mutant("h23", directed("cluster/test_guard.py", WHOLE), WHOLE)
def a_leader_that_falls_back_asks_at_once(patches: Patches) -> None:
    """The election timer is not armed anew when the lead is lost: it is long over."""
    whole = Guard.core_role

    def core_role(self: Any, role: Any) -> None:
        was = self._leads
        whole(self, role)
        if was and not self._leads:
            self._elections.at = self._clock()

    patches.attribute(Guard, "core_role", core_role)
