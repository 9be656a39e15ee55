"""Sending: a leader's side of a snapshot's way to one follower.

Pure: given what is read of the source, what the follower says and the time, it says what to send.  It sends no faster
than its pace, so that what is committed meanwhile does not wait, and no more than a window beyond what the follower
has synced.  Where to go on the follower alone knows: after each break it is offered the snapshot again, and says up
to where it has it.  A source that can't be sent, or a follower that wants none of it, ends it (`outcome`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from attrs import frozen

from cluster.snapshot.faces import Pair, Source
from cluster.snapshot.summing import Sum
from cluster.snapshot.words import DAMAGED, DONE, MAX_KEY, MAX_PAIR, MAX_PAIRS, PART, Closed, Offer, Part, PartAck
from cluster.types import MonoNs

_SECOND: Final = 1_000_000_000  # ns
_DAMAGED_MOST: Final = 3  # times that what was staged may be damaged before it is given up
_LINKS_MOST: Final = 3  # on which a follower may say that it has all, and is not through with it

Reader = Callable[[bytes, int], Sequence[Pair]]  # `Source.read`


class Unshippable(Exception):
    """A pair of the state does not fit into a frame: nothing can be sent of a state that holds it."""


@frozen
class Pace:
    """How fast a snapshot is sent: a setting.

    A part of 64 KiB takes the loop about 0.4 ms to read, and its follower about as long to stage; one every 16 ms is
    what the commits beside it do not feel (DESIGN.md, "Snapshots").
    """

    part: int = 64 * 1024  # bytes read at once
    rate: int = 4 * 1024 * 1024  # bytes a second
    flight: int = 1024 * 1024  # bytes sent and not acknowledged
    patience: int = _SECOND  # ns without news from the follower until it is offered again
    give_up: int = 30 * _SECOND  # ns without getting further until its source, and the log behind that, are let go

    def __attrs_post_init__(self) -> None:
        if (
            not 0 < self.part <= PART
            or self.rate <= 0
            or self.flight < self.part
            or not 0 < self.patience < self.give_up
        ):
            raise ValueError(f"no pace: {self}; a part has 1 to {PART} bytes, and the window takes one")


class Measuring:
    """Reads a source once, in steps, for the offer that names it: what is offered is known whole before it is sent."""

    def __init__(self, source: Source, term: int, members: bytes = b"") -> None:
        """`members`: who took part behind the source's entry, as an offer says it."""
        self._source = source
        self._members = members
        self._term = term
        self._sum = Sum(source.entry)
        self._after = b""

    def step(self, most: int) -> Offer | None:
        """Read about `most` bytes more; the offer once all is read.

        Raises:
            Unshippable: a pair is too large.
            StoreFault: the source can't be read.
        """
        pairs = self._source.read(self._after, most)
        if pairs:
            for key, value in pairs:
                if len(key) > MAX_KEY or len(key) + len(value) > MAX_PAIR:
                    raise Unshippable(f"the state's key {key!r:.80} has {len(value)} bytes: more than a frame takes")
            self._sum.add(pairs)
            self._after = pairs[-1][0]
            return None
        entry, added, members = self._source.entry, self._sum, self._members
        return Offer(
            self._term, entry.index, entry.term, entry.command, added.pairs, added.size, added.digest(), members
        )


