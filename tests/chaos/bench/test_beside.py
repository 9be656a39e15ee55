"""Which commands were measured while a snapshot was taken or sent: by what a leader's status says of it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import trio

from chaos.bench import beside, snapshot
from chaos.bench.beside import NOTHING, SENDING, SENDS, TAKING, Beside, Looked, Span, by_phase, phase_of, told
from chaos.bench.budgets import ratios
from chaos.bench.callers import Orders
from chaos.bench.child import Disturbed
from chaos.bench.disk import Syncs
from chaos.bench.figures import Row, Who
from chaos.bench.node import Held
from chaos.bench.snapshot import Snapshot
from cluster.snapshot.sending import Pace
from cluster.snapshot.supplying import Supplying
from cluster.types import Applied, LogIndex, Term
from meltica.core.events import CommandResult
from meltica.core.state import State

MS = 1_000_000


def test_a_leaders_own_words_are_understood():
    """As `Supplying` says them: nothing, a source and nobody to send it to, and somebody."""
    supplying = Supplying(SimpleNamespace(), Pace())
    assert phase_of(supplying.says) == NOTHING
    supplying._source = SimpleNamespace(entry=SimpleNamespace(index=7))
    assert phase_of(supplying.says) == TAKING
    supplying._sendings["n2"] = SimpleNamespace()
    assert phase_of(supplying.says) == SENDING
    assert phase_of("no snapshot can be sent: the state's key is too large") == NOTHING


def looked(*phases):
    """At 0, 10, 20, ... ms."""
    words = {
        NOTHING: "",
        TAKING: "sends the state of entry 7 to nobody yet",
        SENDING: "sends the state of entry 7 to n2",
    }
    found = Looked(lambda: words[phases[len(seen) - 1]])
    seen = []
    for place, _ in enumerate(phases):
        seen.append(place)
        found.look(place * 10 * MS)
    return found


def test_phases_follow_each_other_and_it_is_over_once_one_was_sent():
    found = looked(NOTHING, NOTHING, TAKING, TAKING, SENDING, NOTHING)
    assert found.spans(60 * MS) == [
        Span(NOTHING, 0, 20 * MS),
        Span(TAKING, 10 * MS, 40 * MS),  # it may have begun right after a look
        Span(SENDING, 30 * MS, 50 * MS),
        Span(NOTHING, 40 * MS, 60 * MS),
    ]
    assert found.over
    assert not looked(NOTHING, TAKING, NOTHING).over
    assert not looked(NOTHING, TAKING, SENDING).over


def test_a_command_belongs_to_each_phase_that_it_saw_and_to_none_else():
    spans = [Span(NOTHING, 0, 20 * MS), Span(TAKING, 20 * MS, 40 * MS), Span(SENDING, 40 * MS, 60 * MS)]
    began, took = [0, 19 * MS, 25 * MS, 39 * MS, 45 * MS], [1_000.0, 2_000.0, 3_000.0, 4_000.0, 5_000.0]
    assert by_phase(began, took, spans) == {
        NOTHING: [1_000.0],
        TAKING: [2_000.0, 3_000.0, 4_000.0],
        SENDING: [4_000.0, 5_000.0],
    }


def test_what_a_node_tells_says_how_long_each_phase_lasted():
    run = Beside(SimpleNamespace(), None, 9, 0, [25 * MS, 43 * MS], [1_000.0, 2_000.0])
    said = told(run, looked(NOTHING, NOTHING, TAKING, TAKING, SENDING, NOTHING), 60 * MS)
    assert said == {
        "us": {NOTHING: [], TAKING: [1_000.0], SENDING: [2_000.0]},
        "lasted_ms": {TAKING: 30.0, SENDING: 20.0},
        "over": True,
    }


class Standing:
    """A node that answers nothing before a moment, and then all at once."""

    def __init__(self, until):
        self.until = until
        self.kinds = []
        self.held = []

    def propose_nowait(self, command, heard):
        self.kinds.append(json.loads(command)["kind"])
        order = f"o{len(self.kinds)}" if self.kinds[-1] == "submit" else None
        outcome = Applied(LogIndex(1), Term(1), CommandResult(1, 0, self.kinds[-1], order=order))
        if trio.current_time() >= self.until:
            heard(outcome)
        else:
            self.held.append((heard, outcome))

    async def run(self):
        await trio.sleep_until(self.until)
        for heard, outcome in self.held:
            heard(outcome)


async def test_orders_come_at_their_pace_and_a_stall_is_met_by_all_that_were_due_in_it(autojump_clock, monkeypatch):
    begin = trio.current_time()
    monkeypatch.setattr(beside.time, "perf_counter_ns", lambda: round((trio.current_time() - begin) * 1e9))
    node = Standing(begin + 1.0)
    run = Beside(node, lambda: Orders(1, State()), 300, 10 * 1000 * MS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.run)
        await run.play()
    assert node.kinds.count("submit") == node.kinds.count("answered") == len(run.took_us) == 300
    assert run.began_ns == [place * 5 * MS for place in range(300)]
    assert sum(took > 500_000 for took in run.took_us) == 100  # one caller would have met it once
    assert run.took_us[-1] == pytest.approx(0, abs=1)


async def test_a_lost_lead_ends_it_and_it_is_over_when_there_were_enough(autojump_clock, monkeypatch):
    class Lost:
        def propose_nowait(self, _command, heard):
            heard(None)

    begin = trio.current_time()
    monkeypatch.setattr(beside.time, "perf_counter_ns", lambda: round((trio.current_time() - begin) * 1e9))
    run = Beside(Lost(), lambda: Orders(1, State()), 300, 1000 * MS)
    await run.play()
    assert ("the lead was lost" in run.disturbed, run.asked, run.flying) == (True, 1, 0)
    run = Beside(Standing(0), lambda: Orders(1, State()), 300, 1000 * MS)
    run.enough()
    await run.play()
    assert run.asked == 0


def test_the_ratio_to_three_nodes_is_told_and_judged_by_nobody():
    """With all three a commit waits for the quicker of two standbys: what is judged is what a snapshot alone does."""
    rows = [
        Row("snapshot", Who("meltica", name), 1000, p99_ms=ms)
        for name, ms in (("three nodes", 1.0), ("one away", 2.0), ("taking", 2.5), ("sending", 2.6))
    ]
    found = {one["what"]: one for one in ratios(rows)}
    one = found["commit p99 while a snapshot is sent, beside three nodes"]
    assert (one["ours"], one["theirs"], one["variant"], one["ratio"]) == (2.6, 1.0, "three nodes", 2.6)
    assert (one["budget"], one["held"]) == (None, None)
    assert found["commit p99 while a snapshot is sent"]["held"] is True
    assert len(found) == 4


@pytest.mark.parametrize(("p99", "held"), [(3.0, True), (3.1, False), (None, None)])
def test_neither_may_move_the_p99_by_more_than_half(p99, held):
    rows = [
        Row("snapshot", Who("meltica", variant), 1000, 1, p99_ms=value)
        for variant, value in (("three nodes", 1.0), ("one away", 2.0), (TAKING, p99), (SENDING, 2.0))
    ]
    taking, sending, *_ = ratios(rows)
    assert (taking["what"], taking["budget"], taking["held"]) == ("commit p99 while a snapshot is taken", 1.5, held)
    assert (sending["theirs"], sending["variant"], sending["held"]) == (2.0, "one away", True)


LACKING = "the log was dropped"


class Sends:
    """A cluster whose nodes say what they are told to; time goes by as they are asked."""

    def __init__(self, *said):
        self.said, self.asked = [*said], []
        self.children = {name: Asked(self, name) for name in ("n1", "n2", "n3")}

    def leader(self):
        return self.children["n1"]

    leader_now = leader

    def start(self, name, *, hold=False):
        self.asked.append(("start", name, hold))


class Asked:
    """One of its nodes."""

    def __init__(self, cluster, name):
        self.cluster, self.name = cluster, name

    def ask(self, _within, **words):
        self.cluster.asked.append((words["do"], self.name))
        if words["do"] != "status":
            raise Disturbed("an election")
        said = self.cluster.said.pop(0) if self.name == "n1" and len(self.cluster.said) > 1 else ""
        status = {"leader": "n1", "links": 2, "leads": self.name == "n1", "committed": 9, "applied": 9, "at_ns": 1}
        return {**status, "snapshot": said, "lacking": ["n2"] if said == LACKING else []}

    def heard(self, _within):
        return {}

    def kill(self):
        self.cluster.asked.append(("kill", self.name))

    end = kill


class Supplied(Asked):
    """A leader that has sent a snapshot, or the standby that has got it: its longest step took 37 ms."""

    def ask(self, _within, **words):
        if words["do"] == "status":
            return {"held_ms": 37.0}
        return {"us": {NOTHING: [1000.0], TAKING: [], SENDING: []}}

    def tell(self, **_words):
        """It goes on by itself."""

    def heard(self, _within):
        us = {NOTHING: [], TAKING: [2000.0], SENDING: [3000.0]}
        return {"over": True, "us": us, "lasted_ms": {TAKING: 1.0, SENDING: 2.0}}


def test_how_long_the_standby_that_installs_one_answered_nobody_is_a_row(tmp_path, monkeypatch):
    monkeypatch.setattr(snapshot, "_leave_behind", lambda _leader, _name: None)
    monkeypatch.setattr(snapshot, "caught_up", lambda _cluster, _name: 0)
    cluster, said = Sends(), []
    cluster.children = {name: Supplied(cluster, name) for name in cluster.children}
    run = Snapshot(tmp_path, Syncs(tmp_path), 10, said.append)
    for _ in range(2):
        run._once(cluster, cluster.leader(), "n2")
    rows = {row.who.variant: row for row in run._rows(10**6, 50)}
    assert (rows["standby held"].n, rows["standby held"].max_ms) == (2, 37.0)
    assert said[-1].endswith("held for 37 ms")
    assert [*rows] == ["three nodes", "one away", TAKING, SENDING, "standby held", "transfer"]


def test_a_node_remembers_its_longest_step():
    held = Held()
    for took in (3, 9, 4):
        held.stepped(took)
    assert held.longest_ns == 9


def test_a_round_that_an_election_ended_is_made_again_when_nobody_sends_a_snapshot(tmp_path, monkeypatch):
    """The node that lacks the log is sent one as soon as it is back: that is none of the next try's."""
    cluster, made = Sends(f"{SENDS}9 to n2", f"{SENDS}9 to n2", LACKING, ""), []

    def once(_self, cluster, _leader, name):
        made.append(len(cluster.said))
        if len(made) == 1:
            cluster.start(name, hold=True)
            raise Disturbed("an election")

    monkeypatch.setattr(Snapshot, "_once", once)
    run = Snapshot(tmp_path, Syncs(tmp_path), 10, lambda _text: None)
    run._round(cluster, 0)
    assert (made, run.disturbed) == ([4, 1], 1)
    assert ("start", "n2", False) in cluster.asked
