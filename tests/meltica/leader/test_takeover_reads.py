"""What a takeover reads before authority: what is missing is committed first, and what is unread trades nothing."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve

from cluster.types import NotLeader
from meltica.core import commands as c
from meltica.core.codec import decode_command
from meltica.core.values import Asset, ClientOrderId, Nanos, Price, Quantity, Side, Trading
from meltica.leader.status import Phase
from meltica.strategies.base import Context
from meltica.venues.base import Read, ReadKind
from tests.meltica.leader.world import ACCOUNT, MS, SYMBOL, VENUE, Idle, Node, S, World

KEY = (VENUE, ACCOUNT, SYMBOL)


class Watching(Idle):
    """Remembers what it was started on."""

    def __init__(self) -> None:
        super().__init__()
        self.began: tuple[Decimal, str] | None = None

    def on_start(self, context: Context) -> None:
        super().on_start(context)
        self.began = (context.position(SYMBOL), context.quotable(SYMBOL))


def in_doubt(answers: str, filled: str | None = None) -> World:
    """n1 sends an order and hears nothing more of it, is killed, and the wait for its sends is over."""
    world = World(make=Watching)
    world.start()
    world.run(S)
    world.exchange.answers, world.exchange.report = answers, False
    strategy = world.made[-1]
    assert isinstance(strategy, Watching)
    strategy.contexts[-1].limit(SYMBOL, Side.BUY, Quantity(Decimal("0.01")), Price(Decimal(59990)))
    world.run(10 * MS)
    if filled is not None:
        (name,) = world.exchange.orders
        world.exchange.fill(name, filled, tell=False)
    world.run(S)
    world.exchange.answers = "answer"
    world.kill("n1")
    world.tick()
    return world


def began(world: World) -> tuple[Decimal, str]:
    strategy = world.made[-1]
    assert isinstance(strategy, Watching)
    assert strategy.began is not None
    return strategy.began


def log_of(world: World, term: int) -> list[str]:
    return [decode_command(raw)[0] for entry in world.log if entry.term == term for raw in entry.commands]


def reading(node: Node, instead: Callable[[Read, Callable[[Read], None]], None]) -> None:
    """Let `instead` do this node's reads."""
    real = node.port.read

    def read(asked: Read) -> None:
        instead(asked, real)

    node.port.read = read  # type: ignore[method-assign] # a venue that reads otherwise


def hanging(*kinds: ReadKind, after: int = 0) -> Callable[[Read, Callable[[Read], None]], None]:
    """Reads of these kinds get no answer, but for the first `after` of them."""
    left = [after]

    def instead(asked: Read, real: Callable[[Read], None]) -> None:
        if asked.kind in kinds:
            left[0] -= 1
        if asked.kind not in kinds or left[0] >= 0:
            real(asked)

    return instead


def phase_of(node: Node) -> Phase:
    return node.leader.status().phase


def blocked(node: Node) -> str:
    return node.leader.status().blocked.get((VENUE, SYMBOL), "")


@pytest.mark.parametrize("order_first", [False, True])
def test_a_fill_whose_answer_and_report_were_lost_is_committed_before_authority(*, order_first: bool) -> None:
    world = in_doubt("drop", filled="0.01")
    node = world.nodes["n2"]

    def slower(asked: Read, real: Callable[[Read], None]) -> None:
        late = ReadKind.TRADES if order_first else ReadKind.ORDER
        node.port.read_latency = Nanos(3 * MS if asked.kind is late else 2 * MS)
        real(asked)

    reading(node, slower)
    world.elect("n2")
    world.run(50 * MS)
    log = log_of(world, 2)
    assert log.index("fill_seen") < log.index("authority_taken")
    assert began(world) == (Decimal("1.01"), "")


def test_a_fill_that_the_first_read_of_trades_did_not_show_yet_is_read_again_before_authority() -> None:
    world = in_doubt("drop", filled="0.01")
    kept, world.exchange.trades = world.exchange.trades, []
    node = world.nodes["n2"]

    def late(asked: Read, real: Callable[[Read], None]) -> None:
        real(asked)
        if asked.kind is ReadKind.TRADES:
            world.exchange.trades = kept  # a moment after the first read of them

    reading(node, late)
    world.elect("n2")
    world.run(50 * MS)
    assert [read.kind for read in node.port.reads].count(ReadKind.TRADES) == 2
    log = log_of(world, 2)
    assert log.index("fill_seen") < log.index("authority_taken")
    assert began(world) == (Decimal("1.01"), "")


