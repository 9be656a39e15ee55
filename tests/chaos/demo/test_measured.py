"""What is counted of cuts and freezes, and when that is a failure."""

from __future__ import annotations

import json

import pytest
import trio
from attrs import evolve

from chaos.bench import heal as bench_heal
from chaos.bench.budgets import CUTS, budgets
from chaos.bench.child import BenchFault
from chaos.bench.disk import Syncs
from chaos.checkers.history import History, Request
from chaos.checkers.verdict import Check
from chaos.demo import freeze, heal, measure
from chaos.demo.freeze import Stop, round_of
from chaos.demo.heal import Cut
from chaos.demo.measure import TRADE_BEFORE, summary, waits
from chaos.demo.timeline import Strike, failovers
from chaos.rig.blame import MACHINE, UNEXPLAINED, Blame, Timers
from chaos.rig.gaps import Span, longest
from chaos.rig.processes import RigFault
from chaos.rig.pulse import Pulse
from chaos.rig.steps import elections, late, summed
from chaos.rig.watch import ActRefused
from meltica.core.ids import make_id, mandate_id

MS = 1_000_000
HELD = (Check("one_trader", 9, ()),)
CLUSTER = "0a0b0c"


def request(at, epoch, node, *, received=None, admitted=True, name=None):
    text = name or make_id(CLUSTER, epoch, 5000 + at, 0)
    taken = at * MS if admitted else None
    return Request(at, node, "order.place", text, (at if received is None else received) * MS, taken, "accepted", None)


def history(*requests):
    return History("trader", CLUSTER, requests, (), ())


def test_the_longest_time_without_counts_the_edges():
    def found(times, begin, end):
        return longest([at * MS for at in times], Span(begin * MS, end * MS)).ms

    assert found([], 0, 10) == 10
    assert found([4, 5], 0, 10) == 5
    assert found([-5, 6, 12], 0, 10) == 6


CUT = Cut("n2", "n1", 1, 0, 1000 * MS, 1100 * MS)
NOBODY = Pulse(dict)  # it has no samples: nobody waited


def cut_document(times, elected=(), pulse=NOBODY, cuts=(CUT,), slower=1):
    found = history(*(request(at, 1, "n1") for at in times))
    lines = [
        {"mono_ns": at * MS, "node": "n2", "term": 2, "reason": "election", "stall_ms": 0.0, "lost": {"node": "n1"}}
        for at in elected
    ]
    return heal.document(found, list(cuts), lines, HELD, Blame(pulse, Timers()), slower=slower)


EVEN = tuple(range(0, 2200, 100))


def test_a_cut_that_changes_nothing_passes():
    found = cut_document(EVEN)
    assert (found["verdict"], found["leader_changes"], found["admitted_late"]) == ("pass", 0, 0)
    assert (found["gap_ms"]["max"], found["gap_without_ms"]["max"], found["gap_bound_ms"]) == (100, 100, 200)


def test_a_leader_that_changes_fails_and_is_told():
    found = cut_document(EVEN, elected=(500,))
    assert (found["verdict"], found["leader_changes"]) == ("fail", 1)
    (told,) = found["rounds"][0]["elections"]
    assert (told["term"], told["node"], told["reason"], told["fault"]) == (2, "n2", "election", UNEXPLAINED)
    assert cut_document(EVEN, elected=(1500,))["elections_in_all"] == 1


def without(*spans):
    return [at for at in EVEN if not any(begin < at < end for begin, end in spans)]


def test_a_gap_that_is_longer_than_one_without_a_cut_by_more_than_a_beat_fails():
    found = cut_document(without((300, 650)))
    assert (found["verdict"], found["gap_ms"]["max"], found["gap_bound_ms"]) == ("fail", 400, 200)
    assert "n2: 400.0 ms, over 200, 300 ms after the cut" in found["checks"][-1]["violations"][0]
    assert cut_document(without((300, 450)))["verdict"] == "pass"
    assert cut_document(without((300, 550), (1500, 1800)))["verdict"] == "pass"  # as usual on this machine


def wrong(document):
    return [one["name"] for one in document["checks"] if not one["held"]]


def test_a_time_without_a_cut_that_stood_still_fails_and_excuses_nothing():
    found = cut_document(without((300, 750), (1200, 1650)))
    assert (wrong(found), found["gap_bound_ms"]) == (["steady_without", "no_gap"], 400)
    assert wrong(cut_document(without((1200, 1650)), slower=2)) == []
    assert "after n2: 500.0 ms, over 300" in found["checks"][-2]["violations"][0]


