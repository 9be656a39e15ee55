"""`meltica-chaos campaign`: goes on where it was stopped, tells failures, and loses nothing however it ends."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from chaos.campaign import command
from chaos.campaign.kept import Kept
from chaos.campaign.product import fingerprint
from chaos.cli import main

FAILS_AT = 75
PARENT = os.getpid()
KNOWN = multiprocessing.get_context("fork").Event()  # to whoever played the first piece


def made(place: tuple[str, int, int]) -> dict[str, Any]:
    """A piece without playing it: the one at `FAILS_AT` has failed."""
    profile, first, end = place
    failed = [{"seed": first, "check": "one_trader", "message": "two", "replay": f"sim --seed {first}"}]
    return {
        "profile": profile,
        "seeds": [first, end],
        "passed": end - first,
        "failed": failed if first == FAILS_AT else [],
        "did_not_count": [],
        "faults": {"kill": 1},
        "commands": 3,
        "checks": [],
        "virtual_s": 30,
        "cpu_s": 1.0,
        "trace_digest": f"{profile}{first}",
    }


def ended_from_outside(place: tuple[str, int, int]) -> dict[str, Any]:
    if place[1] == 50:
        os.kill(os.getpid(), signal.SIGKILL)
    return made(place)


def stopped(place: tuple[str, int, int]) -> dict[str, Any]:
    """Somebody stops the whole while the first piece is played; the third waits until that is known."""
    if place[1] == 0:
        os.kill(PARENT, signal.SIGTERM)
    if place[1] == 50:
        assert KNOWN.wait(60)
    return made(place)


def campaign(path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["campaign", str(path), "--processes", "1", *arguments])


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(command, "played", made)
    return tmp_path / "played.jsonl"


def test_pieces_are_played_once_and_added_up(path: Path) -> None:
    first = campaign(path, "--seeds", "0:50", "--profile", "disks", "-o", "json")
    assert first.exit_code == 0, first.output
    more = campaign(path, "--seeds", "0:75", "--profile", "disks", "--profile", "venue", "-o", "json")
    assert "4 of 4 pieces" in more.stderr
    document = json.loads(more.stdout)
    assert [(each["profile"], each["seeds"]) for each in document["profiles"]] == [
        ("disks", [[0, 75]]),
        ("venue", [[0, 75]]),
    ]
    assert (document["passed"], document["commands"]) == (150, 18)
    assert json.loads(campaign(path, "-o", "json").stdout) == document


def test_a_failure_is_told_and_stays(path: Path) -> None:
    found = campaign(path, "--seeds", "0:100")
    assert found.exit_code == 1
    assert "seed 75: one_trader: two  sim --seed 75" in found.stderr
    more = campaign(path, "--seeds", "100:125")
    assert "1 of 1 pieces: everything 100:125, 1 FAILED so far" in more.stderr, (
        "each line says it: the rest scrolls away"
    )
    again = campaign(path)
    assert again.exit_code == 1
    assert "sim --seed 75" in again.stdout


def test_stopped_it_keeps_what_was_under_way_and_says_how_to_go_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(futures: Sequence[Future[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
        for document in whole(futures):
            KNOWN.set()
            yield document

    whole = command._ended
    monkeypatch.setattr(command, "_ended", ended)
    monkeypatch.setattr(command, "played", stopped)
    before = signal.getsignal(signal.SIGTERM)
    found = campaign(path, "--seeds", "0:1000")
    assert found.exit_code == command.STOPPED
    assert "run the same command again" in found.stderr
    assert signal.getsignal(signal.SIGTERM) is before
    with Kept.open(path, fingerprint()) as kept:
        assert 0 < len(kept.pieces) < 40
        assert kept.has("everything", 0, 25)


def test_a_process_that_is_ended_from_outside_is_told_and_the_rest_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "played", ended_from_outside)
    found = campaign(path, "--seeds", "0:100")
    assert found.exit_code == 1
    assert "too little memory?" in found.stderr
    monkeypatch.setattr(command, "played", made)
    assert "2 of 2 pieces" in campaign(path, "--seeds", "0:100").stderr


def test_the_file_of_another_product_is_refused(path: Path) -> None:
    with Kept.open(path, "other") as kept:
        kept.add(made(("disks", 0, 25)))
    found = campaign(path, "--seeds", "0:25")
    assert found.exit_code == 1
    assert "was played on the product other" in found.stderr
    told = campaign(path, "-o", "json")  # what it holds may be looked at all the same
    assert (told.exit_code, json.loads(told.stdout)["product"]) == (0, "other")
    assert "played on another build, other; this one is" in told.stderr


@pytest.mark.parametrize("seeds", ["0:30", "5:50", "25:25", "x", "50:25"])
def test_seeds_that_are_no_whole_pieces_are_refused(path: Path, seeds: str) -> None:
    found = campaign(path, "--seeds", seeds)
    assert found.exit_code == 2
    assert "both multiples of 25, as 0:1000" in found.stderr


def test_nothing_to_tell_and_nothing_to_play(path: Path) -> None:
    assert "give --seeds to begin a campaign" in campaign(path).stderr


def test_a_full_disk_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Kept, "add", full)
    found = campaign(path, "--seeds", "0:25")
    assert found.exit_code == 1
    assert "No space left on device: what was played before is kept; make room and run it again" in found.stderr


def test_profiles_take_turns() -> None:
    assert command.places(["a", "b"], 0, 50) == [("a", 0, 25), ("b", 0, 25), ("a", 25, 50), ("b", 25, 50)]


def test_a_piece_is_what_sim_says_of_its_seeds() -> None:
    found = command.played(("cluster", 0, 1))
    said = json.loads(CliRunner().invoke(main, ["sim", "--profile", "cluster", "--seeds", "0:1", "-o", "json"]).stdout)
    assert found["trace_digest"] == said["trace_digest"]
    small = command.played(("small", 0, 1))
    assert small["profile"] == "small"
    assert small["passed"] == 1
