"""Every Hypothesis generator of the house, in one file.

`commands()` makes any well-formed command; `scripts()` makes moves of a market maker's day, legal and illegal mixed,
that `tests/meltica/core/test_model.py` turns into commands against the state as it is.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import attrs
from hypothesis import strategies as st

from meltica.core import values as v
from meltica.core.kinds import KINDS
from meltica.core.values import EXACT
from meltica.core.wire import MAX_INT

_PRINTABLE = st.characters(codec="utf-8", exclude_characters="/", exclude_categories=("C", "Z"))

whole = st.integers(0, MAX_INT) | st.integers(0, 1000)
names = st.text(_PRINTABLE, min_size=1, max_size=64)
texts = st.text(max_size=60)


@st.composite
def decimals(draw: st.DrawFn, *, signed: bool = False) -> Decimal:
    """Any accepted decimal: up to 18 digits either side of the point."""
    digits = draw(st.integers(0, 10**36 - 1) | st.integers(0, 10**20) | st.sampled_from([0, 1, 10**18]))
    value = Decimal(digits).scaleb(-18, EXACT)  # the default context would round to 28 digits
    return value.copy_negate() if signed and draw(st.booleans()) else value


_SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    **dict.fromkeys((v.Price, v.Quantity), decimals()),
    v.Money: decimals(signed=True),
    **dict.fromkeys((v.TradeId, v.Epoch, v.Index, v.Nanos, int), whole),
    **dict.fromkeys((v.Venue, v.Account, v.Asset, v.Symbol, v.StrategyId, v.NodeName), names),
    **dict.fromkeys((v.ClientOrderId, v.VenueOrderId, v.RequestId), names),
    str: texts,
    bool: st.booleans(),
}


def of_type(annotation: Any) -> st.SearchStrategy[Any]:
    """Any value that a field of this type may have."""
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (types.UnionType, typing.Union):
        return st.one_of([st.none() if one is type(None) else of_type(one) for one in arguments])
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(of_type(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*[of_type(one) for one in arguments])
    if origin is Mapping:
        return st.dictionaries(of_type(arguments[0]), of_type(arguments[1]), max_size=3)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return st.sampled_from(annotation)
    return instances(annotation)


def instances(cls: type) -> st.SearchStrategy[Any]:
    """Any value of a frozen class."""
    hints = typing.get_type_hints(cls)
    return st.builds(cls, **{field.name: of_type(hints[field.name]) for field in attrs.fields(cls)})


def commands(*kinds: str) -> st.SearchStrategy[Any]:
    """Any well-formed command, or one of these kinds."""
    return st.sampled_from(kinds or tuple(KINDS)).flatmap(lambda kind: instances(KINDS[kind]))


garbage = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [b"", b"{}", b"null", b"[]", b'{"kind":"submit"}', b"[" * 5000, b'{"kind":["submit"]}', b"1" * 5000]
    ),
    st.dictionaries(texts, st.none() | st.integers() | texts, max_size=4).map(lambda one: repr(one).encode()),
)


@attrs.frozen
class Move:
    """One thing that happens; the numbers pick among what there is, and are taken modulo how many there are."""

    what: str
    pick: int
    size: int
    price: int
    flag: bool


MOVES = (
    *("submit",) * 18,
    *("accept",) * 10,
    *("fill",) * 12,
    *("update",) * 8,
    *("cancel",) * 5,
    *("cancel_answer",) * 6,
    *("not_found",) * 4,
    *("doubt",) * 3,
    *("resume",) * 8,
    *("wait",) * 3,
    *("fill_again",) * 2,
    *("foreign_fill",) * 2,
    *("late_order_id",) * 2,
    *("epoch",) * 2,
    *("reduce",) * 2,
    "halt",
    "kill",
    "refuse",
    "lapse",
    "release",
    "low_water",
    "garbage",
    "stale",
    "limits",
)


def scripts(size: int = 60) -> st.SearchStrategy[list[Move]]:
    """A day of moves."""
    move = st.builds(
        Move,
        st.sampled_from(MOVES),
        st.integers(0, 30),
        st.integers(1, 40),
        st.integers(-3, 3),
        st.booleans(),
    )
    return st.lists(move, min_size=size // 2, max_size=size)
