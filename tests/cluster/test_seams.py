"""Every seam of pysyncobj that cluster/raft.py uses, pinned: an upgrade that moves one fails here, not in a failover.

Where practical the test also shows the stock behaviour for which the guard exists: if upstream mends it, we hear.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import inspect
import os
import pickle  # stock's, to show that it is not called
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import Mock

import pysyncobj.node
import pysyncobj.syncobj
import pytest
from pysyncobj.config import SyncObjConf
from pysyncobj.transport import Transport

from cluster import raft
from cluster.journal import Journal
from cluster.memory import MemoryStore
from cluster.raft import NoPickle, RaftCore, private_module
from cluster.types import MonoNs, Peer, Role, Timers
from cluster.wire import NO_OP, OURS

MS = 1_000_000
N1, N2, N3 = Peer("n1"), Peer("n2"), Peer("n3")
SOURCES = {  # of pysyncobj 0.3.17; read the difference, and pysyncobj.md again, before changing one
    "syncobj.py": "e8bdf06797085d734df86e24ab4802fe87893dff77268565ec036f7ad4a1cfe4",
    "node.py": "e4a3f027cd8291f558334bb9c977e952f6b6989e7e1fa1588d3005ef0b990e2c",
    "transport.py": "0c9d89f9c4781ec9772df8011d7975a1a4a1a5f541357e12eae85a813e92b50b",
    "config.py": "fbbc7ff9f18e4d15a7fd563376e42f5bd192956879d4b810b056d5248b955698",
    "serializer.py": "4d39fde2f15000ad8f507ec229ebd4f6a86371b6f84d4dc1439a9cccd52857ee",
    "fast_queue.py": "8477fe5fdf36d9766df933310d3d66ee953d1afc195b1e6482b3a1498fc517bd",
}


class Ear:
    """Hears what a core says."""

    def __init__(self) -> None:
        self.said: list[tuple[Peer, dict[str, Any]]] = []
        self.roles: list[Role] = []

    def core_sends(self, peer: Peer, message: dict[str, Any]) -> None:
        self.said.append((peer, message))

    def core_role(self, role: Role) -> None:
        self.roles.append(role)

    def take(self, kind: str) -> list[dict[str, Any]]:
        found = [message for _, message in self.said if message["type"] == kind]
        self.said.clear()
        return found


class Stock:
    """A core without its guard, shown all its connections: pysyncobj as it is."""

    def __init__(self) -> None:
        self.now = 1_000 * MS
        self.ear = Ear()
        self.journal = Journal(MemoryStore("seams", N1), lambda: MonoNs(self.now))
        self.core = RaftCore(
            N1,
            (N2, N3),
            Timers(),
            journal=self.journal,
            clock=lambda: MonoNs(self.now),
            random=Random(1),  # noqa: S311 # seeded
            listener=self.ear,
        )
        self.core.show(N2)
        self.core.show(N3)

    def wait(self, ms: int) -> None:
        for _ in range(ms):
            self.now += MS
            self.core.tick()

    def lead(self) -> None:
        self.wait(700)
        self.core.deliver(N2, {"type": "response_vote", "term": self.core.term})
        assert self.core.role is Role.LEADER

    def append(self, term: int, previous: int, previous_term: int, *terms: int, commit: int = 1) -> None:
        entries = [(OURS + b"\x90", previous + 1 + place, t) for place, t in enumerate(terms)]
        message = {
            "type": "append_entries",
            "term": term,
            "commit_index": commit,
            "entries": entries,
            "prevLogIdx": previous,
            "prevLogTerm": previous_term,
        }
        self.core.deliver(N2, message)

    def acks(self, following: int) -> None:
        message = {"type": "next_node_idx", "next_node_idx": following, "reset": False, "success": True}
        self.core.deliver(N2, message)


@pytest.fixture
def stock() -> Stock:
    return Stock()


def test_version() -> None:
    assert importlib.metadata.version("pysyncobj") == "0.3.17"


@pytest.mark.parametrize("name", SOURCES)
def test_sources(name: str) -> None:
    """The very text that the hazards were read in."""
    folder = Path(inspect.getfile(pysyncobj.syncobj)).parent
    assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == SOURCES[name]


@pytest.mark.parametrize("name", ["monotonicTime", "random", "createJournal", "createPoller", "pickle", "FastQueue"])
def test_names_looked_up_at_call_time(name: str) -> None:
    """Each is a global of the module that its functions read when they run, so replacing it in a copy is enough."""
    tree = ast.parse(inspect.getsource(pysyncobj.syncobj))
    used = {
        n.id for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f) if isinstance(n, ast.Name)
    }
    assert name in used
    assert hasattr(private_module(), name)
    assert pysyncobj.syncobj.PIPE_NOTIFIER_ENABLED in {True, False}


def test_private_copy() -> None:
    """Nothing is replaced in the module that everybody else imports."""
    before = {name: getattr(pysyncobj.syncobj, name) for name in ("monotonicTime", "random", "createJournal", "pickle")}
    Stock()
    assert {name: getattr(pysyncobj.syncobj, name) for name in before} == before
    assert private_module() is not private_module() is not sys.modules["pysyncobj.syncobj"]


def test_settings() -> None:
    """Every setting that we pass exists (an unknown one would be ignored in silence), and says what we mean."""
    conf = raft._conf(Timers(), lambda _old, _new: None)
    known = set(vars(SyncObjConf()))
    source = inspect.getsource(raft._conf)
    passed = {k.arg for c in ast.walk(ast.parse(source)) if isinstance(c, ast.Call) for k in c.keywords if k.arg} - {
        "default"
    }
    assert passed <= known
    conf.validate()
    assert (conf.leaderFallbackTimeout, conf.raftMinTimeout, conf.raftMaxTimeout) == (0.35, 0.4, 0.6)
    assert conf.leaderFallbackTimeout < conf.raftMinTimeout  # hazard 3
    assert conf.appendEntriesBatchSizeBytes > raft.BATCH // 2 >= 256 * 1024  # hazard 21
    assert conf.autoTick is conf.useFork is conf.commandsWaitLeader is conf.appendEntriesUseBatch is False
    assert conf.dynamicMembershipChange is False  # hazard 15
    assert SyncObjConf().leaderFallbackTimeout == 30.0  # the stock value: hazard 3
    assert SyncObjConf().useFork is True  # hazard 12


def test_transport_face() -> None:
    for name in ("_onMessageReceived", "_onNodeConnected", "_onNodeDisconnected", "send", "ready"):
        assert hasattr(Transport, name)


def test_no_thread_no_descriptor_no_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hazards 12 and 13: a core starts nothing, opens nothing and sleeps never."""

    def forbidden(*_args: object, **_kwargs: object) -> None:
        pytest.fail("the core touched the system")

    for target in ("os.fork", "os.pipe", "time.sleep", "threading.Thread.start", "select.poll", "socket.socket"):
        monkeypatch.setattr(target, forbidden)
    stock = Stock()
    stock.lead()
    stock.core.propose(OURS + b"\x90")
    stock.wait(5_000)


