"""A cluster's folder as `cluster create` makes it, and its API served for real by nodes made of plain data."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
import trio
from attrs import define, field
from click.testing import CliRunner

from chaos.rig.processes import claimed_ports
from meltica.api.ports import ActionOutcome, Check, NodeHealth, OutcomeKind, Page, Stamp
from meltica.api.server import place_of, serve_api
from meltica.cli.main import commands
from meltica.config import load
from meltica.telemetry.logs import make_logger


@define
class FakeNode:
    """A `NodeView` of one node of three; the test sets what it says."""

    name: str
    leader: str | None = "n1"
    apis: dict = field(factory=dict)
    epoch: int = 7
    index: int = 42
    halts: list = field(factory=list)
    outcome: ActionOutcome = ActionOutcome(OutcomeKind.DONE, "it is done", index=43)
    acted: list = field(factory=list)
    gaps: list = field(factory=list)  # of its audit trail
    digest: str = "abcdef0123456789"
    hang: bool = False
    waiting: str = ""
    takes_over: bool = False  # it leads, and has not taken authority yet
    more: dict = field(factory=dict)  # of its own row
    group: dict | None = None  # what it says of all, if it leads
    claimed: str | None = None  # who is active, by its word, where that is not the leader
    members: dict | None = None  # who takes part, by its word
    outcomes: list = field(factory=list)  # of the next actions, before `outcome`
    openings: list = field(factory=list)
    strategies_: list = field(factory=list)
    status_more: dict = field(factory=dict)
    barren: bool = False  # its newest records hold no fill

    def stamp(self):
        return Stamp(wall_ns=1_700_000_000_000_000_000, index=self.index, age_ns=0)

    def status(self):
        active = self.name == self.leader and not self.takes_over
        row = {
            "name": self.name,
            "reachable": True,
            "role": "leader" if self.name == self.leader else "follower",
            "term": self.epoch,
            "last_index": self.index,
            "committed_index": self.index,
            "applied_index": self.index,
            "state_digest": self.digest,
            "digest_index": 40,
            "active": active,
            "promotable": True,
            "version": "0.1.0",
            **self.more,
        }
        return {
            "schema": "meltica.status/1",
            "cluster": "demo",
            "as_of": {"wall_ns": 5, "index": self.index},
            "trading": "halted" if self.halts else "running",
            "mode": "automatic",
            "active": self.claimed or (None if self.takes_over else self.leader),
            "epoch": self.epoch,
            "nodes": [row],
            "venues": [{"name": "paper", "connected": True, "stream_age_s": 0.1, "clock_offset_s": 0.0}],
            "orders": {"open": 2, "in_doubt": 1},
            "positions": [{"venue": "paper", "symbol": "BTCUSDT", "quantity": "10.5"}],
            "risk": {"index": 9, "killed": False, "halts": self.halts, "reduces": []},
            "group": self.group,
            "openings": self.openings,
            "members": self.members,
            **({"waiting": self.waiting} if self.waiting else {}),
            **self.status_more,
        }

    def orders(self, *, closed):
        return [{"id": "a" * 32, "strategy": "maker", "symbol": "BTCUSDT", "side": "BUY", "state": "open"}]

    def positions(self):
        return [{"venue": "paper", "symbol": "BTCUSDT", "quantity": "10.5", "fees": {"BTC": "0.001"}}]

    async def strategies(self):
        return self.strategies_

    async def fills(self, after, limit):
        rows = [{"seq": seq, "symbol": "BTCUSDT"} for seq in range(1, 2501) if seq > after][:limit]
        last = rows[-1]["seq"] if rows else after
        return Page(rows, last if last < 2500 else None)

    async def newest_fills(self, count, before):
        end = 2500 if before is None else before - 1
        found = [{"seq": seq, "symbol": "BTCUSDT", "wall_ns": seq * 10**9} for seq in range(end - count + 1, end + 1)]
        first = end - count + 1
        if self.barren:  # many records, no fill among them
            found, first = [], end - 10
        return Page(found, end if before is None else None, next_before=first if first > 1 else None)

    async def newest_audit(self, count, before):
        rows = [{"seq": seq, "kind": f"kind{seq}", "wall_ns": 0} for seq in range(43 - count, 43)]
        return Page(rows, 42, self.gaps, next_before=43 - count)

    async def audit(self, after, limit):
        return Page([{"seq": 1, "kind": "halt", "by": "operator", "reason": "a test"}], None, self.gaps)

    def health(self):
        return NodeHealth(live=True, checks=(Check("caught_up", ok=True),), active=True, standby=False)

    def leader_api(self):
        api = self.apis.get(self.leader)
        return api and (self.leader, api)

    def leads(self):
        return self.name == self.leader

    async def act(self, action):
        self.acted.append(action)
        return self.outcomes.pop(0) if self.outcomes else self.outcome


def meltica(*words, folder=None, stdin=None):
    """Run the command line in this process; `returncode`, `stdout` and `stderr` as of a real one."""
    arguments = [*(("--cluster", str(folder)) if folder else ()), *map(str, words)]
    result = CliRunner().invoke(commands, arguments, prog_name="meltica", input=stdin)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return SimpleNamespace(returncode=result.exit_code, stdout=result.stdout, stderr=result.stderr)


@define
class Running:
    """A cluster of fakes that is being served from another thread."""

    folder: object
    nodes: dict
    stops: dict = field(factory=dict)
    token: object = None
    done: object = None

    def run(self, *words, **more):
        return meltica(*words, folder=self.folder, **more)

    def stop(self, name):
        trio.from_thread.run_sync(self.stops[name].set, trio_token=self.token)
        while name not in self.done:
            threading.Event().wait(0.01)


@pytest.fixture(scope="session")
def worker_ports():
    """A base of ports that is this worker's alone, out of the way of a real cluster's."""
    with claimed_ports(18400) as base:
        yield base


@pytest.fixture(scope="session")
def cluster_folder(tmp_path_factory, worker_ports):
    folder = tmp_path_factory.mktemp("cluster") / "demo"
    done = meltica("cluster", "create", folder, "--base-port", worker_ports, "--venue-port", worker_ports + 80)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def cluster(cluster_folder):
    """Three fakes, served until the test ends."""
    settings = {name: load(cluster_folder / "nodes" / name / "meltica.toml") for name in ("n1", "n2", "n3")}
    apis = {name: f"https://{one.own.api}" for name, one in settings.items()}
    running = Running(cluster_folder, {name: FakeNode(name, apis=apis) for name in settings}, done=[])
    ready = threading.Event()

    async def serve(name, task_status):
        stop = running.stops[name] = trio.Event()
        log = make_logger(name, "error")
        await serve_api(place_of(settings[name]), running.nodes[name], lambda: b"", log, stop, task_status=task_status)
        running.done.append(name)

    async def main():
        running.token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as nursery:
            for name in settings:
                await nursery.start(serve, name)
            ready.set()

    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    assert ready.wait(20)
    yield running
    for name in settings:
        if name not in running.done:
            running.stop(name)
    thread.join(20)
    assert not thread.is_alive()
