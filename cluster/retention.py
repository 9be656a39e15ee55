"""Retention: how far up the log may begin, so that it does not hold all of history.

`base_for` decides, purely; `Keeper` notes sizes and times as the log grows, and asks now and then.  What lies below the
base can't be sent to a follower any more, so what one may lack stays up to a harder bound.  See DESIGN.md, "The log's
base".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from attrs import frozen

from cluster.journal import Journal
from cluster.types import MonoNs, Peer, Retention, Shortening

STEP: Final = 8192  # entries that one step drops at most
WHOLE: Final = Retention(*[2**62] * 5)  # nothing goes by itself
LEAST: Final = 100  # entries that stay, whatever an operator wants: a follower lacks the newest at any time
_LOOKS: Final = 64  # looks while as many entries come as are kept: each may leave one record of a dropped range
_PAUSE: Final = 10_000_000_000  # ns: looked at least so often while steps are made, for what only grows old
_MARKS: Final = 512  # beyond them every other one is forgotten


class Mark(NamedTuple):
    """How far the log was at some moment."""

    entry: int  # its index
    volume: int  # bytes of commands up to there, counted on and on
    at: int  # ns; of what was found at start, the start


@frozen
class Held:
    """What of the log is there, and what of it may go."""

    first: int  # its base
    sure: int  # up to here it is committed, applied, synced, and walked over by the core
    matched: Sequence[int]  # up to where each peer surely has it; 0 where that is not known
    marks: Sequence[Mark]  # rising
    volume: int  # of the whole log, as in `Mark`
    now: int  # ns
    needed: int | None = None  # from here on it stays: a snapshot of this entry is on its way
    asked: int = 0  # where an operator wants it to begin, or higher


def base_for(rule: Retention, held: Held) -> int | None:
    """Where the log is to begin now; None if as it is.  At most `STEP` entries higher than before."""
    soft = max(
        held.sure - rule.entries,
        _newest([mark.entry for mark in held.marks if mark.volume <= held.volume - rule.size]),
        _newest([mark.entry for mark in held.marks if mark.at <= held.now - rule.age]),
    )
    hard = max(
        held.sure - rule.most_entries,
        _newest([mark.entry for mark in held.marks if mark.volume <= held.volume - rule.most_size]),
    )
    base = min(max(min(soft, max(hard, min(held.matched))), held.asked), held.sure)
    if held.needed is not None:
        base = min(base, held.needed)
    return min(base, held.first + STEP) if base > held.first else None


def _newest(indexes: Sequence[int]) -> int:
    return indexes[-1] if indexes else 0


class Followers(Protocol):
    """What the guard knows of the others, and does with the log's base."""

    peers: tuple[Peer, ...]

    @property
    def transferring(self) -> bool:
        """Whether a hand-over is under way."""
        ...

    @property
    def walked(self) -> int:
        """How far the core has walked over the log."""
        ...

    def matched(self, peer: Peer) -> int:
        """Up to where a peer has our log; 0 where we don't know, as its fellow follower."""
        ...

    def drop_before(self, index: int) -> None:
        """Let the log begin there."""


class Keeper:
    """One node's notes of its log, and when it looks at them."""

    def __init__(self, rule: Retention, journal: Journal, followers: Followers, now: MonoNs) -> None:
        self._rule = rule
        self._journal = journal
        self._followers = followers
        self._marks = _found(journal, now)
        self._look_at = now  # look when it is so late,
        self._look_from = 0  # or when so much is applied
        self._asked = 0  # where an operator wants the log to begin

    def shortening(self, keep: int, applied: int, *, leads: bool) -> Shortening:
        """What would go if all but the newest `keep` entries are not wanted any more.

        A leader keeps what any follower is not known to have.  Another node knows nothing of the others, as ever: if it
        leads next, whoever lacks what went is sent a snapshot.
        """
        followers, first = self._followers, self._journal.first
        goal = self._sure(applied) - max(keep, LEAST)
        lack = tuple([peer for peer in followers.peers if followers.matched(peer) < goal]) if leads else ()
        goal = min([goal, *(followers.matched(peer) for peer in lack)])
        return Shortening(first, max(first, goal), applied, lack)

    def shorten(self, base: int) -> None:
        """Have the log begin there, as soon as steps have dropped what is before it."""
        self._asked, self._look_from = base, 0

    def step(self, applied: int, now: MonoNs, needed: int | None = None) -> None:
        """Drop what may go, a bounded part of it, in this step's batch; not during a hand-over, nor from `needed` on.

        Raises:
            JournalFault: the core could not be told.
        """
        if (applied < self._look_from and now < self._look_at) or self._followers.transferring:
            return
        journal, followers = self._journal, self._followers
        self._note(now)
        sure, marks = self._sure(applied), self._marks
        matched = [followers.matched(peer) for peer in followers.peers]
        held = Held(journal.first, sure, matched, marks, journal.volume, now, needed, self._asked)
        base = base_for(self._rule, held)
        more = base is not None and base - journal.first == STEP
        self._look_from = applied if more else applied + max(1, self._rule.entries // _LOOKS)
        self._look_at = MonoNs(now + _PAUSE)
        if base is not None:
            followers.drop_before(base)
            self._marks = [mark for mark in self._marks if mark.entry >= base]

    def _sure(self, applied: int) -> int:
        return min(applied, self._journal.commit, self._journal.synced, self._followers.walked)

    def _note(self, now: MonoNs) -> None:
        """The log is so far now; what was truncated since is no more."""
        last = self._journal.last
        self._marks = [mark for mark in self._marks if mark.entry <= last]
        if not self._marks or self._marks[-1].entry < last:
            self._marks.append(Mark(last, self._journal.volume, now))
        if len(self._marks) > _MARKS:
            self._marks = self._marks[::-2][::-1]


def _found(journal: Journal, now: MonoNs) -> list[Mark]:
    """Marks of what was found at start: nobody knows its age any more, and its size is an estimate."""
    span = max(0, journal.last - journal.first)
    return [
        Mark(journal.first + span * part // _LOOKS, journal.volume * part // _LOOKS, now) for part in range(_LOOKS + 1)
    ]
