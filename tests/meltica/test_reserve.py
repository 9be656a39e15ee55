"""Reserve: a disk that is nearly full is told before it is full, with the next step."""

from __future__ import annotations

import pytest
import trio

from meltica import reserve as module
from meltica.reserve import MIB, Reserve, free_at, keep_measuring


def test_below_the_reserve_it_says_how_much_where_and_what_to_do(tmp_path):
    reserve = Reserve(tmp_path, 256 * MIB)
    assert reserve.found(256 * MIB) == ""
    why = reserve.found(256 * MIB - 1)
    assert f"255 MiB are free at {tmp_path}, and 256 are to be kept: free space there" in why
    assert reserve.why == why


def test_at_the_edge_it_does_not_flap(tmp_path):
    reserve = Reserve(tmp_path, 256 * MIB)
    reserve.found(255 * MIB)
    assert reserve.found(287 * MIB) != ""
    assert reserve.found(288 * MIB) == ""
    assert reserve.found(256 * MIB) == ""


def test_what_can_wait_is_not_written_near_the_reserve(tmp_path):
    """Else the archive would be what stops trading."""
    reserve = Reserve(tmp_path, 256 * MIB)
    for free, tight in ((288, False), (287, True), (256, True), (255, True), (280, True)):
        reserve.found(free * MIB)
        assert bool(reserve.tight) is tight
    assert "280 MiB are free" in reserve.tight


def test_what_is_free_is_what_this_user_may_write(tmp_path):
    assert free_at(tmp_path) > 0
    with pytest.raises(OSError, match="gone"):
        free_at(tmp_path / "gone")


async def test_every_change_is_told_once_and_a_disk_that_can_t_be_asked_changes_nothing(tmp_path, monkeypatch):
    answers = iter([300, 200, 100, OSError("hangs"), 100, 300, 300])
    done = trio.Event()

    def measured(_data):
        found = next(answers, None)
        if found is None:
            trio.from_thread.run_sync(done.set)
            return 300 * MIB
        if isinstance(found, OSError):
            raise found
        return found * MIB

    monkeypatch.setattr(module, "free_at", measured)
    monkeypatch.setattr(module, "EVERY_S", 0)
    told = []
    reserve = Reserve(tmp_path, 256 * MIB)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            await nursery.start(keep_measuring, reserve, told.append)
            await done.wait()
            nursery.cancel_scope.cancel()
    assert [why.partition(" MiB")[0] for why in told] == ["the disk is nearly full: 200", ""]
