"""Preparing: the machine's next state is made from what is staged, before it is installed, a bounded piece at a time.

Pure, over the machine's face.  What is made is the machine's own affair (`cluster.types.Coming`), and apart from the
state that it lives on: so whatever ends it, a log that was faster or the process, costs nothing but what was made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cluster.snapshot.faces import Pair
from cluster.types import Coming, LogIndex


class Making:
    """One state on its way; `coming` is it."""

    def __init__(self, coming: Coming, applied: int, read: Callable[[bytes, int], Sequence[Pair]], most: int) -> None:
        """Stored with `applied`; `read` gives the pairs behind a key, about so many bytes of them, `most` at once."""
        self.coming = coming
        self._applied = LogIndex(applied)
        self._read = read
        self._most = most
        self._after = b""  # read up to this key
        self._pairs: Sequence[Pair] = ()  # read, and not taken

    def step(self) -> bool:
        """One piece; whether it is whole.

        Raises:
            StoreFault: it can't be read.
            Exception: whatever the machine raises of a state that it can't have.
        """
        if not self._pairs:
            self._pairs = self._read(self._after, self._most)
            if not self._pairs:
                self.coming.end(self._applied)
                return True
            self._after = self._pairs[-1][0]
        self._pairs = self._pairs[self.coming.take(self._pairs) :]
        return False


class Leavings:
    """States that nobody needs any more, and that go piece by piece."""

    def __init__(self) -> None:
        self._going: list[Coming] = []

    def __bool__(self) -> bool:
        return bool(self._going)

    def add(self, making: Making | None) -> None:
        """It was taken over, or never will be."""
        if making is not None:
            self._going.append(making.coming)

    def step(self) -> None:
        """One piece."""
        if self._going and not self._going[0].leave():
            del self._going[0]
