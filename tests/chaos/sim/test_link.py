"""A node's way to the simulated venue: what the adapter decides is decided here too."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.sim.exchange import Cable, SimExchange
from chaos.sim.lines import Pool
from chaos.sim.link import SYMBOLS, settings_of
from chaos.sim.plan import SECOND, Fault, Plan
from chaos.sim.product import Product
from chaos.sim.run import Run
from cluster.types import Peer
from meltica.core.values import Nanos
from meltica.venues.base import Read, ReadKind
from meltica.venues.binance_spot.reading import ReadDesk
from meltica.venues.clock import Sample, VenueClock
from meltica.venues.rates import RateBudget, RateLimit

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


class Waits:
    """A node's time, and a venue that answers every read at once with an empty list."""

    def __init__(self) -> None:
        self.now, self.due, self.settings, self.node = Nanos(10), list[Any](), settings_of("n1"), "n1"
        self.asked, self.order = list[tuple[str, int]](), itertools.count()
        self.exchange = SimpleNamespace(connect=self.connect, get=self.get)

    def later(self, wait: int, action: Callable[[], None]) -> None:
        heapq.heappush(self.due, (self.now + wait, next(self.order), action))

    def on_node(self, action: Callable[[], None]) -> None:
        action()

    def connect(self, *how: Any) -> Any:
        return how[4]

    def get(self, cable: Any, _node: str, path: str, _text: str) -> None:
        self.asked.append((path, self.now // SECOND))
        self.later(1, lambda: cable(200, {}, b"[]"))

    def run(self, until: int) -> None:
        while self.due and self.due[0][0] <= until:
            self.now, *_, action = heapq.heappop(self.due)
            action()


def test_books_that_wait_for_the_rate_limit_keep_no_turn_from_a_takeover() -> None:
    """As in the adapter's pool (test_rest): the simulation's does the same."""
    host = Waits()
    clock, budget = VenueClock(drift_ppm=500, stale=Nanos(120 * SECOND)), RateBudget(weight_kept=0.25, orders_kept=0.1)
    clock.add(Sample(Nanos(0), Nanos(1), Nanos(10**18), Nanos(1000)))
    reads = ReadDesk(host.settings, lambda: host.now, venue_clock=clock, budget=budget)
    budget.learn((RateLimit("REQUEST_WEIGHT", "MINUTE", 1, 6000, 4600),), host.now)
    pool, ended = Pool(host), list[int]()  # type: ignore[arg-type] # as much of a host as a pool needs
    for _ in range(2 * host.settings.read_connections):
        pool.carry(reads.depth(SYMBOLS[0]), lambda: ended.append(host.now // SECOND))
    pool.carry(reads.begin(Read(1, ReadKind.OPEN_ORDERS)), lambda: ended.append(host.now // SECOND))
    host.run(30 * SECOND)
    assert (host.asked, ended) == ([("openOrders", 0)], [0])
    host.run(70 * SECOND)
    assert host.asked[1:] == [("depth", 60)] * 2 * host.settings.read_connections
