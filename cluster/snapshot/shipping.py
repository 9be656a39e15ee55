"""Shipping: both sides of a node's snapshots, as its pump sees them: words in, words out, one bounded step at a time.

Pure, over the disk's face; only the joining of `supplying` and `receiving` lives here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cluster.snapshot.faces import Staging
from cluster.snapshot.receiving import Install, Place, Receiving
from cluster.snapshot.sending import Pace
from cluster.snapshot.supplying import Lead, States, Supplying
from cluster.snapshot.words import Offer, Part, Word
from cluster.store import Ticket
from cluster.types import Coming, MonoNs, Peer


class Standing(Place, Lead, Protocol):
    """Where this node stands, as leader or follower."""


class Shipping:
    """One node's snapshots."""

    def __init__(self, disk: Staging, pace: Pace, states: States, prepare: Callable[[], Coming] | None = None) -> None:
        """`prepare` begins the state that a snapshot brings; None: it is loaded when that is installed."""
        self.receiving = Receiving(disk, pace.part, prepare)
        self.supplying = Supplying(disk, pace, states)
        self.awake = True  # `step` may have something to do; a plain attribute, for every step of the pump looks at it
        self._last_told = ""

    @property
    def says(self) -> str:
        """What is under way, or what went wrong last; "" if nothing ever was."""
        return self.supplying.says or self.receiving.says or self._last_told

    def heard(self, peer: Peer, word: Word, standing: Standing, now: MonoNs) -> None:
        """A word from a peer.

        Raises:
            StoreFault: the disk refuses to make room for what is offered.
        """
        self.awake = True
        if isinstance(word, Offer):
            self.receiving.offered(peer, word, standing)
        elif isinstance(word, Part):
            self.receiving.part(peer, word, standing)
        else:
            self.supplying.heard(peer, word, now)

    def step(self, standing: Standing, now: MonoNs) -> list[tuple[Peer, Word]]:
        """One bounded piece of work a side, and what is to be said now; the store's batch must be committed.

        Raises:
            StoreFault: something can't be read.
            Exception: the machine can't have the state that came.
        """
        said = self.supplying.step(standing, now)
        if self.receiving.busy() or self.receiving.ready:
            self.receiving.step(standing)
        for told in (self.receiving.told, self.supplying.told):
            if told:
                self._last_told = told[-1]
                told.clear()
        words, self.receiving.outbox = self.receiving.outbox, []
        self.awake = self.supplying.active or self.receiving.active
        return words if said is None else [*words, said]

    def installable(self, standing: Standing) -> Install | None:
        """What may be installed now; see `Receiving.installable`."""
        return self.receiving.installable(standing)

    def installed(self) -> Peer | None:
        """It is installed, in the batch that is collected now; returns who sent it."""
        self.awake = True
        return self.receiving.installed()

    def committed(self, ticket: Ticket, durable: Ticket) -> None:
        """What was buffered is in the batch of this ticket; `durable` is what is synced already."""
        self.receiving.committed(ticket)
        if ticket <= durable:
            self.receiving.synced(durable)

    def due(self, now: MonoNs) -> MonoNs | None:
        """When `step` has something to do, beside what is heard."""
        receiving = self.receiving
        if receiving.busy() or receiving.ready or receiving.dirty or receiving.outbox:
            return now
        return self.supplying.due()
