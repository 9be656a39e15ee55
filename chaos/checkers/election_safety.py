"""Election safety: at most one leader a term, no node votes twice in one, and a leader has a majority's synced votes.

Pure.  A majority is one of those who vote by the log that it was elected with.  A node that leads again in a term that
it led before it was restarted has forgotten its vote, so that counts as a second leader.  A vote that a power cut took
before it was synced was never given: only synced votes bind.
"""

from __future__ import annotations

from collections import deque

from chaos.checkers.facts import COPY, KILL, Ended, Facts, Founded, Installed, Led, Started, Synced, Voted, Wrote
from chaos.checkers.logs import empty
from chaos.checkers.verdict import Check

_Vote = tuple[int, str]  # term, candidate


def election_safety(facts: Facts) -> Check:
    """Looks at every election won and every vote synced."""
    leaders: dict[int, str] = {}
    votes = {node: _Votes(node) for node in facts.nodes}
    violations: list[str] = []
    elections = 0
    logs, follow = empty(facts), facts.members is not None
    for fact in facts.only(Led, Voted, Synced, Ended, Started, *((Wrote, Installed, Founded) if follow else ())):
        if follow:
            logs.take(fact)
        match fact:
            case Led():
                elections += 1
                other = leaders.setdefault(fact.term, fact.node)
                if elections != len(leaders):
                    violations.append(f"{fact.node} leads in term {fact.term}, which {other} led already")
                    elections = len(leaders)
                force = logs.force(fact.node)
                given = sum((fact.term, fact.node) in votes[node].given for node in force.voting if node in votes)
                if given < force.majority:
                    violations.append(f"{fact.node} leads in term {fact.term} by {given} votes that were synced")
            case Voted():
                votes[fact.node].pending.append((fact.ticket, (fact.term, fact.candidate)))
            case Synced():
                violations.extend(votes[fact.node].synced(fact.ticket))
            case Ended() if fact.how != KILL:
                votes[fact.node].doubtful = True
                votes[fact.node].forgot |= fact.how == COPY
            case Started():
                violations.extend(votes[fact.node].started())
            case _:
                pass
    return Check("election_safety", elections + sum(each.bound for each in votes.values()), tuple(violations))


class _Votes:
    """One node's votes: those that bind it, and those that are not synced."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.pending: deque[tuple[int, _Vote]] = deque()
        self.newest: _Vote = (0, "")
        self.given: set[_Vote] = set()  # and synced
        self.bound = 0
        self.doubtful = False  # a power cut may have taken what is pending
        self.forgot = False  # its disk is an older copy: it may go back to a term, and must not vote in it

    def synced(self, ticket: int) -> list[str]:
        found = []
        while self.pending and self.pending[0][0] <= ticket:
            found += self._bind(self.pending.popleft()[1])
        return found

    def started(self) -> list[str]:
        """What a kill left is synced before the node speaks; what a power cut left of it is not known."""
        found = [] if self.doubtful else self.synced(max((t for t, _ in self.pending), default=0))
        self.pending.clear()
        self.doubtful = False
        return found

    def _bind(self, vote: _Vote) -> list[str]:
        term, candidate = self.newest
        if self.forgot and vote[0] <= term and not vote[1]:
            return []
        self.newest = max(self.newest, vote) if vote[0] <= term and not vote[1] else vote
        self.bound += 1
        self.given.add(vote)
        if vote[0] < term:
            return [f"{self.node} went back from term {term} to {vote[0]}"]
        if vote[0] == term and candidate and vote[1] != candidate:
            return [f"{self.node} voted for {candidate} and for {vote[1] or 'nobody'} in term {term}"]
        return []
