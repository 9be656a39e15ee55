"""Peers: what this node knows of the others' status, by asking their APIs once in a while.

Only the board of the last answers and the task that fills it may live here.  Nothing of it decides who trades: it is
what `status` shows, and what `group` judges by.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

import httpx
import trio
from attrs import define, field

from meltica.api.calls import ask, calling

ASK_EVERY: Final = 1.0  # seconds
ASK_WITHIN: Final = 1.0


@define
class PeerBoard:
    """The others' last answers."""

    names: tuple[str, ...]
    answers: dict[str, Mapping[str, Any]] = field(factory=dict)
    wrong: Callable[[], Mapping[str, str]] = dict  # who says of itself what can't be so, and that, for people

    def follow(self, names: Iterable[str]) -> None:
        """These are the others now."""
        self.names = tuple(sorted(names))
        for gone in self.answers.keys() - {*self.names}:
            del self.answers[gone]

    def heard(self, name: str, status: Mapping[str, Any] | None) -> None:
        """A node answered, or could not be reached."""
        if status is None or name not in self.names:
            self.answers.pop(name, None)
        else:
            self.answers[name] = status

    def rows(self, newest: int = 0) -> dict[str, dict[str, object]]:
        """Each other node's own line; `reachable` False and nothing else for one that does not answer.

        Who claims an epoch older than `newest` is not shown as active.
        """
        return {name: self.row(name, newest) for name in self.names}

    def row(self, name: str, newest: int = 0) -> dict[str, object]:
        """One node's own line; see `rows`."""
        found = self._row(name)
        if found.get("active") and self._epoch(name) < newest:
            found["active"] = False
        return found

    def _epoch(self, name: str) -> int:
        return int(self.answers.get(name, {}).get("epoch") or 0)

    def _row(self, name: str) -> dict[str, object]:
        for node in self.answers.get(name, {}).get("nodes", ()):
            if node.get("name") == name:
                return dict(node)
        why = ": ".join(["unreachable", *filter(None, [self.wrong().get(name)])])
        return {"name": name, "reachable": False, "active": False, "promotable": False, "why_not": why}

    def active(self, newest: int = 0) -> str | None:
        """A node that says of itself that it is active; the one in the newest epoch, and in none before `newest`.

        An answer is up to two seconds old: whoever gave it may be dead, and a newer leader elected, meanwhile.
        """
        claims = [(self._epoch(name), name) for name, row in self.rows(newest).items() if row.get("active") is True]
        return max(claims)[1] if claims else None


Places = Callable[[], Mapping[str, str | None]]  # the others' APIs; None: nobody knows where that one's is


async def keep_asking(board: PeerBoard, places: Places, trust: ssl.SSLContext, token: str) -> None:
    """Ask every other node's status, for ever; a slow one holds nobody up.  Who takes part is looked at once a second.

    The board follows `places`: who is in there is shown, also where nobody knows where it could be asked.
    """
    asked: dict[str, tuple[str, trio.CancelScope]] = {}
    async with calling(trust, timeout=ASK_WITHIN) as client, trio.open_nursery() as nursery:
        while True:
            wanted = places()
            board.follow(wanted)
            for name, (api, scope) in [*asked.items()]:
                if wanted.get(name) != api:
                    scope.cancel()
                    del asked[name]
            for name, place in wanted.items():
                if place is not None and name not in asked:
                    asked[name] = place, trio.CancelScope()
                    asking = partial(_ask_one, board, name, client, place, token)
                    nursery.start_soon(_within, asked[name][1], asking)
            await trio.sleep(ASK_EVERY)


async def _within(scope: trio.CancelScope, asking: Callable[[], Awaitable[None]]) -> None:
    with scope:
        await asking()


async def _ask_one(board: PeerBoard, name: str, client: httpx.AsyncClient, api: str, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    while True:
        with trio.move_on_after(ASK_WITHIN) as asking:
            board.heard(name, await _status(client, name, f"{api}/api/v1/status", headers))
        if asking.cancelled_caught:
            board.heard(name, None)
        await trio.sleep(ASK_EVERY)


async def _status(
    client: httpx.AsyncClient, name: str, url: str, headers: Mapping[str, str]
) -> Mapping[str, Any] | None:
    try:
        answer = await ask(client, "GET", name, url, headers=dict(headers))
        answer.raise_for_status()
        document = answer.json()
    except (httpx.HTTPError, ValueError):
        return None
    return document if isinstance(document, Mapping) else None
