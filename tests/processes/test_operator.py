"""An operator's path through the command line, against a cluster that trades."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.processes.rig import NODES, Cluster, cli, make_cluster, wait_for
from tests.processes.test_demo import keys_of

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "status-keys.json"
SUBMIT = ("submit", "paper", "BTCUSDT", "buy", "0.001")


def halted(status):
    return status["trading"] == "halted"


def quiet(status):
    return status["orders"] == {"open": 0, "in_doubt": 0}


def resume(cluster: Cluster) -> None:
    """Lift every cause, looking again where one has come meanwhile (a slow machine loses leaders); trading goes on."""

    def lifted() -> bool:
        causes = [one for document in map(cluster.quick, NODES) if document for one in _causes(document)]
        return not causes or cluster.act("resume", "--all").returncode == 0

    cluster.active()
    wait_for("no cause is left", lifted)
    cluster.until_trading()


def _causes(status):
    return [*status["risk"]["halts"], *status["risk"]["reduces"]]


def test_status_tells_who_leads_who_trades_and_that_all_agree(cluster):
    cluster.promotable()
    status = cluster.status()
    assert status["schema"] == "meltica.status/1"
    assert (status["trading"], status["mode"]) == ("running", "automatic")
    assert status["active"] in NODES
    assert [row["name"] for row in status["nodes"] if row["active"]] == [status["active"]]
    leader = next(row for row in status["nodes"] if row["active"])
    assert (leader["role"], leader["term"]) == ("leader", status["epoch"])
    assert all(row["reachable"] and row["applied_index"] > 0 for row in status["nodes"])
    assert status["venues"][0]["connected"]
    assert status["orders"]["open"] > 0


def test_status_has_the_shape_that_was_promised(cluster):
    """Every key of contracts.md section 3, and ours beside them, pinned."""
    wait_for("a position", lambda: (cluster.quick(cluster.active()) or {}).get("positions"), 30)
    status = cluster.status()
    status["positions"] = [{**row, "unrealised": row["unrealised"] or "", "mark": ""} for row in status["positions"]]
    for row in status["positions"]:
        row["fees"] = {}
    for row in status["nodes"]:
        row["why_not"] = ""
    assert keys_of(status) == json.loads(GOLDEN.read_text())


def test_the_tables_are_for_people(cluster):
    for words, heads in (
        (("status",), ("RUNNING", "active", "promotable", "positions:")),
        (("orders",), ("id", "strategy", "price", "state")),
        (("positions",), ("symbol", "quantity", "realised")),
        (("fills",), ("trade_id", "price", "fee")),
        (("audit",), ("kind", "index")),
    ):
        done = cluster.cli(*words)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        assert all(head in done.stdout for head in heads), f"{words}: {done.stdout}"


def test_fills_and_audit_are_read_from_one_to_the_next(cluster):
    wait_for("a fill", lambda: any(r["type"] == "fill" and r["account"] == "trader" for r in cluster.ledger()), 30)
    first = json.loads(cluster.cli("audit", "--limit", "5", "-o", "json").stdout)
    after = first["next_after"]
    second = json.loads(cluster.cli("audit", "--after", str(after), "--limit", "5", "-o", "json").stdout)
    seen = [row["seq"] for row in (*first["audit"], *second["audit"])]
    assert seen == sorted(seen)
    assert second["audit"][0]["seq"] > after
    fills = json.loads(cluster.cli("fills", "-o", "json").stdout)["fills"]
    ours = {r["trade_id"] for r in cluster.ledger() if r["type"] == "fill" and r["account"] == "trader"}
    assert fills
    assert {row["trade_id"] for row in fills} <= ours
    assert len({(row["symbol"], row["trade_id"]) for row in fills}) == len(fills)


def test_a_halt_takes_the_quotes_away_refuses_orders_and_outlives_the_leader(cluster):
    """Rule 6: no failover relaxes it; only `resume`, naming what the operator saw."""
    done = cluster.act("halt", "--cause", "drill", reason="rehearsal")
    assert done.returncode == 0, done.stderr
    cluster.until("every node halted and every quote gone", lambda s: halted(s) and quiet(s))
    refused = cluster.act(*SUBMIT)
    assert refused.returncode == 5
    assert "halt" in refused.stderr

    seen = cluster.status()
    leader = cluster.active()
    cluster.children[leader].kill()
    following = cluster.active()
    assert following != leader
    degraded = cluster.cli("status")
    assert degraded.returncode == 6
    assert f"! {leader} does not answer" in degraded.stdout
    cluster.start_node(leader)
    cluster.until("still halted, everywhere", lambda s: halted(s) and s["epoch"] > seen["epoch"])
    assert "drill" in [one["cause"] for one in cluster.status()["risk"]["halts"]]
    assert cluster.act(*SUBMIT).returncode == 5

    index = cluster.status()["risk"]["index"]
    wrong = cluster.act("resume", "--cause", "drill", "--risk-index", str(index + 1))
    assert wrong.returncode == 5
    assert "risk" in wrong.stderr
    assert halted(cluster.status())
    right = cluster.act("resume", "--cause", "drill", "--risk-index", str(index))
    assert right.returncode == 0, right.stderr
    assert "drill" not in [one["cause"] for one in cluster.status()["risk"]["halts"]]
    resume(cluster)


def test_a_request_id_makes_a_repetition_safe(cluster):
    first = cluster.act("halt", "--cause", "once", "--request-id", "same-1")
    again = cluster.act("halt", "--cause", "once", "--request-id", "same-1", "-o", "json")
    assert (first.returncode, again.returncode) == (0, 0)
    assert json.loads(again.stdout)["detail"]["duplicate"] is True
    assert [one["cause"] for one in cluster.status()["risk"]["halts"]].count("once") == 1
    resume(cluster)


def test_reducing_lets_positions_only_shrink(cluster):
    assert cluster.act("reduce", "--cause", "tight").returncode == 0
    cluster.until("reducing everywhere", lambda s: s["trading"] == "reducing")
    grow = cluster.act("submit", "paper", "BTCUSDT", "buy", "0.001", "--price", "100")
    assert grow.returncode == 5, grow.stdout
    resume(cluster)


def test_a_kill_leaves_no_order_of_ours(cluster):
    done = cluster.act("kill", "--cause", "enough")
    assert done.returncode == 0, done.stderr
    cluster.until("halted and nothing open", lambda s: halted(s) and quiet(s) and s["risk"]["killed"])
    shown = {}
    for record in cluster.ledger():
        if record["type"] == "order" and record["account"] == "trader":
            shown[record["symbol"], record["order_id"]] = record["status"]
    assert shown
    assert not {status for status in shown.values() if status in ("NEW", "PARTIALLY_FILLED")}
    resume(cluster)


def test_an_order_by_hand_passes_the_same_limits(cluster):
    taken = cluster.act(*SUBMIT, "-o", "json")
    assert taken.returncode == 0, taken.stderr
    order = json.loads(taken.stdout)["detail"]["order"]
    wait_for("its fill", lambda: order in cluster.cli("fills", "--limit", "10000", "-o", "json").stdout, 20)
    huge = cluster.act("submit", "paper", "BTCUSDT", "buy", "5")
    assert huge.returncode == 5
    assert "order_notional" in huge.stderr


def test_promote_is_tried_then_done(cluster):
    active, to = cluster.active(), cluster.promotable()
    epoch = cluster.status()["epoch"]
    tried = cluster.cli("promote", to, "--dry-run", "--reason", "rehearsal")
    assert tried.returncode == 0, tried.stderr
    assert f"{active} would hand over to {to}" in tried.stdout
    late = cluster.act("promote", to, "--epoch", str(epoch - 1))
    assert late.returncode == 5
    assert cluster.active() == active
    done = cluster.act("promote", to)
    assert done.returncode == 0, done.stderr
    wait_for(f"{to} is active", lambda: cluster.own(to).get("active"))
    assert cluster.act("promote", to).returncode == 5
    resume(cluster)


def test_manual_mode_waits_for_a_person(cluster):
    assert cluster.act("mode", "manual").returncode == 0
    leader = cluster.active()
    cluster.children[leader].kill()
    others = [name for name in NODES if name != leader]
    waits = wait_for("a new leader that waits", lambda: next((n for n in others if _waits(cluster, n)), None), 20)
    shown = cluster.cli("status")
    assert shown.returncode == 6
    assert "nobody trades" in shown.stdout
    promoted = cluster.act("promote")
    assert promoted.returncode == 0, promoted.stderr
    assert cluster.active() == waits
    cluster.start_node(leader)
    assert cluster.act("mode", "automatic").returncode == 0
    resume(cluster)


def _waits(cluster, name):
    return (cluster.quick(name) or {}).get("waiting")


def test_acting_needs_a_confirmation_and_the_operators_token(cluster, tmp_path):
    unasked = cluster.cli("halt", "--reason", "no terminal here")
    assert unasked.returncode == 2
    assert "--yes" in unasked.stderr
    text = (cluster.folder / "cluster.toml").read_text().replace('"tokens/operator"', '"tokens/viewer"')
    for name in ("pki", "tokens"):
        (tmp_path / name).symlink_to(cluster.folder / name)
    (tmp_path / "cluster.toml").write_text(text)
    viewer = cli("halt", "--yes", "--reason", "a viewer", cluster=tmp_path)
    assert viewer.returncode == 4
    assert "operator" not in [one["cause"] for one in cluster.status()["risk"]["halts"]]


def test_nobody_there_is_said_so(tmp_path):
    folder = make_cluster(tmp_path / "idle").folder
    done = cli("status", cluster=folder)
    assert done.returncode == 3
    assert "next:" in done.stderr
    assert cli("halt", "--yes", "--reason", "x", cluster=folder).returncode == 3


def test_where_is_the_cluster(tmp_path):
    assert cli("status").returncode == 2
    assert cli("status", cluster=tmp_path).returncode == 2
