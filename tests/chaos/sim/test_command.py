"""`meltica-chaos sim`: ranges, one seed again, a kept plan; failures with their replay; what does not count."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from click.testing import CliRunner

from chaos.checkers.verdict import Check
from chaos.cli import main
from chaos.sim import command, run
from chaos.sim.document import Tally
from chaos.sim.plan import SECOND, Fault, Plan, document_of, plan
from chaos.sim.run import Outcome

SHORT = Plan(4, (Fault(2 * SECOND, 2 * SECOND, "kill_active", 0),))  # 4 virtual seconds


def invoke(*arguments: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(main, ["sim", *arguments, "-o", "json"])
    assert result.stdout, result.stderr
    return result.exit_code, json.loads(result.stdout)


def outcome(seed: int, *violations: str, orders: int = 300) -> Outcome:
    checks = (Check("one_trader", 10, violations),)
    counted = Counter({"kill": 6})
    return Outcome(plan(seed), violations, counted, Counter(), 9, 8, orders, 7, 2, 3, 31 * SECOND, checks, f"t{seed}")


def test_a_document_says_what_contracts_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "played", lambda _profile, seed: (outcome(seed), 2.0))
    code, document = invoke("--seeds", "5:8", "--processes", "1", "--profile", "disks")
    assert code == 0
    assert document["schema"] == "meltica.sim/1"
    assert (document["profile"], document["seeds"], document["passed"]) == ("disks", [5, 8], 3)
    assert document["failed"] == document["did_not_count"] == []
    assert document["faults"] == {"kill": 18}
    assert document["commands"] == 27
    assert document["checks"] == [{"name": "one_trader", "looked_at": 30}]
    assert (document["virtual_s"], document["cpu_s"], document["virtual_s_per_cpu_s"]) == (93, 6.0, 15.5)
    assert next(iter(document)) == "schema"


def test_a_seed_with_too_little_in_it_has_neither_passed_nor_failed() -> None:
    tally = Tally()
    tally.add(outcome(1, orders=199), 1.0)
    assert tally.passed == 0
    assert not tally.failed
    assert tally.did_not_count == [{"seed": 1, "why": "199 orders of 200"}]
    tally.add(outcome(2, "one_trader: two", orders=199), 1.0)
    assert [each["seed"] for each in tally.failed] == [2]


def test_a_range_of_which_no_seed_counts_has_not_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "played", lambda _profile, seed: (outcome(seed, orders=199), 2.0))
    result = CliRunner().invoke(main, ["sim", "--seeds", "5:7", "--processes", "1"])
    assert result.exit_code == 1
    assert "No seed counts" in result.stderr


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"virtual_ns": 29 * SECOND}, "29 virtual seconds of 30"),
        ({"faults": Counter({"kill": 4})}, "4 faults of 5"),
        ({"changes": 0}, "0 changes of leader of 1"),
        ({}, ""),
    ],
)
def test_what_a_seed_must_have(change: dict[str, Any], why: str) -> None:
    assert evolve(outcome(1), **change).too_little == why


def test_the_digest_is_of_all_seeds_in_their_order() -> None:
    def digest(*seeds: int) -> str:
        tally = Tally()
        for seed in seeds:
            tally.add(outcome(seed), seed / 7)
        return str(tally.document(0, 2, 3.0)["trace_digest"])

    assert digest(1, 2) == digest(1, 2)
    assert len({digest(1, 2), digest(2, 1), digest(1)}) == 3


def test_a_failure_is_told_with_its_replay_and_a_smaller_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(one: Plan) -> Outcome:
        bad = any(fault.kind in {"kill_active", "torn_active", "power_active"} for fault in one.faults)
        return evolve(outcome(one.seed, *(["one_trader: made up"] if bad else [])), plan=one)

    monkeypatch.setattr(command, "run_plan", fails)
    code, document = invoke("--seeds", "0:3", "--processes", "1", "--profile", "elections", "--plans", str(tmp_path))
    assert code == 1
    first = document["failed"][0]
    assert (first["check"], first["message"]) == ("one_trader", "made up")
    assert first["replay"] == f"meltica-chaos sim --seed {first['seed']} --profile elections"
    small = first["smallest"]
    assert len(small["plan"]["faults"]) == 1
    path = Path(small["replay"].removeprefix("meltica-chaos sim --plan "))
    assert json.loads(path.read_text()) == small["plan"]
    assert len(document["failed"]) - len([each for each in document["failed"] if "smallest" in each]) in {0, 1}


def test_a_plan_is_played_from_its_file_with_a_trace(tmp_path: Path) -> None:
    kept, trace = tmp_path / "plan.json", tmp_path / "trace.jsonl"
    kept.write_text(json.dumps(document_of(SHORT)))
    code, document = invoke("--plan", str(kept), "--trace", str(trace))
    assert code == 0
    assert document["passed"] == 0
    assert document["did_not_count"][0]["seed"] == 4
    lines = [json.loads(line) for line in trace.read_text().splitlines()]
    assert lines[0] == document_of(SHORT)
    assert lines[-1]["violations"] == []
    times = [line["at"] for line in lines[1:-1]]
    assert times == sorted(times)
    assert {"start", "role", "applied", "fault", "kill", "venue", "healed"} <= {line["what"] for line in lines[1:-1]}
    assert run.run_plan(SHORT).trace == lines[-1]["trace"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--seeds", "5"],
        ["--seeds", "5:5"],
        ["--seed", "1", "--seeds", "1:2"],
        ["--trace", "t", "--seeds", "1:2"],
        ["--profile", "quiet"],
    ],
)
def test_wrong_usage_is_said(arguments: list[str]) -> None:
    assert CliRunner().invoke(main, ["sim", *arguments]).exit_code == 2


def test_a_file_that_is_no_plan_is_refused(tmp_path: Path) -> None:
    kept = tmp_path / "plan.json"
    kept.write_text("{}")
    result = CliRunner().invoke(main, ["sim", "--plan", str(kept)])
    assert result.exit_code == 2
    assert "meltica.plan/1" in result.output
