"""Server: a Toxiproxy server as a child process on loopback, for as long as a block lasts.

Only its start, its watching and its end may live here.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import trio

from chaos.rig.warden import Warden
from chaos.toxiproxy.build import checked
from chaos.toxiproxy.client import HOST, Client, client
from chaos.toxiproxy.proxies import ToxiproxyFault

READY_WITHIN: Final = 30.0  # seconds
ENDS_WITHIN: Final = 20.0
EPHEMERAL: Final = range(32768, 61001)  # the kernel gives these to whoever dials: one may be taken at any moment


@asynccontextmanager
async def open_toxiproxy(port: int, log: Path, warden: Warden) -> AsyncIterator[Client]:
    """A server at this port, and what asks it; it ends with the block, and the block with it.

    Raises build.Missing before anything is started, or ToxiproxyFault.
    """
    if port in EPHEMERAL:
        raise ToxiproxyFault(f"port {port}: choose one outside {EPHEMERAL.start} to {EPHEMERAL.stop - 1}")
    binary = await trio.to_thread.run_sync(checked)  # it runs a command
    async with trio.open_nursery() as nursery:
        yield await nursery.start(partial(_serve, binary, port, log, warden))
        nursery.cancel_scope.cancel()


async def _serve(binary: Path, port: int, log: Path, warden: Warden, *, task_status: trio.TaskStatus[Client]) -> None:
    with log.open("ab") as file:
        process = await trio.lowlevel.open_process(
            [str(binary), "-host", HOST, "-port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={**os.environ, "LOG_LEVEL": "warn"},  # else a line for every few bytes
            start_new_session=True,  # Ctrl-C is ours to handle
        )
    try:
        warden.watch(process.pid)
        asks = client(port)
        with trio.move_on_after(READY_WITHIN) as waiting:
            while process.poll() is None and not await _answers(asks):  # noqa: ASYNC110 - another process is asked, by polling
                await trio.sleep(0.05)
        if waiting.cancelled_caught:
            raise ToxiproxyFault(f"the Toxiproxy server did not answer within {READY_WITHIN:g} s: see {log}")
        if process.poll() is None:
            task_status.started(asks)
        code = await process.wait()
        raise ToxiproxyFault(f"the Toxiproxy server ended by itself, with code {code}: see {log}")
    finally:
        await _ended(process)


async def _ended(process: trio.Process) -> None:
    """By SIGKILL, which is not waited for long."""
    if process.poll() is None:
        process.kill()
    with trio.CancelScope(shield=True, deadline=trio.current_time() + ENDS_WITHIN) as waiting:
        await process.wait()
    if waiting.cancelled_caught:
        raise ToxiproxyFault(
            f"the Toxiproxy server (process {process.pid}) has not ended {ENDS_WITHIN:g} s after SIGKILL"
        )


async def _answers(asks: Client) -> bool:
    try:
        await asks.version()
    except ToxiproxyFault:
        return False
    return True
