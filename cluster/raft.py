"""Raft: pysyncobj's SyncObj as a core without clock, socket, thread, disk or randomness of its own.

This is the one module that imports pysyncobj.  Each core gets a PRIVATE copy of the module `pysyncobj.syncobj`, in
which the names that it looks up at call time are replaced; nothing is replaced globally.  tests/cluster/test_seams.py
pins every name used here, so that an upgrade that moves one fails loudly.

Met here, by number of pysyncobj.md: 3 (fallback below the shortest election timeout), 8 (no command waits for a
leader), 9 (nothing of ours runs in the core's apply), 10 (no pickle, no administration verbs), 12 (no fork), 13 (the
transport is always ready, the poller is none, a tick happens when the replica has a reason), 16 (nodes hash to
integers), 19 (forwarded commands go nowhere), 20 (it does not walk over what it finds committed), 21 (batches are
larger than any entry).
"""

from __future__ import annotations

import importlib.util
import queue
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec
from random import Random
from types import CodeType, ModuleType
from typing import Any, Final, NoReturn, Protocol, Self

from pysyncobj.config import SyncObjConf
from pysyncobj.node import Node
from pysyncobj.transport import Transport

from cluster.journal import Journal, JournalFault
from cluster.types import MonoNs, Peer, Role, Timers
from cluster.wire import BATCH

_NEVER: Final = 10**18  # entries, or seconds
_ROLES: Final = (Role.FOLLOWER, Role.CANDIDATE, Role.LEADER)  # pysyncobj's 0, 1, 2
Raw = dict[str, Any]  # pysyncobj's messages are dicts


class CoreListener(Protocol):
    """Who hears what the core says."""

    def core_sends(self, peer: Peer, message: Raw) -> None:
        """The core sends a message.  May hide `peer` from the core, which ends its loop over that peer's entries."""

    def core_role(self, role: Role) -> None:
        """The core's role has changed just now."""


class NoPickle(Exception):
    """The core tried to pickle or unpickle something: a seam has moved."""


