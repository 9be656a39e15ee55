"""Links that follow who takes part: whole nodes under Trio, in memory and over TLS, on disks in memory."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from cluster import pki
from cluster.driver import ClusterNode, open_node
from cluster.hosts import Address
from cluster.members import AddLearner, Change, Configuration, Member, Promote, Refused, Remove
from cluster.memory import MemoryDisk, MemoryStore
from cluster.roster import why_removed
from cluster.tls import TlsTransport
from cluster.transport import LinkFigures, MemoryNetwork, Transport
from cluster.types import Applied, Peer, Role
from tests.cluster.test_driver import Counting, Ears, ports, seeded

N1, N2, N3, N4, N5, N6, N7 = ALL = tuple(Peer(f"n{number}") for number in range(1, 8))


class Group:
    """Nodes that come and go; n1 to n3 founded it, and all settings name them; the others are to take their places."""

    def __init__(self, nursery: trio.Nursery, folder: Path | None) -> None:
        """`folder`: with certificates, for links over TLS."""
        self._nursery = nursery
        self._network = MemoryNetwork()
        self._folder = folder
        self._addresses = {name: Address("127.0.0.1", port) for name, port in zip(ALL, ports(len(ALL)), strict=True)}
        self.settings = Configuration(0, tuple([self.member(name) for name in (N1, N2, N3)]))
        self.nodes: dict[Peer, ClusterNode] = {}
        self.machines: dict[Peer, Counting] = {}
        self._disks = {name: MemoryDisk() for name in ALL}
        self._scopes: dict[Peer, trio.CancelScope] = {}
        self._ended: dict[Peer, trio.Event] = {}

    def member(self, name: Peer) -> Member:
        return Member(name, str(self._addresses[name]))

    def _transport(self, name: Peer) -> Transport:
        if self._folder is None:
            return self._network.transport(name, [])
        keys = pki.credentials(self._folder, name)
        named = {one.name: Address.of(one.address) for one in self.settings.voters if one.name != name}
        return TlsTransport(name, self._addresses[name], named, keys, random=seeded(), cluster="c")

    def move(self, *names: Peer) -> None:
        """Their machines have other addresses now, which nobody was told of."""
        self._addresses |= {
            name: Address("127.0.0.1", port) for name, port in zip(names, ports(len(names)), strict=True)
        }

    def name(self, *names: Peer) -> None:
        """[peers] of all settings, for their next starts."""
        self.settings = Configuration(0, tuple([self.member(name) for name in names]))

    async def start(self, *names: Peer) -> None:
        for name in names:
            await self._nursery.start(self._run, name)

    async def _run(self, name: Peer, task_status: trio.TaskStatus[None]) -> None:
        self.machines[name], self._ended[name] = Counting(), trio.Event()
        with trio.CancelScope() as self._scopes[name]:
            async with open_node(
                name,
                [peer for peer in ALL if peer != name],
                store=MemoryStore("c", name, self._disks[name]),
                machine=self.machines[name],
                transport=self._transport(name),
                listener=Ears(),
                random=seeded(name),
                members=self.settings,
            ) as self.nodes[name]:
                task_status.started()
                await trio.sleep_forever()
        self._ended[name].set()

    async def kill(self, name: Peer) -> None:
        self._scopes[name].cancel()
        await self._ended[name].wait()
        del self.nodes[name]

    async def until(self, holds: Callable[[], object]) -> None:
        while not holds():  # noqa: ASYNC110  # of several nodes, which tell nobody together
            await trio.sleep(0.01)

    def leads(self) -> ClusterNode | None:
        """Whoever leads, by the newest term."""
        found = [node for node in self.nodes.values() if node.status().role is Role.LEADER]
        return max(found, key=lambda node: node.status().term, default=None)

    async def commit(self) -> None:
        """One more command is done, by whoever leads."""
        while True:
            leader = self.leads()
            if leader is not None and isinstance(await leader.propose_within(b"a", 1), Applied):
                return
            await trio.sleep(0.01)

    async def change(self, change: Change) -> None:
        """It is done, by whoever leads, as soon as it may be."""
        while True:
            leader = self.leads()
            try:
                if leader is not None and isinstance(await leader.change(change), Applied):
                    return
            except Refused as refused:
                if "learner" in str(refused) or "is a member" in str(refused):  # done, by a leader that was lost
                    return
            await trio.sleep(0.01)

    async def lead(self, name: Peer) -> None:
        """It leads; asked of whoever does until it is so."""
        while (leader := self.leads()) is not self.nodes[name]:
            if leader is not None and self.link(leader.status().name, name).up:
                leader.transfer(name)
            await trio.sleep(0.1)

    def link(self, name: Peer, to: Peer) -> LinkFigures:
        none = LinkFigures(to, 0, 0, 0, 0)
        return next((link for link in self.nodes[name].links() if link.peer == to), none)

    def number(self, name: Peer) -> int:
        return self.nodes[name].status().configuration

    async def spoken_with(self, name: Peer) -> None:
        """Whoever leads has made sure that it and this one can speak with each other."""
        while (leader := self.leads()) is None or await leader.reach(self.member(name)):  # noqa: ASYNC110  # it is asked, and tells nobody
            await trio.sleep(0.01)

    async def replace(self, old: Peer = N3, new: Peer = N4) -> None:
        """`new` takes the place of `old`, in three configurations, as an operator has it done."""
        await self.start(new)
        await self.spoken_with(new)
        await self.change(AddLearner(self.member(new)))
        await self.change(Promote(new))
        if self.leads() is self.nodes.get(old):
            await self.lead(N1)
        await self.change(Remove(old))


@pytest.fixture(params=["memory", "tls"])
async def group(request: pytest.FixtureRequest, nursery: trio.Nursery, tmp_path: Path) -> Group:
    if request.param == "memory":
        return Group(nursery, None)
    pki.create(tmp_path, "c", ALL, dt.datetime.now(dt.UTC))
    return Group(nursery, tmp_path)


async def test_a_node_is_replaced_while_all_run_and_the_old_one_hears_that_it_was_removed(group: Group) -> None:
    with trio.fail_after(60):
        await group.start(N1, N2, N3)
        await group.commit()
        await group.replace()
        await group.until(lambda: all(group.number(name) == 3 for name in (N1, N2, N4)))
        await group.until(lambda: group.link(N3, N1).refused and group.link(N3, N2).refused)
        assert group.link(N3, N1).trouble == why_removed(N3)
        for name in (N1, N2, N4):  # once each knows that the removal is committed
            others = {N1, N2, N4} - {name}
            await group.until(
                lambda name=name, others=others: {link.peer for link in group.nodes[name].links()} == others
            )
        for _ in range(5):
            await group.commit()
        await group.until(lambda: {group.machines[name].count for name in (N1, N2, N4)} == {group.machines[N1].count})
        await group.kill(N2)
        await group.commit()  # n1 and n4
        assert group.nodes[N3].status().role is Role.FOLLOWER


async def test_a_voter_that_was_away_while_another_came_finds_its_way_to_it(group: Group) -> None:
    """n2's log names n1 and n3; n4, of which it knows nothing, leads, and n1 is gone: only both together commit."""
    with trio.fail_after(60):
        await group.start(N1, N2, N3)
        await group.commit()
        await group.kill(N2)
        await group.replace()
        await group.lead(N4)
        await group.until(lambda: group.number(N1) == 3)
        await group.kill(N1)
        await group.start(N2)
        await group.commit()
        await group.until(lambda: group.number(N2) == 3 and group.link(N2, N4).up)


