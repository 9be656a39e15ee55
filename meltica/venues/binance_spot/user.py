"""User: the account's own events, subscribed by signature on a WebSocket API connection of their own.

It is a second connection, so that a burst of reports never stands before an answer to an order.  The law of this
file: whenever events may have been missed, `on_gap` says so, once when the stream is lost and once when it
stands again, because only a read that begins after that covers what was missed.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

import trio

from meltica.core.values import Nanos
from meltica.venues.backoff import Backoff
from meltica.venues.base import BalanceReport, Report
from meltica.venues.binance_spot.errors import ACCESS
from meltica.venues.binance_spot.parse import Notice, ParseFault, SocketAnswer, socket_message
from meltica.venues.binance_spot.requests import plain_request, signed_request
from meltica.venues.binance_spot.settings import SECOND, Settings
from meltica.venues.binance_spot.stream import Session, Stream, StreamLost
from meltica.venues.clock import VenueClock
from meltica.venues.deadlines import request_date

SUBSCRIBE = "subscribe"
POLL = 0.02  # seconds between looks at a clock that is not known yet
PINGED = 4  # application pings in each `silence`: a peer whose sockets live but whose events do not is found


class UserStream:
    """Hears the account's events.  `subscribed` is whether they come now."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], Nanos],
        *,
        venue_clock: VenueClock,
        on_report: Callable[[Report | BalanceReport], None],
        on_gap: Callable[[str], None],
        on_change: Callable[[], None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings, self._clock, self._venue_clock = settings, clock, venue_clock
        self._on_report, self._on_gap, self._on_change = on_report, on_gap, on_change
        self._stream = Stream(settings, settings.ws_api_address, clock, self._session, self._lost, tls=tls)
        self._missed: str | None = None  # why events may have been missed since the last subscription
        self._answered_at: Nanos | None = None
        self.subscribed = False
        self.refused: str | None = None
        self.garbage = 0

    @property
    def heard_at(self) -> Nanos | None:
        """Mono time of the last frame."""
        return self._stream.heard_at

    async def run(self, backoff: Backoff) -> None:
        """Keep the subscription standing, for ever."""
        await self._stream.run(backoff)

    def resubscribe(self, reason: str) -> None:
        """Something was missed: say so, and subscribe anew."""
        self._stream.drop(reason)

    def _lost(self, reason: str) -> None:
        was, self.subscribed = self.subscribed, False
        if was:
            self._missed = reason
            self._on_gap(f"the user stream was lost: {reason}")
            self._on_change()

    async def _session(self, session: Session, stream: Stream) -> None:
        await self._subscribe(session)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_asking, session)
            while True:
                raw = await session.hear()
                stream.heard()
                self._take_in(raw)

    async def _subscribe(self, session: Session) -> None:
        with trio.fail_after(self._settings.connect_within / SECOND):
            while True:
                dated = request_date(self._venue_clock, self._clock(), self._settings.read_recv_window)
                if not isinstance(dated, str):
                    break
                await trio.sleep(POLL)
        api_key, secret = self._settings.api_key, self._settings.secret
        method = "userDataStream.subscribe.signature"
        await session.say(signed_request(SUBSCRIBE, method, {}, dated, api_key=api_key, secret=secret))
        self._answered_at = self._clock()

    async def _keep_asking(self, session: Session) -> None:
        """A `ping` of the API itself, again and again: no answer within `silence` means that the peer is dead."""
        silence, count, begun = self._settings.silence, 0, self._clock()
        while True:
            await trio.sleep(silence / SECOND / PINGED)
            if not self.subscribed and self._clock() - begun > silence:
                raise StreamLost("the venue did not answer the subscription")  # though it may answer pings
            if self._answered_at is not None and self._clock() - self._answered_at > silence:
                raise StreamLost("the venue answers nothing on the user stream's connection")
            count += 1
            await session.say(plain_request(f"ping-{count}", "ping"))

    def _take_in(self, raw: str | bytes) -> None:
        try:
            message = socket_message(raw, self._clock())
        except ParseFault as fault:
            self.garbage += 1
            raise StreamLost(f"a frame of the user stream cannot be read: {fault}") from None
        if isinstance(message, SocketAnswer):
            self._take_answer(message)
        elif isinstance(message, Notice):
            if message.word in ("serverShutdown", "eventStreamTerminated"):
                raise StreamLost(f"the venue says {message.word}")
        else:
            self._on_report(message)

    def _take_answer(self, answer: SocketAnswer) -> None:
        self._answered_at = self._clock()
        if answer.id != SUBSCRIBE:
            return
        if not answer.ok:
            if answer.code in ACCESS:
                self.refused = f"{answer.code}: {answer.text}"
                self._on_change()
            raise StreamLost(f"the subscription was refused: {answer.status} {answer.code}: {answer.text}")
        self.refused, self.subscribed = None, True
        missed, self._missed = self._missed, None
        if missed is not None:
            self._on_gap(f"the user stream stands again after: {missed}")
        self._on_change()
