"""Interrupted: SIGTERM, as of `timeout`, or Ctrl-C ends a bench or a measure; a second one ends the process at once.

Only who heeds signals, and how, may live here; what is told then is `broken`'s.  The first is a KeyboardInterrupt, so
that every block ends what it began; whoever can't wait for that asks again, and no process outlives us even so.
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, TypeVar

import trio
from attrs import frozen

ENDING: Final = (signal.SIGINT, signal.SIGTERM)
_T = TypeVar("_T")


@frozen
class Once:
    """Heeds the first; from then on each of them does what it does to a process that heeds none."""

    then: Callable[[int, FrameType | None], Any]

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """It came."""
        for each in ENDING:
            if isinstance(signal.getsignal(each), Once):
                signal.signal(each, signal.SIG_DFL)
        self.then(number, frame)


@contextmanager
def heeding() -> Iterator[None]:
    """In the block the first is a KeyboardInterrupt; Ctrl-C is not heeded where whoever started us has it ignored."""
    before = {number: signal.getsignal(number) for number in ENDING}
    _set(before, Once(_raised))
    try:
        yield
    except BaseExceptionGroup as group:
        if not is_interrupt(group):
            raise
        raise KeyboardInterrupt from group  # one that every command line knows
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(body: Callable[[], Awaitable[_T]]) -> _T:
    """`trio.run` in such a block: raised in the middle of Trio's own code they would break it, so Trio is told."""
    before = {number: signal.getsignal(number) for number in ENDING}
    if not isinstance(before[signal.SIGTERM], Once):
        return trio.run(body)

    async def heard() -> _T:
        trios: Any = signal.getsignal(signal.SIGINT)  # raises where it may, else in the first task
        _set(before, Once(lambda _number, frame: trios(signal.SIGINT, frame)))
        return await body()

    signal.signal(signal.SIGINT, signal.default_int_handler)  # the only one that Trio puts its own in the place of
    try:
        return trio.run(heard)
    finally:
        if isinstance(signal.getsignal(signal.SIGTERM), Once):  # none came
            for number, handler in before.items():
                signal.signal(number, handler)


def _set(before: dict[signal.Signals, Any], once: Once) -> None:
    for number, handler in before.items():
        signal.signal(number, signal.SIG_IGN if handler is signal.SIG_IGN and number == signal.SIGINT else once)


def _raised(number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(f"{signal.Signals(number).name} came")


def is_interrupt(error: BaseException) -> bool:
    """Whether somebody ended it, in whatever group that is told."""
    if isinstance(error, BaseExceptionGroup):
        return any(is_interrupt(inner) for inner in error.exceptions)
    return isinstance(error, KeyboardInterrupt)
