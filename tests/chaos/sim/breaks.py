"""Breaks: the product with one safety rule taken out on purpose, for the simulation to find.

Each break is one patch of product code; nothing of the simulation or the checkers is touched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from attrs import evolve, frozen

from chaos.sim import link
from chaos.sim.plan import SECOND, Fault
from cluster.journal import Journal
from cluster.raft import RaftCore
from cluster.types import Role
from meltica.core import apply
from meltica.core import checks as core_checks
from meltica.core import commands as c
from meltica.core.events import Rejection
from meltica.core.indexes import Trades
from meltica.core.values import Epoch, Nanos, RequestId
from meltica.leader import authority, lookups, reconcile
from meltica.leader.authority import Ordered
from meltica.leader.dispatch import Dispatch
from meltica.leader.lookups import Bounds
from meltica.leader.reconcile import Learnt
from meltica.leader.takeover import Takeover
from meltica.venues.base import NotSent, Unknown
from meltica.venues.deadlines import Deadline

Patch = pytest.MonkeyPatch
W: Final = 300_000_000


@frozen
class Break:
    """One rule broken: how, which of the checks must see it, and the storm in which the rule is what saves us."""

    rule: int
    name: str
    patch: Callable[[Patch], None]
    seen_by: tuple[str, ...]
    storm: tuple[Fault, ...]


# --- rule 1 ----------------------------------------------------------------------------------------------------


def no_wait(patch: Patch) -> None:
    """The successor does not wait for the older epoch's window to end."""
    patch.setattr(authority, "wait_over_at", lambda *_args: Nanos(0))