def test_no_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hazard 10: what the core might pickle raises instead, where stock calls what was pickled."""
    stock = Stock()
    ran = Mock()
    pickled = pickle.dumps((0, ()))
    monkeypatch.setattr(pickle, "loads", ran)
    message = {
        "type": "append_entries", "term": 1, "commit_index": 2, "entries": [(b"\x00" + pickled, 2, 1)],
        "prevLogIdx": 1, "prevLogTerm": 0,
    }  # fmt: skip
    stock.core.deliver(N2, message)
    with pytest.raises(NoPickle):
        stock.core.tick()
    ran.assert_not_called()
    with pytest.raises(NoPickle):
        raft._Unpicklable.dumps(1)
    with pytest.raises(NoPickle):
        raft._Unpicklable.loads(b"")


def test_nodes_hash_to_integers() -> None:
    """Hazard 16: a stock node hashes its name, differently in every process."""
    nodes = raft._nodes(N2, (N3, N1))
    assert [hash(nodes[name]) for name in (N1, N2, N3)] == [1, 2, 3]
    assert hash(pysyncobj.node.Node("n1")) == hash("n1")


ORDER = "import pysyncobj.node as n; print(*(one.id for one in {n.Node(f'n{i}') for i in range(9)}))"


def test_stock_nodes_stand_in_another_order_in_every_process() -> None:
    """Hazard 16: so two runs of one seed would speak to peers in two orders."""

    def order(seed: str) -> str:
        words = [sys.executable, "-c", ORDER]
        told = subprocess.run(words, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True)  # noqa: S603 - this very interpreter
        return told.stdout.decode()

    assert sorted(order("1").split()) == sorted(order("2").split())
    assert order("1") != order("2")


def test_vote_request_shape(stock: Stock) -> None:
    stock.wait(700)
    asked = stock.ear.take("request_vote")
    assert asked[0] == {"type": "request_vote", "term": 1, "last_log_index": 1, "last_log_term": 0}
    assert Role.CANDIDATE in stock.ear.roles


def test_append_shape(stock: Stock) -> None:
    """A new leader sends its no-op in the tick in which it wins; a proposal leaves in the tick that appends it."""
    stock.lead()
    sent = stock.ear.take("append_entries")
    assert set(sent[0]) == {"type", "term", "commit_index", "entries", "prevLogIdx", "prevLogTerm"}
    assert sent[0]["entries"] == [(NO_OP, 2, stock.core.term)]
    entry = OURS + b"\x91\xc4\x01x"
    stock.core.propose(entry)
    stock.core.tick()
    assert stock.journal.entry(3)[0] is entry  # the same object: so its index is known
    assert [e[1] for m in stock.ear.take("append_entries") for e in m["entries"] if e[0] is entry] == [3, 3]


def test_answer_shape(stock: Stock) -> None:
    stock.append(1, 1, 0, 1)
    answer = {"type": "next_node_idx", "next_node_idx": 3, "reset": False, "success": True}
    assert stock.ear.take("next_node_idx") == [answer]


def test_vote_shape(stock: Stock) -> None:
    stock.core.deliver(N2, {"type": "request_vote", "term": 4, "last_log_index": 1, "last_log_term": 0})
    assert stock.ear.take("response_vote") == [{"type": "response_vote", "term": 4}]


def test_transfer_shape(stock: Stock) -> None:
    stock.lead()
    stock.acks(3)
    stock.core.transfer(N2)
    assert stock.ear.take("timeout_now") == [{"type": "timeout_now", "term": stock.core.term}]
    stock.core.transfer(N3)  # it lacks the no-op
    assert stock.ear.take("timeout_now") == []


def test_stand_needs_a_connection(stock: Stock) -> None:
    """The seam of the pre-vote: the core starts an election only while it believes itself connected to someone."""
    stock.core.hide(N2)
    stock.core.hide(N3)
    stock.wait(3_000)
    assert stock.core.term == 0
    stock.core.show(N2)
    stock.core.stand()
    assert (stock.core.role, stock.core.term) == (Role.CANDIDATE, 1)


def test_raise_term(stock: Stock) -> None:
    """A vote request that can't be granted raises the term and makes a follower; nothing is sent, no vote is given."""
    stock.lead()
    stock.ear.said.clear()
    stock.core.raise_term(9)
    assert (stock.core.term, stock.core.role, stock.core.leader, stock.ear.said) == (9, Role.FOLLOWER, None, [])
    assert stock.journal.getVotedForNodeId() is None
    stock.core.raise_term(3)
    assert stock.core.term == 9


