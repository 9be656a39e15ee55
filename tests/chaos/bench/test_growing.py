"""What the benches of growth begin with, and what they read: without a process."""

from __future__ import annotations

import os

import pytest

from chaos.bench import laden, memory, run
from chaos.bench.apply import applied
from chaos.bench.growth import applies, log_beside
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
    found = list(applies([5, 20], 40, 2, said.append))
    assert [(one.who.variant, dict(one.more)["orders"], one.n) for one in found] == [
        ("5 orders", 5, 80),
        ("20 orders", 20, 80),
    ]
    assert len(said) == 2


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
