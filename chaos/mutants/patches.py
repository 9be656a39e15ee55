"""Patches: changes of the running program that are all taken back at the end.

Only replacing and restoring may live here.  What is replaced must exist: a seam that has moved fails loudly.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, MutableMapping
from inspect import Parameter, signature
from types import TracebackType
from typing import Any, Final, Self

from attrs import frozen

_MISSING: Final = object()
_OURS: Final = ("meltica", "cluster", "chaos")


@frozen
class Change:
    """One thing replaced: `read` gives what stands there now."""

    where: str
    before: object
    read: Callable[[], object]


class Patches:
    """Context manager; everything that was changed through it is restored when it ends, the newest first."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self._undo: list[Callable[[], None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        while self._undo:
            self._undo.pop()()

    def attribute(self, owner: Any, name: str, value: object) -> None:
        """Replace a module's or a class's attribute; one that a class inherits is shadowed.

        Raises:
            AttributeError: there is no such attribute, or it takes other arguments: the seam has moved.
        """
        own = vars(owner).get(name, _MISSING)
        if not _takes_the_same(getattr(owner, name), value):
            raise AttributeError(f"{owner.__name__}.{name} takes other arguments than its replacement")
        self.changes.append(Change(f"{owner.__name__}.{name}", getattr(owner, name), lambda: getattr(owner, name)))
        setattr(owner, name, value)
        self._undo.append(lambda: delattr(owner, name) if own is _MISSING else setattr(owner, name, own))

    def item(self, table: Any, key: Any, value: object) -> None:
        """Replace an entry of a table; raises KeyError if it has none."""
        mapping: MutableMapping[Any, Any] = table
        before = mapping[key]
        if not _takes_the_same(before, value):
            raise AttributeError(f"[{key!r}] takes other arguments than its replacement")
        self.changes.append(Change(f"[{key!r}]", before, lambda: mapping[key]))
        mapping[key] = value
        self._undo.append(lambda: mapping.__setitem__(key, before))

    def everywhere(self, before: object, after: object) -> None:
        """Replace a function in every module of ours that has it under some name; raises LookupError if none has."""
        found = [
            (module, name)
            for key, module in sorted(sys.modules.items())
            if key.partition(".")[0] in _OURS
            for name, value in list(vars(module).items())
            if value is before
        ]
        if not found:
            raise LookupError(f"no module has {before!r}")
        for module, name in found:
            self.attribute(module, name, after)


def _takes_the_same(before: object, after: object) -> bool:
    """Whether a function can stand for another: else every call would raise, and whatever comes of that is no catch."""
    if not callable(before) or not callable(after):
        return True
    try:
        asked, given = signature(before).parameters.values(), signature(after)
    except ValueError:  # a builtin that does not say
        return True
    by_place = [p for p in asked if p.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)]
    by_name = {p.name: None for p in asked if p.kind is Parameter.KEYWORD_ONLY}
    try:
        given.bind(*by_place, **by_name)
    except TypeError:
        return False
    return True
