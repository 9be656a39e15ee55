"""Limits: no test waits for ever; one that hangs fails, with what each of its threads was doing.

Only the limit may live here.  It works by a signal, which ends sleeps, reads and waits for a process alike; what even a
signal can't end, pytest's own `faulthandler_timeout` (pyproject.toml) does, by ending the run with the same trace.
"""

from __future__ import annotations

import faulthandler
import signal
from collections.abc import Iterator
from contextlib import contextmanager

LIMIT_S = 300.0  # for a test, its setup and its teardown each; the slowest takes 30 s on a quiet machine


class TookTooLong(BaseException):
    """A test hangs.  No subclass of Exception, so that nothing on the way takes it for a failure of its own."""


@contextmanager
def limited(what: str, seconds: float = LIMIT_S) -> Iterator[None]:
    """Raise TookTooLong in the block when the time is up; the trace of every thread is on stderr."""

    def on_alarm(_number: int, _frame: object) -> None:
        faulthandler.dump_traceback(file=2, all_threads=True)
        raise TookTooLong(f"{what} took longer than {seconds:g} s: what each thread was doing is on stderr")

    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
