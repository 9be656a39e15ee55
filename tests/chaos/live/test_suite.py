"""A suite goes on whatever becomes of a run, and its document is told whatever ends it."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio
from attrs import evolve
from click.testing import CliRunner

from chaos.checkers.verdict import Check
from chaos.cli import main
from chaos.live import command, kept, suite
from chaos.live.document import Played, one
from chaos.live.library import chosen, plans_of
from chaos.live.nodes import End
from chaos.live.pauses import gaps
from chaos.live.plan import Aim, plan
from chaos.live.run import NoTrade, Wish
from chaos.live.strike import Struck
from chaos.live.suite import Stopped, Suite, played
from chaos.report import folder as rooms
from chaos.report.again import again
from chaos.rig.guarded import Interrupted
from chaos.rig.processes import RigFault
from cluster.store import StoreFault
from tests.chaos.checkers.honest import honest
from tests.chaos.report.left import laid

MS = 1_000_000
TIMES = [at * 100 * MS for at in range(1000)]


def came(wish: Wish, *wrong: str) -> Played:
    """A run that was played as its plan says, and what came of it."""
    done = [Struck(fault, Aim(("n1",)), fault.at, fault.until) for fault in wish.plan.faults]
    kept = str(wish.folder) if wish.kept else ""
    return Played(wish.plan, gaps(done, TIMES, TIMES[-1]), (Check("one_send", 3, wrong),), wish.slower, kept)


class Plays:
    """Stands in for runs: what becomes of each, in turn; what is not said passes.  Leaves what a run leaves."""

    def __init__(self, *ends):
        self.ends, self.wishes, self.seen = list(ends), [], []

    def __call__(self, wish, say):
        self.wishes.append(wish)
        verdict = wish.folder.parent / "verdict.json"
        self.seen.append(json.loads(verdict.read_text()) if verdict.exists() else None)
        end = self.ends.pop(0) if self.ends else ()
        if isinstance(end, BaseException):
            raise end
        if callable(end):
            end()
        laid(wish.folder / "new")
        for path in (wish.folder / "new").iterdir():
            path.rename(wish.folder / path.name)
        return came(wish, *(end or ()))


@pytest.fixture(autouse=True)
def stores(monkeypatch):
    """What the folders' stores hold."""
    monkeypatch.setattr(rooms, "gather", lambda *_: honest())


@pytest.fixture
def asked(monkeypatch):
    """The command line, on runs that are not there."""

    def ask(plays, *words):
        monkeypatch.setattr(command, "checked", lambda: None)
        monkeypatch.setattr(command, "Suite", lambda *more, **named: Suite(*more, **named, play=plays))
        seed = () if "--seed" in words else ("--seed", "1")
        output = () if "-o" in words else ("-o", "json")
        return CliRunner().invoke(main, ("run", *words, *seed, *output), catch_exceptions=False)

    return ask


def trust(tmp_path, plays, **changes):
    named = {"alone": False, "until_stopped": False, "play": plays} | changes
    return Suite("trust", 1, tmp_path / "kept", 2, lambda _: None, **named)


def few(name="trust", number=3):
    return list(plans_of("trust", 1, 1))[:number]


def wrong(found):
    """The last check of each run that did not hold."""
    return [run["checks"][-1] for run in found.document()["runs"]]


# What becomes of one run


def test_a_run_that_could_not_be_played_has_failed_and_the_next_goes_on(tmp_path, monkeypatch):
    faults = iter((NoTrade("nobody traded: see logs"), trio.TooSlowError(), TypeError("a fault of our own")))

    async def run(self):
        raise next(faults)

    monkeypatch.setattr(suite.Runner, "run", run)
    said = []
    found = Suite("trust", 1, tmp_path / "kept", 2, said.append, alone=False, until_stopped=False)
    found.run(few())
    document = found.document()
    assert [run["checks"] for run in document["failures"]] == [
        [Check("played", 1, (why,)).document()]
        for why in ("NoTrade: nobody traded: see logs", "TooSlowError", "TypeError: a fault of our own")
    ]
    assert (document["verdict"], len(document["runs"]), "broken_off" in document) == ("fail", 3, False)
    assert [one["name"] for one in document["checks"] if not one["held"]] == ["played"]
    assert sum("Traceback" in text for text in said) == 1  # of the one that nobody foresaw
    assert all(
        json.loads((Path(run["report"]) / "verdict.json").read_text())["verdict"] == "fail" for run in document["runs"]
    )


