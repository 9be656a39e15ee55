"""Whatever somebody's word on where an API is: who asks there is told that nobody answers, and asks the others."""

from __future__ import annotations

import httpx
import pytest
import trio

from meltica import peers
from meltica.api.calls import ask, calling
from meltica.api.forward import make_forwarder
from meltica.api.outcomes import Exit
from meltica.api.ports import ActionOutcome, OutcomeKind
from meltica.cli import client as cli_client
from meltica.cli.client import Client, NoAnswer
from meltica.cli.errors import CliError

from .conftest import VIEWER, FakeView
from .test_calls import HALT, operators, trust

__all__ = ["trust"]

WORDS = (
    "https://127.0.0.01:27713",
    "https://10.0.0.256:7412",
    "https://1:2:3",
    "https://fd00::4:7414",
    "https://[fd00::4:7414",
    "https://[10.0.0.2]:7412",
    "https://10.0.0..4:7412",
    f"https://{'a' * 64}.lan:7412",
    "https://a\x00b:7412",
    "https://n2:port",
    "ftp://127.0.0.1:1",
    "127.0.0.1:27713",
    "",
)


@pytest.mark.parametrize("word", WORDS)
async def test_a_word_that_is_no_address_is_one_more_way_of_not_being_reached(trust, word):
    async with calling(trust) as client:
        with pytest.raises(httpx.ConnectError, match="is no address of an API"):
            await ask(client, "GET", "n2", f"{word}/api/v1/status", timeout=1)


@pytest.mark.parametrize("word", WORDS)
async def test_nobody_ends_for_what_another_node_says_of_itself(trust, word, autojump_clock):
    """One node's own API, written with a zero too many, ended all the others."""
    board = peers.PeerBoard(("n2",))
    with trio.move_on_after(2.5):
        await peers.keep_asking(board, lambda: {"n2": word}, trust, VIEWER)
    assert board.row("n2")["reachable"] is False


@pytest.mark.parametrize("word", WORDS)
async def test_an_action_for_a_leader_of_whom_nobody_knows_where_it_is_was_surely_not_done(certificates, word):
    carry = make_forwarder("n3", certificates / "ca.pem")
    found = await carry("n2", f"{word}/api/v1/actions/halt", "Bearer x", b"{}")
    assert isinstance(found, ActionOutcome)
    assert found.kind is OutcomeKind.NO_LEADER
    assert "nothing was done" in found.message


@pytest.mark.parametrize("word", WORDS)
async def test_an_operator_reaches_the_others_whatever_is_written_of_one(serve, place, certificates, word):
    one = await serve(FakeView("n1"))
    client = Client(operators(place, certificates, n4=word, n1=one.url), operator=True)
    found = await client.read_all("/api/v1/status")
    assert found["n1"]["nodes"][0]["name"] == "n1"
    assert isinstance(found["n4"], NoAnswer)
    assert "[nodes.n4]" in found["n4"].message
    for kind in ("halt", "kill"):
        await client.act(kind, HALT)
    assert len(one.view.acted) == 2


async def test_where_no_other_node_is_there_the_row_is_named(place, certificates, monkeypatch):
    monkeypatch.setattr(cli_client, "TRY_S", 0.1)
    client = Client(operators(place, certificates, n4="https://fd00::4:7414"), operator=True)
    with pytest.raises(CliError, match=r"\[nodes\.n4\].*nothing was done") as told:
        await client.act("kill", HALT)
    assert told.value.exit_code == Exit.UNREACHABLE
