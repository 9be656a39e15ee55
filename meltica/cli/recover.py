"""Recover: `meltica cluster recover DIR`, a new cluster out of the folder of the one node that is left.

Only the command, its confirmation and its showing may live here; what is decided is `meltica.recover`'s, what is said
`meltica.statement`'s.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from attrs import frozen
from rich.table import Table
from rich.text import Text

from cluster.store import StoreFault, WrongFolder
from cluster.wire import WireError
from meltica.api.outcomes import Exit
from meltica.cli.acting import actor, checked_reason
from meltica.cli.errors import CliError
from meltica.cli.output import console, output_option, print_json
from meltica.cli.verify import Told, data_in, show_findings
from meltica.config import ConfigErrors, NodeSettings, load

if TYPE_CHECKING:
    from meltica.listening import Heard
    from meltica.recover import Sought
    from meltica.verify import Verified

PAGE: Final = "runbooks/two-nodes-lost.md"


@frozen
class _Asked:
    """What was asked for, read and checked as far as the words go."""

    folder: Path
    settings: NodeSettings
    out: Path | None
    phrase: str | None
    strangers: tuple[str, ...]  # addresses at which, by the operator's word, no node is
    replay: bool
    dry_run: bool
    output: str


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--config", required=True, type=click.Path(path_type=Path), help="A node's settings; see above.")
@click.option("--to", "out", type=click.Path(path_type=Path), help="Where to make the new folders; must not exist.")
@click.option("--reason", required=True, help="Why; it goes to the audit trail.")
@click.option("--leave-quotes", is_flag=True, help="Let the resting orders lie; else they are cancelled at the start.")
@click.option("--no-replay", is_flag=True, help="Checksums and chain only, as in `meltica cluster verify`.")
@click.option(
    "--not-a-node", "strangers", metavar="HOST:PORT", multiple=True, help="What listens there is none; you looked."
)
@click.option("--dry-run", is_flag=True, help="Say all of it; write nothing.")
@click.option("--yes-i-know", "phrase", metavar="NAME", help="For scripts: the cluster's name, instead of typing it.")
@output_option
def recover(
    *,
    folder: Path,
    config: Path,
    out: Path | None,
    reason: str,
    leave_quotes: bool,
    no_replay: bool,
    strangers: tuple[str, ...],
    dry_run: bool,
    phrase: str | None,
    output: str,
) -> None:
    """Found a new cluster out of DIR, the data folder of the ONE stopped node that is left.  For when a majority of the
    nodes is lost FOR GOOD: what they acknowledged without this one is gone.

    A majority of the old nodes, or of their data folders, is better than this: start those instead.

    DIR is not changed.  A folder for each node of the new cluster is made in --to, to be copied to its machine.  Which
    nodes these are is read from [peers] of the settings in --config, which are that node's own, or a copy of them with
    other nodes named; its cluster stays as it was.  The new cluster starts halted and in manual mode.

    Exit code 0: done.  5: refused, with the next step; nothing was written.
    """
    _check_usage(out, phrase, dry_run=dry_run, output=output)
    asked = _Asked(data_in(folder), _settings(config), out, phrase, strangers, not no_replay, dry_run, output)
    try:
        _recover(asked, checked_reason(reason), leave_quotes=leave_quotes)
    except WrongFolder as fault:
        raise CliError(str(fault), "name the data folder of a node that is stopped", Exit.REFUSED) from None
    except StoreFault as fault:
        raise CliError(str(fault), f"nothing was founded; see {PAGE}", Exit.REFUSED) from None


def _check_usage(out: Path | None, phrase: str | None, *, dry_run: bool, output: str) -> None:
    if dry_run:
        return
    if out is None:
        raise CliError("where to?", "give --to, a folder that does not exist yet; or --dry-run", Exit.USAGE)
    if phrase is None and output == "json":
        raise CliError("-o json asks nobody", "give --yes-i-know NAME, or --dry-run", Exit.USAGE)
    if phrase is None and not sys.stdin.isatty():
        message = "a recovery needs a confirmation, and stdin is no terminal"
        raise CliError(message, "give --yes-i-know NAME (the cluster's name), or --dry-run", Exit.USAGE)


def _settings(config: Path) -> NodeSettings:
    try:
        return load(config, check_files=False)
    except ConfigErrors as errors:
        raise CliError(str(errors), "correct it: meltica config check FILE", Exit.USAGE) from None


def _recover(asked: _Asked, reason: str, *, leave_quotes: bool) -> None:
    from cluster.founding import check_place  # noqa: PLC0415 - the database is loaded only by who needs it
    from meltica import recover as work  # noqa: PLC0415 - the same
    from meltica.cli import statement  # noqa: PLC0415 - the same

    if asked.out is not None:
        check_place(asked.folder, asked.out, len(asked.settings.peers))
    try:
        with work.held(asked.folder):
            sought = work.seek(asked.folder, asked.settings)
            _check_strangers(asked.strangers, sought)
            _check_lost(asked, sought)
            verified = _verified(asked)
            wish = work.Wish(actor() or "unknown", reason, leave_quotes)
            plan = work.plan(asked.folder, verified, asked.settings, wish, sought)
            if asked.output == "table":
                _show(statement.statement(plan, rehearsed=asked.dry_run))
            if not asked.dry_run and asked.out is not None:
                _confirm(asked)
                # to look and to read may have taken long
                _check_lost(asked, work.seek(asked.folder, asked.settings))
                papers = {statement.PAPER: statement.paper(plan, asked.out)}
                work.carry_out(plan, asked.out, papers, lambda what: click.echo(f"{what} ...", err=True))
    except work.CantRecover as fault:
        raise CliError(str(fault), fault.following, Exit.REFUSED) from None
    if asked.output == "json":
        print_json(statement.document(plan, asked.out, done=not asked.dry_run))
    elif asked.dry_run or asked.out is None:
        click.echo("nothing was written (--dry-run)")
    else:
        _show_next(plan.founding.cluster, asked.out, statement.steps(plan, asked.out))


def _check_strangers(strangers: Sequence[str], sought: Sequence[Sought]) -> None:
    """Raises CliError for a word that is not of something that listens now: a node could come up there later."""
    for one in strangers:
        if one not in {found.address for found in sought if found.heard is not None}:
            message = f"--not-a-node {one}: nothing takes connections there, or no node was looked for there"
            raise CliError(message, "leave it out; --dry-run says where nodes are looked for", Exit.USAGE)


def _check_lost(asked: _Asked, sought: Sequence[Sought]) -> None:
    """Raises CliError if a node may run: it is to elect a leader with this one, or, where they can't, to be stopped.

    What shows that it is a node is one; of anything else the operator's word is taken, of each by its address.
    """
    found = [(one, one.heard) for one in sought if one.heard is not None]
    answers = [(one, heard) for one, heard in found if heard.node or one.address not in asked.strangers]
    if answers:
        told = ", ".join(f"{one} takes connections ({heard.shows})" for one, heard in answers)
        names = sorted({one.name for one, _ in answers})
        following = _instead(asked.folder, names) or "start this node and let them elect a leader"
        raise CliError(f"not lost: {told}, so a node may run there", following + _strangers(answers), Exit.REFUSED)


def _strangers(answers: Sequence[tuple[Sought, Heard]]) -> str:
    """What to do about those that have not shown that they are nodes."""
    open_ones = sorted({one.address for one, heard in answers if not heard.node})
    words = " ".join(f"--not-a-node {one}" for one in open_ones)
    if not words:
        return f" ({PAGE})"
    return (
        f"; if it is no node, end it; if that can't be, and you have looked at what it is: {words}, which goes into "
        f"the statement ({PAGE})"
    )


def _instead(folder: Path, answering: Sequence[str]) -> str:
    """What to do where nobody can be elected, as by the folder's log too few of those that are left vote; else ""."""
    from cluster.members import decode  # noqa: PLC0415 - with the database, which is loaded only by who needs it
    from cluster.rocks import open_readonly  # noqa: PLC0415 - the same

    try:
        reader = open_readonly(folder)
        try:
            (place, identity) = (reader.places()[-1:], reader.identity())
        finally:
            reader.close()
        found = decode(place[0][1]) if place else None
    except (StoreFault, WireError):
        return ""  # what is wrong with it is told when it is looked at
    if found is None or identity is None:
        return ""
    left = sorted({str(identity[1]), *answering})
    if len({*left} & {*found.voting}) >= found.majority:
        return ""
    parts = {str(name): "votes" for name in found.voting} | {str(name): "only learns" for name in found.learning}
    says = ", ".join(
        f"{name} {parts.get(name, 'was removed' if name in found.removed else 'is none')}" for name in left
    )
    return (
        f"nobody can be elected: by this folder's log {found.majority} of {', '.join(found.voting)} are needed, and "
        f"{says}.  Make sure that nobody trades (`meltica cluster status`; this log may be old), stop "
        f"{' and '.join(answering)} too, look at each folder that is left with this command and --dry-run, and found "
        "the new cluster on the one whose log ends highest: the term first, then the entry"
    )


