"""Seeded storms over three and five real replicas: kills, partitions, freezes, slow disks, lost and late frames.

What is checked is in chaos/sim/history.py: one leader a term, one history, one outcome a proposal, what was
acknowledged in its place, what was refused nowhere, and at the end a cluster that works.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.sim import storm
from chaos.sim.network import SECOND
from chaos.storm.__main__ import main
from cluster.types import Applied

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("profile", storm.PROFILES)
@pytest.mark.parametrize("block", range(2))
def test_storms(profile: str, block: int) -> None:
    acknowledged = terms = 0
    for seed in range(block * 5, block * 5 + 5):
        done = storm.run(seed, profile, duration=3 * SECOND)
        acknowledged += sum(isinstance(outcome, Applied) for outcome in done.history.outcomes.values())
        terms += len(done.history.leaders)
    assert acknowledged > 100  # a check that looked at nothing has not held
    assert terms > 5


@pytest.mark.parametrize("seed", range(2))
def test_five_nodes(seed: int) -> None:
    storm.run(seed, "tcp", duration=3 * SECOND, nodes=5)


def test_the_same_seed_gives_the_same_trace_under_any_hash_seed() -> None:
    """Hazard 16."""
    program = (
        "from chaos.sim import storm; from chaos.sim.network import SECOND;"
        "print(*(storm.run(s, p, duration=2*SECOND).history.digest() for s, p in ((3, 'tcp'), (4, 'wilder'))))"
    )
    digests = set()
    for hash_seed in ("0", "1", "77"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        ran = subprocess.run(  # noqa: S603 # our own interpreter
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=120
        )
        digests.add(ran.stdout)
    assert len(digests) == 1


def test_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tcp", "0:1"]) == 0
    assert "1 seeds, 0 failed" in capsys.readouterr().out
    assert main(["fog", "0:1"]) == 2
