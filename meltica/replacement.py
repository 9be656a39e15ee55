"""Replacement: the next step by which a new node takes another's place, on the leader, by an operator's hand.

Only that may live here: which step it is, asked of `cluster.replacing`, whether it may be done now, its record in the
audit trail, and what an operator is told.  It remembers nothing: the step is told by the configuration in force, so
whoever asks again, of whichever leader, goes on where it stands; and what was done is not done twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import trio
from attrs import evolve, frozen

from cluster.members import AddLearner, Change, Configuration, Ground, Member, NotYet, Promote, Refused, Remove
from cluster.replacing import Waits, give_up, next_step, way
from cluster.types import Applied, NotLeader, Outcome, Peer, Role, Status
from meltica.api.ports import ActionOutcome, OutcomeKind, ReplaceNode
from meltica.core.commands import By, MembersAsked
from meltica.core.values import Epoch, Mode, Nanos, NodeName, RequestId
from meltica.founding import members_document
from meltica.group import Group
from meltica.group import Member as Seen
from meltica.leader import ports as leader_ports
from meltica.leader.leader import Leader

AGAIN: Final = "give the same command again: it goes on where it stands"
PREPARE: Final = (
    "start it (`meltica cluster prepare` makes its folder), or correct --address; runbooks/replace-a-node.md"
)
GIVEN_UP: Final = "given_up"
STOP_IT: Final = "stop it, and give its folder up: another new node needs another name"
LOOK: Final = "look at `meltica cluster status`; " + AGAIN
REQUEST: Final = 48  # characters of a request id, so that a step's name fits behind it


class MembersPort(Protocol):
    """Replication, as a replacement needs it: `cluster.driver.ClusterNode`."""

    @property
    def members(self) -> Configuration | None:
        """Who takes part, by what is in force; None where that never changes."""
        ...

    def status(self) -> Status:
        """Now."""
        ...

    def ground(self) -> Ground:
        """What a change would be judged by now."""
        ...

    async def reach(self, member: Member) -> str:
        """Why this node and that one, which does not take part yet, can't speak with each other; "" if they can."""
        ...

    async def change(self, change: Change) -> Outcome:
        """Change who takes part, and wait until that is committed; raises Refused."""
        ...


