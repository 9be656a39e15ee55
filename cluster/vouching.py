"""Vouching: what the nodes say of their states at the same indexes, and what follows from it (rule 7 of design.md).

Pure.  A state is a function of the log: of two digests at one index that differ, one is wrong, and a majority says
which.  Every node judges for itself, by what it has heard: one that differs from a majority has diverged; where
digests differ and no majority is known, nobody can know who is wrong, and that is a dispute.  Each node's newest few
digests are remembered, so a peer that is far behind, or says much, costs nothing.

A state that a snapshot brought is a copy of its sender's, right or wrong: the two say one thing, not two, until a
majority has borne it out.  So a wrong state is never made the majority's by being copied.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from cluster.types import MonoNs, Peer
from cluster.wire import Copied, Vouch

KEPT: Final = 8  # digests a node
AGAIN: Final = 200_000_000  # ns: as long as something is in question, or awaited, it is asked again after so long
NEXT: Final = 1_000_000_000  # ns from one hand-over to the next: one that fails takes 0.4 s, and appends nothing


class Lead(Protocol):
    """What a leader knows of its followers, now."""

    @property
    def peers(self) -> tuple[Peer, ...]:
        """The others."""
        ...

    def needs_snapshot(self, peer: Peer) -> bool:
        """Whether it lacks what the log does not hold any more."""
        ...

    def linked(self, peer: Peer) -> bool:
        """Whether it can be spoken to."""
        ...


class Vouching:
    """One node's book of digests.  `outbox` is what it wants said."""

    def __init__(self, name: Peer, peers: Sequence[Peer], about: bytes, clock: Callable[[], MonoNs]) -> None:
        self.about = about
        self.outbox: list[tuple[Peer, Vouch]] = []
        self.diverged: int | None = None  # for good: of a state that differs nothing is to be trusted again
        self.disputed: int | None = None
        self.stands = False  # this node leads and can't apply an entry: is anybody past it?  None may be yet
        self.lacking: Sequence[Peer] = ()  # whose words hold up a copy that somebody needs: said once, and maybe lost
        self.abouts: dict[Peer, bytes] = {}
        self.applied: dict[Peer, int] = {}
        self._name = name
        self._peers = tuple(peers)
        self._clock = clock
        self._voters = frozenset([name, *peers])  # a majority of them is right
        self._said: dict[Peer, dict[int, bytes]] = {node: {} for node in (name, *peers)}
        self._copies: dict[Peer, Peer] = {}  # whose state is a copy, and of whose
        self._asked_at = MonoNs(0)
        self._handed_at: MonoNs | None = None
        self._handed = 0  # how often

    def adopt(self, voters: Sequence[Peer], peers: Sequence[Peer], applied: int) -> None:
        """These vote now, this node among them or not, and these are the others: who is new is told, and asked."""
        new = [peer for peer in peers if peer not in self._said]
        for gone in [peer for peer in self._peers if peer not in peers]:
            for book in (self._said, self.abouts, self.applied):
                book.pop(gone, None)
        self._voters, self._peers = frozenset(voters), tuple(peers)
        for peer in new:
            self._said[peer] = {}
            if self.about:
                self.tell(peer, applied, ask=True)
        self._judge()

    def passed(self, index: int, digest: bytes) -> None:
        """This node's state has that digest at `index`: everybody hears it."""
        self._keep(self._name, index, digest)
        for peer in self._peers:
            self.tell(peer, index)
        self._judge()

    def installed(self, source: Peer | None) -> None:
        """A snapshot of `source`'s took the place of this node's state: what was said of the old one is void."""
        self._said[self._name].clear()
        self.disputed = None
        if source is not None:
            self._copies[self._name] = source

    def heard(self, peer: Peer, said: Vouch, applied: int) -> None:
        """A peer speaks; `applied` is how far this node has applied.  One that does not take part is not heard."""
        if peer not in self._said:
            return
        self.abouts[peer] = said.about
        self.applied[peer] = said.applied
        if isinstance(said, Copied):
            self._copies[peer] = Peer(said.source.decode(errors="replace"))
        else:
            self._copies.pop(peer, None)
        if said.index:
            self._keep(peer, said.index, said.digest)
        if said.ask:
            self.tell(peer, applied, at=said.index)
        self._judge()

    def tell(self, peer: Peer, applied: int, *, at: int = 0, ask: bool = False) -> None:
        """Say this node's digest at `at`, or its newest one, and what it is."""
        own = self._said[self._name]
        index = at if at in own else max(own, default=0)
        source = self._copies.get(self._name)
        fields = (index, own.get(index, b""), applied, ask, self.about)
        self.outbox.append((peer, Vouch(*fields) if source is None else Copied(*fields, source.encode())))

    def ask_all(self, applied: int) -> None:
        """Ask every peer how far it is."""
        self._ask(self._peers, applied)

    def tick(self, applied: int) -> None:
        """In a dispute, or while this node stands, ask all again when it is time."""
        due = self.next_due()
        if due is not None and self._clock() >= due:
            self.ask_all(applied)

    def ask_lacking(self, lead: Lead, applied: int) -> None:
        """While somebody needs a copy: ask those again whose words hold it up, when it is time."""
        self.lacking = self.awaited(lead)
        due = self.lacking_due()
        if due is not None and self._clock() >= due:
            self._ask(self.lacking, applied)

    def lacking_due(self) -> MonoNs | None:
        """When `ask_lacking` has something to do."""
        return MonoNs(self._asked_at + AGAIN) if self.lacking else None

    def next_due(self) -> MonoNs | None:
        """When `tick` has something to do."""
        return MonoNs(self._asked_at + AGAIN) if self.stands or self.disputed is not None else None

    @property
    def in_question(self) -> bool:
        """Whether this node's state may be the wrong one: it is copied to nobody."""
        return self.disputed is not None or self.diverged is not None

    def may_copy(self, lead: Lead) -> bool:
        """Whether this node, as leader, may begin to copy its state to another.

        Not while it is in question, nor while a majority may still say what it is at this node's newest digest.
        """
        return not self.in_question and not self.awaited(lead)

    def awaited(self, lead: Lead) -> Sequence[Peer]:
        """Whose words at this node's newest digest are to come before a copy.

        Nobody's where no majority can come of them any more (too few are left that know, or that have not forgotten):
        to wait would be for ever.  So would it be for a word that was lost: they are `lacking`, and asked again.
        """
        own = self._said[self._name]
        if self.in_question or not own:
            return ()
        index = max(own)
        agree = len(self._by_digest(index).get(own[index], ()))
        awaited = [
            peer
            for peer in lead.peers
            if peer in self._voters and index not in self._said[peer] and self.applied.get(peer, 0) < index
            if lead.linked(peer) and not lead.needs_snapshot(peer)
        ]
        return awaited if agree <= len(self._voters) // 2 < agree + len(awaited) else ()

    def successor(self, past: Sequence[Peer]) -> Peer | None:
        """Whom of those that went `past` the entry this leader hands over to now; None: nobody, or not yet.

        Each in turn, and with pauses: one that does not take over, whose disk is stalled, say, must not hold up the
        next, nor the command that lets all pass.
        """
        now = self._clock()
        if not past or (self._handed_at is not None and now - self._handed_at < NEXT):
            return None
        self._handed_at = now
        self._handed += 1
        return past[(self._handed - 1) % len(past)]

    def _ask(self, peers: Sequence[Peer], applied: int) -> None:
        self._asked_at = self._clock()
        for peer in peers:
            self.tell(peer, applied, at=self.disputed or 0, ask=True)

    def _keep(self, node: Peer, index: int, digest: bytes) -> None:
        said = self._said[node]
        said[index] = digest
        while len(said) > KEPT:
            del said[min(said)]

    def _judge(self) -> None:
        """The newest index of this node's own at which what was heard decides anything, decides."""
        for index in sorted(self._said[self._name], reverse=True):
            own, votes = self._said[self._name][index], self._by_digest(index)
            digest, nodes = max(votes.items(), key=lambda vote: len(vote[1]), default=(own, ()))
            all_agree = [*votes] == [own] and all(index in self._said.get(node, ()) for node in self._voters)
            if len(nodes) > len(self._voters) // 2 or all_agree:
                self.disputed = None
                if own != digest:
                    self.diverged = index
                else:
                    self._copies.pop(self._name, None)  # it is borne out: from now on it may err by itself alone
                return
            if votes.keys() - {own}:
                self.disputed = index
                return

    def _by_digest(self, index: int) -> dict[bytes, set[Peer]]:
        """Who says what at an index, of those who vote: a copy and what it was copied from count once."""
        votes: dict[bytes, set[Peer]] = {}
        for node, said in self._said.items():
            if index in said and node in self._voters:
                votes.setdefault(said[index], set()).add(self._origin(node))
        return votes

    def _origin(self, node: Peer) -> Peer:
        """From whom a node's state comes in the end."""
        passed: list[Peer] = []
        while node in self._copies and node not in passed:
            passed.append(node)
            node = self._copies[node]
        return min(passed[passed.index(node) :]) if node in passed else node  # copies of each other: any one, always
