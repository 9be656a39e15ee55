"""A bench of healings: what a peer's meet, who counts as a new leader, and that turns are interleaved."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from chaos.bench.budgets import budgets
from chaos.bench.disk import Syncs
from chaos.bench.figures import Row, Who
from chaos.bench.heal import A_TURN, Heal, Ours, Theirs, leaders
from chaos.bench.peers import CUT, KILL, Beaten


class Peer:
    """A peer of which each turn gives what it was given."""

    who = Who("pysyncobj", "tuned")

    def __init__(self, *beaten):
        self.left, self.order = [*beaten], []

    @contextmanager
    def running(self, _folder, *, cables=False):
        self.order.append(("turn", cables))
        yield self

    def beaten(self, seconds, how, number):
        self.order.append((how, number))
        return self.left.pop(0) if self.left else Beaten(100.0, (1,))


@pytest.mark.parametrize(
    ("cut", "plain", "count"),
    [((4,), (4,), 0), ((4, 9), (9,), 1), ((4,), (4, 9), 1), ((), (9,), 0), ((4, 5, 9), (9,), 2), ((), (), 0)],
)
def test_each_newer_term_in_which_something_was_done_is_a_new_leader(cut, plain, count):
    assert leaders(Beaten(1.0, cut), Beaten(1.0, plain)) == count


def test_a_peer_s_gaps_are_those_beyond_what_is_usual_without_a_cut(tmp_path):
    peer = Peer(Beaten(201.0, (4, 6)), Beaten(100.0, (6,)), Beaten(199.0, (6,)), Beaten(100.0, (6,)))
    healed = Theirs(peer, lost=False, seconds=4)
    healed.turn(tmp_path / "turn", 2)
    (row,) = healed.rows()
    assert (row.who.system, row.who.like, row.n, row.max_ms) == ("pysyncobj", "cut and healed", 2, 201.0)
    told = {name: row.value(name) for name in ("gaps", "leader_changes", "bound_ms", "without_ms")}
    assert told == {"gaps": 1, "leader_changes": 1, "bound_ms": 200.0, "without_ms": [100.0, 100.0]}
    assert "SYNCS NOTHING" in row.who.note
    assert peer.order == [("turn", True), (CUT, 0), (None, 0), (CUT, 1), (None, 1)]
    assert budgets([row]) == []
    assert not [*tmp_path.iterdir()]


def test_turns_are_interleaved_and_a_peer_has_half_as_many(tmp_path, monkeypatch):
    order = []

    def turn(self, _folder, rounds):
        order.append((type(self).__name__, self.lost, rounds))

    monkeypatch.setattr(Ours, "turn", turn)
    monkeypatch.setattr(Ours, "rows", lambda self: [Row("heal", Who("meltica", str(self.lost)), 1)])
    peer = Peer()
    theirs = Theirs.turn
    monkeypatch.setattr(Theirs, "turn", lambda self, *given: (turn(self, *given), theirs(self, *given)))
    systems = [one for lost in (False, True) for one in (Ours(lost, 4, tmp_path), Theirs(peer, lost, 4))]
    said = []
    rows = Heal(tmp_path, Syncs(tmp_path), systems, said.append).run(2 * A_TURN)
    assert [(row.who.system, row.who.like) for row in rows] == [
        ("meltica", ""),
        ("pysyncobj", "cut and healed"),
        ("meltica", ""),
        ("pysyncobj", "killed and started"),
    ]
    assert [one[:2] for one in order[:4]] == [(kind, lost) for lost in (False, True) for kind in ("Ours", "Theirs")]
    for kind, lost in (("Ours", False), ("Ours", True)):
        assert sum(rounds for name, was, rounds in order if (name, was) == (kind, lost)) == 2 * A_TURN
        assert sum(rounds for name, was, rounds in order if (name, was) == ("Theirs", lost)) == A_TURN
    assert ("turn", False) in peer.order  # no cable is needed to kill
    assert (KILL, 0) in peer.order
    assert len(said) == len(order)