class RaftCore:
    """One SyncObj, seen through the few seams that its guard needs."""

    def __init__(
        self,
        name: Peer,
        peers: Sequence[Peer],
        timers: Timers,
        *,
        journal: Journal,
        clock: Callable[[], MonoNs],
        random: Random,
        listener: CoreListener,
    ) -> None:
        self.name = name
        self.role = Role.FOLLOWER
        self._clock = clock
        self._origin = clock() - 1_000_000_000  # so that its clock never shows 0, "at once" for its deadlines
        self._presented: float | None = None  # seconds, while its clock stands still
        self._listener = listener
        self._queue = _CoreQueue()
        self._shown: set[Peer] = set()  # membership only, never iterated
        self._followed: tuple[Peer, int] | None = None  # whom the core before this one followed, in which term
        nodes = _nodes(name, peers)
        self._nodes = _Nodes(nodes, peers)
        self._voters, self._learners = tuple(peers), tuple[Peer, ...]()  # but for itself
        module = private_module()
        module.monotonicTime = self._seconds  # type: ignore[attr-defined] # the seam
        module.random = random  # type: ignore[attr-defined] # the seam: it calls random.random()
        module.createJournal = lambda _file: journal  # type: ignore[attr-defined] # the seam
        module.createPoller = lambda _kind: _NoPoller()  # type: ignore[attr-defined] # the seam
        module.FastQueue = lambda _size: self._queue  # type: ignore[attr-defined] # the seam: what waits can be seen
        module.pickle = _Unpicklable  # type: ignore[attr-defined] # the seam (hazard 10)
        module.PIPE_NOTIFIER_ENABLED = False  # type: ignore[attr-defined] # the seam: no pipe, no descriptor
        self._transport = _CoreTransport(listener)
        self._core = module.SyncObj(
            nodes[name], [self._nodes[peer] for peer in peers], _conf(timers, self._changed), transport=self._transport
        )
        self._walk_no_more(journal.getRaftCommitIndex())

    # What the core is

    @property
    def term(self) -> int:
        """The current term."""
        term: int = self._core.raftCurrentTerm
        return term

    @property
    def commit(self) -> int:
        """The commit index."""
        commit: int = self._core.raftCommitIndex
        return commit

    @property
    def leader(self) -> Peer | None:
        """Whom it takes for the leader."""
        node: _PeerNode | None = self._core._getLeader()  # noqa: SLF001 # the seam
        if node is None:  # this core has heard nobody yet
            return self._followed[0] if self._followed is not None and self._followed[1] == self.term else None
        return node.name

    def follow(self, leader: Peer, term: int) -> None:
        """The core before this one, of the same node, followed `leader` in `term`: this one does until an append."""
        self._followed = (leader, term)

    @property
    def walked(self) -> int:
        """Up to where it has walked over the committed log (it takes that for applying it)."""
        walked: int = self._core.raftLastApplied
        return walked

    # What is done to it

    @property
    def queued(self) -> bool:
        """Whether an entry that was proposed still waits to be appended or dropped: never so after a tick."""
        return bool(self._queue.waiting)

    def tick(self) -> None:
        """Let it look at the clock, commit, send and append, all in one instant.

        Its clock stands still meanwhile: it empties its queue only for as long as a heartbeat lasts, and what a pause
        of this process left in there would be appended by a later tick, whatever was said of it by then (8).
        """
        before = self._stand_still()
        try:
            self._core.doTick(0)
        finally:
            self._presented = before

    def deliver(self, peer: Peer, message: Raw, *, at: MonoNs | None = None) -> None:
        """Hand it a message; `at`: the time that it sees meanwhile (an answer counts from what it answers)."""
        if peer not in self._voters and not self._takes(peer, message):
            return
        before = self._stand_still(at)
        try:
            self._transport.deliver(self._nodes[peer], message)
        finally:
            self._presented = before

    def show(self, peer: Peer) -> None:
        """Let it believe that it is connected to `peer`."""
        if peer not in self._shown:
            self._shown.add(peer)
            self._transport.show(self._nodes[peer])

    def hide(self, peer: Peer) -> None:
        """Let it believe that it is not connected to `peer`."""
        if peer in self._shown:
            self._shown.discard(peer)
            self._transport.hide(self._nodes[peer])

    def propose(self, entry: bytes) -> None:
        """Queue an entry: if it leads in its next tick it appends this very object, else it is dropped (8, 19)."""
        self._core._applyCommand(entry, None)  # noqa: SLF001 # the seam

    def stand(self) -> None:
        """Start an election now, in a term of its own, if it is shown a connection (a won pre-vote, a hand-over)."""
        leader = self._core._getLeader()  # noqa: SLF001 # the seam
        before = self._stand_still()
        try:
            self._transport.deliver(leader, {"type": "timeout_now", "term": self.term})
            self._core.doTick(0)
        finally:
            self._presented = before

    def raise_term(self, term: int) -> None:
        """Go to a higher term as a follower: what a vote request that can't be granted does.

        A log that ends in term -1 is behind every other, so no vote is given, and nothing is sent.
        """
        if term > self.term:
            message = {"type": "request_vote", "term": term, "last_log_index": 0, "last_log_term": -1}
            self._transport.deliver(next(iter(self._nodes.values())), message)

    def transfer(self, to: Peer) -> None:
        """Send `to` the order to stand, if it has every entry."""
        self._core.transferLeadership(self._nodes[to])

    def adopt(self, voters: Sequence[Peer], learners: Sequence[Peer] = ()) -> None:
        """Elect and commit by these voters, this node among them or not, from now on; send to the learners as well.

        To be called whenever another configuration is in force: within the journal's `add` and `deleteEntriesFrom`,
        where the core walks over none of its sets (DESIGN.md, "Members").  It keeps its role.  Of a node that is new,
        or votes now, it knows no match: what it was told before must be told again.  It counts itself for a voter
        always: one that is none must not stand.

        Raises:
            JournalFault: it leads, and is no voter; or no voter but itself would be left, and it would stand unasked.
        """
        if self.role is Role.LEADER and self.name not in voters:
            raise JournalFault("a configuration without its leader")
        others, learning = ([peer for peer in sorted(some) if peer != self.name] for some in (voters, learners))
        if not others:
            raise JournalFault("a configuration with one voter: the core would stand without being told to")
        for peer in self._voters:
            if peer not in others:
                self._core._SyncObj__doChangeCluster(("rem", peer, self._nodes[peer]))  # noqa: SLF001 # the seam
        for peer in self._learners:
            if peer not in learning:
                self._transport.unlearn(self._nodes[peer])
        for peer in others:
            if peer not in self._voters:
                self._core._SyncObj__doChangeCluster(("add", peer, self._nodes[peer]))  # noqa: SLF001 # the seam
        for peer in learning:
            if peer not in self._learners:
                self._transport.learn(self._nodes[peer])
        self._adopted(tuple(others), tuple(learning))

    # What it calls

    def _adopted(self, voters: tuple[Peer, ...], learners: tuple[Peer, ...]) -> None:
        """Remember whom it counts, and see that it has done so; show it whom it was shown before."""
        self._voters, self._learners = voters, learners
        core = self._core
        if (core.otherNodes, core.readonlyNodes) != tuple(
            {self._nodes[peer] for peer in some} for some in (voters, learners)
        ):
            raise JournalFault("the core has not taken the configuration: a seam has moved")
        for peer in [*self._nodes]:
            if peer not in voters and peer not in learners:
                self.hide(peer)
            elif peer in self._shown:
                self._transport.show(self._nodes[peer])
            else:
                self._transport.hide(self._nodes[peer])

    def _takes(self, peer: Peer, message: Raw) -> bool:
        """What it may hear of a node that does not vote: it counts every vote, and looks for every answer's node."""
        kind = message["type"]
        return kind != "response_vote" and (kind != "next_node_idx" or peer in self._learners)

    def _stand_still(self, at: MonoNs | None = None) -> float | None:
        """From here on the core sees one time: `at`, or now; within itself, what it sees already.

        Returns what it saw before, for the caller to put back.  A context manager would say it better, and takes as
        long as the core does for a heartbeat.
        """
        before = self._presented
        if at is not None:
            self._presented = (at - self._origin) / 1_000_000_000
        elif before is None:
            self._presented = (self._clock() - self._origin) / 1_000_000_000
        return before

    def _walk_no_more(self, commit: int) -> None:
        """Hazard 20: begin behind what is committed, which the state machine has, or applies by itself.

        The core always begins at 1: it would walk over all of history, a second for each million entries, and over a
        log that begins higher never.  Nothing but this one private name moves it there without walking.
        """
        self._core._SyncObj__raftLastApplied = commit  # noqa: SLF001 # the seam, looked at through a public one
        if self.walked != commit:
            raise JournalFault(f"the core begins at {self.walked} instead of {commit}: a seam has moved")

    def _seconds(self) -> float:
        return (self._clock() - self._origin) / 1_000_000_000 if self._presented is None else self._presented

    def _changed(self, _old: int, new: int) -> None:
        self.role = _ROLES[new]
        self._listener.core_role(self.role)


