"""The core behind replication's face, and the audit trail."""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path

import pytest

from cluster.types import LogIndex, StateMachine, Term
from meltica.core.apply import CoreFault, chained
from meltica.core.loading import BadState
from meltica.core.values import Index, Side
from meltica.machine import GARBAGE_KEPT, Machine
from tests.meltica.core.harness import Hand, stored, trading, wish

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "core" / "audit.jsonl"


def history() -> Hand:
    hand = trading()
    order = hand.accept(hand.buy())
    hand.fill(order, "0.04")
    hand.refused(wish(Side.BUY, "100", "60000"), "limit", "order_notional")
    hand.entry(b"\x00garbage\xff")
    hand.many(wish(Side.BUY, "0.1", "60000"), wish(Side.SELL, "0.1", "60001"))
    return hand


def run(hand: Hand) -> tuple[Machine, list[bytes], dict[bytes, bytes]]:
    machine: Machine = Machine()
    audit: list[bytes] = []
    disk: dict[bytes, bytes] = {}
    for index, term, commands in hand.log:
        outcome = machine.apply(LogIndex(index), Term(term), commands)
        assert len(outcome.results) == len(outcome.audit) == len(commands)
        audit += outcome.audit
        stored(outcome.writes, disk)
    return machine, audit, disk


def test_it_is_a_state_machine() -> None:
    machine: StateMachine = Machine()
    assert machine.apply(LogIndex(1), Term(1), (b"x",)).results


def test_it_applies_as_the_core_does_and_loads_what_it_wrote() -> None:
    hand = history()
    machine, _, disk = run(hand)
    assert machine.state.digest() == hand.state.digest()
    again = Machine()
    again.load(LogIndex(hand.state.index), sorted(disk.items()))
    assert again.state.digest() == hand.state.digest()
    empty = Machine()
    empty.load(LogIndex(0), [])
    assert empty.state.index == 0


@pytest.mark.parametrize("off", [-1, 1, 3])
def test_a_state_of_another_index_than_was_applied_is_refused(off: int) -> None:
    """Older: entries would be missing from it, without a word.  Newer: they would count twice."""
    hand = history()
    _, _, disk = run(hand)
    machine = Machine()
    with pytest.raises(BadState, match=r"was applied last.*replace this node's data from a healthy node"):
        machine.load(LogIndex(hand.state.index + off), sorted(disk.items()))
    assert machine.state.index == 0
    with pytest.raises(BadState, match="of index 0, the log says that 7"):
        machine.load(LogIndex(7), [])


def test_a_noop_is_applied_and_stored_like_any_entry() -> None:
    machine = Machine()
    disk = stored(machine.apply(LogIndex(1), Term(1), ()).writes, {})
    again = Machine()
    again.load(LogIndex(1), sorted(disk.items()))
    assert again.state.digest() == machine.state.digest()


@pytest.mark.parametrize("index", [1, 2, 4])
def test_an_entry_that_is_not_the_next_one_is_a_fault(index: int) -> None:
    machine = Machine()
    for before in (1, 2):
        machine.apply(LogIndex(before), Term(1), ())
    with pytest.raises(CoreFault, match="after entry 2"):
        machine.apply(LogIndex(index), Term(1), ())
    assert machine.state.index == 2


def test_the_audit_trail_has_its_golden_form() -> None:
    _, audit, _ = run(history())
    assert b"\n".join(audit).decode() + "\n" == GOLDEN.read_text()


def test_every_record_is_canonical_json_and_says_what_was_decided() -> None:
    _, audit, _ = run(history())
    records = [json.loads(raw) for raw in audit]
    for raw, record in zip(audit, records, strict=True):
        assert json.dumps(record, sort_keys=True, separators=(",", ":")).encode() == raw
        assert record["schema"] == "meltica.audit/1"
    refused = next(record for record in records if record["result"].get("limit") == "order_notional")
    assert refused["result"]["bound"] == "10000"
    sent = [record for record in records if record["kind"] == "submit" and record["result"]["accepted"]]
    assert all(record["result"]["intents"][0]["what"] == "place" for record in sent)


def test_the_chain_is_checked_and_the_state_replayed_from_the_audit_trail_alone() -> None:
    hand = history()
    machine, audit, _ = run(hand)
    chain = bytes(32)
    for raw in audit:
        record = json.loads(raw)
        command = record["command"]
        if record["kind"] == "garbage":
            command = bytes.fromhex(command["hex"])
        else:
            command = json.dumps(command, separators=(",", ":")).encode()
        chain = chained(chain, Index(record["index"]), record["place"], command)
        assert chain.hex() == record["chain"]
    assert machine.state.chain == chain.hex()


def test_long_garbage_is_kept_short_with_its_hash() -> None:
    machine = Machine()
    raw = b"\xfe" * 100_000
    (record,) = [json.loads(one) for one in machine.apply(LogIndex(1), Term(1), (raw,)).audit]
    assert record["command"]["bytes"] == len(raw)
    assert len(record["command"]["hex"]) == 2 * GARBAGE_KEPT
    assert record["command"]["blake2b"] == blake2b(raw, digest_size=32).hexdigest()
