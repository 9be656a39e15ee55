"""`meltica version approve`: what the cluster says that would come of it is what the operator is asked by."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from meltica.api.ports import ActionOutcome, ApproveBuild, OutcomeKind
from meltica.cli import acting, client

DIGEST = "a1" * 32
PLAN = ActionOutcome(OutcomeKind.DONE, "n1 and n3 MAY TRADE NO MORE", detail={"have": ["n2"], "may_no_more": ["n1"]})
NONE = ActionOutcome(OutcomeKind.REFUSED, "no node has build 0.3.0", "copy it", detail={"have": []})


def planned(cluster, plan):
    cluster.nodes["n1"].outcomes = [plan]
    return cluster.nodes["n1"].acted


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr(acting, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))


def test_it_is_looked_at_before_it_is_asked_and_done_when_it_is_confirmed(cluster, terminal):
    acted = planned(cluster, PLAN)
    asked = cluster.run("version", "approve", "0.3.0", DIGEST, "--only", stdin="n\n")
    assert asked.returncode == 1
    assert "n1 and n3 MAY TRADE NO MORE. Go on?" in asked.stderr
    assert [one.dry_run for one in acted] == [True]

    planned(cluster, PLAN)
    done = cluster.run("version", "approve", "0.3.0", DIGEST, "--only", "--yes", "--reason", "everywhere")
    assert done.returncode == 0, done.stderr
    assert "n1 and n3 MAY TRADE NO MORE" in done.stderr, "who gave --yes reads it too"
    assert [one.dry_run for one in acted] == [True, True, False]
    assert acted[-1].wish == ApproveBuild("0.3.0", DIGEST, only=True)
    assert acted[-1].by.reason == "everywhere"


@pytest.mark.parametrize("more", [("--yes",), (), ("--dry-run",)])
def test_what_the_cluster_refuses_is_not_asked_and_not_done(cluster, more, terminal):
    acted = planned(cluster, NONE)
    told = cluster.run("version", "approve", "0.3.0", DIGEST, *more)
    assert told.returncode == 5
    assert "refused: no node has build 0.3.0" in told.stderr
    assert "next: copy it" in told.stderr
    assert [one.dry_run for one in acted] == [True]


def test_where_nobody_can_be_asked_the_cluster_is_not_either(cluster):
    told = cluster.run("version", "approve", "0.3.0", DIGEST)
    assert told.returncode == 2
    assert "`meltica version approve` needs a confirmation" in told.stderr
    assert "--yes" in told.stderr
    assert cluster.nodes["n1"].acted == []


LATE = "the leader n1 at https://n1 did not answer (TooSlowError), so it may have been done"


@pytest.mark.parametrize("how", ["--yes", "--dry-run"])
@pytest.mark.parametrize("why", ["silent", "late", "cut"])
def test_a_look_that_is_not_answered_did_nothing(cluster, monkeypatch, how, why):
    """It was told as what may have been done, to be repeated under its id (review of 2026-11-30)."""
    acted = planned(cluster, ActionOutcome(OutcomeKind.UNKNOWN, LATE, "with the same request id"))
    if why == "silent":
        monkeypatch.setattr(client, "ACT_S", 0)
    if why == "cut":

        async def interrupted(*_arguments):
            raise KeyboardInterrupt

        monkeypatch.setattr(client.Client, "act", interrupted)
    told = cluster.run("version", "approve", "0.3.0", DIGEST, how)
    assert told.returncode == (1 if why == "cut" else 3)
    assert "; nothing was done" in told.stderr
    assert "may have been done" not in told.stderr
    assert "request" not in told.stderr
    assert all(one.dry_run for one in acted)


def test_a_refusal_is_one_document(cluster):
    planned(cluster, NONE)
    told = cluster.run("version", "approve", "0.3.0", DIGEST, "--yes", "-o", "json")
    assert told.returncode == 5
    document = json.loads(told.stdout)
    assert (document["schema"], document["outcome"], document["detail"]) == (
        "meltica.action/1",
        "refused",
        {"have": []},
    )


def test_in_advance_is_said_to_the_cluster_and_only_where_it_is_meant(cluster):
    acted = planned(cluster, PLAN)
    assert cluster.run("version", "approve", "0.3.0", DIGEST, "--in-advance", "--yes").returncode == 0
    assert [one.wish.in_advance for one in acted] == [True, True]
    planned(cluster, PLAN)
    assert cluster.run("version", "approve", "0.3.0", DIGEST, "--dry-run").returncode == 0
    assert acted[-1].wish == ApproveBuild("0.3.0", DIGEST)


def test_one_request_id_for_the_look_and_the_deed(cluster):
    """A repetition is recognised by the leader in both."""
    acted = planned(cluster, PLAN)
    assert cluster.run("version", "approve", "0.3.0", DIGEST, "--yes", "--request-id", "again").returncode == 0
    assert [one.by.request for one in acted] == ["again", "again"]
