"""RocksStore: what only a real disk does to it, and the bytes in which it is kept."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from cluster import rocks
from cluster.folder import SYNCED, newest_marker
from cluster.rocks import RocksStore, open_readonly
from cluster.snapshot.faces import Gap, Splice
from cluster.store import Memory, Meta, StoredEntry, StoreFault, WrongFolder
from cluster.stored import (
    Marker,
    Sides,
    decode_audit_key,
    decode_entry,
    decode_identity,
    decode_marker,
    decode_memory,
    decode_places,
    encode_audit_key,
    encode_born,
    encode_entry,
    encode_home,
    encode_identity,
    encode_marker,
    encode_memory,
    encode_places,
    encode_sides,
)
from cluster.types import LogIndex, Peer, Term
from cluster.walfile import Walk, records, walk

GOLDEN = Path(__file__).parents[1] / "golden" / "cluster" / "store.json"
N1 = Peer("n1")
GAP = Gap(LogIndex(259), LogIndex(300), Splice(b"digest", b"before", b"behind"))


def write(store: RocksStore, first: int, last: int) -> None:
    """One batch an entry, with state and audit."""
    for index in range(first, last + 1):
        store.append(StoredEntry(LogIndex(index), Term(1), b"command %d" % index))
        store.set_commit(LogIndex(index))
        store.set_applied(LogIndex(index))
        store.put_state(b"k%d" % index, b"v")
        store.put_audit(LogIndex(index), 0, b"a%d" % index)
        store.commit()


def run(program: str, folder: Path) -> str:
    """What this program prints, in a process of its own."""
    command = [sys.executable, "-c", program, str(folder)]
    root = Path(__file__).parents[2]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=root).stdout  # noqa: S603  # our own


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The folder as kill -9 leaves it: twenty batches, all in the write-ahead log."""
    store = RocksStore(tmp_path / "live", "c", N1, first_start=True)
    write(store, 1, 20)
    store.sync()
    shutil.copytree(tmp_path / "live", tmp_path / "image")
    store.close()
    return tmp_path / "image"


def wal(folder: Path) -> Path:
    """The write-ahead log that holds the batches."""
    return max(folder.glob("*.log"), key=lambda log: log.stat().st_size)


def test_everything_written_is_found_after_kill_9(image: Path) -> None:
    store = RocksStore(image, "c", N1)
    assert store.bounds() == (1, 20)
    assert len(list(store.state())) == 20
    assert store.meta() == Meta(Term(0), None, LogIndex(20), LogIndex(20))
    store.close()


def test_a_torn_last_write_is_dropped_whole_and_the_log_goes_on(image: Path) -> None:
    """Rule 8 speaks of what was synced; a write cut by a power loss was not."""
    log = wal(image)
    log.write_bytes(log.read_bytes()[:-5])
    (image / SYNCED).unlink()  # as if it had not been synced
    store = RocksStore(image, "c", N1)
    assert store.bounds() == (1, 19)
    assert store.meta().applied_index == 19
    assert len(list(store.state())) == 19
    assert len(store.audit(LogIndex(0), 99)) == 19
    write(store, 20, 21)
    store.sync()
    store.close()
    store = RocksStore(image, "c", N1)
    assert store.bounds() == (1, 21)
    store.close()


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_flipped_bit_in_the_write_ahead_log_is_refused_and_again_at_the_next_start(image: Path, part: float) -> None:
    log = wal(image)
    raw = bytearray(log.read_bytes())
    raw[int(len(raw) * part)] ^= 0x10
    log.write_bytes(raw)
    for _ in range(2):
        with pytest.raises(StoreFault, match=r"damaged before its end.*replace the node"):
            RocksStore(image, "c", N1)
    assert wal(image).read_bytes() == raw  # the evidence is untouched


