"""A small file system under a node's data: seen by who joins it alone, filled, emptied, taken out at the end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
import trio

from chaos.live import volume
from chaos.live.fills import Fills
from chaos.live.nodes import Nodes
from chaos.live.plan import Aim, Fault
from chaos.live.volume import BALLAST, MIB, NoVolume, Volumes, open_volumes
from tests.chaos.live.test_nodes import Rig

FULL = Fault(3, "volume_filled", "n1", 0, 1, 0, "", "both", (("left_mib", 2),))
JOINS = """
import sys
from pathlib import Path
from chaos.live.private import join
join(int(sys.argv[1]))
(Path(sys.argv[2]) / "new").write_text("y")
"""


def runs(program, *words):
    command = (sys.executable, "-c", program, *words)
    return subprocess.run(command, check=False, capture_output=True).returncode  # noqa: S603 - our own


async def test_it_is_seen_from_within_alone_filled_and_emptied_and_taken_out_at_the_end(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "mark").write_text("x")
    async with open_volumes() as volumes:
        try:
            volumes.make("n1", data, 8)
        except NoVolume as why:
            assert "it takes the superuser" in str(why)  # noqa: PT017 - it depends on who runs this
            return
        inside = volumes.inside("n1")
        async with Fills(volumes, Nodes(Rig()), lambda _: None).struck(FULL, Aim(("n1",))) as not_done:
            found = os.statvfs(inside)
            assert found.f_bavail * found.f_frsize == 2 * MIB
        assert not not_done
        pid = volumes.held["n1"][0].pid
        assert runs(JOINS, str(pid), str(data)) == 0
        assert sorted(path.name for path in inside.iterdir()) == ["mark", "new"]
        assert [path.name for path in data.iterdir()] == ["mark"]
    assert {path.name: path.read_text() for path in data.iterdir()} == {"mark": "x", "new": "y"}
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


class Filled(Volumes):
    """Stands in for small file systems: folders."""

    def inside(self, name):
        return self.held[name]


@pytest.fixture
def filled(tmp_path, monkeypatch):
    monkeypatch.setattr(volume.os, "posix_fallocate", lambda *_: None)
    (tmp_path / "n1").mkdir()
    return Filled({"n1": tmp_path / "n1"})


def room(monkeypatch, *free):
    """What is free at each look, in bytes."""
    looks = iter(free)
    monkeypatch.setattr(volume.os, "statvfs", lambda _: SimpleNamespace(f_bavail=next(looks), f_frsize=1))


def refuses(*_):
    raise OSError(28, "No space left on device")


def test_one_that_is_full_already_is_not_filled_for_ever(filled, monkeypatch):
    room(monkeypatch, 9, 0)
    monkeypatch.setattr(volume.os, "posix_fallocate", refuses)
    assert filled.fill("n1", 0) == 0


def test_one_that_always_refuses_is_a_fault(filled, monkeypatch):
    room(monkeypatch, *[9] * 1000)
    monkeypatch.setattr(volume.os, "posix_fallocate", refuses)
    with pytest.raises(NoVolume, match=r"n1 can't be filled.*No space left"):
        filled.fill("n1", 0)


async def test_it_is_filled_beside_the_loop(filled, autojump_clock):
    threads = []
    filled.fill = lambda *_: threads.append(threading.current_thread()) or 0
    async with Fills(filled, Nodes(Rig()), lambda _: None).struck(FULL, Aim(("n1",))):
        assert threads != [threading.main_thread()]


def holder(program="input()"):
    command = (sys.executable, "-c", program)
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - our own


def test_one_that_never_says_that_it_is_ready_is_not_waited_for_for_ever(monkeypatch, tmp_path):
    silent = holder()
    monkeypatch.setattr(volume.subprocess, "Popen", lambda *_, **__: silent)
    volumes = Volumes(made_within=0.05)
    with pytest.raises(NoVolume):
        volumes.make("n1", tmp_path / "n1", 8)
    volumes.close()
    assert silent.poll() is not None


def test_one_that_can_t_be_taken_out_keeps_no_other_from_its_end(monkeypatch, tmp_path):
    (tmp_path / "kept").mkdir()
    held = {name: (holder(), tmp_path / name) for name in ("n1", "n2", "n3")}

    def taken(_inside, into, **_):
        if into.name == "n2.taken":
            raise OSError(28, "No space left on device")
        into.mkdir()

    for name in held:
        (tmp_path / name).mkdir()
    monkeypatch.setattr(volume.shutil, "copytree", taken)
    monkeypatch.setattr(Volumes, "inside", lambda *_: tmp_path / "kept")
    with pytest.raises(OSError, match="No space left"):
        Volumes(held).close()
    assert all(process.poll() is not None for process, _ in held.values())


async def test_one_that_ended_of_it_is_started_again_when_there_is_room(filled, tmp_path, autojump_clock):
    rig = Rig()
    async with Fills(filled, Nodes(rig), lambda _: None).struck(FULL, Aim(("n1",))):
        assert (tmp_path / "n1" / BALLAST).exists()
        rig.die("n1", 1)
    assert rig.done == [("n1", "start")]
    assert not (tmp_path / "n1" / BALLAST).exists()


async def test_one_that_is_cancelled_leaves_no_ballast(filled, tmp_path):
    with trio.CancelScope() as scope:
        async with Fills(filled, Nodes(Rig()), lambda _: None).struck(FULL, Aim(("n1",))):
            scope.cancel()
            await trio.sleep_forever()
    assert os.listdir(tmp_path / "n1") == []
