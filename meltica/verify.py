"""Verify: whether a stopped node's folder holds what its log makes.

Reading only; what is replayed goes into a temporary folder.  Replication's part is `cluster.inspection`'s.  Here:

- *audit*: each record is canonical, in its place, chained to the one before by hash, and, where the log still has its
  entry, of that entry's very command.  Where a snapshot was installed the node has no records: they end with the chain
  of the state that it replaced, and go on from that of the state that it brought.  Any other gap is damage.
- *state*: the stored pairs add up to their own sum, at the index that was applied.
- *replay*: the log from entry 1, applied anew by this build, makes the same digest, and decided as the trail says.
  Only this sees a value that was changed together with its sum, or a decision that was: the chain is over commands.

A log that begins later can't be replayed from nothing; then the replay is not shown, and says so.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Iterator
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Final

from attrs import frozen

from cluster.applying import ApplyFault, Applying
from cluster.folder import REPLACE
from cluster.inspection import Finding, Progress, checked, entries_of, inspect
from cluster.replaying import StoredLog, replay
from cluster.rocks import RocksReader, RocksStore
from cluster.store import Meta, StoreFault
from cluster.types import ApplyOutcome, LogIndex, Peer, Term
from cluster.wire import WireError, unpack_commands
from meltica import diverged
from meltica.archive.records import BEGINNING, Follower, Gaps, Record, content_of, read_record
from meltica.archive.trail import whole_trail
from meltica.core.apply import CoreFault
from meltica.core.loading import BadState
from meltica.core.state import State
from meltica.machine import Machine

SHOWN: Final = 5  # differing keys that are named
NEVER: Final = 1 << 62  # entries from one digest to the next: none is asked for here

_Record = tuple[int, int, bytes]  # index, place, the record


@frozen
class Verified:
    """What was found of one folder."""

    folder: Path
    node: str
    cluster: str
    digest: str  # of the stored state; "" if it can't be loaded
    replayed: str  # of the state that the log makes; "" if it was not shown
    findings: tuple[Finding, ...]
    gaps: Gaps = ()  # of its audit trail: a snapshot was installed
    applied: int = 0  # the index of the state

    @property
    def whole(self) -> bool:
        """Whether nothing was found to be damaged."""
        return not any(one.held is False for one in self.findings)


def verify(path: Path, progress: Progress, *, replay: bool = True) -> Verified:
    """Look at all of a stopped node's folder; takes a minute or two a million entries, most of it the replay.

    Raises:
        WrongFolder: a process has it open, or it is no node's folder.
    """
    found = inspect(path, progress)
    reader = found.reader
    if reader is None:
        return Verified(path, "", "", "", "", found.findings)
    try:
        return _verified(path, reader, list(found.findings), progress, replay=replay)
    finally:
        reader.close()


def _verified(
    path: Path, reader: RocksReader, findings: list[Finding], progress: Progress, *, replay: bool
) -> Verified:
    cluster, node = _identity(reader)
    trail = Trail(reader, progress)
    findings.append(checked("audit", path, trail.check))
    state = State()
    findings.append(checked("state", path, lambda: _state(reader, state, trail.chain)))
    digest = state.digest() if findings[-1].held else ""
    again = Replay(reader, _Machine({int(index) for index in state.isolated}), progress)
    findings.append(again.check(digest) if replay else _not_replayed("was not asked for"))
    findings.append(_not_diverged(path))
    return Verified(path, node, cluster, digest, again.digest, tuple(findings), trail.gaps, int(state.index))


def _identity(reader: RocksReader) -> tuple[str, str]:
    try:
        cluster, node = reader.identity() or ("", Peer(""))
    except StoreFault:
        return "", ""
    return cluster, str(node)


def _not_diverged(path: Path) -> Finding:
    said = diverged.said(path)
    text = f"{said}: see runbooks/states-differ.md" if said else "no majority has said that its state differs"
    return Finding("agreed", held=not said, looked_at=1, text=text)


# --- the audit trail --------------------------------------------------------------------------------------------


class Trail:
    """The trail, against itself and against the log.  `chain` is where it ends, once it was found whole."""

    def __init__(self, reader: RocksReader, progress: Progress) -> None:
        self.chain: bytes | None = None
        self.gaps: Gaps = ()
        self._reader = reader
        self._progress = progress

    def check(self) -> Finding:
        """Raises StoreFault at the first record that is wrong."""
        reader = self._reader
        first, last = reader.bounds()
        applied = int(reader.meta().applied_index)
        self.gaps = gaps = reader.gaps()
        commands = _commands(reader, first, min(last, applied))
        follower, looked = Follower(BEGINNING, gaps), 0
        for index, place, raw in whole_trail(reader):
            record = read_record(index, place, raw)
            if index >= first:
                _expect(_due(commands, gaps, (index, place)), record)
            follower.follow(record)
            looked += 1
            self._progress("audit", index, applied)
        follower.end(applied)
        lacking = _due(commands, gaps, None)
        if lacking is not None:
            raise StoreFault(f"the audit trail lacks the record of index {lacking[0]} place {lacking[1]}")
        self.chain = follower.chain
        text = f"chained without a break{_but(gaps)}; each record of the log's very command"
        return Finding("audit", held=True, looked_at=looked, text=text)


def _but(gaps: Gaps) -> str:
    """Said of what a snapshot left out; where its ends are not known, so is that."""
    told = [
        f"the entries from {one.first} to {one.last} (snapshot {one.splice.snapshot.hex()[:16] or 'not known'})"
        for one in gaps
    ]
    return f" but where a snapshot was installed, over {' and '.join(told)}: other nodes have these" if told else ""


def _due(commands: Iterator[_Record], gaps: Gaps, at: tuple[int, int] | None) -> _Record | None:
    """The log's next command that a record is due of: none is where a snapshot was installed, unless there is one."""
    for command in commands:
        here = at is not None and command[:2] >= at
        if here or not any(one.first <= command[0] <= one.last for one in gaps):
            return command
    return None