def test_a_flipped_bit_in_a_record_s_length_is_refused_though_it_looks_like_a_torn_tail(image: Path) -> None:
    """RocksDB alone drops all that follows, without a word."""
    log = wal(image)
    raw = bytearray(log.read_bytes())
    second = 7 + int.from_bytes(raw[4:6], "little")  # a record: CRC (4), length (2, little-endian), type (1), payload
    raw[second + 5] ^= 0x40
    log.write_bytes(raw)
    for _ in range(2):
        with pytest.raises(StoreFault, match=r"batch 21 is in it, but it can be read only up to batch"):
            RocksStore(image, "c", N1)


LENGTH: Final = 5  # the place of its high byte in a record of the write-ahead log


@pytest.mark.parametrize("part", ["first", "last"])
def test_a_flipped_length_is_refused_too_where_the_newest_marker_straddles_two_blocks(
    tmp_path: Path, part: str
) -> None:
    """It lies whole nowhere in the file then; the sync is too young to have been noted."""
    straddled = 0
    for pad in range(32_577, 32_653, 5):
        log = wal(_straddling(tmp_path / f"{pad}", pad))
        raw = bytearray(log.read_bytes())
        starts = [begin - 7 for _, begin, _ in records(raw)]  # of the batch: 3 is one record, or two
        straddled += raw.rfind(encode_marker(Marker(3, Meta(Term(5), Peer("n2"), LogIndex(0), LogIndex(0))))) < 0
        assert newest_marker(log.parent) == 3
        raw[starts[2 if part == "first" else -1] + LENGTH] ^= 0x40
        log.write_bytes(raw)
        with pytest.raises(StoreFault, match=r"batch 3 is in it, but it can be read only up to batch"):
            RocksStore(log.parent, "c", N1)
    assert straddled > 8


def _straddling(folder: Path, pad: int) -> Path:
    """As kill -9 leaves it: three batches synced, of which the last ends about where the log's second block begins."""
    store = RocksStore(folder / "live", "c", N1, first_start=True)
    store.append(StoredEntry(LogIndex(1), Term(1), b"a"))
    store.commit()
    store.sync()
    store._noted_at = time.monotonic_ns() + 10**9  # no note of the next sync: it came within 20 ms of the last
    store.append(StoredEntry(LogIndex(2), Term(1), bytes(pad)))
    store.set_vote(Term(5), Peer("n2"))
    store.commit()
    store.sync()
    shutil.copytree(folder / "live", folder / "image")
    store.close()
    return folder / "image"


