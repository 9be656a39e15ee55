"""Who proposes on a bench node: how many commands, until when, and that nothing of them is left behind."""

from __future__ import annotations

import json

import pytest

from chaos.bench import callers
from chaos.bench.callers import Opaque, Orders, Run
from cluster.types import Applied, LogIndex, Term
from meltica.core.events import CommandResult
from meltica.core.state import State


class Node:
    """Applies each command when it comes, but for those behind `lost`, whose outcome nobody knows."""

    def __init__(self, lost=10**9):
        self.open, self.commands, self.lost, self.waiting = set(), 0, lost, []

    def propose_nowait(self, command, heard):
        self.waiting.append((command, heard))

    def work(self):
        while self.waiting:
            command, heard = self.waiting.pop(0)
            self.commands += 1
            heard(self.outcome(command) if self.commands <= self.lost else None)

    def outcome(self, command):
        if command.startswith(b"x"):
            return Applied(LogIndex(1), Term(1), None)
        asked = json.loads(command)
        kind = asked["kind"]
        order = f"o{self.commands}" if kind == "submit" else None
        (self.open.add(order) if order else self.open.discard(asked["intent"]))
        return Applied(LogIndex(1), Term(1), CommandResult(1, 0, kind, order=order))


def played(node, loads, count, deadline_ns=10**30):
    run = Run(node, count, deadline_ns)
    run.running = len(loads)
    for load in loads:
        run._propose(load)
    node.work()
    assert run.ended.is_set()
    return run


@pytest.mark.parametrize("count", [1, 7, 20])
def test_no_order_stays_open_however_many_commands_were_asked_for(count):
    node = Node()
    run = played(node, [Orders(1, State()) for _ in range(4)], count)
    assert node.open == set()
    assert count <= run.commands <= count + 4  # each ends what it has begun
    assert len(run.took_us) == run.commands / 2


def test_the_time_is_up_and_what_was_begun_is_ended(monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(callers.time, "perf_counter_ns", lambda: next(clock))
    node = Node()
    run = played(node, [Orders(1, State()) for _ in range(4)], 10**6, deadline_ns=100)
    assert node.open == set()
    assert 0 < run.commands < 100


def test_bytes_that_nobody_reads_are_so_many_as_were_asked_for():
    node = Node()
    assert played(node, [Opaque(20) for _ in range(4)], 9).commands == node.commands == 9


def test_a_lost_lead_ends_all_at_once():
    node = Node(lost=5)
    run = played(node, [Orders(1, State()) for _ in range(4)], 100)
    assert "the lead was lost" in run.disturbed
    assert run.commands == 5