def test_a_suite_whose_code_is_changed_under_it_ends_there_and_says_so(tmp_path):
    looks = []

    def look():
        looks.append(1)
        if len(looks) == 2:
            raise kept.Changed("the code has changed since it began (meltica/node.py)")

    found = trust(tmp_path, Plays(), look=look)
    found.run(few())
    document = json.loads((tmp_path / "kept" / "verdict.json").read_text())
    assert [run["verdict"] for run in document["runs"]] == ["pass", "pass"]
    assert found.document()["verdict"] == "fail"
    assert found.document()["broken_off"] == "the code has changed since it began (meltica/node.py)"


def test_what_was_struck_before_a_run_broke_off_is_told(tmp_path, monkeypatch):
    each = plan(chosen("leader-killed"), 1)
    struck = Struck(each.faults[0], Aim(("n1",)), 100 * MS, 200 * MS)

    async def run(self):
        self.done.append(struck)
        raise RigFault("n1 ended with code 1 before it was ready")

    monkeypatch.setattr(suite.Runner, "run", run)
    monkeypatch.setattr("chaos.live.run.gather", lambda folder, nodes: honest())
    found = played(Wish(each, tmp_path, 1, kept=True), lambda _: None)
    assert [gap.struck for gap in found.gaps] == [struck]


def test_a_page_that_cannot_be_made_fails_the_run_and_nothing_else(tmp_path, monkeypatch):
    def torn(*_):
        raise KeyError("wall")

    monkeypatch.setattr(suite, "incident_in", torn)
    found = trust(tmp_path, Plays())
    found.run(few())
    assert wrong(found) == [Check("told", 1, ("KeyError: 'wall'",)).document()] * 3
    assert found.total.played == 3


def test_a_full_disk_fails_the_run_and_nothing_else(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(suite, "put", full)
    found = trust(tmp_path, Plays())
    found.run(few())
    assert [one["name"] for one in wrong(found)] == ["told"] * 3
    assert not found.store()
    assert len(found.document()["runs"]) == 3


def test_without_a_folder_that_keeps_only_what_failed_is_left_and_the_document_says_where(monkeypatch, tmp_path):
    monkeypatch.setattr(suite.tempfile, "tempdir", str(tmp_path))
    plays = Plays((), ("an order was sent twice",))
    found = Suite("trust", 1, None, 1, lambda _: None, alone=False, until_stopped=False, play=plays)
    found.run(few(number=2))
    passed, failed = (wish.folder for wish in plays.wishes)
    assert not passed.exists()
    assert [one["report"] for one in found.document()["runs"]] == ["", str(failed)]
    assert json.loads((failed / "verdict.json").read_text())["report"] == str(failed)
    assert (failed / "report.html").is_file()


# What ends a suite


def test_each_run_leaves_the_suite_so_far_and_that_it_is_not_at_its_end(tmp_path):
    plays = Plays()
    found = trust(tmp_path, plays)
    found.run(few())
    assert [len(seen["runs"]) for seen in plays.seen] == [0, 1, 2]
    assert {(seen["verdict"], seen["broken_off"]) for seen in plays.seen} == {("fail", suite.GOING_ON)}
    assert found.store()
    kept = json.loads((tmp_path / "kept" / "verdict.json").read_text())
    assert (kept["verdict"], kept) == ("pass", found.document())


def test_the_overview_of_real_documents_leads_to_every_run_s_page(tmp_path):
    found = trust(tmp_path, Plays((), ("an order was sent twice",), Interrupted("SIGTERM came")))
    found.run(few())
    assert found.store()
    whole = (tmp_path / "kept" / "report.html").read_text()
    links = re.findall(r'href="([^"]+)"', whole)
    assert len(set(links)) == 2
    assert all((tmp_path / "kept" / link).is_file() for link in links)
    for words in ("one_send", "Broken off: interrupted in bridge, seed 1: Interrupted: SIGTERM came", ">fail<"):
        assert words in whole
    assert all(f">{kind}<" in whole for kind in found.document()["gaps_ms_by_kind"])
    assert "meltica-chaos run --suite trust --seed 1 --slower 2 --report DIR" in whole


def test_a_document_has_what_its_page_draws_and_how_to_play_it_again(tmp_path):
    found = trust(tmp_path, Plays((), ("5 orders were sent",)))
    found.run(few(number=2))
    for run in found.document()["runs"]:
        there = json.loads((tmp_path / "kept" / f"{run['scenario']}-1" / "verdict.json").read_text())
        assert there["timeline"]["nodes"]["n1"]["spans"]
        assert there["again"] == f"meltica-chaos run {run['scenario']} --seed 1 --slower 2"
    (failed,) = found.document()["failures"]
    assert failed["again"] == f"meltica-chaos run {failed['scenario']} --seed 1 --slower 2"
    assert [(one["check"], one["violation"]) for one in failed["excerpts"]] == [("one_send", "5 orders were sent")]


def test_an_endless_suite_that_somebody_stops_has_passed(asked):
    done = asked(Plays((), Stopped("SIGINT came")), "--suite", "endless")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["verdict"], len(found["runs"]), "broken_off" in found) == (0, "pass", 1, False)
    assert found["interrupted"] == "endless-2, seed 2"


