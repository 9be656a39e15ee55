"""The trail as one: archive, then database; pages meet at the seam, and what lacks there is named."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.types import LogIndex
from meltica.archive.files import Folder
from meltica.archive.form import Range
from meltica.archive.plan import COPY
from meltica.archive.records import BrokenTrail
from meltica.archive.trail import Trail, whole_trail
from tests.meltica.archive.making import SPAN, database, gap_of, seal, spared, trail, within

RECORDS = trail(60)


def shown(records):
    return [(one.index, one.place, one.raw) for one in records]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Files up to entry 40."""
    path = tmp_path_factory.mktemp("data")
    seal(Folder(path), RECORDS, 40)
    return path


@pytest.fixture
def own(tmp_path):
    seal(Folder(tmp_path), RECORDS, 40)
    return tmp_path


def over(data, held, records=RECORDS):
    """The trail of a node whose database begins at entry `held`."""
    return Trail(database(within(records, held, 99)).audit, Folder(data))


async def paged(found, limit, after=0):
    """All of it, page by page."""
    pages = []
    while page := await found.page(after, limit):
        assert page[0].index > after
        after = page[-1].index
        pages.append(shown(page))
    found.close()
    return pages


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 41), st.sampled_from([1, 2, 7, 10, 100]), st.integers(0, 60))
def test_pages_hold_each_record_once_whatever_both_have(data, held, limit, after):
    """From 1 on: nothing was dropped yet; 41: all that the files have."""

    async def run():
        pages = await paged(over(data, held), limit, after)
        assert [one for page in pages for one in page] == within(RECORDS, after + 1, 60)
        for page in pages[:-1]:
            assert len(page) >= limit
            assert len({index for index, _, _ in page[:-3]}) <= limit

    trio.run(run)


async def test_a_page_is_the_same_before_and_after_its_records_move(data):
    for after in range(61):
        pages = [shown(await over(data, held).page(after, 5)) for held in (1, 25, 41)]
        assert pages[0] == pages[1] == pages[2]


async def test_what_was_dropped_between_two_looks_is_found_in_the_archive(data):
    """The database moves on while a file is read."""
    store = database(within(RECORDS, 35, 60))
    found, moved = Trail(store.audit, Folder(data)), []
    ranges = found._folder.ranges

    def look():
        if not moved:
            moved.append(True)
            store.drop_audit_before(LogIndex(41))
            store.commit()
        return ranges()

    found._folder.ranges = look
    assert shown(await found.page(30, 40)) == within(RECORDS, 31, 60)[:40]
    assert moved


async def test_without_an_archive_it_is_the_database(tmp_path):
    assert [one for page in await paged(over(tmp_path, 1), 9) for one in page] == [*RECORDS]
    assert await Trail(database([]).audit, Folder(tmp_path)).page(0, 9) == []


async def test_with_an_empty_database_it_is_the_archive(data):
    found = Trail(database([]).audit, Folder(data))
    assert [one for page in await paged(found, 9) for one in page] == within(RECORDS, 1, 40)


async def test_a_file_without_records_is_passed(tmp_path):
    """As a cluster that is elected again and again makes it."""
    records = [*within(RECORDS, 1, 10)]
    folder = Folder(tmp_path)
    seal(folder, records, 30)
    found = Trail(database([]).audit, folder)
    assert [one for page in await paged(found, 9) for one in page] == records
    assert await found.page(10, 5) == []


async def test_a_missing_file_is_named_with_what_to_do_and_the_rest_is_shown(own):
    (own / "archive" / Range(11, 20).name).unlink()
    found = over(own, 41)
    assert shown(await found.page(0, 5)) == within(RECORDS, 1, 60)[:5]
    with pytest.raises(BrokenTrail) as told:
        await paged(found, 100)
    told_of = f"the archive lacks the entries from 11 to 20: {COPY}"
    assert str(told.value) == f"{told_of}; what lies behind it is shown from --after 20 on"
    assert [one for page in await paged(found, 7, 20) for one in page] == within(RECORDS, 21, 60)


async def test_so_is_one_that_lacks_before_the_database(own):
    (own / "archive" / Range(31, 40).name).unlink()
    with pytest.raises(BrokenTrail, match=r"lacks the entries from 31 to 40: copy .* from --after 40 on"):
        await over(own, 41).page(30, 9)
    assert shown(await over(own, 41).page(40, 99)) == within(RECORDS, 41, 60)


async def test_so_is_all_of_it(tmp_path):
    with pytest.raises(BrokenTrail, match="lacks the entries from 1 to 40"):
        await over(tmp_path, 41).page(0, 9)


async def test_the_chain_is_followed_over_the_seam(own):
    """A database of another history behind whole files, also where a page begins at it."""
    other = over(own, 41, trail(60, "other"))
    for after in (0, 40, 39, 30):
        with pytest.raises(BrokenTrail):
            await paged(over(own, 41, trail(60, "other")), 100, after)
    assert len(await other.page(30, 2)) >= 2


async def test_and_from_file_to_file(own, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    seal(Folder(other), trail(40, "other"), 40)
    name = Range(21, 30).name
    (own / "archive" / name).write_bytes((other / "archive" / name).read_bytes())
    for after in (0, 20):
        with pytest.raises(BrokenTrail, match=f"{name} is of another history than what is before it"):
            await paged(over(own, 41), 100, after)


async def test_a_damaged_file_is_named(own):
    path = own / "archive" / Range(11, 20).name
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 3] ^= 4
    path.write_bytes(raw)
    with pytest.raises(BrokenTrail, match=rf"{path.name} is damaged \(.*\): copy it .* from --after 20 on"):
        await paged(over(own, 41), 100)
    path.write_bytes(raw[:-9])
    with pytest.raises(BrokenTrail, match=f"{path.name} is damaged at its end: copy"):
        await paged(over(own, 41), 100)