def _commands(reader: RocksReader, first: int, last: int) -> Iterator[_Record]:
    """Every command that the log has and that was applied, in order."""
    for entry in entries_of(reader, max(first, 1), last):
        try:
            commands = unpack_commands(entry.command)
        except WireError as error:
            raise StoreFault(f"log entry {entry.index} is no entry ({error})") from error
        for place, command in enumerate(commands):
            yield int(entry.index), place, command


def _expect(due: _Record | None, record: Record) -> None:
    """The record is of the log's next command."""
    index, place = record.index, record.place
    if due is None or due[:2] != (index, place):
        where = "nothing more" if due is None else f"index {due[0]} place {due[1]}"
        raise StoreFault(f"the audit trail has a record of index {index} place {place}, where the log has {where}")
    if content_of(record) != blake2b(due[2], digest_size=32).digest():
        raise StoreFault(f"the audit record of index {index} place {place} is of another command than the log's")


# --- the state ---------------------------------------------------------------------------------------------------


def _state(reader: RocksReader, state: State, chain: bytes | None) -> Finding:
    pairs = 0

    def counted() -> Iterator[tuple[bytes, bytes]]:
        nonlocal pairs
        for pair in reader.state():
            pairs += 1
            yield pair

    try:
        state.reload(counted())
    except BadState as bad:
        raise StoreFault(f"the stored state is damaged: {bad}") from bad
    applied = reader.meta().applied_index
    if int(state.index) != int(applied):
        raise StoreFault(f"the stored state is of index {state.index}, and {applied} was applied last")
    if chain is not None and state.chain_bytes != chain:
        raise StoreFault("the stored state is of another history than the audit trail: their chains end differently")
    text = f"adds up to its own sum at index {applied}; digest {state.digest()[:16]}..."
    return Finding("state", held=True, looked_at=pairs, text=text)


# --- the replay --------------------------------------------------------------------------------------------------


class _Machine(Machine):
    """As the node's, for what it isolated too: a build in which those entries' fault is mended would apply them."""

    def __init__(self, isolated: Collection[int]) -> None:
        super().__init__(vouch_every=NEVER)
        self._isolated = isolated

    def apply(self, index: LogIndex, term: Term, commands: tuple[bytes, ...]) -> ApplyOutcome:
        """Raises for those: they are passed only if the log has both roles' word behind them."""
        if int(index) in self._isolated:
            raise CoreFault("it was isolated")
        return super().apply(index, term, commands)


