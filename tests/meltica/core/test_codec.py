"""Commands as bytes: one form each, strictly."""

from __future__ import annotations

import enum
import json
import typing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, fields
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meltica.core import commands as c
from meltica.core import keys
from meltica.core import values as v
from meltica.core.codec import FORMS, SPELLINGS, BadCommand, content_of, decode_command, encode_command
from meltica.core.kinds import KINDS
from meltica.core.values import BadValue, Epoch, Nanos, Side
from meltica.core.wire import parse
from tests.meltica.core.harness import by, wish
from tests.strategies import commands, garbage

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "core"
QUIET = settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
_SAMPLES: dict[Any, Any] = {
    v.Price: Decimal("60000.01"),
    v.Quantity: Decimal("0.5"),
    v.Money: Decimal("-12.75"),
    str: 'a "text" with é',
    bool: True,
    int: 3,
    v.Mode: v.Mode.MANUAL,
    v.Gap: v.Gap.LEAVE,
    v.Side: v.Side.SELL,
    v.OrderType: v.OrderType.LIMIT,
    v.TimeInForce: v.TimeInForce.IOC,
}


def sample(annotation: Any) -> Any:
    """One plain value of a type, for the golden files."""
    if annotation in _SAMPLES:
        return _SAMPLES[annotation]
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return list(annotation)[-1]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if arguments and type(None) in arguments:
        return sample(arguments[0])
    if origin is tuple:
        return tuple(sample(one) for one in arguments if one is not Ellipsis)
    if isinstance(annotation, typing.NewType):
        return 7 if annotation.__supertype__ is int else str(annotation.__name__).lower()
    if origin is not None:
        return {sample(arguments[0]): sample(arguments[1])}
    return made(annotation)


def made(cls: type) -> Any:
    hints = typing.get_type_hints(cls)
    return cls(**{field.name: sample(hints[field.name]) for field in fields(cls)})


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_command_has_its_golden_form(kind: str) -> None:
    raw = encode_command(made(KINDS[kind]))
    assert raw.decode() + "\n" == (GOLDEN / f"command_{kind}.json").read_text()
    assert decode_command(raw) == (kind, made(KINDS[kind]))


@pytest.mark.parametrize("prefix", sorted(keys.SHAPES))
def test_every_stored_record_has_its_golden_form(prefix: str) -> None:
    record = made(keys.SHAPES[prefix])
    raw = keys.FORMS[prefix].write(record)
    assert raw.decode() + "\n" == (GOLDEN / f"state_{prefix}.json").read_text()
    assert keys.FORMS[prefix].load(raw) == record


@QUIET
@given(commands())
def test_decoding_undoes_encoding(command: c.Command) -> None:
    raw = encode_command(command)
    kind, back = decode_command(raw)
    assert back == command
    assert type(back) is KINDS[kind]
    assert encode_command(back) == raw


@QUIET
@given(garbage)
def test_garbage_is_a_bad_command_and_nothing_else(raw: bytes) -> None:
    with pytest.raises(BadCommand):
        decode_command(raw)


PLAIN_KINDS = ("submit", "cancel", "answered", "in_doubt", "fill_seen", "order_updated", "balance_seen", "checkpoint")
AWKWARD = (
    *("-", "0", "00", ".", "9" * 19, "null", '"', "\\", "\\u0041", "\x7f", "\t", "/", "e5", " ", "true", "-0"),
    "\u0661",
)
plain_texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)


def _slowly(raw: bytes) -> Any:
    """What the form alone makes of it; None if it refuses."""
    try:
        found = parse(raw)
        return FORMS[found["kind"]].read(found)
    except (BadValue, LookupError, TypeError):
        return None


@QUIET
@given(commands(*PLAIN_KINDS))
def test_what_is_read_quickly_is_what_the_form_reads(command: c.Command) -> None:
    raw = encode_command(command)
    kind, back = decode_command(raw)
    assert back == _slowly(raw)
    spelt = SPELLINGS[kind].read(raw.decode())
    assert spelt in (None, back)
    for field in fields(type(command)):
        if spelt is not None:
            assert type(getattr(spelt, field.name)) is type(getattr(_slowly(raw), field.name))


@pytest.mark.parametrize("kind", sorted(SPELLINGS))
def test_what_holds_no_escape_and_no_hand_is_read_quickly(kind: str) -> None:
    plain = {field.name: "plain" for field in fields(KINDS[kind]) if field.type in (str, "str")}
    command = evolve(made(KINDS[kind]), **plain)
    if hasattr(command, "by"):
        assert not SPELLINGS[kind].matches(encode_command(command).decode())
        command = evolve(command, by=None)
    assert SPELLINGS[kind].read(encode_command(command).decode()) == command


@settings(QUIET, max_examples=1500)
@given(st.sampled_from(PLAIN_KINDS), st.data())
def test_whatever_is_read_quickly_the_form_reads_as_the_same(kind: str, data: st.DataObject) -> None:
    raw = bytearray(encode_command(evolve(made(KINDS[kind]), **({"by": None} if "by" in _names(kind) else {}))))
    for _ in range(data.draw(st.integers(1, 3))):
        begin = data.draw(st.integers(0, len(raw)))
        end = min(len(raw), begin + data.draw(st.integers(0, 4)))
        raw[begin:end] = data.draw(plain_texts | st.sampled_from(AWKWARD)).encode()[:24]
    try:
        found = decode_command(bytes(raw))[1]
    except BadCommand:
        found = None
    assert found == _slowly(bytes(raw))