@frozen
class Replacement:
    """See the module."""

    cluster: MembersPort
    leader: Leader
    group: Group
    mode: Callable[[], Mode]
    size: int  # voters that the cluster was founded with: one more while a node is being replaced

    async def step(self, wish: ReplaceNode, by: By, *, dry_run: bool = False) -> ActionOutcome:
        """Do the next step, or say which it would be and what comes then; `detail` says where the replacement stands.

        `detail["done"]`: the new node has taken the old one's place.  `detail["passing"]`, of what is refused: it will
        be over by itself.
        """
        members = self.cluster.members
        status = self.cluster.status()
        if status.role is not Role.LEADER:
            instead = f": {status.leader} does" if status.leader not in {None, self.group.node} else ""
            says = f"{self.group.node} does not lead{instead}"
            return ActionOutcome(OutcomeKind.NO_LEADER, says, "ask again in a moment")
        if members is None:
            return ActionOutcome(OutcomeKind.REFUSED, "this cluster's nodes know each other by name alone")
        try:
            if wish.give_up:
                return await self._give_up(wish, by, members, dry_run=dry_run)
            new = Member(Peer(wish.new), wish.address)
            self._check_new(wish, members)
            if dry_run:
                return await self._planned(wish, members, new)
            ground = self.cluster.ground()
            change = next_step(
                members, Peer(wish.old), new, healthy=ground.healthy, caught_up=ground.caught_up & ground.healthy
            )
            return await self._do(wish, by, change, ground, new)
        except ValueError as error:
            return ActionOutcome(OutcomeKind.REFUSED, str(error), "correct it")
        except Refused as refused:
            return self._told(
                wish, OutcomeKind.REFUSED, "refused", str(refused), LOOK, passing=isinstance(refused, NotYet)
            )

    def _check_new(self, wish: ReplaceNode, members: Configuration) -> None:
        """One that votes already, and not since a step of this replacement, takes nobody's place: one would be lost.

        Nor does one take the place of a learner while nobody's vote is missing: there would be one vote too many.
        """
        both = {wish.old, wish.new} <= {*members.voting}
        if both and len(members.voters) <= self.size:
            raise Refused(
                f"{wish.new} votes already, and not in {wish.old}'s place: a new node needs a name that none ever had"
            )
        idle = wish.old in members.learning and wish.new not in members.voting
        if idle and len(members.voters) >= self.size:
            raise Refused(
                f"{wish.old} does not vote, so there is no place of its to take: end what was begun for it "
                f"(`meltica cluster replace OLD --with {wish.old} --give-up`), and put {wish.new} in OLD's place"
            )

    async def _do(
        self, wish: ReplaceNode, by: By, change: Change | Waits | None, ground: Ground, new: Member
    ) -> ActionOutcome:
        if change is None:
            settled = ground.commit >= ground.placed
            says = (
                f"{wish.new} has taken {wish.old}'s place" if settled else f"the removal of {wish.old} is not committed"
            )
            return self._told(wish, OutcomeKind.DONE, "done" if settled else "waits", says, done=settled)
        if isinstance(change, Waits):
            return self._told(wish, OutcomeKind.DONE, "catches_up", self._how_far(wish.new))
        if isinstance(change, Remove) and change.name == ground.leader:
            return await self._hand_over(wish, by)
        if isinstance(change, AddLearner) and (trouble := await self.cluster.reach(new)):
            return self._told(wish, OutcomeKind.REFUSED, "refused", trouble, PREPARE, passing=True)
        step = step_of(change)
        noted = await self._asked(leader_ports.Order(_note(wish, by, step)))
        if not isinstance(noted, leader_ports.Done):
            return self._unnoted(wish, noted)
        return self._came(wish, step, await self.cluster.change(change))

    def _came(self, wish: ReplaceNode, step: str, outcome: Outcome) -> ActionOutcome:
        if isinstance(outcome, Applied):
            over = step == GIVEN_UP
            following, index = STOP_IT if over else "", int(outcome.index)
            return self._told(wish, OutcomeKind.DONE, step, says_of(step, wish), following, index=index, done=over)
        if isinstance(outcome, NotLeader):
            return ActionOutcome(OutcomeKind.NO_LEADER, "the lead was lost before this step", AGAIN)
        return ActionOutcome(OutcomeKind.UNKNOWN, f"this step may still be done: {outcome}", AGAIN)

    async def _give_up(self, wish: ReplaceNode, by: By, members: Configuration, *, dry_run: bool) -> ActionOutcome:
        """The learner goes; `old` votes on.  Raises Refused."""
        change = give_up(members, Peer(wish.old), Peer(wish.new))
        if change is None:
            return self._told(wish, OutcomeKind.DONE, GIVEN_UP, f"{wish.new} takes part no more", STOP_IT, done=True)
        if dry_run:
            says = f"{wish.new}, which does not vote yet, would be removed, for ever; {wish.old} would stay"
            return self._told(wish, OutcomeKind.DONE, "planned", says, plan=[f"{wish.new} is removed, for ever"])
        at = next(one.address for one in members.learners if one.name == wish.new)
        noted = await self._asked(leader_ports.Order(_note(evolve(wish, address=at), by, GIVEN_UP)))
        if not isinstance(noted, leader_ports.Done):
            return self._unnoted(wish, noted)
        return self._came(wish, GIVEN_UP, await self.cluster.change(change))

    async def _hand_over(self, wish: ReplaceNode, by: By) -> ActionOutcome:
        """The leader is not removed: it hands over first, as by a promote, with all that this means for trading."""
        if self.mode() is Mode.MANUAL:
            says = f"{wish.old} leads, and who takes over is an operator's to say"
            following = "promote another node (`meltica promote`), then give the same command again"
            return self._told(wish, OutcomeKind.REFUSED, "refused", says, following)
        to = self.group.best()
        if to is None:
            why = "; ".join(f"{one.name}: {one.why_not}" for one in self.group.others() if not one.promotable)
            says = f"{wish.old} leads, and no other node could take over ({why})"
            return self._told(wish, OutcomeKind.REFUSED, "refused", says, LOOK, passing=True)
        result = await self._asked(leader_ports.Promote(by, NodeName(to), None))
        if isinstance(result, leader_ports.Done):
            return self._told(wish, OutcomeKind.DONE, "hands_over", f"{wish.old} leads: it hands over to {to} first")
        return self._unnoted(wish, result)

    def _unnoted(self, wish: ReplaceNode, result: leader_ports.ActionResult) -> ActionOutcome:
        if isinstance(result, leader_ports.Refused):
            return self._told(wish, OutcomeKind.REFUSED, "refused", result.text, LOOK, passing=True)
        if isinstance(result, leader_ports.NotActive):
            return ActionOutcome(OutcomeKind.NO_LEADER, "the lead was lost before this step", AGAIN)
        return ActionOutcome(OutcomeKind.UNKNOWN, f"nothing of this step is known: {result}", AGAIN)

    async def _asked(self, action: leader_ports.OperatorAction) -> leader_ports.ActionResult:
        found: list[leader_ports.ActionResult] = []
        heard = trio.Event()

        def on_result(result: leader_ports.ActionResult) -> None:
            found.append(result)
            heard.set()

        self.leader.act(action, on_result)
        await heard.wait()
        return found[0]

    async def _planned(self, wish: ReplaceNode, members: Configuration, new: Member) -> ActionOutcome:
        changes = way(members, Peer(wish.old), new, healthy=self.cluster.ground().healthy)
        if changes and isinstance(changes[0], AddLearner) and (trouble := await self.cluster.reach(new)):
            return self._told(wish, OutcomeKind.REFUSED, "refused", trouble, PREPARE)
        plan = plan_of(changes, wish, self.group.node, manual=self.mode() is Mode.MANUAL)
        says = "; then ".join(plan) or f"nothing is left to do: {wish.new} has taken {wish.old}'s place"
        return self._told(wish, OutcomeKind.DONE, "planned", says, plan=plan)

    # --- telling ----------------------------------------------------------------------------------------------

    def _how_far(self, new: str) -> str:
        seen = self._seen(new)
        if seen is None or not seen.connected:
            return f"{new} is not connected: start it, and read its log"
        if seen.needs_snapshot:
            return f"{new} is sent a snapshot: `meltica cluster status` shows how much of it has come"
        behind = f"{seen.lag_entries:,} entries, {seen.lag_ms:,} ms" if seen.lag_entries else "next to nothing"
        return f"{new} catches up: it is behind by {behind}"

    def _seen(self, name: str) -> Seen | None:
        return next((one for one in self.group.others() if one.name == name), None)

    def _told(
        self,
        wish: ReplaceNode,
        kind: OutcomeKind,
        step: str,
        says: str,
        following: str = "",
        *,
        index: int | None = None,
        **more: object,
    ) -> ActionOutcome:
        seen, members = self._seen(wish.new), self.cluster.members
        detail: dict[str, object] = {
            "step": step,
            "done": False,
            "old": wish.old,
            "new": wish.new,
            "lag_entries": None if seen is None else seen.lag_entries,
            "lag_ms": None if seen is None else seen.lag_ms,
            "members": None if members is None else members_document(members),
            **more,
        }
        return ActionOutcome(kind, says, following, index, detail)


