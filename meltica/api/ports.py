"""Ports: what the HTTP API asks of the node behind it.

Only frozen values and one protocol may live here.  The node implements `NodeView`; the API and its tests
know no more of a node than this.  A row is plain data, ready for JSON: text, integers, booleans, lists and
mappings; prices, quantities and money as exact decimals in text (contracts.md).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Protocol

from attrs import field, frozen

from meltica.core.commands import By
from meltica.core.values import ClientOrderId, Mode, OrderType, Side, StrategyId, Symbol, TimeInForce, Venue

Row = Mapping[str, object]


class Role(enum.StrEnum):
    """Who may do what: a viewer reads, an operator also acts; an approver reads, and seconds what needs two."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"


# --- actions ----------------------------------------------------------------------------------------------


@frozen
class Promote:
    """Make `node` (None: the one that the cluster thinks best) the active one.

    `epoch` is the one that the operator saw in `status`: of the active node, or of the leader that waits for
    this in manual mode.  None: whatever it is now.
    """

    node: str | None = None
    epoch: int | None = None


@frozen
class HaltTrading:
    """Add a cause to the set of halts; the strategies' quotes go too unless `leave_quotes`."""

    cause: str
    leave_quotes: bool = False


@frozen
class ReduceOnly:
    """Add a cause for which positions may only shrink."""

    cause: str


@frozen
class ResumeTrading:
    """Lift the named causes, if the risk state is still the one that the operator saw."""

    causes: tuple[str, ...]
    risk_index: int


@frozen
class KillTrading:
    """Halt, and every order of ours gone.  `without_quorum`: this very node cancels, by the operator's hand."""

    cause: str
    without_quorum: bool = False


@frozen
class SetMode:
    """Automatic or manual takeover from here on."""

    mode: Mode


@frozen
class CancelOrders:
    """One order (`order`), or every order that matches `strategy` and `symbol`; all None means every order."""

    order: ClientOrderId | None = None
    strategy: StrategyId | None = None
    symbol: Symbol | None = None


@frozen
class SubmitOrder:
    """An operator's own order, through the same risk decision as any."""

    venue: Venue
    symbol: Symbol
    side: Side
    order_type: OrderType
    quantity: Decimal
    price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    strategy: StrategyId = StrategyId("operator")


@frozen
class SkipEntry:
    """One role's word that the entry which apply stopped at is to be passed without effect; two roles are needed.

    `digest` is the one that `status` shows with it; "": whatever stands there.
    """

    index: int
    digest: str
    role: Role


@frozen
class ActivateVersion:
    """From here on apply decides by this version; every node must have reported that it has it."""

    version: int


@frozen
class ApproveBuild:
    """A build and a configuration may trade, beside those approved before, or with `only` alone.

    `in_advance`: that no node has them yet is known, and meant.
    """

    build: str
    config: str
    only: bool = False
    in_advance: bool = False


@frozen
class ApproveOpening:
    """An account's positions start from `balances`, which are what the operator saw that the venue shows."""

    venue: Venue
    balances: tuple[tuple[str, Decimal], ...]


@frozen
class StartStrategy:
    """A strategy that was stopped may run again."""

    strategy: StrategyId


@frozen
class StopStrategy:
    """A strategy is to run no more, and its orders are to be gone, until an operator starts it."""

    strategy: StrategyId


@frozen
class ReplaceNode:
    """The next step by which `new`, which its peers dial at `address`, takes the place of `old`, for good.

    `give_up`: `old` stays, and `new`, which does not vote yet, goes; `address` says nothing then.
    """

    old: str
    new: str
    address: str = ""
    give_up: bool = False


@frozen
class TakeSnapshot:
    """This very node's state, as of now, stands for its log: of that the newest `keep` entries alone stay."""

    keep: int


Wish = (
    Promote
    | HaltTrading
    | ReduceOnly
    | ResumeTrading
    | KillTrading
    | SetMode
    | CancelOrders
    | SubmitOrder
    | SkipEntry
    | ActivateVersion
    | ApproveBuild
    | ApproveOpening
    | StartStrategy
    | StopStrategy
    | ReplaceNode
    | TakeSnapshot
)


def at_any_node(wish: Wish) -> bool:
    """Whether the node that is asked does it itself, leader or not."""
    return isinstance(wish, TakeSnapshot) or (isinstance(wish, KillTrading) and wish.without_quorum)


@frozen
class Action:
    """One operator's wish, and whose it is.

    `by.request` deduplicates a retry, `by.reason` goes to the audit trail.  With `dry_run` nothing is
    changed: the outcome says what would happen, and is `refused` where it would be.
    """

    wish: Wish
    by: By
    dry_run: bool = False


