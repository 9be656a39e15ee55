"""Cuts and freezes of real processes, two of each: `python -m chaos.demo.measure`, and its verdict."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes.rig import CALL_S, environment, python_processes_of, wait_for

pytestmark = pytest.mark.processes

HEAL = ("heal", "--rounds", "2", "--seconds", "4", "--slower", "5")  # a cut outlasts the longest timer, 3 s


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
    checks = [one for one in document["checks"] if one["name"] not in ("no_gap", "steady_without")]
    assert all(one["held"] for one in checks), json.dumps(document, indent=1)
    return {one["name"] for one in checks}


def disturbed(document):
    """Whether the machine, not the cut or the freeze, took a lead away: for want of a processor, every time."""
    rounds = document["rounds"]
    untraded = [one for one in rounds if one.get("traded_while_frozen") is False]
    faults = [one["fault"] for one in (*untraded, *(change for each in rounds for change in each["elections"]))]
    return bool(faults) and set(faults) == {"machine"}


def undisturbed(*words):
    """What it found, done again where the machine took a lead away, and only then."""
    found = measure(*words)
    for _ in range(4):
        if not disturbed(found):
            break
        found = measure(*words)
    return found


@pytest.mark.patient(40)  # by HEAL's timers
def test_a_standby_that_is_cut_off_and_healed_changes_nothing():
    found = undisturbed(*HEAL)
    assert checks_of(found) >= {"one_trader", "one_send", "every_fill_once", "state_equal", "leader_kept"}
    assert (found["leader_changes"], found["admitted_late"]) == (0, 0)
    assert found["gap_ms"]["max"] > 0
    assert found["beat"]["taken"] > 0
    assert len({one["node"] for one in found["rounds"]}) == 2


def test_a_leader_that_is_frozen_in_a_write_is_replaced_and_that_order_is_not_admitted_when_it_wakes():
    found = undisturbed("caught", "--rounds", "2", "--seconds", "2")
    assert checks_of(found) >= {"one_trader", "one_send", "another_traded", "woken_not_admitted", "woken_sent"}
    assert found["sent_after_waking"] >= 2
    assert (found["verdict"], found["admitted_after_waking"], found["admitted_late"]) == ("pass", 0, 0)
    assert (found["leader_changes"], found["traded_elsewhere_while_frozen"]) == (2, 2)


def children_of(pid):
    """The numbers of its children; of this machine's /proc."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return sorted(int(child) for each in lists for child in each.read_text().split())


def state_of(pid):
    """R, S, T (stopped), Z, ...; nothing once it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def test_a_measure_that_is_killed_while_a_node_is_frozen_leaves_no_process(tmp_path):
    with (tmp_path / "log").open("wb") as log:
        measuring = subprocess.Popen(
            [sys.executable, "-m", "chaos.demo.measure", "freeze", "--rounds", "1", "--seconds", "600"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**environment(), "TMPDIR": str(tmp_path)},  # its folder goes with the test's
        )
    try:
        wait_for("a frozen node", lambda: "T" in map(state_of, children_of(measuring.pid)))
        assert len(python_processes_of(tmp_path)) == 4  # the venue and three nodes
    finally:
        measuring.kill()
        measuring.wait()
    wait_for("none of its processes is left", lambda: not python_processes_of(tmp_path))
