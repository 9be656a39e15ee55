"""Events: what is decided of the account's own events: when they are subscribed to, and when some may be missing.

Synchronous, and without a socket: `user` gives it one, the simulation a cable.  The law of this file: whenever events
may have been missed, `on_gap` says so, once when the stream is lost and whenever it stands, the first time too, because
only a read that begins after that covers what was missed.  A connection may carry the events of several accounts: what
is told under another subscription than ours is dropped, and is no news of our account.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from meltica.core.values import Nanos
from meltica.venues.base import BalanceReport, Report
from meltica.venues.binance_spot.connections import StreamLost
from meltica.venues.binance_spot.errors import ACCESS
from meltica.venues.binance_spot.parse import Notice, ParseFault, SocketAnswer, Told, socket_message, subscription_of
from meltica.venues.binance_spot.requests import plain_request, signed_request
from meltica.venues.binance_spot.settings import MILLISECOND, Settings
from meltica.venues.clock import VenueClock
from meltica.venues.deadlines import request_date
from meltica.venues.rates import RateBudget

SUBSCRIBE = "subscribe"
POLL = Nanos(20 * MILLISECOND)  # between looks at a clock that is not known yet
PINGED = 4  # application pings in each `silence`: a peer whose sockets live but whose events do not is found


class UserEvents:
    """Hears the account's events, of one session after the other.  `subscribed` is whether they come now."""

    def __init__(
        self,
        settings: Settings,
        *,
        venue_clock: VenueClock,
        budget: RateBudget,
        on_report: Callable[[Report | BalanceReport], None],
        on_gap: Callable[[str], None],
        on_change: Callable[[], None],
    ) -> None:
        self._settings, self._venue_clock, self._budget = settings, venue_clock, budget
        self._on_report, self._on_gap, self._on_change = on_report, on_gap, on_change
        self._missed = "nothing was heard yet"  # why events may be missing when the next subscription stands
        self._opened_at = self._begun = self._answered_at = Nanos(0)
        self._quiet_until = Nanos(0)
        self._pings = 0
        self.every = Nanos(settings.silence // PINGED)  # between calls of `ping`
        self.subscribed = False
        self.refused: str | None = None
        self.garbage = 0
        self._ours: str | None = None  # this session's subscription, as the venue calls it
        self._mixed = False  # whether this session was told another's events
        self.foreign = 0  # events of other subscriptions

    def opened(self, now: Nanos) -> None:
        """A session has begun."""
        self._opened_at = now

    def subscription(self, now: Nanos) -> str | None:
        """The frame that subscribes, to be written now; None: look again after `POLL`.

        Raises StreamLost if it cannot be dated for too long.
        """
        if self._quiet(now):
            self._opened_at = now
            return None
        dated = request_date(self._venue_clock, now, self._settings.read_recv_window)
        if isinstance(dated, str):
            if now - self._opened_at > self._settings.connect_within:
                raise StreamLost(dated)
            return None
        self._begun = self._answered_at = now
        api_key, secret = self._settings.api_key, self._settings.secret
        method = "userDataStream.subscribe.signature"
        return signed_request(SUBSCRIBE, method, {}, dated, api_key=api_key, secret=secret)

    def ping(self, now: Nanos) -> str | None:
        """A `ping` of the API itself, to be written now: no answer within `silence` means that the peer is dead.

        None while the venue wants to be asked nothing; then nothing is concluded.  Raises StreamLost.
        """
        if self._quiet(now):
            self._answered_at = now
            return None
        silence = self._settings.silence
        if not self.subscribed and now - self._begun > silence:
            raise StreamLost("the venue did not answer the subscription")  # though it may answer pings
        if now - self._answered_at > silence:
            raise StreamLost("the venue answers nothing on the user stream's connection")
        self._pings += 1
        return plain_request(f"ping-{self._pings}", "ping")

    def _quiet(self, now: Nanos) -> bool:
        """Whether to ask nothing: this address is banned, or was refused here; who goes on asking then is banned."""
        return self._budget.banned(now) or now < self._quiet_until

    def lost(self, reason: str) -> None:
        """The session is over."""
        was, self.subscribed = self.subscribed, False
        self._ours, self._mixed = None, False
        if was:
            self._missed = reason
            self._on_gap(f"the user stream was lost: {reason}")
            self._on_change()

    def take_in(self, raw: str | bytes, now: Nanos) -> None:
        """One frame.  Raises StreamLost."""
        try:
            message = socket_message(raw, now)
        except ParseFault as fault:
            self._unreadable(fault)
        if isinstance(message, SocketAnswer):
            self._take_answer(message, now)
        else:
            self._take_event(message)

    def _take_event(self, told: Told) -> None:
        event, named = told.event, told.subscription
        if isinstance(event, Notice) and event.word == "serverShutdown":
            raise StreamLost("the venue says serverShutdown")
        if named is not None and not self.subscribed:
            return  # whose it is can't be said yet, and what is read when the subscription stands covers it
        if self._ours is not None and named is not None and named != self._ours:
            self._take_foreign(f"subscription {named:.40}, ours is {self._ours:.40}")
        elif isinstance(event, ParseFault):
            self._unreadable(event)
        elif not isinstance(event, Notice):
            self._on_report(event)
        elif event.word == "eventStreamTerminated":
            raise StreamLost("the venue says eventStreamTerminated")

    def _unreadable(self, fault: ParseFault) -> NoReturn:
        self.garbage += 1
        raise StreamLost(f"a frame of the user stream cannot be read: {fault}") from None

    def _take_foreign(self, whose: str) -> None:
        """Somebody else's event: who mixes accounts up may tell ours elsewhere, so all is read, once a session."""
        self.foreign += 1
        if self._mixed:
            return
        self._mixed = True
        self._on_gap(f"events of another account came on the user stream's connection ({whose}): they are dropped")

    def _take_answer(self, answer: SocketAnswer, now: Nanos) -> None:
        self._answered_at = now
        self._budget.learn(answer.limits, now)
        if answer.status in (418, 429):
            pause = self._budget.pause(answer.retry_after, answer.server_time, now)
            self._budget.slow_down(pause, now, banned=answer.status == 418)
            self._quiet_until = Nanos(now + pause)
        if answer.id != SUBSCRIBE:
            return
        if not answer.ok:
            if answer.code in ACCESS:
                self.refused = f"{answer.code}: {answer.text}"
                self._on_change()
            raise StreamLost(f"the subscription was refused: {answer.status} {answer.code}: {answer.text}")
        self.refused, self.subscribed, self._ours = None, True, subscription_of(answer.result)
        self._on_gap(f"the user stream stands after: {self._missed}")
        self._on_change()
