"""What is known of a running cluster, and what operators do with it."""

from __future__ import annotations

import time
from decimal import Decimal
from itertools import pairwise

import pytest
import trio

from chaos.live.nemeses import NETWORK, PROCESS
from chaos.live.plan import Aim, Fault, Plan
from chaos.live.scenarios import Scenario
from chaos.live.sight import FRESH_NS, LEADER_WITHIN, Sight
from chaos.live.strike import Striker
from chaos.live.workload import BEAT_MS, STORM, Denied, Lifted, Operators, Told
from chaos.rig.watch import ActRefused
from meltica.core.ids import make_id

CLUSTER = "0a0b0c"
SECOND = 1_000_000_000


class Watched:
    """Stands in for the watcher: statuses, a ledger, and what was asked."""

    def __init__(self, answer=None, code=409):
        self.code = code
        self.apis = {"n1": "", "n2": "", "n3": ""}
        self.statuses, self.records, self.asked, self.answer = {}, [], [], answer

    async def status(self, node):
        return self.statuses.get(node)

    def new_records(self):
        found, self.records = self.records, []
        return found

    async def act(self, node, action, body, reason):
        self.asked.append((node, action, dict(body)))
        if self.answer is None:
            raise ActRefused("no", self.code)
        return {"request_id": body["request_id"], "index": self.answer}


def status(active, epoch, trading="running", halts=(), index=4):
    return {"active": active, "epoch": epoch, "trading": trading, "risk": {"halts": halts, "index": index}}


def sight(**words):
    found = Sight(Watched(), CLUSTER)
    found.words = {name: (time.monotonic_ns(), word) for name, word in words.items()}
    return found


def test_who_trades_is_who_says_so_of_itself_in_the_newest_epoch():
    assert sight(n1=status("n1", 3), n2=status("n2", 4), n3=status("n1", 9)).active() == ("n2", 4)
    assert sight(n1=status("n2", 3), n3=status(None, 4)).active() is None


def test_an_old_word_says_nothing_of_now():
    found = sight(n1=status("n1", 3))
    found.words["n1"] = time.monotonic_ns() - FRESH_NS - 1, status("n1", 3)
    assert found.active() is None


async def test_whoever_waits_for_a_leader_that_does_not_come_is_told_so(autojump_clock):
    with trio.fail_after(LEADER_WITHIN + 1):
        assert await sight().leader() is None


async def test_admitted_orders_of_ours_are_counted_and_nothing_else(autojump_clock):
    found = sight()
    ours = {"type": "request", "method": "order.place", "admitted_mono_ns": time.monotonic_ns()}
    name = make_id(CLUSTER, 1, 2, 0)
    found.watcher.records = [
        {**ours, "client_order_id": name},
        {**ours, "client_order_id": "theirs"},
        {**ours, "client_order_id": name, "method": "order.cancel"},
        {**ours, "client_order_id": name, "admitted_mono_ns": None},
        {"type": "fill", "symbol": "BTCUSDT", "price": "60000.10"},
        {"type": "fill", "symbol": "BTCUSDT", "price": "60000.20"},
    ]
    with trio.move_on_after(0.1):
        await found.run()
    assert (found.total, found.of_last_second()) == (1, 1)
    assert found.prices == {"BTCUSDT": Decimal("60000.20")}


async def test_what_is_acknowledged_is_kept_and_so_is_what_was_refused():
    good, bad = Operators(Watched(answer=7)), Operators(Watched())
    answer = await good.act("n1", "submit", {}, "r")
    assert (good.told, good.denied) == ([Told(answer["request_id"], 7)], [])
    with pytest.raises(ActRefused):
        await bad.act("n1", "submit", {}, "r")
    ((node, _, body),) = bad.asks.asked
    assert (bad.told, bad.denied) == ([], [Denied(body["request_id"], 409)])
    assert node == "n1"


@pytest.mark.parametrize("code", [None, 504, 500])
async def test_what_is_not_known_is_asked_once_more_elsewhere_under_the_same_id_and_is_no_refusal(code):
    operators = Operators(Watched(code=code))
    with pytest.raises(ActRefused):
        await operators.act("n3", "submit", {}, "r")
    assert [node for node, *_ in operators.asks.asked] == ["n3", "n1"]
    assert len({body["request_id"] for *_, body in operators.asks.asked}) == 1
    assert not operators.denied


HALTS = [{"cause": "states_differ"}, {"cause": STORM}]


@pytest.mark.parametrize(
    ("word", "lifted"),
    [
        (status("n1", 3, "halted", [{"cause": STORM}]), True),
        (status("n1", 3, "halted", HALTS), True),
        (status("n1", 3, "halted", HALTS[:1]), False),
        (status("n1", 3), False),
        (status("n1", 3, "halted"), False),
    ],
)
async def test_whoever_is_on_duty_lifts_a_storm_and_nothing_else_and_it_is_noted(autojump_clock, word, lifted):
    operators = Operators(Watched(answer=7))
    found = sight(n1=word)
    with trio.move_on_after(0.2):
        await operators.run(found)
    resumes = [body for node, action, body in operators.asks.asked if (node, action) == ("n1", "resume")]
    assert [(body["causes"], body["risk_index"]) for body in resumes] == ([([STORM], 4)] if lifted else [])
    noted = [Lifted(STORM, body["request_id"], 7).document() for body in resumes]
    assert [one.document() for one in operators.lifted] == noted


def submits(operators):
    return [node for node, action, _ in operators.asks.asked if action == "submit"]


