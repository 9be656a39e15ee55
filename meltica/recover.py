"""Recover: a new cluster out of the folder of the one node that is left, the others being lost for good.

Only what is decided before, that it is done, and where the lost nodes are looked for may live here; what answers there
is `listening`'s, the folders are made by `cluster.founding`, what is said of it is `statement`'s.  It works on a
stopped node's folder, which is never written to.  DESIGN.md of `cluster`, "Two nodes lost", has the argument.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from attrs import evolve, frozen

from cluster.applying import ApplyFault, Applying
from cluster.founding import Told, found
from cluster.lock import lock
from cluster.members import Member, Refused, decode
from cluster.refounding import Founding, founding, mint
from cluster.replaying import StoredLog, replay
from cluster.rocks import RocksReader, open_readonly
from cluster.store import Meta, StoreFault, WrongFolder
from cluster.survivor import Survivor, founding_term, survey
from cluster.types import LogIndex, Peer, Term
from cluster.wire import WireError, unpack_commands
from meltica import numbers, orphans
from meltica.build import own_build
from meltica.config import NodeSettings
from meltica.core import commands as words
from meltica.core.codec import encode_command
from meltica.core.events import CommandResult
from meltica.core.loading import BadState
from meltica.core.orders import Asked
from meltica.core.rules import TooOld
from meltica.core.state import State
from meltica.core.values import Epoch, Mode, NodeName, RequestId, text_of
from meltica.listening import Heard, look
from meltica.machine import Machine
from meltica.verify import Verified, verify

CAUSE: Final = "cluster_recovered"  # of the halt
PAGE: Final = "runbooks/two-nodes-lost.md"
NODE_S_OWN: Final = frozenset({numbers.NAME})  # of one node's life, under its ids
_DOUBTFUL: Final = (Asked.SUBMIT_IN_DOUBT, Asked.CANCEL_IN_DOUBT, Asked.AMEND_IN_DOUBT)


class CantRecover(Exception):
    """Nothing was done; `following` is the next step."""

    def __init__(self, why: str, following: str) -> None:
        super().__init__(why)
        self.following = following


@frozen
class Wish:
    """What the operator wants, and who that is."""

    actor: str
    reason: str
    leave_quotes: bool = False


@frozen
class Seen:
    """A state, as far as an operator is told of it.  Times are the log's clock, ns."""

    clock: int
    trading: str
    mode: str
    causes: tuple[str, ...]
    open: int
    in_doubt: int  # of the open ones
    positions: tuple[tuple[str, str, str], ...]  # venue, symbol, quantity


@frozen
class Sought:
    """A node that was looked for at one address."""

    name: str
    address: str
    heard: Heard | None  # what takes a connection there, so that it is not lost; None: nothing does

    def __str__(self) -> str:
        return f"{self.name} ({self.address})"


@frozen
class Plan:
    """All that is known before anything is written."""

    settings: NodeSettings
    verified: Verified
    survivor: Survivor
    stored: Seen  # as the node has applied its log
    since: int  # the log's clock where it last heard of a commit, ns: what others acknowledged later may be missing
    taken: Seen  # with the log's tail
    founding: Founding
    digest: str  # of the state behind the founding
    wish: Wish
    approved: bool  # by the old cluster, what is to trade: this build with these settings
    lost: tuple[str, ...]  # the old cluster's other nodes
    at: str  # this machine's wall clock, UTC
    sought: tuple[Sought, ...]  # where the lost nodes were looked for; what answers is, by the operator's word, no node

    @property
    def index(self) -> int:
        """Of the entry that founds the cluster."""
        return self.survivor.last + len(self.founding.entries)


# --- before -----------------------------------------------------------------------------------------------------


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """No node starts on the folder meanwhile; nothing in it changes.  Raises WrongFolder if one runs on it."""
    descriptor = lock(folder, shared=True)
    try:
        yield
    finally:
        os.close(descriptor)


def seek(folder: Path, settings: NodeSettings) -> tuple[Sought, ...]:
    """Look for the nodes: those that answer are not lost.

    All that the settings name, the folder's own node too: this folder is locked, but that node may run on another copy
    of it, or be the one that was founded out of it before.  And all that took part by what the folder was begun with
    and its log has said since, where they were then: the settings may be a copy made for the new cluster.
    """
    named = {(name, str(peer.peer)) for name, peer in settings.peers.items()} | _members(folder)
    nodes = {name for name, _ in named}
    found = {address: look(address, settings.node.cluster, nodes) for address in sorted({one for _, one in named})}
    return tuple([Sought(name, address, found[address]) for name, address in sorted(named)])


