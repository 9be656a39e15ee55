"""Structure: untrusted plain data (JSON, TOML) into typed frozen values, by cattrs and strictly.

Only the strict converter, the rules that annotations carry, and how what does not fit is told may live here; what
a field means is told where its class is.  Nothing is coerced: `1` is no text, `"1"` no number, `true` neither; a
decimal is written as text; an unknown key is an error.  Every misfit is found at once, each with its path, what was
found and what is allowed.
"""

from __future__ import annotations

import difflib
import enum
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, NoReturn, TypeVar, get_args, get_origin

from attrs import fields_dict, frozen, has
from cattrs import (
    BaseValidationError,
    ClassValidationError,
    Converter,
    ForbiddenExtraKeysError,
    IterableValidationError,
)
from cattrs.cols import homogenous_tuple_structure_factory, is_mapping, mapping_structure_factory

from meltica.core.values import BadValue, decimal_of

SHOWN: Final = 60  # characters of a bad value that a message repeats
MOST: Final = 1_000  # entries of a list or table; no honest one is near it
TOLD: Final = 10  # unknown keys of one table; the rest is counted

Hook = Callable[[Any, Any], Any]
T = TypeVar("T")


@frozen
class Misfit:
    """One thing that does not fit: where it stands (`accounts[0].name`), what was found, what is allowed."""

    path: str
    found: str
    allowed: str

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{where}found {self.found}; allowed: {self.allowed}"


class Wrong(ValueError):
    """Raised by a hook or a class whose value does not fit; `path` leads on from what is being read."""

    def __init__(self, found: str, allowed: str, path: str = "") -> None:
        super().__init__(found, allowed, path)
        self.found = found
        self.allowed = allowed
        self.path = path


class Unfit(ValueError):
    """Plain data that is not of the type asked for; `misfits` has all that is wrong."""

    def __init__(self, misfits: list[Misfit]) -> None:
        super().__init__("\n".join(str(misfit) for misfit in misfits))
        self.misfits = misfits


@frozen
class Rule:
    """What holds of a value besides its type: `Annotated[int, Rule("a whole number above 0", lambda n: n > 0)]`.

    `allowed` says all of what is allowed, the type too; `holds` sees values of that type alone.
    """

    allowed: str
    holds: Callable[[Any], bool]


def matching(pattern: str, allowed: str) -> Rule:
    """Text that matches `pattern` wholly."""
    whole = re.compile(pattern)
    return Rule(allowed, lambda text: whole.fullmatch(text) is not None)


# --- reading ----------------------------------------------------------------------------------------------------


def strict_converter() -> Converter:
    """A converter that coerces nothing.  Callers may register hooks of their own, which raise Wrong.

    It is strict with str, int, bool, Decimal, StrEnums, `tuple[T, ...]`, dicts, attrs' classes, NewTypes and
    `Annotated` of these, and optional ones; do not ask it for other types.
    """
    converter = Converter(forbid_extra_keys=True, detailed_validation=True)
    for kind in (str, int, bool):
        converter.register_structure_hook(kind, _exactly)
    converter.register_structure_hook(Decimal, _decimal)
    converter.register_structure_hook(enum.StrEnum, _word)
    converter.register_structure_hook_factory(_is_tuple, _tuple_hook)
    converter.register_structure_hook_factory(is_mapping, _mapping_hook)
    converter.register_structure_hook_factory(has, _class_hook)
    converter.register_structure_hook_factory(_is_annotated, _annotated_hook)
    return converter


def read(converter: Converter, data: object, kind: type[T]) -> T:
    """`data` as a `kind`.  Raises Unfit with every misfit."""
    try:
        return converter.structure(data, kind)
    except (BaseValidationError, Wrong) as error:
        raise Unfit(errors_of(error)) from None


def _is(kind: object, base: type) -> bool:
    return isinstance(kind, type) and issubclass(kind, base)


def _is_tuple(kind: object) -> bool:
    return get_origin(kind) is tuple


def _is_annotated(kind: Any) -> bool:
    return hasattr(kind, "__metadata__")


def _refuse(found: object, kind: object) -> NoReturn:
    raise Wrong(shown(found), allowed_of(kind))


def _exactly(found: object, kind: type) -> object:
    if type(found) is not kind:  # not isinstance: true is no number
        _refuse(found, kind)
    return found


def _decimal(found: object, kind: type) -> Decimal:
    try:
        return decimal_of(found)
    except BadValue:
        _refuse(found, kind)


def _word(found: object, kind: type[enum.StrEnum]) -> enum.StrEnum:
    if not isinstance(found, str) or found not in tuple(kind):
        _refuse(found, kind)
    return kind(found)


