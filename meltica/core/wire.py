"""Wire: how a frozen class is written as canonical JSON, and strictly read back.

Only the conversion may live here; which classes travel is said in `codec` and `state`.  Canonical means: one
object, keys sorted, no white space, ASCII with JSON's own escapes, decimals as text in their shortest plain form,
enumerations as their words, tuples as lists, None as null, every field present.  Reading is strict both ways: what
is read, written again, is the same bytes.  A converter is built once for each class from its annotations; cattrs
would do the same at a fifth of the speed.
"""

from __future__ import annotations

import enum
import json
import re
import types
import typing
from collections.abc import Callable, Mapping
from decimal import Decimal
from operator import attrgetter, call, itemgetter
from typing import Any, Final, Generic, NoReturn, TypeVar

import attrs

from meltica.core import values
from meltica.core.values import BadValue, text_of

MAX_BYTES: Final = 200 * 1024  # of a command: a checkpoint of 64 KiB of letters fits with its escapes
MAX_INT: Final = (1 << 63) - 1
MAX_NAME: Final = 64
MAX_STRING: Final = 4096
MAX_ITEMS: Final = 10_000
# By code points alone: what Unicode calls printable changes with the version of Python, and apply may not (rule 7).
# Not ASCII alone: venues list assets in other scripts, and a balance that no log can carry would stop a takeover.
TEXT: Final = r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff{but}]{{1,{most}}}"
_NAME: Final = re.compile(TEXT.format(but="/", most=MAX_NAME)).fullmatch
PLAIN: Final = r"0|-?(?:0\.[0-9]{{0,{f}}}[1-9]|[1-9][0-9]{{0,{w}}}(?:\.[0-9]{{0,{f}}}[1-9])?)"
_NARROW: Final = re.compile(PLAIN.format(f=17, w=17), re.ASCII).fullmatch
# Sums and products of narrow ones: `exact.DIGITS`.
_WIDE: Final = re.compile(PLAIN.format(f=399, w=399), re.ASCII).fullmatch

Reader = Callable[[Any], Any]
Writer = Callable[[Any], str]  # a value in canonical JSON
Pair = tuple[Reader | None, Writer]
T = TypeVar("T")


def _no_float(text: str) -> NoReturn:
    raise BadValue(f"a number with a point, an exponent or no value: {text:.40}")


def decoding(decoder: json.JSONDecoder) -> Callable[[str], Any]:
    """What `decoder.decode` does: the one value that a text writes; ValueError if it writes none, or more.

    Most texts have no white space around it: `decode`, which skips that, is only asked about those that may have.
    """
    scan: Callable[[str, int], tuple[Any, int]] = decoder.scan_once  # type: ignore[attr-defined] # not in typeshed

    def decoded(text: str) -> Any:
        try:
            found, end = scan(text, 0)
        except StopIteration:
            end = -1
        return found if end == len(text) else decoder.decode(text)

    return decoded


_DECODED: Final = decoding(json.JSONDecoder(parse_float=_no_float, parse_constant=_no_float))


def _encoder() -> Callable[[Any], str]:
    """Compact JSON in the order given.  The C encoder is made once, where there is one: `encode` makes it each time."""
    plain = json.JSONEncoder(separators=(",", ":"), check_circular=False, allow_nan=False)
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return plain.encode
    chunks = make(None, plain.default, json.encoder.encode_basestring_ascii, None, ":", ",", False, False, False)
    return lambda value: "".join(chunks(value, 0))


encode: Final = _encoder()


def parse(raw: bytes, limit: int | None = MAX_BYTES) -> dict[str, Any]:
    """The object that `raw` writes in canonical form, key order aside; raises BadValue on anything else."""
    if limit is not None and len(raw) > limit:
        raise BadValue(f"expected at most {limit} bytes, found {len(raw)}")
    try:
        text = raw.decode("ascii")
        found = _DECODED(text)
    except BadValue:
        raise
    except (ValueError, RecursionError):  # its text differs between versions of Python, so it is not repeated
        raise BadValue("not JSON in ASCII") from None
    if type(found) is not dict:
        raise BadValue("not a JSON object")
    if encode(found) != text:
        raise BadValue("not canonical JSON: white space, a repeated key, or an escape that is not needed")
    return found


# --- readers and writers of scalars --------------------------------------------------------------------------


def read_int(value: object) -> int:
    """A whole number from 0 to 2^63 - 1."""
    if type(value) is int and 0 <= value <= MAX_INT:
        return value
    raise BadValue(f"expected a whole number from 0 to {MAX_INT}, found {_short(value)}")


def read_bool(value: object) -> bool:
    """True or false."""
    if type(value) is bool:
        return value
    raise BadValue(f"expected true or false, found {_short(value)}")


def read_name(value: object) -> str:
    """A name that may be part of a key: 1 to 64 characters, no slash, no control character and no half of one."""
    if type(value) is str and _NAME(value):
        return value
    raise BadValue(f"expected 1 to {MAX_NAME} printable characters without a slash, found {_short(value)}")


