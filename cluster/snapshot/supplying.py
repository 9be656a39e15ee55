"""Supplying: a leader's side of snapshots: which follower gets one, of which state, and when it is let go.

Pure, over the disk's face.  One source at a time serves every follower that lacks what the log has dropped.  It is made
when one does, lives while one is sent to, and ends with the lead: another term offers anew.  As long as it lives the
log must begin no higher than its entry (`needed`), or who installs it could not go on behind it.
"""

from __future__ import annotations

from typing import Final, Protocol

from cluster.adopted import Placed
from cluster.snapshot.faces import Source, Staging
from cluster.snapshot.sending import Measuring, Pace, Sending, Unshippable
from cluster.snapshot.words import OLDER, Closed, Offer, PartAck, Word, members_of
from cluster.types import MonoNs, Peer
from cluster.vouching import Lead as Vouched

_SECOND: Final = 1_000_000_000


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
        self._barred = False  # the state can't be sent, in this term

    @property
    def active(self) -> bool:
        """Whether a source is open."""
        return self._source is not None

    @property
    def needed(self) -> int | None:
        """The log must begin no higher than here; None: wherever."""
        return None if self._source is None else self._source.entry.index

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
        if self._term is None or self._barred:
            return None
        if self._states is not None and self._states.in_question:
            if self._source is not None:
                self.told.append("the nodes' states differ: no snapshot is sent before it is known whose are right")
                self._end()
            return None
        wanting = [peer for peer in lead.peers if lead.needs_snapshot(peer)]
        self._drop_what_ended(wanting, now)
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
        times += [MonoNs(sending.heard_at + self._pace.give_up) for sending in self._sendings.values()]
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
            self._barred = True
            return
        self._measure_at = MonoNs(now + self._pace.part * _SECOND // self._pace.rate)
        if self._offer is not None:
            self._measuring = None

    def _drop_what_ended(self, wanting: list[Peer], now: MonoNs) -> None:
        """Who has it, who has something newer, and of whom nothing is heard any more."""
        for peer, sending in list(self._sendings.items()):
            older = sending.outcome is not None and sending.outcome.what == OLDER
            if peer not in wanting:
                del self._sendings[peer]
            elif older or now >= sending.heard_at + self._pace.give_up:
                del self._sendings[peer]
                self._again_at[peer] = MonoNs(now + self._pace.patience)
        self._again_at = {peer: at for peer, at in self._again_at.items() if peer in wanting and at > now}

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
