"""Private: mounts that only this process sees, and whoever joins it, and that end with them.

Only the system calls may live here.  Linux, and the superuser.  Call them before a process has a second thread.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Final

_NEW_MOUNTS: Final = 0x00020000  # CLONE_NEWNS
_READ_ONLY, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 0x1, 0x20, 0x1000, 0x4000, 0x40000  # MS_


def alone() -> None:
    """From now on nobody else sees what this process mounts.  Raises OSError."""
    _call("unshare", _NEW_MOUNTS)
    _mount(b"none", b"/", None, _RECURSIVE | _PRIVATE)


def read_only(path: Path) -> None:
    """From now on this process can't write there.  Raises OSError."""
    alone()
    at = os.fsencode(path.resolve())
    _mount(at, at, None, _BIND)
    _mount(at, at, None, _REMOUNT | _BIND | _READ_ONLY)


def in_memory(path: Path, size: int) -> None:
    """An empty file system of so many bytes there.  Raises OSError."""
    _mount(b"tmpfs", os.fsencode(path.resolve()), b"tmpfs", 0, b"mode=700,size=%d" % size)


def join(pid: int) -> None:
    """See what that process sees.  Raises OSError."""
    here = Path.cwd()
    with Path(f"/proc/{pid}/ns/mnt").open("rb") as namespace:
        _call("setns", namespace.fileno(), _NEW_MOUNTS)
    os.chdir(here)


def _mount(source: bytes, target: bytes, kind: bytes | None, flags: int, data: bytes | None = None) -> None:
    _call("mount", source, target, kind, ctypes.c_ulong(flags), data)


def _call(name: str, *given: object) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*given) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
