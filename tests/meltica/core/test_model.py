"""Apply beside a dumb model: random days, legal and illegal moves mixed, checked after every one.

The model knows nothing of orders' states or indexes: it adds up trades by hand, and recomputes from the orders alone
whatever the state keeps incrementally.  The last tests break apply on purpose and show that these checks see it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from meltica.core import apply_fills, checks, indexes, keys, loading, reducing
from meltica.core import commands as c
from meltica.core.apply import apply_entry
from meltica.core.codec import encode_command
from meltica.core.effects import CancelOrder, PlaceOrder
from meltica.core.events import CommandResult
from meltica.core.exact import add, mul, sub
from meltica.core.ids import parse_id
from meltica.core.orders import Order, OrderState
from meltica.core.state import State
from meltica.core.turn import Turn
from meltica.core.values import Epoch, Nanos, Side, Trading, VenueOrderId
from tests.meltica.core.harness import (
    ACCOUNT,
    KEY,
    LIMITS,
    MM,
    MOMENTUM,
    OTHER,
    SECOND,
    SYMBOL,
    VENUE,
    Hand,
    by,
    d,
    loaded,
    stored,
    trade,
    trading,
    updated,
    wish,
)
from tests.strategies import Move, commands, garbage, scripts

PHASES = (Phase.generate,)  # no shrinking: that it fails is all that is asked
QUIET = settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
DEEP = settings(QUIET, max_examples=40)
TIGHT = evolve(
    LIMITS,
    order_notional=d(9_000),
    position=d(66_000),
    gross_notional=d(105_000),
    open_orders_symbol=5,
    open_orders=7,
    executed_notional_minute=d(40_000),
    orders_second=6,
)


class Model:
    """The dumb one: every trade in a dictionary, every id ever ordered in a list."""

    def __init__(self) -> None:
        self.trades: dict[tuple[Any, ...], c.FillSeen] = {}
        self.intents: list[str] = []

    def heard(self, command: Any, result: CommandResult) -> None:
        if isinstance(command, c.FillSeen) and result.accepted:
            self.trades.setdefault((*KEY[:2], command.symbol, command.trade_id), command)
        for effect in result.effects:
            self.intents.append(effect.intent)

    def position(self, symbol: str, opening: Decimal) -> Decimal:
        base = symbol.removesuffix("USDT")
        total = opening
        for (_, _, traded, _), fill in self.trades.items():
            if traded == symbol:
                total = add(total, fill.quantity if fill.side is Side.BUY else fill.quantity.copy_negate())
                total = sub(total, fill.fee if fill.fee_asset == base else d(0))
        return total

    def quote(self, opening: Decimal) -> Decimal:
        total = opening
        for fill in self.trades.values():
            value = mul(fill.price, fill.quantity)
            total = sub(total, value) if fill.side is Side.BUY else add(total, value)
            total = sub(total, fill.fee if fill.fee_asset == "USDT" else d(0))
        return total


class Day:
    """Plays moves on a hand, and keeps the model and a disk beside it."""

    def __init__(self) -> None:
        self.hand = trading()
        self.hand.limits(**{f: getattr(TIGHT, f) for f in ("order_notional", "position", "gross_notional")})
        self.hand.configure(TIGHT)
        self.model = Model()
        self.disk = stored(self.hand.state.take_changes(), {})
        self.trade = 0
        self.fills: list[c.FillSeen] = []

    @property
    def state(self) -> State:
        return self.hand.state

    def tell(self, *many: Any) -> tuple[CommandResult, ...]:
        before = {**self.state.orders}
        trading_before = self.state.risk.trading
        results = self.hand.many(*many)
        for command, result in zip(many, results, strict=True):
            self.model.heard(command, result)
            if isinstance(command, c.Submit) and result.accepted:
                check_accepted(self.state, self.state.orders[result.order or ""], trading_before)
        check_orders(before, self.state)
        return results

    def order(self, pick: int) -> Order | None:
        names = sorted(self.state.orders)[-4:]  # the newest few, so that several things happen to each
        return self.state.orders[names[pick % len(names)]] if names else None

    def play(self, move: Move) -> None:
        getattr(self, f"do_{move.what}", self.on_order)(move)
        changes = self.state.take_changes()
        self.disk = stored(changes, self.disk)
        check_writes(changes)
        if move.pick % 8 == 0:
            assert loaded(self.disk).digest() == self.state.digest()
        check_sums(self.state)
        check_model(self.state, self.model)

    def do_submit(self, move: Move) -> None:
        symbol, reference = (SYMBOL, 60_000) if move.pick % 3 else (OTHER, 3_000)
        size = Decimal(move.size).scaleb(-2) / 3 if symbol == SYMBOL else Decimal(move.size).scaleb(-1)
        size = size.quantize(Decimal("0.001"))
        price = None if move.pick % 7 == 0 else str(reference + move.price * reference // 100)
        side, strategy = Side.BUY if move.flag else Side.SELL, MM if move.pick % 5 else MOMENTUM
        self.tell(wish(side, str(size), price, symbol=symbol, reference=d(reference), strategy=strategy))

    def do_epoch(self, move: Move) -> None:
        self.hand.start(reason="transfer" if move.flag else "election")
        if move.pick % 8:
            self.hand.take(cancels_only=move.pick % 8 == 1)

    def do_release(self, move: Move) -> None:
        self.tell(c.AuthorityReleased(Epoch(0), Nanos(0)))
        if move.pick % 4:
            self.do_epoch(move)

    def do_reduce(self, move: Move) -> None:
        self.tell(c.Reduce(Epoch(0), Nanos(0), f"cause{move.pick % 3}"))

    def do_halt(self, move: Move) -> None:
        self.tell(c.Halt(Epoch(0), Nanos(0), f"cause{move.pick % 3}", leave_quotes=move.flag))

    def do_kill(self, move: Move) -> None:
        self.tell(c.Kill(Epoch(0), Nanos(0), f"cause{move.pick % 3}"))

    def do_resume(self, move: Move) -> None:
        causes = tuple(sorted({*self.state.risk.halts, *self.state.risk.reduces}))
        index = self.state.risk.index + (move.pick % 5 == 0)
        self.tell(c.Resume(Epoch(0), Nanos(0), causes, index, by(f"r{self.state.index}")))

    def do_wait(self, move: Move) -> None:
        self.hand.wait((move.size * move.size * SECOND // 10) * (400 if move.pick == 0 else 1))
        self.tell(c.ModeSet(Epoch(0), Nanos(0), self.state.mode, by(f"w{self.state.index}")))

    def do_limits(self, move: Move) -> None:
        self.hand.configure(evolve(TIGHT, open_orders=3 + move.size // 4))

    def do_low_water(self, move: Move) -> None:
        known = [fill.trade_id for fill in self.fills if fill.symbol == SYMBOL]
        if known:
            self.tell(c.Reconciled(Epoch(0), Nanos(0), VENUE, ACCOUNT, ((SYMBOL, known[move.pick % len(known)]),)))

    def do_garbage(self, move: Move) -> None:
        (result,) = self.hand.entry(b"%d" % move.pick)
        assert result.rejection is not None
        assert result.rejection.code == "garbage"

    def do_stale(self, move: Move) -> None:
        before = self.state.digest(), self.state.index
        old = evolve(wish(Side.BUY, "0.01", "60000"), epoch=Epoch(self.hand.epoch - 1), at=Nanos(self.hand.now))
        (result,) = self.hand.entry(encode_command(old))
        assert result.rejection is not None
        assert result.rejection.code == "stale_epoch"
        assert before[0] != self.state.digest(), "the chain notes it"

    def do_foreign_fill(self, move: Move) -> None:
        """A trade that no order of ours is known to claim; sometimes one does, later."""
        self.trade += 1
        name = VenueOrderId(f"v{move.pick % 4}") if move.flag else VenueOrderId("foreign")
        fill = evolve(self._trade(None, move), venue_order_id=name, order=None)
        self.fills.append(fill)
        self.tell(fill)

    def do_fill_again(self, move: Move) -> None:
        if self.fills:
            (result,) = self.tell(self.fills[move.pick % len(self.fills)])
            assert result.duplicate

    def _trade(self, order: Order | None, move: Move) -> c.FillSeen:
        size = str(Decimal(move.size).scaleb(-3))
        base = self.order(0) if order is None else order
        if base is None:
            base = PLACEHOLDER
        fill = trade(self.trade, base, size, str((60_000 if base.symbol == SYMBOL else 3_000) + move.price))
        asset = ("USDT", base.symbol.removesuffix("USDT"), "BNB")[move.pick % 3]
        return evolve(fill, fee=d("0.00001"), fee_asset=asset)

    def on_order(self, move: Move) -> None:
        order = self.order(move.pick)
        if order is None:
            return
        number = int(order.id[14:26], 16)
        name = VenueOrderId(f"v{number}")
        sends = [send for send, _ in order.unanswered]
        zero = (Epoch(0), Nanos(0))
        if move.what == "fill":
            self.trade += 1
            fill = evolve(self._trade(order, move), venue_order_id=name, order=order.id if move.flag else None)
            self.fills.append(fill)
            self.tell(fill)
            return
        statuses = ("open", "partially_filled", "filled", "cancelled", "expired", "rejected")
        status, executed = statuses[move.size % 6], order.filled
        said = {
            "accept": c.Answered(*zero, order.id, True, name, "open" if move.size % 4 else "expired"),
            "refuse": c.Answered(*zero, order.id, False, code="-2010", text="no"),
            "update": updated(order, status, "0", venue_order_id=name),
            "late_order_id": updated(order, "open", "0", venue_order_id=VenueOrderId(f"v{move.pick % 4}")),
            "cancel": c.Cancel(*zero, order.id, "because"),
            "doubt": c.InDoubt(*zero, sends[-1] if sends else order.id, "no answer"),
            "lapse": c.Lapsed(*zero, tuple(sends) or (order.id,), "too late"),
            "cancel_answer": c.Answered(*zero, sends[-1] if sends else order.id, move.flag, name, "", executed),
            "not_found": c.NotFound(*zero, order.id, final=move.flag),
        }
        self.tell(said[move.what])


PLACEHOLDER = trading().buy("0.01")


# --- what must hold -----------------------------------------------------------------------------------------


def check_accepted(state: State, order: Order, trading_before: Trading) -> None:
    """No limit is exceeded by what was accepted, everything that may still happen counted at its worst."""
    limits = state.limits
    assert limits is not None
    assert state.epoch is not None
    assert state.epoch.trades
    assert trading_before is not Trading.HALTED
    key = (order.venue, order.account, order.symbol)
    reference = state.references[order.venue, order.symbol]
    live = [other for other in state.orders.values() if other.live]
    buys = sum((one.leaves for one in _of(state, key) if one.side is Side.BUY), d(0))
    sells = sum((one.leaves for one in _of(state, key) if one.side is Side.SELL), d(0))
    quantity = state.position_of(key).quantity
    worst = quantity + buys if order.side is Side.BUY else sells - quantity
    assert mul(order.quantity, order.worst_price) <= limits.order_notional
    assert worst * reference <= limits.position
    assert len([one for one in live if one.symbol == order.symbol]) <= limits.open_orders_symbol
    assert len(live) <= limits.open_orders
    assert len([one for one in state.orders.values() if one.at > state.clock - SECOND]) <= limits.orders_second
    if trading_before is Trading.REDUCING:
        assert order.side is (Side.SELL if quantity > 0 else Side.BUY)
        assert (sells if order.side is Side.SELL else buys) <= abs(quantity)
    base, quote = state.assets_of(order.venue, order.symbol)
    if order.side is Side.SELL:
        assert sells <= state.holdings[order.venue, order.account, base]
    else:
        needed = sum((mul(one.leaves, one.worst_price) for one in state.orders.values() if one.side is Side.BUY), d(0))
        assert needed <= state.holdings[order.venue, order.account, quote]


def _of(state: State, key: tuple[Any, ...]) -> list[Order]:
    return [one for one in state.orders.values() if (one.venue, one.account, one.symbol) == key]


def check_orders(before: dict[Any, Order], state: State) -> None:
    """No order goes back, loses what was filled, or leaves a final state."""
    final = {OrderState.FILLED, OrderState.CANCELLED, OrderState.EXPIRED}
    for name, old in before.items():
        new = state.orders.get(name)
        if new is None:
            assert old.closed
            continue
        assert new.filled >= old.filled
        assert new.executed >= old.executed
        assert new.state is not OrderState.INTENT_ACCEPTED or old.state is OrderState.INTENT_ACCEPTED
        if old.state in final:
            assert new.state is old.state or new.state is OrderState.FILLED
        assert not (old.to_be_gone and not new.to_be_gone)


def check_writes(changes: tuple[tuple[bytes, bytes | None], ...]) -> None:
    """Whatever apply writes, a node reads at its next start."""
    for key, value in changes:
        if value is not None:
            form = keys.FORMS[keys.parts_of(key)[0]]
            assert form.write(form.load(value)) == value


def check_sums(state: State) -> None:
    """What is kept step by step is what adding up from the start gives."""
    index = indexes.OrderIndex(state.assets_of)
    for order in state.orders.values():
        index.replace(None, order)
    kept = state.order_index
    assert kept.by_venue_id == index.by_venue_id
    assert kept.cancel_of == index.cancel_of
    assert kept.intents == index.intents
    assert {k: v for k, v in kept.committed.items() if v} == {k: v for k, v in index.committed.items() if v}
    assert kept.doubtful == index.doubtful
    assert kept.open_orders == index.open_orders == len(state.live_orders())
    for key in {*kept.exposures, *index.exposures}:
        assert kept.exposure(key) == index.exposure(key)
    if state.risk.reduces:
        for key in kept.exposures:
            check_reducing(state, key)
    if any(halt.kill or not halt.leave_quotes for halt in state.risk.halts.values()):
        assert all(order.to_be_gone for order in state.live_orders())


def check_reducing(state: State, key: Any) -> None:
    quantity = reducing.shrinkable(state, key)
    staying = [order for order in state.live_orders_of(key) if not order.to_be_gone]
    side = reducing.closing_side(quantity)
    assert all(order.side is side for order in staying)
    assert sum((order.leaves for order in staying), d(0)) <= abs(quantity)


def check_model(state: State, model: Model) -> None:
    """Positions and holdings equal their definition; every id was ordered once and says where."""
    assert state.position_of(KEY).quantity == model.position(SYMBOL, d(1))
    assert state.position_of((VENUE, ACCOUNT, OTHER)).quantity == model.position(OTHER, d(10))
    assert state.holdings[VENUE, ACCOUNT, "USDT"] == model.quote(d(1_000_000))  # type: ignore[index] # plain text
    assert state.holdings[VENUE, ACCOUNT, "BTC"] == state.position_of(KEY).quantity  # type: ignore[index] # plain text
    assert len(model.intents) == len(set(model.intents))
    by_order: dict[Any, Decimal] = {}
    for fills in state.trades.orphans.values():
        for fill in fills.values():
            by_order[fill.trade_id] = fill.quantity
    attributed = sum((order.filled for order in state.orders.values()), d(0))
    assert attributed <= sum((fill.quantity for fill in model.trades.values()), d(0))


def check_replay(day: Day) -> None:
    """The log replayed, and the disk loaded, are this state, and behave as it does."""
    again = State()
    for index, term, raws in day.hand.log:
        apply_entry(again, index, term, raws)
    assert again.digest() == day.state.digest()
    assert again.chain == day.state.chain
    reloaded = loaded(day.disk)
    assert reloaded.digest() == day.state.digest()
    hands = [Hand(day.state), Hand(reloaded)]
    for hand in hands:
        hand.now = day.hand.now
        hand.epoch = day.hand.epoch
    for command in FOLLOW_UP:
        first, second = (hand.do(command) for hand in hands)
        assert first == second
    assert hands[0].state.digest() == hands[1].state.digest()
    for hand in hands:
        hand.now += 3 * 3600 * SECOND  # what is old is forgotten alike
        hand.start()
    assert hands[0].state.digest() == hands[1].state.digest()


FOLLOW_UP = (
    wish(Side.BUY, "0.01", "60000"),
    wish(Side.SELL, "0.02", None),
    evolve(trade(9_999, PLACEHOLDER, "0.01"), order=None, venue_order_id=VenueOrderId("v1")),
    evolve(trade(3, PLACEHOLDER, "0.01"), order=None),
    evolve(updated(PLACEHOLDER, "cancelled", venue_order_id=VenueOrderId("v1")), order=None),
    c.Reduce(Epoch(0), Nanos(0), "at the end"),
    c.Kill(Epoch(0), Nanos(0), "at the end"),
)


def whole_day(moves_made: list[Move]) -> None:
    day = Day()
    for move in moves_made:
        day.play(move)
    check_replay(day)


@DEEP
@given(scripts())
def test_a_random_day_keeps_every_promise(moves_made: list[Move]) -> None:
    whole_day(moves_made)


@QUIET
@given(st.lists(st.lists(commands().map(encode_command) | garbage, max_size=3), max_size=8))
def test_apply_is_total_on_whatever_the_log_holds(entries: list[list[bytes]]) -> None:
    hand = trading()
    disk = stored(hand.state.take_changes(), {})
    for entry in entries:
        results = hand.entry(*entry)
        assert [result.place for result in results] == list(range(len(entry)))
        disk = stored(hand.state.take_changes(), disk)
    assert loaded(disk).digest() == hand.state.digest()


@QUIET
@given(st.lists(commands(), max_size=12))
def test_apply_is_total_on_commands_of_its_own_epoch(made: list[Any]) -> None:
    """Every field at random, but for epoch and time, so that the rooms themselves are reached."""
    hand = trading()
    disk = stored(hand.state.take_changes(), {})
    for command in made:
        if isinstance(command, c.EpochStarted):
            continue
        hand.do(command)
        disk = stored(hand.state.take_changes(), disk)
    assert loaded(disk).digest() == hand.state.digest()


@QUIET
@given(commands("submit", "fill_seen", "order_updated", "configured", "instrument_seen", "opening_approved"), st.data())
def test_apply_is_total_on_extreme_numbers(command: Any, data: st.DataObject) -> None:
    """Well-formed orders and trades of the known instrument, with every number at random."""
    hand = trading()
    order = hand.buy("0.1")
    more = {"order": order.id, "cluster": hand.state.cluster}
    hand.do(evolve(command, **known_of(command), **{name: more[name] for name in more if hasattr(command, name)}))
    hand.do(data.draw(commands("submit").map(lambda one: evolve(one, **{**known_of(one), "price": one.reference}))))
    hand.do(data.draw(commands("fill_seen").map(lambda one: evolve(one, **known_of(one)))))
    hand.do(data.draw(commands("fill_seen").map(lambda one: evolve(one, **known_of(one)))))
    assert loaded(stored(hand.state.take_changes(), {})).digest() == hand.state.digest()


def known_of(command: Any) -> dict[str, Any]:
    known = {"venue": VENUE, "account": ACCOUNT, "symbol": SYMBOL, "strategy": MM}
    return {name: value for name, value in known.items() if hasattr(command, name)}


@QUIET
@given(scripts(30))
def test_effects_name_ids_that_say_where_they_come_from(moves_made: list[Move]) -> None:
    day = Day()
    for move in moves_made:
        day.play(move)
    again = State()
    for index, term, raws in day.hand.log:
        for result in apply_entry(again, index, term, raws):
            for place, effect in enumerate(result.effects):
                parts = parse_id(effect.intent)
                assert parts is not None
                assert (parts.cluster, parts.epoch, parts.index, parts.place) == (again.cluster, term, index, place)
                assert isinstance(effect, PlaceOrder | CancelOrder)


# --- the checks see it when apply is broken on purpose -----------------------------------------------------------


def _fill_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes.Trades, "known", lambda self, key, trade_id: False)


def _fee_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = apply_fills.after_fill

    def without_fee(position: Any, *fill: Any) -> Any:
        side, price, quantity, _, asset, base, quote = fill
        return whole(position, side, price, quantity, d(0), asset, base, quote)

    monkeypatch.setattr(apply_fills, "after_fill", without_fee)


def _cancels_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A halt that stops submits but leaves what rests to the market."""
    monkeypatch.setattr(Turn, "want_gone", lambda self, order, why: order)


def _limit_ignores_open_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    order = [check for check in checks.CHECKS if check.__name__ != "_position"]
    monkeypatch.setattr(checks, "CHECKS", tuple(order))


def _halt_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    order = [check for check in checks.CHECKS if check.__name__ != "_trading"]
    monkeypatch.setattr(checks, "CHECKS", tuple(order))


def _doubt_is_path_dependent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Digests must not depend on how a state came about: here the load forgets the window."""
    monkeypatch.setattr(loading, "ONE", loading.ONE * 0)


def _authority_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_authority", lambda turn: None)


BREAKS = [
    _fill_twice,
    _fee_forgotten,
    _cancels_forgotten,
    _limit_ignores_open_orders,
    _halt_forgotten,
    _doubt_is_path_dependent,
    _authority_ignored,
]


@pytest.mark.parametrize("broken", BREAKS, ids=lambda one: one.__name__)
def test_a_broken_apply_is_caught(broken: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch)

    @settings(QUIET, max_examples=600, derandomize=True, database=None, report_multiple_bugs=False, phases=PHASES)
    @given(scripts())
    def days(moves_made: list[Move]) -> None:
        whole_day(moves_made)

    with pytest.raises(AssertionError):
        days()
