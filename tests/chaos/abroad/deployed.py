"""A deployed cluster in memory, behind the HTTP that its nodes and its paper venue speak; for tests to doctor.

n1 trades; what is asked for by hand is logged, sent and filled at once.  The venue's door is the real one; its clock is
AHEAD of ours.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx

from meltica.core.ids import make_id
from meltica.paper.control import Control
from meltica.paper.faults import Faults
from meltica.paper.ledger import MemoryLedger, Recorder, fault_fields, request_fields
from meltica.paper.ports import Times

CLUSTER = "0a0b0c"
NODES = ("n1", "n2", "n3")
AHEAD = 7_000_000_000_000  # nanoseconds that the venue's monotonic clock is ahead of ours
BOOT = 1_700_000_000_000_000_000
PAPER = "venue"
TOKEN = "t" * 32


class Deployed:
    """Implements an `httpx` transport's handler; `now` is our monotonic clock.  Tests change what they want."""

    def __init__(self, now):
        self.now = now
        self.epoch, self.index, self.risk = 3, 100, 7
        self.halts, self.audit, self.fills, self.orders = [], [], [], []
        self.acted, self.down, self.deaf = [], set(), False  # deaf: who acts is told nothing more
        self.quotes = True  # whether something rests that a cancel of all finds
        self.sink = MemoryLedger()
        self.recorder = Recorder(self.sink)
        self.faults = Faults(random.Random(1), self._faulted)  # noqa: S311 - of a stand-in
        self.control = Control(SimpleNamespace(faults=self.faults, recorder=self.recorder))
        for _ in range(40):  # what was there before
            self._faulted("begin", SimpleNamespace(kind="slow", target=SimpleNamespace(text=lambda: "")))

    def times(self):
        return Times(self.now() + AHEAD, self.now() + BOOT)

    def _faulted(self, action, fault):
        self.recorder.write(fault_fields(fault.kind, action, fault.target.text()), self.times())

    async def __call__(self, request):
        if request.url.host == PAPER:
            query = request.url.query.decode()
            status, _, body = self.control.handle(
                request.method, request.url.path, query, request.content, self.times()
            )
            return httpx.Response(status, content=body)
        node = request.url.host
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        if node in self.down:
            raise httpx.ConnectError("refused")
        what = request.url.path.removeprefix("/api/v1/")
        if request.method == "POST":
            return self.act(what.removeprefix("actions/"), json.loads(request.content))
        return httpx.Response(200, json=self.read(node, what, request.url.params))

    def read(self, node, what, params) -> dict[str, Any]:
        if what == "status":
            return self.status(node)
        if what == "orders":
            return {"orders": self.orders}
        rows = [row for row in getattr(self, what) if row["seq"] > int(params["after"])]
        return {what: rows, "next_after": rows[-1]["seq"] if rows else None, "gaps": []}

    def status(self, node) -> dict[str, Any]:
        rows = [
            {
                "name": name,
                "role": "leader" if name == "n1" else "follower",
                "term": self.epoch,
                "state_digest": "d",
                "digest_index": self.index,
                "promotable": True,
            }
            for name in NODES
        ]
        return {
            "cluster": CLUSTER,
            "served_by": node,
            "as_of": {"index": self.index},
            "trading": "halted" if self.halts else "running",
            "active": "n1",
            "epoch": self.epoch,
            "nodes": rows,
            "orders": {"open": 0, "in_doubt": 0},
            "risk": {"index": self.risk, "halts": [{"cause": cause} for cause in self.halts]},
        }

    def act(self, action, body):
        self.acted.append((action, body))
        if action == "submit" and self.halts:
            return httpx.Response(409, json={"message": "halted"})
        self.index += 1
        self.note(action, body["reason"])
        if action == "submit":
            self.submit(body)
        elif action == "cancel" and self.quotes:
            self.asked("order.cancel", make_id(CLUSTER, self.epoch, self.index, 0))
        elif action == "halt":
            self.halts, self.risk = [*self.halts, body["cause"]], self.index
        elif action == "resume":
            self.halts = [cause for cause in self.halts if cause not in body["causes"]]
            self.risk = self.index
        if self.deaf:
            raise httpx.ReadTimeout("nothing came")
        return httpx.Response(200, json={"request_id": body["request_id"], "index": self.index})

    def note(self, kind, reason, rejection=None):
        row = {"seq": self.index, "index": self.index, "place": 0, "kind": kind, "reason": reason}
        self.audit.append({**row, "rejection": rejection, "chain": f"c{self.index}"})

    def asked(self, method, name):
        """At the venue, by n1."""
        at = self.times().mono_ns
        moments = {"received_mono_ns": at, "admitted_mono_ns": at, "decided_mono_ns": at}
        who = {"account": "main", "user_agent": "meltica/1 (n1)", "symbol": "BTCUSDT"}
        self.recorder.write(
            request_fields(method=method, client_order_id=name, outcome="accepted", **who, **moments), self.times()
        )

    def submit(self, body):
        name = make_id(CLUSTER, self.epoch, self.index, 0)
        self.asked("order.place", name)
        trade = {"trade_id": self.index, "side": body["side"], "price": "60000", "quantity": body["quantity"]}
        trade |= {"fee": "0.01", "fee_asset": "USDT"}
        order = {"order_id": str(self.index), "client_order_id": name, "account": "main", "symbol": body["symbol"]}
        self.recorder.write({"type": "order", **order, "status": "FILLED", "executed_quantity": "1"}, self.times())
        self.recorder.write({"type": "fill", **order, **trade, "maker": False}, self.times())
        self.fills.append({"seq": self.index, "order": name, "symbol": body["symbol"], "venue": "paper", **trade})
        self.orders.append(
            {
                "id": name,
                "symbol": body["symbol"],
                "venue_order_id": str(self.index),
                "state": "filled",
                "filled": "1",
                "asked": "nothing",
            }
        )


def place_file(folder: Path, *parts: str, nodes=NODES) -> Path:
    """A cluster's folder as an operator has it, and the file beside it that says what may be reached."""
    (folder / "tokens").mkdir(parents=True, exist_ok=True)
    for role in ("viewer", "operator"):
        (folder / "tokens" / role).write_text(TOKEN)
    tables = "".join(f'[nodes.{name}]\napi = "https://{name}:7411"\n' for name in nodes)
    (folder / "cluster.toml").write_text(
        f'[cluster]\nid = "{CLUSTER}"\nname = "far"\n[operator]\nca = "ca.pem"\ncert = "op.pem"\nkey = "op.key"\n'
        f'viewer_file = "tokens/viewer"\noperator_file = "tokens/operator"\n{tables}'
    )
    path = folder / "chaos.toml"
    path.write_text("\n".join(('cluster = "."', *parts)) + "\n")
    return path


ORDERS = '[orders]\nvenue = "paper"\nsymbol = "BTCUSDT"\nquantity = "0.0002"'
AT_PAPER = f'[paper]\napi = "http://{PAPER}"\naccount = "main"'
SERVER = '[toxiproxy]\naddress = "127.0.0.1:8474"'
