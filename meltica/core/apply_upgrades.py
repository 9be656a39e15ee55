"""Upgrades and faults: which nodes there are, which version of apply decides, which builds trade, what was isolated.

Only the application of those commands, and the passing of an isolated entry, may live here; and, as it is of the nodes
too, the record of who asked for a change of who takes part (which replication makes, beside these commands).

An entry whose apply raises stops every node before it.  It is passed once two roles have said so, each by a `SkipEntry`
of its index and digest that was committed behind it; the nodes search for these while they stand (`meltica.machine`).
So a `SkipEntry` has done its work when it is applied itself: what is left is to refuse one that names an entry which
was applied like any other, and to halt trading for one that did not: somebody must look at what that entry would have
said before trading goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import evolve

from meltica.core.commands import ActivateVersion, ApproveBuild, MembersAsked, NodesReported, SkipEntry
from meltica.core.events import Rejection
from meltica.core.halting import add_halt
from meltica.core.records import MAX_LATE, Approval, ApprovedRecord, CrewRecord, IsolatedRecord
from meltica.core.risk import HaltRecord, short
from meltica.core.rules import TooOld
from meltica.core.state import State
from meltica.core.turn import Turn
from meltica.core.values import NodeName

OPERATOR: Final = "operator"
APPROVER: Final = "approver"
ROLES: Final = (OPERATOR, APPROVER)
CAUSE: Final = "entry_isolated"
MAX_NODES: Final = 16
MAX_APPROVALS: Final = 8


def nodes_reported(turn: Turn, command: NodesReported) -> Rejection | None:
    """These are the cluster's nodes from here on, and this is what they are."""
    names = [one.node for one in command.nodes]
    if not names or len(names) > MAX_NODES or names != sorted(set(names)):
        return Rejection("bad_report", f"1 to {MAX_NODES} nodes, sorted, each once")
    nodes = tuple([evolve(one, build=short(one.build), config=short(one.config)) for one in command.nodes])
    turn.state.put_crew(CrewRecord(nodes))
    _came(turn.state, names)
    return None


def _came(state: State, names: Sequence[NodeName]) -> None:
    """Who is new takes part in every epoch that may still be somebody's, behind all that were there before."""
    for epoch in list(state.epochs.values()):
        new = [name for name in names if name not in epoch.members and name not in epoch.late]
        late = (*epoch.late, *new)[:MAX_LATE]
        if late != epoch.late:
            state.amend_epoch(evolve(epoch, late=late))


def activate_version(turn: Turn, command: ActivateVersion) -> Rejection | None:
    """Apply decides by the next version from the next command on.

    Raises TooOld where this build does not have it: the nodes reported that they do, so this one was replaced since.
    """
    state = turn.state
    if command.version != state.version + 1:
        return Rejection("bad_version", f"version {state.version} decides: the next one is {state.version + 1}")
    if not state.crew.nodes:
        return Rejection("not_reported", "no node has reported which versions it has")
    for one in state.crew.nodes:
        if not one.oldest <= command.version <= one.newest:
            have = f"build {one.build} has versions {one.oldest} to {one.newest}" if one.build else "it was not heard"
            return Rejection("not_supported", f"{one.node} does not have version {command.version}: {have}")
    if command.version not in turn.rules.rooms:
        raise TooOld(command.version, command.build, turn.rules.newest)
    state.version = command.version
    return None


def approve_build(turn: Turn, command: ApproveBuild) -> Rejection | None:
    """A build with a configuration may trade."""
    state = turn.state
    before = state.approved.approvals
    if command.by is None and before:
        return Rejection("needs_operator", "what may trade is approved already: only an operator may add to it")
    if not command.build or not command.config:
        return Rejection("bad_approval", "a build and a configuration digest are needed")
    actor = "" if command.by is None else short(command.by.actor)
    new = Approval(short(command.build), short(command.config), turn.index, actor)
    others = [one for one in before if (one.build, one.config) != (new.build, new.config)]
    kept = [] if command.only else others[-(MAX_APPROVALS - 1) :]
    state.put_approved(ApprovedRecord((*kept, new)))
    return None


def skip_entry(turn: Turn, command: SkipEntry) -> Rejection | None:
    """Its entry was isolated, or it has no effect at all."""
    record = turn.state.isolated.get(command.index)
    if record is None:
        return Rejection("not_stopped", f"entry {command.index} was applied like any other, or is not there yet")
    if record.digest != command.digest:
        return Rejection("other_entry", f"entry {command.index} has another digest: {record.digest}")
    reason = f"entry {command.index} was isolated: {command.by.reason}"
    add_halt(turn, HaltRecord(CAUSE, turn.index, turn.state.clock, actor=command.by.actor, reason=reason))
    return None


def members_asked(_turn: Turn, command: MembersAsked) -> Rejection | None:
    """Nothing of the state: it is on record who wanted it, and why."""
    if command.old == command.new:
        return Rejection("bad_members", "one node takes another's place")
    return None


def isolate(turn: Turn, digest: str, commands: Sequence[bytes]) -> None:
    """This entry is passed: nothing of it is written but that it was."""
    state = turn.state
    state.put_isolated(IsolatedRecord(turn.index, digest, len(commands), state.clock))
