"""What is read from a stopped cluster's files: when each send was applied, and until when it might be sent."""

from __future__ import annotations

from chaos.rig.gather import commits_of, window_of

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