def test_where_nothing_is_missing_no_read_is_waited_for_twice() -> None:
    for filled in (None, "0.01"):
        world = in_doubt("drop", filled)
        node = world.nodes["n2"]
        world.elect("n2")
        world.run(50 * MS)
        assert [read.kind for read in node.port.reads].count(ReadKind.TRADES) == 1
        marks = node.leader.status().marks_ns
        assert marks["reconciled"] - marks["epoch_committed"] <= 2 * MS + (2 * MS if filled else 0)


@pytest.mark.parametrize("about", ["trades", "stranger"])
def test_fills_that_cannot_be_read_block_their_symbol_when_the_patience_is_over(about: str) -> None:
    world = in_doubt("drop", filled="0.01")
    node = world.nodes["n2"]
    kept, world.exchange.trades = world.exchange.trades, []
    if about == "trades":  # the order's execution is shown, and its trade never is
        instead = hanging(ReadKind.TRADES, after=1)
    else:  # the trade is shown, of an order that nobody can be asked about
        world.exchange.trades = kept
        instead = hanging(ReadKind.ORDER)
    reading(node, instead)
    world.elect("n2")
    world.run(900 * MS)
    assert phase_of(node) is Phase.RECONCILING
    world.run(200 * MS)
    assert phase_of(node) is Phase.ACTIVE
    position, why = began(world)
    assert (position, bool(why)) == (1, True)
    world.exchange.trades = kept
    del node.port.read  # type: ignore[method-assign] # the venue answers again
    world.run(40 * S)
    assert node.state.position_of(KEY).traded == Decimal("0.01")
    assert not blocked(node)


def test_executions_that_no_read_of_trades_explains_block_their_symbol_until_one_does() -> None:
    world = in_doubt("drop", filled="0.01")
    node = world.nodes["n2"]
    kept, world.exchange.trades = world.exchange.trades, []
    world.elect("n2")
    world.run(50 * MS)
    position, why = began(world)
    assert position == 1
    assert "do not add up" in why
    world.exchange.trades = kept
    world.run(10 * S)
    assert node.state.position_of(KEY).traded == Decimal("0.01")
    assert not blocked(node)


def test_a_doubt_that_nobody_answered_keeps_its_symbol_to_cancels() -> None:
    world = in_doubt("lose")
    node = world.nodes["n2"]
    reading(node, hanging(ReadKind.ORDER))
    world.elect("n2")
    world.run(1200 * MS)
    assert phase_of(node) is Phase.ACTIVE
    assert "no answer yet" in began(world)[1]
    world.run(4 * S)
    assert "no answer in time" in blocked(node), "and so when that read is given up"
    del node.port.read  # type: ignore[method-assign] # the venue answers again
    world.run(4 * S)
    assert not blocked(node)


def test_a_send_of_this_nodes_own_older_epoch_is_looked_up_though_its_adapter_still_waits() -> None:
    world = World(make=Idle)
    node = world.start()
    world.run(S)
    arrive = world.exchange.arrive
    world.exchange.arrive = lambda port, effect, send_by: None  # type: ignore[method-assign] # lost; no answer comes
    strategy = world.made[-1]
    assert isinstance(strategy, Idle)
    strategy.contexts[-1].limit(SYMBOL, Side.BUY, Quantity(Decimal("0.01")), Price(Decimal(59990)))
    world.run(10 * MS)
    world.exchange.arrive = arrive  # type: ignore[method-assign] # the venue is back
    world.depose()
    world.run(500 * MS)
    before = len(node.port.reads)
    world.elect("n1")
    world.run(S)
    (order,) = node.state.live_orders()
    asked: list[ClientOrderId] = [name for read in node.port.reads[before:] for name in read.order_ids]
    assert order.id in asked
    assert order.state == "absent"


