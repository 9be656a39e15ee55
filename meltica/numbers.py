"""Numbers: the counter of the ids that one node took for cancels without a majority, kept beside its log.

Only that one small file may live here.  It is made when the node starts and written over in place, in one piece and of
one length, so that a full disk does not keep an operator from cancelling.  It is not synced: it outlives the process,
and a machine that loses power within seconds of such a cancel may repeat an id.  If it can't be written either, the
count goes on in memory: quotes that lie in the market without anybody's care are worse than an id that a later life of
this process might send again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from cluster.store import StoreFault
from meltica.core.values import Epoch

NAME: Final = "mandate.numbers"
NONE_LEFT: Final = 1 << 16  # beyond all places: for an epoch older than one that was served already
_FORM: Final = "epoch %020d next %020d\n"
WORDS: Final = 4
_LENGTH: Final = len(_FORM % (0, 0))


class NumbersFault(StoreFault):
    """The file is not one of ours, or can't be made; the message says what to do."""


class NumbersFile:
    """Implements `leader.ports.Numbers`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        try:
            self._epoch, self._next = self._read()
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            self._write()
            os.fsync(self._file)
        except OSError as error:
            raise NumbersFault(f"{self._path}: {error}: make the folder writable by this user") from error

    def _read(self) -> tuple[int, int]:
        if not self._path.exists():
            return 0, 0
        words = self._path.read_bytes().split()
        if len(words) != WORDS or not (words[1].isdigit() and words[3].isdigit()):
            raise NumbersFault(f"{self._path}: damaged; move it away while no quotes of this cluster are open")
        return int(words[1]), int(words[3])

    def __call__(self, epoch: Epoch, count: int) -> int:
        """Take `count` numbers of `epoch`; returns the first."""
        if epoch < self._epoch:
            return NONE_LEFT
        if epoch > self._epoch:
            self._epoch, self._next = epoch, 0
        first = self._next
        self._next += count
        try:
            self._write()
        except OSError:
            return first  # see the module
        return first

    def _write(self) -> None:
        raw = (_FORM % (self._epoch, self._next)).encode()
        if os.pwrite(self._file, raw, 0) != _LENGTH:
            raise OSError("written in part")
