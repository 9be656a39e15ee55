"""Peers: what this node knows of the others' status, by asking their APIs once in a while.

Only the board of the last answers and the task that fills it may live here.  Nothing of it decides who trades: it is
what `status` shows, and what `group` judges by.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, Final

import httpx
import trio
from attrs import define, field

ASK_EVERY: Final = 1.0  # seconds
ASK_WITHIN: Final = 1.0


@define
class PeerBoard:
    """The others' last answers."""

    names: tuple[str, ...]
    answers: dict[str, Mapping[str, Any]] = field(factory=dict)

    def heard(self, name: str, status: Mapping[str, Any] | None) -> None:
        """A node answered, or could not be reached."""
        if status is None:
            self.answers.pop(name, None)
        else:
            self.answers[name] = status

    def rows(self, newest: int = 0) -> dict[str, dict[str, object]]:
        """Each other node's own line; `reachable` False and nothing else for one that does not answer.

        Who claims an epoch older than `newest` is not shown as active.
        """
        found = {name: self._row(name) for name in self.names}
        for name, row in found.items():
            if row.get("active") and self._epoch(name) < newest:
                row["active"] = False
        return found

    def _epoch(self, name: str) -> int:
        return int(self.answers.get(name, {}).get("epoch") or 0)

    def _row(self, name: str) -> dict[str, object]:
        for node in self.answers.get(name, {}).get("nodes", ()):
            if node.get("name") == name:
                return dict(node)
        return {"name": name, "reachable": False, "active": False, "promotable": False, "why_not": "unreachable"}

    def active(self, newest: int = 0) -> str | None:
        """A node that says of itself that it is active; the one in the newest epoch, and in none before `newest`.

        An answer is up to two seconds old: whoever gave it may be dead, and a newer leader elected, meanwhile.
        """
        claims = [(self._epoch(name), name) for name, row in self.rows(newest).items() if row.get("active") is True]
        return max(claims)[1] if claims else None


async def keep_asking(board: PeerBoard, apis: Mapping[str, str], trust: ssl.SSLContext, token: str) -> None:
    """Ask every other node's status, for ever.  A slow one holds nobody up."""
    limits = httpx.Limits(max_keepalive_connections=len(board.names), max_connections=len(board.names) * 2)
    async with (
        httpx.AsyncClient(verify=trust, limits=limits, timeout=ASK_WITHIN, trust_env=False) as client,
        trio.open_nursery() as nursery,
    ):
        for name in board.names:
            nursery.start_soon(_ask_one, board, name, client, apis[name], token)


async def _ask_one(board: PeerBoard, name: str, client: httpx.AsyncClient, api: str, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    while True:
        with trio.move_on_after(ASK_WITHIN) as asking:
            board.heard(name, await _status(client, f"{api}/api/v1/status", headers))
        if asking.cancelled_caught:
            board.heard(name, None)
        await trio.sleep(ASK_EVERY)


async def _status(client: httpx.AsyncClient, url: str, headers: Mapping[str, str]) -> Mapping[str, Any] | None:
    try:
        answer = await client.get(url, headers=dict(headers))
        answer.raise_for_status()
        document = answer.json()
    except (httpx.HTTPError, ValueError):
        return None
    return document if isinstance(document, Mapping) else None
