"""Calls: a connection, and a request on its way through the venue.

Only these two may live here.  Both are the venue's own bookkeeping; nothing outside of it sees them.
"""

from __future__ import annotations

from typing import Any

from attrs import Factory, define

from meltica.paper.admission import Deadline
from meltica.paper.faults import Subject
from meltica.paper.methods import Operation
from meltica.paper.ports import ConnId, Times


@define(eq=False)
class Conn:
    """One connection."""

    id: ConnId
    kind: str  # ws_api, stream, rest
    user_agent: str
    address: str
    micro: bool  # times in microseconds
    combined: bool = False  # streams come wrapped with their names
    streams: dict[str, None] = Factory(dict)
    accounts: dict[int, str] = Factory(dict)  # user data: subscription id -> account
    subscriptions: int = 0  # ever made on it
    pong_at: int = 0
    second: int = -1  # of the last control message
    messages: int = 0  # in that second
    cut: bool = False  # closed by a fault

    def subject(self) -> Subject:
        """The connection as faults see it."""
        return Subject(connection=self.kind, node=self.user_agent)


@define(eq=False)
class Call:
    """One request: what came in, and how far it has got."""

    conn: Conn
    operation: Operation
    raw: dict[str, str]
    received: Times
    request_id: Any = None  # echoed on the WebSocket API
    with_limits: bool = True
    micro: bool = False
    key: str | None = None
    payload: str = ""  # what must have been signed
    account: str = ""
    values: dict[str, Any] = Factory(dict)
    deadline: Deadline | None = None
    admitted: int | None = None
    decided: int | None = None
    named: str | None = None  # the client id that the venue made up for it
    settled: bool = False  # answered, or surely never to be

    @property
    def rest(self) -> bool:
        """Whether it came over REST."""
        return self.conn.kind == "rest"

    @property
    def label(self) -> str:
        """The method as the ledger names it."""
        if self.rest and self.operation.rest:
            return " ".join(self.operation.rest)
        return self.operation.name

    def subject(self) -> Subject:
        """The request as faults see it."""
        return Subject(
            connection=self.conn.kind,
            node=self.conn.user_agent,
            method=self.operation.name,
            label=self.label,
            account=self.account,
            symbol=self.raw.get("symbol", ""),
        )
