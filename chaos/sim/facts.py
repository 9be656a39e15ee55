"""Recorder: facts of a simulated run, read off the processes as they step.

It only looks: at what a step answered, and at the twin of the disk behind it.  What the facts mean is judged elsewhere
(`chaos.checkers`).  One look at a step that changed nothing costs a few comparisons.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from attrs import define, field

from chaos.checkers.facts import (
    APPLIED,
    REFUSED,
    UNKNOWN,
    Answered,
    Committed,
    Denied,
    Done,
    Ended,
    Fact,
    Facts,
    Founded,
    GoesBy,
    Healed,
    Installed,
    Led,
    Met,
    Moved,
    Proposed,
    Recovered,
    Started,
    Synced,
    Voted,
    Wished,
    Wrote,
)
from chaos.sim.network import Process
from cluster.members import Change, Configuration
from cluster.memory import MemoryDisk
from cluster.replica import Ready
from cluster.snapshot.words import STARTS
from cluster.store import Meta, StoredEntry
from cluster.types import Applied, NotLeader, Outcome, Peer, Role
from cluster.wire import CONFIGURATION, Ack, decode


def unknown_state(_name: Peer, _index: int) -> bytes:
    """Where the state machine's state is compared elsewhere."""
    return b""


@define(eq=False)
class _Seen:
    """What was noted of one disk."""

    entries: list[StoredEntry] = field(factory=list)  # of its log
    first: int = 1  # index of the first of them
    term: int = 0
    vote: str | None = None
    commit: int = 0
    meta: Meta | None = None  # the newest that these three were read off
    tickets: deque[int] = field(factory=deque)  # of what was noted and is not synced
    root: StoredEntry | None = None  # entry 1, as it was noted last


