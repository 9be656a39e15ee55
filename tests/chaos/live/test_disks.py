"""Disks and data folders broken on processes that are not there: what must end or refuse is noted, all is mended."""

from __future__ import annotations

import json
import threading

import pytest
import trio
from attrs import evolve

from chaos.live.between import Between, Refused
from chaos.live.closed import Closed, failed_closed, log_of
from chaos.live.disks import Disks
from chaos.live.doors import Doors, found, taken_at, wanted_at
from chaos.live.folders import Folders, cold, flip
from chaos.live.inside import Inside, Order
from chaos.live.missed import DidNotRun
from chaos.live.mutants import found as found_mutant
from chaos.live.nemeses import DISK, FOLDER, NEMESES, SAYS
from chaos.live.nodes import Nodes
from chaos.live.plan import Aim, Fault
from chaos.live.powercut import Durable, cut, lengths
from chaos.mutants.patches import Patches
from chaos.rig.processes import RigFault
from cluster.rocks import RocksStore
from cluster.store import StoredEntry
from cluster.types import LogIndex, Peer, Term
from tests.chaos.live.test_nodes import Rig

N1 = Aim(("n1",))


def fault(kind, pick=0, **parameters):
    return Fault(3, kind, "n1", 0, 1, pick, "", "both", tuple(parameters.items()))


class Refuses(Rig):
    """Nodes that refuse to start while their folder is broken, and say so."""

    def __init__(self, folder):
        super().__init__()
        self.folder, self.says = folder, SAYS
        self.whole = self.content("n1")

    def content(self, name):
        data = self.folder / "nodes" / name / "data"
        files = {path.name: path.read_bytes() for path in data.iterdir()} if data.exists() else {}
        return files, data.exists() and data.stat().st_mode & 0o777

    async def start_node(self, name):
        if name == "n1" and self.content("n1") != self.whole and self.says:
            await trio.sleep(1)
            (self.folder / "nodes" / "n1" / "data").mkdir(exist_ok=True)  # as a refused start leaves it
            with (self.folder / "logs" / "n1.jsonl").open("a") as log:
                log.write("; ".join(self.says.values()))
            self.die(name, 1)
            raise RigFault(f"{name} ended with code 1 before it was ready")
        await super().start_node(name)


@pytest.fixture
def folder(tmp_path):
    for part in ("doors", "logs", "nodes/n1/data"):
        (tmp_path / part).mkdir(parents=True)
    (tmp_path / "logs" / "n1.jsonl").write_text("before\n")
    (tmp_path / "nodes" / "n1" / "data" / "000004.log").write_bytes(bytes(range(100)))
    (tmp_path / "nodes" / "n1" / "data" / "000007.sst").write_bytes(bytes(range(100)))
    (tmp_path / "nodes" / "n1" / "data" / "CURRENT").write_text("x")
    return tmp_path


@pytest.fixture
def rig(folder):
    return Refuses(folder)


@pytest.fixture
def nodes(rig):
    return Nodes(rig)


@pytest.fixture
def folders(folder, nodes):
    return Folders(folder, Doors(folder / "doors", lambda _: False), nodes, lambda _: None)


@pytest.fixture
def disks(folder, nodes):
    return Disks(folder, Doors(folder / "doors", lambda _: False), nodes)


# A folder that is broken while its node is down


@pytest.mark.parametrize("kind", ["bit_flip", "folder_deleted", "folder_read_only"])
async def test_a_node_whose_folder_is_broken_refuses_and_is_started_when_it_is_mended(
    rig, folders, folder, kind, autojump_clock
):
    async with folders.struck(fault(kind, pick=5), N1) as not_done:
        assert rig.content("n1") != rig.whole
        assert "n1" not in rig.running
        wanted = found(wanted_at(folder / "doors", "n1")).get("orders", [])
        assert [one["kind"] for one in wanted] == ([kind] if kind == "folder_read_only" else [])
    assert rig.content("n1") == rig.whole
    assert "n1" in rig.running
    assert not not_done
    (one,) = folders.closed
    assert (one.node, one.kind, one.code, "before" in one.said) == ("n1", kind, 1, False)
    assert failed_closed(folders.closed).held


