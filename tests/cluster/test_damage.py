"""Damage: a flipped bit or a lost tail in any file of a node's folder is seen before the node votes or acknowledges."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import pytest

from cluster.folder import SYNCED
from cluster.rocks import RocksStore
from cluster.store import Memory, StoredEntry, StoreFault
from cluster.types import LogIndex, Peer, Term

N1 = Peer("n1")
FLIPS = 4  # a file
REFUSED = "refused"


def write(store: RocksStore, first: int, last: int) -> None:
    for index in range(first, last + 1):
        store.append(StoredEntry(LogIndex(index), Term(3), b"command %d " % index * 40))
        store.set_vote(Term(3), Peer("n2"))
        store.set_commit(LogIndex(index))
        store.set_applied(LogIndex(index))
        store.set_memory(Memory((3, index), (0, 0), ((Peer("n2"), (3, index)),)))
        store.put_state(b"k%d" % index, b"v" * 200)
        store.put_audit(LogIndex(index), 0, b"a" * 200)
        store.commit()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As kill -9 leaves it: files of sorted data of every family, and a write-ahead log, all of it synced."""
    folder = tmp_path_factory.mktemp("damage")
    store = RocksStore(folder / "live", "c", N1, first_start=True)
    write(store, 1, 120)
    for family in ("meta", "entries", "state", "audit"):
        store._db.get_column_family(family).flush()
    store._noted_at = 0
    store.sync()
    write(store, 121, 150)
    store._noted_at = 0  # what is synced is noted every 20 ms: now
    store.sync()
    shutil.copytree(folder / "live", folder / "image")
    store.close()
    return folder / "image"


def content(folder: Path) -> object:
    """All that a node reads of its folder, or that it was refused."""
    try:
        store = RocksStore(folder, "c", N1)
    except StoreFault:
        return REFUSED
    try:
        everything = (store.meta(), store.memory(), store.bounds(), store.entries(LogIndex(1), 999))
        # The state is read whole by whoever loads it, before the node speaks: only it may be refused here.
        return (*everything, list(store.state()), store.audit(LogIndex(0), 999))
    except StoreFault as fault:
        assert "state" in str(fault) or "a file is damaged" in str(fault)  # noqa: PT017  # what is told is the point
        return REFUSED
    finally:
        store.close()


def files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if file.stat().st_size)


def test_every_file_with_a_bit_flipped(image: Path, tmp_path: Path) -> None:
    whole = content(shutil.copytree(image, tmp_path / "whole"))
    assert whole != REFUSED
    random, refused = Random(4), set()  # noqa: S311  # seeded
    for name in files(image):
        for turn in range(FLIPS):
            folder = shutil.copytree(image, tmp_path / f"{name}-{turn}")
            raw = bytearray((folder / name).read_bytes())
            place = random.randrange(len(raw))
            raw[place] ^= 1 << random.randrange(8)
            (folder / name).write_bytes(raw)
            found = content(folder)
            assert found in (REFUSED, whole), f"{name}: byte {place} of {len(raw)}"
            if found == REFUSED:
                refused.add(name.split("-")[0].split(".")[-1])
            shutil.rmtree(folder)
    assert refused >= {"sst", "log", "MANIFEST", "CURRENT"}


def test_every_file_with_its_tail_lost(image: Path, tmp_path: Path) -> None:
    whole = content(shutil.copytree(image, tmp_path / "whole"))
    random, refused = Random(5), set()  # noqa: S311  # seeded
    for name in files(image):
        for turn in range(FLIPS):
            folder = shutil.copytree(image, tmp_path / f"{name}-{turn}")
            raw = (folder / name).read_bytes()
            keep = 0 if turn == 0 else random.randrange(len(raw))
            (folder / name).write_bytes(raw[:keep])
            found = content(folder)
            assert found in (REFUSED, whole), f"{name}: {keep} of {len(raw)} bytes"
            if found == REFUSED:
                refused.add(name.split("-")[0].split(".")[-1])
            shutil.rmtree(folder)
    assert refused >= {"sst", "log", "MANIFEST", "CURRENT"}


def test_every_file_gone(image: Path, tmp_path: Path) -> None:
    whole = content(shutil.copytree(image, tmp_path / "whole"))
    for name in files(image):
        folder = shutil.copytree(image, tmp_path / name)
        (folder / name).unlink()
        assert content(folder) in (REFUSED, whole), name


def test_a_tail_that_was_not_synced_may_be_lost_and_nothing_before_it(image: Path, tmp_path: Path) -> None:
    """Torn every 307 bytes: each place costs a start of RocksDB, a quarter of a second."""
    store = RocksStore(shutil.copytree(image, tmp_path / "live"), "c", N1)
    log = max((tmp_path / "live").glob("*.log"), key=lambda file: int(file.stem))
    synced = log.stat().st_size
    write(store, 151, 153)
    shutil.copytree(tmp_path / "live", tmp_path / "image")
    store.close()
    torn = (tmp_path / "image" / log.name).read_bytes()
    for length in range(synced, len(torn), 307):
        folder = shutil.copytree(tmp_path / "image", tmp_path / "n")
        (folder / log.name).write_bytes(torn[:length])
        store = RocksStore(folder, "c", N1)
        assert 150 <= store.bounds()[1] <= 153
        assert store.meta().applied_index == store.bounds()[1]
        store.close()
        shutil.rmtree(folder)


def test_a_torn_batch_that_moves_the_base_leaves_the_log_before_or_after_it(image: Path, tmp_path: Path) -> None:
    """Hazard 28, torn every 101 bytes, a dozen places in that batch; test_journal kills its twin at every write."""
    store = RocksStore(shutil.copytree(image, tmp_path / "live"), "c", N1)
    log = max((tmp_path / "live").glob("*.log"), key=lambda file: int(file.stem))
    synced = log.stat().st_size
    store.drop_before(LogIndex(100))
    store.set_applied(LogIndex(150))
    write(store, 151, 151)
    shutil.copytree(tmp_path / "live", tmp_path / "image")
    store.close()
    torn = (tmp_path / "image" / log.name).read_bytes()
    found = set()
    for length in (*range(synced, len(torn), 101), len(torn)):
        folder = shutil.copytree(tmp_path / "image", tmp_path / "n")
        (folder / log.name).write_bytes(torn[:length])
        store = RocksStore(folder, "c", N1)
        first, last = store.bounds()
        assert [entry.index for entry in store.entries(first, 200)] == list(range(first, last + 1))
        assert store.meta().applied_index == last
        found.add((first, last))
        store.close()
        shutil.rmtree(folder)
    assert found == {(1, 150), (100, 151)}


def test_a_lost_end_of_what_was_synced_says_so(image: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(image, tmp_path / "n")
    log = max(folder.glob("*.log"), key=lambda file: file.stat().st_size)
    log.write_bytes(log.read_bytes()[:-5])
    for _ in range(2):
        with pytest.raises(StoreFault, match=r"has lost its end \(batch \d+ was synced.*replace the node"):
            RocksStore(folder, "c", N1)
    (folder / SYNCED).write_bytes(b"")  # it claims nothing then
    store = RocksStore(folder, "c", N1)
    assert store.bounds() == (1, 149)
    store.close()
