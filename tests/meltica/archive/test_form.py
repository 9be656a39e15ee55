"""What an archive file is: its name, its lines, its footer; and the golden file of all of it."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from meltica.archive.files import Folder
from meltica.archive.form import (
    FOOTER,
    FOOTER_MEMBER,
    SPAN,
    Range,
    Tally,
    decode_footer,
    encode_footer,
    footer_at_end,
    footer_member,
    range_behind,
    range_named,
)
from meltica.archive.records import BEGINNING, BrokenTrail, read_record
from tests.meltica.archive.making import seal, trail, within

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "archive"
FIRST = Range(1, 10)


def tallied(entries=FIRST, before=BEGINNING):
    tally = Tally(entries, before)
    lines = [tally.line(read_record(*one)) for one in within(trail(40), entries.first, entries.last)]
    return b"".join(lines), tally.footer


def test_the_form_is_as_it_was():
    """The lines, the footer, and the footer's own bytes; what deflate makes of the lines is its own."""
    lines, footer = tallied()
    assert SPAN == 50_000, "the files of all nodes are cut by it: a change makes two kinds of archive"
    for name, found in (
        (f"{FIRST.name.removesuffix('.gz')}", lines + encode_footer(footer)),
        ("footer.hex", footer_member(footer).hex().encode() + b"\n"),
    ):
        if os.environ.get("MELTICA_GOLDEN") == "write":
            (GOLDEN / name).write_bytes(found)
        assert (GOLDEN / name).read_bytes() == found
    assert {one.name for one in GOLDEN.iterdir()} == {"audit-0000000000000001-0000000000000010.jsonl", "footer.hex"}


def test_a_file_is_read_by_any_gzip_and_its_sum_by_sha256sum(tmp_path):
    (entries,) = seal(Folder(tmp_path), trail(10), 10)
    lines = gzip.decompress((tmp_path / "archive" / entries.name).read_bytes()).splitlines(keepends=True)
    footer = json.loads(lines[-1])
    assert footer["sha256"] == hashlib.sha256(b"".join(lines[:-1])).hexdigest()
    assert footer["records"] == len(lines) - 1 == len(trail(10))
    assert [line.rstrip(b"\n") for line in lines[:-1]] == [raw for _, _, raw in trail(10)]


def test_two_nodes_files_are_equal_to_the_byte_whatever_pieces_they_were_written_in(tmp_path):
    seal(Folder(tmp_path), trail(40), 40)
    other = Folder(tmp_path / "other")
    other.path.parent.mkdir()
    draft = other.draft(Range(11, 20))
    lines, footer = tallied(Range(11, 20), bytes.fromhex(tallied()[1].chain))
    for byte in range(len(lines)):
        draft.write(lines[byte : byte + 1])
    draft.seal(footer)
    name = Range(11, 20).name
    assert (other.path / name).read_bytes() == (tmp_path / "archive" / name).read_bytes()


def test_the_footer_tells_how_the_chain_runs_through():
    records = within(trail(40), 11, 20)
    before = read_record(*within(trail(40), 1, 10)[-1]).chain
    _, footer = tallied(Range(11, 20), before)
    assert (footer.first, footer.last, footer.records) == (11, 20, len(records))
    assert footer.before == before.hex()
    assert (footer.first_chain, footer.chain) == (
        read_record(*records[0]).chain.hex(),
        read_record(*records[-1]).chain.hex(),
    )


def test_a_file_without_records_passes_the_chain_on():
    footer = Tally(Range(11, 20), b"\x07" * 32).footer
    assert (footer.records, footer.before, footer.first_chain, footer.chain) == (0, *["07" * 32] * 3)


@pytest.mark.parametrize("entries", [Range(2, 11), Range(1, 9)])
def test_a_record_of_another_file_is_refused(entries):
    tally = Tally(entries, BEGINNING)
    lines = (tally.line(read_record(*one)) for one in trail(11))
    with pytest.raises(BrokenTrail, match=f"is not from {entries.first} to {entries.last}"):
        list(lines)


def test_names_are_read_back_and_no_others():
    assert range_named(FIRST.name) == FIRST
    assert range_behind(0) == Range(1, SPAN)
    assert range_behind(20, 10) == Range(21, 30)
    for name in (f"{FIRST.name}.partial", f"x{FIRST.name}", FIRST.name[:-1], "audit-1-10.jsonl.gz", "footer"):
        assert range_named(name) is None


BIG = st.integers(0, 2**63 - 1)


@given(BIG, BIG, BIG)
def test_a_footer_of_any_size_fits_and_is_read_back(first, last, records):
    footer = evolve(tallied()[1], first=first, last=last, records=records)
    assert len(encode_footer(footer)) == FOOTER
    assert len(footer_member(footer)) == FOOTER_MEMBER
    assert decode_footer(encode_footer(footer)) == footer
    assert footer_at_end(footer_member(footer)) == footer


@given(st.integers(0, FOOTER_MEMBER * 8 - 1))
def test_a_flipped_bit_in_a_footer_is_seen(bit):
    raw = bytearray(footer_member(tallied()[1]))
    raw[bit // 8] ^= 1 << bit % 8
    assert footer_at_end(bytes(raw)) is None


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}\n",
        b"[]\n",
        b"null\n",
        encode_footer(tallied()[1]).replace(b"archive/1", b"archive/2"),
        encode_footer(tallied()[1]).replace(b'"records":', b'"recordz":'),
        encode_footer(evolve(tallied()[1], chain="ab")),
        encode_footer(evolve(tallied()[1], chain=3)),
        encode_footer(tallied()[1])[:-2] + b"\n",
    ],
)
def test_what_is_no_footer_is_none(line):
    assert decode_footer(line) is None
    assert footer_at_end(line) is None
