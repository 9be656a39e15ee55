"""Acks: what a leader knows of each follower, and what the core may be told of it.

Pure.  Met here, by number of pysyncobj.md: 1 (a follower's copy counts only up to what the leader itself has synced,
so that the leader's own copy, which the core always counts, counts only once it is synced), 5 (an answer counts from
the sending of what it answers), 6 (stale resets are clamped to what is matched), 26 (no back-off index by index:
the answer says where to go on), 7, 24 and 25 (the core is never sent to our log's base or below: it would want to send
a snapshot in its own way).  Also the flow control of a follower that is far behind.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from cluster.types import MonoNs, Peer
from cluster.wire import MAX_ENTRIES, Ack, Entry

WINDOW: Final = 4 * 1024 * 1024  # bytes of entries sent to one follower and not answered
Delivery = tuple[dict[str, Any], MonoNs]  # a message for the core, and the time that it shall see


class Follower:
    """One follower, in the current term."""

    __slots__ = (
        "answered",
        "delivered",
        "flight",
        "flight_bytes",
        "heard_from",
        "lost",
        "matched",
        "next",
        "probe",
        "reset_at",
        "sent_at",
        "votes",
    )

    def __init__(self, following: int, now: MonoNs, *, votes: bool) -> None:
        self.votes = votes  # else it learns: its copy counts for nothing
        self.matched = 0  # it has the log up to here, synced
        self.delivered = 0  # the core was told so
        self.next = following  # the first entry not sent yet
        self.answered = now  # when the newest append that it answered was sent; the core starts with "now"
        self.reset_at = MonoNs(0)
        self.lost = False  # it has shown that it lost what it acknowledged, and has not got it again
        self.heard_from = MonoNs(0)  # answers to what left before say nothing: it had not lost it yet
        self.sent_at = MonoNs(-1)  # when the newest append left
        self.probe = MonoNs(-1)  # when the newest left that it must accept: behind what it has acknowledged
        self.flight: deque[tuple[int, int]] = deque()  # (last index, bytes) of appends not answered
        self.flight_bytes = 0

    def land(self, index: int) -> None:
        """What was in flight up to there has arrived."""
        while self.flight and self.flight[0][0] <= index:
            self.flight_bytes -= self.flight.popleft()[1]

    def forget_flight(self) -> None:
        """Nothing is in flight any more."""
        self.flight.clear()
        self.flight_bytes = 0


class Acks:
    """The leader's book of its followers."""

    def __init__(self, peers: Sequence[Peer], base: int = 1) -> None:
        """`base`: where our log begins."""
        self.peers = tuple(peers)
        self._voting = frozenset(peers)
        self.followers: dict[Peer, Follower] = {}
        self._seat(2, MonoNs(0))
        self.base = base  # the first entry that can be sent is the next one; theirs to say who drops from the log
        self.behind: set[Peer] = set()  # who lacks what our log does not hold any more, as far as is known

    def adopt(
        self, peers: Sequence[Peer], voting: Sequence[Peer], last: int, synced: int, now: MonoNs
    ) -> list[tuple[Peer, list[Delivery]]]:
        """These are our followers now, and those of them vote; returns what the core is told of each that votes anew.

        Of such a one the core knows nothing any more, and takes it for sent everything.  A new one counts as sent
        everything too, so the first that it gets is a heartbeat; its answer says what it lacks.
        """
        self.peers, self._voting = tuple(peers), frozenset(voting)
        before, self.followers = self.followers, {}
        again = []
        for peer in peers:
            follower = self.followers[peer] = before.get(peer) or Follower(last + 1, now, votes=peer in self._voting)
            if not follower.votes and peer in self._voting:
                follower.delivered = 0
                again.append(peer)
            follower.votes = peer in self._voting
        self.behind.intersection_update(peers)
        self._counted = [follower for follower in self.followers.values() if follower.votes]
        return [(peer, self.tell(peer, synced) or [self.rewind(peer)]) for peer in again]

    def _seat(self, following: int, now: MonoNs) -> None:
        self.followers = {peer: Follower(following, now, votes=peer in self._voting) for peer in self.peers}
        self._counted = [follower for follower in self.followers.values() if follower.votes]

    def rise(self, base: int, last: int) -> list[tuple[Peer, Delivery]]:
        """Our log, which ends at `last`, begins at `base` now; returns what the core is told, and of whom.

        Who was not sent the base yet can't be sent it any more.  If it has it nevertheless, its next answer says so.
        """
        self.base = base
        late = [(peer, follower) for peer, follower in self.followers.items() if follower.next <= base]
        return [(peer, self._pass_over(peer, follower, last)) for peer, follower in late]

    def lead(self, last: int, now: MonoNs) -> None:
        """A new term begins, with the log ending at `last`: the core goes on behind it for everyone."""
        self._seat(last + 1, now)
        self.behind.clear()

    def matched(self, peer: Peer) -> int:
        """Up to where this follower has our log."""
        return self.followers[peer].matched

    def answered(self, peer: Peer) -> MonoNs:
        """When the newest append that it has answered was sent."""
        return self.followers[peer].answered

    def answered_by(self, needed: int) -> MonoNs:
        """The newest time such that `needed` followers that vote have answered what was sent then or later."""
        if needed == 1:
            return max([follower.answered for follower in self._counted])
        return sorted((follower.answered for follower in self._counted), reverse=True)[needed - 1]

    def answer(self, peer: Peer, ack: Ack, last: int, synced: int, now: MonoNs) -> list[Delivery]:
        """Take an answer of the current term; returns what the core is told.

        `last`: the end of our log; a claim beyond it, or of less than the first entry, which every node has, is not an
        answer to anything we sent, and is dropped.
        """
        if not 1 <= ack.verified <= last or ack.answers > now:
            return []
        follower = self.followers[peer]
        if ack.answers < follower.heard_from:
            return []
        if self._contradicts(follower, ack):
            return [self._began_anew(peer, follower, ack.verified, last, now)]
        follower.answered = max(follower.answered, MonoNs(ack.answers))
        if ack.success:
            follower.matched = max(follower.matched, ack.verified)
            follower.lost = follower.lost and follower.matched < follower.delivered
            if self.behind and peer in self.behind and follower.matched >= self.base:
                return [*self.tell(peer, synced), self._go_on_at(peer, follower, follower.matched + 1, last, now)]
            follower.next = max(follower.next, follower.matched + 1)
            follower.land(follower.matched)
            return self.tell(peer, synced) or [_told(follower, 2, reset=False, success=False)]
        if ack.answers < follower.reset_at:  # it answers what left before the last reset: known already
            return [_told(follower, 2, reset=False, success=False)]
        return [self._go_on_at(peer, follower, max(ack.verified, follower.matched) + 1, last, now)]

    def _contradicts(self, follower: Follower, ack: Ack) -> bool:
        """Whether it refuses to go on behind what it has acknowledged: its disk has gone back."""
        return not ack.success and ack.answers == follower.probe and ack.verified < follower.matched

    def _began_anew(self, peer: Peer, follower: Follower, verified: int, last: int, now: MonoNs) -> Delivery:
        """What it said counts no more, and it gets from its new end on what it lost.

        Its copy counts again once it has more than the core was told before: what the core counts of it meanwhile is
        committed, or the leader resigns (`leading.answered`).
        """
        follower.lost = True
        follower.matched = 0
        follower.heard_from = now
        follower.probe = MonoNs(-1)
        return self._go_on_at(peer, follower, verified + 1, last, now)

    def lost(self, peer: Peer) -> bool:
        """Whether this follower has shown that it lost what it acknowledged, and has not got it again."""
        return self.followers[peer].lost

    def tell(self, peer: Peer, synced: int) -> list[Delivery]:
        """What of this follower's matches may count now that our own log is synced up to `synced`."""
        follower = self.followers[peer]
        may = min(follower.matched, synced)
        if may <= follower.delivered:
            return []
        follower.delivered = may
        deliveries = [_told(follower, may + 1, reset=False, success=True)]
        if follower.next != may + 1:  # the core takes the match for the end of what was sent: it is not
            deliveries.append(_told(follower, follower.next, reset=True, success=False))
        return deliveries

    def reconnected(self, peer: Peer, last: int, now: MonoNs) -> list[Delivery]:
        """A new connection: what was in flight on the old one is taken for lost.  `last`: the end of our log."""
        follower = self.followers[peer]
        follower.forget_flight()
        return [self._go_on_at(peer, follower, follower.matched + 1, last, now)] if follower.matched else []

    def sending(self, peer: Peer, previous: int, entries: Sequence[Entry], now: MonoNs) -> int:
        """How many of these entries may leave now; counts them as in flight.  Fewer than all: see `rewind`.

        Less than none: it needs a snapshot, and counts as sent what it can't take.
        """
        follower = self.followers[peer]
        if previous > follower.matched:
            if peer in self.behind:  # whose match is below our base
                follower.next = previous + len(entries) + 1
                return -1
            if now == follower.probe:
                follower.probe = MonoNs(-1)  # its answer could be to either
        elif now != follower.sent_at:
            follower.probe = now
        follower.sent_at = now
        if not entries:
            return 0
        count = min(len(entries), MAX_ENTRIES)
        size = sum([len(entry[0]) for entry in entries[:count]])
        if follower.flight_bytes and follower.flight_bytes + size > WINDOW:
            count = size = 0
        if count:
            follower.flight.append((previous + count, size))
            follower.flight_bytes += size
            follower.next = previous + count + 1
        else:
            follower.next = previous + 1
        return count

    def full(self, peer: Peer) -> bool:
        """Whether nothing more may leave before an answer comes."""
        return self.followers[peer].flight_bytes >= WINDOW

    def rewind(self, peer: Peer) -> Delivery:
        """Tell the core where sending really stopped."""
        follower = self.followers[peer]
        return _told(follower, follower.next, reset=True, success=False)

    def _go_on_at(self, peer: Peer, follower: Follower, index: int, last: int, now: MonoNs) -> Delivery:
        follower.reset_at = now
        if index <= self.base:
            return self._pass_over(peer, follower, last)
        self.behind.discard(peer)
        follower.next = index
        follower.forget_flight()
        return _told(follower, index, reset=True, success=False)

    def _pass_over(self, peer: Peer, follower: Follower, last: int) -> Delivery:
        """It lacks what we can't send: it counts as sent everything, so that the core has only heartbeats for it."""
        self.behind.add(peer)
        follower.next = last + 1
        follower.forget_flight()
        return _told(follower, follower.next, reset=True, success=False)


def _told(follower: Follower, following: int, *, reset: bool, success: bool) -> Delivery:
    message = {"type": "next_node_idx", "next_node_idx": following, "reset": reset, "success": success}
    return message, follower.answered
