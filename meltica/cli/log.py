"""Log: `meltica log`, the replicated log where apply has stopped: what stands there, and passing it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
import trio

from meltica.api.outcomes import Exit
from meltica.cli.acting import act, acting_options
from meltica.cli.client import Client
from meltica.cli.errors import CliError
from meltica.cli.output import output_option, print_json
from meltica.cli.place import place_of
from meltica.cli.status import PATH, merged


@click.group()
def log() -> None:
    """An entry that no node could apply: what it is, and passing it without effect."""


@log.command()
@output_option
@click.pass_context
def show(context: click.Context, /, output: str) -> None:
    """Where apply has stopped, node by node, and which entries were isolated before."""
    document = merged(trio.run(Client(place_of(context)).read_all, PATH))
    rows = {str(row["name"]): row.get("stopped") for row in document.get("nodes", ())}
    isolated = (document.get("apply") or {}).get("isolated") or []
    if output == "json":
        print_json({"schema": "meltica.log/1", "stopped": rows, "isolated": isolated})
        return
    for name, stopped in rows.items():
        click.echo(_line(name, stopped))
    for one in isolated:
        click.echo(f"entry {one['index']} was isolated: {one['commands']} commands, digest {one['digest']}")


def _line(name: str, stopped: Mapping[str, Any] | None) -> str:
    if stopped is None:
        return f"{name}: apply goes on"
    asked = ", ".join(stopped["asked"]) or "nobody"
    where = f"{name}: apply stopped at entry {stopped['index']} (digest {stopped['digest']})"
    return f"{where}\n  why: {stopped['why']}\n  asked for its isolation: {asked}\n  next: {stopped['next']}"


@log.command()
@click.argument("index", type=click.IntRange(1))
@click.option("--approve", is_flag=True, help="As the second role, with the approver's token.")
@click.option("--digest", help="The entry's digest; by default the one that `meltica log show` shows.")
@acting_options
@click.pass_context
def skip(context: click.Context, /, index: int, approve: bool, digest: str | None, **options: Any) -> None:
    """Pass the entry at INDEX without effect, on all nodes alike.

    Two roles must say so: the operator, and with --approve the approver, whose token somebody else keeps.  Trading is
    halted then (cause entry_isolated) until it is resumed.
    """
    place = place_of(context)
    if approve and place.approver_file is None:
        following = (
            "name it in cluster.toml: [operator] approver_file; every node must know that token too, by [api.tokens] "
            "approver_file in its settings, from its next start on"
        )
        raise CliError("no approver's token", following, Exit.USAGE)
    seen = digest or _digest_at(merged(trio.run(Client(place).read_all, PATH)), index)
    role = "approver" if approve else "operator"
    what = f"as {role}: the entry at {index} (digest {seen[:16]}...) is passed WITHOUT EFFECT on every node"
    token = place.approver_file if approve else None
    act(context, "skip", {"index": index, "digest": seen}, what, options, token_file=token)


def _digest_at(document: Mapping[str, Any], index: int) -> str:
    """What stands at `index`; the nodes that can be reached must agree on it."""
    stops = [row["stopped"] for row in document.get("nodes", ()) if row.get("stopped")]
    found = {str(stop["digest"]) for stop in stops if stop["index"] == index}
    if len(found) == 1:
        return found.pop()
    where = ", ".join(sorted({str(stop["index"]) for stop in stops})) or "nowhere"
    raise CliError(f"apply has not stopped at {index}: it has at {where}", "see `meltica log show`", Exit.REFUSED)