@pytest.fixture(scope="module")
def two_logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As kill -9 leaves it after a flush: everything synced, in two write-ahead logs."""
    folder = tmp_path_factory.mktemp("two")
    store = RocksStore(folder / "live", "c", N1, first_start=True)
    index = 0
    while len(list((folder / "live").glob("*.log"))) < 2:
        index += 1
        store.put_state(b"big%d" % index, bytes(400_000))
        write(store, index, index)
        assert index < 200
    write(store, index + 1, index + 5)
    store.sync()
    shutil.copytree(folder / "live", folder / "image")
    store.close()
    return folder / "image"


def older(folder: Path) -> Path:
    logs = sorted(folder.glob("*.log"))
    assert len([log for log in logs if log.stat().st_size]) == 2
    return logs[0]


def test_two_write_ahead_logs_are_read_whole(two_logs: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(two_logs, tmp_path / "n")
    assert walk(older(folder).read_bytes()).clean
    store = RocksStore(folder, "c", N1)
    first, last = store.bounds()
    assert (first, store.meta().applied_index) == (1, last)
    assert len(store.entries(first, last)) == last
    store.close()


@pytest.mark.parametrize("cut", [0, 1, 400_000], ids=["a flipped bit", "a byte lost", "a batch lost"])
def test_a_torn_tail_of_any_log_but_the_newest_is_refused(two_logs: Path, tmp_path: Path, cut: int) -> None:
    """RocksDB alone goes on with the newer log: one acknowledged entry is missing in the middle, without a word."""
    folder = shutil.copytree(two_logs, tmp_path / "n")
    log = older(folder)
    raw = bytearray(log.read_bytes())
    if cut:
        del raw[-cut:]
    else:
        raw[len(raw) // 32768 * 32768 + LENGTH] ^= 0x80
    log.write_bytes(raw)
    for _ in range(2):
        with pytest.raises(StoreFault, match=r"damaged before its end.*goes on behind.*replace the node"):
            RocksStore(folder, "c", N1)
    assert log.read_bytes() == raw  # the evidence is untouched


def test_a_flipped_bit_anywhere_in_a_header_of_an_older_log_is_refused(two_logs: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(two_logs, tmp_path / "n")
    log = older(folder)
    whole = log.read_bytes()
    begin = len(whole) // 32768 * 32768
    for place in range(7):
        raw = bytearray(whole)
        raw[begin + place] ^= 0x80 >> place % 2
        log.write_bytes(raw)
        with pytest.raises(StoreFault, match="replace the node"):
            RocksStore(folder, "c", N1)


def test_an_older_log_s_tail_that_was_dropped_before_is_no_hole(two_logs: Path, tmp_path: Path) -> None:
    """A torn log was read, a new one begun behind it, and the removal of the old one lost with the power."""
    folder = shutil.copytree(two_logs, tmp_path / "n")
    newest = sorted(folder.glob("*.log"))[1]
    newest.write_bytes(newest.read_bytes()[:-5])
    (folder / SYNCED).unlink()  # its last batch had not been synced
    torn = (newest.name, newest.read_bytes())
    store = RocksStore(folder, "c", N1)
    last = store.bounds()[1]
    write(store, last + 1, last + 3)
    store.sync()
    shutil.copytree(folder, tmp_path / "image")
    store.close()
    (tmp_path / "image" / torn[0]).write_bytes(torn[1])
    store = RocksStore(tmp_path / "image", "c", N1, first_start=True)
    assert store.bounds() == (1, last + 3)
    store.close()


def test_what_is_read_of_a_write_ahead_log_file() -> None:
    """Records by hand: a batch in one, one over two with its head split, a filled-up block, recyclable headers."""

    def record(kind: int, payload: bytes, number: bytes = b"") -> bytes:
        return bytes(4) + len(payload).to_bytes(2, "little") + bytes([kind]) + number + payload

    def head(sequence: int, changes: int) -> bytes:
        return sequence.to_bytes(8, "little") + changes.to_bytes(4, "little")

    one = record(1, head(5, 2) + b"x")
    two = record(2, head(7, 3)[:4]) + record(4, head(7, 3)[4:] + b"y")
    assert walk(b"") == Walk(None, None, clean=True)
    assert walk(one) == Walk(5, 7, clean=True)
    assert walk(one + two) == Walk(5, 10, clean=True)
    assert walk(one + two, most=1) == Walk(5, 7, clean=False)
    assert walk(record(5, head(5, 2), bytes(4))) == Walk(5, 7, clean=True)
    assert walk(record(130, b"z") + one).clean
    filled = record(1, head(5, 2) + bytes(32768 - 7 - 12 - 6)) + bytes(6) + record(1, head(7, 1))
    assert walk(filled) == Walk(5, 8, clean=True)
    for length in range(1, len(two)):
        assert walk(one + two[:length]) == Walk(5, 7, clean=False)
    for torn in (bytes(40), record(3, b"x"), record(4, b"x"), record(1, b"short"), two[:11] + one):
        assert walk(one + torn) == Walk(5, 7, clean=False)


def test_an_entry_missing_among_the_newest_is_refused_at_the_start(image: Path) -> None:
    store = RocksStore(image, "c", N1)
    del store._db.get_column_family("entries")[(15).to_bytes(8, "big")]
    store.close()
    with pytest.raises(StoreFault, match=r"entry of the log between 1 and 20 is damaged or missing.*replace the node"):
        RocksStore(image, "c", N1)


def test_audit_of_an_entry_that_was_not_applied_is_refused_at_the_start(image: Path) -> None:
    store = RocksStore(image, "c", N1)
    store.put_audit(LogIndex(21), 0, b"a21")
    store.commit()
    store.close()
    with pytest.raises(StoreFault, match="state of log entry 21, which is in the audit trail"):
        RocksStore(image, "c", N1)


def test_a_damaged_file_of_sorted_data_is_refused_when_read(tmp_path: Path) -> None:
    store = RocksStore(tmp_path, "c", N1, first_start=True)
    write(store, 1, 300)
    store.close()
    table = max(tmp_path.glob("*.sst"), key=lambda file: file.stat().st_size)
    raw = bytearray(table.read_bytes())
    raw[len(raw) // 3] ^= 1
    table.write_bytes(raw)

    def read_all() -> None:
        opened = RocksStore(tmp_path, "c", N1, first_start=True)
        try:
            opened.entries(LogIndex(1), 300)
            list(opened.state())
            opened.audit(LogIndex(0), 400)
        finally:
            opened.close()

    with pytest.raises(StoreFault, match="replace the node"):
        read_all()


def test_the_newest_marker_is_found_in_the_raw_files(image: Path) -> None:
    assert newest_marker(image) == 21  # the folder's identity is batch 1


def test_a_full_disk_fails_the_commit_and_nothing_of_it_counts(tmp_path: Path) -> None:
    """A limit on file sizes stands for the full disk (the write fails in the same place); a process of its own, as
    the limit holds for all of one."""
    program = """
