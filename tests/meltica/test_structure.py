"""Plain data becomes typed values strictly, and all that does not fit is told at once, each with its path."""

from __future__ import annotations

import enum
from decimal import Decimal
from typing import Annotated, NewType

import pytest
from attrs import field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from meltica.structure import Misfit, Rule, Unfit, Wrong, matching, read, strict_converter

Name = NewType("Name", str)
Short = matching("[a-z]{1,3}", "1 to 3 letters")


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


@frozen
class Leaf:
    name: Annotated[Name, Short]
    count: Annotated[int, Rule("a whole number above 0", lambda number: number > 0)] = 1


@frozen
class Tree:
    leaves: tuple[Leaf, ...]
    colour: Colour = Colour.RED
    height: Decimal = Decimal(1)
    green: bool = False
    tag: str | None = None
    amounts: dict[str, Decimal] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if self.green and self.colour is Colour.RED:
            raise Wrong("true", "false where it is red", "green")


def tree(data):
    return read(strict_converter(), data, Tree)


def misfits(data):
    with pytest.raises(Unfit) as caught:
        tree(data)
    return caught.value.misfits


def test_what_fits_is_read():
    data = {"leaves": [{"name": "a"}, {"name": "b", "count": 2}], "colour": "blue", "height": "1.50", "green": True}
    assert tree({**data, "amounts": {"x": "2"}}) == Tree(
        (Leaf(Name("a")), Leaf(Name("b"), 2)), Colour.BLUE, Decimal("1.50"), True, None, {"x": Decimal(2)}
    )


def test_everything_that_is_wrong_is_told_at_once():
    data = {
        "leaves": [{"name": "abcd", "count": "1"}, 7, {"count": 0, "size": 1, "coumt": 2}],
        "colour": "green",
        "height": 1.5,
        "green": 1,
        "tag": 5,
        "amounts": {"x": "1e5", "a b": True},
    }
    decimal = 'a plain decimal as text, like "1.5", at most 18 digits on each side of the point'
    assert misfits(data) == [
        Misfit("leaves[0].name", "'abcd' (str)", "1 to 3 letters"),
        Misfit("leaves[0].count", "'1' (str)", "a whole number above 0"),
        Misfit("leaves[1]", "7 (int)", "a table"),
        Misfit("leaves[2].name", "nothing", "1 to 3 letters (required)"),
        Misfit("leaves[2].count", "0 (int)", "a whole number above 0"),
        Misfit("leaves[2].coumt", "an unknown key", "'count' (is that what was meant?)"),
        Misfit("leaves[2].size", "an unknown key", "count, name"),
        Misfit("colour", "'green' (str)", '"red", "blue"'),
        Misfit("height", "1.5 (float)", decimal),
        Misfit("green", "1 (int)", "true or false"),
        Misfit("tag", "5 (int)", "text"),
        Misfit("amounts.x", "'1e5' (str)", decimal),
        Misfit("amounts.'a b'", "True (bool)", decimal),
    ]
    assert str(misfits({"leaves": [], "tag": 5})[0]) == "tag: found 5 (int); allowed: text"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("leaves", "ab"), ("leaves", {"name": "a"}), ("leaves", None), ("colour", None), ("height", 1),
        ("height", "NaN"), ("green", "true"), ("green", 0), ("tag", ["x"]), ("amounts", [["x", "1"]]), ("amounts", "x"),
    ],
)  # fmt: skip
def test_nothing_is_coerced(key, value):
    assert [one.path for one in misfits({"leaves": [], key: value})] == [key]


def test_a_class_says_what_does_not_fit_together():
    assert misfits({"leaves": [], "green": True}) == [Misfit("green", "true", "false where it is red")]


@pytest.mark.parametrize("data", [None, 5, "leaves", [], ["leaves"]])
def test_what_is_no_table_at_all(data):
    (one,) = misfits(data)
    assert (one.path, one.allowed) == ("", "a table")
    assert str(one).startswith("found ")


def test_what_is_huge_is_told_shortly():
    nested: list = []
    for _ in range(100_000):
        nested = [nested]
    (one,) = misfits({"leaves": [], "tag": nested})
    assert one.found == "too much to show (list)"
    (one,) = misfits({"leaves": [], "tag": 1 << 20_000})
    assert one.found == "too much to show (int)"
    (one,) = misfits({"leaves": [{}] * 1_001})
    assert one.found == "1001 entries"
    unknown = misfits({"leaves": [], **{f"key{number}": 1 for number in range(500)}})
    assert len(unknown) == 11
    assert unknown[-1].found == "490 more unknown keys"
    (one,) = misfits({"leaves": [], "x" * 9_000 + "\n": 1})
    assert len(one.path) < 100


def test_a_fault_of_a_hook_is_no_misfit():
    converter = strict_converter()
    converter.register_structure_hook(Leaf, lambda _, __: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        read(converter, {"leaves": [1]}, Tree)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["red", "1", "a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["leaves", "name", "count", "x", "tag", "amounts"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=150)
@given(PLAIN)
def test_whatever_the_data_it_is_a_value_or_misfits(data):
    wrong = []
    try:
        assert isinstance(tree(data), Tree)
    except Unfit as unfit:
        wrong = unfit.misfits or [Misfit("", "", "")]
    assert all(one.found and one.allowed for one in wrong)
