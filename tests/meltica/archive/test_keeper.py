"""Moving records into the archive: each is in one of the two at any moment, and what goes wrong drops nothing."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from attrs import define, field
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.rocks import RocksStore
from cluster.store import StoreFault
from meltica.archive import files, keeper
from meltica.archive import trail as module
from meltica.archive.files import Cursor, Draft, Folder
from meltica.archive.form import Range
from meltica.archive.keeper import Archived, Beside, Keeper
from meltica.archive.plan import ANEW, COPY, Keep
from meltica.archive.records import BrokenTrail, read_record
from meltica.archive.trail import Trail
from tests.meltica.archive.making import N1, SPAN, database, gap_of, seal, spared, trail, within

RECORDS = trail(60)
LAST = 40  # of 60 entries the newest 20 stay
KEEP = Keep(20, 0)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(keeper, "REST_S", 0)
    monkeypatch.setattr(keeper, "PIECE", 4)


@pytest.fixture
def inline():
    """No threads: thousands of steps are looked at, and that they are taken aside has its own test."""

    async def here(block, *args):
        await trio.lowlevel.checkpoint()
        return block(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keeper, "aside", here)
        patch.setattr(module, "aside", here)
        patch.setattr(os, "fsync", lambda _file: None)  # the fuse knows what a power cut takes
        yield


@define
class World:
    """A node's archive beside its database, and what was told."""

    data: Path
    store: object
    keep: Keep | None = KEEP
    told: list = field(factory=list)
    short: str = ""
    gaps: list = field(factory=list)
    applied: int = 60
    whole: set = field(factory=set)  # inodes whose contents are durable
    lasting: dict = field(factory=dict)  # durable names with their inode

    @property
    def keeper(self):
        now, gaps = (lambda: (self.applied, 0)), (lambda: self.gaps)
        return Keeper(self.store, Folder(self.data), self.keep, now, self.told.append, self.room, SPAN, gaps)

    def room(self):
        return self.short

    async def work(self):
        """Until nothing is left to do."""
        one = self.keeper
        for _ in range(20):
            if not await one.step():
                return
        raise AssertionError("it never ends")

    async def rounds(self, again=1):
        """As the task does, until it would wait for long; then so often again."""
        one = self.keeper
        rest = await one.round(one.folder.clear)
        for _ in range(30):
            if rest != keeper.REST_S and not (again := again - 1):
                break
            rest = await one.round()
        assert rest == (keeper.RETRY_S if self.told[-1].trouble else keeper.EVERY_S)

    async def shown(self):
        """The whole trail, as an operator sees it."""
        found, records, after = Trail(self.store.audit, Folder(self.data)), [], 0
        while page := await found.page(after, 7):
            records += [(one.index, one.place, one.raw) for one in page]
            after = page[-1].index
        found.close()
        return records

    @property
    def held(self):
        return self.store.audit(0, 999)

    @property
    def names(self):
        folder = self.data / "archive"
        return sorted(one.name for one in folder.iterdir()) if folder.exists() else []


NAMES = [Range(first, first + 9).name for first in (1, 11, 21, 31)]


@pytest.fixture
def world(tmp_path):
    return World(tmp_path, database(RECORDS))


async def test_old_entries_move_and_the_newest_stay(world, tmp_path_factory):
    await world.work()
    assert world.held == within(RECORDS, 41, 60)
    assert world.names == NAMES
    assert await world.shown() == [*RECORDS]
    assert world.told[-1] == Archived(LAST, Folder(world.data).look().bytes, "")
    other = tmp_path_factory.mktemp("other")
    seal(Folder(other), RECORDS, LAST)
    for name in NAMES:  # as any other node writes them
        assert (other / "archive" / name).read_bytes() == (world.data / "archive" / name).read_bytes()


async def test_nothing_moves_before_it_is_due(world):
    world.keep = Keep(51, 0)
    await world.work()
    assert (world.held, world.names) == ([*RECORDS], [])


async def test_where_it_is_off_it_says_once_what_lacks_and_changes_nothing(world):
    world.keep = None
    await world.keeper.run()
    assert (world.held, world.names, world.told) == ([*RECORDS], [], [Archived()])
    world.store = database(within(RECORDS, 41, 60))
    await world.keeper.run()
    assert world.told[-1].trouble == f"the archive lacks the entries from 1 to 40: {COPY}"


async def test_an_archived_range_is_no_gap(world):
    await world.work()
    world.keep = None
    await world.keeper.run()
    assert world.told[-1].trouble == ""