def _tuple_hook(kind: Any, converter: Converter) -> Hook:
    return _guarded(list, homogenous_tuple_structure_factory(kind, converter))


def _mapping_hook(kind: Any, converter: Converter) -> Hook:
    return _guarded(dict, mapping_structure_factory(kind, converter, dict, detailed_validation=True))


def _class_hook(kind: Any, converter: Converter) -> Hook:
    return _guarded(dict, converter.gen_structure_attrs_fromdict(kind))


def _guarded(plain: type[Collection[object]], inner: Hook) -> Hook:
    """The hook of cattrs for what is made of several parts, once it is one: it would iterate over a text too."""

    def hook(found: Any, kind: Any) -> Any:
        if not isinstance(found, plain):
            _refuse(found, kind)
        if len(found) > MOST:
            raise Wrong(f"{len(found)} entries", f"{allowed_of(kind)}, with at most {MOST}")
        return inner(found, kind)

    return hook


def _annotated_hook(kind: Any, converter: Converter) -> Hook:
    base, *notes = get_args(kind)
    inner = converter.get_structure_hook(base)
    rules = [note for note in notes if isinstance(note, Rule)]

    def hook(found: Any, _: Any) -> Any:
        try:
            value = inner(found, base)
        except Wrong:
            _refuse(found, kind)
        for rule in rules:
            if not rule.holds(value):
                raise Wrong(shown(found), rule.allowed)
        return value

    return hook


# --- telling ----------------------------------------------------------------------------------------------------


def errors_of(error: Exception, path: str = "") -> list[Misfit]:
    """Every misfit in what a strict converter raised, in the order of the fields; `path` leads to what was read.

    Raises `error` itself where it is none of those: then a hook has a fault.
    """
    if isinstance(error, IterableValidationError):
        return _inner_errors(error, lambda note: _at(path, note.index), path)
    if isinstance(error, ClassValidationError):
        return _inner_errors(error, lambda note: _under(path, note.name), path)
    if isinstance(error, ForbiddenExtraKeysError):
        return _unknown(sorted(error.extra_fields), list(fields_dict(error.cl)), path)
    if isinstance(error, Wrong):
        return [Misfit(_under(path, error.path), error.found, error.allowed)]
    raise error


def _inner_errors(
    group: IterableValidationError | ClassValidationError, place: Callable[[Any], str], path: str
) -> list[Misfit]:
    noted, bare = group.group_exceptions()
    found = []
    for error, note in noted:
        if isinstance(error, KeyError):  # cattrs' word for a field that is not there
            found.append(Misfit(place(note), "nothing", f"{allowed_of(note.type)} (required)"))
        else:
            found += errors_of(error, place(note))
    for error in bare:
        found += errors_of(error, path)
    return found


def _unknown(keys: list[str], known: list[str], path: str) -> list[Misfit]:
    told = [Misfit(_under(path, _bare(key)), "an unknown key", meant(key, known)) for key in keys[:TOLD]]
    if len(keys) > TOLD:
        told.append(Misfit(path, f"{len(keys) - TOLD} more unknown keys", "none of them"))
    return told


def meant(key: str, known: Iterable[str]) -> str:
    """The key that `key` may be a slip of, or else all that are known."""
    near = difflib.get_close_matches(key[:SHOWN], list(known), 1)
    return f"{near[0]!r} (is that what was meant?)" if near else ", ".join(sorted(known)) or "no key"


def shown(value: object) -> str:
    """A bad value as a message repeats it: short, and its type where the text alone would not tell."""
    if isinstance(value, Mapping):
        return "a table" if value else "an empty table"
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested, or a number with thousands of digits
        return f"too much to show ({type(value).__name__})"
    short = text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
    return f"{short} ({type(value).__name__})"


PLAIN: Final[Mapping[object, str]] = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    Decimal: 'a plain decimal as text, like "1.5", at most 18 digits on each side of the point',
    tuple: "a list",
}


def allowed_of(kind: Any) -> str:
    """In words, what is allowed for `kind`."""
    for note in getattr(kind, "__metadata__", ()):
        if isinstance(note, Rule):
            return note.allowed
    if hasattr(kind, "__supertype__"):
        return allowed_of(kind.__supertype__)
    if _is(kind, enum.StrEnum):
        return ", ".join(f'"{word}"' for word in kind)
    return PLAIN.get(get_origin(kind) or kind, "a table")


def _under(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name


def _at(path: str, index: int | str) -> str:
    if isinstance(index, int):
        return f"{path}[{index}]"
    return _under(path, _bare(index))


def _bare(key: str) -> str:
    return key if re.fullmatch(r"[\w-]{1,40}", key, re.ASCII) else f"{key!r:.{SHOWN}}"
