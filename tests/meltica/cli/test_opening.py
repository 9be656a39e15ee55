"""`meltica opening`: what the venue shows is seen, asked about and approved as it was seen; status waits for it."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from meltica.api.ports import ApproveOpening

HELD = {"BTC": "1.5", "USDT": "20000"}
ASKED = {"venue": "paper", "account": "main", "approved": False, "by": None, "index": None, "wall_ns": 10**9}
WAITS = {**ASKED, "balances": HELD}
DONE = {**WAITS, "approved": True, "by": "operator:ann", "index": 7}


@pytest.fixture
def waiting(cluster):
    for node in cluster.nodes.values():
        node.openings = [WAITS]
    return cluster


def test_status_says_that_orders_wait_for_it_and_names_the_command(waiting):
    told = waiting.run("status")
    assert told.returncode == 6
    assert "! no order is accepted at paper" in told.stdout
    assert "`meltica opening approve paper`" in told.stdout
    assert waiting.run("cluster", "status").returncode == 0, "the nodes are well"
    for node in waiting.nodes.values():
        node.openings = [DONE]
    assert waiting.run("status").returncode == 0


def test_what_the_venue_shows_is_shown(waiting):
    told = waiting.run("opening", "show")
    for word in ("paper", "main", "BTC", "1.5", "USDT", "20000", "1970-01-01 00:00:01"):
        assert word in told.stdout
    assert "meltica opening approve paper" in told.stderr
    document = json.loads(waiting.run("opening", "show", "-o", "json").stdout)
    assert (document["schema"], document["openings"]) == ("meltica.openings/1", [WAITS])


def test_what_was_seen_is_what_is_approved(waiting):
    told = waiting.run("opening", "approve", "paper", "--yes", "--reason", "counted", "--dry-run", "-o", "json")
    assert told.returncode == 0, told.stderr
    (action,) = waiting.nodes["n1"].acted
    assert action.wish == ApproveOpening("paper", (("BTC", Decimal("1.5")), ("USDT", Decimal(20_000))))
    assert (action.by.reason, action.dry_run) == ("counted", True)


def test_it_asks_first_and_says_what_would_be(waiting):
    told = waiting.run("opening", "approve", "paper")
    assert told.returncode == 2
    assert "start from 1.5 BTC, 20000 USDT, for good" in told.stderr
    assert not waiting.nodes["n1"].acted


@pytest.mark.parametrize(
    ("rows", "venue", "code", "told"),
    [
        ([DONE], "paper", 5, "was approved at 1970-01-01 00:00:01.000Z by operator:ann"),
        ([{**WAITS, "balances": {}}], "paper", 5, "Is the account funded?"),
        ([WAITS], "moon", 2, "there is paper"),
        ([], "moon", 2, "none yet"),
    ],
)
def test_what_can_t_be_approved_says_why(cluster, rows, venue, code, told):
    for node in cluster.nodes.values():
        node.openings = rows
    done = cluster.run("opening", "approve", venue, "--yes")
    assert done.returncode == code
    assert told in done.stderr
    assert not cluster.nodes["n1"].acted


def test_a_repetition_goes_through_to_be_recognised(cluster):
    for node in cluster.nodes.values():
        node.openings = [DONE]
    assert cluster.run("opening", "approve", "paper", "--yes", "--request-id", "cli-1").returncode == 0
    assert cluster.nodes["n1"].acted
