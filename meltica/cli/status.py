"""Status: `meltica status`, the whole cluster on one screen.

Only asking every node, putting their answers together and showing them may live here.  Each node's own row
comes from itself; the rest from the active node, else from a leader that waits for an operator, else from whoever has
applied most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click
import trio
from rich.console import Console
from rich.text import Text

from meltica.api.outcomes import Exit
from meltica.cli.astray import astray
from meltica.cli.client import Client, Document, NoAnswer, freshest_of
from meltica.cli.holds import holds
from meltica.cli.output import as_of, console, moment, output_option, print_json, table_of
from meltica.cli.place import place_of

PATH: Final = "/api/v1/status"
UNKNOWN_ROW: Final[Mapping[str, object]] = {
    "reachable": False,
    "role": None,
    "term": None,
    "last_index": None,
    "committed_index": None,
    "applied_index": None,
    "state_digest": None,
    "digest_index": None,
    "active": False,
    "promotable": False,
    "version": None,
}
DIFFER: Final = "halt, keep both folders, and see runbooks/states-differ.md"
COLOURS: Final = {"running": "green", "reducing": "yellow", "halted": "red"}


@click.command()
@output_option
@click.pass_context
def status(context: click.Context, output: str) -> None:
    """Who leads, who trades, how far each node is; exit code 6 if something is degraded, or waits for a person.

    That is: a node that is lost or differs; trading that is halted or reducing; an opening balance that nobody
    approved; a strategy that is stopped; an order long in doubt; a venue that is not connected; settings that are not
    in force.  Of the nodes alone, halted or not: `meltica cluster status`.
    """
    answers = trio.run(Client(place_of(context)).read_all, PATH)
    document = merged(answers)
    wrong = [*troubles(document, answers), *holds(document)]
    if output == "json":
        print_json(document)
    else:
        show(document, wrong, console())
    if wrong:
        context.exit(int(Exit.DEGRADED))


def merged(answers: Mapping[str, Document | NoAnswer]) -> dict[str, Any]:
    """One document of all answers.  Raises CliError where there is none."""
    heard = {name: one for name, one in answers.items() if not isinstance(one, NoAnswer)}
    own = {name: _row(one, name) or UNKNOWN_ROW for name, one in heard.items()}
    leads = max((_number(row["term"]) for row in own.values() if row.get("role") == "leader"), default=0)
    base = _base(heard, own, leads) or freshest_of(answers)
    newest = max((one["members"] for one in heard.values() if one.get("members")), key=_configuration, default=None)
    group = _group(heard)
    rows = [{"name": name, **own.get(name, UNKNOWN_ROW), "reachable": name in heard} for name in answers]
    whole = {**base, "active": _active(base, own, leads), "nodes": _judged(rows, group), "group": group}
    return whole if newest is None else {**whole, "members": newest}


def _configuration(members: Mapping[str, Any]) -> int:
    return _number(members.get("configuration"))


def _group(heard: Mapping[str, Document]) -> Mapping[str, Any] | None:
    """What the newest leader says of all of them; None where nobody who answers leads."""
    found = [one["group"] for one in heard.values() if one.get("group")]
    return max(found, key=lambda one: _number(one["term"]), default=None)


def _judged(rows: Sequence[dict[str, Any]], group: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Whether each could take over, by its leader's word: a node does not know how far it is behind."""
    judged = {one["name"]: one for one in (group or {}).get("nodes", ())}
    keys = ("promotable", "why_not")
    return [{**row, **{key: judged[row["name"]][key] for key in keys if row["name"] in judged}} for row in rows]


def _base(heard: Mapping[str, Document], own: Mapping[str, Document], leads: int) -> Document | None:
    """Whom to believe on what is the cluster's: who trades, in the newest epoch, else the leader that waits."""
    trades = [one for name, one in heard.items() if own[name].get("active") and _number(one.get("epoch")) >= leads]
    if trades:
        return max(trades, key=lambda one: _number(one.get("epoch")))
    waits = [(_number(own[name]["term"]), name) for name, one in heard.items() if one.get("waiting")]
    return heard[max(waits)[1]] if waits else None


def _active(base: Document, own: Mapping[str, Document], leads: int) -> str | None:
    """Who trades by `base`, unless that node says otherwise of itself, or a newer leader than that epoch's is there."""
    named = str(base.get("active") or "")
    denied = named in own and not own[named].get("active")
    return None if not named or denied or _number(base.get("epoch")) < leads else named


def _number(value: object) -> int:
    return int(value) if isinstance(value, int) else 0


def _row(document: Document, name: str) -> Mapping[str, Any] | None:
    return next((row for row in document.get("nodes", []) if row.get("name") == name), None)


