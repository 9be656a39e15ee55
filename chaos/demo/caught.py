"""Caught: a node that stops itself (SIGSTOP) in the middle of a write of an order.

`python -m chaos.demo.caught FILE node run ...`: only the patching before the product's own command line runs may live
here.  Once FILE is there, the next order that is about to be written is the one: its deadline is signed, the gate was
asked for the last time and said yes, and nothing is handed to the kernel yet.  Whoever wakes the node (SIGCONT) has it
write that order without another look, so what refuses it can only be the venue.  What is shipped knows nothing of it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chaos.demo.struck import product
from chaos.mutants.patches import Patches
from meltica.core.effects import CancelOrder, Effect
from meltica.core.values import Nanos
from meltica.venues.binance_spot.lane import Lane


def stopped() -> None:
    """The whole process, until somebody else lets it go on."""
    os.kill(os.getpid(), signal.SIGSTOP)


def patch(patches: Patches, armed: Path, stop: Callable[[], None] = stopped) -> None:
    """Have the last look at the gate stop the process behind it, once for each time that `armed` is made."""
    send = Lane.send

    def sends(self: Any, effect: Effect, send_by: Nanos, may_send: Callable[[], bool]) -> None:
        def looks() -> bool:
            may = may_send()
            if may and not isinstance(effect, CancelOrder) and _taken(armed):
                stop()
            return may

        send(self, effect, send_by, looks)

    patches.attribute(Lane, "send", sends)


def _taken(armed: Path) -> bool:
    try:
        armed.unlink()
    except FileNotFoundError:
        return False
    return True


def launch(words: Sequence[str], run: Callable[[Sequence[str]], object] = product) -> None:
    """The file that arms it, and the product's words."""
    armed, *rest = words
    with Patches() as patches:
        patch(patches, Path(armed))
        run(rest)


if __name__ == "__main__":
    launch(sys.argv[1:])