def _members(folder: Path) -> set[tuple[str, str]]:
    """Who takes part by the folder's own word, and where; nobody where it does not say, or can't be read."""
    try:
        reader = open_readonly(folder)
        try:
            places = reader.places()
        finally:
            reader.close()
        found = [decode(entry) for _, entry in places]
    except (StoreFault, WireError):
        return set()  # what is wrong with it is told when it is looked at
    return {(str(one.name), one.address) for each in found for one in (*each.voters, *each.learners)}


def plan(folder: Path, verified: Verified, settings: NodeSettings, wish: Wish, sought: tuple[Sought, ...]) -> Plan:
    """What would be done with a whole folder, rehearsed to its end in memory.

    Raises:
        CantRecover: what would be founded would not stand; nothing was written.
        StoreFault: the folder is damaged, or is none.
    """
    reader = open_readonly(folder)
    try:
        survivor = survey(reader)
        if settings.node.cluster != survivor.cluster:
            why = f"{settings.file} is of cluster {settings.node.cluster}, the folder of {survivor.cluster}"
            raise CantRecover(why, "give the settings of the node whose folder it is, with its cluster unchanged")
        machine = Machine()
        stored, since = _rehearse(reader, survivor, machine)
        _check_sight(folder, machine.state, settings)
        approved = machine.state.approved.covers(own_build(), settings.agreed_digest)
        taken = seen(machine.state)
        refounded = _founding(survivor, machine.state, settings, wish)
    finally:
        reader.close()
    digest = _check(machine, refounded)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    lost = _others(machine.state, survivor.node, settings)
    return Plan(
        settings, verified, survivor, stored, since, taken, refounded, digest, wish, approved, lost, now, sought
    )


def _check_sight(folder: Path, state: State, settings: NodeSettings) -> None:
    try:
        orphans.refuse(folder, state.orders.values(), settings.accounts)
    except WrongFolder as lost:
        following = "put that venue, with that account, back into the settings that --config names"
        raise CantRecover(str(lost), following) from lost


def _others(state: State, node: Peer, settings: NodeSettings) -> tuple[str, ...]:
    """The old cluster's other nodes, as its leader reported them last; the settings may name new ones already."""
    crew = [str(one.node) for one in state.crew.nodes] or list(settings.peers)
    return tuple(sorted(name for name in crew if name != node))


def seen(state: State) -> Seen:
    """What an operator is told of it."""
    live = state.live_orders()
    return Seen(
        clock=int(state.clock),
        trading=str(state.risk.trading),
        mode=str(state.mode),
        causes=tuple(sorted({*state.risk.halts, *state.risk.reduces})),
        open=len(live),
        in_doubt=sum(1 for order in live if order.unanswered or order.asked in _DOUBTFUL or order.state == "absent"),
        positions=tuple(
            (str(venue), str(symbol), text_of(one.quantity))
            for (venue, _, symbol), one in sorted(state.positions.items())
            if one.quantity
        ),
    )


class _Nowhere:
    """Where a rehearsal writes: see `cluster.applying.Results`."""

    def __init__(self, reader: RocksReader) -> None:
        self._reader = reader

    def meta(self) -> Meta:
        """As it is stored."""
        return self._reader.meta()

    def state(self) -> Iterator[tuple[bytes, bytes]]:
        """As it is stored."""
        return self._reader.state()

    def put_state(self, key: bytes, value: bytes | None) -> None:
        """Nothing is kept."""

    def put_audit(self, index: LogIndex, place: int, record: bytes) -> None:
        """Nothing is kept."""

    def set_applied(self, index: LogIndex) -> None:
        """Nothing is kept."""


