"""Leader: the one object on every node that decides what is sent to a venue, and when.

Only the composition may live here: each decision has a room of its own beside this file.  Everything is
synchronous and deterministic; the Trio driver and the simulator pump it alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cluster.types import AppliedEntry, RoleChanged
from meltica.core.state import State
from meltica.core.values import ClientOrderId, Nanos, NodeName, Venue
from meltica.leader.ports import ActionResult, ClusterPort, Mono, Observer, OperatorAction, StrategySpec, Wall
from meltica.leader.settings import LeaderSettings
from meltica.leader.status import LeaderStatus
from meltica.venues.base import (
    Answer,
    BalanceReport,
    Health,
    MarketEvent,
    ReadDone,
    ReadFailed,
    Report,
    VenuePort,
)


class Leader:
    """See the module; implements `VenueListener`."""

    def __init__(
        self,
        node: NodeName,
        settings: LeaderSettings,
        state: State,
        cluster: ClusterPort,
        venues: Sequence[VenuePort],
        strategies: Sequence[StrategySpec],
        mono: Mono,
        wall: Wall,
        observer: Observer,
    ) -> None:
        raise NotImplementedError

    def add_venue(self, port: VenuePort) -> None:
        """A venue that was made after the leader, its listener."""
        raise NotImplementedError

    def on_role(self, change: RoleChanged) -> None:
        """Replication's role, term or known leader changed."""

    def on_applied(self, entry: AppliedEntry) -> None:
        """An entry was applied to `state` just now; call in log order, before its proposals' outcomes."""

    def on_answer(self, venue: Venue, intent: ClientOrderId, answer: Answer) -> None:
        """See `VenueListener`."""

    def on_read(self, venue: Venue, result: ReadDone | ReadFailed) -> None:
        """See `VenueListener`."""

    def on_report(self, venue: Venue, report: Report | BalanceReport) -> None:
        """See `VenueListener`."""

    def on_market(self, venue: Venue, event: MarketEvent) -> None:
        """See `VenueListener`."""

    def on_health(self, venue: Venue, health: Health) -> None:
        """See `VenueListener`."""

    def on_stream_gap(self, venue: Venue, reason: str) -> None:
        """See `VenueListener`."""

    def act(self, action: OperatorAction, on_result: Callable[[ActionResult], None]) -> None:
        """Do an operator's wish; `on_result` hears exactly one result."""

    def wake(self) -> None:
        """One full pass; call at `next_wake()` or earlier, and after every batch of inputs."""

    def next_wake(self) -> Nanos:
        """The mono time at which `wake` is due next."""
        raise NotImplementedError

    def on_stall(self, duration: Nanos) -> None:
        """The event loop stood still for so long: the gate shuts until a full pass."""

    def on_clock_jump(self, by: Nanos) -> None:
        """The wall clock jumped: the gate shuts until the venues' clocks are estimated anew."""

    def stop(self, on_result: Callable[[ActionResult], None]) -> None:
        """The node is going down: hand over if active, then call back."""

    def status(self) -> LeaderStatus:
        """Now."""
        raise NotImplementedError