async def test_one_that_starts_all_the_same_is_ended_again_and_told(rig, folders, autojump_clock):
    rig.says = {}
    async with folders.struck(fault("bit_flip"), N1):
        assert "n1" not in rig.running
    (violation,) = failed_closed(folders.closed).violations
    assert violation == "n1 went on, or started, in spite of bit_flip"


async def test_one_that_is_cancelled_mends_and_starts_nothing(rig, folders, autojump_clock):
    with trio.move_on_after(2):
        async with folders.struck(fault("folder_deleted"), N1):
            await trio.sleep_forever()
    assert rig.content("n1") == rig.whole
    assert "n1" not in rig.running


async def test_a_second_one_begins_when_the_first_is_mended(rig, folders, autojump_clock):
    async def strike(number):
        async with folders.struck(evolve(fault("bit_flip"), number=number), N1):
            assert rig.content("n1") != rig.whole  # the same bit twice would be none
            await trio.sleep(3)

    async with trio.open_nursery() as nursery:
        for number in (3, 4):
            nursery.start_soon(strike, number)
    assert rig.content("n1") == rig.whole
    assert [one.code for one in folders.closed] == [1, 1]


@pytest.mark.parametrize("pick", range(40))
def test_a_flipped_bit_is_one_of_the_first_half_of_a_file_with_data(folder, pick):
    data = folder / "nodes" / "n1" / "data"
    path, at, bit = cold(data, pick)
    before = path.read_bytes()
    flip(path, at, bit)
    after = path.read_bytes()
    assert [place for place in range(100) if after[place] != before[place]] == [at]
    assert at < 50
    flip(path, at, bit)
    assert path.read_bytes() == before


# A power cut


async def test_a_power_cut_kills_and_takes_what_was_not_synced(rig, folders, folder, autojump_clock):
    durable = Durable(folder / "doors", "n1")
    durable.say({"000004.log": 60})
    async with folders.struck(fault("power_cut", kept=50), N1):
        assert (folder / "nodes/n1/data/000004.log").read_bytes() == bytes(range(80))
        assert "n1" not in rig.running
        rig.whole = rig.content("n1")
    assert "n1" in rig.running
    assert not folders.closed


async def test_a_power_cut_waits_for_what_is_not_synced_with_syncs_that_hang(rig, folders, folder, autojump_clock):
    log = folder / "nodes/n1/data/000004.log"
    durable = Durable(folder / "doors", "n1")
    durable.say({"000004.log": 100})

    async def writes():
        await trio.sleep(1)
        assert "n1" in rig.running
        (order,) = found(wanted_at(folder / "doors", "n1"))["orders"]
        assert (order["kind"], order["sync_ms"]) == ("disk_slow", 60_000)
        log.write_bytes(bytes(120))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(writes)
        async with folders.struck(fault("power_cut", kept=0), N1) as not_done:
            assert log.stat().st_size == 100
            assert found(wanted_at(folder / "doors", "n1"))["orders"] == []
            rig.whole = rig.content("n1")
    assert not not_done


@pytest.mark.parametrize(("kept", "told"), [(50, ["n1 has lost nothing: all that it wrote was synced"]), (100, [])])
async def test_a_power_cut_that_lost_nothing_was_none(folders, folder, kept, told, autojump_clock):
    Durable(folder / "doors", "n1").say({"000004.log": 100})
    async with folders.struck(fault("power_cut", kept=kept), N1) as not_done:
        pass
    assert not_done == told


