"""Adopted: which configuration is in force: the last one in the log, from the moment of its append on.

Pure.  Before the log has one, or once it is dropped by a truncation, the one of the base is in force: what compaction
or a snapshot has left, or else the settings.  The journal drives it, and keeps it beside the log.
"""

from __future__ import annotations

from attrs import frozen

from cluster.members import Configuration, decode
from cluster.wire import CONFIGURATION


class AdoptionFault(Exception):
    """The log's configurations contradict each other, or what is committed: the node must stop."""


@frozen
class Placed:
    """A configuration, and the index of its entry; 0: from the settings."""

    index: int
    configuration: Configuration


class Adopted:
    """One node's book of the configurations from its log's base on.

    Appends, truncations and moves of the base are told in the log's own order.  Each that changes what is in force
    says so, for the core to be told within that very call.
    """

    def __init__(self, base: Placed, *later: Placed) -> None:
        """`base`: what was in force at the log's base, or the settings'; `later`: what was appended since, in order."""
        self._placed = [base, *later]

    @property
    def places(self) -> tuple[Placed, ...]:
        """What a node has to keep: the base's, and all behind it."""
        return tuple(self._placed)

    @property
    def in_force(self) -> Placed:
        """By what this node elects and commits now, committed or not."""
        return self._placed[-1]

    def at(self, index: int) -> Placed:
        """What was in force behind the entry at `index`: what a snapshot of that index carries.

        Raises:
            AdoptionFault: it lies below what is known.
        """
        for placed in reversed(self._placed):
            if placed.index <= index:
                return placed
        raise AdoptionFault(
            f"the configuration at entry {index} is not known: the oldest is of {self._placed[0].index}"
        )

    def appended(self, index: int, command: bytes) -> bool:
        """An entry was appended; returns whether it changes what is in force.

        Raises:
            WireError: it says that it is a configuration, and is none.
            AdoptionFault: it does not follow the one in force.
        """
        if command[:1] != CONFIGURATION:
            return False
        configuration, last = decode(command), self.in_force
        if index <= last.index or configuration.number != last.configuration.number + 1:
            raise AdoptionFault(
                f"entry {index} is configuration {configuration.number}, behind {last.configuration.number} at "
                f"{last.index}"
            )
        if not set(last.configuration.removed) <= set(configuration.removed):
            raise AdoptionFault(f"entry {index} brings back a node that was removed")
        self._placed.append(Placed(index, configuration))
        return True

    def truncated(self, index: int) -> bool:
        """The entry at `index`, and all behind it, are gone; returns whether another is in force now.

        Raises:
            AdoptionFault: the base's own is among them: it is committed.
        """
        if index <= self._placed[0].index:
            raise AdoptionFault(
                f"truncation from {index}, but the configuration of {self._placed[0].index} is the base's"
            )
        kept = [placed for placed in self._placed if placed.index < index]
        fell = len(kept) < len(self._placed)
        self._placed = kept
        return fell

    def based(self, index: int) -> Placed:
        """What lies below `index` is committed, and asked for no more; returns what was in force there: the base."""
        base = self.at(index)
        self._placed = [base, *[placed for placed in self._placed if placed.index > base.index]]
        return base

    def installed(self, base: Placed) -> bool:
        """A snapshot has replaced log and state; `base` is what it carries.  Returns whether another is in force now.

        Raises:
            AdoptionFault: it is older than what is in force at this node's own base.
        """
        known, was = self._placed[0], self.in_force
        if base.index < known.index or base.configuration.number < known.configuration.number:
            raise AdoptionFault(
                f"a snapshot with configuration {base.configuration.number} of entry {base.index}, behind "
                f"{known.configuration.number} of {known.index}"
            )
        self._placed = [base]
        return base != was
