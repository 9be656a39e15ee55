"""A node behind the API that is made of plain data, and the API served for real: TLS on loopback."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime

import httpx
import pytest
import trio
from attrs import define, evolve, field

from cluster import pki
from cluster.hosts import Address
from meltica.api.ports import ActionOutcome, Check, NodeHealth, OutcomeKind, Page, ReadFault, Stamp
from meltica.api.server import ApiPlace, serve_api
from meltica.config import TlsFiles, TokenFiles
from meltica.telemetry.logs import make_logger

VIEWER = "v" * 43
OPERATOR = "o" * 43
EXPOSITION = b"# HELP meltica_epoch x\nmeltica_epoch 7.0\n"


@define
class FakeView:
    """A `NodeView` whose answers the test sets."""

    name: str = "n1"
    leading: bool = True
    leader_url: str | None = None
    leader_name: str = "n2"
    outcome: ActionOutcome = ActionOutcome(OutcomeKind.DONE, "halted", index=12)
    acted: list = field(factory=list)
    live: bool = True
    checks: tuple = (Check("caught_up", ok=True), Check("venue_paper", ok=True))
    active: bool = True
    broken: bool = False
    unreadable: bool = False

    def stamp(self):
        return Stamp(wall_ns=1_700_000_000_000_000_000, index=42, age_ns=1_500_000_000)

    def status(self):
        if self.broken:
            raise RuntimeError("a secret detail")
        return {
            "schema": "meltica.status/1",
            "cluster": "demo",
            "as_of": {"wall_ns": 5, "index": 42},
            "trading": "running",
            "mode": "automatic",
            "active": "n1",
            "epoch": 7,
            "nodes": [{"name": self.name, "reachable": True, "role": "leader", "active": self.active}],
            "venues": [],
            "orders": {"open": 0, "in_doubt": 0},
            "positions": [],
        }

    def orders(self, *, closed):
        rows = [{"id": "a" * 32, "state": "open"}, {"id": "b" * 32, "state": "filled"}]
        return rows if closed else rows[:1]

    def positions(self):
        return [{"symbol": "BTCUSDT", "quantity": "1.5"}]

    async def strategies(self):
        return [{"id": "maker", "running": True}]

    async def fills(self, after, limit):
        if self.unreadable:
            raise ReadFault("the archive lacks the entries from 1 to 10", "Copy them from another node.")
        rows = [{"seq": seq} for seq in range(1, 6) if seq > after][:limit]
        last = rows[-1]["seq"] if rows else after
        return Page(rows, last if last < 5 else None)

    audit = fills

    async def newest_fills(self, count, before):
        rows = [{"seq": seq} for seq in range(1, 6) if before is None or seq < before][-count:]
        first = rows[0]["seq"] if rows else 1
        return Page(rows, 5 if before is None else None, next_before=first if first > 1 else None)

    newest_audit = newest_fills

    def health(self):
        return NodeHealth(live=self.live, checks=self.checks, active=self.active, standby=not self.active)

    def leader_api(self):
        return self.leader_url and (self.leader_name, self.leader_url)

    def leads(self):
        return self.leading

    async def act(self, action):
        self.acted.append(action)
        return self.outcome


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    pki.create(folder, "demo", ["n1", "n2"], datetime.now(UTC))
    return folder


@pytest.fixture
def place(tmp_path, certificates):
    (tmp_path / "viewer").write_text(VIEWER + "\n")
    (tmp_path / "operator").write_text(OPERATOR + "\n")
    return ApiPlace(
        address=Address("127.0.0.1", 0),
        tls=files_of(certificates, "n1"),
        tokens=TokenFiles(viewer_file=tmp_path / "viewer", operator_file=tmp_path / "operator"),
    )


def files_of(certificates, name):
    return TlsFiles(ca=certificates / "ca.pem", cert=certificates / f"{name}.pem", key=certificates / f"{name}.key")


@define
class Served:
    """One API that is being served, and a client that trusts it."""

    view: FakeView
    url: str
    http: httpx.AsyncClient
    stop: trio.Event

    def headers(self, token):
        return {"Authorization": f"Bearer {token}"} if token else {}

    async def get(self, path, token=VIEWER):
        return await self.http.get(self.url + path, headers=self.headers(token))

    async def post(self, path, token=OPERATOR, **more):
        headers = {**self.headers(token), **more.pop("headers", {})}
        return await self.http.post(self.url + path, headers=headers, **more)


@pytest.fixture
async def serve(place, certificates, nursery):
    """Serve a view, each as the node that it is; several in one test have a port each."""
    context = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
    stops = []
    async with httpx.AsyncClient(verify=context, trust_env=False) as http:

        async def start(view=None, address=place.address, level="error"):
            view = view or FakeView()
            own = evolve(place, address=address, tls=files_of(certificates, view.name))
            stop = trio.Event()
            stops.append(stop)
            log = make_logger(view.name, level)

            async def run(task_status):
                await serve_api(own, view, lambda: EXPOSITION, log, stop, task_status=task_status)

            return Served(view, await nursery.start(run), http, stop)

        yield start
        for stop in stops:
            stop.set()