def test_unknown_entries_are_skipped_by_the_cores_apply(stock: Stock) -> None:
    """Hazards 9 and 20: our entries have a type that the core's apply passes over, so nothing of ours runs in it."""
    assert OURS[0] not in vars(pysyncobj.syncobj._COMMAND_TYPE).values()
    assert NO_OP[0] == pysyncobj.syncobj._COMMAND_TYPE.NO_OP
    stock.append(1, 1, 0, 1, 1, commit=3)
    stock.core.tick()
    assert stock.core._core.raftLastApplied == 3


def test_an_answer_is_stamped_with_the_time_it_is_shown(stock: Stock) -> None:
    """The seam for hazard 5: the time that the core sees during the delivery is when the follower "responded"."""
    stock.lead()
    late = MonoNs(stock.now)
    stock.wait(300)
    stock.core.deliver(N2, {"type": "next_node_idx", "next_node_idx": 3, "reset": False, "success": True}, at=late)
    stock.wait(60)
    assert stock.core.role is not Role.LEADER  # stamped on receipt, it would lead for 290 ms more


# What stock does, and why the guard is there


def test_stock_counts_an_answer_of_any_term(stock: Stock) -> None:
    """Hazard 5: what N2 acknowledged in term 1 it has lost to the leader of term 2; in term 3 its old answer comes."""
    stock.lead()
    first = stock.core.term
    for _ in range(2):
        stock.core.propose(OURS + b"\x90")
        stock.core.tick()
    follower = Stock()
    for sent in stock.ear.take("append_entries"):
        follower.core.deliver(N2, sent)
    late = follower.ear.take("next_node_idx")[-1]
    assert late["next_node_idx"] == 5  # it had entries 2 to 4, of term 1
    stock.append(first + 1, 1, 0, first + 1)
    assert stock.journal.last == 2
    stock.lead()
    assert (stock.core.term, stock.journal.last) == (first + 2, 3)
    stock.core.tick()
    assert stock.core.commit == 1
    stock.core.deliver(N2, late)
    stock.core.tick()
    assert stock.core.commit == 3  # nobody else has this entry


