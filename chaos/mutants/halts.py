"""Rule 6, a halt survives: halts forgotten, passed over or lifted by nobody.

Only mutants of the risk state may live here.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve

from chaos.mutants.mutant import mutant
from chaos.mutants.patches import Patches
from chaos.mutants.scenes import HALTED, OLD_LOOK, QUIET, REDUCED, RESTARTED, TWO_HALTS
from meltica.core import apply
from meltica.core import checks as core_checks
from meltica.core import commands as c
from meltica.core.events import Rejection
from meltica.core.risk import RiskState
from meltica.core.state import State
from meltica.core.turn import Turn
from meltica.core.values import RequestId
from meltica.leader.takeover import Takeover


@mutant("6", HALTED, "halt_survives")
def a_new_epoch_forgets_the_halts(patches: Patches) -> None:
    """A failover clears the halts."""
    whole = apply.ROOMS[c.EpochStarted]

    def forget(turn: Any, command: Any) -> Rejection | None:
        risk = turn.state.risk
        if risk.halts:
            turn.state.put_risk(evolve(risk, halts={}))
        return whole(turn, command)

    patches.item(apply.ROOMS, c.EpochStarted, forget)


@mutant("6", QUIET, "halt_survives")
def halts_are_not_asked_for(patches: Patches) -> None:
    """Orders are decided on without a look at the risk state."""
    kept = tuple(check for check in core_checks.CHECKS if check.__name__ != "_trading")
    patches.attribute(core_checks, "CHECKS", kept)


@mutant("6", HALTED, "halt_survives", "operators")
def a_takeover_resumes(patches: Patches) -> None:
    """Whoever takes over resumes, as nobody asked it to."""
    whole = Takeover.taken

    def relaxed(self: Any, record: Any) -> None:
        whole(self, record)
        desk, risk = self._desk, self._desk.state.risk
        if risk.halts:
            by = c.By(RequestId(f"auto-{desk.epoch}"), "auto", "")
            desk.propose(c.Resume(desk.epoch, desk.at, tuple(sorted(risk.halts)), risk.index, by))

    patches.attribute(Takeover, "taken", relaxed)


@mutant("6", REDUCED, "halt_survives")
def a_reduce_relaxes_a_halt(patches: Patches) -> None:
    """Positions may only shrink from here on, and so the halt is over."""
    whole = apply.ROOMS[c.Reduce]

    def relax(turn: Any, command: Any) -> Rejection | None:
        turn.state.put_risk(evolve(turn.state.risk, halts={}))
        return whole(turn, command)

    patches.item(apply.ROOMS, c.Reduce, relax)


@mutant("6", TWO_HALTS, "halt_survives")
def a_resume_lifts_every_halt(patches: Patches) -> None:
    """A resume lifts all causes, whichever it names."""
    whole = apply.ROOMS[c.Resume]

    def lift(turn: Any, command: Any) -> Rejection | None:
        refused = whole(turn, command)
        if refused is None:
            turn.state.put_risk(evolve(turn.state.risk, halts={}))
        return refused

    patches.item(apply.ROOMS, c.Resume, lift)


@mutant("6", OLD_LOOK, "halt_survives")
def a_resume_without_the_index_seen(patches: Patches) -> None:
    """A resume is taken whatever the risk state has become since the operator looked."""
    whole = apply.ROOMS[c.Resume]

    def blind(turn: Any, command: Any) -> Rejection | None:
        return whole(turn, evolve(command, risk_index=turn.state.risk.index))

    patches.item(apply.ROOMS, c.Resume, blind)


@mutant("6", RESTARTED, "state_equal", "halt_survives", "state_machine_safety")
def halts_are_not_stored(patches: Patches) -> None:
    """The risk state is kept in memory alone: a restarted node knows of no halt."""

    def put(self: State, risk: RiskState) -> None:
        self.risk = risk

    patches.attribute(State, "put_risk", put)


@mutant("6", QUIET, "liveness")
def a_halt_leaves_the_quotes(patches: Patches) -> None:
    """What rests when a halt comes is left to the market."""
    patches.attribute(Turn, "want_gone", lambda _self, order, _why: order)
