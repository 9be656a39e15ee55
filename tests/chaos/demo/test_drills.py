"""The drills' own decisions: what a rolling restart may show, where an installation is struck, and what that left."""

from __future__ import annotations

import json
import tempfile

import pytest
from attrs import evolve
from click.testing import CliRunner

from chaos.checkers.history import History, Request
from chaos.checkers.verdict import Check
from chaos.demo import install, measure, rolling, struck
from chaos.demo.install import A_CLUSTER, NEITHER, NEW, OLD, Content, Kill, Killed, content_of, mark_of, order_of
from chaos.demo.rolling import Restart
from chaos.demo.struck import MAKING, POINTS, RANDOM, Strike, launch, patch
from chaos.demo.timed import Timed
from chaos.mutants.patches import Patches
from chaos.rig import processes
from chaos.rig.blame import UNEXPLAINED, Blame, Timers
from chaos.rig.pulse import Pulse
from chaos.rig.settings import WINDOW_MS, set_retention, set_slower, settings_of
from cluster import firststart
from cluster.replica import Replica
from cluster.rocks import RocksStore
from cluster.sides import SidedStore
from cluster.snapshot.preparing import Making
from cluster.snapshot.receiving import Receiving
from cluster.snapshot.words import Part
from meltica.cli.cluster_files import Plan, node_toml
from meltica.config import load
from meltica.core.ids import make_id
from tests.cluster import conftest
from tests.cluster.conftest import MS
from tests.cluster.snapshot.test_preparing import AT_ONCE, Maker
from tests.cluster.snapshot.test_receiving import END, FIRST, OFFER, SECOND, Follower
from tests.cluster.snapshot.test_receiving import PAIRS as ALL
from tests.cluster.test_installing import PAIRS, heartbeat, offer, word
from tests.cluster.test_prepared import SlowHand

HELD = (Check("one_trader", 9, ()),)
CLUSTER = "0a0b0c"
BLAME = Blame(Pulse(dict), Timers())  # it has no samples: nobody waited

# Rolling

ACTIVE = Restart(1, "n1", "n1", Timed(0, 1000 * MS, 1100 * MS), 900.0, 0)
STANDBY = Restart(1, "n2", "n3", Timed(2200 * MS, 3200 * MS, 3300 * MS), 900.0, 0)
EVEN = tuple(range(0, 4400, 100))


def request(at):
    name = make_id(CLUSTER, 1, 5000 + at, 0)
    return Request(at, "n1", "order.place", name, at * MS, at * MS, "accepted", None)


def change(at, reason="transfer"):
    return {"mono_ns": at * MS, "node": "n3", "term": 2, "reason": reason, "stall_ms": 0.0, "lost": {"node": "n1"}}


HANDED = (change(10),)


def rolled(times=EVEN, elected=HANDED, restarts=(ACTIVE, STANDBY), checks=HELD, slower=1):
    found = History("trader", CLUSTER, tuple(request(at) for at in times), (), ())
    return rolling.document(found, restarts, elected, checks, BLAME, slower=slower)


def wrong(document):
    return [one["name"] for one in document["checks"] if not one["held"]]


def without(*spans):
    return [at for at in EVEN if not any(begin < at < end for begin, end in spans)]


def test_a_restart_of_each_with_a_hand_over_of_the_active_one_passes():
    found = rolled()
    assert (found["verdict"], found["n"], found["restarts"], found["hand_overs"]) == ("pass", 1, 2, 1)
    assert found["gap_ms"] == {
        "standby": {"p50": 100.0, "max": 100.0},
        "hand_over": {"p50": 100.0, "max": 100.0},
        "without": {"p50": 100.0, "max": 100.0},
        "bound": 350.0,
    }