def test_authority_is_not_taken_before_evidence_that_replication_refused_for_a_moment() -> None:
    world = in_doubt("drop", filled="0.01")
    node = world.nodes["n2"]
    propose, refused = node.cluster.propose, [0]

    def busy(command: c.Command, on_outcome: Any) -> None:
        if isinstance(command, c.FillSeen) and refused[0] < 3:
            refused[0] += 1
            on_outcome(NotLeader(None))
            return
        propose(command, on_outcome)

    node.cluster.propose = busy  # type: ignore[method-assign] # a full queue, for a moment
    world.elect("n2")
    world.run(500 * MS)
    assert refused == [3]
    log = log_of(world, 2)
    assert log.index("fill_seen") < log.index("authority_taken")
    assert began(world) == (Decimal("1.01"), "")


@pytest.mark.parametrize("kind", [ReadKind.OPEN_ORDERS, ReadKind.TRADES])
def test_a_full_read_that_shows_the_order_itself_never_proves_it_dead(kind: ReadKind) -> None:
    world = World()
    node = world.start()
    world.run(15 * S)
    order = node.state.live_orders()[0]
    assert order.venue_order_id is not None
    world.exchange.fill(order.venue_order_id, "0.004")
    real = world.exchange.read

    def contradicts(asked: Read) -> dict[str, Any]:
        """A venue whose read of one order finds nothing, while another read shows it."""
        answer = real(asked)
        return answer if asked.kind not in {ReadKind.ORDER, ReadKind.OPEN_ORDERS} - {kind} else {"orders": ()}

    world.exchange.read = contradicts  # type: ignore[method-assign] # see there
    node.leader._recon.want(order.id)
    seen = set()
    for _ in range(80):
        world.run(100 * MS)
        seen.add(node.state.orders[order.id].final_reads)
    assert seen == {0}
    assert not node.state.orders[order.id].closed


def test_death_waits_for_the_settle_of_the_log_not_for_that_of_this_nodes_file() -> None:
    world = in_doubt("lose")
    node = world.nodes["n2"]
    node.port.capabilities = evolve(node.port.capabilities, settle=Nanos(0))
    world.elect("n2")
    world.run(8 * S)
    (order,) = node.state.orders.values()
    assert (order.state, order.final_reads) == ("absent", 0)
    world.run(6 * S)
    assert node.state.orders[order.id].state == "dead"


def test_a_takeover_reads_the_rate_limits_counters_and_a_gap_does_not() -> None:
    world = World()
    node = world.start()
    world.run(S)

    def counted() -> int:
        return [read.kind for read in node.port.reads].count(ReadKind.ORDER_COUNTS)

    assert counted() == 1
    node.leader.on_stream_gap(VENUE, "cut")
    world.run(400 * S)
    assert counted() == 1, "periodic reads neither"


def test_a_gap_within_a_takeover_does_not_lose_the_counters() -> None:
    world = World()
    node = world.start()
    world.kill("n1")
    node = world.nodes["n2"]
    node.port.failing = {ReadKind.ORDER_COUNTS}
    world.elect("n2")
    world.run(50 * MS)
    node.leader.on_stream_gap(VENUE, "cut")
    world.run(50 * MS)
    assert phase_of(node) is Phase.RECONCILING
    node.port.failing = set()
    world.run(500 * MS)
    assert phase_of(node) is Phase.ACTIVE


def test_balances_that_the_fills_do_not_explain_yet_hold_no_takeover_up() -> None:
    """Measured: fills of the gap beside the balance read look so for two seconds, in one of 20 freezes of a leader."""
    world = World(make=Watching)
    world.start()
    world.run(17 * S)  # longer than a read may lag: the successor knows what was held
    world.kill("n1")
    world.exchange.balances[Asset("BTC")] -= Decimal("0.5")  # and no fill says why
    world.run(S)
    world.elect("n2")
    node = world.nodes["n2"]
    world.run(100 * MS)
    assert node.leader.status().active
    assert not blocked(node)
    assert began(world)[1] == ""
    world.run(6 * S)
    assert node.state.risk.trading is Trading.REDUCING