async def test_each_file_goes_from_the_database_in_a_batch_of_its_own(world, monkeypatch):
    dropped = []
    drop = world.store.drop_audit_before
    monkeypatch.setattr(world.store, "drop_audit_before", lambda index: dropped.append(index) or drop(index))
    seal(Folder(world.data), RECORDS, LAST)
    await world.work()
    assert dropped == [11, 21, 31, 41]


async def test_what_a_kill_left_half_written_is_cleared_at_the_start(world):
    draft = Folder(world.data).draft(Range(1, 10))
    draft.write(b"half")
    await world.rounds()
    draft.give_up()
    assert world.names == NAMES


async def test_the_task_itself_begins_with_that_also_where_the_archive_is_off(world):
    draft = Folder(world.data).draft(Range(51, 60))
    world.keep = None
    await world.keeper.run()
    assert world.names == []
    draft.give_up()


async def test_a_half_written_file_is_never_taken_for_one(world):
    draft = Folder(world.data).draft(Range(1, 10))
    draft.write(b"half")
    assert Folder(world.data).ranges() == []
    world.keep = Keep(999, 0)
    await world.work()
    assert world.held == [*RECORDS]
    draft.give_up()


# --- kills ----------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process is gone."""


class Fuse:
    """Ends the process before its n-th step at the disk, and everything after; knows what a power cut would leave."""

    def __init__(self, monkeypatch, world, steps):
        self.left = steps
        self.blown = False
        self._world = world
        self._drafts = []
        for place, name in (
            (os, "fsync"),
            (Path, "rename"),
            (Path, "unlink"),
            (files, "sync_folder"),
            (Folder, "look"),
            (Folder, "draft"),
            (Folder, "settle"),
            (Folder, "open"),
            (Draft, "write"),
            (Draft, "seal"),
            (Draft, "give_up"),
            (Cursor, "piece"),
            (world.store, "drop_audit_before"),
            (world.store, "commit"),
        ):
            monkeypatch.setattr(place, name, self._fused(name, getattr(place, name)))

    def _fused(self, name, do):
        def fused(*args):
            if self.blown or not self.left:
                self.blown = True
                raise Killed
            self.left -= 1
            found = do(*args)
            if name == "fsync":
                self._world.whole.add(os.fstat(args[0]).st_ino)
            elif name == "draft":
                self._drafts.append(found)
                self._world.whole.discard(os.fstat(found._file.fileno()).st_ino)
            elif name == "sync_folder":
                self._world.lasting |= {one.name: one.inode() for one in os.scandir(args[0])}
            return found

        return fused

    def close(self):
        """As the end of a process closes its files."""
        for draft in self._drafts:
            draft._gzip.fileobj = None
            draft._gzip.close()
            draft._file.close()

    def power_cut(self, folder):
        """What was not synced is gone."""
        for path in [*folder.iterdir()] if folder.exists() else []:
            inode = path.stat().st_ino
            if self._world.lasting.get(path.name) != inode:
                path.unlink()
            elif inode not in self._world.whole:
                path.write_bytes(b"")


async def killed_at(world, steps, *, power, keep=0):
    """Whether it was ended; the store is opened anew."""
    store = world.store
    with pytest.MonkeyPatch.context() as patch:
        fuse = Fuse(patch, world, steps)
        with suppress(Killed):
            await world.work()
        fuse.close()
    if power:
        fuse.power_cut(world.data / "archive")
    disk = store.crash(keep if power else 999)
    world.store = database([], disk)
    return fuse.blown


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 90), st.booleans(), st.integers(0, 3)), min_size=1, max_size=4))
def test_a_kill_or_a_power_cut_at_any_step_loses_and_doubles_nothing(inline, tmp_path_factory, kills):
    data = tmp_path_factory.mktemp("data")

    async def run():
        world = World(data, database(RECORDS))
        for steps, power, keep in kills:
            await killed_at(world, steps, power=power, keep=keep)
            assert await world.shown() == [*RECORDS]
        Folder(data).clear()
        await world.work()
        assert (world.held, world.names) == (within(RECORDS, 41, 60), NAMES)
        assert await world.shown() == [*RECORDS]

    trio.run(run)
    shutil.rmtree(data)


