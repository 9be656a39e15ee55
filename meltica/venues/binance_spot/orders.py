"""Orders: the lane on which sends go out, one warm connection, and what comes of each.

The law of this file: a send is written at most once, and every id that is sent gets exactly one answer.  What
surely was not written is NotSent; from the first byte on it is Unknown until the venue says otherwise.  Between
the check of the gate and the write lies no checkpoint (see `wire`).  A cancel never waits behind a submit.
"""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Callable

import trio
from attrs import frozen

from meltica.core.effects import CancelOrder, Effect
from meltica.core.values import ClientOrderId, Nanos
from meltica.venues.backoff import Backoff
from meltica.venues.base import Accepted, Answer, NotSent, Refused, Unknown
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
from meltica.venues.binance_spot.wire import Offer, Wire, WireClosed, open_wire
from meltica.venues.clock import Sample, VenueClock
from meltica.venues.deadlines import deadline
from meltica.venues.meetings import Meetings
from meltica.venues.rates import RateBudget, Urgency

QUEUED = 256  # sends kept back while the kernel has no room; more are refused
GUARD = Nanos(MILLISECOND)  # Binance may compare whole milliseconds of its clock
FAST_SAMPLES = 0.02  # seconds between samples while the clock is not yet known
LOST_SAMPLE = Nanos(3 * SECOND)  # a `time` without an answer for so long: the connection is dead
SAMPLES_OUT = 16  # `time` requests that may wait for an answer
LEAVE_WITHIN = Nanos(2 * SECOND)  # after a serverShutdown, how long answers are waited for
SLOW_DOWN = Nanos(SECOND)  # the pause after a 429 that names none


@frozen
class _Send:
    effect: Effect
    send_by: Nanos
    may_send: Callable[[], bool]

    @property
    def intent(self) -> ClientOrderId:
        return self.effect.intent


