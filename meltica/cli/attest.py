"""Attest: `meltica cluster attest`, by which an operator vouches that a stopped node's folder is no copy.

Only that command may live here.  It works on the folder alone, with no node running on it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cluster import home
from cluster.store import StoreFault, WrongFolder
from cluster.types import Peer
from meltica.api.outcomes import Exit
from meltica.cli.acting import actor, checked_reason
from meltica.cli.errors import CliError
from meltica.cli.offline import UNCHANGED
from meltica.cli.output import output_option, print_json

if TYPE_CHECKING:
    from cluster.rocks import RocksReader

RISK = (
    "If this folder is an older copy after all, the cluster can lose entries that it has acknowledged: orders and "
    "fills that were on record would be so no more."
)
SCHEMA = "meltica.attest/1"
PAGE = "runbooks/folder-is-a-copy.md"


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--reason", required=True, help="Why you are sure; it is kept in the folder and told at each start.")
@click.option("--dry-run", is_flag=True, help="Say what would happen; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask for the node's name.")
@output_option
def attest(*, folder: Path, reason: str, dry_run: bool, yes: bool, output: str) -> None:
    """Vouch that DIR, the data folder of a stopped node that takes itself for a copy, is the newest that there is.

    Only for when no leader can be elected; else start the node and wait: a leader lifts it by itself.
    """
    why = checked_reason(reason)
    try:
        _attest(folder, why, dry_run=dry_run, yes=yes, json=output == "json")
    except WrongFolder as fault:
        raise CliError(str(fault), "name the data folder of a node that is stopped", Exit.REFUSED) from None
    except StoreFault as fault:
        raise CliError(str(fault), f"the folder can't be vouched for: {PAGE}", Exit.REFUSED) from None


def _attest(folder: Path, why: str, *, dry_run: bool, yes: bool, json: bool) -> None:
    from cluster.rocks import open_readonly  # noqa: PLC0415 - the database is loaded only by who needs it

    reader = open_readonly(folder)
    try:
        identity, suspect, said = reader.identity(), reader.suspect(), _said(reader, why)
        votes = identity is None or _votes(reader, identity[1])
    finally:
        reader.close()
    if identity is None or not suspect:
        message = f"{folder}: this folder is not taken for a copy"
        raise CliError(message, "start the node; nothing is to be vouched for", Exit.REFUSED)
    cluster, name = identity
    _check_vote(name, votes=votes, empty=not said["last_term"])
    click.echo(
        f"node {name} of cluster {cluster}: its log ends at entry {said['last_index']} of term {said['last_term']}, "
        f"committed to {said['commit_index']}\n{RISK}",
        err=json,
    )
    if not dry_run:
        _confirm(name, yes=yes)
        _vouch(folder, identity, said)
    if json:
        print_json({"schema": SCHEMA, "cluster": cluster, "node": name, "dry_run": dry_run, **said})
    elif dry_run:
        click.echo(UNCHANGED)
    else:
        kept = folder / home.ATTESTED
        click.echo(f"done: {name} takes part in elections once it is started; {kept} says who vouched")


def _votes(reader: RocksReader, name: Peer) -> bool:
    """Whether it has a vote by what its folder knows; a folder of before, which knows nothing of it, may."""
    from cluster.members import decode  # noqa: PLC0415 - with the database

    places = reader.places()
    return not places or name in decode(places[-1][1]).voting


def _check_vote(name: str, *, votes: bool, empty: bool) -> None:
    """Raises CliError where nobody's word would count: what joins is careful until it is brought up, at each start."""
    if empty and not votes:
        message = f"{name} has no vote by what this folder knows, and its log is empty: it takes part in no election"
        following = "start it and wait: a leader brings it up; if nobody leads, it is the other nodes that have to"
        raise CliError(message, following, Exit.REFUSED)


def _vouch(folder: Path, identity: tuple[str, Peer], said: Mapping[str, object]) -> None:
    from cluster.remembered import vouch  # noqa: PLC0415 - with the database
    from cluster.rocks import RocksStore  # noqa: PLC0415 - the database is loaded only by who needs it

    store = RocksStore(folder, *identity)  # which reads all of it first
    try:
        home.note_attested(folder, said)
        vouch(store)
        store.commit()
        store.sync()
    finally:
        store.close()


def _said(reader: RocksReader, why: str) -> dict[str, object]:
    """What is kept of it: when, who, why, and what the folder held."""
    _, last = reader.bounds()
    end = reader.entries(last, 1) if last else []
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "actor": actor(),
        "reason": why,
        "last_index": last,
        "last_term": end[0].term if end else 0,
        "commit_index": reader.meta().commit_index,
    }


def _confirm(name: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise CliError("vouching for a folder needs a confirmation, and stdin is no terminal", "add --yes", Exit.USAGE)
    if click.prompt(f"Type the node's name ({name}) to vouch for its folder", err=True) != name:
        raise CliError("that is not its name: nothing was changed", code=Exit.REFUSED)