def text_reader(limit: int) -> Reader:
    """Reads any text of at most `limit` characters."""

    def read_text(value: object) -> str:
        if type(value) is str and len(value) <= limit:
            return value
        raise BadValue(f"expected text of at most {limit} characters, found {_short(value)}")

    return read_text


def read_any_text(value: object) -> str:
    """Any text."""
    if type(value) is str:
        return value
    raise BadValue(f"expected text, found {_short(value)}")


def bytes_reader(limit: int) -> Reader:
    """Reads any text of at most `limit` bytes as UTF-8."""

    def read_bytes(value: object) -> str:
        if type(value) is str and len(value) <= limit and len(value.encode("utf-8", "surrogatepass")) <= limit:
            return value
        raise BadValue(f"expected text of at most {limit} bytes as UTF-8, found {_short(value)}")

    return read_bytes


def read_decimal(value: object) -> Decimal:
    """A signed decimal of at most 18 digits a side, in its shortest plain form."""
    if type(value) is str and _NARROW(value):
        return Decimal(value)
    raise BadValue(f"expected a plain decimal as text, at most 18 digits a side, found {_short(value)}")


def read_amount(value: object) -> Decimal:
    """The same, not below zero."""
    if type(value) is str and _NARROW(value) and value[0] != "-":
        return Decimal(value)
    raise BadValue(f"expected a plain decimal as text, not below 0, at most 18 digits a side, found {_short(value)}")


def read_wide(value: object) -> Decimal:
    """A signed decimal of any size that apply's sums and products reach."""
    if type(value) is str and _WIDE(value):
        return Decimal(value)
    raise BadValue(f"expected a plain decimal as text, found {_short(value)}")


def write_decimal(value: Decimal) -> str:
    """The shortest plain form; raises BadValue where the reader would."""
    text = text_of(value) if type(value) is Decimal else "no decimal"
    if _NARROW(text):
        return text
    raise BadValue(f"expected a finite decimal of at most 18 digits a side, found {text:.60}")


write_text: Final[Writer] = json.encoder.encode_basestring_ascii


def write_int(value: object) -> str:
    """A whole number; raises BadValue on anything else, as its text could be another value's."""
    if type(value) is int:
        return repr(value)
    raise BadValue(f"expected a whole number, found {_short(value)}")


def write_bool(value: object) -> str:
    """True or false; raises BadValue on anything else."""
    if type(value) is bool:
        return "true" if value else "false"
    raise BadValue(f"expected true or false, found {_short(value)}")


def _write_narrow(value: Decimal) -> str:
    return f'"{write_decimal(value)}"'


def _write_wide(value: Decimal) -> str:
    return f'"{text_of(value)}"'


def _short(value: object) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    return f"{value!r:.60}"


_NAMES: Final = (
    values.Venue,
    values.Account,
    values.Asset,
    values.Symbol,
    values.StrategyId,
    values.NodeName,
    values.ClientOrderId,
    values.VenueOrderId,
    values.RequestId,
)
_INTS: Final = (values.TradeId, values.Epoch, values.Index, values.Nanos, int)
_TEXT: Final = text_reader(MAX_STRING)

SCALARS: Final[dict[Any, Pair]] = {
    **dict.fromkeys(_NAMES, (read_name, write_text)),
    **dict.fromkeys(_INTS, (read_int, write_int)),
    values.Price: (read_amount, _write_narrow),
    values.Quantity: (read_amount, _write_narrow),
    values.Money: (read_decimal, _write_narrow),
    str: (_TEXT, write_text),
    bool: (read_bool, write_bool),
}
# What apply itself has computed and stored may be wider and of any sign.
WIDE_SCALARS: Final[dict[Any, Pair]] = {
    **SCALARS,
    **dict.fromkeys((values.Price, values.Quantity, values.Money), (read_wide, _write_wide)),
    str: (read_any_text, write_text),
}


# --- classes ---------------------------------------------------------------------------------------------------