def test_orders_before_the_first_cut_are_none_in_it():
    found = cut_document(range(-3000, 0, 100))
    assert (found["verdict"], [one["looked_at"] for one in found["checks"][-2:]]) == ("fail", [0, 0])
    assert wrong(cut_document(range(-3000, 0, 100), slower=20)) == ["steady_without", "no_gap"]


def test_a_leader_that_is_lost_after_the_healing_and_before_the_next_cut_fails():
    cuts = (CUT, Cut("n3", "n1", 1, 2400 * MS, 3400 * MS, 3500 * MS))
    even = tuple(range(0, 4600, 100))
    assert wrong(cut_document(even, cuts=cuts)) == []
    for at, place in ((1500, 0), (2300, 0), (4000, 1)):
        found = cut_document(even, cuts=cuts, elected=(at,))
        assert (wrong(found), len(found["rounds"][place]["elections"])) == (["leader_kept"], 1)
    assert wrong(cut_document(even, cuts=cuts, elected=(4600,))) == []  # the end of it, when all are stopped


def test_a_time_without_a_cut_that_lost_a_leader_is_no_measure_of_what_is_usual():
    found = cut_document(without((300, 650), (1400, 1900)), elected=(1500,))
    assert (found["verdict"], found["leader_changes"], found["gap_bound_ms"]) == ("fail", 1, 100)


def test_a_bench_tells_the_same_and_judges_it():
    def told(*words, **more):
        rows = bench_heal.rows([bench_heal.checked(cut_document(*words, **more))])
        enough = [evolve(row, n=CUTS) for row in rows]
        assert not any(one["held"] for one in budgets(rows))
        return rows, {one["what"].rpartition(": ")[2]: one["held"] for one in budgets(enough)}

    rows, held = told(EVEN)
    assert [(row.who.variant, row.n, row.max_ms) for row in rows] == [("cut and healed", 1, 100), ("no cut", 1, 100)]
    assert held == {"gaps in trading": True, "new leaders": True}
    assert told(without((300, 650)))[1] == {"gaps in trading": False, "new leaders": True}
    assert told(EVEN, elected=(500,))[1] == {"gaps in trading": True, "new leaders": False}
    lost = cut_document(EVEN) | {"checks": [Check("every_fill_once", 9, ("one is missing",)).document()]}
    with pytest.raises(BenchFault, match="every_fill_once"):
        bench_heal.checked(lost)
    both = bench_heal.rows([cut_document(EVEN), cut_document(without((300, 650)), elected=(500,))])
    assert [(row.n, row.value("gaps"), row.value("leader_changes")) for row in both] == [(2, 1, 1), (2, None, None)]


def waiting(*samples):
    """A pulse: each sample is a moment and how long each process had waited until then, milliseconds."""
    found = Pulse(dict)
    for at, waited in samples:
        found.moments.append(at * MS)
        found.waited.append({name: ms * MS for name, ms in waited.items()})
    return found


def test_a_gap_is_put_down_to_the_machine_only_where_a_process_waited_for_what_is_over_the_bound():
    times = without((300, 650))  # 200 over
    enough = waiting((300, {"n1": 10}), (700, {"n1": 210}))
    little = waiting((300, {"n1": 10, "n3": 10}), (700, {"n1": 209, "n3": 209}))
    for pulse, fault in ((enough, MACHINE), (little, UNEXPLAINED), (NOBODY, UNEXPLAINED)):
        found = cut_document(times, pulse=pulse)
        assert (found["verdict"], found["rounds"][0]["fault"], found["faults"][fault]) == ("fail", fault, 1)


@pytest.mark.parametrize(("waited", "fault"), [(300, MACHINE), (200, UNEXPLAINED)])
def test_a_gap_that_a_lost_leader_made_is_put_down_to_what_that_is(waited, fault):
    pulse = waiting((200, {"n1": 0}), (500, {"n1": waited}))  # and of the rest of the gap, nothing
    found = cut_document(without((300, 900)), elected=(500,), pulse=pulse)
    assert (found["gap_ms"]["max"], found["rounds"][0]["fault"]) == (600, fault)
    assert found["faults"][fault] == 2


