"""Reads: what the endpoints that change nothing answer.

Sans-IO.  Public market data comes from the engine as it is; orders, trades and balances come from the read view, as
of a seeded lag ago.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from meltica.paper import limits, render
from meltica.paper.answers import MILLISECOND
from meltica.paper.calls import Call
from meltica.paper.desk import one_order
from meltica.paper.errors import error
from meltica.paper.floor import Floor
from meltica.paper.hub import Hub
from meltica.paper.methods import DEFAULT_DEPTH
from meltica.paper.ports import Times

DEEPEST = 5_000
MOST_ROWS = 1_000
USUAL_ROWS = 500
LONGEST_SPAN = 24 * 3_600 * 1_000_000  # between startTime and endTime, microseconds
SMALLEST_MICROSECONDS = 10**14

Reader = Callable[[Call, Times], Any]


class Reads:
    """Answers reads."""

    def __init__(self, floor: Floor, hub: Hub) -> None:
        self._floor = floor
        self._hub = hub
        self._readers: dict[str, Reader] = {
            "ping": lambda _call, _now: {},
            "time": self._time,
            "exchangeInfo": self._exchange_info,
            "depth": self._depth,
            "trades.recent": self._prints,
            "ticker.book": self._book_tickers,
            "order.status": self._order,
            "openOrders.status": self._open_orders,
            "allOrders": self._all_orders,
            "myTrades": self._trades,
            "account.status": self._account,
            "account.rateLimits.orders": self._order_counts,
        }

    def answer(self, call: Call, now: Times) -> object:
        """The result of one read.

        Raises:
            ApiError: If what is asked for is not there or makes no sense.
        """
        return self._readers[call.operation.name](call, now)

    # --- public ---------------------------------------------------------------------------------------------

    def _time(self, call: Call, now: Times) -> render.Json:
        return {"serverTime": self._floor.unit_us(self._floor.clock(now), micro=call.micro)}

    def _exchange_info(self, call: Call, now: Times) -> render.Json:
        rules = self._floor.exchange.rules
        chosen = self._chosen(call) or list(rules)
        return {
            "timezone": "UTC",
            "serverTime": self._floor.unit_us(self._floor.clock(now), micro=call.micro),
            "rateLimits": limits.stated(self._floor.limits),
            "exchangeFilters": [],
            "symbols": [render.symbol_info(rules[symbol]) for symbol in chosen],
        }

    def _depth(self, call: Call, _now: Times) -> render.Json:
        levels = min(call.values.get("limit", DEFAULT_DEPTH), DEEPEST)
        return render.depth(*self._floor.exchange.depth(call.values["symbol"], max(1, levels)))

    def _prints(self, call: Call, _now: Times) -> list[render.Json]:
        unit = self._hub.unit(micro=call.micro)
        prints = self._floor.exchange.recent_prints(call.values["symbol"], _rows(call))
        return [render.print_shown(each, unit) for each in prints]

    def _book_tickers(self, call: Call, _now: Times) -> Any:
        best = self._floor.exchange.best
        if "symbol" in call.values:
            return render.book_ticker(best(call.values["symbol"]))
        return [render.book_ticker(best(symbol)) for symbol in self._chosen(call) or self._floor.exchange.rules]

    def _chosen(self, call: Call) -> list[str]:
        """The symbols that `symbol` or `symbols` names; none if neither is there."""
        if "symbol" in call.values and "symbols" in call.values:
            raise error(-1128, "Combination of optional parameters invalid.")
        if "symbol" in call.values:
            return [call.values["symbol"]]
        if "symbols" not in call.values:
            return []
        try:
            names = json.loads(call.values["symbols"])
        except ValueError:
            names = None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise error(-1100, "Illegal characters found in parameter 'symbols'.")
        if any(name not in self._floor.exchange.rules for name in names):
            raise error(-1121)
        return names

    # --- signed ---------------------------------------------------------------------------------------------

    def _as_of(self, call: Call, now: Times) -> int:
        floor = self._floor
        lag = floor.draw(floor.delays.lag)
        if "stale_reads" in floor.faults.kinds:
            fault = floor.faults.strike("stale_reads", call.subject())
            lag += fault.params["lag_ms"] * MILLISECOND if fault else 0
        return now.mono_ns - lag

    def _order(self, call: Call, now: Times) -> render.Json:
        order_id, client_id = one_order(call.values)
        as_of = self._as_of(call, now)
        found = self._floor.view.order(call.account, call.values["symbol"], order_id, client_id, as_of)
        if found is None:
            raise error(-2013)
        if client_id is not None and found.client_order_id != client_id:
            raise error(-2039)
        return render.order_shown(found, self._hub.unit(micro=call.micro))

    def _open_orders(self, call: Call, now: Times) -> list[render.Json]:
        orders = self._floor.view.open_orders(call.account, call.values.get("symbol"), self._as_of(call, now))
        unit = self._hub.unit(micro=call.micro)
        return [render.order_shown(each, unit) for each in orders]

    def _all_orders(self, call: Call, now: Times) -> list[render.Json]:
        between = self._between(call)
        orders = self._floor.view.all_orders(
            call.account,
            call.values["symbol"],
            from_id=call.values.get("orderId"),
            between=between,
            limit=_rows(call),
            as_of=self._as_of(call, now),
        )
        unit = self._hub.unit(micro=call.micro)
        return [render.order_shown(each, unit) for each in orders]

    def _trades(self, call: Call, now: Times) -> list[render.Json]:
        between = self._between(call)
        if "fromId" in call.values and between != (None, None):
            raise error(-1128, "Combination of optional parameters invalid.")
        trades = self._floor.view.trades(
            call.account,
            call.values["symbol"],
            from_id=call.values.get("fromId"),
            order_id=call.values.get("orderId"),
            between=between,
            limit=_rows(call),
            as_of=self._as_of(call, now),
        )
        unit = self._hub.unit(micro=call.micro)
        return [render.trade_shown(each, unit) for each in trades]

    def _between(self, call: Call) -> tuple[int | None, int | None]:
        """StartTime and endTime on the venue's time line; a day apart at most."""
        start, end = (_microseconds(call.values.get(name)) for name in ("startTime", "endTime"))
        if start is not None and end is not None and end - start > LONGEST_SPAN:
            raise error(-1127, "More than 24 hours between startTime and endTime.")
        to_exchange = self._floor.from_shown
        return (None if start is None else to_exchange(start), None if end is None else to_exchange(end))

    def _account(self, call: Call, now: Times) -> render.Json:
        floor = self._floor
        balances = floor.view.balances(call.account, self._as_of(call, now))
        if call.values.get("omitZeroBalances"):
            balances = [row for row in balances if row[1] or row[2]]
        rules = next(iter(floor.exchange.rules.values()))
        updated = floor.unit_us(floor.base(now), micro=call.micro)
        uid = 1 + list(floor.counts).index(call.account)
        return render.account(balances, (rules.maker_fee, rules.taker_fee), updated, uid)

    def _order_counts(self, call: Call, now: Times) -> list[render.Json]:
        return self._floor.counts[call.account].rows(self._floor.clock(now))


def _rows(call: Call) -> int:
    limit: int = call.values.get("limit", USUAL_ROWS)
    return max(1, min(limit, MOST_ROWS))


def _microseconds(value: int | None) -> int | None:
    if value is None or value >= SMALLEST_MICROSECONDS:
        return value
    return value * 1000
