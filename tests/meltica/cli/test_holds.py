"""What keeps the cluster from trading is told by `meltica status` and its exit code, and not by that of the nodes."""

from __future__ import annotations

import pytest

from meltica.cli.holds import LONG_S, holds

CAUSE = {"cause": "lunch", "by": "operator:ann", "reason": "nobody watches", "wall_ns": 10**18}


def risk(halts=(), reduces=()):
    return {"trading": "halted" if halts else "reducing", "risk": {"halts": halts, "reduces": reduces}}


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (risk(halts=[CAUSE]), "trading is halted, so nothing but cancels is sent"),
        (risk(reduces=[CAUSE]), "trading is reducing, so positions may only shrink"),
        ({"strategies": [{"id": "maker", "stopped": "it raised"}]}, "`meltica start maker`"),
        ({"openings": [{"venue": "paper", "account": "a", "approved": False}]}, "`meltica opening approve paper`"),
        ({"oldest_doubt_s": LONG_S + 1}, "in doubt for 31 s"),
        ({"venues": [{"name": "paper", "connected": False, "refused": "bad key"}]}, "paper is not connected (bad key)"),
    ],
)
def test_each_hold_is_one_sentence_with_what_to_do(document, told):
    (sentence,) = holds(document)
    assert told in sentence
    assert "`meltica" in sentence or "runbooks/" in sentence


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"trading": "running", "risk": {"halts": [], "reduces": []}, "venues": [{"name": "paper", "connected": True}]},
        {"oldest_doubt_s": LONG_S, "strategies": [{"id": "maker", "stopped": ""}]},
        {"oldest_doubt_s": None, "openings": [{"approved": True}]},
    ],
)
def test_all_is_well(document):
    assert holds(document) == []


def test_a_halt_says_by_whom_and_since_when_and_is_degraded(cluster):
    for node in cluster.nodes.values():
        node.halts = [CAUSE, {**CAUSE, "cause": "storm", "by": "", "reason": ""}]
    told = cluster.run("status")
    assert told.returncode == 6
    assert "halted (lunch) by operator:ann since 2001-09-09 01:46:40.000Z: nobody watches" in told.stdout
    assert "halted (storm) by the cluster itself since 2001-09-09 01:46:40.000Z: no reason given" in told.stdout
    assert "causes: lunch, storm" in told.stdout
    nodes = cluster.run("cluster", "status")
    assert nodes.returncode == 0, "the nodes are well"
    assert "halted (lunch) by operator:ann" in nodes.stdout
