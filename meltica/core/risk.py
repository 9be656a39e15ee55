"""Risk: the replicated risk state (design.md, rule 6).

Only its values may live here; the decision on an order is in `checks`, what commands do to it in `apply_risk`.
Halts and reduces are sets of causes, the tightest of which rules; only a `Resume` that names causes and the
index of the risk state that the operator saw takes one away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import field, frozen

from meltica.core.values import Index, Nanos, Trading

MAX_CAUSES: Final = 256  # of halts, and of reduces; further ones share one cause, `MORE`
MORE: Final = "more"
SHORT: Final = 200  # characters of an actor and of a reason in a record
_PLAIN: Final = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000)), "?")


def short(text: str) -> str:
    """`text` as records keep it: cut, without control characters and without halves of characters.

    By code points alone: what Unicode calls printable changes with the version of Python.
    """
    return text[:SHORT].translate(_PLAIN)


@frozen
class HaltRecord:
    """One cause of a halt."""

    cause: str
    index: Index  # of the entry that added it
    at: Nanos  # the log's clock then
    actor: str = ""  # the operator, or empty for the cluster itself
    reason: str = ""
    kill: bool = False  # every order of ours is to be gone as well
    leave_quotes: bool = False


@frozen
class ReduceRecord:
    """One cause for which positions may only shrink."""

    cause: str
    index: Index
    at: Nanos
    actor: str = ""
    reason: str = ""


@frozen
class RiskState:
    """All causes at once.  `index` is that of the entry which changed it last."""

    halts: Mapping[str, HaltRecord] = field(factory=dict)  # replaced, never changed in place
    reduces: Mapping[str, ReduceRecord] = field(factory=dict)
    index: int = 0

    @property
    def trading(self) -> Trading:
        """The tightest of all causes."""
        if self.halts:
            return Trading.HALTED
        return Trading.REDUCING if self.reduces else Trading.RUNNING

    @property
    def killed(self) -> bool:
        """Whether one of the halts is a kill: every order of ours is to be gone."""
        return any(halt.kill for halt in self.halts.values())
