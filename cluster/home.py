"""Home: which file a data folder's mark is, so that a copy of the folder is known for one.

Only that file and its identity may live here, and the note of an operator who vouches for a folder by hand.

Whatever copies or restores a folder makes another file of the mark, with another inode, or, where a freed inode is
used again, another time of birth.  Both are the file system's: nobody can set them.  The device's number is no part
of it (it may change with a restart of the machine), nor is the time of change, which `chown`, `touch`, a container's
start and every hard link to the file move: a node that is no copy must not be taken for one, for two such nodes of
three can elect nobody.  Only where a file system has no times of birth does the time of change stand in for it.
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from cluster.store import StoreFault
from cluster.stored import encode_born, encode_home

HOME: Final = "home"  # the mark
ATTESTED: Final = "attested.jsonl"  # who vouched for this folder by hand, when and why; one JSON object a line

DOUBTED: Final = encode_home(0, 0)  # in the place of what the mark is: no file is this one

_HERE: Final = -100  # AT_FDCWD
_ASKED: Final = 0x800  # STATX_BTIME
_BIRTH: Final = 80  # where the time of birth is in the answer: seconds (8 bytes) and nanoseconds (4)
_SECOND: Final = 1_000_000_000


def homes_of(path: Path, *, make: bool) -> tuple[bytes, ...]:
    """Every way to say which file this folder's mark is, the surest first; none if there is no mark."""
    mark = path / HOME
    try:
        if make:
            mark.touch()
        found = mark.stat()
        birth = born(mark)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise StoreFault(f"{path}: {error}: make the folder writable by this user") from error
    changed = encode_home(found.st_ino, found.st_ctime_ns)
    return (changed,) if birth is None else (encode_born(found.st_ino, birth), changed)


def born(path: Path) -> int | None:
    """When this file was made, in nanoseconds of Unix time; None where its file system does not know.

    By the C library: `os.stat` tells it on other systems than Linux only.
    """
    statx = getattr(ctypes.CDLL(None, use_errno=True), "statx", None)
    if statx is None:
        return None
    answer = ctypes.create_string_buffer(256)
    if statx(_HERE, os.fsencode(path), 0, _ASKED, answer) != 0:
        return None
    mask: int = struct.unpack_from("=I", answer.raw)[0]
    seconds, nanoseconds = struct.unpack_from("=qI", answer.raw, _BIRTH)
    return seconds * _SECOND + nanoseconds if mask & _ASKED else None


def touch(path: Path) -> None:
    """Move the mark's time, so that a tool which leaves what looks unchanged (rsync) makes another file of it."""
    with suppress(OSError):
        os.utime(path / HOME)


def note_attested(path: Path, said: Mapping[str, object]) -> None:
    """Keep, durably, that somebody vouched for this folder; raises StoreFault."""
    try:
        file = os.open(path / ATTESTED, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(file, "w", encoding="utf-8") as opened:
            opened.write(json.dumps(said) + "\n")
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as error:
        raise StoreFault(f"{path}: {error}: make the folder writable by this user") from error


def attested(path: Path) -> Iterator[Mapping[str, object]]:
    """What was kept so, oldest first; what can't be read is left out."""
    with suppress(OSError):
        for line in (path / ATTESTED).read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError):
                found = json.loads(line)
                if isinstance(found, dict):
                    yield found
