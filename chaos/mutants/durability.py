"""Rule 8, acknowledged is durable: what is spoken before it is synced, counted before it is kept, or not kept at all.

Only mutants of syncing, of votes and of what counts as a copy may live here.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve

from chaos.mutants.cluster_scenes import COPIED, RESTARTS, STORM
from chaos.mutants.mutant import mutant
from chaos.mutants.patches import Patches
from chaos.mutants.single_scenes import FOLLOWERS_STALL, SHORT_LOG, TWO_CANDIDATES, VOTERS_STALL
from cluster.acks import Acks
from cluster.guard import Guard
from cluster.journal import Journal
from cluster.replica import Replica
from cluster.store import Ticket
from cluster.wire import Ack, AskVote, Vote

FAR = 1 << 62


@mutant("8", STORM, "durability")
def our_own_copy_counts_unsynced(patches: Patches) -> None:
    """A leader counts its own copy of an entry as soon as it is written."""
    whole = Acks.tell
    patches.attribute(Acks, "tell", lambda self, peer, _synced: whole(self, peer, FAR))


@mutant("8", RESTARTS, "durability", "state_machine_safety", "leader_completeness", seeds=16)
def what_is_found_at_start_is_not_synced(patches: Patches) -> None:
    """A process speaks of what an earlier one wrote, and nobody has synced."""
    begin = Replica.__init__

    def made(self: Any, name: Any, peers: Any, timers: Any, store: Any, *rest: Any) -> None:
        store.sync = lambda: Ticket(0)
        begin(self, name, peers, timers, store, *rest)
        del store.sync

    patches.attribute(Replica, "__init__", made)


@mutant("8", RESTARTS, "election_safety")
def term_and_vote_are_not_kept(patches: Patches) -> None:
    """Term and vote live in memory alone: a restarted node votes again."""
    patches.attribute(Journal, "setCurrentTerm", lambda *_args: None)


@mutant("8", RESTARTS, "election_safety", seeds=16)
def the_vote_is_not_kept(patches: Patches) -> None:
    """The term is kept, the vote given in it is not."""
    whole = Journal.setCurrentTerm
    patches.attribute(Journal, "setCurrentTerm", lambda self, term, _vote: whole(self, term, None))


@mutant("8", TWO_CANDIDATES, "election_safety")
def a_node_votes_twice_in_a_term(patches: Patches) -> None:
    """Whoever asks for a vote gets one, whomever else it was given to in that term."""
    whole = Guard._ask_vote  # noqa: SLF001 # what is broken is inside

    def ask(self: Any, peer: Any, question: Any) -> None:
        self.core._core._SyncObj__votedForNodeId = None  # noqa: SLF001 # the same
        whole(self, peer, question)

    patches.attribute(Guard, "_ask_vote", ask)


@mutant("8", SHORT_LOG, "durability", "leader_completeness")
def a_vote_without_a_look_at_the_log(patches: Patches) -> None:
    """A vote is given, and encouraged, however short the candidate's log is."""
    vote, prevote = Guard._ask_vote, Guard._ask_pre_vote  # noqa: SLF001 # what is broken is inside

    def claim(question: Any) -> Any:
        return evolve(question, last=1 << 40, last_term=1 << 40)

    patches.attribute(Guard, "_ask_vote", lambda self, peer, question: vote(self, peer, claim(question)))
    patches.attribute(Guard, "_ask_pre_vote", lambda self, peer, question: prevote(self, peer, claim(question)))


@mutant("8", STORM, "durability", "state_machine_safety", "leader_completeness", "liveness")
def a_refused_append_is_acknowledged(patches: Patches) -> None:
    """A follower acknowledges an append that did not fit, as far as its own log goes."""
    whole = Guard.core_sends

    def sends(self: Any, peer: Any, message: Any) -> None:
        if message["type"] == "next_node_idx" and not message["success"]:
            message = {**message, "success": True}
            self._following.verified = self._journal.last
        whole(self, peer, message)

    patches.attribute(Guard, "core_sends", sends)


@mutant("8", FOLLOWERS_STALL, "durability")
def acknowledgements_do_not_wait_for_the_sync(patches: Patches) -> None:
    """A follower says that it has an entry at once (hazard 1): a power cut takes back what it promised."""
    _at_once(patches, Ack)


@mutant("8", VOTERS_STALL, "election_safety")
def votes_do_not_wait_for_the_sync(patches: Patches) -> None:
    """A vote leaves at once, and so does a candidate's own with its question (hazard 1)."""
    _at_once(patches, Vote, AskVote)


def _at_once(patches: Patches, *kinds: type) -> None:
    whole = Guard.say

    def say(self: Any, peer: Any, message: Any, *, promise: bool = False) -> None:
        whole(self, peer, message, promise=promise and not isinstance(message, kinds))

    patches.attribute(Guard, "say", say)


# Which batches it strikes depends on how many come before: of acknowledged entries, or of terms and votes.
@mutant("8", FOLLOWERS_STALL, "durability", "election_safety")
def every_other_sync_is_skipped(patches: Patches) -> None:
    """Every other batch is taken for durable as soon as it is written."""
    whole = Replica._commit  # noqa: SLF001 # what is broken is inside

    def commit(self: Any) -> None:
        whole(self)
        if self._promised % 2:
            self.synced(self._promised)

    patches.attribute(Replica, "_commit", commit)


@mutant("8", COPIED, "durability")
def what_a_disk_has_lost_still_counts(patches: Patches) -> None:
    """A leader counts on what a follower acknowledged, though it has come back with a disk that lacks it."""

    def began_anew(self: Any, peer: Any, follower: Any, *rest: Any) -> Any:
        follower.probe = -1
        verified, last, now = rest
        return self._go_on_at(peer, follower, verified + 1, last, now)

    patches.attribute(Acks, "_began_anew", began_anew)
