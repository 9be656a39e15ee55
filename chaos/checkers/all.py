"""All checks, in the order in which a verdict lists them.

Only the list may live here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from chaos.checkers.accounted import accounted
from chaos.checkers.audit_trail import audit_trail
from chaos.checkers.conduct import Conduct
from chaos.checkers.durability import durability
from chaos.checkers.election_safety import election_safety
from chaos.checkers.every_fill_once import every_fill_once
from chaos.checkers.facts import Facts
from chaos.checkers.fail_closed import fail_closed
from chaos.checkers.halt_survives import halt_survives
from chaos.checkers.history import History
from chaos.checkers.intent_first import intent_first
from chaos.checkers.leader_completeness import leader_completeness
from chaos.checkers.linearizable import linearizable
from chaos.checkers.lives import kept, lives
from chaos.checkers.log_matching import log_matching
from chaos.checkers.mandate import mandate
from chaos.checkers.members import members
from chaos.checkers.one_send import one_send
from chaos.checkers.one_trader import one_trader
from chaos.checkers.orders_equal import orders_equal
from chaos.checkers.outcomes import outcomes
from chaos.checkers.positions import positions
from chaos.checkers.recovery import recovery
from chaos.checkers.state_equal import state_equal
from chaos.checkers.state_machine_safety import state_machine_safety
from chaos.checkers.verdict import Check, together
from chaos.checkers.within_window import within_window
from chaos.checkers.worst_case import worst_case

CHECKS: Final[tuple[Callable[[History], Check], ...]] = (
    one_trader,
    intent_first,
    one_send,
    every_fill_once,
    positions,
    state_equal,
    orders_equal,
    accounted,
    halt_survives,
    audit_trail,
    worst_case,
)

REPLICATION: Final[tuple[Callable[[Facts], Check], ...]] = (
    election_safety,
    log_matching,
    leader_completeness,
    state_machine_safety,
    durability,
    outcomes,
)
MEMBERS: Final[tuple[Callable[[Facts], Check], ...]] = (members,)  # where entries may change who takes part
REGISTERS: Final[tuple[Callable[[Facts], Check], ...]] = (linearizable,)  # where registers are what is proposed


def check_all(history: History) -> tuple[Check, ...]:
    """Every check's result."""
    return tuple(check(history) for check in CHECKS)


def check_replication(facts: Facts, *, registers: bool = False) -> tuple[Check, ...]:
    """Every check's result on what the replicas did.

    Where a group was founded out of what another one left, each group is judged by itself, what is kept from one to
    the next besides; callers see one history.
    """
    each = lives(facts)
    chosen = (*REPLICATION, *(MEMBERS if facts.members is not None else ()))
    found = [together([check(life) for life in each]) for check in chosen]
    if registers:
        whole = [] if len(each) == 1 else [kept(facts)]
        found += [together([check(one) for one in (each[0], *whole)]) for check in REGISTERS]
    if len(each) > 1:
        found.append(recovery(facts))
    return tuple(found)


def check_conduct(history: History, conduct: Conduct) -> tuple[Check, ...]:
    """Every check's result on what the nodes did towards the venue."""
    return (within_window(conduct), fail_closed(conduct), mandate(history, conduct))
