"""Conduct: what each node did towards the venue, by its own clock, and when it was cut off from what it needs.

Only frozen records may live here.  Times are one observer's clock (`at`) or the node's own monotonic one (`clock`),
nanoseconds.  A simulation knows all of it; a live run knows some, and the checks that need the rest are not asked.
"""

from __future__ import annotations

from attrs import field, frozen

from chaos.checkers.facts import Facts

ALONE = "alone"  # no majority could be heard: whatever was said in this time, to or fro, did not arrive
DISK = "disk"  # no sync could end


@frozen
class Sent:
    """A request was written to the wire."""

    at: int
    node: str
    clock: int
    intent: str


@frozen
class Ordered:
    """A node applied an entry that it had proposed itself, and that orders these sends; `proposed` is its s."""

    at: int
    node: str
    index: int
    term: int
    proposed: int  # by the node's clock
    intents: tuple[str, ...]


@frozen
class Outage:
    """From when, and until when, a node surely lacked something."""

    node: str
    what: str  # ALONE or DISK
    begin: int
    end: int


@frozen
class Conduct:
    """One run."""

    cluster: str
    window: int  # W, of the one venue
    drift_ppm: int  # how wrong a node's clock may run
    mandate_after: int  # how long a node is without a majority before its mandate begins
    sent: tuple[Sent, ...]
    ordered: tuple[Ordered, ...]
    outages: tuple[Outage, ...]
    by_hand: tuple[tuple[int, str], ...]  # when, and at which node, an operator cancelled without a quorum
    facts: Facts = field(repr=False)

    @property
    def longest_window(self) -> int:
        """W by an observer's clock, if the node's runs as slowly as it may."""
        return self.window + 2 * self.window * self.drift_ppm // 1_000_000 + 1
