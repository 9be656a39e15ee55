"""The counter of ids for cancels without a majority: what it gave is never given again, by any life of the node."""

from __future__ import annotations

import os

import pytest

from meltica.core.values import Epoch
from meltica.numbers import NAME, NONE_LEFT, NumbersFault, NumbersFile


def test_a_restart_does_not_turn_it_back(tmp_path):
    numbers = NumbersFile(tmp_path)
    assert [numbers(Epoch(3), 2), numbers(Epoch(3), 1)] == [0, 2]
    again = NumbersFile(tmp_path)  # the first was never closed: it was killed
    assert again(Epoch(3), 1) == 3


def test_each_epoch_counts_for_itself_and_an_older_one_gets_nothing_more(tmp_path):
    numbers = NumbersFile(tmp_path)
    assert numbers(Epoch(3), 5) == 0
    assert numbers(Epoch(4), 5) == 0
    assert numbers(Epoch(3), 1) == NONE_LEFT


def test_a_disk_that_takes_nothing_keeps_nobody_from_cancelling(tmp_path, monkeypatch):
    numbers = NumbersFile(tmp_path)

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    assert [numbers(Epoch(3), 2), numbers(Epoch(3), 1)] == [0, 2]


@pytest.mark.parametrize("text", [b"", b"epoch x next 1\n", b"garbage"])
def test_a_damaged_file_is_told_at_the_start(tmp_path, text):
    (tmp_path / NAME).write_bytes(text)
    with pytest.raises(NumbersFault, match=r"mandate\.numbers"):
        NumbersFile(tmp_path)


def test_a_folder_that_cannot_be_written_is_told_at_the_start(tmp_path):
    with pytest.raises(NumbersFault, match="writable"):
        NumbersFile(tmp_path / "none")
