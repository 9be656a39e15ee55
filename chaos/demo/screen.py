"""The screen: a demo's scene as a person sees it.

Only drawing may live here.  On a terminal a live picture; elsewhere a line for each thing that is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from attrs import define, field
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from chaos.demo.conduct import Scene
from chaos.rig.processes import NODES

SHOWN = 8  # newest lines of what was done


@define
class PlainScreen:
    """Prints what is done, once each."""

    console: Console
    printed: int = 0

    def show(self, scene: Scene) -> None:
        """Print the lines that are new."""
        for at, text in scene.said[self.printed :]:
            self.console.print(f"{at:6.1f} s  {text}", highlight=False)
        self.printed = len(scene.said)


@define
class LiveScreen:
    """A picture that is drawn anew."""

    live: Live

    def show(self, scene: Scene) -> None:
        """Draw."""
        self.live.update(picture(scene))


@define
class SilentScreen:
    """For `-o json` without a terminal."""

    shown: int = field(default=0)

    def show(self, _scene: Scene) -> None:
        """Count only."""
        self.shown += 1


@contextmanager
def open_screen(console: Console) -> Iterator[PlainScreen | LiveScreen]:
    """A live picture on a terminal, plain lines elsewhere."""
    if not console.is_terminal:
        yield PlainScreen(console)
        return
    with Live(console=console, refresh_per_second=8, transient=False) as live:
        yield LiveScreen(live)


def picture(scene: Scene) -> RenderableType:
    """The whole scene."""
    return Group(_head(scene), _nodes(scene), _trading(scene), _said(scene))


def _head(scene: Scene) -> RenderableType:
    done = min(1.0, scene.elapsed / scene.duration) if scene.duration else 0.0
    bar = "█" * round(40 * done) + "░" * (40 - round(40 * done))
    return Group(
        Text.assemble(("meltica demo  ", "bold"), f"{bar} {scene.elapsed:4.0f} of {scene.duration:.0f} s"),
        _line_of((f"> {scene.doing}", "yellow")),
        Text(""),
    )


def _line_of(*parts: str | tuple[str, str]) -> Text:
    """One line that is cut rather than wrapped, so that the picture does not jump."""
    text = Text.assemble(*parts)
    text.no_wrap = True
    text.overflow = "ellipsis"
    return text


def _table(*titles: str, left: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in titles:
        table.add_column(title, justify="left" if title in left else "right", no_wrap=True)
    return table


def _nodes(scene: Scene) -> RenderableType:
    table = _table("node", "role", "epoch", "index", "lag", "trades?", left=("node", "role", "trades?"))
    newest = max((_line(s, n).get("committed_index", 0) for n, s in scene.statuses.items()), default=0)
    for name in NODES:
        status = scene.statuses.get(name)
        if status is None:
            word = "killed" if name in scene.down else "no answer"
            table.add_row(name, Text(word, style="bold red"), *("-",) * 3, "")
            continue
        line = _line(status, name)
        index = int(line.get("applied_index", 0))
        style = "bold green" if line.get("active") else ""
        table.add_row(
            Text(name, style=style),
            str(line.get("role", "")),
            str(status["epoch"]),
            str(index),
            str(max(0, newest - index)),
            Text(_duty(line), style=style),
        )
    return table


def _duty(line: dict[str, Any]) -> str:
    if line.get("active"):
        return "TRADES"
    return "could take over" if line.get("promotable") else f"no: {line.get('why_not') or line.get('phase') or '?'}"


def _line(status: dict[str, Any], name: str) -> dict[str, Any]:
    return next((dict(node) for node in status["nodes"] if node["name"] == name), {})


def _trading(scene: Scene) -> RenderableType:
    status = max(scene.statuses.values(), key=lambda s: s["as_of"]["index"], default=None)
    if status is None:
        return Text("")
    counts = scene.counts
    sent = f"sent {counts.get('requests', 0)}, refused {counts.get('rejected', 0)}, fills {counts.get('fills', 0)}"
    open_now = f"open {status['orders']['open']}, in doubt {status['orders']['in_doubt']}"
    return Group(
        Text(""),
        _line_of(
            (str(status["trading"]).upper(), "bold green" if status["trading"] == "running" else "bold red"),
            f"  {sent}, {open_now}",
        ),
        Text(""),
        _positions(status["positions"]),
        Text(""),
    )


def _positions(rows: list[dict[str, Any]]) -> RenderableType:
    if not rows:
        return Text("no position yet", style="dim")
    table = _table("symbol", "position", "bought at", "price now", "realised", "unrealised", left=("symbol",))
    for row in rows:
        money = [_money(row.get(key)) for key in ("average_price", "mark", "realised", "unrealised")]
        table.add_row(str(row["symbol"]), str(row["quantity"]), *money)
    if len(rows) > 1:
        sums = [sum(Decimal(row.get(key) or 0) for row in rows) for key in ("realised", "unrealised")]
        table.add_row("PnL", "", "", "", *(_money(str(one)) for one in sums), style="bold")
    return table


def _money(text: str | None) -> str:
    return "-" if text is None else f"{Decimal(text):,.2f}"


def _said(scene: Scene) -> RenderableType:
    return Group(*(_line_of(f"{at:6.1f} s  {text}") for at, text in scene.said[-SHOWN:]))


def report(document: dict[str, Any]) -> RenderableType:
    """The failovers' phases and the verdict, check by check."""
    return Group(_failovers(document), Text(""), _checks(document), _verdict(document))


def _failovers(document: dict[str, Any]) -> RenderableType:
    phases = ("detected", "elected", "epoch_committed", "reconciled", "authority", "first_order")
    titles = ("missed", "elected", "commit", "read", "taken", "order")
    table = _table("what", "from", "to", "epochs", *titles, "gap", left=("what", "from", "to", "epochs"))
    table.title, table.title_justify, table.padding = "failovers: milliseconds from the strike", "left", (0, 1, 0, 0)
    for failover in document["failovers"]:
        marks = [_ms(failover["phases_ms"].get(phase)) for phase in phases]
        epochs = f"{failover['epoch_from']}>{failover['epoch_to']}"
        table.add_row(
            failover["kind"], failover["from"], failover["to"] or "nobody", epochs, *marks, _ms(failover["gap_ms"])
        )
    return table


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _checks(document: dict[str, Any]) -> RenderableType:
    table = _table("check", "held", "looked at", "violations", left=("check", "held", "violations"))
    table.title, table.title_justify = "checks, from what the venue saw", "left"
    table.columns[-1].no_wrap = False
    for check in document["checks"]:
        held = Text("yes", style="green") if check["held"] else Text("NO", style="bold red")
        table.add_row(check["name"], held, str(check["looked_at"]), "\n".join(check["violations"][:5]))
    return table


def _verdict(document: dict[str, Any]) -> RenderableType:
    venue = document["venue"]
    text = (
        f"the venue saw {venue['requests']} requests, {venue['accepted']} accepted, "
        f"{venue['rejected']} rejected, {venue['fills']} fills"
    )
    style = "bold green" if document["verdict"] == "pass" else "bold red"
    return Text.assemble(text, "\n", ("verdict: " + document["verdict"], style))
