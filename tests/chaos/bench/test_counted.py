"""The product is held to what its hot paths did when the counts were stored; and a slowdown is seen.

The counts are the same on any machine, busy or not.  To accept others, run this file with MELTICA_GOLDEN=write, and say
in the commit what costs more, and why it is worth it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from attrs import evolve

import cluster.appending
import meltica.machine
from chaos.bench import counted
from chaos.bench.document import Build, Measured, document, lines
from meltica.core.codec import decode_command, encode_command

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "bench-counts.json"
APPLY, COMMIT = "apply, 1 at a time", "commit, 1 at a time"


@pytest.fixture(scope="module")
def found():
    return counted.count_all()


def test_apply_and_commit_do_no_more_than_they_did(found):
    if os.environ.get("MELTICA_GOLDEN") == "write":
        kept = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
        kept[counted.VERSION] = {name: one.document() for name, one in found.items()}
        GOLDEN.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    wrong = counted.judged(found, json.loads(GOLDEN.read_text()))
    assert not wrong, "\n".join([*wrong, f"to accept it: MELTICA_GOLDEN=write, on Python {counted.VERSION}"])


def test_a_count_is_the_same_again(found):
    assert counted.apply_counts(1) == found[APPLY]
    assert counted.commit_counts(32) == found["commit, 32 at a time"]


def slower(work, name, found):
    """What is said once `work` alone has become slower: by the counts of just now, and by those that CI judges by."""
    now = {**found, name: work(1)}
    made = counted.judged(now, {counted.VERSION: {n: one.document() for n, one in found.items()}})
    return made, counted.judged(now, json.loads(GOLDEN.read_text()))


def test_an_extra_encode_of_each_applied_command_is_seen(found, monkeypatch):
    record = meltica.machine.audit_record

    def twice(result, term, raw, at):
        encode_command(decode_command(raw)[1])
        return record(result, term, raw, at)

    monkeypatch.setattr(meltica.machine, "audit_record", twice)
    wrong, in_ci = slower(counted.apply_counts, APPLY, found)
    assert [text.split(":")[1].split()[0] for text in wrong] == ["instructions", "calls", "encodings"]
    assert any(text.startswith(f"{APPLY}: encodings") for text in in_ci)


def test_an_extra_encode_of_each_committed_entry_is_seen(found, monkeypatch):
    pack = cluster.appending.pack_commands

    def twice(commands):
        pack(commands)
        return pack(commands)

    monkeypatch.setattr(cluster.appending, "pack_commands", twice)
    (wrong,), in_ci = slower(counted.commit_counts, COMMIT, found)
    assert "encodings" in wrong
    named = {
        who: n
        for who, n in counted.commit_counts(1).encoders.items()
        if who.endswith("calls cluster.wire.pack_commands")
    }
    assert [(who.split()[0].rpartition(".")[2], n) for who, n in named.items()] == [("twice", 2 * 96)]
    assert any(text.startswith(f"{COMMIT}: encodings") for text in in_ci)


def test_a_loop_that_calls_nothing_is_seen(found, monkeypatch):
    record = meltica.machine.audit_record

    def searched(result, term, raw, at):
        for _ in range(50):
            pass
        return record(result, term, raw, at)

    monkeypatch.setattr(meltica.machine, "audit_record", searched)
    (wrong,), _ = slower(counted.apply_counts, APPLY, found)
    assert "instructions" in wrong


def test_it_is_told_who_encodes_what(found):
    for one in found.values():
        assert sum(one.encoders.values()) == one.encodings
    assert found[COMMIT].encoders["cluster.guard.Guard.say calls cluster.wire.encode"] == 8 * 96
    rows = [row.document() for row in counted.rows(found)]
    told = "\n".join(
        lines(document(Build("counts", "2026-01-02", None), Measured(2, 1.0, 1.0, 0.0), counted.rows(found), 0))
    )
    assert rows[2]["encoders"]["cluster.guard.Guard.say calls cluster.wire.encode"] == 8
    assert "8          cluster.guard.Guard.say calls cluster.wire.encode" in told


def test_what_became_better_is_to_be_stored(found):
    kept = {name: one.document() for name, one in found.items()}
    kept[APPLY] = evolve(found[APPLY], calls=2 * found[APPLY].calls).document()
    (said,) = counted.judged(found, {counted.VERSION: kept})
    assert "better; store it" in said


def test_another_version_of_python_has_more_room_and_no_more(found):
    kept = {"1.0": {name: one.document() for name, one in found.items()}}
    little = {**found, APPLY: evolve(found[APPLY], instructions=found[APPLY].instructions * 11 // 10)}
    much = {**found, APPLY: evolve(found[APPLY], instructions=found[APPLY].instructions * 12 // 10)}
    assert counted.judged(little, kept) == []
    assert len(counted.judged(much, kept)) == 1


def test_what_is_not_stored_is_missed(found):
    kept = {name: one.document() for name, one in found.items() if name != APPLY}
    assert counted.judged(found, {counted.VERSION: kept}) == [f"what is counted and what is stored differ: {[APPLY]}"]
