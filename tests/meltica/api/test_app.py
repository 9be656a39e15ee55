"""The API as a client meets it: over TLS, by token and role, with clear errors for bad input."""

from __future__ import annotations

import json

import pytest

from meltica.api.bodies import MAX_BODY
from meltica.api.ports import ActionOutcome, Check, HaltTrading, OutcomeKind

from .conftest import EXPOSITION, OPERATOR, VIEWER, FakeView

HALT = {"request_id": "r-1", "reason": "a test"}
PATHS = [
    "/livez",
    "/readyz",
    "/readyz?verbose",
    "/leader",
    "/standby",
    "/metrics",
    "/",
    "/nothing/here",
    *(f"/api/v1/{what}" for what in ("status", "orders", "positions", "fills", "audit", "strategies", "actions/halt")),
]


async def test_without_a_token_every_path_gives_the_same_401_and_nothing_leaks(serve):
    """Also paths that do not exist: a stranger can't tell which do."""
    api = await serve()
    bodies = []
    for path in PATHS:
        for token in (None, "x" * 43, VIEWER[:-1], ""):
            answer = await api.get(path, token=token)
            assert answer.status_code == 401, path
            bodies.append(answer.text)
    assert len(set(bodies)) == 1
    assert "demo" not in bodies[0]
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "server" not in answer.headers
    assert answer.json()["schema"] == "meltica.error/1"
    posted = await api.post("/api/v1/actions/halt", token=None, json=HALT)
    assert posted.status_code == 401
    assert not api.view.acted


async def test_health_paths_say_what_a_prober_needs(serve):
    api = await serve()
    assert (await api.get("/livez")).text == "live\n"
    assert (await api.get("/readyz")).status_code == 200
    assert (await api.get("/leader")).status_code == 200
    assert (await api.get("/standby")).status_code == 503
    api.view.active = False
    assert (await api.get("/leader")).status_code == 503
    assert (await api.get("/standby")).status_code == 200


async def test_readyz_verbose_names_what_is_missing(serve):
    api = await serve()
    api.view.checks = (Check("caught_up", ok=True), Check("venue_paper", ok=False, text="not connected"))
    answer = await api.get("/readyz?verbose")
    assert answer.status_code == 503
    assert answer.text == "[+]caught_up ok\n[-]venue_paper not connected\nnot ready\n"
    assert (await api.get("/livez")).status_code == 200


async def test_a_dead_node_is_neither_live_nor_ready(serve):
    api = await serve()
    api.view.live = False
    assert (await api.get("/livez")).status_code == 503
    assert (await api.get("/readyz")).status_code == 503


async def test_metrics_need_a_token_too(serve):
    answer = await (await serve()).get("/metrics")
    assert answer.content == EXPOSITION
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("what", ["orders", "positions", "fills", "audit", "strategies"])
async def test_reads_are_stamped_with_index_and_age(serve, what):
    document = (await (await serve()).get(f"/api/v1/{what}")).json()
    assert document["schema"] == f"meltica.{what}/1"
    assert document["as_of"] == {"wall_ns": 1_700_000_000_000_000_000, "index": 42, "age_s": 1.5}
    assert document["node"] == "n1"
    assert isinstance(document[what], list)


async def test_status_is_the_nodes_own_document_with_its_age(serve):
    document = (await (await serve()).get("/api/v1/status")).json()
    assert next(iter(document)) == "schema"
    assert document["as_of"] == {"wall_ns": 5, "index": 42, "age_s": 1.5}


async def test_orders_that_are_over_are_shown_for_the_asking(serve):
    api = await serve()
    assert len((await api.get("/api/v1/orders")).json()["orders"]) == 1
    assert len((await api.get("/api/v1/orders?all=true")).json()["orders"]) == 2


async def test_pages_follow_each_other(serve):
    api = await serve()
    first = (await api.get("/api/v1/fills?limit=3")).json()
    assert ([row["seq"] for row in first["fills"]], first["next_after"]) == ([1, 2, 3], 3)
    second = (await api.get("/api/v1/fills?after=3")).json()
    assert ([row["seq"] for row in second["fills"]], second["next_after"]) == ([4, 5], None)


@pytest.mark.parametrize("what", ["fills", "audit"])
async def test_the_newest_are_given_from_the_end_back(serve, what):
    api = await serve()
    newest = (await api.get(f"/api/v1/{what}?last=2")).json()
    assert ([row["seq"] for row in newest[what]], newest["next_after"], newest["next_before"]) == ([4, 5], 5, 4)
    before = (await api.get(f"/api/v1/{what}?last=9&before=4")).json()
    assert ([row["seq"] for row in before[what]], before["next_before"]) == ([1, 2, 3], None)
    assert "next_before" not in (await api.get(f"/api/v1/{what}")).json()


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=1001", "after=-1", "after=x", "limit=" + "9" * 400, "after=%C2%B2"),
        *("last=0", "last=1001", "last=x", "last=5&after=3", "last=5&limit=3", "before=4", "last=5&before=-1"),
    ],
)
async def test_a_bad_query_is_refused(serve, query):
    answer = await (await serve()).get(f"/api/v1/audit?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"] == "bad_query"


