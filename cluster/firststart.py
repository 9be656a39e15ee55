"""First start: how the empty folder of a new node is told from one whose data is gone.

Only that may live here.  A node that comes back empty under its old name has forgotten whom it voted for and what it
acknowledged: it can then elect a leader that lacks an acknowledged entry (rule 8).  So an empty folder is opened only
if it holds a mark that `meltica cluster create` put there, or `meltica cluster prepare` for a node of a new name, and
the mark goes as soon as the folder's identity is durable.  A mark that stays where a folder was copied from opens a
second folder of that name: what stands against that is `cluster.remembered`'s.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from cluster.store import StoreFault

MARK: Final = "first-start"  # the mark's name, in a node's data folder
TEXT: Final = """\
This node has never run.  At its first start it takes this folder and removes this file.
It may be started once, in one place: if you copy this folder to another machine, remove it here.
Do not make or copy this file by hand: a node that starts empty under its old name can lose what it acknowledged.
"""


class EmptiedFolder(StoreFault):
    """A node's folder holds no database, and no mark that it is to have its first start."""


def check(path: Path) -> None:
    """Raises EmptiedFolder unless the folder is marked; for a folder without a database, or without an identity."""
    if not (path / MARK).is_file():
        raise EmptiedFolder(
            f"{path}: there is no node's data in this folder, and no file {MARK!r}, which a new node has: either the "
            "settings name the wrong folder, or its disk is not mounted, or its data is gone. Correct the first two. "
            "If the data is gone, do not start this node: empty, under its old name, it would have forgotten what it "
            "acknowledged, and the cluster could lose it. The other nodes go on without it. Put a node of a new "
            "name in its place: `meltica cluster prepare DIR NEW`, start it, then `meltica cluster replace OLD --with "
            "NEW --address HOST:PORT` (runbooks/replace-a-node.md)"
        )


def mark(path: Path) -> None:
    """Mark a folder for its first start."""
    try:
        (path / MARK).write_text(TEXT)
        sync_folder(path)
    except OSError as error:
        raise StoreFault(f"{path}: {error}: make the folder writable by this user") from error


def done(path: Path) -> None:
    """Remove the mark, durably.  Only once the folder's identity is durable."""
    if (path / MARK).exists():
        try:
            (path / MARK).unlink()
            sync_folder(path)
        except OSError as error:
            raise StoreFault(f"{path}: {MARK} can't be removed ({error}): make the folder writable") from error


def sync_folder(path: Path) -> None:
    """What was made, renamed or removed in it is durable; raises OSError."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
