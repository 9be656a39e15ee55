"""Relay: the peer links of a demo's nodes, one by one through our own hands, so that they can be cut and healed.

Only carrying bytes may live here; TLS passes through untouched.  A cut is a cable's: nothing is closed, nothing is
lost, nothing comes through in either direction until it is healed, and then what was on its way arrives, as it does
when TCP sends again.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import trio
from attrs import define, field

from chaos.rig.settings import Ways, led, peer_ports, settings_of

CHUNK: Final = 65_536


@define
class Gate:
    """Open or shut, for all that pass through it."""

    _open: trio.Event = field(factory=trio.Event)

    def open(self) -> None:
        """Let through, and whoever waits."""
        self._open.set()

    def shut(self) -> None:
        """Nothing passes from now on."""
        if self._open.is_set():
            self._open = trio.Event()

    async def passed(self) -> None:
        """Return once it is open."""
        while not self._open.is_set():
            await self._open.wait()


@define
class Relay:
    """The directed links: who dials whom, each with a port of its own and a gate."""

    gates: dict[tuple[str, str], Gate] = field(factory=dict)
    ports: dict[tuple[str, str], int] = field(factory=dict)

    def cut(self, node: str) -> None:
        """Nobody hears `node` and it hears nobody."""
        for link, gate in self.gates.items():
            if node in link:
                gate.shut()

    def heal(self) -> None:
        """All links carry again."""
        for gate in self.gates.values():
            gate.open()

    async def start(self, folder: Path, names: Iterable[str], nursery: trio.Nursery) -> None:
        """Stand between the nodes of a cluster's folder, none of which runs yet: their settings lead here."""
        nodes = tuple(names)
        ports = peer_ports(settings_of(folder, nodes[0]).read_text())
        for source in nodes:
            for target in nodes:
                if source != target:
                    await self._serve((source, target), ports[target], nursery)
            here = {target: port for (dials, target), port in self.ports.items() if dials == source}
            path = settings_of(folder, source)
            path.write_text(led(path.read_text(), Ways(peers=here)))

    async def _serve(self, link: tuple[str, str], port: int, nursery: trio.Nursery) -> None:
        gate = self.gates[link] = Gate()
        gate.open()

        async def through(dialled: trio.SocketStream) -> None:
            await gate.passed()
            await carry(dialled, port, gate)

        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.ports[link] = listeners[0].socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, through, listeners)


async def carry(dialled: trio.SocketStream, port: int, gate: Gate) -> None:
    """Both ways until either side ends; a node that is down ends the connection, as if nobody had answered."""
    try:
        reached = await trio.open_tcp_stream("127.0.0.1", port)
    except OSError:
        return
    async with reached, trio.open_nursery() as nursery:

        async def pump(source: trio.SocketStream, sink: trio.SocketStream) -> None:
            try:
                while chunk := await source.receive_some(CHUNK):
                    await gate.passed()
                    await sink.send_all(chunk)
                await gate.passed()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                await gate.passed()  # not even a reset comes through a cut
            nursery.cancel_scope.cancel()

        nursery.start_soon(pump, dialled, reached)
        nursery.start_soon(pump, reached, dialled)
