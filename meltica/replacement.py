"""Replacement: the next step by which a new node takes another's place, on the leader, by an operator's hand.

Only that may live here: which step it is, asked of `cluster.replacing`, whether it may be done now, its record in the
audit trail, and what an operator is told.  It remembers nothing: the step is told by the configuration in force, so
whoever asks again, of whichever leader, goes on where it stands; and what was done is not done twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import trio
from attrs import evolve, frozen

from cluster import hosts
from cluster.members import AddLearner, Change, Configuration, Ground, Member, NotYet, Promote, Refused, Remove
from cluster.replacing import Waits, came_last, give_up, next_step, way
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
_END: Final = (
    "Let that replacement end (who began it gives the same command again), or take {0} out again "
    "(`meltica cluster replace OLD --with {0} --give-up`)"
)
LOOK: Final = "look at `meltica cluster status`; " + AGAIN
REQUEST: Final = 48  # characters of a request id, so that a step's name fits behind it
HEAD: Final = 23  # of a longer one, before a hash of all of it


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
            hosts.split(wish.address)
            self._check_new(wish, members)
            if dry_run:
                return await self._planned(wish, members, new)
            ground = self.cluster.ground()
            change = next_step(
                members,
                Peer(wish.old),
                new,
                healthy=ground.healthy,
                caught_up=ground.caught_up & ground.healthy,
                vacant=self._vacant(members),
            )
            return await self._do(wish, by, change, ground, members)
        except ValueError as error:
            return ActionOutcome(OutcomeKind.REFUSED, str(error), "correct it")
        except Refused as refused:
            return self._told(
                wish, OutcomeKind.REFUSED, "refused", str(refused), LOOK, passing=isinstance(refused, NotYet)
            )

    def _check_new(self, wish: ReplaceNode, members: Configuration) -> None:
        """How many vote is a new node's to change for as long as its replacement takes, and nobody else's.

        One that votes already, and not since a step of this replacement, takes nobody's place: one would be lost.  One
        that does not vote takes no place that is not there: that of a learner, that of a removed node which another
        has taken, or one while a vote is too many: there would be one vote too many for good.  While one is missing no
        voter goes: it would be missing for good.
        """
        old_votes, many = wish.old in members.voting, len(members.voters)
        if wish.new in members.voting:
            if wish.old in members.removed:
                self._check_over(wish, members)
            elif not (came_last(members, Peer(wish.new)) and many > self.size):
                self._taken_for_new(wish, members)
            return
        if wish.old in members.learning and many >= self.size:
            raise Refused(
                f"{wish.old} does not vote, so there is no place of its to take: end what was begun for it "
                f"(`meltica cluster replace OLD --with {wish.old} --give-up`), and put {wish.new} in OLD's place"
            )
        if wish.old in members.removed and wish.new in members.learning and many >= self.size:
            raise Refused(
                f"{wish.old}'s place is taken: {', '.join(members.voting)} vote, as many as should, and "
                f"{_newest(members)} came last.  Put {wish.new} in "
                f"the place of one of them, or take it out again ({_give_up_of(wish.old, wish.new)})"
            )
        if many > self.size:
            raise NotYet(
                f"{many} nodes vote where {self.size} should: {_newest(members)} is on its way into another's place, "
                f"which was not removed yet.  {_END.format(_newest(members))}"
            )
        waiting = [name for name in members.learning if name != wish.new]
        if old_votes and many < self.size and waiting:
            raise NotYet(
                f"{many} nodes vote where {self.size} should: {', '.join(waiting)} is on its way into the place of one "
                f"that was removed.  Let that replacement end, or put {wish.new} in the place of {waiting[0]}"
            )
        if old_votes and many < self.size and members.removed:
            raise Refused(
                f"{many} nodes vote where {self.size} should, so no voter goes: put {wish.new} in the place of one "
                f"that was removed (`meltica cluster replace {members.removed[-1]} --with {wish.new}`)"
            )

    def _check_over(self, wish: ReplaceNode, members: Configuration) -> None:
        """NEW votes, and OLD was removed.  Raises Refused unless as many vote as should."""
        many, says = len(members.voters), f"{wish.new} has taken {wish.old}'s place, and "
        says += f"{many} nodes vote where {self.size} should"
        if many > self.size:
            newest = _newest(members)
            raise NotYet(f"{says}: {newest} is one too many.  {_END.format(newest)}")
        if many < self.size and members.learning:
            raise NotYet(f"{says}: {', '.join(members.learning)} learns, and will vote")
        if many < self.size:
            raise Refused(
                f"{says}, and nobody learns: put a new node in the place of one that was removed "
                f"(`meltica cluster replace {wish.old} --with ANOTHER`)"
            )

    def _vacant(self, members: Configuration) -> bool:
        """Whether a vote is missing that nobody is on the way to."""
        return len(members.voters) < self.size and not members.learners

    def _taken_for_new(self, wish: ReplaceNode, members: Configuration) -> None:
        """NEW votes, and not since a step of this replacement.  Raises Refused; a learner that is left over may go."""
        if wish.old in members.learning and members.newest == wish.new and len(members.voters) >= self.size:
            return
        says = f"{wish.new} votes already, and not in {wish.old}'s place: a new node needs a name that none ever had"
        if len(members.voters) > self.size:
            newest = _newest(members)
            says = (
                f"{wish.new} votes already, and not in {wish.old}'s place: {newest} is the one that is on its way into "
                f"another's.  {_END.format(newest)}"
            )
        raise Refused(says)

    def _unfit(self, wish: ReplaceNode) -> str:
        """Why NEW can't trade in OLD's place, which can; "" where it can, or where OLD can't either."""
        seen = {one.name: one for one in self.group.members(self.leader.status().why_not)}
        old = seen.get(wish.old)
        return self._word(wish.new) if old is not None and old.promotable else ""

    def _word(self, new: str) -> str:
        """Why NEW is not fit to trade, by its own word, its vote and what it lacks of the log apart."""
        return self.leader.status().why_not if new == self.group.node else self.group.word_of(new)

    async def _do(
        self, wish: ReplaceNode, by: By, change: Change | Waits | None, ground: Ground, members: Configuration
    ) -> ActionOutcome:
        if change is None:
            settled = ground.commit >= ground.placed
            says = (
                f"{wish.new} has taken {wish.old}'s place" if settled else f"the removal of {wish.old} is not committed"
            )
            return self._told(wish, OutcomeKind.DONE, "done" if settled else "waits", says, done=settled)
        if isinstance(change, Waits):
            return self._told(wish, OutcomeKind.DONE, "catches_up", self._how_far(wish.new))
        if isinstance(change, AddLearner) and (trouble := await self.cluster.reach(change.member)):
            return self._told(wish, OutcomeKind.REFUSED, "refused", trouble, PREPARE, passing=True)
        if not isinstance(change, AddLearner) and (why := self._unfit(wish)):
            says = f"{wish.old} is fit to trade, and {wish.new} is not: {why}.  {wish.old} stays until {wish.new} is"
            return self._told(wish, OutcomeKind.REFUSED, "refused", says, LOOK, passing=True)
        if isinstance(change, Remove) and change.name == ground.leader:
            return await self._hand_over(wish, by)
        return await self._make(wish, by, change, step_of(change), members)

    async def _make(
        self, wish: ReplaceNode, by: By, change: Change, step: str, members: Configuration
    ) -> ActionOutcome:
        """Note it, then make it, if what it was judged by is still so.  Raises Refused."""
        noted = await self._asked(leader_ports.Order(_note(wish, by, step)))
        if not isinstance(noted, leader_ports.Done):
            return self._unnoted(wish, noted)
        if self.cluster.members != members:  # no change comes between this and the next line: it is asked for at once
            raise NotYet("who takes part has changed meanwhile: another replacement is under way")
        return self._came(wish, step, await self.cluster.change(change))

    def _came(self, wish: ReplaceNode, step: str, outcome: Outcome) -> ActionOutcome:
        if isinstance(outcome, Applied):
            says, following, index = says_of(step, wish), "", int(outcome.index)
            over, members = step == GIVEN_UP, self.cluster.members
            if over:
                says, following = f"{says}: {', '.join(() if members is None else members.voting)} vote on", STOP_IT
            return self._told(wish, OutcomeKind.DONE, step, says, following, index=index, done=over)
        if isinstance(outcome, NotLeader):
            return ActionOutcome(OutcomeKind.NO_LEADER, "the lead was lost before this step", AGAIN)
        return ActionOutcome(OutcomeKind.UNKNOWN, f"this step may still be done: {outcome}", AGAIN)

    async def _give_up(self, wish: ReplaceNode, by: By, members: Configuration, *, dry_run: bool) -> ActionOutcome:
        """The new node goes; who votes beside it votes on.  Raises Refused."""
        change = give_up(members, Peer(wish.new), self.size)
        if change is None:
            return self._told(wish, OutcomeKind.DONE, GIVEN_UP, f"{wish.new} takes part no more", STOP_IT, done=True)
        if dry_run:
            which = "one vote too many" if wish.new in members.voting else "which does not vote yet"
            stays = [name for name in members.voting if name != wish.new]
            says = f"{wish.new}, {which}, would be removed, for ever; {', '.join(stays)} would vote on"
            return self._told(wish, OutcomeKind.DONE, "planned", says, plan=[f"{wish.new} is removed, for ever"])
        at = next(one.address for one in (*members.learners, *members.voters) if one.name == wish.new)
        return await self._make(evolve(wish, address=at), by, change, GIVEN_UP, members)

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
        changes = way(members, Peer(wish.old), new, healthy=self.cluster.ground().healthy, vacant=self._vacant(members))
        if changes and isinstance(changes[0], AddLearner) and (trouble := await self.cluster.reach(new)):
            return self._told(wish, OutcomeKind.REFUSED, "refused", trouble, PREPARE)
        plan = plan_of(changes, wish, self.group.node, manual=self.mode() is Mode.MANUAL)
        says = "; then ".join(plan) or f"nothing is left to do: {wish.new} has taken {wish.old}'s place"
        joined = wish.new in {*members.voting, *members.learning}
        word = self._word(wish.new) if joined and changes else ""
        if word:
            stays = f": {wish.old} stays until it is" if self._unfit(wish) else ""
            says = f"{says}.  {wish.new} is not fit to trade: {word}{stays}"
        return self._told(wish, OutcomeKind.DONE, "planned", says, plan=plan, new_says=word if joined else None)

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
        GIVEN_UP: f"{wish.new} was removed, for ever",
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


def _newest(members: Configuration) -> str:
    return members.newest or "one of them"


def _give_up_of(old: str, new: str) -> str:
    return f"`meltica cluster replace {old} --with {new} --give-up`"


def _short(request: str) -> str:
    """A request id with room for a step's name behind it; two ids never come to the same."""
    if len(request) <= REQUEST:
        return request
    return f"{request[:HEAD]}.{hashlib.sha256(request.encode()).hexdigest()[: REQUEST - HEAD - 1]}"


def _note(wish: ReplaceNode, by: By, step: str) -> MembersAsked:
    """A record of its own for each step: a retry of one is the same."""
    hand = evolve(by, request=RequestId(f"{_short(by.request)}.{step}"))
    return MembersAsked(Epoch(0), Nanos(0), NodeName(wish.old), NodeName(wish.new), wish.address, step, hand)
