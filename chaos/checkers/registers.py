"""Registers: a workload whose answers tell enough to judge linearizability by, and its one-line model.

Pure.  Every operation answers with the value that it saw.  Values that are written are unique in a history, so that
what was seen names who wrote it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from attrs import frozen

_WORD: Final = b"register"
NOTHING: Final = b""  # of a register that nobody has written


@frozen
class Operation:
    """Read a register; write it; or write it if it holds `expected`."""

    key: bytes
    value: bytes | None = None  # None: read
    expected: bytes | None = None  # None: whatever it holds

    def after(self, value: bytes) -> bytes:
        """What the register holds behind it."""
        if self.value is None or self.expected not in {None, value}:
            return value
        return self.value


def encode(operation: Operation, name: int) -> bytes:
    """As a command; `name` tells equal operations apart."""
    parts = [_WORD, b"%d" % name, operation.key]
    parts += [part for part in (operation.value, operation.expected) if part is not None]
    return b" ".join(parts)


@lru_cache(maxsize=4096)
def decode(command: bytes) -> Operation | None:
    """The operation in a command; None if it is none."""
    word, *parts = command.split(b" ")
    if word != _WORD or not 2 <= len(parts) <= 4:
        return None
    return Operation(parts[1], *parts[2:])
