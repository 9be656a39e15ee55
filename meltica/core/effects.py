"""Effects: the sends that an applied entry orders.

Only frozen descriptions may live here.  An effect is discarded by every node that is not active; the
active node hands it to its venue at most once, under `intent`, before its authority window ends.
"""

from __future__ import annotations

from attrs import frozen

from meltica.core.values import (
    Account,
    ClientOrderId,
    Epoch,
    Index,
    OrderType,
    Price,
    Quantity,
    Side,
    StrategyId,
    Symbol,
    TimeInForce,
    Venue,
    VenueOrderId,
)


@frozen
class PlaceOrder:
    """Send a new order; `intent` is its client order id."""

    intent: ClientOrderId
    epoch: Epoch
    index: Index
    venue: Venue
    account: Account
    symbol: Symbol
    strategy: StrategyId
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    post_only: bool
    quantity: Quantity
    price: Price | None  # None for a market order


@frozen
class CancelOrder:
    """Ask for `order` to be gone; `intent` is the cancel's own id (the venue may rename the order to it)."""

    intent: ClientOrderId
    epoch: Epoch
    index: Index
    venue: Venue
    account: Account
    symbol: Symbol
    order: ClientOrderId
    venue_order_id: VenueOrderId | None  # when known, the cancel names it


Effect = PlaceOrder | CancelOrder
