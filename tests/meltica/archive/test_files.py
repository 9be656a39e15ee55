"""The archive's folder: what is damaged is named, and nothing half written is taken for a file."""

from __future__ import annotations

import os
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meltica.archive import files
from meltica.archive.files import Folder, all_of
from meltica.archive.form import FOOTER_MEMBER, Range
from meltica.archive.records import BrokenTrail
from tests.meltica.archive.making import seal, trail, within

RECORDS = trail(40)
TWO = Range(11, 20)


@pytest.fixture
def folder(tmp_path):
    found = Folder(tmp_path)
    seal(found, RECORDS, 40)
    return found


def read(folder, entries=TWO, count=4):
    footer = folder.footer(entries)
    return None if footer is None else [(one.index, one.place, one.raw) for one in all_of(folder.open(footer), count)]


@pytest.mark.parametrize("count", [1, 3, 64])
def test_what_was_written_is_read(folder, count):
    assert [one for entries in folder.ranges() for one in read(folder, entries, count)] == [*RECORDS]


def test_a_folder_that_is_not_there_is_empty(tmp_path):
    folder = Folder(tmp_path / "none")
    assert (folder.ranges(), folder.clear(), folder.look().files) == ([], [], {})


def test_it_looks_at_each_footer_and_the_size(folder):
    found = folder.look()
    assert [one.range for one in found.files.values()] == folder.ranges()
    assert found.bytes == sum(one.stat().st_size for one in folder.path.iterdir())


def test_a_draft_is_no_file_until_it_is_sealed_and_is_cleared_at_the_start(folder):
    draft = folder.draft(Range(41, 50))
    draft.write(b"x\n")
    assert len(folder.ranges()) == 4
    assert folder.clear() == [f"{Range(41, 50).name}.partial"]
    draft.give_up()
    assert len(list(folder.path.iterdir())) == 4


def test_clearing_leaves_what_is_sealed_and_what_is_somebody_elses(folder):
    (folder.path / "notes.partial").write_text("an operator's")
    before = sorted(folder.path.iterdir())
    assert folder.clear() == []
    assert sorted(folder.path.iterdir()) == before


def test_pieces_cut_no_entry_in_two_and_skipping_passes_what_was_read(folder):
    cursor = folder.open(folder.footer(TWO))
    assert not cursor.skip(13, 1)
    assert cursor.skip(13, 64)
    assert [one.index for one in cursor.piece(1)] == [15] * 3
    assert [one.index for one in cursor.piece(2)] == [16, 17]
    assert [one.index for one in cursor.piece(1)] == [18, 18, 18]
    assert cursor.skip(99, 64)
    assert cursor.piece(1) == []
    cursor.close()


@pytest.mark.parametrize("after", range(10, 21))
def test_what_was_passed_over_counts_at_the_end(folder, after):
    cursor = folder.open(folder.footer(TWO))
    while not cursor.skip(after, 2):
        pass
    found = [(one.index, one.place, one.raw) for one in all_of(cursor, 3)]
    assert found == within(RECORDS, after + 1, 20)


@pytest.mark.parametrize("after", range(10, 21))
def test_what_was_passed_over_and_is_not_what_was_sealed_is_seen_at_the_end(folder, tmp_path, after):
    """A file of whole gzip with a changed word, in records that are passed over or shown."""
    (tmp_path / "other").mkdir()
    other = Folder(tmp_path / "other")
    draft = other.draft(TWO)
    changed = [raw.replace(b'"text":"', b'"text":"so ') if i == 15 else raw for i, _, raw in within(RECORDS, 11, 20)]
    draft.write(b"".join(raw + b"\n" for raw in changed))
    draft.seal(folder.footer(TWO))
    cursor = other.open(other.footer(TWO))

    def all_behind():
        while not cursor.skip(after, 2):
            pass
        list(all_of(cursor, 3))

    with pytest.raises(BrokenTrail, match=r"is damaged .it does not hold what its last line says"):
        all_behind()
    cursor.close()


def test_what_is_shown_is_chained_to_what_was_passed_over(folder, tmp_path):
    (tmp_path / "other").mkdir()
    other = Folder(tmp_path / "other")
    draft = other.draft(TWO)
    draft.write(b"".join(raw + b"\n" for i, _, raw in within(RECORDS, 11, 20) if i != 16))
    draft.seal(folder.footer(TWO))
    cursor = other.open(other.footer(TWO))
    assert cursor.skip(15, 64)
    with pytest.raises(BrokenTrail, match="chain breaks at index 17"):
        cursor.piece(1)
    cursor.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(st.data())
def test_a_flipped_bit_is_seen_whatever_it_is_in(folder, data):
    """But for those that no reader looks at (in gzip's header, behind the last code): what is read is the same then."""
    path = folder.path / TWO.name
    whole = path.read_bytes()
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    raw = bytearray(whole)
    raw[bit // 8] ^= 1 << bit % 8
    path.write_bytes(raw)
    found = refused = None
    with suppress(BrokenTrail):
        refused = True
        found = read(folder)
        refused = found is None
    path.write_bytes(whole)
    assert refused or found == within(RECORDS, 11, 20)


@pytest.mark.parametrize("left", [0, 1, 100, FOOTER_MEMBER, -1])
def test_a_file_cut_short_has_no_footer(folder, left):
    os.truncate(folder.path / TWO.name, left if left >= 0 else (folder.path / TWO.name).stat().st_size - 1)
    assert folder.footer(TWO) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw[-FOOTER_MEMBER:],  # the lines are gone
        lambda raw: raw[:-FOOTER_MEMBER] + raw,  # they are there twice
        lambda raw: raw[: -FOOTER_MEMBER - 20] + raw[-FOOTER_MEMBER:],
        lambda raw: raw + b"\0" * 8 + raw[-FOOTER_MEMBER:],
    ],
)
def test_a_footer_over_other_lines_is_seen(folder, change):
    path = folder.path / TWO.name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(BrokenTrail, match=TWO.name):
        read(folder)


def test_lines_that_are_less_than_the_footer_says_are_seen(folder, tmp_path):
    """Of a file that is whole but for a record, with a footer that claims it."""
    (tmp_path / "other").mkdir()
    other = Folder(tmp_path / "other")
    draft = other.draft(Range(1, 10))
    draft.write(b"".join(raw + b"\n" for _, _, raw in within(RECORDS, 1, 9)))
    draft.seal(folder.footer(Range(1, 10)))
    with pytest.raises(BrokenTrail, match="is damaged"):
        read(other, Range(1, 10))


def test_a_name_that_can_t_be_made_durable_is_taken_back(folder, monkeypatch):
    """A second sync might succeed and lie."""

    def refuse(_path):
        raise OSError("no space left on device")

    draft = folder.draft(Range(41, 50))
    monkeypatch.setattr(files, "sync_folder", refuse)
    with pytest.raises(OSError, match="no space"):
        draft.seal(folder.footer(TWO))
    draft.give_up()
    assert len(list(folder.path.iterdir())) == 4
