"""Supplying: a leader's side of snapshots: which follower gets one, of which state, and when it is let go.

Pure, over the disk's face.  One source at a time serves every follower that lacks what the log has dropped.  It is made
when one does, lives while one is sent to, and ends with the lead: another term offers anew.  As long as it lives the
log must begin no higher than its entry (`needed`), or who installs it could not go on behind it; and then stay for each
such follower until it has what was the log's end when it first showed that it had the entry.
"""

from __future__ import annotations

from typing import Final, Protocol

from attrs import define

from cluster.adopted import Placed
from cluster.snapshot.faces import Source, Staging
from cluster.snapshot.sending import Measuring, Pace, Sending, Unshippable
from cluster.snapshot.words import DONE, Closed, Offer, PartAck, Word, members_of
from cluster.types import MonoNs, Peer
from cluster.vouching import Lead as Vouched

_SECOND: Final = 1_000_000_000
_DOUBLED: Final = 6  # times: the longest pause is 64 times the first


class Lead(Protocol):
    """What a leader knows of its followers, now."""

    @property
    def peers(self) -> tuple[Peer, ...]:
        """The others."""
        ...

    @property
    def leads_in(self) -> int | None:
        """The term in which this node leads; None if it does not."""
        ...

    def needs_snapshot(self, peer: Peer) -> bool:
        """Whether it lacks what the log does not hold any more."""
        ...

    def linked(self, peer: Peer) -> bool:
        """Whether it can be spoken to."""
        ...

    def members_at(self, index: int) -> Placed | None:
        """Who took part behind that entry; None where the settings alone say so."""
        ...

    def matched(self, peer: Peer) -> int:
        """Up to where it has the log."""
        ...

    @property
    def last(self) -> int:
        """The log's end."""
        ...


@define
class _Held:
    """A follower that goes on behind a snapshot: the log that it lacks stays."""

    entry: int  # the snapshot's
    goal: int  # the log's end when it began to
    matched: int  # up to here it has the log
    at: MonoNs  # when it got there


class States(Protocol):
    """What is known of this node's state, beside the others'."""

    @property
    def in_question(self) -> bool:
        """Whether it may be the wrong one."""
        ...

    def may_copy(self, lead: Vouched) -> bool:
        """Whether this node, as leader, may begin to copy it to another."""
        ...


