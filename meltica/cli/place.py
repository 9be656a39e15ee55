"""Place: where the operator's commands find a cluster.

Only reading `DIR/cluster.toml` may live here: the nodes' addresses, the authority, the operator's certificate
and the tokens, all relative to DIR.  `meltica cluster create` writes that file; an operator on another machine
copies it with the files that it names.  And whether a place that an operator types is one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click
from attrs import frozen

from cluster import hosts
from cluster.hosts import Address
from meltica.api.outcomes import Exit
from meltica.cli.errors import CliError
from meltica.config import NAME, NAME_WORDS, read_document
from meltica.structure import Misfit
from meltica.tables import Reader

FILE: Final = "cluster.toml"
HOW: Final = "give --cluster DIR (or set MELTICA_CLUSTER) with a folder that `meltica cluster create` made"


@frozen
class ClusterPlace:
    """A cluster as an operator reaches it."""

    folder: Path
    cluster: str
    name: str
    apis: dict[str, str]  # a node's name -> what is written of it, which should be https://host:port
    ca: Path
    cert: Path
    key: Path
    viewer_file: Path
    operator_file: Path
    approver_file: Path | None = None  # the second role's; kept elsewhere, by somebody else


def find_place(folder: Path | None) -> ClusterPlace:
    """The cluster in `folder`.  Raises CliError (wrong usage) with every error of its file."""
    if folder is None:
        raise CliError("which cluster?", HOW, Exit.USAGE)
    file = folder / FILE
    if not file.is_file():
        raise CliError(f"{folder} is no cluster's folder: it has no {FILE}", HOW, Exit.USAGE)
    errors: list[Misfit] = []
    top = Reader("", read_document(file, errors), folder.resolve(), errors)
    place = _place(folder, top) if not errors else None
    if errors or place is None:
        lines = "\n".join(f"  {error}" for error in errors)
        raise CliError(f"{file} is broken:\n{lines}", "correct it", Exit.USAGE)
    return place


def _place(folder: Path, top: Reader) -> ClusterPlace:
    head, operator, nodes = (top.table_of(key, required=True) for key in ("cluster", "operator", "nodes"))
    # whatever a row says: what can't be asked at answers not, and halt and kill reach the other nodes all the same
    apis = {name: str(one.table.get("api", "")) for name, one in nodes.named_tables(NAME, NAME_WORDS)}
    place = ClusterPlace(
        folder=folder,
        cluster=head.text("id", "six lower-case hex digits", r"[0-9a-f]{6}"),
        name=head.text("name", "a name", r"[\w -]{1,40}"),
        apis=apis,
        ca=operator.file("ca"),
        cert=operator.file("cert"),
        key=operator.file("key"),
        viewer_file=operator.file("viewer_file"),
        operator_file=operator.file("operator_file"),
        approver_file=operator.file("approver_file") if operator.has("approver_file") else None,
    )
    for table in (head, operator, top):
        table.finish()
    if not apis:
        nodes.note("n1", "no node", "at least one table [nodes.NAME] with its api")
    return place


def place_of(context: click.Context) -> ClusterPlace:
    """The cluster that the global option names."""
    folder = context.find_root().params.get("cluster")
    return find_place(Path(folder) if folder else None)


def read_place(option: str, given: str) -> Address:
    """A host and a port that an operator types.  Raises CliError (wrong usage) where nobody can be there."""
    why = hosts.fault(given)
    if why:
        following = f'a host and a port, like "10.0.0.4:7404" or "[fd00::4]:7404"; {hosts.WORDS}'
        raise CliError(f"{option} {given!r:.80}: {why}", following, Exit.USAGE)
    return Address.of(given)