class Form(Generic[T]):
    """The canonical form of one frozen class; `kind`, if given, is written beside the fields."""

    def __init__(
        self,
        cls: type[T],
        scalars: Mapping[Any, Pair] = SCALARS,
        kind: str | None = None,
        special: Mapping[str, Pair] | None = None,
    ) -> None:
        self.cls = cls
        self.kind = kind
        hints = typing.get_type_hints(cls)
        names = [field.name for field in attrs.fields(cls)]  # type: ignore[arg-type] # attrs' own bound on its classes
        # A field that is itself called `kind` (Discrepancy's) is written as `what`, beside the wire word.
        self.written = written = {name: "what" if name == "kind" and kind is not None else name for name in names}
        fields = sorted(names, key=written.__getitem__)
        pairs = {name: (special or {}).get(name) or pair_of(hints[name], scalars) for name in names}
        self.keys = tuple(sorted([*written.values(), *([] if kind is None else ["kind"])]))
        places = {key: place for place, key in enumerate(self.keys)}
        read = {name: reader for name, (reader, _) in pairs.items() if reader is not None}
        self._readers = [(places[written[name]], read[name]) for name in fields if name in read]
        self._writers = [pairs[name][1] for name in fields]
        # What is the same in every value, with a place for what is not.
        said = [f'"kind":"{kind}"' if kind is not None and key == "kind" else f'"{key}":%s' for key in self.keys]
        self._template = f"{{{','.join(said)}}}"
        self._get = attrgetter(*fields) if len(fields) > 1 else _single(attrgetter(*fields))
        order = [places[written[name]] for name in names]
        self._arguments = itemgetter(*order) if len(order) > 1 else _single(itemgetter(*order))

    def read(self, found: object) -> T:
        """The value that the parsed object `found` describes; raises BadValue."""
        if type(found) is not dict or tuple(found) != self.keys:
            raise BadValue(f"expected exactly the fields {', '.join(self.keys)} in this order, found {_fields(found)}")
        plain = list(found.values())
        place = 0
        try:
            for place, reader in self._readers:
                plain[place] = reader(plain[place])
        except BadValue as error:
            raise BadValue(f"{self.keys[place]}: {error}") from None
        return self.cls(*self._arguments(plain))

    def text(self, value: T) -> str:
        """`value` as an object in canonical JSON."""
        return self._template % tuple(map(call, self._writers, self._get(value)))

    def write(self, value: T) -> bytes:
        """`value` in canonical form."""
        return self.text(value).encode("ascii")

    def load(self, raw: bytes) -> T:
        """The inverse of `write`, whatever its size: what was once stored must load; raises BadValue."""
        return self.read(parse(raw, None))


def _fields(found: object) -> str:
    return f"{', '.join(found):.200}" if isinstance(found, dict) else _short(found)


def _single(get: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    return lambda source: (get(source),)


def pair_of(annotation: Any, scalars: Mapping[Any, Pair]) -> Pair:
    """Reader and writer for a field of this type."""
    if annotation in scalars:
        return scalars[annotation]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (types.UnionType, typing.Union):
        (inner,) = [argument for argument in arguments if argument is not type(None)]
        return _optional(*pair_of(inner, scalars))
    if origin is tuple and arguments[-1] is Ellipsis:
        return _many(*pair_of(arguments[0], scalars))
    if origin is tuple:
        return _product([pair_of(argument, scalars) for argument in arguments])
    if origin is Mapping:
        return _mapping(pair_of(arguments[0], scalars)[0], *pair_of(arguments[1], scalars))
    if isinstance(annotation, type) and issubclass(annotation, enum.StrEnum):
        return _words(annotation)
    form: Form[Any] = Form(annotation, scalars)
    return form.read, form.text


def _words(choices: type[enum.StrEnum]) -> Pair:
    by_word = {choice.value: choice for choice in choices}

    def read(value: object) -> enum.StrEnum:
        if type(value) is str and value in by_word:
            return by_word[value]
        raise BadValue(f"expected one of {', '.join(by_word)}, found {_short(value)}")

    return read, write_text


def _optional(reader: Reader | None, writer: Writer) -> Pair:
    def read(value: object) -> Any:
        return value if value is None or reader is None else reader(value)

    return read, lambda value: "null" if value is None else writer(value)


def _many(reader: Reader | None, writer: Writer) -> Pair:
    def read(value: object) -> tuple[Any, ...]:
        if type(value) is not list or len(value) > MAX_ITEMS:
            raise BadValue(f"expected a list of at most {MAX_ITEMS}, found {_short(value)}")
        return tuple(value) if reader is None else tuple([reader(item) for item in value])

    return read, lambda value: f"[{','.join(map(writer, value))}]" if value else "[]"


def _product(pairs: list[Pair]) -> Pair:
    def read(value: object) -> tuple[Any, ...]:
        if type(value) is not list or len(value) != len(pairs):
            raise BadValue(f"expected a list of {len(pairs)}, found {_short(value)}")
        return tuple([item if pair[0] is None else pair[0](item) for item, pair in zip(value, pairs, strict=True)])

    writers = [pair[1] for pair in pairs]

    def write(value: tuple[Any, ...]) -> str:
        return f"[{','.join(map(call, writers, value))}]"

    return read, write


def _mapping(key_reader: Reader | None, reader: Reader | None, writer: Writer) -> Pair:
    def read(value: object) -> dict[Any, Any]:
        if type(value) is not dict or list(value) != sorted(value):
            raise BadValue(f"expected an object with sorted keys, found {_short(value)}")
        return {
            key if key_reader is None else key_reader(key): item if reader is None else reader(item)
            for key, item in value.items()
        }

    def write(value: Mapping[str, Any]) -> str:
        return f"{{{','.join([f'{write_text(key)}:{writer(value[key])}' for key in sorted(value)])}}}"

    return read, write
