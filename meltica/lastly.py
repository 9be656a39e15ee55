"""Lastly: the end of a process that has nothing more to do and does not end, or does nothing more at all.

Only the alarm and the watchdog may live here.  A node whose replication has ended by a fault sends nothing more, tells
why and ends.  If something keeps it from that (a sync that hangs, a thread that died for want of memory and is waited
for), it would be there for ever, and nobody would start it again.  So the system ends it: SIGALRM, as it is by default,
takes no memory and no thread, and asks nothing of a loop that stands still.

A loop may stand before it knows of any fault: CPython's `Thread.start` waits for ever for a thread that had no memory
to begin.  Nobody leads by such a process, but nothing would end it.  The watchdog is a thread that looks whether the
loop still goes round.  It counts its own looks, not time: a process that was stopped (SIGSTOP, a machine that is moved)
looks as seldom as it goes round.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from time import sleep
from typing import Final

import trio
from attrs import define

WITHIN: Final = 10.0  # seconds: what is left to do is to close a disk that may be slow
LOOK_EVERY: Final = 0.5  # seconds
LOOKS: Final = 20  # in vain, one after another
STANDS: Final = 75  # exit code: EX_TEMPFAIL of sysexits.h, to be started again
WORDS: Final = b'{"event": "the event loop stands still, so this process ends", "level": "error"}\n'


def end_within(seconds: float) -> None:
    """Unless this process has ended by itself by then; exit code 142 to a shell.  Call it in the main thread."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _end() -> None:
    os.write(2, WORDS)
    os._exit(STANDS)


@define
class Watchdog:
    """Ends this process once the loop has not gone round for so many looks.  `end` does not return."""

    look_every: float = LOOK_EVERY
    looks: int = LOOKS
    end: Callable[[], None] = _end
    _rounds: int = 0
    _off: bool = False

    async def go_round(self) -> None:
        """Run this on the loop that is watched, for as long as it is to be."""
        thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        thread.start()  # now, while there is memory
        try:
            while True:
                self._rounds += 1
                await trio.sleep(self.look_every)
        finally:
            self._off = True

    def _watch(self) -> None:
        seen, vain = 0, 0
        while not self._off:
            try:
                sleep(self.look_every)
                vain = vain + 1 if self._rounds == seen else 0
                seen = self._rounds
            except MemoryError:
                continue  # it may be the loop that has what there is
            if vain >= self.looks:
                self.end()
                return