def _rehearse(reader: RocksReader, survivor: Survivor, machine: Machine) -> tuple[Seen, int]:
    """The state that is stored, and the clock where the tail begins; the machine's state is then the one behind it."""
    following = f"recover with the build that the cluster ran, or a newer one; else {PAGE}"
    try:
        applying = Applying(machine, _Nowhere(reader), StoredLog(reader.entries))
        stored = seen(machine.state)
        stop = replay(applying, survivor.whole, survivor.last, lambda: None, lambda _done: None)
        since = int(machine.state.clock)
        if stop is None:
            stop = replay(applying, survivor.last, survivor.last, lambda: None, lambda _done: None)
    except (ApplyFault, BadState, TooOld) as fault:
        raise CantRecover(f"the log's end can't be applied: {fault}", following) from fault
    if stop is not None:
        raise CantRecover(f"this build can't apply entry {stop.index}: {stop.why}", following)
    return stored, since


def _founding(survivor: Survivor, state: State, settings: NodeSettings, wish: Wish) -> Founding:
    cluster, term = mint(state.clusters, lambda: secrets.token_hex(3)), founding_term(survivor)  # as ids begin
    members = [Member(Peer(name), str(peer.peer)) for name, peer in settings.peers.items()]
    commands = founding_commands(state, survivor, _renamed(settings, cluster), term, wish)
    try:
        return founding(survivor, cluster, term, members, [encode_command(one) for one in commands])
    except Refused as refused:
        raise CantRecover(str(refused), "correct [peers] in the settings that --config names") from refused


def _renamed(settings: NodeSettings, cluster: str) -> NodeSettings:
    """The settings as they are to be."""
    return evolve(settings, node=evolve(settings.node, cluster=cluster))


def founding_commands(
    state: State, survivor: Survivor, settings: NodeSettings, term: Term, wish: Wish
) -> Sequence[words.Command]:
    """What the founding entry says; `settings` are the new cluster's.

    Its time is the log's own: this machine's clock was compared with no venue's, and a wrong time would stay.
    """
    epoch, at, cluster = Epoch(term), state.clock, settings.node.cluster
    node = survivor.node
    lacking = f"at least {survivor.missing} entries are missing" if survivor.missing else "no missing entry is known of"
    why = f"cluster {survivor.cluster} recovered from {node} at entry {survivor.last}, {lacking}: {wish.reason}"

    def by(what: str, reason: str = wish.reason) -> words.By:
        return words.By(RequestId(f"recover-{cluster}-{what}"), wish.actor, reason)

    return (
        words.EpochStarted(epoch, at, NodeName(node), "recovery", own_build()),
        words.Halt(epoch, at, CAUSE, wish.leave_quotes, by("halt", why)),
        words.ModeSet(epoch, at, Mode.MANUAL, by("mode")),
        words.ClusterRecovered(epoch, at, cluster, by("cluster")),
        words.ApproveBuild(epoch, at, own_build(), settings.agreed_digest, by=by("build")),
    )


def _check(machine: Machine, founding: Founding) -> str:
    """Apply what founds the cluster, in memory: everything must be accepted.  Returns the state's digest."""
    state = machine.state
    for entry in founding.entries:
        commands = unpack_commands(entry)
        outcome = machine.apply(LogIndex(state.index + 1), founding.term, commands)
        for result in outcome.results:
            if isinstance(result, CommandResult) and result.rejection is not None:
                raise CantRecover(f"{result.kind} is refused: {result.rejection.text}", f"see {PAGE}")
    return state.digest()


# --- doing it ---------------------------------------------------------------------------------------------------


def carry_out(plan: Plan, out: Path, papers: Mapping[str, bytes], told: Told) -> None:
    """Make the folders; `papers` lie beside them.

    Raises:
        StoreFault: the disk refused, or what was written is not what was planned.  Nothing appeared at `out`.
    """

    def check(folder: Path) -> None:
        _look(plan, folder)

    source = plan.verified.folder
    found(out, source, plan.founding, Machine(), left=NODE_S_OWN, check=check, papers=papers, told=told)


def _look(plan: Plan, folder: Path) -> None:
    """Whether it holds what was rehearsed, by every checksum and by the audit trail's chain."""
    made = verify(folder, lambda _what, _done, _most: None, replay=False)
    wrong = [f"{one.name}: {one.text}" for one in made.findings if one.held is False]
    if wrong:
        raise StoreFault(f"{folder}: what was written is damaged ({'; '.join(wrong)}): look at that disk")
    found_so = (made.cluster, made.node, made.digest, made.applied)
    if found_so != (plan.founding.cluster, folder.name, plan.digest, plan.index):
        raise StoreFault(f"{folder}: what was written is not what was planned: a fault of the program; report it")
