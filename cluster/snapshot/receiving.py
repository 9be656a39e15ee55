"""Receiving: a follower's side of a snapshot's way to it.

Pure, over the disk's face.  It takes a snapshot from the leader it follows, in the current term, and no other; stages
what comes in order; acknowledges what is staged and synced, nothing else; reads everything back, and lets it be
installed only if that is what was offered.  Hazard 27 of pysyncobj.md (a late snapshot rolls the state back) is met
here: one that is not above what this node has is wanted by nobody, and of two the older one is refused.

The pump commits the store's batch whenever `dirty` is set, tells `committed` its ticket and `synced` what is durable.
Of what is verified the machine makes its next state (`preparing`), and the pump installs that in a batch of its own,
once `installable` says that it is still wanted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from attrs import define, evolve, frozen

from cluster.adopted import Placed
from cluster.snapshot.faces import Staging
from cluster.snapshot.preparing import Leavings, Making
from cluster.snapshot.summing import Sum
from cluster.snapshot.words import DAMAGED, DONE, OLDER, Closed, Offer, Part, PartAck, Word, decode, encode
from cluster.store import StoredEntry, Ticket
from cluster.types import Coming, LogIndex, Peer, Receipt
from cluster.wire import MAX_TOLD, WireError

READ_BACK: Final = 64 * 1024  # bytes: below a millisecond of the loop


class Place(Protocol):
    """Where this node stands in the log, now."""

    @property
    def term(self) -> int:
        """The current term."""
        ...

    @property
    def leader(self) -> Peer | None:
        """Whom it follows in that term."""
        ...

    @property
    def applied(self) -> int:
        """The last entry that its state has."""
        ...

    def holds(self, index: int, term: int) -> bool:
        """Whether its log holds that entry: then it needs no snapshot to get past it, and one would cost its tail."""
        ...


@frozen
class Install:
    """What is staged is whole: the state after this entry.  The log begins with the entry from then on."""

    entry: StoredEntry
    digest: bytes  # the snapshot's
    placed: Placed | None = None  # who took part behind it; None: as in the settings
    coming: Coming | None = None  # the state, made; None: it is to be loaded


@define
class _ReadBack:
    """How far what is staged was read back."""

    sum: Sum
    after: bytes = b""


@frozen
class _Batch:
    """What was buffered for one batch, and what may be said once it is synced."""

    ticket: Ticket
    transfer: _Transfer | None
    after: bytes  # that transfer is staged up to this key
    words: tuple[tuple[Peer, Word], ...]
    left: bool  # it leaves a staged or a live state behind


@define
class _Transfer:
    """A snapshot that is being received."""

    offer: Offer
    after: bytes  # staged up to this key, maybe not synced
    durable: bytes | None = None  # synced up to this key; None: not even the offer is
    sender: Peer | None = None  # who sends it in this process's life; its term is the offer's
    taken: int = 0  # bytes staged in this process's life
    whole: bool = False  # the sender said that this was all
    back: _ReadBack | None = None
    verified: bool = False  # its digest is what was offered
    making: Making | None = None  # from then on, of a machine that can
    ready: bool = False  # and its state is made


class Receiving:
    """One node's receiving of snapshots, one at a time.  `outbox` is what it wants said, `told` what it has to tell."""

    def __init__(self, store: Staging, read_back: int = READ_BACK, prepare: Callable[[], Coming] | None = None) -> None:
        """`read_back`: bytes read back in one step.  `prepare` begins a state; None: it is loaded when installed."""
        self.outbox: list[tuple[Peer, Word]] = []
        self.told: list[str] = []  # for people: what was thrown away, and why
        self.dirty = False  # something was buffered in the store, or waits for a sync to be said
        self._store = store
        self._read_back = read_back
        self._prepare = prepare
        self._leavings = Leavings()
        self._held: list[tuple[Peer, Word]] = []  # said when the batch that is collected now is synced
        self._pending: deque[_Batch] = deque()  # committed, not synced
        self._left = False  # the batch that is collected now leaves something behind
        self._now: _Transfer | None = None
        self._now = self._found()

    def _found(self) -> _Transfer | None:
        """What an earlier process staged: all of it is on the disk, and a pump syncs it before it speaks of it."""
        found = self._store.staged()
        if found is None:
            return None
        try:
            offer = decode(found.offer)
        except WireError as error:
            offer, why = None, str(error)
        else:
            why = "it is no offer"
        if not isinstance(offer, Offer):
            self._throw_away(f"what is staged can't be read ({why})")
            return None
        return _Transfer(offer, found.after, durable=found.after)

    @property
    def offer(self) -> Offer | None:
        """What is being received."""
        return None if self._now is None else self._now.offer

    @property
    def active(self) -> bool:
        """Whether anything is under way: received, written, or to be said."""
        return self._now is not None or self.dirty or bool(self._pending or self.outbox or self._leavings)

    @property
    def ready(self) -> bool:
        """Whether something may be installed."""
        return self._now is not None and self._now.ready

    @property
    def says(self) -> str:
        """What is being received, for people."""
        now = self._now
        if now is None:
            return ""
        return (
            f"receives the state of entry {now.offer.index} from {now.sender or 'nobody now'}: {now.offer.size} bytes"
        )

    @property
    def receipt(self) -> Receipt | None:
        """The same, in numbers."""
        now = self._now
        return None if now is None else Receipt(LogIndex(now.offer.index), now.offer.size, now.taken)

    # What the leader says

    def offered(self, peer: Peer, offer: Offer, place: Place) -> None:
        """A leader offers a snapshot: taken up, gone on with, or refused."""
        if not _leads(peer, offer.term, place):
            return
        now = self._now
        if now is not None and _has(place, now.offer):
            self._drop(now)
            now = None
        if _has(place, offer):
            self._done(peer, offer, "it has applied that entry, or has it in its log")
            return
        if now is not None and now.offer.digest == offer.digest:
            self._go_on(now, peer, offer)
        elif now is not None and (offer.index < now.offer.index or (now.verified and offer.index == now.offer.index)):
            self._close(peer, offer, OLDER, f"it has staged the snapshot of entry {now.offer.index}")
        elif now is not None and now.verified:
            pass  # what it has is whole, and of a large state much was made: it is asked again once that is installed
        else:
            self._begin(peer, offer)

    def part(self, peer: Peer, part: Part, place: Place) -> None:
        """The next pairs of it; whatever does not follow what is staged is answered with what is."""
        now = self._now
        if now is None or now.sender != peer or not _leads(peer, part.term, place):
            return
        if (part.term, part.digest) != (now.offer.term, now.offer.digest):
            return
        if part.after != now.after or now.whole:
            self._say_where(now)
            return
        now.taken += sum([len(key) + len(value) for key, value in part.pairs])
        if now.taken > now.offer.size:
            self._throw_away(f"more than the {now.offer.size} bytes that were offered came")
        elif part.pairs:
            self._store.stage(part.pairs)
            now.after = part.pairs[-1][0]
            self.dirty = True
        else:
            now.whole = True
            self._say_where(now)

    # The disk

    def committed(self, ticket: Ticket) -> None:
        """What was buffered is in the batch of this ticket."""
        self.dirty = False
        now, words, left = self._now, tuple(self._held), self._left
        self._held.clear()
        self._left = False
        self._pending.append(_Batch(ticket, now, b"" if now is None else now.after, words, left))

    def synced(self, ticket: Ticket) -> None:
        """Everything up to this ticket is durable: what is staged by it may be acknowledged."""
        now = self._now
        before = None if now is None else now.durable
        while self._pending and self._pending[0].ticket <= ticket:
            batch = self._pending.popleft()
            self.outbox.extend(batch.words)
            if batch.left:
                self._store.drop_leftovers()
            if now is not None and batch.transfer is now:
                now.durable = batch.after
        if now is not None and now.durable != before:
            self._say_where(now)

    # Time

    def busy(self) -> bool:
        """Whether `step` has something to do."""
        return bool(self._leavings) or self._works_on(self._now)

    def step(self, place: Place) -> Install | None:
        """Read back, or make a state of, a bounded part of what is staged whole; what may be installed, at the end.

        To be asked while it is `busy` or `ready`.

        Raises:
            StoreFault: it can't be read.
            Exception: the machine can't have that state.
        """
        now = self._now
        self._leavings.step()
        if now is None or not (now.ready or self._works_on(now)):
            return None
        if _has(place, now.offer):  # of one that leads by now, too: nobody asks it what is `installable`
            self._drop(now)
            return None
        if now.ready:
            return None
        return self._make(now) if now.verified else self._verify(now)

    def _works_on(self, now: _Transfer | None) -> bool:
        return now is not None and now.whole and now.durable == now.after and not now.ready

    def _verify(self, now: _Transfer) -> Install | None:
        if now.back is None:
            now.back = _ReadBack(Sum(now.offer.base))
        pairs = self._store.read_staged(now.back.after, self._read_back)
        if pairs:
            now.back.sum.add(pairs)
            now.back.after = pairs[-1][0]
            return None
        return self._judge(now, now.back.sum)

    def installable(self, place: Place) -> Install | None:
        """What was verified, if it is still wanted: asked in the step that installs it."""
        now = self._now
        if now is None or not now.ready:
            return None
        if _has(place, now.offer):
            self._drop(now)
            return None
        return _install_of(now)

    def installed(self) -> Peer | None:
        """What `step` named is installed, in the batch that is collected now: once it is synced the sender hears it.

        Returns who that is.
        """
        now = self._leave()
        self.dirty = self._left = True
        if now is None or now.sender is None:
            return None
        self._done(now.sender, now.offer, "installed")
        return now.sender

    # Inside

    def _begin(self, peer: Peer, offer: Offer) -> None:
        if self._now is not None:
            self.told.append(f"the staged snapshot of entry {self._now.offer.index} gives way to one of {offer.index}")
        self._leave()
        self._store.stage_anew(encode(offer))
        self._now = _Transfer(offer, b"", sender=peer)
        self.dirty = self._left = True

    def _go_on(self, now: _Transfer, peer: Peer, offer: Offer) -> None:
        """The same content, from this sender or another, in this term or a later one."""
        if evolve(offer, term=now.offer.term) != now.offer:  # what was made of it says which entry it is of
            self._throw_away("two offers of one digest differ")
            return
        now.offer, now.sender = offer, peer
        self._say_where(now)

    def _say_where(self, now: _Transfer) -> None:
        if now.sender is not None and now.durable is not None:
            self.outbox.append((now.sender, PartAck(now.offer.term, now.offer.digest, now.durable)))

    def _judge(self, now: _Transfer, found: Sum) -> Install | None:
        offer = now.offer
        if (found.digest(), found.pairs, found.size) != (offer.digest, offer.pairs, offer.size):
            self._throw_away(
                f"what was staged is not what was offered ({found.pairs} pairs of {found.size} bytes, "
                f"not {offer.pairs} of {offer.size}, or others)"
            )
            return None
        now.verified = True
        if self._prepare is None:
            now.ready = True
            return _install_of(now)
        now.making = Making(self._prepare(), offer.index, self._store.read_staged, self._read_back)
        return None

    def _make(self, now: _Transfer) -> Install | None:
        now.ready = now.making is None or now.making.step()
        return _install_of(now) if now.ready else None

    def _leave(self) -> _Transfer | None:
        """It is over, in whatever way; what was made of it goes by and by."""
        now, self._now = self._now, None
        if now is not None:
            self._leavings.add(now.making)
        return now

    def _throw_away(self, why: str) -> None:
        """It begins anew when it is offered again."""
        now = self._leave()
        self._store.unstage()
        self.dirty = self._left = True
        self.told.append(why)
        if now is not None and now.sender is not None:
            self._close(now.sender, now.offer, DAMAGED, why)

    def _drop(self, now: _Transfer) -> None:
        """The log has brought this node past it: its sender hears so when it asks."""
        self._leave()
        self._store.unstage()
        self.dirty = self._left = True
        self.told.append(f"the staged snapshot of entry {now.offer.index} is not needed any more")

    def _done(self, peer: Peer, offer: Offer, why: str) -> None:
        """That it has it is a promise: said once all that it rests on is synced."""
        self._held.append((peer, Closed(offer.term, offer.digest, DONE, why.encode())))
        self.dirty = True

    def _close(self, peer: Peer, offer: Offer, what: int, why: str) -> None:
        self.outbox.append((peer, Closed(offer.term, offer.digest, what, why.encode()[:MAX_TOLD])))


def _install_of(now: _Transfer) -> Install:
    made = None if now.making is None else now.making.coming
    return Install(now.offer.base, now.offer.digest, now.offer.placed, made)


def _leads(peer: Peer, term: int, place: Place) -> bool:
    return peer == place.leader and term == place.term


def _has(place: Place, offer: Offer) -> bool:
    return offer.index <= place.applied or place.holds(offer.index, offer.entry_term)
