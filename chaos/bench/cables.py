"""Cables: the links between a peer's nodes, through our own hands, so that one node can be cut off and healed.

Only whose link it is, and the thread in which they are carried, may live here; a cut is `chaos.demo.relay`'s, as it is
for our own nodes.  Each node is reached at one port, which all others dial, as a peer's node has one address: so who
dialled is known by the process that holds the other end, which the kernel tells.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import trio
from attrs import define, field

from chaos.bench.child import BenchFault
from chaos.bench.ports import HOST
from chaos.demo.relay import Gate, carry

TABLE: Final = Path("/proc/net/tcp")
ESTABLISHED: Final = "01"
LOCAL, STATE, INODE = 1, 3, 9  # columns of that table
LOOKS: Final = 50  # for who dialled: its process may not be known yet
AGAIN: Final = 0.02  # seconds between two
STARTED_WITHIN: Final = 10.0


@define
class Cables:
    """Listens for all nodes; `pids`: which process each of them is, at any time."""

    pids: Callable[[], Mapping[str, int]]
    _gates: dict[tuple[str, str], Gate] = field(factory=dict)  # dialler and dialled
    _token: trio.lowlevel.TrioToken | None = None
    _over: trio.CancelScope = field(factory=trio.CancelScope)
    _ready: threading.Event = field(factory=threading.Event)

    @contextmanager
    def carried(self, dialled: Mapping[str, int], listens: Mapping[str, int]) -> Iterator[None]:
        """For as long as the block lasts, who dials a node at the one port reaches it at the other."""
        thread = threading.Thread(target=trio.run, args=(self._serve, dialled, listens), name="cables", daemon=True)
        thread.start()
        if not self._ready.wait(STARTED_WITHIN):
            raise BenchFault("the links between a peer's nodes could not be made")
        try:
            yield
        finally:
            self._do(self._over.cancel)
            thread.join()

    def cut(self, node: str) -> None:
        """Nobody hears `node` and it hears nobody."""
        self._do(partial(self._set, node, shut=True))

    def heal(self) -> None:
        """All links carry again."""
        self._do(partial(self._set, None, shut=False))

    def _do(self, act: Callable[[], None]) -> None:
        if self._token is None:
            raise BenchFault("the links between a peer's nodes are not there")
        trio.from_thread.run_sync(act, trio_token=self._token)

    def _set(self, node: str | None, *, shut: bool) -> None:
        for link, gate in self._gates.items():
            if node is None or node in link:
                (gate.shut if shut else gate.open)()

    async def _serve(self, dialled: Mapping[str, int], listens: Mapping[str, int]) -> None:
        self._token = trio.lowlevel.current_trio_token()
        with self._over:
            async with trio.open_nursery() as nursery:
                for target, port in listens.items():
                    for source in listens:
                        self._gates[source, target] = Gate()
                        self._gates[source, target].open()
                    listeners = await trio.open_tcp_listeners(dialled[target], host=HOST)
                    nursery.start_soon(trio.serve_listeners, partial(self._carry, target, port), listeners)
                self._ready.set()

    async def _carry(self, target: str, port: int, dialled: trio.SocketStream) -> None:
        at = int(dialled.socket.getpeername()[1])
        for _ in range(LOOKS):
            source = dialler(at, self.pids())
            if source is not None:
                gate = self._gates[source, target]
                await gate.passed()
                await carry(dialled, port, gate)
                return
            await trio.sleep(AGAIN)


def dialler(port: int, pids: Mapping[str, int]) -> str | None:
    """Whose connection has this port at its own end; None if it is nobody's of these."""
    inode = inode_of(port, TABLE.read_text())
    held = f"socket:[{inode}]"
    return next((name for name, pid in pids.items() if inode is not None and held in _open_in(pid)), None)


def inode_of(port: int, table: str) -> str | None:
    """By the kernel's table: of the connection from this loopback port."""
    own = f"0100007F:{port:04X}"
    for line in table.splitlines()[1:]:
        columns = line.split()
        if (columns[LOCAL], columns[STATE]) == (own, ESTABLISHED):
            return columns[INODE]
    return None


def _open_in(pid: int) -> Iterator[str]:
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return
    for name in names:
        try:
            yield os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
