"""Rule 1, one trader: authority broken.

Only mutants of the window, the wait, the deadline and the release may live here.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve

from chaos.mutants.mutant import mutant
from chaos.mutants.patches import Patches
from chaos.mutants.scenes import (
    FAILING,
    LATE_WORDS,
    MANUAL,
    PROMOTED_EARLY,
    PROMOTED_LATE,
    SET_BACK,
    SET_BACK_PROMOTED,
    SLOW_COMMITS,
    VERY_LATE_WORDS,
)
from meltica.core import apply, apply_authority
from meltica.core import commands as c
from meltica.core.values import Nanos
from meltica.leader import authority, setbacks
from meltica.leader.desk import Desk
from meltica.leader.dispatch import Dispatch
from meltica.leader.handover import Handover, Step
from meltica.venues.binance_spot import lane
from meltica.venues.deadlines import Deadline

MINUTE_US = 60_000_000


@mutant("1", LATE_WORDS, "one_trader")
def no_wait(patches: Patches) -> None:
    """The successor does not wait for the older epoch's window to end."""
    patches.attribute(authority, "wait_over_at", lambda *_args: Nanos(0))


@mutant("1", SET_BACK, "one_trader")
def a_clock_that_went_back_is_not_waited_for(patches: Patches) -> None:
    """The wait ends as if the venue's clock had not been set back."""
    patches.attribute(authority, "wait_longer", lambda *_args: Nanos(0))


@mutant("1", SET_BACK_PROMOTED, "one_trader")
def a_release_excuses_though_a_clock_went_back(patches: Patches) -> None:
    """Who takes over from one that released does not wait for a venue that set its clock back."""
    later = setbacks.later

    def excused(desk: Desk, ends: Nanos) -> Nanos:
        return ends if authority.relieved(desk.state.epochs, desk.epoch) else later(desk, ends)

    patches.attribute(setbacks, "later", excused)


def _a_minute_long(clock: Any, now: int, *_args: object, **_more: object) -> Deadline | str:
    here = clock.at(now)
    return "no clock" if here is None else Deadline((now + here.low) // 1000, MINUTE_US)


@mutant("1", VERY_LATE_WORDS, "one_trader")
def no_deadline(patches: Patches) -> None:
    """Requests are dated a minute long, so that a late packet passes the venue's check."""
    patches.attribute(lane, "deadline", _a_minute_long)


@mutant("1", LATE_WORDS, "one_trader")
def no_wait_and_no_deadline(patches: Patches) -> None:
    """Neither the wait nor the deadline."""
    no_wait.patch(patches)
    no_deadline.patch(patches)


@mutant("1", LATE_WORDS, "one_trader")
def any_release_excuses(patches: Patches) -> None:
    """The successor takes every older epoch for released."""
    patches.attribute(authority, "relieved", lambda *_args: True)


@mutant("1", FAILING, "windows_apart", "one_trader")
def the_wait_is_five_percent_short(patches: Patches) -> None:
    """The successor waits for 95 % of the older epoch's window."""
    whole = authority.stretched
    patches.attribute(authority, "stretched", lambda window, drift: Nanos(whole(window, drift) * 95 // 100))


@mutant("1", FAILING, "windows_apart", "one_trader")
def the_wait_counts_from_the_last_but_one(patches: Patches) -> None:
    """The wait counts from the first send that an older epoch ordered, not from the last."""
    whole = authority.Sends.ordered

    def ordered(self: Any, effect: Any, term: Any, appended: Any, *rest: Any) -> None:
        first = self.last.get((term, effect.venue))
        whole(self, effect, term, appended, *rest)
        if first is not None:
            self.last[term, effect.venue] = first

    patches.attribute(authority.Sends, "ordered", ordered)


@mutant("1", FAILING, "windows_apart", "one_trader")
def what_others_ordered_is_not_waited_for(patches: Patches) -> None:
    """A node counts only what it ordered itself: a standby knows of no older send."""
    whole = authority.Sends.ordered

    def ordered(self: Any, effect: Any, term: Any, appended: Any, *rest: Any) -> None:
        before = self.last.get((term, effect.venue))
        whole(self, effect, term, appended, *rest)
        if before is None:
            del self.last[term, effect.venue]

    patches.attribute(authority.Sends, "ordered", ordered)


@mutant("1", SLOW_COMMITS, "in_time", "one_trader")
def the_window_counts_from_the_send(patches: Patches) -> None:
    """A send may leave for W from when its entry applied, not from when it was proposed."""
    whole = Dispatch._send  # noqa: SLF001 # what is broken is inside

    def send(self: Any, ordered: Any, past: Any) -> None:
        whole(self, evolve(ordered, send_by=Nanos(self._desk.mono() + ordered.send_by - ordered.proposed)), past)

    patches.attribute(Dispatch, "_send", send)


@mutant("1", PROMOTED_LATE, "one_trader", "windows_apart", "accounted")
def the_release_does_not_wait_for_the_drain(patches: Patches) -> None:
    """A hand-over releases at once, with sends still on their way."""

    def drain(self: Any, running: Any, now: Any) -> None:
        flights, self._dispatch._flights = self._dispatch._flights, {}  # noqa: SLF001 # what is broken is inside
        try:
            whole(self, running, now)
        finally:
            self._dispatch._flights = flights  # noqa: SLF001 # the same

    whole = Handover._drain  # noqa: SLF001 # what is broken is inside
    patches.attribute(Handover, "_drain", drain)


@mutant("1", PROMOTED_EARLY, "windows_apart", "one_trader")
def a_release_without_a_taken_authority(patches: Patches) -> None:
    """Who was elected and has not waited yet releases all the same, and its successor need not wait either."""
    release = apply_authority.authority_released
    transfer = Handover._transfer  # noqa: SLF001 # what is broken is inside

    def released(turn: Any, command: Any) -> Any:
        epoch = turn.state.epoch
        if epoch.taken_index is None:
            turn.state.put_epoch(evolve(epoch, taken_index=turn.index))
        return release(turn, command)

    def transferred(self: Any, running: Any) -> None:
        if running.step is not Step.DRAINING:
            transfer(self, running)
            return
        running.step, desk = Step.RELEASING, self._desk
        command = c.AuthorityReleased(desk.epoch, desk.at, running.to)
        desk.propose(command, lambda outcome: self._released(running, outcome))

    patches.attribute(Handover, "_transfer", transferred)
    patches.item(apply.ROOMS, c.AuthorityReleased, released)


@mutant("1", MANUAL, "in_authority")
def authority_for_cancels_alone_trades(patches: Patches) -> None:
    """In manual mode a leader that nobody promoted trades: what it took for cancels alone is taken for everything."""
    whole = apply.ROOMS[c.AuthorityTaken]

    def taken(turn: Any, command: Any) -> Any:
        return whole(turn, evolve(command, cancels_only=False, promoted=True))

    patches.item(apply.ROOMS, c.AuthorityTaken, taken)
