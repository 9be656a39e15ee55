"""config/careful.toml: what it lets a strategy ask for is what its own limits let through."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from attrs import evolve

from meltica.config import NodeSettings, load
from meltica.core.values import Asset, Nanos
from meltica.strategies.base import Strategy
from meltica.strategies.catalogue import make_strategy
from tests.meltica.leader.world import CONFIGURED, MS, SETTINGS, World

FILE = Path(__file__).resolve().parents[2] / "config" / "careful.toml"


def played(settings: NodeSettings) -> tuple[list[str], World]:
    """Its maker trades, under its limits, as the price walks to and fro; what was refused, and the world then."""
    (maker,) = settings.strategies
    ramp = Nanos(settings.trading.ramp_ms * MS)
    configuration = evolve(CONFIGURED, limits=settings.limits, ramp=ramp)
    refused: list[str] = []

    def make() -> Strategy:
        strategy = make_strategy(maker.kind, maker.parameters)
        strategy.on_order_rejected = lambda _context, event, handle: refused.append(str(event or handle))  # type: ignore[method-assign] # to listen
        return strategy

    world = World(make, evolve(SETTINGS, configuration=configuration))
    world.exchange.balances = {Asset("BTC"): Decimal("0.001"), Asset("USDT"): Decimal(1000)}
    world.start()
    for step in range(settings.trading.ramp_ms // 250 + 40):
        price = 60_000 + step % 5
        world.tick(str(price), f"{price}.01")
        world.run(250 * MS)
    return refused, world


def test_its_makers_quotes_pass_its_limits_from_the_first_one_to_those_of_full_size() -> None:
    settings = load(FILE, check_files=False)
    refused, world = played(settings)
    assert not refused, refused
    assert not world.nodes["n1"].notes.alerts
    sizes = [order.quantity * (order.price or 0) for order in world.nodes["n1"].state.orders.values()]
    assert min(sizes) < 6
    assert max(sizes) > 19
    assert len(world.exchange.open()) == 2
