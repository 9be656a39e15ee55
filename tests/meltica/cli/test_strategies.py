"""`meltica strategies`, `start` and `stop`: shown from where they run, done only when asked."""

from __future__ import annotations

import json

import pytest

from meltica.api.ports import StartStrategy, StopStrategy

MAKER = {"id": "maker", "kind": "market_maker", "orders": 4, "gap": "cancel", "stopped_wall_ns": None}
RUNS = {**MAKER, "running": True, "stopped": ""}
IDLE = {**MAKER, "running": False, "stopped": ""}
STOPPED = {**MAKER, "running": False, "stopped": "on_ticker took 300 ms", "stopped_wall_ns": 10**9}


def test_they_are_shown_from_where_they_run_though_another_has_applied_more(cluster):
    for name, node in cluster.nodes.items():
        node.strategies_ = [RUNS if name == "n2" else IDLE]
    cluster.nodes["n3"].index = 99
    assert json.loads(cluster.run("strategies", "-o", "json").stdout)["strategies"] == [RUNS]
    told = cluster.run("strategies")
    assert "running" in told.stdout
    assert "not running" not in told.stdout
    assert "not running" in cluster.run("strategies", "--node", "n3").stdout


@pytest.fixture
def stopped(cluster):
    for node in cluster.nodes.values():
        node.strategies_ = [STOPPED]
        node.status_more = {"strategies": [{"id": "maker", "stopped": STOPPED["stopped"]}, {"id": "b", "stopped": ""}]}
    return cluster


def test_a_stopped_one_says_since_when_and_why_and_how_it_starts(stopped):
    told = stopped.run("strategies")
    for word in ("STOPPED", "1970-01-01 00:00:01", "on_ticker took 300 ms"):
        assert word in told.stdout
    assert "meltica start maker" in told.stderr


def test_status_is_degraded_by_it(stopped):
    told = stopped.run("status")
    assert told.returncode == 6
    assert "! maker is stopped: on_ticker took 300 ms; look with `meltica strategies`" in told.stdout
    assert "! b " not in told.stdout
    assert stopped.run("cluster", "status").returncode == 0


def test_it_is_started_when_asked(stopped):
    asked = stopped.run("start", "maker")
    assert asked.returncode == 2
    assert "it was stopped: on_ticker took 300 ms" in asked.stderr
    assert not stopped.nodes["n1"].acted
    assert stopped.run("start", "maker", "--yes", "--reason", "mended").returncode == 0
    (action,) = stopped.nodes["n1"].acted
    assert (action.wish, action.by.reason) == (StartStrategy("maker"), "mended")


@pytest.mark.parametrize(("name", "code", "told"), [("maker", 5, "is not stopped"), ("moon", 2, "there is maker")])
def test_what_can_t_be_started_says_why(cluster, name, code, told):
    for node in cluster.nodes.values():
        node.strategies_ = [RUNS]
    done = cluster.run("start", name, "--yes")
    assert done.returncode == code
    assert told in done.stderr
    assert not cluster.nodes["n1"].acted


def test_one_is_stopped_when_asked(cluster):
    for node in cluster.nodes.values():
        node.strategies_ = [RUNS]
    asked = cluster.run("stop", "maker")
    assert asked.returncode == 2
    assert "its orders are cancelled, its positions stay" in asked.stderr
    assert not cluster.nodes["n1"].acted
    assert cluster.run("stop", "maker", "--yes", "--reason", "too wide").returncode == 0
    (action,) = cluster.nodes["n1"].acted
    assert (action.wish, action.by.reason, action.dry_run) == (StopStrategy("maker"), "too wide", False)
    assert cluster.run("stop", "maker", "--dry-run").returncode == 0
    assert cluster.nodes["n1"].acted[-1].dry_run


def test_a_stopped_one_is_not_stopped_again_but_a_repetition_is_the_leaders_affair(stopped):
    done = stopped.run("stop", "maker", "--yes")
    assert done.returncode == 5
    assert "is stopped already: on_ticker took 300 ms" in done.stderr
    assert stopped.run("stop", "moon", "--yes").returncode == 2
    assert not stopped.nodes["n1"].acted
    assert stopped.run("stop", "maker", "--yes", "--request-id", "again").returncode == 0
    assert stopped.nodes["n1"].acted[-1].by.request == "again"
