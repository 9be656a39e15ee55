"""Warden: a process beside the rig that ends the rig's processes if the rig itself is ended.

Only the watching of one pipe, and the SIGKILL when it closes, may live here.  A child's own pipe (see `rig`) does not
help a child that is stopped (SIGSTOP): it can't read.  The warden is never stopped; it holds the read end of a pipe
from the rig, which the kernel closes however the rig ends.  It names processes by descriptor (pidfd), not by number, so
that it never ends another's which was given an old number.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Final

from attrs import frozen

COMMAND: Final = (sys.executable, "-m", "chaos.rig.warden")
ENDS_WITHIN: Final = 30.0  # seconds; it has nothing to do but to send some signals


@frozen
class Warden:
    """The rig's end of the pipe."""

    _pipe: IO[bytes]

    def watch(self, pid: int) -> None:
        """From now on this process does not outlive us.  It must be a child that was not waited for yet."""
        self._pipe.write(b"%d\n" % pid)


class WardenFault(Exception):
    """It did not end with its block; what it watches may still run."""


@contextmanager
def open_warden(command: Sequence[str] = COMMAND, within: float = ENDS_WITHIN) -> Iterator[Warden]:
    """A warden; at the end of the block it kills what it watches and still runs, and returns once it has.

    Raises WardenFault if that takes longer than `within` seconds.
    """
    process = subprocess.Popen(  # noqa: S603 - our own command line
        command,
        stdin=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,  # a Ctrl-C, and whoever ends our whole group, leaves it to do its work
    )
    if process.stdin is None:
        raise OSError("the warden has no pipe")
    try:
        yield Warden(process.stdin)
    except BaseException:
        _ends(process, within)  # whether it does is less than what is under way
        raise
    if not _ends(process, within):
        raise WardenFault(f"the warden (process {process.pid}) did not end within {within:g} s")


def _ends(process: subprocess.Popen[bytes], within: float) -> bool:
    """Close its pipe, and wait; whether it ended by itself."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(within)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(within)
        return False
    return True


def keep(lines: IO[bytes]) -> None:
    """Watch what the lines name until they end; then kill it all."""
    watched: list[int] = []
    for line in lines:
        with suppress(OSError):  # it has ended already
            watched.append(os.pidfd_open(int(line)))
    end(watched)


def end(watched: Sequence[int]) -> None:
    """SIGKILL, which a stopped process can't put off either."""
    for each in watched:
        with suppress(OSError):
            signal.pidfd_send_signal(each, signal.SIGKILL)
        os.close(each)


if __name__ == "__main__":
    keep(sys.stdin.buffer)
