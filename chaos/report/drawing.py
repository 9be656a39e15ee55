"""A drawing: an incident's time axis as boxes and words, in pixels.

Pure.  Only where things stand may live here; how they look is the page's style sheet's, by their class.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from attrs import field, frozen

from chaos.report.incident import CANCEL, FILL, FROZEN, GONE, ORDER, REFUSED, Incident, Mark

WIDTH: Final = 1160
LEFT: Final = 90  # of the axis: the names stand before it
RIGHT: Final = 20
ROW: Final = 22  # a fault's, or a pause's
LANE: Final = 78  # a node's: its spans in the middle, above them what was admitted, below what was filled
BAND: Final = 16  # of that, the spans
TALL: Final = 26  # the most marks that a column of a lane has
COLUMN: Final = 3  # wide, so many marks of a long run stand in one
TOP: Final = 8.0
LEAST: Final = 3.0  # a box that is narrower can't be seen
STEPS: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)  # seconds between two strokes
MOST_STROKES: Final = 14
LETTER: Final = 6.6  # about as wide as one is
SECOND: Final = 1_000_000_000


@frozen
class Box:
    """A rectangle, and what is said of it where one points at it."""

    x: float
    y: float
    width: float
    height: float
    look: str
    says: str = ""


@frozen
class Words:
    """A text that begins at x, or ends there."""

    x: float
    y: float
    text: str
    look: str = ""
    ends: bool = False


@frozen
class Drawing:
    """All of it, in the order in which it is drawn."""

    width: int
    height: int
    boxes: tuple[Box, ...] = field(repr=False)
    words: tuple[Words, ...] = field(repr=False)


@frozen
class _Part:
    """What belongs together, and where the next part may begin."""

    below: float
    boxes: Sequence[Box] = ()
    words: Sequence[Words] = ()


def _name(text: str, y: float) -> Words:
    return Words(LEFT - 10, y, text, "name", ends=True)


@frozen
class Strip:
    """A fault or a pause: a bar with its words beside it."""

    begin_ns: int
    end_ns: int
    text: str
    look: str
    says: str


@frozen
class Axis:
    """From time to pixels; what lies outside stands at the edge."""

    begin: int
    end: int

    def x(self, at: int) -> float:
        """Where a moment stands."""
        part = (min(max(at, self.begin), self.end) - self.begin) / (self.end - self.begin)
        return round(LEFT + part * (WIDTH - LEFT - RIGHT), 1)

    def since(self, at: int) -> str:
        """A moment, as a reader of the drawing names it."""
        return f"{(at - self.begin) / SECOND:.3f} s"


def draw(incident: Incident) -> Drawing:
    """Faults, then one lane a node, then pauses, over one axis."""
    axis = Axis(incident.begin_ns, incident.end_ns)
    faults = _strips("faults", faults_of(incident, axis), axis, TOP)
    states = _strips("trading", states_of(incident, axis), axis, faults.below)
    lanes = _lanes(incident, axis, states.below)
    pauses = _strips("pauses", pauses_of(incident, axis), axis, lanes.below)
    ruler = _ruler(axis, pauses.below)
    parts = (ruler, faults, states, lanes, pauses)
    return Drawing(
        WIDTH,
        int(ruler.below),
        tuple(box for part in parts for box in part.boxes),
        tuple(words for part in parts for words in part.words),
    )


# Faults and pauses


def faults_of(incident: Incident, axis: Axis) -> list[Strip]:
    """What was done."""
    found = []
    for fault in incident.faults:
        end = fault.begin_ns if fault.end_ns is None else fault.end_ns
        lasted = "" if fault.end_ns is None else f", for {(end - fault.begin_ns) / 1e6:,.0f} ms"
        name = str(fault)
        says = f"{name} {fault.how}".strip() + f" at {axis.since(fault.begin_ns)}{lasted}"
        found.append(Strip(fault.begin_ns, end, name, "fault", says))
    return found


def pauses_of(incident: Incident, axis: Axis) -> list[Strip]:
    """How long trading waited."""
    found = []
    for pause in incident.pauses:
        end = incident.end_ns if pause.end_ns is None else pause.end_ns
        text = "nobody traded again" if pause.ms is None else f"{pause.ms:,.0f} ms"
        bound = "" if pause.bound_ms is None else f", allowed are {pause.bound_ms:,.0f} ms"
        look = "pause" if pause.kept else "pause broken"
        says = f"{pause.cause}: from {axis.since(pause.begin_ns)}, {text}{bound}"
        found.append(Strip(pause.begin_ns, end, text, look, says))
    return found


def states_of(incident: Incident, axis: Axis) -> list[Strip]:
    """When trading was not simply running."""
    return [
        Strip(
            state.begin_ns,
            state.end_ns,
            f"{state.trading}: {state.cause}",
            state.trading,
            f"{state.trading} by {state.cause}: {axis.since(state.begin_ns)} to {axis.since(state.end_ns)}",
        )
        for state in incident.states
    ]


def rows_of(strips: Iterable[Strip], axis: Axis) -> list[list[tuple[Strip, bool]]]:
    """As few rows as none overlaps another in, words included; with each, whether its words stand before it."""
    rows: list[tuple[float, list[tuple[Strip, bool]]]] = []
    for strip in sorted(strips, key=lambda one: one.begin_ns):
        x, width = axis.x(strip.begin_ns), len(strip.text) * LETTER + 8
        before = max(axis.x(strip.end_ns), x + LEAST) + width > WIDTH
        begin = x - width if before else x
        end = max(axis.x(strip.end_ns), x + LEAST) + (0 if before else width)
        for place, (until, row) in enumerate(rows):
            if until <= begin:
                row.append((strip, before))
                rows[place] = (end, row)
                break
        else:
            rows.append((end, [(strip, before)]))
    return [row for _, row in rows]


def _strips(name: str, strips: list[Strip], axis: Axis, y: float) -> _Part:
    if not strips:
        return _Part(y)
    boxes, words = list[Box](), [_name(name, y + 14)]
    for row in rows_of(strips, axis):
        for strip, before in row:
            x = axis.x(strip.begin_ns)
            width = max(LEAST, axis.x(strip.end_ns) - x)
            boxes.append(Box(x, y + 3, width, ROW - 8, strip.look, strip.says))
            words.append(Words(x - 4 if before else x + width + 4, y + 14, strip.text, "beside", ends=before))
        y += ROW
    return _Part(y + TOP, boxes, words)


# The nodes' lanes


def _lanes(incident: Incident, axis: Axis, y: float) -> _Part:
    boxes, words, most = list[Box](), list[Words](), _most(incident, axis)
    for node in incident.nodes:
        boxes += _lane(axis, node, y, incident, most)
        words += [_name(node, y + LANE / 2 + 4), *_epochs(axis, node, y, incident)]
        y += LANE
    return _Part(y, boxes, words)


def _lane(axis: Axis, node: str, y: float, incident: Incident, most: int) -> Iterator[Box]:
    middle = y + LANE / 2
    yield Box(LEFT, middle - BAND / 2, WIDTH - LEFT - RIGHT, BAND, "lane")
    for span in incident.spans:
        if span.node == node:
            x, until = axis.x(span.begin_ns), axis.x(span.end_ns)
            epoch = "" if span.epoch is None else f", epoch {span.epoch}"
            says = f"{node} {'is ' if span.what in {FROZEN, GONE} else ''}{span.what}{epoch}"
            says += f": {axis.since(span.begin_ns)} to {axis.since(span.end_ns)}"
            yield Box(x, middle - BAND / 2, max(1.0, until - x), BAND, span.what, says)
    for (what, column), count in sorted(_columns(axis, node, incident.marks).items()):
        height = max(3.0, round(TALL * count / most, 1))
        top = middle + BAND / 2 + 1 if what == FILL else middle - BAND / 2 - 1 - height
        yield Box(LEFT + column * COLUMN, top, COLUMN - 1, height, what, f"{node}: {count} {_PLURAL[what]}")


_PLURAL: Final = {ORDER: "admitted orders", CANCEL: "admitted cancels", FILL: "fills", REFUSED: "refused requests"}


def _columns(axis: Axis, node: str, marks: Iterable[Mark]) -> Counter[tuple[str, int]]:
    """How many marks stand in each column, by what they are."""
    return Counter((mark.what, int((axis.x(mark.at_ns) - LEFT) // COLUMN)) for mark in marks if mark.node == node)


def _most(incident: Incident, axis: Axis) -> int:
    """One measure for all lanes."""
    counts = [count for node in incident.nodes for count in _columns(axis, node, incident.marks).values()]
    return max(counts, default=1)


def _epochs(axis: Axis, node: str, y: float, incident: Incident) -> Iterator[Words]:
    for span in incident.spans:
        text = f"epoch {span.epoch}"
        wide = axis.x(span.end_ns) - axis.x(span.begin_ns) > len(text) * LETTER + 6
        if span.node == node and span.epoch is not None and wide:
            yield Words(axis.x(span.begin_ns) + 5, y + LANE / 2 + 4, text, "inside")


# The ruler


def _ruler(axis: Axis, height: float) -> _Part:
    length = (axis.end - axis.begin) / SECOND
    step = next((step for step in STEPS if length / step <= MOST_STROKES), STEPS[-1])
    strokes, numbers = list[Box](), list[Words]()
    for place in range(int(length / step) + 1):
        x = axis.x(axis.begin + round(place * step * SECOND))
        strokes.append(Box(x, 0, 1, height, "stroke"))
        numbers.append(Words(x, height + 15, f"{place * step:g} s", "number"))
    return _Part(height + 24, strokes, numbers)
