"""Prepare: `meltica cluster prepare`, the folder of a new node that is to take part in a cluster that there is.

Only that command may live here.  The new node's settings are another node's, with its own name, addresses and files;
what comes out is read again and compared before anything is kept.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
from attrs import frozen

from cluster import firststart, pki
from cluster.hosts import Address
from cluster.lock import alone
from cluster.types import NO_NODE_S, Peer
from meltica.api.outcomes import Exit
from meltica.cli.acting import checked_reason
from meltica.cli.errors import CliError
from meltica.cli.offline import UNCHANGED, note, offline_options
from meltica.cli.output import print_json
from meltica.cli.place import FILE, find_place, read_place
from meltica.config import NAME, NAME_WORDS, ConfigErrors, NodeSettings, load

SETTINGS: Final = "meltica.toml"
BY_HAND: Final = "write the new node's settings by hand: another node's, with [node] name, peer and api its own"
ELSEWHERE: Final = "ca.key may be kept elsewhere: bring it into the folder's pki/ for this, then take it away again"
SCHEMA: Final = "meltica.prepare/1"


@frozen
class New:
    """The new node's name, and where it is reached."""

    name: str
    address: Address
    api: Address


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("name", metavar="NEW")
@click.option("--address", required=True, metavar="HOST:PORT", help="Where the other nodes dial it; IPv6 in brackets.")
@click.option("--api", required=True, metavar="HOST:PORT", help="Where operators, and the other nodes, reach its API.")
@click.option("--like", metavar="NODE", help="Whose settings to take; by default the first node's of the folder.")
@offline_options
def prepare(
    *,
    folder: Path,
    name: str,
    address: str,
    api: str,
    like: str | None,
    reason: str | None,
    dry_run: bool,
    yes: bool,  # noqa: ARG001 # it asks nothing, as it changes nothing that there is; scripts give it to all alike
    output: str,
) -> None:
    """Write a new node's folder into the cluster's folder DIR: settings, a certificate, and an empty data folder.

    It takes part only once `meltica cluster replace` has put it in another node's place: until then it never stands,
    and counts for nothing.  Its name must be one that no node of this cluster ever had.  DIR/cluster.toml names it from
    then on.  Its certificate names the hosts of both addresses.

    For another machine, copy nodes/NEW, and of pki/ ca.pem, NEW.pem and NEW.key, with tokens/ and secrets/; then remove
    nodes/NEW/data here.  That folder may be started once, in one place: a node that lost its disk is not to be started
    on another copy of it.
    """
    why = checked_reason(reason)
    find_place(folder)
    new = _new(name, address, api)
    with alone(folder):  # of two at once each would write the operators' file as it was before the other
        _prepared(folder, new, like, why, dry_run=dry_run)
    _show(folder, new, dry_run=dry_run, output=output)


def _prepared(folder: Path, new: New, like: str | None, why: str, *, dry_run: bool) -> None:
    place, name = find_place(folder), new.name
    begun = name not in place.apis and _is_made(folder, new)
    if name in place.apis or ((folder / "nodes" / name).exists() and not begun):
        raise CliError(f"there is a node {name} already", "a new node needs a name that no node ever had", Exit.REFUSED)
    pattern = like or next(iter(place.apis))
    try:
        if not begun:
            _try(folder, pattern, new)
        if not dry_run:
            note(folder, "prepare", why, {"node": name, "address": str(new.address), "api": str(new.api)})
            if not begun:
                _make(folder, pattern, new)
            _enrol(folder / FILE, new)
    except ConfigErrors as error:
        raise CliError(str(error), BY_HAND, Exit.REFUSED) from None
    except (OSError, ValueError) as error:
        following = ELSEWHERE if "ca.key" in str(error) else "look at that file"
        raise CliError(str(error), following, Exit.REFUSED) from None


def _show(folder: Path, new: New, *, dry_run: bool, output: str) -> None:
    where = folder / "nodes" / new.name
    following = [
        f"meltica node run --config {_settings(folder, new.name)}",
        f"meltica cluster replace OLD --with {new.name} --address {new.address}",
    ]
    if output == "json":
        head = {"schema": SCHEMA, "node": new.name, "folder": str(where)}
        places = {"address": str(new.address), "api": str(new.api)}
        print_json({**head, **places, "dry_run": dry_run, "next": following})
    elif dry_run:
        click.echo(f"{new.name} would be made in {where}; {UNCHANGED}")
    else:
        click.echo(f"{new.name} is in {where}; start it: {following[0]}")
        click.echo(f"if you copy it to another machine, remove {where / 'data'} here: it may be started once")
        click.echo(f"then, for example: {following[1]}")


