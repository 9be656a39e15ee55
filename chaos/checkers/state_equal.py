"""Same log, same state (rule 7): equal chains at equal indexes, equal digests at the end.

Pure.
"""

from __future__ import annotations

from chaos.checkers.history import History, NodeHistory
from chaos.checkers.verdict import Check


def state_equal(history: History) -> Check:
    """Equal digests at the newest index that all have reached, equal chains wherever two nodes share an entry.

    And each node's stored state is the one that its own audit trail replays to (rule 10).  A node that was stopped an
    entry before another is no violation: what both have is compared.
    """
    violations = [
        f"{n.name} stores {n.state_digest[:16]} at {n.applied_index}; "
        f"its audit trail replays to {n.replayed_digest[:16]}"
        for n in history.nodes
        if n.state_digest != n.replayed_digest
    ]
    if len({node.common_digest for node in history.nodes}) > 1:
        shown = "; ".join(f"{n.name}: {n.common_digest[:16]}" for n in history.nodes)
        violations.append(f"the nodes differ at index {min(n.applied_index for n in history.nodes)}: {shown}")
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
