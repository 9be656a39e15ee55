"""A replica whose machine makes a snapshot's state beside its own: nobody sees it before it is installed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cluster.snapshot.words import Part
from cluster.types import Coming, Installed, LogIndex, Peer, Term
from cluster.wire import Ack
from tests.cluster.conftest import MS, Hand, ListMachine
from tests.cluster.test_installing import PAIRS, Group, heartbeat, install, lagging, offer, word


class Slow(ListMachine):
    """One that makes its next state pair by pair, beside what it has loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[SlowComing] = []

    def prepare(self) -> Coming:
        self.made.append(SlowComing(self))
        return self.made[-1]


class SlowComing:
    def __init__(self, machine: Slow) -> None:
        self._machine = machine
        self.pairs: list[tuple[bytes, bytes]] = []
        self.left = 0
        self.over = False  # the machine has it
        self.fault: Exception | None = None

    def take(self, pairs: Sequence[tuple[bytes, bytes]]) -> int:
        self.pairs += pairs[:1]
        return 1

    def end(self, applied: LogIndex) -> None:
        if self.fault is not None:
            raise self.fault
        self._applied = applied

    def take_over(self) -> None:
        self.over = True
        self._machine.load(self._applied, self.pairs)

    def leave(self) -> bool:
        self.left += 1
        return self.left < 2


class SlowHand(Hand):
    machine_of = Slow
    machine: Slow


@pytest.fixture
def making() -> SlowHand:
    """All of the snapshot is staged, synced and verified; its state is not whole yet."""
    node = SlowHand()
    lagging(node)
    word(node, Part(5, offer().digest, PAIRS[-1][0], ()))
    for _ in range(5):
        if node.machine.made and node.machine.made[0].pairs:
            break
        node.now += MS
        node.step()
    return node


def test_meanwhile_it_is_who_it_was_and_answers(making: SlowHand) -> None:
    status = making.replica.status()
    assert (status.applied_index, status.base_index, making.machine.loaded) == (1, 1, [(0, {})])
    making.said.clear()
    heartbeat(making)
    acks = [message for _, message in making.said if isinstance(message, Ack)]
    assert acks
    assert all(ack.verified < 40 for ack in acks), "it has nothing of what is not installed"


def test_it_is_taken_over_in_the_step_that_installs_it_and_not_loaded_again(making: SlowHand) -> None:
    assert making.ready is not None
    assert making.ready.installed is None
    (made,) = making.machine.made
    assert not made.over
    ready = install(making)
    assert ready.installed == Installed(LogIndex(40), Term(5))
    assert made.over
    assert making.machine.loaded == [(0, {}), (40, dict(PAIRS))]
    making.sync()
    for _ in range(5):
        making.now += MS
        making.step()
    assert made.left == 2


def test_a_power_cut_in_the_middle_leaves_the_old_state_and_what_is_staged(making: SlowHand) -> None:
    making.store.crash(0)
    again = SlowHand(disk=making.store.disk)
    assert again.machine.loaded == [(1, {b"last": b"1"})]
    assert again.store.staged() is not None
    heartbeat(again)
    again.sync()
    word(again, offer())
    again.sync()
    assert install(again).installed is not None
    assert again.machine.loaded[-1] == (40, dict(PAIRS))


def test_a_state_that_it_can_t_have_ends_it_and_its_disk_stays_as_it_was(making: SlowHand) -> None:
    making.machine.made[0].fault = ValueError("of a newer build")
    with pytest.raises(ValueError, match="newer build"):
        install(making)
    assert making.store.meta().applied_index == 1
    assert making.store.gaps() == ()
    assert making.machine.loaded == [(0, {})]
    heartbeat(making)
    making.said.clear()
    making.step()
    assert making.said == [], "it says nothing any more"


class Dying(Slow):
    """One that, once it is told to, can't have a state that is sent to it."""

    dies = False

    def prepare(self) -> Coming:
        coming = super().prepare()
        if self.dies:
            self.made[-1].fault = ValueError("of a newer build")
        return coming


def test_one_that_ends_at_what_it_is_sent_again_and_again_does_not_hold_the_leader_s_log() -> None:
    """What it has staged outlives it, so each life said that it has all, and the log grew for as long as it did."""
    machines: dict[Peer, Dying] = {}
    group = Group(machine=lambda name: machines.setdefault(name, Dying()))
    (leader,) = group.leading()
    away = next(name for name in group.network.names if name != leader)
    group.network.kill(away, power=False)
    group.network.run(1000 * MS)
    machines[away].dies = True
    spans = []
    for _ in range(40):
        group.network.start(away)  # its supervisor
        group.network.run(700 * MS)
        status = group.network.replica(leader).status()
        spans.append(status.applied_index - status.base_index)
    assert len(group.faults) > 10
    assert max(spans) < 300, "three lives, until it is given up"
