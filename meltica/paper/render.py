"""Render: the exchange's values as Binance's JSON, for REST, the WebSocket API and the streams.

Pure.  `Unit` turns the exchange's microseconds into what the client asked for, milliseconds or microseconds, on the
venue's own time line (a market that runs faster than the clock is mapped back).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from meltica.paper.types import (
    BalanceChange,
    BestChange,
    DepthChange,
    Execution,
    OrderView,
    Print,
    SymbolRules,
    TradeView,
)

Json = dict[str, Any]
Unit = Callable[[int], int]  # the exchange's microseconds -> the client's unit
Levels = Iterable[tuple[Decimal, Decimal]]


def _encoder() -> Callable[[object], str]:
    """Compact JSON.  The C encoder is made once, where there is one: `JSONEncoder.encode` makes it at each call."""
    plain = json.JSONEncoder(separators=(",", ":"), check_circular=False)
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return plain.encode
    chunks = make(None, plain.default, json.encoder.encode_basestring_ascii, None, ":", ",", False, False, True)
    return lambda value: "".join(chunks(value, 0))


_ENCODE = _encoder()

ZERO = "0.00000000"
SELF_TRADE = "EXPIRE_MAKER"  # what the exchange does, Binance's default


def dump(value: object) -> str:
    """Compact JSON."""
    return _ENCODE(value)


def amount(value: Decimal) -> str:
    """Eight decimals, as Binance writes prices, quantities and balances."""
    return format(value, ".8f")


def price_of(order: OrderView) -> str:
    """An order's price; a market order's is zero."""
    return ZERO if order.price is None else amount(order.price)


def status_of(order: OrderView) -> str:
    """An order's status; one that rested and expired did so because it met an order of its own account."""
    rested = order.time_in_force == "GTC" and order.order_type != "MARKET"
    return "EXPIRED_IN_MATCH" if rested and order.status == "EXPIRED" else order.status


def placed_ack(order: OrderView, unit: Unit) -> Json:
    """NewOrderRespType ACK."""
    return {
        "symbol": order.symbol, "orderId": order.order_id, "orderListId": -1,
        "clientOrderId": order.client_order_id, "transactTime": unit(order.updated_at),
    }  # fmt: skip


def placed_result(order: OrderView, unit: Unit) -> Json:
    """NewOrderRespType RESULT."""
    return placed_ack(order, unit) | _amounts(order) | {"workingTime": unit(order.placed_at)} | _tail(order)


def placed_full(order: OrderView, trades: Iterable[TradeView], unit: Unit) -> Json:
    """NewOrderRespType FULL."""
    fills = [
        {
            "price": amount(each.price), "qty": amount(each.quantity), "commission": amount(each.fee),
            "commissionAsset": each.fee_asset, "tradeId": each.trade_id,
        }
        for each in trades
    ]  # fmt: skip
    return placed_result(order, unit) | {"fills": fills}


def cancelled(order: OrderView, was_named: str, unit: Unit) -> Json:
    """The answer to a cancel: the order under its new name, and the one it had."""
    head = {
        "symbol": order.symbol, "origClientOrderId": was_named, "orderId": order.order_id, "orderListId": -1,
        "clientOrderId": order.client_order_id, "transactTime": unit(order.updated_at),
    }  # fmt: skip
    return head | _amounts(order) | _tail(order)


def order_shown(order: OrderView, unit: Unit) -> Json:
    """An order as a query shows it."""
    row: Json = {
        "symbol": order.symbol, "orderId": order.order_id, "orderListId": -1,
        "clientOrderId": order.client_order_id, "price": price_of(order), "origQty": amount(order.quantity),
        "executedQty": amount(order.executed), "cummulativeQuoteQty": amount(order.quote_executed),
        "status": status_of(order), "timeInForce": order.time_in_force, "type": order.order_type, "side": order.side,
        "stopPrice": ZERO, "icebergQty": ZERO, "time": unit(order.placed_at), "updateTime": unit(order.updated_at),
        "isWorking": True, "workingTime": unit(order.placed_at), "origQuoteOrderQty": ZERO,
    }  # fmt: skip
    return row | _tail(order)


