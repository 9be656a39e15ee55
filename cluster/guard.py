"""Guard: between the wire and pysyncobj's core.  What either says to the other passes here, checked and corrected.

Only the passing lives here, a leader's side of it in `leading`; what is known of followers is in `acks`, of a leader's
log in `following`, of elections in `elections`.  Met here, by number of pysyncobj.md: 4 (the core sees its connections
only while it leads, while it starts an election that a pre-vote won, and while it counts a vote), 10 and 19 (no other
message passes, forwarded commands neither way), 22 (an append of an older term is answered with the newer one, and the
leader elects itself above it).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from cluster.elections import Elections, Situation
from cluster.following import Following
from cluster.journal import Journal, JournalFault
from cluster.leading import TICK, Leading
from cluster.links import HandOver, Links, Outgoing
from cluster.members import Ground
from cluster.raft import RaftCore, Raw
from cluster.remembered import Remembered
from cluster.store import Store
from cluster.types import MonoNs, Peer, Role, RoleChanged, Term, Timers
from cluster.wire import (
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


class Guard:
    """One node's guard, and the core behind it."""

    peers: tuple[Peer, ...]  # the others: who votes and who learns
    voting: tuple[Peer, ...]  # those of them that vote
    votes: bool  # whether this node does
    refused: frozenset[Peer] = frozenset()  # removed for good, as is committed

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
        """`peers`: the others, by name alone; they say nothing where the journal has a book of who takes part."""
        now = clock()
        self.outbox: list[Outgoing] = []
        self.roles: list[RoleChanged] = []
        self.stalled: str | None = None  # the disk's trouble: neither stand nor encourage
        self.adopted: Callable[[], None] = lambda: None  # told when others take part
        self.settled: Callable[[], None] = lambda: None  # and when that is committed
        self._name = name
        self._timers = timers
        self._journal = journal
        self._take_members(peers)
        self._clock = clock
        self._links = Links()
        self._following = Following(journal)
        self._remembered = Remembered(journal, store, joins=not self.votes)
        self._leading = Leading(
            self, timers, journal=journal, remembered=self._remembered, links=self._links, clock=clock
        )
        self.behind = self._leading.behind  # who needs a snapshot of ours; nobody while it does not lead
        self._elections = Elections(name, self._electorate, timers, random, now)
        self._votes: set[Peer] = set()
        self._answering = MonoNs(0)  # `sent` of the append that the core is answering
        self._walked = 0  # the commit index at its last tick
        self._lost: tuple[Peer, int] | None = None  # the leader whose connection ended, and its term
        self._beat = now
        self.keep_at = now  # as leader: when to write what followers have acknowledged
        self._fallback_known = MonoNs(0)  # while it leads, `_fallback_at` is not before this: it only grows
        self._came = now  # when the message that is worked on came
        self._standing = "election"  # why it stood last
        self._ordered = False  # it stands because its leader told it to
        self._handed = False  # it leads no more because it handed over
        self._led = MonoNs(0)  # when the leader that it follows was heard
        self._leads = False
        self.core = RaftCore(name, self.voting, timers, journal=journal, clock=clock, random=random, listener=self)
        self._leading.core = self.core
        if journal.book is not None:
            self.core.adopt(*journal.book.in_force.configuration.parts)
            journal.adopts, journal.settles = self._adopt, self._settled
            self._settled()
        self._leading.adopt(self.peers, self.voting)
        self._seen = (self.core.role, self.core.term, self.core.leader)

    def take_over(self, before: Guard) -> None:
        """Go on where `before` was, over a log that a snapshot has replaced in this process: the links are the same."""
        self._links = self._leading.links = before._links
        self.roles, self.stalled = before.roles, before.stalled
        self._elections.round = before._elections.round  # an answer to a question of before answers none of ours
        if before.core.leader is not None:
            self.core.follow(before.core.leader, before.core.term)
        self._seen, self._lost, self._led, self._came = before._seen, before._lost, before._led, before._came

    # Who takes part

    def _take_members(self, peers: Sequence[Peer]) -> None:
        book = self._journal.book
        voting, learning = book.in_force.configuration.parts if book is not None else ((self._name, *peers), ())
        self._electorate = len(voting)
        self.votes = self._name in voting
        self.voting = tuple(sorted([peer for peer in voting if peer != self._name]))
        self.peers = tuple(sorted([peer for peer in (*voting, *learning) if peer != self._name]))

    def _adopt(self) -> None:
        """Another configuration is in force, from this very moment of the core's own call on."""
        book = self._journal.book
        if book is None:
            raise JournalFault("another configuration, and no book of it")
        self.core.adopt(*book.in_force.configuration.parts)
        self._take_members(())
        self._elections.adopt(self._electorate)
        self._leading.adopt(self.peers, self.voting)
        self._fallback_known = MonoNs(0)
        self.adopted()

    def _settled(self) -> None:
        """A configuration is committed: who was removed by it never takes part again."""
        book = self._journal.book
        if book is not None:
            self.refused = frozenset(book.at(self._journal.commit).configuration.removed)
            self._remembered.forget(self.refused)
            self.settled()

    def ground(self) -> Ground:
        """As leader: what it knows of the others, for a change of who takes part."""
        return self._leading.ground(self._name)

    # Links

    def connected(self, peer: Peer) -> None:
        """Our connection to `peer` is up."""
        self._links[peer].outbound = True
        self.say(peer, self._remembered.for_peer(peer))
        if self._leads and peer in self.peers:
            self._leading.connected(peer)

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
        return self._leading.acks.answered(peer) if self._leads else self._links[peer].heard

    def matched(self, peer: Peer) -> int:
        """Up to where `peer` has our log, as far as we know as its leader."""
        return self._leading.acks.matched(peer) if self._leads else 0

    def lost(self, peer: Peer) -> bool:
        """Whether `peer` has shown us, its leader, that it lost what it acknowledged."""
        return self._leads and self._leading.acks.lost(peer)

    def needs_snapshot(self, peer: Peer) -> bool:
        """Whether `peer` lacks what our log, as its leader's, does not hold any more."""
        return peer in self.behind

    # Messages in

    def received(self, peer: Peer, message: Message) -> bool:
        """A message from a peer; returns whether a step is wanted for it: not for a plain heartbeat's answer."""
        self._links[peer].heard = self._came = self._clock()
        if type(message) is Ack:
            leading = self._leading
            if self._leads:
                leading.answered(peer, message, self._came)
            return leading.due or bool(self.outbox or self.roles) or leading.hand_over is not None
        if type(message) is Append:
            self._append(peer, message)
        else:
            self._rarer(peer, message)
        self._note("higher term")
        return True

    def _rarer(self, peer: Peer, message: Message) -> None:
        if peer in self.refused:  # its appends and answers are of an older term, and of nobody's
            return
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
                self._known(peer, message)

    # Time

    def tick(self, now: MonoNs) -> None:
        """Do what is due, and let the core tick."""
        if not self._leads and now >= self._elections.at:
            self._ask(self._reason())
        leading = self._leading
        if leading.hand_over is not None:
            leading.push_hand_over(now)
        if self._core_due(now):
            leading.due = False
            self._walked = self._journal.commit
            self.core.tick()
            leading.mend()
            self._note("fallback")
            if self._leads and self._beat <= now:
                self._beat = MonoNs(now + self._timers.heartbeat + TICK)
        if self._leads and now >= self.keep_at:
            self.keep_at = MonoNs(now + self._timers.heartbeat)
            self._remembered.keep()

    def wake_at(self) -> MonoNs:
        """When `tick` has something to do, at the latest."""
        if not self._leads:
            return self._elections.at
        if self._beat > self._fallback_known:
            self._fallback_known = self._leading.fallback_at()
        wake, over = min(self._beat, self._fallback_known), self._leading.hand_over
        return wake if over is None else min(wake, over.until)

    # Orders

    def propose(self, entry: bytes) -> None:
        """Queue an entry for the core's next tick."""
        self._leading.due = True
        self.core.propose(entry)

    def synced(self) -> None:
        """More of our own is durable: answers that waited for that may count now; a vote request leaves now."""
        if self._leads:
            self._leading.synced()
        elif self.core.role is Role.CANDIDATE:
            self._elections.asked(self._clock())

    def transfer(self, to: Peer) -> None:
        """Hand over to `to` once it has every entry; given up after the shortest election timeout."""
        if self._leads:
            self._leading.hand_over = HandOver(to, MonoNs(self._clock() + self._timers.election_min))

    def drop_before(self, index: int) -> None:
        """Let the log begin at `index`, and tell the core at once whom it can't send on where it was.

        Raises JournalFault if not all up to there is committed, applied and synced.
        """
        self._journal.drop_before(index)
        self._leading.rise()

    @property
    def unfit(self) -> str | None:
        """Why this node neither stands nor encourages nor (but for a stalled disk, whose votes wait) votes, or None."""
        return self.stalled or self._remembered.bar()

    def _may_stand(self) -> bool:
        """Whether this node may win an election: asked when a round begins, and again whenever it goes on.

        What a peer remembers can come between the question and the answer, and between the answer and the vote.
        """
        return self.votes and self.unfit is None and not self._remembered.lacks()

    @property
    def walked(self) -> int:
        """How far the core has walked over the committed log: it never could over what was dropped before."""
        return self.core.walked

    @property
    def transferring(self) -> bool:
        """Whether a hand-over is under way: nothing is appended meanwhile."""
        return self._leading.hand_over is not None

    def resign(self, reason: str) -> None:
        """Step down now, in a new term, and tell the others, who need not wait for a timeout then."""
        if self._leads:
            self._say_all(Resign(self.core.term))
            self.core.raise_term(self.core.term + 1)
            self._note(reason)

    def say(self, peer: Peer, message: Message, *, promise: bool = False) -> None:
        """Send it, if the link is up; a promise once what it speaks of is synced."""
        if self._links[peer].outbound:
            self.outbox.append(Outgoing(peer, encode(message), promise))

    # What the core says (CoreListener)

    def core_sends(self, peer: Peer, message: Raw) -> None:
        """A message of the core's, in our words; kinds that are not here go nowhere (10, 19)."""
        kind = message["type"]
        if kind == "append_entries":
            self._leading.send(peer, message)
            self._beat = MonoNs(self._clock() + self._timers.heartbeat + TICK)  # it sends to all, or to none
        elif kind == "next_node_idx":
            ack = Ack(self.core.term, self._following.verified, bool(message["success"]), self._answering)
            if self.stalled is None and (early := self._following.meanwhile(ack, self._came, self._timers.heartbeat)):
                self.say(peer, early)
            self.say(peer, ack, promise=True)
        elif kind == "request_vote":
            ask = AskVote(message["term"], message["last_log_index"], message["last_log_term"], self._ordered)
            self.say(peer, ask, promise=True)
        elif kind == "response_vote":
            self._elections.arm(self._clock())
            self.say(peer, Vote(message["term"]), promise=True)
        elif kind == "timeout_now":
            self.say(peer, StandNow(message["term"]))

    def core_role(self, role: Role) -> None:
        """The core's role changed: it sees its connections while it leads, and loses them at once otherwise (4, 23)."""
        now = self._clock()
        was, self._leads = self._leads, role is Role.LEADER
        if self._leads:
            self._fallback_known = MonoNs(0)
            self._leading.begin(now)
            self._elections.close()
            self._beat = now
        elif was:
            self._hide_all()
            self._elections.arm(now)
            self._handed = self._leading.hand_over is not None and self._leading.hand_over.sent
            self._leading.end()

    # Inside, a follower's side

    def _append(self, peer: Peer, append: Append) -> None:
        if append.term < self.core.term:
            self.say(peer, NewerTerm(self.core.term))
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

    def _newer_term(self, message: NewerTerm) -> None:
        """Hazard 22: somebody's term is above ours and it hears us no more; be elected above it.

        Not where we have told a successor to stand, and it is the term that one stands in: it would be deposed by that.
        """
        if self._leads and message.term > self.core.term:
            over, own = self._leading.hand_over, message.term == self.core.term + 1
            handed = over is not None and over.sent and own
            self.core.raise_term(message.term)
            self._note("higher term")
            if not handed:
                self._ask("higher term")

    # Inside, elections

    def _reason(self) -> str:
        return "quick" if self._lost is not None and self._elections.reason == "quick" else "election"

    def _ask(self, reason: str) -> None:
        """Ask everyone whether an election could be won."""
        now = self._clock()
        if not self._may_stand():
            self._elections.arm(now)
            return
        linked = [peer for peer in self.voting if self._links[peer].outbound]
        number = self._elections.ask(now, linked, reason)
        last_term, last = self._remembered.rank()
        for peer in linked:
            self.say(peer, AskPreVote(number, self.core.term, last, last_term))

    def _ask_pre_vote(self, peer: Peer, question: AskPreVote) -> None:
        now, rank = self._clock(), self._remembered.rank()
        lost = self._lost is not None
        able = self.unfit is None and (question.last_term, question.last) >= self._remembered.known
        mine = Situation(now, rank, self._hears(peer, now), lost, able)
        granted = self._elections.judge(peer, question, mine)
        self.say(peer, PreVote(question.round, self.core.term, granted))
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
            self._leading.mend()

    def _known(self, peer: Peer, message: Known) -> None:
        """What a peer remembers; who learns by it that its own log lacks something stands no more, nor leads.

        A guest's word too, both halves: a disk that went back may lack the very entry that names who knows (DESIGN.md).
        A candidacy ends with its term: votes that are under way are of an older one when they come.
        """
        self._remembered.told(message, voter=peer in self.voting)
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

    def _say_all(self, message: Message) -> None:
        for peer in self.peers:
            self.say(peer, message)

    def _core_due(self, now: MonoNs) -> bool:
        """Whether a tick of the core would do anything (13): most inputs, a plain heartbeat's answer, need none.

        A follower's core only walks over what is committed: not for every entry.
        """
        if self._leads:
            leading = self._leading
            return leading.due or now >= self._beat or (now >= self._fallback_known and now >= leading.fallback_at())
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