@define(eq=False)
class Recorder:
    """Facts of one run; `state` tells a node's state behind an index from others, b"" where that is not known.

    `members`: who takes part at first, where that may change.
    """

    now: Callable[[], int]
    state: Callable[[Peer, int], bytes] = unknown_state
    members: Configuration | None = None
    facts: list[Fact] = field(factory=list)
    _seen: dict[Peer, _Seen] = field(factory=dict)

    def history(self) -> Facts:
        """What was noted so far."""
        return Facts(tuple(sorted(self._seen)), tuple(self.facts), self.members)

    # What a watcher passes on

    def started(self, process: Process) -> None:
        """A process has started."""
        disk, before = process.disk, self._seen.get(process.name)
        found = list(disk.entries)
        root = None if before is None else before.root
        if disk.first == len(found) == 1 and found[0] is not root:
            found = []  # the core has just made the first entry itself; it is not written yet
        meta = disk.meta
        seen = self._seen[process.name] = _Seen(found, disk.first, int(meta.term), meta.voted_for)
        seen.root = found[0] if found and disk.first == 1 else root
        log = tuple((int(entry.term), entry.command) for entry in seen.entries)
        applied = int(meta.applied_index)
        state = self.state(process.name, applied)
        self.facts.append(Started(self.now(), process.name, log, applied, state, disk.first))
        if self.members is not None:
            self._goes_by(process)

    def stepped(self, process: Process, ready: Ready) -> None:
        """A step."""
        seen, disk = self._seen[process.name], process.disk
        if ready.installed is not None:
            self._installed(process, disk, seen)
        known, entries = seen.entries, disk.entries
        grew = len(entries) != len(known) or (known and entries[-1] is not known[-1])
        if grew or seen.tickets or disk.meta is not seen.meta:
            self._wrote(process, disk, seen)
        if not (ready.roles or ready.applied or ready.outcomes):
            return
        at, name, facts = self.now(), process.name, self.facts
        for change in ready.roles:
            if change.role is Role.LEADER:
                facts.append(Led(at, name, int(change.term)))
        for entry in ready.applied:
            state = self.state(name, entry.index)
            facts.append(Done(at, name, int(entry.index), int(entry.term), entry.commands, state))
        for token, outcome in ready.outcomes:
            self.answered(int(token), outcome)

    def ended(self, name: Peer, how: str) -> None:
        """A living process is about to end, or has."""
        self.facts.append(Ended(self.now(), name, how))

    def proposed(self, name: Peer, token: int, command: bytes) -> None:
        """A command is about to be proposed."""
        self.facts.append(Proposed(self.now(), name, token, command))

    def wished(self, name: Peer, token: int, change: Change) -> None:
        """A change of who takes part is about to be asked for."""
        self.facts.append(Wished(self.now(), name, token, change))

    def moved(self, name: Peer) -> None:
        """A leader is about to be told to hand over."""
        self.facts.append(Moved(self.now(), name))

    def answered(self, token: int, outcome: Outcome) -> None:
        """A caller has been told."""
        if isinstance(outcome, Applied):
            fact = Answered(self.now(), token, APPLIED, int(outcome.index), int(outcome.term), outcome.result)
        else:
            fact = Answered(self.now(), token, REFUSED if isinstance(outcome, NotLeader) else UNKNOWN, 0, 0, None)
        self.facts.append(fact)

    def overheard(self, name: Peer, peer: Peer, frames: Sequence[bytes]) -> None:
        """What a peer's present life says to a node, where it matters: that it lacks what the node has sent it."""
        for frame in frames:
            if frame[:2] in STARTS:
                continue  # of a snapshot: that says nothing of the log
            message = decode(frame)
            if isinstance(message, Ack) and not message.success:
                self.facts.append(Denied(self.now(), name, peer, message.verified, message.term))

    def recovered(self, facts: Iterable[Recovered | Founded]) -> None:
        """Another group was founded: the facts of that, `Recovered` first."""
        self.facts.extend(facts)

    def met(self, peer: Peer, name: Peer, let_in: bool) -> None:  # noqa: FBT001 # as the network tells it
        """A node of another group, `peer`, has dialled one."""
        self.facts.append(Met(self.now(), name, peer, let_in))

    def healed(self) -> None:
        """Nothing is broken any more."""
        self.facts.append(Healed(self.now()))

    # Inside

    def _wrote(self, process: Process, disk: MemoryDisk, seen: _Seen) -> None:
        name, entries, meta, known = process.name, disk.entries, disk.meta, seen.entries
        if seen.tickets:
            durable = disk.unsynced[0][0] - 1 if disk.unsynced else disk.ticket
            if seen.tickets[0] <= durable:
                self.facts.append(Synced(self.now(), name, durable))
                while seen.tickets and seen.tickets[0] <= durable:
                    seen.tickets.popleft()
        if len(entries) != len(known) or (known and entries[-1] is not known[-1]):
            self._log_changed(process, disk, seen)
        if meta is seen.meta:
            return
        seen.meta = meta
        if meta.term != seen.term or meta.voted_for != seen.vote:
            seen.term, seen.vote = int(meta.term), meta.voted_for
            self.facts.append(Voted(self.now(), name, disk.ticket, seen.term, seen.vote or ""))
            seen.tickets.append(disk.ticket)
        if meta.commit_index != seen.commit:
            seen.commit = int(meta.commit_index)
            self.facts.append(Committed(self.now(), name, seen.commit, seen.term))

    def _installed(self, process: Process, disk: MemoryDisk, seen: _Seen) -> None:
        """A step of its own: nothing else was written in it, and nothing applied."""
        name = process.name
        (entry,) = disk.entries
        seen.entries, seen.first = [entry], disk.first
        seen.tickets.append(disk.ticket)
        index, item = int(entry.index), (int(entry.term), entry.command)
        self.facts.append(Installed(self.now(), name, disk.ticket, index, item, self.state(name, index)))
        if self.members is not None:
            self._goes_by(process)

    def _log_changed(self, process: Process, disk: MemoryDisk, seen: _Seen) -> None:
        """The same objects are the same entries: a log loses its end and grows there.

        What it loses at its beginning is applied, and counts as there.
        """
        del seen.entries[: disk.first - seen.first]
        seen.first = disk.first
        known, entries = seen.entries, disk.entries
        behind = min(len(known), len(entries))
        while behind and known[behind - 1] is not entries[behind - 1]:
            behind -= 1
        news = entries[behind:]
        if not news and behind == len(known):
            return
        changed = (*known[behind:], *news) if self.members is not None else ()
        changes = any(entry.command[:1] == CONFIGURATION for entry in changed)
        known[behind:] = news
        if disk.first == 1:
            seen.root = known[0] if known else None
        items = tuple([(int(entry.term), entry.command) for entry in news])
        self.facts.append(Wrote(self.now(), process.name, disk.ticket, disk.first - 1 + behind, items))
        seen.tickets.append(disk.ticket)
        if changes:
            self._goes_by(process)

    def _goes_by(self, process: Process) -> None:
        """What it says itself: its log may say otherwise."""
        if process.replica is None:
            return
        status = process.replica.status()
        voters = [peer.name for peer in status.peers if peer.votes] + [process.name] * status.votes
        learners = [peer.name for peer in status.peers if not peer.votes]
        told = (status.configuration, tuple(sorted(voters)), tuple(sorted(learners)))
        self.facts.append(GoesBy(self.now(), process.name, *told))
