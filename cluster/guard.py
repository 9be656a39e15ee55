"""Guard: between the wire and pysyncobj's core.  What either says to the other passes here, checked and corrected.

Only the passing lives here; what is known of followers is in `acks`, of a leader's log in `following`, of elections in
`elections`.  Met here, by number of pysyncobj.md: 4 (the core sees its connections only while it leads, while it
starts an election that a pre-vote won, and while it counts a vote), 5 (acknowledgements carry their term), 10 and 19
(no other message passes, forwarded commands neither way), 22 (an append of an older term is answered with the newer
one, and the leader elects itself above it), 25 (a follower is hidden inside `send` once enough is in flight); 7, 24
and 25 (the core never sends a snapshot: one that wants to is stopped).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from cluster.acks import Acks, Delivery
from cluster.elections import Elections, Situation
from cluster.following import Following
from cluster.journal import Journal, JournalFault
from cluster.links import HandOver, Link, Outgoing
from cluster.raft import RaftCore, Raw
from cluster.remembered import Remembered
from cluster.store import Store
from cluster.types import MonoNs, Peer, Role, RoleChanged, Term, Timers
from cluster.wire import (
    BATCH,
    Ack,
    Append,
    AskPreVote,
    AskVote,
    Known,
    Message,
    NewerTerm,
    PreVote,
    Resign,
    StandNow,
    Vote,
    encode,
)

_WALK: Final = 256  # entries
_TICK: Final = 1_000  # ns: the core compares floats of seconds, strictly; so much later it surely sees it


class Guard:
    """One node's guard, and the core behind it."""

    def __init__(
        self,
        name: Peer,
        peers: Sequence[Peer],
        timers: Timers,
        *,
        journal: Journal,
        store: Store,
        clock: Callable[[], MonoNs],
        random: Random,
    ) -> None:
        now = clock()
        self.outbox: list[Outgoing] = []
        self.roles: list[RoleChanged] = []
        self.stalled: str | None = None  # the disk's trouble: neither stand nor encourage
        self.peers = tuple(sorted(peers))
        self._timers = timers
        self._journal = journal
        self._clock = clock
        self._links = {peer: Link() for peer in self.peers}
        self._acks = Acks(self.peers, journal.first)
        self.behind = self._acks.behind  # who needs a snapshot of ours; nobody while it does not lead
        self._following = Following(journal)
        self._remembered = Remembered(journal, store)
        self._elections = Elections(name, len(peers) + 1, timers, random, now)
        self._votes: set[Peer] = set()
        self._answering = MonoNs(0)  # `sent` of the append that the core is answering
        self._broken: dict[Peer, bool] = {}  # hidden inside a send; whether the core must rewind
        self._due = False  # the core has something to do in a tick
        self._walked = 0  # the commit index at its last tick
        self._lost: tuple[Peer, int] | None = None  # the leader whose connection ended, and its term
        self._transfer: HandOver | None = None
        self._beat = now
        self.keep_at = now  # as leader: when to write what followers have acknowledged
        self._fallback_known = MonoNs(0)  # while it leads, `_fallback_at` is not before this: it only grows
        self._came = now  # when the message that is worked on came
        self._standing = "election"  # why it stood last
        self._ordered = False  # it stands because its leader told it to
        self._handed = False  # it leads no more because it handed over
        self._led = MonoNs(0)  # when the leader that it follows was heard
        self._leads = False
        self.core = RaftCore(name, self.peers, timers, journal=journal, clock=clock, random=random, listener=self)
        self._seen = (self.core.role, self.core.term, self.core.leader)

    def take_over(self, before: Guard) -> None:
        """Go on where `before` was, over a log that a snapshot has replaced in this process: the links are the same."""
        self._links, self.roles, self.stalled = before._links, before.roles, before.stalled
        self._seen, self._lost, self._led, self._came = before._seen, before._lost, before._led, before._came

    # Links

    def connected(self, peer: Peer) -> None:
        """Our connection to `peer` is up."""
        self._links[peer].outbound = True
        self._say(peer, self._remembered.for_peer(peer))
        if self._leads:
            self.core.show(peer)
            self._tell(peer, self._acks.reconnected(peer, self._journal.last, self._clock()))
            self._send_on(peer)

    def disconnected(self, peer: Peer) -> None:
        """Our connection to `peer` ended."""
        self._links[peer].outbound = False
        self.core.hide(peer)
        self._link_ended(peer)

    def inbound(self, peer: Peer, *, up: bool) -> None:
        """The connection that `peer` dialled to us came up, or ended."""
        self._links[peer].inbound = up
        if not up:
            self._link_ended(peer)

    def linked(self, peer: Peer) -> bool:
        """Whether frames to `peer` can be sent."""
        return self._links[peer].outbound

    def heard(self, peer: Peer) -> MonoNs | None:
        """When `peer` was heard: its newest frame; for a leader, the sending of what it answered last."""
        return self._acks.answered(peer) if self._leads else self._links[peer].heard

    def matched(self, peer: Peer) -> int:
        """Up to where `peer` has our log, as far as we know as its leader."""
        return self._acks.matched(peer) if self._leads else 0

    def lost(self, peer: Peer) -> bool:
        """Whether `peer` has shown us, its leader, that it lost what it acknowledged."""
        return self._leads and self._acks.lost(peer)

    def needs_snapshot(self, peer: Peer) -> bool:
        """Whether `peer` lacks what our log, as its leader's, does not hold any more."""
        return peer in self.behind

    # Messages in

    def received(self, peer: Peer, message: Message) -> bool:
        """A message from a peer; returns whether a step is wanted for it: not for a plain heartbeat's answer."""
        self._links[peer].heard = self._came = self._clock()
        if type(message) is Ack:
            self._ack(peer, message)
            return self._due or bool(self.outbox or self.roles) or self._transfer is not None
        if type(message) is Append:
            self._append(peer, message)
        else:
            self._rarer(peer, message)
        self._note("higher term")
        return True

    def _rarer(self, peer: Peer, message: Message) -> None:
        match message:
            case AskVote():
                self._ask_vote(peer, message)
            case Vote():
                self._vote(peer, message)
            case StandNow():
                self._stand_now(peer, message)
            case AskPreVote():
                self._ask_pre_vote(peer, message)
            case PreVote():
                self._pre_vote(peer, message)
            case NewerTerm():
                self._newer_term(message)
            case Resign():
                self._resigned(peer, message)
            case Known():
                self._known(message)

    # Time

    def tick(self, now: MonoNs) -> None:
        """Do what is due, and let the core tick."""
        if not self._leads and now >= self._elections.at:
            self._ask(self._reason())
        if self._transfer is not None:
            self._push_transfer(now)
        if self._core_due(now):
            self._due = False
            self._walked = self._journal.commit
            self.core.tick()
            self._mend()
            self._note("fallback")
            if self._leads and self._beat <= now:
                self._beat = MonoNs(now + self._timers.heartbeat + _TICK)
        if self._leads and now >= self.keep_at:
            self.keep_at = MonoNs(now + self._timers.heartbeat)
            self._remembered.keep()

    def wake_at(self) -> MonoNs:
        """When `tick` has something to do, at the latest."""
        if not self._leads:
            return self._elections.at
        if self._beat > self._fallback_known:
            self._fallback_known = self._fallback_at()
        wake = min(self._beat, self._fallback_known)
        return wake if self._transfer is None else min(wake, self._transfer.until)

    # Orders

    def propose(self, entry: bytes) -> None:
        """Queue an entry for the core's next tick."""
        self._due = True
        self.core.propose(entry)

    def synced(self) -> None:
        """More of our own is durable: answers that waited for that may count now; a vote request leaves now."""
        if self._leads:
            for peer in self.peers:
                self._tell(peer, self._acks.tell(peer, self._journal.synced))
        elif self.core.role is Role.CANDIDATE:
            self._elections.asked(self._clock())

    def transfer(self, to: Peer) -> None:
        """Hand over to `to` once it has every entry; given up after the shortest election timeout."""
        if self._leads:
            self._transfer = HandOver(to, MonoNs(self._clock() + self._timers.election_min))

    def drop_before(self, index: int) -> None:
        """Let the log begin at `index`, and tell the core at once whom it can't send on where it was.

        Raises JournalFault if not all up to there is committed, applied and synced.
        """
        self._journal.drop_before(index)
        for peer, delivery in self._acks.rise(self._journal.first, self._journal.last):
            self._tell(peer, [delivery])

    @property
    def unfit(self) -> str | None:
        """Why this node neither stands nor encourages nor (but for a stalled disk, whose votes wait) votes, or None."""
        return self.stalled or self._remembered.bar()

    def _may_stand(self) -> bool:
        """Whether this node may win an election: asked when a round begins, and again whenever it goes on.

        What a peer remembers can come between the question and the answer, and between the answer and the vote.
        """
        return self.unfit is None and not self._remembered.lacks()

    @property
    def walked(self) -> int:
        """How far the core has walked over the committed log: it never could over what was dropped before."""
        return self.core.walked

    @property
    def transferring(self) -> bool:
        """Whether a hand-over is under way: nothing is appended meanwhile."""
        return self._transfer is not None

    def resign(self, reason: str) -> None:
        """Step down now, in a new term, and tell the others, who need not wait for a timeout then."""
        if self._leads:
            self._say_all(Resign(self.core.term))
            self.core.raise_term(self.core.term + 1)
            self._note(reason)

    # What the core says (CoreListener)

    def core_sends(self, peer: Peer, message: Raw) -> None:
        """A message of the core's, in our words; kinds that are not here go nowhere (10, 19)."""
        kind = message["type"]
        if kind == "append_entries":
            self._send_append(peer, message)
            self._beat = MonoNs(self._clock() + self._timers.heartbeat + _TICK)  # it sends to all, or to none
        elif kind == "next_node_idx":
            ack = Ack(self.core.term, self._following.verified, bool(message["success"]), self._answering)
            if self.stalled is None and (early := self._following.meanwhile(ack, self._came, self._timers.heartbeat)):
                self._say(peer, early)
            self._say(peer, ack, promise=True)
        elif kind == "request_vote":
            ask = AskVote(message["term"], message["last_log_index"], message["last_log_term"], self._ordered)
            self._say(peer, ask, promise=True)
        elif kind == "response_vote":
            self._elections.arm(self._clock())
            self._say(peer, Vote(message["term"]), promise=True)
        elif kind == "timeout_now":
            self._say(peer, StandNow(message["term"]))

    def core_role(self, role: Role) -> None:
        """The core's role changed: it sees its connections while it leads, and loses them at once otherwise (4, 23)."""
        now = self._clock()
        was, self._leads = self._leads, role is Role.LEADER
        if self._leads:
            self._due = True
            self._fallback_known = MonoNs(0)
            self._acks.lead(self._journal.last, now)
            self._elections.close()
            self._beat = now
        elif was:
            self._hide_all()
            self.behind.clear()
            self._elections.arm(now)
            self._handed = self._transfer is not None and self._transfer.sent
            self._transfer = None

    # Inside, a follower's side

    def _append(self, peer: Peer, append: Append) -> None:
        if append.term < self.core.term:
            self._say(peer, NewerTerm(self.core.term))
            return
        if self._leads and append.term == self.core.term:
            raise JournalFault(f"{peer} leads in term {append.term} too: stop this node and compare the logs")
        fitted = self._following.fit(append)
        self._led = self._came
        self._elections.heard(self._led)
        self._lost = None
        self._answering = MonoNs(append.sent)
        message = {
            "type": "append_entries",
            "term": append.term,
            "commit_index": fitted.commit,
            "entries": fitted.entries,
            "prevLogIdx": fitted.previous,
            "prevLogTerm": fitted.previous_term,
        }
        self.core.deliver(peer, message)
        self._remembered.heard(append, self._following.verified)

    def _ask_vote(self, peer: Peer, ask: AskVote) -> None:
        """A vote request counts if no healthy leader is heard (or it ordered this), and for a log that lacks nothing.

        Who drops it also keeps its term: a candidate whose encouragement has grown old is not elected.  What its own
        term, which is durable, costs the leader: DESIGN.md.
        """
        if not ask.handed and self._hears(peer, self._clock()):
            return
        if self._remembered.bar() is not None or (ask.last_term, ask.last) < self._remembered.known:
            return
        message = {
            "type": "request_vote",
            "term": ask.term,
            "last_log_index": ask.last,
            "last_log_term": ask.last_term,
        }
        self.core.deliver(peer, message)

    def _stand_now(self, peer: Peer, order: StandNow) -> None:
        follows = self.core.role is Role.FOLLOWER and self.core.leader == peer
        linked = any(link.outbound for link in self._links.values())
        if follows and linked and order.term == self.core.term and self._may_stand():
            self._ordered = True
            try:
                self._stand("transfer")
            finally:
                self._ordered = False

    def _resigned(self, peer: Peer, resign: Resign) -> None:
        if not self._leads and self.core.leader == peer and resign.term == self.core.term:
            self._leader_lost(peer)

    def _link_ended(self, peer: Peer) -> None:
        """Quick detection: the leader's process is gone when neither of its connections with us is left."""
        link = self._links[peer]
        if not (link.outbound or link.inbound or self._leads) and self.core.leader == peer:
            self._leader_lost(peer)

    def _leader_lost(self, peer: Peer) -> None:
        if self._lost != (peer, self.core.term):
            self._lost = (peer, self.core.term)
            self._elections.lost()
            self._ask("quick")

    # Inside, a leader's side

    def _ack(self, peer: Peer, ack: Ack) -> None:
        if self._leads and ack.term == self.core.term:  # else it is stale: it speaks of another leader's log (5)
            now, was = self._came, self._acks.lost(peer)
            before = self._acks.matched(peer)
            self._tell(peer, self._acks.answer(peer, ack, self._journal.last, self._journal.synced, now))
            if (matched := self._acks.matched(peer)) != before:
                self._remembered.acknowledged(peer, matched)
            if not was and self._acks.lost(peer) and self._acks.counted(peer) > self._journal.commit:
                self.resign("a follower lost what it acknowledged")  # the core counts its copy for what may commit
            else:
                self._send_on(peer)

    def _newer_term(self, message: NewerTerm) -> None:
        """Hazard 22: somebody's term is above ours and it hears us no more; be elected above it."""
        if self._leads and message.term > self.core.term:
            self.core.raise_term(message.term)
            self._note("higher term")
            self._ask("higher term")

    def _tell(self, peer: Peer, deliveries: Sequence[Delivery]) -> None:
        for message, at in deliveries:
            if message["success"] and message["next_node_idx"] > self._journal.commit + 1:
                self._due = True  # it may commit
            self.core.deliver(peer, message, at=at)

    def _send_append(self, peer: Peer, message: Raw) -> None:
        now = self._clock()
        try:
            previous, entries = message["prevLogIdx"], message["entries"]
        except KeyError:
            raise JournalFault(f"the core wants to send {peer} a snapshot of its own: a seam has moved") from None
        previous_term, count = message["prevLogTerm"], self._acks.sending(peer, previous, entries, now)
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
        if count < len(entries) or self._acks.full(peer):
            self._broken[peer] = count < len(entries)
            self.core.hide(peer)

    def _send_on(self, peer: Peer) -> None:
        """Send what this follower lacks now, in the core's words: the core itself would wait for its next heartbeat.

        Between the kill of a leader and the first commit of the next there is no time for that.  It is no heartbeat:
        the others hear nothing by it, so the core's next comes as if it had not been.
        """
        at = self._acks.following(peer)
        if at > self._journal.last or self._acks.full(peer) or not self._links[peer].outbound:
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
        self._send_append(peer, message)
        self._tell(peer, [self._acks.rewind(peer)])
        self._mend()

    def _mend(self) -> None:
        """Show again whom `_send_append` hid to end the core's loop."""
        if not self._broken:
            return
        broken, self._broken = self._broken, {}
        if self._leads:
            for peer, cut in broken.items():
                if self._links[peer].outbound:
                    self.core.show(peer)
                if cut:
                    self._tell(peer, [self._acks.rewind(peer)])

    def _push_transfer(self, now: MonoNs) -> None:
        transfer = self._transfer
        if transfer is None:
            return
        if now >= transfer.until:
            self._transfer = None
        elif not transfer.sent and self._acks.matched(transfer.to) == self._journal.last == self._journal.synced:
            transfer.sent = True
            self.core.transfer(transfer.to)

    def _fallback_at(self) -> MonoNs:
        """When the core will miss a majority's answers."""
        needed = (len(self.peers) + 1) // 2  # others' answers that make a majority with ourselves
        return MonoNs(self._acks.answered_by(needed) + self._timers.fallback + _TICK)

    # Inside, elections

    def _reason(self) -> str:
        return "quick" if self._lost is not None and self._elections.reason == "quick" else "election"

    def _ask(self, reason: str) -> None:
        """Ask everyone whether an election could be won."""
        now = self._clock()
        if not self._may_stand():
            self._elections.arm(now)
            return
        linked = [peer for peer in self.peers if self._links[peer].outbound]
        number = self._elections.ask(now, linked, reason)
        last_term, last = self._remembered.rank()
        for peer in linked:
            self._say(peer, AskPreVote(number, self.core.term, last, last_term))

    def _ask_pre_vote(self, peer: Peer, question: AskPreVote) -> None:
        now, rank = self._clock(), self._remembered.rank()
        lost = self._lost is not None
        able = self.unfit is None and (question.last_term, question.last) >= self._remembered.known
        mine = Situation(now, rank, self._hears(peer, now), lost, able)
        granted = self._elections.judge(peer, question, mine)
        self._say(peer, PreVote(question.round, self.core.term, granted))
        behind = (question.last_term, question.last) < rank
        if lost and behind and not self._elections.open and self.core.role is Role.FOLLOWER:
            self._ask("quick")

    def _pre_vote(self, peer: Peer, answer: PreVote) -> None:
        if not self._may_stand():
            self._elections.close()
        elif not self._leads and self._elections.answered(peer, answer, self._clock()):
            self.core.raise_term(self._elections.term)
            self._stand(self._elections.reason)

    def _stand(self, reason: str) -> None:
        """Start the core's election: show it its connections, for this tick only."""
        self._note("higher term")
        self._standing = reason
        self._elections.stood(self._clock())
        self._show_all()
        before = self.core.term
        self.core.stand()
        if self.core.term != before:  # else none of its connections is up: the last election's votes still count
            self._votes = set()
        self._hide_unless_leading()
        self._note("log")

    def _vote(self, peer: Peer, vote: Vote) -> None:
        """A vote; each peer's counts once.  If it wins, the core must see its connections: it speaks at once."""
        if not self._may_stand():
            return
        if self.core.role is Role.CANDIDATE and vote.term == self.core.term and peer not in self._votes:
            self._votes.add(peer)
            self._show_all()
            self.core.deliver(peer, {"type": "response_vote", "term": vote.term})
            self._hide_unless_leading()
            self._mend()

    def _known(self, message: Known) -> None:
        """What a peer remembers; who learns by it that its own log lacks something stands no more, nor leads.

        A candidacy ends with its term: votes that are under way are of an older one when they come.
        """
        self._remembered.told(message)
        if self._remembered.bar() is None and not self._remembered.lacks():
            return
        self._elections.close()
        if self._leads:
            self.resign("its disk went back")
        elif self.core.role is Role.CANDIDATE:
            self.core.raise_term(self.core.term + 1)
            self._note("its disk went back")

    def _hears(self, asker: Peer, now: MonoNs) -> bool:
        """Whether we hear a leader other than the asker: connected, and heard within the shortest election timeout."""
        if self._leads:
            return True
        leader = self.core.leader
        if leader is None or leader == asker or self._lost == (leader, self.core.term):
            return False
        return now - self._led < self._timers.election_min

    # Inside, the rest

    def _show_all(self) -> None:
        for peer in self.peers:
            if self._links[peer].outbound:
                self.core.show(peer)

    def _hide_all(self) -> None:
        for peer in self.peers:
            self.core.hide(peer)

    def _hide_unless_leading(self) -> None:
        if not self._leads:
            self._hide_all()

    def _say(self, peer: Peer, message: Message, *, promise: bool = False) -> None:
        if self._links[peer].outbound:
            self.outbox.append(Outgoing(peer, encode(message), promise))

    def _say_all(self, message: Message) -> None:
        for peer in self.peers:
            self._say(peer, message)

    def _core_due(self, now: MonoNs) -> bool:
        """Whether a tick of the core would do anything (13): most inputs, a plain heartbeat's answer, need none.

        A follower's core only walks over what is committed: not for every entry.
        """
        if self._leads:
            return self._due or now >= self._beat or (now >= self._fallback_known and now >= self._fallback_at())
        return self._journal.commit - self._walked >= _WALK

    def _note(self, cause: str) -> None:
        """Report a change of role, term or leader; a candidate's and a leader's reason is why it stood."""
        core, seen = self.core, self._seen
        now = (core.role, core.term, core.leader)
        if now != seen:
            self._seen = now
            role, term, leader = now
            reason = self._standing if role is not Role.FOLLOWER else "follows" if leader is not None else cause
            if self._handed:
                self._handed, reason = False, "transfer"
            self.roles.append(RoleChanged(role, Term(term), leader, reason))
