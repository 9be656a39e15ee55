"""Collector: when the garbage collector may look, in simulations.

Only that may live here.  A run makes little garbage that counting references does not free, and walking the whole heap
over and over takes a tenth of the time.  So what was there before (imported modules, above all) is put out of its
sight, and it looks once a run, before it begins: at what the run before has left.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


def put_off() -> None:
    """For the rest of this process it looks only when it is told to; what is there now it never sees again."""
    gc.collect()
    gc.freeze()
    gc.disable()


@contextmanager
def put_off_while() -> Iterator[None]:
    """The same for as long as the block lasts; within such a block, a look at what was left since."""
    if not gc.isenabled():
        gc.collect()
        yield
        return
    put_off()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.enable()
