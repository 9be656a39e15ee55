"""The file of a campaign: kept piece by piece, gone on with, and refused where it would tell something false."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from chaos.campaign.kept import BadCampaign, Kept


def piece(first: int = 0, profile: str = "disks") -> dict[str, Any]:
    return {"profile": profile, "seeds": [first, first + 25], "passed": 25, "trace_digest": f"d{first}"}


def test_what_was_kept_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "played.jsonl"
    with Kept.open(path, "p") as kept:
        kept.add(piece(0))
        kept.add(piece(25))
        assert kept.has("disks", 0, 25)
    with Kept.open(path, "p") as again:
        assert again.pieces == [piece(0), piece(25)]
        assert again.has("disks", 25, 50)
        assert not again.has("disks", 50, 75)
        assert not again.has("venue", 0, 25)


def test_half_a_line_is_cut_off_and_the_next_begins_on_its_own(tmp_path: Path) -> None:
    path = tmp_path / "played.jsonl"
    with Kept.open(path, "p") as kept:
        kept.add(piece(0))
        kept.add(piece(25))
    path.write_bytes(path.read_bytes()[:-7])
    with Kept.open(path, "p") as kept:
        assert kept.pieces == [piece(0)]
        kept.add(piece(50))
    with Kept.open(path, "p") as kept:
        assert kept.pieces == [piece(0), piece(50)]


def test_pieces_of_another_product_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "played.jsonl"
    with Kept.open(path, "p") as kept:
        kept.add(piece())
    before = path.read_bytes()
    with (
        pytest.raises(BadCampaign, match="played on the product p, and this is q: give another file"),
        Kept.open(path, "q"),
    ):
        pass
    assert path.read_bytes() == before
    with Kept.open(path, None) as told:
        assert (told.product, told.pieces) == ("p", [piece()])


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"product":"p"}', '{"product":"p","piece":{"profile":"x","seeds":[5,5],"trace_digest":"d"}}']
)
def test_a_damaged_line_is_refused_and_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "played.jsonl"
    with Kept.open(path, "p") as kept:
        kept.add(piece())
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(BadCampaign, match=r"line 2 .*delete that line"), Kept.open(path, "p"):
        pass


def test_one_process_at_a_time_has_it(tmp_path: Path) -> None:
    path = tmp_path / "played.jsonl"
    with Kept.open(path, "p"), pytest.raises(BadCampaign, match="another process plays"), Kept.open(path, "p"):
        pass


def test_a_disk_that_fills_up_leaves_no_half_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write, room = tmp_path / "played.jsonl", os.write, [100]

    def little(descriptor: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        took = write(descriptor, data[: room[0]])
        room[0] -= took
        return took

    with Kept.open(path, "p") as kept:
        kept.add(piece(0))
        before = path.read_bytes()
        with monkeypatch.context() as full:
            full.setattr(os, "write", little)
            with pytest.raises(OSError, match="No space left"):
                kept.add(piece(25) | {"long": "x" * 200})
        assert path.read_bytes() == before
        assert not kept.has("disks", 25, 50)
        kept.add(piece(25))
    with Kept.open(path, "p") as again:
        assert again.pieces == [piece(0), piece(25)]
