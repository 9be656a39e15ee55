"""Same log, same state (rule 7): equal chains at equal indexes, equal digests at the end.

Pure.
"""

from __future__ import annotations

from chaos.checkers.history import History, NodeHistory
from chaos.checkers.verdict import Check


def state_equal(history: History) -> Check:
    """All nodes end at one index with one digest, and their chains agree at every entry that they share."""
    violations = []
    ends = {(node.applied_index, node.state_digest) for node in history.nodes}
    if len(ends) > 1:
        shown = "; ".join(f"{n.name}: {n.state_digest[:16]} at {n.applied_index}" for n in history.nodes)
        violations.append(f"the nodes end differently: {shown}")
    compared = 0
    first: dict[tuple[int, int], tuple[str, str]] = {}
    for node in history.nodes:
        for key, chain in _chains(node).items():
            owner, expected = first.setdefault(key, (node.name, chain))
            compared += owner != node.name
            if expected != chain:
                violations.append(f"index {key[0]} place {key[1]}: {node.name} differs from {owner}")
    return Check("state_equal", compared, tuple(violations))


def _chains(node: NodeHistory) -> dict[tuple[int, int], str]:
    return {(record.index, record.place): record.chain for record in node.audit}
