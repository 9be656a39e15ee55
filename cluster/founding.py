"""Founding: the folders of a new cluster's nodes, made of copies of the one folder that is left of an old one.

Only that may live here, on a disk where none of them runs.  The old folder is read and never written.  All is written
beside its place, synced, and appears under its name by one rename: a kill at any moment leaves nothing there, or the
whole.  DESIGN.md, "Two nodes lost", says why each folder is bound to its node, and what is bound to the old one's name:
identity, vote, what peers acknowledged, the mark that tells copies, what was staged of a snapshot.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import field, frozen

from cluster import firststart, home
from cluster.applying import Applying
from cluster.firststart import sync_folder
from cluster.lock import LOCK
from cluster.members import Configuration, Member, Refused, decode, encode
from cluster.replaying import StoredLog, replay
from cluster.rocks import HOME, IDENTITY, RocksStore
from cluster.store import Memory, StoredEntry, StoreFault
from cluster.stored import encode_identity
from cluster.survivor import Survivor
from cluster.types import LogIndex, Peer, StateMachine, Term
from cluster.wire import CONFIGURATION

LEFT: Final = frozenset({LOCK, home.HOME, home.ATTESTED, firststart.MARK})  # of a folder's own life, not of its data
DIARY: Final = "LOG"  # how the names of RocksDB's diary begin
SPARE: Final = 64 * 1024 * 1024  # bytes for what opening and writing a copy takes
_SEALED: Final = ".sst"  # files that RocksDB never writes again

Told = Callable[[str], None]


@frozen
class Founding:
    """The cluster to be, out of the folder `source`.

    `entries` go behind the survivor's log, all of `term`, committed and applied.  `beginning`: who takes part, with
    which each folder is begun as at a first start, where the log says nothing of it.
    """

    source: Path
    survivor: Survivor
    cluster: str
    nodes: Sequence[Peer]
    term: Term
    entries: Sequence[bytes]
    beginning: Configuration
    left: Collection[str] = field(factory=tuple)  # files of the folder that are not to be copied, besides `LEFT`


class FoundingStore(RocksStore):
    """A copy of a node's folder, on its way to being another node's."""

    def rename(self, cluster_id: str, node_name: Peer) -> None:
        """Buffer whose it is from now on.  It is no copy of that node's folder: it is the folder."""
        self._writing().put(IDENTITY, encode_identity(cluster_id, node_name), self._handles["meta"])
        self._writing().delete(HOME, self._handles["meta"])

    def settle(self) -> None:
        """Move all that is committed out of the write-ahead log, into files of sorted data; raises StoreFault."""
        try:
            for family in self._families.values():
                family.flush()
        except Exception as error:
            raise StoreFault(
                f"{self.path}: can't be written ({error}): free space on its disk, or choose another place with --to"
            ) from error


def found(
    out: Path,
    founding: Founding,
    machine: StateMachine,
    *,
    check: Callable[[Path], None],
    papers: Mapping[str, bytes],
    told: Told,
) -> None:
    """Make `out`: a folder for each node, by its name.

    `check` is to look at each folder before any of it appears under its name, and may raise; `papers` are files to lie
    beside them.

    Raises:
        StoreFault: the disk refuses, or something of the kind is there already; nothing is left but what was there.
    """
    beside = unfinished(out)
    try:
        beside.mkdir(mode=0o700)
    except FileExistsError:
        message = f"{beside} is there: an earlier recovery was interrupted, or another one is running"
        raise StoreFault(f"{message}; if none is, remove that folder") from None
    except OSError as error:
        raise StoreFault(f"{out}: can't be made ({error}): choose another place with --to") from error
    made = beside
    try:
        _fill(beside, founding, machine, told)
        for node in founding.nodes:
            told(f"looking at the folder of {node}")
            check(beside / node)
        for name, paper in papers.items():
            (beside / name).write_bytes(paper)
        _sync_all(beside)
        made = beside.rename(out)
        sync_folder(out.parent)
    except OSError as error:
        shutil.rmtree(made, ignore_errors=True)
        raise StoreFault(f"{out}: can't be written ({error}): choose another place with --to") from error
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def unfinished(out: Path) -> Path:
    """Where it is made."""
    return out.parent / f".{out.name}.unfinished"


def check_place(source: Path, out: Path, nodes: int) -> None:
    """Raises StoreFault where `out` can't be made: nothing is ever replaced, and nothing put into the old folder."""
    if out.exists() or out.is_symlink():
        raise StoreFault(f"{out} is there already: choose another place with --to")
    if not out.parent.is_dir():
        raise StoreFault(f"{out.parent} is no folder: make it, or choose another place with --to")
    if out.parent.resolve().is_relative_to(source.resolve()):
        raise StoreFault(f"{out} would lie in {source}, which is evidence: choose another place with --to")
    sealed, rest = _sizes(source)
    needed = 2 * sealed + (nodes + 1) * (rest + SPARE)  # files that are alike are one, where the file system has links
    found = os.statvfs(out.parent)
    if found.f_bavail * found.f_frsize < needed:
        raise StoreFault(
            f"{out.parent} has {found.f_bavail * found.f_frsize // 2**20} MiB free, and {needed // 2**20} may be "
            "needed: choose another place with --to"
        )


