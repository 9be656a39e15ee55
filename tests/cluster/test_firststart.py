"""First start: an empty folder is opened once, and never again (rule 8)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cluster import firststart
from cluster.rocks import RocksStore
from cluster.store import StoredEntry, StoreFault, Ticket
from cluster.types import LogIndex, Peer, Term

N1 = Peer("n1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As `meltica cluster create` leaves it."""
    path = tmp_path / "data"
    path.mkdir()
    firststart.mark(path)
    return path


def names(path: Path) -> set[str]:
    return {file.name for file in path.iterdir()}


def test_a_marked_folder_is_opened_and_the_mark_goes(folder: Path) -> None:
    store = RocksStore(folder, "c", N1)
    assert firststart.MARK not in names(folder)
    store.append(StoredEntry(LogIndex(1), Term(1), b"a"))
    store.commit()
    store.close()
    store = RocksStore(folder, "c", N1)
    assert store.bounds() == (1, 1)
    store.close()


def test_an_emptied_folder_is_refused_and_told_what_to_do(folder: Path) -> None:
    RocksStore(folder, "c", N1).close()
    shutil.rmtree(folder)
    for _ in range(2):
        words = r"its data is gone.*do not start this node.*The other nodes go on.*`meltica cluster replace OLD --with"
        with pytest.raises(firststart.EmptiedFolder, match=words):
            RocksStore(folder, "c", N1)
        assert names(folder) <= {"meltica.lock"}


@pytest.mark.parametrize("lost", ["CURRENT", "MANIFEST*"])
def test_a_folder_that_lost_a_part_is_refused(folder: Path, lost: str) -> None:
    RocksStore(folder, "c", N1).close()
    for file in folder.glob(lost):
        file.unlink()
    with pytest.raises(StoreFault):
        RocksStore(folder, "c", N1)


def test_a_first_start_that_was_cut_short_can_be_begun_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(_store: RocksStore) -> Ticket:
        raise StoreFault("input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(RocksStore, "sync", refuses)
        with pytest.raises(StoreFault, match="input/output"):
            RocksStore(folder, "c", N1)
    assert firststart.MARK in names(folder)


def test_the_mark_stays_until_the_identity_is_synced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync, seen = RocksStore.sync, []

    def watched(store: RocksStore) -> Ticket:
        seen.append(firststart.MARK in names(folder))
        return sync(store)

    monkeypatch.setattr(RocksStore, "sync", watched)
    RocksStore(folder, "c", N1).close()
    assert seen == [True]


def test_a_mark_that_outlived_its_start_goes_at_the_next(folder: Path) -> None:
    RocksStore(folder, "c", N1).close()
    firststart.mark(folder)
    RocksStore(folder, "c", N1).close()
    assert names(folder).isdisjoint({firststart.MARK})


def test_whoever_opens_a_new_folder_by_hand_says_so(tmp_path: Path) -> None:
    with pytest.raises(firststart.EmptiedFolder):
        RocksStore(tmp_path / "n", "c", N1)
    RocksStore(tmp_path / "n", "c", N1, first_start=True).close()
    RocksStore(tmp_path / "n", "c", N1).close()
