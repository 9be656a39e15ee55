"""Conduct of the simulated product: noted at the wire, at the links and at the disks.

It only looks.  A node counts as alone while there are not enough others with which it could exchange a word: the link
each way works, and they live and are not stopped.
"""

from __future__ import annotations

from attrs import define, field

from chaos.checkers.conduct import ALONE, DISK, Conduct, Ordered, Outage, Sent
from chaos.checkers.facts import Facts
from chaos.sim.network import Network
from cluster.types import AppliedEntry, Peer


@define(eq=False)
class Watch:
    """Notes what nodes send, and when they are cut off."""

    network: Network
    sent: list[Sent] = field(factory=list)
    ordered: list[Ordered] = field(factory=list)
    outages: list[Outage] = field(factory=list)
    by_hand: list[tuple[int, str]] = field(factory=list)
    _alone: dict[Peer, int] = field(factory=dict)  # since when

    def wrote(self, node: str, intent: str, clock: int) -> None:
        """A node wrote a request."""
        self.sent.append(Sent(self.network.now, node, clock, intent))

    def applied(self, node: str, entry: AppliedEntry, intents: tuple[str, ...]) -> None:
        """A node applied an entry that orders sends."""
        if entry.own and entry.proposed is not None:
            at = self.network.now
            self.ordered.append(Ordered(at, node, int(entry.index), int(entry.term), int(entry.proposed), intents))

    def stalled(self, node: str, duration: int) -> None:
        """From now on no sync ends for so long, but one that runs."""
        begin = self.network.now + self.network.weather.sync[1]
        if duration > self.network.weather.sync[1]:
            self.outages.append(Outage(node, DISK, begin, self.network.now + duration))

    def changed(self) -> None:
        """A link, or a process, works no more, or works again."""
        network, now = self.network, self.network.now
        up = [p.name for p in network.processes.values() if p.replica is not None and p.frozen_until <= now]
        needed = len(network.names) // 2
        for name in network.names:
            others = sum(peer != name and self._works(name, peer) and self._works(peer, name) for peer in up)
            if others < needed:
                self._alone.setdefault(name, now)
            elif name in self._alone:
                self.outages.append(Outage(name, ALONE, self._alone.pop(name), now))

    def conduct(self, facts: Facts, *, cluster: str, window: int, drift_ppm: int, mandate_after: int) -> Conduct:
        """What was noted so far."""
        ongoing = [Outage(name, ALONE, since, self.network.now) for name, since in sorted(self._alone.items())]
        return Conduct(
            cluster,
            window,
            drift_ppm,
            mandate_after,
            tuple(self.sent),
            tuple(self.ordered),
            (*self.outages, *ongoing),
            tuple(self.by_hand),
            facts,
        )

    def _works(self, a: Peer, b: Peer) -> bool:
        link = self.network.links[a, b]
        return not (link.cut or link.held)