async def test_orders_are_asked_for_at_every_node(autojump_clock):
    operators = Operators(Watched(answer=7))
    with trio.move_on_after(3):
        await operators.run(sight())
    asked = submits(operators)
    assert [asked.count(node) for node in ("n1", "n2", "n3")] == [pytest.approx(3000 / BEAT_MS, abs=1)] * 3


class Partly(Watched):
    """One node is out of reach: it does not answer, or says that it reaches nobody."""

    def __init__(self, code):
        super().__init__(answer=7)
        self.away, self.done, self.code = True, [], code

    async def act(self, node, action, body, reason):
        if node == "n2" and self.away:
            await trio.sleep(10 if self.code is None else 0.05)
            raise ActRefused("away", self.code)
        answer = await super().act(node, action, body, reason)
        self.done.append((trio.current_time(), node))
        return answer


@pytest.mark.parametrize("code", [None, 503, 504])
async def test_a_node_that_is_out_of_reach_leaves_no_hole_in_the_pace(autojump_clock, code):
    asks = Partly(code)
    began = trio.current_time()
    with trio.move_on_after(14):
        await Operators(asks).run(sight())
    times = [at for at, _ in asks.done if began + 1.5 <= at]  # an operator has to notice first
    holes = [later - at for at, later in pairwise(times)]
    assert max(holes) <= 0.31  # now and then somebody tries it again
    assert sum(hole <= 0.16 for hole in holes) >= 0.8 * len(holes)


async def test_a_node_that_is_back_is_asked_again(autojump_clock):
    asks = Partly(None)

    async def back():
        await trio.sleep(3)
        asks.away = False

    with trio.move_on_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(back)
            await Operators(asks).run(sight())
    assert "n2" in [node for _, node in asks.done]


async def test_while_no_node_answers_each_operator_keeps_to_its_own(autojump_clock):
    operators = Operators(Watched(code=503))
    with trio.move_on_after(3):
        await operators.run(sight())
    asked = submits(operators)
    assert [asked.count(node) for node in ("n1", "n2", "n3")] == [pytest.approx(3000 / BEAT_MS, abs=2)] * 3


class Hands:
    """Stands in for network and nodes: when what was broken and healed."""

    def __init__(self, takes=0, not_done=()):
        self.done, self.takes, self.not_done = [], takes, not_done

    def struck(self, fault, aim):
        return self._block(fault, aim)

    def _block(self, fault, aim):
        hands = self

        class Block:
            async def __aenter__(self):
                await trio.sleep(hands.takes)
                hands.done.append((round(trio.current_time() - hands.began, 3), "begin", fault.kind, str(aim)))
                return hands.not_done

            async def __aexit__(self, *_):
                hands.done.append((round(trio.current_time() - hands.began, 3), "end", fault.kind, str(aim)))

        return Block()


class Knowing:
    """Stands in for the sight."""

    def __init__(self, *word):
        self.word = word or None
        self.words = {word[0]: (0, status(*word))} if word else {}

    def active(self):
        return self.word

    async def leader(self):
        return self.word


def scenario():
    return Scenario("one", "s", "t", None, "", "", (), ())


async def test_a_plan_is_played_at_its_times_and_each_fault_is_noted(autojump_clock):
    hands, said = Hands(), []
    found = Knowing("n2", 3)
    faults = (
        Fault(0, "cut", "leader", SECOND, 4 * SECOND, 0, "peers", "both", ()),
        Fault(1, "kill", "follower", 2 * SECOND, 3 * SECOND, 1, "", "both", ()),
    )
    striker = Striker({NETWORK: hands, PROCESS: hands}, found, said.append)
    hands.began = trio.current_time()
    await striker.play(Plan(scenario(), 1, faults))
    assert hands.done == [
        (1, "begin", "cut", "n2"),
        (2, "begin", "kill", "n3"),
        (3, "end", "kill", "n3"),
        (4, "end", "cut", "n2"),
    ]
    assert [(one.fault.number, one.aim) for one in striker.done] == [(0, Aim(("n2",))), (1, Aim(("n3",)))]
    assert all(one.begin_ns <= one.end_ns for one in striker.done)
    assert [line.split(",")[0].split(" (")[0] for line in said] == [
        "begins: cut n2",
        "begins: kill n3",
        "healed: kill n3",
        "healed: cut n2",
    ]


async def test_a_fault_lasts_as_long_as_it_says_from_when_all_of_it_is_set(autojump_clock):
    hands = Hands(takes=1.5, not_done=("n2 was not stopped: it does not run",))
    striker = Striker({NETWORK: hands, PROCESS: hands}, Knowing(), lambda _: None)
    hands.began = trio.current_time()
    await striker.play(Plan(scenario(), 1, (Fault(0, "pause", "any", SECOND, 2 * SECOND, 1, "", "both", ()),)))
    assert [at for at, *_ in hands.done] == [2.5, 3.5]
    (struck,) = striker.done
    assert (struck.led, struck.epoch, struck.not_done) == (None, 0, hands.not_done)
    assert struck.begin_ns <= struck.set_ns <= struck.end_ns


async def test_who_leads_is_known_by_a_word_that_was_asked_for_now(autojump_clock):
    found = sight(n1=status("n1", 3))
    with trio.move_on_after(1) as waiting:
        await found.leader()
    assert waiting.cancelled_caught
    found.words["n2"] = time.monotonic_ns() + SECOND, status("n2", 4)
    assert await found.leader() == ("n2", 4)


def test_trading_is_steady_if_there_was_an_order_every_second():
    now, found = time.monotonic_ns(), sight()
    for since, expected in (((1.5, 0.8), True), ((1.5, 0.2), False), ((0.8,), False), ((), False)):
        found.admitted.clear()
        found.admitted.extend(now - round(at * SECOND) for at in since)
        assert found.steady() == expected
