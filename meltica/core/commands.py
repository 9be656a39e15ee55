"""Commands: everything that may change the replicated state.

Only frozen descriptions may live here; what they do is in `apply`.  Each carries `epoch`, the term of the
leader that proposed it (a command of an older epoch applies as rejected), and `at`, its proposer's wall
clock in Unix nanoseconds (the log's clock is the largest seen).  Operators' commands carry `by` as well.
The codec gives each class the wire word that `kinds` has for it.
"""

from __future__ import annotations

from attrs import field, frozen

from meltica.core.values import (
    Account,
    Asset,
    ClientOrderId,
    Epoch,
    Gap,
    Index,
    Mode,
    Money,
    Nanos,
    NodeName,
    OrderType,
    Price,
    Quantity,
    RequestId,
    Side,
    StrategyId,
    Symbol,
    TimeInForce,
    TradeId,
    Venue,
    VenueOrderId,
)


@frozen
class By:
    """An operator's hand: who, why, and the id under which a retry is recognised."""

    request: RequestId
    actor: str
    reason: str


# --- epochs and authority (design.md section 5) ---------------------------------------------------------


@frozen
class EpochStarted:
    """A new leader's first command: from here on older epochs' commands have no effect.

    `members`: who takes part, as far as it knows.
    """

    epoch: Epoch
    at: Nanos
    node: NodeName
    reason: str  # why it leads: "election", "transfer", "fallback"
    build: str
    members: tuple[NodeName, ...] = ()


@frozen
class AuthorityTaken:
    """The wait and the takeover are over: this epoch may send.  With `cancels_only`, cancels alone.

    `promoted`: an operator let this epoch take over, by its number; in manual mode nothing else takes it in full.
    """

    epoch: Epoch
    at: Nanos
    cancels_only: bool = False
    promoted: bool = False


@frozen
class AuthorityReleased:
    """The active node has drained: nothing of this epoch will be sent any more."""

    epoch: Epoch
    at: Nanos
    to: NodeName | None = None


# --- configuration (design.md rule 7: all that apply reads is replicated) --------------------------------


@frozen
class Limits:
    """Bounds of the risk decision; each rejection names the field, the value and the bound."""

    order_notional: Money
    position: Money  # a symbol's position at the reference price, absolute
    gross_notional: Money  # positions and what may still be executed, over all symbols
    open_orders_symbol: int
    open_orders: int
    executed_notional_minute: Money
    collar_bps: int  # a limit price's distance from the reference price
    book_age: Nanos
    orders_second: int  # by the log's clock


@frozen
class VenuePolicy:
    """What two nodes must agree on about a venue."""

    venue: Venue
    account: Account
    window: Nanos  # W, the authority window
    settle: Nanos
    drift_ppm: int  # bound of one node's clock rate error
    approve_opening: bool = False  # a paper account: its first balances are its opening balances
    mandate_after: Nanos = Nanos(2_000_000_000)


@frozen
class StrategyPolicy:
    """What the cluster does with a strategy's orders when the strategy can't speak for them."""

    strategy: StrategyId
    gap: Gap = Gap.CANCEL
    gap_after: Nanos = Nanos(2_000_000_000)


@frozen
class Configured:
    """Limits and policies from here on; a new window counts from the next epoch."""

    epoch: Epoch
    at: Nanos
    cluster: str  # six hex digits: the first part of every client order id
    digest: str  # of the document that the operators approved
    limits: Limits
    venues: tuple[VenuePolicy, ...]
    strategies: tuple[StrategyPolicy, ...]
    mode: Mode = Mode.AUTOMATIC
    ramp: Nanos = Nanos(0)  # after a takeover, sizes grow to full over this time
    storm_takeovers: int = 3  # so many active leaders lost within `storm_window` start halted; 0: never
    storm_window: Nanos = Nanos(600_000_000_000)


@frozen
class InstrumentSeen:
    """An instrument's rules at its venue, as of now."""

    epoch: Epoch
    at: Nanos
    venue: Venue
    symbol: Symbol
    base: Asset
    quote: Asset
    tick: Price
    step: Quantity
    min_quantity: Quantity
    max_quantity: Quantity
    min_notional: Money
    trading: bool


# --- orders -----------------------------------------------------------------------------------------------


