"""Lessons: what was learnt of the venues, on its way into the log.

Only how it gets there may live here: proposed in order, a discrepancy with its alert, what can be told of once told
once in a lead, the trades read that it leaves open, and what trading waits for (`claims`).
"""

from __future__ import annotations

from meltica.core.commands import Command, Discrepancy, FillSeen, OrderUpdated
from meltica.core.values import Symbol, Venue
from meltica.leader.claims import Claims
from meltica.leader.desk import Desk
from meltica.leader.inquiry import Inquiry
from meltica.leader.reconcile import FOREIGN, Learnt, Stamp, Stray
from meltica.leader.survey import Need
from meltica.venues.base import ReadKind


class Lessons:
    """See the module.  `told`: which orders that the log can't place were told of in this lead."""

    def __init__(self, desk: Desk, inquiry: Inquiry) -> None:
        self._desk = desk
        self._inquiry = inquiry
        self.claims = Claims()
        self.told: set[Stray] = set()

    def begin(self) -> None:
        """This node leads: what waits for trades is what the log says."""
        self.tell_anew()
        self.claims.clear()
        self.claims.behind(self._desk.state)

    def tell_anew(self) -> None:
        """What was told may never have come into the log's state."""
        self.told.clear()

    def lost_lead(self) -> None:
        """This node leads no more."""
        self.claims.clear()

    def stamp(self, venue: Venue) -> Stamp:
        """For what is learnt now."""
        return Stamp(self._desk.epoch, self._desk.at, venue, self._desk.account(venue))

    def commit(self, venue: Venue, learnt: Learnt) -> None:
        """Propose all of it, and have the trades read that it lacks."""
        for command in learnt.commands:
            if isinstance(command, Discrepancy):
                told = f"{command.subject}: {command.found}, not {command.expected}"
                self._desk.observer.alert(command.kind, told)
            self.propose(venue, command)
        self.told.update(learnt.strays)
        for symbol in sorted(learnt.behind):
            self.read_trades(venue, symbol)

    def tell(self, venue: Venue, learnt: Learnt) -> None:
        """Once in a lead."""
        if not self.told.issuperset(learnt.strays):
            self.commit(venue, learnt)

    def propose(self, venue: Venue, command: Command) -> None:
        """Propose it; what trading waits for counts what is proposed as learnt."""
        if isinstance(command, FillSeen | OrderUpdated) and self._inquiry.owing(venue, command.symbol):
            self.claims.proposed(command)
        self._desk.evidence(command)

    def read_trades(self, venue: Venue, symbol: Symbol) -> None:
        """More was executed than the fills add up to, or a trade was heard of no known order: read them.

        Before this node trades the read that shows them is waited for, like all else that the takeover asks.
        """
        need: Need = (ReadKind.TRADES, symbol)
        if self.lacking(venue, symbol) and self._inquiry.owing(venue, symbol):
            self._inquiry.lacks(venue, need)
        self._inquiry.ask(venue, need)

    def lacking(self, venue: Venue, symbol: Symbol) -> bool:
        """Whether the fills that the log has or will have don't add up to what was executed there."""
        return self.claims.lacking(self._desk.state, venue, symbol)

    def foreigners(self, venue: Venue) -> int:
        """How many orders of somebody else were told of in this lead."""
        return sum(1 for each in self.told if (each.kind, each.venue) == (FOREIGN, venue))
