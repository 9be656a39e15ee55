"""Holdings: what the venue says that an account holds reaches the log, and what the fills do not explain is told."""

from __future__ import annotations

from decimal import Decimal

from meltica.core import commands as c
from meltica.core.codec import decode_command
from meltica.core.values import Asset, Money, Trading
from meltica.leader.ports import Order as OrderAction
from meltica.venues.base import BalanceReport, BalanceShown, ReadKind
from tests.meltica.leader.world import ACCOUNT, MS, VENUE, Idle, Node, S, World, submit

BTC = Asset("BTC")


def quiet() -> tuple[World, Node]:
    """One node leads, and has watched what the log holds for longer than a read may lag."""
    world = World(make=Idle)
    node = world.start()
    world.run(17 * S)
    return world, node


def tell(world: World, node: Node, total: str, asset: Asset = BTC) -> None:
    """The user stream says so."""
    shown = BalanceShown(asset, Money(Decimal(total)), Money(Decimal(0)))
    node.leader.on_report(VENUE, BalanceReport((shown,), world.now))


def told(world: World, since: int) -> list[tuple[Asset, Decimal]]:
    """Which balances entered the log since it had so many entries."""
    commands = [decode_command(raw)[1] for entry in world.log[since:] for raw in entry.commands]
    return [(each.asset, each.free) for each in commands if isinstance(each, c.BalanceSeen)]


def test_what_the_stream_says_of_balances_enters_the_log_a_quarter_of_a_second_later_and_once() -> None:
    world, node = quiet()
    since = len(world.log)
    for total in ("2", "3", "4"):
        tell(world, node, total)
        world.run(50 * MS)
    assert told(world, since) == []
    world.run(150 * MS)
    assert told(world, since) == [(BTC, 4)]
    tell(world, node, "4")
    world.run(S)
    assert told(world, since) == [(BTC, 4)], "the log has that already"


def test_a_read_drops_what_the_stream_said_before_it() -> None:
    world, node = quiet()
    since = len(world.log)
    tell(world, node, "2")
    world.run(MS)
    world.exchange.balances[BTC] = Decimal(3)
    node.leader.on_stream_gap(VENUE, "cut")
    world.run(S)
    assert told(world, since) == [(BTC, 3)]


def test_what_was_heard_in_an_older_lead_is_told_in_no_newer_one() -> None:
    world, node = quiet()
    since = len(world.log)
    tell(world, node, "2")
    world.depose()
    node.port.failing = {ReadKind.BALANCES}
    world.elect("n1")
    world.run(S)
    assert told(world, since) == []


def test_a_read_that_the_fills_do_not_explain_is_repeated_within_seconds_and_then_told_of() -> None:
    world, node = quiet()
    world.exchange.balances[BTC] -= Decimal("0.5")
    node.leader.on_stream_gap(VENUE, "cut")
    world.run(1900 * MS)
    before = len(node.port.reads)
    world.run(S)
    assert [read.kind for read in node.port.reads[before:]] == [ReadKind.BALANCES]
    assert node.state.risk.trading is Trading.RUNNING
    world.run(2 * S)
    assert [name for name, _ in node.notes.alerts] == ["unexplained_position"]
    assert node.state.risk.trading is Trading.REDUCING
    assert node.state.holdings[VENUE, ACCOUNT, BTC] == 1, "state is never invented"


def test_fills_beside_a_read_are_no_drift() -> None:
    world = World()
    node = world.start()
    for at in (59, 60, 61, 62):
        world.after(at * S, lambda: world.exchange.fill(world.exchange.open()[0].venue_order_id))
        world.after(at * S + 20 * MS, world.tick)
    world.run(59 * S)
    before = len(node.port.reads)
    world.run(8 * S)
    assert [read.kind for read in node.port.reads[before:]].count(ReadKind.BALANCES) == 1, "none was repeated"
    assert not node.notes.alerts


def test_a_read_may_show_a_moment_between_two_trades_that_came_in_one_entry() -> None:
    """The log never held that for any time; the venue did, and its reads lag."""
    world, node = quiet()
    world.act("n1", OrderAction(submit()))
    world.run(S)
    (name,) = world.exchange.orders
    world.exchange.fill(name, "0.004", tell=False)
    between = dict(world.exchange.balances)
    world.exchange.fill(name, "0.003", tell=False)
    after = world.exchange.balances
    node.leader.on_stream_gap(VENUE, "cut")
    world.run(3 * S)
    assert node.state.holdings[VENUE, ACCOUNT, BTC] == after[BTC]
    world.exchange.balances = between
    node.leader.on_stream_gap(VENUE, "again")
    world.run(6 * S)
    world.exchange.balances = after
    world.run(10 * S)
    assert not node.notes.alerts
    assert node.state.risk.trading is Trading.RUNNING
