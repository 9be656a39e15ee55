"""Everything stands where it happened, and no words over others."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from chaos.report.drawing import LEFT, LETTER, RIGHT, WIDTH, Axis, Box, Strip, draw, pauses_of, rows_of
from chaos.report.incident import FILL, GONE, ORDER, TRADES, Incident, Mark, Pause, Span, State, Struck

S = 1_000_000_000
EMPTY = Incident("a", "pass", "", ("n1", "n2"), 0, 10 * S)
AXIS = Axis(0, 10 * S)


def boxes(incident: Incident, look: str) -> list[Box]:
    return [box for box in draw(incident).boxes if box.look == look]


def test_the_axis() -> None:
    assert (AXIS.x(0), AXIS.x(10 * S)) == (LEFT, WIDTH - RIGHT)
    assert AXIS.x(-1) == LEFT
    assert AXIS.x(11 * S) == WIDTH - RIGHT
    assert AXIS.since(1_500_000_000) == "1.500 s"


def test_a_fault_is_as_wide_as_it_lasted_and_never_too_thin_to_see() -> None:
    faults = (Struck("cut", "n1", 5 * S, 10 * S), Struck("kill", "n2", 1 * S))
    kill, cut = boxes(evolve(EMPTY, faults=faults), "fault")
    assert (cut.x, cut.width) == (AXIS.x(5 * S), AXIS.x(10 * S) - AXIS.x(5 * S))
    assert kill.width == 3
    assert cut.says == "cut n1 at 5.000 s, for 5,000 ms"


def test_a_span_lies_in_its_node_s_lane() -> None:
    spans = (Span("n1", TRADES, 0, 5 * S, 3), Span("n2", GONE, 0, 5 * S))
    incident = evolve(EMPTY, spans=spans)
    (trades,), (gone,), lanes = boxes(incident, TRADES), boxes(incident, GONE), boxes(incident, "lane")
    assert [trades.y, gone.y] == [lane.y for lane in lanes]
    assert "n1 trades, epoch 3" in trades.says
    assert "n2 is gone: 0.000 s to 5.000 s" in gone.says
    assert [words.text for words in draw(incident).words if words.look == "inside"] == ["epoch 3"]


def test_marks_of_one_moment_stand_as_one_column_by_their_number() -> None:
    marks = (*[Mark("n1", ORDER, S)] * 4, Mark("n1", ORDER, 5 * S), Mark("n2", FILL, S))
    incident = evolve(EMPTY, marks=marks)
    many, one = boxes(incident, ORDER)
    (fill,) = boxes(incident, FILL)
    lanes = boxes(incident, "lane")
    assert many.height > one.height
    assert many.says == "n1: 4 admitted orders"
    assert many.y + many.height <= lanes[0].y
    assert fill.y >= lanes[1].y + lanes[1].height


def test_a_pause_beyond_its_bound_looks_otherwise() -> None:
    pauses = (Pause("kill n1", 0, S, 500.0), Pause("cut n1", 0, S, 1500.0), Pause("all", 0, None))
    found = pauses_of(evolve(EMPTY, pauses=pauses), AXIS)
    assert [strip.look for strip in found] == ["pause broken", "pause", "pause broken"]
    assert [strip.text for strip in found] == ["1,000 ms", "1,000 ms", "nobody traded again"]
    assert found[2].end_ns == EMPTY.end_ns


def test_a_halt_stands_over_the_lanes_as_long_as_it_lasted() -> None:
    (halt,) = boxes(evolve(EMPTY, states=(State("halted", "takeover_storm", 2 * S, 4 * S),)), "halted")
    assert (halt.x, halt.width) == (AXIS.x(2 * S), AXIS.x(4 * S) - AXIS.x(2 * S))
    assert "takeover_storm: 2.000 s to 4.000 s" in halt.says


@given(st.lists(st.tuples(st.integers(0, 10 * S), st.integers(0, 10 * S), st.integers(1, 40)), max_size=30))
def test_no_strip_lies_over_another_nor_over_its_words(found: list[tuple[int, int, int]]) -> None:
    strips = [Strip(begin, min(begin + long, 10 * S), "x" * letters, "", "") for begin, long, letters in found]
    rows = rows_of(strips, AXIS)
    assert sorted((s.begin_ns, s.end_ns) for row in rows for s, _ in row) == sorted(
        (s.begin_ns, s.end_ns) for s in strips
    )
    for row in rows:
        until = -1e9
        for strip, before in row:
            width = len(strip.text) * LETTER
            begin = AXIS.x(strip.begin_ns) - (width if before else 0)
            assert begin >= until
            until = max(AXIS.x(strip.end_ns), AXIS.x(strip.begin_ns) + 3) + (0 if before else width)
            assert until <= WIDTH + 8


@given(st.integers(1, 10**14))
def test_the_ruler_has_a_few_strokes_whatever_the_length(length: int) -> None:
    strokes = boxes(evolve(EMPTY, end_ns=length), "stroke")
    assert 1 <= len(strokes) <= 40
