"""Fitness: whether a node could take over, or should rather not trade on.

Only that judgement, on the venues' health and the clocks, may live here; it changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from meltica.core.apply import LEAP
from meltica.core.values import Nanos, Venue
from meltica.leader.desk import Desk
from meltica.leader.settings import LeaderSettings
from meltica.leader.suspects import CLOCKS_APART
from meltica.venues.base import Capabilities, Health, VenuePort

MS = 1_000_000
NO_VOTE = "it has no vote, as far as its log says"


def must_date(port: VenuePort) -> None:
    """A venue's requests, cancels included, carry deadlines, or this leader can't trade there.

    Raises:
        ValueError: they carry none.  What such a venue may still admit is bounded neither by the authority wait nor by
            an absence that is read: it needs rules of its own, which are not there (design.md 5).
    """
    if not port.capabilities.has_deadline:
        raise ValueError(
            f"{port.venue}: its requests carry no deadline, so nothing says when one that was sent can take effect no "
            f"more; this build trades at no such venue: remove it from [venues]"
        )


def why_unfit(health: Health, settings: LeaderSettings, now: Nanos) -> str:
    """Why a node with this view of a venue should not be promoted, or ""."""
    if health.refused is not None:
        return f"refused: {health.refused}"
    if not health.orders_connected:
        return "no order connection"
    if not health.user_stream:
        return "no user stream"
    if health.clock_offset is None or not _fresh(health, settings, now):
        return "no fresh estimate of its clock"
    if abs(health.clock_offset) > settings.wall_off:
        return f"this node's wall clock is {health.clock_offset // MS} ms away from it"
    if health.signed_read_at is None or now - health.signed_read_at > settings.signed_read_age:
        return "no signed read succeeded lately"
    return ""


def _fresh(health: Health, settings: LeaderSettings, now: Nanos) -> bool:
    return health.clock_at is not None and now - health.clock_at <= settings.clock_age


def unfit_itself(desk: Desk) -> str:
    """Why this node may not trade, whatever the venues say, or ""."""
    return desk.disk or unapproved(desk)


def unapproved(desk: Desk) -> str:
    """Why this node may not trade though all else is well, or "": its build or configuration is not approved."""
    report = desk.report
    if report is None or desk.state.approved.covers(report.build, report.config):
        return ""
    return f"build {report.build} with configuration {report.config[:12]} is not approved"


@frozen
class TimeFault:
    """Why what this node would stamp must not enter the log."""

    why: str
    contradicted: bool  # a venue's clock says so; else no venue's clock is known


def time_fault(desk: Desk, healths: Mapping[Venue, Health], now: Nanos) -> TimeFault | None:
    """Whether the time that this node stamps can be trusted: the log's clock never goes back.

    One venue that agrees is enough: then another one's clock is wrong, not this one.  Where no venue's clock is known
    (all out of reach, or this process has just begun) a new epoch may go on from the log's clock, which a wrong
    clock can move by `LEAP` only, but it may not leap.
    """
    ahead = desk.at - desk.wall()
    known = {
        venue: health.clock_offset - ahead
        for venue, health in healths.items()
        if health.clock_offset is not None and _fresh(health, desk.settings, now)
    }
    if any(abs(off) <= desk.settings.wall_off for off in known.values()):
        return None
    if known:
        venue, off = min(known.items(), key=lambda item: abs(item[1]))
        return TimeFault(f"this node's clock is {abs(off) // MS} ms {_way(off)} of that of {venue}", contradicted=True)
    if not (desk.venues or desk.settings.symbols):
        return None
    if desk.state.clock > 0 and desk.at - desk.state.clock <= LEAP:
        return None
    why = "no venue's clock is known yet, and this node's alone may not begin an epoch so far from the log's"
    return TimeFault(why, contradicted=False)


def clocks_apart(desk: Desk, venue: Venue) -> Nanos:
    """How far the log's clock and this venue's are apart, at most, as far as is known."""
    offset = desk.venues[venue].health().clock_offset
    known = 0 if offset is None else abs(offset - (desk.at - desk.wall()))
    return Nanos(CLOCKS_APART + known)


def _way(off: int) -> str:
    return "behind" if off > 0 else "ahead"


def window_fault(window: Nanos, capabilities: Capabilities, health: Health, settings: LeaderSettings) -> str:
    """Why nothing sent within `window` would reach the venue in time, or "" (design.md 5)."""
    if health.clock_uncertainty is None:
        return "its clock is not known"
    least = capabilities.deadline_floor + 2 * health.clock_uncertainty + settings.commit + settings.transit
    if window > least:
        return ""
    return f"the window is too small: {window} ns, and its deadline, commit and transit need more than {least} ns"


def why_not_promotable(desk: Desk, standstill: str) -> str:
    """Why this node should not take over, or ""; `standstill`: why its apply stands or is not to be trusted.

    Whether it has a vote is looked at last: a node that is to take another's place says before it votes what else is
    amiss with it.
    """
    status = desk.cluster.status()
    if status.stalled:
        return f"replication: {status.stalled}"
    return standstill or unfit_itself(desk) or _venues_unfit(desk) or ("" if status.votes else NO_VOTE)


def _venues_unfit(desk: Desk) -> str:
    for venue, port in desk.venues.items():
        health, policy = port.health(), desk.state.venues.get(venue)
        why = why_unfit(health, desk.settings, desk.mono())
        if not why and policy is not None:
            why = window_fault(policy.window, port.capabilities, health, desk.settings)
        if why:
            return f"{venue}: {why}"
    return ""
