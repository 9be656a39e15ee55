"""Cluster: a rig whose every link goes through a proxy.

Only putting the two together may live here.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import trio
from attrs import frozen

from chaos.live.doors import FOLDER as DOORS
from chaos.live.doors import put, volume_at
from chaos.live.links import OPERATOR, Link, links_of, ways_of
from chaos.live.network import Network
from chaos.live.volume import Volumes
from chaos.rig.blame import Timers
from chaos.rig.processes import NODES, Rig, open_rig
from chaos.rig.settings import (
    api_ports,
    led,
    peer_ports,
    set_reserve,
    set_retention,
    set_timers,
    set_window,
    settings_of,
    steadily,
    venue_ports,
)
from chaos.toxiproxy.server import open_toxiproxy

MARKET: Final = "synthetic"
MUTATED: Final = "chaos.live.mutated"
FAULTY: Final = "chaos.live.faulty"
PROXIES_AT: Final = 20  # of a rig's stride of ports, from here on
SERVER_AT: Final = 70
WINDOW_MS: Final = 300  # as it is shipped
LONGEST_WINDOW_MS: Final = 1000
VOLUME_MIB: Final = 256  # a write-ahead log takes 20 of them before it is written


@frozen
class RigProcesses:
    """Implements `Processes`."""

    rig: Rig

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send it, if the node runs."""
        child = self.rig.children[name]
        if child.running:
            child.process.send_signal(number)

    def code(self, name: str) -> int | None:
        """How the node's process ended; None while it runs."""
        code: int | None = self.rig.children[name].process.poll()
        return code

    def state(self, name: str) -> str:
        """The kernel's letter for what its process does; "" if it is not there."""
        return self.rig.children[name].state

    async def stop(self, names: Sequence[str]) -> None:
        """SIGTERM, a grace, then SIGKILL; returns when all have ended."""
        await self.rig.stop(names)

    async def ended(self, name: str) -> None:
        """Return when the node has ended."""
        await self.rig.children[name].process.wait()

    async def start_node(self, name: str) -> None:
        """Start it, and return when it is ready.  Raises RigFault."""
        await self.rig.start_node(name)


@frozen
class Cluster:
    """What runs."""

    rig: Rig
    network: Network

    @property
    def apis(self) -> Mapping[str, str]:
        """Where each node itself listens."""
        return {name: str(self.rig.children[name].ready["api"]) for name in NODES}

    @property
    def venue(self) -> str:
        """Where the venue itself listens."""
        return str(self.rig.children["venue"].ready["api"])

    @property
    def operators(self) -> Mapping[str, str]:
        """The same by the operator's links."""
        links = [link for link in self.network.links if link.what == OPERATOR]
        return {link.to: f"https://127.0.0.1:{link.port}" for link in links}


@asynccontextmanager
async def open_cluster(
    folder: Path,
    seed: int,
    slower: int,
    mutant: str = "",
    *,
    inside: bool = False,
    keeps: int | None = None,
    volumes: Volumes | None = None,
) -> AsyncIterator[Cluster]:
    """Three nodes and a venue that run, every link through a proxy; all ends with the block.

    `slower`: so many times longer are election timers, and the window up to a second.  `mutant`: what is broken in the
    product that the nodes run, by its name in the catalogue.  `inside`: the nodes have doors (`doors`).  `keeps`: so
    many entries of its log each keeps; by default all.  `volumes`: their data are on small file systems.

    Raises RigFault, ToxiproxyFault, NoVolume or build.Missing.
    """
    async with open_rig(folder, MARKET, seed, slower=slower) as rig:
        await rig.create()
        rig.by = _launcher(folder, mutant, inside=inside)
        steadily(folder)
        if keeps is not None:
            set_retention(folder, keeps)
        if volumes is not None:
            await trio.to_thread.run_sync(_small, folder, volumes)
        if slower > 1:
            set_timers(folder, Timers().slower(slower))
            set_window(folder, window_ms(slower))
        log = folder / "logs" / "toxiproxy.log"
        log.parent.mkdir(exist_ok=True)
        async with open_toxiproxy(rig.base_port + SERVER_AT, log, rig.warden) as proxies:
            network = Network(proxies, _led(folder, rig.base_port + PROXIES_AT))
            await network.build()
            await rig.start_all()
            yield Cluster(rig, network)


def window_ms(slower: int) -> int:
    """The authority window of a run."""
    return min(LONGEST_WINDOW_MS, WINDOW_MS * slower)


def _launcher(folder: Path, mutant: str, *, inside: bool) -> tuple[str, ...]:
    """By what nodes are run in place of the product's own command line."""
    if inside:
        (folder / DOORS).mkdir()
        return FAULTY, str(folder / DOORS), mutant
    return (MUTATED, mutant) if mutant else ()


def _small(folder: Path, volumes: Volumes) -> None:
    """Each node's data on a small file system of its own, of which a quarter is its reserve.  Raises NoVolume."""
    set_reserve(folder, VOLUME_MIB // 4)
    for name in NODES:
        volumes.make(name, folder / "nodes" / name / "data", VOLUME_MIB)
        put(volume_at(folder / DOORS, name), {"pid": volumes.held[name][0].pid})


def _led(folder: Path, first: int) -> tuple[Link, ...]:
    """The links of a folder's cluster; from now on its nodes' settings lead through them."""
    text = settings_of(folder, NODES[0]).read_text()
    links = links_of(NODES, first, peer_ports(text), api_ports(text), venue_ports(text))
    for name in NODES:
        path = settings_of(folder, name)
        path.write_text(led(path.read_text(), ways_of(links, name)))
    return links
