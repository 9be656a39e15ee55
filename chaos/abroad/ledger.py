"""Ledger: what the venue of a deployed cluster says that it saw, fetched by its own door, on this machine's clock.

Only fetching may live here.  What the venue tells by its monotonic clock is moved over to ours: the venue is asked for
a fault that strikes nobody, and says when that began; the shortest of some such claps bounds by how much it is wrong.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import trio
from attrs import define, frozen

from chaos.live.venue import ANSWER_WITHIN, VenueFault

DOOR: Final = "/paper/v1"
NOBODY: Final = {"kind": "slow", "target": "node:nobody-of-this-name", "delay_ms": 1, "seconds": 5}
CLAPS: Final = 5
AT_ONCE: Final = 5_000
EVERY: Final = 0.2  # seconds
LARGEST: Final = 1 << 40


@frozen
class Offset:
    """What the venue's monotonic clock is ahead of ours, and by how much that may be wrong."""

    ns: int
    within_ns: int


def on_our_clock(record: Mapping[str, Any], offset: Offset) -> dict[str, Any]:
    """The same record, its times moved over."""
    return {
        word: value - offset.ns if word.endswith("mono_ns") and value is not None else value
        for word, value in record.items()
    }


@define
class Ledger:
    """What of it was fetched so far, in a file; `after`: the last record that was there before."""

    client: httpx.AsyncClient
    path: Path
    offset: Offset
    after: int
    last: int = 0

    async def run(self) -> None:
        """Fetch what is new, again and again, for ever.  Raises VenueFault."""
        while True:
            await self.fetch()
            await trio.sleep(EVERY)

    async def fetch(self) -> None:
        """All that is there by now.  Raises VenueFault."""
        while records := await records_behind(self.client, self.last, AT_ONCE):
            moved = [on_our_clock(record, self.offset) for record in records]
            with self.path.open("a") as file:
                file.writelines(json.dumps(record) + "\n" for record in moved)
            self.last = int(records[-1]["seq"])
            if len(records) < AT_ONCE:
                return


async def begun(client: httpx.AsyncClient, path: Path) -> Ledger:
    """One that begins with what comes from now on.  Raises VenueFault."""
    offset = min([await _clap(client) for _ in range(CLAPS)], key=lambda one: one.within_ns)
    after = await last_of(client)
    return Ledger(client, path, offset, after, after)


async def last_of(client: httpx.AsyncClient) -> int:
    """The newest record's number.  Raises VenueFault."""
    low, high = 0, 1
    while high < LARGEST and await records_behind(client, high - 1, 1):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if await records_behind(client, middle - 1, 1):
            low = middle
        else:
            high = middle
    return low


async def records_behind(client: httpx.AsyncClient, after: int, limit: int) -> list[dict[str, Any]]:
    """The next records.  Raises VenueFault."""
    answer = await _asked(client, "GET", f"{DOOR}/ledger?after={after}&limit={limit}", None)
    try:
        return [json.loads(line) for line in answer.text.splitlines()]
    except ValueError as error:
        raise VenueFault(f"{DOOR}/ledger: a record that can't be read: {error}") from error


async def _clap(client: httpx.AsyncClient) -> Offset:
    before = time.monotonic_ns()
    answer = await _asked(client, "POST", f"{DOOR}/faults", NOBODY)
    after = time.monotonic_ns()
    told = answer.json()
    await _asked(client, "DELETE", f"{DOOR}/faults/{told['id']}", None)
    return Offset(int(told["begun_mono_ns"]) - (before + after) // 2, (after - before) // 2 + 1)


async def _asked(client: httpx.AsyncClient, method: str, path: str, body: Mapping[str, Any] | None) -> httpx.Response:
    try:
        answer = await client.request(method, path, json=body, timeout=ANSWER_WITHIN)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise VenueFault(f"{method} {path}: {error!r}") from error
    return answer
