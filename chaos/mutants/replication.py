"""Hazards of pysyncobj.md: its stock behaviour switched back on, hazard by hazard.

Only mutants of the guard, the journal and the core's settings may live here; hazard 1 is in `durability`.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve
from msgpack import packb, unpackb  # type: ignore[import-untyped] # ships no types

from chaos.mutants.cluster_scenes import (
    ALONE,
    HANDOVERS,
    HEALED,
    KILLED,
    LARGE,
    LATE_ANSWERS,
    LEFT_BEHIND,
    RESET,
    STALLED_DISK,
    STORM,
    TORN_META,
    WILD,
)
from chaos.mutants.mutant import mutant
from chaos.mutants.patches import Patches
from chaos.mutants.single_scenes import OLD_ANSWERS
from cluster import raft
from cluster.acks import Acks
from cluster.applying import Applying
from cluster.following import Fitted, Following
from cluster.guard import Guard
from cluster.journal import Journal
from cluster.leading import Leading
from cluster.links import Outgoing
from cluster.proposals import Proposals
from cluster.raft import Raw
from cluster.replica import Replica
from cluster.types import Peer, Role, Token
from cluster.wire import pack_commands

STOCK_FALLBACK = 30.0  # seconds
STOCK_BATCH = 2**16  # bytes


@mutant("h2", TORN_META, "durability", "state_machine_safety", "JournalFault")
def the_commit_index_is_not_clamped(patches: Patches) -> None:
    """At start the stored commit index is believed, though the log ends below it."""

    def stored(self: Any) -> int:
        meta = self._store.meta()
        return int(max(meta.commit_index, meta.applied_index))

    patches.attribute(Journal, "_clamped_commit", stored)


@mutant("h3", ALONE, "lone_leader")
def the_fallback_takes_thirty_seconds(patches: Patches) -> None:
    """A leader without a majority's answers stays leader for as long as stock settings let it."""
    whole = raft._conf  # noqa: SLF001 # what is broken is inside

    def conf(*args: Any) -> Any:
        made = whole(*args)
        made.leaderFallbackTimeout = STOCK_FALLBACK
        return made

    patches.attribute(raft, "_conf", conf)


@mutant("h4", HEALED, "undisturbed")
def no_pre_vote(patches: Patches) -> None:
    """A node that misses its leader stands at once, without asking whether it could win."""

    def ask(self: Any, reason: str) -> None:
        self._elections.ask(self._clock(), self.peers, reason)
        self._stand(reason)

    patches.attribute(Guard, "_ask", ask)


@mutant("h5", LATE_ANSWERS, "lone_leader")
def an_answer_counts_from_its_receipt(patches: Patches) -> None:
    """The age of an answer counts from when it came, not from when that left which it answers."""
    whole = Leading.answered

    def answered(self: Any, peer: Any, ack: Any, now: Any) -> None:
        whole(self, peer, evolve(ack, answers=now), now)

    patches.attribute(Leading, "answered", answered)


@mutant("h5", OLD_ANSWERS, "durability")
def answers_of_an_older_term_count(patches: Patches) -> None:
    """An acknowledgement counts in whatever term it comes."""
    whole = Leading.answered

    def answered(self: Any, peer: Any, ack: Any, now: Any) -> None:
        whole(self, peer, evolve(ack, term=self.core.term), now)

    patches.attribute(Leading, "answered", answered)


@mutant("h6", WILD, "JournalFault", "durability", "state_machine_safety", "log_matching")
def what_is_matched_is_truncated(patches: Patches) -> None:
    """A follower truncates behind every append, matching or not, as the core does."""

    def fit(self: Any, append: Any) -> Fitted:
        self._follow(append.term)
        if self._journal.term(append.previous) == append.previous_term:
            self.verified = max(self.verified, append.previous + len(append.entries))
        return Fitted(append.previous, append.previous_term, append.entries, append.commit)

    patches.attribute(Following, "fit", fit)


@mutant("h8", HANDOVERS, "outcomes")
def what_a_deposed_leader_was_asked_waits(patches: Patches) -> None:
    """A command that waits when the lead is lost is kept, and proposed whenever that node leads again."""
    patches.attribute(Proposals, "settle_queue", lambda *_args: None)


@mutant("h18", STALLED_DISK, "replaced")
def a_leader_whose_disk_stalls_stays(patches: Patches) -> None:
    """A disk that takes no more is not noticed: the leader leads on and commits nothing."""
    patches.attribute(Replica, "_watch_disk", lambda *_args: None)


@mutant("h19", STORM, "outcomes")
def a_follower_forwards_what_it_refuses(patches: Patches) -> None:
    """What a follower is asked its core sends on to the leader, which appends it: the caller hears that it was not."""
    asked, heard, said = Replica.propose, Replica.received, Guard.core_sends

    def propose(self: Any, command: bytes, token: Token) -> None:
        asked(self, command, token)
        if self._guard.core.role is not Role.LEADER:
            self._guard.propose(pack_commands((command,)))

    def core_sends(self: Any, peer: Peer, message: Raw) -> None:
        if message["type"] == "apply_command":
            self.outbox.append(Outgoing(peer, packb(message), promise=False))
        else:
            said(self, peer, message)

    def received(self: Any, peer: Peer, frame: bytes) -> None:
        if b"apply_command" in frame:
            self._guard.core.deliver(peer, unpackb(frame))
            self._guard.core.tick()
        else:
            heard(self, peer, frame)

    patches.attribute(Replica, "propose", propose)
    patches.attribute(Guard, "core_sends", core_sends)
    patches.attribute(Replica, "received", received)


@mutant("h20", STORM, "state_machine_safety", "ApplyFault", "outcomes")
def the_log_is_applied_again(patches: Patches) -> None:
    """A node that starts applies its log from the first entry on, over the state that it has stored."""
    begin = Applying.__init__

    def made(self: Applying, *args: Any) -> None:
        begin(self, *args)
        self.applied = 0

    patches.attribute(Applying, "__init__", made)


@mutant("h21", LARGE, "NoPickle")
def batches_of_stock_size(patches: Patches) -> None:
    """Entries of 64 KiB and more take the core's chunked path."""
    patches.attribute(raft, "BATCH", STOCK_BATCH)


@mutant("h26", LEFT_BEHIND, "caught_up")
def a_step_back_at_a_time(patches: Patches) -> None:
    """After a mismatch the leader goes back by one index a round trip."""
    whole = Acks.answer

    def answer(self: Any, peer: Any, ack: Any, *known: Any) -> Any:
        if not ack.success:
            ack = evolve(ack, verified=max(0, self.followers[peer].next - 2))
        return whole(self, peer, ack, *known)

    patches.attribute(Acks, "answer", answer)


@mutant("quick detection", KILLED, "replaced")
def a_dead_leader_is_waited_for(patches: Patches) -> None:
    """The end of the leader's connections is no news: its successor waits for the election timeout."""
    patches.attribute(Guard, "_link_ended", lambda *_args: None)


@mutant("quick detection", RESET, "undisturbed")
def any_lost_connection_is_a_lost_leader(patches: Patches) -> None:
    """One connection of two ends, and the leader is taken for dead, by whoever is asked as well."""

    def ended(self: Any, peer: Any) -> None:
        if not self._leads and self.core.leader == peer:
            self._leader_lost(peer)

    patches.attribute(Guard, "_link_ended", ended)
    patches.attribute(Guard, "_hears", lambda *_args: False)