def _amounts(order: OrderView) -> Json:
    return {
        "price": price_of(order), "origQty": amount(order.quantity), "executedQty": amount(order.executed),
        "origQuoteOrderQty": ZERO, "cummulativeQuoteQty": amount(order.quote_executed), "status": status_of(order),
        "timeInForce": order.time_in_force, "type": order.order_type, "side": order.side,
    }  # fmt: skip


def _tail(order: OrderView) -> Json:
    strategy = {} if order.strategy_id is None else {"strategyId": order.strategy_id}
    return strategy | {"selfTradePreventionMode": SELF_TRADE}


def trade_shown(trade: TradeView, unit: Unit) -> Json:
    """An own trade as a query shows it; it carries no client order id."""
    return {
        "symbol": trade.symbol, "id": trade.trade_id, "orderId": trade.order_id, "orderListId": -1,
        "price": amount(trade.price), "qty": amount(trade.quantity), "quoteQty": amount(trade.price * trade.quantity),
        "commission": amount(trade.fee), "commissionAsset": trade.fee_asset, "time": unit(trade.at),
        "isBuyer": trade.side == "BUY", "isMaker": trade.maker, "isBestMatch": True,
    }  # fmt: skip


def account(
    balances: Iterable[tuple[str, Decimal, Decimal]], fees: tuple[Decimal, Decimal], updated: int, uid: int
) -> Json:
    """Account information; `fees` are maker's and taker's."""
    maker, taker = fees
    return {
        "makerCommission": int(maker * 10_000), "takerCommission": int(taker * 10_000), "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {"maker": amount(maker), "taker": amount(taker), "buyer": ZERO, "seller": ZERO},
        "canTrade": True, "canWithdraw": False, "canDeposit": False, "brokered": False,
        "requireSelfTradePrevention": False, "preventSor": False, "updateTime": updated, "accountType": "SPOT",
        "balances": [
            {"asset": asset, "free": amount(free), "locked": amount(locked)} for asset, free, locked in balances
        ],
        "permissions": ["SPOT"], "uid": uid,
    }  # fmt: skip


def depth(last_id: int, bids: Levels, asks: Levels) -> Json:
    """A book's snapshot."""
    return {"lastUpdateId": last_id, "bids": _levels(bids), "asks": _levels(asks)}


def print_shown(each: Print, unit: Unit) -> Json:
    """A public trade as /trades shows it."""
    return {
        "id": each.trade_id, "price": amount(each.price), "qty": amount(each.quantity),
        "quoteQty": amount(each.price * each.quantity), "time": unit(each.at),
        "isBuyerMaker": each.buyer_is_maker, "isBestMatch": True,
    }  # fmt: skip


def book_ticker(best: BestChange) -> Json:
    """The best prices as /ticker/bookTicker shows them."""
    return {
        "symbol": best.symbol, "bidPrice": amount(best.bid), "bidQty": amount(best.bid_quantity),
        "askPrice": amount(best.ask), "askQty": amount(best.ask_quantity),
    }  # fmt: skip


def symbol_info(rules: SymbolRules) -> Json:
    """One symbol of exchangeInfo, with its filters."""
    return {
        "symbol": rules.symbol, "status": "TRADING", "baseAsset": rules.base, "baseAssetPrecision": 8,
        "quoteAsset": rules.quote, "quotePrecision": 8, "quoteAssetPrecision": 8, "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8, "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"], "icebergAllowed": False,
        "ocoAllowed": False, "otoAllowed": False, "opoAllowed": False, "quoteOrderQtyMarketAllowed": False,
        "allowTrailingStop": False, "cancelReplaceAllowed": False, "amendAllowed": False,
        "pegInstructionsAllowed": False, "isSpotTradingAllowed": True, "isMarginTradingAllowed": False,
        "filters": _filters(rules), "permissions": [], "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": SELF_TRADE, "allowedSelfTradePreventionModes": [SELF_TRADE],
    }  # fmt: skip


