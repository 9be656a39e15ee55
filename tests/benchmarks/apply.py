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

from meltica.core import commands as c
from meltica.core.codec import decode_command, encode_command
from meltica.core.effects import PlaceOrder
from meltica.core.values import Nanos, Side
from meltica.machine import Machine
from tests.meltica.core.harness import LIMITS, Hand, trade, trading, updated, wish


def workload(count: int) -> tuple[Hand, list[bytes]]:
    """`count` commands as they would be in a log, made by applying them once."""
    hand = trading()
    hand.configure(
        evolve(LIMITS, orders_second=10_000, executed_notional_minute=Decimal(10**12), position=Decimal(10**9))
    )
    first = len(hand.log)
    number = 0
    while len(hand.log) - first < count:
        number += 1
        side = Side.BUY if number % 2 else Side.SELL
        hand.now += 100_000_000
        price = str(60_000 + number % 50)
        result = hand.ok(wish(side, "0.01", price))
        (effect,) = result.effects
        if not isinstance(effect, PlaceOrder):
            raise TypeError
        order = hand.accept(hand.state.orders[effect.intent])
        hand.do(updated(order, "open"))
        if number % 3 == 0:
            hand.do(evolve(trade(number, order, "0.01", price), fee=Decimal("0.00001"), fee_asset="BTC"))
            hand.do(updated(order, "filled", "0.01"))
        else:
            sent = hand.do(c.Cancel(hand.epoch, Nanos(0), order.id, "requote"))
            hand.do(c.Answered(hand.epoch, Nanos(0), sent.effects[0].intent, accepted=True, status="cancelled"))
            hand.do(updated(order, "cancelled"))
    return hand, [raw for _, _, commands in hand.log for raw in commands]


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    batch = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    hand, commands = workload(count)
    machine = Machine()
    entries = [tuple(commands[i : i + batch]) for i in range(0, len(commands), batch)]
    begin = time.process_time()
    for index, entry in enumerate(entries, 1):
        # the log's own indexes matter: ids are computed from them
        machine.apply(index, 1, entry)  # type: ignore[arg-type] # plain numbers
    whole = time.process_time() - begin
    begin = time.process_time()
    for raw in commands:
        decode_command(raw)
    decoding = time.process_time() - begin
    same = machine.state.digest() == hand.state.digest() if batch == 1 else None
    each, first = whole / len(commands), f"{len(commands)} commands, {batch} an entry"
    lines = [
        f"{first}: {1 / each:,.0f}/s, {each * 1e6:.1f} us each",
        f"of which decoding {decoding / len(commands) * 1e6:.1f} us; same digest as when made: {same}",
        f"(one encode: {_encode_cost(commands):.1f} us)",
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
