"""Everything is accounted for (rule 10): each node's audit trail is whole, in order, and chained without a break.

Where a snapshot was installed a node has no records: there the nodes' trails together must have all, and those of the
others lead from the chain that the installation ended to the one that it went on from.  Any other gap is a loss.

Pure.  The chain is computed here from the commands themselves, not by the product's code; that the trail replays to the
stored state is looked at by *state equal*.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

from chaos.checkers.history import AuditRecord, History, NodeHistory, canonical
from chaos.checkers.verdict import Check

BEGINNING: Final = bytes(32)  # the chain before the first command
KEPT_AS_HASH: Final = frozenset({"garbage", "isolated"})  # their commands are kept by hash


def audit_trail(history: History) -> Check:
    """Looks at every record of every node."""
    contents: dict[int, bytes] = {}  # by identity: records of several nodes that were read once are hashed once
    violations: list[str] = []
    everything = {(r.index, r.place): node.name for node in history.nodes for r in node.audit}
    for node in history.nodes:
        violations += _out_of_order(node)
        violations += _broken(node, contents)
        violations += _unexplained(node)
        have = {(record.index, record.place) for record in node.audit}
        lacking = sorted(key for key in everything.keys() - have if key[0] <= node.applied_index)
        violations += [
            f"{node.name} has applied index {node.applied_index} and lacks the record of index {index} place {place}, "
            f"which {everything[index, place]} has"
            for index, place in lacking
        ]
    return Check("audit_trail", sum(len(node.audit) - node.lent for node in history.nodes), tuple(violations))


def _out_of_order(node: NodeHistory) -> list[str]:
    found = []
    index = term = 0
    place = -1
    for record in node.audit:
        expected = place + 1 if record.index == index else 0
        if record.index < index or record.term < term or record.place != expected:
            found.append(
                f"{node.name}: index {record.index} place {record.place} of term {record.term} "
                f"follows index {index} place {place} of term {term}"
            )
        index, place, term = record.index, record.place, record.term
    return found


def _broken(node: NodeHistory, contents: dict[int, bytes]) -> list[str]:
    """The first break; behind it everything differs."""
    chain = BEGINNING
    for record in node.audit:
        chain = link(chain, record, contents)
        if chain.hex() != record.chain:
            return [f"{node.name}: the chain breaks at index {record.index} place {record.place}"]
    return []


def _unexplained(node: NodeHistory) -> list[str]:
    """Gaps that no installation is known of, or that the records of all nodes together do not bridge."""
    found = []
    for gap in node.gaps:
        where = f"{node.name}: the gap of its trail from index {gap.first} to {gap.last}"
        if node.installed is not None and gap.last not in node.installed:
            found.append(f"{where} is of a snapshot that it never installed")
        for end, chain in ((gap.first - 1, gap.before), (gap.last, gap.behind)):
            there = _chain_at(node, end)
            if chain != there:
                has = chain[:16] or "no chain"
                found.append(f"{where} has {has} at index {end}, where all records together make {there[:16]}")
    return found


def _chain_at(node: NodeHistory, index: int) -> str:
    behind = bisect_right(node.audit, index, key=lambda record: record.index)
    return node.audit[behind - 1].chain if behind else BEGINNING.hex()


def link(chain: bytes, record: AuditRecord, contents: dict[int, bytes] | None = None) -> bytes:
    """The chain behind a record: a hash over the chain before it, its place, and its command's own hash."""
    known = contents if contents is not None else {}
    content = known.get(id(record.command))
    if content is None:
        content = known[id(record.command)] = _content(record.kind, record.command)
    head = chain + record.index.to_bytes(8, "big") + record.place.to_bytes(4, "big")
    return blake2b(head + content, digest_size=32).digest()


def _content(kind: str, command: Mapping[str, Any]) -> bytes:
    if kind in KEPT_AS_HASH:
        return bytes.fromhex(command["blake2b"])
    return blake2b(canonical(command), digest_size=32).digest()
