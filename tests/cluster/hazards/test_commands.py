"""Hazards 8, 9, 10, 13, 14, 19 and 21: what becomes of a command."""

from __future__ import annotations

import os
import pickle  # stock's, to show what it does
from typing import TYPE_CHECKING, Any

import msgpack  # type: ignore[import-untyped] # ships no types
import pytest

from cluster.applying import ApplyFault
from cluster.store import StoredEntry
from cluster.types import LogIndex, NotLeader, Peer, Term
from cluster.wire import Ack, Append, WireError, decode, encode

if TYPE_CHECKING:
    from tests.cluster.conftest import Hand
    from tests.cluster.hazards.conftest import StockNet

RAN = "MELTICA_TEST_RAN"


class Evil:
    """What unpickling runs."""

    def __reduce__(self) -> Any:
        return exec, (f"import os; os.environ['{RAN}'] = '1'",)


def led(net: StockNet) -> Any:
    net.run(6, until=lambda: bool(net.leaders))
    net.run(1)
    return net.nodes[net.leaders[0]]


def test_8_stock_commits_seconds_later_what_was_asked_without_a_leader(stock_net: type[StockNet]) -> None:
    net = stock_net()
    leader = led(net)
    standby = next(name for name in net.names if net.nodes[name] is not leader)
    net.lost_connections = False
    net.isolate(standby)
    net.run(3)
    net.nodes[standby].do("an order of long ago")
    net.run(10)
    assert leader.done == []
    net.heal()
    net.run(5)
    assert leader.done == ["an order of long ago"]


def test_8_ours_is_refused_at_once(hand: type[Hand]) -> None:
    node = hand()
    node.propose(b"x", 1)
    assert node.outcomes == {1: NotLeader(None)}


def test_9_stock_runs_what_raises_again_at_every_tick(stock_net: type[StockNet]) -> None:
    net = stock_net()
    leader = led(net)
    leader.do("raise")
    leader.do("behind it")
    net.run(2)
    assert len([e for e in net.raised if isinstance(e, ValueError)]) > 100
    assert leader.done == []


def test_9_ours_stops_there_once_and_says_where(hand: type[Hand]) -> None:
    node = hand()
    node.machine.poison = b"raise"
    term = node.lead()
    node.sync()
    node.propose(b"raise", 1)
    node.propose(b"behind it", 2)
    node.sync()
    with pytest.raises(ApplyFault):
        node.hears("n2", Ack(term, node.last, True, node.now))
    assert node.outcomes == {}
    assert [index for index, _, _ in node.machine.seen] == [1, 2]


def test_10_stock_runs_what_a_peer_has_pickled(stock_net: type[StockNet], monkeypatch: pytest.MonkeyPatch) -> None:
    net = stock_net()
    leader = led(net)
    monkeypatch.setenv(RAN, "")
    standby = next(name for name in net.names if net.nodes[name] is not leader)
    command = b"\x00" + pickle.dumps(Evil())
    net.sent(standby, leader.selfNode.id, {"type": "apply_command", "command": command})
    net.run(2)
    assert os.environ[RAN]


def pickled() -> bytes:
    """A command as stock has it on the wire and in its log."""
    return b"\x00" + pickle.dumps(Evil())


def test_10_ours_is_no_message_and_no_entry(hand: type[Hand], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RAN, "")
    node = hand()
    forwarded = msgpack.packb({"type": "apply_command", "command": pickled()})
    entry = encode(Append(3, 2, 1, 0, ((pickled(), 2, 3),), 50, 3))
    for count, frame in enumerate((forwarded, pickled(), pickled()[1:], entry), 1):
        with pytest.raises(WireError):
            decode(frame)
        node.replica.received(Peer("n2"), frame)
        node.step()
        assert node.replica.bad_frames == count
    assert (node.last, os.environ[RAN]) == (1, "")


def test_10_ours_runs_none_that_its_own_disk_holds(hand: type[Hand], monkeypatch: pytest.MonkeyPatch) -> None:
    """It came past the wire: our apply stops there.  That the core's would as well: test_seams, test_no_pickle."""
    monkeypatch.setenv(RAN, "")
    store = hand().store
    store.append(StoredEntry(LogIndex(2), Term(3), pickled()))
    store.commit()
    store.sync()
    with pytest.raises(ApplyFault):
        hand(disk=store.crash()).hears("n2", Append(3, 2, 2, 3, (), 50, 3))
    assert not os.environ[RAN]


def test_13_stock_sleeps_in_a_tick_while_its_transport_is_not_ready(
    stock_net: type[StockNet], monkeypatch: pytest.MonkeyPatch
) -> None:
    net = stock_net()
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    node = net.nodes["n1"]
    node.wire.ready = False
    node.doTick(0.5)
    assert slept == [0.5]


def test_13_stock_sends_a_command_only_at_its_next_period(stock_net: type[StockNet]) -> None:
    net = stock_net(appendEntriesPeriod=0.4, raftMinTimeout=2.0, raftMaxTimeout=3.0)
    leader = led(net)
    net.run(1, until=lambda: not net.queue)
    net.run(0.1)
    leader.do("x")
    net.run(0.05)
    assert leader.done == []
    net.run(1)
    assert leader.done == ["x"]


def test_13_ours_leaves_in_the_step_that_takes_it(hand: type[Hand]) -> None:
    node = hand()
    node.lead()
    node.sync()
    node.said.clear()
    node.propose(b"x", 1)
    assert [peer for peer, _ in node.said] == ["n2", "n3"]


def test_14_stock_is_the_leader_before_anything_of_its_term_is_applied(stock_net: type[StockNet]) -> None:
    net = stock_net()
    net.run(6, until=lambda: bool(net.leaders))
    node = net.nodes[net.leaders[0]]
    assert node._isLeader()
    assert node.raftLastApplied == 1


def test_14_ours_tells_what_of_its_own_term_is_applied(hand: type[Hand]) -> None:
    node = hand()
    term = node.lead()
    assert [entry.index for entry in node.applied] == [1]
    node.sync()
    node.hears("n2", Ack(term, 2, True, node.now))
    assert (node.applied[-1].index, node.applied[-1].term) == (2, term)


def test_19_stock_forwards_what_a_follower_is_asked(stock_net: type[StockNet]) -> None:
    net = stock_net(commandsWaitLeader=False)
    leader = led(net)
    follower = next(node for node in net.nodes.values() if node is not leader)
    follower.do("x")
    net.run(2)
    assert leader.done == ["x"]


def test_21_stock_fails_to_decode_an_entry_just_below_a_multiple_of_its_chunks(stock_net: type[StockNet]) -> None:
    """It takes the last chunk but one for the last: each follower raises (here, in order, the next one mends it)."""
    net = stock_net()
    leader = led(net)
    leader._applyCommand(b"\x05" + b"x" * (3 * 65536 - 4), None)
    net.run(1)
    assert [type(error) for error in net.raised] == [EOFError] * 2


@pytest.mark.parametrize("size", [65536 - 20, 2 * 65536 - 20, 262_000])
def test_21_ours_carries_it(hand: type[Hand], size: int) -> None:
    node = hand()
    term = node.lead()
    node.sync()
    node.propose(b"x" * size, 1)
    node.sync()
    node.hears("n2", Ack(term, node.last, True, node.now))
    assert set(node.outcomes) == {1}
