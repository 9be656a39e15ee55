"""Limits and policies that were edited after the first start are not in force, and every place says so."""

from __future__ import annotations

import tomllib

import pytest

from meltica.config import load
from meltica.core.state import State
from meltica.inforce import ignored, in_force, say_ignored, sentence, settled_by
from meltica.node import leader_settings
from tests.meltica.core.harness import Hand
from tests.meltica.test_config import GOOD, write
from tests.meltica.test_view import view

LOWER = ("collar_bps = 500", "collar_bps = 400")


class Log:
    def __init__(self):
        self.said = []

    def warning(self, event, **fields):
        self.said.append((event, fields))


def of(tmp_path, *changes):
    text = GOOD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return load(write(tmp_path, text), check_files=False)


@pytest.fixture
def state(tmp_path):
    """As the first leader of these settings founds it."""
    hand = Hand()
    hand.start()
    hand.ok(leader_settings(of(tmp_path)).configuration)
    return hand.state


def test_what_was_founded_is_in_force_and_every_limit_of_the_file_is_compared(tmp_path, state):
    settings = of(tmp_path)
    assert ignored(settled_by(settings), in_force(state)) == []
    written = tomllib.loads(GOOD)
    for key, value in written["limits"].items():
        assert in_force(state)[f"[limits] {key}"] == str(value)
    (venue,) = written["venues"]
    assert f"[venues.{venue}] or [authority] window_ms" in in_force(state)
    assert "[[strategies]] operator gap" in in_force(state), "a policy of the log's own, which no file has"


@pytest.mark.parametrize(
    ("change", "row"),
    [
        (LOWER, ("[limits] collar_bps", "400", "500")),
        (("window_ms = 300", "window_ms = 200"), ("[venues.paper] or [authority] window_ms", "200", "300")),
        (("settle_ms = 10000", "settle_ms = 9000"), ("[venues.paper] settle_ms", "9000", "10000")),
        (("drift_ppm = 1000", "drift_ppm = 900"), ("[venues.paper] or [authority] drift_ppm", "900", "1000")),
        (("ramp_ms = 0", "ramp_ms = 5"), ("[trading] ramp_ms", "5", "0")),
        (("approve_opening = true", "approve_opening = false"), ("[venues.paper] approve_opening", "false", "true")),
        (('id = "maker"', 'id = "other"'), ("[[strategies]] other gap", "cancel", None)),
        (('gap = "cancel"  # its', 'gap = "leave"  # its'), ("[[strategies]] maker gap", "leave", "cancel")),
    ],
)
def test_an_edit_that_changes_nothing_is_told(tmp_path, state, change, row):
    first, *_ = ignored(settled_by(of(tmp_path, change)), in_force(state))
    assert (first["setting"], first["value"], first["in_force"]) == row
    held = "nothing of it is in force" if row[2] is None else f"{row[2]} is in force"
    assert sentence(first) == f"{row[0]} = {row[1]}, and {held}"


def test_what_is_taken_out_or_changes_otherwise_is_no_such_edit(tmp_path, state):
    gone = GOOD[: GOOD.index("[[strategies]]")] + GOOD[GOOD.index("[trading]") :]
    assert ignored(settled_by(load(write(tmp_path, gone), check_files=False)), in_force(state)) == []
    assert ignored(settled_by(of(tmp_path, ('mode = "automatic"', 'mode = "manual"'))), in_force(state)) == []


def test_before_the_first_leader_began_nothing_is_in_force(tmp_path):
    assert in_force(State()) == {}
    assert ignored(settled_by(of(tmp_path)), {}) == []


def test_a_node_says_it_at_its_start_and_in_its_status(tmp_path, state):
    edited, log = of(tmp_path, LOWER), Log()
    say_ignored(edited, state, log)
    ((event, fields),) = log.said
    assert (event, fields["setting"], fields["value"], fields["in_force"]) == (
        "a setting of the file is not in force",
        "[limits] collar_bps",
        "400",
        "500",
    )
    assert "change-settings.md" in fields["next"]
    document = view(state=state, settled=settled_by(edited)).status()
    (row,) = [one for one in document["nodes"] if one["name"] == "n1"]
    assert row["not_in_force"] == [{"setting": "[limits] collar_bps", "value": "400", "in_force": "500"}]
    assert document["in_force"]["[limits] collar_bps"] == "500"
    log.said.clear()
    say_ignored(of(tmp_path), state, log)
    assert log.said == []
