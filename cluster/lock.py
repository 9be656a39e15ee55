"""Lock: one process a data folder; the system gives it back however the process ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from cluster.store import StoreFault, WrongFolder

LOCK: Final = "meltica.lock"


def lock(path: Path, *, shared: bool) -> int:
    """Lock the folder for this process's life; returns the descriptor that holds it.

    Raises:
        WrongFolder: another process has it.
        StoreFault: the folder is not writable.
    """
    try:
        held = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
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
