"""Ports: what the leader asks of the node around it, and the words in which it answers operators.

Only protocols and frozen values may live here.  The Trio driver and the simulator both implement them; the
leader itself never waits, never reads a clock of its own and never touches a socket.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from attrs import frozen

from cluster.types import Outcome, Status
from meltica.core.commands import By, Command
from meltica.core.events import CommandResult
from meltica.core.values import Epoch, Index, Nanos, NodeName, StrategyId, Symbol, Venue
from meltica.strategies.base import Strategy

Mono = Callable[[], Nanos]  # this node's monotonic clock
Wall = Callable[[], Nanos]  # Unix time


# Takes so many numbers for the cancels of one epoch's mandate and returns the first.  A number is never given twice for
# an epoch, not to an earlier life of this node either.
Numbers = Callable[[Epoch, int], int]


class NumbersInMemory:
    """Numbers that last as long as this object: for one that outlives a node's process."""

    def __init__(self) -> None:
        self._epoch = Epoch(0)
        self._next = 0

    def __call__(self, epoch: Epoch, count: int) -> int:
        """See `Numbers`; an older epoch than the newest served gets nothing more."""
        if epoch < self._epoch:
            return 1 << 16
        if epoch != self._epoch:
            self._epoch, self._next = epoch, 0
        first = self._next
        self._next += count
        return first


class ClusterPort(Protocol):
    """Replication, as the leader sees it.  Every method returns at once."""

    def propose(self, command: Command, on_outcome: Callable[[Outcome], None] | None) -> None:
        """Encode and propose; *s* is taken inside, before the entry is appended.

        `on_outcome` hears exactly one outcome, perhaps before this returns (NotLeader), and never before the
        `AppliedEntry` that it belongs to was given to `Leader.on_applied`.  Raises ValueError (BadCommand) for what
        cannot be written or fits into no entry; then `on_outcome` hears nothing.
        """

    def transfer(self, to: NodeName) -> None:
        """Ask `to` to take over leading; whether it did shows in the role."""

    def stop_leading(self, reason: str) -> None:
        """Step down; an election follows, in a new term."""

    def status(self) -> Status:
        """Replication's view, now."""
        ...

    def standby_ready(self) -> NodeName | None:
        """A standby that says it could be promoted now (it hears its venues), as far as is known."""
        ...


class Observer(Protocol):
    """Who is told, for metrics, logs and alerts.  Synchronous; must not block or raise."""

    def event(self, name: str, fields: Mapping[str, object]) -> None:
        """Something worth a count or a line of the log."""

    def alert(self, name: str, text: str) -> None:
        """Something that an operator must see; `name` is that of a runbook's page."""


class Silent:
    """An observer that keeps nothing."""

    def event(self, name: str, fields: Mapping[str, object]) -> None:
        """Nothing."""

    def alert(self, name: str, text: str) -> None:
        """Nothing."""


@frozen
class StrategySpec:
    """A strategy that this node can run: `make` builds it anew for every time that it becomes active."""

    strategy: StrategyId
    venue: Venue
    symbols: tuple[Symbol, ...]
    make: Callable[[], Strategy]
    kind: str = ""


# --- what operators ask -----------------------------------------------------------------------------------


@frozen
class Promote:
    """Make `to` the active node; or, sent to the leader that waits in manual mode, let it take over.

    `epoch` is the one that the operator saw; None: whatever it is now.
    """

    by: By
    to: NodeName | None = None
    epoch: Epoch | None = None


@frozen
class Order:
    """Any other wish: a core command; its epoch and time are filled in here, whatever they say.

    Of a Submit, `reference` and `book_age` are filled in too, from the warm book.
    """

    command: Command


@frozen
class WithoutQuorum:
    """Cancel every open order of ours from this very node, by the operator's hand, with or without a leader."""

    by: By


@frozen
class Skip:
    """One role's word that the entry which apply stopped at is to be isolated; `digest` "": whatever stands there."""

    by: By
    index: int
    digest: str
    role: str


OperatorAction = Promote | Order | WithoutQuorum | Skip


@frozen
class Done:
    """Committed and applied; `result` says whether apply accepted it (None: an action that is no command)."""

    message: str
    index: Index | None = None
    result: CommandResult | None = None


@frozen
class Refused:
    """Surely not done: `code` is lower_snake."""

    code: str
    text: str


@frozen
class NotActive:
    """Surely not done: this node does not lead; ask `leader`, if it is known."""

    leader: NodeName | None


@frozen
class InQuestion:
    """It may still be done, now or later; a retry under the same request id is safe."""

    reason: str


ActionResult = Done | Refused | NotActive | InQuestion
