"""The pace of a drill, and the equal time behind a round: without a process."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import trio

from chaos.demo import opened
from chaos.demo.opened import BEAT_MS, TRADE_BEFORE, beating, equally
from chaos.demo.timed import Timed


class Asked:
    """Takes every order."""

    async def act(self, node, _action, _body, _reason):
        return {"node": node}


async def test_orders_come_for_a_while_before_the_first_round_and_end_with_the_last(monkeypatch, autojump_clock):
    async def in_order(_watcher):
        return "n2", 1

    monkeypatch.setattr(opened, "in_order", in_order)
    counts = Counter()
    async with beating(Asked(), counts) as beat:
        assert beat.node == "n2"
        before = counts["taken"]
        assert abs(before - TRADE_BEFORE * 1000 / BEAT_MS) <= 1
        await trio.sleep(1)
    assert counts["taken"] - before >= 1000 // BEAT_MS - 1
    ended = counts["asked"]
    await trio.sleep(1)
    assert counts["asked"] == ended


async def test_an_equal_time_is_as_long_as_the_round(monkeypatch, autojump_clock):
    monkeypatch.setattr(opened, "time", SimpleNamespace(monotonic_ns=lambda: 9_000_000_000))
    began = trio.current_time()
    timed = await equally(1_000_000_000, 3_500_000_000)
    assert (timed, trio.current_time() - began) == (Timed(1_000_000_000, 3_500_000_000, 9_000_000_000), 2.5)
    assert (timed.plain.begin_ns, timed.plain.ms) == (9_000_000_000, timed.whole.ms)
