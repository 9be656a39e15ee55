"""What needs two roles: each says its own word, with its own token, and neither may say the other's."""

from __future__ import annotations

import json

import pytest
from attrs import evolve

from meltica.api.bodies import BadBody, action_of
from meltica.api.ports import Role, SkipEntry
from meltica.api.server import read_tokens
from meltica.api.tokens import BadToken

VIEWER, OPERATOR, APPROVER = "v" * 43, "o" * 43, "a" * 43
BODY = {"request_id": "r1", "reason": "it can't be applied", "index": 7, "digest": "d" * 64}


@pytest.fixture
def place(place, tmp_path):
    (tmp_path / "approver").write_text(APPROVER)
    return evolve(place, tokens=evolve(place.tokens, approver_file=tmp_path / "approver"))


async def test_each_role_says_its_own_word(serve):
    served = await serve()
    for token, role in ((OPERATOR, Role.OPERATOR), (APPROVER, Role.APPROVER)):
        answer = await served.post("/api/v1/actions/skip", token, json=BODY)
        assert answer.status_code == 200, answer.text
        assert served.view.acted[-1].wish == SkipEntry(7, "d" * 64, role)
        assert served.view.acted[-1].by.actor.startswith(role)


async def test_nobody_says_anothers_word(serve):
    served = await serve()
    assert (await served.post("/api/v1/actions/skip", VIEWER, json=BODY)).status_code == 403
    spoofed = await served.post("/api/v1/actions/skip", OPERATOR, json={**BODY, "role": "approver"})
    assert spoofed.status_code == 400
    for kind in ("halt", "resume", "version", "approve", "promote", "replace"):
        answer = await served.post(f"/api/v1/actions/{kind}", APPROVER, json=BODY)
        assert answer.status_code == 403
        assert "an approver may only second: skip" in answer.json()["message"]
    assert served.view.acted == []
    assert (await served.get("/api/v1/status", APPROVER)).status_code == 200, "and it may look"


def test_no_two_roles_have_one_token(tmp_path):
    files = [tmp_path / name for name in ("viewer", "operator", "approver")]
    for file, token in zip(files, (VIEWER, OPERATOR, OPERATOR), strict=True):
        file.write_text(token)
    with pytest.raises(BadToken, match="the same token"):
        read_tokens(*files)
    files[2].write_text(APPROVER)
    assert read_tokens(*files).role_of(f"Bearer {APPROVER}") is Role.APPROVER
    assert read_tokens(*files[:2]).role_of(f"Bearer {APPROVER}") is None, "where nobody has that role"
    assert read_tokens(*files[:2]).role_of("Bearer ") is None


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("skip", {"index": -1}),
        ("skip", {"digest": "xyz"}),
        ("version", {"version": "2"}),
        ("approve", {"build": "", "config": "c"}),
        ("approve", {"build": "a b", "config": "c"}),
    ],
)
def test_a_body_that_fits_nothing(kind, changes):
    with pytest.raises(BadBody):
        action_of(kind, json.dumps({"request_id": "r", "reason": "x", "index": 7, **changes}).encode(), "operator")
