"""Guarded: a whole run under Trio that heeds signals, and whose known faults come out as themselves.

Only that may live here.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import trio

_T = TypeVar("_T")


class Interrupted(Exception):
    """Somebody asked for the end, by Ctrl-C or SIGTERM; every process has ended."""


def run_guarded(body: Callable[[], Awaitable[_T]], faults: tuple[type[Exception], ...]) -> _T:
    """Run it; a fault that we know comes out of its exception groups as itself.  Raises Interrupted too."""
    try:
        return trio.run(_heeding, body)
    except BaseExceptionGroup as group:
        known: BaseException | None = group.subgroup((*faults, Interrupted))
        while isinstance(known, BaseExceptionGroup):
            known = known.exceptions[0]
        if known is None:
            raise
        raise known from group


async def _heeding(body: Callable[[], Awaitable[_T]]) -> _T:
    """Signals are heeded as a task's failure: raised in the middle of Trio's own code they would break it."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_signal, signals)
            result = await body()
            nursery.cancel_scope.cancel()
    return result


async def _until_signal(signals: AsyncIterator[int]) -> None:
    async for number in signals:
        raise Interrupted(f"{signal.Signals(number).name} came; every process that it started has ended")
