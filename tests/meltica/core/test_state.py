"""The change log, the digest and the way back from disk."""

from __future__ import annotations

import pytest

from meltica.core import commands as c
from meltica.core import keys
from meltica.core.codec import MAX_CHECKPOINT, BadCommand
from meltica.core.loading import BadState
from meltica.core.risk import MAX_CAUSES, MORE
from meltica.core.state import State
from meltica.core.values import Epoch, Nanos, RequestId, Side
from tests.meltica.core.harness import (
    ACCOUNT,
    KEY,
    MM,
    MOMENTUM,
    SECOND,
    SYMBOL,
    VENUE,
    Hand,
    by,
    d,
    loaded,
    stored,
    trading,
    wish,
)

ZERO = (Epoch(0), Nanos(0))


def busy() -> tuple[Hand, dict[bytes, bytes]]:
    """A hand with a bit of everything, and its disk."""
    hand = trading()
    disk = stored(hand.state.take_changes(), {})
    for number in range(6):
        order = hand.accept(hand.buy("0.01") if number % 2 else hand.sell("0.01"))
        hand.fill(order, "0.005", fee=d("0.00001"), fee_asset="BTC")
        disk = stored(hand.state.take_changes(), disk)
    hand.buy("0.01")
    hand.ok(c.Reconciled(*ZERO, VENUE, ACCOUNT, ((SYMBOL, 4),)))
    hand.ok(c.Halt(*ZERO, "x", leave_quotes=True, by=by()))
    hand.ok(c.Checkpoint(*ZERO, MOMENTUM, "remember"))
    hand.configure(strategies=(c.StrategyPolicy(MM),))
    assert hand.state.left
    return hand, stored(hand.state.take_changes(), disk)


def test_what_was_stored_is_the_state() -> None:
    hand, disk = busy()
    state = loaded(disk)
    assert state.digest() == hand.state.digest()
    assert state.chain == hand.state.chain
    for name in (
        "orders",
        "positions",
        "holdings",
        "instruments",
        "strategies",
        "left",
        "epochs",
        "requests",
        "references",
    ):
        assert getattr(state, name) == getattr(hand.state, name)
    assert state.trades.seen == hand.state.trades.seen
    assert state.executed_minute.at(state.clock) == hand.state.executed_minute.at(hand.state.clock)
    assert state.submits_second.at(state.clock) == hand.state.submits_second.at(hand.state.clock)


def test_what_every_entry_writes_is_its_records_form() -> None:
    hand, disk = busy()
    assert disk[keys.META] == keys.FORMS["meta"].write(hand.state.meta())
    assert stored(State().take_changes(), {})[keys.META] == keys.FORMS["meta"].write(State().meta())


def test_only_what_changed_is_written() -> None:
    hand, _ = busy()
    hand.do(c.Cancel(*ZERO, "0" * 32, "x"))  # type: ignore[arg-type] # plain text
    assert [key for key, _ in hand.state.take_changes()] == [keys.META]
    hand.ok(c.Reduce(*ZERO, "y"))
    changed = [key for key, _ in hand.state.take_changes()]
    assert b"risk" in changed
    assert not any(key.startswith(b"trade/") for key in changed)


def test_asking_for_the_digest_changes_nothing() -> None:
    hand, disk = busy()
    other = loaded(disk)
    hand.refused(wish(Side.BUY, "0.1", "60000"), "halted")
    twin = Hand(other)
    twin.now = hand.now - 1_000_000
    for _ in range(3):
        other.digest()
    twin.refused(wish(Side.BUY, "0.1", "60000"), "halted")
    other.digest()
    assert other.digest() == hand.state.digest()
    assert dict(other.take_changes()) == dict(hand.state.take_changes())


def test_a_lost_or_changed_pair_is_noticed() -> None:
    _, disk = busy()
    for key in sorted(disk):
        if key == keys.META:
            continue
        with pytest.raises(BadState):
            loaded({other: value for other, value in disk.items() if other != key})
    position = keys.key_of("position", *KEY)
    with pytest.raises(BadState, match="sum"):
        loaded({**disk, position: disk[position].replace(b'"opening":"1"', b'"opening":"2"')})


def test_a_pair_that_is_none_of_ours_is_noticed() -> None:
    _, disk = busy()
    for key, value in ((b"nonsense", b"{}"), (b"order/x", b"{"), (b"\xff", b""), (b"risk/x", b"{}")):
        with pytest.raises(BadState):
            loaded({**disk, key: value})
    with pytest.raises(BadState, match="order"):
        State.load([(b"meta", disk[b"meta"]), (b"epoch/1", b"{}")])


def test_nothing_stored_is_the_empty_state() -> None:
    assert State.load([]).digest() == State().digest()


