"""Synthetic market: seeded agents that quote and trade around a hidden value; the paper venue's default.

Only agents and the table of their habits may live here.  Each agent draws from a stream of its own, the same number
of draws at each waking, whatever the book looks like: so the hidden value, the instants and the sizes are the same
for the same seed, whoever else trades.  All is integers, so that every machine draws the same.

Four kinds, per symbol: the hidden value (a mean-reverting walk with bursts of momentum), quoters (one a side and
depth, each replacing one order), noise takers (one a side), and an informed taker that takes what is on the wrong
side of the value, stale quotes of clients included.
"""

from __future__ import annotations

from heapq import heapify, heapreplace
from random import Random
from typing import Protocol

from attrs import define, field, frozen

from meltica.paper.market import Floor
from meltica.paper.orders import Order, Scale
from meltica.paper.symbols import BTCUSDT, ETHUSDT
from meltica.paper.types import SymbolRules

MS = 1000  # microseconds
FINE = 1000  # the hidden value is kept in thousandths of a tick
DEPTHS = 10  # quoters a side
TENTH_BPS = 100_000  # one tenth of a basis point is this part of a price


@frozen
class Habits:
    """One symbol's sizes: where its value starts (ticks), and what quoters and takers deal in (steps, from and to)."""

    rules: SymbolRules
    start: int
    quoted: tuple[int, int]
    taken: tuple[int, int]


HABITS = (
    Habits(BTCUSDT, start=6_000_000, quoted=(2_000, 60_000), taken=(20, 1_500)),
    Habits(ETHUSDT, start=300_000, quoted=(4_000, 120_000), taken=(40, 3_000)),
)


class Agent(Protocol):
    """Something that wakes, acts, and says how long it sleeps."""

    def wake(self, floor: Floor) -> int:
        """Act; returns the microseconds until the next waking."""
        ...


def _stream(seed: int, symbol: str, name: str) -> Random:
    """An agent's own randomness."""
    return Random(f"{seed}/{symbol}/{name}")  # noqa: S311 - a simulated market, no secret; seeded from text by SHA-512


