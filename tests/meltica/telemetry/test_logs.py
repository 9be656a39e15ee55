"""Logs: one JSON object a line, and no secret in it."""

from __future__ import annotations

import io
import json

import pytest

from meltica.telemetry.logs import BLANK, make_logger


@pytest.fixture
def stream():
    return io.StringIO()


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_when_who_how_grave_and_what(stream):
    make_logger("n1", stream=stream).warning("a stream is silent", venue="paper", seconds=3)
    (line,) = lines(stream)
    assert (line["node"], line["level"], line["event"]) == ("n1", "warning", "a stream is silent")
    assert line["wall"].endswith("Z")
    assert (line["venue"], line["seconds"]) == ("paper", 3)


def test_below_the_level_nothing_is_written(stream):
    log = make_logger("n1", "warning", stream)
    log.info("quiet")
    log.error("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_text_with_newlines_stays_on_one_line(stream):
    make_logger("n1", stream=stream).info("two\nlines", text="a\nb")
    assert len(stream.getvalue().splitlines()) == 1


def test_an_exception_is_in_its_line(stream):
    try:
        int("broken")
    except ValueError:
        make_logger("n1", stream=stream).exception("it failed")
    (line,) = lines(stream)
    assert "ValueError: invalid literal" in line["exception"]


@pytest.mark.parametrize(
    "key", ["secret", "api_key", "token", "operator_token", "Authorization", "signature", "password"]
)
def test_fields_that_may_hold_a_secret_are_blank_at_any_depth(stream, key):
    make_logger("n1", stream=stream).info("x", **{key: "hunter2"}, inner={"more": {key: "hunter2"}})
    assert "hunter2" not in stream.getvalue()
    assert lines(stream)[0][key] == BLANK


def test_the_path_of_a_secret_is_no_secret(stream):
    make_logger("n1", stream=stream).info("x", secret_file="/run/secret")
    assert lines(stream)[0]["secret_file"] == "/run/secret"


def test_what_json_does_not_know_is_written_as_text(stream):
    make_logger("n1", stream=stream).info("x", thing={1, 2}, path=object)
    assert lines(stream)
