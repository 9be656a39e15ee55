"""Events: what an applied command means to strategies, telemetry and the audit trail.

Only frozen descriptions may live here.  They are derived from the state change on every node alike; the
strategy host of the active node turns them into callbacks, every node turns them into metrics.
"""

from __future__ import annotations

import enum

from attrs import frozen

from meltica.core.effects import Effect
from meltica.core.values import (
    Account,
    Asset,
    ClientOrderId,
    Epoch,
    Index,
    Money,
    Price,
    Quantity,
    Side,
    StrategyId,
    Symbol,
    TradeId,
    Trading,
    Venue,
)


class OrderEventKind(enum.StrEnum):
    """What happened to an order."""

    ACKNOWLEDGED = "acknowledged"
    PARTIAL_FILL = "partial_fill"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"  # by the venue
    EXPIRED = "expired"
    LAPSED = "lapsed"
    IN_DOUBT = "in_doubt"
    ABSENT = "absent"
    DEAD = "dead"


@frozen
class OrderEvent:
    """An order's life moved on."""

    kind: OrderEventKind
    order: ClientOrderId
    strategy: StrategyId
    venue: Venue
    symbol: Symbol
    reason: str = ""


@frozen
class FillEvent:
    """A fill entered a position, for the first and only time."""

    order: ClientOrderId | None
    strategy: StrategyId | None
    venue: Venue
    account: Account
    symbol: Symbol
    trade_id: TradeId
    side: Side
    price: Price
    quantity: Quantity
    fee: Money
    fee_asset: Asset
    maker: bool


@frozen
class RiskEvent:
    """The risk state changed."""

    trading: Trading
    cause: str
    risk_index: int


@frozen
class BalanceEvent:
    """A balance as the venue shows it."""

    venue: Venue
    account: Account
    asset: Asset
    free: Money
    locked: Money


@frozen
class AuthorityEvent:
    """An epoch was started, taken or released."""

    what: str  # "started", "taken", "released"
    epoch: Epoch
    node: str
    cancels_only: bool = False


@frozen
class DiscrepancyEvent:
    """Something that the log does not explain: reported by a leader, or seen by apply itself.

    Apply's own kinds are overfill, conflicting_fill and conflicting_order.
    """

    kind: str
    venue: Venue
    account: Account
    subject: str
    expected: str
    found: str
    tightened: bool


Event = OrderEvent | FillEvent | RiskEvent | BalanceEvent | AuthorityEvent | DiscrepancyEvent


@frozen
class Rejection:
    """Why a command had no effect; for a limit: its name, the value that it would have had, the bound."""

    code: str  # lower_snake: "stale_epoch", "limit", "bad_price", "halted", "garbage", ...
    text: str
    limit: str = ""
    value: str = ""
    bound: str = ""


@frozen
class CommandResult:
    """What applying one command did.  `intents` are the ids of the sends that it ordered."""

    index: Index
    place: int  # the command's place in its entry
    kind: str  # its wire word, or "garbage"
    rejection: Rejection | None = None
    effects: tuple[Effect, ...] = ()
    events: tuple[Event, ...] = ()
    duplicate: bool = False  # a retried operator's request: done before, nothing changed now
    order: ClientOrderId | None = None  # of an accepted Submit
    chain: bytes = b""  # the hash chain over all commands, up to and including this one

    @property
    def accepted(self) -> bool:
        """Whether the command took effect (or had already, under the same request id)."""
        return self.rejection is None
