"""Safety rules 1 to 6: each holds, and its check fails when the leader is broken on purpose (design.md section 3)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from meltica.core import commands as c
from meltica.core.ids import parse_id
from meltica.core.orders import OrderState
from meltica.core.values import Asset, Epoch, Nanos, NodeName, Side, Trading
from meltica.leader import authority, lookups, reconcile
from meltica.leader.authority import Ordered
from meltica.leader.dispatch import Dispatch
from meltica.leader.lookups import Bounds
from meltica.leader.ports import Order, Promote
from meltica.leader.reconcile import Learnt
from meltica.leader.takeover import Takeover
from meltica.venues.base import Unknown
from tests.meltica.leader.world import MS, SYMBOL, VENUE, Idle, S, W, World, by

Patch = pytest.MonkeyPatch


def one_trader(world: World) -> bool:
    """Rule 1: what the venue admits never goes back in epoch."""
    epochs = [parts.epoch for parts in (parse_id(each.effect.intent) for each in world.exchange.admitted) if parts]
    return epochs == sorted(epochs)


def ticking(world: World, duration: int) -> None:
    for each in range(duration // (5 * MS)):
        world.after(each * 5 * MS, world.tick)
    world.run(duration)


# --- rule 1 ----------------------------------------------------------------------------------------------------


def late_packet(_patch: Patch) -> bool:
    """The old leader's order is still on its way when the successor is elected."""
    world = World()
    world.start()
    world.exchange.fill(world.exchange.open()[0].venue_order_id)
    world.run(10 * MS)
    world.exchange.transit = Nanos(250 * MS)
    world.tick()
    world.run(3 * MS)
    world.kill("n1")
    world.exchange.transit = Nanos(1 * MS)
    world.elect("n2")
    world.exchange.fill(world.exchange.open()[0].venue_order_id)
    ticking(world, 600 * MS)
    assert {each.node for each in world.exchange.admitted} == {"n1", "n2"}
    return one_trader(world)


def no_wait(patch: Patch) -> None:
    patch.setattr(authority, "wait_over_at", lambda *_args: Nanos(0))


def any_release(patch: Patch) -> None:
    patch.setattr(authority, "relieved", lambda *_args: True)


def release_in_flight(_patch: Patch) -> bool:
    """A hand-over while an order is on its way to the venue."""
    world = World()
    world.start()
    world.exchange.fill(world.exchange.open()[0].venue_order_id)
    world.run(10 * MS)
    world.exchange.transit = Nanos(200 * MS)
    world.tick()
    world.run(3 * MS)
    world.exchange.transit = Nanos(1 * MS)
    world.act("n1", Promote(by(), NodeName("n2")))
    for each in world.exchange.open():
        if each.side is Side.SELL:
            world.after(20 * MS, lambda name=each.venue_order_id: world.exchange.fill(name))
    ticking(world, 800 * MS)
    assert {each.node for each in world.exchange.admitted} == {"n1", "n2"}
    return one_trader(world)


def no_drain(patch: Patch) -> None:
    patch.setattr(Dispatch, "drained_at", lambda _self: Nanos(0))


def frozen_past_the_window(_patch: Patch) -> bool:
    """A write that was held up until after s + W, and no venue deadline to save us."""
    world = World(Idle)
    node = world.start()
    node.port.hold = []
    world.made[0].contexts[0].limit(SYMBOL, Side.BUY, Decimal("0.01"), Decimal(59_000))
    s = world.now
    world.run(W)
    assert world.now == s + W
    node.port.hold[0]()
    return world.exchange.written == []


def tie(patch: Patch) -> None:
    whole = authority.why_shut

    def lenient(gate: Any, epoch: Any, ordered: Ordered, now: Nanos, health: Any) -> str:
        return whole(gate, epoch, ordered, Nanos(now - 1), health)

    patch.setattr(authority, "why_shut", lenient)


# --- rule 2 ----------------------------------------------------------------------------------------------------


def intent_first(_patch: Patch) -> bool:
    """Each send is written by the node of its epoch, after that node applied its entry."""
    world = World()
    node = world.start()
    world.exchange.fill(world.exchange.open()[0].venue_order_id)
    ticking(world, 100 * MS)
    assert len(world.exchange.admitted) >= 3
    for each in world.exchange.admitted:
        parts = parse_id(each.effect.intent)
        if parts is None or node.state.epochs[parts.epoch].node != each.node or each.known_index < parts.index:
            return False
    return True


def every_node_sends(patch: Patch) -> None:
    def sends(self: Dispatch, entry: Any, effect: Any) -> None:
        now = self._desk.mono()
        self._send(Ordered(effect, Epoch(entry.term), True, now, Nanos(now + W)), Nanos(now + W))

    patch.setattr(Dispatch, "_ordered", sends)
    patch.setattr(authority, "why_shut", lambda *_args: "")


