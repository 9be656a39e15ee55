"""The words of a snapshot's transfer: there and back, their bytes pinned, and nothing else let in."""

from __future__ import annotations

import contextlib
import json
import zlib
from pathlib import Path

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster import wire
from cluster.adopted import Placed
from cluster.frames import MAX_FRAME
from cluster.members import AddLearner, Configuration, Member, follow
from cluster.members import encode as encode_members
from cluster.snapshot.summing import Sum
from cluster.snapshot.words import (
    DAMAGED,
    DONE,
    MAX_KEY,
    MAX_PAIR,
    MAX_PAIRS,
    PART,
    Closed,
    Offer,
    Part,
    PartAck,
    Word,
    decode,
    encode,
    members_of,
)
from cluster.store import StoredEntry
from cluster.stored import encode_places
from cluster.types import MAX_ENTRY, LogIndex, Peer, Term
from cluster.wire import NO_OP, WireError, pack_commands

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "cluster" / "snapshot.json"
ENTRY = pack_commands((b"a", b"bc"))
PAIRS = ((b"a", b"1"), (b"a/b", b""), (b"b", b"\x00\xff"))


def summed(entry: StoredEntry, *pairs: tuple[bytes, bytes]) -> bytes:
    added = Sum(entry)
    added.add(pairs)
    return added.digest()


BASE = StoredEntry(LogIndex(6), Term(5), ENTRY)
DIGEST = summed(BASE, *PAIRS)
SETTINGS = Configuration(0, (Member(Peer("n1"), "n1:7400"), Member(Peer("n2"), "n2:7400")))
LEARNS = follow(SETTINGS, AddLearner(Member(Peer("n3"), "n3:7400")))


def places(*placed: tuple[int, bytes]) -> bytes:
    return encode_places(tuple((LogIndex(index), entry) for index, entry in placed))


EXAMPLES: dict[str, Word] = {
    "offer": Offer(7, 6, 5, ENTRY, 3, 8, DIGEST),
    "offer of a no-op": Offer(7, 6, 5, NO_OP, 0, 0, summed(StoredEntry(LogIndex(6), Term(5), NO_OP))),
    "offer with members": Offer(7, 6, 5, ENTRY, 3, 8, DIGEST, members_of(Placed(4, LEARNS))),
    "offer of a change": Offer(7, 6, 5, encode_members(LEARNS), 3, 8, DIGEST, members_of(Placed(6, LEARNS))),
    "part": Part(7, DIGEST, b"", PAIRS),
    "part, the end": Part(7, DIGEST, b"b", ()),
    "part_ack": PartAck(7, DIGEST, b"b"),
    "closed": Closed(7, DIGEST, DONE, b"installed"),
}


def test_golden() -> None:
    """Nodes of two releases talk to each other, and compare digests: these bytes do not change."""
    assert {name: encode(word).hex() for name, word in EXAMPLES.items()} == json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("name", EXAMPLES)
def test_round_trip(name: str) -> None:
    assert decode(encode(EXAMPLES[name])) == EXAMPLES[name]


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_node_that_receives_no_snapshots_drops_them(name: str) -> None:
    with pytest.raises(WireError, match="unknown kind"):
        wire.decode(encode(EXAMPLES[name]))


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_garbage_is_refused_and_never_raises_anything_else(frame: bytes) -> None:
    with contextlib.suppress(WireError):
        decode(frame)