def test_an_election_is_put_down_to_the_machine_only_where_those_that_it_took_waited_for_a_timer():
    change = {"mono_ns": 2000 * MS, "node": "n2", "lost": {"node": "n1"}}
    blame = Blame(waiting((1200, {}), (1200, dict.fromkeys(("n1", "n2", "n3", "measure"), 0))), Timers())

    def fault(**waited):
        after = dict.fromkeys(("n1", "n2", "n3", "measure"), 0) | waited
        blame.pulse.moments[2:], blame.pulse.waited[2:] = [2000 * MS], [{name: ms * MS for name, ms in after.items()}]
        return blame.of_election(change)["fault"]

    assert fault(n1=300) == MACHINE
    assert fault(n1=100, n2=100, measure=100) == MACHINE
    assert fault(n1=299) == UNEXPLAINED
    assert fault(n3=900) == UNEXPLAINED  # it had no part in it


@pytest.mark.parametrize("document", [cut_document(()), cut_document(EVEN, cuts=())])
def test_what_was_not_looked_at_does_not_pass(document):
    assert document["verdict"] == "fail"


def test_a_pulse_reads_how_long_a_process_waited_for_a_processor(tmp_path):
    count = tmp_path / "7" / "schedstat"
    count.parent.mkdir()
    pulse = Pulse(lambda: {"n1": 7, "gone": 8}, tmp_path)
    for at, waited in ((10, 1), (20, 4), (30, 9)):
        count.write_text(f"123 {waited * MS} 5\n")
        pulse.look(at)
    assert pulse.within(20, 30) == {"n1": 5.0}
    assert pulse.within(15, 16) == {"n1": 3.0}
    assert pulse.within(0, 99) == {"n1": 8.0}
    assert Pulse(dict).within(0, 1) == {}


BLAME = Blame(NOBODY, Timers())
STOP = Stop("n1", 1, 100 * MS, 2100 * MS)
BEFORE, AFTER = request(50, 1, "n1"), request(700, 2, "n2")


def frozen(*more):
    return frozen_document(history(BEFORE, AFTER, *more))


def frozen_document(found, blame=BLAME, elected=()):
    """Of one round."""
    elections = freeze.others_of(STOP, 0, [{"mono_ns": at * MS, **one} for at, one in elected], blame)
    return freeze.document([{**round_of(STOP, found, blame), "elections": elections}], len(late(found)), HELD)


def test_another_that_trades_and_a_woken_one_that_is_refused_pass():
    found = frozen(request(2110, 1, "n1", admitted=False))
    assert (found["verdict"], found["sent_after_waking"], found["admitted_after_waking"]) == ("pass", 1, 0)
    assert found["gap_ms"] == {"p50": 600, "max": 600}
    assert found["rounds"][0]["to"] == "n2"
    assert found["traded_elsewhere_while_frozen"] == 1


def test_a_woken_one_that_sent_nothing_is_told():
    spoke, silent = frozen(request(2110, 1, "n1", admitted=False)), frozen()
    assert [(one["verdict"], one["woken_that_sent_nothing"]) for one in (spoke, silent)] == [("pass", 0), ("pass", 1)]
    assert freeze.progress(silent["rounds"]) == "gaps [600.0] ms, sent after waking [0]"


def test_one_that_was_caught_in_a_write_must_have_written_it():
    spoke = round_of(STOP, history(BEFORE, AFTER, request(2110, 1, "n1", admitted=False)), BLAME)
    silent = round_of(STOP, history(BEFORE, AFTER), BLAME)
    found = [freeze.document([{**one, "elections": []}], 0, HELD, caught=True) for one in (spoke, silent)]
    assert [(one["kind"], one["verdict"]) for one in found] == [("caught", "pass"), ("caught", "fail")]
    assert found[1]["checks"][-1]["violations"] == ["n1 in epoch 1"]


def test_an_order_of_the_woken_one_that_is_admitted_fails_twice():
    found = frozen(request(2110, 1, "n1"))
    assert (found["verdict"], found["admitted_after_waking"], found["admitted_late"]) == ("fail", 1, 1)


def test_the_mandate_of_a_woken_one_and_its_own_newer_epoch_are_its_right():
    mandate = request(2110, 1, "n1", name=mandate_id(CLUSTER, 1, 10, 0))
    found = frozen(evolve(mandate, method="order.cancel"), request(2120, 3, "n1"))
    assert (found["verdict"], found["sent_after_waking"], found["admitted_late"]) == ("pass", 0, 0)


def test_nobody_else_that_trades_fails():
    document = frozen_document(history(BEFORE))
    assert document["verdict"] == "fail"
    assert "unexplained" in document["checks"][1]["violations"][0]


