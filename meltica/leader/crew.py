"""Crew: the leader's report of every node, into the log (rule 7): what it is, and which versions of apply it has.

Only that may live here, and the approval of the very first leader's own build and configuration.  A node says of itself
what it is whenever a link to it comes up; a node that was not heard is reported as one that has no version.
"""

from __future__ import annotations

from typing import Final

from cluster.types import Outcome, Status
from meltica.core.commands import ApproveBuild, Command, NodeReport, NodesReported
from meltica.core.reports import read
from meltica.core.values import Nanos, NodeName
from meltica.leader.desk import Desk

EVERY: Final = 1_000_000_000  # ns: from one look to the next


class Crew:
    """See the module."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._due = Nanos(0)
        self._asked = 0  # proposals without an outcome

    def lost_lead(self) -> None:
        """Another term: look at once."""
        self._due, self._asked = Nanos(0), 0

    def work(self, now: Nanos) -> None:
        """While this node leads: report what has changed."""
        desk = self._desk
        if now < self._due or not desk.can_propose or desk.report is None or self._asked:
            return
        self._due = Nanos(now + EVERY)
        nodes = reports_of(desk.cluster.status())
        if nodes != desk.state.crew.nodes:
            self._propose(NodesReported(desk.epoch, desk.at, nodes))
        if not desk.state.approved.approvals:
            self._propose(ApproveBuild(desk.epoch, desk.at, desk.report.build, desk.report.config))

    def _propose(self, command: Command) -> None:
        self._asked += 1
        self._desk.propose(command, self._done)

    def _done(self, _outcome: Outcome) -> None:
        self._asked = max(0, self._asked - 1)


def reports_of(status: Status) -> tuple[NodeReport, ...]:
    """What each node has said of itself, by name."""
    said = {NodeName(status.name): status.about, **{NodeName(peer.name): peer.about for peer in status.peers}}
    return tuple([_named(name, said[name]) for name in sorted(said)])


def _named(name: NodeName, about: bytes) -> NodeReport:
    """A node's word on itself; its name is the one that its certificate gives it."""
    report = read(about)
    if report is None:
        return NodeReport(name, "", "", 0, 0)
    return NodeReport(name, report.build, report.config, report.oldest, report.newest)
