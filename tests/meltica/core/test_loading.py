"""The way back from disk in pieces, into a state beside the one that is read, which goes in pieces then."""

from __future__ import annotations

import copy

import pytest

from meltica.core import commands as c
from meltica.core import keys, loading
from meltica.core.leaving import leave
from meltica.core.loading import PASSED, PIECE, READ, BadState, Loading
from meltica.core.state import State
from meltica.core.values import Epoch, Nanos
from tests.meltica.core.harness import KEY, SECOND, VENUE, Hand, loaded, stored, trading
from tests.meltica.core.test_state import busy

ZERO = (Epoch(0), Nanos(0))


def in_pieces(disk: dict[bytes, bytes], most: int) -> tuple[State, list[int]]:
    """And how many pairs each piece took."""
    making, pairs, took = Loading(State()), sorted(disk.items()), []
    while pairs:
        took.append(making.take(pairs, most))
        pairs = pairs[took[-1] :]
    return making.end(), took


@pytest.mark.parametrize("most", [1, READ, 5 * READ + 1, PIECE, 1000 * READ])
def test_in_whatever_pieces_it_comes_it_is_the_same(most: int) -> None:
    hand, disk = busy()
    state, took = in_pieces(disk, most)
    whole = loaded(disk)
    assert max(took) <= -(-most // PASSED)
    assert state.digest() == hand.state.digest()
    for name in ("orders", "by_venue_id", "intents", "old_orders", "old_requests", "executed_minute", "submits_second"):
        assert getattr(state, name) == getattr(whole, name), name
    for name in ("exposures", "committed", "behind", "doubtful", "open_orders", "cancel_of"):
        assert getattr(state.order_index, name) == getattr(whole.order_index, name), name
    assert state.trades.seen == whole.trades.seen


def test_a_piece_holds_no_more_records_than_it_may_cost() -> None:
    """An old trade costs less, as it is not read; at least one pair comes in each."""
    hand, disk = busy()
    _, took = in_pieces(disk, 3 * READ)
    assert max(took) == 3
    assert sum(took) == len(disk)
    hand.now += 100 * SECOND
    hand.ok(c.Reduce(*ZERO, "z"))
    disk = stored(hand.state.take_changes(), disk)
    making, pairs = Loading(State()), sorted(disk.items())
    trades = [key for key, _ in pairs if key.startswith(b"trade/")]
    at = next(place for place, (key, _) in enumerate(pairs) if key == trades[0])
    making.take(pairs[:at], 1000 * READ)
    old = [making.add(*pair) for pair in pairs[at : at + len(trades)]]
    assert old.count(PASSED) == 3
    assert old.count(READ) == 3
    assert making.take((), READ) == 0


def test_what_is_read_of_an_order_is_not_read_again_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end must not cost what the state is large: all but the windows is derived as it comes."""
    _, disk = busy()
    monkeypatch.setattr(loading, "_sort", lambda _window: None)
    state, _ = in_pieces(disk, PIECE)
    whole = State()
    for order in state.orders.values():
        whole.instruments.update(state.instruments)
        whole.order_index.replace(None, order)
    assert state.orders
    assert state.order_index.exposures == whole.order_index.exposures


def test_a_pair_that_is_lost_between_two_pieces_is_noticed() -> None:
    _, disk = busy()
    making, pairs = Loading(State()), sorted(disk.items())
    making.take(pairs[:20], 1000 * READ)
    making.take([pair for pair in pairs[20:] if not pair[0].startswith(b"trade/")], 1000 * READ)
    with pytest.raises(BadState, match="sum"):
        making.end()
    with pytest.raises(BadState, match="order"):
        making.take(pairs[:1])


def test_two_states_swap_and_each_goes_on_by_its_own_records() -> None:
    """What is derived of an order asks for its instrument: in the state that it is in now, not where it was made."""
    hand = trading()
    disk = stored(hand.state.take_changes(), {})
    here, there = State(), loaded(disk)
    twin = loaded(disk)
    here.swap(there)
    assert here.digest() == twin.digest()
    assert there.digest() == State().digest()
    hands = [Hand(here), Hand(twin)]
    for one in hands:
        one.now = hand.now
        one.accept(one.buy("0.01"))
        one.sell("0.01")
    assert here.digest() == twin.digest()
    assert here.order_index.committed == twin.order_index.committed
    assert there.digest() == State().digest()
    there.swap(here)
    assert there.order_index.exposure(KEY) == twin.order_index.exposure(KEY)
    assert there.instruments[VENUE, KEY[2]] == twin.instruments[VENUE, KEY[2]]


@pytest.mark.parametrize("most", [1, 7, 10_000])
def test_a_state_that_goes_loses_so_many_entries_at_once(most: int) -> None:
    _, disk = busy()
    state, other = loaded(disk), loaded(disk)
    before = copy.deepcopy(other.meta())
    held = len(state.orders) + len(state.kept()[2])
    steps = 1
    while leave(state, most):
        steps += 1
        assert steps < 10_000
    assert steps >= held // most
    assert not state.orders
    assert not state.kept()[2]
    assert other.meta() == before


def test_one_that_never_came_goes_with_all_that_was_made_of_it() -> None:
    _, disk = busy()
    state = State()
    making = Loading(state)
    making.take(sorted(disk.items()), 30 * READ)
    assert state.kept()[2], "the hashes too, before the end"
    while leave(state, 5):
        pass
    assert not state.kept()[2]
    assert keys.META in disk
