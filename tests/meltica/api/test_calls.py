"""A call is answered by the node that it is for, wherever its API is, or by nobody; over real TLS."""

from __future__ import annotations

import ssl

import httpx
import pytest
import trio

from cluster.hosts import Address
from meltica import peers
from meltica.api.calls import NoNode, calling, to
from meltica.api.forward import make_forwarder
from meltica.api.ports import ActionOutcome, OutcomeKind
from meltica.cli import client as cli_client
from meltica.cli.client import Client, NoAnswer
from meltica.cli.errors import CliError
from meltica.cli.place import ClusterPlace

from .conftest import OPERATOR, VIEWER, FakeView

VIEWS = {"Authorization": f"Bearer {VIEWER}"}
ELSEWHERE = Address("127.0.0.2", 0)  # an address that no certificate of these names
HALT = {"request_id": "r-1", "reason": "a test"}


@pytest.fixture
def trust(certificates):
    return ssl.create_default_context(cafile=str(certificates / "ca.pem"))


def operators(place, certificates, **apis):
    """The operators' place of these nodes."""
    files = certificates / "ca.pem", certificates / "operator.pem", certificates / "operator.key"
    tokens = place.tokens.viewer_file, place.tokens.operator_file
    return ClusterPlace(certificates, "c0ffee", "demo", apis, *files, *tokens)


async def test_a_node_answers_at_an_address_that_its_certificate_does_not_name(serve, trust):
    api = await serve(FakeView("n2"), ELSEWHERE)
    async with httpx.AsyncClient(verify=trust, trust_env=False) as other, calling(trust, headers=VIEWS) as ours:
        with pytest.raises(httpx.ConnectError):
            await other.get(f"{api.url}/livez")
        assert (await ours.get(f"{api.url}/livez", extensions=to("n2"))).status_code == 200


@pytest.mark.parametrize("address", [Address("127.0.0.1", 0), ELSEWHERE])
async def test_another_node_of_the_same_authority_does_not_answer_for_it(serve, trust, address):
    """Not even on a connection that is up, to that very place: who was there first was asked by its own name."""
    api = await serve(FakeView("n2"), address)
    async with calling(trust, headers=VIEWS) as ours:
        assert (await ours.get(f"{api.url}/livez", extensions=to("n2"))).status_code == 200
        with pytest.raises(httpx.ConnectError):
            await ours.get(f"{api.url}/livez", extensions=to("n1"))
        assert (await ours.get(f"{api.url}/livez", extensions=to("n2"))).status_code == 200


async def test_a_call_that_is_for_nobody_is_not_made(serve, trust):
    api = await serve()
    async with calling(trust, headers=VIEWS) as ours:
        with pytest.raises(NoNode):
            await ours.get(f"{api.url}/livez")


@pytest.mark.parametrize(("named", "done"), [("n2", True), ("n1", False)])
async def test_an_action_is_carried_to_the_leader_wherever_it_is_and_to_nobody_else(serve, certificates, named, done):
    leader = await serve(FakeView("n2"), ELSEWHERE)
    carry = make_forwarder("n3", certificates / "ca.pem")
    body = b'{"request_id": "r-1", "reason": "a test"}'
    found = await carry(named, f"{leader.url}/api/v1/actions/halt", f"Bearer {OPERATOR}", body)
    assert len(leader.view.acted) == done
    if not done:
        assert isinstance(found, ActionOutcome)
        assert found.kind is OutcomeKind.NO_LEADER


@pytest.mark.parametrize(("named", "there"), [("n2", True), ("n1", False)])
async def test_a_node_sees_the_others_wherever_they_are(serve, trust, named, there):
    other = await serve(FakeView("n2"), ELSEWHERE)
    board = peers.PeerBoard((named,))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peers.keep_asking, board, lambda: {named: other.url}, trust, VIEWER)
        with trio.move_on_after(0.7):
            while named not in board.answers:  # noqa: ASYNC110 # it comes over a real network
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert (named in board.answers) is there


async def test_an_operator_reaches_a_node_wherever_it_is_and_no_other_in_its_place(serve, place, certificates):
    second = await serve(FakeView("n2"), ELSEWHERE)
    found = await Client(operators(place, certificates, n2=second.url, n1=second.url)).read_all("/api/v1/status")
    assert found["n2"]["nodes"][0]["name"] == "n2"
    assert isinstance(found["n1"], NoAnswer)
    await Client(operators(place, certificates, n2=second.url), operator=True).act("halt", HALT, "n2")
    assert len(second.view.acted) == 1


async def test_what_is_for_one_node_is_not_done_by_another(serve, place, certificates, monkeypatch):
    monkeypatch.setattr(cli_client, "TRY_S", 0.1)
    second = await serve(FakeView("n2"), ELSEWHERE)
    client = Client(operators(place, certificates, n1=second.url), operator=True)
    with pytest.raises(CliError, match="nothing was done"):
        await client.act("kill", HALT, "n1")
    assert not second.view.acted
