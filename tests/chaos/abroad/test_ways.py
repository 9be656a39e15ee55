"""Proxies that somebody else made: by our names, never made or ended, and left as they were found."""

from __future__ import annotations

import pytest

from chaos.abroad.reach import links_between
from chaos.abroad.ways import Renamed, broken, left_as_found
from chaos.live.network import Network
from chaos.live.plan import Aim, Fault
from chaos.toxiproxy.proxies import NotThere, ToxiproxyFault
from chaos.toxiproxy.toxics import toxic
from tests.chaos.toxiproxy.twin import Twin

NODES = ("n1", "n2", "n3")
NAMES = {link.name: f"raft_{place}" for place, link in enumerate(links_between(NODES))}


@pytest.fixture
async def twin():
    found = Twin()
    for place, name in enumerate(NAMES.values()):
        await found.create(name, f"127.0.0.1:{9000 + place}", "127.0.0.1:1")
        await found.enable(name)
    return found


@pytest.mark.parametrize("kind", ["cut", "refuse"])
async def test_a_fault_of_the_network_is_done_by_their_own_names_and_undone(twin, kind):
    ways = Renamed(twin, NAMES)
    before = await ways.all()
    assert set(before) == set(NAMES)
    twin.done.clear()
    network = Network(ways, links_between(NODES))
    async with network.struck(Fault(3, kind, "n1", 0, 1, 0, "peers", "both", ()), Aim(("n1",))):
        now = await ways.all()
        assert len(list(broken(now))) == 8
        assert not left_as_found(before, now, ()).held
    assert left_as_found(before, await ways.all(), ()).held
    assert {how for how, *_ in twin.done} == ({"add", "remove"} if kind == "cut" else {"disable", "enable"})
    assert {name for _, name, *_ in twin.done} <= set(NAMES.values())


async def test_none_is_made_or_ended_and_a_link_without_one_is_not_there(twin):
    ways = Renamed(twin, {"n1-n2-peer": "raft_0"})
    twin.done.clear()
    for call in (ways.create("n1-n2-peer", "127.0.0.1:1", "127.0.0.1:2"), ways.destroy("n1-n2-peer")):
        with pytest.raises(ToxiproxyFault, match="somebody else's"):
            await call
    with pytest.raises(NotThere):
        await ways.enable("n2-n1-peer")
    with pytest.raises(NotThere):
        await Renamed(None, {}).add("n1-n2-peer", toxic("a", "timeout", "upstream"))
    assert await Renamed(None, {}).all() == {}
    assert not twin.done


async def test_what_somebody_else_has_broken_already_is_seen(twin):
    await twin.add("raft_0", toxic("theirs", "latency", "upstream", latency=5))
    await twin.disable("raft_1")
    ways = Renamed(twin, NAMES)
    assert sorted(broken(await ways.all())) == [
        "n1-n2-peer: its proxy raft_0 has toxics: theirs",
        "n1-n3-peer: its proxy raft_1 is disabled",
    ]


def test_a_halt_that_is_left_is_told():
    assert left_as_found({}, {}, ["measured"]).violations == ("trading is halted still, for measured",)
    assert left_as_found({}, {}, ()).held
