"""The client order id of contracts.md, section 1."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meltica.core.ids import IdParts, crc8, is_ours, make_id, mandate_id, parse_id
from meltica.core.values import Epoch, Index


def test_an_id_is_its_parts_in_order_and_their_check() -> None:
    name = make_id("c0ffee", Epoch(7), Index(1234), 2)
    assert name[:-2] == "c0ffee" + "00000007" + "0000000004d2" + "0002"
    assert name == "c0ffee000000070000000004d200024c"
    assert parse_id(name) == IdParts("c0ffee", Epoch(7), Index(1234), 2)


def test_the_check_is_the_published_crc() -> None:
    """The catalogue's value for CRC-8/SMBUS of the nine digits."""
    assert crc8(b"123456789") == 0xF4


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**48 - 1), st.integers(0, 2**16 - 1))
def test_parsing_undoes_making(epoch: int, index: int, place: int) -> None:
    name = make_id("00ffaa", Epoch(epoch), Index(index), place)
    assert parse_id(name) == IdParts("00ffaa", Epoch(epoch), Index(index), place)
    assert len(name) == 32
    assert is_ours(name, "00ffaa")
    assert not is_ours(name, "00ffab")


@given(st.integers(0, 31), st.sampled_from("0123456789abcdef"))
def test_one_wrong_digit_is_seen(place: int, digit: str) -> None:
    name = make_id("c0ffee", Epoch(1), Index(2), 3)
    wrong = name[:place] + digit + name[place + 1 :]
    assert (parse_id(wrong) is None) == (wrong != name)


@pytest.mark.parametrize("text", ["", "x" * 32, "C0FFEE000000070000000004D2000200", "c0ffee", "٣" * 32])
def test_foreign_ids_are_not_ours(text: str) -> None:
    assert parse_id(text) is None


def test_ids_sort_by_epoch_then_index_then_place() -> None:
    names = [make_id("c0ffee", Epoch(e), Index(i), p) for e in (1, 20) for i in (2, 300) for p in (0, 11)]
    assert names == sorted(names)


def test_a_mandate_id_is_known_by_its_place() -> None:
    parts = parse_id(mandate_id("c0ffee", Epoch(3), Index(9), 5))
    assert parts is not None
    assert parts.place == 0xF005
    assert parts.mandate
    with pytest.raises(ValueError, match="no id"):
        mandate_id("c0ffee", Epoch(3), Index(9), 0x1000)


@pytest.mark.parametrize(
    "bad", [("xyz", 1, 1, 0), ("c0ffee", 1 << 32, 1, 0), ("c0ffee", 1, 1 << 48, 0), ("c0ffee", 1, 1, -1)]
)
def test_what_does_not_fit_is_refused(bad: tuple[str, int, int, int]) -> None:
    cluster, epoch, index, place = bad
    with pytest.raises(ValueError, match="no id"):
        make_id(cluster, Epoch(epoch), Index(index), place)
