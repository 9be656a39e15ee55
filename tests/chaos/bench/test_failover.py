"""What of a strike comes into a bench's figures: without a process."""

from __future__ import annotations

import itertools
from contextlib import contextmanager

import pytest
import trio

from chaos.bench import failover
from chaos.bench.budgets import HALF, budgets
from chaos.bench.child import BenchFault
from chaos.bench.disk import Syncs
from chaos.bench.failover import LATE_MS, Failover, OursStruck, PeerStruck
from chaos.bench.figures import Who
from chaos.bench.peers import CUT, KILL, PROMOTE, STOP
from chaos.checkers.verdict import Check
from chaos.demo import measure
from chaos.demo.measure import Found, Round


@pytest.fixture(autouse=True)
def _no_syncs(monkeypatch):
    """The disk's figures are not looked at here: a hundred syncs a turn were half a minute of the suite."""
    monkeypatch.setattr(Syncs, "look", lambda _self: None)


HELD = (Check("one_trader", 9, ()),)
PHASES = {"detected": 40.0, "authority": None}


def bench(tmp_path, monkeypatch, gaps, checks=HELD, strikes=100):
    """One run, whose clusters give these gaps in turn, again and again."""
    left = itertools.cycle(gaps)

    async def played(_kind, rounds, *_words):
        return Found([{"gap_ms": next(left), "phases_ms": PHASES} for _ in range(rounds)], checks, 1)

    monkeypatch.setattr(failover, "measure", played)
    run = Failover(tmp_path, Syncs(tmp_path), [OursStruck("kill")], lambda _text: None)
    (row,) = run.run(strikes)
    return run, row


def test_a_strike_after_which_nobody_traded_in_time_is_a_figure_over_every_budget(tmp_path, monkeypatch):
    run, row = bench(tmp_path, monkeypatch, [*[300.0] * 98, None, None])
    assert (row.n, row.max_ms, row.value("late"), run.disturbed) == (100, LATE_MS, 2, 50)
    assert row.value("phases_p50_ms") == {"detected": 40.0, "authority": None}
    held = {one["what"]: one["held"] for one in budgets([row])}
    assert held == {"failover p50, quoting: W + 50 ms": True, "failover p99, quoting: W + 200 ms": False}


def test_figures_of_a_cluster_in_which_a_checker_finds_something_are_none(tmp_path, monkeypatch):
    with pytest.raises(BenchFault, match="after a kill these do not hold: one_send"):
        bench(tmp_path, monkeypatch, [300.0], (*HELD, Check("one_send", 9, ("twice",))))


async def test_a_cluster_that_stood_still_is_not_struck_again_and_what_needs_no_rest_is_judged(
    monkeypatch,
):
    made = []

    async def strike(self, *_given):
        made.append(1)
        self.late = len(made) == 2

    async def nobody(*_given):
        raise trio.TooSlowError

    monkeypatch.setattr(Round, "_strike", strike)
    monkeypatch.setattr(measure, "ended", nobody)
    monkeypatch.setattr(measure, "judged", lambda _folder: (None, HELD))
    one = Round("kill", "synthetic", 5, 1)
    with pytest.raises(trio.TooSlowError):
        await one._ended(None, None)
    await one._strike_all(None, None)
    assert (len(made), one.late) == (2, True)
    assert await one._ended(None, None) is None
    some, nothing = (Check("one_trader", 9, ("two traded at once",)),), (Check("one_trader", 0, ()),)
    monkeypatch.setattr(measure, "judged_at_any_moment", lambda folder: left[folder])
    left = {"some": some, "none": ()}
    at_rest, restless = Check("came_to_rest", 1, ()), Check("came_to_rest", 1, ("no",))
    unseen = (Check("judged", 1, ("nothing was seen of it",)),)
    for rest, folder, checks in (
        (at_rest, "some", (*HELD, at_rest)),
        (restless, "some", some),
        (None, "some", some),
        (None, "none", unseen),
    ):
        one.checks = nothing

        async def play(_self, _folder, rest=rest):
            return rest

        monkeypatch.setattr(Round, "_play", play)
        await one.run(folder)
        assert one.checks == checks


def test_figures_of_clusters_that_nothing_was_looked_at_of_are_none(tmp_path, monkeypatch):
    with pytest.raises(BenchFault, match="nothing was judged"):
        bench(tmp_path, monkeypatch, [None], ())


class Peer:
    """A peer whose leader is struck in no time."""

    who = Who("etcd", "tuned")

    def __init__(self, order):
        self.order = order

    @contextmanager
    def running(self, _folder, *, cables=False):
        self.order.append(("turn", cables))
        yield self

    def strike(self, how):
        self.order.append(how)
        return 400.0


def test_what_has_no_budget_of_its_tail_is_struck_as_often_as_a_median_needs_all_through_the_run(tmp_path, monkeypatch):
    order = []

    async def played(kind, rounds, *_words):
        order.extend([kind] * rounds)
        return Found([{"gap_ms": 300.0, "phases_ms": PHASES} for _ in range(rounds)], HELD, 0)

    monkeypatch.setattr(failover, "measure", played)
    struck = [OursStruck("kill"), OursStruck("idle"), PeerStruck(Peer(order), "failover", KILL)]
    rows = Failover(tmp_path, Syncs(tmp_path), struck, lambda _text: None).run(100)
    assert [(row.who.system, row.who.variant, row.n) for row in rows] == [
        ("meltica", "quoting", 100),
        ("meltica", "idle", HALF),
        ("etcd", "tuned", HALF),
    ]
    for what, number in (("kill", 100), ("idle", HALF), ("kill", 100)):
        halves = [part.count(what) for part in (order[: len(order) // 2], order[len(order) // 2 :])]
        assert all(half > 0.3 * number for half in halves), what
    few = Failover(tmp_path, Syncs(tmp_path), struck, lambda _text: None).run(3)
    assert [row.n for row in few] == [3, 3, 3]


def test_a_peer_s_row_says_which_of_ours_it_is_like_and_only_a_cut_needs_cables():
    order = []
    told = {}
    for what, how in (("freeze", STOP), ("freeze", CUT), ("promote", PROMOTE)):
        struck = PeerStruck(Peer(order), what, how)
        told[how] = struck.row[1].like
        assert struck.gaps(None, 2, 0).ms == [400.0, 400.0]
    assert told == {STOP: "frozen", CUT: "cut off", PROMOTE: ""}
    assert order == [("turn", False), STOP, STOP, ("turn", True), CUT, CUT, ("turn", False), PROMOTE, PROMOTE]
