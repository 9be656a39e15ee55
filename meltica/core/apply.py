"""Apply: the one function in which the replicated state changes.

Only the dispatch of commands to their rooms may live here.  `apply_entry` is total: whatever the bytes say it
returns a result for each command; it reads nothing but the state and the entry.
"""

from __future__ import annotations

from collections.abc import Sequence

from meltica.core.events import CommandResult
from meltica.core.state import State
from meltica.core.values import Epoch, Index


def apply_entry(state: State, index: Index, term: Epoch, commands: Sequence[bytes]) -> tuple[CommandResult, ...]:
    """Apply one committed entry to `state`, in place, and say what each of its commands did."""
    raise NotImplementedError