@pytest.mark.parametrize("power", [False, True])
async def test_every_single_step_is_a_place_to_be_killed_at(inline, tmp_path, power):
    records = within(RECORDS, 1, 30)  # one file
    for steps in range(999):
        world = World(tmp_path / str(steps), database(records), applied=30)
        world.data.mkdir()
        blown = await killed_at(world, steps, power=power)
        assert await world.shown() == records, steps
        await world.work()
        assert (world.held, await world.shown()) == (within(records, 11, 30), records), steps
        if not blown:
            break
    assert steps > 20


async def test_the_same_on_a_real_folder(inline, tmp_path):
    """Each step once, one after another, in one folder; the store opened anew each time."""
    store = rocks(tmp_path)
    for one in RECORDS:
        store.put_audit(*one)
    store.set_applied(60)
    store.commit()
    steps = 0
    while True:
        world = World(tmp_path, store)
        with pytest.MonkeyPatch.context() as patch:
            fuse = Fuse(patch, world, steps)
            try:
                await world.work()
            except Killed:
                steps += 3 if steps % 2 else 4
            fuse.close()
        store.close()
        world.store = store = rocks(tmp_path)
        assert await world.shown() == [*RECORDS]
        if not fuse.blown:
            break
    assert world.held == within(RECORDS, 41, 60)
    assert [name for name in world.names if not name.endswith(".partial")] == NAMES
    store.close()


def rocks(data):
    return RocksStore(data, "c", N1, first_start=True)


# --- what goes wrong ------------------------------------------------------------------------------------------


async def trouble(world):
    """What one round of the task tells."""
    await world.rounds()
    assert world.held == [*RECORDS], "something was dropped"
    assert await world.shown() == [*RECORDS]
    assert world.told[-1].trouble
    return world.told[-1].trouble


async def mended(world):
    await world.rounds()
    assert (world.held, world.told[-1].trouble) == (within(RECORDS, 41, 60), "")
    assert await world.shown() == [*RECORDS]
    assert world.names == NAMES


async def test_a_full_disk_is_told_and_leaves_nothing_half_written(world, monkeypatch):
    def full(_draft, _lines):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Draft, "write", full)
        assert "No space left on device" in await trouble(world)
        assert world.names == []
    await mended(world)


async def test_a_disk_that_can_t_sync_drops_nothing(world, monkeypatch):
    def refuse(_file):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        assert "Input/output error" in await trouble(world)
    await mended(world)


async def test_the_disks_reserve_is_not_used(world):
    world.short = "the disk is nearly full: 3 MiB are free"
    assert await trouble(world) == f"nothing is archived for want of room: {world.short}"
    assert world.names == []
    world.short = ""
    await mended(world)


async def test_a_file_that_can_t_be_read_back_drops_nothing(world, monkeypatch):
    settle = Folder.settle

    def rot(folder, entries):
        settle(folder, entries)
        path = folder.path / entries.name
        raw = bytearray(path.read_bytes())
        raw[60] ^= 1
        path.write_bytes(raw)

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "settle", rot)
        told = await trouble(world)
    assert told.startswith(f"{NAMES[0]} is damaged (")
    assert told.endswith(ANEW)
    (world.data / "archive" / NAMES[0]).unlink()
    await mended(world)


async def test_a_whole_file_with_other_words_than_the_database_drops_nothing(world):
    """Another build's decision on the same commands: the chain is the same."""
    records = [(i, p, raw.replace(b'"text":"', b'"text":"so ') if i == 4 else raw) for i, p, raw in RECORDS]
    assert records != [*RECORDS]
    seal(Folder(world.data), records, 10)
    told = f"the database has another record of index 4 place 0 than the file: {ANEW}"
    assert await trouble(world) == told


async def test_a_file_that_lacks_a_record_of_the_database_drops_nothing():
    for lacking in (0, 5, len(within(RECORDS, 1, 10)) - 1):
        piece = [read_record(*one) for one in within(RECORDS, 1, 10)]
        gone = piece.pop(lacking)
        beside = Beside(database(RECORDS).audit, 1)
        with pytest.raises(BrokenTrail, match=f"lacks the record of index {gone.index} place {gone.place}"):
            _both(beside, piece)


def _both(beside, piece):
    beside.compare(piece)
    beside.end(10)


def test_a_database_that_lacks_some_is_filled_up_by_a_copy():
    """A snapshot was installed over them."""
    for held in ([], within(RECORDS, 1, 3), [*within(RECORDS, 1, 3), *within(RECORDS, 8, 60)]):
        _both(Beside(database(held).audit, 1), [read_record(*one) for one in within(RECORDS, 1, 10)])


