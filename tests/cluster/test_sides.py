"""Sides: what a kill, a power cut and damage leave of a snapshot on a real disk: the old state or the new, whole."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path
from random import Random

import pytest

from cluster.rocks import RocksStore, open_readonly
from cluster.snapshot.faces import Gap, Pair, Splice, Staged
from cluster.store import Meta, StoredEntry, StoreFault
from cluster.stored import Sides, decode_sides, encode_sides
from cluster.types import LogIndex, Peer, Term

N1 = Peer("n1")
SPLICE = Splice(b"s" * 32, b"before", b"behind, and longer")
OLD_FOLDER = Path(__file__).parents[1] / "golden" / "cluster" / "folder-before-snapshots.tar.gz"
OLD = [(b"k%03d" % place, b"old %d " % place * 9) for place in range(60)]
NEW = [(b"k%03d" % place, b"new %d " % place * 9) for place in range(0, 90, 2)]
BASE = StoredEntry(LogIndex(50), Term(3), b"\x10fifty")
STAGED = Staged(b"an offer", NEW[-1][0])
REFUSED = "refused"


def note(store: RocksStore) -> None:
    """Sync, and note it: what is synced is noted every 20 ms."""
    store._noted_at = 0
    store.sync()


def lived(folder: Path) -> RocksStore:
    store = RocksStore(folder, "c", N1, first_start=True)
    for index in range(1, 11):
        store.append(StoredEntry(LogIndex(index), Term(2), b"\x10command %d" % index))
        store.put_audit(LogIndex(index), 0, b"audit %d" % index)
    for key, value in OLD:
        store.put_state(key, value)
    store.set_vote(Term(4), Peer("n3"))
    store.set_commit(LogIndex(10))
    store.set_applied(LogIndex(10))
    store.commit()
    return store


def stage(store: RocksStore) -> None:
    store.stage_anew(b"an offer")
    store.commit()
    for place in range(0, len(NEW), 10):
        store.stage(NEW[place : place + 10])
        store.commit()


def all_staged(store: RocksStore) -> list[Pair]:
    return list(store.read_staged(b"", 10**6))


def found(folder: Path) -> str:
    """What a node finds: `old`, `old, staging`, `new`, or `refused`; anything else fails."""
    try:
        store = RocksStore(folder, "c", N1)
    except StoreFault:
        return REFUSED
    try:
        state, staged, pairs = list(store.state()), store.staged(), all_staged(store)
    except StoreFault:  # whoever loads or verifies it hears of it before anything rests on it
        return REFUSED
    else:
        meta, log, gaps = store.meta(), store.bounds(), store.gaps()
        if meta.applied_index == 50:
            assert (state, staged, pairs, log) == (NEW, None, [], (50, 50))
            assert (meta, gaps) == (
                Meta(Term(4), Peer("n3"), LogIndex(50), LogIndex(50)),
                (Gap(LogIndex(11), LogIndex(50)),),
            )
            assert store.entries(LogIndex(1), 99) == [BASE]
            return "new"
        assert (state, log, gaps) == (OLD, (1, 10), ())
        assert meta == Meta(Term(4), Peer("n3"), LogIndex(10), LogIndex(10))
        assert pairs == NEW[: len(pairs)]
        assert (staged is None) <= (not pairs)
        return "old" if staged is None else "old, staging"
    finally:
        store.close()


def test_a_kill_at_every_step_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    """A kill loses nothing that was written: the folder is copied as it is between the steps."""
    store, seen = lived(tmp_path / "live"), []

    def killed() -> None:
        seen.append(found(shutil.copytree(tmp_path / "live", tmp_path / f"n{len(seen)}")))

    killed()
    store.stage_anew(b"an offer")
    killed()  # the column family is there, and nothing speaks of it
    store.commit()
    killed()
    for place in range(0, len(NEW), 10):
        store.stage(NEW[place : place + 10])
        store.commit()
        killed()
    store.install(BASE)
    killed()
    store.commit()
    killed()
    assert store.drop_leftovers() == 0
    killed()
    note(store)
    assert store.drop_leftovers() == 1
    killed()
    store.close()
    assert seen == ["old"] * 2 + ["old, staging"] * 7 + ["new"] * 3


def test_a_power_cut_during_the_change_over_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    """Torn every seven bytes in what was not synced: as long as the header of one of its records."""
    store = lived(tmp_path / "live")
    stage(store)
    note(store)
    log = max((tmp_path / "live").glob("*.log"), key=lambda file: int(file.stem))
    synced = log.stat().st_size
    store.install(BASE)
    store.commit()
    assert store.drop_leftovers() == 0
    shutil.copytree(tmp_path / "live", tmp_path / "image")
    store.close()
    torn, seen = (tmp_path / "image" / log.name).read_bytes(), []
    assert len(torn) > synced
    for length in [*range(synced, len(torn), 7), len(torn)]:
        folder = shutil.copytree(tmp_path / "image", tmp_path / "n")
        (folder / log.name).write_bytes(torn[:length])
        seen.append(found(folder))
        assert found(folder) == seen[-1]  # nor does the next start change it
        shutil.rmtree(folder)
    assert seen == ["old, staging"] * (len(seen) - 1) + ["new"]


def test_a_power_cut_while_it_is_staged_leaves_what_was_staged_first(tmp_path: Path) -> None:
    store = lived(tmp_path / "live")
    note(store)
    log = max((tmp_path / "live").glob("*.log"), key=lambda file: int(file.stem))
    synced = log.stat().st_size
    stage(store)
    shutil.copytree(tmp_path / "live", tmp_path / "image")
    store.close()
    logs = {file.name: file.read_bytes() for file in (tmp_path / "image").glob("*.log")}
    seen = set()
    for length in range(synced, len(logs[log.name]), 97):
        folder = shutil.copytree(tmp_path / "image", tmp_path / "n")
        (folder / log.name).write_bytes(logs[log.name][:length])
        seen.add(found(folder))
        shutil.rmtree(folder)
    assert seen == {"old", "old, staging"}


@pytest.mark.parametrize("installed", [False, True])
def test_damage_in_any_file_is_seen_before_anything_rests_on_it(tmp_path: Path, *, installed: bool) -> None:
    store = lived(tmp_path / "live")
    stage(store)
    if installed:
        store.install(BASE)
        store.commit()
    for family in store._families.values():
        family.flush()
    store.set_commit(LogIndex(50 if installed else 10))
    store.put_state(NEW[0][0], NEW[0][1] if installed else OLD[0][1])
    store.commit()
    note(store)
    image = shutil.copytree(tmp_path / "live", tmp_path / "image")
    store.close()
    whole = "new" if installed else "old, staging"
    assert found(shutil.copytree(image, tmp_path / "whole")) == whole
    random, refused = Random(6), set()  # noqa: S311  # seeded
    for name in sorted(file.name for file in image.iterdir() if file.stat().st_size):
        for turn in range(4):
            folder = shutil.copytree(image, tmp_path / "n")
            raw = bytearray((folder / name).read_bytes())
            place = random.randrange(len(raw))
            if turn:
                raw[place] ^= 1 << random.randrange(8)
            else:
                del raw[place:]
            (folder / name).write_bytes(raw)
            what = found(folder)
            assert what in {REFUSED, whole}, f"{name}: byte {place} of {len(raw)}"
            if what == REFUSED:
                refused.add(name.split("-")[0].split(".")[-1])
            shutil.rmtree(folder)
    assert refused >= {"sst", "log", "MANIFEST", "CURRENT"}


def test_a_folder_whose_state_is_gone_is_refused(tmp_path: Path) -> None:
    store = lived(tmp_path / "n")
    stage(store)
    store.install(BASE)
    store.commit()
    store.sync()
    (name,) = (name for name in store._families if name == "state.1")
    store._handles.pop(name)
    store._families.pop(name).close()
    store._db.drop_column_family(name)
    store.close()
    with pytest.raises(StoreFault, match="the state, or what is staged of a snapshot, is damaged or missing"):
        RocksStore(tmp_path / "n", "c", N1)
    reader = open_readonly(tmp_path / "n")
    with pytest.raises(StoreFault, match="the state is damaged or missing"):
        list(reader.state())
    reader.close()


def test_a_stopped_node_s_folder_can_be_read(tmp_path: Path) -> None:
    store = lived(tmp_path / "n")
    stage(store)
    store.close()
    reader = open_readonly(tmp_path / "n")
    assert (list(reader.state()), reader.sides()) == (OLD, Sides(0, (1, b"an offer")))
    reader.close()
    store = RocksStore(tmp_path / "n", "c", N1)
    store.install(BASE)
    store.commit()
    store.close()
    for _ in range(2):
        reader = open_readonly(tmp_path / "n")
        assert (list(reader.state()), reader.sides()) == (NEW, Sides(1, None, (Gap(LogIndex(11), LogIndex(50)),)))
        reader.check()
        reader.close()
        RocksStore(tmp_path / "n", "c", N1).close()  # side 0 is gone from now on, and stays so


def test_a_folder_of_the_release_before_opens(tmp_path: Path) -> None:
    """It was stored by commit 89166ff; nothing in it says which side is the state."""
    with tarfile.open(OLD_FOLDER) as archive:
        for member in archive:  # one by one: `extractall` has its `filter` from 3.11.4 on, and warns without it in 3.12
            if (stored := archive.extractfile(member)) is not None:
                (tmp_path / member.name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / member.name).write_bytes(stored.read())
    before = open_readonly(tmp_path / "data")
    assert before.sides() == Sides()
    before.close()
    store = RocksStore(tmp_path / "data", "c", N1)
    assert list(store.state()) == [(b"k%d" % index, b"value %d" % index) for index in range(1, 10)]
    assert (store.meta().applied_index, store.bounds(), len(store.audit(LogIndex(0), 99))) == (9, (1, 10), 9)
    assert (store.staged(), store.gaps()) == (None, ())
    assert sorted(store._families) == ["audit", "entries", "meta", "state"]
    stage(store)
    store.install(BASE)
    store.commit()
    store.close()
    store = RocksStore(tmp_path / "data", "c", N1)
    assert list(store.state()) == NEW
    store.close()


def test_as_long_as_nothing_is_staged_the_folder_is_as_before(tmp_path: Path) -> None:
    """So that the release before opens it."""
    store = lived(tmp_path / "n")
    store.source().close()
    store.drop_leftovers()
    store.close()
    reader = open_readonly(tmp_path / "n")
    assert sorted(reader.families) == ["audit", "entries", "meta", "state"]
    assert reader._get(b"sides") is None
    reader.close()


def test_the_record_of_sides_there_and_back() -> None:
    for sides in (
        Sides(),
        Sides(3, None, (Gap(LogIndex(2), LogIndex(9)), Gap(LogIndex(11), LogIndex(2**40), SPLICE))),
        Sides(3, None, (Gap(LogIndex(2), LogIndex(9), Splice(b"", b"b" * 255)), Gap(LogIndex(11), LogIndex(12)))),
        Sides(0, (1, b"")),
        Sides(2, (3, b"offer" * 99), (Gap(LogIndex(2), LogIndex(9)),)),
    ):
        raw = encode_sides(sides)
        assert decode_sides(raw) == sides
        for place in range(len(raw)):
            assert decode_sides(raw[:place]) is None
            assert decode_sides(raw[:place] + bytes([raw[place] ^ 4]) + raw[place + 1 :]) is None
    assert decode_sides(b"") is None
