"""Promoting: what a promote by hand would do, and why not.

Pure.  Only that judgement may live here; the leader does it (`leader.handover`), and looks again at what may have
changed since.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import asdict

from meltica.api.ports import ActionOutcome, OutcomeKind, Promote
from meltica.core.values import Mode
from meltica.group import Group, Member
from meltica.leader.status import LeaderStatus

LOOK: Final = "look at `meltica cluster status`"


def planned(wish: Promote, group: Group, leader: LeaderStatus, mode: Mode) -> ActionOutcome:
    """On the leader: what would come of it; `detail` says who would hand over to whom, and each node's fitness."""
    members = group.members(leader.why_not)
    kind, message, following, to = _judged(wish, members, group, leader, mode)
    detail = {
        "from": group.node,
        "to": to,
        "chosen_by": "operator" if wish.node else "cluster",
        "nodes": [asdict(one) for one in members],
    }
    return ActionOutcome(kind, message, following, detail=detail)


def _judged(
    wish: Promote, members: Sequence[Member], group: Group, leader: LeaderStatus, mode: Mode
) -> tuple[OutcomeKind, str, str, str | None]:
    """Outcome, message, next step, and to whom."""
    own = group.node
    if wish.node == own and leader.active:
        return OutcomeKind.REFUSED, f"{own} is active already", "", None
    if wish.epoch is not None and wish.epoch != leader.epoch:
        return OutcomeKind.REFUSED, f"the epoch is {leader.epoch}, not {wish.epoch}", LOOK, None
    if wish.node in {None, own} and not leader.active:
        if wish.epoch is None and mode is Mode.MANUAL:
            text = f"in manual mode a promote names the epoch that you saw: {leader.epoch}"
            return OutcomeKind.REFUSED, text, "look at `meltica status`, then give it with --epoch", None
        once = f", once this is over: {leader.why_not}" if leader.why_not else ""
        return OutcomeKind.DONE, f"{own} would take over itself{once}", "", own
    to = wish.node or group.best()
    if to is None:
        why = "; ".join(f"{one.name}: {one.why_not}" for one in members if one.name != own)
        return OutcomeKind.REFUSED, f"no standby is promotable ({why})", LOOK, None
    why = next((one.why_not for one in members if one.name == to), "unknown")
    if why:
        return OutcomeKind.REFUSED, f"{to} is not promotable: {why}", _instead(group, to), None
    return OutcomeKind.DONE, f"{own} would hand over to {to}", "", to


def _instead(group: Group, wanted: str) -> str:
    other = group.best()
    if other is None:
        return f"no other standby is promotable either: {LOOK}"
    return f"promote {other} instead, or mend {wanted} first"