def _filters(rules: SymbolRules) -> list[Json]:
    return [
        {
            "filterType": "PRICE_FILTER", "minPrice": amount(rules.min_price), "maxPrice": amount(rules.max_price),
            "tickSize": amount(rules.tick),
        },
        {
            "filterType": "LOT_SIZE", "minQty": amount(rules.min_quantity), "maxQty": amount(rules.max_quantity),
            "stepSize": amount(rules.step),
        },
        {
            "filterType": "NOTIONAL", "minNotional": amount(rules.min_notional), "applyMinToMarket": True,
            "maxNotional": "9000000.00000000", "applyMaxToMarket": False, "avgPriceMins": 5,
        },
    ]  # fmt: skip


def _levels(levels: Levels) -> list[list[str]]:
    return [[amount(price), amount(quantity)] for price, quantity in levels]


# --- streams ------------------------------------------------------------------------------------------------


def depth_event(change: DepthChange, at: int) -> Json:
    """`depth@100ms`; `at` is the event's time in the client's unit."""
    return {
        "e": "depthUpdate", "E": at, "s": change.symbol, "U": change.first_id, "u": change.last_id,
        "b": _levels(change.bids), "a": _levels(change.asks),
    }  # fmt: skip


def best_event(best: BestChange) -> Json:
    """`bookTicker`; it has no time."""
    return {
        "u": best.update_id, "s": best.symbol, "b": amount(best.bid), "B": amount(best.bid_quantity),
        "a": amount(best.ask), "A": amount(best.ask_quantity),
    }  # fmt: skip


def print_event(each: Print, at: int, unit: Unit) -> Json:
    """`trade`."""
    return {
        "e": "trade", "E": at, "s": each.symbol, "t": each.trade_id, "p": amount(each.price),
        "q": amount(each.quantity), "T": unit(each.at), "m": each.buyer_is_maker, "M": True,
    }  # fmt: skip


def balance_event(change: BalanceChange, at: int, unit: Unit) -> Json:
    """`outboundAccountPosition`."""
    rows = [{"a": asset, "f": amount(free), "l": amount(locked)} for asset, free, locked in change.balances]
    return {"e": "outboundAccountPosition", "E": at, "u": unit(change.at), "B": rows}


def execution_report(event: Execution, at: int, unit: Unit, execution_id: int) -> Json:
    """`executionReport`: of a cancel, `c` is the cancel's id and `C` the order's."""
    order, trade = event.order, event.trade
    was_named = order.placed_as if event.kind == "CANCELED" else ""
    status = status_of(order)
    kind = "TRADE_PREVENTION" if status == "EXPIRED_IN_MATCH" else event.kind
    report: Json = {
        "e": "executionReport", "E": at, "s": order.symbol, "c": order.client_order_id, "S": order.side,
        "o": order.order_type, "f": order.time_in_force, "q": amount(order.quantity), "p": price_of(order),
        "P": ZERO, "F": ZERO, "g": -1, "C": was_named, "x": kind, "X": status, "r": "NONE",
        "i": order.order_id, "l": amount(trade.quantity) if trade else ZERO, "z": amount(order.executed),
        "L": amount(trade.price) if trade else ZERO, "n": amount(trade.fee) if trade else "0",
        "N": trade.fee_asset if trade else None, "T": unit(event.at), "t": trade.trade_id if trade else -1,
        "I": execution_id, "w": order.status in {"NEW", "PARTIALLY_FILLED"}, "m": bool(trade and trade.maker),
        "M": bool(trade), "O": unit(order.placed_at), "Z": amount(order.quote_executed),
        "Y": amount(trade.price * trade.quantity) if trade else ZERO, "Q": ZERO,
    }  # fmt: skip
    if order.strategy_id is not None:
        report["j"] = order.strategy_id
    if event.kind != "REJECTED":
        report["W"] = unit(order.placed_at)
    report["V"] = SELF_TRADE
    if kind == "EXPIRED":
        report["eR"] = "INSUFFICIENT_LIQUIDITY"
    return report
