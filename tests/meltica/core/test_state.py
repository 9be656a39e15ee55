"""The change log, the digest and the way back from disk."""

from __future__ import annotations

import pytest

from meltica.core import commands as c
from meltica.core import keys
from meltica.core.loading import BadState
from meltica.core.state import State
from meltica.core.values import Epoch, Nanos, Side
from tests.meltica.core.harness import ACCOUNT, KEY, SECOND, SYMBOL, VENUE, Hand, by, d, loaded, stored, trading, wish

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
    return hand, stored(hand.state.take_changes(), disk)


def test_what_was_stored_is_the_state() -> None:
    hand, disk = busy()
    state = loaded(disk)
    assert state.digest() == hand.state.digest()
    assert state.chain == hand.state.chain
    for name in ("orders", "positions", "holdings", "instruments", "strategies", "epochs", "requests", "references"):
        assert getattr(state, name) == getattr(hand.state, name)
    assert state.trades.seen == hand.state.trades.seen
    assert state.executed_minute.at(state.clock) == hand.state.executed_minute.at(hand.state.clock)
    assert state.submits_second.at(state.clock) == hand.state.submits_second.at(hand.state.clock)


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
