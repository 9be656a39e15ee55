"""Splicing: what is kept of both ends of the gap that a snapshot leaves in a node's audit trail.

Pure.  Asked before the installation, while the machine has the state that goes, and in its very batch: a mark that was
written later could be lost with the power, and a gap without marks explains more than it should.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cluster.snapshot.faces import Pair, Splice
from cluster.types import StateMachine, Trailed


def splice_of(machine: StateMachine, snapshot: bytes, read: Callable[[bytes, int], Sequence[Pair]]) -> Splice:
    """Of the snapshot of that digest, whose pairs `read` gives; without marks if the machine's trail has none."""
    if not isinstance(machine, Trailed):
        return Splice(snapshot)
    return Splice(snapshot, machine.mark(), machine.mark_in(read))