async def test_a_node_that_was_replaced_while_it_was_away_hears_so_when_it_is_back(group: Group) -> None:
    with trio.fail_after(60):
        await group.start(N1, N2, N3)
        await group.commit()
        await group.kill(N3)
        await group.replace()
        await group.start(N3)
        await group.until(lambda: group.link(N3, N1).refused and group.link(N3, N2).refused)
        await group.commit()
        assert group.nodes[N3].status().role is Role.FOLLOWER


async def test_who_takes_part_is_known_from_the_first_link_on_after_a_restart(group: Group) -> None:
    with trio.fail_after(60):
        await group.start(N1, N2, N3)
        await group.commit()
        await group.replace()
        mine = {N1: {N2, N4}, N4: {N1, N2}}
        await group.until(lambda: all({link.peer for link in group.nodes[name].links()} == mine[name] for name in mine))
        for name in (N1, N2, N4, N3):
            await group.kill(name)
        await group.start(N1, N4)
        for name, others in mine.items():
            assert {link.peer for link in group.nodes[name].links()} == others
        await group.commit()


async def test_machines_that_have_new_addresses_are_found_by_the_settings_though_the_log_has_the_old_ones(
    group: Group,
) -> None:
    """Two of three, one of them no founder: no leader could be elected any more, and so nothing be changed."""
    with trio.fail_after(60):
        await group.start(N1, N2, N3)
        await group.commit()
        await group.replace()
        await group.until(lambda: all(group.number(name) == 3 for name in (N1, N2, N4)))
        for name in (N1, N2, N4, N3):
            await group.kill(name)
        group.move(N1, N4)
        group.name(N1, N2, N4)
        await group.start(N1, N2, N4)
        await group.commit()
        await group.until(lambda: all(link.up for name in (N1, N2, N4) for link in group.nodes[name].links()))
        await group.kill(N2)
        await group.commit()


async def test_all_founders_are_replaced_and_who_came_for_them_too_though_settings_name_the_founders_alone(
    group: Group,
) -> None:
    """Each time the one that came last leads, of which the next one's settings know nothing; who is replaced ends."""
    with trio.fail_after(60):
        await group.start(N1, N2, N3)
        await group.commit()
        for old, new in ((N3, N4), (N2, N5), (N1, N6), (N4, N7)):
            await group.replace(old, new)
            await group.kill(old)
            await group.lead(new)
            await group.commit()
        members = group.nodes[N7].members
        assert members is not None
        assert ({*members.voting}, members.learners, {*members.removed}) == ({N5, N6, N7}, (), {N1, N2, N3, N4})


async def test_two_new_nodes_that_nobody_has_promoted_elect_nobody(group: Group) -> None:
    """Each has an empty disk, and settings that do not count itself."""
    with trio.fail_after(60):
        group.settings = Configuration(0, (group.member(N1), group.member(N2)))
        await group.start(N3, N4)
        with trio.move_on_after(2.5):
            await trio.sleep_forever()
        for name in (N3, N4):
            assert (group.nodes[name].status().role, int(group.nodes[name].status().term)) == (Role.FOLLOWER, 0)
