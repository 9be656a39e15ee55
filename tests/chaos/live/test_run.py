"""A live run on a cluster that is not there: what a signal does to it at any moment; what is told of a broken one."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
import trio
from attrs import evolve

from chaos.checkers.verdict import Check
from chaos.live import run
from chaos.live.document import one
from chaos.live.links import links_of
from chaos.live.network import Network
from chaos.live.nodes import STOPPED_WITHIN, UNDO_WITHIN, End
from chaos.live.plan import Fault, Plan
from chaos.live.run import FAULTS, NoTrade, Runner, Wish
from chaos.live.scenarios import Scenario
from chaos.live.sight import Sight
from chaos.live.traffic import WITHIN as PROXIED_WITHIN
from chaos.live.workload import Lifted
from chaos.rig import gather as rig_gather
from chaos.rig.guarded import Interrupted, run_guarded
from meltica.core.ids import make_id
from tests.chaos.checkers.test_stored import stored
from tests.chaos.toxiproxy.twin import Twin

CLUSTER = "0a0b0c"
NODES = ("n1", "n2", "n3")
PORTS = dict.fromkeys((*NODES, "rest", "ws_api", "stream"), 7401)
SCENARIO = Scenario("one", "s", "t", None, "", "", ("trust",), ())
SHORT = Fault(0, "reset", "n2", 0, 10**8, 0, "operator", "both", ())
HELD = Fault(1, "hold", "n1", 0, 600 * 10**9, 0, "peers", "both", ())
SIGNALS = [signal.SIGINT, signal.SIGTERM]


class Watched:
    """Stands in for a watcher: n1 trades, and the ledger grows at every look."""

    def __init__(self):
        self.apis = dict.fromkeys(NODES, "")

    async def status(self, node):
        return {"active": "n1", "epoch": 1, "trading": "running", "risk": {"halts": (), "index": 1}}

    def new_records(self):
        order = make_id(CLUSTER, 1, 1, 0)
        one = {"type": "request", "method": "order.place", "client_order_id": order}
        return [{**one, "admitted_mono_ns": time.monotonic_ns()}] * 10


class Nodes:
    """Stands in for the processes of nodes, to which nothing is done."""

    down = frozenset()

    def __init__(self, *_):
        self.ends = []

    def go(self, _name):
        return True

    async def run(self):
        await trio.sleep_forever()


class Operators:
    """Stands in for operators who ask for nothing."""

    def __init__(self, _asks, seed):
        self.told, self.denied, self.lifted = [], [], []

    async def run(self, _sight):
        await trio.sleep_forever()


class Rig:
    """Stands in for the processes."""

    def __init__(self, folder):
        self.ledger_path, self.children = folder / "ledger.jsonl", {}
        self.warden = SimpleNamespace(watch=None)

    def pids(self):
        return {}


class Cluster:
    """Stands in for a live cluster: its proxies are in memory; `ended` is whether it was taken down."""

    def __init__(self, folder):
        self.rig, self.apis, self.operators, self.venue = Rig(folder), {}, {}, ""
        self.network = Network(Twin(), links_of(NODES, 7420, PORTS, PORTS, PORTS))
        self.ended = False

    @asynccontextmanager
    async def open(self, *_, **__):
        await self.network.build()
        try:
            yield self
        finally:
            with trio.CancelScope(shield=True):
                await trio.lowlevel.checkpoint()
            self.ended = True

    def broken(self):
        return [one.name for one in self.network.proxies.proxies.values() if one.toxics or not one.enabled]


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    found = Cluster(tmp_path)

    @asynccontextmanager
    async def watcher(*_):
        yield Watched()

    async def looked(_links, _within):
        return Check("through_proxies", 1, ())

    monkeypatch.setattr(run, "open_cluster", found.open)
    monkeypatch.setattr(run, "open_watcher", watcher)
    monkeypatch.setattr(run, "open_venue", watcher)
    monkeypatch.setattr(run, "Nodes", Nodes)
    monkeypatch.setattr(run, "Operators", Operators)
    monkeypatch.setattr(run, "looked", looked)
    monkeypatch.setattr(run, "cluster_of", lambda _: CLUSTER)
    return found


def runner(tmp_path, say=lambda _: None):
    return Runner(Wish(Plan(SCENARIO, 1, (SHORT, HELD)), tmp_path, 1, kept=True), say)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_a_fault_is_in_force_heals_it_and_ends_the_cluster(cluster, tmp_path, monkeypatch, number):
    seen = []
    (tmp_path / "tcp").write_text("head\n 0: 0100007F:1CFD 0100007F:9C40 06 0 0\n")
    monkeypatch.setattr(run, "TABLE", tmp_path / "tcp")

    def say(text):
        if "healed: reset" in text:
            seen.append(len(cluster.broken()))
            os.kill(os.getpid(), number)

    with pytest.raises(Interrupted, match=number.name):
        run_guarded((played := runner(tmp_path, say)).run, FAULTS)
    assert seen == [8]
    assert (cluster.broken(), cluster.ended) == ([], True)
    assert [one.fault for one in played.done] == [SHORT]  # what was done is known, however it ends
    assert played.traffic.before == {("0100007F:1CFD", "0100007F:9C40")}  # what had ended before anything was started


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_it_is_judged_is_not_waited_for(cluster, tmp_path, monkeypatch, number):
    """By a judge that never ends; it is left behind in its thread."""
    over, waited = threading.Event(), []

    async def play(self, _cluster, _volumes):
        await trio.lowlevel.checkpoint()

    def judge(self):
        os.kill(os.getpid(), number)
        waited.append(over.wait(10))

    monkeypatch.setattr(Runner, "_play", play)
    monkeypatch.setattr(Runner, "_judged", judge)
    try:
        with pytest.raises(Interrupted, match=number.name):
            run_guarded(runner(tmp_path).run, FAULTS)
        assert not waited
    finally:
        over.set()
    assert cluster.ended


async def test_the_patience_of_the_rig_is_as_much_longer_as_the_timers(cluster, tmp_path, monkeypatch, autojump_clock):
    given = {}

    class Dull(Nodes):
        def __init__(self, *values):
            super().__init__()
            given["nodes"] = values[2:]

    async def looked(_links, within):
        given["looked"] = within
        raise NoTrade("it is known by now")

    monkeypatch.setattr(run, "Nodes", Dull)
    monkeypatch.setattr(run, "looked", looked)
    played = runner(tmp_path)
    played.wish = evolve(played.wish, slower=3)
    with pytest.RaisesGroup(NoTrade, flatten_subgroups=True):
        await played.run()
    assert given == {"nodes": (3 * UNDO_WITHIN, 3 * STOPPED_WITHIN), "looked": 3 * PROXIED_WITHIN}
    begun = trio.current_time()
    with pytest.raises(NoTrade, match="within 270 s"):
        await played._until_trading(Sight(Watched(), CLUSTER))
    assert trio.current_time() - begun == pytest.approx(270, abs=1)
    begun = trio.current_time()
    await played._until_back(Sight(Watched(), CLUSTER))
    assert trio.current_time() - begun == pytest.approx(60, abs=1)
    assert not played.came_back


def left(tmp_path, monkeypatch, *orders):
    """What a run that broke off has left: a ledger in which n1 sent these, and the stores of the nodes."""
    sent = {"type": "request", "method": "order.place", "account": "main", "user_agent": "meltica/1 (n1)"}
    times = {"received_mono_ns": 1000, "admitted_mono_ns": 1000}
    lines = [{"seq": seq, **sent, **times, "client_order_id": one} for seq, one in enumerate(orders, 1)]
    (tmp_path / "ledger.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    monkeypatch.setattr(rig_gather, "_stored", lambda _folder, name: stored(name))
    monkeypatch.setattr(rig_gather, "_identity", lambda _folder: ("main", CLUSTER))
    return runner(tmp_path)


def told(found):
    return {check.name: check.violations for check in found.checks}


ORDER = make_id(CLUSTER, 1, 1, 0)
WHY = ("NoTrade: nobody came back",)


def test_a_run_that_broke_off_is_judged_by_what_holds_at_any_moment(tmp_path, monkeypatch):
    played = left(tmp_path, monkeypatch, ORDER, ORDER)
    played.nodes, played.operators = Nodes(), Operators(None, 0)
    played.nodes.ends = [End("n2", "", 1, 5), End("n3", "term", 0, 6)]
    played.operators.lifted = [Lifted("takeover_storm", "r", 7)]
    found = played.failed("played", NoTrade("nobody came back"))
    assert found.checks[0].name == "played"
    wrong = {name: what for name, what in told(found).items() if what}
    assert wrong.keys() == {"played", "intent_first", "one_send", "ended_well"}
    assert wrong["played"] == WHY
    assert wrong["ended_well"] == ("n2 ended with code 1 by itself",)
    assert ORDER in wrong["one_send"][0]
    assert told(found)["audit_trail"] == ()  # what holds is told as well
    assert not {"accounted", "state_equal", "orders_equal", "positions"} & told(found).keys()  # nobody came to rest
    document = one(found)
    assert [check["name"] for check in document["checks"]] == [check.name for check in found.checks]
    assert (len(document["ends"]), [each["index"] for each in document["lifted"]]) == (2, [7])


def test_what_can_not_be_gathered_hides_nothing_of_why_a_run_broke_off(tmp_path, monkeypatch):
    def torn(_folder, _name):
        raise OSError("a table of RocksDB is torn")

    played = left(tmp_path, monkeypatch, ORDER, ORDER)
    monkeypatch.setattr(rig_gather, "_stored", torn)
    found = played.failed("played", NoTrade("nobody came back"))
    assert told(found) == {"played": WHY, "judged": ("OSError: a table of RocksDB is torn",)}
    again = played.failed("judged", OSError("a table of RocksDB is torn"))
    assert told(again) == {"judged": ("OSError: a table of RocksDB is torn",)}
    (tmp_path / "ledger.jsonl").unlink()  # it broke off before anything ran
    assert told(played.failed("played", NoTrade("nobody came back"))) == {"played": WHY}


def test_one_that_can_not_be_judged_to_its_end_is_judged_by_what_holds_at_any_moment(tmp_path, monkeypatch):
    found = left(tmp_path, monkeypatch, ORDER).judged()  # nothing of it was played, so that its own checks raise
    assert found.checks[0].name == "judged"
    assert {"one_send", "audit_trail"} <= told(found).keys()
