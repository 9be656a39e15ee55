"""Exchange: books, accounts and a market, pure; the paper venue's matching engine as its faces see it.

Only what joins engine, accounts, orders and market may live here: it decides in the order in which it is called, on
the time that it is told, and returns what happened.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import islice

from attrs import define, field

from meltica.paper.accounts import ZERO, Accounts, fee_of
from meltica.paper.book import Match
from meltica.paper.engine import Engine
from meltica.paper.filters import check_filters
from meltica.paper.market import Market
from meltica.paper.market_synthetic import SyntheticMarket
from meltica.paper.market_tape import open_tape_market
from meltica.paper.orders import Order, OrderIndex, Scale
from meltica.paper.public_book import PublicBook
from meltica.paper.types import (
    BalanceChange,
    BestChange,
    ExchangeEvent,
    Execution,
    NewOrder,
    OrderView,
    Print,
    Refusal,
    SymbolRules,
    TradeView,
)

DEPTH_EVERY = 100_000  # microseconds: the streams' depth@100ms
PRINTS_KEPT = 1000  # what `trades` may be asked for at most

UNKNOWN_ORDER = Refusal(-2011, "Unknown order sent.")
DUPLICATE = Refusal(-2010, "Duplicate order sent.")
NO_BALANCE = Refusal(-2010, "Account has insufficient balance for requested action.")
WOULD_TAKE = Refusal(-2010, "Order would immediately match and take.")
INVALID_SYMBOL = Refusal(-1121, "Invalid symbol.")


@define(eq=False)
class Pit:
    """All that belongs to one symbol.  The `next_*` ids only grow."""

    rules: SymbolRules
    scale: Scale
    engine: Engine
    public: PublicBook
    next_order_id: int
    next_trade_id: int
    prints: deque[Print] = field(factory=lambda: deque(maxlen=PRINTS_KEPT))


class PaperExchange:
    """The Exchange of types.py.

    Time never goes back: a `now` before one already seen counts as that one.  `place` and `cancel` first let the
    market run up to `now`; what it did is in the events that they return.
    """

    def __init__(
        self,
        rules: Sequence[SymbolRules],
        market: Market,
        *,
        start_us: int = 0,
        first_order_id: int = 1,
        first_trade_id: int = 1,
        first_update_id: int = 1,
    ) -> None:
        """Open the books, empty until the market acts; what it does at `start_us` is done here, unheard."""
        self._market = market
        self._accounts = Accounts()
        self._index: dict[tuple[str, str], OrderIndex] = {}
        self._events: list[ExchangeEvent] = []
        self._money: dict[tuple[str, str], None] = {}  # accounts and assets that changed in this step
        self._now = start_us
        self._next_flush = start_us - start_us % DEPTH_EVERY + DEPTH_EVERY
        self._pits: dict[str, Pit] = {}
        for each in rules:
            scale = Scale.of(each)
            self._pits[each.symbol] = Pit(
                rules=each,
                scale=scale,
                engine=Engine(scale.step_atoms),
                public=PublicBook(each.symbol, scale, first_update_id - 1),
                next_order_id=first_order_id,
                next_trade_id=first_trade_id,
            )
        self.advance(start_us)

    @property
    def rules(self) -> dict[str, SymbolRules]:
        """The symbols."""
        return {symbol: pit.rules for symbol, pit in self._pits.items()}

    @property
    def fees(self) -> dict[str, Decimal]:
        """What the venue took in fees, by asset."""
        return dict(self._accounts.fees)

    @property
    def outside(self) -> dict[str, Decimal]:
        """What the market's side gained or (negative) gave, by asset: with it and the fees, every sum closes."""
        return dict(self._accounts.outside)

    def open_account(self, account: str, balances: dict[str, Decimal]) -> None:
        """Add an account before trading starts; ValueError if it exists or a balance is not one."""
        self._accounts.open(account, balances)
        for pit in self._pits.values():
            for asset in (pit.rules.base, pit.rules.quote):
                self._accounts.of(account, asset)
            self._index[account, pit.rules.symbol] = OrderIndex()

    # time

    def advance(self, now: int) -> list[ExchangeEvent]:
        """Let the market run up to and including `now`."""
        while True:
            acts, flushes = self._market.next_at(), self._next_flush
            if acts is not None and acts <= now and acts < flushes:
                self._now = max(self._now, acts)
                self._market.act(self)
                self._settle()
            elif flushes <= now:
                self._now = max(self._now, flushes)
                self._flush(flushes, now)
            else:
                break
        self._now = max(self._now, now)
        return self._take_events()

    def next_event_at(self) -> int | None:
        """When the market next acts, or the next depth event is due."""
        acts = self._market.next_at()
        due = self._next_flush if any(pit.public.pending for pit in self._pits.values()) else None
        return min((each for each in (acts, due) if each is not None), default=None)

    # orders

    def place(self, order: NewOrder, now: int) -> tuple[OrderView | Refusal, list[ExchangeEvent]]:
        """Match, rest or refuse.  Refusals leave no trace: Binance reports them in the answer only.

        Raises:
            KeyError: for an account that was never opened.
        """
        events = self.advance(now)
        pit = self._pits.get(order.symbol)
        if pit is None:
            return INVALID_SYMBOL, events
        record = self._check(pit, order)
        if isinstance(record, Refusal):
            return record, events
        record.order_id, pit.next_order_id = pit.next_order_id, pit.next_order_id + 1
        if record.account:
            self._index[record.account, record.symbol].add(record)
        self._report("NEW", record)
        self._match(pit, record)
        self._settle()
        return record.view(), events + self._take_events()

    def cancel(  # noqa: PLR0917 - the seam's signature
        self, account: str, symbol: str, order_id: int | None, client_order_id: str | None, cancel_id: str, now: int
    ) -> tuple[OrderView | Refusal, list[ExchangeEvent]]:
        """Cancel an open order of the account; it is renamed to `cancel_id`."""
        events = self.advance(now)
        index = self._index.get((account, symbol))
        order = index.find_open(order_id, client_order_id) if index else None
        if index is None or order is None:
            return UNKNOWN_ORDER, events
        self._pits[symbol].engine.remove(order)
        index.rename(order, cancel_id)
        self._close(order, "CANCELED", cancelled_by=cancel_id)
        self._settle()
        return order.view(), events + self._take_events()

    def order(self, account: str, symbol: str, order_id: int | None, client_order_id: str | None) -> OrderView | None:
        """By venue id, or the newest whose shown client id is this one."""
        index = self._index.get((account, symbol))
        found = index.find(order_id, client_order_id) if index else None
        return found.view() if found else None

    def open_orders(self, account: str, symbol: str | None) -> list[OrderView]:
        """Open orders, oldest first."""
        chosen = [symbol] if symbol is not None else list(self._pits)
        indexes = [self._index[account, each] for each in chosen if (account, each) in self._index]
        found = [order for index in indexes for order in index.open.values()]
        return [each.view() for each in sorted(found, key=lambda each: (each.placed_at, each.order_id))]

    def all_orders(self, account: str, symbol: str, from_id: int | None, limit: int) -> list[OrderView]:
        """Orders of any status, by id; without `from_id` the newest."""
        index = self._index.get((account, symbol))
        return [each.view() for each in index.orders_from(from_id, limit)] if index else []

    def trades(
        self, account: str, symbol: str, from_id: int | None, order_id: int | None, limit: int
    ) -> list[TradeView]:
        """Own trades by id; `from_id` is inclusive; without it the newest `limit`."""
        index = self._index.get((account, symbol))
        return index.trades_from(from_id, order_id, limit) if index else []

    def balances(self, account: str) -> list[tuple[str, Decimal, Decimal]]:
        """Asset, free, locked; KeyError for an unknown account."""
        return self._accounts.all_of(account)

    # what everyone sees

    def depth(
        self, symbol: str, levels: int
    ) -> tuple[int, list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        """Update id, bids and asks, best first."""
        return self._pits[symbol].public.depth(levels)

    def best(self, symbol: str) -> BestChange:
        """The best prices now; zeros for an empty side."""
        return self._pits[symbol].public.best(self._now)

    def recent_prints(self, symbol: str, limit: int) -> Iterable[Print]:
        """The newest public trades, oldest first."""
        prints = self._pits[symbol].prints
        return list(islice(prints, max(0, len(prints) - limit), None))

    # what the market does (Floor)

    def best_prices(self, symbol: str) -> tuple[int | None, int | None]:
        """Best bid and ask at which something can be taken, in ticks."""
        engine = self._pits[symbol].engine
        return engine.bids.best(), engine.asks.best()

    def agent_quote(self, symbol: str, price: int, quantity: int, *, buying: bool) -> Order:
        """Rest an agent's order; ValueError if it would cross."""
        pit = self._pits[symbol]
        order = self._agent_order(pit, price, quantity, buying=buying)
        if pit.engine.crosses(order):
            raise ValueError(f"an agent's quote at {price} crosses {symbol}'s book")
        pit.engine.rest(order)
        return order

    def agent_pull(self, order: Order) -> None:
        """Take an agent's order away, if it is still there."""
        if order.open:
            order.status = "CANCELED"
            self._pits[order.symbol].engine.remove(order)

    def agent_take(self, symbol: str, limit: int, quantity: int, *, buying: bool) -> None:
        """An agent takes what is there up to its limit, and leaves nothing behind."""
        pit = self._pits[symbol]
        order = self._agent_order(pit, limit, quantity, buying=buying)
        order.time_in_force = "IOC"
        self._match(pit, order)

    def recorded_level(self, symbol: str, price: int, size: int, *, buying: bool) -> None:
        """The recording states a level's size."""
        self._pits[symbol].engine.state(buying, price, size)

    def recorded_print(self, symbol: str, price: int, quantity: int, *, seller_aggressive: bool) -> None:
        """The recording states a trade: our orders get their part of it, the rest is published as it was."""
        pit = self._pits[symbol]
        met = pit.engine.printed(price, quantity, seller_aggressive)
        for match in met.through:
            self._trade(pit, match, None)
        rest = quantity - sum(match.quantity for match in (*met.through, *met.level))
        if rest:
            self._print(pit, price, rest, buyer_is_maker=seller_aggressive)
        for match in met.level:
            self._trade(pit, match, None)

    # deciding

    def _agent_order(self, pit: Pit, price: int, quantity: int, *, buying: bool) -> Order:
        order_id, pit.next_order_id = pit.next_order_id, pit.next_order_id + 1
        return Order(order_id, "", pit.rules.symbol, buying, price, quantity, pit.scale, placed_at=self._now)

    def _check(self, pit: Pit, asked: NewOrder) -> Order | Refusal:
        """The order, its funds locked, or why not."""
        refusal = check_filters(asked, pit.rules, self._reference(pit, asked))
        if refusal is not None:
            return refusal
        order = self._record(pit, asked)
        if asked.order_type == "LIMIT_MAKER" and pit.engine.crosses(order):
            return WOULD_TAKE
        if not asked.account:
            return order
        if self._index[asked.account, asked.symbol].find_open(None, asked.client_order_id) is not None:
            return DUPLICATE
        amount = self._cost(pit, order)
        if not self._accounts.lock(order.account, _spent(pit, order), amount):
            return NO_BALANCE
        order.locked = amount
        return order

    @staticmethod
    def _reference(pit: Pit, asked: NewOrder) -> Decimal | None:
        """The price by which a market order is judged: the last print, before any the price that it would meet."""
        if pit.prints:
            return pit.prints[-1].price
        best = pit.engine.side(asked.side != "BUY").best()
        return None if best is None else pit.scale.price(best)

    def _record(self, pit: Pit, asked: NewOrder) -> Order:
        return Order(
            order_id=0,
            account=asked.account,
            symbol=asked.symbol,
            buying=asked.side == "BUY",
            price=None if asked.price is None else pit.scale.ticks(asked.price),
            quantity=pit.scale.atoms(asked.quantity),
            scale=pit.scale,
            order_type=asked.order_type,
            time_in_force=asked.time_in_force,
            shown=asked.client_order_id,
            placed_as=asked.client_order_id,
            strategy_id=asked.strategy_id,
            placed_at=self._now,
            updated_at=self._now,
        )

    @staticmethod
    def _cost(pit: Pit, order: Order) -> Decimal:
        """What the order can spend at most: of a market buy, what the book would ask now."""
        if not order.buying:
            return pit.scale.quantity(order.quantity)
        if order.price is None:
            return pit.engine.available(order)[1] * pit.scale.value(1, 1)
        return pit.scale.value(order.price, order.quantity)

    def _match(self, pit: Pit, order: Order) -> None:
        if order.time_in_force == "FOK" and pit.engine.available(order)[0] < order.quantity:
            self._close(order, "EXPIRED")
            return
        total = order.executed
        taken = pit.engine.take(order)
        order.executed = total  # told again below, trade by trade, so that each report shows the state after it
        for own in taken.expired:
            self._close(own, "EXPIRED")
        for match in taken.matches:
            order.executed += match.quantity
            self._trade(pit, match, order)
        if order.leaves and (order.order_type == "MARKET" or order.time_in_force in {"IOC", "FOK"}):
            self._close(order, "EXPIRED")
        elif order.leaves:
            pit.engine.rest(order)

    # recording what was decided

    def _trade(self, pit: Pit, match: Match, taker: Order | None) -> None:
        """Settle one match between a maker and a taker, either of which may be the recording (None)."""
        buyer_is_maker = match.maker.buying if match.maker else not (taker and taker.buying)
        trade_id = self._print(pit, match.price, match.quantity, buyer_is_maker=buyer_is_maker)
        self._settle_side(pit, match, match.maker, trade_id, buying=buyer_is_maker, maker=True)
        self._settle_side(pit, match, taker, trade_id, buying=not buyer_is_maker, maker=False)

    def _settle_side(
        self, pit: Pit, match: Match, order: Order | None, trade_id: int, *, buying: bool, maker: bool
    ) -> None:
        """Move one side's money; if it is an order, move it on; if that is an account's, tell of it."""
        rules, account = pit.rules, order.account if order else ""
        quantity, value = pit.scale.quantity(match.quantity), pit.scale.value(match.price, match.quantity)
        spent, received = (value, quantity) if buying else (quantity, value)
        asset_out, asset_in = (rules.quote, rules.base) if buying else (rules.base, rules.quote)
        fee = fee_of(received, rules.maker_fee if maker else rules.taker_fee) if account else ZERO
        self._accounts.pay(account, asset_out, spent)
        self._accounts.receive(account, asset_in, received, fee)
        if order is None:
            return
        order.quote_executed += value
        order.status = "PARTIALLY_FILLED" if order.leaves else "FILLED"
        order.updated_at = self._now
        if account:
            trade = TradeView(
                trade_id=trade_id,
                order_id=order.order_id,
                account=account,
                symbol=order.symbol,
                side=order.side,
                price=pit.scale.price(match.price),
                quantity=quantity,
                fee=fee,
                fee_asset=asset_in,
                maker=maker,
                at=self._now,
                placed_as=order.placed_as,
            )
            self._after_trade(pit, order, spent, trade)

    def _after_trade(self, pit: Pit, order: Order, spent: Decimal, trade: TradeView) -> None:
        """Release what a better price saved, remember the trade, report it."""
        index = self._index[order.account, order.symbol]
        order.locked -= spent
        needed = _needed(pit, order)
        self._accounts.unlock(order.account, _spent(pit, order), order.locked - needed)
        order.locked = needed
        if not order.leaves:
            index.closed(order)
        index.add_trade(trade)
        self._report("TRADE", order, trade)

    def _close(self, order: Order, status: str, cancelled_by: str = "") -> None:
        order.status, order.updated_at = status, self._now
        if not order.account:
            return
        self._accounts.unlock(order.account, _spent(self._pits[order.symbol], order), order.locked)
        order.locked = ZERO
        self._index[order.account, order.symbol].closed(order)
        self._report(status, order, cancelled_by=cancelled_by)

    def _report(self, kind: str, order: Order, trade: TradeView | None = None, cancelled_by: str = "") -> None:
        if order.account:
            self._events.append(Execution(kind, order.view(), self._now, trade, cancelled_by))
            rules = self._pits[order.symbol].rules
            self._money[order.account, rules.base] = self._money[order.account, rules.quote] = None

    def _print(self, pit: Pit, price: int, quantity: int, *, buyer_is_maker: bool) -> int:
        trade_id, pit.next_trade_id = pit.next_trade_id, pit.next_trade_id + 1
        public = Print(
            pit.rules.symbol, trade_id, pit.scale.price(price), pit.scale.quantity(quantity), buyer_is_maker, self._now
        )
        pit.prints.append(public)
        self._events.append(public)
        return trade_id

    def _settle(self) -> None:
        """End one step: balances that changed, then the best prices."""
        accounts: dict[str, list[str]] = {}
        for account, asset in self._money:
            accounts.setdefault(account, []).append(asset)
        self._money.clear()
        for account, assets in accounts.items():
            held = [(asset, self._accounts.of(account, asset)) for asset in assets]
            now = tuple((asset, each.free, each.locked) for asset, each in held)
            self._events.append(BalanceChange(account, now, self._now))
        for pit in self._pits.values():
            if pit.engine.touched:
                best = pit.public.refresh(pit.engine, self._now)
                if best is not None:
                    self._events.append(best)

    def _flush(self, at: int, now: int) -> None:
        """Give each symbol's depth event, and set the next instant for them, idle ones skipped."""
        for pit in self._pits.values():
            depth = pit.public.flush(at)
            if depth is not None:
                self._events.append(depth)
        acts = self._market.next_at()
        idle_until = now if acts is None else min(now, acts)
        self._next_flush = max(at, idle_until - idle_until % DEPTH_EVERY) + DEPTH_EVERY

    def _take_events(self) -> list[ExchangeEvent]:
        events, self._events = self._events, []
        return events


def _spent(pit: Pit, order: Order) -> str:
    """The asset that an order locks."""
    return pit.rules.quote if order.buying else pit.rules.base


def _needed(pit: Pit, order: Order) -> Decimal:
    """What an order's remainder must keep locked."""
    if not order.leaves:
        return ZERO
    if not order.buying:
        return pit.scale.quantity(order.leaves)
    return order.locked if order.price is None else pit.scale.value(order.price, order.leaves)


def open_exchange(market: str, seed: int, start_us: int) -> PaperExchange:
    """The paper venue's exchange.

    Args:
        market: `synthetic`, or `tape:PATH` of a capture.
        seed: of the synthetic market; a tape ignores it.
        start_us: the venue's clock at the start, in microseconds.

    Raises:
        ValueError: for another market's name.
        meltica.marketdata.tapes.TapeError: for a capture that cannot be read.
    """
    if market == "synthetic":
        synthetic = SyntheticMarket(seed, start_us)
        return PaperExchange(synthetic.rules, synthetic, start_us=start_us)
    if market.startswith("tape:") and market != "tape:":
        tape = open_tape_market(market.removeprefix("tape:"), start_us)
        return PaperExchange([tape.rules], tape, start_us=start_us)
    raise ValueError(f"market {market!r}: 'synthetic' or 'tape:PATH' is allowed")