class OutcomeKind(enum.StrEnum):
    """What came of an action; each has its HTTP status and its exit code in `meltica.api.outcomes`."""

    DONE = "done"  # committed and applied (or it had been, under the same request id)
    FAILED = "failed"  # surely not done, by a fault of ours
    NOT_ALLOWED = "not_allowed"  # the role may not
    REFUSED = "refused"  # surely not done: the state or a limit forbids it
    NO_LEADER = "no_leader"  # surely not done: nobody leads now, or it is another node than was thought
    UNKNOWN = "unknown"  # may still be done, now or later


@frozen
class ActionOutcome:
    """What came of an action.  `message` is for the operator, `next` says what to do now."""

    kind: OutcomeKind
    message: str
    next: str = ""
    index: int | None = None  # of the log entry that did it
    detail: Row = field(factory=dict)  # e.g. {"node": "n2", "epoch": 8}, {"order": id}, a dry run's plan


# --- reads ------------------------------------------------------------------------------------------------


@frozen
class Check:
    """One thing that readiness needs."""

    name: str  # lower_snake: "caught_up", "journal", "venue_paper"
    ok: bool
    text: str = ""


@frozen
class NodeHealth:
    """What the health paths answer."""

    live: bool  # the event loop turns and the disk works: False means "restart me"
    checks: tuple[Check, ...]  # of readiness
    active: bool  # holds authority and has finished its takeover
    standby: bool  # could be promoted now

    @property
    def ready(self) -> bool:
        """Whether every check holds."""
        return self.live and all(check.ok for check in self.checks)


@frozen
class Stamp:
    """How old what a node shows is."""

    wall_ns: int
    index: int  # applied
    age_ns: int | None  # since this node last knew that it was up to date; None: it never was


@frozen
class Page:
    """Rows of an append-only record, oldest first.  `next_after` asks for what follows; None: no more now.

    `next_before` asks, of the newest, for those before them; None: there are none, or the first ones were asked for.
    """

    rows: Sequence[Row]
    next_after: int | None
    gaps: Sequence[Row] = ()  # entries among them that this node never applied, as a snapshot was installed
    next_before: int | None = None


class ReadFault(Exception):
    """What was asked for can't be read on this node; the message says what, `following` what to do."""

    def __init__(self, message: str, following: str) -> None:
        super().__init__(message)
        self.following = following


class NodeView(Protocol):
    """The node, as the API sees it.  The synchronous methods return at once and never raise."""

    @property
    def name(self) -> str:
        """This node's name."""
        ...

    def stamp(self) -> Stamp:
        """Now."""
        ...

    def status(self) -> Row:
        """The document of contracts.md section 3, as this node knows it, its own row in `nodes` exact.

        Besides: `"risk": {"index": int, "killed": bool, "halts": [{"cause", "by", "reason", "wall_ns"}],
        "reduces": [the same]}`, which `resume` needs; `"openings": [{"venue", "account", "approved", "by", "index",
        "wall_ns", "balances"}]`, of which those not approved show what the venue does;
        `"strategies": [{"id", "stopped"}]`; and a `"waiting"` text while a
        manual promote is awaited.
        """
        ...

    def orders(self, *, closed: bool) -> Sequence[Row]:
        """Orders, newest first; only those that may still live unless `closed`.

        Keys: id, strategy, venue, symbol, side, type, quantity, price, filled, state, asked, to_be_gone,
        venue_order_id, epoch, index, wall_ns.
        """
        ...

    def positions(self) -> Sequence[Row]:
        """Keys: venue, account, symbol, quantity, average_price, realised, mark, unrealised, fees."""
        ...

    async def fills(self, after: int, limit: int) -> Page:
        """Raises ReadFault.

        Keys: seq, venue, symbol, trade_id, order, strategy, side, price, quantity, fee, fee_asset, maker, index,
        wall_ns.
        """
        ...

    async def audit(self, after: int, limit: int) -> Page:
        """Raises ReadFault.

        Keys: seq (by which `after` counts), index, place, kind, by, reason, rejection, wall_ns, chain.
        """
        ...

    async def newest_fills(self, count: int, before: int | None) -> Page:
        """The newest, below `before`: fewer, perhaps none, with a `next_before` where many records hold few fills."""
        ...

    async def newest_audit(self, count: int, before: int | None) -> Page:
        """The newest, below `before`."""
        ...

    async def strategies(self) -> Sequence[Row]:
        """Keys: id, kind, running, stopped (why), stopped_wall_ns (None: not, or longer ago than was looked for), gap,
        gap_after_ms, orders.
        """
        ...

    def health(self) -> NodeHealth:
        """What the health paths answer."""
        ...

    def leader_api(self) -> tuple[str, str] | None:
        """The leader's name and its API, "https://host:port": None when nobody is known to lead; this node included."""
        ...

    def leads(self) -> bool:
        """Whether this node is the leader, to its own knowledge."""
        ...

    async def act(self, action: Action) -> ActionOutcome:
        """Do it, on this node, which leads (what `at_any_node` names is done by any).

        Returns UNKNOWN when the answer does not come in time; the caller sets no other limit.
        """
        ...
