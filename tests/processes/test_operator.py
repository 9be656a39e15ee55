"""An operator's path through the command line, against a cluster that trades."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from tests.processes.rig import NODES, cli, environment, eventually, frozen, made_cluster, wait_for
from tests.shapes import keys_of

pytestmark = [pytest.mark.processes, pytest.mark.patient(110)]

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "status-keys.json"
SUBMIT = ("submit", "paper", "BTCUSDT", "buy", "0.001")


def halted(status):
    return status["trading"] == "halted"


def quiet(status):
    return status["orders"] == {"open": 0, "in_doubt": 0}


@pytest.fixture(autouse=True)
def settled(request):
    """Each test of the cluster begins with one that trades, whatever an earlier one, or a slow machine, left."""
    if "cluster" in request.fixturenames:
        request.getfixturevalue("cluster").settle()


def causes(status):
    return [one["cause"] for one in (*status["risk"]["halts"], *status["risk"]["reduces"])]


def test_status_tells_who_leads_who_trades_and_that_all_agree(cluster):
    def check():
        status = cluster.status()
        assert status["schema"] == "meltica.status/1"
        assert (status["trading"], status["mode"]) == ("running", "automatic")
        assert status["active"] in NODES
        assert [row["name"] for row in status["nodes"] if row["active"]] == [status["active"]]
        leader = next(row for row in status["nodes"] if row["active"])
        assert (leader["role"], leader["term"]) == ("leader", status["epoch"])
        assert all(row["reachable"] and row["applied_index"] > 0 for row in status["nodes"])
        assert any(row["promotable"] for row in status["nodes"] if not row["active"])
        assert status["venues"][0]["connected"]
        assert status["orders"]["open"] > 0

    cluster.undisturbed(lambda: eventually(check))


def test_status_has_the_shape_that_was_promised(cluster):
    """Every key of contracts.md section 3, and ours beside them, pinned."""

    def check():
        status = cluster.status()
        assert status["positions"]
        rows = status["positions"]
        status["positions"] = [{**row, "unrealised": row["unrealised"] or "", "mark": "", "fees": {}} for row in rows]
        for row in status["nodes"]:
            row["why_not"] = ""
        status["oldest_doubt_s"] = None
        assert status["in_force"]["[limits] order_notional"]
        status["in_force"] = {}
        for row in status["openings"]:
            row["balances"] = {}
        for member in status["group"]["nodes"]:
            member["heard_ms"] = 0  # None of the leader itself
        assert keys_of(status) == json.loads(GOLDEN.read_text())

    eventually(check)


@pytest.mark.parametrize(
    ("words", "heads"),
    [
        (("status",), ("RUNNING", "active", "promotable", "positions:")),
        (("orders",), ("id", "strategy", "price", "state")),
        (("positions",), ("symbol", "quantity", "realised")),
        (("fills",), ("trade_id", "price", "fee")),
        (("audit",), ("kind", "index")),
    ],
)
def test_the_tables_are_for_people(cluster, words, heads):
    def check():
        done = cluster.cli(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        assert all(head in done.stdout for head in heads), done.stdout

    eventually(check)


def test_fills_and_audit_are_read_from_one_to_the_next(cluster):
    def ours():
        return {r["trade_id"] for r in cluster.ledger() if r["type"] == "fill" and r["account"] == "trader"}

    wait_for("a fill", ours)
    first = json.loads(cluster.cli("audit", "--limit", "5", "-o", "json").stdout)
    after = first["next_after"]
    second = json.loads(cluster.cli("audit", "--after", str(after), "--limit", "5", "-o", "json").stdout)
    seen = [row["seq"] for row in (*first["audit"], *second["audit"])]
    assert seen == sorted(seen)
    assert second["audit"][0]["seq"] > after
    fills = wait_for("a fill that a node tells", lambda: json.loads(cluster.cli("fills", "-o", "json").stdout)["fills"])
    wait_for("each in the venue's ledger", lambda: {row["trade_id"] for row in fills} <= ours())
    assert len({(row["symbol"], row["trade_id"]) for row in fills}) == len(fills)


def test_a_halt_takes_the_quotes_away_refuses_orders_and_outlives_the_leader(cluster):
    """Rule 6: no failover relaxes it; only `resume`, naming what the operator saw."""
    done = cluster.act("halt", "--cause", "drill", reason="rehearsal")
    assert done.returncode == 0, done.stderr
    cluster.until("every node halted and every quote gone", lambda s: "drill" in causes(s) and halted(s) and quiet(s))
    refused = cluster.act(*SUBMIT)
    assert refused.returncode == 5
    assert "halt" in refused.stderr

    leader = cluster.active()
    epoch = cluster.quick(leader)["epoch"]
    cluster.children[leader].kill()
    assert cluster.active() != leader
    degraded = cluster.cli("status")
    assert degraded.returncode == 6
    assert f"! {leader} does not answer" in degraded.stdout
    cluster.start_node(leader)
    cluster.until(
        "still halted, everywhere", lambda s: halted(s) and "drill" in causes(s) and s["epoch"] > epoch and quiet(s)
    )
    cluster.active()
    refused = cluster.act(*SUBMIT)
    assert refused.returncode == 5
    assert "halt" in refused.stderr


def test_a_halt_is_lifted_by_naming_the_risk_index_that_was_seen(cluster):
    def step():
        assert cluster.act("halt", "--cause", "seen").returncode == 0
        index = cluster.status()["risk"]["index"]
        wrong = cluster.act("resume", "--cause", "seen", "--risk-index", str(index + 1))
        assert wrong.returncode == 5
        assert "risk" in wrong.stderr
        assert halted(cluster.status())
        right = cluster.act("resume", "--cause", "seen", "--risk-index", str(index))
        assert right.returncode == 0, right.stderr
        assert "seen" not in causes(cluster.status())

    cluster.undisturbed(step)


def test_a_request_id_makes_a_repetition_safe(cluster):
    first = cluster.act("halt", "--cause", "once", request="same-1")
    again = cluster.act("halt", "--cause", "once", "-o", "json", request="same-1")
    assert (first.returncode, again.returncode) == (0, 0)
    assert json.loads(again.stdout)["detail"]["duplicate"] is True
    cluster.until("one halt", lambda s: causes(s).count("once") == 1)


def test_reducing_lets_positions_only_shrink(cluster):
    def step():
        wait_for("a position", lambda: cluster.status()["positions"])
        assert cluster.act("reduce", "--cause", "tight").returncode == 0
        cluster.until("reducing everywhere", lambda s: s["trading"] == "reducing")
        (position,) = [p for p in cluster.status()["positions"] if p["symbol"] == "BTCUSDT"]
        side = "buy" if Decimal(position["quantity"]) >= 0 else "sell"  # it shrinks meanwhile, and never turns over
        grow = cluster.act("submit", "paper", "BTCUSDT", side, "0.001")
        assert grow.returncode == 5, grow.stdout
        assert "reduc" in grow.stderr, grow.stderr

    cluster.undisturbed(step)


def test_a_kill_leaves_no_order_of_ours(cluster):
    done = cluster.act("kill", "--cause", "enough")
    assert done.returncode == 0, done.stderr
    cluster.until("halted and nothing open", lambda s: halted(s) and quiet(s) and s["risk"]["killed"])

    def check():
        shown = {}
        for record in cluster.ledger():
            if record["type"] == "order" and record["account"] == "trader":
                shown[record["symbol"], record["order_id"]] = record["status"]
        assert shown
        assert not {status for status in shown.values() if status in ("NEW", "PARTIALLY_FILLED")}

    eventually(check)


def test_an_order_by_hand_passes_the_same_limits(cluster):
    def step():
        taken = cluster.act(*SUBMIT, "-o", "json")
        assert taken.returncode == 0, taken.stderr
        order = json.loads(taken.stdout)["detail"]["order"]
        wait_for("its fill", lambda: order in cluster.cli("fills", "--limit", "100000", "-o", "json").stdout)
        huge = cluster.act("submit", "paper", "BTCUSDT", "buy", "5")
        assert huge.returncode == 5
        assert "order_notional" in huge.stderr

    cluster.undisturbed(step)


def test_promote_is_tried_then_done(cluster):
    def tried():
        active, to = cluster.active(), cluster.promotable()
        epoch = cluster.quick(active)["epoch"]
        dry = cluster.cli("promote", to, "--dry-run", "--reason", "rehearsal")
        assert dry.returncode == 0, dry.stderr
        assert f"{active} would hand over to {to}" in dry.stdout
        late = cluster.cli("promote", to, "--epoch", str(epoch - 1), "--yes", "--reason", "too late")
        assert late.returncode == 5
        assert cluster.active() == active
        assert json.loads(cluster.cli("promote", to, "--dry-run", "-o", "json").stdout)["detail"]["to"] == to

    def done():
        to = cluster.promotable()
        first = cluster.cli("promote", to, "--yes", "--reason", "a test")
        assert first.returncode == 0, first.stderr
        wait_for(f"{to} is active", lambda: cluster.own(to).get("active"))
        second = cluster.cli("promote", to, "--yes", "--reason", "a test")
        assert second.returncode == 5, second.stdout

    cluster.undisturbed(tried)
    cluster.undisturbed(done, own=1)


def test_a_frozen_node_is_not_promoted_and_the_group_survives_no_other_loss(cluster):
    def step():
        name = cluster.promotable()
        with frozen(cluster, [name]):
            # The leader answers at once, the frozen node not within 3 s: the first look may still say what was before.
            said = "one more lost node stops trading"
            wait_for("the leader's word of the loss", lambda: said in _degraded(cluster, name))
            for more in (("--dry-run",), ("--yes", "--reason", "a test")):
                refused = cluster.cli("promote", name, *more)
                assert refused.returncode == 5, refused.stderr
                assert f"{name} is not promotable: " in refused.stderr
        wait_for("all three take part", lambda: cluster.cli("cluster", "status").returncode == 0)

    cluster.undisturbed(step)


def test_certificates_rotate_without_a_restart(cluster):
    """A standby that comes back then meets the others' new ones, and shows its own."""

    def members():
        return json.loads(cluster.cli("cluster", "members", "-o", "json").stdout)

    def step():
        old = {one["name"]: one["certificate"]["sha256"] for one in members()["members"]}
        assert cluster.cli("cluster", "rotate", str(cluster.folder), "--yes").returncode == 0

        def used():
            found = members()
            rows = found["members"]
            new = [one["certificate"] and one["certificate"]["sha256"] != old[one["name"]] for one in rows]
            return all(new) and not found["warnings"]

        wait_for("every node uses its new certificate", used)
        name = cluster.promotable()
        cluster.children[name].kill()
        cluster.start_node(name)
        wait_for("all three take part", lambda: cluster.cli("cluster", "status").returncode == 0)

    cluster.undisturbed(step)


