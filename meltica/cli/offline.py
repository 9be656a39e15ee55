"""Offline: what the commands that work on a cluster's files, and ask no node, have in common.

Only their options, and the note of who did what and why, may live here.  No node hears of them, so no audit trail has
them: the cluster's own folder does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from meltica.cli.acting import actor
from meltica.cli.output import output_option

NOTES: Final = "changes.jsonl"  # in the cluster's folder: one JSON object a line, oldest first
UNCHANGED: Final = "nothing was changed (--dry-run)"
Command = TypeVar("Command", bound=Callable[..., Any])


def offline_options(command: Command) -> Command:
    """--reason, --yes, --dry-run and -o."""
    for option in (
        output_option,
        click.option("--dry-run", is_flag=True, help="Say what would happen; change nothing."),
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("--reason", help=f"Why; it is kept in DIR/{NOTES}, with who did it and when."),
    ):
        command = option(command)
    return command


def note(folder: Path, did: str, reason: str, said: Mapping[str, object]) -> None:
    """Keep, durably, that somebody is about to do this; raises OSError."""
    line = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "actor": actor(), "did": did, "reason": reason}
    file = os.open(folder / NOTES, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as opened:
        opened.write(json.dumps({**line, **said}) + "\n")
        opened.flush()
        os.fsync(opened.fileno())
