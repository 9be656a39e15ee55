"""Private: a mount that only this process sees, and that ends with it.

Only the system calls may live here.  Linux, and the superuser: another user may change the mode of his folder instead.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Final

_NEW_MOUNTS: Final = 0x00020000  # CLONE_NEWNS
_READ_ONLY, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 0x1, 0x20, 0x1000, 0x4000, 0x40000  # MS_


def read_only(path: Path) -> None:
    """From now on this process can't write there; call it before it has a second thread.  Raises OSError."""
    _call("unshare", _NEW_MOUNTS)
    _mount(b"none", b"/", _RECURSIVE | _PRIVATE)
    at = os.fsencode(path.resolve())
    _mount(at, at, _BIND)
    _mount(at, at, _REMOUNT | _BIND | _READ_ONLY)


def _mount(source: bytes, target: bytes, flags: int) -> None:
    _call("mount", source, target, None, ctypes.c_ulong(flags), None)


def _call(name: str, *given: object) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*given) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
