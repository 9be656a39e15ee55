"""What is read from a stopped cluster's files: when each send was applied, and until when it might be sent."""

from __future__ import annotations

import json

import pytest
from attrs import evolve

from chaos.checkers.audit_trail import audit_trail
from chaos.checkers.state_equal import state_equal
from chaos.rig import gather, steps
from chaos.rig.gather import commits_of, ledger_whole, window_of
from tests.chaos.checkers.test_stored import RECORDS, stored
from tests.meltica.archive.making import gap_of

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


def test_what_a_snapshot_left_out_may_be_in_a_removed_node_s_folder_alone(monkeypatch, tmp_path):
    """All three were replaced, and whoever came last joined by a snapshot."""
    (tmp_path / "ledger.jsonl").write_bytes(b"")
    gap = gap_of(RECORDS, 1, 30)
    folders = {"n5": stored("n5", gap), "n6": stored("n6", gap), "n1": evolve(stored("n1", applied=34), name="n1")}
    monkeypatch.setattr(gather, "_stored", lambda _folder, name: folders[name])
    monkeypatch.setattr(gather, "_identity", lambda _folder: ("main", "51ed00"))
    monkeypatch.setattr(steps, "CHECKS", (audit_trail, state_equal))
    history, checks = steps.judged(tmp_path, ("n5", "n6"), ("n1",))
    assert [node.name for node in history.nodes] == ["n5", "n6"]
    assert [(one.name, one.violations) for one in checks] == [
        (name, ()) for name in ("audit_trail", "state_equal", "in_authority", "windows_apart")
    ]
    assert checks[0].looked_at > len(history.nodes[0].audit)

    _, alone = steps.judged(tmp_path, ("n5", "n6"))  # without that folder it is lost
    assert [one.name for one in alone if one.violations] == ["audit_trail", "state_equal"]
    lost = folders["n1"].audit
    folders["n1"] = evolve(folders["n1"], audit=[row for row in lost if row["index"] != 20])
    _, torn = steps.judged(tmp_path, ("n5", "n6"), ("n1",))
    assert "audit_trail" in [one.name for one in torn if one.violations]


def test_a_removed_node_s_state_is_an_old_one_and_nothing_is_asked_of_it(monkeypatch, tmp_path):
    (tmp_path / "ledger.jsonl").write_bytes(b"")
    old = stored("n1", applied=20)
    old.state.chain_bytes = bytes(32)
    folders = {"n5": stored("n5"), "n6": stored("n6"), "n1": old}
    monkeypatch.setattr(gather, "_stored", lambda _folder, name: folders[name])
    monkeypatch.setattr(gather, "_identity", lambda _folder: ("main", "51ed00"))
    monkeypatch.setattr(steps, "CHECKS", (audit_trail, state_equal))
    _, checks = steps.judged(tmp_path, ("n5", "n6"), ("n1",))
    assert [one.name for one in checks if one.violations] == []
    _, checks = steps.judged(tmp_path, ("n5", "n6", "n1"))
    assert [one.name for one in checks if one.violations] == ["state_equal"]