def _new(name: str, address: str, api: str) -> New:
    """Raises CliError (wrong usage)."""
    if not re.fullmatch(NAME, name) or name in NO_NODE_S:
        raise CliError(f"{name!r:.60} can't be a node's name", NAME_WORDS, Exit.USAGE)
    new = New(name, read_place("--address", address), read_place("--api", api))
    if new.address == new.api:
        following = "the other nodes dial --address, operators and the other nodes' questions reach --api"
        raise CliError(f"--address and --api are {new.api}: one port can't be both", following, Exit.USAGE)
    return new


def _settings(folder: Path, name: str) -> Path:
    return folder / "nodes" / name / SETTINGS


def _is_made(folder: Path, new: New) -> bool:
    """Whether an earlier command has made just this node, which never ran: all but its place in the operators' file."""
    try:
        made = load(_settings(folder, new.name), check_files=False)
        never_ran = [file.name for file in made.node.data.iterdir()] == [firststart.MARK]
    except (ConfigErrors, OSError):
        return False
    return never_ran and (made.node.name, made.own.peer, made.own.api) == (new.name, new.address, new.api)


def _try(folder: Path, pattern: str, new: New) -> None:
    """Whatever `_make` could be refused for, in a folder that goes again."""
    with tempfile.TemporaryDirectory() as beside:
        _write(folder, pattern, new, Path(beside).resolve())
    _pair(folder / "pki", new.name)
    pki.Authority.read(folder / "pki")


def _make(folder: Path, pattern: str, new: New) -> None:
    """All of it beside its place first, so that a failure leaves nothing half done; a kill, its certificate at most."""
    nodes = folder / "nodes"
    beside = Path(tempfile.mkdtemp(prefix=f".{new.name}.", dir=nodes))  # as deep as its place: its paths are relative
    try:
        _write(folder, pattern, new, beside)
        firststart.mark(beside / "data")
        beside.chmod(0o755)
        with _issued(folder / "pki", new):
            beside.rename(nodes / new.name)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _write(folder: Path, pattern: str, new: New, beside: Path) -> None:
    """Its settings and its empty data folder."""
    theirs = load(_settings(folder, pattern), check_files=False)
    text = _like(_settings(folder, pattern).read_text(), pattern, new)
    (beside / "data").mkdir()
    (beside / SETTINGS).write_text(text)
    _check_like(load(beside / SETTINGS, check_files=False), theirs, beside, new.name)


def _pair(folder: Path, name: str) -> list[Path]:
    """Where its certificate and key are to be; none that is there is touched."""
    pair = [folder / f"{name}.pem", folder / f"{name}.key"]
    there = " and ".join(str(file) for file in pair if file.exists())
    if there:
        following = (
            f"if no node {name} ever ran, remove {there} and give the same command again; else take another name"
        )
        raise CliError(f"{there}: of a node that there was, or of a command that was killed", following, Exit.REFUSED)
    return pair


@contextmanager
def _issued(folder: Path, new: New) -> Iterator[None]:
    """A certificate and its key, which go again if what needs them fails."""
    pair = _pair(folder, new.name)
    try:
        pki.issue(folder, Peer(new.name), datetime.now(UTC), (new.api.host, new.address.host))
        yield
    except FileExistsError:  # another command was quicker: what is there now is that one's
        raise
    except BaseException:
        for file in pair:
            file.unlink(missing_ok=True)
        raise


def _like(text: str, pattern: str, new: New) -> str:
    """Another node's settings as the new one's."""
    name, address, api = new.name, new.address, new.api
    head, table, rest = text.partition("[node]\n")
    node, bracket, others = rest.partition("\n[")
    own = f'name = "{name}"\npeer = "{address}"  # [peers] has who founded the cluster; this node joins\napi = "{api}"'
    node = re.sub(r"^(peer|api) = .*\n", "", node, flags=re.MULTILINE)  # of one that joined itself
    rest = re.sub(r'^name = "[^"\n]*"', own, node, count=1, flags=re.MULTILINE) + bracket + others
    head = head.replace(f"node {pattern};", f"node {name};")
    return head + table + re.sub(rf"/{re.escape(pattern)}\.(pem|key)\"", rf'/{name}.\1"', rest)


def _check_like(made: NodeSettings, theirs: NodeSettings, beside: Path, name: str) -> None:
    """Nothing but its own is another: above all, not the data folder of the one that it was made of."""
    files = (made.tls.cert.name, made.tls.key.name)
    same = made.agreed_digest == theirs.agreed_digest and made.node.cluster == theirs.node.cluster
    if not same or made.node.data != (beside / "data").resolve() or files != (f"{name}.pem", f"{name}.key"):
        raise ValueError(f"the settings of {theirs.node.name} can't be made {name}'s: {BY_HAND}")


def _enrol(file: Path, new: New) -> None:
    """The operator's commands find it; the file is replaced at once as a whole."""
    beside = file.with_name(f".{file.name}.new")
    beside.write_text(f'{file.read_text().rstrip()}\n\n[nodes.{new.name}]\napi = "https://{new.api}"\n')
    shutil.copymode(file, beside)
    beside.replace(file)
