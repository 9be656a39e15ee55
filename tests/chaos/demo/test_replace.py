"""What the drill of replacements decides, and how it asks: without a process."""

from __future__ import annotations

import json

import pytest
from attrs import evolve
from click.testing import CliRunner

from chaos.checkers.history import History, Request
from chaos.checkers.verdict import Check
from chaos.demo import measure, replace
from chaos.demo.replace import ACTIVE, DEAD, STANDBY, Drilled, Replaced, members_of
from chaos.rig.processes import RigFault
from chaos.rig.settings import WINDOW_MS
from meltica.core.ids import make_id

MS = 1_000_000
CLUSTER = "0a0b0c"
HELD = (Check("one_trader", 9, ()),)
STEPS = ("learns", "votes", "removed", "done")


def one(number, kind, **changed):
    """A round of two seconds."""
    begin, voters = number * 2000, (f"n{number + 2}", f"n{number + 3}", f"n{number + 4}")
    made = Replaced(
        kind, f"n{number + 1}", f"n{number + 4}", begin * MS, (begin + 2000) * MS, STEPS, voters, voters, removed=True
    )
    return evolve(made, **changed)


ROUNDS = (one(0, DEAD), one(1, STANDBY), one(2, ACTIVE))
EVEN = tuple(range(0, 6000, 250))


def request(at):
    return Request(at, "n1", "order.place", make_id(CLUSTER, 1, 10 + at, 0), at * MS, at * MS, "accepted", None)


def change(at, reason="transfer"):
    return {"mono_ns": at * MS, "node": "n5", "reason": reason, "term": 2}


HANDED = (change(4100),)


def drilled(times=EVEN, rounds=ROUNDS, elected=HANDED, **words):
    found = History("trader", CLUSTER, tuple(request(at) for at in times), (), ())
    made = Drilled(rounds, elected, words.get("wanted", 3), words.get("slower", 1))
    return replace.document(found, made, words.get("checks", HELD))


def wrong(document):
    return [one["name"] for one in document["checks"] if not one["held"]]


def without(begin, end):
    return [at for at in EVEN if not begin < at < end]


def test_replacements_that_are_whole_and_stop_nothing_pass():
    found = drilled()
    assert (found["verdict"], found["n"], found["gap_ms"]["bound"]) == ("pass", 3, 800)
    assert drilled(rounds=ROUNDS[:2], wanted=2)["verdict"] == "pass"  # the active one's turn has not come
    json.dumps(found)


@pytest.mark.parametrize(
    ("changed", "fails"),
    [
        ({"wanted": 4}, ["replaced"]),
        ({"rounds": (evolve(ROUNDS[0], steps=STEPS[:3]), *ROUNDS[1:])}, ["replaced"]),
        ({"rounds": (evolve(ROUNDS[0], removed=False), *ROUNDS[1:])}, ["replaced"]),
        ({"rounds": (evolve(ROUNDS[0], voters=("n1", "n2", "n3")), *ROUNDS[1:])}, ["replaced"]),
        ({"rounds": (), "wanted": 3}, ["replaced", "leader_kept", "no_gap", "handed_over", "hand_over_s_gap"]),
        ({"rounds": ROUNDS[:2]}, ["replaced", "handed_over", "hand_over_s_gap"]),
        ({"elected": ()}, ["handed_over"]),
        ({"elected": (change(4100, "election"),)}, ["handed_over"]),
        ({"elected": (*HANDED, change(5000, "election"))}, ["handed_over"]),
        ({"elected": (change(1000, "election"), *HANDED)}, ["leader_kept"]),
        ({"times": without(500, 1500)}, ["no_gap"]),
        ({"times": without(4500, 5750)}, ["hand_over_s_gap"]),
        ({"times": without(1999, 4000), "slower": 20}, ["no_gap"]),  # a round without any order
        ({"checks": (Check("one_send", 9, ("twice",)),)}, ["one_send"]),
    ],
)
def test_what_fails_it(changed, fails):
    found = drilled(**changed)
    assert (found["verdict"], wrong(found)) == ("fail", fails)


def test_a_hand_over_may_last_a_window_longer():
    assert 0 < 1000 - 800 < WINDOW_MS
    assert wrong(drilled(times=without(4500, 5500))) == []
    assert wrong(drilled(times=without(500, 1500))) == ["no_gap"]


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


async def test_there_are_ports_for_so_many():
    with pytest.raises(RigFault, match="20 rounds at most"):
        await replace.replace(21, "synthetic")
