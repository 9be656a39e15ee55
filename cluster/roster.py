"""Roster: whom a node's links are for: who takes part, and who never will again.

Pure.  It is what a transport has to know of the configurations in the log; which of them is in force is `adopted`'s.
"""

from __future__ import annotations

from attrs import frozen

from cluster.adopted import Adopted
from cluster.members import Member
from cluster.types import Peer


@frozen
class Roster:
    """`members`: who takes part, by name, voters and learners; `removed`: who is refused, for good."""

    members: tuple[Member, ...]
    removed: frozenset[Peer] = frozenset()


def roster_of(book: Adopted, commit: int) -> Roster:
    """Whom the links of a node are for that has this book, and whose log is committed up to `commit`.

    Members are those of the configuration that is committed and of all behind it: until its removal is committed a
    member keeps its links, as a truncation may bring it back.  So nobody is refused by what is in force alone.
    """
    settled = book.at(commit)
    standing = [placed.configuration for placed in book.places if placed.index >= settled.index]
    members = {one.name: one for each in standing for one in (*each.voters, *each.learners)}
    return Roster(tuple([members[name] for name in sorted(members)]), frozenset(settled.configuration.removed))


def why_removed(name: Peer) -> str:
    """What a node hears that was removed, and what is to be done then."""
    return (
        f"{name} was removed from this cluster and never takes part again, whatever its disk holds: stop this node and "
        "keep its folder until nothing of it is needed; its machine may run a new node, under a new name and with an "
        "empty folder (runbooks/replace-a-node.md)"
    )
