"""ClusterNode: what it does in which order, against a scripted replica; then three real nodes on loopback."""

from __future__ import annotations

import datetime as dt
import random
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import trio
import trio.testing

from cluster import pki
from cluster.driver import ClusterNode, NoObserver, open_node
from cluster.hosts import Address
from cluster.members import Member, Promote, Refused
from cluster.memory import MemoryDisk, MemoryStore
from cluster.replica import Ready
from cluster.rocks import RocksStore
from cluster.roster import Roster
from cluster.store import Store, StoredEntry, StoreFault, Ticket
from cluster.tls import TlsTransport
from cluster.transport import LinkFigures, MemoryNetwork, Transport, TransportError
from cluster.types import (
    Applied,
    AppliedEntry,
    ApplyOutcome,
    Installed,
    LogIndex,
    MonoNs,
    NotLeader,
    Outcome,
    OutcomeUnknown,
    Peer,
    Role,
    RoleChanged,
    Term,
    Token,
)

N1, N2, N3 = NAMES = (Peer("n1"), Peer("n2"), Peer("n3"))


def seeded(name: str = "") -> random.Random:
    """What jitter and timeouts are drawn from."""
    return random.Random(name)  # noqa: S311  # not for secrets


FAR = MonoNs(10**18)


def nothing(wake_at: MonoNs = FAR) -> Ready:
    return Ready((), None, (), (), (), wake_at)


def virtual() -> MonoNs:
    return MonoNs(int(trio.current_time() * 1e9))


class Scripted:
    """A replica that does as told, and writes down what it hears."""

    roster: Roster | None = None

    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []
        self.ready: list[Ready] = []
        self.wake_at = FAR
        self.raises: Exception | None = None
        self.steps = 0

    def step(self) -> Ready:
        self.steps += 1
        if self.raises is not None:
            raise self.raises
        return self.ready.pop(0) if self.ready else nothing(self.wake_at)

    def propose(self, command: bytes, token: Token) -> None:
        self.heard.append(("propose", command, token))

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *values: self.heard.append((name, *values))