async def test_a_file_that_can_t_be_opened_is_told(own, monkeypatch):
    def refuse(_footer):
        raise OSError("input/output error")

    found = over(own, 41)
    monkeypatch.setattr(found._folder, "open", refuse)
    with pytest.raises(BrokenTrail, match=r"can't be read .input/output error"):
        await found.page(0, 9)


async def test_a_hole_in_the_database_is_told(tmp_path):
    """As an installed snapshot leaves it."""
    records = [*within(RECORDS, 1, 20), *within(RECORDS, 31, 60)]
    with pytest.raises(BrokenTrail, match="chain breaks at index 31"):
        await paged(Trail(database(records).audit, Folder(tmp_path)), 100)


async def test_readers_at_once_do_not_disturb_each_other(data):
    found, got = over(data, 41), {}

    async def read(limit):
        got[limit] = [one for page in await paged(found, limit) for one in page]

    async with trio.open_nursery() as nursery:
        for limit in (1, 2, 5, 9):
            nursery.start_soon(read, limit)
    assert all(one == [*RECORDS] for one in got.values())


async def test_following_pages_read_a_file_once(data, monkeypatch):
    found, opened = over(data, 41), []
    open_one = found._folder.open
    monkeypatch.setattr(found._folder, "open", lambda footer: opened.append(footer.first) or open_one(footer))
    await paged(found, 3)
    assert opened == [1, 11, 21, 31]


# --- a stopped node's folder ----------------------------------------------------------------------------------


GAPS = [gap_of(RECORDS, 43, 45), gap_of(RECORDS, 50, 52), gap_of(RECORDS, 58, 60)]


def spliced(data, gaps=GAPS):
    """A node that installed snapshots, whose database begins in the archive's last file."""
    return Trail(database(within(spared(RECORDS, *GAPS), 36, 60)).audit, Folder(data), lambda: gaps)


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
@pytest.mark.parametrize("after", [0, 38, 42, 44, 45, 55])
async def test_pages_go_on_over_what_a_snapshot_left_out(data, limit, after):
    pages = await paged(spliced(data), limit, after)
    assert [one for page in pages for one in page] == within(spared(RECORDS, *GAPS), after + 1, 60)


async def test_a_page_that_jumps_where_no_snapshot_was_installed_is_refused(data):
    for gaps in ([], GAPS[1:], GAPS[:1]):
        with pytest.raises(BrokenTrail, match="chain breaks at index"):
            await paged(spliced(data, gaps=gaps), 100)


async def test_a_node_that_began_with_a_snapshot_lacks_nothing_else(tmp_path):
    gap = gap_of(RECORDS, 1, 20)
    held = spared(RECORDS, gap)
    pages = await paged(Trail(database(held).audit, Folder(tmp_path), lambda: [gap]), 7)
    assert [one for page in pages for one in page] == held


def test_which_gaps_a_page_tells_of(data):
    found = spliced(data)
    assert found.gaps(0, None) == GAPS
    assert (found.gaps(44, 50), found.gaps(45, 49), found.gaps(60, None)) == (GAPS[:2], [], [])


def test_a_stopped_nodes_archive_may_end_where_a_snapshot_was_installed(data):
    gap = gap_of(RECORDS, 41, 47)
    held = within(RECORDS, 48, 60)
    assert [*whole_trail(FakeReader(data, held, [gap]))] == [*within(RECORDS, 1, 40), *held]
    for other in (gap_of(RECORDS, 42, 47), gap_of(RECORDS, 41, 46), gap_of(trail(60, "other"), 41, 47)):
        with pytest.raises(BrokenTrail, match="lacks the entries from 41 to 47"):
            list(whole_trail(FakeReader(data, held, [other])))


class FakeReader:
    """A stopped node's database."""

    def __init__(self, path, records, gaps=()):
        self.path = path
        self.gaps = lambda: gaps
        self.audit = database(records).audit
        self.trail = lambda after: iter(within(records, after + 1, 99))


@pytest.mark.parametrize("held", [1, 25, 41])
def test_a_stopped_nodes_trail_is_whole(data, held):
    assert [*whole_trail(FakeReader(data, within(RECORDS, held, 60)))] == [*RECORDS]


def test_without_an_archive_a_stopped_nodes_trail_is_its_database(tmp_path):
    assert [*whole_trail(FakeReader(tmp_path, within(RECORDS, 41, 60)))] == within(RECORDS, 41, 60)


@pytest.mark.parametrize("lost", [0, 1, 3])
def test_a_stopped_nodes_missing_file_is_told(own, lost):
    (own / "archive" / Range(lost * SPAN + 1, lost * SPAN + SPAN).name).unlink()
    with pytest.raises(BrokenTrail, match=f"lacks the entries from {lost * SPAN + 1} to"):
        list(whole_trail(FakeReader(own, within(RECORDS, 41, 60))))


def test_a_stopped_nodes_damaged_file_is_told(own):
    path = own / "archive" / Range(11, 20).name
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 3] ^= 4
    path.write_bytes(raw)
    with pytest.raises(BrokenTrail, match=f"{path.name} is damaged"):
        list(whole_trail(FakeReader(own, within(RECORDS, 41, 60))))
