"""Members: `meltica cluster members`, who belongs to the cluster, where, and until when its certificates are valid.

Only putting together what the nodes say of themselves and what the cluster's folder holds, and showing it, may live
here.  Either is enough: with no node running the folder alone is shown, from another machine the nodes' word alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import trio
from rich.text import Text

from cluster import pki
from meltica.api.outcomes import Exit
from meltica.cli.astray import astray
from meltica.cli.client import Client, NoAnswer
from meltica.cli.output import console, output_option, print_json, table_of
from meltica.cli.place import ClusterPlace, place_of
from meltica.cli.status import PATH, show_troubles
from meltica.config import ConfigErrors, NodeSettings, load
from meltica.renewal import SOON

SCHEMA: Final = "meltica.members/1"
DAY_NS: Final = 86_400_000_000_000
UNKNOWN: Final = "not known"
COLUMNS: Final = ("member", "answers", "part", "peers at", "API at", "certificate until", "days left", "in use")
Row = dict[str, Any]


@click.command()
@output_option
@click.pass_context
def members(context: click.Context, output: str) -> None:
    """Who belongs to the cluster, where each listens, whether it votes or learns, and until when its certificate holds.

    With a node that runs, who takes part is as the log says it, with the number of that configuration, and which nodes
    were removed; while none answers, nobody here knows who votes.  Exit code 6 if a certificate is valid for less than
    30 days, or a node uses another one than its file holds.
    """
    place = place_of(context)
    answers = trio.run(Client(place).read_all, PATH)
    said = {name: _own(one, name) for name, one in answers.items() if not isinstance(one, NoAnswer)}
    part = takes_part(answers)
    rows = [_member(place, name, said.get(name), part) for name in sorted({*place.apis, *parts_of(part)})]
    others = [_other(name, file) for name, file in (("operator", place.cert), ("authority", place.ca))]
    warnings = [*astray(answers), *[found for row in (*rows, *others) for found in _warnings(row)]]
    source = "running" if said else "folder"
    if output == "json":
        head = {"schema": SCHEMA, "cluster": place.cluster, "name": place.name, "source": source}
        who = {"configuration": (part or {}).get("configuration"), "removed": (part or {}).get("removed", [])}
        print_json({**head, **who, "members": rows, "certificates": others, "warnings": warnings})
    else:
        out = console()
        out.print(f"cluster {place.cluster} ({place.name}), as its {'nodes say' if said else 'folder has it'}")
        if part is not None:
            out.print(f"configuration {part['configuration']}; removed: {', '.join(part['removed']) or 'none'}")
        out.print(table_of("", COLUMNS, [_cells(row) for row in (*rows, *others)]))
        show_troubles(warnings, out)
    if warnings:
        context.exit(int(Exit.DEGRADED))


def _own(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A node's row, by its own word."""
    found: Mapping[str, Any] = next((row for row in document.get("nodes", ()) if row.get("name") == name), {})
    return found


def takes_part(answers: Mapping[str, Any]) -> Row | None:
    """Who takes part, by the newest word of any node; None where none that says so answers."""
    found = [one["members"] for one in answers.values() if not isinstance(one, NoAnswer) and one.get("members")]
    return max(found, key=lambda one: int(one["configuration"]), default=None)


def parts_of(part: Row | None) -> dict[str, str]:
    """Each node's part, by name: voter, learner or removed."""
    found = part or {"voters": (), "learners": (), "removed": ()}
    voters = {one["name"]: "voter" for one in found["voters"]}
    return voters | {one["name"]: "learner" for one in found["learners"]} | dict.fromkeys(found["removed"], "removed")


def _member(place: ClusterPlace, name: str, said: Mapping[str, Any] | None, part: Row | None) -> Row:
    settings = _settings(place.folder, name)
    row, parts = said or {}, parts_of(part)
    peer = row.get("peer") or (str(settings.own.peer) if settings else None)
    file = settings.tls.cert if settings else None
    takes = parts.get(name, "none") if part else None  # the folder names nodes; who votes is in the log alone
    return {
        "name": name,
        "part": takes,
        "voter": takes == "voter" if part else None,
        "reachable": said is not None,
        "peer": peer or _address_in(part, name),
        "api": place.apis.get(name) or row.get("api"),
        "certificate": row.get("certificate"),
        "on_disk": _on_disk(file),
    }


def _address_in(part: Row | None, name: str) -> str | None:
    known = [*(part or {}).get("voters", ()), *(part or {}).get("learners", ())]
    return next((str(one["peer"]) for one in known if one["name"] == name), None)


def _other(name: str, file: Path) -> Row:
    return {"name": name, "certificate": None, "on_disk": _on_disk(file)}


def _settings(folder: Path, name: str) -> NodeSettings | None:
    """A node's settings, where its folder is here and can be read."""
    try:
        return load(folder / "nodes" / name / "meltica.toml", check_files=False)
    except (ConfigErrors, OSError):
        return None


def _on_disk(file: Path | None) -> Row | None:
    """What the file holds; None where there is none that can be read."""
    try:
        found = None if file is None else pki.read_certificate(file.read_bytes())
    except (OSError, ValueError):
        return None
    return None if found is None else found.document()


def _shown(row: Row) -> Row | None:
    """The certificate that counts: the one in use, else the file's."""
    found: Row | None = row["certificate"] or row["on_disk"]
    return found


def _days(certificate: Row) -> int:
    return int((certificate["not_after_wall_ns"] - time.time_ns()) // DAY_NS)


def _in_use(row: Row) -> str | None:
    """Whether the node uses what its file holds."""
    if row["certificate"] is None or row["on_disk"] is None:
        return None
    return "the file's" if row["certificate"]["sha256"] == row["on_disk"]["sha256"] else "an older one"


def _warnings(row: Row) -> list[str]:
    found, name = [], row["name"]
    if row.get("part") in {"removed", "none"}:
        return []  # nobody waits for it
    shown = _shown(row)
    if shown is not None and _days(shown) < SOON:
        days = _days(shown)
        how = f"`meltica cluster rotate DIR {name}`" if name != "authority" else "the cluster needs a new authority"
        when = f"expires in {days} days" if days >= 0 else "has expired"
        found.append(f"the certificate of {name} {when}: {how}; see runbooks/certificates.md")
    refused = (row["certificate"] or {}).get("refused")
    if refused:
        found.append(f"{name} refuses its new certificate ({refused}) and uses the old one: runbooks/certificates.md")
    elif _in_use(row) == "an older one":
        found.append(f"{name} does not use the certificate that its file holds: see runbooks/certificates.md")
    return found


def _cells(row: Row) -> tuple[object, ...]:
    shown = _shown(row)
    until = days = None
    if shown is not None:
        until = datetime.fromtimestamp(shown["not_after_wall_ns"] / 1e9, UTC).strftime("%Y-%m-%d")
        left = _days(shown)
        days = Text(str(left), style="bold red" if left < SOON else "")
    used = _in_use(row)
    used_text = Text(used, style="yellow" if used == "an older one" else "") if used else None
    api = str(row["api"]).removeprefix("https://") if row.get("api") else None
    takes = (row["part"] or UNKNOWN) if "part" in row else None
    return (row["name"], row.get("reachable"), takes, row.get("peer"), api, until, days, used_text)
