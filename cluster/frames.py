"""Frames: bytes of a stream cut into messages, and back.

Pure.  A frame is a four-byte big-endian length and so many bytes.  Its largest size is far below what a random or
foreign first four bytes say ("GET " would be 1.2 GB), so that garbage is refused at once and never allocated.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

MAX_FRAME: Final = 1536 * 1024  # bytes: an append batch of 1 MiB, its last entry of 256 KiB, and their headers
HEADER: Final = 4


class FrameError(Exception):
    """The other side does not speak our protocol, or means harm; the connection can't be used any more."""


def encode(frames: Iterable[bytes]) -> bytes:
    """The bytes of these frames, in order.

    Raises:
        ValueError: a frame is empty or above MAX_FRAME: a fault of this program.
    """
    parts: list[bytes] = []
    for frame in frames:
        if not 0 < len(frame) <= MAX_FRAME:
            raise ValueError(f"a frame has 1 to {MAX_FRAME} bytes, not {len(frame)}")
        parts.append(len(frame).to_bytes(HEADER, "big"))
        parts.append(frame)
    return b"".join(parts)


class FrameReader:
    """Collects a stream's bytes and gives the frames that are whole."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take what was received; returns the frames completed by it.

        Raises:
            FrameError: an announced length is zero or above the limit; nothing is kept of it.
        """
        buffer = self._buffer
        buffer += data
        frames: list[bytes] = []
        at = 0
        while len(buffer) - at >= HEADER:
            length = int.from_bytes(buffer[at : at + HEADER], "big")
            if not 0 < length <= self._limit:
                raise FrameError(f"a frame of {length} bytes was announced, but 1 to {self._limit} are allowed")
            if len(buffer) - at < HEADER + length:
                break
            frames.append(bytes(buffer[at + HEADER : at + HEADER + length]))
            at += HEADER + length
        del buffer[:at]
        return frames

    @property
    def waiting(self) -> int:
        """Bytes of a frame that is not whole yet."""
        return len(self._buffer)
