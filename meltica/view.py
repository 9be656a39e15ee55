"""View: a node as its HTTP API shows it; implements `api.ports.NodeView`.

Only reading may live here, and turning operators' wishes into the leader's words; what a wish does is decided by the
leader and by `core.apply`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import trio
from attrs import asdict, define, field

from cluster.types import Role
from cluster.types import Status as ClusterStatus
from meltica import approvals, inforce, openings, restarting
from meltica.api.ports import (
    Action,
    ActionOutcome,
    ApproveBuild,
    ApproveOpening,
    Check,
    KillTrading,
    NodeHealth,
    OutcomeKind,
    Page,
    Promote,
    ReadFault,
    ReplaceNode,
    ResumeTrading,
    Row,
    SkipEntry,
    Stamp,
    StartStrategy,
    StopStrategy,
    TakeSnapshot,
    Wish,
)
from meltica.archive.trail import Trail
from meltica.core.orders import Asked, Order
from meltica.core.state import State
from meltica.core.values import NodeName, Price, Venue, text_of
from meltica.group import Group, document
from meltica.leader import ports as leader_ports
from meltica.leader.leader import Leader
from meltica.leader.status import LeaderStatus
from meltica.machine import Standing
from meltica.pages import Pages
from meltica.peers import PeerBoard
from meltica.promoting import planned
from meltica.remedies import remedy
from meltica.replacement import AGAIN, Replacement
from meltica.shortening import Shortener
from meltica.venues.base import MarketEvent, Ticker, VenuePort
from meltica.wishes import Known, epoch_of, translated

SCHEMA: Final = "meltica.status/1"
ACT_WITHIN: Final = 8.0  # seconds; less than the command line's own patience
FRESH_NS: Final = 2_000_000_000  # a node that heard a leader so lately is up to date
NEXT_SKIP: Final = "look with `meltica log show`; to pass it, two roles: `meltica log skip {0}`, then with --approve"


@define(eq=False)
class Marks:
    """The newest mid price of each symbol, for reading only."""

    mids: dict[tuple[str, str], Price] = field(factory=dict)

    def on_market(self, venue: Venue, event: MarketEvent) -> None:
        """A public stream spoke."""
        if isinstance(event, Ticker):
            self.mids[venue, event.symbol] = event.mid

    def of(self, venue: str, symbol: str) -> Price | None:
        """None before the first ticker."""
        return self.mids.get((venue, symbol))


@define(eq=False)
class View:
    """See the module.  Holds nothing of its own but where to look, and what it found at length."""

    node: str
    version: str  # the build's: meltica.build
    cluster_name: str
    state: State
    trail: Trail
    leader: Leader
    cluster_status: Callable[[], ClusterStatus]
    ports: Mapping[str, VenuePort]
    board: PeerBoard
    group: Group
    apis: Callable[[], Mapping[str, str]]  # by name, this node's own included
    marks: Marks
    accounts: Mapping[str, str] = field(factory=dict)
    config: str = ""  # the digest of this node's configuration
    settled: inforce.Settled = field(factory=dict)  # what its settings say of what the log decides by
    standing: Callable[[], Standing | None] = field(default=lambda: None)  # where apply has stopped on this node
    disk: Callable[[], str] = field(default=lambda: "")  # why it has no room for trading
    disk_free: Callable[[], int] = field(default=int)  # bytes
    peer_address: str = ""
    certificate: Callable[[], Row | None] = field(default=lambda: None)  # in use
    members: Callable[[], Row | None] = field(default=lambda: None)  # who takes part, by what is in force
    replacement: Replacement | None = None  # None where who takes part never changes
    shortener: Shortener | None = None
    removed: Callable[[], str] = field(default=lambda: "")  # what a peer says that refuses this node for good
    links: Callable[[], Sequence[Row]] = field(default=tuple)  # where it dials the others
    stops: dict[tuple[str, str], int | None] = field(factory=dict)  # since when a strategy is stopped, and why

    @property
    def name(self) -> str:
        """This node's name."""
        return self.node

    # --- reads ------------------------------------------------------------------------------------------------

    def stamp(self) -> Stamp:
        """Now."""
        heard = self._caught_up_at()
        age = None if heard is None else max(0, time.monotonic_ns() - heard)
        return Stamp(time.time_ns(), int(self.state.index), age)

    def _caught_up_at(self) -> int | None:
        """The mono time at which this node last knew that it was up to date: it leads, or heard who leads."""
        status = self.cluster_status()
        if status.role is Role.LEADER:
            return time.monotonic_ns()
        return next((peer.heard for peer in status.peers if peer.name == status.leader), None)

    def status(self) -> Row:
        """The document of contracts.md section 3."""
        state, epoch = self.state, self.state.epoch
        leader = self.leader.status()
        return {
            "schema": SCHEMA,
            "cluster": state.cluster,
            "name": self.cluster_name,
            "served_by": self.node,
            "as_of": {"wall_ns": time.time_ns(), "index": int(state.index)},
            "trading": str(state.risk.trading),
            "mode": str(state.mode),
            "active": self._active(leader),
            "epoch": int(epoch.epoch) if epoch else 0,
            "nodes": self._nodes(leader),
            "members": self.members(),
            "venues": [self._venue(name, port) for name, port in sorted(self.ports.items())],
            "orders": self._order_counts(),
            "oldest_doubt_s": self._oldest_doubt(),
            "positions": self.positions(),
            "openings": openings.rows(self.state),
            "strategies": restarting.rows(self.state),
            "risk": self._risk(),
            "in_force": inforce.in_force(self.state),
            "chain": str(state.chain),
            "apply": self._apply(),
            "gate": {"open": leader.gate_open, "reason": leader.gate_reason},
            "group": document(self.group, self.group.members(leader.why_not)) if self.leads() else None,
            **({"waiting": leader.waiting} if leader.waiting else {}),
        }

    def _apply(self) -> Row:
        """By which version apply decides, who could follow to the next, and what may trade."""
        state = self.state
        return {
            "version": state.version,
            "nodes": [asdict(one) for one in state.crew.nodes],
            "approved": [asdict(one) for one in state.approved.approvals],
            "isolated": [asdict(state.isolated[index]) for index in sorted(state.isolated)],
        }

    def _stopped(self) -> Row | None:
        standing = self.standing()
        if standing is None:
            return None
        following = f"start build {standing.needs_build}" if standing.needs_build else NEXT_SKIP.format(standing.index)
        return {
            "index": standing.index,
            "digest": standing.digest,
            "why": standing.why,
            "asked": list(standing.asked),
            "next": following,
        }

    def _active(self, leader: LeaderStatus) -> str | None:
        """Who holds authority: this node by its own word, another by the log's and its own."""
        if leader.active:
            return self.node
        return self.board.active(self._newest())

    def _newest(self) -> int:
        """The newest term or epoch that this node knows of: nobody trades in an older one any more."""
        epoch = self.state.epoch
        return max(int(self.cluster_status().term), int(epoch.epoch) if epoch else 0)

    def own_row(self) -> dict[str, object]:
        """This node's line in `nodes`."""
        return self._own(self.leader.status())

    def _own(self, leader: LeaderStatus) -> dict[str, object]:
        status, removed = self.cluster_status(), self.removed()
        return {
            "name": self.node,
            "reachable": True,
            "role": str(status.role),
            "term": int(status.term),
            "last_index": int(status.last_index),
            "committed_index": int(status.committed_index),
            "applied_index": int(status.applied_index),
            "state_digest": self.state.digest(),
            "digest_index": int(self.state.index),
            "active": leader.active,
            "promotable": leader.promotable and not removed,
            "why_not": removed or leader.why_not,
            "votes": status.votes and not removed,
            "configuration": status.configuration,
            "removed": removed or None,
            "phase": str(leader.phase),
            "version": self.version,
            "config": self.config,
            "not_in_force": inforce.ignored(self.settled, inforce.in_force(self.state)),
            "peer": self.peer_address,
            "links": self.links(),
            "api": self.apis().get(self.node),
            "certificate": self.certificate(),
            "stalled": status.stalled,
            "disk": {"free_bytes": self.disk_free(), "why": self.disk()},
            "log": _log(status),
            "stopped": self._stopped(),
            "disputed": None if status.disputed is None else int(status.disputed),
            "diverged": None if status.diverged is None else int(status.diverged),
        }

    def _nodes(self, leader: LeaderStatus) -> list[dict[str, object]]:
        rows = {**self.board.rows(self._newest()), self.node: self._own(leader)}
        return [rows[name] for name in sorted(rows)]

    def _venue(self, name: str, port: VenuePort) -> Row:
        health = port.health()
        now = time.monotonic_ns()
        heard = health.user_heard
        offset = health.clock_offset
        return {
            "name": name,
            "connected": health.ready,
            "refused": health.refused,
            "stream_age_s": None if heard is None else round((now - heard) / 1e9, 3),
            "clock_offset_s": None if offset is None else round(offset / 1e9, 6),
        }

    def _order_counts(self) -> Row:
        live = self.state.live_orders()
        doubtful = (Asked.SUBMIT_IN_DOUBT, Asked.CANCEL_IN_DOUBT, Asked.AMEND_IN_DOUBT)
        return {
            "open": len(live),
            "in_doubt": sum(1 for order in live if order.asked in doubtful or order.state == "absent"),
        }

    def _oldest_doubt(self) -> float | None:
        """For how many seconds nobody has known of an order that the venue may have.

        Beside `orders` in the status, not in it: that one's shape is contracts.md's, and is compared whole.
        """
        live = self.state.live_orders()
        unseen = [order.at for order in live if order.asked is Asked.SUBMIT_IN_DOUBT or order.state == "absent"]
        return max(0.0, round((time.time_ns() - min(unseen)) / 1e9, 3)) if unseen else None

    def _risk(self) -> Row:
        risk = self.state.risk
        return {
            "index": int(risk.index),
            "killed": risk.killed,
            "halts": [_cause(one) for one in risk.halts.values()],
            "reduces": [_cause(one) for one in risk.reduces.values()],
        }

    def orders(self, *, closed: bool) -> Sequence[Row]:
        """Orders, newest first."""
        chosen = [o for o in self.state.orders.values() if closed or o.live]
        return [_order(order) for order in sorted(chosen, key=lambda o: o.id, reverse=True)]

    def positions(self) -> Sequence[Row]:
        """Positions with their profit at the current mark."""
        rows = []
        for (venue, account, symbol), position in sorted(self.state.positions.items()):
            mark = self.marks.of(venue, symbol)
            rows.append(
                {
                    "venue": venue,
                    "account": account,
                    "symbol": symbol,
                    "quantity": text_of(position.quantity),
                    "traded": text_of(position.traded),
                    "average_price": text_of(position.average_price),
                    "realised": text_of(position.realised),
                    "mark": None if mark is None else text_of(mark),
                    "unrealised": None if mark is None else text_of(position.unrealised(mark)),
                    "fees": {asset: text_of(fee) for asset, fee in sorted(position.fees.items())},
                }
            )
        return rows

    async def fills(self, after: int, limit: int) -> Page:
        """Fills in the order in which the log took them; `seq` is the entry's index."""
        return await Pages(self.trail, self.state).fills(after, limit)

    async def audit(self, after: int, limit: int) -> Page:
        """Audit records; `seq` is the entry's index, so that an entry is never cut in two."""
        return await Pages(self.trail, self.state).audit(after, limit)

    async def newest_fills(self, count: int, before: int | None) -> Page:
        """The newest fills of entries below `before`."""
        return await Pages(self.trail, self.state).newest_fills(count, before)

    async def newest_audit(self, count: int, before: int | None) -> Page:
        """The newest audit records of entries below `before`."""
        return await Pages(self.trail, self.state).newest_audit(count, before)

    async def strategies(self) -> Sequence[Row]:
        """Every strategy of the settings."""
        live = self.state.live_orders()
        rows = []
        for one in self.leader.status().strategies:
            record = self.state.strategies.get(one.strategy)
            logged = record.stopped if record else ""
            rows.append(
                {
                    "id": one.strategy,
                    "kind": one.kind,
                    "running": one.running,
                    "stopped": logged or one.stopped,
                    "stopped_wall_ns": await self._stopped_since(one.strategy, logged) if logged else None,
                    "gap": str(record.policy.gap) if record else None,
                    "gap_after_ms": record.policy.gap_after // 1_000_000 if record else None,
                    "orders": sum(1 for order in live if order.strategy == one.strategy),
                }
            )
        return rows

    async def _stopped_since(self, strategy: str, why: str) -> int | None:
        """Looked for once: what is not among the newest records will not be later."""
        if (strategy, why) not in self.stops:
            try:
                found = await Pages(self.trail, self.state).newest_stop(strategy)
            except ReadFault:
                return None
            self.stops[strategy, why] = found
        return self.stops[strategy, why]

    def health(self) -> NodeHealth:
        """What the health paths answer."""
        status, leader = self.cluster_status(), self.leader.status()
        heard = self._caught_up_at()
        fresh = heard is not None and time.monotonic_ns() - heard < FRESH_NS
        lag = int(status.committed_index) - int(status.applied_index)
        checks = [
            Check("journal", status.stalled is None, status.stalled or ""),
            Check("disk", not self.disk(), self.disk()),
            Check("leader_known", status.leader is not None, "" if status.leader else "no leader is known"),
            Check("apply", status.stopped is None, self._why_stopped()),
            Check("member", not self.removed(), self.removed()),
            Check("caught_up", fresh and lag == 0, f"{lag} entries behind" if lag else ""),
        ]
        checks += [
            Check(f"venue_{name}", port.health().ready, port.health().refused or "")
            for name, port in sorted(self.ports.items())
        ]
        live = status.stalled is None or status.diverged is not None  # a restart would not mend a state that is wrong
        return NodeHealth(live, tuple(checks), leader.active, leader.promotable and not leader.active)

    def _why_stopped(self) -> str:
        stopped = self._stopped()
        return "" if stopped is None else f"stopped at entry {stopped['index']}: {stopped['why']}: {stopped['next']}"

    def leader_api(self) -> tuple[str, str] | None:
        """Who leads, and where its API is."""
        leader = self.cluster_status().leader
        api = None if leader is None else self.apis().get(leader)
        return None if leader is None or api is None else (str(leader), api)

    def leads(self) -> bool:
        """Whether this node is the leader, to its own knowledge."""
        return self.cluster_status().role is Role.LEADER

    # --- actions ----------------------------------------------------------------------------------------------

    async def act(self, action: Action) -> ActionOutcome:
        """Do it here, or say why not."""
        if isinstance(action.wish, ReplaceNode):
            return await self._replace(action, action.wish)
        if isinstance(action.wish, TakeSnapshot):
            if self.shortener is None:
                return ActionOutcome(OutcomeKind.REFUSED, "this node's log can't be shortened")
            return self.shortener.take(action.wish, dry_run=action.dry_run)
        wish = translated(action, Known(self.apis(), self.accounts, self.version))
        if isinstance(wish, str):
            return ActionOutcome(OutcomeKind.REFUSED, wish)
        early = self._early(action)
        if early is not None:
            return early
        if action.dry_run:
            return self._dry_run(action.wish)
        if isinstance(action.wish, Promote) and self.leads():
            expected = self._planned(action.wish)
            if expected.kind is not OutcomeKind.DONE:
                return expected
            wish = leader_ports.Promote(action.by, NodeName(str(expected.detail["to"])), epoch_of(action.wish))
        found: list[leader_ports.ActionResult] = []
        heard = trio.Event()

        def on_result(result: leader_ports.ActionResult) -> None:
            found.append(result)
            heard.set()

        self.leader.act(wish, on_result)
        with trio.move_on_after(ACT_WITHIN):
            await heard.wait()
        if not found:
            return ActionOutcome(
                OutcomeKind.UNKNOWN,
                f"no outcome within {ACT_WITHIN:g} s",
                "look with `meltica status`, then retry with the same --request-id: a retry is safe",
            )
        return _outcome(found[0])

    def _early(self, action: Action) -> ActionOutcome | None:
        """Why what the operator saw is no ground any more, where the log would not know that; None: go on."""
        if not self.leads() or action.by.request in self.state.requests:  # the log knows a retry
            return None
        if isinstance(action.wish, ApproveOpening):
            venue = action.wish.venue
            port = self.ports.get(venue)
            current = self.leader.status().active and port is not None and port.health().ready
            return openings.refusal(action.wish, self.state, current=current)
        if isinstance(action.wish, ApproveBuild):
            return approvals.refusal(action.wish, self.state, self.cluster_status())
        if isinstance(action.wish, StartStrategy):
            return restarting.refusal(action.wish, self.state, self.leader.status().strategies)
        if isinstance(action.wish, StopStrategy):
            return restarting.stop_refusal(action.wish, self.state, self.leader.status().strategies)
        return None

    async def _replace(self, action: Action, wish: ReplaceNode) -> ActionOutcome:
        if self.replacement is None:
            return ActionOutcome(OutcomeKind.REFUSED, "who takes part in this cluster never changes")
        with trio.move_on_after(ACT_WITHIN):
            return await self.replacement.step(wish, action.by, dry_run=action.dry_run)
        return ActionOutcome(OutcomeKind.UNKNOWN, f"no outcome within {ACT_WITHIN:g} s", AGAIN)

    def _planned(self, wish: Promote) -> ActionOutcome:
        return planned(wish, self.group, self.leader.status(), self.state.mode)

    def _dry_run(self, wish: Wish) -> ActionOutcome:
        leader = self.leader.status()
        if isinstance(wish, KillTrading) and wish.without_quorum:
            return ActionOutcome(OutcomeKind.DONE, f"would cancel every open order of ours from {self.node}")
        if not self.leads():
            return ActionOutcome(OutcomeKind.NO_LEADER, f"{self.node} does not lead", "ask again in a moment")
        if isinstance(wish, Promote):
            return self._planned(wish)
        if isinstance(wish, ResumeTrading) and wish.risk_index != self.state.risk.index:
            return ActionOutcome(
                OutcomeKind.REFUSED,
                f"the risk state is at index {self.state.risk.index}, not {wish.risk_index}",
                "look at `meltica status` again, then resume what you see",
            )
        if isinstance(wish, SkipEntry):
            return self._dry_skip(wish)
        if isinstance(wish, ApproveOpening):
            return openings.planned(wish, self.state)
        if isinstance(wish, ApproveBuild):
            return approvals.planned(wish, self.state, self.cluster_status())
        if isinstance(wish, StartStrategy):
            return restarting.planned(wish, self.leader.status().strategies)
        if isinstance(wish, StopStrategy):
            return restarting.stop_planned(wish, self.state)
        live = len(self.state.live_orders())
        return ActionOutcome(
            OutcomeKind.DONE,
            f"would be committed in epoch {leader.epoch}; trading is {self.state.risk.trading}, {live} orders are open",
        )

    def _dry_skip(self, wish: SkipEntry) -> ActionOutcome:
        standing = self.standing()
        if standing is None or (standing.index, standing.digest) != (wish.index, wish.digest or standing.digest):
            where = "apply goes on" if standing is None else f"apply stopped at entry {standing.index}"
            return ActionOutcome(OutcomeKind.REFUSED, f"{self.node} leads, and {where}", "look with `meltica log show`")
        text = f"entry {wish.index} would be passed without effect once both roles have said so; said: "
        return ActionOutcome(OutcomeKind.DONE, text + (", ".join(standing.asked) or "none"))


