"""Metrics: named as the conventions want, bounded, a registry a node, and moved by the observer alone."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from meltica.core.events import OrderEventKind
from meltica.core.values import Trading
from meltica.telemetry.metrics import Metrics
from meltica.telemetry.observer import GATE_REASONS, NodeObserver

ROOT = Path(__file__).resolve().parents[3]
ASKED = (
    "build_info",
    "raft_role",
    "raft_term",
    "epoch",
    "active",
    "log_last_index",
    "log_committed_index",
    "log_applied_index",
    "commit_seconds",
    "fsync_seconds",
    "failover_phase_seconds",
    "tick_to_send_seconds",
    "acknowledgement_seconds",
    "lapses_total",
    "orders_total",
    "in_doubt",
    "position_base",
    "realised_pnl_quote",
    "unrealised_pnl_quote",
    "stream_last_event_timestamp_seconds",
    "gate_open",
    "gate_shut_reason",
    "takeovers_total",
    "reconnects_total",
)
SYMBOLS = frozenset({("paper", "BTCUSDT"), ("paper", "ETHUSDT")})


@pytest.fixture
def metrics():
    return Metrics(node="n1", version="0.1.0", cluster="demo", venues=["paper"], peers=["n2", "n3"])


@pytest.fixture
def observer(metrics):
    return NodeObserver(metrics, SYMBOLS)


def samples(metrics):
    families = text_string_to_metric_families(metrics.text().decode())
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


def value(metrics, name, **labels):
    return samples(metrics)[(f"meltica_{name}", tuple(sorted(labels.items())))]


def test_names_and_units_follow_the_conventions(metrics):
    text = metrics.text().decode()
    names = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    assert len(names) > 30
    for name, kind in names:
        assert name.startswith("meltica_")
        assert not re.search(r"_(ms|us|ns|millis|minutes|age|percent)\b", name)
        assert (kind == "counter") == name.endswith("_total")
    assert "_created" not in text
    assert all(line.endswith(".") for line in re.findall(r"^# HELP \S+ (.*)$", text, re.MULTILINE))


def test_everything_that_the_issue_asks_for_is_exported(metrics):
    text = metrics.text().decode()
    for name in ASKED:
        assert f"# TYPE meltica_{name} " in text, name


def exported(metrics):
    """Their names, also of those that have no sample yet."""
    return set(re.findall(r"^# TYPE (\S+)", metrics.text().decode(), re.MULTILINE))


def named_in(text):
    """The metrics that a text names."""
    return set(re.findall(r"\bmeltica_[a-z_]+", text))


def test_each_metric_that_a_page_for_operators_names_is_exported(metrics):
    pages = [ROOT / "README.md", *(ROOT / "runbooks").glob("*.md")]
    named = set().union(*(named_in(page.read_text()) for page in pages))
    assert len(named) > 10
    assert named <= exported(metrics)


def test_a_metric_that_there_is_not_is_noticed(metrics):
    text = 'look at `meltica_active` and `meltica_moon_phase{side="far"}`, not at meltica-chaos'
    assert named_in(text) - exported(metrics) == {"meltica_moon_phase"}


def test_known_label_values_exist_from_the_start(metrics):
    """So that a rate sees the first event, and an alert has a series to look at."""
    assert value(metrics, "orders_total", outcome="rejected") == 0
    assert value(metrics, "takeovers_total", kind="promote") == 0
    assert value(metrics, "peer_connected", peer="n2") == 0
    assert value(metrics, "failover_phase_seconds_count", phase="elected") == 0


def test_two_nodes_in_one_process_do_not_mix(metrics):
    other = Metrics(node="n2", version="0.1.0", cluster="demo", venues=[], peers=[])
    NodeObserver(other).epoch(9, active=True)
    assert value(metrics, "epoch") == 0
    assert value(other, "epoch") == 9


def test_one_role_one_trading_state_and_one_reason_hold_at_a_time(metrics, observer):
    observer.role("candidate", 3)
    observer.role("leader", 4)
    observer.trading(Trading.HALTED)
    observer.gate(open=False, reason="halted")
    assert [value(metrics, "raft_role", role=word) for word in Metrics.ROLES] == [0, 0, 1]
    assert value(metrics, "raft_term") == 4
    assert value(metrics, "trading_state", state="halted") == 1
    assert value(metrics, "gate_shut_reason", reason="halted") == 1
    observer.gate(open=False, reason="what nobody thought of")
    assert value(metrics, "gate_shut_reason", reason="halted") == 0
    assert value(metrics, "gate_shut_reason", reason="other") == 1
    observer.gate(open=True)
    assert value(metrics, "gate_open") == 1
    assert sum(value(metrics, "gate_shut_reason", reason=one) for one in (*GATE_REASONS, "other")) == 0


def test_durations_are_seconds(metrics, observer):
    for measure, name in (
        (observer.commit_latency, "commit_seconds"),
        (observer.fsync, "fsync_seconds"),
        (observer.tick_to_send, "tick_to_send_seconds"),
        (observer.acknowledged, "acknowledgement_seconds"),
        (observer.sent, "propose_to_send_seconds"),
    ):
        measure(2_500_000)
        assert value(metrics, f"{name}_sum") == 0.0025
    observer.phase("elected", 400_000_000)
    assert value(metrics, "failover_phase_seconds_sum", phase="elected") == 0.4


def test_every_word_of_the_core_is_a_known_outcome(metrics, observer):
    for kind in OrderEventKind:
        observer.order_outcome(kind)
    assert value(metrics, "orders_total", outcome="other") == 0


def test_labels_stay_bounded_whatever_is_said(metrics, observer):
    before = len(samples(metrics))
    for place in range(50):
        observer.order_outcome(f"word-{place}")
        observer.gate(open=False, reason=f"reason-{place}")
        observer.takeover(f"kind-{place}")
        observer.phase(f"phase-{place}", 1)
        observer.discrepancy(f"kind-{place}")
        observer.reconnected("paper", f"channel-{place}")
        observer.position("paper", f"S{place}", quantity=Decimal(1), realised=Decimal(0), unrealised=None)
    assert len(samples(metrics)) <= before + 30
    assert value(metrics, "orders_total", outcome="other") == 50


def test_positions_and_streams(metrics, observer):
    where = {"venue": "paper", "symbol": "BTCUSDT"}
    observer.position("paper", "BTCUSDT", quantity=Decimal("1.5"), realised=Decimal("-2.25"), unrealised=Decimal(3))
    assert value(metrics, "position_base", **where) == 1.5
    assert value(metrics, "realised_pnl_quote", **where) == -2.25
    assert value(metrics, "unrealised_pnl_quote", **where) == 3
    observer.stream_event("paper", "user", 1_700_000_000_500_000_000)
    stream = {"venue": "paper", "channel": "user"}
    assert value(metrics, "stream_last_event_timestamp_seconds", **stream) == 1_700_000_000.5


def test_the_rest_moves_too(metrics, observer):
    observer.indexes(9, 8, 7)
    observer.lapsed(3)
    observer.order_counts(open_orders=4, in_doubt=2)
    observer.loop_stall(300_000_000)
    observer.loop_tick(5_000_000_000)
    observer.peer("n2", connected=True)
    observer.venue_connected("paper", connected=True)
    observer.venue_clock("paper", -1_000_000, 500_000)
    found = [value(metrics, f"log_{what}_index") for what in ("last", "committed", "applied")]
    assert found == [9, 8, 7]
    assert value(metrics, "lapses_total") == 3
    assert (value(metrics, "open_orders"), value(metrics, "in_doubt")) == (4, 2)
    assert value(metrics, "loop_stall_seconds_total") == 0.3
    assert value(metrics, "loop_last_tick_timestamp_seconds") == 5
    assert value(metrics, "venue_clock_offset_seconds", venue="paper") == -0.001