def test_another_that_trades_only_once_the_frozen_one_is_woken_fails():
    assert frozen_document(history(BEFORE, request(2150, 2, "n2")))["verdict"] == "fail"


def test_elections_that_the_freeze_did_not_cause_are_told():
    def change(node, lost):
        return {"node": node, "term": 1, "lost": lost and {"node": lost}}

    first, mine = (10, change("n1", None)), (700, change("n2", "n1"))
    assert frozen_document(history(BEFORE, AFTER), elected=[first, mine])["other_elections"] == 0
    more = [first, (60, change("n1", "n3")), mine, (900, change("n3", "n2")), (2200, change("n1", "n3"))]
    found = frozen_document(history(BEFORE, AFTER), elected=more)
    assert [one["node"] for one in found["rounds"][0]["elections"]] == ["n1", "n3"]


def test_nobody_that_takes_over_is_put_down_to_the_machine_where_those_left_waited_all_the_time_there_was():
    for ms, fault in ((350, MACHINE), (349, UNEXPLAINED)):  # 2000 less the timer, the votes and the takeover
        pulse = waiting((100, dict.fromkeys(("n1", "n2", "n3"), 0)), (2100, {"n1": 900, "n2": 350, "n3": ms}))
        assert round_of(STOP, history(BEFORE), Blame(pulse, Timers()))["fault"] == fault


def test_an_election_is_told_with_how_long_a_node_stood_still_and_how_the_leader_before_ended(tmp_path):
    def line(second, **fields):
        return json.dumps({"node": "n1", "wall": f"2026-11-22T21:00:{second:02}.500000Z", **fields})

    log = tmp_path / "logs" / "n1.jsonl"
    log.parent.mkdir()
    stood = "the event loop stood still"
    change = {"event": "role changed", "role": "leader", "term": 4}
    lines = [
        line(1, **change | {"term": 2}, mono_ns=3),
        line(1, event=stood, ns=900 * MS),
        line(9, event=stood, ns=600 * MS),
        line(10, event="role changed", role="follower", reason="fallback", term=3, mono_ns=5),
        line(10, **change, mono_ns=7),
        line(11, event=stood, ns=200 * MS),
        line(30, **change, mono_ns=9),
    ]
    log.write_text("\n".join(lines))
    for name in ("n2", "n3"):
        (log.parent / f"{name}.jsonl").touch()
    first, second, third = elections(tmp_path)
    assert [one["stall_ms"] for one in (second, third)] == [600.0, 0.0]
    assert first["lost"] is None
    assert second["lost"] == {"node": "n1", "role": "follower", "reason": "fallback", "mono_ns": 5}
    assert third["lost"] == {"node": "n1"}  # killed, or frozen still


def test_checks_of_several_clusters_are_summed_and_one_that_looked_at_nothing_is_kept():
    summary = summed([(Check("a", 3, ()), Check("b", 0, ())), (Check("a", 4, ("x",)), Check("b", 1, ()))])
    assert summary == (Check("a", 7, ("x",)), Check("b", 0, ()))


def killed(*gaps):
    return [{"gap_ms": gap, "phases_ms": {"detected": 20.0}} for gap in gaps]


def test_no_percentile_is_said_that_too_few_strikes_say_anything_of():
    few, many = summary("kill", killed(*range(20)), HELD), summary("kill", killed(*range(1, 101)), HELD)
    assert (few["p50_ms"], few["p99_ms"], few["max_ms"]) == (9, None, 19)
    assert (many["p50_ms"], many["p99_ms"], many["max_ms"]) == (50, 99, 100)


def test_strikes_fail_with_a_check_that_did_not_hold():
    assert summary("kill", killed(300), HELD)["verdict"] == "pass"
    found = summary("kill", killed(300), (*HELD, Check("one_send", 9, ("twice",))))
    assert (found["verdict"], found["checks"][1]["violations"]) == ("fail", ["twice"])
    assert summary("kill", killed(300), ())["verdict"] == "fail"


def test_the_moment_of_a_strike_is_the_seeds():
    assert waits("kill", 1, 2) == waits("kill", 1, 2)
    drawn = [wait for seed in range(50) for wait in waits("kill", seed, 2)]
    assert len(set(drawn)) == 100
    assert all(TRADE_BEFORE[0] <= wait <= TRADE_BEFORE[1] for wait in drawn)