class Wire:
    """A transport that only writes down."""

    def __init__(self, journal: list[str]) -> None:
        self.sent: list[tuple[Peer, list[bytes]]] = []
        self._journal = journal

    async def run(self, _listener: object, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started("wire")
        await trio.sleep_forever()

    def send(self, peer: Peer, frames: Iterable[bytes]) -> bool:
        self.sent.append((peer, list(frames)))
        self._journal.append("send")
        return True

    def adopt(self, roster: Roster) -> None:
        self._journal.append(f"adopt {len(roster.members)}")

    async def reach(self, member: Member) -> str:
        await trio.lowlevel.checkpoint()
        return f"{member.name} is not there"

    def sever(self) -> None:
        self._journal.append("sever")

    def figures(self) -> tuple[LinkFigures, ...]:
        return ()


class Ears:
    """A listener that writes down."""

    def __init__(self, journal: list[str] | None = None) -> None:
        self.journal = journal if journal is not None else []
        self.applied: list[AppliedEntry] = []
        self.roles: list[RoleChanged] = []
        self.installed: list[Installed] = []
        self._changed = trio.Event()

    def on_role(self, change: RoleChanged) -> None:
        self.roles.append(change)
        self._note("role")

    def on_applied(self, entry: AppliedEntry) -> None:
        self.applied.append(entry)
        self._note("applied")

    def on_installed(self, installed: Installed) -> None:
        self.installed.append(installed)

    def on_stopped(self, reason: str) -> None:
        self._note(f"stopped: {reason}")

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self._changed.wait()

    @property
    def leads(self) -> bool:
        return bool(self.roles) and self.roles[-1].role is Role.LEADER

    @property
    def commands(self) -> list[bytes]:
        return [command for entry in self.applied for command in entry.commands]

    def _note(self, what: str) -> None:
        self.journal.append(what)
        self._changed.set()
        self._changed = trio.Event()


class Slow(MemoryStore):
    """A disk whose syncs wait for permission."""

    def __init__(self) -> None:
        super().__init__("c", N1)
        self.begun = threading.Semaphore(0)
        self.allowed = threading.Semaphore(0)

    def sync(self) -> Ticket:
        ticket = self.begin_sync()
        self.begun.release()
        self.allowed.acquire()
        return self.finish_sync(ticket)


class Bench:
    """A node on a scripted replica."""

    def __init__(self, store: Store | None = None) -> None:
        self.journal: list[str] = []
        self.replica = Scripted()
        self.wire = Wire(self.journal)
        self.ears = Ears(self.journal)
        self.store = store or MemoryStore("c", N1)
        self.node = ClusterNode(
            self.replica,  # type: ignore[arg-type]  # it answers to every call of a replica
            self.store,
            self.wire,
            self.ears,
            clock=virtual,
            observer=NoObserver(),
        )


def applied(index: int) -> AppliedEntry:
    return AppliedEntry(LogIndex(index), Term(1), (b"c",), ("r",), True, MonoNs(0), MonoNs(0))


async def test_what_a_step_asks_is_done_in_order(nursery: trio.Nursery, autojump_clock: object) -> None:
    bench = Bench()
    role = RoleChanged(Role.LEADER, Term(1), N1, "election")
    bench.replica.ready = [Ready(((N2, b"a"), (N3, b"b"), (N2, b"c")), None, (applied(1),), (), (role,), FAR)]
    await nursery.start(bench.node.run)
    await bench.ears.until(lambda: bool(bench.ears.applied))
    assert bench.wire.sent == [(N2, [b"a", b"c"]), (N3, [b"b"])]  # one write a peer
    assert bench.journal[:4] == ["send", "send", "role", "applied"]


async def test_the_links_are_for_whom_the_replica_says_before_they_run_and_behind_what_leaves(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    bench = Bench()
    bench.replica.roster = Roster((Member(N2, "n2:1"),))
    both = Roster((Member(N2, "n2:1"), Member(N3, "n3:1")))
    role = RoleChanged(Role.LEADER, Term(1), N1, "election")
    bench.replica.ready = [Ready(((N2, b"a"),), None, (), (), (role,), FAR, None, both)]
    await nursery.start(bench.node.run)
    await bench.ears.until(lambda: bool(bench.ears.roles))
    assert bench.journal == ["adopt 1", "send", "adopt 2", "role"]


async def test_a_change_of_who_takes_part_has_one_outcome_or_is_refused_at_once(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    bench = Bench()
    await nursery.start(bench.node.run)
    outcome = Applied(LogIndex(4), Term(1), None)
    told: list[Outcome] = []

    async def change() -> None:
        told.append(await bench.node.change(Promote(N2)))

    nursery.start_soon(change)
    await trio.testing.wait_all_tasks_blocked()
    asked = bench.replica.heard[-1]
    assert asked[:2] == ("change", Promote(N2))
    bench.replica.ready = [Ready((), None, (), ((asked[2], outcome),), (), FAR)]  # type: ignore[arg-type]  # a token
    bench.node.received(N2, [b"x"])
    await trio.testing.wait_all_tasks_blocked()
    assert told == [outcome]

    def refuses(*_asked: object) -> None:
        raise Refused("not now")

    bench.replica.change = refuses  # type: ignore[attr-defined]  # as a replica's own
    with pytest.raises(Refused, match="not now"):
        await bench.node.change(Promote(N2))
    assert not bench.node._waiting
    bench.node._stop()
    assert await bench.node.change(Promote(N2)) == NotLeader(None)


async def test_it_wakes_when_the_replica_wants_and_not_before(nursery: trio.Nursery, autojump_clock: object) -> None:
    bench = Bench()
    start = virtual()
    bench.replica.ready = [nothing(MonoNs(start + 50_000_000)), nothing(MonoNs(start + 90_000_000))]
    await nursery.start(bench.node.run)
    await trio.testing.wait_all_tasks_blocked()
    assert bench.replica.steps == 1
    await trio.sleep(0.049)
    assert bench.replica.steps == 1
    await trio.sleep(0.002)
    assert bench.replica.steps == 2
    bench.replica.ready = [nothing(MonoNs(start + 60_000_000))]
    bench.node.received(N2, [b"x"])  # an earlier time moves the sleeper
    await trio.sleep(0.010)
    assert bench.replica.steps == 4


async def test_proposals_of_one_round_are_one_step(nursery: trio.Nursery, autojump_clock: object) -> None:
    bench = Bench()
    await nursery.start(bench.node.run)
    await trio.testing.wait_all_tasks_blocked()
    before = bench.replica.steps
    for number in range(5):
        bench.node.propose_nowait(b"%d" % number)
    await trio.testing.wait_all_tasks_blocked()
    assert bench.replica.steps == before + 1
    assert [what[1] for what in bench.replica.heard] == [b"0", b"1", b"2", b"3", b"4"]


async def test_an_outcome_reaches_its_caller_once(nursery: trio.Nursery, autojump_clock: object) -> None:
    bench = Bench()
    await nursery.start(bench.node.run)
    await trio.testing.wait_all_tasks_blocked()
    told: list[Outcome] = []
    bench.node.propose_nowait(b"a", told.append)
    token = bench.replica.heard[-1][2]
    outcome = Applied(LogIndex(4), Term(1), "r")
    bench.replica.ready = [Ready((), None, (), ((token, outcome), (token, outcome)), (), FAR)]
    await trio.testing.wait_all_tasks_blocked()
    assert told == [outcome]


async def test_news_of_a_commit_gives_way_to_callers_and_leaves_with_the_next_frames(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    bench = Bench()
    await nursery.start(bench.node.run)
    await trio.testing.wait_all_tasks_blocked()
    outcome = ((Token(1), Applied(LogIndex(4), Term(1), "r")),)
    news = Ready(((N2, b"news"),), None, (applied(4),), outcome, (), FAR)
    bench.replica.ready = [news]
    bench.node.received(N2, [b"ack"])
    assert bench.wire.sent == []
    bench.replica.ready = [Ready(((N2, b"entry"),), None, (), (), (), FAR)]
    bench.node.received(N3, [b"x"])
    assert bench.wire.sent == [(N2, [b"news", b"entry"])]
    bench.replica.ready = [news]
    bench.node.received(N2, [b"ack"])
    await trio.sleep(0.003)
    assert bench.wire.sent[1:] == [(N2, [b"news"])]


async def test_a_caller_out_of_time_has_an_unknown_outcome(nursery: trio.Nursery, autojump_clock: object) -> None:
    bench = Bench()
    await nursery.start(bench.node.run)
    started = trio.current_time()
    assert await bench.node.propose_within(b"a", 2.0) == OutcomeUnknown("no answer in time")
    assert trio.current_time() - started == pytest.approx(2.0)


async def test_a_node_that_stops_leaves_what_waits_unknown_and_takes_no_more(autojump_clock: object) -> None:
    bench = Bench()
    told: list[Outcome] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(bench.node.run)
        bench.node.propose_nowait(b"a", told.append)
        nursery.cancel_scope.cancel()
    assert told == [OutcomeUnknown("this node is stopping")]
    assert await bench.node.propose(b"b") == NotLeader(None)
    MemoryStore("c", N1, bench.store.disk).close()  # type: ignore[attr-defined]  # the store was given back


async def test_one_sync_at_a_time_and_one_for_all_that_waits(nursery: trio.Nursery) -> None:
    """Group commit: three batches, two syncs."""
    store = Slow()
    bench = Bench(store)
    await nursery.start(bench.node.run)
    for index in (1, 2, 3):
        store.append(StoredEntry(LogIndex(index), Term(1), b""))
        bench.replica.ready.append(Ready((), store.commit(), (), (), (), FAR))
        bench.node.received(N2, [b"x"])
        if index == 1:
            await trio.to_thread.run_sync(store.begun.acquire)
    assert not store.begun.acquire(blocking=False)  # does not wait
    store.allowed.release()
    await trio.to_thread.run_sync(store.begun.acquire)
    store.allowed.release(2)
    with trio.fail_after(5):
        while ("synced", 3) not in bench.replica.heard:
            await trio.lowlevel.checkpoint()
    assert [what for what in bench.replica.heard if what[0] == "synced"] == [("synced", 1), ("synced", 3)]


async def test_a_failed_sync_silences_the_node_before_anything_else_and_is_raised() -> None:
    store = MemoryStore("c", N1)
    bench = Bench(store)
    store.fail_next_sync("EIO")
    store.append(StoredEntry(LogIndex(1), Term(1), b""))
    bench.replica.ready = [Ready((), store.commit(), (), (), (), FAR)]
    with pytest.raises(StoreFault, match="EIO"), trio.fail_after(5):
        await bench.node.run()
    assert bench.journal[0] == "sever"
    assert bench.journal[1].startswith("stopped: a sync failed (EIO)")
    assert "send" not in bench.journal
    assert bench.replica.heard[-1][0] == "sync_failed"


@pytest.mark.parametrize("fault", [StoreFault("no space left"), RuntimeError("a fault of the program")])
async def test_a_step_that_raises_silences_the_node_and_is_raised(fault: Exception, autojump_clock: object) -> None:
    bench = Bench()
    with pytest.RaisesGroup(pytest.RaisesExc(type(fault), match=str(fault))):
        async with trio.open_nursery() as nursery:
            await nursery.start(bench.node.run)
            await trio.testing.wait_all_tasks_blocked()
            bench.replica.raises = fault
            bench.node.received(N2, [b"x"])
            assert bench.journal == ["sever", f"stopped: {fault}"]
            steps = bench.replica.steps
            bench.node.received(N2, [b"y"])
            assert bench.replica.steps == steps


class Counting:
    """A state machine that counts; its result is the count."""

    def __init__(self) -> None:
        self.count = 0
        self.loaded = 0

    def load(self, applied: LogIndex, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        self.loaded = applied
        self.count = int(dict(pairs).get(b"count", b"0"))

    def apply(self, index: LogIndex, term: Term, commands: tuple[bytes, ...]) -> ApplyOutcome:
        first = self.count + 1
        self.count += len(commands)
        audit = tuple(b"%d %s" % (index, command) for command in commands)
        return ApplyOutcome(tuple(range(first, self.count + 1)), ((b"count", b"%d" % self.count),), audit)


class Cluster:
    """Three nodes in one process, each in a scope of its own."""

    def __init__(self, nursery: trio.Nursery, stores: Callable[[Peer], Store], wires: Callable[[Peer], Transport]):
        self._nursery = nursery
        self._stores = stores
        self._wires = wires
        self.ears: dict[Peer, Ears] = {}
        self.nodes: dict[Peer, ClusterNode] = {}
        self.machines: dict[Peer, Counting] = {}
        self.faults: dict[Peer, StoreFault] = {}
        self._scopes: dict[Peer, trio.CancelScope] = {}
        self.ended: dict[Peer, trio.Event] = {}

    async def start(self, name: Peer) -> None:
        await self._nursery.start(self._run, name)

    async def kill(self, name: Peer) -> None:
        self._scopes[name].cancel()
        await self.ended[name].wait()
        del self.nodes[name]

    async def leader(self) -> ClusterNode:
        while True:
            for name, node in self.nodes.items():
                if self.ears[name].leads and node.status().role is Role.LEADER:
                    return node
            await trio.sleep(0.01)

    async def caught_up(self, count: int) -> None:
        while any(self.machines[name].count < count for name in self.nodes):  # noqa: ASYNC110  # three machines, no one event
            await trio.sleep(0.01)

    async def _run(self, name: Peer, task_status: trio.TaskStatus[None]) -> None:
        self.ears[name], self.machines[name] = Ears(), Counting()
        self.ended[name] = trio.Event()
        try:
            with trio.CancelScope() as self._scopes[name]:
                async with open_node(
                    name,
                    [peer for peer in NAMES if peer != name],
                    store=self._stores(name),
                    machine=self.machines[name],
                    transport=self._wires(name),
                    listener=self.ears[name],
                    random=seeded(name),  # each its own: equal timeouts would split every vote
                ) as self.nodes[name]:
                    task_status.started()
                    await trio.sleep_forever()
        except StoreFault as fault:
            self.faults[name] = fault
            del self.nodes[name]
        self.ended[name].set()


def ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    found = [int(sock.getsockname()[1]) for sock in sockets]
    for sock in sockets:
        sock.close()
    return found


async def test_three_nodes_over_tls_and_rocksdb_lose_nothing_when_two_are_killed_in_turn(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    pki.create(tmp_path / "pki", "c", NAMES, dt.datetime.now(dt.UTC))
    addresses = {name: Address("127.0.0.1", port) for name, port in zip(NAMES, ports(3), strict=True)}

    def wire(name: Peer) -> TlsTransport:
        peers = {peer: address for peer, address in addresses.items() if peer != name}
        keys = pki.credentials(tmp_path / "pki", name)
        return TlsTransport(name, addresses[name], peers, keys, random=seeded())

    cluster = Cluster(nursery, lambda name: RocksStore(tmp_path / name, "c", name, first_start=True), wire)
    with trio.fail_after(30):
        for name in NAMES:
            await cluster.start(name)
        acknowledged: list[bytes] = []

        async def propose_all(letter: bytes) -> Peer:
            leader = await cluster.leader()
            for number in range(20):
                command = letter + b"%d" % number
                outcome = await leader.propose_within(command, 5)
                assert isinstance(outcome, Applied)
                acknowledged.append(command)
                assert outcome.result == len(acknowledged)
            return leader.status().name

        first = await propose_all(b"a")
        await cluster.caught_up(20)
        standby = next(name for name in NAMES if name != first)
        await cluster.kill(standby)
        assert await propose_all(b"b") == first
        await cluster.start(standby)
        await cluster.caught_up(40)
        await cluster.kill(first)
        await propose_all(b"c")
        await cluster.start(first)
        await cluster.caught_up(60)
        assert cluster.machines[first].loaded > 0  # it did not begin anew
        for name in NAMES:
            await cluster.kill(name)
    for name in NAMES:
        store = RocksStore(tmp_path / name, "c", name)
        assert [record.split()[1] for _, _, record in store.audit(LogIndex(0), 100)] == acknowledged
        store.close()


async def test_a_hand_over_and_the_loss_of_a_leader_s_disk(nursery: trio.Nursery) -> None:
    network, disks = MemoryNetwork(), {name: MemoryDisk() for name in NAMES}
    stores: dict[Peer, MemoryStore] = {}

    def store(name: Peer) -> MemoryStore:
        stores[name] = MemoryStore("c", name, disks[name])
        return stores[name]

    cluster = Cluster(nursery, store, lambda name: network.transport(name, [peer for peer in NAMES if peer != name]))
    with trio.fail_after(20):
        for name in NAMES:
            await cluster.start(name)
        leader = await cluster.leader()
        assert isinstance(await leader.propose_within(b"a", 5), Applied)
        old = leader.status().name
        to = next(name for name in NAMES if name != old)
        leader.transfer(to)
        await cluster.ears[to].until(lambda: cluster.ears[to].leads)
        outcome = await leader.propose_within(b"b", 5)
        assert isinstance(outcome, NotLeader)
        new = await cluster.leader()
        assert new.status().name == to
        assert isinstance(await new.propose_within(b"c", 5), Applied)
        stores[to].fail_next_sync("EIO")
        lost = await new.propose_within(b"d", 5)
        assert isinstance(lost, OutcomeUnknown | Applied)  # two others may have it
        await cluster.ended[to].wait()
        assert "EIO" in str(cluster.faults[to])
        third = await cluster.leader()
        assert third.status().name != to
        assert isinstance(await third.propose_within(b"e", 5), Applied)


async def test_a_port_in_use_is_raised_alone_and_the_store_is_given_back(tmp_path: Path) -> None:
    pki.create(tmp_path / "pki", "c", NAMES, dt.datetime.now(dt.UTC))
    disk = MemoryDisk()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        here = Address("127.0.0.1", taken.getsockname()[1])
        wire = TlsTransport(N1, here, {}, pki.credentials(tmp_path / "pki", "n1"), random=seeded())
        with pytest.raises(TransportError, match="in use"):
            async with open_node(
                N1, [N2, N3], store=MemoryStore("c", N1, disk), machine=Counting(), transport=wire, listener=Ears(),
                random=seeded(),
            ):  # fmt: skip
                await trio.sleep_forever()
    assert not disk.opened


async def test_a_body_s_own_exception_is_raised_as_it_is(nursery: trio.Nursery) -> None:
    wire = MemoryNetwork().transport(N1, [N2, N3])
    with pytest.raises(KeyError):
        async with open_node(
            N1, [N2, N3], store=MemoryStore("c", N1), machine=Counting(), transport=wire, listener=Ears(),
            random=seeded(),
        ):  # fmt: skip
            raise KeyError("mine")


@pytest.mark.parametrize("word", ["connected", "disconnected", "inbound_up", "inbound_down", "received", "synced"])
async def test_a_disk_that_fails_inside_any_input_silences_the_node(word: str, autojump_clock: object) -> None:
    """Rule 9: its caller, the transport, hears nothing of it."""
    bench = Bench()

    def refuses(*_values: object) -> None:
        raise StoreFault("log entry 5 is damaged")

    with pytest.RaisesGroup(pytest.RaisesExc(StoreFault, match="entry 5")):
        async with trio.open_nursery() as nursery:
            await nursery.start(bench.node.run)
            await trio.testing.wait_all_tasks_blocked()
            setattr(bench.replica, word, refuses)
            if word == "synced":
                bench.node._synced(Ticket(1), 1)
            else:
                getattr(bench.node, word)(N2, *([[b"x"]] if word == "received" else []))
            assert bench.journal[:2] == ["sever", "stopped: log entry 5 is damaged"]


async def test_a_node_that_fails_ends_and_settles_whatever_those_told_do(autojump_clock: object) -> None:
    bench = Bench()
    told: list[Outcome] = []

    def raises(_told: object) -> None:
        raise RuntimeError("a fault of the listener")

    bench.ears.on_stopped = raises
    with pytest.RaisesGroup(pytest.RaisesExc(StoreFault, match="no space")):
        async with trio.open_nursery() as nursery:
            await nursery.start(bench.node.run)
            bench.node.propose_nowait(b"a", raises)
            bench.node.propose_nowait(b"b", told.append)
            await trio.testing.wait_all_tasks_blocked()
            bench.replica.raises = StoreFault("no space left")
            bench.node.received(N2, [b"x"])
            assert told == [OutcomeUnknown("this node is stopping")]
    MemoryStore("c", N1, bench.store.disk).close()  # type: ignore[attr-defined]  # the store was given back


async def test_a_sync_that_hangs_keeps_no_caller_waiting_at_the_stop() -> None:
    store = Slow()
    bench = Bench(store)
    told: list[Outcome] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(bench.node.run)
        store.append(StoredEntry(LogIndex(1), Term(1), b""))
        bench.replica.ready.append(Ready((), store.commit(), (), (), (), FAR))
        bench.node.received(N2, [b"x"])
        await trio.to_thread.run_sync(store.begun.acquire)
        bench.node.propose_nowait(b"a", told.append)
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            for _ in range(20):
                await trio.lowlevel.checkpoint()
            assert told == [OutcomeUnknown("this node is stopping")]
            store.allowed.release()


class Brittle(Wire):
    """A transport with a task that raises when the links are severed, as one that waits for a socket can."""

    def __init__(self, journal: list[str], *, at_once: bool) -> None:
        super().__init__(journal)
        self._severed = trio.Event()
        if at_once:
            self._severed.set()

    async def run(self, _listener: object, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started("wire")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            await self._severed.wait()
            raise trio.ClosedResourceError("another task closed this fd")

    def sever(self) -> None:
        super().sever()
        self._severed.set()


async def test_a_task_that_falls_over_a_severed_link_hides_nothing_of_the_disk_s_words() -> None:
    """What is raised is the fault, alone, with its next step (rule 9)."""
    store = MemoryStore("c", N1)
    bench = Bench(store)
    bench.node._transport = Brittle(bench.journal, at_once=False)
    store.fail_next_sync("EIO")
    store.append(StoredEntry(LogIndex(1), Term(1), b""))
    bench.replica.ready = [Ready((), store.commit(), (), (), (), FAR)]
    with pytest.raises(StoreFault, match="EIO"), trio.fail_after(5):
        await bench.node.run()
    assert [what for what in bench.journal if what.startswith("stopped")] == [
        "stopped: a sync failed (EIO): nothing more is written by this process"
    ]


async def test_a_task_that_raises_silences_the_node_and_is_raised_alone() -> None:
    bench = Bench()
    bench.node._transport = Brittle(bench.journal, at_once=True)
    with pytest.raises(trio.ClosedResourceError, match="another task"), trio.fail_after(5):
        await bench.node.run()
    assert bench.journal[:2] == ["sever", "stopped: another task closed this fd"]


async def test_why_a_node_ended_is_raised_also_when_whoever_runs_it_ends_with_it(autojump_clock: object) -> None:
    """As the rest of the node does, when it hears that replication stopped."""
    bench = Bench()
    with pytest.RaisesGroup(pytest.RaisesExc(StoreFault, match="no space")):
        async with trio.open_nursery() as nursery:
            await nursery.start(bench.node.run)

            def end(_reason: str) -> None:
                nursery.cancel_scope.cancel()

            bench.ears.on_stopped = end  # type: ignore[method-assign]  # a test's own ears
            await trio.testing.wait_all_tasks_blocked()
            bench.replica.raises = StoreFault("no space left")
            bench.node.received(N2, [b"x"])


class Broken(MemoryStore):
    """Its library raises something of its own."""

    def sync(self) -> Ticket:
        raise OSError(5, "input/output error")


async def test_whatever_a_sync_raises_is_a_failed_sync() -> None:
    bench = Bench(Broken("c", N1))
    bench.store.append(StoredEntry(LogIndex(1), Term(1), b""))
    bench.replica.ready = [Ready((), bench.store.commit(), (), (), (), FAR)]
    with pytest.raises(OSError, match="input/output"), trio.fail_after(5):
        await bench.node.run()
    assert bench.journal[:2] == ["sever", "stopped: [Errno 5] input/output error"]
    assert bench.replica.heard[-1] == ("sync_failed", "[Errno 5] input/output error")


class Faulty(NoObserver):
    """Who measures, and must not raise."""

    def synced(self, duration: int) -> None:
        raise RuntimeError(f"no clock shows {duration}")


async def test_an_observer_that_raises_at_a_sync_ends_the_node_and_not_the_event_loop() -> None:
    store = MemoryStore("c", N1)
    bench = Bench(store)
    bench.node._observer = Faulty()
    store.append(StoredEntry(LogIndex(1), Term(1), b""))
    bench.replica.ready = [Ready((), store.commit(), (), (), (), FAR)]
    with pytest.raises(RuntimeError, match="no clock shows"), trio.fail_after(5):
        await bench.node.run()
    assert bench.journal[0] == "sever"


async def test_a_caller_that_raises_at_a_node_that_takes_no_more_ends_not_the_event_loop() -> None:
    bench = Bench()

    def raises(_outcome: Outcome) -> None:
        raise RuntimeError("a fault of the caller")

    async with trio.open_nursery() as nursery:
        await nursery.start(bench.node.run)
        nursery.cancel_scope.cancel()
    bench.node.propose_nowait(b"a", raises)
    await trio.testing.wait_all_tasks_blocked()
    assert "a fault of the caller" in str(bench.node.fault)
