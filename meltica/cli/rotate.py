"""Rotate: `meltica cluster rotate`, new certificates from the cluster's own authority.

Only that command may live here; the certificates are `cluster.pki`'s, and nodes notice new files by themselves.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import click

from cluster import pki
from cluster.types import Peer
from meltica.api.outcomes import Exit
from meltica.cli.acting import confirm
from meltica.cli.errors import CliError
from meltica.config import NAME, NAME_WORDS

AUTHORITY = "ca"
ELSEWHERE = "ca.key may be kept elsewhere: bring it into the folder's pki/ for this, then take it away again"


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("name", metavar="[NODE]", required=False)
@click.option("--make", is_flag=True, help="Make them for NODE, which has none here.")
@click.option("--dry-run", is_flag=True, help="Say what would happen; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def rotate(*, folder: Path, name: str | None, make: bool, dry_run: bool, yes: bool) -> None:
    """New certificates and keys for NODE (or `operator`; by default for all), in the cluster's folder DIR.

    A node on this machine uses its new one within seconds, for new connections, without a restart; those that are up
    stay.  For a node on another machine copy NODE.key and NODE.pem there, in this order.  The authority stays.

    --make is for a node whose files burned with its machine, and for one of a recovered cluster that has a new name.
    A node that takes another's place gets its own from `meltica cluster prepare`.
    """
    place = folder / "pki"
    names = [name] if name is not None else _names(place)
    if not names or not (place / "ca.pem").is_file():
        raise CliError(f"{place} holds no cluster's certificates", "name a cluster's folder", Exit.USAGE)
    now = datetime.now(UTC)
    if make:
        _make(place, name, now, dry_run=dry_run, yes=yes)
        return
    if name is not None and not (place / f"{name}.pem").exists():
        raise CliError(f"{name} has no certificate in {place}", "if it is to have one: --make", Exit.REFUSED)
    try:
        for one in names:
            left = pki.read_certificate((place / f"{one}.pem").read_bytes()).days_left(now)
            click.echo(f"{one}: its certificate is valid for {left} days more")
        pki.Authority.read(place)  # before anything is replaced
        if dry_run:
            click.echo("nothing was changed (--dry-run)")
            return
        confirm(f"{', '.join(names)} get a new certificate and key", yes=yes)
        for one in names:
            click.echo(f"{one}: a new one, valid until {pki.renew(place, one, now).not_after:%Y-%m-%d}")
    except (OSError, ValueError) as error:
        raise CliError(str(error), ELSEWHERE if "ca.key" in str(error) else "look at that file", Exit.REFUSED) from None
    click.echo("each node uses its own within seconds: `meltica cluster members` shows which one it uses")


def _make(place: Path, name: str | None, now: datetime, *, dry_run: bool, yes: bool) -> None:
    """The first ones, of a node that has none here."""
    if name is None or not re.fullmatch(NAME, name):
        raise CliError(f"no node can be called {name!r}" if name else "whose?", NAME_WORDS, Exit.USAGE)
    if dry_run:
        click.echo(f"{name} would get its first certificate and key (--dry-run)")
        return
    confirm(f"{name} gets its first certificate and key", yes=yes)
    try:
        pki.issue(place, Peer(name), now)
    except (OSError, ValueError) as error:
        raise CliError(str(error), ELSEWHERE if "ca.key" in str(error) else "look at that file", Exit.REFUSED) from None
    click.echo(f"{name}: {place / name}.pem and {name}.key were made")


def _names(place: Path) -> list[str]:
    return sorted(file.stem for file in place.glob("*.pem") if file.stem != AUTHORITY)
