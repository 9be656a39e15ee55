"""The newest rows of a trail: those, whole, whatever of it is in the archive, and without reading the rest."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.types import LogIndex
from meltica.api.ports import ReadFault
from meltica.archive.files import Folder
from meltica.archive.form import Range
from meltica.archive.records import Record
from meltica.archive.trail import Trail
from meltica.pages import BACK_SCAN, SPAN, WIDEST, Pages
from tests.meltica.archive.making import database, gap_of, seal, spared, trail, within

LAST = 300
RECORDS = trail(LAST)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Files up to entry 200."""
    path = tmp_path_factory.mktemp("data")
    seal(Folder(path), RECORDS, 200)
    return path


def pages(read, folder, last=LAST, gaps=()):
    return Pages(Trail(read, Folder(folder), lambda: gaps), SimpleNamespace(index=last, orders={}))


def shown(page):
    return [(row["index"], row["place"]) for row in page.rows]


def newest_of(records, count, before=None):
    """What `newest` must show, the slow way: the last `count` and the rest of the oldest one's entry."""
    places = [(int(index), place) for index, place, _ in records if before is None or index < before]
    oldest = places[-count:][0][0] if places else 0
    return [one for one in places if one[0] >= oldest]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 201), st.integers(1, 500), st.none() | st.integers(1, LAST + 9))
def test_the_newest_are_the_last_ones_wherever_they_lie(data, held, count, before):
    """From 1 on: nothing was dropped from the database yet; 201: all that the files have."""
    found = pages(database(within(RECORDS, held, LAST)).audit, data)
    page = trio.run(found.newest_audit, count, before)
    assert shown(page) == newest_of(RECORDS, count, before)


@pytest.mark.parametrize("count", [1, 2, 7, 100])
async def test_the_pages_before_follow_and_lose_nothing(data, count):
    found, before, seen = pages(database(within(RECORDS, 150, LAST)).audit, data), None, []
    while True:
        page = await found.newest_audit(count, before)
        seen = shown(page) + seen
        before = page.next_before
        if before is None:
            break
    assert seen == [(int(index), place) for index, place, _ in RECORDS]


async def test_the_first_page_says_where_what_follows_begins_and_those_before_it_do_not(tmp_path):
    found = pages(database(RECORDS).audit, tmp_path)
    newest = await found.newest_audit(3, None)
    assert newest.next_after == LAST
    assert newest.next_before == newest.rows[0]["index"]
    assert (await found.newest_audit(3, newest.next_before)).next_after is None


async def test_a_long_trail_is_read_from_its_end_alone(tmp_path):
    """`--last 5` of a trail of a million entries looks at so many of them as the first step back has."""
    asked = []
    store = database(RECORDS)

    def read(after, limit):
        asked.append(int(after))
        return store.audit(after, limit)

    await pages(read, tmp_path).newest_audit(5, None)
    assert min(index for index in asked if index) == LAST - SPAN


async def test_entries_that_lack_are_passed_and_told(tmp_path):
    gap = gap_of(RECORDS, 100, 290)
    found = pages(database(spared(RECORDS, gap)).audit, tmp_path, gaps=(gap,))
    page = await found.newest_audit(30, None)
    assert shown(page) == newest_of(spared(RECORDS, gap), 30)
    assert [(row["first"], row["last"]) for row in page.gaps] == [(100, 290)]
    assert (await found.newest_audit(3, None)).gaps == (), "it lies before what is shown"


async def test_what_is_missing_is_told_only_to_who_asks_for_it(tmp_path):
    seal(Folder(tmp_path), RECORDS, 200)
    (tmp_path / "archive" / Range(101, 110).name).unlink()
    found = pages(database(within(RECORDS, 201, LAST)).audit, tmp_path)
    assert shown(await found.newest_audit(50, None)) == newest_of(RECORDS, 50)
    with pytest.raises(ReadFault, match="the archive lacks the entries from 101 to 110"):
        await found.newest_audit(400, None)


# --- fills ------------------------------------------------------------------------------------------------------


class Sparse:
    """A trail of one record an entry, of which few are fills."""

    gaps = staticmethod(lambda _after, _last: [])

    def __init__(self, last, fills):
        self.fills, self.last, self.read = fills, last, 0

    async def between(self, after, last):
        self.read += last - after
        return [self.record(index) for index in range(after + 1, last + 1)]

    def record(self, index):
        kind = "fill_seen" if index in self.fills else "halt"
        document = {
            "index": index,
            "kind": kind,
            "command": {"trade_id": str(index)},
            "result": {"accepted": True, "duplicate": self.fills.get(index)},
            "at": index * 10,
        }
        return Record(LogIndex(index), 0, json.dumps(document).encode(), document)


def sparse(last, **fills):
    return Pages(
        Sparse(last, {int(key[1:]): value for key, value in fills.items()}), SimpleNamespace(index=last, orders={})
    )


async def test_the_newest_fills_are_each_shown_once_with_their_time():
    page = await sparse(500, _3=False, _480=False, _490=True, _495=False).newest_fills(2, None)
    assert [(row["trade_id"], row["wall_ns"]) for row in page.rows] == [("480", 4800), ("495", 4950)]


async def test_where_fills_are_rare_a_page_ends_and_says_where_to_go_on():
    found = sparse(50_000, _100=False)
    page = await found.newest_fills(1, None)
    assert page.rows == []
    assert found.trail.read <= BACK_SCAN + WIDEST
    before = page.next_before
    for _ in range(20):
        if before is None:
            break
        page = await found.newest_fills(1, before)
        if page.rows:
            break
        before = page.next_before
    assert [row["index"] for row in page.rows] == [100]
    assert found.trail.read < 50_000 + WIDEST, "nothing is read twice"


async def test_where_there_are_none_it_ends():
    page = await sparse(30).newest_fills(5, None)
    assert (page.rows, page.next_before) == ([], None)
