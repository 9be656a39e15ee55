"""A node whose replication has ended by a fault ends, even where its loop, or a thread that it waits for, does not."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
import trio
from click.testing import CliRunner

from cluster.store import StoreFault
from meltica import lastly
from meltica.cli.main import commands
from meltica.config import load
from meltica.node import make_node
from meltica.telemetry.logs import make_logger

HANGS = "import threading; from meltica.lastly import end_within; end_within(0.05); threading.Event().wait()"
IGNORES = f"import signal; signal.signal(signal.SIGALRM, signal.SIG_IGN); {HANGS}"


def test_a_process_that_hangs_is_ended_by_the_system():
    for program in (HANGS, IGNORES):
        ended = subprocess.run((sys.executable, "-c", program), check=False, timeout=30)  # noqa: S603 - our own
        assert ended.returncode == -signal.SIGALRM


@pytest.fixture
def node(tmp_path):
    """One of a cluster's, which does not run."""
    made = tmp_path / "cluster"
    done = CliRunner().invoke(commands, ["cluster", "create", str(made)])
    assert done.exit_code == 0, done.output
    node = make_node(load(made / "nodes" / "n1" / "meltica.toml"), make_logger("n1", "error"))
    yield node
    node.store.close()


def test_a_fault_of_replication_and_one_of_the_leader_begin_it(node, monkeypatch):
    begun = []
    monkeypatch.setattr(lastly, "end_within", begun.append)
    node.pump.on_stopped("check its disk")
    node.pump.on_crash("on_role: KeyError")
    assert begun == [lastly.WITHIN] * 2


def test_a_fault_without_words_is_told_by_its_name(node):
    """As of a process that has no memory left."""
    heard = []
    node.pump.on_fault = heard.append
    for fault in (MemoryError(), StoreFault("check its disk")):
        node.cluster.fault = None
        node.cluster._fail(fault)
    assert heard == ["MemoryError", "check its disk"]


STANDS = """
import threading, trio
from meltica.lastly import Watchdog

async def main():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Watchdog(look_every=0.01, looks=5).go_round)
        await trio.sleep(0.2)
        print("went round", flush=True)
        threading.Event().wait()  # as Thread.start does, of a thread that had no memory to begin

trio.run(main)
"""


def test_a_loop_that_stands_still_ends_its_process_and_one_that_goes_round_does_not():
    """Live chaos, leader-without-memory 61001: three minutes later the node was still there, and did nothing."""
    ended = subprocess.run((sys.executable, "-c", STANDS), check=False, timeout=30, capture_output=True)  # noqa: S603 - our own
    assert (ended.returncode, ended.stdout) == (lastly.STANDS, b"went round\n")
    assert b"the event loop stands still" in ended.stderr


def watch(rounds, looks=3):
    """A watchdog whose looks are these numbers of rounds; after how many it ended the process, if it did."""
    ended = []
    dog = lastly.Watchdog(look_every=0.0, looks=looks, end=lambda: ended.append(len(seen)))
    seen = []

    def look(_seconds):
        if len(seen) == len(rounds):
            dog._off = True
            return
        seen.append(rounds[len(seen)])
        dog._rounds = seen[-1]
        if seen[-1] < 0:
            raise MemoryError

    return dog, look, ended


@pytest.mark.parametrize(
    ("rounds", "after"),
    [
        ([1, 1, 2, 2, 3, 3, 4], []),  # it is slow, and goes round
        ([1, 1, 1, 1, 1, 1], [4]),
        ([1, 2, 2, 2, 3, 3, 3, 3], [8]),
        ([1, -1, -1, -1, -1, 2, 3], []),  # the watchdog itself had no memory: that says nothing of the loop
    ],
)
def test_it_counts_its_looks_in_vain_one_after_another(monkeypatch, rounds, after):
    dog, look, ended = watch(rounds)
    monkeypatch.setattr(lastly, "sleep", look)
    dog._watch()
    assert ended == after


def test_a_node_that_does_nothing_is_ended_as_soon_as_one_that_has_nothing_to_do():
    assert lastly.Watchdog().looks * lastly.Watchdog().look_every == lastly.WITHIN


async def test_it_is_off_when_nobody_runs_it_any_more(autojump_clock, nursery):
    dog = lastly.Watchdog(end=lambda: pytest.fail("ended"))
    nursery.start_soon(dog.go_round)
    await trio.sleep(60)
    assert dog._rounds > 100
    nursery.cancel_scope.cancel()
