"""Server: the paper venue on one TCP port, under Trio.

Only the carrying of bytes and of time may live here: a task that accepts, two a connection (one reads, one writes),
and one that waits for the venue's next event.  Everything else is in `venue` and `links`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import trio
from attrs import define, field

from meltica.paper.links import Encoder, Link
from meltica.paper.ports import Close, ConnId, Frame, Ping, Reply, Times
from meltica.paper.venue import PaperVenue

CHUNK = 65_536
DRAIN_S = 1.0  # how long a stopping venue goes on deciding and answering what it has taken
FLUSH_S = 1.0  # and how long the connections may take for their last bytes
DRAIN_STEP_S = 0.01
LINGER_S = 0.5
CLOSING_WRITE_S = 5.0  # a write that takes longer belongs to a client that has stopped reading


def driver_clock() -> Callable[[], Times]:
    """The two clocks; the wall clock runs on from where it was, so a step of the system's does not move the venue."""
    offset = time.time_ns() - time.monotonic_ns()

    def now() -> Times:
        mono = time.monotonic_ns()
        return Times(mono, mono + offset)

    return now


@define(eq=False)
class _Line:
    """A connection: its link, its stream, and what wakes its writer."""

    link: Link
    stream: trio.SocketStream
    wake: trio.Event = field(factory=trio.Event)
    scope: trio.CancelScope = field(factory=trio.CancelScope)

    def stir(self) -> None:
        """There is something to write, or an end to be made."""
        if self.link.broken:
            self.scope.cancel()
        else:
            self.wake.set()


@define(eq=False)
class Server:
    """Carries between sockets and one venue."""

    venue: PaperVenue
    clock: Callable[[], Times]
    encoder: Encoder = field(factory=Encoder)
    lines: dict[ConnId, _Line] = field(factory=dict)
    _kick: trio.Event = field(factory=trio.Event)
    _asleep_until: int | None = None

    async def keep_time(self) -> None:
        """Wake the venue whenever something is due."""
        while True:
            due = self.venue.next_event_at()
            now = self.clock()
            if due is not None and due <= now.mono_ns:
                self.venue.advance(now)
                self.pump()
                await trio.lowlevel.checkpoint()
                continue
            self._asleep_until, self._kick = due, trio.Event()
            wait = trio.CancelScope()
            if due is not None:
                wait.deadline = trio.current_time() + (due - now.mono_ns) / 1e9
            with wait:
                await self._kick.wait()

    async def accept(
        self,
        listeners: Sequence[trio.SocketListener],
        nursery: trio.Nursery,
        *,
        task_status: trio.TaskStatus[trio.CancelScope] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Take connections until the scope that it reports is cancelled."""
        with trio.CancelScope() as scope:
            task_status.started(scope)
            await trio.serve_listeners(self.handle, list(listeners), handler_nursery=nursery)

    async def drain(self) -> None:
        """Wait for what is on its way through the venue, then close every connection; bounded."""
        with trio.move_on_after(DRAIN_S):
            while self.venue.busy:  # noqa: ASYNC110 - once, at the end; not worth an event in the venue
                await trio.sleep(DRAIN_STEP_S)
        for line in list(self.lines.values()):
            line.link.close(1001, "the venue is shutting down")
            line.stir()
        with trio.move_on_after(FLUSH_S):
            while self.lines:  # noqa: ASYNC110 - as above
                await trio.sleep(DRAIN_STEP_S)

    async def handle(self, stream: trio.SocketStream) -> None:
        """One connection, from accept to close."""
        link = Link(
            self.venue, self.clock, self.encoder, _peer(stream), lambda conn: self.lines.__setitem__(conn, line)
        )
        line = _Line(link, stream)
        try:
            with line.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write, line)
                    await self._read(line)
                    line.stir()
            if not link.broken:
                await _linger(stream)
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client is gone, which is its right
        finally:
            self._forget(line)
            await trio.aclose_forcefully(stream)

    def pump(self) -> None:
        """Hand what the venue put out to the writers."""
        while outputs := self.venue.take():  # a reply may let the next pipelined request in
            for output in outputs:
                line = self.lines.get(output.conn)
                if line is not None:
                    _put(line.link, output)
                    line.stir()
        due = self.venue.next_event_at()
        if due is not None and (self._asleep_until is None or due < self._asleep_until):
            self._kick.set()

    async def _read(self, line: _Line) -> None:
        while not line.link.ended:
            data = await line.stream.receive_some(CHUNK)
            line.link.feed(bytes(data))
            self.pump()
            if line.link.backlog or line.link.ended:
                line.stir()
            if not data:
                line.link.ended = True

    async def _write(self, line: _Line) -> None:
        while True:
            await line.wake.wait()
            line.wake = trio.Event()
            while line.link.backlog:
                with trio.move_on_after(CLOSING_WRITE_S) as limit:
                    await line.stream.send_all(line.link.take())
                if limit.cancelled_caught:
                    line.link.broken = line.link.ended = True
                    break
            if line.link.ended:
                line.scope.cancel()
                return

    def _forget(self, line: _Line) -> None:
        if line.link.conn is not None:
            self.lines.pop(line.link.conn, None)
            self.venue.close_connection(line.link.conn)


def _peer(stream: trio.SocketStream) -> str:
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:  # gone between its connect and our accept; the first read will say so
        return "unknown"


async def _linger(stream: trio.SocketStream) -> None:
    """Let the client read our last words: a close with unread bytes would reset the connection."""
    with trio.move_on_after(LINGER_S):
        await stream.send_eof()
        while await stream.receive_some(CHUNK):
            pass


def _put(link: Link, output: Reply | Frame | Ping | Close) -> None:
    if isinstance(output, Frame):
        link.put_frame(output)
    elif isinstance(output, Reply):
        link.put_reply(output)
    elif isinstance(output, Ping):
        link.put_ping(output)
    else:
        link.close(output.code, output.reason)


async def serve(
    venue: PaperVenue,
    clock: Callable[[], Times],
    listeners: Sequence[trio.SocketListener],
    stop: trio.Event,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `stop`, then take no more, decide and answer what was taken, and close.  Closes the listeners."""
    server = Server(venue, clock)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.keep_time)
        accepting = await nursery.start(server.accept, listeners, nursery)
        task_status.started()
        await stop.wait()
        accepting.cancel()
        await server.drain()
        nursery.cancel_scope.cancel()
