"""Plans of replication alone: from a seed, from a file, played as a whole or with strikes taken away, and shrunk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from click.testing import CliRunner

from chaos.cli import main
from chaos.sim.network import MS, SECOND
from chaos.sim.plan import BadPlan, Fault, Plan, document_of, plan_of
from chaos.sim.profiles import ALONE, CLUSTER, KINDS, MEMBERS, SNAPSHOTS, WAITING, WENT_BACK
from chaos.sim.storm import Storm, Violation
from chaos.sim.turnover import Turnover
from chaos.storm.outcome import play_plan
from chaos.storm.plans import WEATHERS, plan, storm_of


@pytest.mark.parametrize("profile", ALONE)
def test_a_plan_follows_from_its_seed_and_its_profile_knows_all_its_kinds(profile: str) -> None:
    assert plan(profile, 7) == plan(profile, 7) != plan(profile, 7 + len(WEATHERS))
    planned = {fault.kind for seed in range(400) for fault in plan(profile, seed).faults}
    assert planned == {*KINDS[profile]}


@pytest.mark.parametrize("profile", ALONE)
def test_a_plan_is_kept_as_a_document(profile: str) -> None:
    made = plan(profile, 5)
    assert plan_of(json.loads(json.dumps(document_of(made)))) == made


def test_a_plan_has_only_what_its_profile_knows() -> None:
    with pytest.raises(BadPlan, match="allowed: change_rate, fail_disk, "):
        plan_of({**document_of(plan(MEMBERS, 5)), "profile": CLUSTER})
    with pytest.raises(BadPlan, match="kind: found 'venue_cut'"):
        plan_of({**document_of(plan(CLUSTER, 5)), "faults": [{"kind": "venue_cut", "at": 1, "until": 2, "pick": 0}]})


@pytest.mark.parametrize("kind", [kind for kind in KINDS[MEMBERS] if kind not in {*WAITING, *WENT_BACK}])
def test_every_kind_can_be_struck(kind: str) -> None:
    assert callable(getattr(Turnover, f"_{kind}"))


@pytest.mark.parametrize("kind", WAITING)
def test_what_waits_strikes_when_its_moment_comes(kind: str) -> None:
    storm = Turnover(5, "tcp", duration=5 * SECOND, planned=[Fault(SECOND, SECOND + 300 * MS, kind, 3)])
    storm.run()
    assert storm.faults == {kind: 1}


def separated(monkeypatch: pytest.MonkeyPatch, *planned: Fault) -> list[tuple[str, ...]]:
    """What the strikes cut or hold, one right after the other."""
    storm = Storm(3, "calm", duration=SECOND, planned=planned)
    for name in storm.network.names:
        storm.network.start(name)
    done: list[tuple[str, ...]] = []
    monkeypatch.setattr(storm.network, "cut", lambda *pair: done.append(("cut", *pair)))
    monkeypatch.setattr(storm.network, "hold", lambda *pair: done.append(("hold", *pair)))
    for fault in storm.planned:
        storm._strike(fault)
    return done


def test_what_a_strike_does_is_its_own_whatever_struck_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that one may be taken away, and the others stay what they were."""
    last = Fault(200 * MS, 400 * MS, "partition", 11)
    alone = separated(monkeypatch, last)
    assert alone
    assert separated(monkeypatch, Fault(100 * MS, 150 * MS, "slow_link", 7), last) == alone


def test_a_plan_from_a_file_is_the_seeds_run(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(document_of(plan(SNAPSHOTS, 8))))
    documents = []
    for arguments in (["--plan", str(path)], ["--seed", "8", "--profile", SNAPSHOTS]):
        ran = CliRunner().invoke(main, ["sim", *arguments, "-o", "json"])
        assert ran.exit_code == 0, ran.output
        documents.append(json.loads(ran.stdout))
    assert documents[0]["trace_digest"] == documents[1]["trace_digest"]
    assert documents[0]["profile"] == SNAPSHOTS


def test_a_storm_ends_with_its_last_strike() -> None:
    """So that a shrunk one is short."""
    last = Fault(2 * SECOND, 3 * SECOND, "freeze", 1)
    outcome = play_plan(Plan(7, (last,), 0, CLUSTER))
    assert outcome.violation == ""
    assert 3 * SECOND < outcome.virtual_ns < 8 * SECOND
    assert outcome.faults == {"freeze": 1}


@pytest.mark.parametrize("arguments", [["--seed", "4"], ["--seeds", "4:5", "--processes", "1"]])
def test_a_failure_is_shrunk_and_kept(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(storm: Storm) -> None:
        """As if two kinds together broke something."""
        if {"kill", "freeze"} <= {fault.kind for fault in storm.planned}:
            raise Violation("durability: made up")

    monkeypatch.setattr(Storm, "run", broken)
    assert {"kill", "freeze"} <= {fault.kind for fault in plan(CLUSTER, 4).faults}
    command = ["sim", "--profile", CLUSTER, *arguments, "--plans", str(tmp_path), "-o", "json"]
    ran = CliRunner().invoke(main, command)
    assert ran.exit_code == 1
    failed: dict[str, Any] = json.loads(ran.stdout)["failed"][0]
    small = plan_of(failed["smallest"]["plan"])
    assert sorted(fault.kind for fault in small.faults) == ["freeze", "kill"]
    path = failed["smallest"]["replay"].removeprefix("meltica-chaos sim --plan ")
    assert plan_of(json.loads(Path(path).read_text())) == small
    again = CliRunner().invoke(main, ["sim", "--plan", path, "--no-shrink", "-o", "json"])
    assert again.exit_code == 1
    assert json.loads(again.stdout)["failed"][0]["check"] == "durability"


def test_a_storm_of_a_plan_has_its_profiles_nodes_and_logs() -> None:
    five, three = storm_of(plan(MEMBERS, 2 * len(WEATHERS))), storm_of(evolve(plan(CLUSTER, 0), faults=()))
    assert (len(five.network.names), len(three.network.names)) == (5, 3)
    assert three.network.retention is None
