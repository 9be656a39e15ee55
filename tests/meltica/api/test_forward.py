"""An action reaches the leader from any node, in one hop, and nothing is ever sent twice."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime

import trio

from cluster import pki
from meltica.api.forward import FORWARDED_BY, make_forwarder
from meltica.api.ports import ActionOutcome, OutcomeKind

from .conftest import OPERATOR, VIEWER, FakeView

HALT = {"request_id": "r-1", "reason": "a test"}


async def test_a_standby_carries_an_action_to_the_leader(serve):
    leader = await serve(FakeView(name="n2", outcome=ActionOutcome(OutcomeKind.REFUSED, "no", "wait")))
    standby = await serve(FakeView(leading=False, leader_url=leader.url))
    answer = await standby.post("/api/v1/actions/halt", json=HALT)
    assert answer.status_code == 409
    assert answer.json()["node"] == "n2"
    assert len(leader.view.acted) == 1
    assert not standby.view.acted


async def test_a_viewer_is_refused_before_anything_is_carried(serve):
    leader = await serve(FakeView(name="n2"))
    standby = await serve(FakeView(leading=False, leader_url=leader.url))
    assert (await standby.post("/api/v1/actions/halt", token=VIEWER, json=HALT)).status_code == 403
    assert not leader.view.acted


async def test_two_standbys_that_think_the_other_leads_do_not_play_ball(serve):
    one, two = await serve(FakeView(name="n1", leading=False)), await serve(FakeView(name="n2", leading=False))
    one.view.leader_url, two.view.leader_url, two.view.leader_name = two.url, one.url, "n1"
    answer = await one.post("/api/v1/actions/halt", json=HALT)
    assert answer.status_code == 503
    assert answer.json()["outcome"] == "no_leader"
    assert answer.json()["node"] == "n2"


async def test_without_a_known_leader_it_is_surely_not_done(serve):
    answer = await (await serve(FakeView(leading=False))).post("/api/v1/actions/halt", json=HALT)
    assert answer.status_code == 503
    assert answer.json()["outcome"] == "no_leader"
    assert "same request id" in answer.json()["next"]


async def test_a_leader_that_can_not_be_reached_is_surely_not_done(serve):
    standby = await serve(FakeView(leading=False, leader_url="https://127.0.0.1:1"))
    answer = await standby.post("/api/v1/actions/halt", json=HALT)
    assert answer.status_code == 503
    assert "nothing was done" in answer.json()["message"]


async def test_a_leader_that_ends_while_asked_leaves_the_outcome_unknown(serve, certificates, nursery):
    """The connection is made, the request is written, no answer comes: it may have been done."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates / "n2.pem", certificates / "n2.key")

    async def hang_up(stream):
        await stream.receive_some(1)
        await trio.aclose_forcefully(stream)

    async def listen(task_status):
        await trio.serve_ssl_over_tcp(hang_up, 0, context, host="127.0.0.1", task_status=task_status)

    listeners = await nursery.start(listen)
    port = listeners[0].transport_listener.socket.getsockname()[1]
    standby = await serve(FakeView(leading=False, leader_url=f"https://127.0.0.1:{port}"))
    answer = await standby.post("/api/v1/actions/halt", json=HALT)
    assert answer.status_code == 504
    assert answer.json()["outcome"] == "unknown"
    assert "may have been done" in answer.json()["message"]
    nursery.cancel_scope.cancel()


async def test_a_leader_of_another_cluster_is_not_spoken_to(serve, certificates, tmp_path):
    """The forwarder trusts the cluster's own authority alone: the token does not go to a stranger."""
    pki.create(tmp_path / "other", "other", ["n1"], datetime.now(UTC))
    leader = await serve(FakeView(name="n2"))
    stranger = make_forwarder("n1", tmp_path / "other" / "ca.pem")
    outcome = await stranger("n2", f"{leader.url}/api/v1/actions/halt", f"Bearer {OPERATOR}", b"{}")
    assert isinstance(outcome, ActionOutcome)
    assert outcome.kind is OutcomeKind.NO_LEADER
    assert not leader.view.acted


async def test_a_kill_without_quorum_is_done_by_the_very_node(serve):
    standby = await serve(FakeView(leading=False))
    answer = await standby.post("/api/v1/actions/kill", json={**HALT, "without_quorum": True})
    assert answer.status_code == 200
    assert len(standby.view.acted) == 1


async def test_the_forwarded_mark_is_a_header_of_its_own(serve):
    leader = await serve(FakeView())
    answer = await leader.post("/api/v1/actions/halt", json=HALT, headers={FORWARDED_BY: "n2"})
    assert answer.status_code == 200
