"""Fitness: whether a node could take over, or should rather not trade on.

Pure; only that judgement on a venue's health may live here.
"""

from __future__ import annotations

from meltica.core.values import Nanos
from meltica.leader.settings import LeaderSettings
from meltica.venues.base import Health


def why_unfit(health: Health, settings: LeaderSettings, now: Nanos) -> str:
    """Why a node with this view of a venue should not be promoted, or ""."""
    if health.refused is not None:
        return f"refused: {health.refused}"
    if not health.orders_connected:
        return "no order connection"
    if not health.user_stream:
        return "no user stream"
    if health.clock_at is None or health.clock_offset is None or now - health.clock_at > settings.clock_age:
        return "no fresh estimate of its clock"
    if abs(health.clock_offset) > settings.wall_off:
        return f"this node's wall clock is {health.clock_offset // 1_000_000} ms away from it"
    if health.signed_read_at is None or now - health.signed_read_at > settings.signed_read_age:
        return "no signed read succeeded lately"
    return ""