import resource, sys
from pathlib import Path
from random import Random
from cluster.rocks import RocksStore
from cluster.store import StoredEntry, StoreFault
store = RocksStore(Path(sys.argv[1]), "c", "n1", first_start=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
index = 0
try:
    while index < 1000:
        index += 1
        store.append(StoredEntry(index, 1, b"x" * 1000))
        store.put_state(b"newest", str(index).encode())
        store.set_applied(index)
        store.commit()
except StoreFault as fault:
    print(index, store.bounds()[1], store.meta().applied_index)
    print(fault)
    for act in (store.commit, store.sync):
        try:
            act()
            print("not refused")
        except StoreFault as again:
            print(again)
"""
    output = run(program, tmp_path)
    numbers, first, second, third = output.splitlines()
    failed, last, applied = map(int, numbers.split())
    assert 100 < failed < 1000
    assert last == applied == failed - 1
    assert "free space on its disk" in first
    assert second == third == first

    store = RocksStore(tmp_path, "c", N1, first_start=True)
    assert store.bounds() == (1, last)
    assert store.meta().applied_index == last
    assert dict(store.state()) == {b"newest": str(last).encode()}
    store.close()


def test_after_a_failed_sync_everything_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault put at the seam: an fsync that fails can't be had from a healthy disk."""

    class Broken:
        def __init__(self, db: object) -> None:
            self._db = db

        def flush_wal(self, _sync: object) -> None:
            raise OSError("IO error: While fdatasync: Input/output error")

        def __getattr__(self, name: str) -> object:
            return getattr(self._db, name)

    store = RocksStore(tmp_path, "c", N1, first_start=True)
    write(store, 1, 2)
    monkeypatch.setattr(store, "_db", Broken(store._db))
    with pytest.raises(StoreFault, match=r"can't be synced.*Input/output error.*check its disk"):
        store.sync()
    monkeypatch.undo()
    store.append(StoredEntry(LogIndex(3), Term(1), b""))
    for act in (store.commit, store.sync):
        with pytest.raises(StoreFault, match="can't be synced"):
            act()
    store.close()


def test_a_second_process_on_the_folder_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    store = RocksStore(tmp_path, "c", N1, first_start=True)
    program = """
import sys
from pathlib import Path
from random import Random
from cluster.rocks import RocksStore
from cluster.store import WrongFolder
try:
    RocksStore(Path(sys.argv[1]), "c", "n1", first_start=True)
except WrongFolder as fault:
    print(fault)
"""
    output = run(program, tmp_path)
    assert f"another process (pid {os.getpid()}) has this folder open: stop it first" in output
    write(store, 1, 1)
    store.close()


def test_another_node_s_folder_is_refused_and_left_as_it_was(image: Path) -> None:
    before = wal(image).read_bytes()
    with pytest.raises(
        WrongFolder, match="belongs to node n1 of cluster c, not to n2 of c: correct the node's data folder"
    ):
        RocksStore(image, "c", Peer("n2"))
    assert wal(image).read_bytes() == before


def test_a_stopped_node_s_folder_is_read_without_changing_it(image: Path) -> None:
    before = sorted((file.name, file.stat().st_size) for file in image.iterdir() if file.suffix in {".log", ".sst"})
    reader = open_readonly(image)
    assert reader.identity() == ("c", "n1")
    assert reader.bounds() == (1, 20)
    assert reader.meta().applied_index == 20
    assert [e.index for e in reader.entries(LogIndex(1), 30)] == list(range(1, 21))
    assert len(list(reader.state())) == 20
    assert reader.audit(LogIndex(18), 9) == [(19, 0, b"a19"), (20, 0, b"a20")]
    reader.close()
    assert before == sorted((f.name, f.stat().st_size) for f in image.iterdir() if f.suffix in {".log", ".sst"})


def test_a_running_node_s_folder_is_not_opened_for_inspection(tmp_path: Path) -> None:
    store = RocksStore(tmp_path, "c", N1, first_start=True)
    with pytest.raises(WrongFolder, match="stop it first"):
        open_readonly(tmp_path)
    store.close()
    reader = open_readonly(tmp_path)
    with pytest.raises(WrongFolder, match="stop it first"):
        RocksStore(tmp_path, "c", N1, first_start=True)
    reader.close()


def test_a_folder_without_a_database_is_not_opened_for_inspection(tmp_path: Path) -> None:
    with pytest.raises(WrongFolder, match="not a node's data folder"):
        open_readonly(tmp_path)


def test_a_folder_that_can_t_be_made_is_a_store_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreFault, match="folder"):
        RocksStore(tmp_path / "file" / "data", "c", N1)


