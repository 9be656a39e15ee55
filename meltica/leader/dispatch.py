"""Dispatch: effects out to the venues, answers back as commands.

Only that way round may live here.  Whether a send may leave is `authority`'s word, asked synchronously with the
write; what came of it is committed as Answered, InDoubt or Lapsed, and never sent again.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, frozen

from cluster.types import AppliedEntry
from meltica.core.commands import Answered, InDoubt, Lapsed
from meltica.core.effects import Effect
from meltica.core.events import CommandResult
from meltica.core.values import ClientOrderId, Epoch, Nanos
from meltica.leader import authority, setbacks
from meltica.leader.authority import Ordered
from meltica.leader.desk import Desk
from meltica.venues.base import Accepted, Answer, NotSent, Refused, Unknown


@define
class Flight:
    """A send that was handed to its venue and has no answer yet."""

    ordered: Ordered
    handed: Nanos
    past: Nanos  # by then it is past its deadline, this node's clock error included
    doubted: bool = False


@frozen
class Landed:
    """An answer, for metrics and the takeover's clock."""

    effect: Effect
    answer: Answer
    took: Nanos


class Dispatch:
    """See the module."""

    def __init__(self, desk: Desk, stalled: Callable[[Nanos], bool]) -> None:
        self._desk = desk
        self._stalled = stalled
        self._flights: dict[ClientOrderId, Flight] = {}
        self._unsure = Nanos(0)  # by then every send that ended Unknown is past its deadline
        self._lapsed: list[tuple[ClientOrderId, str]] = []
        self._unheard: dict[ClientOrderId, Nanos] = {}  # intents that nothing flies for: since when the log waits
        self.on_landed: Callable[[Landed], None] = _nobody

    # --- out ----------------------------------------------------------------------------------------------

    def applied(self, entry: AppliedEntry) -> None:
        """An entry was applied: note every send that it ordered, and send those that are this node's to send."""
        for result in entry.results:
            if isinstance(result, CommandResult):
                for effect in result.effects:
                    self._ordered(entry, effect)

    def _ordered(self, entry: AppliedEntry, effect: Effect) -> None:
        desk = self._desk
        term = Epoch(entry.term)
        window = authority.window_at(desk.state, effect.epoch, effect.venue)
        drift = authority.drift_of(desk.state)
        own = entry.own and entry.proposed is not None
        since = entry.proposed if own and entry.proposed is not None else entry.appended
        past = Nanos(since + authority.stretched(window, drift))
        desk.sends.ordered(effect, term, Nanos(entry.appended), past, window)
        if not own or desk.gate.leading != term:
            return  # an older leader's, or another's: discarded here, waited for and looked up by the successor
        ordered = Ordered(effect, term, own, Nanos(since), Nanos(since + window))
        self._send(ordered, past)

    def _send(self, ordered: Ordered, past: Nanos) -> None:
        desk = self._desk
        effect = ordered.effect
        if effect.intent in self._flights:
            return  # one id, one send
        port = desk.venues.get(effect.venue)
        record = desk.state.epochs.get(ordered.term)
        if port is None:
            self._lapse(effect.intent, "no connection to this venue here")
            return
        if record is None or effect.venue not in record.windows:
            self._lapse(effect.intent, "the epoch has no window for this venue")
            return
        shut = self.why_shut(ordered)
        if shut:
            self._lapse(effect.intent, shut)
            return
        self._flights[effect.intent] = Flight(ordered, desk.mono(), past)
        port.send(effect, ordered.send_by, lambda: not self.why_shut(ordered))

    def why_shut(self, ordered: Ordered) -> str:
        """Why `ordered` may not be written now, or "": asked here, and again synchronously with the write."""
        desk = self._desk
        now = desk.mono()
        if self._stalled(now):
            return "the event loop stood still"
        if desk.disputed and not ordered.is_cancel:
            return desk.disputed
        port = desk.venues.get(ordered.effect.venue)
        health = None if port is None else port.health()
        return authority.why_shut(desk.gate, desk.state.epoch, ordered, now, health)

    # --- back ---------------------------------------------------------------------------------------------

    def answered(self, intent: ClientOrderId, answer: Answer) -> None:
        """What came of a send.  A node that leads no more keeps it to itself: its successor asks the venue."""
        flight = self._flights.pop(intent, None)
        if flight is None:
            return
        desk = self._desk
        self.on_landed(Landed(flight.ordered.effect, answer, Nanos(desk.mono() - flight.handed)))
        if isinstance(answer, NotSent):
            self._lapse(intent, answer.reason)
        elif isinstance(answer, Unknown):
            self._unsure = max(self._unsure, flight.past)  # no answer of the venue's: it may still be admitted
            if not flight.doubted and desk.can_propose:
                desk.evidence(InDoubt(desk.epoch, desk.at, intent, answer.reason))
        elif desk.can_propose:
            desk.evidence(self._answer(intent, answer))

    def _answer(self, intent: ClientOrderId, answer: Accepted | Refused) -> Answered:
        desk = self._desk
        if isinstance(answer, Accepted):
            return Answered(
                desk.epoch,
                desk.at,
                intent,
                accepted=True,
                venue_order_id=answer.venue_order_id,
                status=answer.status,
                executed=answer.executed,
            )
        return Answered(desk.epoch, desk.at, intent, accepted=False, code=answer.code, text=answer.text)

    def _lapse(self, intent: ClientOrderId, reason: str) -> None:
        self._lapsed.append((intent, reason))

    def flush(self) -> None:
        """Commit what lapsed, in one command for each reason."""
        if not self._lapsed or not self._desk.can_propose:
            return
        desk = self._desk
        pending = [(intent, reason) for intent, reason in self._lapsed if intent in desk.state.intents]
        self._lapsed.clear()
        reasons: dict[str, list[ClientOrderId]] = {}
        for intent, reason in pending:
            reasons.setdefault(reason, []).append(intent)
        for reason, intents in reasons.items():
            desk.observer.event("lapsed", {"count": len(intents), "reason": reason})
            desk.evidence(Lapsed(desk.epoch, desk.at, tuple(intents), reason))

    def backstop(self, now: Nanos) -> None:
        """A send of which nothing at all was heard is in doubt, whatever its adapter thinks."""
        desk = self._desk
        for intent, flight in self._flights.items():
            late = now - flight.ordered.send_by > desk.settings.answer_backstop
            if late and not flight.doubted and desk.can_propose:
                flight.doubted = True
                desk.evidence(InDoubt(desk.epoch, desk.at, intent, "nothing was heard of it"))
        if desk.can_propose:
            self._doubt_unheard(now)

    def _doubt_unheard(self, now: Nanos) -> None:
        """What is not on its way and has no answer in the log gets none: it came while apply stood, or was unwritable.

        Such an intent would count as in flight for the rest of the epoch: neither looked up nor cancelled again.
        """
        desk = self._desk
        self._unheard = {
            intent: self._unheard.get(intent) or desk.sends.limit_of(intent, desk.state)
            for intent, each in desk.state.intents.items()
            if not each.in_doubt and intent not in self._flights
        }
        for intent, since in self._unheard.items():
            if now - since > desk.settings.answer_backstop:
                self._unheard[intent] = now
                desk.evidence(InDoubt(desk.epoch, desk.at, intent, "its answer did not come into the log"))

    # --- views --------------------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Sends without an answer."""
        return len(self._flights)

    @property
    def has_lapses(self) -> bool:
        """Whether `flush` has something to commit."""
        return bool(self._lapsed) and self._desk.can_propose

    def has(self, intent: ClientOrderId) -> bool:
        """Whether an answer to it, a send of this very epoch, is still to come on this node."""
        flight = self._flights.get(intent)
        return flight is not None and self._expected(flight)

    def flying(self) -> frozenset[ClientOrderId]:
        """The sends of this epoch whose answer is to come: those of an older one are looked up, whoever sent them."""
        return frozenset(intent for intent, flight in self._flights.items() if self._expected(flight))

    def _expected(self, flight: Flight) -> bool:
        """Not once it was given up: who waits for an answer that never comes neither looks nor cancels again."""
        return flight.ordered.term == self._desk.epoch and not flight.doubted

    def drained_at(self) -> Nanos:
        """When the last send that the venue did not answer is past its deadline, drift added; 0 if there is none.

        Later where a venue's clock went back: it may let in what is on its way for so much longer.

        One that ended Unknown is among them: a connection that closed after the write says nothing of what is still
        on its way (found by the specification, `UnknownIsAnswer`).
        """
        past = max(self._unsure, *(flight.past for flight in self._flights.values()), Nanos(0))
        return setbacks.later(self._desk, past)

    def doubt_rest(self) -> None:
        """The drain is over: what is past its deadline and unanswered goes into the log as in doubt."""
        desk = self._desk
        for intent, flight in self._flights.items():
            if not flight.doubted:
                flight.doubted = True
                desk.evidence(InDoubt(desk.epoch, desk.at, intent, "no answer by the end of the hand-over"))


def _nobody(_landed: Landed) -> None:
    """Nobody listens."""
