"""Undo: what a block broke is healed however it ends, within a bound that is not passed over in silence.

Only that may live here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import trio


class Undoing(Protocol):
    """Heals; `whole`: the block ended as it was to, and was not cancelled, or left by an error, before."""

    async def __call__(self, *, whole: bool) -> None:
        """To its end, or as far as it is let."""


@asynccontextmanager
async def undone(undo: Undoing, within: float, late: Exception) -> AsyncIterator[None]:
    """Undo behind the block, shielded, within so many seconds; raises `late` if it takes longer.

    A block that was cancelled, or failed, stays so, late or not: the whole cluster ends then anyway.
    """
    whole = False
    try:
        yield
        whole = True
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + within) as bound:
            await undo(whole=whole)
    if bound.cancelled_caught:
        raise late