def test_entries_are_read_from_the_disk_and_from_the_batch_alike(tmp_path: Path) -> None:
    store = RocksStore(tmp_path, "c", N1, first_start=True)
    for index in range(1, 5001):
        store.append(StoredEntry(LogIndex(index), Term(1), b"%d" % index))
        if index == 900:
            store.commit()
    for first in (1, 800, 900, 901, 4990):
        found = store.entries(LogIndex(first), 120)
        assert [(e.index, e.command) for e in found] == [(i, b"%d" % i) for i in range(first, min(first + 120, 5001))]
    store.close()


SAMPLES = [
    ("entry", encode_entry(StoredEntry(LogIndex(258), Term(7), b"\x91\xc4\x01a"))),
    ("entry, empty", encode_entry(StoredEntry(LogIndex(1), Term(1), b""))),
    ("marker", (b"raft", encode_marker(Marker(12, Meta(Term(7), Peer("n2"), LogIndex(258), LogIndex(257)))))),
    ("marker, no vote", (b"raft", encode_marker(Marker(1, Meta(Term(0), None, LogIndex(0), LogIndex(0)))))),
    ("identity", (b"identity", encode_identity("a1b2c3", Peer("n1")))),
    ("memory", (b"memory", encode_memory(Memory((7, 258), (6, 90), ((Peer("n2"), (7, 258)), (Peer("n3"), (7, 250))))))),
    ("home, by its birth", (b"home", encode_born(1234, 1_700_000_000_123_456_789))),
    ("home", (b"home", encode_home(1234, 1_700_000_000_123_456_789))),
    ("sides", (b"sides", encode_sides(Sides(1, (2, b"offer"), (GAP,))))),
    ("members", (b"members", encode_places(((LogIndex(0), b"\x11a"), (LogIndex(258), b"\x11bc"))))),
    ("audit key", (encode_audit_key(LogIndex(258), 3), b"")),
]


