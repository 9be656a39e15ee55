"""Users: subscriptions to user data on a connection of the WebSocket API.

Sans-IO.  An account may be subscribed to once on a connection; ids count up from 0 on each.
"""

from __future__ import annotations

from meltica.paper import render
from meltica.paper.calls import Call, Conn
from meltica.paper.errors import error
from meltica.paper.floor import Floor
from meltica.paper.ports import Frame, Times


class UserDesk:
    """Subscribes and unsubscribes."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor

    def subscribe(self, call: Call) -> render.Json:
        """`userDataStream.subscribe.signature`.

        Raises:
            ApiError: -2035 if the account is subscribed to on this connection.
        """
        conn = call.conn
        if call.account in conn.accounts.values():
            raise error(-2035)
        subscription = conn.subscriptions
        conn.subscriptions += 1
        conn.accounts[subscription] = call.account
        return {"subscriptionId": subscription}

    def unsubscribe(self, call: Call, now: Times) -> render.Json:
        """`userDataStream.unsubscribe`: one subscription, or all.

        Raises:
            ApiError: -2036 if there is none.
        """
        conn = call.conn
        asked = call.values.get("subscriptionId")
        gone = list(conn.accounts) if asked is None else [asked]
        if not gone or any(each not in conn.accounts for each in gone):
            raise error(-2036)
        for subscription in gone:
            del conn.accounts[subscription]
            self._say_end(conn, subscription, now)
        return {}

    def _say_end(self, conn: Conn, subscription: int, now: Times) -> None:
        at = self._floor.unit_us(self._floor.clock(now), micro=conn.micro)
        event = {"subscriptionId": subscription, "event": {"e": "eventStreamTerminated", "E": at}}
        self._floor.emit(conn, Frame(conn.id, render.dump(event)))
