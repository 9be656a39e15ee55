"""What others hold on to: the files that `cluster create` writes, the documents, the metrics' names.

A change shows as a diff of a file in tests/golden/faces; to accept one, run with MELTICA_GOLDEN=write and write
the line in CHANGELOG.md.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from meltica.api.outcomes import EXIT, HTTP, action_document, error_document
from meltica.api.ports import ActionOutcome, OutcomeKind
from meltica.cli.cluster_files import Plan, texts
from meltica.cli.status import UNKNOWN_ROW
from meltica.telemetry.metrics import Metrics

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "faces"
PLAN = Plan(name="demo", cluster="abc123", nodes=3, base_port=7400, venue_port=7480, api_key="k" * 64)


def found():
    outcome = ActionOutcome(OutcomeKind.DONE, "n2 leads", "nothing", index=12, detail={"epoch": 8})
    metrics = Metrics(node="n1", version="0.1.0", cluster="demo", venues=["paper"], peers=["n2"]).text().decode()
    codes = {kind.value: {"http": HTTP[kind], "exit": int(EXIT[kind])} for kind in OutcomeKind}
    documents = {
        "action": action_document(outcome, "r-1", "n1"),
        "error": error_document("unauthorized", "a valid token is needed", "send one"),
        "unreachable_node": dict(UNKNOWN_ROW),
        "outcomes": codes,
    }
    names = sorted(re.findall(r"^# TYPE (\S+ \S+)$", metrics, re.MULTILINE))
    return {
        **{path.replace("/", "-"): text for path, text in texts(PLAN).items()},
        "documents.json": json.dumps(documents, indent=1) + "\n",
        "metrics.txt": "\n".join(names) + "\n",
    }


@pytest.mark.parametrize("name", found())
def test_it_is_as_it_was(name):
    text = found()[name]
    file = GOLDEN / name
    if os.environ.get("MELTICA_GOLDEN") == "write":
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert file.read_text() == text


def test_no_golden_file_is_left_over():
    assert {file.name for file in GOLDEN.iterdir()} == set(found())
