"""Growth: what a node keeps over rounds is seen, and what comes and goes within them is not."""

from __future__ import annotations

import os

import pytest

from chaos.live.growth import CALM_NS, LEAST, MIB, Growth, Held, held_by, not_grown
from chaos.live.plan import Aim, Fault
from chaos.live.strike import Struck
from chaos.live.unseen import LOST, UNSEEN
from chaos.mutants.patches import Patches
from cluster.driver import ClusterNode

S = 1_000_000_000
ROUNDS = 10
RESET = Fault(0, "reset", "all", 0, 1, 0, "peers", "both", ())
DONE = [Struck(RESET, Aim(("n1",)), (10 * r) * S, (10 * r + 2) * S) for r in range(ROUNDS)]
UNTIL = ROUNDS * 10 * S


def samples(holds, pid=1, node="n1"):
    """One a second; `holds`: memory in MiB, descriptors and threads in a round."""
    found = []
    for second in range(ROUNDS * 10):
        memory, descriptors, threads = holds(second // 10)
        broken = second % 10 <= 2
        found.append(
            Held(node, pid, second * S, int(memory * MIB) + broken * 99 * MIB, descriptors + broken * 50, threads)
        )
    return found


def steady(_):
    return 50, 30, 8


def grown(found, done=DONE, until=UNTIL, most=1):
    """With the other two nodes, which hold what they held."""
    return not_grown([*samples(steady, 2, "n2"), *samples(steady, 3, "n3"), *found], done, until, most)


def test_what_stays_as_it_is_has_not_grown_whatever_was_held_while_it_was_broken():
    check = grown(samples(steady))
    assert (check.held, check.looked_at) == (True, 3 * (ROUNDS - 1))


@pytest.mark.parametrize(
    ("holds", "word"),
    [
        (
            lambda r: (50 + 2 * r, 30, 8),
            "memory grows: [52, 54, 56, 58, 60, 62, 64, 66, 68] over 9 rounds, 2.0 MiB a round",
        ),
        (lambda r: (50, 30 + r, 8), "descriptors grow"),
        (lambda r: (50, 30 + r // 3, 8), "descriptors grow"),
        (lambda r: (50, 30, 8 + r // 4), "threads grow"),
        (lambda r: (50 + 1.1 * r, 30, 8), "memory grows"),
        (lambda r: (50, 30, 8 + r // 2), "threads grow"),
    ],
)
def test_what_grows_with_each_round_is_told(holds, word):
    check = grown(samples(holds))
    (violation,) = check.violations
    assert violation.startswith(f"n1 (process 1): {word}")


@pytest.mark.parametrize(
    "holds",
    [
        lambda r: (50 + 40 * (r > 0), 30, 8),  # made once
        lambda r: (50 + 5 * (r > 5), 30 + 2 * (r > 5), 8 + (r > 3)),  # the same later
        lambda r: (50 + 0.9 * r, 30 + (r > 3), 8),
        lambda r: (50, 30 + 9 * (r == 5), 8),  # one round that was not over yet
        lambda r: (50 + r % 2 * 7, 30 + r % 3, 8 + r % 2),
        lambda r: (90 - 4 * r, 40 - r, 20 - r),
    ],
)
def test_what_comes_once_or_goes_again_does_not_grow(holds):
    assert grown(samples(holds)).held


def test_a_process_that_was_started_anew_is_compared_with_itself():
    found = [one for one in samples(steady) if one.at_ns < 50 * S]
    found += [one for one in samples(lambda _: (300, 90, 30), pid=2) if one.at_ns >= 50 * S]
    check = grown(found)
    assert check.violations == ("n1: 4 calms of one process, it takes 6 to say something",)


def test_too_few_rounds_say_nothing():
    assert not grown(samples(steady), DONE[:LEAST], 60 * S).held
    assert not not_grown([*samples(steady), *samples(steady, 2, "n2")], DONE, UNTIL, 1).held  # nothing of n3


def test_faults_that_overlap_are_one_round():
    longer = [Struck(RESET, one.aim, one.begin_ns + S, one.end_ns + S) for one in DONE]
    assert grown(samples(steady), [*DONE, *longer]).looked_at == 3 * (ROUNDS - 1)
    assert CALM_NS == S


def test_this_process_is_sampled_and_one_that_is_gone_is_not(tmp_path):
    growth = Growth(lambda: {"n1": os.getpid(), "n2": 2**22 + 1})
    growth.look(7)
    (held,) = growth.found
    assert (held.node, held.at_ns) == ("n1", 7)
    assert held.memory > MIB
    assert held.threads >= 1
    before = held.descriptors
    with (tmp_path / "x").open("w"):
        assert held_by(growth.proc / str(os.getpid()))[1] == before + 1


@pytest.mark.parametrize("leak", [one for one in UNSEEN if one.rule == "growth"], ids=lambda leak: leak.name)
def test_each_leak_keeps_something_with_each_link(leak, monkeypatch):
    heard = []
    monkeypatch.setattr(ClusterNode, "connected", lambda _self, peer: heard.append(peer))
    LOST.clear()
    with Patches() as patches:
        leak.patch(patches)
        ClusterNode.connected(None, "n2")
    assert (heard, len(LOST)) == (["n2"], 1)
    for each in LOST:
        if isinstance(each, int):
            os.close(each)
    LOST.clear()
