"""Group: what each node of the cluster is good for, as one node knows it.

Only that judgement may live here, on what replication tells and what the others said last; it changes nothing.  The
status, a promote by hand and the choice of a standby share it, so that none of them says otherwise than another.
Only a leader knows how far the others are behind.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from attrs import asdict, define, field, frozen

from cluster.types import AppliedEntry, Installed, PeerStatus, Role, RoleChanged, Status
from meltica.core.values import Nanos
from meltica.leader.fitness import NO_VOTE
from meltica.peers import PeerBoard

MS: Final = 1_000_000
CAUGHT_UP: Final = Nanos(500 * MS)  # behind by less, a node has what it lacks before a hand-over's patience ends
SILENT: Final = "its API does not answer, so nobody knows whether it hears the venues"
REPLACE: Final = "find out why, or replace it: `meltica cluster replace`, runbooks/replace-a-node.md"
REPLACED: Final = 'runbooks/replace-a-node.md, "How many vote"'
LEARNS: Final = "it has no vote yet: it is catching up"
STEP: Final = 10 * MS  # from one remembered entry to the next
KEPT: Final = 6000  # of these: a minute under load


@frozen
class Member:
    """One node.  Lags are behind the leader's log, None where this node can't know them."""

    name: str
    connected: bool
    heard_ms: int | None  # since it was last heard from, by its peer link
    lag_entries: int | None
    lag_ms: int | None  # how old the oldest committed entry is that it lacks
    votes: bool  # it helps to commit, now
    promotable: bool
    why_not: str
    needs_snapshot: bool = False  # it lacks what the leader's log does not hold any more
    learns: bool = False  # it gets the log, and counts for nothing: no loss of it matters, and it can't take over


@define(eq=False)
class Milestones:
    """When this node applied which entry, thinned."""

    _marks: deque[tuple[int, int]] = field(factory=lambda: deque(maxlen=KEPT))  # time, index
    _newest: tuple[int, int] = (0, 0)

    def passed(self, index: int, now: int) -> None:
        """This entry is applied."""
        self._newest = (now, index)
        if not self._marks or now - self._marks[-1][0] >= STEP:
            self._marks.append(self._newest)

    def behind(self, match: int, now: int) -> int:
        """Since when the first entry behind `match` was there, in ns; 0 if there is none.  At least, if long ago."""
        if match >= self._newest[1]:
            return 0
        since = self._newest[0]
        for at, index in reversed(self._marks):
            if index <= match:
                break
            since = at
        return max(0, now - since)


@define(eq=False)
class Group:
    """See the module."""

    node: str
    board: PeerBoard
    status: Callable[[], Status]
    mono: Callable[[], int]
    wall: Callable[[], int]
    size: int | None = None  # how many should vote: as many as founded the cluster
    milestones: Milestones = field(factory=Milestones)
    since_wall: int | None = None  # when this node first knew of the present leader
    _led: tuple[str | None, int] = (None, 0)

    def on_applied(self, entry: AppliedEntry) -> None:
        """Replication applied an entry."""
        self.milestones.passed(int(entry.index), self.mono())

    def on_installed(self, installed: Installed) -> None:
        """It installed a snapshot."""
        self.milestones.passed(int(installed.index), self.mono())

    def on_role(self, change: RoleChanged) -> None:
        """Somebody leads, or nobody."""
        led = (change.leader, int(change.term))
        if led != self._led:
            self._led = led
            self.since_wall = None if change.leader is None else self.wall()

    def others(self) -> list[Member]:
        """Every other node that takes part, by name."""
        status = self.status()
        return [self._other(status, peer, self.board.row(peer.name)) for peer in status.peers]

    def members(self, why_not: str) -> list[Member]:
        """All of them; `why_not`: why this node itself is not promotable, or ""."""
        status = self.status()
        leads = status.role is Role.LEADER
        own = Member(
            self.node,
            connected=True,
            heard_ms=None,
            lag_entries=0 if leads else None,
            lag_ms=0 if leads else None,
            votes=status.votes and status.stalled is None,
            promotable=not why_not,
            why_not=why_not,
            learns=not status.votes,
        )
        return sorted([own, *self.others()], key=lambda one: one.name)

    def best(self) -> str | None:
        """The standby to hand over to: promotable, and the least behind; the lower name of two."""
        row = self.board.row  # who says that it is active was so a second ago, and is not seen as a standby yet
        fit = [one for one in self.others() if one.promotable and not row(one.name).get("active")]
        best = min(fit, key=lambda one: (one.lag_entries or 0, one.name), default=None)
        return None if best is None else best.name

    def word_of(self, name: str) -> str:
        """Why another node is not fit to trade, by its own word, its vote apart; "" if it is fit."""
        row = self.board.row(name)
        if not row.get("reachable", True):
            return self._silent(name)
        word = _own_word(row)
        return "" if word == NO_VOTE else word

    def _silent(self, name: str) -> str:
        """Why nobody knows what it says of itself."""
        wrong = self.board.wrong().get(name)
        return f"{SILENT}: {wrong}" if wrong else SILENT

    def _other(self, status: Status, peer: PeerStatus, row: dict[str, object]) -> Member:
        now = self.mono()
        known = status.role is Role.LEADER
        lag = max(0, int(status.last_index) - int(peer.match)) if known else None
        behind = self.milestones.behind(int(peer.match), now) if known else 0
        heard = None if peer.heard is None else max(0, now - peer.heard) // MS
        answers = bool(row.get("reachable", True))
        absent = _why_absent(peer, lag, behind, answers=answers)
        word = _own_word(row)
        learns = LEARNS if word in {"", NO_VOTE} else f"{LEARNS}; it says: {word}"
        why = ("" if peer.votes else learns) or word or absent or ("" if answers else self._silent(peer.name))
        return Member(
            str(peer.name),
            connected=peer.connected,
            heard_ms=heard,
            lag_entries=lag,
            lag_ms=behind // MS if known else None,
            votes=peer.votes and not absent and not row.get("stalled"),
            promotable=not why,
            why_not=why,
            needs_snapshot=known and peer.needs_snapshot,
            learns=not peer.votes,
        )


def _own_word(row: dict[str, object]) -> str:
    """Why not, by its own word; "" if it says nothing."""
    if row.get("promotable") or not row.get("reachable", True):
        return ""
    return str(row.get("why_not") or "it does not say why")


def _why_absent(peer: PeerStatus, lag: int | None, behind: int, *, answers: bool) -> str:
    """Why it does not help to commit, as its leader sees it; `answers`: its API does."""
    if not peer.connected:
        return "unreachable: its API answers, and there is no link to it" if answers else "unreachable"
    if peer.lost:
        return f"its disk went back: it refused what it had acknowledged; {REPLACE}"
    if peer.needs_snapshot:
        return "it lacks what the log does not hold any more: it is sent a snapshot"
    if behind >= CAUGHT_UP:
        return f"it is {lag} entries and {behind // MS} ms behind"
    return ""


def majority_of(voters: int) -> int:
    """How many of them decide."""
    return voters // 2 + 1


def voters_of(members: Sequence[Member]) -> int:
    """How many of them elect and commit, here or not."""
    return sum(1 for one in members if not one.learns)


def tolerates(members: Sequence[Member]) -> int:
    """How many voters may be lost now, whichever they are, with trading going on: negative if it can't go on as it is.

    A majority must be left that commits, and one of it that could trade.
    """
    voting = sum(1 for one in members if one.votes)
    fit = sum(1 for one in members if one.promotable and one.votes)
    return min(voting - majority_of(voters_of(members)), fit - 1)


def sentence(members: Sequence[Member]) -> str:
    """The same for people."""
    spare = tolerates(members)
    fit = [one.name for one in members if one.promotable and one.votes]
    if spare > 1:
        return f"{spare} more nodes may be lost, and trading goes on"
    if spare == 1:
        return "one more node may be lost, and trading goes on"
    voting = sum(1 for one in members if one.votes)
    voters = voters_of(members)
    if voting < majority_of(voters):
        return f"only {voting} of {voters} nodes take part: nothing can commit, and nobody trades"
    if not fit:
        return "no node is fit to trade: see why, below"
    if len(fit) == 1:
        return f"only {fit[0]} is fit to trade: if it is lost, trading stops"
    return "one more lost node stops trading"


def miscounted(size: int | None, members: Sequence[Member]) -> str:
    """That more or fewer vote than should, for people; "" if it is as it should be, or if nobody knows."""
    voters = voters_of(members)
    if size is None or voters == size:
        return ""
    return f"{voters} nodes vote where {size} should: a replacement is under way, or was left; {REPLACED}"


def document(group: Group, members: Sequence[Member]) -> dict[str, object]:
    """As the status tells it."""
    status = group.status()
    return {
        "leader": status.leader,
        "term": int(status.term),
        "since_wall_ns": group.since_wall,
        "voters": voters_of(members),
        "majority": majority_of(voters_of(members)),
        "voting": sum(1 for one in members if one.votes),
        "promotable": sum(1 for one in members if one.promotable),
        "tolerates": tolerates(members),
        "size": group.size,
        "miscounted": miscounted(group.size, members),
        "says": sentence(members),
        "nodes": [asdict(one) for one in members],
    }
