"""A node whose replication has ended by a fault ends, even where its loop, or a thread that it waits for, does not."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
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
