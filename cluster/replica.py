"""Replica: one node's replication as a synchronous object.  Inputs go in, `step()` says what to do.

Only the pump lives here: it hands inputs to the guard, commits one store batch a step, applies what is committed
and says which frames may leave.  No Trio, no clock but the one passed in, no I/O but the Store.  See DESIGN.md.

The order of things (hazard 1 of pysyncobj.md): a step buffers all that it changes, commits it as one batch, and holds
back every frame that promises something of that batch until `synced` says that it is durable.  Met here besides:
8 (an outcome for every proposal), 18 (a disk that stalls), 21 (the size of an entry); 9 and 20 in `applying`.
"""

from __future__ import annotations

import random as randomness
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from cluster.appending import Appending
from cluster.applying import ApplyFault as ApplyFault  # noqa: PLC0414 # its old address: drivers catch it here
from cluster.applying import Applying, Passed
from cluster.guard import Guard
from cluster.journal import Journal, JournalFault
from cluster.members import Change, Configuration, Ground, NotYet
from cluster.proposals import Busy as Busy  # noqa: PLC0414 # the same
from cluster.proposals import Proposals
from cluster.ready import Ready as Ready  # noqa: PLC0414 # the same
from cluster.retention import WHOLE, Keeper
from cluster.roster import Roster, roster_of
from cluster.snapshot.faces import Disk
from cluster.snapshot.sending import Pace
from cluster.snapshot.shipping import Shipping
from cluster.snapshot.splicing import splice_of
from cluster.snapshot.words import STARTS
from cluster.snapshot.words import decode as decode_word
from cluster.snapshot.words import encode as encode_word
from cluster.standing import Standing
from cluster.store import Ticket
from cluster.types import (
    AppliedEntry,
    ApplyStop,
    Coming,
    Installed,
    MonoNs,
    NotLeader,
    Peer,
    Preparing,
    Retention,
    Role,
    RoleChanged,
    Shortening,
    StateMachine,
    Status,
    Term,
    Timers,
    Token,
)
from cluster.viewing import status_of
from cluster.vouching import Vouching
from cluster.waiting import Waiting
from cluster.wire import Vouch, WireError, decode, encode

_SOONEST: Final = 1_000_000  # ns: a wake-up that is overdue after a step is not asked for sooner than this