def step_of(change: Change) -> str:
    """A change's name, for programs."""
    if isinstance(change, AddLearner):
        return "learns"
    return "votes" if isinstance(change, Promote) else "removed"


def says_of(step: str, wish: ReplaceNode) -> str:
    """The same for people, of what was done."""
    return {
        "learns": f"{wish.new} gets the log from now on, and counts for nothing yet",
        "votes": f"{wish.new} votes",
        "removed": f"{wish.old} was removed, for ever",
        GIVEN_UP: f"{wish.new} was removed, for ever, before it voted; {wish.old} stays",
    }[step]


def plan_of(changes: Sequence[Change], wish: ReplaceNode, leader: str, *, manual: bool) -> list[str]:
    """What is to come, for people; `manual`: who takes over is theirs to say."""
    plan = []
    leaves = f"{leader} hands over to another node"
    if manual:
        leaves = f"{leader} leads, in manual mode: you promote another node, and give the command again"
    for change in changes:
        if isinstance(change, AddLearner):
            plan += [f"{wish.new} at {wish.address} gets the log", f"{wish.new} catches up"]
        elif isinstance(change, Promote):
            plan.append(f"{wish.new} votes")
        else:
            plan += [leaves] if change.name == leader else []
            plan.append(f"{wish.old} is removed, for ever")
    return plan


def _note(wish: ReplaceNode, by: By, step: str) -> MembersAsked:
    """A record of its own for each step: a retry of one is the same."""
    hand = evolve(by, request=RequestId(f"{by.request[:REQUEST]}.{step}"))
    return MembersAsked(Epoch(0), Nanos(0), NodeName(wish.old), NodeName(wish.new), wish.address, step, hand)
