"""Lane: what is decided of sends: when one is written, when none may be, and what comes of each.

Synchronous, and without a socket: `orders` gives it one, the simulation a cable.  The law of this file: a send is
written at most once, and every id that is sent gets exactly one answer.  What surely was not written is NotSent; from
the first byte on it is Unknown until the venue says otherwise.  A cancel never waits behind a submit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from attrs import frozen

from meltica.core.effects import CancelOrder, Effect
from meltica.core.values import ClientOrderId, Nanos
from meltica.venues.base import Accepted, Answer, NotSent, Refused, Unknown
from meltica.venues.binance_spot.connections import Offer, Way, WireClosed
from meltica.venues.binance_spot.errors import ACCESS
from meltica.venues.binance_spot.parse import (
    Notice,
    ParseFault,
    SocketAnswer,
    answer_of,
    server_time,
    socket_message,
)
from meltica.venues.binance_spot.requests import (
    CANCEL_WEIGHT,
    PLACE_WEIGHT,
    method_of,
    parameters_of,
    plain_request,
    signed_request,
)
from meltica.venues.binance_spot.settings import MILLISECOND, SECOND, Settings
from meltica.venues.clock import Sample, VenueClock
from meltica.venues.deadlines import deadline
from meltica.venues.meetings import Meetings
from meltica.venues.rates import RateBudget, Urgency

QUEUED = 256  # sends kept back while the kernel has no room; more are refused
GUARD = Nanos(MILLISECOND)  # Binance may compare whole milliseconds of its clock
FAST_SAMPLES = Nanos(20 * MILLISECOND)  # between samples while the clock is not yet known
LOST_SAMPLE = Nanos(3 * SECOND)  # a `time` without an answer for so long: the connection is dead
SAMPLES_OUT = 16  # `time` requests that may wait for an answer
SHUTDOWN = Notice("serverShutdown")
LEAVE_WITHIN = Nanos(2 * SECOND)  # after a serverShutdown, how long answers are waited for


@frozen
class _Send:
    effect: Effect
    send_by: Nanos
    may_send: Callable[[], bool]

    @property
    def intent(self) -> ClientOrderId:
        return self.effect.intent


class Lane:
    """The order connection without its socket.  Answers arrive through `on_answer`, never from inside `send`."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], Nanos],
        *,
        venue_clock: VenueClock,
        budget: RateBudget,
        meetings: Meetings,
        on_answer: Callable[[ClientOrderId, Answer], None],
        on_due: Callable[[], None],
        on_fault: Callable[[str], None],
        on_change: Callable[[], None],
    ) -> None:
        """`on_due` asks for `deliver` soon: never from inside the call that it stands in."""
        self._settings, self._clock = settings, clock
        self._venue_clock, self._budget, self._meetings = venue_clock, budget, meetings
        self._on_answer, self._on_due, self._on_fault, self._on_change = on_answer, on_due, on_fault, on_change
        self._wire: Way | None = None
        self._cancels: deque[_Send] = deque()
        self._submits: deque[_Send] = deque()
        self._pending: dict[ClientOrderId, Nanos] = {}  # written, without an answer yet: when
        self._samples: dict[str, Nanos] = {}  # `time` requests without an answer yet: when
        self._sampled = 0
        self._heard = Nanos(0)  # when a frame last came
        self._leaving: Nanos | None = None
        self._quiet_until = Nanos(0)  # the venue refuses even to tell the time
        self._due: deque[tuple[ClientOrderId, Answer]] = deque()
        self.refused: str | None = None  # why the venue refuses us
        self.late = 0  # answers that came after they were given up
        self.garbage = 0  # frames that could not be read
        self.repeated = 0  # sends under an id that was still without an answer: never written
        self.why_not = "not connected yet"

    @property
    def connected(self) -> bool:
        """Whether a send could be written."""
        return self._wire is not None and self._leaving is None

    # --- sending ----------------------------------------------------------------------------------------------

    def send(self, effect: Effect, send_by: Nanos, may_send: Callable[[], bool]) -> None:
        """Write `effect` now if the connection is free, else as soon as it is; never after `send_by`.

        An id that has no answer yet is not written again, and brings no answer of its own: NotSent would say of
        the first one what is not so.  It is counted in `repeated`.
        """
        if self._waits(effect.intent):
            self.repeated += 1
            return
        queue = self._cancels if isinstance(effect, CancelOrder) else self._submits
        if not self.connected:
            self._answer_later(effect.intent, NotSent(f"no order connection: {self.why_not}"))
        elif len(queue) >= QUEUED:
            self._answer_later(effect.intent, NotSent("too many sends are waiting for the socket"))
        else:
            queue.append(_Send(effect, send_by, may_send))
            self.pump()

    def _waits(self, intent: ClientOrderId) -> bool:
        """Whether an answer to `intent` is still to come."""
        return (
            intent in self._pending
            or any(send.intent == intent for queue in (self._cancels, self._submits) for send in queue)
            or any(intent == due for due, _ in self._due)
        )

    def pump(self) -> None:
        """Write what can be written now, cancels first; called again whenever the connection has room."""
        while self._wire is not None and (queue := self._cancels or self._submits):
            send = queue.popleft()
            answer = self._write(self._wire, send)
            if answer is Offer.FULL:
                queue.appendleft(send)
                return
            if not isinstance(answer, Offer):
                self._answer_later(send.intent, answer)

    def _write(self, wire: Way, send: _Send) -> Offer | NotSent:
        refusal = self._rate_refusal(send.effect)
        if refusal is not None:
            return NotSent(refusal)
        floor = self._settings.capabilities.deadline_floor
        now = self._clock()
        dated = deadline(self._venue_clock, now, send.send_by, floor=floor, guard=GUARD)
        if isinstance(dated, str):
            return NotSent(dated)
        try:
            text = signed_request(
                send.intent,
                method_of(send.effect),
                parameters_of(send.effect),
                dated,
                api_key=self._settings.api_key,
                secret=self._settings.secret,
            )
            offer = wire.offer_text(text, send.may_send)
        except (WireClosed, ValueError) as fault:
            return NotSent(str(fault))
        if offer is Offer.SHUT:
            return NotSent("the gate was shut at the write")
        if offer is Offer.WRITTEN:
            self._written(send.effect, now)
        return offer

    def _written(self, effect: Effect, now: Nanos) -> None:
        self._pending[effect.intent] = now
        self._meetings.sent(effect.intent)
        if not isinstance(effect, CancelOrder):
            self._budget.spend("ORDERS", 1, now)
        self._budget.spend("REQUEST_WEIGHT", _weight(effect), now)

    def _rate_refusal(self, effect: Effect) -> str | None:
        now, weight = self._clock(), _weight(effect)
        if isinstance(effect, CancelOrder):
            return self._budget.refusal("REQUEST_WEIGHT", weight, Urgency.CANCEL, now)
        return self._budget.refusal("REQUEST_WEIGHT", weight, Urgency.ORDINARY, now) or self._budget.refusal(
            "ORDERS", 1, Urgency.ORDINARY, now
        )

    def _answer_later(self, intent: ClientOrderId, answer: Answer) -> None:
        """Never from inside `send`: the caller is in the middle of something."""
        self._due.append((intent, answer))
        self._on_due()

    def deliver(self) -> None:
        """Hand on the answers that were found while sending."""
        while self._due:
            self._on_answer(*self._due.popleft())

    def tick(self) -> None:
        """Give up what waited too long: called about ten times a second."""
        now = self._clock()
        for queue in (self._cancels, self._submits):
            for send in [send for send in queue if send.send_by <= now]:
                queue.remove(send)
                self._answer_later(send.intent, NotSent("its time passed while it waited for the socket"))
        limit = self._settings.answer_within
        for intent in [intent for intent, at in self._pending.items() if now - at > limit]:
            self._give_up(intent, f"no answer within {limit // MILLISECOND} ms")

    def _give_up(self, intent: ClientOrderId, reason: str) -> None:
        del self._pending[intent]
        self._meetings.forget(intent)
        self._answer_later(intent, Unknown(reason))

    # --- the connection ---------------------------------------------------------------------------------------

    def opened(self, wire: Way) -> None:
        """A connection stands."""
        self._wire, self._leaving = wire, None
        self._samples.clear()
        self._heard = self._clock()
        self._on_change()

    def closed(self) -> None:
        """It is gone: what was written is in doubt, what waits was surely not written."""
        self._wire = None
        for intent in list(self._pending):
            self._give_up(intent, "the connection closed after the write")
        for queue in (self._cancels, self._submits):
            while queue:
                self._answer_later(queue.popleft().intent, NotSent("the connection closed before the write"))
        self._on_change()

    def sample(self) -> Nanos:
        """Ask for the venue's time; when to ask again.  Raises WireClosed if the connection is dead, or is to go.

        Nothing is asked while this address is banned, or after the time itself was refused: whoever goes on asking
        within the pause is banned.
        """
        now = self._clock()
        if self._wire is None:
            raise WireClosed("no connection")
        if self._samples and now - max(self._heard, min(self._samples.values())) > LOST_SAMPLE:
            raise WireClosed("the order connection is silent")
        if self._leaving is not None and (not self._pending or now > self._leaving):
            raise WireClosed("the venue is shutting this connection down")
        if self._budget.banned(now) or now < self._quiet_until:
            self._samples.clear()  # that no answer comes now says nothing
        else:
            self._ask_time(self._wire)
        known = self._venue_clock.refusal(now) is None
        return self._settings.clock_every if known else FAST_SAMPLES

    def _ask_time(self, wire: Way) -> None:
        self._sampled += 1
        if len(self._samples) >= SAMPLES_OUT:  # the oldest was never answered
            del self._samples[next(iter(self._samples))]
        name = f"time-{self._sampled}"
        sent = self._clock()
        if wire.offer_text(plain_request(name, "time"), lambda: True) is Offer.WRITTEN:
            self._samples[name] = sent
            self._budget.spend("REQUEST_WEIGHT", 1, sent)

    def heard(self, received: Nanos) -> None:
        """Something came, be it a ping."""
        self._heard = received

    def take_in(self, text: str, received: Nanos) -> None:
        """One text frame."""
        try:
            message = socket_message(text, received)
        except ParseFault as fault:
            self.garbage += 1
            self._on_fault(f"a frame of the order connection cannot be read: {fault}")
            return
        if isinstance(message, SocketAnswer):
            self._take_answer(message, received)
        elif message.event == SHUTDOWN and self._leaving is None:
            self._leaving = Nanos(received + LEAVE_WITHIN)
            self.why_not = "the venue is shutting this connection down"
            self._on_change()

    def _take_answer(self, answer: SocketAnswer, received: Nanos) -> None:
        self._budget.learn(answer.limits, received)
        if answer.status in (418, 429):
            pause = self._budget.pause(answer.retry_after, answer.server_time, received)
            self._budget.slow_down(pause, received, banned=answer.status == 418)
            if answer.id in self._samples:
                self._quiet_until = Nanos(received + pause)
        sent = self._samples.pop(answer.id, None) if answer.id is not None else None
        if sent is not None:
            self._take_sample(answer, sent, received)
        elif answer.id is not None and self._pending.pop(ClientOrderId(answer.id), None) is not None:
            self._take_outcome(ClientOrderId(answer.id), answer, received)
        else:
            self.late += 1

    def _take_sample(self, answer: SocketAnswer, sent: Nanos, received: Nanos) -> None:
        if not answer.ok:
            return
        try:
            venue_time, resolution = server_time(answer.result)
        except ParseFault as fault:
            self.garbage += 1
            self._on_fault(f"the venue's time cannot be read: {fault}")
            return
        was = self._venue_clock.refusal(received)
        self._venue_clock.add(Sample(sent, received, venue_time, resolution))
        if self._venue_clock.refusal(received) != was:
            self._on_change()

    def _take_outcome(self, intent: ClientOrderId, answer: SocketAnswer, received: Nanos) -> None:
        found = answer_of(answer)
        if isinstance(found, Accepted):
            self._meetings.answered(intent, received)
            self.refused = None
        else:
            self._meetings.forget(intent)
            if isinstance(found, Refused) and answer.code in ACCESS:
                self.refused = f"{answer.code}: {answer.text}"
        self._on_answer(intent, found)


def _weight(effect: Effect) -> int:
    return CANCEL_WEIGHT if isinstance(effect, CancelOrder) else PLACE_WEIGHT