def no_deadline(patch: Patch) -> None:
    """Requests are dated a minute long, so that a late packet passes the venue's check."""

    def long(clock: Any, now: int, *_args: object, **_more: object) -> Deadline | str:
        here = clock.at(now)
        return "no clock" if here is None else Deadline((now + here.low) // 1000, 60_000_000)

    patch.setattr(link, "deadline", long)


def no_wait_and_no_deadline(patch: Patch) -> None:
    """Both."""
    no_wait(patch)
    no_deadline(patch)


def any_release_excuses(patch: Patch) -> None:
    """The successor takes every older epoch for released."""
    patch.setattr(authority, "relieved", lambda *_args: True)


# --- rule 2 ----------------------------------------------------------------------------------------------------


def every_node_sends(patch: Patch) -> None:
    """A node sends what another leader's entry ordered."""

    def sends(self: Dispatch, entry: Any, effect: Any) -> None:
        now = self._desk.mono()
        self._send(Ordered(effect, Epoch(entry.term), True, now, Nanos(now + W)), Nanos(now + W))

    patch.setattr(Dispatch, "_ordered", sends)
    patch.setattr(authority, "why_shut", lambda *_args: "")


def commits_alone(patch: Patch) -> None:
    """A leader takes its own copy for a majority: it applies and sends what may yet be lost."""
    whole, begin = RaftCore.commit.fget, RaftCore.__init__
    journals: dict[int, Journal] = {}
    assert whole is not None

    def alone(self: RaftCore) -> int:
        return max(whole(self), journals[id(self)].last) if self.role is Role.LEADER else whole(self)

    def made(self: RaftCore, *args: Any, **more: Any) -> None:
        journals[id(self)] = more["journal"]
        begin(self, *args, **more)

    patch.setattr(RaftCore, "__init__", made)
    patch.setattr(RaftCore, "commit", property(alone))


# --- rule 3 ----------------------------------------------------------------------------------------------------


def sends_again(patch: Patch) -> None:
    """A send without an answer is sent once more, under the same id."""
    whole = Dispatch.answered

    def again(self: Dispatch, intent: Any, answer: Any) -> None:
        flight = self._flights.get(intent)
        whole(self, intent, answer)
        if flight is not None and isinstance(answer, Unknown):
            effect = flight.ordered.effect
            port = self._desk.venues[effect.venue]
            port.send(effect, Nanos(self._desk.mono() + W), lambda: True)

    patch.setattr(Dispatch, "answered", again)


# --- rule 4 ----------------------------------------------------------------------------------------------------


def counts_again(patch: Patch) -> None:
    """A trade that is told twice counts twice."""
    patch.setattr(Trades, "known", lambda *_args: False)


def keyed_by_number(patch: Patch) -> None:
    """Trades are known by their number alone: another symbol's trade of that number is dropped."""

    def known(self: Trades, _key: object, trade_id: Any) -> bool:
        return any(trade_id in seen for seen in self.seen.values())

    patch.setattr(Trades, "known", known)


def closed_takes_none(patch: Patch) -> None:
    """A fill of an order that is closed is refused."""
    whole = apply.ROOMS[c.FillSeen]

    def refuse(turn: Any, command: Any) -> Rejection | None:
        order = turn.state.order_named(command.venue, command.symbol, command.venue_order_id, command.order)
        if order is not None and order.closed:
            return Rejection("order_closed", "too late")
        return whole(turn, command)

    patch.setitem(apply.ROOMS, c.FillSeen, refuse)  # type: ignore[arg-type] # Final, and a dict all the same


def trades_ignored(patch: Patch) -> None:
    """What a read of trades shows is not looked at."""
    patch.setattr(reconcile, "trades", lambda *_args: Learnt())


# --- rule 5 ----------------------------------------------------------------------------------------------------


def silence_is_failure(patch: Patch) -> None:
    """No answer is taken for not sent."""
    whole = Dispatch.answered

    def failed(self: Dispatch, intent: Any, answer: Any) -> None:
        whole(self, intent, NotSent(answer.reason) if isinstance(answer, Unknown) else answer)

    patch.setattr(Dispatch, "answered", failed)


def absence_is_death(patch: Patch) -> None:
    """The first reads that do not show an order prove it dead."""
    patch.setattr(lookups, "bounds", lambda *_args: Bounds(Nanos(0), Nanos(0)))


# --- rule 6 ----------------------------------------------------------------------------------------------------


def a_new_epoch_forgets(patch: Patch) -> None:
    """A failover clears the halts."""
    whole = apply.ROOMS[c.EpochStarted]

    def forget(turn: Any, command: Any) -> Rejection | None:
        risk = turn.state.risk
        if risk.halts:
            turn.state.put_risk(evolve(risk, halts={}))
        return whole(turn, command)

    patch.setitem(apply.ROOMS, c.EpochStarted, forget)  # type: ignore[arg-type] # Final, and a dict all the same


def halts_are_not_asked(patch: Patch) -> None:
    """Orders are decided on without a look at the risk state."""
    kept = tuple(check for check in core_checks.CHECKS if check.__name__ != "_trading")
    patch.setattr(core_checks, "CHECKS", kept)


def a_takeover_resumes(patch: Patch) -> None:
    """Whoever takes over resumes, as nobody asked it to."""
    whole = Takeover.taken

    def relaxed(self: Takeover, record: Any) -> None:
        whole(self, record)
        desk, risk = self._desk, self._desk.state.risk
        if risk.halts:
            by = c.By(RequestId(f"auto-{desk.epoch}"), "auto", "")
            desk.propose(c.Resume(desk.epoch, desk.at, tuple(sorted(risk.halts)), risk.index, by))

    patch.setattr(Takeover, "taken", relaxed)


# --- with what storm, and who sees it ------------------------------------------------------------------------------


def storm(*faults: tuple[str, float, float, int]) -> tuple[Fault, ...]:
    """Kind, from and until in seconds, and the pick."""
    return tuple(Fault(int(at * SECOND), int(until * SECOND), kind, pick) for kind, at, until, pick in faults)


QUIET: Final = storm(("bridge", 4, 4.5, 0))
LATE_WORDS: Final = storm(("slow_active", 3, 5, 1), ("kill_active", 3.7, 3.7, 0))  # by 250 ms: within a window
VERY_LATE_WORDS: Final = storm(("slow_active", 3, 5, 2), ("kill_active", 3.8, 3.8, 0))  # by 600 ms: past any window
CUT_OFF: Final = storm(("isolate_active", 3, 5, 0), ("isolate_active", 6, 8, 0))
NO_ANSWERS: Final = storm(("drop_answer", 2.5, 4, 2), ("drop_answer", 4, 6, 2), ("bridge", 14, 14.5, 0))
DOUBLED: Final = storm(("duplicate_event", 2.5, 6, 0))
LOST_REPORTS: Final = storm(*[("lose_event", 2.5 + place / 4, 8, 0) for place in range(16)])
SILENT: Final = storm(("silence_active", 3, 4.5, 0), ("bridge", 8, 8.5, 0))
STALLED: Final = storm(("engine_stall", 3, 8, 0), ("kill_active", 3.3, 3.3, 0))
HALTED: Final = storm(("halt_resume", 3, 7, 0), ("kill_active", 4, 4, 0))

BREAKS: Final = (
    Break(1, "no wait", no_wait, ("one_trader",), LATE_WORDS),
    Break(1, "no deadline", no_deadline, ("one_trader",), VERY_LATE_WORDS),
    Break(1, "no wait and no deadline", no_wait_and_no_deadline, ("one_trader",), LATE_WORDS),
    Break(1, "any release excuses", any_release_excuses, ("one_trader",), LATE_WORDS),
    Break(2, "every node sends", every_node_sends, ("intent_first",), QUIET),
    Break(2, "commits alone", commits_alone, ("intent_first",), CUT_OFF),
    Break(3, "an unknown outcome is sent again", sends_again, ("one_send",), NO_ANSWERS),
    Break(4, "a trade told twice counts twice", counts_again, ("every_fill_once",), DOUBLED),
    Break(4, "trades are keyed by number alone", keyed_by_number, ("every_fill_once",), QUIET),
    Break(4, "a closed order takes no fill", closed_takes_none, ("every_fill_once",), LOST_REPORTS),
    Break(4, "trades that a read shows are ignored", trades_ignored, ("every_fill_once",), LOST_REPORTS),
    Break(5, "silence is taken for failure", silence_is_failure, ("accounted",), SILENT),
    Break(5, "absence is taken for death", absence_is_death, ("accounted",), STALLED),
    Break(6, "a new epoch forgets the halts", a_new_epoch_forgets, ("halt_survives",), HALTED),
    Break(6, "halts are not asked for", halts_are_not_asked, ("halt_survives",), QUIET),
    Break(6, "a takeover resumes", a_takeover_resumes, ("halt_survives",), HALTED),
)
