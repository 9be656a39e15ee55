"""Volume: a small file system of its own under a node's data, which nobody sees but whoever enters it by this process.

`python -m chaos.live.volume FOLDER MIB`.  Only making and holding it may live here.  It lasts as long as its standard
input is open, so it does not outlive the rig, however that ends, and leaves no mount behind.  Linux, the superuser.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import trio
from attrs import define, field

from chaos.live.private import alone, in_memory

READY: Final = b"ready\n"
BALLAST: Final = "ballast"
MIB: Final = 1024 * 1024
TRIES: Final = 50  # to fill one, while a node writes
MADE_WITHIN: Final = 20.0  # seconds
ENDS_WITHIN: Final = 10.0


class NoVolume(Exception):
    """It can't be made here; the text says why."""


@define
class Volumes:
    """Those of a cluster's nodes, by name: the process that holds each, and the folder that it is under."""

    held: dict[str, tuple[subprocess.Popen[bytes], Path]] = field(factory=dict)
    made_within: float = MADE_WITHIN

    def make(self, name: str, folder: Path, mib: int) -> None:
        """One under this folder, which keeps what it had.  Raises NoVolume."""
        words = (sys.executable, "-m", "chaos.live.volume", str(folder), str(mib))
        process = subprocess.Popen(  # noqa: S603 - our own command line
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self.held[name] = process, folder.resolve()
        if _said(process, self.made_within) != READY:
            raise NoVolume(f"no small file system can be made under {folder} (it takes the superuser): see above")

    def inside(self, name: str) -> Path:
        """Where its files are, for us."""
        process, folder = self.held[name]
        return Path(f"/proc/{process.pid}/root") / folder.relative_to("/")

    def fill(self, name: str, left: int) -> int:
        """Take what is free there but for `left` bytes; how many were taken.  Raises NoVolume."""
        error = None
        with (self.inside(name) / BALLAST).open("wb") as file:
            for _ in range(TRIES):
                found = os.statvfs(self.inside(name))
                size = found.f_bavail * found.f_frsize - left
                if size <= 0:
                    return 0  # it is as full already
                try:
                    os.posix_fallocate(file.fileno(), 0, size)
                except OSError as why:  # the node has taken some of it meanwhile: then there is less to take
                    error = why
                else:
                    return size
        raise NoVolume(f"the small file system of {name} can't be filled: {error}")

    def free(self, name: str) -> None:
        """Give it back."""
        (self.inside(name) / BALLAST).unlink(missing_ok=True)

    def close(self) -> None:
        """Bring what is in each under its folder, now that nobody writes there, and end it.  Raises OSError."""
        with ExitStack() as stack:  # one that fails keeps no other from its end
            for name, (process, folder) in self.held.items():
                stack.callback(_closed, process, folder, self.inside(name))


def _said(process: subprocess.Popen[bytes], within: float) -> bytes:
    """Its first word; nothing if none comes."""
    if process.stdout is None or not select.select([process.stdout], [], [], within)[0]:
        return b""
    return os.read(process.stdout.fileno(), len(READY))


def _closed(process: subprocess.Popen[bytes], folder: Path, inside: Path) -> None:
    taken = folder.with_name(f"{folder.name}.taken")
    try:
        if whole := process.poll() is None and inside.exists():
            shutil.copytree(inside, taken, symlinks=True)  # first: without its folder the file system is gone too
    finally:
        _ended(process)
    if whole:
        shutil.rmtree(folder)
        taken.rename(folder)


def _ended(process: subprocess.Popen[bytes]) -> None:
    """Nobody wants it any more; by force if that does not end it."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(ENDS_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


@asynccontextmanager
async def open_volumes() -> AsyncIterator[Volumes]:
    """None as yet; at the end of the block, when no node runs any more, all that were made are closed.

    Their calls block, but for how long is bounded: make them in a thread.
    """
    volumes = Volumes()
    try:
        yield volumes
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(volumes.close)


def hold(folder: Path, mib: int) -> None:
    """Make it, say so, and hold it until nobody wants it."""
    had = {path.name: path.read_bytes() for path in folder.iterdir()}
    alone()
    in_memory(folder, mib * MIB)
    for name, content in had.items():
        (folder / name).write_bytes(content)
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    sys.stdin.buffer.read()


if __name__ == "__main__":
    hold(Path(sys.argv[1]), int(sys.argv[2]))
