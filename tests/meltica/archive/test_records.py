"""Records are followed one by one; what is not the next is told."""

from __future__ import annotations

import json

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cluster.snapshot.faces import Splice
from meltica.archive.records import (
    BEGINNING,
    BrokenTrail,
    Follower,
    chain_behind,
    index_of,
    read_record,
    whole_entries,
)
from meltica.core.wire import encode
from tests.meltica.archive.making import gap_of, spared, trail
from tests.meltica.test_machine import GOLDEN

RECORDS = trail(40)


def follow(records, chain=BEGINNING):
    follower = Follower(chain)
    for one in records:
        follower.follow(read_record(*one))
    return follower.chain


def test_a_whole_trail_is_followed_to_the_chain_of_its_last_record():
    assert follow(RECORDS) == read_record(*RECORDS[-1]).chain


def test_so_is_the_one_of_the_golden_file_with_garbage_and_isolated_entries_in_it():
    lines = GOLDEN.read_bytes().splitlines()
    found = [json.loads(line) for line in lines]
    assert {"garbage"} <= {one["kind"] for one in found}
    follow((one["index"], one["place"], raw) for one, raw in zip(found, lines, strict=True))


@pytest.mark.parametrize("at", [0, 1, 5, len(RECORDS) - 2])
def test_a_record_that_lacks_is_noticed_at_the_next(at):
    with pytest.raises(BrokenTrail):
        follow([*RECORDS[:at], *RECORDS[at + 1 :]])


def test_who_believes_the_first_record_notices_the_second():
    assert follow(RECORDS[7:9], None) == read_record(*RECORDS[8]).chain
    with pytest.raises(BrokenTrail, match="chain breaks at index"):
        follow([RECORDS[7], RECORDS[10]], None)


GAPS = [gap_of(RECORDS, 8, 15), gap_of(RECORDS, 16, 20), gap_of(RECORDS, 26, 40)]


def followed(records, gaps=GAPS, applied=40):
    follower = Follower(BEGINNING, gaps)
    for one in records:
        follower.follow(read_record(*one))
    follower.end(applied)
    return follower.chain


def test_a_trail_goes_on_over_the_gaps_that_snapshots_left():
    """Two that touch, where the entry before them has no command, and one at the end."""
    assert followed(spared(RECORDS, *GAPS)) == read_record(*RECORDS[-1]).chain
    assert followed(spared(RECORDS, *GAPS[:2]), GAPS[:2]) == read_record(*RECORDS[-1]).chain
    first = gap_of(RECORDS, 1, 5)
    assert followed(spared(RECORDS, first), [first]) == read_record(*RECORDS[-1]).chain


def test_what_lies_in_a_gap_may_be_there_all_the_same():
    """Copied from another node's archive."""
    assert followed(RECORDS) == read_record(*RECORDS[-1]).chain
    assert followed(spared(RECORDS, *GAPS[1:])) == read_record(*RECORDS[-1]).chain


@pytest.mark.parametrize("index", [1, 6, 22, 25])
def test_what_lacks_outside_of_the_gaps_is_told(index):
    with pytest.raises(BrokenTrail):
        followed([one for one in spared(RECORDS, *GAPS) if one[0] != index])


def test_a_gap_that_nobody_installed_is_told():
    for gap in GAPS[:2]:
        with pytest.raises(BrokenTrail):
            followed(spared(RECORDS, *GAPS), [one for one in GAPS if one is not gap])
    assert followed(spared(RECORDS, *GAPS), GAPS[:2]) != read_record(*RECORDS[-1]).chain, "the state tells"


@pytest.mark.parametrize(("place", "end"), [(0, "before"), (1, "before"), (2, "before"), (0, "behind"), (1, "behind")])
def test_a_snapshot_of_another_history_is_told(place, end):
    """Behind the last one nothing follows: the state tells."""
    changed = evolve(GAPS[place], splice=evolve(GAPS[place].splice, **{end: b"x" * 32}))
    with pytest.raises(BrokenTrail):
        followed(spared(RECORDS, *GAPS), [*GAPS[:place], changed, *GAPS[place + 1 :]])


def test_where_the_ends_of_a_gap_are_not_known_the_next_record_is_believed():
    gap = evolve(GAPS[0], splice=Splice())
    held = spared(RECORDS, gap)
    assert followed(held, [gap]) == read_record(*RECORDS[-1]).chain
    with pytest.raises(BrokenTrail):
        followed([one for one in held if one[0] != 17], [gap])


def test_another_history_does_not_follow():
    with pytest.raises(BrokenTrail, match="chain breaks"):
        follow([*RECORDS[:9], *trail(40, "other")[9:]])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda raw: raw.replace(b'"index":5', b'"index":6'), "of index 5 place 0 is not what a node writes"),
        (lambda raw: raw.replace(b",", b", ", 1), "not what a node writes"),
        (lambda raw: raw[:-1], "not what a node writes"),
        (lambda raw: raw.replace(b'"chain":"', b'"chain":"00'), "not what a node writes"),
        (lambda raw: b"[]", "not what a node writes"),
    ],
)
def test_what_no_node_writes_is_named(change, told):
    index, place, raw = next(one for one in RECORDS if one[0] == 5)
    with pytest.raises(BrokenTrail, match=told):
        read_record(index, place, change(raw))


def test_a_command_of_garbage_that_lost_its_hash_is_named():
    index, place, raw = RECORDS[0]
    record = read_record(index, place, raw.replace(b'"blake2b"', b'"blake2c"'))
    with pytest.raises(BrokenTrail, match="of index 1 place 0 has no command"):
        chain_behind(BEGINNING, record)


def test_the_index_is_found_without_reading_the_record():
    for index, _, raw in RECORDS:
        assert index_of(raw) == index
    for raw in GOLDEN.read_bytes().splitlines():
        assert index_of(raw) == json.loads(raw)["index"]


@given(st.text(), st.integers(0, 2**63 - 1))
def test_no_text_in_a_record_is_taken_for_its_index(text, index):
    said = {"accepted": False, "text": text + ',"index":7,'}
    record = {"command": {"index": 5, "x": said}, "index": index, "kind": text, "place": 0, "result": said}
    assert index_of(encode(record).encode()) == index


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"a":1,"index":}', b'{"a":1,"index":x,"kind":1}', b'{"a":1,"index":7}'])
def test_what_has_no_index_is_told(raw):
    with pytest.raises(BrokenTrail):
        index_of(raw)


@given(st.integers(0, 41), st.integers(1, 9))
def test_the_next_records_are_whole_entries_and_no_more_than_are_needed(after, limit):
    asked = []

    def read(index, count):
        asked.append(count)
        return [one for one in RECORDS if one[0] > index][:count]

    found = whole_entries(read, after, limit)
    left = [one for one in RECORDS if one[0] > after]
    assert found == left[: len(found)]
    assert bool(found) == bool(left)
    assert len(found) == len(left) or left[len(found)][0] != found[-1][0]
    assert len(found) >= min(limit, len(left))
    if found:  # one entry less would be too few
        assert len([one for one in found if one[0] != found[-1][0]]) < limit
    assert max(asked) <= 2 * max(limit + 1, 3)