# --- rule 3 ----------------------------------------------------------------------------------------------------


def one_send(_patch: Patch) -> bool:
    """A lost answer is never met with a second send."""
    world = World(Idle)
    world.start()
    world.exchange.answers, world.exchange.report = "drop", False
    world.made[0].contexts[0].limit(SYMBOL, Side.BUY, Decimal("0.01"), Decimal(59_000))
    world.run(6 * S)
    assert world.exchange.written
    return len(set(world.exchange.written)) == len(world.exchange.written) == 1


def sends_again(patch: Patch) -> None:
    whole = Dispatch.answered

    def again(self: Dispatch, intent: Any, answer: Any) -> None:
        flight = self._flights.get(intent)
        whole(self, intent, answer)
        if flight is not None and isinstance(answer, Unknown):
            port = self._desk.venues[VENUE]
            port.send(flight.ordered.effect, Nanos(self._desk.mono() + W), lambda: True)

    patch.setattr(Dispatch, "answered", again)


# --- rule 4 ----------------------------------------------------------------------------------------------------


def every_fill_once(_patch: Patch) -> bool:
    """Fills that no stream told of are in the position after a takeover, once."""
    world = World()
    world.start()
    world.run(W)
    world.kill("n1")
    for each in world.exchange.open():
        if each.side is Side.BUY:
            world.exchange.fill(each.venue_order_id, "0.003", tell=False)
            world.exchange.fill(each.venue_order_id, "0.002", tell=False)
    world.elect("n2")
    ticking(world, 3 * S)
    held = world.nodes["n2"].state.holdings[VENUE, "main", Asset("BTC")]
    assert world.exchange.trades
    return held == world.exchange.balances[Asset("BTC")]


def trades_ignored(patch: Patch) -> None:
    patch.setattr(reconcile, "trades", lambda *_args: Learnt())


# --- rule 5 ----------------------------------------------------------------------------------------------------


def unknown_is_a_state(_patch: Patch) -> bool:
    """An admitted order that its engine keeps back for 9 s is not given up before settle is over."""
    world = World(Idle)
    node = world.start()
    world.exchange.answers, world.exchange.engine_delay = "drop", Nanos(9 * S)
    world.exchange.report = False
    handle = world.made[0].contexts[0].limit(SYMBOL, Side.BUY, Decimal("0.01"), Decimal(59_000))
    for _ in range(88):
        world.run(100 * MS)
        if node.state.orders[handle.order].state is OrderState.DEAD:
            return False
    return True


def absence_is_death(patch: Patch) -> None:
    patch.setattr(lookups, "bounds", lambda *_args: Bounds(Nanos(0), Nanos(0)))


# --- rule 6 ----------------------------------------------------------------------------------------------------


def a_halt_survives(_patch: Patch) -> bool:
    """A kill of the leader, and a takeover, leave the halt as it is."""
    world = World()
    world.start()
    world.act("n1", Order(c.Halt(Epoch(0), Nanos(0), "fat finger", by=by())))
    world.run(100 * MS)
    assert world.nodes["n2"].state.risk.trading is Trading.HALTED
    world.kill("n1")
    world.elect("n2")
    ticking(world, 1 * S)
    return world.nodes["n2"].state.risk.trading is Trading.HALTED


def takeover_resumes(patch: Patch) -> None:
    whole = Takeover.taken

    def relaxed(self: Takeover, record: Any) -> None:
        whole(self, record)
        risk = self._desk.state.risk
        if risk.halts:
            causes = tuple(sorted(risk.halts))
            self._desk.propose(c.Resume(self._desk.epoch, self._desk.at, causes, risk.index, by("auto")))

    patch.setattr(Takeover, "taken", relaxed)


CASES: list[tuple[str, Callable[[Patch], bool], Callable[[Patch], None]]] = [
    ("1 no wait", late_packet, no_wait),
    ("1 any release excuses", late_packet, any_release),
    ("1 released with a send in flight", release_in_flight, no_drain),
    ("1 the tie at s + W", frozen_past_the_window, tie),
    ("2 every node sends", intent_first, every_node_sends),
    ("3 an unknown outcome is sent again", one_send, sends_again),
    ("4 trades that a read shows are ignored", every_fill_once, trades_ignored),
    ("5 absence is taken for death", unknown_is_a_state, absence_is_death),
    ("6 a takeover resumes", a_halt_survives, takeover_resumes),
]


@pytest.mark.parametrize(("name", "holds", "break_it"), CASES, ids=[case[0] for case in CASES])
def test_the_rule_holds_and_its_check_sees_it_broken(
    name: str, holds: Callable[[Patch], bool], break_it: Callable[[Patch], None], monkeypatch: Patch
) -> None:
    assert holds(monkeypatch), name
    break_it(monkeypatch)
    assert not holds(monkeypatch), f"{name}: broken, and not seen"
