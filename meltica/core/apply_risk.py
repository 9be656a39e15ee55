"""Risk commands: halt, reduce, kill, resume.

Only their application may live here.  Everything but `Resume` can only tighten; `Resume` names the causes that it
lifts and the index of the risk state that the operator saw, and lifts nothing else (design.md, rule 6).
"""

from __future__ import annotations

import re
from typing import Final

from attrs import evolve

from meltica.core.apply_authority import STORM
from meltica.core.commands import By, Halt, Kill, Reduce, Resume
from meltica.core.events import Rejection, RiskEvent
from meltica.core.halting import add_halt
from meltica.core.records import LossesRecord
from meltica.core.reducing import add_cause
from meltica.core.risk import MORE, HaltRecord
from meltica.core.turn import Turn
from meltica.core.wire import TEXT

MAX_CAUSE: Final = 200
_CAUSE: Final = re.compile(TEXT.format(but="", most=MAX_CAUSE)).fullmatch


def halt(turn: Turn, command: Halt) -> Rejection | None:
    """Only cancels from here on."""
    return _halt(turn, command.cause, command.by, leave=command.leave_quotes)


def kill(turn: Turn, command: Kill) -> Rejection | None:
    """Halt, and every order of ours gone."""
    return _halt(turn, command.cause, command.by, kill=True)


def _halt(turn: Turn, cause: str, by: By | None, *, kill: bool = False, leave: bool = False) -> Rejection | None:
    refused = _cause_refused(cause)
    if refused is None:
        actor, reason = _hand(by)
        add_halt(turn, HaltRecord(cause, turn.index, turn.state.clock, actor, reason, kill, leave))
    return refused


def reduce(turn: Turn, command: Reduce) -> Rejection | None:
    """Positions may only shrink from here on."""
    refused = _cause_refused(command.cause)
    if refused is None:
        add_cause(turn, command.cause, *_hand(command.by))
    return refused


def resume(turn: Turn, command: Resume) -> Rejection | None:
    """Lift the named causes, if the risk state is still the one that the operator saw."""
    state, risk = turn.state, turn.state.risk
    if command.risk_index != risk.index:
        return Rejection(
            "risk_moved",
            "the risk state has changed since you looked: look again, then resume with its index",
            "risk_index",
            str(command.risk_index),
            str(risk.index),
        )
    unknown = [cause for cause in command.causes if cause not in risk.halts and cause not in risk.reduces]
    if unknown or not command.causes:
        known = ", ".join(sorted({*risk.halts, *risk.reduces})) or "none"
        return Rejection("unknown_cause", f"name the causes to lift; those in force: {known}"[:1000])
    named = set(command.causes)
    halts = {cause: record for cause, record in risk.halts.items() if cause not in named}
    reduces = {cause: record for cause, record in risk.reduces.items() if cause not in named}
    before, risk = risk, evolve(risk, halts=halts, reduces=reduces, index=int(turn.index))
    state.put_risk(risk)
    if named.intersection((STORM, MORE)).intersection(before.halts):
        state.put_losses(LossesRecord())  # the operator has seen the storm, or what may hold it: count afresh
    turn.emit(RiskEvent(risk.trading, ", ".join(sorted(named)), risk.index))
    return None


def _cause_refused(cause: str) -> Rejection | None:
    if _CAUSE(cause):
        return None
    return Rejection("bad_cause", f"a cause is 1 to {MAX_CAUSE} printable characters")


def _hand(by: By | None) -> tuple[str, str]:
    return ("", "") if by is None else (by.actor, by.reason)
