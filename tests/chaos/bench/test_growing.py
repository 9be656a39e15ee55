"""What the benches of growth begin with, and what they read: without a process."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import partial

import pytest
import trio

from chaos.bench import growth, laden, memory, run
from chaos.bench.apply import applied
from chaos.bench.child import BenchFault
from chaos.bench.figures import Turn
from chaos.bench.growth import applies, log_beside
from chaos.checkers.verdict import Check
from chaos.rig.settings import settings_of
from chaos.rig.watch import ActRefused
from meltica.cli import cluster_files
from meltica.machine import Machine


def test_so_many_orders_are_open_and_stay_so_while_a_mix_comes_and_goes():
    before, mix = log_beside(30, 400)
    machine = Machine()
    for entry in before:
        applied(machine, entry)
    assert machine.state.order_index.open_orders == len(machine.state.orders) == 30
    for entry in mix:
        applied(machine, entry)
    assert 30 <= machine.state.order_index.open_orders <= 31
    assert len(machine.state.orders) < 30 + 45  # closed ones are forgotten as fast as others close
    assert len(mix) == 400


def test_a_row_a_size():
    said = []
    found = list(applies([5, 20], 40, 2, said.append, fewest=40))
    assert [(one.who.variant, dict(one.more)["orders"], one.n) for one in found] == [
        ("5 orders", 5, 80),
        ("20 orders", 20, 80),
    ]
    assert [one.split(":")[1] for one in said] == [f" apply beside {n} orders" for n in (5, 20, 5, 20)]  # in turn


def test_commands_are_so_many_that_the_collector_of_garbage_runs(monkeypatch):
    asked = []
    monkeypatch.setattr(growth, "log_beside", lambda _orders, samples: asked.append(samples) or ([], [()]))
    monkeypatch.setattr(growth, "_seconds", lambda *_log: 1.0)
    assert len(list(applies([5], 1_000, 1, lambda _text: None))) == 1
    assert asked == [50_000]


def test_sizes_of_commits_take_turns(tmp_path, monkeypatch):
    made = []

    @contextmanager
    def running(_ours, folder, _within):
        made.append(int(folder.name))
        yield None

    monkeypatch.setattr(growth.Ours, "running", running)
    monkeypatch.setattr(growth.pki, "create", lambda *_given: None)
    monkeypatch.setattr(growth.Writer, "fill", lambda *_given: 0)
    monkeypatch.setattr(growth.Commits, "_turn", lambda *_given: Turn((1.0,), 1, 1.0))
    rows = list(growth.Commits(tmp_path, 1, 2, lambda _text: None).rows([10, 1_000]))
    assert made == [10, 1_000, 10, 1_000]
    assert [(row.who.variant, row.n) for row in rows] == [("10 orders", 2), ("1,000 orders", 2)]


class Taking:
    """A node that takes orders, and a venue whose ledger has each two looks later."""

    def __init__(self):
        self.asked = self.looks = 0

    async def act(self, *_words):
        self.asked += 1
        await trio.sleep_forever()

    def new_records(self):
        self.looks += 1
        return [{"method": "order.place", "admitted_mono_ns": 1}] if self.looks == 3 else []


async def test_where_none_is_in_doubt_one_more_is_sent_just_before_the_strike(autojump_clock):
    watcher = Taking()
    await laden.one_more(watcher, "n1", [{"symbol": "BTCUSDT"}])
    assert (watcher.asked, watcher.looks) == (1, 3)


async def test_a_strike_has_a_last_send_before_it_whoever_is_in_doubt(monkeypatch, tmp_path):
    done = []

    async def noted(what, *_given):
        done.append(what)
        return "n1", 1

    class Venue:
        children, folder, name = {}, tmp_path, "venue"

        def kill(self, _name):
            done.append("kill")

        async def status(self, _name):
            return {"orders": {"open": 7}}

    (tmp_path / "paper.toml").write_text('listen = "127.0.0.1:1"\n')
    for name in ("_order", "load", "in_order", "one_more", "order_somewhere", "resumed"):
        monkeypatch.setattr(laden, name, partial(noted, name))
    monkeypatch.setattr(laden.Laden, "_doubt", partial(noted, "_doubt"))
    monkeypatch.setattr(laden, "cluster_of", lambda _folder: "0a0b0c")
    for doubt, sent in ((0, "one_more"), (5, "_doubt")):
        done.clear()
        _, had = await laden.Laden(3, doubt, 1)._play(Venue(), Venue())
        assert (done[-4:], had) == ([sent, "kill", "order_somewhere", "resumed"], {"had": 7})


@pytest.mark.parametrize(
    ("checks", "told"),
    [
        ((Check("one_send", 9, ()),), None),
        ((Check("one_send", 9, ("twice",)),), r"these do not hold: one_send \['twice'\]"),
        ((), "nothing was judged"),
    ],
)
def test_a_laden_failover_is_judged_by_what_holds_at_any_moment(checks, told, tmp_path, monkeypatch):
    async def run(_self, folder):
        return {"disturbed": False, "gap_ms": 300.0, "had": 3, "age_ms": 1.0}

    monkeypatch.setattr(laden.Laden, "run", run)
    monkeypatch.setattr(laden, "judged_at_any_moment", lambda _folder: checks)
    if told is None:
        (row,) = laden.rows([3], [0], 1, tmp_path, lambda _text: None)
        assert (row.n, [*tmp_path.iterdir()]) == (1, [])
        return
    with pytest.raises(BenchFault, match=told):
        list(laden.rows([3], [0], 1, tmp_path, lambda _text: None))
    assert len([*tmp_path.iterdir()]) == 1  # evidence


def test_points_of_a_laden_failover_take_turns(tmp_path, monkeypatch):
    """A machine that grew slower from point to point looked like growth."""
    struck, said = [], []

    def strike(opened, doubt, seed, _within):
        struck.append((seed, opened, doubt))
        return {"gap_ms": 300.0 + len(struck), "had": opened + doubt, "age_ms": 1.0 * seed}

    monkeypatch.setattr(laden, "_struck", strike)
    rows = list(laden.rows([1, 100], [0, 10], 2, tmp_path, said.append))
    assert struck == [(seed, opened, doubt) for seed in (0, 1) for opened in (1, 100) for doubt in (0, 10)]
    assert [(row.value("open"), row.value("in_doubt"), row.n) for row in rows] == [
        (1, 0, 2),
        (1, 10, 2),
        (100, 0, 2),
        (100, 10, 2),
    ]
    assert (rows[1].took_ms, rows[1].value("had"), rows[1].value("age_ms")) == ((302.0, 306.0), [11, 11], [0.0, 1.0])
    assert said[5] == "round 2 of 2: 1 open, 10 in doubt: 306.0 ms; with 11 orders, the last 1.0 ms before"


def test_memory_is_looked_at_evenly_and_is_this_processes():
    assert memory.slices(1_000) == [*range(100, 1_001, 100)]
    found = memory.of_core(40)
    assert found[0][0] == 0
    assert found[-1][0] >= 40
    assert all(1 < held < 4_000 for _, held in found)
    assert memory.resident_mb(os.getpid()) > 1


def test_a_clusters_settings_make_room_for_thousands_of_orders(tmp_path):
    for name in ("n1", "n2", "n3"):
        path = settings_of(tmp_path, name)
        path.parent.mkdir(parents=True)
        path.write_text("[limits]\nopen_orders_symbol = 20\nopen_orders = 50\norders_second = 50\n")
    (tmp_path / "paper.toml").write_text('listen = "127.0.0.1:1"\n')
    laden.make_room(tmp_path)
    assert settings_of(tmp_path, "n2").read_text().count("= 1000") == 3
    assert "orders_per_10_s = 100000" in (tmp_path / "paper.toml").read_text()
    settings_of(tmp_path, "n1").write_text("")
    with pytest.raises(ValueError, match="open_orders_symbol"):
        laden.make_room(tmp_path)


def test_the_settings_that_are_written_have_what_is_changed_in_them():
    text = cluster_files.__file__
    with open(text) as file:
        written = file.read()
    assert all(f"\n{key} = " in written for key in laden.ROOM)


def test_kinds_of_growth_are_asked_for_by_name():
    wish = run.wish_of("growth", of="apply,memory", commands=9)
    assert wish.extras == {"of": "apply,memory", "commands": 9, "most": 100_000, "wait": 300}
    with pytest.raises(run.BadWish, match="growth is of commit, apply, failover, memory, not of speed"):
        run.wish_of("growth", of="speed")


class Losing:
    """A cluster that loses every third order which it took, refuses every fifth, and halts once."""

    def __init__(self):
        self.asked = self.open = 0
        self.trading = "running"

    async def statuses(self):
        return {"n1": {"active": "n1", "epoch": 1}}

    async def status(self, _node):
        causes = [] if self.trading == "running" else [{"cause": "takeovers"}]
        risk = {"halts": causes, "index": 1}
        return {"orders": {"open": self.open}, "trading": self.trading, "active": "n1", "risk": risk}

    async def act(self, _node, action, _order, _reason):
        if action == "resume":
            self.trading = "running"
            return
        self.asked += 1
        if self.asked == 20:
            self.trading = "halted"
        if self.asked % 5 == 0 or self.trading == "halted":
            raise ActRefused("not now")
        self.open += self.asked % 3 > 0


async def test_a_cluster_is_loaded_until_so_many_are_open(autojump_clock):
    watcher = Losing()
    await laden.load(watcher, [{"symbol": "BTCUSDT"}, {"symbol": "ETHUSDT"}], 40)
    assert watcher.open == 40
