"""Lastly: the end of a process that has nothing more to do and does not end.

Only the alarm may live here.  A node whose replication has ended by a fault sends nothing more, tells why and ends.  If
something keeps it from that (a sync that hangs, a thread that died for want of memory and is waited for), it would be
there for ever, and nobody would start it again.  So the system ends it: SIGALRM, as it is by default, takes no memory
and no thread, and asks nothing of a loop that stands still.
"""

from __future__ import annotations

import signal
from typing import Final

WITHIN: Final = 10.0  # seconds: what is left to do is to close a disk that may be slow


def end_within(seconds: float) -> None:
    """Unless this process has ended by itself by then; exit code 142 to a shell.  Call it in the main thread."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
