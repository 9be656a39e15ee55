"""Rule 5, unknown is a state: doubt that is ended without the venue's evidence.

Only mutants of doubt, of lookups and of takeovers that assume may live here.
"""

from __future__ import annotations

from typing import Any

from chaos.mutants.mutant import mutant
from chaos.mutants.patches import Patches
from chaos.mutants.scenes import SILENT, STALLED
from meltica.core.values import Nanos
from meltica.leader import lookups
from meltica.leader.dispatch import Dispatch
from meltica.leader.lookups import Bounds
from meltica.venues.base import NotSent, Unknown


@mutant("5", SILENT, "accounted")
def silence_is_taken_for_failure(patches: Patches) -> None:
    """No answer is taken for not sent."""
    whole = Dispatch.answered

    def failed(self: Dispatch, intent: Any, answer: Any) -> None:
        whole(self, intent, NotSent(answer.reason) if isinstance(answer, Unknown) else answer)

    patches.attribute(Dispatch, "answered", failed)


@mutant("5", STALLED, "accounted")
def absence_is_taken_for_death(patches: Patches) -> None:
    """The first reads that do not show an order prove it dead."""
    patches.attribute(lookups, "bounds", lambda *_args: Bounds(Nanos(0), Nanos(0)))
