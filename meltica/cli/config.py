"""Config: `meltica config check`, every error of a node's settings at once.

Only checking and showing may live here; what is allowed is said in `meltica.config`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import trio

from meltica.api.outcomes import Exit
from meltica.cli.client import Client
from meltica.cli.errors import CliError
from meltica.cli.output import output_option, print_json
from meltica.cli.place import HOW, place_of
from meltica.cli.status import PATH, merged
from meltica.config import ConfigErrors, NodeSettings, load
from meltica.inforce import NEXT, ignored, sentence, settled_by


@click.group()
def config() -> None:
    """Look at settings."""


@config.command()
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--no-files", is_flag=True, help="Do not look whether certificates, tokens and secrets are there.")
@output_option
@click.pass_context
def check(context: click.Context, files: tuple[Path, ...], no_files: bool, output: str) -> None:
    """Check nodes' settings: FILEs, or with --cluster all of that cluster's nodes, and that these agree.

    With --cluster its nodes are asked, too, whether what they decide by is what the files say: limits and policies
    that were edited after the first start are not in force.  Exit code 0 if nothing is wrong, 1 otherwise.
    """
    results = []
    loaded = []
    for file in files or _files_of(context):
        try:
            settings = load(file, check_files=not no_files)
        except ConfigErrors as errors:
            results.append(_result(file, errors))
        else:
            loaded.append(settings)
            results.append(_result(file, settings))
    disagreements = disagreements_of(loaded)
    unheeded = _unheeded(context, loaded, quiet=output == "json")
    document = {"schema": "meltica.config/1", "files": results, "disagreements": disagreements}
    if output == "json":
        print_json({**document, "not_in_force": unheeded})
    else:
        _show(results, [*disagreements, *_told(unheeded or ())])
    if disagreements or unheeded or any(not result["ok"] for result in results):
        context.exit(int(Exit.FAILED))


def disagreements_of(loaded: Sequence[NodeSettings]) -> list[str]:
    """What the settings of one cluster's nodes must share and do not, a sentence each."""
    found = []
    for other in loaded[1:]:
        first = loaded[0]
        for what, one, two in (
            ("[node] cluster", first.node.cluster, other.node.cluster),
            ("[peers]", first.peers, other.peers),
            ("limits, venues' policies, strategies or [trading]", first.agreed_digest, other.agreed_digest),
        ):
            if one != two:
                found.append(f"{first.file} and {other.file} differ in {what}: every node needs the same")
    names = [settings.node.name for settings in loaded]
    found.extend(
        f"two files are {name}'s: give each node its own" for name in sorted({*names}) if names.count(name) > 1
    )
    return found


def _unheeded(context: click.Context, loaded: Sequence[NodeSettings], *, quiet: bool) -> list[dict[str, Any]] | None:
    """What of the files is not in force; None: nobody was asked, or answers."""
    if not context.find_root().params.get("cluster"):
        return None
    try:
        found = merged(trio.run(Client(place_of(context)).read_all, PATH))
    except CliError as error:
        if not quiet:  # the document has a null for it
            click.echo(f"whether these settings are in force is not known: {error.message}", err=True)
        return None
    return [
        {"file": str(one.file), **each}
        for one in loaded
        if one.node.cluster == found.get("cluster")
        for each in ignored(settled_by(one), found.get("in_force") or {})
    ]


def _told(unheeded: Sequence[dict[str, Any]]) -> list[str]:
    lines = [f"{one['file']}: not in force: {sentence(one)}" for one in unheeded]
    return [*lines, NEXT] if lines else []


def _files_of(context: click.Context) -> list[Path]:
    folder = context.find_root().params.get("cluster")
    files = sorted((Path(folder) / "nodes").glob("*/meltica.toml")) if folder else []
    if not files:
        raise CliError("which settings?", f"name a file, or {HOW}", Exit.USAGE)
    return files


def _result(file: Path, found: NodeSettings | ConfigErrors) -> dict[str, Any]:
    errors = found.errors if isinstance(found, ConfigErrors) else ()
    warnings = () if isinstance(found, ConfigErrors) else found.warnings
    rows = [{"path": error.path, "found": error.found, "allowed": error.allowed} for error in errors]
    return {"file": str(file), "ok": not errors, "errors": rows, "warnings": list(warnings)}


def _show(results: Sequence[dict[str, Any]], lines: Sequence[str]) -> None:
    for result in results:
        click.echo(f"{result['file']}: {'ok' if result['ok'] else str(len(result['errors'])) + ' error(s)'}")
        for error in result["errors"]:
            click.echo(f"  {error['path']}: found {error['found']}; allowed: {error['allowed']}")
        for warning in result["warnings"]:
            click.echo(f"  warning: {warning}")
    for line in lines:
        click.echo(line)
