"""Linked: another folder whose files are a data folder's, by symbolic links, so that looking changes nothing.

Only making and removing it may live here.  The library writes its own `rocksdict-config.json` anew also where it opens
read-only (seen with strace, 0.3.29): cut short and written without a sync, in the very folder that is evidence.
Opening as a secondary writes as much, and a diary.  Of a folder of links nothing but the link is written to; RocksDB
reads through it and, read-only, writes, renames and deletes nothing.  Not hard links: they move the time of change of
each file, and need the same file system.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Final

_PREFIX: Final = "meltica-reading-"
_WRITTEN: Final = "rocksdict-config.json"  # by the library, at every opening: not linked


class Linked:
    """A temporary folder of links; `path` is where."""

    def __init__(self, folder: Path) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix=_PREFIX)
        self.path = Path(self._temporary.name)
        for file in folder.resolve().iterdir():
            if file.name != _WRITTEN:
                (self.path / file.name).symlink_to(file)

    def remove(self) -> None:
        """Take the links away."""
        self._temporary.cleanup()


def named(text: str, folder: Path) -> str:
    """What was said of the files in such a folder, said of the folder itself."""
    return re.sub(rf"[^\s()]*{_PREFIX}\w+", str(folder), text)
