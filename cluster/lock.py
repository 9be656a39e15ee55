"""Lock: one process a data folder, one command at a time a folder; given back by the system however they end."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cluster.store import StoreFault, WrongFolder

LOCK: Final = "meltica.lock"


def lock(path: Path, *, shared: bool) -> int:
    """Lock the folder for this process's life; returns the descriptor that holds it.

    Shared is for reading, and changes nothing: where there is no lock's file, no node has run on this folder since it
    was put there, and the folder itself is held open instead.

    Raises:
        WrongFolder: another process has it.
        StoreFault: the folder is not writable.
    """
    try:
        held = _open(path, shared=shared)
    except OSError as error:
        raise StoreFault(f"{path}: {error}: make the folder writable by this user") from error
    try:
        fcntl.flock(held, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(held, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(held)
        message = f"{path}: another process (pid {holder}) has this folder open: stop it first, or use another folder"
        raise WrongFolder(message) from error
    if not shared:
        os.ftruncate(held, 0)
        os.pwrite(held, str(os.getpid()).encode(), 0)
    return held


def _open(path: Path, *, shared: bool) -> int:
    if not shared:
        return os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    return os.open(path / LOCK if (path / LOCK).exists() else path, os.O_RDONLY)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait for our turn among all who change files in this folder, and leave nothing there; raises OSError."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)
