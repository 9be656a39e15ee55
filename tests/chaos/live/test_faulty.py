"""The launcher of nodes that can be struck from inside: it patches, runs the product, and takes everything back."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from chaos.live import faulty
from chaos.live.cluster import FAULTY, MUTATED, _launcher
from chaos.live.doors import found, taken_at, volume_at, wanted_at
from chaos.live.faulty import launch
from chaos.rig import processes
from cluster import rocks
from meltica.core import apply_fills
from meltica.leader.dispatch import Dispatch

WORDS = ("node", "run", "--config", "x/n2/meltica.toml")


def test_it_runs_the_product_with_its_seams_patched_and_a_door_of_its_name(tmp_path):
    send, opens, seen = Dispatch._send, rocks._open, []

    def product(words):
        seen.append((tuple(words), Dispatch._send is send, rocks._open is opens))

    wanted_at(tmp_path, "n2").write_text(json.dumps({"version": 4, "orders": []}))
    launch((str(tmp_path), "", *WORDS), product)
    assert seen == [(WORDS, False, False)]
    assert (Dispatch._send is send, rocks._open is opens) == (True, True)
    assert found(taken_at(tmp_path, "n2")) == {"version": 4, "pid": os.getpid(), "struck": {}}
    assert "door" not in {thread.name for thread in threading.enumerate()}, "it looks as long as the product runs"


def test_a_mutant_may_be_broken_too(tmp_path):
    held, seen = apply_fills._hold, []
    launch((str(tmp_path), "fees are not taken", *WORDS), lambda _: seen.append(apply_fills._hold is held))
    assert seen == [False]
    with pytest.raises(LookupError, match="no mutant is called 'none'"):
        launch((str(tmp_path), "none", *WORDS))


def test_a_folder_that_may_not_be_written_is_so_before_anything_runs(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(faulty, "read_only", done.append)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    wanted = {"version": 1, "orders": [{"number": 1, "kind": "folder_read_only"}]}
    wanted_at(tmp_path, "n2").write_text(json.dumps(wanted))
    launch((str(tmp_path), "", *WORDS), lambda _: done.append("runs"))
    assert done == [Path("x/n2/data"), "runs"]


def test_data_on_a_small_file_system_are_found_before_anything_runs(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(faulty, "join", done.append)
    volume_at(tmp_path, "n2").write_text('{"pid": 77}')
    launch((str(tmp_path), "", *WORDS), lambda _: done.append("runs"))
    assert done == [77, "runs"]


def test_by_which_launcher_a_cluster_runs_its_nodes(tmp_path):
    assert _launcher(tmp_path, "", inside=False) == ()
    assert _launcher(tmp_path, "m", inside=False) == (MUTATED, "m")
    assert _launcher(tmp_path, "m", inside=True) == (FAULTY, str(tmp_path / "doors"), "m")
    assert (tmp_path / "doors").is_dir()


def test_the_shipped_product_knows_nothing_of_it():
    top = Path(processes.__file__).parents[2]
    for path in (*(top / "meltica").rglob("*.py"), *(top / "cluster").rglob("*.py")):
        assert "chaos.live" not in path.read_text(), path