def private_module() -> ModuleType:
    """A copy of pysyncobj.syncobj that nobody else has."""
    spec, code = _source()
    module = importlib.util.module_from_spec(spec)
    exec(code, module.__dict__)  # noqa: S102 # as its loader does, which would read the file each time
    return module


@cache
def _source() -> tuple[ModuleSpec, CodeType]:
    """Where the module is found, and its code, which never changes: read once."""
    spec = importlib.util.find_spec("pysyncobj.syncobj")
    if spec is None or not isinstance(spec.loader, InspectLoader):
        raise ImportError("pysyncobj is not installed: install from requirements.lock")
    code = spec.loader.get_code(spec.name)
    if code is None:
        raise ImportError("pysyncobj has no code: install it from requirements.lock")
    return spec, code


def _conf(timers: Timers, changed: Callable[[int, int], None]) -> Any:
    """Settings; validated by the core itself (its constructor does that)."""
    second = 1_000_000_000
    return SyncObjConf(
        autoTick=False,
        appendEntriesUseBatch=False,  # an entry leaves in the tick that appends it (13)
        appendEntriesPeriod=timers.heartbeat / second,
        appendEntriesBatchSizeBytes=BATCH,  # above any entry: the chunked path is never taken (21)
        raftMinTimeout=timers.election_min / second,
        raftMaxTimeout=timers.election_max / second,
        leaderFallbackTimeout=timers.fallback / second,  # (3)
        connectionTimeout=max(3.5, timers.election_max / second),  # unused, but validated
        commandsQueueSize=0,  # unbounded here: the replica's own queue is the bounded one
        commandsWaitLeader=False,  # (8)
        dynamicMembershipChange=False,
        logCompactionMinEntries=_NEVER,
        logCompactionMinTime=_NEVER,
        useFork=False,  # (12)
        onStateChanged=changed,
    )


