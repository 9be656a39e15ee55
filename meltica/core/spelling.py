"""Spelling: what most commands look like, as one regular expression for each class.

Only the quick way of reading a command may live here.  A class is spelt if its fields are scalars; what may be missing
and is no scalar, an operator's hand, is spelt as missing.  What the expression matches is canonical JSON, of which
`Form.read` makes the same value: a test holds the two against each other.  What does not match (a text with escapes,
a hand, anything wrong) is for `Form.read`, which reads it or says what is wrong with it.
"""

from __future__ import annotations

import enum
import re
import types
import typing
from collections.abc import Callable
from decimal import Decimal
from operator import itemgetter
from typing import Any, Final, Generic, TypeVar

from meltica.core.values import Money, Price, Quantity
from meltica.core.wire import MAX_NAME, MAX_STRING, PLAIN, SCALARS, Form, read_int, read_name

T = TypeVar("T")
Become = Callable[[str], Any] | None  # what the text of a group becomes; None: it is the value

# Of ASCII text: without what JSON escapes, and names without all that `wire.TEXT` refuses.
_NAME: Final = rf'"([^"\\/\x00-\x1f\x7f]{{1,{MAX_NAME}}})"'
_TEXT: Final = rf'"([^"\\\x00-\x1f]{{0,{MAX_STRING}}})"'
_INT: Final = "(0|[1-9][0-9]{0,17}|[1-8][0-9]{18})"  # not quite to `wire.MAX_INT`
_MONEY: Final = f'"({PLAIN.format(f=17, w=17)})"'
_AMOUNT: Final = f'"((?!-)(?:{PLAIN.format(f=17, w=17)}))"'
_KNOWN: Final[dict[Any, tuple[str, Become]]] = {
    str: (_TEXT, None),
    bool: ("(true|false)", "true".__eq__),
    Money: (_MONEY, Decimal),
    Price: (_AMOUNT, Decimal),
    Quantity: (_AMOUNT, Decimal),
    **{name: (_NAME, None) for name, (reader, _) in SCALARS.items() if reader is read_name},
    **{name: (_INT, int) for name, (reader, _) in SCALARS.items() if reader is read_int},
}


class Spelling(Generic[T]):
    """The quick way to read what `form` writes; raises LookupError if its class is not spelt."""

    def __init__(self, form: Form[T]) -> None:
        self._cls = form.cls
        hints = typing.get_type_hints(form.cls)
        spelt = {key: _spelt(hints[name]) for name, key in form.written.items()}
        said = [f'"{key}":' + (spelt[key][0] if key in spelt else f'"{form.kind}"') for key in form.keys]
        self._match = re.compile(f"\\{{{','.join(said)}\\}}").fullmatch
        keys = [key for key in form.keys if key in spelt]  # one group each
        becomes = [(place, spelt[key][1]) for place, key in enumerate(keys)]
        self._becomes = [(place, become) for place, become in becomes if become is not None]
        self._arguments = itemgetter(*[keys.index(key) for key in form.written.values()])

    def matches(self, text: str) -> bool:
        """Whether `read` reads it."""
        return self._match(text) is not None

    def read(self, text: str) -> T | None:
        """The value that the ASCII `text` writes; None: read it the slow way."""
        match = self._match(text)
        if match is None:
            return None
        plain: list[Any] = list(match.groups())
        for place, become in self._becomes:
            if plain[place] is not None:
                plain[place] = become(plain[place])
        return self._cls(*self._arguments(plain))


def _spelt(annotation: Any) -> tuple[str, Become]:
    """The expression of a field of this type, with one group."""
    if annotation in _KNOWN:
        return _KNOWN[annotation]
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        (inner,) = [argument for argument in typing.get_args(annotation) if argument is not types.NoneType]
        try:
            expression, become = _spelt(inner)
        except LookupError:
            return "null()", lambda _: None
        return f"(?:null|{expression})", become
    if isinstance(annotation, type) and issubclass(annotation, enum.StrEnum):
        by_word = {choice.value: choice for choice in annotation}
        return f'"({"|".join(map(re.escape, by_word))})"', by_word.__getitem__
    raise LookupError(f"no spelling of {annotation}")
