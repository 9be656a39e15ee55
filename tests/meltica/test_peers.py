"""What a node knows of the others, by asking."""

from __future__ import annotations

import ssl

import httpx
import pytest
import trio

from meltica import peers
from meltica.peers import PeerBoard, keep_asking


def status(name, *, active=False, promotable=True, epoch=3, applied=10):
    row = {"name": name, "reachable": True, "active": active, "promotable": promotable, "applied_index": applied}
    others = [{"name": "n9", "active": True}]  # what it says of others does not count
    return {"epoch": epoch, "nodes": [*others, row]}


def board(**answers):
    found = PeerBoard(("n2", "n3"))
    for name, answer in answers.items():
        found.heard(name, answer)
    return found


def test_a_node_that_was_never_heard_is_unreachable_and_not_promotable():
    rows = board(n2=status("n2")).rows()
    assert rows["n2"]["reachable"]
    assert rows["n3"] == {
        "name": "n3",
        "reachable": False,
        "active": False,
        "promotable": False,
        "why_not": "unreachable",
    }


def test_a_node_that_stops_answering_is_forgotten():
    found = board(n2=status("n2", active=True))
    assert found.active() == "n2"
    found.heard("n2", None)
    assert found.active() is None
    assert not found.rows()["n2"]["reachable"]


def test_of_two_that_say_they_are_active_the_newer_epoch_counts():
    assert board(n2=status("n2", active=True, epoch=4), n3=status("n3", active=True, epoch=5)).active() == "n3"


def test_a_claim_of_an_epoch_older_than_what_this_node_knows_does_not_stand():
    """The answer is up to two seconds old: that node may have been killed, and another elected, meanwhile."""
    found = board(n2=status("n2", active=True, epoch=4))
    assert (found.active(4), found.active(5)) == ("n2", None)
    assert found.rows(4)["n2"]["active"] is True
    assert found.rows(5)["n2"]["active"] is False


@pytest.mark.parametrize("answer", [b"no json", b"[]", None, 500])
async def test_asking_goes_on_whatever_is_answered(answer, monkeypatch, autojump_clock):
    """A right answer, then a wrong one: the board forgets; then a right one again."""
    answers = [status("n2"), answer, status("n2")]
    heard = []

    def handle(request):
        assert request.headers["Authorization"] == "Bearer secret"
        found = answers[min(len(heard), 2)]
        heard.append(found)
        if found is None:
            raise httpx.ConnectError("nobody there")
        if isinstance(found, int):
            return httpx.Response(found, json=status("n2"))
        return httpx.Response(200, content=found) if isinstance(found, bytes) else httpx.Response(200, json=found)

    made = httpx.AsyncClient

    def client(**_options):
        return made(transport=httpx.MockTransport(handle))

    monkeypatch.setattr(peers.httpx, "AsyncClient", client)
    found = PeerBoard(("n2",))
    seen = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_asking, found, lambda: {"n2": "https://n2"}, ssl.create_default_context(), "secret")
        for _ in range(3):
            await trio.sleep(peers.ASK_EVERY * 0.9)
            seen.append(found.rows()["n2"]["reachable"])
            await trio.sleep(peers.ASK_EVERY * 0.1)
        nursery.cancel_scope.cancel()
    assert seen == [True, False, True]


async def test_who_is_asked_follows_who_takes_part_and_where(monkeypatch, autojump_clock):
    asked = []

    def handle(request):
        asked.append(request.url.host)
        return httpx.Response(200, json=status("n2"))

    made = httpx.AsyncClient
    monkeypatch.setattr(peers.httpx, "AsyncClient", lambda **_options: made(transport=httpx.MockTransport(handle)))
    found = PeerBoard(("n2",))
    places = {"n2": "https://a", "n3": None}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_asking, found, lambda: places, ssl.create_default_context(), "secret")
        await trio.sleep(peers.ASK_EVERY * 0.9)
        assert (found.names, set(asked)) == (("n2", "n3"), {"a"})
        places = {"n2": "https://b"}
        await trio.sleep(peers.ASK_EVERY * 2)
        assert found.names == ("n2",)
        asked.clear()
        await trio.sleep(peers.ASK_EVERY * 3)
        assert set(asked) == {"b"}
        assert found.rows()["n2"]["reachable"]
        places = {}
        await trio.sleep(peers.ASK_EVERY * 2)
        asked.clear()
        await trio.sleep(peers.ASK_EVERY * 3)
        assert (asked, found.answers, found.rows()) == ([], {}, {})
        nursery.cancel_scope.cancel()


def test_an_answer_that_comes_when_its_node_takes_part_no_more_is_not_kept():
    found = board(n2=status("n2"), n3=status("n3"))
    found.follow(["n3"])
    found.heard("n2", status("n2"))
    assert (found.names, list(found.answers)) == (("n3",), ["n3"])
