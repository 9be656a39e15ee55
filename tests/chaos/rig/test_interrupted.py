"""SIGTERM and Ctrl-C: the first ends all blocks in order and leaves what was found, a second one ends it at once."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

WITHIN_S = 60.0
# It counts, and tells how far it came; where it is cleaned up it says so, and stands still if it is told to.
COUNTS = """
import signal, sys, time, trio
from chaos.rig.broken import so_far
from chaos.rig.interrupted import heeding, run

def still():
    print("ending", flush=True)
    while "stands-still" in sys.argv:
        time.sleep(0.01)

def counted(found):
    with so_far(found) as broken:
        try:
            found.append(1)
            print("counting", flush=True)
            while True:
                time.sleep(0.01)
        finally:
            still()
    return broken

async def in_tasks(found):
    with so_far(found) as broken:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                found.append(1)
                print("counting", flush=True)
                await trio.sleep_forever()
        finally:
            still()
    return broken

if "background" not in sys.argv:  # where this suite may have been started, and every process with Ctrl-C ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
found = []
with heeding():
    broken = run(lambda: in_tasks(found)) if "trio" in sys.argv else counted(found)
    print("told", len(found), broken.interrupted, broken.why, flush=True)
"""


@contextmanager
def counting(*words):
    """It has begun to count; it is gone at the end, whatever it heeded."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell starts what is to run in the background
    try:
        child = subprocess.Popen(  # noqa: S603 - our own
            [sys.executable, "-c", COUNTS, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "counting\n"
            yield child
        finally:
            child.kill()


@pytest.mark.parametrize("where", ["trio", "plainly"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_ends_it_and_what_was_found_is_told(where, number):
    with counting(where) as child:
        child.send_signal(number)
        said, _ = child.communicate(timeout=WITHIN_S)
        assert said.startswith("ending\ntold 1 True KeyboardInterrupt")
        assert child.returncode == 0


@pytest.mark.parametrize("where", ["trio", "plainly"])
@pytest.mark.parametrize("numbers", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGINT)])
def test_a_second_one_ends_it_at_once(where, numbers):
    with counting(where, "stands-still") as child:
        child.send_signal(numbers[0])
        assert child.stdout.readline() == "ending\n"
        child.send_signal(numbers[1])
        assert child.communicate(timeout=WITHIN_S) == ("", None)
        assert child.returncode == -numbers[1]


@pytest.mark.parametrize("where", ["trio", "plainly"])
def test_in_the_background_ctrl_c_is_not_heeded_and_an_end_is(where):
    with counting(where, "background") as child:
        child.send_signal(signal.SIGINT)
        child.send_signal(signal.SIGTERM)
        said, _ = child.communicate(timeout=WITHIN_S)
        assert said.startswith("ending\ntold 1 True KeyboardInterrupt")
        assert child.returncode == 0