class _Anew:
    """What apply makes this time: the state in a temporary store, each audit record beside the stored one."""

    def __init__(self, store: RocksStore, reader: RocksReader) -> None:
        self.differs = ""  # the first decision that the stored trail has otherwise
        self._store = store
        self._trail = whole_trail(reader)

    def meta(self) -> Meta:
        """See `cluster.applying.Results`."""
        return self._store.meta()

    def state(self) -> Iterator[tuple[bytes, bytes]]:
        """See `cluster.applying.Results`."""
        return self._store.state()

    def put_state(self, key: bytes, value: bytes | None) -> None:
        """See `cluster.applying.Results`."""
        self._store.put_state(key, value)

    def put_audit(self, index: LogIndex, place: int, record: bytes) -> None:
        """Compare it; nothing is kept."""
        try:
            stored = next(self._trail, None)
        except StoreFault:
            stored = None
        if self.differs or (stored is not None and stored[2] == record):
            return
        if stored is None or stored[:2] != (index, place) or _decision(stored[2]) != _decision(record):
            self.differs = f"index {index} place {place}"

    def set_applied(self, index: LogIndex) -> None:
        """See `cluster.applying.Results`."""
        self._store.set_applied(index)


def _decision(raw: bytes) -> object:
    """What was decided, without the words in which a build says why."""
    try:
        record = json.loads(raw)
        said = record["result"]
        return record["at"], record["kind"], record["chain"], record["term"], {**said, "text": ""}
    except (ValueError, KeyError, TypeError):
        return raw


class Replay:
    """The log applied anew.  `digest` is that of the state that it makes, once it has made one."""

    def __init__(self, reader: RocksReader, machine: Machine, progress: Progress) -> None:
        self.digest = ""
        self._reader = reader
        self._machine = machine
        self._progress = progress

    def check(self, stored: str) -> Finding:
        """Beside the digest of the stored state; "" where that could not be loaded."""
        try:
            first, last = self._reader.bounds()
            if first > 1:
                return _not_replayed(f"is not possible: the log begins at entry {first}")
            applied = min(int(self._reader.meta().applied_index), int(last))
            with tempfile.TemporaryDirectory(prefix="meltica-replay-") as scratch:
                store = RocksStore(Path(scratch), "replay", Peer("replay"), first_start=True)
                try:
                    return self._into(store, stored, applied)
                finally:
                    store.close()
        except StoreFault as fault:
            return _not_replayed(f"failed ({fault})".replace(f": {REPLACE}", ""))

    def _into(self, store: RocksStore, stored: str, applied: int) -> Finding:
        anew = _Anew(store, self._reader)
        applying = Applying(self._machine, anew, StoredLog(self._reader.entries))
        stopped = _apply_all(applying, store, applied, int(self._reader.bounds()[1]), self._progress)
        if stopped:
            return _not_replayed(stopped)
        self.digest = self._machine.state.digest()
        if self.digest == stored and not anew.differs:
            return Finding("replay", held=True, looked_at=applied, text="the log makes this very state")
        return Finding("replay", held=False, looked_at=applied, text=_difference(anew, store, self._reader))


def _not_replayed(why: str) -> Finding:
    text = f"the replay of the log {why}; a value that was changed together with its sum would not show"
    return Finding("replay", held=None, looked_at=0, text=text)


def _apply_all(applying: Applying, store: RocksStore, applied: int, last: int, progress: Progress) -> str:
    """Apply up to there; why it can't, or empty."""
    try:
        stop = replay(applying, applied, last, store.commit, lambda done: progress("replay", done, applied))
    except ApplyFault as fault:
        return f"failed: {fault}"
    if stop is not None:
        return f"stops: this build can't apply entry {stop.index} ({stop.why}): verify with the node's own build"
    return ""


def _difference(anew: _Anew, store: RocksStore, reader: RocksReader) -> str:
    keys = list(islice(_differing(store.state(), reader.state()), SHOWN + 1))
    told = [f"the trail's decision at {anew.differs} is not the log's"] if anew.differs else []
    if keys:
        named = ", ".join(key.decode(errors="replace") for key in keys[:SHOWN])
        more = " and more" if len(keys) > SHOWN else ""
        told.append(f"the state differs from what the log makes, in {named}{more}")
    return "; ".join(told) or "the stored state differs from what the log makes"


def _differing(left: Iterator[tuple[bytes, bytes]], right: Iterator[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """Keys that are on one side only, or differ; both sides in key order."""
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        if one == other:
            one, other = next(left, None), next(right, None)
        elif other is None or (one is not None and one[0] < other[0]):
            assert one is not None  # noqa: S101  # the types can't say it
            yield one[0]
            one = next(left, None)
        elif one is None or other[0] < one[0]:
            yield other[0]
            other = next(right, None)
        else:
            yield one[0]
            one, other = next(left, None), next(right, None)
