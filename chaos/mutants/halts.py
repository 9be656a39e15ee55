"""Rule 6, a halt survives: halts forgotten, passed over or lifted by nobody.

Only mutants of the risk state may live here.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve

from chaos.mutants.mutant import mutant
from chaos.mutants.patches import Patches
from chaos.mutants.scenes import HALTED, QUIET
from meltica.core import apply
from meltica.core import checks as core_checks
from meltica.core import commands as c
from meltica.core.events import Rejection
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


@mutant("6", HALTED, "halt_survives")
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
