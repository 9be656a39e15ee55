"""What single faults do to the simulated product, each in a short storm of its own; all are survived."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from chaos.sim.faults import LONG_LAGS, LONG_STALL, PROVEN, Faults
from chaos.sim.network import MS
from chaos.sim.plan import SECOND, Fault, Plan
from chaos.sim.product import Product
from chaos.sim.run import Outcome, play
from cluster.types import Peer
from meltica.venues.binance_spot.settings import CAPABILITIES


def struck(*faults: tuple[str, int, int, int], seed: int = 2) -> tuple[Outcome, Product]:
    """Kind, when and for how long in milliseconds, and the pick."""
    made = tuple(Fault(at * MS, (at + lasts) * MS, kind, pick) for kind, at, lasts, pick in faults)
    outcome, product = play(Plan(seed, made))
    assert not outcome.violations, outcome.violations
    assert outcome.faults.total() + outcome.acts.total() == len(faults)
    return outcome, product


def words(product: Product, word: str) -> list[tuple[object, ...]]:
    return [event for event in product.trace if event[1] == word]


@pytest.mark.parametrize("kind", ["sync_error_active", "disk_full_active"])
def test_a_disk_that_refuses_ends_the_process_and_another_trades(kind: str) -> None:
    outcome, product = struck((kind, 3000, 400, 0))
    (failed,) = words(product, "disk_failed")
    starts = [event for event in words(product, "start") if event[2] == failed[2]]
    assert len(starts) == 2
    assert outcome.changes >= 1


@pytest.mark.parametrize("kind", ["kill_all", "power_all"])
def test_all_at_once_and_all_come_back(kind: str) -> None:
    _, product = struck((kind, 3000, 0, 1))
    kills = words(product, "kill")
    assert len(kills) == 3
    assert len({event[0] for event in kills}) == 1
    assert len(words(product, "start")) == 6


def test_a_loop_of_restarts() -> None:
    _, product = struck(("restarts", 3000, 2000, 0))
    assert len(words(product, "kill")) > 3


def test_a_disk_that_is_an_older_copy_of_itself_costs_nothing() -> None:
    _, product = struck(("old_copy_active", 3000, 1500, 0), ("kill_active", 4520, 300, 0))
    ((_, _, name, entries),) = words(product, "replaced")
    assert product.copied == name
    assert len(product.network.processes[Peer(str(name))].disk.entries) > int(str(entries))


def test_unplugged_while_something_is_written() -> None:
    _, product = struck(("torn_active", 3000, 300, 0))
    assert [event[3] for event in words(product, "kill")] == [True]


@pytest.mark.parametrize("pick", [0, 4, 7])  # an hour back, 60 ms on, a day on
def test_the_wall_clock_of_the_active_node_jumps(pick: int) -> None:
    _, product = struck(("wall_jump_active", 3000, 1500, pick))
    assert not product.wall_off


def test_a_clock_that_changes_its_rate_never_goes_back() -> None:
    product = Product(1)
    network, name = product.network, Peer("n1")
    seen = []
    for rate in (1.0004, 0.9996, 1.0):
        network.run(SECOND)
        before = network.clock_of(name)
        network.set_rate(name, rate)
        assert network.clock_of(name) >= before
        network.run(SECOND)
        seen.append(network.clock_of(name) - before)
    assert seen == [1_000_400_000, 999_600_000, 1_000_000_000]


def test_operators_are_answered_and_retries_are_done_once() -> None:
    outcome, _ = struck(
        ("hand_order", 2500, 400, 3), ("halt_resume", 3000, 500, 1), ("kill_active", 3020, 100, 0),
        ("reduce", 4500, 300, 2), ("risk_kill", 5000, 300, 2),
        ("cancel_all", 6000, 0, 1), ("without_quorum", 6200, 0, 1),
    )  # fmt: skip
    (judged,) = [check for check in outcome.checks if check.name == "operators"]
    assert judged.looked_at >= 9


def test_manual_mode_waits_for_somebody_and_he_promotes() -> None:
    outcome, product = struck(("manual", 2500, 6000, 1), ("kill_active", 4000, 100, 0))
    assert outcome.changes >= 1
    assert words(product, "operator")


@pytest.mark.parametrize("wakes_early", [False, True])
def test_a_process_that_is_stopped_again_hears_things_in_order(*, wakes_early: bool) -> None:
    """Simulated, everything-1475: it heard that a connection had ended after it had heard of the next one."""
    product = Product(1)
    network, heard = product.network, []
    name = Peer("n1")
    product.start(name)
    network.freeze(name, 100 * MS)
    network.at(50 * MS, network.call, name, lambda _replica: heard.append("ended"))
    network.at(90 * MS, network.freeze, name, 100 * MS)
    network.at(95 * MS, network.call, name, lambda _replica: heard.append("next"))
    if wakes_early:
        network.at(160 * MS, network.go_on, name)
        network.at(161 * MS, network.call, name, lambda _replica: heard.append("last"))
    network.run(155 * MS)
    assert heard == []
    network.run(100 * MS)
    assert heard == ["ended", "next", *(["last"] if wakes_early else [])]


def test_reads_lag_for_longer_than_the_adapter_says_and_prove_no_order_dead_too_early() -> None:
    assert max(LONG_LAGS) * MS > CAPABILITIES.read_lag
    assert max(LONG_LAGS) * MS < PROVEN < CAPABILITIES.read_lag + CAPABILITIES.settle


@pytest.mark.parametrize(
    ("at", "until", "hides"),
    [(13, 14, False), (13, 22, True), (20, 25, True), (30, 35, True), (31, 36, False)],
)
def test_reads_do_not_lag_long_where_they_hide_what_a_stall_held_back(at: int, until: int, *, hides: bool) -> None:
    faults = Faults(Mock())
    fault = Fault(at * SECOND, until * SECOND, "stale_reads", 9)
    assert not faults._hide_too_much(fault, 11 * SECOND), "no engine has stalled"
    assert faults._hide_too_much(fault, (at - 1) * SECOND), "there was no account yet"
    faults.stall_began = 10 * SECOND
    assert LONG_STALL == 9500 * MS
    assert faults._hide_too_much(fault, 11 * SECOND) == hides


def test_stalls_of_the_engine_that_overlap_are_over_before_what_waited_is_called_dead() -> None:
    """Campaign, venue 470: an order that had waited for 15 s was, rightly.  One behind them is a stall of its own."""
    product = Mock()
    faults = Faults(product)
    stalls = [
        Fault(at * SECOND, (at + 2) * SECOND, "engine_stall", pick) for at, pick in ((3, 0), (9, 0), (12, 1), (13, 0))
    ]
    for each in stalls:
        faults._do_engine_stall(Peer("n1"), each)
    healed = product.network.at.call_args_list
    ends = [each.at + call.args[0] for each, call in zip(stalls, healed, strict=True)]
    assert ends == [*[3 * SECOND + LONG_STALL] * 3, 13 * SECOND + LONG_STALL]
    assert CAPABILITIES.settle > LONG_STALL
