"""Mandated: what the check of the cancel mandate reads, out of what a live run leaves behind.

Pure.  A node's log says in its own order that it became leader, had applied what it was about to send, and handed
cancels over under the mandate; the first two with the machine's monotonic clock.  So a cancel was handed over before
the next of its lines that has a time, and no later than the venue received it: it is judged as of then, and no commit
that came behind it counts.  Commits that ordered no send, and what a send waited at its socket, are not known: both
would only make the wait before it shorter than it is taken for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import define, field, frozen

from chaos.checkers.conduct import Conduct, Sent
from chaos.checkers.facts import Done, Ended, Fact, Facts, Led
from chaos.checkers.history import History, Request, named
from chaos.checkers.mandate import mandate
from chaos.checkers.verdict import Check

NEVER: Final = 1 << 63  # later than any time
Logs = Mapping[str, Iterable[Mapping[str, Any]]]


@frozen
class Handed:
    """A cancel under the mandate went to its venue's socket, behind the one time and before the other."""

    order: str
    by_hand: bool
    behind_ns: int
    before_ns: int


@define
class Told:
    """What one node's log says, line by line."""

    node: str
    facts: list[Fact] = field(factory=list)
    handed: list[Handed] = field(factory=list)
    _open: list[tuple[str, bool]] = field(factory=list)  # handed over behind the last time that was told
    _last: int = 0
    _anew: bool = False  # a process began behind it

    def read(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """All of them, in order."""
        for line in lines:
            event = line.get("event")
            if event == "mandate_cancel":
                self._open.append((str(line["order"]), bool(line["by_hand"])))
            self._anew |= event == "ready"
            if line.get("mono_ns") is not None:
                self._timed(int(line["mono_ns"]), line)
        self._close(NEVER)

    def _timed(self, at: int, line: Mapping[str, Any]) -> None:
        self._close(at)
        if self._anew:
            self.facts.append(Ended(at, self.node, "it began anew"))
        self._last, self._anew = at, False
        if line["event"] == "role changed" and line["role"] == "leader":
            self.facts.append(Led(at, self.node, int(line["term"])))
        elif line["event"] == "intents_applied":
            self.facts.append(Done(at, self.node, int(line["index"]), int(line["term"]), (), b""))

    def _close(self, at: int) -> None:
        self.handed += [Handed(order, by_hand, self._last, at) for order, by_hand in self._open]
        self._open.clear()


def mandated(history: History, logs: Logs) -> Check:
    """The shared check, of the cancels that reached the venue.  Looks at every request of ours."""
    told = {name: Told(name) for name in logs}
    for name, lines in logs.items():
        told[name].read(lines)
    policies = [
        venue
        for node in history.nodes[:1]
        for record in node.audit
        if record.kind == "configured"
        for venue in record.command.get("venues", ())
    ]
    facts = sorted((fact for one in told.values() for fact in one.facts), key=lambda fact: fact.at)
    conduct = Conduct(
        cluster=history.cluster,
        window=min((int(venue["window"]) for venue in policies), default=0),
        drift_ppm=0,  # one machine, one clock
        mandate_after=min((int(venue["mandate_after"]) for venue in policies), default=0),
        sent=_sent(history, told),
        ordered=(),
        outages=(),
        by_hand=tuple((one.behind_ns, name) for name, each in told.items() for one in each.handed if one.by_hand),
        facts=Facts(tuple(told), tuple(facts)),
    )
    return mandate(history, conduct)


def _sent(history: History, told: Mapping[str, Told]) -> tuple[Sent, ...]:
    placed = {(order.symbol, order.order_id): order.placed_as for order in history.orders}
    found = []
    for request in history.requests:
        parts = named(request.client_order_id, history.cluster)
        if parts is None:
            continue
        handed = told[request.node].handed if parts.mandate and request.node in told else ()
        order = placed.get((request.symbol, "".join(request.names[:1])), "")
        at = _handed_by(request, order, handed)
        found.append(Sent(at, request.node, at, request.client_order_id))
    return tuple(found)


def _handed_by(request: Request, order: str, handed: Sequence[Handed]) -> int:
    """The latest moment at which it can have been handed over; of several of one order the last that can be it."""
    own = [one for one in handed if one.order == order and one.behind_ns <= request.received_ns]
    return min(own[-1].before_ns, request.received_ns) if own else request.received_ns
