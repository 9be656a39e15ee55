"""Orders by hand that rest, and are cancelled by their ids, whatever becomes of the answers."""

from __future__ import annotations

from decimal import Decimal

import pytest
import trio

from chaos.live.agenda import Item
from chaos.live.workload import BEAT_MS, Operator, Operators, away
from chaos.rig.beat import ORDER
from chaos.rig.watch import ActRefused

BEAT = BEAT_MS / 1000
LAST = {"BTCUSDT": Decimal("60000.10")}


class Exchange:
    """Stands in for the watcher: what rests by its id; `codes`: how the next asks fail, and whether they are done."""

    def __init__(self, *codes):
        self.apis = dict.fromkeys(("n1", "n2", "n3"), "")
        self.codes, self.asked, self.rests, self.known = list(codes), [], [], {}

    async def act(self, node, action, body, reason):
        code, done = self.codes.pop(0) if self.codes else (200, True)
        self.asked.append((trio.current_time(), action, dict(body)))
        request = body["request_id"]
        if done and request not in self.known:
            self.known[request] = f"id{len(self.known)}"
            self.do(action, body, self.known[request])
        if code != 200:
            raise ActRefused("not now", code)
        return {"request_id": request, "index": len(self.asked), "detail": {"order": self.known[request]}}

    def do(self, action, body, name):
        if action == "cancel":
            self.rests.remove(body["order"])
        elif body["type"] == "LIMIT":
            self.rests.append(name)


def operator(exchange, *agenda, prices=LAST):
    return Operator(Operators(exchange), "n1", iter(agenda), prices)


async def ask(one):
    return await one.act("n1", "submit", {**ORDER, "side": "BUY"}, "beat")


async def test_one_that_rests_lies_away_from_the_price_until_it_is_cancelled_by_its_id(autojump_clock):
    exchange = Exchange()
    one = operator(exchange, Item("SELL", 4, 50))
    began = trio.current_time()
    await ask(one)
    (_, first, order), (at, second, cancel) = exchange.asked
    assert (first, order["type"], order["side"], order["price"]) == ("submit", "LIMIT", "SELL", "60300.10")
    assert (second, cancel["order"], at - began) == ("cancel", "id0", pytest.approx(4 * BEAT))
    assert exchange.rests == []
    told = one.operators.told
    assert [(one.request, one.index) for one in told] == [(order["request_id"], 1), (cancel["request_id"], 2)]
    assert str(one.operators) == "1 rested, and 1 of these were cancelled by their ids"


async def test_at_the_market_it_is_where_the_agenda_says_so_or_no_price_is_known_or_one_rests_already(autojump_clock):
    exchange = Exchange()
    await ask(operator(exchange, Item("SELL")))
    await ask(operator(exchange, Item("BUY", 4, 50), prices={}))
    both = operator(exchange, Item("BUY", 4, 50), Item("SELL", 4, 50))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, both)
        await trio.sleep(BEAT)
        await ask(both)
    asked = [(body["type"], body["side"]) for _, action, body in exchange.asked if action == "submit"]
    assert asked == [("MARKET", "SELL"), ("MARKET", "BUY"), ("LIMIT", "BUY"), ("MARKET", "SELL")]


async def test_one_that_nobody_answered_is_asked_for_under_its_own_id_until_it_is_known_and_cancelled(autojump_clock):
    exchange = Exchange((None, True), (None, True), (503, True), (504, True), (200, True))
    one = operator(exchange, Item("BUY", 2, 30))
    await ask(one)
    submits = [body["request_id"] for _, action, body in exchange.asked if action == "submit"]
    assert (len(submits), len(set(submits))) == (5, 1)
    assert exchange.rests == []
    assert one.operators.denied == []  # 503 was said of what had been done before
    assert len(one.operators.told) == 2


async def test_one_that_was_refused_is_not_asked_for_again(autojump_clock):
    exchange = Exchange((503, False))
    one = operator(exchange, Item("BUY", 2, 30), Item("BUY", 2, 30))
    with pytest.raises(ActRefused):
        await ask(one)
    assert len(exchange.asked) == len(one.operators.denied) == 1
    await ask(one)
    assert one.operators.counts == {"rested": 1, "cancelled": 1}


async def test_a_cancel_that_was_refused_is_asked_for_anew_until_it_is_done(autojump_clock):
    exchange = Exchange((200, True), (503, False), (503, False))
    one = operator(exchange, Item("BUY", 2, 30))
    await ask(one)
    cancels = [body["request_id"] for _, action, body in exchange.asked if action == "cancel"]
    assert len(set(cancels)) == 3  # what was refused must never be done
    assert [each.request for each in one.operators.denied] == cancels[:2]
    assert [each.request for each in one.operators.told][1:] == cancels[2:]
    assert exchange.rests == []


async def test_a_cancel_of_what_is_gone_ends_it(autojump_clock):
    exchange = Exchange((200, True), (409, False))
    one = operator(exchange, Item("BUY", 2, 30))
    await ask(one)
    assert one.operators.counts == {"rested": 1}
    assert not one.busy


@pytest.mark.parametrize(("side", "price"), [("BUY", "59700.1"), ("SELL", "60300.1")])
def test_a_price_is_as_fine_as_the_last(side, price):
    assert str(away(Decimal("60000.1"), Item(side, 1, 50))) == price
