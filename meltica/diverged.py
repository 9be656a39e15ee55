"""Diverged: the mark in a data folder whose state differed from the majority's.

Only that mark may live here: such a node stays out, over restarts too, and its data is evidence.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cluster.store import StoreFault
from cluster.types import Status

MARK: Final = "diverged"  # a file in the data folder


def mark(data: Path, status: Status) -> None:
    """Leave the mark, if this node has found that its state differs."""
    if status.diverged is not None and not (data / MARK).exists():
        text = f"this node's state differed from the majority's at index {status.diverged}\n"
        (data / MARK).write_text(text, encoding="utf-8")


def said(data: Path) -> str:
    """What the mark says; empty where there is none."""
    file = data / MARK
    return file.read_text(encoding="utf-8", errors="replace").strip() if file.exists() else ""


def refuse(data: Path) -> None:
    """Raises StoreFault for a folder whose state is known to be wrong."""
    why = said(data)
    if why:
        raise StoreFault(f"{data}: {why}: do not start it; keep it as evidence (runbooks/states-differ.md)")
