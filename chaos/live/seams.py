"""Seams: where a node is patched so that it can be killed at a named instant.

Only the patches may live here: each calls what was there, and says behind or before it which instant it is.  A seam
that has moved fails at the start (`Patches`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from chaos.live.inside import Inside
from chaos.mutants.patches import Patches
from cluster.rocks import RocksStore
from cluster.snapshot.receiving import Receiving
from cluster.store import StoredEntry, Ticket
from cluster.types import AppliedEntry
from meltica.core.effects import CancelOrder, Effect
from meltica.core.events import CommandResult
from meltica.core.records import EpochRecord
from meltica.core.values import ClientOrderId, Nanos
from meltica.leader.desk import Desk
from meltica.leader.dispatch import Dispatch
from meltica.leader.doubts import Doubts
from meltica.leader.leader import Leader
from meltica.leader.reads import Question
from meltica.leader.reconciler import Reconciler
from meltica.leader.status import Phase
from meltica.leader.takeover import Takeover
from meltica.venues.base import Accepted, Answer, ReadDone
from meltica.venues.binance_spot.lane import Lane

Come = Callable[[str], None]
SYNCED: Final = "synced"
LEARNT: Final = ("fill_seen", "order_updated")  # kinds of commands


def patch(patches: Patches, inside: Inside) -> None:
    """All of them."""
    disk(patches, inside.come)
    sends(patches, inside.come)
    takeover(patches, inside.come)
    learning(patches, inside.come)
    snapshots(patches, inside.come)


def disk(patches: Patches, come: Come) -> None:
    """After an append, and after the sync of one."""
    append, commit, sync = RocksStore.append, RocksStore.commit, RocksStore.sync
    install = RocksStore.install
    buffered: set[str] = set()  # what the batch that is collected holds
    unsynced: set[Ticket] = set()  # batches with entries in them

    @wraps(append)
    def appends(self: RocksStore, entry: StoredEntry) -> None:
        append(self, entry)
        buffered.add("appended")

    @wraps(install)
    def installs(self: RocksStore, *given: Any, **named: Any) -> None:
        install(self, *given, **named)
        buffered.add("installed")

    @wraps(commit)
    def commits(self: RocksStore) -> Ticket:
        ticket = commit(self)
        held = sorted(buffered)
        buffered.clear()
        if "appended" in held:
            unsynced.add(ticket)
        for instant in held:
            come(instant)
        return ticket

    @wraps(sync)
    def syncs(self: RocksStore) -> Ticket:
        ticket = sync(self)
        done = {one for one in tuple(unsynced) if one <= ticket}
        unsynced.difference_update(done)
        if done:
            come(SYNCED)
        return ticket

    for name, value in (("append", appends), ("install", installs), ("commit", commits), ("sync", syncs)):
        patches.attribute(RocksStore, name, value)


def sends(patches: Patches, come: Come) -> None:
    """Around the send of an order; a cancel is none."""
    send, written = Dispatch._send, Lane._written  # noqa: SLF001 - where it matters is inside
    answered, landed = Dispatch.answered, Takeover.landed

    @wraps(send)
    def sends_(self: Dispatch, ordered: Any, past: Nanos) -> None:
        if not isinstance(ordered.effect, CancelOrder) and not self.why_shut(ordered):
            come("committed")
        send(self, ordered, past)

    @wraps(written)
    def writes(self: Lane, effect: Effect, now: Nanos) -> None:
        written(self, effect, now)
        if not isinstance(effect, CancelOrder):
            come("sent")

    @wraps(answered)
    def hears(self: Dispatch, intent: ClientOrderId, answer: Answer) -> None:
        flight = self._flights.get(intent)
        if isinstance(answer, Accepted) and flight and not isinstance(flight.ordered.effect, CancelOrder):
            come("answered")
        answered(self, intent, answer)

    @wraps(landed)
    def lands(self: Takeover, now: Nanos) -> None:
        first = self.phase is Phase.ACTIVE and "first_order" not in self.marks
        landed(self, now)
        if first:
            come("first_order")

    patches.attribute(Dispatch, "_send", sends_)
    patches.attribute(Lane, "_written", writes)
    patches.attribute(Dispatch, "answered", hears)
    patches.attribute(Takeover, "landed", lands)


def takeover(patches: Patches, come: Come) -> None:
    """At each step from the election to authority."""
    elected, started, taken = Takeover.elected, Takeover.started, Takeover.taken
    take = Takeover._take  # noqa: SLF001 - where it matters is inside

    @wraps(elected)
    def wins(self: Takeover, reason: str) -> None:
        come("elected")
        elected(self, reason)

    @wraps(started)
    def starts(self: Takeover) -> None:
        started(self)
        come("epoch_started")

    @wraps(take)
    def takes(self: Takeover, *, cancels_only: bool) -> None:
        come("reconciled")
        take(self, cancels_only=cancels_only)
        if self.phase is Phase.TAKING:
            come("taking")

    @wraps(taken)
    def has(self: Takeover, record: EpochRecord) -> None:
        taken(self, record)
        if self.phase is Phase.ACTIVE:
            come("authority")

    patches.attribute(Takeover, "elected", wins)
    patches.attribute(Takeover, "started", starts)
    patches.attribute(Takeover, "_take", takes)
    patches.attribute(Takeover, "taken", has)


def learning(patches: Patches, come: Come) -> None:
    """Between the epoch and its authority: an answer, one about an order in doubt, and what they taught."""
    learn, look_up = Reconciler._learn, Doubts.read  # noqa: SLF001 - where it matters is inside
    on_applied = Leader.on_applied

    @wraps(learn)
    def learns(self: Reconciler, question: Question, result: ReadDone) -> None:
        learn(self, question, result)
        if _untaken(self._desk):
            come("reading")

    @wraps(look_up)
    def looks_up(self: Doubts, question: Question, result: ReadDone) -> None:
        look_up(self, question, result)
        if _untaken(self._desk):
            come("looked_up")

    @wraps(on_applied)
    def applies(self: Leader, entry: AppliedEntry) -> None:
        before = self._takeover.phase  # what was learnt last may be in one entry with the authority
        on_applied(self, entry)
        if before in (Phase.RECONCILING, Phase.TAKING) and any(map(_teaches, entry.results)):
            come("learnt")

    patches.attribute(Reconciler, "_learn", learns)
    patches.attribute(Doubts, "read", looks_up)
    patches.attribute(Leader, "on_applied", applies)


def _untaken(desk: Desk) -> bool:
    """Whether it leads in an epoch that is committed, and its authority is not."""
    record = desk.state.epoch
    return desk.started and record is not None and record.epoch == desk.epoch and record.taken_index is None


def _teaches(result: object) -> bool:
    return isinstance(result, CommandResult) and result.accepted and result.kind in LEARNT


def snapshots(patches: Patches, come: Come) -> None:
    """While one is received; `disk` has the installation."""
    part, judge = Receiving.part, Receiving._judge  # noqa: SLF001 - where it matters is inside

    @wraps(part)
    def parts(self: Receiving, *given: Any) -> None:
        now = self._now
        before = (now.taken, now.whole) if now else (0, False)
        part(self, *given)
        if now is None or self._now is not now:
            return
        if now.taken > before[0]:
            come("staging")
        if now.whole and not before[1]:
            come("staged")

    @wraps(judge)
    def judges(self: Receiving, *given: Any) -> Any:
        install = judge(self, *given)
        now = self._now  # of a machine that makes its state first, what may be installed comes later
        if now is not None and now.verified:
            come("verified")
        return install

    patches.attribute(Receiving, "part", parts)
    patches.attribute(Receiving, "_judge", judges)
