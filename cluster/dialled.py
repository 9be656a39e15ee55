"""Dialled: one connection that we dialled: its socket while it is up, and what waits for it.

Only the sending side of one link may live here.  `send` writes to the socket itself; only what the socket does not take
at once waits, bounded, for a task that empties it.
"""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import Sequence

import trio

from cluster.frames import encode
from cluster.hosts import Address
from cluster.sockets import close
from cluster.transport import LinkFigures
from cluster.types import Peer


class Dialled:
    """See the module."""

    def __init__(self, peer: Peer, address: Address, limit: int) -> None:
        self.peer = peer
        self.address = address
        self.kick = trio.Event()  # dial now
        self.tried = trio.Event()  # an attempt has ended: it is up, or `trouble` says why not
        self.ended = trio.Event()  # nothing of it runs any more
        self.scope = trio.CancelScope()
        self.trouble = ""
        self.refused = False  # for good, by the peer
        self._limit = limit
        self._sock: ssl.SSLSocket | None = None
        self._queue = bytearray()
        self._blocked = trio.Event()  # the socket took less than all
        self._counts: Counter[str] = Counter()

    def open(self, sock: ssl.SSLSocket) -> None:
        """It is up."""
        self._sock = sock
        self._queue = bytearray()
        self._blocked = trio.Event()
        self._counts["connects"] += 1
        self.trouble, self.refused = "", False
        self._tell()

    @property
    def up(self) -> bool:
        """Whether frames can be sent."""
        return self._sock is not None

    def failed(self, why: str, *, refused: bool) -> None:
        """An attempt to dial it failed."""
        self.trouble, self.refused = why, refused
        self._tell()

    def close(self) -> None:
        """End it; again is nothing."""
        if self._sock is not None:
            close(self._sock)
            self._sock = None
            self._queue = bytearray()

    def send(self, frames: Sequence[bytes]) -> bool:
        """Send, all or none; see `Transport`."""
        data = encode(frames)
        if self._sock is None or (self._queue and len(self._queue) + len(data) > self._limit):
            self._counts["dropped"] += len(frames)
            return False
        self._counts["sent"] += len(frames)
        if self._queue:
            self._queue += data
        else:
            self._write(self._sock, data)
        return True

    async def empty(self) -> None:
        """Write what the socket did not take at once, for as long as it is open."""
        while (sock := self._sock) is not None:
            await self._blocked.wait()
            self._blocked = trio.Event()
            while self._queue and sock is self._sock:
                try:
                    await trio.lowlevel.wait_writable(sock)
                except (OSError, trio.ClosedResourceError, ValueError):
                    return  # it was closed meanwhile; the task that watches it tells
                self._flush(sock)

    def figures(self) -> LinkFigures:
        """Its counts."""
        counts = self._counts
        return LinkFigures(
            self.peer,
            counts["sent"],
            counts["dropped"],
            len(self._queue),
            counts["connects"],
            up=self.up,
            trouble=self.trouble,
            refused=self.refused,
            address=str(self.address),
        )

    def _tell(self) -> None:
        tried, self.tried = self.tried, trio.Event()
        tried.set()

    def _flush(self, sock: ssl.SSLSocket) -> None:
        waiting, self._queue = self._queue, bytearray()
        self._write(sock, waiting)

    def _write(self, sock: ssl.SSLSocket, data: bytes | bytearray) -> None:
        """Write what the socket takes; the rest waits (TLS wants it again from the same byte on)."""
        try:
            taken = sock.send(data)
            while taken < len(data):
                data = data[taken:]
                taken = sock.send(data)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            self._queue = bytearray(data)
            self._blocked.set()
        except OSError:
            self.close()  # the task that watches the socket tells