async def test_copies_of_another_nodes_files_mend_a_hole_in_the_database(world):
    world.store = database([*within(RECORDS, 1, 13), *within(RECORDS, 28, 60)])
    await world.rounds()
    told = world.told[-1].trouble
    assert told.startswith(f"{NAMES[1]} can't be written here (")
    assert told.endswith(COPY)
    assert world.names == NAMES[:1]
    (world.data / "other").mkdir()
    other = Folder(world.data / "other")
    seal(other, RECORDS, 30)
    for name in NAMES[1:3]:
        shutil.copy(other.path / name, world.data / "archive" / name)
    await mended(world)


async def test_a_file_that_lacks_in_the_middle_stops_all_and_is_named(world):
    seal(Folder(world.data), RECORDS, LAST)
    (world.data / "archive" / NAMES[1]).unlink()
    assert await trouble(world) == f"the archive lacks the entries from 11 to 20: {COPY}"


async def test_files_of_another_history_drop_nothing(world):
    """The chain is followed over the seam, from the archive to what stays."""
    seal(Folder(world.data), trail(60, "other"), LAST)
    await world.rounds()
    assert world.held == [*RECORDS]
    assert "the database is of another history than" in world.told[-1].trouble


async def test_what_a_snapshot_left_out_is_no_trouble_until_it_should_be_written(world):
    """Then another node has the file; nothing is begun that can't be ended."""
    gap = gap_of(RECORDS, 1, 14)
    world.store, world.gaps = database(spared(RECORDS, gap)), [gap]
    world.keep = Keep(51, 0)
    await world.rounds()
    assert world.told[-1].trouble == ""
    world.keep = KEEP
    await world.rounds()
    said = world.told[-1].trouble
    assert said == f"{NAMES[0]} can't be written here (a snapshot was installed over the entries from 1 to 14): {COPY}"
    assert not (world.data / "archive").exists()
    other = Folder(world.data / "other")
    (world.data / "other").mkdir()
    seal(other, RECORDS, 20)
    (world.data / "archive").mkdir()
    for name in NAMES[:2]:
        shutil.copy(other.path / name, world.data / "archive" / name)
    await mended(world)


async def test_a_gap_that_no_snapshot_explains_is_trouble(world):
    gap = gap_of(RECORDS, 1, 13)  # entry 14 has no commands
    world.store, world.keep = database(spared(RECORDS, gap)), Keep(51, 0)
    for gaps in ([], [gap_of(RECORDS, 1, 12)], [gap_of(trail(60, "other"), 1, 13)]):
        world.gaps = gaps
        await world.rounds()
        assert world.told[-1].trouble == f"the archive lacks the entries from 1 to 14: {COPY}"


async def test_without_a_record_behind_them_files_are_not_trusted(world):
    """Nothing to hold the last one's chain against."""
    world.store = database(within(RECORDS, 1, 40))
    seal(Folder(world.data), RECORDS, LAST)
    await world.work()
    assert world.held == within(RECORDS, 1, 40)


async def test_a_store_that_takes_no_more_is_told(world):
    world.store.fail_next_commit()
    await world.rounds()
    assert "a write failed (no space left on device)" in world.told[-1].trouble
    assert world.held == [*RECORDS]


async def test_trouble_is_told_once_and_its_end_too(world):
    world.short = "full"
    await world.rounds(again=5)
    assert [bool(one.trouble) for one in world.told] == [True]
    world.told.clear()
    world.short = ""
    await world.rounds(again=5)
    assert not any(one.trouble for one in world.told)
    assert world.told[-1].last == LAST


async def test_a_node_that_stops_meanwhile_touches_its_store_no_more(world, monkeypatch):
    """It may be closed by then."""
    with trio.CancelScope() as scope:
        look = Folder.look

        def stopping(folder):
            trio.from_thread.run_sync(scope.cancel)
            return look(folder)

        monkeypatch.setattr(Folder, "look", stopping)
        monkeypatch.setattr(World, "room", lambda _world: 1 / 0)
        one = world.keeper
        asked = []
        monkeypatch.setattr(world.store, "audit", lambda *args: asked.append(args) or [])
        await one.step()
    assert scope.cancelled_caught
    assert asked == []


async def test_a_damaged_database_is_told(world, monkeypatch):
    def refuse(_after, _limit):
        raise StoreFault("a file is damaged")

    monkeypatch.setattr(world.store, "audit", refuse)
    await world.rounds()
    assert world.told[-1].trouble == "a file is damaged"
