"""Verify: `meltica cluster verify DIR`, whether a stopped node's folder is whole.

Only the command, its progress and the showing of what was found may live here; what is looked at is
`meltica.verify`'s.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.text import Text

from cluster.store import WrongFolder
from meltica.api.outcomes import Exit
from meltica.cli.errors import CliError
from meltica.cli.output import console, output_option, print_json, table_of

if TYPE_CHECKING:
    from cluster.inspection import Finding
    from meltica.verify import Verified

SCHEMA: Final = "meltica.verify/1"
JOINT_SCHEMA: Final = "meltica.verify-together/1"
PAGE: Final = "runbooks/damaged-folder.md"
EVERY_S: Final = 0.2  # between two tellings on a terminal
SELDOM_S: Final = 10.0  # elsewhere


@click.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--no-replay", is_flag=True, help="Checksums and chain only: takes less than half as long, and sees less."
)
@output_option
@click.pass_context
def verify(context: click.Context, /, folders: tuple[Path, ...], no_replay: bool, output: str) -> None:
    """Look whether DIR, the data folder of a stopped node, is whole.  Nothing in it is changed.

    All checksums are read, the audit trail's chain is followed, and the log is applied anew from its first entry: it
    must make the state that is stored.  That takes a minute or two a million entries, and room in the temporary folder
    (TMPDIR) for a second state.  Exit code 0: whole; 1: damaged.

    A node that installed a snapshot has no audit records of what that left out; other nodes have them.  Name the
    folders of several nodes, and they are looked at together too: their trails must have every record.
    """
    from meltica.together import together  # noqa: PLC0415 # the database is loaded only by who needs it
    from meltica.verify import verify as look  # noqa: PLC0415 # the same

    told = Told()
    try:
        found = [look(data_in(folder), told, replay=not no_replay) for folder in folders]
        whole = all(one.whole for one in found)
        joint = together(found, told) if len(found) > 1 and whole else ()
    except WrongFolder as fault:
        raise CliError(str(fault), "name the data folder of a node that is stopped", Exit.REFUSED) from None
    finally:
        told.end()
    whole = whole and not any(one.held is False for one in joint)
    if output == "json":
        print_json(_document(found[0]) if len(found) == 1 else _joint_document(found, joint, whole=whole))
    else:
        _show_all(found, joint)
    context.exit(int(Exit.DONE if whole else Exit.FAILED))


def data_in(folder: Path) -> Path:
    """The data folder itself, if that of its node was named."""
    if not folder.is_dir():
        raise CliError(f"{folder} is no folder", "name the data folder of a node that is stopped", Exit.USAGE)
    return folder / "data" if not (folder / "CURRENT").exists() and (folder / "data").is_dir() else folder


class Told:
    """How far it is, on stderr: one line that changes on a terminal, a line once in a while elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._next = time.monotonic() + (EVERY_S if self._terminal else SELDOM_S)
        self._shown = False

    def __call__(self, what: str, done: int, most: int) -> None:
        """So much of what is looked at."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (EVERY_S if self._terminal else SELDOM_S)
        self._shown = True
        line = f"{what}: {done:,} of {most:,}"
        click.echo(f"\r{line:60}" if self._terminal else line, err=True, nl=not self._terminal)

    def end(self) -> None:
        """The line goes."""
        if self._shown and self._terminal:
            click.echo(f"\r{'':60}\r", err=True, nl=False)


def _joint_document(found: Sequence[Verified], joint: Sequence[Finding], *, whole: bool) -> dict[str, Any]:
    return {
        "schema": JOINT_SCHEMA,
        "verdict": "whole" if whole else "damaged",
        "folders": [_document(one) for one in found],
        "checks": _checks(joint),
    }


def _checks(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [{"name": one.name, "held": one.held, "looked_at": one.looked_at, "text": one.text} for one in findings]


def _document(found: Verified) -> dict[str, Any]:
    from meltica.archive.records import gap_row  # noqa: PLC0415 # loaded by now

    return {
        "schema": SCHEMA,
        "folder": str(found.folder),
        "cluster": found.cluster,
        "node": found.node,
        "verdict": "whole" if found.whole else "damaged",
        "digest": found.digest or None,
        "digest_by_replay": found.replayed or None,
        "checks": _checks(found.findings),
        "next": _next(found),
        "gaps": [gap_row(gap) for gap in found.gaps],
    }


def _next(found: Verified) -> str:
    if found.whole:
        return ""
    who = f"node {found.node}" if found.node else "the node"
    return f"do not start {who} on this folder and do not delete it, it is evidence; the others go on: see {PAGE}"


def _show_all(found: Sequence[Verified], joint: Sequence[Finding]) -> None:
    for one in found:
        _show(one)
    if joint:
        show_findings("together", joint)
    elif len(found) > 1:
        click.echo("not looked at together: each must be whole by itself first", err=True)


def show_findings(title: str, findings: Sequence[Finding], *, err: bool = False) -> None:
    """What each check came to."""
    words = {
        True: Text("yes", style="green"),
        False: Text("DAMAGED", style="bold red"),
        None: Text("not shown", style="yellow"),
    }
    rows = [(one.name, words[one.held], one.looked_at, one.text) for one in findings]
    console(err=err).print(table_of(title, ("check", "whole", "looked at", "what was found"), rows))


def _show(found: Verified) -> None:
    out = console()
    show_findings("", found.findings)
    if found.whole:
        unshown = sum(1 for one in found.findings if one.held is None)
        but = f"; {unshown} of the checks could not be made" if unshown else ""
        out.print(f"{found.folder} is whole, as far as was looked{but}" if unshown else f"{found.folder} is whole")
    else:
        out.print(Text(f"{found.folder} is DAMAGED", style="bold red"))
        out.print(f"  next: {_next(found)}")
