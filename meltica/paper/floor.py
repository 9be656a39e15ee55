"""Floor: what all parts of the venue stand on: its clock, its engine, its agenda, its accounts, what goes out.

Sans-IO.  The parts (desk, reads, streams) share one floor and know each other only through it.

Two time lines: the venue's clock (`clock`, with the offset of a fault, which deadlines and stamps go by) and the
exchange's (`engine_time`, which never goes back, and may run at another speed than the clock).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction

from meltica.paper import ledger
from meltica.paper.agenda import Agenda
from meltica.paper.calls import Conn
from meltica.paper.faults import Fault, Faults
from meltica.paper.limits import AccountLimits, AddressLimits
from meltica.paper.ports import AccountSettings, Close, ConnId, Delays, LedgerSink, OrderLimits, Output, Span, Times
from meltica.paper.readview import ReadView
from meltica.paper.types import Exchange

_ID_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_LENGTH = 22


class TimeLine:
    """Maps the venue's microseconds to the exchange's and back; the market may run `speed` times as fast."""

    def __init__(self, start_us: int, speed: Fraction) -> None:
        self.start_us = start_us
        self.speed = speed

    def to_exchange(self, at: int) -> int:
        """The exchange's time when the venue's is `at`."""
        if self.speed == 1:
            return at
        return self.start_us + int((at - self.start_us) * self.speed)

    def from_exchange(self, at: int) -> int:
        """The earliest venue time at which the exchange's is `at`."""
        if self.speed == 1:
            return at
        return self.start_us + -int(-(at - self.start_us) // self.speed)


class Floor:
    """The shared ground."""

    def __init__(
        self,
        exchange: Exchange,
        accounts: Sequence[AccountSettings],
        *,
        seed: int,
        sink: LedgerSink,
        delays: Delays,
        limits: OrderLimits,
        offset_ns: int,
        line: TimeLine | None,
    ) -> None:
        self.exchange = exchange
        self.delays = delays
        self.limits = limits
        self.offset_ns = offset_ns
        self.recorder = ledger.Recorder(sink)
        self.agenda = Agenda()
        self.view = ReadView()
        self.now = Times(0, 0)
        self.faults = Faults(random.Random(f"{seed}/faults"), self._fault_changed)  # noqa: S311 - seeded on purpose
        self.keys = {account.api_key: account for account in accounts}
        self.counts = {account.name: AccountLimits(limits) for account in accounts}
        self.addresses: dict[str, AddressLimits] = {}
        self.connections: dict[ConnId, Conn] = {}
        self.out: list[Output] = []
        self._line = line
        self._engine_now = 0
        self._delays_rng = random.Random(f"{seed}/delays")  # noqa: S311 - seeded on purpose
        self._ids_rng = random.Random(f"{seed}/ids")  # noqa: S311 - seeded on purpose
        for account in accounts:
            exchange.open_account(account.name, dict(account.balances))
            self.view.open_account(account.name, exchange.balances(account.name), 0)

    # --- time ---------------------------------------------------------------------------------------------

    def base(self, now: Times) -> int:
        """The venue's clock without faults, microseconds."""
        return (now.wall_ns + self.offset_ns) // 1000

    def clock(self, now: Times) -> int:
        """The venue's clock as clients see it, microseconds."""
        return self.base(now) + self.faults.offset_ms() * 1000

    def engine_time(self, now: Times) -> int:
        """The exchange's clock, microseconds."""
        base = self.base(now)
        at = self._line.to_exchange(base) if self._line else base
        self._engine_now = max(self._engine_now, at)
        return self._engine_now

    def shown(self, at: int) -> int:
        """The exchange's time `at` on the venue's time line."""
        return self._line.from_exchange(at) if self._line else at

    def from_shown(self, at: int) -> int:
        """The exchange's time when the venue's is `at`."""
        return self._line.to_exchange(at) if self._line else at

    def mono_of(self, exchange_at: int) -> int:
        """When, on the driver's monotonic clock, the exchange's time will be `exchange_at`."""
        wall = self.shown(exchange_at) * 1000 - self.offset_ns
        return self.now.mono_ns + (wall - self.now.wall_ns)

    def unit_us(self, at: int, *, micro: bool) -> int:
        """Venue microseconds in the client's unit."""
        return at if micro else at // 1000

    # --- chance -------------------------------------------------------------------------------------------

    def draw(self, span: Span) -> int:
        """A delay, nanoseconds."""
        return self._delays_rng.randint(span.low, span.high)

    def new_id(self) -> str:
        """A client order id as Binance makes one up."""
        return "".join(self._ids_rng.choices(_ID_LETTERS, k=_ID_LENGTH))

    # --- connections and what goes out ----------------------------------------------------------------------

    def address(self, conn: Conn) -> AddressLimits:
        """The limits of the address that a connection comes from."""
        limits = self.addresses.get(conn.address)
        if limits is None:
            limits = self.addresses[conn.address] = AddressLimits(self.limits)
        return limits

    def silent(self, conn: Conn) -> bool:
        """Whether nothing comes on this connection."""
        return "silence" in self.faults.kinds and self.faults.peek("silence", conn.subject()) is not None

    def emit(self, conn: Conn, output: Output) -> None:
        """Put something out on a connection that is still there."""
        if conn.id in self.connections and not self.silent(conn):
            self.out.append(output)

    def drop(self, conn: Conn, code: int, reason: str) -> None:
        """Close a connection from our side."""
        if self.connections.pop(conn.id, None) is not None:
            self.out.append(Close(conn.id, code, reason))

    # --- ledger -------------------------------------------------------------------------------------------

    def _fault_changed(self, action: str, fault: Fault) -> None:
        self.recorder.write(ledger.fault_fields(fault.kind, action, fault.target.text()), self.now)
