"""What the drill of replacements decides, and how it asks: without a process."""

from __future__ import annotations

import json
import tempfile
from collections import Counter

import pytest
from attrs import evolve
from click.testing import CliRunner

from chaos.checkers.history import History, Request
from chaos.checkers.verdict import Check
from chaos.demo import measure, replace
from chaos.demo.install import KEPT
from chaos.demo.replace import ACTIVE, DEAD, STANDBY, Drilled, Replaced, Replacing, members_of
from chaos.demo.timed import Timed
from chaos.rig.processes import RigFault
from chaos.rig.settings import WINDOW_MS
from meltica.core.ids import make_id

MS = 1_000_000
LONG = 4000  # ms, from one round to the next
CLUSTER = "0a0b0c"
HELD = (Check("one_trader", 9, ()),)
GAPS = ("handed_over", "hand_over_s_gap", "by_snapshot")  # what has nothing to look at without the last round
STEPS = ("learns", "votes", "removed", "done")


def one(number, kind, **changed):
    """A round of two seconds, and an equal time."""
    begin, voters = number * LONG, (f"n{number + 2}", f"n{number + 3}", f"n{number + 4}")
    timed = Timed(begin * MS, (begin + 2000) * MS, (begin + 2000) * MS)
    made = Replaced(kind, f"n{number + 1}", f"n{number + 4}", timed, STEPS, voters, voters, removed=True)
    return evolve(made, **changed)


ROUNDS = (one(0, DEAD), one(1, STANDBY), one(2, ACTIVE, short=True, installed=True))
EVEN = tuple(range(0, 12_000, 250))


def request(at):
    return Request(at, "n1", "order.place", make_id(CLUSTER, 1, 10 + at, 0), at * MS, at * MS, "accepted", None)


def change(at, reason="transfer"):
    return {"mono_ns": at * MS, "node": "n5", "reason": reason, "term": 2}


HANDED = (change(8100),)


def saw(times):
    return History("trader", CLUSTER, tuple(request(at) for at in times), (), ())


def drilled(times=EVEN, rounds=ROUNDS, elected=HANDED, **words):
    made = Drilled(saw(times), rounds, elected, Counter(asked=9))
    return replace.document([made], words.get("checks", HELD), words.get("wanted", 3), words.get("slower", 1))


def wrong(document):
    return [one["name"] for one in document["checks"] if not one["held"]]


def without(begin, end, times=EVEN):
    return [at for at in times if not begin < at < end]


EVEN_BUT_HANDED = without(8250, 9750)  # the gap of a hand-over that took 1.5 s


def test_replacements_that_are_whole_and_stop_nothing_pass():
    found = drilled()
    assert (found["verdict"], found["n"], found["gap_ms"]["bound"]) == ("pass", 3, 500)
    assert [row["by"] for row in found["rounds"]] == ["log", "log", "snapshot"]
    assert drilled(rounds=ROUNDS[:1], wanted=1)["verdict"] == "pass"  # neither the active one's turn nor short logs
    json.dumps(found)


@pytest.mark.parametrize(
    ("changed", "fails"),
    [
        ({"wanted": 4}, ["replaced"]),
        ({"rounds": (evolve(ROUNDS[0], steps=STEPS[:3]), *ROUNDS[1:])}, ["replaced"]),
        ({"rounds": (evolve(ROUNDS[0], removed=False), *ROUNDS[1:])}, ["replaced"]),
        ({"rounds": (evolve(ROUNDS[0], voters=("n1", "n2", "n3")), *ROUNDS[1:])}, ["replaced"]),
        ({"rounds": (), "wanted": 3}, ["replaced", "leader_kept", GAPS[0], "steady_without", "no_gap", *GAPS[1:]]),
        ({"rounds": ROUNDS[:2]}, ["replaced", *GAPS]),
        ({"rounds": (*ROUNDS[:2], evolve(ROUNDS[2], installed=False))}, ["by_snapshot"]),
        ({"rounds": (*ROUNDS[:2], evolve(ROUNDS[2], short=False))}, ["by_snapshot"]),  # nobody had to
        ({"elected": ()}, ["handed_over"]),
        ({"elected": (change(8100, "election"),)}, ["handed_over"]),
        ({"elected": (*HANDED, change(11_000, "election"))}, ["handed_over"]),
        ({"elected": (change(1000, "election"), *HANDED)}, ["leader_kept"]),
        ({"elected": (change(3000, "election"), *HANDED)}, ["leader_kept"]),
        ({"times": without(500, 1250)}, ["no_gap"]),
        ({"times": without(8500, 9500)}, ["hand_over_s_gap"]),
        ({"times": without(2500, 3250)}, ["steady_without"]),
        ({"times": without(2250, 3750, EVEN_BUT_HANDED)}, ["steady_without", "hand_over_s_gap"]),  # excuses nothing
        ({"times": without(3999, 6000), "slower": 20}, ["no_gap"]),  # a round without any order
        ({"times": without(5999, 8000), "slower": 20}, ["steady_without"]),
        ({"checks": (Check("one_send", 9, ("twice",)),)}, ["one_send"]),
    ],
)
def test_what_fails_it(changed, fails):
    found = drilled(**changed)
    assert (found["verdict"], wrong(found)) == ("fail", fails)