def test_old_trades_are_counted_without_being_read() -> None:
    hand, disk = busy()
    hand.now += 100 * SECOND
    hand.ok(c.Reduce(*ZERO, "z"))
    disk = stored(hand.state.take_changes(), disk)
    state = loaded(disk)
    assert set(state.trades.seen[KEY]) == {4, 5, 6}
    assert state.digest() == hand.state.digest()
    assert len([key for key in disk if key.startswith(b"trade/")]) == 6, "on disk for ever"


def test_equal_states_have_equal_digests_by_whatever_path() -> None:
    """The sum is of what is stored, not of what happened; index and chain tell the paths apart."""
    one, other = trading(), trading()
    one.ok(c.Reduce(*ZERO, "a"))
    one.ok(c.Resume(*ZERO, ("a",), one.state.risk.index, by("r")))
    assert one.state.meta().sum != other.state.meta().sum
    assert loaded(stored(one.state.take_changes(), {})).meta().sum == one.state.meta().sum


# --- what apply writes loads again, however much of it there is -----------------------------------------------------


def reloads(hand: Hand) -> State:
    disk = stored(hand.state.take_changes(), {})
    state = loaded(disk)
    assert state.digest() == hand.state.digest()
    assert state.risk == hand.state.risk
    return state


def test_hundreds_of_halts_of_long_reasons_load_again_and_none_is_refused() -> None:
    hand = Hand()
    hand.start()
    reason = "\u00e4\ud800\x00" + "\u00dc" * 4_000
    for number in range(300):
        hand.ok(c.Halt(*ZERO, f"cause {number}", leave_quotes=True, by=c.By(RequestId(f"r{number}"), reason, reason)))
        assert hand.state.risk.index == hand.state.index
    halts = reloads(hand).risk.halts
    assert len(halts) == MAX_CAUSES + 1
    assert halts["cause 7"].reason == halts["cause 7"].actor == "\u00e4??" + "\u00dc" * 197
    assert halts[MORE].reason.startswith("cause 299: ")
    assert (halts[MORE].leave_quotes, halts[MORE].kill) == (True, False)


def test_causes_beyond_the_bound_share_one_that_only_tightens() -> None:
    hand = Hand()
    hand.start()
    for number in range(MAX_CAUSES + 1):
        hand.ok(c.Halt(*ZERO, f"cause {number}", leave_quotes=True))
    seen = hand.state.risk.index
    hand.ok(c.Halt(*ZERO, f"cause {MAX_CAUSES}", leave_quotes=True))
    assert hand.state.risk.index == seen, "the same again is nothing new"
    hand.ok(c.Kill(*ZERO, "one more"))
    hand.refused(c.Resume(*ZERO, (MORE,), seen, by()), "risk_moved", "risk_index")
    hand.ok(c.Halt(*ZERO, "another", leave_quotes=True))
    more = hand.state.risk.halts[MORE]
    assert (more.kill, more.leave_quotes, more.index) == (True, False, hand.state.index)
    hand.ok(c.Kill(*ZERO, "cause 3"))
    assert hand.state.risk.halts["cause 3"].kill, "a known cause is still itself"
    hand.ok(c.Resume(*ZERO, (MORE,), hand.state.risk.index, by("r2")))
    assert MORE not in hand.state.risk.halts


def test_thousands_of_discrepancies_load_again() -> None:
    hand = Hand()
    hand.start()
    for number in range(2_000):
        found = f"{number} at 60000.00 " + "\u00e9" * 300
        hand.ok(c.Discrepancy(*ZERO, VENUE, ACCOUNT, "unknown_order", f"{number:020d}", "none", found, tighten=True))
    state = reloads(hand)
    assert len(state.risk.reduces) == MAX_CAUSES + 1
    assert state.risk.reduces[MORE].reason.startswith("unknown_order:paper:00000000000000001999: expected none")
    assert state.risk.reduces[MORE].index == state.risk.index == state.index


def test_the_largest_checkpoint_and_the_longest_reason_load_again() -> None:
    hand = trading()
    hand.ok(c.Checkpoint(*ZERO, MM, "\u00e9" * (MAX_CHECKPOINT // 2)))
    hand.ok(c.StrategyStopped(*ZERO, MM, "\u00e9" * 4_096))
    state = reloads(hand)
    assert state.strategies[MM].stopped == "\u00e9" * 200
    assert len(state.strategies[MM].checkpoint) == MAX_CHECKPOINT // 2
    with pytest.raises(BadCommand, match="at most 65536 bytes as UTF-8"):
        hand.do(c.Checkpoint(*ZERO, MM, "\u00e9" * (MAX_CHECKPOINT // 2 + 1)))


def test_a_storm_bound_beyond_what_is_remembered_is_refused() -> None:
    hand = Hand()
    hand.start()
    hand.configure(storm_takeovers=1000)
    with pytest.raises(AssertionError, match="storm_takeovers: expected at most 1000"):
        hand.configure(storm_takeovers=1001)
