"""Rotate: `meltica cluster rotate`, new certificates from the cluster's own authority.

Only that command may live here; the certificates are `cluster.pki`'s, and nodes notice new files by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
import httpx

from cluster import pki
from cluster.types import Peer
from meltica.api.outcomes import Exit
from meltica.cli.acting import checked_reason, confirm
from meltica.cli.errors import CliError
from meltica.cli.offline import UNCHANGED, note, offline_options
from meltica.cli.output import print_json
from meltica.cli.place import find_place
from meltica.config import NAME, NAME_WORDS, ConfigErrors, load

AUTHORITY: Final = "ca"
ELSEWHERE: Final = "ca.key may be kept elsewhere: bring it into the folder's pki/ for this, then take it away again"
SCHEMA: Final = "meltica.rotate/1"
Rows = Mapping[str, pki.Certificate | None]


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("name", metavar="[NODE]", required=False)
@click.option("--make", is_flag=True, help="Make them for NODE, which has none here.")
@offline_options
def rotate(
    *, folder: Path, name: str | None, make: bool, dry_run: bool, yes: bool, reason: str | None, output: str
) -> None:
    """New certificates and keys for NODE (or `operator`; by default for all), in the cluster's folder DIR.

    A node on this machine uses its new one within seconds, for new connections, without a restart; those that are up
    stay.  For a node on another machine copy NODE.key and NODE.pem there, in this order.  The authority stays.

    A node's new one names what the old one did, and the hosts of its addresses in DIR/cluster.toml and in its settings,
    so that curl, Prometheus and browsers find it under these.  The nodes and this command line go by the node's name.

    --make is for a node whose files burned with its machine, and for one of a recovered cluster that has a new name.
    A node that takes another's place gets its own from `meltica cluster prepare`.
    """
    place, why, now = folder / "pki", checked_reason(reason), datetime.now(UTC)
    names = [name] if name is not None else _names(place)
    if not names or not (place / "ca.pem").is_file():
        raise CliError(f"{place} holds no cluster's certificates", "name a cluster's folder", Exit.USAGE)
    with _refusals():
        before = _first(place, name) if make else _before(place, names)
        for one, old in before.items():
            told = "has none here" if old is None else f"is valid for {old.days_left(now)} days more"
            click.echo(f"{one}: its certificate {told}", err=output == "json")
        pki.Authority.read(place)  # before anything is replaced, as the next line
        hosts = {one: _hosts(folder, one) for one in before}
        if not dry_run:
            confirm(f"{', '.join(before)} get a new certificate and key", yes=yes)
            note(folder, "rotate", why, {"certificates": list(before), "make": make})
        after: Rows = {} if dry_run else {one: _made(place, one, now, hosts[one], make=make) for one in before}
    _show(before, after, now, output)


def _made(place: Path, name: str, now: datetime, hosts: Sequence[str], *, make: bool) -> pki.Certificate:
    if not make:
        return pki.renew(place, name, now, hosts)
    pki.issue(place, Peer(name), now, hosts)
    return pki.read_certificate((place / f"{name}.pem").read_bytes())


def _hosts(folder: Path, name: str) -> list[str]:
    """Where others reach this node, by what the folder has of it; a folder may well have neither."""
    found, api = list[str](), None
    with suppress(CliError):
        place = find_place(folder)
        api = place.apis.get(name)
    if api is not None:
        found.append(_host(name, api))
    with suppress(ConfigErrors, OSError):
        own = load(folder / "nodes" / name / "meltica.toml", check_files=False).own
        found += [own.api.host, own.peer.host]
    return found


def _host(name: str, api: str) -> str:
    try:
        return httpx.URL(api).host
    except httpx.InvalidURL as error:
        raise CliError(f"[nodes.{name}] of cluster.toml: {api!r:.80}: {error}", "correct it", Exit.REFUSED) from None


def _first(place: Path, name: str | None) -> Rows:
    """Of a node that has none here; raises CliError where it has."""
    if name is None or not re.fullmatch(NAME, name):
        raise CliError(f"no node can be called {name!r}" if name else "whose?", NAME_WORDS, Exit.USAGE)
    if (place / f"{name}.pem").exists():
        raise CliError(f"{name} has a certificate in {place}", "to replace it, leave out --make", Exit.REFUSED)
    if (key := place / f"{name}.key").exists():
        following = "remove it, if nothing uses it, and give the same command again"
        raise CliError(f"{key} is a key without a certificate: of a command that was killed", following, Exit.REFUSED)
    return {name: None}


def _before(place: Path, names: list[str]) -> Rows:
    for name in names:
        if not (place / f"{name}.pem").exists():
            raise CliError(f"{name} has no certificate in {place}", "if it is to have one: --make", Exit.REFUSED)
    return {name: pki.read_certificate((place / f"{name}.pem").read_bytes()) for name in names}


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise CliError(str(error), ELSEWHERE if "ca.key" in str(error) else "look at that file", Exit.REFUSED) from None


def _show(before: Rows, after: Rows, now: datetime, output: str) -> None:
    if output == "json":
        rows = [
            {
                "name": name,
                "days_left_before": None if old is None else old.days_left(now),
                "certificate": _document(after.get(name)),
            }
            for name, old in before.items()
        ]
        print_json({"schema": SCHEMA, "dry_run": not after, "certificates": rows})
        return
    for name, new in after.items():
        if new is not None:
            shown = ", ".join((*new.names, *new.addresses))
            click.echo(f"{name}: a new one, valid until {new.not_after:%Y-%m-%d}, which names {shown}")
    following = "each node uses its own within seconds: `meltica cluster members` shows which one it uses"
    click.echo(following if after else UNCHANGED)


def _document(new: pki.Certificate | None) -> dict[str, object] | None:
    return None if new is None else {**new.document(), "names": new.names, "addresses": new.addresses}


def _names(place: Path) -> list[str]:
    return sorted(file.stem for file in place.glob("*.pem") if file.stem != AUTHORITY)