class Replica:
    """One node of the cluster."""

    def __init__(  # noqa: PLR0917 # the face that the driver and the simulator build on
        self,
        name: Peer,
        peers: Sequence[Peer],
        timers: Timers,
        store: Disk,
        machine: StateMachine,
        clock: Callable[[], MonoNs],
        random: randomness.Random,
        retention: Retention | None = None,
        pace: Pace | None = None,
        members: Configuration | None = None,
    ) -> None:
        """`peers` are the others' names (two, or four).  Loads the machine from the store.

        Without `retention` the log is kept from its beginning on.  `pace`: of the snapshots that this node sends.
        `members`: who takes part as long as the log says nothing of it, with addresses: `peers` says nothing then.
        Without it nobody comes or goes.

        Raises:
            ValueError: no peers, or this node among them.
            JournalFault: the stored log and the stored state contradict each other, or `members` names others than the
                folder was begun with.
            StoreFault: the disk refuses to make durable what an earlier process has left on it.
        """
        if not peers or name in peers:
            raise ValueError(f"{name} needs peers, itself not among them: {list(peers)}")
        # What a process wrote and did not sync outlives its kill, but not a power cut: durable before it is spoken of.
        store.sync()
        self.bad_frames = 0
        self._name = name
        self._timers = timers
        self._store = store
        self._clock = clock
        self._random = random
        self._machine = machine
        self._retention = retention
        self._members = members
        self._proposals = Proposals(name, clock)
        self._begin(peers)
        self._vouching = Vouching(name, self._guard.peers, self._applying.about(), clock)
        prepare = machine.prepare if isinstance(machine, Preparing) else None
        self._shipping = Shipping(store, pace or Pace(), self._vouching, prepare)
        self._told: tuple[ApplyStop | None, int | None, int | None] = (None, None, None)
        self._fault: str | None = None
        self._raised: JournalFault | None = None  # by a frame, for the next step
        self._led_in = -1  # the term that it led in at its last step
        self._sends: list[tuple[Peer, bytes]] = []  # may leave
        self._held = Waiting()  # for a sync
        self._promised = Ticket(0)  # the newest batch that a promise may speak of
        self._durable = Ticket(0)
        self._unsynced: deque[tuple[Ticket, MonoNs]] = deque()  # since when each such batch waits
        self._news: Roster | None = None  # whom the links are for, where the driver has not heard it
        self._settled = False  # nothing was heard since the last step but, if `_quiet`, what asks for no step
        self._quiet = False
        self._rests_until = MonoNs(0)  # until then time alone asks for no step either
        self._wakes_at = MonoNs(0)  # as the last whole step said
        self._adopted()

    def _begin(self, peers: Sequence[Peer], unsynced: Ticket | None = None, coming: Coming | None = None) -> None:
        """Journal, guard, core and state as the store has them: at the start, and behind an installation."""
        name, store, clock = self._name, self._store, self._clock
        self._journal = journal = Journal(store, clock, unsynced, self._members)
        if unsynced is None and self._members is not None:
            journal.keep_beginning(self._members)
        self._guard = Guard(name, peers, self._timers, journal=journal, store=store, clock=clock, random=self._random)
        self._applying = Applying(self._machine, store, journal, coming)
        self._keeper = None if self._retention is None else Keeper(self._retention, journal, self._guard, clock())
        self._standing = Standing(self._guard, journal, self._applying)
        self._appending = Appending(name, self._guard, journal, self._proposals)
        self._guard.adopted, self._guard.settled = self._adopted, self._moved

    def _adopted(self) -> None:
        """Others take part now; told within the core's own call."""
        guard = self._guard
        voters = (self._name, *guard.voting) if guard.votes else guard.voting
        self._vouching.adopt(voters, guard.peers, self._applying.applied)
        self._moved()

    def _moved(self) -> None:
        """Whom the links are for may be another now."""
        self._news = self.roster

    # Inputs

    def connected(self, peer: Peer) -> None:
        """Our own dialled connection to `peer` is up: frames to it can be sent."""
        self._settled = False
        if self._fault is None:
            self._guard.connected(peer)
            self._shipping.supplying.connected(peer)
            if self._vouching.about:
                self._vouching.tell(peer, self._applying.applied)

    def disconnected(self, peer: Peer) -> None:
        """Our own dialled connection to `peer` ended; what waits for a sync to leave on it never leaves.

        A vote request, above all, reaches only the life of the peer that it was meant for: the next one may have
        lost its disk, and with it whom it voted for.
        """
        self._settled = False
        if self._fault is None:
            self._held.forget(peer)
            self._shipping.supplying.disconnected(peer)
            self._guard.disconnected(peer)

    def inbound_up(self, peer: Peer) -> None:
        """The connection that `peer` dialled to us is up."""
        self._settled = False
        if self._fault is None:
            self._guard.inbound(peer, up=True)

    def inbound_down(self, peer: Peer) -> None:
        """The connection that `peer` dialled to us ended: its process died, or it closed it.

        A leader counts as lost when our connection to it is down and its connection to us is not up.
        """
        self._settled = False
        if self._fault is None:
            self._guard.inbound(peer, up=False)

    def received(self, peer: Peer, frame: bytes) -> None:
        """A frame from `peer`; one that is not ours is dropped and counted in `bad_frames`.

        No frame makes it raise; if it shows that two histories are committed, the next `step` raises JournalFault.

        Raises:
            StoreFault: the disk, not the frame: nothing more is said; the process must stop.
        """
        if self._fault is not None:
            return
        if frame[:2] in STARTS:
            self._received_word(peer, frame)
            return
        try:
            message = decode(frame)
        except WireError:
            self.bad_frames += 1
            return
        if isinstance(message, Vouch):
            self._settled = False
            self._vouching.heard(peer, message, self._applying.applied)
            return
        try:
            if self._guard.received(peer, message):
                self._settled = False
            else:
                self._quiet = True
        except JournalFault as error:
            self.stop(str(error))
            self._raised = error
        except Exception as error:
            self.stop(str(error))
            raise

    def _received_word(self, peer: Peer, frame: bytes) -> None:
        try:
            word = decode_word(frame)
        except WireError:
            self.bad_frames += 1
            return
        self._settled = False
        try:
            self._shipping.heard(peer, word, self._standing, self._clock())
        except Exception as error:
            self.stop(str(error))
            raise

    def propose(self, command: bytes, token: Token) -> None:
        """Queue a command; its outcome comes from a later `step`, under `token`.

        While apply is stopped only a command that speaks of the stop is taken: it is `Recorded` once it is committed.
        Any other is NotLeader: surely not done.

        Raises:
            ValueError: the command does not fit into an entry (256 KiB).
            Busy: too many commands wait, or too many bytes of them; surely not done.
        """
        self._proposals.check(command)
        self._settled = False
        shut = self._fault is not None or not self._applying.takes(command)
        if shut or self._guard.core.role is not Role.LEADER:
            self._proposals.outcomes.append((token, NotLeader(None if shut else self._guard.core.leader)))
        else:
            self._proposals.queue_up(command, token)

    def change(self, change: Change, token: Token) -> None:
        """As leader, change who takes part; its outcome comes under `token`, as a command's does, its result None.

        Where it can't be appended after all it is NotLeader: surely not done.

        Raises:
            Refused: not this change, or not now; the text says why.
        """
        self._settled = False
        guard = self._guard
        if self._fault is not None or guard.core.role is not Role.LEADER:
            self._proposals.outcomes.append((token, NotLeader(None if self._fault else guard.core.leader)))
            return
        if self._proposals.wish is not None:
            raise NotYet("one change at a time: another was asked for just now")
        if guard.transferring or self._applying.stop is not None:
            raise NotYet("a hand-over is under way, or apply has stopped; ask again when that is over")
        self._appending.allowed(change)
        self._proposals.queue_change(change, token)

    def synced(self, ticket: Ticket) -> None:
        """Everything up to `ticket` is durable: what waited for that may leave, and our own copy counts."""
        if self._fault is not None or ticket <= self._durable:
            return
        self._settled = False
        self._durable = ticket
        while self._unsynced and self._unsynced[0][0] <= ticket:
            self._unsynced.popleft()
        held = self._held.frames
        while held and held[0][0] <= ticket:
            _, peer, frame = held.popleft()
            if self._guard.linked(peer):
                self._sends.append((peer, frame))
        self._journal.made_durable(ticket)
        self._guard.synced()
        if self._shipping.awake:
            self._shipping.receiving.synced(ticket)

    def sync_failed(self, reason: str) -> None:
        """A sync failed: this replica takes no further part; the process must end (rule 8)."""
        self.stop(f"the disk failed: {reason}")

    def stop(self, reason: str) -> None:
        """Take no further part: what waits has no outcome here.  For a shutdown, call `stop_leading` and step first."""
        self._settled = False
        if self._fault is None:
            self._fault = reason
            self._proposals.settle(reason)
            self._held.frames.clear()
            self._sends.clear()

    def transfer(self, to: Peer) -> None:
        """As leader, hand over to `to` as soon as it has every entry; given up after the shortest election timeout.

        Nothing is appended meanwhile: proposals wait, and are NotLeader if it succeeds.

        Raises:
            ValueError: `to` is not a peer, or does not vote.
        """
        if to not in self._guard.voting:
            raise ValueError(f"{to} is not a peer of this node that votes")
        self._settled = False
        if self._fault is None:
            self._guard.transfer(to)

    def shorten(self, keep: int, *, dry_run: bool = False) -> Shortening:
        """Drop the log now, but for the newest `keep` entries: the state stands for it; `dry_run` only tells.

        What goes, goes in the next steps: see `status().base_index`.
        """
        keeper = self._keeper or Keeper(WHOLE, self._journal, self._guard, self._clock())
        found = keeper.shortening(keep, self._applying.applied, leads=self._guard.core.role is Role.LEADER)
        if found.base > found.first and not dry_run and self._fault is None:
            self._settled, self._keeper = False, keeper
            keeper.shorten(found.base)
        return found

    def stop_leading(self, reason: str) -> None:
        """As leader, step down now, in a new term, and tell the others."""
        self._settled = False
        if self._fault is None:
            self._guard.resign(reason)

    # The pump

    @property
    def rests(self) -> bool:
        """Whether a step now would do nothing: only a plain heartbeat's answer came since the last, and none is due."""
        return self._quiet and self._settled and self._clock() < self._rests_until

    def step(self) -> Ready:
        """Advance.

        Raises:
            ApplyFault: the state machine raised.  Nothing of this step counts; the process must stop.
            StoreFault: the disk refused the batch.  The same.
            JournalFault: the log contradicts itself or the leader.  The same.
        """
        if self._raised is not None:
            raised, self._raised = self._raised, None
            raise raised
        if self._fault is not None:
            return self._ready((), MonoNs(self._clock() + self._timers.election_max))
        if self.rests:
            return self._ready((), self._wakes_at)
        now = self._clock()
        self._quiet, self._settled = False, True
        applied: tuple[AppliedEntry, ...] = ()
        try:
            installed = self._install() if self._shipping.awake and self._shipping.receiving.ready else None
            if installed is None:
                applied = self._work(now)
        except Exception as error:
            self.stop(str(error))
            raise
        self._wakes_at = wake_at = self._wake_at(now)
        self._rests_until = min(wake_at, self._guard.keep_at)
        ready = self._ready(applied, wake_at, installed)
        if self._vouching.diverged is not None:  # after its followers were told that it resigns
            self.stop(f"its state differs from the majority's at index {self._vouching.diverged}")
        return ready

    @property
    def members(self) -> Configuration | None:
        """Who takes part, by what is in force; None where peers are known by name alone."""
        return None if self._journal.book is None else self._journal.book.in_force.configuration

    @property
    def roster(self) -> Roster | None:
        """Whom the links are for; None where that never changes."""
        return None if self._journal.book is None else roster_of(self._journal.book, self._journal.commit)

    def ground(self) -> Ground:
        """As leader: what a change of who takes part would be judged by now."""
        return self._guard.ground()

    def status(self) -> Status:
        """This node's view, now."""
        parts = (self._guard, self._journal, self._applying, self._vouching)
        says, receipt = self._shipping.says, self._shipping.receiving.receipt
        return status_of(self._name, *parts, fault=self._fault, says=says, receipt=receipt)

    # Inside: one step

    def _work(self, now: MonoNs) -> tuple[AppliedEntry, ...]:
        """Each part is asked only if it may have something to do: most steps are for one of them."""
        applied: tuple[AppliedEntry, ...] = ()
        if self._unsynced or self._guard.stalled is not None:
            self._watch_disk()
        self._appending.advance(now)
        may_raise = self._applying.behind(self._guard.core.commit)
        if may_raise:
            applied = self._apply()
        self._settle()
        self._judge()
        if self._keeper is not None:
            self._keeper.step(self._applying.applied, now, self._shipping.supplying.needed)
        self._commit()
        if may_raise:
            self._recover()
        if self._shipping.awake or self._guard.behind:
            self._ship(now)
        self._notice()
        if self._vouching.outbox:
            self._vouch()
        return applied

    def _watch_disk(self) -> None:
        """Hazard 18: a leader whose disk takes no more steps down; nobody stands, or is encouraged, on such a disk."""
        now = self._clock()
        since = self._unsynced[0][1] if self._unsynced else now
        if now - since < self._timers.fallback:
            self._guard.stalled = None
        elif self._guard.stalled is None:
            self._guard.stalled = f"the disk has not synced for {(now - since) // 1_000_000} ms"
            self._guard.resign("disk")

    def _apply(self) -> tuple[AppliedEntry, ...]:
        """Apply what is committed and not applied (9, 20), a bounded number a step."""
        passed = self._applying.run(self._guard.core.commit, self._proposals.recorded)
        return tuple([self._told_of(one) for one in passed])

    def _told_of(self, passed: Passed) -> AppliedEntry:
        """An entry has passed: whoever waits for it hears the outcome."""
        index, term, outcome = passed.index, passed.term, passed.outcome
        if passed.digest is not None:
            self._vouching.passed(index, passed.digest)
        own = self._proposals.applied(index, term, outcome.results)
        at = self._journal.appended_at(index)
        proposed = None if own is None else own.proposed
        return AppliedEntry(index, term, passed.commands, outcome.results, own is not None, proposed, at)

    def _recover(self) -> None:
        """If apply raised in this step, nobody is told of anything behind that entry: it may still be done."""
        stop = self._applying.stop if self._applying.recover() else None
        if stop is not None:
            self._proposals.settle(f"apply stopped at entry {stop.index}")
            self._vouching.ask_all(self._applying.applied)

    # Inside: what the nodes' states say (vouching)

    def _judge(self) -> None:
        """A node that has diverged steps down; a leader that can't apply what a follower has applied hands over."""
        vouching, guard, stop = self._vouching, self._guard, self._applying.stop
        vouching.stands = stop is not None and guard.core.role is Role.LEADER
        if vouching.stands or vouching.disputed is not None:
            vouching.tick(self._applying.applied)
        if vouching.diverged is not None:
            guard.resign("diverged")
        elif stop is not None and vouching.stands and not guard.transferring:
            past = [peer for peer in guard.voting if vouching.applied.get(peer, 0) >= stop.index and guard.linked(peer)]
            if (successor := vouching.successor(past)) is not None:
                guard.transfer(successor)

    def _vouch(self) -> None:
        """What vouching wants said leaves at once: it promises nothing."""
        said, self._vouching.outbox = self._vouching.outbox, []
        self._sends.extend((peer, encode(vouch)) for peer, vouch in said if self._guard.linked(peer))

    def _notice(self) -> None:
        """Whoever listens hears of a stop, a dispute, a divergence, and of their end, as of a change of role."""
        told = (self._applying.stop, self._vouching.disputed, self._vouching.diverged)
        if told != self._told:
            self._told = told
            core = self._guard.core
            role, leader = (core.role, core.leader) if told[2] is None else (Role.FOLLOWER, None)
            self._guard.roles.append(RoleChanged(role, Term(core.term), leader, _reason(*told)))

    def _settle(self) -> None:
        """Outcomes of what this node can't see through any more (8)."""
        core = self._guard.core
        if self._proposals.queue and core.role is not Role.LEADER:
            self._proposals.settle_queue(core.leader)
        if self._led_in != (leads := core.term if core.role is Role.LEADER else -1):
            self._led_in = leads
            self._proposals.settle_unknown("deposed before it was committed", leads)

    # Inside: what is sent and received of snapshots

    def _ship(self, now: MonoNs) -> None:
        """What the snapshots' parts want said leaves at once: what is a promise they keep back themselves."""
        if self._guard.behind:
            self._vouching.ask_lacking(self._standing, self._applying.applied)
        for peer, word in self._shipping.step(self._standing, now):
            if self._guard.linked(peer):
                self._sends.append((peer, encode_word(word)))

    def _install(self) -> Installed | None:
        """Install what was verified and made, in a step and a batch of its own; None if something else comes first."""
        dirty = self._journal.dirty or self._journal.metered or self._shipping.receiving.dirty
        if dirty or self._guard.outbox or self._guard.core.role is Role.LEADER:
            return None
        install = self._shipping.installable(self._standing)
        if install is None:
            return None
        entry = install.entry
        self._store.install(entry, splice_of(self._machine, install.digest, self._store.read_staged))
        self._journal.install_book(install.placed)
        self._vouching.installed(self._shipping.installed())
        ticket = self._store.commit()
        self._shipping.committed(ticket, self._durable)
        self._promised = ticket
        self._unsynced.append((ticket, self._clock()))
        before = self._guard
        self._begin(before.peers, ticket, install.coming)
        self._guard.take_over(before)
        self._adopted()
        self._proposals.settle_queue(None)
        self._proposals.forget_own("a snapshot took the place of the log")
        self._led_in = -1
        return Installed(entry.index, entry.term)

    # Inside: the end of a step

    def _commit(self) -> None:
        """One batch a step; then sort what wants to leave: at once, or when the batch is synced."""
        shipped = self._shipping.receiving.dirty
        if self._journal.dirty or self._journal.metered or shipped:
            promise = self._journal.dirty
            ticket = self._store.commit()
            self._journal.committed(ticket)
            if shipped:
                self._shipping.committed(ticket, self._durable)
                promise |= ticket > self._durable
            if promise:
                self._promised = ticket
                self._unsynced.append((ticket, self._clock()))
        if not self._guard.outbox:
            return
        outbox, self._guard.outbox = self._guard.outbox, []
        for out in outbox:
            if out.promise and self._promised > self._durable:
                self._held.hold(self._promised, out.peer, out.frame)
            else:
                self._sends.append((out.peer, out.frame))

    def _wake_at(self, now: MonoNs) -> MonoNs:
        if self._applying.behind(self._guard.core.commit) or (self._proposals.queue and self._appending.ready):
            return now
        wake = self._guard.wake_at()
        again = self._vouching.next_due()
        if again is not None:
            wake = min(wake, again)
        if self._shipping.awake or self._guard.behind:
            for again in (self._shipping.due(now), self._vouching.lacking_due() if self._guard.behind else None):
                if again is not None:
                    wake = min(wake, again)
        if self._unsynced and self._guard.stalled is None:
            wake = min(wake, MonoNs(self._unsynced[0][1] + self._timers.fallback))
        return wake if wake > now else MonoNs(now + _SOONEST)

    def _ready(self, applied: tuple[AppliedEntry, ...], wake_at: MonoNs, installed: Installed | None = None) -> Ready:
        told = self._proposals.outcomes
        sends, outcomes, roles = tuple(self._sends), tuple(told), tuple(self._guard.roles)
        if sends:
            self._sends.clear()
        if outcomes:
            told.clear()
        if roles:
            self._guard.roles.clear()
        wanted = self._promised if self._promised > self._durable and self._fault is None else None
        news = self._news
        if news is not None:
            self._news = None
            return Ready(sends, wanted, applied, outcomes, roles, wake_at, installed, news)
        return Ready(sends, wanted, applied, outcomes, roles, wake_at, installed)


def _reason(stop: ApplyStop | None, disputed: int | None, diverged: int | None) -> str:
    if diverged is not None:
        return f"this node's state differs from the majority's at index {diverged}"
    if stop is not None:
        return f"apply stopped at entry {stop.index}"
    return "apply goes on" if disputed is None else f"the nodes' states differ at index {disputed}"
