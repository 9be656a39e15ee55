"""Kept: the file of a campaign, a line a piece, written as each piece ends.

Only reading and writing that file may live here.  A line is `{"product": …, "piece": …}`; the piece is the document of
contracts.md section 7 for its seeds.  A line is on disk before the next piece counts.  An end without its newline is of
a process that was stopped while it wrote: it is cut off, and the piece is played again.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any, Self

from attrs import define, field

Document = dict[str, Any]


class BadCampaign(Exception):
    """The file is not what this campaign can go on with; the text says what to do."""


@define
class Kept:
    """The pieces of one product in one file, which this process alone writes."""

    path: Path
    product: str
    file: FileIO
    pieces: list[Document] = field(factory=list)

    @classmethod
    @contextmanager
    def open(cls, path: Path, product: str | None) -> Iterator[Self]:
        """Read what is there, and hold the file; without a product: that of its first piece, to be told only.

        Raises:
            BadCampaign: another process has it, it is of another product, or a line is damaged.
            OSError: it can't be made, read or written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+", buffering=0) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                message = f"{path}: another process plays this campaign: wait for it, or give another file"
                raise BadCampaign(message) from error
            found = cls(path, product or "", file)
            found._read()
            yield found

    def add(self, piece: Document) -> None:
        """Keep one more.

        Raises:
            OSError: it could not be written; nothing of it stays in the file.
        """
        line = (json.dumps({"product": self.product, "piece": piece}, separators=(",", ":")) + "\n").encode()
        descriptor = self.file.fileno()
        end = os.fstat(descriptor).st_size
        try:
            while line:  # a disk that fills up takes a part of it first
                line = line[os.write(descriptor, line) :]
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, end)
            raise
        self.pieces.append(piece)

    def has(self, profile: str, first: int, end: int) -> bool:
        """Whether this piece was played."""
        return any(each["profile"] == profile and each["seeds"] == [first, end] for each in self.pieces)

    def _read(self) -> None:
        self.file.seek(0)
        text = self.file.read()
        whole, newline, _ = text.rpartition(b"\n")
        if len(text) > len(whole) + len(newline):
            self.file.truncate(len(whole) + len(newline))
        self.pieces = [self._piece(number, line) for number, line in enumerate(whole.splitlines(), 1)]

    def _piece(self, number: int, line: bytes) -> Document:
        try:
            entry = json.loads(line)
            product, piece = entry["product"], entry["piece"]
            profile, (first, end), digest = piece["profile"], piece["seeds"], piece["trace_digest"]
            valid = first < end and profile and digest
        except (ValueError, KeyError, TypeError) as error:
            raise BadCampaign(f"{self.path}: line {number} is damaged ({error!r}): delete that line") from error
        if not valid:
            raise BadCampaign(f"{self.path}: line {number} has no piece of a campaign: delete that line")
        self.product = self.product or str(product)
        if product != self.product:
            raise BadCampaign(
                f"{self.path}: line {number} was played on the product {product}, and this is {self.product}: "
                "give another file, or check out what it was played on"
            )
        return dict(piece)
