"""A node's way to the simulated venue: what the adapter decides is decided here too."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from chaos.sim.exchange import Cable, SimExchange
from chaos.sim.plan import SECOND, Fault, Plan
from chaos.sim.product import Product
from chaos.sim.run import Run
from cluster.types import Peer

# Of `faults._do_rate_limit`: four requests are refused, from the second on by a ban of 5 s; a 429 asks for 1 s.
BANS = 6 + 2 * 9
DAY = 86_400 * SECOND


class Watched(Product):
    """Counts what each node asks while its own budget says that nothing may be asked."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.asked: Counter[str] = Counter()
        self.asked_while_banned: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.banned: set[str] = set()

    def looked(self, node: str) -> None:
        """A node writes something to the venue."""
        link = self.lives[Peer(node)].link
        assert link is not None
        self.asked[node] += 1
        self.refused[node] = max(self.refused[node], link.talk.budget.refusals)
        self.asked_while_banned[node] += link.talk.budget.banned(link.clock())


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    product = Watched(5)

    def watching(written: Any) -> Any:
        def write(exchange: SimExchange, cable: Cable, node: str, *what: str) -> None:
            product.looked(node)
            written(exchange, cable, node, *what)

        return write

    monkeypatch.setattr(SimExchange, "frame", watching(SimExchange.frame))
    monkeypatch.setattr(SimExchange, "get", watching(SimExchange.get))
    return product


def test_who_is_refused_backs_off_and_who_is_banned_asks_nothing(watched: Watched) -> None:
    faults = tuple(Fault(at * SECOND, (at + 2) * SECOND, "rate_limit", BANS) for at in (3, 9, 15))
    run = Run(Plan(5, faults), watched)
    bans = Counter[str]()

    def look() -> None:
        """Who is banned, ten times a second."""
        for name, life in watched.lives.items():
            if life.link is not None and life.leader is not None and life.link.talk.budget.banned(life.link.clock()):
                bans[name] += 1
        watched.network.at(SECOND // 10, look)

    watched.network.at(SECOND // 10, look)
    outcome = run.play()
    assert not outcome.violations
    assert sum(watched.refused.values()) >= 2
    assert sum(bans.values()) >= 40, "somebody was banned for 5 s"
    assert watched.asked_while_banned.total() == 0
    assert watched.asked.total() > 100


def test_a_node_whose_clock_is_a_day_behind_waits_out_no_day(watched: Watched) -> None:
    """The pause is told by the venue's clock: before, every node was quiet for as long as its own was behind."""
    network, exchange = watched.network, watched.exchange
    names = [Peer(name) for name in ("n1", "n2", "n3")]
    for name in names:
        watched.start(name)
    network.run(3 * SECOND)
    assert exchange.placed_since(0)
    watched.wall_off.update(dict.fromkeys(names, -DAY))
    exchange.begin_fault({"kind": "rate_limit", "target": "order.place", "count": 1, "pause_seconds": 2})
    while not sum(watched.refused.values()):
        network.run(SECOND // 10)
        assert network.now < 8 * SECOND, "nothing was refused"
    paused = network.now
    network.run(SECOND)
    assert not exchange.placed_since(paused)
    network.run(4 * SECOND)
    assert exchange.placed_since(paused + SECOND)
