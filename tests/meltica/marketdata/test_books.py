"""Books: in step with the sequence, equal to the venue's best prices, or silent."""

from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meltica.core.values import Nanos, Price, Quantity, Symbol
from meltica.marketdata.books import Best, Book, DepthDiff, DepthSnapshot, Freshness, Level, Step
from meltica.venues.binance_spot.parse import json_of
from meltica.venues.binance_spot.parse_market import Quote, depth_snapshot, stream_message
from tests.ci import lacking

BTC = Symbol("BTCUSDT")
DATA = Path(__file__).resolve().parents[4] / "shared" / "data"


def level(price: int | str, size: int | str) -> Level:
    return Price(Decimal(price)), Quantity(Decimal(size))


def diff(first: int, last: int, bids: tuple[Level, ...] = (), asks: tuple[Level, ...] = ()) -> DepthDiff:
    return DepthDiff(BTC, first, last, bids, asks)


def snapshot(last: int, *, complete: bool = True) -> DepthSnapshot:
    return DepthSnapshot(last, (level(99, 1), level(98, 2)), (level(101, 1), level(102, 2)), complete)


def test_diffs_wait_for_a_snapshot_then_follow_it() -> None:
    book = Book(BTC)
    assert book.on_diff(diff(5, 7, (level(99, 5),))) is Step.WAITING
    assert book.on_diff(diff(8, 9, (level(100, 3),))) is Step.WAITING
    assert not book.live
    assert book.on_snapshot(snapshot(7)) is Step.LIVE
    assert book.last_id == 9
    assert book.top(5)[0] == (level(100, 3), level(99, 1), level(98, 2))


def test_a_snapshot_older_than_the_buffer_is_of_no_use() -> None:
    book = Book(BTC)
    book.on_diff(diff(10, 12))
    assert book.on_snapshot(snapshot(8)) is Step.STALE
    assert not book.live
    assert book.on_snapshot(snapshot(9)) is Step.LIVE


def test_a_first_diff_may_reach_over_the_snapshot() -> None:
    book = Book(BTC)
    book.on_diff(diff(5, 12, (level(99, 0),)))
    assert book.on_snapshot(snapshot(8)) is Step.LIVE
    assert book.last_id == 12
    assert book.top(1)[0] == (level(98, 2),)


def test_a_hole_starts_again_and_keeps_the_diff() -> None:
    book = Book(BTC)
    book.on_snapshot(snapshot(7))
    assert book.on_diff(diff(9, 9)) is Step.GAP
    assert (book.live, book.gaps) == (False, 1)
    assert book.on_snapshot(snapshot(8)) is Step.LIVE
    assert book.last_id == 9


def test_an_old_diff_changes_nothing() -> None:
    book = Book(BTC)
    book.on_snapshot(snapshot(7))
    assert book.on_diff(diff(6, 7, (level(99, 50),))) is Step.STALE
    assert book.top(1)[0] == (level(99, 1),)


def test_a_crossed_book_is_out_of_step() -> None:
    book = Book(BTC)
    book.on_snapshot(snapshot(7))
    assert book.on_diff(diff(8, 8, (level(101, 1),))) is Step.GAP


@pytest.mark.parametrize("early", [True, False])
def test_best_prices_at_the_same_id_are_compared(*, early: bool) -> None:
    """A best may come before the diff that reaches its id, or after it."""
    book = Book(BTC)
    book.on_snapshot(snapshot(7))
    wrong, right = Best(8, level(99, 2), level(101, 1)), Best(9, level(99, 4), level(101, 1))
    if early:
        book.on_best(right)
        book.on_diff(diff(8, 9, (level(99, 4),)))
    else:
        book.on_diff(diff(8, 9, (level(99, 4),)))
        assert book.on_best(right) is Step.LIVE
    assert (book.live, book.checked, book.mismatches) == (True, 1, 0)
    book = Book(BTC)
    book.on_snapshot(snapshot(7))
    steps = (
        [book.on_best(wrong), book.on_diff(diff(8, 8))] if early else [book.on_diff(diff(8, 8)), book.on_best(wrong)]
    )
    assert steps[-1] is Step.GAP
    assert (book.live, book.mismatches) == (False, 1)


def test_a_best_price_beyond_what_the_snapshot_showed_starts_again() -> None:
    book = Book(BTC)
    book.on_snapshot(snapshot(7, complete=False))
    gone = (level(99, 0), level(98, 0), level(50, 1))
    assert book.on_diff(diff(8, 8, gone)) is Step.GAP
    whole = Book(BTC)
    whole.on_snapshot(snapshot(7, complete=True))
    assert whole.on_diff(diff(8, 8, gone)) is Step.LIVE


def test_freshness_tells_ages_of_its_own_symbols() -> None:
    fresh = Freshness((BTC,))
    assert fresh.ages(Nanos(5)) == ((BTC, None),)
    fresh.heard(BTC, Nanos(3))
    fresh.heard(Symbol("OTHER"), Nanos(3))
    assert fresh.ages(Nanos(5)) == ((BTC, Nanos(2)),)
    assert fresh.times == ((BTC, Nanos(3)),)


@given(
    st.lists(
        st.lists(st.tuples(st.booleans(), st.integers(1, 30), st.integers(0, 3)), min_size=1, max_size=4), max_size=30
    )
)
@settings(deadline=None, max_examples=150)
def test_a_live_book_equals_a_dumb_one(batches: list[list[tuple[bool, int, int]]]) -> None:
    """Whatever the diffs: while live, the book is what a dictionary says, sorted."""
    book, bids, asks = Book(BTC), {99: Decimal(1), 98: Decimal(2)}, {101: Decimal(1), 102: Decimal(2)}
    book.on_snapshot(snapshot(0))
    for number, batch in enumerate(batches, start=1):
        changes = [(is_bid, (100 - away if is_bid else 100 + away), size) for is_bid, away, size in batch]
        for is_bid, price, size in changes:
            (bids if is_bid else asks)[price] = Decimal(size)
        made = diff(
            number,
            number,
            tuple(level(p, s) for is_bid, p, s in changes if is_bid),
            tuple(level(p, s) for is_bid, p, s in changes if not is_bid),
        )
        assert book.on_diff(made) is Step.LIVE
        found = book.top(50)
        assert [(int(p), s) for p, s in found[0]] == sorted(((p, s) for p, s in bids.items() if s), reverse=True)
        assert [(int(p), s) for p, s in found[1]] == sorted((p, s) for p, s in asks.items() if s)


@pytest.mark.parametrize("name", ["spot_btcusdt_20240808.gz", "spot_ethusdt_20240808.gz"])
def test_a_recorded_book_equals_its_best_prices(name: str) -> None:
    """Real captures: no gap, never crossed, and equal to bookTicker at every shared update id."""
    path = DATA / name
    if not path.exists():
        lacking(f"the recordings are not here: {path}")
    book = None
    live, lines = 0, 0
    with gzip.open(path, "rt") as capture:
        for line in capture:
            raw = line.partition(" ")[2]
            lines += 1
            if lines > 12_000:
                break
            if raw.startswith('{"lastUpdateId"'):
                if book is not None:
                    book.on_snapshot(depth_snapshot(json_of(raw), 1000))
                continue
            message = stream_message(raw, Nanos(0))
            if isinstance(message, DepthDiff):
                book = book or Book(message.symbol)
                live += book.on_diff(message) is Step.LIVE
            elif isinstance(message, Quote) and book is not None:
                book.on_best(message.best)
    assert book is not None
    assert (book.gaps, book.mismatches) == (0, 0)
    assert live > 500
    assert book.checked > 50