class OrderLane:
    """The order connection.  `send` is synchronous; answers arrive through `on_answer`."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], Nanos],
        wall: Callable[[], Nanos],
        *,
        venue_clock: VenueClock,
        budget: RateBudget,
        meetings: Meetings,
        on_answer: Callable[[ClientOrderId, Answer], None],
        on_fault: Callable[[str], None],
        on_change: Callable[[], None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings, self._clock, self._wall, self._tls = settings, clock, wall, tls
        self._venue_clock, self._budget, self._meetings = venue_clock, budget, meetings
        self._on_answer, self._on_fault, self._on_change = on_answer, on_fault, on_change
        self._wire: Wire | None = None
        self._cancels: deque[_Send] = deque()
        self._submits: deque[_Send] = deque()
        self._pending: dict[ClientOrderId, Nanos] = {}  # written, without an answer yet: when
        self._samples: dict[str, Nanos] = {}  # `time` requests without an answer yet: when
        self._sampled = 0
        self._heard = Nanos(0)  # when a frame last came
        self._leaving: Nanos | None = None
        self._due: deque[tuple[ClientOrderId, Answer]] = deque()
        self._has_due = trio.Event()
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
            self._pump()

    def _waits(self, intent: ClientOrderId) -> bool:
        """Whether an answer to `intent` is still to come."""
        return (
            intent in self._pending
            or any(send.intent == intent for queue in (self._cancels, self._submits) for send in queue)
            or any(intent == due for due, _ in self._due)
        )

    def _pump(self) -> None:
        """Write what can be written now, cancels first."""
        while self._wire is not None and (queue := self._cancels or self._submits):
            send = queue.popleft()
            answer = self._write(self._wire, send)
            if answer is Offer.FULL:
                queue.appendleft(send)
                return
            if not isinstance(answer, Offer):
                self._answer_later(send.intent, answer)

    def _write(self, wire: Wire, send: _Send) -> Offer | NotSent:
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
            self._budget.spend("ORDERS", 1, self._wall())
        self._budget.spend("REQUEST_WEIGHT", _weight(effect), self._wall())

    def _rate_refusal(self, effect: Effect) -> str | None:
        wall, weight = self._wall(), _weight(effect)
        if isinstance(effect, CancelOrder):
            return self._budget.refusal("REQUEST_WEIGHT", weight, Urgency.CANCEL, wall)
        return self._budget.refusal("REQUEST_WEIGHT", weight, Urgency.ORDINARY, wall) or self._budget.refusal(
            "ORDERS", 1, Urgency.ORDINARY, wall
        )

    def _answer_later(self, intent: ClientOrderId, answer: Answer) -> None:
        """Never from inside `send`: the caller is in the middle of something."""
        self._due.append((intent, answer))
        self._has_due.set()

    async def deliver(self) -> None:
        """Hand on the answers that were found while sending, for ever."""
        while True:
            await self._has_due.wait()
            self._has_due = trio.Event()
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

    async def run(self, backoff: Backoff) -> None:
        """Keep a connection standing, for ever."""
        while True:
            try:
                await self._session(backoff)
            except* (WireClosed, OSError, trio.TooSlowError) as group:
                self.why_not = _first_text(group)
            await trio.sleep(backoff.next_wait() / SECOND)

    async def _session(self, backoff: Backoff) -> None:
        with trio.CancelScope() as opening:
            opening.deadline = trio.current_time() + self._settings.connect_within / SECOND
            async with open_wire(self._settings.ws_api_address, self._settings.user_agent, self._tls) as wire:
                opening.deadline = float("inf")
                try:
                    async with trio.open_nursery() as nursery:
                        self._opened(wire)
                        nursery.start_soon(wire.flush, self._pump)
                        nursery.start_soon(self._sample, wire)
                        nursery.start_soon(self._receive, wire, backoff)
                finally:
                    self._closed()
        if opening.cancelled_caught:
            raise trio.TooSlowError("the connection could not be opened in time")

    def _opened(self, wire: Wire) -> None:
        self._wire, self._leaving = wire, None
        self._samples.clear()
        self._heard = self._clock()
        self._on_change()

    def _closed(self) -> None:
        self._wire = None
        for intent in list(self._pending):
            self._give_up(intent, "the connection closed after the write")
        for queue in (self._cancels, self._submits):
            while queue:
                self._answer_later(queue.popleft().intent, NotSent("the connection closed before the write"))
        self._on_change()

    async def _sample(self, wire: Wire) -> None:
        """Ask for the venue's time again and again; no answer means that the connection is dead."""
        while True:
            now = self._clock()
            if self._samples and now - max(self._heard, min(self._samples.values())) > LOST_SAMPLE:
                raise WireClosed("the order connection is silent")
            if self._leaving is not None and (not self._pending or now > self._leaving):
                raise WireClosed("the venue is shutting this connection down")
            self._ask_time(wire)
            known = self._venue_clock.refusal(now) is None
            await trio.sleep(self._settings.clock_every / SECOND if known else FAST_SAMPLES)

    def _ask_time(self, wire: Wire) -> None:
        self._sampled += 1
        if len(self._samples) >= SAMPLES_OUT:  # the oldest was never answered
            del self._samples[next(iter(self._samples))]
        name = f"time-{self._sampled}"
        sent = self._clock()
        if wire.offer_text(plain_request(name, "time"), lambda: True) is Offer.WRITTEN:
            self._samples[name] = sent
            self._budget.spend("REQUEST_WEIGHT", 1, self._wall())

    async def _receive(self, wire: Wire, backoff: Backoff) -> None:
        while True:
            texts = await wire.receive()
            received = self._heard = self._clock()
            for text in texts:
                self._take_in(text, received)
            backoff.succeeded()

    def _take_in(self, text: str, received: Nanos) -> None:
        try:
            message = socket_message(text, received)
        except ParseFault as fault:
            self.garbage += 1
            self._on_fault(f"a frame of the order connection cannot be read: {fault}")
            return
        if isinstance(message, SocketAnswer):
            self._take_answer(message, received)
        elif isinstance(message, Notice) and message.word == "serverShutdown" and self._leaving is None:
            self._leaving = Nanos(received + LEAVE_WITHIN)
            self.why_not = "the venue is shutting this connection down"
            self._on_change()

    def _take_answer(self, answer: SocketAnswer, received: Nanos) -> None:
        wall = self._wall()
        self._budget.learn(answer.limits, wall)
        if answer.status in (418, 429):
            until = answer.retry_after or Nanos(wall + SLOW_DOWN)
            self._budget.slow_down(until, banned=answer.status == 418)
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


def _first_text(group: BaseExceptionGroup[BaseException]) -> str:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return str(found) or type(found).__name__
