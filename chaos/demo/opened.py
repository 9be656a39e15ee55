"""Opened: one cluster of three that trades at a steady pace, for the drills that play rounds on it.

Only its opening, the pace, and the equal time behind a round may live here; what a round does is the drill's.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import trio

from chaos.demo.timed import Timed
from chaos.rig.beat import Beat
from chaos.rig.processes import NODES, Rig, open_rig
from chaos.rig.settings import set_retention, set_slower, steadily
from chaos.rig.steps import in_order
from chaos.rig.watch import Watcher, open_watcher

TRADE_BEFORE: Final = 3.0  # seconds
BEAT_MS: Final = 250  # more, and the reads of three nodes that start at one address use the venue's weight up


@asynccontextmanager
async def open_trading(
    folder: Path, market: str, seed: int = 1, *, slower: int = 1, kept: int = 0
) -> AsyncIterator[tuple[Rig, Watcher]]:
    """All its processes, which end with the block, and who asks them.

    `slower`: times that the election timers and the authority window are longer; `kept`: entries of each log, whatever
    the others have; 0: all.
    """
    async with open_rig(folder, market, seed, slower=slower) as rig:
        await rig.create()
        steadily(folder)
        if kept:
            set_retention(folder, kept)
        set_slower(folder, slower)
        await rig.start_all()
        apis = {name: str(rig.children[name].ready["api"]) for name in NODES}
        async with open_watcher(folder, apis, rig.ledger_path) as watcher:
            yield rig, watcher


@asynccontextmanager
async def beating(watcher: Watcher, counts: Counter[str]) -> AsyncIterator[Beat]:
    """Orders come all through the block, which begins once they have come for a while."""
    trader, _ = await in_order(watcher)
    beat = Beat(watcher, trader, BEAT_MS, counts=counts)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(beat.run)
        await trio.sleep(TRADE_BEFORE)
        yield beat
        nursery.cancel_scope.cancel()


async def equally(begin_ns: int, end_ns: int) -> Timed:
    """Do nothing for as long as that round was."""
    plain_ns = time.monotonic_ns()
    await trio.sleep((end_ns - begin_ns) / 1e9)
    return Timed(begin_ns, end_ns, plain_ns)