@define(eq=False)
class HiddenValue:
    """What the symbol is worth, known to its agents: in thousandths of a tick."""

    start: int
    draws: Random
    now: int = field(default=0)
    _drift: int = 0
    _steps: int = 0

    def __attrs_post_init__(self) -> None:
        self.now = self.start

    def wake(self, floor: Floor) -> int:  # noqa: ARG002 - agents share one face; the value looks at no book
        """One step of 100 ms: noise of about 0.25 basis points, a pull back to the start, and bursts.

        A burst begins about every 15 s, lasts 1 to 4 s, and moves 2 to 6 basis points a second.
        """
        bps = self.start // 10_000
        noise = sum(self.draws.randrange(-bps * 22, bps * 22 + 1) for _ in range(4)) // 100
        starts = self.draws.randrange(150) == 0
        steps, strength = self.draws.randrange(10, 41), self.draws.randrange(20, 61)
        up = self.draws.randrange(2)
        if starts and not self._steps:
            self._steps, self._drift = steps, strength * bps // 100 * (1 if up else -1)
        pull = (self.start - self.now) // 3000
        self.now = max(self.start // 2, self.now + noise + pull + (self._drift if self._steps else 0))
        self._steps = max(0, self._steps - 1)
        return 100 * MS

    def offset(self, tenths: int) -> int:
        """The value moved by tenths of a basis point, in ticks."""
        return (self.now + self.now * tenths // TENTH_BPS) // FINE


@define(eq=False)
class Quoter:
    """Keeps one order at its distance from the value; pulls it and quotes anew at each waking."""

    habits: Habits
    value: HiddenValue
    draws: Random
    depth: int
    buying: bool
    _order: Order | None = None

    def wake(self, floor: Floor) -> int:
        """Replace the order; one tick short of the other side where the value would cross it."""
        jitter, steps = self.draws.randrange(6), self.draws.randrange(*self.habits.quoted)
        inner = self.depth < 2
        sleep = self.draws.randrange(250 * MS, 650 * MS) if inner else self.draws.randrange(2000 * MS, 4000 * MS)
        if self._order is not None:
            floor.agent_pull(self._order)
        symbol = self.habits.rules.symbol
        bid, ask = floor.best_prices(symbol)
        away = 8 + 7 * self.depth + jitter
        if self.buying:
            target = self.value.offset(-away)
            price = target if ask is None else min(target, ask - 1)
        else:
            target = self.value.offset(away) + 1
            price = target if bid is None else max(target, bid + 1)
        quantity = steps * Scale.of(self.habits.rules).step_atoms
        # nobody can quote below the first tick: a client who offers there is for the takers
        self._order = floor.agent_quote(symbol, price, quantity, buying=self.buying) if price > 0 else None
        return sleep


@define(eq=False)
class NoiseTaker:
    """Takes at the best price, in one direction, for no reason; many small sizes, few large."""

    habits: Habits
    value: HiddenValue
    draws: Random
    buying: bool

    def wake(self, floor: Floor) -> int:
        """Take, up to 15 basis points from the value."""
        low, high = self.habits.taken
        steps = low + (high - low) * self.draws.randrange(1001) * self.draws.randrange(1001) // 1_000_000
        sleep = self.draws.randrange(300 * MS, 1500 * MS)
        quantity = steps * Scale.of(self.habits.rules).step_atoms
        limit = self.value.offset(150 if self.buying else -150)
        floor.agent_take(self.habits.rules.symbol, limit, quantity, buying=self.buying)
        return sleep


@define(eq=False)
class InformedTaker:
    """Takes what stands at least half a basis point on the wrong side of the value."""

    habits: Habits
    value: HiddenValue
    draws: Random

    def wake(self, floor: Floor) -> int:
        """Take from both sides what is stale."""
        steps, sleep = self.draws.randrange(*self.habits.taken), self.draws.randrange(200 * MS, 600 * MS)
        quantity = steps * Scale.of(self.habits.rules).step_atoms
        symbol = self.habits.rules.symbol
        bid, ask = floor.best_prices(symbol)
        if ask is not None and ask <= self.value.offset(-5):
            floor.agent_take(symbol, self.value.offset(-5), quantity, buying=True)
        if bid is not None and bid >= self.value.offset(5):
            floor.agent_take(symbol, self.value.offset(5), quantity, buying=False)
        return sleep


class SyntheticMarket:
    """The agents of all symbols, woken in the order of time and, at one instant, of their place in the table."""

    def __init__(self, seed: int, start_us: int) -> None:
        """Every agent wakes first at the start: the book is full at once."""
        self._agents: list[Agent] = [agent for habits in HABITS for agent in _agents(seed, habits)]
        self._wakings = [(start_us, index) for index in range(len(self._agents))]
        heapify(self._wakings)

    @property
    def rules(self) -> tuple[SymbolRules, ...]:
        """The symbols that the agents trade."""
        return tuple(habits.rules for habits in HABITS)

    def next_at(self) -> int | None:
        """When the next agent wakes."""
        return self._wakings[0][0]

    def act(self, floor: Floor) -> None:
        """Wake one agent."""
        at, index = self._wakings[0]
        heapreplace(self._wakings, (at + self._agents[index].wake(floor), index))


def _agents(seed: int, habits: Habits) -> list[Agent]:
    symbol = habits.rules.symbol
    value = HiddenValue(habits.start * FINE, _stream(seed, symbol, "value"))
    quoters = [
        Quoter(habits, value, _stream(seed, symbol, f"quoter/{buying}/{depth}"), depth, buying)
        for depth in range(DEPTHS)
        for buying in (True, False)
    ]
    takers: list[Agent] = [
        NoiseTaker(habits, value, _stream(seed, symbol, f"noise/{buying}"), buying) for buying in (True, False)
    ]
    return [value, *quoters, *takers, InformedTaker(habits, value, _stream(seed, symbol, "informed"))]