async def test_a_strike_that_hit_nobody_who_traded_is_made_again_with_another_seed_and_not_for_ever(monkeypatch):
    seeds, disturbed = [], [True, False, False, True, False]

    async def run(self, _folder):
        seeds.append((self.seed, self.strikes))
        self.found = [
            {"gap_ms": 5.0, "disturbed": disturbed.pop(0) if disturbed else True} for _ in range(self.strikes)
        ]

    monkeypatch.setattr(measure.Round, "run", run)
    found = await measure.measure("kill", 3, "synthetic", 7)
    assert (len(found.strikes), found.disturbed) == (3, 2)
    assert seeds == [(7, 2), (9, 2), (11, 1)]
    with pytest.raises(RigFault, match="of 10 strikes 10 hit nobody"):
        await measure.measure("kill", 3, "synthetic")


class Refusing:
    """A leader whose standby can take over, and that refuses to hand over so many times."""

    def __init__(self, times):
        self.left = times

    async def status(self, _node):
        return {"nodes": [{"name": "n2", "promotable": True}]}

    async def act(self, *_words):
        self.left -= 1
        if self.left >= 0:
            raise ActRefused("not now")


async def test_a_hand_over_that_was_refused_is_timed_from_its_first_asking(autojump_clock, monkeypatch):
    ticks = iter(range(9))
    monkeypatch.setattr(measure.time, "monotonic_ns", lambda: next(ticks))
    assert await measure._promote(Refusing(3), "n1") == 0


def struck(kind, last):
    """Documents of one strike at 1,000 ms, with the last request that the venue had admitted so long before it."""
    requests = [request(1000 - last, 1, "n1"), request(1200, 2, "n2")]
    (found,) = failovers([Strike(kind, "n1", 1, 1000 * MS)], requests, (), CLUSTER)
    return measure.beside(Strike(kind, "n1", 1, 1000 * MS), measure.age_ms(found))


@pytest.mark.parametrize("kind", ["kill", "promote"])
def test_a_strike_that_is_to_hit_one_who_quotes_hits_one_who_has_sent_in_the_window_before(kind):
    assert (struck(kind, 300), struck(kind, 301)) == (False, True)
    assert measure.beside(Strike(kind, "n1", 1, 0), None)


def test_a_strike_that_is_to_hit_one_who_sends_nothing_hits_nothing_else():
    assert (struck("idle", 300), struck("idle", 299)) == (False, True)
    assert not measure.beside(Strike("idle", "n1", 1, 0), None)
    assert not struck("stop", 900)


class Ledger:
    """A venue that admits something 700 ms from the first look on, or never; what came before that look is old."""

    def __init__(self, at):
        self.at = trio.current_time() + at
        self.new = [{"type": "request", "admitted_mono_ns": 1}]

    def new_records(self):
        found, self.new = self.new, []
        due = trio.current_time() >= self.at
        return [*found, {"type": "fill"}, {"type": "request", "admitted_mono_ns": 9 if due else None}]


async def test_a_send_is_waited_for_before_such_a_strike_and_not_for_ever(autojump_clock):
    began = trio.current_time()
    await measure.sent(Ledger(0.7))
    assert 0.7 <= trio.current_time() - began < 0.71
    began = trio.current_time()
    await measure.sent(Ledger(9.0))
    assert trio.current_time() - began == pytest.approx(measure.SEND_WITHIN)


class Marked:
    """A rig and a relay that note what is done."""

    def __init__(self):
        self.done = []

    def __getattr__(self, what):
        return lambda *names: self.done.append((what, *names))

    async def start_node(self, name):
        self.done.append(("start", name))


async def test_a_standby_is_cut_off_and_healed_or_killed_and_started(autojump_clock):
    for lost, done in ((False, [("cut", "n2"), ("heal",)]), (True, [("kill", "n2"), ("start", "n2")])):
        marked = Marked()
        await heal.Healing("synthetic", 1, 4.0, lost=lost)._without("n2", marked, marked)
        assert marked.done == done


def test_a_bench_has_rows_of_both(monkeypatch, tmp_path):
    played = []

    async def fake(*_given, lost, seed):
        played.append((lost, seed))
        return cut_document(EVEN)

    monkeypatch.setattr(bench_heal, "heal", fake)
    systems = [bench_heal.Ours(lost, 4, tmp_path) for lost in (False, True)]
    rows = bench_heal.Heal(tmp_path, Syncs(tmp_path), systems, lambda _text: None).run(bench_heal.A_TURN + 1)
    assert [row.who.variant for row in rows] == ["cut and healed", "no cut", "killed and started", "no kill"]
    assert played == [(False, 1), (True, 1), (False, 2), (True, 2)]
    assert len(budgets(rows)) == 4
