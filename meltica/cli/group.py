"""Group: `meltica cluster status`, who leads, who could take over, and how many losses are survived now.

Only the showing may live here: the document is that of `meltica status`, read, put together and judged there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click
import trio
from rich.console import Console
from rich.text import Text

from meltica.api.outcomes import Exit
from meltica.cli.acting import ago, behind
from meltica.cli.client import Client
from meltica.cli.output import as_of, console, moment, output_option, print_json, table_of
from meltica.cli.place import place_of
from meltica.cli.status import PATH, head, merged, show_troubles, troubles

GIB: Final = 1 << 30
KIB: Final = 1 << 10
COLUMNS: Final = ("node", "role", "term", "behind", "last heard", "votes", "can take over", "disk", "build", "why not")


@click.command()
@output_option
@click.pass_context
def status(context: click.Context, output: str) -> None:
    """Who leads since when, who could take over, and how many nodes may be lost now; exit code 6 if degraded.

    For whether the cluster would survive what comes next; `meltica status` shows orders, positions and venues.  Both
    read one document: -o json is the same.
    """
    answers = trio.run(Client(place_of(context)).read_all, PATH)
    document = merged(answers)
    wrong = troubles(document, answers)
    if output == "json":
        print_json(document)
    else:
        show(document, wrong, console())
    if wrong:
        context.exit(int(Exit.DEGRADED))


def show(document: Mapping[str, Any], wrong: Sequence[str], out: Console) -> None:
    """The screen."""
    head(document, out)
    group = document.get("group")
    if group is None:
        out.print(Text("nobody leads: nothing can commit, and nobody trades", style="bold red"))
    else:
        out.print(f"leader: {group['leader']} since {_since(group['since_wall_ns'])}, term {group['term']}")
        spare = int(group["tolerates"])
        silent = unheard(document, group)
        sure = spare > 0 and not silent
        out.print(Text(str(group["says"]), style="green" if sure else "bold red" if spare < 0 else "bold yellow"))
        if spare > 0 and silent:
            out.print(
                Text(
                    f"that is {group['leader']}'s word, which still counts {silent}: count on one node less until "
                    "it answers here",
                    style="bold yellow",
                )
            )
    out.print(table_of("", COLUMNS, _rows(document, group)))
    for line in logs(document, group):
        out.print(line)
    out.print(Text(as_of(document), style="dim"))
    says = "" if group is None else str(group["says"])
    show_troubles([one for one in wrong if not says or not one.startswith(says)], out)


def logs(document: Mapping[str, Any], group: Mapping[str, Any] | None) -> list[str]:
    """Of each node whose log does not begin at the first entry, or of whose state a snapshot is under way."""
    needs = {one["name"] for one in (group or {}).get("nodes", ()) if one.get("needs_snapshot")}
    found = []
    for row in document["nodes"]:
        log = row.get("log") or {}
        words = ["needs a snapshot"] if row["name"] in needs else []
        if log.get("base_index", 1) > 1:
            words.append(f"its log begins at entry {log['base_index']:,}")
        if log.get("snapshot"):
            words.append(log["snapshot"])
        receiving = log.get("receiving")
        if receiving:
            words.append(f"{receiving['taken'] / KIB:,.0f} of {receiving['size'] / KIB:,.0f} KiB have come")
        if words:
            found.append(f"{row['name']}: {'; '.join(words)}")
    return found


def unheard(document: Mapping[str, Any], group: Mapping[str, Any]) -> str:
    """Whom the leader counts among the healthy, and who gives us no answer: "" if nobody.

    Only just lost, perhaps: the leader notices a frozen process later than we do.  Or it is our way to it that is cut.
    """
    counted = {one["name"] for one in group["nodes"] if one.get("promotable")}
    return " and ".join(row["name"] for row in document["nodes"] if not row["reachable"] and row["name"] in counted)


def _rows(document: Mapping[str, Any], group: Mapping[str, Any] | None) -> list[Sequence[object]]:
    members = {one["name"]: one for one in (group or {}).get("nodes", ())}
    configurations = {row.get("config") for row in document["nodes"] if row.get("config")}
    rows: list[Sequence[object]] = []
    for row in document["nodes"]:
        member = members.get(row["name"], {})
        role: object = Text("no answer", style="bold red")
        if row["reachable"]:
            role = Text("active", style="bold green") if row["active"] else row["role"]
        fit = Text("yes", style="green") if row.get("promotable") else Text("no", style="yellow")
        why = member.get("why_not") or row.get("why_not")
        shown = (behind(member), ago(member.get("heard_ms")), member.get("votes"), fit)
        rows.append((row["name"], role, row["term"], *shown, _disk(row), _build(row, configurations), why))
    return rows


def _disk(row: Mapping[str, Any]) -> object:
    disk = row.get("disk") or {}
    if disk.get("why"):
        return Text("NEARLY FULL", style="bold red")
    free = disk.get("free_bytes")
    return f"{free / GIB:,.1f} GiB free" if free else None


def _build(row: Mapping[str, Any], configurations: set[object]) -> str | None:
    """With the configuration's digest, where they differ."""
    version, configuration = row.get("version"), row.get("config")
    if not version:
        return None
    return f"{version} {str(configuration)[:6]}" if len(configurations) > 1 else str(version)


def _since(wall_ns: object) -> str:
    if not isinstance(wall_ns, int):
        return "-"
    minutes = max(0, time.time_ns() - wall_ns) // 60_000_000_000
    hours, days = minutes // 60, minutes // 1440
    long = f"{days} d {hours % 24} h" if days else f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
    return f"{moment(wall_ns)} ({long})"
