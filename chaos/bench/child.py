"""Child: one process of a bench, asked by a line of JSON and answering by one; none outlives us.

Each holds the read end of a pipe from us as its stdin and ends when that closes, so even our own SIGKILL leaves
nothing running; what can't do that itself (etcd) is started on a leash, a shell that can.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from attrs import define, field

READY_WITHIN: Final = 60.0  # seconds; three processes start side by side
GRACE: Final = 5.0  # seconds between the closing of stdin and SIGKILL


class BenchFault(Exception):
    """A bench can't go on; the text says why, and where its log is."""


class Disturbed(Exception):
    """An election ended a turn: its figures say nothing of commits."""


@define
class Child:
    """One running process."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    _text: bytes = field(default=b"")

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def tell(self, **asked: object) -> None:
        """Ask, and let `heard` wait for the answer."""
        if self.process.stdin is None:
            raise BenchFault(f"{self.name} can't be asked")
        try:
            self.process.stdin.write(json.dumps(asked).encode() + b"\n")
            self.process.stdin.flush()
        except OSError as error:
            raise BenchFault(f"{self.name} has ended: {self.last_words()}") from error

    def heard(self, within: float) -> dict[str, Any]:
        """The next answer.  Raises BenchFault if there is none, Disturbed if it says so."""
        document: dict[str, Any] = json.loads(self._line(time.monotonic() + within))
        if document.get("disturbed"):
            raise Disturbed(str(document["disturbed"]))
        if document.get("fault"):
            raise BenchFault(f"{self.name}: {document['fault']}")
        return document

    def ask(self, within: float, **asked: object) -> dict[str, Any]:
        """Ask and wait."""
        self.tell(**asked)
        return self.heard(within)

    def _line(self, deadline: float) -> bytes:
        stdout = self.process.stdout
        if stdout is None:
            raise BenchFault(f"{self.name} says nothing")
        while b"\n" not in self._text:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([stdout], [], [], left)[0]:
                raise BenchFault(f"{self.name} did not answer in time: {self.last_words()}")
            chunk = os.read(stdout.fileno(), 1 << 20)
            if not chunk:
                raise BenchFault(f"{self.name} ended with code {self.process.wait()}: {self.last_words()}")
            self._text += chunk
        line, _, self._text = self._text.partition(b"\n")
        return line

    def kill(self) -> None:
        """SIGKILL, and wait for it."""
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """Close its stdin, wait a while, then by force."""
        with suppress(OSError):
            if self.process.stdin is not None:
                self.process.stdin.close()
        try:
            self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.kill()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def last_words(self) -> str:
        """The last line of its log."""
        text = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return (text[-1][:500] if text else "it said nothing") + f" (log: {self.log})"


def cpu_us(pids: Iterable[int]) -> float:
    """Processor time that these processes have had, all threads, user and system, microseconds.

    By each one's own clock, as clock_getcpuclockid(3) makes it of a pid: /proc/PID/stat counts in ticks of 10 ms, in
    which a few quick commands are nothing.
    """
    return sum([time.clock_gettime_ns(~pid << 3 | 2) for pid in pids]) / 1_000


def start(name: str, command: Sequence[str], log: Path) -> Child:
    """Start one; whether it is ready, its first answer says."""
    with log.open("ab") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own command lines
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # Ctrl-C is ours to handle
        )
    return Child(name, process, log)


def python(module: str, settings: Mapping[str, object]) -> list[str]:
    """The command line of a module of this same installation."""
    return [sys.executable, "-m", module, json.dumps(settings)]


def leashed(command: Sequence[str]) -> list[str]:
    """A command line for what does not end with its stdin: a shell that does, and ends it then.

    Its first answer holds the process id of what it runs.
    """
    script = '"$@" </dev/null >/dev/null & one=$!; echo "{\\"pid\\": $one}"; cat >/dev/null; kill -9 $one'
    script += "; wait $one 2>/dev/null || true"  # gone when we are
    return ["/bin/sh", "-c", script, "leash", *command]
