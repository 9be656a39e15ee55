"""Refounding: what a cluster that is founded out of one node's log goes on with: its name, its nodes, and that log.

Decisions alone, over whatever store the log lies in: `founding` makes folders by them, the simulation its disks.
DESIGN.md, "Two nodes lost", has the argument for each.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from attrs import frozen

from cluster.applying import Applying
from cluster.members import Configuration, Member, Refused, decode, encode
from cluster.replaying import StoredLog, replay
from cluster.snapshot.faces import Disk
from cluster.store import Memory, StoredEntry
from cluster.survivor import Survivor
from cluster.types import ApplyStop, LogIndex, Peer, StateMachine, Term
from cluster.wire import CONFIGURATION, pack_commands


@frozen
class Founding:
    """The cluster to be.

    `entries` go behind the survivor's log, all of `term`, committed and applied.  `beginning`: who takes part, with
    which each folder is begun as at a first start, where the log says nothing of it.
    """

    survivor: Survivor
    cluster: str
    nodes: Sequence[Peer]
    term: Term
    entries: Sequence[bytes]
    beginning: Configuration


def mint(taken: Collection[str], draw: Callable[[], str]) -> str:
    """A name that is none of those: what is `draw`n first and is new.  The log's own cluster is the first of them."""
    while True:
        cluster = draw()
        if cluster not in taken:
            return cluster


def founding(
    survivor: Survivor, cluster: str, term: Term, members: Iterable[Member], commands: Sequence[bytes]
) -> Founding:
    """The cluster of these members, whose founding entry has these commands.

    Raises:
        Refused: one of them was removed from the old cluster by its log.
    """
    members = sorted(members, key=lambda member: member.name)
    said = configuration(survivor, members)
    entry = pack_commands(tuple(commands))
    entries = [entry] if said is None else [said, entry]
    nodes = tuple([member.name for member in members])
    return Founding(survivor, cluster, nodes, term, entries, Configuration(0, tuple(members)))


def configuration(survivor: Survivor, members: Iterable[Member]) -> bytes | None:
    """The entry that says who takes part from now on; None where the old log never said who does: `beginning` then.

    Raises:
        Refused: one of them was removed from the old cluster by its log.
    """
    if not survivor.spoken:
        return None
    old, new = decode(survivor.places[-1][1]), {member.name: member for member in members}
    back = sorted(set(new) & set(old.removed))
    if back:
        raise Refused(f"{', '.join(back)} was removed from the cluster once: give that node another name")
    gone = ({*old.voting, *old.learning} - set(new)) | set(old.removed)
    voters = tuple(new[name] for name in sorted(new))
    return encode(Configuration(old.number + 1, voters, (), tuple(sorted(gone))))


def go_on(store: Disk, founding: Founding, machine: StateMachine) -> ApplyStop | None:
    """The log's tail is applied, and behind it what founds the cluster; nobody's vote, nobody's word stays.

    Returns where this build stands, if it can't apply that.

    Raises:
        ApplyFault: the machine raised and can't go back.
        StoreFault: the disk refuses, or an entry is damaged or missing.
    """
    last = founding.survivor.last
    end = last + len(founding.entries)
    if store.staged() is not None:
        store.unstage()
        store.commit()
    applying = Applying(machine, store, StoredLog(store.entries))
    stop = replay(applying, last, last, store.commit, _quiet)
    if stop is not None:
        return stop
    if not founding.survivor.spoken:
        store.set_places(((LogIndex(0), encode(founding.beginning)),))
    for index, entry in enumerate(founding.entries, last + 1):
        store.append(StoredEntry(LogIndex(index), founding.term, entry))
        if entry[:1] == CONFIGURATION:
            store.set_places(((LogIndex(index), entry),))
    store.set_vote(founding.term, None)
    store.set_commit(LogIndex(end))
    store.set_memory(Memory())
    return replay(applying, end, end, store.commit, _quiet)


def _quiet(_done: int) -> None:
    """Nobody listens."""
