"""Together: what several stopped nodes' folders say of one another.

Reading only.  A node that installed a snapshot has no records of what that left out: others must have them, and theirs
must lead from the chain that the installation ended to the one that it went on from.  So the trails are read side by
side, as one: each record once, chained from the beginning, the same wherever two nodes have it, and none lacking where
no snapshot explains it.  What each folder holds by itself is `verify`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from heapq import merge
from itertools import groupby
from pathlib import Path

from attrs import define, field

from cluster.inspection import Finding, Progress
from cluster.rocks import RocksReader, open_readonly
from cluster.store import StoreFault
from meltica.archive.records import Follower, Gaps, Record, read_record
from meltica.archive.trail import whole_trail
from meltica.verify import Verified

_At = tuple[int, int]  # an entry, and the place in it


def together(found: Sequence[Verified], progress: Progress) -> tuple[Finding, ...]:
    """One finding of what the states come to, one of the trails; each folder was found whole by itself."""
    return _belong(found), _states(found), _trails([one.folder for one in found], progress)


def _belong(found: Sequence[Verified]) -> Finding:
    names = sorted(one.node for one in found)
    clusters = sorted({one.cluster for one in found})
    held = len(clusters) == 1 and len({*names}) == len(names)
    text = f"nodes {', '.join(names)} of cluster {', '.join(clusters)}"
    return Finding("one cluster", held, len(found), text if held else f"{text}: not one folder each of one cluster")


def _states(found: Sequence[Verified]) -> Finding:
    """Equal digests wherever two were stopped at the same index."""
    at: dict[int, dict[str, list[str]]] = {}
    for one in found:
        at.setdefault(one.applied, {}).setdefault(one.digest, []).append(one.node)
    differ = [f"{index}: {sorted(nodes.values())}" for index, nodes in sorted(at.items()) if len(nodes) > 1]
    if differ:
        return Finding("states", held=False, looked_at=len(found), text=f"the states differ at index {differ[0]}")
    if len(at) < len(found):
        text = f"equal where nodes were stopped at one index ({', '.join(map(str, sorted(at)))})"
        return Finding("states", held=True, looked_at=len(found), text=text)
    text = f"every node was stopped at an index of its own ({', '.join(map(str, sorted(at)))}): nothing to compare"
    return Finding("states", held=None, looked_at=0, text=text)


@define
class _Node:
    """One node's part of it."""

    name: str
    gaps: Gaps
    applied: int
    _rows: Iterator[Record] = field(repr=False)
    lent: int = 0  # records that it lacks for a snapshot's sake, and another has

    def records(self, place: int) -> Iterator[tuple[_At, int, Record]]:
        """With where they are, and whose: to be merged."""
        for record in self._rows:
            yield (record.index, record.place), place, record

    def lacks(self, index: int) -> bool:
        """Whether it should have a record of this entry."""
        return index <= self.applied and not any(gap.first <= index <= gap.last for gap in self.gaps)


def _trails(folders: Sequence[Path], progress: Progress) -> Finding:
    with ExitStack() as opened:
        readers = [open_readonly(folder) for folder in folders]
        for reader in readers:
            opened.callback(reader.close)
        try:
            return _read([_node(reader) for reader in readers], progress)
        except StoreFault as fault:
            return Finding("trails", held=False, looked_at=0, text=str(fault))


def _node(reader: RocksReader) -> _Node:
    identity = reader.identity()
    rows = (read_record(*stored) for stored in whole_trail(reader))
    return _Node(str(identity and identity[1]), reader.gaps(), int(reader.meta().applied_index), rows)


def _read(nodes: list[_Node], progress: Progress) -> Finding:
    """Raises StoreFault at the first place where they are not one trail."""
    follower, looked, last = Follower(), 0, max(node.applied for node in nodes)
    marks = _Marks(nodes)
    rows = merge(*[node.records(place) for place, node in enumerate(nodes)], key=lambda row: row[0])
    for (index, place), group in groupby(rows, key=lambda row: row[0]):
        held = {whose: record for _, whose, record in group}
        record = next(iter(held.values()))
        marks.before(index, follower.chain)
        follower.follow(record)
        for whose, node in enumerate(nodes):
            if whose not in held and node.lacks(index):
                raise StoreFault(f"{node.name} lacks the record of index {index} place {place}, which another has")
            if whose in held and held[whose].chain != record.chain:
                raise StoreFault(f"index {index} place {place}: {node.name} has another chain than the others")
            node.lent += whose not in held and index <= node.applied
        looked += 1
        progress("trails", index, last)
    marks.before(last + 1, follower.chain)
    lent = [f"{node.name} {node.lent} ({_spans(node.gaps)})" for node in nodes if node.gaps]
    but = f"; records that a snapshot left out, and another node has: {', '.join(lent)}" if lent else ""
    return Finding("trails", held=True, looked_at=looked, text=f"together every record up to index {last}{but}")


class _Marks:
    """Where each node's snapshots say that the chain stands, held against where it does."""

    def __init__(self, nodes: Iterable[_Node]) -> None:
        ends = [
            (int(end), mark.hex(), node.name)
            for node in nodes
            for gap in node.gaps
            for end, mark in ((gap.first - 1, gap.splice.before), (gap.last, gap.splice.behind))
            if mark
        ]
        self._due = sorted(ends, reverse=True)

    def before(self, index: int, chain: bytes | None) -> None:
        """So it stands before the record of this index; raises StoreFault if a snapshot says otherwise."""
        while self._due and self._due[-1][0] < index:
            end, mark, name = self._due.pop()
            if chain is None or mark != chain.hex():
                raise StoreFault(
                    f"{name} installed a snapshot whose chain at index {end} is another than that of all records "
                    "together: no folder here has some of them"
                )


def _spans(gaps: Gaps) -> str:
    return ", ".join(f"entries {gap.first} to {gap.last}" for gap in gaps)
