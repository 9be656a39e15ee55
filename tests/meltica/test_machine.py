"""The core behind replication's face, and the audit trail."""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path

import pytest

from cluster.memory import MemoryStore
from cluster.types import Accountable, LogIndex, Peer, Preparing, StateMachine, Term, Trailed
from meltica.core import commands as c
from meltica.core.apply import CoreFault, apply_entry, chained, isolate_entry
from meltica.core.codec import encode_command
from meltica.core.loading import BadState
from meltica.core.records import LossesRecord
from meltica.core.rules import TooOld
from meltica.core.state import State
from meltica.core.values import Epoch, Index, Nanos, RequestId, Side
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


def test_its_mark_is_the_chain_its_own_and_a_stored_state_s() -> None:
    machine: StateMachine = Machine()
    assert isinstance(machine, Trailed)
    assert (machine.mark(), machine.mark_in(lambda _after, _most: ())) == (bytes(32), b"")
    found, audit, disk = run(history())
    store = MemoryStore("c", Peer("n1"))
    store.stage_anew(b"offer")
    store.stage(sorted(disk.items()))
    store.commit()
    chain = bytes.fromhex(json.loads(audit[-1])["chain"])
    assert found.mark() == machine.mark_in(store.read_staged) == chain
    store.stage_anew(b"another")
    store.stage([(b"met", b"?"), (b"metaphor", b"?")])
    store.commit()
    assert machine.mark_in(store.read_staged) == b""


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
    with pytest.raises(BadState, match=r"was applied last.*replace this node"):
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


# --- answering for the state ---------------------------------------------------------------------------------------


def test_it_answers_for_its_state() -> None:
    hand = history()
    machine = Machine(vouch_every=2)
    assert isinstance(machine, Accountable)
    assert machine.about() == b""
    for index, term, commands in hand.log:
        machine.apply(LogIndex(index), Term(term), commands)
        vouched = machine.vouch(LogIndex(index))
        assert vouched == (None if index % 2 else bytes.fromhex(machine.state.digest()))


def test_what_is_shipped_gives_a_digest_every_thousand_entries() -> None:
    machine = Machine()
    assert [index for index in range(1, 2002) if machine.vouch(LogIndex(index)) is not None] == [1000, 2000]


def halted(cause: str, index: int = 2) -> tuple[bytes, ...]:
    return (encode_command(c.Halt(Epoch(1), Nanos(index), cause)),)


def skipped(index: int, digest: str, role: str, term: int = 1) -> tuple[bytes, ...]:
    by = c.By(RequestId(role), "ann", "because")
    return (b"garbage", encode_command(c.SkipEntry(Epoch(term), Nanos(0), Index(index), digest, role, by)))


def standing_at_two() -> Machine:
    machine = Machine()
    machine.apply(LogIndex(1), Term(1), ())
    assert machine.stopped(LogIndex(2), "d" * 64, KeyError("x")) == "KeyError: 'x'"
    return machine


def test_both_roles_ask_for_the_isolation_of_just_that_entry_in_their_own_terms() -> None:
    machine = standing_at_two()
    assert not machine.ahead(LogIndex(3), Term(1), skipped(2, "d" * 64, "operator"))
    for wrong in (
        skipped(3, "d" * 64, "approver"),
        skipped(2, "e" * 64, "approver"),
        skipped(2, "d" * 64, "viewer"),
        skipped(2, "d" * 64, "approver", term=2),
        (b"\xff", b'{"kind":"skip_entry"}'),
    ):
        assert not machine.ahead(LogIndex(4), Term(1), wrong)
    assert machine.standing is not None
    assert machine.standing.asked == ("operator",)
    assert not machine.ahead(LogIndex(5), Term(1), skipped(2, "d" * 64, "operator"))
    assert machine.ahead(LogIndex(6), Term(1), skipped(2, "d" * 64, "approver"))