def test_the_stored_bytes_are_the_golden_ones() -> None:
    """A difference is a change of every node's disk: it needs a migration, not a new golden file."""
    assert [{"what": w, "key": k.hex(), "value": v.hex()} for w, (k, v) in SAMPLES] == json.loads(GOLDEN.read_text())


def test_what_is_stored_is_read_back_and_any_damage_is_seen() -> None:
    key, value = SAMPLES[0][1]
    assert decode_entry(key, value) == StoredEntry(LogIndex(258), Term(7), b"\x91\xc4\x01a")
    marker = SAMPLES[2][1][1]
    assert decode_marker(marker) == Marker(12, Meta(Term(7), Peer("n2"), LogIndex(258), LogIndex(257)))
    identity = SAMPLES[4][1][1]
    assert decode_identity(identity) == ("a1b2c3", "n1")
    assert decode_audit_key(SAMPLES[-1][1][0]) == (258, 3)
    for place in range(len(key)):
        assert decode_entry(_flip(key, place), value) is None
    for place in range(len(value)):
        assert decode_entry(key, _flip(value, place)) is None
    for place in range(len(marker)):
        assert decode_marker(_flip(marker, place)) is None
    for place in range(len(identity)):
        assert decode_identity(_flip(identity, place)) is None
    memory = SAMPLES[5][1][1]
    assert decode_memory(memory) == Memory((7, 258), (6, 90), ((Peer("n2"), (7, 258)), (Peer("n3"), (7, 250))))
    for place in range(len(memory)):
        assert decode_memory(_flip(memory, place)) is None
        assert decode_memory(memory[:place]) is None
    places = SAMPLES[9][1][1]
    assert decode_places(places) == ((0, b"\x11a"), (258, b"\x11bc"))
    for place in range(len(places)):
        assert decode_places(_flip(places, place)) is None
        assert decode_places(places[:place]) is None
    for length in range(len(marker)):
        assert decode_marker(marker[:length]) is None


def _flip(raw: bytes, place: int) -> bytes:
    return raw[:place] + bytes([raw[place] ^ 4]) + raw[place + 1 :]


def size_of(folder: Path) -> int:
    """Bytes in its files; RocksDB's threads remove some while they are looked at."""
    total = 0
    for file in folder.iterdir():
        with suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


def test_the_room_of_what_was_dropped_comes_back_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In RocksDB's own threads, as it merges its files: nothing waits for it.  Here with files a 32nd as large."""
    made = rocks._options

    def small() -> Any:
        options = made()
        options.set_write_buffer_size(512 * 1024)
        options.set_max_total_wal_size(2 * 1024 * 1024)
        return options

    monkeypatch.setattr(rocks, "_options", small)
    store = RocksStore(tmp_path / "n", "c", N1, first_start=True)
    noise, largest = Random(1), 0  # noqa: S311 # seeded
    for index in range(1, 24_001):
        store.append(StoredEntry(LogIndex(index), Term(1), noise.randbytes(1000)))
        if index % 50 == 0:
            store.set_applied(LogIndex(index))
            if index > 1000:
                store.drop_before(LogIndex(index - 1000))
            store.commit()
        if index % 1000 == 0:
            largest = max(largest, size_of(tmp_path / "n"))
    assert store.bounds() == (23_000, 24_000)
    assert largest < 12_000_000  # of 24 MB that were written; 1 MB is kept
    store.close()
    store = RocksStore(tmp_path / "n", "c", N1)
    assert store.entries(LogIndex(1), 22_999) == []
    assert [entry.index for entry in store.entries(LogIndex(23_000), 2000)] == list(range(23_000, 24_001))
    store.close()


def test_a_missing_entry_above_the_base_is_still_found(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "n", "c", N1, first_start=True)
    write(store, 1, 40)
    store.drop_before(LogIndex(20))
    store.commit()
    store._db.get_column_family("entries").delete((30).to_bytes(8, "big"))
    store.close()
    with pytest.raises(StoreFault, match="an entry of the log between 20 and 40 is damaged or missing"):
        RocksStore(tmp_path / "n", "c", N1)