@pytest.mark.parametrize("what", ["fills", "audit"])
async def test_what_can_t_be_read_is_told_with_what_to_do(serve, what):
    api = await serve()
    api.view.unreadable = True
    answer = await api.get(f"/api/v1/{what}")
    assert answer.status_code == 500
    found = {key: answer.json()[key] for key in ("error", "message", "next")}
    assert found == {
        "error": "damaged",
        "message": "the archive lacks the entries from 1 to 10",
        "next": "Copy them from another node.",
    }


async def test_an_action_reaches_the_node_typed_and_signed_by_its_role(serve):
    api = await serve()
    answer = await api.post("/api/v1/actions/halt", json={**HALT, "actor": "ann", "leave_quotes": True})
    assert answer.status_code == 200
    assert answer.json() == {
        "schema": "meltica.action/1",
        "outcome": "done",
        "request_id": "r-1",
        "node": "n1",
        "message": "halted",
        "next": "",
        "index": 12,
        "detail": {},
    }
    (action,) = api.view.acted
    assert action.wish == HaltTrading(cause="operator", leave_quotes=True)
    assert (action.by.actor, action.by.request, action.by.reason) == ("operator:ann", "r-1", "a test")


async def test_the_node_s_log_says_who_asked_for_what_and_why(serve, capfd):
    """Of what no audit trail has, a snapshot above all, this is all that is kept."""
    api = await serve(level="info")
    body = {"request_id": "r-7", "reason": "the disk fills up", "actor": "bo"}
    assert (await api.post("/api/v1/actions/snapshot", json=body)).status_code == 200
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    (said,) = [line for line in lines if line["event"] == "an action was carried out"]
    assert (said["kind"], said["request"], said["actor"]) == ("snapshot", "r-7", "operator:bo")
    assert said["reason"] == "the disk fills up"


async def test_a_viewer_reads_and_does_not_act(serve):
    api = await serve()
    answer = await api.post("/api/v1/actions/halt", token=VIEWER, json=HALT)
    assert answer.status_code == 403
    assert answer.json()["error"] == "not_allowed"
    assert not api.view.acted
    assert (await api.get("/api/v1/status", token=OPERATOR)).status_code == 200


@pytest.mark.parametrize(
    ("kind", "status"),
    [("refused", 409), ("not_allowed", 403), ("no_leader", 503), ("unknown", 504), ("failed", 500)],
)
async def test_each_outcome_has_its_status(serve, kind, status):
    api = await serve(FakeView(outcome=ActionOutcome(OutcomeKind(kind), "so it is", "do this")))
    answer = await api.post("/api/v1/actions/halt", json=HALT)
    assert answer.status_code == status
    assert (answer.json()["outcome"], answer.json()["next"]) == (kind, "do this")


GARBAGE = [
    b"",
    b"\x00\xff\xfe",
    b"{",
    b"[]",
    b"null",
    b'{"request_id": NaN, "reason": "x"}',
    b'{"request_id": "r", "reason": "x", "reason": "y"}',
    b"[" * 30_000,
    b'{"request_id": "r", "reason": "x", "halt": true}',
    b'{"request_id": "r"}',
    b'{"request_id": "r r", "reason": "x"}',
    b'{"request_id": "r", "reason": "a\\u0000b"}',
]


@pytest.mark.parametrize("body", GARBAGE)
async def test_a_garbage_body_is_a_clear_400_and_nothing_is_done(serve, body):
    api = await serve()
    answer = await api.post("/api/v1/actions/halt", content=body)
    assert answer.status_code == 400
    document = answer.json()
    assert document["schema"] == "meltica.error/1"
    assert document["message"]
    assert document["next"]
    assert not api.view.acted


async def test_an_oversized_body_is_413_announced_or_not(serve):
    api = await serve()
    body = b" " * (MAX_BODY + 1)

    async def chunks():
        for _ in range(5):
            yield body[: MAX_BODY // 2]

    for content in (body, chunks()):
        answer = await api.post("/api/v1/actions/halt", content=content)
        assert answer.status_code == 413
        assert answer.json()["error"] == "too_large"
    assert not api.view.acted


async def test_wrong_paths_and_methods_say_so(serve):
    api = await serve()
    for answer, status in (
        (await api.get("/api/v1/nothing"), 404),
        (await api.post("/api/v1/actions/explode", json=HALT), 404),
        (await api.get("/api/v1/actions/halt"), 405),
        (await api.post("/api/v1/status", json={}), 405),
    ):
        assert answer.status_code == status
        assert answer.json()["schema"] == "meltica.error/1"


async def test_a_fault_of_ours_tells_no_detail(serve, capfd):
    api = await serve(FakeView(broken=True))
    answer = await api.get("/api/v1/status")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert "secret detail" in capfd.readouterr().err