def _verified(asked: _Asked) -> Verified:
    from meltica.verify import verify  # noqa: PLC0415 - the database is loaded only by who needs it

    told = Told()
    try:
        found = verify(asked.folder, told, replay=asked.replay)
    finally:
        told.end()
    if not found.whole:
        show_findings("", found.findings, err=True)
        following = "leave it as it is; look for another: a lost node's disk, a backup"
        raise CliError(f"{asked.folder} is DAMAGED: nothing is founded on it", f"{following}; see {PAGE}", Exit.REFUSED)
    return found


def _confirm(asked: _Asked) -> None:
    name = asked.settings.node.cluster_name
    typed = asked.phrase
    if typed is None:
        typed = click.prompt(f"\nType the cluster's name ({name}) to found a new cluster out of this folder", err=True)
    if typed != name:
        raise CliError("that is not the cluster's name: nothing was written", f"it is {name!r}", Exit.REFUSED)


def _show(told: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    out = console()
    for heading, lines in told.items():
        out.print(Text(heading, style="bold"))
        table = Table.grid(padding=(0, 2))
        for label, text in lines:
            table.add_row(Text(f"  {label}"), Text(text))
        out.print(table)


def _show_next(cluster: str, out: Path, steps: Sequence[str]) -> None:
    click.echo(f"\nfounded: cluster {cluster}, in {out}.  Nothing runs yet.  Next, in this order:")
    for number, step in enumerate(steps, 1):
        click.echo(f"  {number}. {step}")