def configuration(survivor: Survivor, members: Iterable[Member]) -> bytes | None:
    """The entry that says who takes part from now on; None where the old log never said who does: `beginning` then.

    Raises:
        Refused: one of them was removed from the old cluster by its log.
    """
    if not survivor.spoken:
        return None
    old, new = decode(survivor.places[-1][1]), {member.name: member for member in members}
    back = sorted(set(new) & set(old.removed))
    if back:
        raise Refused(f"{', '.join(back)} was removed from the cluster once: give that node another name")
    gone = ({*old.voting, *old.learning} - set(new)) | set(old.removed)
    voters = tuple(new[name] for name in sorted(new))
    return encode(Configuration(old.number + 1, voters, (), tuple(sorted(gone))))


# Making it


def _fill(beside: Path, founding: Founding, machine: StateMachine, told: Told) -> None:
    first, *others = founding.nodes
    told(f"copying the folder for {first}")
    _copy(founding.source, beside / first, {*LEFT, *founding.left})
    store = FoundingStore(beside / first, founding.survivor.cluster, founding.survivor.node)
    try:
        _go_on(store, founding, machine)
        _hand_to(store, founding.cluster, first)
    finally:
        store.close()
    _forget_its_life(beside / first)
    for name in others:
        told(f"copying the folder for {name}")
        _copy(beside / first, beside / name, LEFT, link=True)
        store = FoundingStore(beside / name, founding.cluster, first)
        try:
            _hand_to(store, founding.cluster, name)
        finally:
            store.close()
        _forget_its_life(beside / name)


def _go_on(store: RocksStore, founding: Founding, machine: StateMachine) -> None:
    """The log's tail is applied, and behind it what founds the cluster; nobody's vote, nobody's word stays."""
    last = founding.survivor.last
    end = last + len(founding.entries)
    if store.staged() is not None:
        store.unstage()
        store.commit()
    applying = Applying(machine, store, StoredLog(store.entries))
    _apply(applying, last, store)
    if not founding.survivor.spoken:
        store.set_places(((LogIndex(0), encode(founding.beginning)),))
    for index, entry in enumerate(founding.entries, last + 1):
        store.append(StoredEntry(LogIndex(index), founding.term, entry))
        if entry[:1] == CONFIGURATION:
            store.set_places(((LogIndex(index), entry),))
    store.set_vote(founding.term, None)
    store.set_commit(LogIndex(end))
    store.set_memory(Memory())
    _apply(applying, end, store)


def _apply(applying: Applying, upto: int, store: RocksStore) -> None:
    stop = replay(applying, upto, upto, store.commit, lambda _done: None)
    if stop is not None:
        raise StoreFault(f"{store.path}: entry {stop.index} can't be applied ({stop.why})")


def _hand_to(store: FoundingStore, cluster: str, node: Peer) -> None:
    store.rename(cluster, node)
    store.commit()
    store.sync()
    store.settle()


def _forget_its_life(folder: Path) -> None:
    """It is to be copied to where its node will run, and be nobody's copy there."""
    for name in LEFT:
        (folder / name).unlink(missing_ok=True)


# Files


def _copy(source: Path, target: Path, left: Collection[str], *, link: bool = False) -> None:
    """A folder's files; those that nobody writes again may be one file under two names."""
    target.mkdir(mode=0o700)
    for file in sorted(source.resolve().iterdir()):
        if file.name in left or file.name.startswith(DIARY):
            continue
        if file.is_dir():
            _copy(file, target / file.name, (), link=link)
        elif not (link and file.suffix == _SEALED and _linked(file, target / file.name)):
            shutil.copyfile(file, target / file.name)


def _linked(file: Path, target: Path) -> bool:
    with suppress(OSError):  # a file system without links: it is copied
        os.link(file, target)
        return True
    return False


def _sync_all(folder: Path) -> None:
    for path, _, files in os.walk(folder):
        for name in files:
            opened = os.open(Path(path) / name, os.O_RDONLY)
            try:
                os.fsync(opened)
            finally:
                os.close(opened)
        sync_folder(Path(path))


def _sizes(folder: Path) -> tuple[int, int]:
    """Bytes of sealed files, and of the others."""
    sealed = rest = 0
    for path, _, files in os.walk(folder):
        for name in files:
            size = (Path(path) / name).stat().st_size
            if name.endswith(_SEALED):
                sealed += size
            else:
                rest += size
    return sealed, rest