def test_a_hand_over_may_last_a_window_longer():
    assert wrong(drilled(times=without(8500, 9250))) == []
    assert wrong(drilled(times=without(4500, 5250))) == ["no_gap"]
    assert drilled()["gap_ms"]["bound"] + WINDOW_MS == 800


def test_the_bound_is_what_the_times_without_a_cause_show_of_every_cluster():
    """At first it was the most that such a time may have: a standby's loss might stop trading for half a second."""
    slow = without(2500, 3000)
    assert wrong(drilled(times=slow)) == []
    assert drilled(times=slow)["gap_ms"]["bound"] == 750
    assert drilled(times=slow)["gap_ms"]["without"] == {"p50": 250.0, "max": 500.0}
    parts = [Drilled(saw(slow), ROUNDS[:1], ()), Drilled(saw(without(8500, 9500)), ROUNDS[2:], HANDED)]
    assert replace.document(parts, HELD, 2)["verdict"] == "pass"
    lost = drilled(times=slow, elected=(change(2600, "election"), *HANDED))  # no measure of what is usual
    assert (wrong(lost), lost["gap_ms"]["bound"]) == (["leader_kept"], 500)


def test_who_votes_and_who_is_gone_is_as_the_command_says():
    parts = {"n4": "voter", "n2": "voter", "n5": "learner"}
    members = [{"name": name, "part": part} for name, part in parts.items()]
    assert members_of({"members": members, "removed": ["n1"]}) == (("n2", "n4"), ("n1",))


def test_elections_are_read_from_every_log_in_order(tmp_path):
    (tmp_path / "logs").mkdir()
    for name, at in (("n1", 9), ("n4", 5)):
        lines = [{"event": "role changed", "role": role, "mono_ns": at} for role in ("leader", "follower")]
        (tmp_path / "logs" / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert [one["mono_ns"] for one in replace.elections_of(tmp_path, ("n1", "n4"))] == [5, 9]


async def test_a_command_that_got_no_answer_is_given_again_and_one_that_is_refused_is_not(tmp_path, monkeypatch):
    answers = [(7, "unknown"), (3, "nobody"), (0, json.dumps({"steps": [{"step": "votes"}, {"step": "done"}]}))]
    asked = []

    async def answer(folder, *words):
        asked.append((folder, words[:5]))
        return answers.pop(0)

    monkeypatch.setattr(replace, "run_of", answer)
    assert await replace.commanded(tmp_path, "n1", "n4") == ("votes", "done")
    assert asked == [(tmp_path, ("cluster", "replace", "n1", "--with", "n4"))] * 3
    answers.append((5, "no connection"))
    with pytest.raises(RigFault, match="failed with 5: no connection"):
        await replace.commanded(tmp_path, "n1", "n4")


def test_the_command_has_the_drill(monkeypatch):
    asked = []

    async def drill(*given):
        asked.append(given)
        return {"kind": "replace", "verdict": "pass", "checks": []}

    assert measure.DRILLS["replace"] is replace.replace
    monkeypatch.setitem(measure.DRILLS, "replace", drill)
    done = CliRunner().invoke(measure.main, ["replace", "--rounds", "10", "-o", "json"])
    assert (done.exit_code, asked) == (0, [(10, "synthetic", 1)])


def test_several_clusters_are_told_as_one_and_what_one_s_end_did_is_not_the_next_one_s():
    """Between two of them lies the first one's halt and the second one's first election."""
    first = Drilled(saw(EVEN), ROUNDS[:2], (), Counter(asked=8, taken=7))
    times = [at + 60_000 for at in EVEN]
    last = one(15, ACTIVE, short=True, installed=True)
    second = Drilled(saw(times), (last,), (change(58_000, "election"), change(60_100)), Counter(asked=5))
    found = replace.document([first, second], HELD, 3)
    assert (found["verdict"], found["n"], found["beat"]) == ("pass", 3, {"asked": 13, "taken": 7})
    assert found["orders_admitted"] == 2 * len(EVEN)


def test_that_a_node_installed_a_snapshot_is_read_from_its_own_log(tmp_path):
    (tmp_path / "logs").mkdir()
    for name, event in (("n4", "snapshot_installed"), ("n5", "started")):
        (tmp_path / "logs" / f"{name}.jsonl").write_text(json.dumps({"event": event, "index": 9}) + "\n")
    assert [replace.has_installed(tmp_path, name) for name in ("n4", "n5")] == [True, False]


@pytest.mark.parametrize(
    ("rounds", "clusters"),
    [
        (10, [(5, 0, 0), (5, KEPT, 5)]),
        (12, [(5, 0, 0), (5, KEPT, 5), (2, 0, 10)]),
        (3, [(2, 0, 0), (1, KEPT, 2)]),
        (1, [(1, 0, 0)]),
    ],
)
async def test_every_second_cluster_keeps_little_of_its_log_and_the_turns_go_on(
    rounds, clusters, monkeypatch, tmp_path
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    played = []

    async def run(self, _folder):
        played.append((self.rounds, self.kept, self.before))
        self.replaced += [ROUNDS[0]] * self.rounds
        return Drilled(saw(EVEN), self.replaced, ()), HELD

    monkeypatch.setattr(Replacing, "run", run)
    found = await replace.replace(rounds, "synthetic")
    assert (played, found["n"]) == (clusters, rounds)
