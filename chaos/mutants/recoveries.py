"""Recoveries: a group that is founded out of what one node has left, wrongly.

Only mutants of that may live here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from attrs import evolve

from chaos.mutants.members_scenes import RECOVERED, RECOVERED_WILD
from chaos.mutants.mutant import mutant
from chaos.mutants.patches import Patches
from cluster.members import Member, decode, encode
from cluster.refounding import Founding, configuration, go_on, mint
from cluster.snapshot.faces import Disk
from cluster.survivor import Survivor, founding_term
from cluster.types import ApplyStop, LogIndex, StateMachine, Term


@mutant("members", RECOVERED, "recovery")
def a_recovery_keeps_the_group_s_name(patches: Patches) -> None:
    """The new group is called as the old one, so that whoever comes back of that one is let in."""

    def kept(taken: Collection[str], _draw: Callable[[], str]) -> str:
        return next(iter(taken))

    patches.everywhere(mint, kept)


@mutant("members", RECOVERED, "recovery")
def a_recovery_goes_on_in_its_term(patches: Patches) -> None:
    """The new group begins in the newest term that the survivor knows of: one that another has led."""
    patches.everywhere(founding_term, lambda survivor: Term(survivor.term))


@mutant("members", RECOVERED, "recovery")
def a_recovery_takes_in_who_is_lost(patches: Patches) -> None:
    """The old voters vote on beside the new ones."""
    whole = configuration

    def both(survivor: Survivor, members: Iterable[Member]) -> bytes | None:
        said = whole(survivor, members)
        if said is None:
            return None
        old, new = decode(survivor.places[-1][1]), decode(said)
        voters = {member.name: member for member in (*old.voters, *new.voters)}
        removed = tuple([name for name in new.removed if name not in voters])
        return encode(evolve(new, voters=tuple([voters[name] for name in sorted(voters)]), removed=removed))

    patches.everywhere(configuration, both)


# What a survivor remembers of what it lacks, it remembers where it was left behind: about one in four.
@mutant("members", RECOVERED_WILD, "recovery", seeds=20)
def a_recovery_says_that_nothing_is_missing(patches: Patches) -> None:
    """What the disk remembers to have been, and has no more, is not told."""
    patches.attribute(Survivor, "lacks", property(lambda _self: ()))


@mutant("members", RECOVERED, "recovery")
def a_recovery_drops_the_log_s_end(patches: Patches) -> None:
    """What the survivor never heard to be committed is not taken, though a majority may have had it."""
    whole = go_on

    def dropped(store: Disk, founding: Founding, machine: StateMachine) -> ApplyStop | None:
        survivor = founding.survivor
        last = survivor.last - survivor.tail
        store.truncate_from(LogIndex(last + 1))
        places = [placed for placed in store.places() if placed[0] <= last]
        store.set_places(tuple(places))
        store.commit()
        return whole(store, evolve(founding, survivor=evolve(survivor, last=last)), machine)

    patches.everywhere(go_on, dropped)


# Only where the survivor was left behind with entries of its own, as a leader is that stands still.
@mutant("members", RECOVERED, "recovery", seeds=20)
def a_recovery_takes_its_log_s_end_for_whole(patches: Patches) -> None:
    """What the survivor never heard to be committed is told to be all that there was."""
    patches.attribute(Survivor, "whole", property(lambda self: self.last))
