"""Stored: what nodes hold is read as one history; a node that installed a snapshot borrows what it never applied."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve

from chaos.checkers.audit_trail import audit_trail
from chaos.checkers.history import AuditGap, History
from chaos.checkers.state_equal import state_equal
from chaos.checkers.stored import Stored, completed, gaps_of, history_from
from cluster.types import LogIndex, Term
from meltica.machine import Machine
from tests.chaos.checkers.honest import fails
from tests.meltica.archive.making import commands_of, gap_of, spared, trail

LAST = 40
RECORDS = trail(LAST)
GAPS = {"n1": (gap_of(RECORDS, 8, 15), gap_of(RECORDS, 22, 40)), "n2": (gap_of(RECORDS, 16, 30),), "n3": ()}


def stored(name: str, *gaps: Any, applied: int = LAST) -> Stored:
    machine = Machine()
    for index in range(1, applied + 1):
        machine.apply(LogIndex(index), Term(1), commands_of(index))
    rows = [json.loads(raw) for index, _, raw in spared(RECORDS, *gaps) if index <= applied]
    return Stored(name, [], rows, machine.state, (), gaps_of(gaps), frozenset(int(gap.last) for gap in gaps))


def three() -> list[Stored]:
    return [stored(name, *gaps) for name, gaps in GAPS.items()]


def read(nodes: list[Stored]) -> History:
    return history_from([], "main", "51ed00", nodes)


def test_the_trails_together_are_the_log_on_every_node() -> None:
    history = read(three())
    whole = history.nodes[2].audit
    assert [one.chain for one in whole] == [json.loads(raw)["chain"] for _, _, raw in RECORDS]
    assert all(node.audit == whole for node in history.nodes)
    assert audit_trail(history).violations == state_equal(history).violations == ()
    assert audit_trail(history).looked_at == sum(len(spared(RECORDS, *gaps)) for gaps in GAPS.values())


def test_without_gaps_a_trail_is_left_alone() -> None:
    nodes = three()
    assert completed(nodes[2], nodes) is nodes[2].audit


def test_what_lacks_outside_of_a_gap_is_lent_by_nobody() -> None:
    nodes = three()
    for index in (1, 16, 20):
        held = [row for row in nodes[0].audit if row["index"] != index]
        fails(audit_trail(read([evolve(nodes[0], audit=held), *nodes[1:]])), f"lacks the record of index {index}")


def test_a_gap_that_no_installation_explains() -> None:
    """Not told of by the disk; told of, and nobody saw it installed; or of another end than what was installed."""
    nodes = three()
    fails(audit_trail(read([evolve(nodes[0], gaps=nodes[0].gaps[1:]), *nodes[1:]])), "lacks the record of index 8")
    fails(audit_trail(read([evolve(nodes[0], installed=frozenset({15})), *nodes[1:]])), "that it never installed")
    longer = evolve(nodes[0].gaps[0], last=16)
    fails(audit_trail(read([evolve(nodes[0], gaps=(longer, nodes[0].gaps[1])), *nodes[1:]])), "never installed")


def test_a_node_that_stopped_behind_a_new_leaders_first_entry_ends_as_its_trail_has_it() -> None:
    """That entry has no command, so no record; seen with real processes, a node ended between it and the next."""
    one, other = stored("n1"), stored("n2")
    machine = Machine()
    for index in range(1, LAST + 1):
        machine.apply(LogIndex(index), Term(1), commands_of(index))
    machine.apply(LogIndex(LAST + 1), Term(2), ())
    behind = evolve(stored("n3"), state=machine.state)
    assert state_equal(read([one, behind, other])).violations == ()
    assert state_equal(read([behind, evolve(behind, name="n2")])).violations == ()
    fails(state_equal(read([one, evolve(behind, audit=behind.audit[:-1])])), "its audit trail replays to")
    machine.state.chain_bytes = b"7" * len(machine.state.chain_bytes)
    fails(state_equal(read([one, behind, other])), "its audit trail replays to")


@pytest.mark.parametrize("end", ["before", "behind"])
def test_a_snapshot_of_another_history(end: str) -> None:
    nodes = three()
    gap = evolve(nodes[1].gaps[0], **{end: "77" * 32})
    fails(audit_trail(read([nodes[0], evolve(nodes[1], gaps=(gap,)), nodes[2]])), "where all records together make")


@pytest.mark.parametrize("end", ["before", "behind"])
def test_a_gap_without_a_mark_joins_nothing(end: str) -> None:
    nodes = three()
    gap = evolve(nodes[1].gaps[0], **{end: ""})
    fails(audit_trail(read([nodes[0], evolve(nodes[1], gaps=(gap,)), nodes[2]])), "has no chain at index")


def test_entries_that_no_node_has_records_of() -> None:
    """Two installed snapshots over them, and the third one's are lost."""
    nodes = [*three()[:2], stored("n3", gap_of(RECORDS, 24, 26))]
    nodes[2] = evolve(nodes[2], gaps=())
    fails(audit_trail(read(nodes)), "the chain breaks at index 27 place 0")
    fails(audit_trail(read(nodes[:2])), "where all records together make")
    assert state_equal(read(nodes[:2])).violations


def test_a_state_that_the_borrowed_trail_does_not_make() -> None:
    nodes = three()
    other = evolve(nodes[0], state=stored("n1", applied=LAST - 1).state)
    assert state_equal(read([other, *nodes[1:]])).held
    other.state.chain_bytes = bytes(32)
    fails(state_equal(read([other, *nodes[1:]])), "its audit trail replays to")


def test_gaps_as_a_disk_has_them() -> None:
    (gap,) = gaps_of([gap_of(RECORDS, 8, 15)])
    chains = {int(index): json.loads(raw)["chain"] for index, _, raw in RECORDS}  # entry 7 has no commands
    assert gap == AuditGap(8, 15, chains[6], chains[15])
