"""Rule 7, same log, same state: apply that reads what is not in the log, or depends on what is not the same everywhere.

Only mutants of determinism may live here.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from chaos.mutants.mutant import mutant
from chaos.mutants.patches import Patches
from chaos.mutants.scenes import FAILING, QUIET, RESTARTED
from meltica.core import apply
from meltica.core import checks as core_checks
from meltica.core.events import Rejection
from meltica.core.state import State
from meltica.core.values import Nanos


@mutant("7", RESTARTED, "state_equal", "state_machine_safety")
def orders_are_gone_through_by_their_address(patches: Patches) -> None:
    """Live orders are taken in an order that is a process's own, as a set of objects has it."""
    whole = State.live_orders
    patches.attribute(State, "live_orders", lambda self: sorted(whole(self), key=id))


@mutant("7", QUIET, "state_equal", "state_machine_safety")
def apply_reads_a_clock(patches: Patches) -> None:
    """The log's clock is a little ahead by what a clock of this machine says."""
    whole, ticks = apply._decide, count()  # noqa: SLF001 # what is broken is inside

    def decide(turn: Any, *asked: Any) -> Rejection | None:
        refused = whole(turn, *asked)
        turn.state.clock = Nanos(turn.state.clock + next(ticks) % 1000)
        return refused

    patches.attribute(apply, "_decide", decide)


@mutant("7", QUIET, "state_equal", "state_machine_safety")
def a_limit_is_read_from_a_file_of_the_node(patches: Patches) -> None:
    """How many orders may be open is a setting of each node's own."""
    begin, numbers = State.__init__, count()

    def made(self: Any) -> None:
        begin(self)
        self.local = 3 + next(numbers) % 3

    def local(state: Any, wish: Any) -> Rejection | None:
        return Rejection("limit", "too many here") if len(wish.exposure.live) >= state.local else None

    patches.attribute(State, "__init__", made)
    patches.attribute(core_checks, "CHECKS", (*core_checks.CHECKS, local))


@mutant("7", FAILING, "state_equal", "state_machine_safety")
def a_restart_forgets_what_was_sent_this_second(patches: Patches) -> None:
    """What a node counts in memory decides, and is not there after a restart: it knows no order that is closed."""
    whole = State.order_named

    def named(self: Any, *names: Any) -> Any:
        order = whole(self, *names)
        loaded = getattr(self, "loaded", None)
        if loaded is None:
            loaded = self.loaded = self.index
        return None if order is not None and order.closed and 0 < order.index <= loaded else order

    patches.attribute(State, "order_named", named)
