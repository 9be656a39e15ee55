"""Watching a running cluster: whom it asks, and what it says of an answer that is none."""

from __future__ import annotations

import ssl

import httpx
import pytest

from chaos.rig.watch import ActRefused, Watcher, open_watcher


@pytest.fixture
def folder(tmp_path, monkeypatch):
    context = ssl.create_default_context()
    monkeypatch.setattr(ssl, "create_default_context", lambda **_: context)  # there is no authority
    (tmp_path / "tokens").mkdir()
    for role in ("viewer", "operator"):
        (tmp_path / "tokens" / role).write_text(f"{role}-token\n")
    return tmp_path


async def test_a_proxy_of_the_environment_is_not_asked(folder, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    async with open_watcher(folder, {}, folder / "ledger.jsonl") as watcher:
        assert not watcher.client.trust_env
        assert (watcher.viewer, watcher.operator) == ("viewer-token", "operator-token")


@pytest.mark.parametrize("status", [409, 503, None])
async def test_a_refusal_says_its_status_and_no_answer_has_none(tmp_path, status):
    def answer(request):
        if status is None:
            raise httpx.ReadTimeout("late", request=request)
        return httpx.Response(status, text="no")

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        watcher = Watcher(client, {"n1": "https://n1"}, "v", "o", tmp_path / "ledger.jsonl")
        with pytest.raises(ActRefused) as caught:
            await watcher.act("n1", "submit", {}, "r")
    assert caught.value.status == status
