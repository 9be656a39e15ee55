"""Sights: what each node knew of the steps of the venue's clock when it wrote a request.

It only looks.  A node has seen a step once its estimate of that clock was contradicted behind it; one whose estimate
began behind the step dates by the new clock, and never saw it happen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import define, field

from chaos.checkers.history import ClockStep, Sight
from meltica.venues.clock import VenueClock


@define(eq=False)
class Sights:
    """Notes steps, and who had seen which."""

    now: Callable[[], int]
    clocks: Callable[[], Mapping[str, VenueClock]]  # of the nodes that live
    steps: list[ClockStep] = field(factory=list)
    found: dict[str, Sight] = field(factory=dict)  # by the intent that was written
    _before: list[dict[str, tuple[VenueClock, int]]] = field(factory=list)  # what nodes had, at each step

    def stepped(self, off_ns: int) -> None:
        """The venue's clock is off by so much from now on."""
        self.steps.append(ClockStep(self.now(), off_ns))
        self._before.append({name: (clock, clock.contradictions) for name, clock in self.clocks().items()})

    def waited_for_until(self, most: int) -> int:
        """Until when, at most, a takeover rightly waits as the clock was set back: by so much behind the last step.

        `most` is what is waited for at most, and as old a step may matter.
        """
        since = self.now() - most
        offs = [step.off_ns for step in self.steps if step.at_ns >= since]
        before = [step.off_ns for step in self.steps if step.at_ns < since]
        if not offs:
            return 0
        highest = max(*offs, before[-1] if before else 0)
        return self.steps[-1].at_ns + min(highest - offs[-1], most)

    def wrote(self, node: str, intent: str) -> None:
        """A node writes a request."""
        clock = self.clocks().get(node) if self.steps else None
        if clock is None:
            return
        dated = fell = 0
        for number, before in enumerate(self._before, 1):
            known, contradictions = before.get(node, (None, 0))
            if known is not clock:
                dated = number
            elif clock.contradictions > contradictions:
                dated = fell = number
        self.found[intent] = Sight(dated, fell)
