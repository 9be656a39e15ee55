"""Limits: request weight per address and unfilled orders per account, as Binance counts them.

Pure; times are microseconds of the venue's clock.  Intervals are aligned (a minute starts at :00), so a count falls
to zero when its interval ends.  What goes on asking after 429 is banned: 2 minutes, then twice as long each time, up
to 3 days.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field

from meltica.paper import errors
from meltica.paper.ports import OrderLimits

SECOND = 1_000_000
MINUTE = 60 * SECOND
DAY = 24 * 60 * MINUTE
TEN_SECONDS = 10 * SECOND

REFUSALS_BEFORE_BAN = 10  # the pages say "repeatedly"
FIRST_BAN = 2 * MINUTE
LONGEST_BAN = 3 * DAY

TAKER_CREDIT = 1
MAKER_CREDIT = 5  # the pages' example: a first fill as maker takes five off


@define
class _Bucket:
    """A count within one aligned interval."""

    length: int
    start: int = -1
    used: int = 0

    def at(self, clock: int) -> int:
        start = clock - clock % self.length
        if start > self.start:  # a clock that was set back stays in the later interval
            self.start, self.used = start, 0
        return self.used

    def add(self, clock: int, amount: int) -> None:
        self.at(clock)
        self.used = max(0, self.used + amount)

    def ends_ms(self) -> int:
        return (self.start + self.length) // 1000


@define
class AddressLimits:
    """One address's weight, refusals and ban."""

    limits: OrderLimits
    weight: _Bucket = field(factory=lambda: _Bucket(MINUTE))
    refusals: int = 0
    bans: int = 0
    banned_until: int = 0

    def ask(self, weight: int, clock: int) -> None:
        """Charge `weight`.

        Raises:
            ApiError: -1003, status 429, or 418 while banned.
        """
        if clock < self.banned_until:
            raise errors.banned(self.banned_until // 1000, clock // 1000)
        minute = self.weight.start
        used = self.weight.at(clock)
        if self.weight.start != minute:
            self.refusals = 0
        if used + weight <= self.limits.weight_per_minute:
            self.weight.add(clock, weight)
            return
        self.refuse(clock)

    def refuse(self, clock: int) -> None:
        """Say 429, and 418 to one who does not hear it.

        Raises:
            ApiError: always.
        """
        self.refusals += 1
        if self.refusals > REFUSALS_BEFORE_BAN:
            self.ban(min(LONGEST_BAN, FIRST_BAN << self.bans), clock)
        self.weight.at(clock)
        raise errors.over_weight(self.limits.weight_per_minute, self.weight.ends_ms(), clock // 1000)

    def ban(self, length: int, clock: int) -> None:
        """Ban for `length` microseconds.

        Raises:
            ApiError: always; status 418.
        """
        self.bans += 1
        self.refusals = 0
        self.banned_until = clock + length
        raise errors.banned(self.banned_until // 1000, clock // 1000)

    def charge(self, weight: int, clock: int) -> None:
        """Add weight after the fact (a place or cancel weighs only if it failed)."""
        self.weight.add(clock, weight)

    def used(self, clock: int) -> int:
        """This minute's weight."""
        return self.weight.at(clock)


@define
class AccountLimits:
    """One account's unfilled orders in 10 seconds and in a day."""

    limits: OrderLimits
    short: _Bucket = field(factory=lambda: _Bucket(TEN_SECONDS))
    long: _Bucket = field(factory=lambda: _Bucket(DAY))

    def ask(self, clock: int) -> None:
        """Whether one more order may be placed; counts nothing.

        Raises:
            ApiError: -1015, status 429.
        """
        if self.short.at(clock) >= self.limits.orders_per_10_s:
            raise errors.too_many_orders(self.limits.orders_per_10_s, "10 SECOND", self.short.ends_ms())
        if self.long.at(clock) >= self.limits.orders_per_day:
            raise errors.too_many_orders(self.limits.orders_per_day, "1 DAY", self.long.ends_ms())

    def placed(self, clock: int) -> None:
        """Count an order."""
        self.short.add(clock, 1)
        self.long.add(clock, 1)

    def first_fill(self, clock: int, *, maker: bool) -> None:
        """Give back what an order's first fill gives back."""
        credit = MAKER_CREDIT if maker else TAKER_CREDIT
        self.short.add(clock, -credit)
        self.long.add(clock, -credit)

    def rows(self, clock: int) -> list[dict[str, Any]]:
        """The ORDERS rows of `rateLimits`, with counts."""
        return [
            _row("ORDERS", "SECOND", 10, self.limits.orders_per_10_s, self.short.at(clock)),
            _row("ORDERS", "DAY", 1, self.limits.orders_per_day, self.long.at(clock)),
        ]


def weight_row(limits: OrderLimits, used: int) -> dict[str, Any]:
    """The REQUEST_WEIGHT row of `rateLimits`."""
    return _row("REQUEST_WEIGHT", "MINUTE", 1, limits.weight_per_minute, used)


def stated(limits: OrderLimits) -> list[dict[str, Any]]:
    """The rateLimits of exchangeInfo: limits without counts."""
    return [
        _row("REQUEST_WEIGHT", "MINUTE", 1, limits.weight_per_minute, None),
        _row("ORDERS", "SECOND", 10, limits.orders_per_10_s, None),
        _row("ORDERS", "DAY", 1, limits.orders_per_day, None),
    ]


def _row(kind: str, interval: str, number: int, limit: int, count: int | None) -> dict[str, Any]:
    row: dict[str, Any] = {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
    if count is not None:
        row["count"] = count
    return row
