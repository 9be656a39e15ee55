"""The wire: every message there and back, its bytes pinned, and nothing else let in."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.frames import MAX_FRAME
from cluster.types import MAX_ENTRY
from cluster.wire import (
    BATCH,
    MAX_ENTRIES,
    NO_OP,
    Ack,
    Append,
    AskPreVote,
    AskVote,
    Copied,
    Known,
    Message,
    NewerTerm,
    PreVote,
    Resign,
    StandNow,
    Vote,
    Vouch,
    WireError,
    decode,
    encode,
    pack_commands,
    unpack_commands,
)

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "cluster" / "wire.json"
EXAMPLES: dict[str, Message] = {
    "append": Append(7, 3, 4, 6, ((NO_OP, 5, 7), (pack_commands((b"a", b"bc")), 6, 7)), 123_456_789_012, 6),
    "heartbeat": Append(7, 3, 4, 6, (), 123_456_789_012, 6),
    "ack": Ack(7, 6, True, 123_456_789_012),
    "ask_vote": AskVote(8, 6, 7),
    "ask_vote, handed over": AskVote(8, 6, 7, handed=True),
    "vote": Vote(8),
    "stand_now": StandNow(7),
    "ask_pre_vote": AskPreVote(3, 7, 6, 7),
    "pre_vote": PreVote(3, 7, False),
    "newer_term": NewerTerm(9),
    "resign": Resign(7),
    "known": Known(6, 5, 4, 3),
    "vouch": Vouch(1000, bytes(range(32)), 1007, False, b'{"build":"1"}'),
    "vouch, of a copy": Copied(1000, bytes(range(32)), 1007, False, b'{"build":"1"}', b"n2"),
}


def test_golden() -> None:
    """Nodes of two releases talk to each other: these bytes do not change."""
    assert {name: encode(message).hex() for name, message in EXAMPLES.items()} == json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("name", EXAMPLES)
def test_round_trip(name: str) -> None:
    assert decode(encode(EXAMPLES[name])) == EXAMPLES[name]


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_garbage_is_refused_and_never_raises_anything_else(frame: bytes) -> None:
    with contextlib.suppress(WireError):
        decode(frame)


BAD = {
    "empty": b"",
    "a map": msgpack.packb({"type": "apply_command", "command": b"x"}),
    "unknown kind": msgpack.packb([77, 1]),
    "kind of the wrong type": msgpack.packb(["append", 1]),
    "true is not one": msgpack.packb([True, 1, 1, 1, 0, [], 1]),
    "too few": msgpack.packb([2, 1, 2, True]),
    "negative": msgpack.packb([4, -1]),
    "beyond 63 bits": msgpack.packb([4, 2**63]),
    "a number for a boolean": msgpack.packb([2, 7, 6, 1, 5]),
    "no previous entry": msgpack.packb([1, 7, 3, 0, 0, [], 1, 0]),
    "a gap": msgpack.packb([1, 7, 3, 4, 6, [[NO_OP, 6, 7]], 1, 0]),
    "a falling term": msgpack.packb([1, 7, 3, 4, 6, [[NO_OP, 5, 5]], 1, 0]),
    "a term above the leader's": msgpack.packb([1, 7, 3, 4, 6, [[NO_OP, 5, 8]], 1, 0]),
    "a membership change": msgpack.packb([1, 7, 3, 4, 6, [[b"\x02x", 5, 7]], 1, 0]),
    "a pickled command": msgpack.packb([1, 7, 3, 4, 6, [[b"\x00\x80\x02.", 5, 7]], 1, 0]),
    "an entry as text": msgpack.packb([1, 7, 3, 4, 6, [["\x01", 5, 7]], 1, 0]),
    "an oversize entry": msgpack.packb([1, 7, 3, 4, 6, [[b"\x10" * (MAX_ENTRY + 1), 5, 7]], 1, 0]),
    "too many entries": msgpack.packb([1, 7, 0, 1, 0, [[NO_OP, i + 2, 7] for i in range(MAX_ENTRIES + 1)], 1, 0]),
    "a vouch with text for a digest": msgpack.packb([10, 1, "x", 1, True, b""]),
    "a vouch that says too much": msgpack.packb([10, 1, b"", 1, True, b"x" * 1025]),
    "a commit above the term": msgpack.packb([1, 7, 3, 4, 6, [], 1, 8]),
    "trailing bytes": msgpack.packb([4, 1]) + b"\x00",
    "deep": b"\x91" * 5000,
}


@pytest.mark.parametrize("what", BAD)
def test_bad_frames(what: str) -> None:
    """Hazards 7 and 24, "no previous entry": stock's words of a snapshot name none, and commit what is unverified."""
    with pytest.raises(WireError):
        decode(BAD[what])


def test_the_largest_append_fits_into_a_frame() -> None:
    """BATCH bytes of commands, an entry more, and the headers of as many entries as are let in."""
    header = len(msgpack.packb([b"x" * 300, 2**62, 2**62])) - 300
    assert BATCH + MAX_ENTRY + header * MAX_ENTRIES < MAX_FRAME


@given(st.lists(st.binary(max_size=300), max_size=20).map(tuple))
def test_commands_round_trip(commands: tuple[bytes, ...]) -> None:
    assert unpack_commands(pack_commands(commands)) == commands


@pytest.mark.parametrize("entry", [b"", b"\x00", b"\x10", b"\x10\x01", b"\x10\x91\xa1x", b"\x02\x90", b"\x10\x90\x00"])
def test_what_is_no_entry(entry: bytes) -> None:
    with pytest.raises(WireError):
        unpack_commands(entry)