def test_behind_a_log_that_has_lost_its_end_nothing_is_left_of_the_next(tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("000009.log", "000010.log"):
        (tmp_path / "data" / name).write_bytes(bytes(100))
    durable = Durable(tmp_path, "n1")
    durable.say({"000009.log": 40, "000010.log": 99})
    durable.say({"000009.log": 50})
    durable.say({})  # a process without descriptors could not look
    assert cut(tmp_path / "data", tmp_path, "n1", 50) == 125
    assert {name: (tmp_path / "data" / name).stat().st_size for name in ("000009.log", "000010.log")} == {
        "000009.log": 75,
        "000010.log": 0,
    }


def test_what_was_synced_outlives_a_power_cut_and_nothing_else_does(tmp_path):
    """On a real store, behind the fault point of a live node."""
    store = RocksStore(tmp_path / "data", "c", Peer("n1"), first_start=True)
    store._db = Between(store._db, Inside(tmp_path, "n1"), tmp_path / "data")
    for index in (1, 2, 3):
        store.append(StoredEntry(LogIndex(index), Term(1), b"x" * 100))
        store.commit()
        if index == 2:
            store.sync()
    image = tmp_path / "image"
    image.mkdir()
    for path in (tmp_path / "data").iterdir():  # as SIGKILL leaves it
        (image / path.name).write_bytes(path.read_bytes())
    store.close()
    whole = lengths(image)
    assert cut(image, tmp_path, "n1", 0) > 100
    assert lengths(image) != whole
    again = RocksStore(image, "c", Peer("n1"))
    assert again.bounds() == (1, 2)
    again.close()


# What the system refuses


class Database:
    """Stands in for RocksDB."""

    def __init__(self):
        self.done = []

    def write(self, batch, _options):
        self.done.append(batch)

    def flush_wal(self, sync):
        self.done.append(sync)


@pytest.fixture
def between(tmp_path):
    return Between(Database(), Inside(tmp_path, "n1"), tmp_path)


@pytest.mark.parametrize(
    ("kind", "write", "sync"),
    [
        ("disk_full", "No space left on device", ""),
        ("disk_write_error", "Input/output error", ""),
        ("disk_sync_error", "", "Input/output error"),
    ],
)
def test_what_is_refused_does_not_reach_the_disk(between, kind, write, sync):
    between._inside.orders = {1: Order(1, kind, {})}
    for words, call in ((write, lambda: between.write("b", None)), (sync, lambda: between.flush_wal(True))):
        if words:
            with pytest.raises(Refused, match=words):
                call()
        else:
            call()
    assert between.done == ([True] if write else ["b"])
    assert between._inside.orders[1].struck == 1
    between._inside.orders = {}
    between.write("c", None)
    between.flush_wal(True)
    assert between.done[-2:] == ["c", True]


def test_a_stall_ends_when_it_is_healed_and_lasts_no_longer_than_it_says(between, monkeypatch):
    now, order = [100.0], Order(1, "disk_slow", {"sync_ms": 2000, "write_ms": 30})
    between._inside.orders = {1: order}

    def sleep(seconds):
        now[0] += seconds
        if now[0] > 101:
            between._inside.orders = {}

    monkeypatch.setattr("chaos.live.between.time.monotonic", lambda: now[0])
    monkeypatch.setattr("chaos.live.between.time.sleep", sleep)
    between.write("b", None)
    assert now[0] == pytest.approx(100.03)
    assert order.struck == 1
    other = between._inside.orders[2] = Order(2, "disk_slow", {"sync_ms": 0, "write_ms": 0})
    between.flush_wal(True)
    assert now[0] == pytest.approx(101.01, abs=0.02)
    assert (order.struck, other.struck) == (2, 0)  # what takes no longer is no strike


async def test_one_that_ends_of_it_is_noted_with_its_words_and_started_when_it_heals(
    rig, disks, folder, autojump_clock
):
    async def ends():
        await trio.sleep(1)
        (order,) = found(wanted_at(folder / "doors", "n1"))["orders"]
        assert order["kind"] == "disk_full"
        (folder / "logs" / "n1.jsonl").write_text("before\nfree space on its disk")
        rig.die("n1", 1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ends)
        async with disks.struck(fault("disk_full"), N1):
            assert rig.are["n1"] == "gone"
    assert "n1" in rig.running
    assert found(wanted_at(folder / "doors", "n1"))["orders"] == []
    assert disks.closed == [Closed("n1", "disk_full", 1, "free space on its disk", 3)]


async def test_one_that_another_started_while_it_was_refused_may_end_of_it_a_moment_later(
    rig, nodes, disks, folder, autojump_clock
):
    """Endless 92006: it ended 30 ms behind the order, and as nobody's fault."""
    rig.die("n1", 1)
    nodes._up.discard("n1")
    nodes.gave_way.add("n1")

    async def ends():
        await trio.sleep(1)
        rig.die("n1", 1)

    async with trio.open_nursery() as nursery, disks.struck(fault("disk_write_error"), N1) as not_done:
        assert not_done == ["n1 does not run"]
        await nodes._start("n1")
        taken_at(folder / "doors", "n1").write_text(json.dumps({"version": 1, "struck": {"3": 1}}))
        nursery.start_soon(ends)
    assert [(end.node, end.why, end.code) for end in nodes.ends] == [("n1", "disk_write_error", 1)]
    assert "n1" in rig.running


async def test_one_that_goes_on_without_a_disk_is_told(rig, disks, autojump_clock):
    async with disks.struck(fault("disk_sync_error"), N1):
        pass
    assert rig.done == []
    assert failed_closed(disks.closed).violations == ("n1 went on, or started, in spite of disk_sync_error",)


def test_of_a_mixture_one_that_another_fault_may_have_ended_is_excused_and_no_other():
    on, by_kill = Closed("n1", "disk_full", None, "", 3), Closed("n2", "disk_full", -9, "", 3)
    assert failed_closed([on, by_kill], {(3, "n1"), (3, "n2")}).held
    assert failed_closed([on, by_kill], {(3, "n1"), (4, "n2")}).violations == (
        "n2 ended with code -9 by disk_full, not with 1",
    )


async def test_a_disk_of_a_node_that_does_not_run_is_told_and_its_earlier_end_is_none_of_it(rig, disks, autojump_clock):
    rig.die("n1", -9)
    async with disks.struck(fault("disk_full"), N1) as not_done:
        pass
    assert (not_done, disks.closed) == (["n1 does not run"], [])
    assert isinstance(not_done[0], DidNotRun)


async def test_a_slow_disk_that_never_was_is_told(disks, folder, autojump_clock):
    disks.doors.runs = lambda _: True
    for struck, told in ((0, ["n1: it never came to pass"]), (2, [])):
        taken_at(folder / "doors", "n1").write_text(json.dumps({"version": 99, "struck": {"3": struck}}))
        async with disks.struck(fault("disk_slow", sync_ms=5, write_ms=0), N1) as not_done:
            pass
        assert not_done == told


async def test_a_slow_disk_ends_nobody_and_one_that_ends_of_it_ended_by_itself(rig, nodes, disks, autojump_clock):
    async with disks.struck(fault("disk_slow", sync_ms=5, write_ms=0), N1):
        rig.die("n1", 1)
    nodes.look()
    assert [(end.node, end.why) for end in nodes.ends] == [("n1", "")]
    assert not disks.closed


# How it is judged


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (Closed("n1", "bit_flip", None, ""), "went on, or started, in spite of bit_flip"),
        (Closed("n1", "bit_flip", -6, SAYS["bit_flip"]), "ended with code -6 by bit_flip, not with 1"),
        (Closed("n1", "bit_flip", 1, "sorry"), "does not say: restore this node's folder from a copy"),
    ],
)
def test_what_is_not_closed_is_told(one, words):
    good = evolve(one, code=1, said=f"x {SAYS['bit_flip']} y")
    assert failed_closed([good]).held
    assert not failed_closed([]).held
    (violation,) = failed_closed([good, one]).violations
    assert words in violation


