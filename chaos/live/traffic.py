"""Traffic: whether a cluster's words go through its proxies at all, by the kernel's list of connections.

Only reading that list may live here.  A link that a node goes around would be broken by no fault, and nothing else
would tell.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Final

import trio
from attrs import define, field

from chaos.checkers.verdict import Check
from chaos.live.links import API, OPERATOR, PEER, Link

TABLE: Final = Path("/proc/net/tcp")
ESTABLISHED: Final = "01"
TRIED: Final = frozenset({"02", "03", "0A"})  # states in which nothing has passed: being made, listening
OVER: Final = "06"  # TIME_WAIT: ended, and remembered for a minute
STANDING: Final = (PEER, "ws_api", "stream")  # whoever dials these keeps the connection
SELDOM: Final = ("rest", API, OPERATOR)  # connections that come and go
LOOK_EVERY: Final = 0.5
WITHIN: Final = 10.0  # seconds, from trading on


def ports(table: str) -> frozenset[int]:
    """Local ports at which a connection stands, by the text of /proc/net/tcp."""
    rows = [line.split() for line in table.splitlines()[1:]]
    return frozenset(int(row[1].rpartition(":")[2], 16) for row in rows if len(row) > 3 and row[3] == ESTABLISHED)


Ends = tuple[str, str]  # a connection's, as the kernel writes them


def touched(table: str, before: Collection[Ends] = ()) -> frozenset[int]:
    """Ports, at either end, of connections that are there or were a moment ago; not of those that ended `before`."""
    rows = [line.split() for line in table.splitlines()[1:]]
    there = [row for row in rows if len(row) > 3 and row[3] not in TRIED]
    ends = [end for row in there if row[3] != OVER or (row[1], row[2]) not in before for end in row[1:3]]
    return frozenset(int(end.rpartition(":")[2], 16) for end in ends)


def over(table: str) -> frozenset[Ends]:
    """Connections that have ended already: the run before this one may have had the same ports."""
    rows = [line.split() for line in table.splitlines()[1:]]
    return frozenset((row[1], row[2]) for row in rows if len(row) > 3 and row[3] == OVER)


def through_proxies(links: Iterable[Link], used: frozenset[int]) -> Check:
    """Every link that is always up has a connection at its proxy."""
    standing = [link for link in links if link.what in STANDING]
    return Check(
        "through_proxies",
        len(standing),
        tuple(f"{link.name}: no connection goes through its proxy" for link in standing if link.port not in used),
    )


@define
class Traffic:
    """What was seen of links whose connections come and go, over a whole run; `before`: what had ended before it."""

    links: Sequence[Link]
    table: Path = TABLE
    before: Collection[Ends] = ()
    seen: set[int] = field(factory=set)

    async def run(self) -> None:
        """Look, again and again, for ever."""
        while True:
            self.look()
            await trio.sleep(LOOK_EVERY)

    def look(self) -> None:
        """Once."""
        self.seen |= touched(self.table.read_text(), self.before)

    def used(self) -> Check:
        """Each such link has had a connection at its proxy, at some time.

        Between nodes only who does not lead carries an action on, to whoever leads: so all nodes but one have dialled.
        """
        links = [link for link in self.links if link.what in SELDOM]
        unused = [link for link in links if link.port not in self.seen and link.what != API]
        apis = [link for link in links if link.what == API]
        idle = sorted({link.dials for link in apis} - {link.dials for link in apis if link.port in self.seen})
        told = [f"{link.name}: nothing ever went through its proxy" for link in unused]
        if len(idle) > 1:
            told.append(f"{', '.join(idle)}: no action was ever carried on through a proxy")
        return Check("links_used", len(links), tuple(told))


async def looked(links: Sequence[Link], within: float = WITHIN, table: Path = TABLE) -> Check:
    """The same of now, or of what it has become within a bound: a connection may just be made anew."""
    found = _now(links, table)
    with trio.move_on_after(within):
        while not found.held:
            await trio.sleep(0.2)
            found = _now(links, table)
    return found


def _now(links: Sequence[Link], table: Path) -> Check:
    return through_proxies(links, ports(table.read_text()))