class _PeerNode(int, Node):  # type: ignore[misc] # pysyncobj ships no types
    """A node that is its place among the names, from 1 on: sets of it iterate alike in every process (16).

    A number itself, so that the core's many look-ups of nodes run no code of ours.
    """

    name: Peer

    def __new__(cls, name: Peer, place: int) -> Self:
        node = super().__new__(cls, place)
        Node.__init__(node, name)
        node.name = name
        return node

    def __init__(self, name: Peer, place: int) -> None:
        """All is done in `__new__`, as a number's value is."""


class _Nodes(dict[Peer, _PeerNode]):
    """The other nodes; one that was not there at first gets the next place when it is first heard of, for good."""

    def __init__(self, all_nodes: dict[Peer, _PeerNode], peers: Sequence[Peer]) -> None:
        super().__init__({peer: all_nodes[peer] for peer in peers})
        self._next = len(all_nodes) + 1

    def __missing__(self, peer: Peer) -> _PeerNode:
        node = self[peer] = _PeerNode(peer, self._next)
        self._next += 1
        return node


def _nodes(name: Peer, peers: Sequence[Peer]) -> dict[Peer, _PeerNode]:
    return {peer: _PeerNode(peer, place) for place, peer in enumerate(sorted({name, *peers}), 1)}


class _CoreTransport(Transport):  # type: ignore[misc] # pysyncobj ships no types
    """What the core takes for its network.  It has no utility messages, so no administration verb (10)."""

    ready = True  # always: else a tick would sleep (13)

    deliver: Callable[[Any, Raw], None]  # a message for the core

    def __init__(self, listener: CoreListener) -> None:
        super().__init__(None, None, [])
        self._listener = listener

    def setOnMessageReceivedCallback(self, callback: Callable[[Any, Raw], None]) -> None:  # noqa: N802 # its name
        """Whom the core wants to hear of messages: itself."""
        self.deliver = callback

    def send(self, node: Any, message: Raw) -> bool:
        """The core's sends."""
        self._listener.core_sends(node.name, message)
        return True

    def show(self, node: Any) -> None:
        """A connection is up."""
        self._onNodeConnected(node)

    def hide(self, node: Any) -> None:
        """A connection is down."""
        self._onNodeDisconnected(node)

    def learn(self, node: Any) -> None:
        """The core sends to this node from now on, and counts it for nothing; it takes it for connected."""
        self._onReadonlyNodeConnected(node)

    def unlearn(self, node: Any) -> None:
        """It does so no more."""
        self._onReadonlyNodeDisconnected(node)

    def addNode(self, node: Any) -> None:  # noqa: N802 # its name
        """Nothing: who is connected is told by `show`."""

    def dropNode(self, node: Any) -> None:  # noqa: N802 # its name
        """Nothing: who is not is told by `hide`."""


class _CoreQueue:
    """The core's queue of what is proposed, so that we see whether a tick left something in it."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[bytes, None]] = deque()

    def put_nowait(self, value: tuple[bytes, None]) -> None:
        """The core's proposals."""
        self.waiting.append(value)

    def get_nowait(self) -> tuple[bytes, None]:
        """The oldest; raises what the core expects."""
        if not self.waiting:
            raise queue.Empty
        return self.waiting.popleft()


class _NoPoller:
    """Nothing to poll: all input comes through the transport."""

    def poll(self, timeout: float) -> None:
        """Return at once."""


class _Unpicklable:
    """Stands where the core looks for pickle."""

    @staticmethod
    def dumps(_value: object, _protocol: object = None) -> NoReturn:
        """Refuse."""
        raise NoPickle("the core wants to pickle: a seam has moved")

    @staticmethod
    def loads(_data: bytes) -> NoReturn:
        """Refuse."""
        raise NoPickle("the core wants to unpickle: a seam has moved")
