"""A run's folder: what is in it, as a report.

Only reading may live here.  The stores are opened read-only, so the processes must have
ended.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from attrs import evolve

from chaos.checkers.history import History
from chaos.checkers.stored import history_from
from chaos.report.again import again
from chaos.report.incident import Incident
from chaos.report.left import Left
from chaos.report.retell import retell
from chaos.rig.gather import gather, json_lines

VERDICT = "verdict.json"
ABROAD = "abroad.json"  # in the folder of a run on a cluster that somebody else deployed: account, cluster, nodes
ELSEWHERE: Final = "the nodes' logs and data, which are on somebody else's machines; who led is as the nodes answered"
UNJUDGED: Final[dict[str, Any]] = {"title": "A run that was broken off", "verdict": "not judged", "checks": []}


class NoRun(Exception):
    """There is no run to tell of; the message says what is missing, and how one is kept."""


def nodes_in(folder: Path) -> tuple[str, ...]:
    """The nodes that ran there.  Raises NoRun."""
    if (folder / ABROAD).is_file():
        return tuple(sorted(json.loads((folder / ABROAD).read_text())["nodes"]))
    names = tuple(sorted(path.parent.name for path in folder.glob("nodes/*/meltica.toml")))
    if not names or not (folder / "ledger.jsonl").is_file():
        keeps = "`meltica demo --keep DIR` and `meltica-chaos run --report DIR` keep one"
        raise NoRun(f"{folder} holds no run (nodes/ and ledger.jsonl): {keeps}")
    return names


def verdict_in(folder: Path) -> dict[str, Any]:
    """What was found of it; of a run that was broken off, nothing.  Raises NoRun."""
    try:
        found = json.loads((folder / VERDICT).read_text())
    except FileNotFoundError:
        return UNJUDGED
    except ValueError as error:
        raise NoRun(f"{folder / VERDICT} can't be read: {error}; run again with --keep and a new folder") from error
    if not isinstance(found, dict) or "checks" not in found or "verdict" not in found:
        raise NoRun(f"{folder / VERDICT} is no verdict of a demo's or of a scenario's")
    return found


def incident_in(folder: Path, document: dict[str, Any], history: History | None = None) -> Incident:
    """The run that the folder was kept of; `history`, if it has been gathered already.  Raises NoRun, OSError.

    A node whose store can't be read is left out, and the incident says so.
    """
    nodes = nodes_in(folder)
    logs = {name: _lines(folder / "logs" / f"{name}.jsonl") for name in nodes}
    found, lacks = (history, ()) if history is not None else _history(folder, nodes)
    left = Left(list(json_lines(folder / "ledger.jsonl")), logs, found)
    return evolve(retell(left, document, again(document)), lacks=lacks)


def _lines(log: Path) -> list[dict[str, Any]]:
    """A node's log; a node that was never started has none."""
    return list(json_lines(log)) if log.is_file() else []


def _history(folder: Path, nodes: Sequence[str]) -> tuple[History, tuple[str, ...]]:
    """Of the nodes that can be read; and of the others, why not."""
    if (folder / ABROAD).is_file():
        about = json.loads((folder / ABROAD).read_text())
        ledger = list(json_lines(folder / "ledger.jsonl"))
        return history_from(ledger, about["account"], about["cluster"], ()), (ELSEWHERE,)
    try:
        return gather(folder, nodes), ()
    except Exception:  # noqa: BLE001 - a damaged store may raise anything; below, each by itself says what
        readable = {name: _why_not(folder, name) for name in nodes}
    found = [name for name, why in readable.items() if not why]
    return gather(folder, found), tuple(f"{name}: {why}" for name, why in readable.items() if why)


def _why_not(folder: Path, name: str) -> str:
    try:
        gather(folder, (name,))
    except Exception as error:  # noqa: BLE001 - see above
        return f"{type(error).__name__}: {error}"
    return ""
