"""Rule 1, one trader: authority broken.

Only mutants of the window, the wait, the deadline and the release may live here.
"""

from __future__ import annotations

from typing import Any

from chaos.mutants.mutant import mutant
from chaos.mutants.patches import Patches
from chaos.mutants.scenes import LATE_WORDS, VERY_LATE_WORDS
from chaos.sim import link
from meltica.core.values import Nanos
from meltica.leader import authority
from meltica.venues.deadlines import Deadline

MINUTE_US = 60_000_000


@mutant("1", LATE_WORDS, "one_trader")
def no_wait(patches: Patches) -> None:
    """The successor does not wait for the older epoch's window to end."""
    patches.attribute(authority, "wait_over_at", lambda *_args: Nanos(0))


def _a_minute_long(clock: Any, now: int, *_args: object, **_more: object) -> Deadline | str:
    here = clock.at(now)
    return "no clock" if here is None else Deadline((now + here.low) // 1000, MINUTE_US)


@mutant("1", VERY_LATE_WORDS, "one_trader")
def no_deadline(patches: Patches) -> None:
    """Requests are dated a minute long, so that a late packet passes the venue's check."""
    patches.attribute(link, "deadline", _a_minute_long)


@mutant("1", LATE_WORDS, "one_trader")
def no_wait_and_no_deadline(patches: Patches) -> None:
    """Neither the wait nor the deadline."""
    no_wait.patch(patches)
    no_deadline.patch(patches)


@mutant("1", LATE_WORDS, "one_trader")
def any_release_excuses(patches: Patches) -> None:
    """The successor takes every older epoch for released."""
    patches.attribute(authority, "relieved", lambda *_args: True)
