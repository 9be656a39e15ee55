"""SIGTERM and Ctrl-C: the first ends all blocks in order and leaves what was found, a second one ends it at once."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

WITHIN_S = 60.0
# It counts, and tells how far it came; where it is cleaned up it says so, and stands still if it is told to.
COUNTS = """
import sys, time, trio
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

found = []
with heeding():
    broken = run(lambda: in_tasks(found)) if "trio" in sys.argv else counted(found)
    print("told", len(found), broken.interrupted, broken.why, flush=True)
"""


def counting(*words):
    return subprocess.Popen(  # noqa: S603 - our own
        [sys.executable, "-c", COUNTS, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


@pytest.mark.parametrize("where", ["trio", "plainly"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_ends_it_and_what_was_found_is_told(where, number):
    with counting(where) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "counting\n"
        child.send_signal(number)
        said, _ = child.communicate(timeout=WITHIN_S)
        assert said.startswith("ending\ntold 1 True KeyboardInterrupt")
        assert child.returncode == 0


@pytest.mark.parametrize("where", ["trio", "plainly"])
@pytest.mark.parametrize("numbers", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGINT)])
def test_a_second_one_ends_it_at_once(where, numbers):
    with counting(where, "stands-still") as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "counting\n"
        child.send_signal(numbers[0])
        assert child.stdout.readline() == "ending\n"
        child.send_signal(numbers[1])
        assert child.communicate(timeout=WITHIN_S) == ("", None)
        assert child.returncode == -numbers[1]