class Supplying:
    """One node's supply of snapshots.  `told` is what it has to tell people."""

    def __init__(self, disk: Staging, pace: Pace, states: States | None = None) -> None:
        """`states`: what is known of this node's; None: nothing ever is."""
        self.told: list[str] = []
        self._disk = disk
        self._states = states
        self._pace = pace
        self._term: int | None = None  # all this is of that term
        self._source: Source | None = None
        self._measuring: Measuring | None = None
        self._measure_at = MonoNs(0)
        self._offer: Offer | None = None
        self._sendings: dict[Peer, Sending] = {}
        self._again_at: dict[Peer, MonoNs] = {}  # whom nothing is begun for before that
        self._failed: dict[Peer, int] = {}  # how often it ended without success, of whom still needs one
        self._held: dict[Peer, _Held] = {}
        self._barred = False  # the state can't be sent, in this term

    @property
    def active(self) -> bool:
        """Whether a source is open, or the log held for somebody."""
        return self._source is not None or bool(self._held)

    @property
    def needed(self) -> int | None:
        """The log must begin no higher than here; None: wherever."""
        held = [max(one.entry, one.matched) for one in self._held.values()]
        return min(held if self._source is None else [*held, self._source.entry.index], default=None)

    @property
    def says(self) -> str:
        """What it does, for people."""
        to = ", ".join(self._sendings)
        return (
            ""
            if self._source is None
            else f"sends the state of entry {self._source.entry.index} to {to or 'nobody yet'}"
        )

    # What is heard

    def connected(self, peer: Peer) -> None:
        """A link to this follower came up."""
        if (sending := self._sendings.get(peer)) is not None:
            sending.connected()

    def disconnected(self, peer: Peer) -> None:
        """It ended."""
        if (sending := self._sendings.get(peer)) is not None:
            sending.disconnected()

    def heard(self, peer: Peer, word: PartAck | Closed, now: MonoNs) -> None:
        """What a follower says of what it is sent."""
        sending = self._sendings.get(peer)
        if sending is None:
            return
        if isinstance(word, PartAck):
            sending.acknowledged(word, now)
        else:
            sending.closed(word, now)

    # Time

    def step(self, lead: Lead, now: MonoNs) -> tuple[Peer, Word] | None:
        """One bounded piece of work: make a source, read a part of it, or say one frame.

        The store's batch must be committed: a source shows what is.

        Raises:
            StoreFault: the state can't be read.
        """
        if lead.leads_in != self._term:
            self._end()
            self._term, self._barred = lead.leads_in, False
            self._again_at.clear()
            self._failed.clear()
            self._held.clear()
        self._hold_no_longer(lead, now)
        if self._term is None or self._barred:
            return None
        if self._states is not None and self._states.in_question:
            if self._source is not None:
                self.told.append("the nodes' states differ: no snapshot is sent before it is known whose are right")
                self._end()
            self._again_at.clear()
            return None
        wanting = [peer for peer in lead.peers if lead.needs_snapshot(peer)]
        self._drop_what_ended(wanting, lead, now)
        ready = [p for p in wanting if p not in self._sendings and lead.linked(p) and now >= self._again_at.get(p, 0)]
        if self._source is None:
            if ready and (self._states is None or self._states.may_copy(lead)):
                self._open(self._term, now, lead)
            return None
        if self._measuring is not None:
            self._measure(now)
        if self._offer is not None:
            for peer in ready:
                self._sendings[peer] = sending = Sending(self._offer, self._source.read, self._pace, now)
                sending.connected()
        if self._offer is not None and not self._sendings:
            self._end()
        return self._say(now)

    def due(self) -> MonoNs | None:
        """When `step` has something to do, beside what is heard."""
        if self._measuring is not None:
            return self._measure_at
        times = [due for sending in self._sendings.values() if (due := sending.due()) is not None]
        times += [MonoNs(sending.moved_at + self._pace.give_up) for sending in self._sendings.values()]
        times += [MonoNs(held.at + self._pace.give_up) for held in self._held.values()]
        return min([*times, *self._again_at.values()], default=None)

    # Inside

    def _open(self, term: int, now: MonoNs, lead: Lead) -> None:
        self._source = self._disk.source()
        members = lead.members_at(self._source.entry.index)
        self._measuring = Measuring(self._source, term, members_of(members) if members is not None else b"")
        self._measure_at = now

    def _measure(self, now: MonoNs) -> None:
        if self._measuring is None or now < self._measure_at:
            return
        try:
            self._offer = self._measuring.step(self._pace.part)
        except Unshippable as error:
            self.told.append(f"no snapshot can be sent: {error}")
            self._end()
            self._again_at.clear()
            self._barred = True
            return
        self._measure_at = MonoNs(now + self._pace.part * _SECOND // self._pace.rate)
        if self._offer is not None:
            self._measuring = None

    def _drop_what_ended(self, wanting: list[Peer], lead: Lead, now: MonoNs) -> None:
        """Who has it, who has something newer or can't keep it whole, and who gets no further any more."""
        for peer, sending in list(self._sendings.items()):
            failed = sending.outcome is not None and sending.outcome.what != DONE
            if peer not in wanting:
                del self._sendings[peer]
                if self._source is not None and peer in lead.peers:
                    self._held[peer] = _Held(self._source.entry.index, lead.last, lead.matched(peer), now)
            elif failed or now >= sending.moved_at + self._pace.give_up:
                del self._sendings[peer]
                times = self._failed[peer] = self._failed.get(peer, 0) + 1
                self._again_at[peer] = MonoNs(now + (self._pace.patience << min(times - 1, _DOUBLED)))
        self._failed = {peer: times for peer, times in self._failed.items() if peer in wanting}
        self._again_at = {peer: at for peer, at in self._again_at.items() if peer in wanting and at > now}

    def _hold_no_longer(self, lead: Lead, now: MonoNs) -> None:
        """For whom has caught up, is gone, gets no further, or needs another snapshot nevertheless."""
        for peer, held in list(self._held.items()):
            if peer in lead.peers and (matched := lead.matched(peer)) > held.matched:
                held.matched, held.at = matched, now
            done = peer not in lead.peers or held.matched >= held.goal or lead.needs_snapshot(peer)
            if done or now >= held.at + self._pace.give_up:
                del self._held[peer]

    def _say(self, now: MonoNs) -> tuple[Peer, Word] | None:
        for peer, sending in list(self._sendings.items()):
            word = sending.tick(now)
            if word is not None:
                self._sendings[peer] = self._sendings.pop(peer)  # the others come first next time
                return peer, word
        return None

    def _end(self) -> None:
        if self._source is not None:
            self._source.close()
        self._source = self._measuring = self._offer = None
        self._sendings.clear()
