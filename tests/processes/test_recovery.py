"""Two of three nodes lost for good under load: a new cluster out of the third's folder, halted, then trading again."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from attrs import evolve

from chaos.checkers.accounted import accounted
from chaos.checkers.audit_trail import audit_trail
from chaos.checkers.every_fill_once import every_fill_once
from chaos.checkers.halt_survives import halt_survives
from chaos.checkers.history import History, named
from chaos.checkers.intent_first import intent_first
from chaos.checkers.one_send import one_send
from chaos.checkers.one_trader import one_trader
from chaos.checkers.orders_equal import orders_equal
from chaos.checkers.positions import positions
from chaos.checkers.state_equal import state_equal
from chaos.rig.gather import gather
from chaos.rig.processes import meltica
from meltica.paper.signing import sign
from tests.processes.rig import NODES, WITHIN_S, Cluster, cli, environment, eventually, running, wait_for

pytestmark = [pytest.mark.processes, pytest.mark.patient(35)]

AWAY_S = 2.0  # for so long the others trade on without the survivor
NAME = "test"
HELD = (every_fill_once, positions, state_equal, audit_trail, halt_survives)  # of both lives at once


@pytest.fixture
def cluster(tmp_path) -> Cluster:
    with running(tmp_path / "cluster") as found:
        yield found


class Venue:
    """The venue's own page, by which a person cancels what no log knows."""

    def __init__(self, cluster: Cluster) -> None:
        secrets, text = cluster.folder / "secrets", (cluster.folder / "paper.toml").read_text()
        self._url = "http://{}/api/v3".format(*re.findall(r'listen = "(.*)"', text))
        self._key = (secrets / "trader.key").read_text().strip()
        self._secret = (secrets / "trader.secret").read_text().strip()

    def _signed(self, method: str, path: str, **params: Any) -> Any:
        query = "&".join(f"{key}={value}" for key, value in {**params, "timestamp": time.time_ns() // 10**6}.items())
        url = f"{self._url}{path}?{query}&signature={sign(self._secret, query)}"
        answer = httpx.request(method, url, headers={"X-MBX-APIKEY": self._key}, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def open(self) -> list[dict[str, Any]]:
        return list(self._signed("GET", "/openOrders"))

    def cancel(self, order: dict[str, Any]) -> None:
        self._signed("DELETE", "/order", symbol=order["symbol"], orderId=order["orderId"])


def lose_two(cluster: Cluster, *, away: bool) -> str:
    """Kill all, and delete the data of two; `away`: these have traded on without the third.  Returns its name."""
    survivor = cluster.promotable()
    lost = [name for name in NODES if name != survivor]
    if away:
        cluster.children[survivor].kill()
        cluster.active()
        time.sleep(AWAY_S)
    for name in lost:
        cluster.children[name].process.kill()
    for name in lost:
        cluster.children[name].ended()
        shutil.rmtree(cluster.data(name))
    if not away:
        cluster.children[survivor].kill()
    return survivor


def words(cluster: Cluster, survivor: str, out: Path) -> list[str]:
    config, data = str(cluster.config(survivor)), str(cluster.data(survivor))
    return ["cluster", "recover", data, "--config", config, "--to", str(out), "--reason", "two burned"]


def killed_on_the_way(cluster: Cluster, survivor: str, out: Path) -> None:
    """A recovery that is killed leaves nothing that could be started."""
    command = meltica(*words(cluster, survivor, out), "--yes-i-know", NAME)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment())  # noqa: S603 - our own
    with process:
        assert process.stderr is not None
        for line in process.stderr:
            if b"copying the folder for n2" in line:
                process.kill()
                break
    assert process.returncode == -9
    assert not out.exists()
    again = cli(*words(cluster, survivor, out), "--yes-i-know", NAME)
    assert again.returncode == 5
    assert "an earlier recovery was interrupted" in again.stderr
    shutil.rmtree(out.parent / f".{out.name}.unfinished")


def put_in_place(cluster: Cluster, out: Path, new: str) -> None:
    """As the command's last words say."""
    for path in [*map(cluster.config, NODES), cluster.folder / "cluster.toml"]:
        path.write_text(
            re.sub(r'^(cluster|id) = "[0-9a-f]{6}"', rf'\1 = "{new}"', path.read_text(), flags=re.MULTILINE)
        )
    for name in NODES:
        if cluster.data(name).exists():
            cluster.data(name).rename(cluster.data(name).with_name("data.lost"))
        shutil.copytree(out / name, cluster.data(name))


def requests(cluster: Cluster, new: str) -> list[dict[str, Any]]:
    return [
        one for one in cluster.ledger() if one["type"] == "request" and str(one.get("client_order_id")).startswith(new)
    ]


@pytest.mark.parametrize("away", [False, True], ids=["together", "the survivor was away"])
def test_a_cluster_is_founded_out_of_the_one_that_is_left_and_trades_again(cluster, tmp_path, away):
    survivor = lose_two(cluster, away=away)
    out = tmp_path / "recovered"
    if away:
        killed_on_the_way(cluster, survivor, out)
    done = cli(*words(cluster, survivor, out), "--yes-i-know", NAME, "-o", "json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    old, new = document["from"]["cluster"], document["cluster"]["cluster"]
    put_in_place(cluster, out, new)
    cluster.start_nodes()

    def waits():
        status = cluster.status()
        assert (status["cluster"], status["trading"], status["mode"]) == (new, "halted", "manual")
        assert "cluster_recovered" in [one["cause"] for one in status["risk"]["halts"]]
        assert any((cluster.quick(name) or {}).get("waiting") for name in NODES)
        assert status["orders"] == {"open": 0, "in_doubt": 0}, "what the log knew was cancelled, or never was"

    eventually(waits, 2 * WITHIN_S)
    strays = Venue(cluster).open()
    assert all(one["clientOrderId"].startswith(old) for one in strays)
    for stray in strays:
        Venue(cluster).cancel(stray)
    assert all("cancel" in one["method"] for one in requests(cluster, new)), "halted: nothing was placed"

    def resumed():
        assert cluster.act("resume", "--all", reason="compared with the venue").returncode == 0

    eventually(resumed)
    assert cluster.act("mode", "automatic", reason="back to normal").returncode == 0
    cluster.until_trading()
    wait_for("orders of the new cluster are filled", lambda: filled(cluster, new))
    end(cluster)
    judge(gather(cluster.folder, NODES), old, new, away=away)


def filled(cluster: Cluster, new: str) -> bool:
    return any(one["type"] == "fill" and one["client_order_id"].startswith(new) for one in cluster.ledger())


def end(cluster: Cluster) -> None:
    """Halted, quiet, stopped: so that what is left is compared at rest."""
    assert cluster.act("halt", "--cause", "end").returncode == 0
    cluster.until("quiet", lambda status: status["orders"] == {"open": 0, "in_doubt": 0})
    wait_for("all have the same state at one index", lambda: equal(cluster))
    for name in NODES:
        assert cluster.children[name].stop() == 0


def equal(cluster: Cluster) -> bool:
    rows = [cluster.own(name) for name in NODES]
    return all(rows) and len({(row["digest_index"], row["state_digest"]) for row in rows}) == 1


def of(history: History, cluster: str, known: set[str]) -> History:
    """The part of one cluster's name that the log knows: what the lost nodes alone knew is stated, and not judged."""
    return evolve(
        history,
        cluster=cluster,
        requests=tuple(
            one for one in history.requests if one.client_order_id in known and named(one.client_order_id, cluster)
        ),
        fills=tuple(
            one for one in history.fills if one.client_order_id in known and named(one.client_order_id, cluster)
        ),
        orders=tuple(one for one in history.orders if one.placed_as in known and named(one.placed_as, cluster)),
    )


def judge(history: History, old: str, new: str, *, away: bool) -> None:
    ours = evolve(history, requests=tuple(one for one in history.requests if one.node))  # not the person's own
    known = {intent for record in history.nodes[0].audit for intent in record.intents}
    lost = {one.client_order_id for one in ours.requests} - known
    assert all(name.startswith(old) for name in lost)
    assert not away or lost, "the lost nodes sent what the survivor never knew"
    last_old = max(one.admitted_ns or 0 for one in ours.requests if one.client_order_id.startswith(old))
    first_new = min(one.admitted_ns for one in ours.requests if one.client_order_id.startswith(new) and one.admitted_ns)
    assert last_old < first_new
    checks = [check(ours) for check in (one_send, *HELD)]
    for name in (old, new):
        part = of(ours, name, known)
        checks += [one_trader(part), intent_first(evolve(part, orders=ours.orders)), orders_equal(part)]
        checks.append(accounted(evolve(part, requests=ours.requests)))
    assert [(check.name, check.violations) for check in checks if check.violations] == []
    assert all(check.looked_at for check in checks)