def _degraded(cluster, name):
    done = cluster.cli("cluster", "status")
    return done.stdout if done.returncode == 6 and f"! {name} does not answer" in done.stdout else ""


def test_manual_mode_waits_for_a_person(cluster):
    def step():
        assert cluster.act("mode", "manual").returncode == 0
        leader = cluster.active()
        cluster.children[leader].kill()
        others = [name for name in NODES if name != leader]
        waits = wait_for("a new leader that waits", lambda: next((n for n in others if _waits(cluster, n)), None))
        shown = cluster.cli("status")
        assert shown.returncode == 6
        assert "nobody trades" in shown.stdout
        promoted = cluster.cli("promote", "--yes", "--reason", "a test")
        assert promoted.returncode == 0, promoted.stderr
        assert cluster.active() == waits

    cluster.undisturbed(step, own=1)


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
    with made_cluster(tmp_path / "idle") as idle:
        done = idle.cli("status")
        assert done.returncode == 3
        assert "next:" in done.stderr
        assert idle.cli("halt", "--yes", "--reason", "x").returncode == 3


def test_where_is_the_cluster(tmp_path):
    assert cli("status").returncode == 2
    assert cli("status", cluster=tmp_path).returncode == 2


def test_chaos_that_is_pointed_at_it_does_what_it_can_reach_and_judges_it_and_it_trades_on(cluster, tmp_path):
    """No proxies and no processes: operators alone, on real nodes and a real exchange."""
    paper = tomllib.loads((cluster.folder / "paper.toml").read_text())
    file = tmp_path / "chaos.toml"
    file.write_text(
        f'cluster = "{cluster.folder}"\n'
        '[orders]\nvenue = "paper"\nsymbol = "BTCUSDT"\nquantity = "0.0002"\n'
        f'[paper]\napi = "http://{paper["listen"]}"\naccount = "{paper["accounts"][0]["name"]}"\n'
    )
    words = ("run", "commands-and-kills", "--seed", "1", "--slower", "4", "--cluster", str(file), "-o", "json")
    done = subprocess.run(  # noqa: S603 - our own command line
        [sys.executable, "-m", "chaos", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
        stdin=subprocess.DEVNULL,
        env=environment(),
    )
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    wrong = [one for one in found["checks"] if not one["held"] and one["name"] != "gap"]  # which is for a quiet machine
    assert not wrong, f"{json.dumps(found, indent=1)}\n{done.stderr}"
    assert {one["kind"] for one in found["faults"]} == {"cancel", "halt", "promote"}
    assert {one["kind"] for one in found["left_out"]["faults"]} == {"kill"}
    looked = {one["name"] for one in found["checks"]}
    assert looked >= {"cancelled", "halt_kept", "acknowledged", "denied", "trails_equal", "left_as_found"}
    assert looked >= {"one_trader", "one_send", "every_fill_once", "orders_equal", "ledger_whole", "recovered"}
    assert not looked & {one["name"] for one in found["left_out"]["checks"]}
    cluster.until_trading()
    assert cluster.status()["trading"] == "running"


def test_a_strategy_is_stopped_by_hand_and_nothing_but_a_start_lets_it_run(cluster):
    def maker():
        rows = json.loads(cluster.cli("strategies", "-o", "json").stdout)["strategies"]
        return next(one for one in rows if one["id"] == "maker")

    assert cluster.act("stop", "maker", reason="it quotes too wide").returncode == 0
    try:
        wait_for("its orders are gone", lambda: maker()["orders"] == 0)
        assert (maker()["running"], "it quotes too wide" in maker()["stopped"]) == (False, True)
        assert maker()["stopped"].startswith("by operator:")
        told = cluster.cli("status")
        assert told.returncode == 6
        assert "maker is stopped: by operator:" in " ".join(told.stdout.split())
        assert cluster.act("stop", "maker").returncode == 5
    finally:
        assert cluster.act("start", "maker").returncode == 0
    wait_for("it quotes again", lambda: maker()["running"] and maker()["orders"] > 0)
