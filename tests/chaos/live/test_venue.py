"""What is wrong with the exchange itself: asked for at its own door, and read back there.  The door is the real one."""

from __future__ import annotations

import json
import random
from types import SimpleNamespace

import httpx
import pytest
import trio

from chaos.live.nemeses import NEMESES, VENUE
from chaos.live.plan import Aim, Fault
from chaos.live.venue import COUNTED, Venue, VenueFault, wishes
from meltica.paper.control import Control
from meltica.paper.faults import KINDS, Faults, Subject
from meltica.paper.ports import Times

NODES = ("n1", "n2", "n3")
LEAST = {word: low for one in NEMESES.values() for word, (low, _) in one.takes.items()}
EVERY = [one.kind for one in NEMESES.values() if one.room == VENUE]


class Door:
    """The paper venue's own, without a server; `lies` changes what it answers."""

    def __init__(self):
        self.floor = SimpleNamespace(faults=Faults(random.Random(1), lambda *_: None))  # noqa: S311 - of a stand-in
        self.lies = lambda request, told: told
        self.control = Control(self.floor)

    async def __call__(self, request):
        told = self.control.handle(request.method, request.url.path, "", request.content, Times(0, 0))
        status, kind, body = self.lies(request, told)
        return httpx.Response(status, headers={"content-type": kind}, content=body)

    @property
    def running(self):
        return [(fault.kind, fault.target.text()) for fault in self.floor.faults.running.values()]

    def use(self):
        """Strike with all that runs."""
        for fault in list(self.floor.faults.running.values()):
            subject = Subject("ws_api", "meltica/1 (n1)", "order.place", "order.place", "trader", "BTCUSDT")
            while not self.floor.faults.strike(fault.kind, subject):
                pass


@pytest.fixture
def door():
    return Door()


@pytest.fixture
async def venue(door):
    async with httpx.AsyncClient(base_url="http://venue", transport=httpx.MockTransport(door)) as client:
        yield Venue(client)


def fault(kind, links="venue", **parameters):
    asked = {word: parameters.get(word, LEAST[word]) for word in NEMESES[kind].takes}
    return Fault(0, kind, "n1", 0, 1, 0, links, "both", tuple(asked.items()))


def test_every_fault_of_the_venue_is_a_nemesis_with_all_that_it_takes():
    assert {f"venue_{kind}" for kind in KINDS} == set(EVERY)
    for kind, takes in KINDS.items():
        assert set(NEMESES[f"venue_{kind}"].takes) - {"percent"} == set(takes)
    assert set(KINDS) > COUNTED


@pytest.mark.parametrize("kind", EVERY)
async def test_each_runs_while_it_is_in_force_and_not_behind(door, venue, kind):
    async with venue.struck(fault(kind, "ws_api"), Aim(("n1",))) as not_done:
        assert door.running == [(kind.removeprefix("venue_"), "node:n1,connection:ws_api")]
        if kind.removeprefix("venue_") in COUNTED:
            door.use()
    assert not door.running
    assert not not_done


async def test_whom_it_strikes_is_a_node_a_way_or_everybody(door, venue):
    for aim, links, expected in (
        (Aim(NODES), "venue", [""]),
        (Aim(NODES), "rest", ["connection:rest"]),
        (Aim(("n2", "n3")), "venue", ["node:n2", "node:n3"]),
    ):
        async with venue.struck(fault("venue_silence", links), aim):
            assert [target for _, target in door.running] == expected


async def test_one_that_found_nothing_to_strike_says_so(venue):
    async with venue.struck(fault("venue_drop_answer"), Aim(("n1",))) as not_done:
        pass
    assert not_done == ["the venue's drop_answer (node:n1) found nothing to strike"]


def test_how_often_is_a_chance_and_always_is_none():
    ((some,), (always,)) = (wishes(fault("venue_reject", percent=share), Aim(("n1",))) for share in (30, 100))
    assert (some["probability"], "probability" in always) == (0.3, False)
    (lost,) = wishes(fault("venue_lose_event", percent=100), Aim(("n1",)))
    assert lost["probability"] == 1  # else one event alone


async def test_one_that_has_ended_by_itself_is_healed(door, venue):
    async with venue.struck(fault("venue_silence"), Aim(("n1",))) as not_done:
        door.floor.faults.end_all()
    assert not not_done


async def test_one_that_is_cancelled_heals_all_the_same(door, venue):
    with trio.CancelScope() as scope:
        async with venue.struck(fault("venue_silence"), Aim(NODES)):
            assert door.running
            scope.cancel()
            await trio.sleep_forever()
    assert not door.running


@pytest.mark.parametrize("method", ["POST", "DELETE", "GET"])
async def test_a_venue_that_does_not_do_as_it_says_is_a_fault(door, venue, method):
    def lies(request, told):
        if request.method != method:
            return told
        if method == "GET":
            return 500, "text/plain", b"no"
        door.floor.faults.end_all()
        if method == "DELETE":
            door.control.handle("POST", "/paper/v1/faults", "", b'{"kind": "silence"}', Times(0, 0))
            door.floor.faults.running = {1: next(iter(door.floor.faults.running.values()))}
            door.floor.faults.running[1].id = 1
        return told

    door.lies = lies
    with pytest.raises(VenueFault):
        async with venue.struck(fault("venue_silence"), Aim(("n1",))):
            assert json.dumps(door.running)