def troubles(document: Mapping[str, Any], answers: Mapping[str, Document | NoAnswer]) -> list[str]:
    """What is degraded, a sentence each, with what to do."""
    found = []
    members = document.get("members") or {}
    removed = members.get("removed", ())
    for name, answer in answers.items():
        if name in removed:
            if not isinstance(answer, NoAnswer):
                found.append(f"{name} was removed from this cluster, and runs: stop it (runbooks/replace-a-node.md)")
        elif isinstance(answer, NoAnswer):
            found.append(f"{name} does not answer ({answer.message}): start it, or read its log")
    for one in (*members.get("voters", ()), *members.get("learners", ())):
        if one["name"] not in answers:
            found.append(f"{one['name']} takes part, and cluster.toml does not name it: put its API there")
    if document.get("active") is None:
        if document.get("waiting"):
            found.append(f"nobody trades: {document['waiting']}; see runbooks/fail-over-by-hand.md")
        else:
            found.append("nobody trades: a takeover takes under a second; if it stays so, read the nodes' logs")
    if len([row for row in document["nodes"] if row["active"]]) > 1:
        found.append("two nodes say that they are active: at most one can send, but find out why")
    group = document.get("group")
    if group is not None and group["tolerates"] < group["voters"] - group["majority"]:
        found.append(f"{group['says']}; `meltica cluster status` says of each node why")
    found.extend(astray(answers))
    if group is not None and group.get("miscounted"):
        found.append(str(group["miscounted"]))
    found.extend(_digest_troubles(document["nodes"]))
    found.extend(trouble for row in document["nodes"] for trouble in _state_troubles(row))
    return found


def _state_troubles(row: Mapping[str, Any]) -> list[str]:
    """A node whose own state is not to be acted on, by its own word."""
    name, stopped = row["name"], row.get("stopped")
    found = []
    if stopped:
        why = f"{name}: apply stopped at entry {stopped['index']}: {stopped['why']}"
        found.append(f"{why}; see `meltica log show` and runbooks/apply-stopped.md")
    if row.get("diverged") is not None:
        found.append(f"{name} differs from the majority at index {row['diverged']}: see runbooks/states-differ.md")
    if row.get("disputed") is not None:
        found.append(f"{name}: states differ at index {row['disputed']}, nobody knows whose: runbooks/states-differ.md")
    return found


def _digest_troubles(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Nodes that differ at the same index: rule 7 is broken."""
    seen: dict[object, tuple[str, object]] = {}
    found = []
    for row in rows:
        if not row["state_digest"]:
            continue
        name, digest = seen.setdefault(row["digest_index"], (row["name"], row["state_digest"]))
        if digest != row["state_digest"]:
            found.append(f"{name} and {row['name']} differ at index {row['digest_index']}: {DIFFER}")
    return found


# --- showing --------------------------------------------------------------------------------------------------


def show(document: Mapping[str, Any], wrong: Sequence[str], out: Console) -> None:
    """The screen."""
    head(document, out)
    out.print(_nodes(document))
    out.print(_venues(document.get("venues", [])))
    counts = document.get("orders", {})
    doubt = counts.get("in_doubt", 0)
    out.print(Text(f"orders: {counts.get('open')} open, {doubt} in doubt", style="yellow" if doubt else ""))
    held = ", ".join(f"{one['quantity']} {one['symbol']} at {one['venue']}" for one in document.get("positions", []))
    out.print(Text(f"positions: {held or 'none'}"))
    out.print(Text(as_of(document), style="dim"))
    show_troubles(wrong, out)


def show_troubles(wrong: Sequence[str], out: Console) -> None:
    """A line each."""
    for sentence in wrong:
        out.print(Text(f"! {sentence}", style="bold red"))


def head(document: Mapping[str, Any], out: Console) -> None:
    """Whether it trades, who is active, and what holds trading back."""
    trading = str(document.get("trading"))
    line = Text.assemble(
        f"cluster {document.get('cluster')}  ",
        (trading.upper(), f"bold {COLOURS.get(trading, 'red')}"),
        f"  {document.get('mode')}  active: ",
        (str(document.get("active") or "nobody"), "bold" if document.get("active") else "bold red"),
        f"  epoch {document.get('epoch')}",
    )
    out.print(line)
    for cause in _causes(document):
        out.print(Text(f"  {cause}", style="red"))


def _causes(document: Mapping[str, Any]) -> list[str]:
    risk = document.get("risk") or {}
    pairs = [("halted", one) for one in risk.get("halts", [])] + [("reducing", one) for one in risk.get("reduces", [])]
    return [
        f"{word} ({one.get('cause')}) by {one.get('by') or 'the cluster itself'} since {moment(one.get('wall_ns'))}: "
        f"{one.get('reason') or 'no reason given'}"
        for word, one in pairs
    ]


def _nodes(document: Mapping[str, Any]) -> object:
    columns = ("node", "role", "active", "term", "last", "committed", "applied", "promotable", "digest", "version")
    rows = []
    for row in document["nodes"]:
        if not row["reachable"]:
            rows.append((row["name"], Text("unreachable", style="bold red"), *[None] * (len(columns) - 2)))
            continue
        active = Text("active", style="bold green") if row["active"] else None
        digest = f"{str(row['state_digest'])[:8]}@{row['digest_index']}" if row["state_digest"] else None
        indexes = (row["term"], row["last_index"], row["committed_index"], row["applied_index"])
        rows.append((row["name"], row["role"], active, *indexes, row["promotable"], digest, row["version"]))
    return table_of("", columns, rows)


def _venues(venues: Sequence[Mapping[str, Any]]) -> object:
    columns = ("venue", "connected", "stream age s", "clock offset s")
    rows = [(one["name"], one["connected"], one.get("stream_age_s"), one.get("clock_offset_s")) for one in venues]
    return table_of("", columns, rows)