BAD = {
    "empty": b"",
    "a map": msgpack.packb({"type": "offer"}),
    "a kind of the cluster's": wire.encode(wire.Vote(7)),
    "true is no kind": msgpack.packb([True, 7]),
    "too few": msgpack.packb([14, 7, DIGEST]),
    "no entry": msgpack.packb([12, 7, 0, 5, ENTRY, 3, 8, DIGEST, b""]),
    "an entry of a later term": msgpack.packb([12, 7, 6, 8, ENTRY, 3, 8, DIGEST, b""]),
    "an entry of another's": msgpack.packb([12, 7, 6, 5, b"\x00\x80\x02.", 3, 8, DIGEST, b""]),
    "an oversize entry": msgpack.packb([12, 7, 6, 5, b"\x10" * (MAX_ENTRY + 1), 3, 8, DIGEST, b""]),
    "a short digest": msgpack.packb([14, 7, DIGEST[:-1], b""]),
    "a digest as text": msgpack.packb([14, 7, "x" * 32, b""]),
    "a negative size": msgpack.packb([12, 7, 6, 5, ENTRY, 3, -9, DIGEST, b""]),
    **{
        f"members: {what}": msgpack.packb([12, 7, 6, 5, ENTRY, 3, 8, DIGEST, members])
        for what, members in {
            "of another form": b"n1 n2 n3",
            "damaged": members_of(Placed(4, LEARNS))[:-1] + b"x",
            "cut short behind their sum": zlib.crc32(b"abc").to_bytes(4, "big") + b"abc",
            "twice": places((3, encode_members(LEARNS)), (4, encode_members(LEARNS))),
            "of a later entry": places((7, encode_members(LEARNS))),
            "of no entry": places((0, encode_members(LEARNS))),
            "of its own entry, which is another": places((6, encode_members(LEARNS))),
            "that are none": places((4, ENTRY)),
            "as text": "x",
        }.items()
    },
    "pairs that are none": msgpack.packb([13, 7, DIGEST, b"", [[b"a"]]]),
    "pairs as text": msgpack.packb([13, 7, DIGEST, b"", [["a", "b"]]]),
    "an empty key": msgpack.packb([13, 7, DIGEST, b"", [[b"", b"x"]]]),
    "a key twice": msgpack.packb([13, 7, DIGEST, b"", [[b"a", b"x"], [b"a", b"y"]]]),
    "keys out of order": msgpack.packb([13, 7, DIGEST, b"", [[b"b", b"x"], [b"a", b"y"]]]),
    "a key that was sent before": msgpack.packb([13, 7, DIGEST, b"b", [[b"a", b"x"]]]),
    "a part that is too large": msgpack.packb([13, 7, DIGEST, b"", [[b"a", b"x" * PART], [b"b", b""]]]),
    "a pair that is too large": msgpack.packb([13, 7, DIGEST, b"", [[b"a", b"x" * MAX_PAIR]]]),
    "a key that is too long": msgpack.packb([13, 7, DIGEST, b"", [[b"a" * (MAX_KEY + 1), b""]]]),
    "too many pairs": msgpack.packb([13, 7, DIGEST, b"", [[b"%06d" % i, b""] for i in range(MAX_PAIRS + 1)]]),
    "closed for another reason": msgpack.packb([15, 7, DIGEST, 3, b""]),
    "a reason that says too much": msgpack.packb([15, 7, DIGEST, DAMAGED, b"x" * 1025]),
    "trailing bytes": encode(EXAMPLES["part_ack"]) + b"\x00",
}


@pytest.mark.parametrize("what", BAD)
def test_bad_frames(what: str) -> None:
    with pytest.raises(WireError):
        decode(BAD[what])


def test_the_largest_parts_fit_into_a_frame() -> None:
    many = Part(2**62, DIGEST, b"a" * MAX_KEY, tuple((b"b%05d" % i, b"x" * 25) for i in range(MAX_PAIRS)))
    one = Part(2**62, DIGEST, b"a" * MAX_KEY, ((b"b" * MAX_KEY, b"x" * (MAX_PAIR - MAX_KEY)),))
    for part in (many, one):
        assert decode(encode(part)) == part
        assert len(encode(part)) < MAX_FRAME
    assert PART + 12 * MAX_PAIRS + MAX_KEY < MAX_FRAME  # 12: msgpack's longest headers of a pair


def test_a_digest_is_over_all_of_the_content_and_over_how_it_is_cut_into_keys_and_values() -> None:
    others = [
        summed(BASE),
        summed(BASE, *PAIRS[:-1]),
        summed(BASE, (b"a1", b""), *PAIRS[1:]),
        summed(BASE, (b"a", b"1a"), (b"/b", b""), PAIRS[2]),
        summed(StoredEntry(LogIndex(7), Term(5), ENTRY), *PAIRS),
        summed(StoredEntry(LogIndex(6), Term(4), ENTRY), *PAIRS),
        summed(StoredEntry(LogIndex(6), Term(5), NO_OP), *PAIRS),
    ]
    assert len({DIGEST, *others}) == 1 + len(others)
    apart = Sum(BASE)
    for pair in PAIRS:
        apart.add([pair])
    assert (apart.digest(), apart.pairs, apart.size) == (DIGEST, 3, 8)
