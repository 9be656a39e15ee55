"""The warden: what it watches does not outlive the rig, stopped processes included."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from chaos.rig.warden import WardenFault, open_warden

WITHIN_S = 30.0
SLEEPER = (sys.executable, "-c", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()")
# A rig: it starts a child, has it watched, stops it, says so, and waits to be killed.
RIG = """
import os, signal, subprocess, sys
from chaos.rig.warden import open_warden
with open_warden() as warden:
    child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
    warden.watch(child.pid)
    child.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    print(child.pid, flush=True)
    signal.pause()
"""


def ended(descriptor):
    """Whether that process ends in time; a pidfd becomes readable when it does."""
    return bool(select.select([descriptor], [], [], WITHIN_S)[0])


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_child_of_a_rig_that_is_killed_is_killed_too(how):
    with subprocess.Popen([sys.executable, "-c", RIG, *SLEEPER], stdout=subprocess.PIPE) as rig:  # noqa: S603 - our own
        assert rig.stdout is not None
        child = int(rig.stdout.readline())
        descriptor = os.pidfd_open(child)
        try:
            rig.send_signal(how)
            assert ended(descriptor)
        finally:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            os.close(descriptor)


def test_what_has_ended_is_left_alone_and_what_has_not_ends_with_the_block():
    with subprocess.Popen(SLEEPER) as one, subprocess.Popen([sys.executable, "-c", ""]) as other:  # noqa: S603 - our own
        with open_warden() as warden:
            warden.watch(other.pid)
            warden.watch(one.pid)
            other.wait(WITHIN_S)
        assert one.wait(WITHIN_S) == -signal.SIGKILL
        assert other.returncode == 0


def test_a_warden_that_does_not_end_is_not_waited_for_for_ever():
    idle = (sys.executable, "-c", "import time; time.sleep(20)")
    with pytest.raises(WardenFault, match=r"did not end within 0\.2 s"), open_warden(idle, 0.2):
        pass
    with pytest.raises(KeyError), open_warden(idle, 0.2):
        raise KeyError