@frozen
class Submit:
    """A wish for a new order; apply decides, names it, and orders the send."""

    epoch: Epoch
    at: Nanos
    strategy: StrategyId
    venue: Venue
    account: Account
    symbol: Symbol
    side: Side
    order_type: OrderType
    quantity: Quantity
    price: Price | None
    time_in_force: TimeInForce
    post_only: bool
    reference: Price  # the proposer's mid price
    book_age: Nanos  # of the book that it was read from
    tag: str = ""  # the strategy's own word for it
    by: By | None = None


@frozen
class Cancel:
    """An order is to be gone.  Repeated by whoever is active until the venue shows it closed."""

    epoch: Epoch
    at: Nanos
    order: ClientOrderId
    reason: str
    by: By | None = None


@frozen
class CancelAll:
    """Every order of ours that matches is to be gone; None matches all."""

    epoch: Epoch
    at: Nanos
    reason: str
    strategy: StrategyId | None = None
    symbol: Symbol | None = None
    by: By | None = None


@frozen
class Answered:
    """The venue's answer to one intent (of a submit or a cancel)."""

    epoch: Epoch
    at: Nanos
    intent: ClientOrderId
    accepted: bool
    venue_order_id: VenueOrderId | None = None
    status: str = ""  # of the order, in the venue-neutral words of OrderUpdated
    executed: Quantity | None = None
    code: str = ""
    text: str = ""


@frozen
class InDoubt:
    """Sent, or possibly sent, and no answer: left only on the venue's evidence."""

    epoch: Epoch
    at: Nanos
    intent: ClientOrderId
    reason: str


@frozen
class Lapsed:
    """Their send-by time passed before they were written, and no task can still write them."""

    epoch: Epoch
    at: Nanos
    intents: tuple[ClientOrderId, ...]
    reason: str


@frozen
class FillSeen:
    """One trade of ours, from the user stream or a read; keyed by venue, account, symbol and trade id."""

    epoch: Epoch
    at: Nanos
    venue: Venue
    account: Account
    symbol: Symbol
    trade_id: TradeId
    venue_order_id: VenueOrderId
    order: ClientOrderId | None  # when the source shows an id of ours
    side: Side
    price: Price
    quantity: Quantity
    fee: Money
    fee_asset: Asset
    maker: bool
    venue_at: Nanos
    source: str = "stream"  # or "read", "reconcile"


@frozen
class OrderUpdated:
    """What the venue shows of an order, from the user stream or a read.

    `status` is one of open, partially_filled, filled, cancelled, rejected, expired.
    """

    epoch: Epoch
    at: Nanos
    venue: Venue
    account: Account
    symbol: Symbol
    venue_order_id: VenueOrderId
    order: ClientOrderId | None  # the id of ours that it was placed under, when the source shows one
    shown_as: str  # the client id that the venue shows now
    status: str
    executed: Quantity
    source: str = "stream"


# --- reconciliation ---------------------------------------------------------------------------------------


@frozen
class NotFound:
    """A read that was late enough to count did not show this order (design.md section 7, step 3).

    `final`: the read was later than the deadline plus `settle`; two of these make it dead.
    """

    epoch: Epoch
    at: Nanos
    order: ClientOrderId
    final: bool


@frozen
class Reconciled:
    """A full read of one account was compared and what it taught has been committed before this."""

    epoch: Epoch
    at: Nanos
    venue: Venue
    account: Account
    low_water: tuple[tuple[Symbol, TradeId], ...]  # trades below were confirmed by a read later than settle
    foreign_orders: int = 0


@frozen
class Discrepancy:
    """Something that the log does not explain.  Tightens to REDUCING where `tighten`; never invents state.

    `kind` is one of foreign_order, unknown_order, balance_drift, unexplained_position.
    """

    epoch: Epoch
    at: Nanos
    venue: Venue
    account: Account
    kind: str
    subject: str  # the order's or asset's name
    expected: str
    found: str
    tighten: bool


@frozen
class BalanceSeen:
    """One asset's balance as the venue shows it."""

    epoch: Epoch
    at: Nanos
    venue: Venue
    account: Account
    asset: Asset
    free: Money
    locked: Money


@frozen
class OpeningApproved:
    """The balances that positions start from (rule 4), approved once an account."""

    epoch: Epoch
    at: Nanos
    venue: Venue
    account: Account
    balances: tuple[tuple[Asset, Money], ...]
    by: By | None = None


# --- risk state (rule 6) ----------------------------------------------------------------------------------


@frozen
class Halt:
    """Add a cause to the set of halts."""

    epoch: Epoch
    at: Nanos
    cause: str
    leave_quotes: bool = False
    by: By | None = None


