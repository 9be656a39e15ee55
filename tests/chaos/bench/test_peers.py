"""What is done to a peer's cluster: in which order, to whom, and that it is whole again whatever came of it."""

from __future__ import annotations

import pytest

from chaos.bench import peers
from chaos.bench.child import BenchFault
from chaos.bench.peers import CUT, HEALING, KILL, PROMOTE, STOP, Beaten, Peers
from chaos.bench.stock import agreed

LATER = 7_000_000


class Three(Peers):
    """Notes what is asked of it; `a` leads, and the next leader is there 7 ms after it was asked for."""

    def __init__(self, *, fails=False):
        self.done, self.fails, self.cables = [], fails, self

    def names(self):
        return ("a", "b", "c")

    def leads(self):
        self.done.append("whole")
        return "a"

    def pid(self, name):
        return f"of {name}"

    def cut(self, name):
        self.done.append(f"cut {name}")

    def heal(self):
        self.done.append("heal")

    def down(self, name):
        self.done.append(f"down {name}")

    def up(self, name):
        self.done.append(f"up {name}")

    def ask_first(self, leader):
        self.done.append(f"first but {leader}")

    def ask_moved(self, leader):
        self.done.append(f"moved from {leader}")

    def heard_first(self, leader):
        if self.fails:
            raise BenchFault("nobody leads")
        return LATER

    def ask_beat(self, leader, seconds):
        self.done.append(f"beat at {leader} for {seconds}")

    def heard_beat(self, leader, within):
        return {"gap_ms": 120.0, "terms": [4, 6]}


STRIKES = {
    KILL: ["whole", "first but a", "down a", "up a", "whole"],
    STOP: ["whole", "first but a", "signal 19 of a", "signal 18 of a", "whole"],
    CUT: ["whole", "first but a", "cut a", "heal", "whole"],
    PROMOTE: ["whole", "moved from a", "whole"],
}


@pytest.fixture
def struck(monkeypatch):
    def made(**words):
        found = Three(**words)
        monkeypatch.setattr(peers.os, "kill", lambda pid, number: found.done.append(f"signal {int(number)} {pid}"))
        monkeypatch.setattr(peers.time, "monotonic_ns", lambda: 1_000_000)
        monkeypatch.setattr(peers.time, "sleep", lambda seconds: found.done.append(f"{seconds} s"))
        return found

    return made


@pytest.mark.parametrize("how", STRIKES)
def test_the_leader_is_struck_while_the_next_is_waited_for_and_all_is_whole_again(struck, how):
    cluster = struck()
    assert cluster.strike(how) == 6.0
    assert cluster.done == STRIKES[how]


@pytest.mark.parametrize("how", [KILL, STOP, CUT])
def test_nobody_stays_stopped_where_no_next_one_is_found(struck, how):
    cluster = struck(fails=True)
    with pytest.raises(BenchFault, match="nobody leads"):
        cluster.strike(how)
    assert cluster.done == STRIKES[how][:-1]


def test_standbys_are_cut_off_in_turn_in_the_middle_of_puts(struck):
    cluster = struck()
    assert cluster.beaten(4, CUT, 0) == Beaten(120.0, (4, 6))
    assert cluster.done == ["whole", f"beat at a for {4 + HEALING}", "cut b", "4 s", "heal"]
    cluster.done.clear()
    cluster.beaten(4, KILL, 1)
    assert cluster.done == ["whole", f"beat at a for {4 + HEALING}", "down c", "4 s", "up c"]
    cluster.done.clear()
    cluster.beaten(4, None, 1)
    assert cluster.done == ["whole", f"beat at a for {4 + HEALING}"]


def status(leader, *, leads=False, links=2):
    return {"leader": leader, "leads": leads, "links": links}


@pytest.mark.parametrize(
    ("a", "b", "found"),
    [
        (status("b"), status("b", leads=True), "b"),
        (status("a", leads=True), status("b", leads=True), ""),  # a was woken this moment
        (status("b"), status("b", leads=True, links=1), ""),
        (status("None"), status("None"), ""),
        (status("b"), status("b"), ""),
    ],
)
def test_a_leader_is_whom_all_call_so_as_one_that_was_stopped_does_not_know_of_the_next(a, b, found):
    assert agreed({"a": a, "b": b, "c": status(b["leader"])}) == found