def test_an_isolated_entry_is_in_the_audit_trail_whole_and_replays() -> None:
    machine = standing_at_two()
    raws = (b"\x00" * 2000, halted("x")[0])
    with pytest.raises(CoreFault, match="not the one that apply stopped at"):
        machine.isolate(LogIndex(3), Term(1), raws)
    outcome = machine.isolate(LogIndex(2), Term(1), raws)
    machine.apply(LogIndex(3), Term(1), halted("y", 3))
    assert machine.standing is None
    records = [json.loads(raw) for raw in outcome.audit]
    assert [bytes.fromhex(record["command"]["hex"]) for record in records] == list(raws)
    assert [record["result"]["code"] for record in records] == ["isolated", "isolated"]
    state = State()
    apply_entry(state, Index(1), Epoch(1), ())
    isolate_entry(state, Index(2), Epoch(1), raws, digest=records[0]["result"]["value"])
    apply_entry(state, Index(3), Epoch(1), halted("y", 3))
    assert state.digest() == machine.state.digest()


def test_a_node_that_is_too_old_is_not_to_be_helped_by_a_skip() -> None:
    machine = Machine()
    assert "start build B" in machine.stopped(LogIndex(2), "d" * 64, TooOld(2, "B", 1))
    for role in ("operator", "approver"):
        assert not machine.ahead(LogIndex(3), Term(1), skipped(2, "d" * 64, role))
    machine.apply(LogIndex(1), Term(1), ())
    machine.state.version = 2
    disk = sorted(stored(machine.state.take_changes(), {}).items())
    with pytest.raises(TooOld, match="start a newer build"):
        Machine().load(LogIndex(1), disk)


def test_a_load_goes_back_in_the_very_state_that_others_hold() -> None:
    hand = history()
    machine, _, disk = run(hand)
    state, digest = machine.state, machine.state.digest()
    state.put_losses(LossesRecord((Nanos(1),)))
    assert state.digest() != digest
    machine.load(LogIndex(hand.state.index), sorted(disk.items()))
    assert machine.state is state
    assert state.digest() == digest
    assert state.take_changes()[0][0] == b"meta", "nothing of what went wrong is left to be written"


def test_a_state_is_made_beside_its_own_and_taken_over_in_the_very_object_that_others_hold() -> None:
    hand = history()
    found, _, disk = run(hand)
    machine: StateMachine = Machine()
    assert isinstance(machine, Preparing)
    assert isinstance(machine, Machine)
    machine.apply(LogIndex(1), Term(1), ())
    state, before = machine.state, machine.state.digest()
    machine.stopped(LogIndex(2), "d" * 64, ValueError("x"))
    coming, pairs = machine.prepare(), sorted(disk.items())
    while pairs:
        pairs = pairs[coming.take(pairs) :]
        assert state.digest() == before
    coming.end(LogIndex(hand.state.index))
    assert (state.digest(), machine.standing is None) == (before, False)
    coming.take_over()
    assert (machine.state, machine.standing) == (state, None)
    assert state.digest() == found.state.digest()
    while coming.leave():
        pass
    assert state.digest() == found.state.digest()
    assert machine.apply(LogIndex(hand.state.index + 1), Term(9), ()) == found.apply(
        LogIndex(hand.state.index + 1), Term(9), ()
    )


def test_a_state_that_it_can_t_have_leaves_its_own_as_it_is() -> None:
    hand = history()
    _, _, disk = run(hand)
    machine = Machine()
    machine.apply(LogIndex(1), Term(1), ())
    before = machine.state.digest()
    coming = machine.prepare()
    assert coming.take(sorted(disk.items())[:3]) == 3
    with pytest.raises(BadState):
        coming.end(LogIndex(hand.state.index))
    whole, pairs = machine.prepare(), sorted(disk.items())
    while pairs:
        pairs = pairs[whole.take(pairs) :]
    with pytest.raises(BadState, match="was applied last"):
        whole.end(LogIndex(hand.state.index + 1))
    assert machine.state.digest() == before
