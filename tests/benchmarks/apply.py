"""How many commands one core applies in a second: decode, decide, encode what changed, digest, audit.

    python tests/benchmarks/apply.py [commands] [commands per entry]

The mix is a market maker's: a submit, its answer, a report, and either a fill or a cancel with answer and report.
The rate that counts is the machine's whole work; it says as well what the parts cost.
"""

from __future__ import annotations

import sys
import time
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from attrs import evolve

from cluster.types import LogIndex, Term
from meltica.core import commands as c
from meltica.core.codec import decode_command, encode_command
from meltica.core.orders import Order
from meltica.core.values import ClientOrderId, Epoch, Nanos, Side, VenueOrderId
from meltica.machine import Machine
from tests.meltica.core.harness import LIMITS, Hand, trade, trading, updated, wish


def workload(count: int, batch: int) -> Hand:
    """A log of about `count` commands, `batch` of them an entry, made by applying them once."""
    hand = trading()
    roomy = {"open_orders": 10_000, "open_orders_symbol": 10_000, "orders_second": 10_000}
    money = {"executed_notional_minute": Decimal(10**12), "position": Decimal(10**9), "gross_notional": Decimal(10**9)}
    hand.configure(evolve(LIMITS, **roomy, **money))
    made, number = 0, 0
    while made < count:
        hand.now += 100_000_000
        sides = [Side.BUY if one % 2 else Side.SELL for one in range(number, number + batch)]
        prices = [str(60_000 + one % 50) for one in range(number, number + batch)]
        results = hand.many(*[wish(side, "0.01", price) for side, price in zip(sides, prices, strict=True)])
        orders = [hand.state.orders[result.order] for result in results if result.order is not None]
        number += batch
        hand.many(*[_answered(order, f"v{order.index}.{place}") for place, order in enumerate(orders)])
        orders = [hand.state.orders[order.id] for order in orders]
        hand.many(*[updated(order, "open") for order in orders])
        done = orders[: len(orders) // 3] if batch > 2 else orders[: number % 3 == 0]
        rest = orders[len(done) :]
        if done:
            hand.many(*[_bought(number + place, order) for place, order in enumerate(done)])
            hand.many(*[updated(order, "filled", "0.01") for order in done])
        if rest:
            sent = hand.many(*[c.Cancel(hand.epoch, Nanos(0), order.id, "requote") for order in rest])
            hand.many(*[_cancelled(result.effects[0].intent) for result in sent])
            hand.many(*[updated(order, "cancelled") for order in rest])
        made = sum(len(commands) for _, _, commands in hand.log)
    return hand


def _answered(order: Order, name: str) -> c.Answered:
    return c.Answered(Epoch(0), Nanos(0), order.id, accepted=True, venue_order_id=VenueOrderId(name), status="open")


def _cancelled(intent: ClientOrderId) -> c.Answered:
    return c.Answered(Epoch(0), Nanos(0), intent, accepted=True, status="cancelled")


def _bought(number: int, order: Order) -> c.FillSeen:
    return evolve(trade(number, order, "0.01"), fee=Decimal("0.00001"), fee_asset="BTC")


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    batch = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    hand = workload(count, batch)
    commands = [raw for _, _, entry in hand.log for raw in entry]
    machine = Machine()
    begin = time.process_time()
    for index, term, entry in hand.log:
        machine.apply(LogIndex(index), Term(term), entry)
    each = (time.process_time() - begin) / len(commands)
    begin = time.process_time()
    for raw in commands:
        decode_command(raw)
    decoding = (time.process_time() - begin) / len(commands)
    begin = time.process_time()
    for _ in range(1_000_000):
        pass
    loop = time.process_time() - begin
    lines = [
        f"{len(commands)} commands, {batch} an entry: {1 / each:,.0f}/s, {each * 1e6:.1f} us each",
        f"of which decoding {decoding * 1e6:.1f} us; one encode by a proposer {_encode_cost(commands):.1f} us",
        f"same digest as when made: {machine.state.digest() == hand.state.digest()}",
        f"(an empty loop of a million takes this machine {loop * 1e3:.0f} ms now)",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def _encode_cost(commands: list[bytes]) -> float:
    decoded = [decode_command(raw)[1] for raw in commands[:2000]]
    begin = time.process_time()
    for command in decoded:
        encode_command(command)
    return (time.process_time() - begin) / len(decoded) * 1e6


if __name__ == "__main__":
    main()