def test_whatever_must_end_or_refuse_has_words_that_it_says():
    fatal = {one.kind for one in NEMESES.values() if one.room in {DISK, FOLDER}} - {"disk_slow", "power_cut"}
    assert set(SAYS) == fatal


def test_a_log_is_read_from_where_it_was(tmp_path):
    assert log_of(tmp_path, "n1").at == 0
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "n1.jsonl").write_text("one\n")
    log = log_of(tmp_path, "n1")
    with log.path.open("a") as file:
        file.write("two\n")
    assert log.since() == "two\n"


def test_a_sync_that_syncs_nothing_loses_all_of_it(tmp_path):
    """The mutant that a live power cut is to show."""
    with Patches() as patches:
        found_mutant("a sync syncs nothing").patch(patches)
        store = RocksStore(tmp_path / "data", "c", Peer("n1"), first_start=True)
        store._db = Between(store._db, Inside(tmp_path, "n1"), tmp_path / "data")
        store.sync()
        before = found(tmp_path / "n1.durable.json")
        store.append(StoredEntry(LogIndex(1), Term(1), b"x" * 100))
        ticket = store.commit()
        said = []
        thread = threading.Thread(target=lambda: said.append(store.sync()))
        thread.start()
        thread.join()
        store.close()
    assert said == [ticket]
    assert found(tmp_path / "n1.durable.json") == before
