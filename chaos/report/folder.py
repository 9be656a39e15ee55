"""A run's folder: what is in it, as a report.

Only reading may live here.  The stores are opened read-only, so the processes must have
ended.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chaos.checkers.history import History
from chaos.report.incident import Incident
from chaos.report.retell import Left, retell
from chaos.rig.gather import gather, json_lines

VERDICT = "verdict.json"


class NoRun(Exception):
    """There is no run to tell of; the message says what is missing, and how one is kept."""


def nodes_in(folder: Path) -> tuple[str, ...]:
    """The nodes that ran there.  Raises NoRun."""
    names = tuple(sorted(path.parent.name for path in folder.glob("nodes/*/meltica.toml")))
    if not names or not (folder / "ledger.jsonl").is_file():
        raise NoRun(f"{folder} holds no run (nodes/ and ledger.jsonl): `meltica demo --keep DIR` keeps one")
    return names


def verdict_in(folder: Path) -> dict[str, Any]:
    """What was found of it.  Raises NoRun."""
    try:
        found = json.loads((folder / VERDICT).read_text())
    except FileNotFoundError:
        raise NoRun(f"{folder} has no {VERDICT}: the run was broken off, or it is not a run's folder") from None
    except ValueError as error:
        raise NoRun(f"{folder / VERDICT} can't be read: {error}; run again with --keep and a new folder") from error
    if not isinstance(found, dict) or "checks" not in found or "verdict" not in found:
        raise NoRun(f"{folder / VERDICT} is no verdict of a demo's or of a scenario's")
    return found


def incident_in(folder: Path, document: dict[str, Any], history: History | None = None) -> Incident:
    """The run that the folder was kept of; `history`, if it has been gathered already.  Raises NoRun, OSError."""
    nodes = nodes_in(folder)
    logs = {name: list(json_lines(folder / "logs" / f"{name}.jsonl")) for name in nodes}
    left = Left(list(json_lines(folder / "ledger.jsonl")), logs, history or gather(folder, nodes))
    return retell(left, document, again(document))


def again(document: dict[str, Any]) -> str:
    """The command that repeats a run."""
    if "scenario" in document:
        return f"meltica-chaos run {document['scenario']} --seed {document['seed']}"
    market = str(document.get("market") or "")
    tape = f" --tape {market.removeprefix('tape:')}" if market.startswith("tape:") else ""
    return f"meltica demo --seed {document['seed']} --duration {document['duration_s']:g}{tape} --keep DIR"
