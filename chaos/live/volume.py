"""Volume: a small file system of its own under a node's data, which nobody sees but whoever enters it by this process.

`python -m chaos.live.volume FOLDER MIB`.  Only making and holding it may live here.  It lasts as long as its standard
input is open, so it does not outlive the rig, however that ends, and leaves no mount behind.  Linux, the superuser.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from attrs import define, field

from chaos.live.private import alone, in_memory

READY: Final = b"ready\n"
BALLAST: Final = "ballast"
MIB: Final = 1024 * 1024


class NoVolume(Exception):
    """It can't be made here; the text says why."""


@define
class Volumes:
    """Those of a cluster's nodes, by name: the process that holds each, and the folder that it is under."""

    held: dict[str, tuple[subprocess.Popen[bytes], Path]] = field(factory=dict)

    def make(self, name: str, folder: Path, mib: int) -> None:
        """One under this folder, which keeps what it had.  Raises NoVolume."""
        words = (sys.executable, "-m", "chaos.live.volume", str(folder), str(mib))
        process = subprocess.Popen(  # noqa: S603 - our own command line
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self.held[name] = process, folder.resolve()
        said = process.stdout.readline() if process.stdout is not None else b""
        if said != READY:
            raise NoVolume(f"no small file system can be made under {folder} (it takes the superuser): see above")

    def inside(self, name: str) -> Path:
        """Where its files are, for us."""
        process, folder = self.held[name]
        return Path(f"/proc/{process.pid}/root") / folder.relative_to("/")

    def fill(self, name: str, left: int) -> int:
        """Take what is free there but for `left` bytes; how many were taken."""
        with (self.inside(name) / BALLAST).open("wb") as file:
            while True:
                found = os.statvfs(self.inside(name))
                size = max(1, found.f_bavail * found.f_frsize - left)
                with suppress(OSError):  # the node has taken some of it meanwhile: then there is less to take
                    os.posix_fallocate(file.fileno(), 0, size)
                    return size

    def free(self, name: str) -> None:
        """Give it back."""
        (self.inside(name) / BALLAST).unlink(missing_ok=True)

    def close(self) -> None:
        """Bring what is in them under their folders, now that nobody writes there, and end them."""
        for name, (process, folder) in self.held.items():
            taken = folder.with_name(f"{folder.name}.taken")
            if whole := process.poll() is None and (inside := self.inside(name)).exists():
                shutil.copytree(inside, taken, symlinks=True)  # first: without its folder the file system is gone too
            if process.stdin is not None:
                process.stdin.close()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
            if whole:
                shutil.rmtree(folder)
                taken.rename(folder)


@contextmanager
def open_volumes() -> Iterator[Volumes]:
    """None as yet; at the end of the block, when no node runs any more, all that were made are closed."""
    volumes = Volumes()
    try:
        yield volumes
    finally:
        volumes.close()


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
