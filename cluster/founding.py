"""Founding: the folders of a new cluster's nodes, made of copies of the one folder that is left of an old one.

Only that may live here, on a disk where none of them runs.  The old folder is read and never written.  All is written
beside its place, synced, and appears under its name by one rename: a kill at any moment leaves nothing there, or the
whole.  DESIGN.md, "Two nodes lost", says why each folder is bound to its node, and what is bound to the old one's name:
identity, vote, what peers acknowledged, the mark that tells copies, what was staged of a snapshot.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from cluster import firststart, home
from cluster.firststart import sync_folder
from cluster.lock import LOCK
from cluster.refounding import Founding, go_on
from cluster.rocks import HOME, IDENTITY, RocksStore
from cluster.store import StoreFault
from cluster.stored import encode_identity
from cluster.types import Peer, StateMachine

LEFT: Final = frozenset({LOCK, home.HOME, home.ATTESTED, firststart.MARK})  # of a folder's own life, not of its data
DIARY: Final = "LOG"  # how the names of RocksDB's diary begin
SPARE: Final = 64 * 1024 * 1024  # bytes for what opening and writing a copy takes
_SEALED: Final = ".sst"  # files that RocksDB never writes again

Told = Callable[[str], None]


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
    source: Path,
    founding: Founding,
    machine: StateMachine,
    *,
    left: Collection[str],
    check: Callable[[Path], None],
    papers: Mapping[str, bytes],
    told: Told,
) -> None:
    """Make `out`: a folder for each node, by its name, out of the folder `source`.

    `left`: files of that folder that are not to be copied, besides `LEFT`.  `check` is to look at each folder before
    any of it appears under its name, and may raise; `papers` are files to lie beside them.

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
        _fill(beside, source, {*LEFT, *left}, founding, machine, told)
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


# Making it


def _fill(  # noqa: PLR0917 # a step of `found`'s, and of nobody else
    beside: Path, source: Path, left: Collection[str], founding: Founding, machine: StateMachine, told: Told
) -> None:
    first, *others = founding.nodes
    told(f"copying the folder for {first}")
    _copy(source, beside / first, left)
    store = FoundingStore(beside / first, founding.survivor.cluster, founding.survivor.node)
    try:
        stop = go_on(store, founding, machine)
        if stop is not None:
            raise StoreFault(f"{store.path}: entry {stop.index} can't be applied ({stop.why})")
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
