"""Gathering: the files that a stopped cluster leaves behind, as a `History`.

Only reading may live here.  The stores are opened read-only, so the processes must have ended.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve

from chaos.checkers.history import History, LocalCommit
from chaos.checkers.stored import Stored, completed, gaps_of, history_from
from chaos.checkers.verdict import Check
from cluster.rocks import open_readonly
from meltica.archive.trail import whole_trail
from meltica.core.state import State


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of a file, one a line.

    A last line that was cut short, and what is no JSON (a library's traceback in a log), is passed over.
    """
    with path.open("rb") as file:
        for line in file:
            try:
                document = json.loads(line)
            except ValueError:
                continue
            if isinstance(document, dict):
                yield document


def ledger_whole(folder: Path, after: int = 0) -> Check:
    """Every line of a cluster's ledger can be read, and none is missing: `seq` is 1, 2, and so on, from `after` on.

    Only a last line may be cut short, by a venue that was ended while it wrote.
    """
    lines = (folder / "ledger.jsonl").read_bytes().split(b"\n")
    torn = lines.pop()  # what is behind the last newline
    violations, last = [], after
    for place, line in enumerate(lines, 1):
        seq = _seq(line)
        if seq is None:
            violations.append(f"line {place} of the ledger can't be read")
        elif seq != last + 1:
            violations.append(f"line {place} of the ledger has seq {seq}, the one before {last}")
        last = last + 1 if seq is None else seq
    if torn and _seq(torn) not in {None, last + 1}:
        violations.append(f"the last line of the ledger has seq {_seq(torn)}, the one before {last}")
    return Check("ledger_whole", len(lines), tuple(violations))


def _seq(line: bytes) -> int | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found.get("seq") if isinstance(found, dict) else None


def gather(folder: Path, nodes: Iterable[str], gone: Sequence[str] = ()) -> History:
    """The whole history of a cluster's folder.

    `gone`: nodes that were removed, and are no part of it; their folders are there, and a record that a snapshot left
    out may be in one of them alone.
    """
    ledger = list(json_lines(folder / "ledger.jsonl"))
    account, cluster = _identity(folder)
    stored, kept = [_stored(folder, name) for name in nodes], [_stored(folder, name) for name in gone]
    whole = [evolve(one, audit=completed(one, kept)) for one in stored]
    return history_from(ledger, account, cluster, whole)


def _identity(folder: Path) -> tuple[str, str]:
    """The account's name at the venue, and the cluster's six digits."""
    paper = tomllib.loads((folder / "paper.toml").read_text())
    node = tomllib.loads((folder / "nodes" / "n1" / "meltica.toml").read_text())
    return str(paper["accounts"][0]["name"]), str(node["node"]["cluster"])


def _stored(folder: Path, name: str) -> Stored:
    reader = open_readonly(folder / "nodes" / name / "data")
    try:
        pairs, audit = list(reader.state()), [json.loads(raw) for _, _, raw in whole_trail(reader)]
        gaps = gaps_of(reader.gaps())
    finally:
        reader.close()
    commits = tuple(commits_of(json_lines(folder / "logs" / f"{name}.jsonl"), window_of(audit)))
    return Stored(name, pairs, audit, State.load(pairs), commits, gaps)


def window_of(audit: Iterable[Mapping[str, Any]]) -> int | None:
    """The shortest authority window that the log ever had, nanoseconds: what any send may use; None: it had none."""
    policies = [one for row in audit if row["kind"] == "configured" for one in row["command"].get("venues", ())]
    return min((int(policy["window"]) for policy in policies), default=None)


def commits_of(lines: Iterable[Mapping[str, Any]], window: int | None = None) -> Iterator[LocalCommit]:
    """A node's own record of when it had applied what it was about to send, and until when it might send it."""
    for line in lines:
        if line.get("event") == "intents_applied":
            intents, proposed = tuple(str(one) for one in line["intents"]), line.get("proposed_mono_ns")
            until = None if window is None or proposed is None else int(proposed) + window
            yield LocalCommit(int(line["index"]), int(line["term"]), int(line["mono_ns"]), intents, until)
