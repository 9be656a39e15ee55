"""The demo, played: a verdict, its document, and nothing that stays running."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from chaos.rig.processes import meltica
from tests.ci import lacking
from tests.processes.rig import cli, environment, python_processes_of, wait_for
from tests.shapes import keys_of

pytestmark = pytest.mark.processes

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "demo-keys.json"
TAPE = Path(__file__).resolve().parents[3] / "shared" / "data" / "spot_btcusdt_20240808.gz"
CHECKS = {
    "one_trader",
    "intent_first",
    "one_send",
    "every_fill_once",
    "state_equal",
    "orders_equal",
    "accounted",
    "halt_survives",
}


def check(document, kinds):
    """What every demo that ended must show."""
    assert document["verdict"] == "pass", json.dumps(document, indent=1)
    assert [failover["kind"] for failover in document["failovers"]] == kinds
    for failover in document["failovers"]:
        assert failover["gap_ms"] > 0
        assert failover["to"] not in (None, failover["from"])
        assert failover["epoch_to"] > failover["epoch_from"]
        phases = list(failover["phases_ms"].values())
        assert None not in phases
        assert phases == sorted(phases)
    assert {one["name"] for one in document["checks"]} >= CHECKS
    assert all(one["held"] and one["looked_at"] > 0 and not one["violations"] for one in document["checks"])
    # They stop one after another, so one may end an entry later; whoever ends at the same index has the same digest.
    ends = {(node["applied_index"], node["state_digest"]) for node in document["nodes"]}
    assert len(ends) == len({index for index, _ in ends})


def test_a_demo_passes_and_its_document_has_the_shape_that_was_promised(tmp_path):
    kept = tmp_path / "kept"
    done = cli("demo", "--duration", "12", "--seed", "11", "--keep", str(kept), "-o", "json", within=290)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    check(document, ["kill", "promote"])
    assert keys_of(document) == json.loads(GOLDEN.read_text())
    assert json.loads((kept / "verdict.json").read_text()) == document
    told = (kept / "report.html").read_text()
    assert "A demo: <span" in told
    assert all(f"epoch {epoch}" in told for epoch in (1, 2, 3))
    assert (document["seed"], document["duration_s"], document["market"]) == (11, 12.0, "synthetic")
    assert document["venue"]["fills"] > 0
    assert {path.name for path in (kept / "logs").iterdir()} >= {"n1.jsonl", "n2.jsonl", "n3.jsonl", "venue.jsonl"}
    assert not python_processes_of(kept)


def test_a_demo_on_a_recorded_market_passes(tmp_path):
    if not TAPE.exists():
        lacking(f"no recording at {TAPE}: the demo on a tape was not played")
    words = ("--duration", "12", "--tape", str(TAPE), "--kill-leader-at", "5", "--keep", str(tmp_path / "kept"))
    done = cli("demo", *words, "-o", "json", within=290)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    check(document, ["kill"])
    assert document["market"] == f"tape:{TAPE.resolve()}"


@pytest.mark.patient(20)
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--duration", "2"), "at least 10 seconds"),
        (("--duration", "x"), "not a valid float"),
        (("--kill-leader-at", "59.5"), "--kill-leader-at 59.5: choose between 1 and 57"),
        (("--tape", "/no/such/tape.gz"), "no such file"),
        (("--seed", "-1"), "--seed"),
        (("--what",), "No such option"),
    ],
)
def test_wrong_usage_starts_nothing(words, told):
    done = cli("demo", *words)
    assert done.returncode == 2
    assert told in done.stderr


@pytest.mark.patient(20)
def test_a_folder_that_is_not_empty_is_not_touched(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    done = cli("demo", "--keep", str(tmp_path))
    assert done.returncode == 2
    assert "not an empty folder" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.patient(20)  # whoever leads
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
def test_nothing_stays_running_however_the_demo_is_ended(number, tmp_path):
    kept = tmp_path / "kept"
    with subprocess.Popen(  # noqa: S603 - our own command line
        meltica("demo", "--duration", "60", "--keep", str(kept)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(),
        start_new_session=True,
    ) as demo:
        try:
            # The venue and the nodes name the folder in their words: all four are there, and one has said so.
            wait_for("four processes beside the demo", lambda: len(python_processes_of(kept)) >= 5)
            demo.send_signal(number)
            output, _ = demo.communicate(timeout=60)
        finally:
            if demo.poll() is None:
                demo.kill()
    wait_for("all processes ended", lambda: not python_processes_of(kept))
    assert demo.returncode != 0
    assert b"Traceback" not in output, output.decode()