class Sending:
    """One snapshot's way to one follower, for as long as its sender leads in the offer's term."""

    def __init__(self, offer: Offer, read: Reader, pace: Pace, now: MonoNs) -> None:
        self.offer = offer
        self.outcome: Closed | None = None  # what ended it
        self.staged = b""  # the follower has synced it up to this key
        self._read = read
        self._pace = pace
        self._linked = False
        self._asking = True  # offered, or to be, and nothing heard since: where to go on is not known
        self._asked_at: MonoNs | None = None
        self._sent = b""  # up to this key
        self._all = False  # the end was sent as well
        self._flight: deque[tuple[bytes, int]] = deque()  # last key and bytes of each part not acknowledged
        self._flight_bytes = 0
        self._news_at = now
        self._next_at = now
        self._best: bytes | None = None  # the furthest key that it has staged; None: it has not even answered
        self._last: bytes | None = None  # the last key that there is, once it was sent
        self._links = 0  # that came up since
        self._moved_at = now
        self._damaged = 0  # how often what it had staged was

    def connected(self) -> None:
        """The follower can be spoken to: what was under way on an older link is taken for lost."""
        self._linked = True
        self._links += self._last is not None
        self._ask_anew()

    def disconnected(self) -> None:
        """It can't."""
        self._linked = False

    def acknowledged(self, ack: PartAck, now: MonoNs) -> None:
        """It has synced up to there.  What is older than what is known says nothing, but for the answer to an offer."""
        if (ack.term, ack.digest) != (self.offer.term, self.offer.digest) or self.outcome is not None:
            return
        if self._asking:
            self._go_on_behind(ack.after, now)
            return
        if ack.after <= self.staged:
            return
        if ack.after > self._sent:  # it had more of it than it said at first
            self._go_on_behind(ack.after, now)
            return
        self.staged = ack.after
        self._news_at = now
        self._moved(ack.after, now)
        while self._flight and self._flight[0][0] <= ack.after:
            self._flight_bytes -= self._flight.popleft()[1]

    def closed(self, word: Closed, now: MonoNs) -> None:
        """It wants no more of it; if what it staged was damaged, it is offered again after a while, a few times."""
        if (word.term, word.digest) != (self.offer.term, self.offer.digest) or self.outcome is not None:
            return
        self._damaged += word.what == DAMAGED
        if word.what == DAMAGED and self._damaged < _DAMAGED_MOST:
            self._ask_anew()
            self._asked_at = self._moved_at = now  # not at once: what damages it may last
            self._best = None
        else:
            self.outcome = word

    @property
    def moved_at(self) -> MonoNs:
        """When the follower got further last; once it has all, when it said so last: it reads that back.

        One that says so on ever new links ends at it each time, and would hold its source and the log for ever.
        """
        return self._moved_at

    @property
    def done(self) -> bool:
        """Whether the follower has the snapshot, or more."""
        return self.outcome is not None and self.outcome.what == DONE

    def tick(self, now: MonoNs) -> Offer | Part | None:
        """What to send now, if it is time: at most one frame.

        Raises:
            StoreFault: the source can't be read.
        """
        due = self.due()
        if due is None or now < due:
            return None
        if not self._asking and now >= self._news_at + self._pace.patience and self._waits():
            self._ask_anew()
        if self._asking:
            self._asked_at = now
            return self.offer
        return self._part(now)

    def due(self) -> MonoNs | None:
        """When `tick` has something to do; None before something is heard."""
        if not self._linked or self.outcome is not None:
            return None
        patience = self._pace.patience
        if self._asking:
            return MonoNs(0) if self._asked_at is None else MonoNs(self._asked_at + patience)
        if self._all or self._full():
            return MonoNs(self._news_at + patience)
        return self._next_at if not self._waits() else MonoNs(min(self._next_at, self._news_at + patience))

    # Inside

    def _waits(self) -> bool:
        return self._all or bool(self._flight)

    def _full(self) -> bool:
        return self._flight_bytes + self._pace.part > self._pace.flight

    def _ask_anew(self) -> None:
        self._asking, self._asked_at = True, None

    def _go_on_behind(self, key: bytes, now: MonoNs) -> None:
        self._asking, self._all = False, False
        self.staged = self._sent = key
        self._flight.clear()
        self._flight_bytes = 0
        self._news_at = now
        self._moved(key, now)

    def _moved(self, key: bytes, now: MonoNs) -> None:
        """An answer alone is no progress: one that never takes the next part would be sent it for ever."""
        reads_back = key == self._last and self._links < _LINKS_MOST
        if self._best is None or key > self._best or reads_back:
            self._best, self._moved_at = key, now

    def _part(self, now: MonoNs) -> Part:
        pairs = _bounded(self._read(self._sent, self._pace.part))
        part = Part(self.offer.term, self.offer.digest, self._sent, pairs)
        if not pairs:
            self._all, self._last = True, self._sent
            return part
        size = sum([len(key) + len(value) for key, value in pairs])
        if not self._flight:
            self._news_at = now  # nothing was awaited until now
        self._sent = pairs[-1][0]
        self._flight.append((self._sent, size))
        self._flight_bytes += size
        self._next_at = MonoNs(max(now, self._next_at) + size * _SECOND // self._pace.rate)
        return part


def _bounded(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """The first of these pairs, as many as one part may hold: what is read ends with a pair of any size."""
    size = 0
    for place, (key, value) in enumerate(pairs[:MAX_PAIRS]):
        size += len(key) + len(value)
        if size > PART and place:
            return tuple(pairs[:place])
    return tuple(pairs[:MAX_PAIRS])
