"""Callers: who proposes on a bench node, each its next command when the last has its outcome.

They live on callbacks, as the leader's own logic does: no task sleeps for an outcome, so none has to be woken.  What is
timed is a command's whole way, from before it is encoded to the moment at which its proposer holds the result.
"""

from __future__ import annotations

import time
from typing import Final, Protocol

import trio
from attrs import define, field

from chaos.bench import trading
from cluster.driver import ClusterNode
from cluster.types import Applied, Outcome
from meltica.core.commands import Command
from meltica.core.events import CommandResult
from meltica.core.state import State

NODE: Final = "n1"


class Load(Protocol):
    """What one caller proposes."""

    def next(self) -> tuple[bytes, bool]:
        """A command, and whether its latency is what the bench is about."""
        ...

    def done(self, result: object) -> None:
        """It was applied, with this result.  Raises ValueError if it was refused."""
        ...

    @property
    def idle(self) -> bool:
        """Whether nothing of it is left behind if it ends now."""
        ...


@define
class Opaque:
    """So many bytes that nobody reads."""

    size: int

    def next(self) -> tuple[bytes, bool]:
        """The same again."""
        return b"x" * self.size, True

    def done(self, result: object) -> None:
        """Nothing to see."""

    @property
    def idle(self) -> bool:
        """At any time."""
        return True


@define
class Orders:
    """Orders, each followed by the venue's refusal of it, so that no more are open than there are callers.

    The submit is what a trader waits for; the refusal counts in the rate.
    """

    epoch: int
    state: State
    step: int = trading.MILLISECOND  # by which each command moves the log's clock on
    number: int = 0
    open: str | None = None

    def next(self) -> tuple[bytes, bool]:
        """Encoded here: it is part of what a durable command costs."""
        if self.open is not None:
            return self._encoded(trading.refused(trading.named(self.open))), False
        self.number += 1
        return self._encoded(trading.submit(self.number)), True

    def _encoded(self, command: Command) -> bytes:
        return trading.encoded(command, self.epoch, trading.now(self.state, self.step))

    def done(self, result: object) -> None:
        """A submit's result names the order."""
        if not isinstance(result, CommandResult):
            raise TypeError(f"the core gave {result!r}")
        trading.taken([result])
        self.open = result.order if result.kind == "submit" else None

    @property
    def idle(self) -> bool:
        """Its last order has its end."""
        return self.open is None


@define
class Run:
    """One measurement: so many callers, until enough commands are done or the time is up.

    Each ends what it has begun: an order that stayed open would take its share of the account with it, and after a few
    measurements on one cluster the core would refuse the next.
    """

    node: ClusterNode
    count: int
    deadline_ns: int
    took_us: list[float] = field(factory=list)
    commands: int = 0
    proposed: int = 0
    running: int = 0
    disturbed: str = ""
    ended: trio.Event = field(factory=trio.Event)

    async def play(self, loads: list[Load]) -> None:
        """All callers at once; returns when the last has its last outcome."""
        self.running = len(loads)
        for load in loads:
            self._propose(load)
        await self.ended.wait()

    def _propose(self, load: Load) -> None:
        began = time.perf_counter_ns()
        enough = load.idle and (self.proposed >= self.count or began >= self.deadline_ns)
        if self.disturbed or enough:
            self.running -= 1
            if not self.running:
                self.ended.set()
            return
        self.proposed += 1
        command, timed = load.next()

        def heard(outcome: Outcome) -> None:
            if not isinstance(outcome, Applied):
                self.disturbed = f"{type(outcome).__name__}: the lead was lost"
            else:
                load.done(outcome.result)
                self.commands += 1
                if timed:
                    self.took_us.append((time.perf_counter_ns() - began) / 1e3)
            self._propose(load)

        self.node.propose_nowait(command, heard)


async def open_trading(node: ClusterNode, term: int, state: State) -> None:
    """Make the core's state one that trades.  Raises ValueError if the lead is lost meanwhile."""
    for command in trading.opening(NODE, trading.WEALTH) if state.epoch is None else trading.resuming(NODE):
        outcome = await node.propose(trading.encoded(command, term, trading.now(state)))
        if not isinstance(outcome, Applied) or not isinstance(outcome.result, CommandResult):
            raise ValueError(f"the lead was lost: {outcome}")  # noqa: TRY004 - an outcome, no wrong type
        trading.taken([outcome.result])