def test_stock_counts_its_own_unsynced_copy(stock: Stock) -> None:
    """Hazard 1: one follower's answer commits, though nothing of our own is on the disk."""
    stock.lead()
    stock.acks(3)
    stock.core.tick()
    assert (stock.journal.synced, stock.core.commit) == (0, 2)


def test_stock_truncates_what_is_matched(stock: Stock) -> None:
    """Hazard 6: a late duplicate shortens the log below what was acknowledged."""
    stock.append(1, 1, 0, 1, 1, 1, 1)
    assert stock.journal.last == 5
    stock.append(1, 1, 0, 1)
    assert stock.journal.last == 2


def test_stock_backs_off_one_index_at_a_time(stock: Stock) -> None:
    """Hazard 26."""
    stock.append(1, 1, 0, 1, 1, 1, 1)
    stock.ear.said.clear()
    stock.append(2, 5, 2, commit=1)
    assert stock.ear.take("next_node_idx")[0]["next_node_idx"] == 5


class Enough(Exception):
    """A core that would go on for ever has been stopped."""


def test_stock_sends_a_snapshot_of_its_own_for_ever_once_it_is_sent_to_its_base(
    stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazards 7 and 25: an append without `prevLogIdx`, and another, in one tick whose clock stands still."""
    stock.lead()
    stock.ear.said.clear()
    hears = stock.ear.core_sends

    def sends(peer: Peer, message: dict[str, Any]) -> None:
        hears(peer, message)
        if len(stock.ear.said) > 1000:
            raise Enough

    monkeypatch.setattr(stock.ear, "core_sends", sends)
    for following, endless in ((2, False), (1, True)):
        message = {"type": "next_node_idx", "next_node_idx": following, "reset": True, "success": False}
        stock.core.deliver(N2, message)
        stock.ear.said.clear()
        stock.core.propose(OURS + b"\x90")
        if endless:
            with pytest.raises(Enough):
                stock.core.tick()
        else:
            stock.core.tick()
    to_n2 = [message for peer, message in stock.ear.said if peer == N2]
    assert len(to_n2) > 900
    assert all("prevLogIdx" not in message and message["serialized"] is None for message in to_n2)


def test_stock_commits_by_a_snapshot_s_message_what_it_has_not_verified(stock: Stock) -> None:
    """Hazards 7 and 24: the message says nothing of the log, and the tail may be another leader's."""
    stock.append(1, 1, 0, 1, 1)
    assert (stock.journal.last, stock.core.commit) == (3, 1)
    stock.core.deliver(N2, {"type": "append_entries", "term": 2, "commit_index": 3, "serialized": None})
    assert stock.core.commit == 3


def test_where_the_core_begins_is_its_one_private_name(stock: Stock) -> None:
    """Hazard 20: it is at 1 whatever its log holds, and is put behind what is committed; a public name shows it."""
    assert stock.core._core._SyncObj__raftLastApplied == stock.core.walked == 1
    stock.core._core._SyncObj__raftLastApplied = 77
    assert stock.core.walked == 77
    stock.append(1, 1, 0, 1, 1, commit=3)
    stock.core.tick()
    assert stock.core.walked == 77  # it walks only over what is committed above


def test_stock_ignores_an_older_term_without_a_word(stock: Stock) -> None:
    """Hazard 22."""
    stock.core.raise_term(7)
    stock.append(5, 1, 0)
    assert stock.ear.said == []


def test_stock_forwards_commands(stock: Stock) -> None:
    """Hazard 19: in spite of commandsWaitLeader=False."""
    stock.append(1, 1, 0)
    stock.core.propose(OURS + b"\x90")
    stock.core.tick()
    assert stock.ear.take("apply_command")


def test_stock_takes_forwarded_commands(stock: Stock) -> None:
    """Hazard 19, the other way."""
    stock.lead()
    stock.core.deliver(N2, {"type": "apply_command", "command": OURS + b"\x90"})
    stock.core.tick()
    assert stock.journal.last == 3


def test_stock_stands_without_asking(stock: Stock) -> None:
    """Hazard 4: cut off, it raises its term again and again, and deposes the leader when it comes back."""
    stock.wait(5_000)
    assert stock.core.term > 5


def test_stock_stands_again_right_after_falling_back(stock: Stock) -> None:
    """Hazard 23: its election deadline dates from before it led."""
    stock.lead()
    term = stock.core.term
    stock.wait(353)
    assert stock.core.term > term


def test_a_huge_entry_would_take_the_chunked_path(stock: Stock) -> None:
    """Hazard 21: one entry above the batch size takes the chunked path, with pickle: ours refuses."""
    stock.lead()
    stock.core.propose(OURS + b"x" * raft.BATCH)
    with pytest.raises(NoPickle):
        stock.core.tick()
