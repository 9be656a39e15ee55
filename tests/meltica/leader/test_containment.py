"""What a strategy hands over or a venue says never ends a leader: it is refused, dropped or queued, and said."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve

from meltica.core import commands as c
from meltica.core.values import Asset, ClientOrderId, Epoch, Money, Nanos, NodeName, Price, Quantity, Side, StrategyId
from meltica.leader.ports import Order, Promote, Refused, StrategySpec
from meltica.leader.reads import IN_FLIGHT, Question, Reads
from meltica.strategies.base import Context, Handle, HandleState, Strategy
from meltica.venues.base import PublicTrade, ReadFailed, ReadKind, Report
from tests.meltica.leader.world import (
    ACCOUNT,
    CONFIGURED,
    MS,
    QUOTER,
    SETTINGS,
    SYMBOL,
    VENUE,
    Idle,
    Node,
    Quoter,
    S,
    World,
    by,
    submit,
)

OTHER = StrategyId("other")
SIZE = Quantity(Decimal("0.01"))
ZERO = Money(Decimal(0))
EACH = 3  # requests about one doubtful order: by the venue's id, its cancel's and its own
PRINT = PublicTrade(SYMBOL, Price(Decimal(1)), SIZE, buyer_is_maker=False, mono=Nanos(0))


def beside(make: Callable[[], Strategy]) -> World:
    """A world in which `make` runs beside a quoter."""
    policies = (c.StrategyPolicy(QUOTER), c.StrategyPolicy(OTHER))
    world = World(settings=evolve(SETTINGS, configuration=evolve(CONFIGURED, strategies=policies)))
    for node in world.nodes.values():
        node.specs = [*node.specs, StrategySpec(OTHER, VENUE, (SYMBOL,), make)]
        node.leader = node.build()
    return world


def alerts(node: Node, name: str) -> list[str]:
    return [text for alert, text in node.notes.alerts if alert == name]


# --- wishes that cannot be written ------------------------------------------------------------------------


class Asks(Strategy):
    """Asks once for what it is told to ask for; `handles` are the answers."""

    def __init__(self, ask: Callable[[Context], Handle]) -> None:
        self.ask = ask
        self.handles: list[Handle] = []

    def on_ticker(self, context: Context, ticker: Any) -> None:
        if not self.handles:
            self.handles.append(self.ask(context))


def limit(quantity: Any = SIZE, price: Any = "59990", tag: str = "") -> Callable[[Context], Handle]:
    value = Price(Decimal(price)) if isinstance(price, str) else price
    return lambda context: context.limit(SYMBOL, Side.BUY, quantity, value, tag=tag)


WISHES = {
    "a price of 28 digits": (limit(price=Decimal(179990) / 7), "price: expected at most 18 digits behind the point"),
    "its rule is named": (limit(price=Decimal(179990) / 7), "the tick is 0.01"),
    "a quantity of 28 digits": (limit(quantity=Decimal(1) / 7), "round it with floor_to (the step is 0.00001)"),
    "a float": (limit(price=59990.5), "price: expected a finite Decimal, found 59990.5"),
    "no number": (limit(quantity=Decimal("NaN")), "quantity: expected a finite Decimal"),
    "below zero": (limit(price="-1"), "price: expected 0 to 1e18, found -1"),
    "huge": (limit(quantity=Decimal("1E+999999999")), "quantity: expected 0 to 1e18"),
    "tiny": (limit(price="1E-999999999"), "price: expected at most 18 digits"),
    "a tag without end": (limit(tag="x" * 5000), "tag: expected text of at most"),
}


@pytest.mark.parametrize("wish", WISHES)
def test_a_wish_that_cannot_be_written_is_refused_to_its_author_and_leaves_nothing_behind(wish: str) -> None:
    ask, told = WISHES[wish]
    made: list[Asks] = []

    def make() -> Asks:
        made.append(Asks(ask))
        return made[-1]

    world = beside(make)
    node = world.start()
    (handle,) = made[0].handles
    assert handle.state is HandleState.REJECTED
    assert handle.rejection is not None
    assert handle.rejection.code == "bad_order"
    assert told in handle.rejection.text
    assert alerts(node, "BadOrder") == [f"other: {SYMBOL}: {handle.rejection.text}"]
    for _ in range(30):
        world.run(100 * MS)
        world.tick()
    assert not any(name == "mandate_cancel" for name, _ in node.notes.events), "a majority is there"
    assert len(world.exchange.open()) == 2
    assert all(each.running for each in node.leader.status().strategies)
    world.act("n1", Promote(by("p"), NodeName("n2")))
    world.run(1 * S)
    assert world.nodes["n2"].leader.status().active, "the drain waits for nothing"
    assert alerts(node, "HandoverFailed") == []


def test_a_wish_off_the_grid_is_still_for_apply_to_refuse() -> None:
    strategy = Asks(limit(price="59990.001"))
    world = beside(lambda: strategy)
    world.start()
    assert strategy.handles[0].rejection is not None
    assert strategy.handles[0].rejection.code == "filter"


def test_a_cancel_whose_reason_cannot_be_written_stops_its_strategy_and_the_order_goes() -> None:
    class Cancels(Quoter):
        def on_trade(self, context: Context, trade: Any) -> None:
            context.cancel(world.exchange.open()[0].placed_as, 7)  # type: ignore[arg-type] # the mistake

    world = World(Cancels)
    node = world.start()
    node.leader._host.heard(VENUE, PRINT)
    world.run(100 * MS)
    assert "on_trade raised BadCommand" in node.state.strategies[QUOTER].stopped
    assert node.leader._desk.outstanding == 0
    assert world.exchange.open() == []


def test_an_operators_order_that_cannot_be_written_is_refused_and_nothing_waits_for_it() -> None:
    world = World(Idle)
    node = world.start()
    (result,) = world.act("n1", Order(evolve(submit(), price=Price(Decimal(1) / 7))))
    assert isinstance(result, Refused)
    assert result.code == "bad_command"
    world.run(100 * MS)
    assert node.leader._desk.outstanding == 0


def test_evidence_that_cannot_be_written_is_dropped_with_an_alert_that_keeps_what_stood_in_it() -> None:
    world = World(Idle)
    node = world.start()
    desk = node.leader._desk
    desk.evidence(c.Checkpoint(desk.epoch, desk.at, StrategyId("a/b: secret"), ""))
    assert alerts(node, "EvidenceDropped") == [
        "Checkpoint: checkpoint: strategy: expected 1 to 64 printable characters without a slash"
    ]
    assert desk.outstanding == 0


# --- what a strategy gives back ---------------------------------------------------------------------------


class Keeps(Quoter):
    """Its checkpoint is whatever a test puts there."""

    data: Any = ""

    def checkpoint(self) -> str:
        return self.data  # type: ignore[no-any-return] # the mistake


class Exits(Quoter):
    def checkpoint(self) -> str:
        raise SystemExit(1)


class Unsayable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Unsaid(Quoter):
    def checkpoint(self) -> str:
        raise Unsayable


class Surrogate(Quoter):
    def checkpoint(self) -> str:
        raise ValueError("\udcff")


CHECKPOINTS = {
    "nothing": (None, "TypeError: expected text, found NoneType"),
    "bytes": (b"x", "TypeError: expected text, found bytes"),
    "a lone surrogate": ("\udcff", "UnicodeEncodeError"),
    "too large": ("x" * (64 * 1024 + 1), "ValueError: larger than 65536 bytes"),
    "too large when written": ("\x00" * (64 * 1024), "BadCommand: checkpoint:"),
}


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_a_checkpoint_that_no_log_can_carry_stops_its_strategy_and_no_leader(kind: str) -> None:
    Keeps.data, told = CHECKPOINTS[kind]
    assert_stopped_alone(Keeps, f"checkpoint raised {told}")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (Exits, "checkpoint raised SystemExit: 1"),
        (Unsaid, "checkpoint raised Unsayable: (its text cannot be made)"),
        (Surrogate, "checkpoint raised ValueError: \\udcff"),
        (lambda: None, "could not be made: TypeError: expected a Strategy, found NoneType"),
    ],
)
def test_a_strategy_ends_itself_and_not_the_node(make: Any, told: str) -> None:
    assert_stopped_alone(make, told)


def assert_stopped_alone(make: Any, told: str) -> None:
    world = beside(make)
    node = world.start()
    world.run(3 * S)
    assert told in node.state.strategies[OTHER].stopped
    assert node.state.strategies[QUOTER].stopped == ""
    assert len(world.exchange.open()) == 2, "its orders are gone, the quoter's rest"
    world.act("n1", Promote(by("p"), NodeName("n2")))
    world.run(3 * S)
    assert world.nodes["n2"].leader.status().active


# --- more questions than a venue takes --------------------------------------------------------------------


def counted(node: Node, most: list[int]) -> None:
    """Note how many requests of `node` are before the venue, at every read."""
    port, read, out = node.port, node.port.read, [0]

    def counting(asked: Any) -> None:
        def ended() -> None:
            out[0] -= requests([asked])

        out[0] += requests([asked])
        most.append(out[0])
        node.world.after(port.read_latency, ended)
        read(asked)

    port.read = counting


def requests(reads: Iterable[Any]) -> int:
    """How many requests reads may take: one for each id of an order."""
    return sum(max(1, len(each.order_ids) + (each.venue_order_id is not None)) for each in reads)


def full(number: int) -> bool:
    """Whether so many requests are what may be before a venue at once; the last question may exceed it a little."""
    return IN_FLIGHT <= number < IN_FLIGHT + EACH


def doubtful(orders: int) -> World:
    """A world whose active node has left `orders` orders with cancels in doubt."""
    limits = evolve(CONFIGURED.limits, open_orders=1000, open_orders_symbol=1000, orders_second=1000)
    world = World(Idle, evolve(SETTINGS, configuration=evolve(CONFIGURED, limits=limits)))
    world.start()
    for number in range(orders):
        world.act("n1", Order(evolve(submit(request=f"x{number}"), quantity=Quantity(Decimal("0.001")))))
        world.run(2 * MS)
        world.tick()
    world.run(500 * MS)
    assert len(world.exchange.open()) == orders
    world.exchange.answers = "lose"
    world.act("n1", Order(c.Kill(Epoch(0), Nanos(0), "out", by("k"))))
    world.run(10 * MS)
    world.exchange.answers = "answer"
    return world


def test_many_doubtful_orders_are_asked_for_a_few_at_a_time() -> None:
    world = doubtful(100)
    most: list[int] = []
    counted(world.nodes["n2"], most)
    world.kill("n1")
    world.elect("n2")
    world.tick()
    world.run(world.COMMIT)
    asked = world.nodes["n2"].port.reads
    assert max(most) == requests(asked)
    assert full(max(most))
    assert {read.kind for read in asked[:5]} == set(ReadKind) - {ReadKind.ORDER}
    world.run(2 * S)
    assert full(max(most))
    assert len({read.order_ids for read in asked if read.kind is ReadKind.ORDER}) == 100
    assert world.nodes["n2"].leader.status().active
    assert world.exchange.open() == []


def test_what_waits_to_be_asked_outlives_neither_the_lead_nor_a_venue_that_is_silent() -> None:
    world = doubtful(100)
    node = world.nodes["n2"]
    node.port.read_latency = Nanos(3600 * S)
    world.kill("n1")
    world.elect("n2")
    world.run(1 * S)
    first = len(node.port.reads)
    assert full(requests(node.port.reads))
    world.run(4 * S)  # LeaderSettings.read_timeout
    assert full(requests(node.port.reads[first:])), "given up: the next"
    asked = len(node.port.reads)
    assert asked > first
    world.elect("n3")
    world.run(11 * S)
    assert len(node.port.reads) == asked
    assert world.nodes["n3"].leader.status().active


def test_a_question_that_waits_is_not_asked_twice_and_the_rest_goes_before_single_orders() -> None:
    world = World(Idle)
    node = world.start()
    reads = Reads(node.leader._desk)
    before = len(node.port.reads)
    for number in range(IN_FLIGHT + 3):
        name = ClientOrderId(f"{number:032x}")
        reads.ask(Question(VENUE, ReadKind.ORDER, SYMBOL, None, (name,)))
    balances = Question(VENUE, ReadKind.BALANCES)
    reads.ask(balances)
    world.now = Nanos(world.now + 1)
    reads.ask(balances)
    assert reads.pending(balances)
    first = node.port.reads[before]
    assert reads.answered(ReadFailed(first, "503")) is not None
    assert node.port.reads[-1].kind is ReadKind.BALANCES
    assert reads.answered(ReadFailed(node.port.reads[-1], "503")) == balances
    assert not reads.pending(balances)
    assert node.port.reads[-1].kind is ReadKind.ORDER


# --- what a venue says ------------------------------------------------------------------------------------


def test_a_report_that_the_log_cannot_carry_is_dropped_with_an_alert_and_found_again_by_reads() -> None:
    world = World(Idle)
    node = world.start()
    world.act("n1", Order(submit(price="59999")))
    world.run(50 * MS)
    world.exchange.report = False
    (shown,) = world.exchange.open()
    trade = world.exchange.fill(shown.venue_order_id, tell=False)
    filled = world.exchange.orders[shown.venue_order_id].shown
    node.leader.on_report(VENUE, Report(filled, evolve(trade, fee_asset=Asset("")), world.now))
    (text,) = alerts(node, "EvidenceDropped")
    assert text.startswith("FillSeen: fill_seen: fee_asset: expected 1 to 64")
    world.run(5 * S)
    (order,) = node.state.orders.values()
    assert order.filled == order.quantity, "a read of trades brought it"
    assert node.leader.status().active


# --- time -------------------------------------------------------------------------------------------------


def test_a_drain_that_does_not_end_is_due_when_it_is_given_up_and_not_before() -> None:
    world = World(Idle)
    node = world.start()
    node.leader._desk.propose(c.BalanceSeen(Epoch(1), Nanos(1), VENUE, ACCOUNT, Asset("BTC"), ZERO, ZERO))
    world.majority = False
    handover = node.leader._handover
    begun = world.now
    handover.begin(NodeName("n2"), "test", lambda _result: None)
    due = handover.next_due()
    assert due is not None
    assert due > begun
    handover.work(Nanos(due - 1))
    assert handover.running
    assert handover.next_due() == due, "never a time at which there is nothing to do"
    handover.work(due)
    assert not handover.running
    assert alerts(node, "HandoverFailed") == ["the sends in flight did not end"]
