"""What a small run left behind: n1 trades, is killed, n2 goes on; for tests to doctor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chaos.checkers.history import History
from chaos.report.left import Left
from tests.chaos.checkers.honest import CANCEL, PLACED, SECOND, honest

MS = 1_000_000
SECOND_NS = 1000 * MS
BOOT = 1_700_000_000 * SECOND_NS  # what the wall clock is ahead of the monotonic one


def asked(seq: int, at: int, node: str, client_order_id: str, **more: Any) -> dict[str, Any]:
    return {
        "seq": seq,
        "mono_ns": at * MS,
        "wall_ns": at * MS + BOOT,
        "type": "request",
        "method": "order.place",
        "account": "main",
        "user_agent": f"meltica/0.1.0 ({node})",
        "client_order_id": client_order_id,
        "received_mono_ns": at * MS,
        "admitted_mono_ns": at * MS,
        "outcome": "accepted",
        **more,
    }


def seen(seq: int, at: int, what: str, **more: Any) -> dict[str, Any]:
    return {"seq": seq, "mono_ns": at * MS, "wall_ns": at * MS + BOOT, "type": what, **more}


LEDGER = (
    asked(1, 1000, "n1", PLACED, symbol="BTCUSDT"),
    asked(2, 2000, "n1", CANCEL, method="order.cancel", orig_client_order_id=PLACED),
    seen(3, 2500, "fault", kind="slow", action="begin", target=None),
    asked(4, 3200, "n2", SECOND, symbol="BTCUSDT"),
    seen(5, 3300, "fill", symbol="BTCUSDT", trade_id=7, order_id="501", client_order_id=SECOND, account="main"),
    seen(6, 3500, "fault", kind="slow", action="end", target=None),
    asked(7, 5000, "n2", "strange", outcome="rejected", admitted_mono_ns=None),
)


def role(at: int, what: str) -> dict[str, Any]:
    return {"event": "role changed", "role": what, "mono_ns": at * MS, "term": 1}


def taken(epoch: int, at: int) -> dict[str, Any]:
    return {"event": "takeover_phases", "epoch": epoch, "marks_mono_ns": {"authority": at * MS}}


LOGS: dict[str, tuple[dict[str, Any], ...]] = {
    "n1": (
        role(500, "candidate"),
        role(600, "leader"),
        taken(1, 700),
        {"event": "ready", "wall": "2023-11-14T22:13:24.500000Z"},  # at 4,500 ms
        role(4600, "follower"),
    ),
    "n2": (role(3050, "leader"), taken(2, 3150)),
    "n3": (role(3051, "follower"),),
}

DEMO: dict[str, Any] = {
    "schema": "meltica.demo/1",
    "verdict": "pass",
    "seed": 7,
    "duration_s": 20.0,
    "market": "synthetic",
    "failovers": [
        {
            "kind": "kill",
            "from": "n1",
            "struck_mono_ns": 3000 * MS,
            "first_admitted_mono_ns": 3200 * MS,
        }
    ],
    "checks": [{"name": "one_send", "held": True, "looked_at": 3, "violations": []}],
}

LIVE: dict[str, Any] = {
    "schema": "meltica.chaos/1",
    "scenario": "leader-killed",
    "seed": 3,
    "verdict": "fail",
    "faults": [
        {
            "kind": "kill",
            "target": "n1",
            "begin_mono_ns": 3000 * MS,
            "end_mono_ns": 4000 * MS,
            "gap_ms": 0.0,
            "gap_begin_mono_ns": 100,
            "gap_end_mono_ns": 300,
        }
    ],
    "checks": [
        {
            "name": "one_send",
            "held": False,
            "looked_at": 3,
            "violations": [f"{PLACED} was received as request 1 and again as 2"],
        }
    ],
}


def left(history: History | None = None) -> Left:
    return Left(LEDGER, LOGS, history or honest())


def laid(folder: Path, document: dict[str, Any] | None = None) -> Path:
    """The same as files, as a run leaves them, but for the stores; `document`: its verdict."""
    (folder / "logs").mkdir(parents=True)
    for name, lines in LOGS.items():
        (folder / "nodes" / name).mkdir(parents=True)
        (folder / "nodes" / name / "meltica.toml").write_text("")
        (folder / "logs" / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "ledger.jsonl").write_text("".join(json.dumps(record) + "\n" for record in LEDGER))
    if document is not None:
        (folder / "verdict.json").write_text(json.dumps(document))
    return folder
