"""What is archived next, and what is in the way."""

from __future__ import annotations

import json

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from meltica.archive.form import Range, Tally
from meltica.archive.plan import ANEW, COPY, Drop, Found, Keep, Row, Seal, due, gap, next_step, row_of
from meltica.archive.records import BEGINNING, Record, read_record
from tests.meltica.archive.making import SPAN, trail, within

RECORDS = trail(60)


def footers(last, records=RECORDS):
    found, before = [], BEGINNING
    for first in range(1, last, SPAN):
        tally = Tally(Range(first, first + SPAN - 1), before)
        for one in within(records, first, first + SPAN - 1):
            tally.line(read_record(*one))
        found.append(tally.footer)
        before = bytes.fromhex(tally.footer.chain)
    return tuple(found)


FILES = footers(40)
ROW = Row(FILES)


def found(*files):
    return Found({one.range: one for one in files})


def first_behind(index, records=RECORDS):
    return read_record(*next(one for one in records if one[0] > index))


def at(ns):
    return Record(61, 0, b"", {"at": ns})


# --- the row --------------------------------------------------------------------------------------------------


def test_all_files_that_follow_one_another_are_the_row():
    assert row_of(found(*reversed(FILES))) == ROW
    assert (ROW.last, ROW.chain.hex()) == (40, FILES[-1].chain)
    assert row_of(Found()) == Row()
    assert (Row().last, Row().chain) == (0, BEGINNING)


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_file_that_lacks_ends_the_row_and_is_named(lost):
    row = row_of(found(*FILES[:lost], *FILES[lost + 1 :]))
    assert row.files == FILES[:lost]
    assert row.trouble == f"the archive lacks the entries from {lost * 10 + 1} to {lost * 10 + 10}: {COPY}"


def test_a_file_without_a_whole_footer_is_named():
    row = row_of(Found({**found(*FILES).files, FILES[2].range: None}))
    assert (row.files, row.trouble) == (FILES[:2], f"{FILES[2].range.name} is damaged at its end: {COPY}")


def test_a_file_under_anothers_name_is_damaged():
    row = row_of(Found({FILES[0].range: FILES[0], FILES[1].range: FILES[2]}))
    assert (row.files, "damaged" in row.trouble) == (FILES[:1], True)


@pytest.mark.parametrize("place", [0, 2])
def test_a_file_of_another_history_is_named(place):
    files = [*FILES]
    files[place] = evolve(FILES[place], before="07" * 32)
    row = row_of(found(*files))
    assert row.files == FILES[:place]
    assert row.trouble == f"{FILES[place].range.name} is of another history than what is before it: {COPY}"


@pytest.mark.parametrize(("held", "remedy"), [(21, ANEW), (22, COPY), (None, COPY)])
def test_what_the_database_still_has_is_written_anew(held, remedy):
    row = row_of(Found({**found(*FILES[:2]).files, FILES[2].range: None}), held)
    assert row.trouble.endswith(remedy)


# --- the seam -------------------------------------------------------------------------------------------------


@given(st.integers(0, 4))
def test_the_database_goes_on_where_the_row_ends(files):
    row = Row(FILES[:files])
    assert gap(row, first_behind(row.last)) == ""
    assert gap(row, None) == ""


@given(st.integers(0, 4), st.integers(1, 19))
def test_a_record_that_lacks_between_them_is_a_gap(files, lacking):
    row = Row(FILES[:files])
    later = [one for one in RECORDS if one[0] > row.last][lacking]
    told = gap(row, read_record(*later))
    if later[0] > row.last + 1:
        assert told == f"the archive lacks the entries from {row.last + 1} to {later[0] - 1}: {COPY}"
    else:  # a later record of the very next entry
        assert "of another history" in told


def test_a_database_of_another_history_is_told():
    other = trail(60, "other")
    assert f"of another history than {FILES[0].range.name}" in gap(Row(FILES[:1]), first_behind(10, other))
    first = first_behind(0)
    changed = evolve(first, document={**first.document, "chain": "07" * 32})
    assert "of another history than the beginning" in gap(Row(), changed)


def test_what_breaks_the_row_is_told_before_the_seam():
    assert gap(Row(FILES[:1], "x"), first_behind(10)) == "x"


# --- what is due, and the step --------------------------------------------------------------------------------


@pytest.mark.parametrize(("applied", "wanted"), [(69, None), (70, Range(41, 50)), (10**9, Range(41, 50))])
def test_the_newest_stay(applied, wanted):
    assert due(ROW, Keep(20, 0), (applied, 0), at(0), SPAN) == wanted


@pytest.mark.parametrize(("clock", "wanted"), [(104, None), (105, Range(41, 50)), (10**9, Range(41, 50))])
def test_so_do_the_young(clock, wanted):
    assert due(ROW, Keep(0, 5), (10**9, clock), at(100), SPAN) == wanted


def test_nothing_is_due_before_there_is_a_record_behind_it():
    """Which the file's end is held against."""
    assert due(ROW, Keep(0, 0), (10**9, 10**9), None, SPAN) is None


def test_the_next_file_is_sealed_from_where_the_chain_stands():
    assert next_step(ROW, 41, Range(41, 50)) == Seal(Range(41, 50), ROW.chain)
    assert next_step(ROW, 41, None) is None
    assert next_step(Row(), None, None) is None


@pytest.mark.parametrize(("held", "place"), [(1, 0), (10, 0), (11, 1), (40, 3)])
def test_what_is_in_both_goes_from_the_database_first_file_by_file(held, place):
    assert next_step(ROW, held, Range(41, 50)) == Drop(FILES[place])


def test_the_clock_of_a_real_record_is_read():
    record = first_behind(50)
    assert json.loads(record.raw)["at"] == 0
    assert due(ROW, Keep(0, 1), (100, 0), record, SPAN) is None
    assert due(ROW, Keep(0, 1), (100, 1), record, SPAN) == Range(41, 50)