@frozen
class Reduce:
    """Add a cause for which positions may only shrink."""

    epoch: Epoch
    at: Nanos
    cause: str
    by: By | None = None


@frozen
class Resume:
    """Lift the named causes, if the risk state is still the one that the operator saw."""

    epoch: Epoch
    at: Nanos
    causes: tuple[str, ...]
    risk_index: int
    by: By


@frozen
class Kill:
    """Halt, and every order of ours gone."""

    epoch: Epoch
    at: Nanos
    cause: str
    by: By | None = None


@frozen
class ModeSet:
    """Automatic or manual takeover from here on."""

    epoch: Epoch
    at: Nanos
    mode: Mode
    by: By


@frozen
class ClockTold:
    """Nothing but the time: a leader with nothing else to say keeps the log's clock near its own."""

    epoch: Epoch
    at: Nanos


# --- upgrades and faults (rule 7) -------------------------------------------------------------------------


@frozen
class NodeReport:
    """What one node says that it is.  A node that was not heard has an empty build and applies no version."""

    node: NodeName
    build: str
    config: str  # the digest of its configuration
    oldest: int  # the versions of apply that it has
    newest: int


@frozen
class NodesReported:
    """Every node of the cluster, as the leader has heard it; whoever is not in it is no node any more."""

    epoch: Epoch
    at: Nanos
    nodes: tuple[NodeReport, ...]


@frozen
class ActivateVersion:
    """From the next command on apply decides by this version; `build` has it, and is what a node too old needs."""

    epoch: Epoch
    at: Nanos
    version: int
    build: str
    by: By


@frozen
class ApproveBuild:
    """A build and a configuration that may trade: beside those approved before, or with `only` alone.

    Without `by` it is the first leader's own, at the first start.
    """

    epoch: Epoch
    at: Nanos
    build: str
    config: str
    only: bool = False
    by: By | None = None


@frozen
class MembersAsked:
    """An operator asks for a step on `new`'s way to `old`'s place; who takes part changes by an entry of its own."""

    epoch: Epoch
    at: Nanos
    old: NodeName
    new: NodeName
    address: str
    step: str
    by: By


@frozen
class SkipEntry:
    """One role's word that the entry at `index`, whose apply raised on every node, is to be passed without effect.

    It counts while it is still ahead: the nodes stand at `index` and search the log behind it (apply_upgrades.py).
    """

    epoch: Epoch
    at: Nanos
    index: Index
    digest: str  # of the entry's bytes
    role: str  # operator or approver: both are needed
    by: By


# --- recovery -----------------------------------------------------------------------------------------------


@frozen
class ClusterRecovered:
    """From here on this log is another cluster's: the nodes start from one's folder, as the others were lost for good.

    No leader says it: it stands in the entry by which `meltica cluster recover` founds the cluster, behind the halt and
    the manual mode that it asks for.
    """

    epoch: Epoch
    at: Nanos
    cluster: str  # six hex digits: the first part of every client order id from here on
    by: By


# --- strategies -------------------------------------------------------------------------------------------


@frozen
class Checkpoint:
    """What a strategy must remember across a failover; opaque text of at most 64 KiB."""

    epoch: Epoch
    at: Nanos
    strategy: StrategyId
    data: str


@frozen
class StrategyStopped:
    """A strategy raised or stalled, or an operator stops it: it is stopped, and its orders are to be gone."""

    epoch: Epoch
    at: Nanos
    strategy: StrategyId
    reason: str = field(default="")
    by: By | None = None


@frozen
class StrategyStarted:
    """A stopped strategy may run again."""

    epoch: Epoch
    at: Nanos
    strategy: StrategyId
    by: By | None = None


Command = (
    EpochStarted
    | AuthorityTaken
    | AuthorityReleased
    | Configured
    | InstrumentSeen
    | Submit
    | Cancel
    | CancelAll
    | Answered
    | InDoubt
    | Lapsed
    | FillSeen
    | OrderUpdated
    | NotFound
    | Reconciled
    | Discrepancy
    | BalanceSeen
    | OpeningApproved
    | Halt
    | Reduce
    | Resume
    | Kill
    | ModeSet
    | ClockTold
    | Checkpoint
    | StrategyStopped
    | StrategyStarted
    | NodesReported
    | ActivateVersion
    | ApproveBuild
    | SkipEntry
    | ClusterRecovered
    | MembersAsked
)
