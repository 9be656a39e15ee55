"""Force: who votes behind each entry of a log, as the entries themselves say it.

Pure; only the value and its making may live here.  It is told from the log alone: what a node says that it goes by is a
claim, which `members` holds against this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import field, frozen

from chaos.checkers.facts import Facts
from cluster.members import Configuration


@frozen(eq=False)
class Force:
    """Who votes from the entry of this index on."""

    index: int  # 0: as at first
    voting: tuple[str, ...]
    learning: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    configuration: Configuration | None = None  # as the entry says; None where none can
    before: Force | None = field(default=None, repr=False)  # what it follows

    @property
    def number(self) -> int:
        """The configuration's."""
        return 0 if self.configuration is None else self.configuration.number

    @property
    def majority(self) -> int:
        """How many of those who vote make one."""
        return len(self.voting) // 2 + 1

    def elects(self, nodes: Iterable[str]) -> bool:
        """Whether these are a majority, whoever else is among them."""
        return sum(node in self.voting for node in nodes) >= self.majority

    def back_to(self, index: int) -> Iterator[Force]:
        """This one, and those before it that were in force behind the entry of that index, or later."""
        force: Force | None = self
        while force is not None:
            yield force
            if force.index <= index:
                return
            force = force.before


def at_first(facts: Facts) -> Force:
    """What is in force before any entry says something else."""
    if facts.members is None:
        return Force(0, facts.nodes)
    return behind(None, 0, facts.members)


def behind(before: Force | None, index: int, configuration: Configuration) -> Force:
    """What is in force from an entry on that says this."""
    names = (configuration.voting, configuration.learning, configuration.removed)
    return Force(index, *names, configuration, before)
