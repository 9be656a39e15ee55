"""Cluster: `meltica cluster create`, a whole cluster on this machine in one folder; and the group's other commands.

Only that command may live here, beside the group and its other commands' names; the files' text is in
`cluster_files`, the certificates are `cluster.pki`'s.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import string
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from cluster import pki
from cluster.types import Peer
from meltica.api.outcomes import Exit
from meltica.cli.attest import attest
from meltica.cli.cluster_files import ACCOUNT, SYMBOLS, Plan, texts
from meltica.cli.errors import CliError
from meltica.cli.group import status
from meltica.cli.members import members
from meltica.cli.prepare import prepare
from meltica.cli.promote import promote
from meltica.cli.recover import recover
from meltica.cli.replace import replace
from meltica.cli.rotate import rotate
from meltica.cli.snapshot import snapshot
from meltica.cli.verify import verify
from meltica.config import NODES, SYMBOL

PRIVATE: Final = 0o600
LETTERS: Final = string.ascii_letters + string.digits
KEY_LENGTH: Final = 64  # as the venue's own keys
LAST_PORT: Final = 65535


@click.group()
def cluster() -> None:
    """Make clusters, look after the group of nodes, and after a node's folder."""


cluster.add_command(status)
cluster.add_command(members)
cluster.add_command(prepare)
cluster.add_command(replace)
cluster.add_command(rotate)
cluster.add_command(promote, "transfer")
cluster.add_command(snapshot)
cluster.add_command(verify)
cluster.add_command(attest)
cluster.add_command(recover)


@cluster.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--nodes", type=click.Choice([str(count) for count in NODES]), default="3", show_default=True)
@click.option("--name", help="What to call it; by default the folder's name.")
@click.option("--base-port", type=click.IntRange(1, LAST_PORT), default=7400, show_default=True)
@click.option("--venue-port", type=click.IntRange(1, LAST_PORT), default=7480, show_default=True)
@click.option("--symbols", help="What to trade, with commas between.", default=",".join(SYMBOLS), show_default=True)
def create(*, folder: Path, nodes: str, name: str | None, base_port: int, venue_port: int, symbols: str) -> None:
    """Write a cluster's folder: settings, certificates, tokens, a paper account, and a README with the commands.

    DIR must not exist, or be empty.  Each nodes/NODE in it may be started once, in one place: for another machine, copy
    it there and remove its data folder here.
    """
    plan = Plan(
        name=_name(name, folder),
        cluster=secrets.token_hex(3),
        nodes=int(nodes),
        base_port=base_port,
        venue_port=venue_port,
        api_key=_key(),
        symbols=_symbols(symbols),
    )
    _check_ports(plan)
    _check_empty(folder)
    try:
        _write(plan, folder)
    except OSError as error:
        message = f"{error.filename or folder}: {error.strerror or error}"
        raise CliError(message, "choose a folder that you may write to, on a disk with room") from None
    click.echo(f"cluster {plan.name} ({plan.cluster}) is in {folder}; start it as {folder / 'README.md'} says")


def _name(given: str | None, folder: Path) -> str:
    if given is None:
        return re.sub(r"[^\w -]", "-", folder.resolve().name)[:40] or "cluster"
    if not re.fullmatch(r"[\w -]{1,40}", given):
        raise CliError(f"--name {given!r:.60}", "1 to 40 letters, digits, spaces, _ or -", Exit.USAGE)
    return given


def _symbols(given: str) -> tuple[str, ...]:
    found = tuple(given.split(","))
    if len(set(found)) != len(found) or not all(re.fullmatch(SYMBOL, one) for one in found):
        raise CliError(f"--symbols {given!r:.80}", "different symbols of the venue, like BTCUSDT,ETHUSDT", Exit.USAGE)
    return found


def _check_ports(plan: Plan) -> None:
    if max(plan.ports) > LAST_PORT or len(set(plan.ports)) != len(plan.ports):
        message = f"the ports {sorted(plan.ports)} do not all differ or go beyond {LAST_PORT}"
        raise CliError(message, "choose another --base-port or --venue-port", Exit.USAGE)


def _check_empty(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise CliError(f"{folder} is a file", "choose another folder", Exit.REFUSED)
    if folder.is_dir() and any(folder.iterdir()):
        raise CliError(f"{folder} is not empty", "choose another folder, or empty this one yourself", Exit.REFUSED)


def _write(plan: Plan, folder: Path) -> None:
    """All of it beside its place first, so that a failure leaves nothing half done."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for path, text in texts(plan).items():
            (beside / path).parent.mkdir(parents=True, exist_ok=True)
            (beside / path).write_text(text)
        pki.create(beside / "pki", plan.name, [Peer(name) for name in plan.names], datetime.now(UTC))
        for path, secret in _secrets(plan).items():
            _write_private(beside / path, secret)
        beside.rename(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _secrets(plan: Plan) -> dict[str, str]:
    return {
        "tokens/viewer": secrets.token_urlsafe(32),
        "tokens/operator": secrets.token_urlsafe(32),
        "tokens/approver": secrets.token_urlsafe(32),
        f"secrets/{ACCOUNT}.key": plan.api_key,
        f"secrets/{ACCOUNT}.secret": _key(),
    }


def _key() -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(KEY_LENGTH))


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    with os.fdopen(file, "w") as opened:
        opened.write(f"{text}\n")
