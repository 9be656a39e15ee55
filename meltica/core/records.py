"""Records: what the state keeps besides orders, positions and risk.

Only frozen shapes may live here.  Each is stored under one key, written as canonical JSON by the codec; a golden
file pins each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import field, frozen

from meltica.core.commands import Limits, NodeReport, StrategyPolicy
from meltica.core.values import (
    Account,
    Asset,
    ClientOrderId,
    Epoch,
    Index,
    Mode,
    Money,
    Nanos,
    NodeName,
    Price,
    Quantity,
    RequestId,
    Side,
    StrategyId,
    Symbol,
    TradeId,
    Venue,
    VenueOrderId,
)

MAX_MEMBERS: Final = 16  # of an epoch's start, as of replication
MAX_LATE: Final = 8


@frozen
class EpochRecord:
    """One epoch's authority.  `windows` are the W of each venue, fixed for the whole epoch.

    `members`, `late`: who took part when it began, by name, and who came since, in the log's order.  Neither ever loses
    anybody, nor changes a place in it: by these the ids of its mandate are shared out (`leader.mandate`).
    """

    epoch: Epoch
    node: NodeName
    reason: str
    build: str
    started_index: Index
    started_at: Nanos  # the log's clock
    windows: Mapping[Venue, Nanos] = field(factory=dict)
    taken_index: Index | None = None  # of the newest AuthorityTaken
    taken_at: Nanos = Nanos(0)
    cancels_only: bool = False
    released_index: Index | None = None
    released_to: NodeName | None = None
    members: tuple[NodeName, ...] = ()
    late: tuple[NodeName, ...] = ()

    @property
    def active(self) -> bool:
        """Whether authority is taken, for cancels at least, and not released."""
        return self.taken_index is not None and self.released_index is None

    @property
    def trades(self) -> bool:
        """Whether authority is taken in full and not released."""
        return self.active and not self.cancels_only


@frozen
class Settings:
    """What `Configured` says about the cluster as a whole."""

    cluster: str = ""
    digest: str = ""
    limits: Limits | None = None
    ramp: Nanos = Nanos(0)
    storm_takeovers: int = 0
    storm_window: Nanos = Nanos(0)
    mode: Mode = Mode.AUTOMATIC  # as last set, by `Configured` or by `ModeSet`


@frozen
class StrategyRecord:
    """A strategy's policy, what it must remember, and why it is stopped ("" while it may run)."""

    policy: StrategyPolicy
    checkpoint: str = ""
    stopped: str = ""


@frozen
class Intent:
    """A send without an answer yet: in flight, or in doubt.  Derived from its order's `unanswered`."""

    id: ClientOrderId
    order: ClientOrderId
    is_cancel: bool
    epoch: Epoch
    index: Index
    venue: Venue
    in_doubt: bool


@frozen
class FillRecord:
    """One trade of ours, kept for ever.  `order` is None while no order of ours claims its venue order id."""

    venue: Venue
    account: Account
    symbol: Symbol
    trade_id: TradeId
    venue_order_id: VenueOrderId
    order: ClientOrderId | None
    strategy: StrategyId | None
    side: Side
    price: Price
    quantity: Quantity
    fee: Money
    fee_asset: Asset
    maker: bool
    venue_at: Nanos
    at: Nanos  # the log's clock when it was applied
    index: Index
    source: str


@frozen
class BalanceRecord:
    """An asset's balance as the venue showed it last."""

    free: Money
    locked: Money
    at: Nanos  # the log's clock


@frozen
class OpeningRecord:
    """The balances that an account's positions start from."""

    balances: Mapping[Asset, Money]
    index: Index
    at: Nanos
    actor: str = ""


@frozen
class RequestRecord:
    """What an operator's request came to, so that a retry is recognised."""

    request: RequestId
    at: Nanos  # the log's clock
    index: Index
    place: int
    kind: str
    fingerprint: str  # of the command without epoch and time
    code: str = ""  # of the rejection, or empty
    text: str = ""
    limit: str = ""
    value: str = ""
    bound: str = ""
    order: ClientOrderId | None = None


@frozen
class LossesRecord:
    """The log's times at which active leaders were lost, newest last (the takeover storm)."""

    times: tuple[Nanos, ...] = ()


@frozen
class CrewRecord:
    """The cluster's nodes, as its leader reported them last."""

    nodes: tuple[NodeReport, ...] = ()


@frozen
class Approval:
    """One build and one configuration that may trade."""

    build: str
    config: str
    index: Index
    actor: str = ""  # empty: the first leader's own


@frozen
class ApprovedRecord:
    """What may trade, oldest approval first; empty before the first start: then anything may."""

    approvals: tuple[Approval, ...] = ()

    def covers(self, build: str, config: str) -> bool:
        """Whether a node of this build and configuration may trade."""
        return not self.approvals or any((one.build, one.config) == (build, config) for one in self.approvals)


@frozen
class IsolatedRecord:
    """An entry that was passed without effect, because its apply raised and two roles said so."""

    index: Index
    digest: str
    commands: int
    at: Nanos  # the log's clock then


@frozen
class FormerCluster:
    """What this log's cluster was called once, until the entry at `index`: orders under that name are ours too."""

    cluster: str
    index: Index
    at: Nanos  # the log's clock then


@frozen
class LineageRecord:
    """The clusters that this log was recovered from, oldest first."""

    former: tuple[FormerCluster, ...] = ()


@frozen
class ReferenceRecord:
    """The reference price that the newest accepted order of a symbol carried."""

    price: Price


@frozen
class HoldingRecord:
    """What we hold of an asset: opening balance and all that fills and fees did to it."""

    amount: Money


@frozen
class LowWaterRecord:
    """Every trade of a symbol below this id is known, confirmed by a read later than `settle`."""

    trade_id: TradeId


@frozen
class MetaRecord:
    """What every entry changes; kept out of the sum of the state's hashes, and hashed with it."""

    version: int
    index: Index
    term: Epoch
    clock: Nanos
    chain: str
    sum: str