def unjudged():
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("how", "why"),
    [
        (Stopped("SIGINT came", lambda: ["one_send: sent twice"]), "one_send: sent twice"),
        (Stopped("SIGINT came", unjudged), "what it had done by then was not judged to its end"),
        (Interrupted("SIGINT came"), "what it had done by then is not known"),
    ],
)
def test_an_endless_suite_that_is_stopped_in_a_run_that_is_failing_has_failed(asked, how, why):
    done = asked(Plays((), how), "--suite", "endless")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["verdict"], len(found["runs"])) == (1, "fail", 1)
    assert "interrupted in endless-2, seed 2" in found["broken_off"]
    assert found["broken_off"].endswith(why)


def test_a_failed_run_that_is_interrupted_while_it_is_told_is_not_forgotten(asked, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(suite, "told", interrupted)
    done = asked(Plays(("an order was sent twice",)), "--suite", "endless")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["verdict"], len(found["runs"])) == (1, "fail", 1)
    assert found["checks"][0]["violations"] == ["an order was sent twice"]


@pytest.mark.parametrize(
    ("begun", "wrong", "told"),
    [
        (0, ("twice",), ()),
        (1, (), ()),
        (1, ("twice",), ("one_send: twice", "ended_well: n1 ended with code 3 by itself")),
    ],
)
def test_what_is_wrong_of_a_stopped_run_is_known_from_its_first_fault_on(tmp_path, monkeypatch, begun, wrong, told):
    each = plan(chosen("leader-killed"), 1)

    async def run(self):
        self.begun.extend(each.faults[:begun])
        self.nodes = SimpleNamespace(ends=[End("n1", "", 3, 1)] if wrong else [End("n1", "term", 0, 1)])
        raise Interrupted("SIGINT came")

    checks = (Check("one_send", 1, wrong), Check("came_to_rest", 1, ("it was ended, so it did not",)))
    monkeypatch.setattr(suite.Runner, "run", run)
    monkeypatch.setattr("chaos.live.run.judged", lambda _: (honest(), checks))
    with pytest.raises(Stopped) as caught:
        played(Wish(each, tmp_path, 1, kept=True), lambda _: None)
    assert tuple(caught.value.wrong()) == told


def test_no_room_for_a_run_s_folder_fails_that_run_and_the_next_goes_on(asked, monkeypatch, tmp_path):
    made = iter((str(tmp_path / "a"), OSError(28, "No space left on device"), str(tmp_path / "b")))

    def mkdtemp(**_):
        found = next(made)
        if isinstance(found, OSError):
            raise found
        Path(found).mkdir()
        return found

    monkeypatch.setattr(suite.tempfile, "mkdtemp", mkdtemp)
    done = asked(Plays(), "leader-killed", "--rounds", "3")
    found = json.loads(done.stdout)
    assert (done.exit_code, [one["verdict"] for one in found["runs"]]) == (1, ["pass", "fail", "pass"])
    assert "No space left on device" in found["runs"][1]["checks"][0]["violations"][0]


@pytest.mark.parametrize(
    ("words", "before"),
    [
        (("--suite", "endless", "--rounds", "200"), 1),
        (("--suite", "endless"), 0),
        (("--suite", "trust"), 2),
        (("leader-killed",), 0),
        (("leader-killed", "--rounds", "3"), 1),
    ],
)
def test_anything_else_that_is_interrupted_has_not(asked, words, before):
    done = asked(Plays(*[()] * before, Interrupted("SIGTERM came")), *words)
    found = json.loads(done.stdout)
    assert (done.exit_code, found["verdict"], len(found["runs"])) == (1, "fail", before)
    assert "SIGTERM came" in found["broken_off"]


