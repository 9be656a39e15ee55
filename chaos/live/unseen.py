"""Unseen: mutants of live runs alone: what virtual time does not see (nodes that leak, a sync that does nothing), and
what makes a check fail that only live runs have, or that no scene of the simulation was made for.

Only these may live here.
"""

from __future__ import annotations

import os
import threading
from functools import wraps
from typing import Any, Final

from attrs import frozen

from chaos.mutants.mutant import Patch
from chaos.mutants.patches import Patches
from cluster.driver import ClusterNode
from cluster.rocks import RocksStore
from cluster.store import StoreFault, Ticket
from cluster.types import Outcome, Peer
from meltica.core import apply_authority, checks
from meltica.core.commands import Submit
from meltica.core.events import Rejection
from meltica.core.halting import add_halt
from meltica.core.risk import HaltRecord
from meltica.core.turn import Turn
from meltica.core.values import Nanos
from meltica.leader import fitness, intake
from meltica.leader.desk import result_of
from meltica.leader.intake import OnResult
from meltica.leader.leader import Leader
from meltica.leader.ports import ActionResult, Done, Refused
from meltica.leader.takeover import Takeover

LOST: Final[list[Any]] = []
RULE: Final = "growth"


@frozen
class Unseen:
    """As a mutant of the catalogue, without a simulated scene."""

    name: str
    rule: str
    what: str
    patch: Patch


def _with_each_link(patches: Patches, lose: Any) -> None:
    connected = ClusterNode.connected

    @wraps(connected)
    def connects(self: ClusterNode, peer: Peer) -> None:
        LOST.append(lose())
        connected(self, peer)

    patches.attribute(ClusterNode, "connected", connects)


def _descriptors(patches: Patches) -> None:
    _with_each_link(patches, lambda: os.dup(2))


def _threads(patches: Patches) -> None:
    _with_each_link(patches, lambda: threading.Thread(target=threading.Event().wait, daemon=True).start())


def _memory(patches: Patches) -> None:
    _with_each_link(patches, lambda: b"x" * (8 * 1024 * 1024))


def _sync(patches: Patches) -> None:
    sync = RocksStore.sync

    @wraps(sync)
    def syncs(self: RocksStore) -> Ticket:
        if threading.current_thread() is threading.main_thread():
            return sync(self)  # at its start: else it would not come that far
        return Ticket(self._committed.ticket)  # what is broken is inside

    patches.attribute(RocksStore, "sync", syncs)


def _failed(patches: Patches) -> None:
    sync = RocksStore.sync

    @wraps(sync)
    def syncs(self: RocksStore) -> Ticket:
        try:
            return sync(self)
        except StoreFault:
            self._refuses = None  # what is broken is inside
            return Ticket(self._committed.ticket)

    patches.attribute(RocksStore, "sync", syncs)


def _untaken(patches: Patches) -> None:
    def lets(_turn: Turn) -> Rejection | None:
        return None

    def asks(_self: Leader, _command: Submit) -> str:
        return ""

    patches.attribute(checks, "_authority", lets)
    patches.attribute(Leader, "_why_no_submit", asks)


def _no_storms(patches: Patches) -> None:
    patches.attribute(apply_authority, "_count_loss", lambda turn: None)  # noqa: ARG005 - the name is looked at


def _old_books(patches: Patches) -> None:
    patches.attribute(checks, "CHECKS", tuple(one for one in checks.CHECKS if one.__name__ != "_book_age"))


def _believed(patches: Patches) -> None:
    patches.everywhere(fitness.time_fault, lambda _desk, _healths, _now: None)


def _endless(patches: Patches) -> None:
    ready = Takeover.ready

    @wraps(ready)
    def readies(self: Takeover, now: Nanos) -> bool:
        older = (one for one in self._desk.state.epochs.values() if one.epoch != self._desk.epoch)
        return ready(self, now) and not any(one.trades for one in older)  # else nobody would ever trade

    patches.attribute(Takeover, "ready", readies)


def _denied(patches: Patches) -> None:
    answer = intake.answer

    @wraps(answer)
    def tells(outcome: Outcome) -> ActionResult:
        result = result_of(outcome)
        done = result is not None and result.order is not None  # an order by hand was let through
        return Refused("not_now", "nothing was done") if done else answer(outcome)

    patches.everywhere(answer, tells)


def _leaves(patches: Patches) -> None:
    def stops(_self: Leader, on_result: OnResult) -> None:
        on_result(Done("nothing to hand over"))

    patches.attribute(Leader, "stop", stops)


def _storm_of_one(patches: Patches) -> None:
    counts = apply_authority._count_loss  # noqa: SLF001 - what is broken is inside

    @wraps(counts)
    def halts(turn: Turn) -> None:
        counts(turn)
        if apply_authority.STORM not in turn.state.risk.halts:
            reason = "an active leader was lost"
            add_halt(turn, HaltRecord(apply_authority.STORM, turn.index, turn.state.clock, reason=reason))

    patches.attribute(apply_authority, "_count_loss", halts)


UNSEEN: Final = (
    Unseen(
        "a sync syncs nothing", "8", "the disk is never asked to make anything durable, and it is said to be", _sync
    ),
    Unseen(
        "a failed sync is taken for done", "8", "a disk that refuses a sync is written to and spoken of on", _failed
    ),
    Unseen(
        "orders are let through before authority",
        "2",
        "neither the leader nor apply asks whether its epoch was taken",
        _untaken,
    ),
    Unseen("a storm of takeovers halts nobody", "9", "leaders that are lost are not counted", _no_storms),
    Unseen("the age of the book is not asked for", "5", "orders are decided on however old the book is", _old_books),
    Unseen("a wrong clock is believed", "7", "no node minds that its clock contradicts the venues'", _believed),
    Unseen("what was done is told as refused", "8", "of an order by hand it is said that nothing was done", _denied),
    Unseen("a takeover never ends", "liveness", "who takes over from one that traded takes no authority", _endless),
    Unseen("one lost leader is a storm", "liveness", "the first lost lead halts as the third is to", _storm_of_one),
    Unseen("who is asked to end hands nothing over", "1", "a leader that is asked to end just ends", _leaves),
    Unseen("a descriptor is lost with each link", RULE, "each connection to a peer loses a descriptor", _descriptors),
    Unseen("a thread is lost with each link", RULE, "each connection to a peer leaves a thread behind", _threads),
    Unseen("memory is lost with each link", RULE, "each connection to a peer loses 8 MiB", _memory),
)
