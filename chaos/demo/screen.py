"""The screen: a demo's scene as a person sees it.

Only drawing may live here.  On a terminal a live picture; elsewhere a line for each thing that is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attrs import define, field
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from chaos.demo.conduct import Scene
from chaos.demo.rig import NODES

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
    bar = "█" * round(30 * done) + "░" * (30 - round(30 * done))
    return Text.assemble(
        ("meltica demo  ", "bold"), f"{bar} {scene.elapsed:4.0f} of {scene.duration:.0f} s   ", (scene.doing, "yellow")
    )


def _nodes(scene: Scene) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    for title in ("node", "role", "term", "applied", "lag", "trades"):
        table.add_column(title, justify="left" if title in ("node", "role", "trades") else "right")
    newest = max((_line(s, n).get("committed_index", 0) for n, s in scene.statuses.items()), default=0)
    for name in NODES:
        status = scene.statuses.get(name)
        if status is None:
            table.add_row(name, Text("down" if name in scene.down else "no answer", style="red"), "", "", "", "")
            continue
        line = _line(status, name)
        active = status.get("active") == name
        table.add_row(
            Text(name, style="bold green" if active else ""),
            str(line.get("role", "")),
            str(line.get("term", "")),
            str(line.get("applied_index", "")),
            str(max(0, newest - int(line.get("applied_index", 0)))),
            Text("active", style="bold green") if active else "",
        )
    return table


def _line(status: dict[str, Any], name: str) -> dict[str, Any]:
    return next((dict(node) for node in status["nodes"] if node["name"] == name), {})


def _trading(scene: Scene) -> RenderableType:
    status = max(scene.statuses.values(), key=lambda s: s["as_of"]["index"], default=None)
    if status is None:
        return Text("")
    counts = scene.counts
    parts = [
        f"trading {status['trading']}, epoch {status['epoch']}, active {status['active'] or 'nobody'}",
        (
            f"orders sent {counts.get('requests', 0)}, refused {counts.get('rejected', 0)}, "
            f"open {status['orders']['open']}, in doubt {status['orders']['in_doubt']}, fills {counts.get('fills', 0)}"
        ),
    ]
    for position in status["positions"]:
        pnl = f"  realised PnL {position['realised']}" if "realised" in position else ""
        parts.append(f"{position['symbol']}: {position['quantity']}{pnl}")
    return Panel("\n".join(parts), expand=False)


def _said(scene: Scene) -> RenderableType:
    return Text("\n".join(f"{at:6.1f} s  {text}" for at, text in scene.said[-SHOWN:]))


def report(document: dict[str, Any]) -> RenderableType:
    """The failovers' phases and the verdict, check by check."""
    return Group(_failovers(document), Text(""), _checks(document), _verdict(document))


def _failovers(document: dict[str, Any]) -> RenderableType:
    phases = ("detected", "elected", "epoch_committed", "reconciled", "authority", "first_order")
    titles = ("missed", "elected", "commit", "read", "taken", "order")
    table = Table(title="failovers: milliseconds from the strike", title_justify="left", box=None, padding=(0, 1))
    for title in ("kind", "from", "to", "epochs", *titles, "gap"):
        table.add_column(title, justify="left" if title in ("kind", "from", "to") else "right", no_wrap=True)
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
    table = Table(title="checks, from what the venue saw", title_justify="left", box=None, padding=(0, 2))
    for title in ("check", "held", "looked at", "violations"):
        table.add_column(title, justify="right" if title == "looked at" else "left")
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