@pytest.mark.parametrize(
    ("changed", "fails"),
    [
        ({"elected": ()}, "handed_over"),
        ({"elected": (change(10, "election"),)}, "handed_over"),
        ({"elected": (change(10), change(20, "higher term"))}, "handed_over"),
        ({"elected": (change(10), change(2500, "election"))}, "leader_kept"),
        ({"elected": (change(10), change(1500, "election"))}, "handed_over"),  # behind it, before the next restart
        ({"elected": (change(10), change(4000, "election"))}, "leader_kept"),
        ({"times": without((2300, 2650))}, "no_gap"),
        ({"times": without((1200, 1800))}, "steady_without"),
        ({"times": without((2250, 3150), (1200, 2100))}, "no_gap"),  # a stall excuses nothing
        ({"times": range(-3000, 0, 100), "slower": 20}, "steady_without"),
        ({"times": range(-3000, 0, 100), "slower": 20}, "no_gap"),
        ({"times": range(-3000, 0, 100), "slower": 20}, "hand_over_s_gap"),
        ({"times": without((0, 650))}, "hand_over_s_gap"),
        ({"restarts": (evolve(ACTIVE, code=-9), STANDBY)}, "ended_by_itself"),
        ({"restarts": (STANDBY,), "elected": ()}, "handed_over"),  # nothing was looked at
        ({"checks": (Check("one_send", 9, ("twice",)),)}, "one_send"),
    ],
)
def test_what_else_happens_fails_a_check_that_says_so(changed, fails):
    found = rolled(**changed)
    assert (found["verdict"], fails in wrong(found)) == ("fail", True)


def test_a_hand_over_s_gap_may_be_a_window_longer_and_no_more():
    assert 350 + WINDOW_MS == 650
    assert rolled(times=without((0, 500)))["verdict"] == "pass"
    (one, *_) = rolled(times=without((0, 650)))["checks"][-1]["violations"]
    said = "over 650: round 1, n1, the active node: ended with 0, gap of 700.0 ms 0 ms after SIGTERM, unexplained"
    assert one.startswith(said)
    assert rolled(times=without((0, 650)))["rounds"][0]["fault"] == UNEXPLAINED


def test_an_equal_time_that_lost_a_leader_is_no_measure_of_what_is_usual():
    lost = without((1200, 1700), (2300, 2650))
    assert wrong(rolled(times=lost, elected=(change(10), change(1300, "election")))) == ["handed_over", "no_gap"]


# Which moment


class Died(BaseException):
    """In the stead of SIGKILL."""


def die():
    raise Died


def followed(hand, tmp_path, monkeypatch, strike):
    """One follower on RocksDB that installs a snapshot; what its folder holds before, and behind the strike."""
    firststart.mark(tmp_path / "data")
    opened = []

    def store(cluster, name, _disk):
        opened.append(RocksStore(tmp_path / "data", cluster, name))
        return opened[-1]

    monkeypatch.setattr(conftest, "MemoryStore", store)
    node = hand()
    heartbeat(node)
    node.sync()
    opened[0].close()
    before = content_of(tmp_path / "data")
    node = hand()
    heartbeat(node)
    node.sync()
    try:
        with Patches() as patches:
            patch(patches, strike)
            word(node, offer())
            node.sync()
            word(node, Part(5, offer().digest, b"", PAIRS))
            node.sync()
            word(node, Part(5, offer().digest, PAIRS[-1][0], ()))
            for _ in range(10):
                node.now += MS
                node.step()
            node.sync()
    except Died:
        pass
    opened[1].close()
    return before, content_of(tmp_path / "data")


@pytest.fixture
def hand():
    """One whose machine makes its next state beside its own, as a node's does."""
    return SlowHand