def _log(status: ClusterStatus) -> Row:
    """Where this node's log begins, and what of snapshots is under way or went wrong last."""
    receipt = status.receipt
    received = None if receipt is None else asdict(receipt)
    return {"base_index": int(status.base_index), "snapshot": status.snapshot, "receiving": received}


def _cause(record: Any) -> Row:
    return {"cause": record.cause, "by": record.actor, "reason": record.reason, "wall_ns": int(record.at)}


def _order(order: Order) -> Row:
    return {
        "id": order.id,
        "strategy": order.strategy,
        "venue": order.venue,
        "symbol": order.symbol,
        "side": str(order.side),
        "type": str(order.order_type),
        "quantity": text_of(order.quantity),
        "price": None if order.price is None else text_of(order.price),
        "filled": text_of(order.filled),
        "state": str(order.state),
        "asked": str(order.asked),
        "to_be_gone": order.to_be_gone,
        "venue_order_id": order.venue_order_id,
        "epoch": int(order.epoch),
        "index": int(order.index),
        "wall_ns": int(order.at),
    }


def _outcome(result: leader_ports.ActionResult) -> ActionOutcome:
    match result:
        case leader_ports.Done():
            return _done(result)
        case leader_ports.Refused():
            return ActionOutcome(OutcomeKind.REFUSED, result.text, remedy(result.code), detail={"code": result.code})
        case leader_ports.NotActive():
            where = f"; {result.leader} does" if result.leader else ""
            return ActionOutcome(OutcomeKind.NO_LEADER, f"this node does not lead{where}", "ask again in a moment")
        case leader_ports.InQuestion():
            return ActionOutcome(
                OutcomeKind.UNKNOWN, result.reason, "look with `meltica status`, then retry with the same --request-id"
            )


def _done(result: leader_ports.Done) -> ActionOutcome:
    applied = result.result
    detail: dict[str, object] = {}
    if applied is not None:
        detail["duplicate"] = applied.duplicate
        if applied.order is not None:
            detail["order"] = applied.order
    return ActionOutcome(OutcomeKind.DONE, result.message, index=result.index, detail=detail)
