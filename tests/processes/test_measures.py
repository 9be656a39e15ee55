"""Cuts and freezes of real processes, two of each: `python -m chaos.demo.measure`, and its verdict."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.processes.rig import CALL_S, environment

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

HEAL = ("heal", "--rounds", "2", "--seconds", "4", "--slower", "5")  # a cut outlasts the longest timer, 3 s
STALL_MS = 150  # a node that stands still for longer may lose the lead


def measure(*words):
    done = subprocess.run(  # noqa: S603 - our own command line
        [sys.executable, "-m", "chaos.demo.measure", *words, "-o", "json"],
        check=False,
        capture_output=True,
        text=True,
        timeout=2 * CALL_S,
        stdin=subprocess.DEVNULL,
        env=environment(),
    )
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def checks_of(document):
    """Those that must hold on any machine: how long a gap is, is for the measure on a quiet one."""
    checks = [one for one in document["checks"] if one["name"] != "no_gap"]
    assert all(one["held"] for one in checks), json.dumps(document, indent=1)
    return {one["name"] for one in checks}


def disturbed(document):
    """Whether the machine, not the cut, took the lead away: each election came of a node that stood still."""
    changes = [one for each in document["rounds"] for one in each["elections"]]
    return bool(changes) and all(one["stall_ms"] >= STALL_MS for one in changes)


def test_a_standby_that_is_cut_off_and_healed_changes_nothing():
    found = measure(*HEAL)
    for _ in range(4):
        if not disturbed(found):
            break
        found = measure(*HEAL)
    assert checks_of(found) >= {"one_trader", "one_send", "every_fill_once", "state_equal", "leader_kept"}
    assert (found["leader_changes"], found["admitted_late"]) == (0, 0)
    assert found["gap_ms"]["max"] > 0
    assert len({one["node"] for one in found["rounds"]}) == 2


def test_a_frozen_leader_is_replaced_and_nothing_of_it_is_admitted_when_it_wakes():
    found = measure("freeze", "--rounds", "2", "--seconds", "2")
    assert checks_of(found) >= {"one_trader", "one_send", "another_traded", "woken_not_admitted"}
    assert (found["verdict"], found["admitted_after_waking"], found["admitted_late"]) == ("pass", 0, 0)
    assert found["leader_changes"] == 2