FRONT, BACKGROUND = signal.default_int_handler, signal.SIG_IGN  # what a shell has made of SIGINT


@pytest.fixture
def shell(request):
    before = signal.signal(signal.SIGINT, request.param)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("shell")
@pytest.mark.parametrize(
    ("shell", "number"),
    [(FRONT, signal.SIGINT), (FRONT, signal.SIGTERM), (BACKGROUND, signal.SIGTERM)],
    indirect=["shell"],
)
def test_a_signal_between_two_runs_loses_neither_the_document_nor_the_runs(asked, number):
    before = signal.getsignal(signal.SIGTERM)
    done = asked(Plays((), lambda: os.kill(os.getpid(), number)), "--suite", "trust")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["verdict"], len(found["runs"])) == (1, "fail", 1)
    assert "KeyboardInterrupt" in found["broken_off"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_endless_runs_end_with_the_first_that_fails(asked):
    done = asked(Plays((), (), ("an order was sent twice",)), "--suite", "endless")
    found = json.loads(done.stdout)
    assert (done.exit_code, len(found["runs"])) == (1, 3)
    assert found["checks"][0]["violations"] == ["an order was sent twice"]


def test_one_run_is_told_as_one(asked, tmp_path):
    done = asked(Plays(), "leader-killed", "--report", str(tmp_path / "kept"))
    found = json.loads(done.stdout)
    assert (done.exit_code, found["scenario"], "runs" in found) == (0, "leader-killed", False)
    assert json.loads((tmp_path / "kept" / "verdict.json").read_text()) == found
    assert json.loads((tmp_path / "kept" / "leader-killed-1" / "verdict.json").read_text()) == found
    assert not (tmp_path / "kept" / "report.html").exists()


def test_the_table_and_the_page_say_what_takeovers_took(asked, tmp_path):
    def play(wish, say):
        laid(wish.folder / "new")
        for path in (wish.folder / "new").iterdir():
            path.rename(wish.folder / path.name)
        found = came(wish)
        return evolve(found, gaps=tuple(evolve(gap, phases_ms={"detected": 120.5}) for gap in found.gaps))

    kept = tmp_path / "kept"
    done = asked(play, "leader-killed", "--rounds", "2", "-o", "table", "--report", str(kept))
    assert done.exit_code == 0
    assert (
        "kill                 takeover until detected: {'p50': 120.5, 'p99': None, 'max': 120.5, 'n': 2}" in done.stdout
    )
    assert "What the takeovers took" in (kept / "report.html").read_text()
    assert "detected 120 ms" in (kept / "leader-killed-1" / "report.html").read_text()
    assert "meltica-chaos run leader-killed --seed 1 --rounds 2 --report DIR" in (kept / "report.html").read_text()


@pytest.mark.parametrize(("words", "slower"), [(("--suite", "endless", "--rounds", "2"), 1), (("rolling-restart",), 4)])
def test_the_command_that_a_page_tells_plays_the_same_plan_again(asked, words, slower):
    plays = Plays()
    asked(plays, *words, "--slower", str(slower))
    for wish in list(plays.wishes):
        told = again(one(came(wish))).split()
        assert told[:2] == ["meltica-chaos", "run"]
        repeated = Plays()
        assert asked(repeated, *told[2:]).exit_code == 0
        (once_more,) = repeated.wishes
        assert (once_more.plan.faults, once_more.slower) == (wish.plan.faults, wish.slower)


def test_a_document_holds_the_plan_itself(tmp_path):
    each = plan(chosen("rolling-restart"), 3)
    found = one(came(Wish(each, tmp_path, 1, kept=True)))["plan"]
    assert [(fault["kind"], fault["at_ms"] * MS, fault["until_ms"] * MS, fault["pick"]) for fault in found] == [
        (fault.kind, fault.at, fault.until, fault.pick) for fault in each.faults
    ]


def test_a_damaged_store_fails_its_run_alone(monkeypatch, tmp_path):
    """As it comes out of the judging, through the real runner."""

    async def run(self):
        return self.judged()

    def damaged(_folder):
        raise StoreFault("n2: block checksum mismatch")

    monkeypatch.setattr(suite.Runner, "run", run)
    monkeypatch.setattr("chaos.live.run.judged", damaged)
    found = trust(tmp_path, played)
    found.run(few())
    assert wrong(found) == [Check("judged", 1, ("StoreFault: n2: block checksum mismatch",)).document()] * 3


# What many rounds are made for: an interruption, and the same command again


def kept_rounds(tmp_path, plays, asked, *more):
    words = ("--suite", "endless", "--rounds", "4", "--report", str(tmp_path / "kept"))
    done = asked(plays, *words, *more)
    return done, json.loads(done.stdout) if done.stdout else {}


def test_rounds_that_were_ended_go_on_where_they_stood(asked, tmp_path):
    def ended(wish_folder=tmp_path / "kept" / "endless-3-3"):
        wish_folder.mkdir()
        (wish_folder / "ledger.jsonl").write_text("half a ")
        raise KeyboardInterrupt

    done, first = kept_rounds(tmp_path, Plays((), ("an order was sent twice",), ended), asked)
    assert (done.exit_code, first["played"], first["failed"]) == (1, 2, 1)
    assert json.loads((tmp_path / "kept" / "verdict.json").read_text()) == first
    plays = Plays()
    done, found = kept_rounds(tmp_path, plays, asked, "--go-on")
    assert [wish.plan.seed for wish in plays.wishes] == [3, 4]
    assert (done.exit_code, found["played"], found["failed"], "broken_off" in found) == (1, 4, 1, False)
    assert [one["seed"] for one in found["runs"]] == [1, 2, 3, 4]
    assert found["failures"] == first["failures"]
    assert (tmp_path / "kept" / "endless-3-3.broken-off-1" / "ledger.jsonl").read_text() == "half a "
    more, total = kept_rounds(tmp_path, Plays(), asked, "--go-on", "--rounds", "5")
    assert (more.exit_code, total["played"]) == (1, 5)


def test_an_endless_suite_in_which_a_run_failed_before_goes_on_until_another_does(asked, tmp_path):
    """Whoever looked at the failure, and asks for more, gets more; the verdict stays what it is."""
    words = ("--suite", "endless", "--report", str(tmp_path / "kept"))
    done = asked(Plays((), ("an order was sent twice",)), *words)
    assert (done.exit_code, json.loads(done.stdout)["played"]) == (1, 2)
    plays = Plays((), (), ("lost",))
    done = asked(plays, *words, "--go-on")
    found = json.loads(done.stdout)
    assert [wish.plan.seed for wish in plays.wishes] == [3, 4, 5]
    assert (done.exit_code, found["verdict"], found["played"], found["failed"]) == (1, "fail", 5, 2)
    found = asked(Plays((), KeyboardInterrupt()), *words, "--go-on")
    assert json.loads(found.stdout)["verdict"] == "fail"  # somebody may end it; what failed has failed


def test_the_same_command_begins_where_there_is_nothing_to_go_on_with(asked, tmp_path):
    (tmp_path / "empty").mkdir()
    for place in ("kept", "empty"):
        words = ("--suite", "endless", "--rounds", "4", "--report", str(tmp_path / place), "--go-on")
        plays = Plays()
        done = asked(plays, *words)
        assert (done.exit_code, len(plays.wishes)) == (0, 4), done.stderr
        again = Plays()
        assert (asked(again, *words).exit_code, again.wishes) == (0, [])


def test_it_goes_on_with_nothing_else(asked, tmp_path):
    kept_rounds(tmp_path, Plays(), asked)
    for words, said in (
        (("--go-on", "--slower", "2"), "slower: 1 was played there, and here it is 2"),
        (("--go-on", "--seed", "9"), "seed: 1 was played there"),
        ((), "not an empty folder"),
    ):
        done, _ = kept_rounds(tmp_path, Plays(), asked, *words)
        assert (done.exit_code, said in done.stderr) == (2, True), done.stderr
    done = asked(Plays(), "--suite", "endless", "--go-on")
    assert (done.exit_code, "what --report keeps" in done.stderr) == (2, True)
    done = asked(Plays(), "leader-killed", "--report", str(tmp_path / "kept"), "--go-on")
    assert done.exit_code == 2


def test_a_round_that_fails_keeps_its_evidence_and_the_next_goes_on(asked, tmp_path):
    done, found = kept_rounds(tmp_path, Plays((), ("an order was sent twice",)), asked, "--only-failed")
    assert (done.exit_code, found["played"], found["failed"]) == (1, 4, 1)
    left = {path.name: {one.name for one in path.iterdir()} for path in (tmp_path / "kept").iterdir() if path.is_dir()}
    assert left["endless-2-2"] >= {"ledger.jsonl", "logs", "nodes", "verdict.json", "report.html"}
    assert left["endless-1-1"] == left["endless-4-4"] == {"verdict.json", "report.html"}
