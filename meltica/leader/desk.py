"""Desk: what every room of the leader shares: the state to read, the clocks, and the one way to propose.

Only that may live here.  A room decides; the desk stamps, proposes, and remembers what is on its way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, frozen

from cluster.types import Applied, NotLeader, Outcome, OutcomeUnknown
from meltica.core.commands import Command, NodeReport
from meltica.core.events import CommandResult
from meltica.core.state import State
from meltica.core.values import Account, Epoch, Nanos, NodeName, Symbol, Venue
from meltica.leader.authority import Gate, Sends
from meltica.leader.ports import ClusterPort, Mono, Observer, Wall
from meltica.leader.settings import LeaderSettings
from meltica.venues.base import Health, VenuePort

OnOutcome = Callable[[Outcome], None]


@frozen
class Again:
    """Evidence that replication did not take: to be proposed again while this node still leads."""

    command: Command
    due: Nanos
    number: int  # that it had when it was first proposed, and keeps


@define
class Outstanding:
    """A proposal whose outcome is not known yet."""

    kind: type[Command]
    since: Nanos


class Desk:
    """See the module."""

    def __init__(
        self,
        *,
        node: NodeName,
        settings: LeaderSettings,
        state: State,
        cluster: ClusterPort,
        venues: Sequence[VenuePort],
        mono: Mono,
        wall: Wall,
        observer: Observer,
    ) -> None:
        self.node = node
        self.settings = settings
        self.state = state
        self.cluster = cluster
        self.venues: dict[Venue, VenuePort] = {port.venue: port for port in venues}
        self.mono = mono
        self.wall = wall
        self.observer = observer
        self.gate = Gate()
        self.sends = Sends(born=mono())
        self.report: NodeReport | None = None  # what this node is, where it says so
        self.standing = False  # apply has stopped on this node: nothing is proposed, and nothing learnt is kept
        self.disputed = ""  # the nodes' states differ, and nobody knows whose is right: nothing but cancels leaves
        self.disk = ""  # why this node's disk has no room for trading
        self.started = False  # EpochStarted of the term that this node leads in is applied
        self._anchor: Nanos | None = None  # wall minus mono when this epoch began
        self.next_number = 0  # of the next proposal of this process
        self._outstanding: dict[int, Outstanding] = {}
        self._again: list[Again] = []

    @property
    def epoch(self) -> Epoch:
        """The term that this node leads in; 0 where it does not."""
        return self.gate.leading if self.gate.leading is not None else Epoch(0)

    @property
    def at(self) -> Nanos:
        """What a command proposed now carries as its time: a wall clock that is set meanwhile does not move it."""
        return self.wall() if self._anchor is None else Nanos(self._anchor + self.mono())

    def account(self, venue: Venue) -> Account:
        """The account that is traded there."""
        return self.venues[venue].account

    def watched(self, venue: Venue) -> tuple[Symbol, ...]:
        """The symbols that are read there: those that are traded, and those that orders of ours may still trade.

        Of the latter the settings may know nothing any more.
        """
        traded = self.settings.symbols_of(venue)
        left = {
            symbol
            for (where, _, symbol), exposure in self.state.order_index.exposures.items()
            if where == venue and (exposure.live or exposure.buy or exposure.sell)
        }
        return (*traded, *sorted(left.difference(traded)))

    def healths(self) -> dict[Venue, Health]:
        """How each venue stands."""
        return {venue: port.health() for venue, port in self.venues.items()}

    def members(self) -> tuple[NodeName, ...]:
        """Who takes part, as far as this node knows, by name."""
        return tuple(sorted({self.node, *[NodeName(peer.name) for peer in self.cluster.status().peers]}))

    @property
    def can_propose(self) -> bool:
        """Whether a command of this node would be of the current epoch."""
        return self.gate.leading is not None and self.started and not self.standing

    def propose(self, command: Command, on_outcome: OnOutcome | None = None) -> None:
        """Propose once; `on_outcome` hears one outcome.

        Raises:
            ValueError: the command has no bytes (BadCommand) or fits into no entry.  It is surely not proposed: no
                outcome will come, and none is waited for.
        """
        if self.gate.leading is None:
            if on_outcome is not None:
                on_outcome(NotLeader(None))
            return
        self._propose(command, self._number(), on_outcome)

    def _number(self) -> int:
        number = self.next_number
        self.next_number += 1
        return number

    def _propose(self, command: Command, number: int, on_outcome: OnOutcome | None) -> None:
        self._outstanding[number] = Outstanding(type(command), self.mono())

        def done(outcome: Outcome) -> None:
            self._outstanding.pop(number, None)
            if on_outcome is not None:
                on_outcome(outcome)

        try:
            self.cluster.propose(command, done)
        except BaseException:
            self._outstanding.pop(number, None)
            raise

    def evidence(self, command: Command) -> None:
        """Propose what was learnt of a venue: again, if replication did not take it and this node still leads.

        Unknown outcomes are left alone: either it is in the log of this term, or a newer leader reads anew.  Never
        raises for what it is given: what cannot be written (a venue may say anything) is dropped with an alert.
        """
        if not self.standing:  # else: all venues are read anew when apply goes on
            self._evidence(command, self._number())

    def _evidence(self, command: Command, number: int) -> None:
        term = self.gate.leading
        if term is None:
            return

        def done(outcome: Outcome) -> None:
            if isinstance(outcome, NotLeader) and self.gate.leading == term:
                self._again.append(Again(command, Nanos(self.mono() + self.settings.retry_evidence), number))

        try:
            self._propose(command, number, done)
        except ValueError as fault:
            self.observer.alert("EvidenceDropped", f"{type(command).__name__}: {_without_value(fault)}")

    def retry(self, now: Nanos) -> None:
        """Propose again what is due."""
        if not self._again or self.standing:
            return  # while apply stands it waits: what replication refused as it stopped would be lost
        due = [each for each in self._again if each.due <= now]
        self._again = [each for each in self._again if each.due > now]
        for each in due:
            self._evidence(each.command, each.number)

    def lead(self, term: Epoch) -> None:
        """This node leads in `term` from here on."""
        self.gate.leading = term
        self.take_time()

    def take_time(self) -> None:
        """Stamp by the wall clock as it is now, and by the monotonic clock from here on; for a new epoch only."""
        self._anchor = Nanos(self.wall() - self.mono())

    def lost_lead(self) -> None:
        """This node leads no more: what it meant to propose again is for the successor to find out."""
        self._anchor = None
        self._again.clear()
        self._outstanding.clear()
        self.started = False

    @property
    def outstanding(self) -> int:
        """Proposals whose outcome is not known, those to be repeated included."""
        return len(self._outstanding) + len(self._again)

    def owes(self, number: int, kind: type[Command]) -> bool:
        """Whether the outcome of a proposal made before `number`, or of any of `kind`, is to come; repeats included."""
        return any(each < number or told.kind is kind for each, told in self._outstanding.items()) or any(
            each.number < number or type(each.command) is kind for each in self._again
        )

    @property
    def repeats(self) -> bool:
        """Whether evidence that replication did not take waits to be proposed again."""
        return bool(self._again)

    def oldest_outstanding(self) -> Nanos | None:
        """Since when the oldest proposal waits for its outcome."""
        return min((each.since for each in self._outstanding.values()), default=None)

    def next_due(self) -> Nanos | None:
        """When `retry` has something to do."""
        return min(each.due for each in self._again) if self._again and not self.standing else None


def result_of(outcome: Outcome) -> CommandResult | None:
    """The command's result, where it was applied."""
    if isinstance(outcome, Applied) and isinstance(outcome.result, CommandResult):
        return outcome.result
    return None


def describe(outcome: Outcome) -> str:
    """For people."""
    if isinstance(outcome, OutcomeUnknown):
        return f"outcome unknown: {outcome.reason}"
    if isinstance(outcome, NotLeader):
        return f"not the leader; ask {outcome.leader or 'nobody yet'}"
    result = result_of(outcome)
    if result is not None and result.rejection is not None:
        return f"rejected: {result.rejection.text}"
    return "applied"


def _without_value(fault: ValueError) -> str:
    """Which field, and what was expected of it; not what stood in it, which may be anybody's text."""
    return str(fault).partition(", found ")[0][:200]