def _names(kind: str) -> set[str]:
    return {field.name for field in fields(KINDS[kind])}


RAW = encode_command(wish(Side.BUY, "0.1", "60000", epoch=Epoch(1), at=Nanos(5)))
DOCUMENT = json.loads(RAW)


def _with(**changes: Any) -> bytes:
    return json.dumps(dict(sorted({**DOCUMENT, **changes}.items())), separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("quantity", "1e3"),
        ("quantity", "NaN"),
        ("quantity", "-1"),
        ("quantity", "1.0"),
        ("quantity", "01"),
        ("quantity", "-0"),
        ("quantity", "1" * 19),
        ("quantity", "0." + "1" * 19),
        ("quantity", "\u0661"),
        ("quantity", None),
        ("price", "-5"),
        ("price", 5),
        ("at", -1),
        ("at", 1 << 63),
        ("at", "5"),
        ("at", True),
        ("at", None),
        ("side", "HOLD"),
        ("side", 1),
        ("post_only", 1),
        ("post_only", "false"),
        ("symbol", ""),
        ("symbol", "A/B"),
        ("symbol", "A\n"),
        ("symbol", "A" * 65),
        ("symbol", "\ud800"),
        ("symbol", ["A"]),
        ("tag", "x" * 5000),
        ("tag", None),
        ("by", {}),
        ("by", {"actor": "a", "reason": "b", "request": ""}),
        ("by", []),
        ("kind", "submit "),
        ("kind", None),
        ("extra", 1),
    ],
)
def test_a_wrong_field_is_named(field: str, value: Any) -> None:
    with pytest.raises(BadCommand, match=field):
        decode_command(_with(**{field: value}))


@pytest.mark.parametrize("number", [0.1, 1e30, float("nan"), float("inf")])
def test_floats_are_no_part_of_a_command(number: float) -> None:
    with pytest.raises(BadCommand, match="point"):
        decode_command(_with(quantity=number))


def test_a_missing_field_is_named() -> None:
    document = {key: value for key, value in DOCUMENT.items() if key != "tag"}
    with pytest.raises(BadCommand, match="tag"):
        decode_command(json.dumps(document, separators=(",", ":")).encode())


@pytest.mark.parametrize(
    "raw",
    [
        RAW + b" ",
        b" " + RAW,
        RAW.replace(b",", b", "),
        RAW.replace(b'"tag":""', b'"tag":"","tag":""'),
        RAW.replace(b"BTCUSDT", b"\\u0042TCUSDT"),
        b"\xef\xbb\xbf" + RAW,
        RAW.decode().encode("utf-16"),
        json.dumps(dict(reversed(DOCUMENT.items())), separators=(",", ":")).encode(),
        RAW + RAW,
        b"[" * 100_000,
        b'{"kind":"submit","x":' + b"9" * 100_000 + b"}",
        b"x" * 300_000,
    ],
)
def test_only_the_canonical_form_is_a_command(raw: bytes) -> None:
    with pytest.raises(BadCommand):
        decode_command(raw)


@pytest.mark.parametrize("bad", ["NaN", "Infinity", "1E+30", "1E-30"])
def test_what_could_not_be_read_back_is_not_written(bad: str) -> None:
    with pytest.raises(BadCommand):
        encode_command(evolve(wish(Side.BUY, "0.1", "60000"), quantity=Decimal(bad)))


def test_floats_and_wrong_names_are_not_written() -> None:
    with pytest.raises(BadCommand):
        encode_command(evolve(wish(Side.BUY, "0.1", "60000"), quantity=0.5))
    with pytest.raises(BadCommand):
        encode_command(evolve(wish(Side.BUY, "0.1", "60000"), symbol="A/B"))


@pytest.mark.parametrize("wrong", ["5", True, 5.0, None, Decimal(5)])
def test_a_number_of_another_type_is_not_written_as_one(wrong: Any) -> None:
    with pytest.raises(BadCommand):
        encode_command(evolve(wish(Side.BUY, "0.1", "60000"), at=wrong))


@pytest.mark.parametrize("wrong", [1, "true", None])
def test_a_truth_of_another_type_is_not_written_as_one(wrong: Any) -> None:
    with pytest.raises(BadCommand):
        encode_command(evolve(wish(Side.BUY, "0.1", "60000"), post_only=wrong))


def test_a_checkpoint_may_be_64_kib_and_no_more() -> None:
    longest = c.Checkpoint(Epoch(1), Nanos(1), v.StrategyId("mm"), "x" * 65536)
    assert decode_command(encode_command(longest))[1] == longest
    with pytest.raises(BadCommand, match="data"):
        encode_command(evolve(longest, data="x" * 65537))


def test_the_content_of_a_retry_leaves_out_epoch_and_time() -> None:
    first = c.Halt(Epoch(1), Nanos(5), "cause", by=by())
    assert content_of(first) == content_of(evolve(first, epoch=Epoch(2), at=Nanos(9)))
    assert content_of(first) != content_of(evolve(first, cause="other"))


def test_the_content_of_an_operators_order_leaves_out_the_market_it_was_proposed_in() -> None:
    first = wish(Side.BUY, "0.5", "60000")
    assert content_of(first) == content_of(evolve(first, reference=v.Price(Decimal(7)), book_age=Nanos(77)))
    assert content_of(first) != content_of(evolve(first, quantity=v.Quantity(Decimal(7))))


def test_a_command_error_is_a_value_error() -> None:
    assert issubclass(BadCommand, BadValue)
    assert issubclass(BadCommand, ValueError)
