"""Set-backs: how much longer what is on its way may be in time, where a venue has set its clock back.

Only what looks at the venues' clocks for `authority.wait_longer` may live here (DESIGN.md says what it does not cover).
"""

from __future__ import annotations

from meltica.core.values import Nanos, Venue
from meltica.leader import authority
from meltica.leader.desk import Desk
from meltica.venues.clock import SetBack

GATE = "set back"  # pause of the gate


def later(desk: Desk, ends: Nanos) -> Nanos:
    """When what ends its window at `ends` is out of time: later, up to `settle`, where a venue's clock stands back."""
    if ends == 0:
        return ends
    seen = [
        SetBack(one.at, min(one.by, settle(desk, venue)))
        for venue, port in desk.venues.items()
        for one in port.health().clock_set_backs
    ]
    if not seen:
        return ends
    window = authority.stretched(authority.widest_window(desk.state), authority.drift_of(desk.state))
    return Nanos(ends + authority.wait_longer(ends, seen, window, desk.settings.clock_age))


def hold(desk: Desk, ends: Nanos, now: Nanos) -> None:
    """The gate stays shut where a step that shows only now is to be waited for; `ends`: the wait's end without it."""
    longest = max((settle(desk, venue) for venue in desk.venues), default=Nanos(0))
    if ends and now < ends + longest and now < (until := later(desk, ends)) and until > ends:
        desk.gate.pauses[GATE] = "a venue's clock went back: what the old leader sent may be in time again"
    else:
        desk.gate.pauses.pop(GATE, None)


def settle(desk: Desk, venue: Venue) -> Nanos:
    """The venue's, as the log says; before it says so, as its adapter does."""
    policy = desk.state.venues.get(venue)
    return desk.venues[venue].capabilities.settle if policy is None else policy.settle