@pytest.mark.parametrize("point", [point for point in POINTS if point != RANDOM])
def test_each_point_is_passed_and_leaves_the_old_state_or_the_new(point, hand, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    mark = tmp_path / "mark.json"
    before, after = followed(hand, tmp_path, monkeypatch, Strike(point, 1, mark, die))
    found = mark_of(mark)
    assert found == Killed(point, 40, offer().digest.hex(), offer().size)
    kill = Kill("n1", point, found, before, after)
    late = POINTS.index(point) >= POINTS.index("committed")
    assert kill.state == (NEW if late else OLD)  # a store that is closed writes what SIGKILL would have lost


def making(tmp_path, point, seed):
    """The pairs that the next state has when it is struck there; whether it may be installed then; the strike."""
    strike = Strike(point, seed, tmp_path / "mark", die)
    with Patches() as patches:
        patch(patches, strike)
        maker = Maker(Follower())
        maker.hear(OFFER, FIRST, SECOND, END)
        maker.sync()
        with pytest.raises(Died):
            maker.read_back()
    (made,) = maker.made
    return len(made.pairs), made.applied == OFFER.index, strike


def test_verified_is_before_anything_is_made_of_it_and_made_before_it_is_installed(tmp_path):
    assert making(tmp_path, "verified", 1)[:2] == (0, False)
    assert making(tmp_path, "made", 1)[:2] == (len(ALL), True)
    assert mark_of(tmp_path / "mark").stage == "made"


def test_the_state_is_struck_when_a_drawn_part_of_it_is_made(tmp_path):
    parts = set()
    for seed in range(20):
        pairs, whole, strike = making(tmp_path, MAKING, seed)
        assert not whole
        assert (pairs - AT_ONCE) / len(ALL) < strike.drawn <= pairs / len(ALL)
        parts.add(pairs)
    assert len(parts) > 1


def test_the_seams_are_put_back(tmp_path):
    before = (Receiving.part, Receiving.step, Replica._install, SidedStore.install, SidedStore.drop_leftovers)
    made = (Making.__init__, Making.step)
    seen = []
    launch(("whole", "1", str(tmp_path / "mark"), "node", "run"), lambda words: seen.append((words, Receiving.part)))
    assert seen[0][0] == ["node", "run"]
    assert seen[0][1] is not before[0]
    after = (Receiving.part, Receiving.step, Replica._install, SidedStore.install, SidedStore.drop_leftovers)
    assert after == before
    assert (Making.__init__, Making.step) == made
    with pytest.raises(LookupError, match="no point is called 'none'"):
        launch(("none", "1", "mark"), seen.append)


def test_a_random_strike_comes_a_drawn_time_after_the_offer_once_and_not_when_it_is_over(tmp_path, monkeypatch):
    timers, ended = [], []

    class Timer:
        def __init__(self, seconds, function):
            self.seconds, self.function = seconds, function

        def start(self):
            timers.append(self)

    monkeypatch.setattr(struck.threading, "Timer", Timer)

    def strike(seed):
        return Strike(RANDOM, seed, tmp_path / f"{seed}", lambda: ended.append(seed))

    first, second = strike(1), strike(2)
    for one in (first, second):
        one.begun(offer())
        one.begun(offer())
    assert len({timer.seconds for timer in timers}) == len(timers) == 2
    assert all(0 <= timer.seconds <= struck.WITHIN for timer in timers)
    second.over()
    for timer in timers * 2:
        timer.function()
    assert ended == [1]
    assert (mark_of(tmp_path / "1").stage, mark_of(tmp_path / "2")) == ("begun", None)


def test_which_part_is_drawn(tmp_path):
    ended = []
    one = Strike("staging", 1, tmp_path / "mark", lambda: ended.append(one.drawn))
    one.begun(offer())
    one.passed("staging", one.drawn - 0.01)
    assert ended == []
    one.passed("whole")
    one.passed("staging", one.drawn)
    assert len(ended) == 1
    assert len({Strike("staging", seed, tmp_path).drawn for seed in range(20)}) == 20


# What it left


BEFORE = Content(10, 12, "old")
MARK = Killed("staging", 40, "new", 99)


@pytest.mark.parametrize(
    ("after", "state"),
    [
        (Content(10, 12, "old"), OLD),
        (Content(40, 40, "new"), NEW),
        (Content(10, 12, "new"), NEITHER),
        (Content(40, 40, "old"), NEITHER),
        (Content(13, 13, "old"), NEITHER),
        (Content(9, 12, "old"), NEITHER),
        (None, ""),
    ],
)
def test_what_a_strike_left(after, state):
    assert Kill("n2", "staging", MARK, BEFORE, after).state == state
    assert Kill("n2", "staging", None, BEFORE, after).state == ""


@pytest.mark.parametrize(("whole", "state"), [("", OLD), ("code 1: a checksum", NEITHER), (None, NEITHER)])
def test_a_state_whose_digest_nobody_knows_is_the_old_one_only_if_its_folder_is_whole(whole, state):
    kill = Kill("n2", "staging", MARK, BEFORE, Content(11, 12, "gone on"), -9, whole)  # by what its own log had
    assert (kill.gone_on, kill.state) == (True, state)


HIT = Kill("n2", "staging", MARK, BEFORE, Content(40, 40, "new"), -9, None, 900.0, 40)
MISSED = evolve(HIT, mark=None, after=None, code=None)


def test_rounds_that_hit_count_and_what_missed_is_told():
    found = install.document([HIT, HIT, MISSED], HELD, 2)
    assert (found["verdict"], found["n"], found["missed"], found["left"]) == ("pass", 2, 1, {"new": 2})
    assert found["up_ms"] == {"p50": 900.0, "max": 900.0}
    json.dumps(found)


@pytest.mark.parametrize(
    ("kills", "fails"),
    [
        ([HIT, MISSED], "struck"),
        ([HIT, evolve(HIT, after=Content(40, 40, "torn"))], "old_or_new"),
        ([HIT, evolve(HIT, base=12)], "installed_in_the_end"),
        ([HIT, HIT, evolve(MISSED, code=1)], "died_of_the_strike"),
        ([HIT, HIT, evolve(MISSED, code=-9)], "died_of_the_strike"),  # of somebody else's SIGKILL
        ([], "old_or_new"),
    ],
)
def test_what_fails_a_drill(kills, fails):
    found = install.document(kills, HELD, 2)
    assert (found["verdict"], fails in wrong(found)) == ("fail", True)


def test_a_point_that_is_never_hit_fails_where_there_were_rounds_for_all():
    hits = [evolve(HIT, point=point) for point in POINTS]
    assert install.document(hits, HELD, len(POINTS))["verdict"] == "pass"
    found = install.document([*hits[1:], HIT], HELD, len(POINTS))
    assert wrong(found) == ["struck"]
    assert "begun was never hit" in json.dumps(found["checks"])
    assert wrong(install.document([*hits[1:], HIT], HELD, len(POINTS) - 1)) == []


def test_each_point_comes_before_one_comes_again():
    assert sorted(order_of(2 * len(POINTS))[: len(POINTS)]) == sorted(POINTS)
    assert order_of(20, 1) == order_of(20, 1) != order_of(20, 2)


async def test_rounds_that_missed_are_played_again_and_not_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    played, asked = [], []

    def script(kills):
        async def run(self, _folder):
            played.append(len(self.points))
            asked.extend(self.points)
            self.kills += [evolve(kills.pop(0) if kills else MISSED, point=point) for point in self.points]
            return HELD

        return run

    monkeypatch.setattr(install.Installing, "run", script([HIT, MISSED, HIT, HIT, HIT, HIT]))
    found = await install.install(5, "synthetic")
    assert (found["verdict"], found["n"], found["missed"], played) == ("pass", 5, 1, [5, 1])
    played.clear()
    assert asked[5] == asked[1]  # the one that missed
    monkeypatch.setattr(install.Installing, "run", script([]))
    found = await install.install(6, "synthetic")
    assert (found["verdict"], found["n"], sum(played), max(played)) == ("fail", 0, 12, A_CLUSTER)


# What they are given


def test_the_logs_are_kept_short_and_timers_are_made_longer(tmp_path):
    plan = Plan(name="test", cluster=CLUSTER, nodes=3, base_port=7400, venue_port=7480, api_key="k")
    for name in processes.NODES:
        settings_of(tmp_path, name).parent.mkdir(parents=True)
        settings_of(tmp_path, name).write_text(node_toml(plan, name))
    text = settings_of(tmp_path, "n1").read_text()
    set_slower(tmp_path, 1)
    assert settings_of(tmp_path, "n1").read_text() == text
    set_slower(tmp_path, 5)
    set_retention(tmp_path, 100)
    found = load(settings_of(tmp_path, "n3"), check_files=False)
    assert (found.retention.enabled, found.retention.entries, found.retention.most_entries) == (True, 100, 100)
    assert found.timers.fallback_ms == 1750
    assert [venue.window_ms for venue in found.venues.values()] == [1500]


def test_the_command_names_the_drills_and_its_exit_code_says_whether_they_passed(monkeypatch):
    asked = []

    async def drill(*given):
        asked.append(given)
        return {"kind": "install", "verdict": "fail", "checks": []}

    monkeypatch.setitem(measure.DRILLS, "install", drill)
    done = CliRunner().invoke(measure.main, ["install", "--rounds", "3", "--slower", "2", "-o", "json"])
    assert (done.exit_code, asked) == (1, [(3, "synthetic", 2)])
    assert json.loads(done.output)["timers"] == 2
