"""Elections: when to ask whether an election could be won, and whom to encourage.

Pure but for the randomness passed in.  Met here, by number of pysyncobj.md: 4 (no election without a pre-vote, so a
healed standby does not depose a healthy leader) and 23 (the timer is armed anew at every step-down).  Quick detection
is the same question asked at once, when the leader's connection ended, instead of at the timer: the other peer grants
it only if it does not hear the leader either.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Final

from attrs import frozen

from cluster.types import MonoNs, Peer, Timers
from cluster.wire import AskPreVote, PreVote

QUICK_TRIES: Final = 3  # questions `second_stands_after` apart, before the ordinary timer
Rank = tuple[int, int]  # term of the last entry, its index: compared like Raft's logs


@frozen
class Situation:
    """What one node knows of itself when it is asked."""

    now: MonoNs
    rank: Rank
    hears: bool  # a leader other than the asker
    lost: bool  # the leader's connection ended, or it resigned
    able: bool  # its disk works


class Elections:
    """One node's election timer and its rounds of pre-vote."""

    def __init__(self, name: Peer, members: int, timers: Timers, random: Random, now: MonoNs) -> None:
        self._name = name
        self._majority = members // 2 + 1
        self._timers = timers
        self._random = random
        self._tries = 0
        self._asked: set[Peer] = set()
        self._denied: set[Peer] = set()
        self._granted: set[Peer] = set()
        self._stood_at: MonoNs | None = None
        self.round = 0
        self.open = False
        self.reason = "election"
        self.term = 0  # the highest that anyone has answered with
        self.at = now  # when to ask next
        self.arm(now)

    def adopt(self, members: int) -> None:
        """So many vote from now on: what was asked under another majority counts no more."""
        self._majority = members // 2 + 1
        self.close()

    def arm(self, now: MonoNs) -> None:
        """Wait a whole election timeout, drawn anew."""
        spread = self._timers.election_max - self._timers.election_min
        self.at = MonoNs(now + self._timers.election_min + int(spread * self._random.random()))

    def heard(self, now: MonoNs) -> None:
        """A leader has spoken: nothing to ask."""
        self.close()
        self._stood_at = None
        self._tries = 0
        self.arm(now)

    def lost(self) -> None:
        """The leader was lost just now: quick questions are allowed."""
        self._tries = QUICK_TRIES

    def ask(self, now: MonoNs, peers: Iterable[Peer], reason: str) -> int:
        """Open a round; returns its number."""
        self.arm(now)
        self.round += 1
        self.open = True
        self.reason = reason
        self.term = 0
        self._tries = max(0, self._tries - 1)
        self._asked = set(peers)
        self._denied, self._granted = set(), set()
        return self.round

    def close(self) -> None:
        """Give the round up."""
        self.open = False

    def answered(self, peer: Peer, answer: PreVote, now: MonoNs) -> bool:
        """Take an answer; returns whether the round is won now."""
        if not self.open or answer.round != self.round or peer not in self._asked:
            return False
        self.term = max(self.term, answer.term)
        if answer.granted:
            self._granted.add(peer)
            return 1 + len(self._granted) >= self._majority
        self._denied.add(peer)
        if 1 + len(self._asked - self._denied) < self._majority:
            self.close()
            self._soon(now)
        return False

    def stood(self, now: MonoNs) -> None:
        """An election begins: for a while only a longer log is encouraged."""
        self.close()
        self._stood_at = now
        self.arm(now)

    def asked(self, now: MonoNs) -> None:
        """The vote request has left only now, its own vote being synced: others get the time to sync theirs."""
        self.at = max(self.at, MonoNs(now + self._timers.election_min))

    def judge(self, peer: Peer, question: AskPreVote, mine: Situation) -> bool:
        """Whether `peer` could win our vote and we hear no leader."""
        theirs = (question.last_term, question.last)
        if not mine.able or mine.hears or theirs < mine.rank:
            return False
        if theirs == mine.rank and (self._freshly_stood(mine.now) or (self.open and self._name < peer)):
            return False
        if self.open:
            self.close()
        pause = self._timers.second_stands_after
        if mine.lost:
            self.at = MonoNs(mine.now + pause)
        else:
            self.at = max(self.at, MonoNs(mine.now + 2 * pause))
        return True

    def _soon(self, now: MonoNs) -> None:
        if self._tries:
            self.at = min(self.at, MonoNs(now + self._timers.second_stands_after))

    def _freshly_stood(self, now: MonoNs) -> bool:
        return self._stood_at is not None and now - self._stood_at < self._timers.election_min // 2
