"""Hazards 1, 2, 11, 18 and 20: what is on the disk, and what is believed of it."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pysyncobj.journal import FileJournal, MemoryJournal

from cluster.store import StoreFault
from cluster.wire import Append

if TYPE_CHECKING:
    from tests.cluster.conftest import Hand
    from tests.cluster.hazards.conftest import StockNet


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # its own
def test_1_stock_never_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes through a map of its file, and its meta as a file of its own: it syncs neither."""
    synced: list[object] = []

    class Watched(mmap.mmap):
        def flush(self, *range_: int) -> None:
            synced.append("map")
            super().flush(*range_)

    monkeypatch.setattr(mmap, "mmap", Watched)
    for name in ("fsync", "fdatasync", "sync"):
        monkeypatch.setattr(os, name, lambda *_args: synced.append("file"))
    journal = FileJournal(str(tmp_path / "journal"))
    journal.setCurrentTerm(3, "n2")
    for index in range(1, 200):  # it grows its map on the way
        journal.add(b"acknowledged", index, 3)
    journal.onOneSecondTimer()
    journal.deleteEntriesFrom(150)
    assert synced == []
    journal.flush()  # nobody in stock calls it; the watch sees it
    assert synced == ["map"]


def test_1_stock_s_core_never_asks_its_journal_to(stock_net: type[StockNet]) -> None:
    net = stock_net()
    flushed: list[str] = []
    for name in net.names:
        net.journals[name] = journal = MemoryJournal()
        journal.flush = lambda at=name: flushed.append(at)
        net.start(name)
    net.run(6, until=lambda: bool(net.leaders))
    net.run(1)
    net.nodes[net.leaders[0]].do("x")
    net.run(3)
    assert net.nodes["n1"].done == ["x"]
    assert flushed == []


class Torn(MemoryJournal):  # type: ignore[misc] # pysyncobj ships no types
    """Its meta survived a power cut, the end of its log did not."""

    def getRaftCommitIndex(self) -> int:  # noqa: N802 # pysyncobj's name
        return 9


def test_2_stock_believes_a_commit_index_ahead_of_its_log(stock_net: type[StockNet]) -> None:
    net = stock_net()
    net.journals["n1"] = Torn()
    node = net.start("n1")
    assert node.raftCommitIndex == 9
    assert len(net.journals["n1"]) == 1


def test_2_ours_is_clamped(hand: type[Hand]) -> None:
    node = hand()
    disk = node.store.crash()
    disk.meta = type(disk.meta)(disk.meta.term, None, 9, disk.meta.applied_index)
    assert hand(disk=disk).committed == len(disk.entries)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # its own
def test_11_stock_takes_damage_for_an_entry_and_a_broken_meta_for_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = FileJournal(str(path))
    journal.add(b"buy 1", 1, 3)
    journal.setCurrentTerm(7, "n2")
    journal._destroy()
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"buy 1", b"buy 9"))
    meta = Path(f"{path}.meta")
    meta.write_bytes(meta.read_bytes()[:-3])
    again = FileJournal(str(path))
    assert again[0][0] == b"buy 9"
    assert (again.getCurrentTerm(), again.getVotedForNodeId()) == (0, None)  # it may vote in term 7 a second time


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # its own
def test_11_stock_clears_its_file_to_shorten_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = FileJournal(str(tmp_path / "journal"))
    for index in range(1, 6):
        journal.add(b"x", index, 1)
    kept: list[int] = []
    clear = journal.clear

    def watched() -> None:
        clear()
        kept.append(len(journal))

    monkeypatch.setattr(journal, "clear", watched)
    journal.deleteEntriesTo(2)
    assert kept == [0]  # a crash in this moment leaves nothing


class Full(MemoryJournal):  # type: ignore[misc] # pysyncobj ships no types
    full = False

    def add(self, command: bytes, idx: int, term: int) -> None:
        if self.full:
            raise OSError("no space left on device")
        super().add(command, idx, term)


def test_18_stock_stays_the_leader_on_a_full_disk(stock_net: type[StockNet]) -> None:
    net = stock_net()
    for name in net.names:
        net.journals[name] = Full()
        net.start(name)
    net.run(6, until=lambda: bool(net.leaders))
    net.run(1)
    (leader,) = net.leaders
    net.journals[leader].full = True
    for _ in range(5):
        net.nodes[leader].do("x")
        net.run(1)
    assert net.raised
    assert net.leaders == [leader]


def test_18_ours_ends(hand: type[Hand]) -> None:
    node = hand()
    node.lead()
    node.sync()
    node.store.fail_next_commit()
    with pytest.raises(StoreFault):
        node.propose(b"x", 1)
    assert node.replica.status().stalled is not None
    assert node.role.value == "follower"


def test_20_stock_applies_its_whole_log_again(stock_net: type[StockNet]) -> None:
    net = stock_net()
    net.run(6, until=lambda: bool(net.leaders))
    net.run(1)
    net.nodes[net.leaders[0]].do("x")
    net.run(2)
    before: Any = net.nodes["n1"]
    assert before.done == ["x"]
    again = net.start("n1")
    again.done = before.done  # a state that is kept, as ours is
    net.run(3)
    assert again.done == ["x", "x"]


def test_20_ours_applies_each_once(hand: type[Hand]) -> None:
    node = hand()
    node.hears("n2", Append(3, 2, 1, 0, ((b"\x10\x91\xc4\x01x", 2, 3),), 50, 3))
    node.sync()
    assert node.machine.seen[-1] == (2, 3, (b"x",))
    again = node.crash()
    again.hears("n2", Append(3, 2, 2, 3, (), 60, 3))
    assert again.machine.seen == []
