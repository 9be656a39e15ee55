"""Bodies of actions: what fits becomes a wish; what does not is told whole, and nothing is coerced."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meltica.api.bodies import WISHES, BadBody, action_of
from meltica.api.ports import (
    Action,
    ApproveOpening,
    CancelOrders,
    HaltTrading,
    KillTrading,
    Promote,
    ReduceOnly,
    ReplaceNode,
    ResumeTrading,
    SetMode,
    StartStrategy,
    SubmitOrder,
    TakeSnapshot,
)
from meltica.core.values import Mode, OrderType, Side, TimeInForce

WHO = {"request_id": "r-1", "reason": " a test "}
LIMIT = {"venue": "paper", "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "0.5", "price": "100"}
REPLACE = {"old": "n3", "new": "n4", "address": "10.0.0.4:7404"}
MARKET = {**LIMIT, "type": "MARKET", "price": None}


def action(kind, body, **more):
    return action_of(kind, json.dumps({**WHO, **body, **more}).encode(), "operator")


@pytest.mark.parametrize(
    ("kind", "body", "wish"),
    [
        ("promote", {}, Promote()),
        ("promote", {"node": "n2", "epoch": 7}, Promote("n2", 7)),
        ("halt", {"cause": None, "leave_quotes": None}, HaltTrading("operator")),
        ("reduce", {"cause": "c"}, ReduceOnly("c")),
        ("resume", {"causes": ["a", "b c"], "risk_index": 0}, ResumeTrading(("a", "b c"), 0)),
        ("kill", {"without_quorum": True}, KillTrading("operator", without_quorum=True)),
        ("mode", {"mode": "manual"}, SetMode(Mode.MANUAL)),
        ("cancel", {"order": "f" * 32}, CancelOrders(order="f" * 32)),
        ("cancel", {"all": True}, CancelOrders()),
        (
            "opening",
            {"venue": "paper", "balances": {"USDT": "20.50", "BTC": "0"}},
            ApproveOpening("paper", (("BTC", Decimal(0)), ("USDT", Decimal("20.5")))),
        ),
        ("start", {"strategy": "maker"}, StartStrategy("maker")),
        ("replace", REPLACE, ReplaceNode("n3", "n4", "10.0.0.4:7404")),
        ("snapshot", {}, TakeSnapshot(1000)),
        ("snapshot", {"keep": 100}, TakeSnapshot(100)),
        ("replace", {"old": "n3", "new": "n4", "give_up": True}, ReplaceNode("n3", "n4", give_up=True)),
        ("submit", LIMIT, SubmitOrder("paper", "BTCUSDT", Side.BUY, OrderType.LIMIT, Decimal("0.5"), Decimal(100))),
        (
            "submit",
            MARKET,
            SubmitOrder("paper", "BTCUSDT", Side.BUY, OrderType.MARKET, Decimal("0.5"), time_in_force=TimeInForce.IOC),
        ),
    ],
)
def test_what_fits_is_a_wish(kind, body, wish):
    read = action(kind, body, actor="ann", dry_run=True)
    assert read.wish == wish
    assert (read.by.request, read.by.actor, read.by.reason, read.dry_run) == ("r-1", "operator:ann", "a test", True)
    assert action(kind, body).by.actor == "operator"


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        ("halt", {"request_id": None}, "request_id: found nothing; allowed: 1 to 64"),
        ("halt", {"reason": 5}, "reason: found 5 (int); allowed: why, in 1 to 500"),
        ("halt", {"dry_run": "false"}, "dry_run: found 'false' (str); allowed: true or false"),
        ("halt", {"leave_quote": True}, "leave_quote: found an unknown key; allowed: 'leave_quotes'"),
        ("promote", {"epoch": True}, "epoch: found True (bool); allowed: a whole number"),
        ("promote", {"epoch": "7"}, "epoch: found '7' (str); allowed: a whole number"),
        ("promote", {"epoch": 2**63}, "epoch: found 9223372036854775808 (int); allowed: a whole number"),
        ("resume", {"causes": ["a"]}, "risk_index: found nothing; allowed: the risk index that `status` showed"),
        ("resume", {"causes": [], "risk_index": 1}, "causes: found [] (list); allowed: a list of the causes to lift"),
        ("resume", {"causes": "a", "risk_index": 1}, "causes: found 'a' (str); allowed: a list of the causes to lift"),
        ("resume", {"causes": ["a", 5], "risk_index": 1}, "causes[1]: found 5 (int); allowed: a cause to lift"),
        ("mode", {"mode": "auto"}, 'mode: found \'auto\' (str); allowed: "automatic", "manual"'),
        ("cancel", {}, "order: found nothing; allowed: an order, a strategy, a symbol, or `all`"),
        ("cancel", {"order": "f" * 32, "all": True}, "allowed: one order, or `strategy`, `symbol` or `all`, not both"),
        ("snapshot", {"keep": 99}, "keep: found 99 (int); allowed: how many of the log's newest entries stay"),
        ("replace", {**REPLACE, "new": "n3"}, "new: found 'n3'; allowed: another name"),
        ("replace", {**REPLACE, "address": "n4"}, "address: found 'n4' (str); allowed: host:port"),
        (
            "replace",
            {**REPLACE, "address": "n4..example:7404"},
            "allowed: host:port, as its peers dial it; the host an IP",
        ),
        ("replace", {**REPLACE, "address": f"{'x' * 64}.example:7404"}, "parts between the dots are 1 to 63 letters"),
        ("replace", {**REPLACE, "address": None}, "address: found nothing; allowed: host:port, as its peers dial it"),
        ("replace", {**REPLACE, "old": "N3"}, "old: found 'N3' (str); allowed: a node's name"),
        ("submit", {**LIMIT, "quantity": 1}, "quantity: found 1 (int); allowed: a decimal above 0, as text"),
        ("submit", {**LIMIT, "quantity": "0"}, "quantity: found '0' (str); allowed: a decimal above 0, as text"),
        ("submit", {**LIMIT, "price": None}, "price: found nothing; allowed: a decimal above 0, as text"),
        ("submit", {**MARKET, "price": "1"}, "price: found '1'; allowed: none: a market order has no price"),
    ],
)
def test_what_does_not_fit_says_what_was_found_and_what_is_allowed(kind, body, told):
    with pytest.raises(BadBody) as caught:
        action(kind, body)
    assert told in str(caught.value)
    assert " | " not in str(caught.value)


def test_all_that_is_wrong_is_told_at_once_on_one_line():
    with pytest.raises(BadBody) as caught:
        action("submit", {"venue": "paper", "side": "buy", "quantity": "x", "colour": 1})
    told = str(caught.value)
    assert [one.partition(":")[0] for one in told.split(" | ")] == ["symbol", "side", "type", "quantity", "colour"]
    assert "\n" not in told


def test_very_many_errors_are_told_shortly():
    with pytest.raises(BadBody, match=r"and 890 more$") as caught:
        action("resume", {"causes": [1] * 900, "risk_index": 1})
    assert len(str(caught.value)) < 2_000


BODIES = st.dictionaries(
    st.sampled_from([*WHO, *LIMIT, "actor", "dry_run", "causes", "risk_index", "all", "order", "mode", "epoch", "x"]),
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.sampled_from(["1", "BUY", "LIMIT", "GTC"])
    | st.lists(st.text(max_size=3) | st.integers(), max_size=3),
    max_size=9,
)  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(sorted(WISHES)), BODIES, st.booleans())
def test_whatever_the_body_it_is_an_action_or_refused(kind, body, whole):
    told = "allowed"
    try:
        assert isinstance(action(kind, body) if whole else action_of(kind, json.dumps(body).encode(), "x"), Action)
    except BadBody as bad:
        told = str(bad)
    assert "allowed" in told
