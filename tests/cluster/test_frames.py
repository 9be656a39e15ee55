"""Frames: a stream cut into messages, however it is sliced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.frames import MAX_FRAME, FrameError, FrameReader, encode

GOLDEN = Path(__file__).parents[1] / "golden" / "cluster" / "frames.json"


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=50), max_size=20), st.lists(st.integers(1, 40), min_size=1))
def test_what_was_sent_is_received_however_the_stream_is_sliced(frames: list[bytes], sizes: list[int]) -> None:
    stream, reader, got = encode(frames), FrameReader(), []
    turn = 0
    while stream:
        size = sizes[turn % len(sizes)]
        got += reader.feed(stream[:size])
        stream, turn = stream[size:], turn + 1
    assert got == frames
    assert reader.waiting == 0


def test_frames_are_the_golden_bytes() -> None:
    golden = json.loads(GOLDEN.read_text())
    assert encode([bytes.fromhex(frame) for frame in golden["frames"]]).hex() == golden["stream"]


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00", b"\xff" * 8, bytes(4)])
def test_garbage_is_refused_by_its_first_four_bytes(garbage: bytes) -> None:
    with pytest.raises(FrameError, match=f"1 to {MAX_FRAME} are allowed"):
        FrameReader().feed(garbage)


def test_a_frame_above_the_limit_is_refused_before_it_is_received() -> None:
    assert FrameReader().feed(MAX_FRAME.to_bytes(4, "big")) == []
    with pytest.raises(FrameError, match=f"a frame of {MAX_FRAME + 1} bytes was announced"):
        FrameReader().feed((MAX_FRAME + 1).to_bytes(4, "big"))


@pytest.mark.parametrize("frame", [b"", bytes(MAX_FRAME + 1)])
def test_we_never_send_what_the_other_side_must_refuse(frame: bytes) -> None:
    with pytest.raises(ValueError, match="a frame has 1 to"):
        encode([frame])
