"""Approvals: what approving a build with a configuration would mean to the nodes that there are, and why it may not be.

Pure.  Only that judgement may live here, on what the log was told of each node (`meltica version show` shows the same)
and who takes part now: what a dead node was is remembered, and a learner has no vote, so neither can take over.  A pair
that no node has lets nobody trade, and one slip in a digest makes such a pair: so it is taken only from somebody who
says that the nodes will have it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import frozen

from cluster.types import Status
from meltica.api.ports import ActionOutcome, ApproveBuild, OutcomeKind
from meltica.core.apply_upgrades import MAX_APPROVALS
from meltica.core.commands import NodeReport
from meltica.core.state import State

DIGITS: Final = 64  # of a configuration's SHA-256, in hex
SHOWN: Final = 12  # of these, in a sentence
ALIKE: Final = 6  # so many equal digits at the beginning are no accident
COPY: Final = "copy the build and all 64 digits of the configuration from `meltica version show`"
LATER: Final = "for a build that is still to be rolled out: --in-advance (runbooks/upgrade.md)"
BESIDE: Final = "approve it beside the others, roll it out, and withdraw the others at the end (runbooks/upgrade.md)"
FULL: Final = (
    "{0} approvals are kept, and this pair's is the oldest: approve it again first, which makes it the newest: "
    "`meltica version approve {1} {2}`; then this one withdraws another"
)
NOT_CONNECTED: Final = "which is not connected"
NO_VOTE: Final = "which has no vote"
WENT_BACK: Final = "whose disk went back"

Away = Mapping[str, str]  # nodes that can't take over now, whatever is approved, and why


@frozen
class Outlook:
    """Which nodes have what is to be approved, which may trade then, and which that may now may no more."""

    have: tuple[str, ...]
    may: tuple[str, ...]  # of those that take part now
    lose: tuple[str, ...]
    later: tuple[str, ...] = ()  # may too, and do not take part now


def away(crew: Sequence[NodeReport], status: Status) -> Away:
    """Those of the crew that the leader, whose status this is, has no link to, or that have no vote."""
    why = {str(status.name): "" if status.votes else NO_VOTE}
    for peer in status.peers:
        said = "" if peer.votes else NO_VOTE
        why[str(peer.name)] = NOT_CONNECTED if not peer.connected else WENT_BACK if peer.lost else said
    found = {str(one.node): why.get(str(one.node), NOT_CONNECTED) for one in crew}
    return {name: said for name, said in found.items() if said}


def refusal(wish: ApproveBuild, state: State, status: Status) -> ActionOutcome | None:
    """Why it may not be approved; None: it may.  `status`: of the node that is asked, which leads."""
    found = planned(wish, state, status)
    return None if found.kind is OutcomeKind.DONE else found


def planned(wish: ApproveBuild, state: State, status: Status) -> ActionOutcome:
    """What approving it would do; `detail` names the nodes."""
    crew = state.crew.nodes
    gone = away(crew, status)
    outlook = outlook_of(wish, state, gone)
    refused = _refused(wish, crew, outlook, gone)
    text, following = refused or (_told(wish, crew, outlook, gone, str(status.name)), "")
    kind = OutcomeKind.REFUSED if refused else OutcomeKind.DONE
    detail = {"have": list(outlook.have), "may_trade": list(outlook.may), "may_no_more": list(outlook.lose)}
    return ActionOutcome(kind, text[:1000], following, detail={**detail, "may_later": list(outlook.later)})


def outlook_of(wish: ApproveBuild, state: State, gone: Away) -> Outlook:
    """Of every node that was heard."""
    heard = [one for one in state.crew.nodes if one.build]
    approved = _approved(wish, state)
    may = [one for one in heard if _pair(one) in approved]
    lose = [one for one in heard if one not in may and state.approved.covers(one.build, one.config)]
    return Outlook(
        have=_names([one for one in heard if _pair(one) == _wanted(wish)]),
        may=tuple([name for name in _names(may) if name not in gone]),
        lose=_names(lose),
        later=tuple([name for name in _names(may) if name in gone]),
    )


def _approved(wish: ApproveBuild, state: State) -> set[tuple[str, str]]:
    """What may trade then: the log keeps the newest few (`core.apply_upgrades.approve_build`)."""
    others = [(one.build, one.config) for one in state.approved.approvals]
    others = [one for one in others if one != _wanted(wish)]
    return {_wanted(wish), *([] if wish.only else others[-(MAX_APPROVALS - 1) :])}


def _refused(wish: ApproveBuild, crew: Sequence[NodeReport], outlook: Outlook, gone: Away) -> tuple[str, str] | None:
    """Why, and what to do."""
    if not outlook.have and not (wish.in_advance and re.fullmatch(f"[0-9a-f]{{{DIGITS}}}", wish.config)):
        then = "with --only nobody could trade" if wish.only else "it would let no node take over"
        text = f"no node has {_shown(*_wanted(wish))}{_slip(wish, crew)}: {_running(crew)}; approved, {then}"
        return text, COPY if wish.in_advance else f"{COPY}; {LATER}"
    if _leaves_nobody(outlook, gone):
        then = f"nobody could trade{_and_later(outlook, gone)}"
        text = f"this withdraws what {_marked(outlook.lose, gone)} may trade by, and {then}: {_running(crew)}"
        return text, BESIDE if wish.only else _way_out(crew, outlook)
    return None


def _leaves_nobody(outlook: Outlook, gone: Away) -> bool:
    """Whether somebody could trade, and then nobody.  Where nobody could now, who may later counts: what mends a
    cluster in which nobody is fit is not held up by what makes that no worse.
    """
    if outlook.may or not outlook.lose:
        return False
    return not outlook.later or any(name not in gone for name in outlook.lose)


def _way_out(crew: Sequence[NodeReport], outlook: Outlook) -> str:
    """One pair goes, the oldest: only the newest few are kept."""
    lost = next(one for one in crew if one.node in outlook.lose)
    return FULL.format(MAX_APPROVALS, lost.build, lost.config)


def _told(wish: ApproveBuild, crew: Sequence[NodeReport], outlook: Outlook, gone: Away, leader: str) -> str:
    """What would come of it, for people."""
    told = [f"{_shown(*_wanted(wish))} would be approved{' alone' if wish.only else ''}"]
    told.append(f"had by {_marked(outlook.have, gone)}" if outlook.have else f"no node has it yet: {_running(crew)}")
    if not any(one.config == wish.config for one in crew):
        told.append("nor does any have this configuration: compare all 64 digits")
    if outlook.lose:
        told.append(f"{_marked(outlook.lose, gone)} MAY TRADE NO MORE")
    if leader in outlook.lose:
        told.append(f"{leader} leads now, and hands over within seconds, if another is fit")
    if outlook.lose and not [one for one in outlook.may if one != leader]:
        told.append(f"NO STANDBY COULD TAKE OVER from {leader}{_and_later(outlook, gone)}")
    return "; ".join(told)


def _and_later(outlook: Outlook, gone: Away) -> str:
    return f" now; {_marked(outlook.later, gone)} could later" if outlook.later else ""


def _marked(names: Sequence[str], gone: Away) -> str:
    """With why those of them that are away are."""
    return _list([f"{name} ({gone[name]})" if name in gone else name for name in names])


def _slip(wish: ApproveBuild, crew: Sequence[NodeReport]) -> str:
    """Where a digest begins as a node's, and goes on otherwise or not at all."""
    for one in crew:
        alike = next((at for at, (a, b) in enumerate(zip(wish.config, one.config, strict=False)) if a != b), None)
        if alike is not None and alike >= ALIKE:
            return f", which differs from that of {one.node} from digit {alike + 1} on"
        if alike is None and one.config != wish.config and min(len(wish.config), len(one.config)) >= ALIKE:
            return f", which has {len(wish.config)} of the {len(one.config)} digits of that of {one.node}"
    return ""


def _running(crew: Sequence[NodeReport]) -> str:
    """Who has what."""
    found: dict[tuple[str, str], list[NodeReport]] = {}
    for one in crew:
        found.setdefault(_pair(one), []).append(one)
    told = [
        f"{_having(_names(nodes))} {_shown(*pair)}" if pair[0] else f"nobody has heard of {_list(_names(nodes))}"
        for pair, nodes in sorted(found.items(), reverse=True)
    ]
    return ", ".join(told) or "no node has reported what it is yet"


def _having(names: Sequence[str]) -> str:
    return f"{_list(names)} {'has' if len(names) == 1 else 'have'}"


def _pair(one: NodeReport) -> tuple[str, str]:
    return one.build, one.config


def _wanted(wish: ApproveBuild) -> tuple[str, str]:
    return wish.build, wish.config


def _shown(build: str, config: str) -> str:
    return f"build {build} with configuration {config[:SHOWN]}{'…' if len(config) > SHOWN else ''}"


def _names(nodes: Sequence[NodeReport]) -> tuple[str, ...]:
    return tuple([str(one.node) for one in nodes])


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)
