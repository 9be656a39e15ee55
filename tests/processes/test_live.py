"""The smoke suite of live chaos: real processes, a real Toxiproxy in every link, and the venue as witness."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys

import pytest

from chaos.live.library import shipped
from chaos.live.mutants import SHOWN
from chaos.toxiproxy import build
from tests.ci import lacking
from tests.processes.patience import stood_still
from tests.processes.rig import environment, holders_of, python_processes_of

pytestmark = [pytest.mark.processes, pytest.mark.patient(105)]

BROKEN = "fees are not taken"
INSIDE = ["takeover-killed-taking"]  # an instant, and a launcher that strikes there
SMOKE = [one.name for one in shipped() if "smoke" in one.suites]
MOST_S = 280.0
SEED = int(dt.datetime.now(tz=dt.UTC).strftime("%Y%m%d"))  # another each day; a failure names it


@pytest.fixture(autouse=True)
def here():
    """That there is a server.  In CI it must be."""
    try:
        build.checked()
    except build.Missing as why:
        lacking(why)


def ran(name, seed, tmp_path, *more):
    """What its document says, and what was told meanwhile; with patient timers."""
    words = (
        "run",
        name,
        "--seed",
        str(seed),
        "--slower",
        "4",
        "--report",
        str(tmp_path / "report"),
        "-o",
        "json",
        *more,
    )
    done = subprocess.run(  # noqa: S603 - our own command line
        [sys.executable, "-m", "chaos", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=MOST_S,
        stdin=subprocess.DEVNULL,
        env=environment(),
    )
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout, done.stderr
    return json.loads(done.stdout), done


@pytest.mark.parametrize("name", [*SMOKE, *INSIDE])
def test_a_scenario_loses_nothing_and_doubles_nothing(name, tmp_path, request):
    """With patient timers: how long a gap is to the millisecond, is for a quiet machine."""
    again = f"meltica-chaos run {name} --seed {SEED} --slower 4"
    request.node.add_report_section("call", "again", again)  # whichever assertion fails
    found, done = ran(name, SEED, tmp_path)
    assert not stood_still(found), stood_still(found)
    wrong = [one for one in found["checks"] if not one["held"] and one["name"] != "gap"]
    assert not wrong, f"{json.dumps(found, indent=1)}\n{done.stderr}"
    looked = {one["name"] for one in found["checks"]}
    assert looked >= {"one_trader", "one_send", "every_fill_once", "acknowledged", "recovered", "faults_played"}
    assert looked >= {"in_authority", "windows_apart", "denied", "tightened", "ended_well", "through_proxies"}
    assert looked >= {"ledger_whole", "links_used"}
    assert "leader_lost" in looked or name != "leader-cut-off"  # of which each seed's is longer than the timers
    assert not any(fault["not_done"] for fault in found["faults"])
    assert all(fault["begin_mono_ns"] < fault["end_mono_ns"] for fault in found["faults"])
    assert not python_processes_of(tmp_path)
    assert not holders_of(tmp_path)  # Toxiproxy's server is no Python
    assert json.loads((tmp_path / "report" / f"{name}-{SEED}" / "verdict.json").read_text()) == found


def test_a_broken_product_is_found_out(tmp_path):
    """By the check that is to see it, behind a run that was played to its end: a rule is out of three real nodes."""
    (shown,) = [one for one in SHOWN if one.mutant == BROKEN]
    found, done = ran(shown.scenario, 1, tmp_path, "--mutant", shown.mutant)
    told = {one["name"]: one["violations"] for one in found["checks"]}
    assert told.keys() >= {"faults_played", "came_to_rest"}, done.stderr
    assert any(told[name] for name in shown.seen_by), f"{json.dumps(found, indent=1)}\n{done.stderr}"
    assert not told["faults_played"]
    assert (done.returncode, found["verdict"], found["mutant"]) == (1, "fail", BROKEN)
    assert not python_processes_of(tmp_path)
