"""The network's nemeses on proxies in memory: each breaks what it names and heals what it broke, and no more."""

from __future__ import annotations

import pytest
import trio

from chaos.live.links import links_of
from chaos.live.nemeses import NEMESES, NETWORK
from chaos.live.network import Network
from chaos.live.plan import Aim, Fault
from chaos.toxiproxy.proxies import ToxiproxyFault
from tests.chaos.toxiproxy.twin import Twin

NODES = ("n1", "n2", "n3")
PORTS = dict.fromkeys((*NODES, "rest", "ws_api", "stream"), 7401)
LEAST = {word: low for one in NEMESES.values() for word, (low, _) in one.takes.items()}


def fault(kind, number=0, links="peers", direction="both"):
    parameters = tuple((word, LEAST[word]) for word in NEMESES[kind].takes)
    return Fault(number, kind, "n1", 0, 1, 0, links, direction, parameters)


@pytest.fixture
async def network():
    found = Network(Twin(), links_of(NODES, 7420, PORTS, PORTS, PORTS))
    await found.build()
    return found


def broken(network):
    """Proxies that are not as they were built."""
    return {one.name: one for one in network.proxies.proxies.values() if one.toxics or not one.enabled}


async def test_it_is_built_whole_and_listening(network):
    assert len(network.proxies.proxies) == 24
    assert not broken(network)


@pytest.mark.parametrize("kind", [one.kind for one in NEMESES.values() if one.room == NETWORK])
async def test_each_breaks_every_link_of_its_node_and_heals_them(network, kind):
    async with network.struck(fault(kind), Aim(("n1",))) as not_done:
        assert len(broken(network)) == 8
        assert all("n1" in name for name in broken(network))
    assert not not_done
    assert not broken(network)


async def test_one_way_is_one_stream_of_each_link(network):
    async with network.struck(fault("hold", direction="in"), Aim(("n1",))):
        found = {name: [one.stream for one in proxy.toxics] for name, proxy in broken(network).items()}
    assert found["n1-n2-peer"] == ["downstream"]
    assert found["n2-n1-peer"] == ["upstream"]


async def test_two_at_once_heal_their_own_and_leave_the_other(network):
    aim = Aim(("n1",))
    async with network.struck(fault("cut", 1), aim):
        async with network.struck(fault("slow", 2), aim), network.struck(fault("cut", 3), aim):
            assert len(broken(network)["n1-n2-peer"].toxics) == 6
        assert {one.name for one in broken(network)["n1-n2-peer"].toxics} == {"f1_upstream", "f1_downstream"}
    assert not broken(network)


async def test_what_stands_in_front_of_a_hold_is_healed_behind_it(network, autojump_clock):
    """Endless 90002: a slow close ended within a hold of its link, and the server answered nobody any more."""
    order = []

    async def strike(kind, number, seconds, *, task_status):
        async with network.struck(fault(kind, number), Aim(("n1",))):
            task_status.started()
            await trio.sleep(seconds)
        order.append((kind, trio.current_time() - began))

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for struck in (("slow_close", 1, 2), ("hold", 2, 3), ("slow", 3, 1), ("narrow", 4, 4)):
            await nursery.start(strike, *struck)
    assert sorted(order) == [("hold", 3.0), ("narrow", 4.0), ("slow", 1.0), ("slow_close", 3.0)]
    assert not broken(network)


async def test_a_port_is_refused_until_the_last_that_wants_it_so_is_over(network):
    async with network.struck(fault("refuse", 1), Aim(("n1",))):
        async with network.struck(fault("refuse", 2), Aim(("n1", "n2"), between=True)):
            pass
        assert not network.proxies.proxies["n1-n2-peer"].enabled
    assert not broken(network)


@pytest.mark.parametrize("kind", ["cut", "refuse"])
async def test_one_that_is_cancelled_heals_all_the_same(network, kind):
    with trio.CancelScope() as scope:
        async with network.struck(fault(kind), Aim(NODES)):
            assert broken(network)
            scope.cancel()
            await trio.sleep_forever()
    assert not broken(network)


class Failing(Twin):
    """One stream of one link can't be broken."""

    async def add(self, name, toxic):
        if (name, toxic.stream) == ("n3-n1-api", "upstream"):
            raise ToxiproxyFault(name)
        await super().add(name, toxic)


async def test_one_that_can_not_be_set_whole_takes_back_what_was_set():
    network = Network(Failing(), links_of(NODES, 7420, PORTS, PORTS, PORTS))
    await network.build()
    with pytest.RaisesGroup(ToxiproxyFault):
        async with network.struck(fault("cut"), Aim(("n1",))):
            pytest.fail("it was entered")
    assert "add" in [how for how, *_ in network.proxies.done]
    assert not broken(network)


class Hanging(Twin):
    """What is broken stays so."""

    async def remove(self, name, toxic):
        await trio.sleep_forever()

    async def enable(self, name):
        if name in [proxy for _, proxy, *_ in self.done if proxy == "n1-n2-peer"] and ("disable", name) in self.done:
            await trio.sleep_forever()
        await super().enable(name)


@pytest.mark.parametrize("kind", ["cut", "refuse"])
async def test_one_that_can_not_be_healed_in_time_is_a_fault_and_no_silence(autojump_clock, kind):
    network = Network(Hanging(), links_of(NODES, 7420, PORTS, PORTS, PORTS))
    await network.build()
    with pytest.raises(ToxiproxyFault, match=r"n1-n2-peer.* were healed within 40 s"):
        async with network.struck(fault(kind), Aim(("n1",))):
            pass


class Slow(Twin):
    """Each change of a port takes a second."""

    async def enable(self, name):
        await trio.sleep(1)
        await super().enable(name)

    async def disable(self, name):
        await trio.sleep(1)
        await super().disable(name)


async def test_ports_are_closed_and_opened_side_by_side(autojump_clock):
    network = Network(Slow(), links_of(NODES, 7420, PORTS, PORTS, PORTS))
    await network.build()
    began = trio.current_time()
    async with network.struck(fault("refuse"), Aim(NODES)):
        assert len(broken(network)) == 12
    assert trio.current_time() - began == pytest.approx(2)
