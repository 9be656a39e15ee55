"""Leading: what a leader does for its followers: sends what each of them lacks, hears its answers, hands over to one.

Only a leader's side of what passes between wire and core lives here; what is known of each follower is in `acks`.  Met
here, by number of pysyncobj.md: 5 (acknowledgements carry their term), 25 (a follower is hidden inside `send` once
enough is in flight); 7, 24 and 25 (the core never sends a snapshot: one that wants to is stopped).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from cluster.acks import Acks, Delivery, Follower
from cluster.journal import Journal, JournalFault
from cluster.links import HandOver, Links
from cluster.members import Ground
from cluster.raft import RaftCore, Raw
from cluster.remembered import Remembered
from cluster.replacing import CatchUp
from cluster.types import MonoNs, Peer, Timers
from cluster.wire import BATCH, MAX_ENTRIES, Ack, Append, Message

TICK: Final = 1_000  # ns: the core compares floats of seconds, strictly; so much later it surely sees it


class Guarded(Protocol):
    """What of the guard a leader needs."""

    core: RaftCore
    peers: tuple[Peer, ...]

    def say(self, peer: Peer, message: Message, *, promise: bool = False) -> None:
        """Send it, if the link is up."""

    def resign(self, reason: str) -> None:
        """Step down now."""


class Leading:
    """One node's work for its followers, while it leads; `leads` and `core` are the guard's to set."""

    core: RaftCore

    def __init__(
        self,
        guard: Guarded,
        timers: Timers,
        *,
        journal: Journal,
        remembered: Remembered,
        links: Links,
        clock: Callable[[], MonoNs],
    ) -> None:
        self.leads = False
        self.due = False  # the core has something to do in a tick
        self.hand_over: HandOver | None = None
        self.acks = Acks(guard.peers, journal.first)
        self.behind = self.acks.behind  # who needs a snapshot of ours; nobody while it does not lead
        self.links = links
        self._say, self._resign = guard.say, guard.resign
        self._timers = timers
        self._journal = journal
        self._remembered = remembered
        self._clock = clock
        self._broken: dict[Peer, bool] = {}  # hidden inside a send; whether the core must rewind
        self._needed = 0  # others' answers that make a majority with ourselves
        self._catching: dict[Peer, CatchUp] = {}  # learners
        self._no_op = 0  # index of the lead's first entry

    # Who takes part

    def adopt(self, peers: Sequence[Peer], voting: Sequence[Peer]) -> None:
        """These are the others now, and those of them vote: the core goes by it already."""
        now, last = self._clock(), self._journal.last
        self._needed = (len(voting) + 1) // 2
        self._broken = {peer: cut for peer, cut in self._broken.items() if peer in peers}
        told = self.acks.adopt(peers, voting, last, self._journal.synced, now)
        if not self.leads:
            return
        for peer in peers:
            if self.links[peer].outbound:
                self.core.show(peer)
        for peer, deliveries in told:
            self.tell(peer, deliveries)
        self._catching = {peer: self._catching.get(peer) or self._lags(now) for peer in peers if peer not in voting}
        self.due = True  # another majority may have what this one lacked

    def ground(self, name: Peer) -> Ground:
        """What this leader, of that name, knows of the others, for a change of who takes part."""
        now, book = self._clock(), self._journal.book
        hears = [peer for peer, follower in self.acks.followers.items() if self._healthy(peer, follower, now)]
        ready = [peer for peer, catching in self._catching.items() if catching.caught_up(now)]
        placed = 0 if book is None else book.in_force.index
        return Ground(name, placed, self._no_op, self._journal.commit, frozenset([name, *hears]), frozenset(ready))

    def _healthy(self, peer: Peer, follower: Follower, now: MonoNs) -> bool:
        """Whether a majority may rest on it: it answers, and has the log but for what one append takes.

        It answers by its answer, and by its link, as each counts as having answered when a lead begins.
        """
        link, bound = self.links[peer], self._timers.election_min
        recent = link.heard is not None and now - link.heard < bound and now - follower.answered < bound
        near = peer not in self.behind and self._journal.last - follower.matched <= MAX_ENTRIES
        return recent and near and link.outbound and not follower.lost

    def _lags(self, now: MonoNs) -> CatchUp:
        return CatchUp(self._timers.election_min, self._journal.last, now)

    # What comes

    def connected(self, peer: Peer) -> None:
        """Our connection to a follower is up."""
        self.core.show(peer)
        self.tell(peer, self.acks.reconnected(peer, self._journal.last, self._clock()))
        self.send_on(peer)

    def answered(self, peer: Peer, ack: Ack, now: MonoNs) -> None:
        """An answer to an append.  One of another term is stale: it speaks of another leader's log (5)."""
        try:
            follower = self.acks.followers[peer]
        except KeyError:  # no member, or not yet, or not any more
            return
        if ack.term != self.core.term:
            return
        was, before = follower.lost, follower.matched
        self.tell(peer, self.acks.answer(peer, ack, self._journal.last, self._journal.synced, now))
        if follower.matched != before:
            self._remembered.acknowledged(peer, follower.matched)
        if not follower.votes:
            self._catching[peer] = self._catching[peer].heard(follower.matched, self._journal.last, now)
        if not was and follower.lost and follower.votes and follower.delivered > self._journal.commit:
            self._resign("a follower lost what it acknowledged")  # the core counts its copy for what may commit
        else:
            self.send_on(peer)

    def synced(self) -> None:
        """More of our own is durable: answers that waited for that may count now."""
        for peer in self.acks.peers:
            self.tell(peer, self.acks.tell(peer, self._journal.synced))

    def rise(self) -> None:
        """Our log begins higher now: a leader's core is told at once whom it can't send on where it was."""
        if not self.leads:
            self.acks.base = self._journal.first
            return
        for peer, delivery in self.acks.rise(self._journal.first, self._journal.last):
            self.tell(peer, [delivery])

    # What goes

    def tell(self, peer: Peer, deliveries: Sequence[Delivery]) -> None:
        """Tell the core of a follower."""
        for message, at in deliveries:
            if message["success"] and message["next_node_idx"] > self._journal.commit + 1:
                self.due = True  # it may commit
            self.core.deliver(peer, message, at=at)

    def send(self, peer: Peer, message: Raw) -> None:
        """An append of the core's."""
        now = self._clock()
        try:
            previous, entries = message["prevLogIdx"], message["entries"]
        except KeyError:
            raise JournalFault(f"the core wants to send {peer} a snapshot of its own: a seam has moved") from None
        previous_term, count = message["prevLogTerm"], self.acks.sending(peer, previous, entries, now)
        if count < 0:  # heartbeats behind our base: its answer says whether it has that by now
            (_, previous, previous_term), entries = self._journal[0], ()
        append = Append(
            message["term"],
            message["commit_index"],
            previous,
            previous_term,
            tuple(entries[:count]),
            now,
            self._journal.term(message["commit_index"]) or 0,
        )
        self._say(peer, append)
        if count < len(entries) or self.acks.full(peer):
            self._broken[peer] = count < len(entries)
            self.core.hide(peer)

    def send_on(self, peer: Peer) -> None:
        """Send what this follower lacks now, in the core's words: the core itself would wait for its next heartbeat.

        Between the kill of a leader and the first commit of the next there is no time for that.  It is no heartbeat:
        the others hear nothing by it, so the core's next comes as if it had not been.
        """
        at = self.acks.followers[peer].next
        if at > self._journal.last or self.acks.full(peer) or not self.links[peer].outbound:
            return
        if peer in self.behind:  # it hears from the core alone
            return
        entries, size = [], 0
        for entry in self._journal[at - self._journal.first :]:
            entries.append(entry)
            size += len(entry[0])
            if size >= BATCH:
                break
        message = {
            "term": self.core.term,
            "commit_index": self.core.commit,
            "prevLogIdx": at - 1,
            "prevLogTerm": self._journal.term(at - 1),
            "entries": entries,
        }
        self.send(peer, message)
        self.tell(peer, [self.acks.rewind(peer)])
        self.mend()

    def mend(self) -> None:
        """Show the core again whom `send` hid to end its loop."""
        if not self._broken:
            return
        broken, self._broken = self._broken, {}
        if self.leads:
            for peer, cut in broken.items():
                if self.links[peer].outbound:
                    self.core.show(peer)
                if cut:
                    self.tell(peer, [self.acks.rewind(peer)])

    # The lead itself

    def begin(self, now: MonoNs) -> None:
        """A lead begins, in a new term."""
        self.leads = self.due = True
        self._no_op = self._journal.last + 1
        self.acks.lead(self._journal.last, now)
        self._catching = {peer: self._lags(now) for peer, one in self.acks.followers.items() if not one.votes}

    def end(self) -> None:
        """It has ended."""
        self.leads = False
        self.behind.clear()
        self.hand_over = None

    def fallback_at(self) -> MonoNs:
        """When the core will miss a majority's answers."""
        return MonoNs(self.acks.answered_by(self._needed) + self._timers.fallback + TICK)

    def push_hand_over(self, now: MonoNs) -> None:
        """Tell the chosen follower to stand once it has every entry, synced here; or give up."""
        over = self.hand_over
        if over is None:
            return
        if now >= over.until:
            self.hand_over = None
        elif not over.sent and self.acks.matched(over.to) == self._journal.last == self._journal.synced:
            over.sent = True
            self.core.transfer(over.to)
