"""Plot: how it grows, as one SVG file: a panel a kind of growth, made of the same rows as the table.

Pure: rows of a document in, text out.  No library and no server: lines, dots and words.  Heights begin at nought, so
that what grows little looks so; numbers of orders stand by powers of ten, as they go from ten to a hundred thousand.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol
from xml.sax.saxutils import escape

from attrs import frozen

WIDTH, HEIGHT = 460, 300  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 70, 120, 46, 48  # its margins; the right one holds the names of the lines
COLUMNS: Final = 2
INK: Final = ("#1b5e9b", "#c2571a", "#2f7d4f", "#8a3a8f", "#6b6b6b", "#a01c3a")
FONT: Final = 'font-family="sans-serif" font-size="11"'
STEPS: Final = 5  # at most
NEAR: Final = 13  # pixels between two names, so that neither lies upon the other


@frozen
class Line:
    """One line of a panel."""

    name: str
    points: tuple[tuple[float, float], ...]
    counts: tuple[int, ...] = ()  # of each point, of how many samples it is; none are told where it is empty


@frozen
class Panel:
    """One chart."""

    title: str
    across: str
    up: str
    lines: tuple[Line, ...]
    even: bool  # across; else by powers of ten


@frozen
class Kind:
    """How rows of one `what` become a panel."""

    what: str
    title: str
    across: str  # what it is of, and the row's field
    field: str
    up: str
    columns: tuple[tuple[str, str], ...]  # fields, and what a line of each is called
    lines_by: tuple[str, ...] = ()  # fields that make a line of their own
    even: bool = False
    few: bool = False  # of few samples: how many stands beside each point


KINDS: Final = (
    Kind(
        "growth commit",
        "A durable command, one caller",
        "open orders in the state",
        "orders",
        "ms",
        (("p50_ms", "p50"), ("p99_ms", "p99")),
    ),
    Kind(
        "growth apply",
        "Apply, one core",
        "open orders in the state",
        "orders",
        "commands a second",
        (("rate_per_s", ""),),
    ),
    Kind(
        "growth failover",
        "SIGKILL to the venue's next order, p50",
        "open orders at the venue",
        "open",
        "ms",
        (("p50_ms", ""),),
        ("in_doubt",),
        few=True,
    ),
    Kind("growth memory", "Memory of a process", "commands", "commands", "MB", (("rss_mb", ""),), ("of",), even=True),
)


def svg(rows: Sequence[Mapping[str, Any]]) -> str:
    """All panels that there are rows for; an empty picture says so."""
    panels = [panel for kind in KINDS if (panel := _panel(kind, rows)).lines]
    across, down = min(COLUMNS, max(1, len(panels))), max(1, math.ceil(len(panels) / COLUMNS))
    width, height = across * WIDTH, down * HEIGHT
    found = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" {FONT}>']
    found.append(f'<rect width="{width}" height="{height}" fill="white"/>')
    if not panels:
        found.append(_text(WIDTH / 2, HEIGHT / 2, "nothing of growth was measured", anchor="middle"))
    for place, panel in enumerate(panels):
        at = f"translate({place % COLUMNS * WIDTH} {place // COLUMNS * HEIGHT})"
        found += [f'<g transform="{at}">', *_drawn(panel), "</g>"]
    return "\n".join([*found, "</svg>"]) + "\n"


def _panel(kind: Kind, rows: Iterable[Mapping[str, Any]]) -> Panel:
    lines: dict[str, list[tuple[float, float, int]]] = {}
    for row in rows:
        if row["what"] != kind.what:
            continue
        of = [f"{row[name]}{' ' + name.replace('_', ' ') if name == 'in_doubt' else ''}" for name in kind.lines_by]
        for column, called in kind.columns:
            if row.get(column) is not None:
                lines.setdefault(" ".join([*of, called]).strip(), []).append((row[kind.field], row[column], row["n"]))
    made = tuple(_line(name, sorted(points), few=kind.few) for name, points in lines.items())
    return Panel(kind.title, kind.across, kind.up, made, kind.even)


def _line(name: str, points: Sequence[tuple[float, float, int]], *, few: bool) -> Line:
    return Line(name, tuple((x, y) for x, y, _ in points), tuple(n for *_, n in points) if few else ())


class Axis(Protocol):
    """Where values stand along one side of a panel."""

    def at(self, value: float) -> float:
        """Where one stands, in pixels."""
        ...

    @property
    def ticks(self) -> list[float]:
        """Where a number is written."""
        ...


@frozen
class Powers:
    """From a power of ten to another."""

    least: int
    most: int
    begin: float
    end: float

    def at(self, value: float) -> float:
        """By its logarithm."""
        exponent = math.log10(value) if value > 0 else self.least
        share = (exponent - self.least) / (self.most - self.least)
        return round(self.begin + share * (self.end - self.begin), 1)

    @property
    def ticks(self) -> list[float]:
        """Each power of ten."""
        return [10.0**power for power in range(self.least, self.most + 1)]


@frozen
class Even:
    """From nought on, in equal steps."""

    step: float
    steps: int
    begin: float
    end: float

    def at(self, value: float) -> float:
        """By its size."""
        return round(self.begin + value / (self.step * self.steps) * (self.end - self.begin), 1)

    @property
    def ticks(self) -> list[float]:
        """Each step."""
        return [self.step * place for place in range(self.steps + 1)]


def powers_of(values: Iterable[float], begin: float, end: float) -> Powers:
    """One that holds them all."""
    logs = [math.log10(one) for one in values if one > 0] or [0.0]
    least, most = math.floor(min(logs)), math.ceil(max(logs))
    return Powers(least, max(most, least + 1), begin, end)


def even_of(values: Iterable[float], begin: float, end: float) -> Even:
    """One that holds them all, in a few steps of 1, 2 or 5 and noughts."""
    most = max(values, default=0.0) or 1.0
    power = 10.0 ** math.floor(math.log10(most / STEPS))
    step = next(power * digit for digit in (1, 2, 5, 10) if power * digit * STEPS >= most)
    return Even(step, math.ceil(most / step), begin, end)


def _drawn(panel: Panel) -> Iterator[str]:
    sizes = [x for line in panel.lines for x, _ in line.points]
    across: Axis = (even_of if panel.even else powers_of)(sizes, LEFT, WIDTH - RIGHT)
    up = even_of((y for line in panel.lines for _, y in line.points), HEIGHT - BOTTOM, TOP)
    yield _text(LEFT, 20, panel.title, weight="bold")
    yield _text(LEFT, TOP - 10, panel.up)
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, panel.across, anchor="middle")
    for tick in up.ticks:
        yield f'<path d="M{LEFT} {up.at(tick)}H{WIDTH - RIGHT}" stroke="#dddddd"/>'
        yield _text(LEFT - 8, up.at(tick) + 4, said(tick), anchor="end")
    for tick in across.ticks:
        yield f'<path d="M{across.at(tick)} {HEIGHT - BOTTOM}v5" stroke="#888888"/>'
        yield _text(across.at(tick), HEIGHT - BOTTOM + 18, said(tick), anchor="middle")
    names = apart([up.at(line.points[-1][1]) for line in panel.lines])
    for place, line in enumerate(panel.lines):
        ink = INK[place % len(INK)]
        dots = [(across.at(x), up.at(y)) for x, y in line.points]
        path = " ".join(f"{x},{y}" for x, y in dots)
        yield f'<polyline points="{path}" fill="none" stroke="{ink}" stroke-width="2"/>'
        yield from (f'<circle cx="{x}" cy="{y}" r="3" fill="{ink}"/>' for x, y in dots)
        yield from (_text(x + 4, y - 5, f"n={n}", ink=ink) for (x, y), n in zip(dots, line.counts, strict=False))
        yield _text(WIDTH - RIGHT + 8, names[place] + 4, line.name, ink=ink)


def apart(heights: Sequence[float]) -> list[float]:
    """The same heights, moved down where two would lie upon each other."""
    found = dict.fromkeys(range(len(heights)), 0.0)
    lowest = -math.inf
    for place in sorted(found, key=lambda one: heights[one]):
        lowest = found[place] = max(heights[place], lowest + NEAR)
    return list(found.values())


def said(value: float) -> str:
    """A tick's number."""
    if value >= 1e6:
        return f"{value / 1e6:g} M"
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal", ink: str = "#222222") -> str:
    place = f'x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-weight="{weight}" fill="{ink}"'
    return f"<text {place}>{escape(text)}</text>"
