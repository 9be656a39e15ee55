"""A node replaced by a new one while the cluster trades: three real nodes, a fourth, and the checkers at the end."""

from __future__ import annotations

import json

import pytest

from chaos.rig import steps
from meltica.config import load
from tests.processes.rig import NODES, UNANSWERED, Cluster, cli, eventually, forgetful, running, wait_for

pytestmark = [pytest.mark.processes, pytest.mark.patient(80)]

NEW = "n4"
MADE = ("learns", "votes", "removed", "done")  # beside what is waited for


@pytest.fixture
def cluster(tmp_path) -> Cluster:
    """Three nodes that trade, of which one goes."""
    with running(tmp_path / "cluster") as found:
        yield found


def started(cluster: Cluster) -> None:
    """The new node: its folder, with ports of this cluster's stride, and its process."""
    own = load(cluster.config("n1")).own
    places = {"--address": own.peer.port + 3, "--api": own.api.port + 3}
    words = [word for option, port in places.items() for word in (option, f"127.0.0.1:{port}")]
    done = cli("cluster", "prepare", str(cluster.folder), NEW, *words)
    assert done.returncode == 0, done.stderr
    cluster.start_node(NEW)


def replaced(cluster: Cluster, old: str) -> list[str]:
    """The steps, as the command tells them; given again where no answer came, as an operator does."""
    steps = []
    while True:
        done = cluster.cli("cluster", "replace", old, "--with", NEW, "--yes", "--reason", "a test", "-o", "json")
        assert done.returncode in (0, *UNANSWERED), done.stdout + done.stderr
        if done.returncode == 0:
            found = json.loads(done.stdout)
            assert found["done"], found
            return steps + [one["step"] for one in found["steps"]]


def active_of(cluster: Cluster, names) -> str | None:
    return next((name for name in names if cluster.own(name).get("active")), None)


def requests(cluster: Cluster) -> int:
    return sum(1 for one in cluster.ledger() if one["type"] == "request" and one["admitted_mono_ns"] is not None)


def trades_on(cluster: Cluster, names) -> None:
    """Somebody of them is active, and the venue lets more of ours through."""
    wait_for("one of those who are left is active", lambda: active_of(cluster, names))
    before = requests(cluster)
    wait_for("orders go on", lambda: requests(cluster) > before + 5)


def judged(cluster: Cluster, names, gone: str) -> None:
    """All stop at one state; then the disks and the venue's ledger are compared.

    The one that is gone is asked for what it had applied when it sent, and for its audit trail: its state is old.
    """
    assert cluster.act("halt", "--cause", "over").returncode == 0

    def at_rest():
        rows = [cluster.quick(name) for name in names]
        assert all(row and row["trading"] == "halted" and row["orders"] == {"open": 0, "in_doubt": 0} for row in rows)
        assert len({row["as_of"]["index"] for row in rows}) == 1

    eventually(at_rest)
    for child in cluster.children.values():
        if child.process.poll() is None:
            child.kill()
    _, found = steps.judged(cluster.folder, names, (gone,))
    assert [(one.name, one.violations) for one in found if not one.held] == []
    done = cli("cluster", "verify", *(str(cluster.data(name)) for name in (*names, gone)), "-o", "json")
    assert done.returncode == 0, done.stdout


def test_a_dead_node_is_replaced_while_the_others_trade_and_the_new_one_does_all_that_it_did(cluster):
    dead = next(name for name in NODES if name != cluster.active())
    left = [name for name in NODES if name != dead]
    cluster.children[dead].kill()
    nobody = cluster.cli("cluster", "replace", dead, "--with", NEW, "--address", "127.0.0.1:1", "--yes")
    assert nobody.returncode == 5
    assert "n4 can't be dialled at 127.0.0.1:1" in nobody.stdout + nobody.stderr
    started(cluster)

    def planned():
        plan = cluster.cli("cluster", "replace", dead, "--with", NEW, "--dry-run", "-o", "json")
        assert plan.returncode == 0, plan.stdout + plan.stderr
        assert json.loads(plan.stdout)["detail"]["plan"][2:] == [f"{dead} is removed, for ever", "n4 votes"]

    eventually(planned)
    steps = replaced(cluster, dead)
    assert [step for step in steps if step in MADE] == ["learns", "removed", "votes", "done"]

    members = json.loads(cluster.cli("cluster", "members", "-o", "json").stdout)
    assert [one["name"] for one in members["members"] if one["part"] == "voter"] == sorted([*left, NEW])
    assert (members["removed"], members["configuration"]) == ([dead], 3)

    def survives():
        done = cluster.cli("cluster", "status", "-o", "json")
        group = json.loads(done.stdout)["group"]
        assert (group["voters"], group["tolerates"]) == (3, 1)
        assert done.returncode == 0, done.stdout

    eventually(survives)
    again = cluster.cli("cluster", "replace", dead, "--with", NEW, "--yes", "-o", "json")
    assert [one["step"] for one in json.loads(again.stdout)["steps"]] == ["done"]
    trades_on(cluster, [*left, NEW])

    def promoted():
        cluster.cli("promote", NEW, "--yes", "--reason", "a test")
        return active_of(cluster, [NEW])

    wait_for("the new node is active", promoted)
    lost = left[0]
    cluster.children[lost].kill()
    trades_on(cluster, [left[1], NEW])
    cluster.start_node(lost)
    judged(cluster, [*left, NEW], dead)


def test_the_active_node_is_replaced_hands_over_first_and_hears_that_it_was_removed(cluster):
    started(cluster)
    old = cluster.active()
    left = [name for name in NODES if name != old]
    steps = replaced(cluster, old)
    assert [step for step in steps if step in MADE] == ["learns", "votes", "removed", "done"]
    trades_on(cluster, [*left, NEW])
    wait_for("the old one knows", lambda: "was removed from this cluster" in (cluster.own(old).get("removed") or ""))
    assert not cluster.own(old)["votes"]
    wait_for("and told whoever reads its log", lambda: cluster.children[old].logged("alert"))
    assert any(line.get("alert") == "NodeRemoved" for line in cluster.children[old].logged("alert"))
    told = cluster.cli("status")
    assert told.returncode == 6
    assert f"! {old} was removed from this cluster, and runs" in told.stdout
    assert cluster.children[old].stop() == 0
    judged(cluster, [*left, NEW], old)


@pytest.fixture
def forgetting(tmp_path) -> Cluster:
    """The same, as it is after years: no log reaches back to the beginning."""
    with forgetful(tmp_path / "cluster") as found:
        yield found


def test_where_no_log_reaches_back_the_new_node_installs_a_snapshot_and_votes(forgetting):
    old = forgetting.promotable()
    left = [name for name in NODES if name != old]
    wait_for("the logs begin behind the first entry", lambda: min(forgetting.base(name) for name in NODES) > 1)
    started(forgetting)
    assert [step for step in replaced(forgetting, old) if step in MADE] == ["learns", "votes", "removed", "done"]
    installed = forgetting.children[NEW].logged("snapshot_installed")
    assert [line["index"] > 1 for line in installed] == [True] * len(installed) != []
    trades_on(forgetting, [*left, NEW])

    with forgetting.http() as client:
        gaps = client.get(f"{forgetting.api(NEW)}/api/v1/audit?limit=1").json()["gaps"]
    found = [(gap["first"], gap["last"]) for gap in gaps][:1]
    assert found == [(2, installed[0]["index"])]  # entry 1 begins every log, and has no command
    judged(forgetting, [*left, NEW], old)
