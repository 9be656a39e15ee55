"""What is read from a stopped cluster's files: when each send was applied, and until when it might be sent."""

from __future__ import annotations

import json

import pytest

from chaos.rig.gather import commits_of, ledger_whole, window_of

MS = 1_000_000
LINE = {"event": "intents_applied", "index": 5, "term": 2, "mono_ns": 900, "proposed_mono_ns": 700, "intents": ["a"]}


def configured(*windows):
    return {"kind": "configured", "command": {"venues": [{"venue": "paper", "window": window} for window in windows]}}


def test_the_window_is_the_shortest_that_the_log_ever_had():
    assert (
        window_of([configured(300 * MS), {"kind": "garbage", "command": {"hex": ""}}, configured(200 * MS)]) == 200 * MS
    )
    assert window_of([]) is None


def test_a_send_may_be_written_until_its_window_is_over_behind_its_proposal():
    (found,) = commits_of([LINE, {"event": "stall"}], 300)
    assert (found.index, found.term, found.mono_ns, found.intents, found.until_ns) == (5, 2, 900, ("a",), 1000)
    (unknown,) = commits_of([LINE])
    (older,) = commits_of([{key: value for key, value in LINE.items() if key != "proposed_mono_ns"}], 300)
    assert (unknown.until_ns, older.until_ns) == (None, None)


def lines(*found):
    return b"".join(one if isinstance(one, bytes) else json.dumps({"seq": one}).encode() + b"\n" for one in found)


@pytest.mark.parametrize(
    ("left", "violations"),
    [
        (lines(1, 2, 3), ()),
        (lines(1, 2, b'{"seq": 3, "ty'), ()),
        (lines(1, 2, b'{"seq": 3}'), ()),
        (lines(1, 3), ("line 2 of the ledger has seq 3, the one before 1",)),
        (lines(2, 3), ("line 1 of the ledger has seq 2, the one before 0",)),
        (lines(1, b'{"seq": 2, "ty\n', 3), ("line 2 of the ledger can't be read",)),
        (lines(1, 2, 2), ("line 3 of the ledger has seq 2, the one before 2",)),
        (lines(1, b'{"seq": 3}'), ("the last line of the ledger has seq 3, the one before 1",)),
    ],
)
def test_a_ledger_that_lacks_a_line_or_has_one_that_can_t_be_read_is_told(tmp_path, left, violations):
    (tmp_path / "ledger.jsonl").write_bytes(left)
    found = ledger_whole(tmp_path)
    assert found.violations == violations
    assert found.held is not bool(violations)


def test_an_empty_ledger_is_no_evidence(tmp_path):
    (tmp_path / "ledger.jsonl").write_bytes(b"")
    assert not ledger_whole(tmp_path).held
