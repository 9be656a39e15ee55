"""Every check of a live run shows what its violation is about, or says why there is nothing to show."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from html import unescape
from pathlib import Path

import pytest
from attrs import evolve

import chaos
from chaos.checkers.all import CHECKS
from chaos.checkers.history import History
from chaos.checkers.positions import positions
from chaos.checkers.verdict import Check
from chaos.live.claims import leader_lost, no_authority, silent, unseen_fills
from chaos.live.closed import Closed, failed_closed, stormed
from chaos.live.judge import cancelled, denied, ended_well, leader_kept, tightened, unaided
from chaos.live.nodes import End
from chaos.live.pauses import Back, Run, in_bound, recovered
from chaos.live.plan import Aim, Fault
from chaos.live.scenarios import Scenario
from chaos.live.strike import Struck
from chaos.live.workload import Denied, Lifted
from chaos.report.excerpt import MOST_LINES, WHY_NONE, excerpt, why_none
from chaos.report.incident import Line
from chaos.report.left import Left
from chaos.report.page import OF_A_RUN, page
from chaos.report.retell import retell
from tests.chaos.checkers.honest import CANCEL, PLACED, SECOND, honest, with_node
from tests.chaos.report.left import LEDGER, LIVE, LOGS, MS, asked, left, role, seen

KILL = {**LIVE["faults"][0], "led": "n1", "gap_ms": 200.0, "gap_begin_mono_ns": 3000 * MS, "gap_end_mono_ns": 3200 * MS}
CANCELS = {**KILL, "kind": "cancel", "target": "n1,n2,n3"}
STEPPED = Fault(1, "clock_jump", "leader", 0, 1000 * MS, 0, "", "both", ())
KILLED = Struck(
    Fault(0, "kill", "leader", 0, 1000 * MS, 0, "", "both", ()), Aim(("n1",)), 3000 * MS, 4000 * MS, 3010 * MS, "n1", 1
)
HALTED = {
    "event": "risk state changed",
    "trading": "halted",
    "cause": "drill",
    "index": 10,
    "wall": "2023-11-14T22:13:23.3+00:00",
}
ELECTED = {"node": "n2", "term": 2, "mono_ns": 3050 * MS, "reason": "won", "lost": None, "stall_ms": 0}


def run(history: History | None = None) -> Left:
    """What `left` has, by the clock of its ledger: who asked when, and what the nodes said of it."""
    found = history or honest()
    at = {1: 1000, 2: 2000, 3: 3200}
    requests = tuple(evolve(r, received_ns=at[r.seq] * MS, admitted_ns=at[r.seq] * MS) for r in found.requests)
    logs = {**LOGS, "n1": (*LOGS["n1"], HALTED)}
    return Left(LEDGER, logs, evolve(found, requests=requests))


def shown(check: str, violation: str, what: Left | None = None) -> tuple[Line, ...]:
    what = what or run()
    failed = {"name": check, "held": False, "looked_at": 1, "violations": [violation]}
    document = {**LIVE, "faults": [KILL, {**KILL, "kind": "clock_jump"}, CANCELS], "checks": [failed]}
    return excerpt(check, violation, what, retell(what, document, ""))


def test_a_request_that_was_done_twice_is_shown_twice() -> None:
    one, *others = honest().nodes
    twice = {"by": {"request": "9" * 32}}
    audit = tuple(evolve(r, command={**r.command, **twice}) if r.index in {10, 20} else r for r in one.audit)
    doctored = evolve(honest(), nodes=(evolve(one, audit=audit), *others))
    (violation,) = denied(doctored, [Denied("8" * 32, 409)]).violations
    assert "2 times" in violation
    sources = [line.source for line in shown("denied", violation, run(doctored))]
    assert next(one for one in sources if "audit" in one) == "audit n1 at 10"
    assert "audit n1 at 20" in sources


def holding(asset: str, amount: str) -> History:
    held = {**dict(honest().nodes[0].holdings), asset: Decimal(amount)}
    return with_node(honest(), "n1", holdings=tuple(held.items()))


def test_an_asset_is_shown_with_the_first_fill_that_differs() -> None:
    lacks = with_node(holding("BTC", "10"), "n1", fills=())
    (violation,) = positions(lacks).violations
    opening, fill, sum_ = shown("positions", violation, run(lacks))
    assert opening.text == "n1 began with 10 BTC"
    assert fill.source == "ledger 5"
    assert fill.text.startswith("trade 7 of BTCUSDT: the venue has BUY 0.1 at 60000: +0.0999 BTC, with a fee of 0.0001")
    assert fill.text.endswith("n1 has none of it")
    assert "1 of 1 fills differ" in sum_.text
    assert sum_.text.endswith("so much is what trade 7 of BTCUSDT moves")


def test_an_asset_whose_fills_are_all_the_same_says_what_the_difference_amounts_to() -> None:
    (violation,) = positions(holding("BTC", "10.1")).violations
    *_, fill, sum_ = shown("positions", violation, run(holding("BTC", "10.1")))
    assert fill.text.endswith("n1 has the same")
    assert "all 1 fills are the same at both; the node holds +0.0001 BTC too much" in sum_.text
    assert sum_.text.endswith("so much are all fees in it together")


def first(check: Check) -> str:
    assert not check.held
    return check.violations[0]


def gap() -> Check:
    orders = [3200 * MS, *range(3250 * MS, 8000 * MS, 50 * MS)]
    bound = Scenario("one", "s", "t", 100, "", "", ("trust",), ())
    (found,) = in_bound(bound, Run([KILLED], orders, 8000 * MS, 1, lambda *_: {}))
    return found


def back(*admitted: int, seen: bool = True) -> Check:
    return recovered([KILLED], [at * MS for at in admitted], 5000 * MS, Back(seen, 100 * MS, 400 * MS))


MADE: dict[str, Callable[[], str]] = {
    "positions": lambda: first(positions(holding("BTC", "10.1"))),
    "gap": lambda: first(gap()),
    "recovered": lambda: first(back(4100)),
    "silent": lambda: first(silent([KILLED], [(3200 * MS, 1)], ("n1", "n2"), 100)),
    "leader_lost": lambda: first(leader_lost([KILLED], (), ())),
    "leader_kept": lambda: first(leader_kept([KILLED], [ELECTED])),
    "no_authority": lambda: first(
        no_authority([evolve(KILLED, fault=STEPPED)], [{**ELECTED, "node": "n1"}], [(3200 * MS, 2)])
    ),
    "unseen_fills": lambda: first(unseen_fills([KILLED], ())),
    "paused_briefly": lambda: "kill n1: stopped for 700 ms, not 100 as planned, and the window is 350 ms",
    "faults_played": lambda: "kill leader was not played",
    "halt_kept": lambda: "kill n1: 3 orders, the last 700 ms behind it",
    "tightened": lambda: first(tightened(run().logs, ())),
    "stormed": lambda: first(stormed((), {})),
    "unaided": lambda: first(unaided([Lifted("takeover_storm", "r", 10)])),
    "ended_well": lambda: first(ended_well([End("n1", "", 1, 3000 * MS)], {}, (), honest())),
    "failed_closed": lambda: first(failed_closed([Closed("n1", "kill", None, "")])),
    "cancelled": lambda: first(cancelled(honest(), {2: ["r"]})),
    "came_to_rest": lambda: "nobody could be halted: no node traded for a minute",
    "acknowledged": lambda: "n1 lacks r, acknowledged at index 10",
    "denied": lambda: "n1 has done r, which is index 10",
    "ledger_whole": lambda: "line 4 of the ledger has seq 5, the one before 3",
    "state_equal": lambda: "n1 stores d1 at 21; its audit trail replays to d2",
    "audit_trail": lambda: "n1: the chain breaks at index 10 place 0",
    "worst_case": lambda: f"index 10: {PLACED} was let through; with all that may still be executed it is too much",
    "one_trader": lambda: "request 4 of epoch 1 was admitted after epoch 2",
    "intent_first": lambda: f"request 4 carries {SECOND!r}, which no entry ordered",
    "one_send": lambda: f"{PLACED} was received as request 1 and again as 2",
    "every_fill_once": lambda: "n1 lacks trade 7 of BTCUSDT",
    "orders_equal": lambda: f"n1 believes {PLACED} open; the venue does not",
    "accounted": lambda: f"n1 leaves {PLACED} in doubt",
    "halt_survives": lambda: f"request 4 ({SECOND}), ordered at index 20, halted (drill) since index 4, was admitted",
    "in_authority": lambda: f"{PLACED} was ordered in term 1; authority was nobody's",
    "mandate": lambda: "request 4 under the mandate names ('500',), not one order of ours",
    "windows_apart": lambda: "request 4 of epoch 2 was received 5 ns before an older epoch's window ended",
}


def checks_of_a_live_run() -> set[str]:
    """By the code: what is shared, and each name that a live run gives a check of its own."""
    top = Path(chaos.__path__[0])
    texts = [path.read_text() for room in ("live", "abroad", "rig") for path in (top / room).glob("*.py")]
    own = {name for text in texts for name in re.findall(r'\b(?:Check|failed)\(\s*"(\w+)"', text)}
    return {check.__name__ for check in CHECKS} | {"in_authority", "windows_apart", "mandate"} | own


def test_every_check_of_a_live_run_is_among_these() -> None:
    assert {"gap", "played", "told", "silent"} < checks_of_a_live_run()
    assert checks_of_a_live_run() == {*MADE, *WHY_NONE}
    assert {*OF_A_RUN} <= checks_of_a_live_run()


@pytest.mark.parametrize("check", MADE)
def test_a_violation_has_an_excerpt(check: str) -> None:
    lines = shown(check, MADE[check](), run(holding("BTC", "10.1")))
    assert lines
    assert len(lines) <= MOST_LINES


@pytest.mark.parametrize("check", WHY_NONE)
def test_a_violation_that_no_run_leaves_anything_of_says_why(check: str) -> None:
    assert shown(check, f"{PLACED}, whatever it names") == ()
    failed = {"name": check, "held": False, "looked_at": 1, "violations": ["n1: so it is", "... and 5 more"]}
    text = unescape(page(retell(run(), {**LIVE, "checks": [failed]}, "")))
    assert text.count(why_none(check)) == 1


def test_a_pause_is_shown_between_the_orders_that_it_lies_between() -> None:
    texts = [(line.at_ns or 0, line.text) for line in shown("gap", MADE["gap"]())]
    said = [text for _, text in texts]
    assert texts == sorted(texts, key=lambda one: one[0])
    assert said[0].startswith("an order of n1 of epoch 1 is let through")
    assert said[1:3] == ["slow venue begins", "kill n1 begins, while n1 traded"]
    assert any(text.startswith("role changed role=leader") for text in said)
    assert any(text.startswith("an order of n2 of epoch 2 is let through") for text in said[-3:])


def test_of_faults_of_the_same_name_the_one_whose_pause_it_is() -> None:
    other = {
        **KILL,
        "begin_mono_ns": 900 * MS,
        "gap_ms": 5.0,
        "gap_begin_mono_ns": 1000 * MS,
        "gap_end_mono_ns": 1005 * MS,
    }
    incident = retell(run(), {**LIVE, "faults": [other, KILL]}, "")
    found = excerpt("gap", MADE["gap"](), run(), incident)
    assert [line.text for line in found if line.text.startswith("kill")] == ["kill n1 begins, while n1 traded"]
    assert [line.at_ns for line in found if line.text.startswith("kill")] == [3000 * MS]


def test_where_nobody_traded_again_the_time_is_that_which_the_sentence_says() -> None:
    violation = first(back(4100))
    assert "from 0.1 s after" in violation
    what = evolve(run(), logs={**LOGS, "n3": (role(3200, "candidate"), role(4800, "leader"))})
    logs = [line.text for line in shown("recovered", violation, what) if line.source == "log n3"]
    assert [text for text in logs if "leader" in text] == ["role changed role=leader term=1"]
    assert not [text for text in logs if "candidate" in text]


def test_a_change_of_trading_is_shown_with_its_entry_and_what_came_before() -> None:
    entry, *rest = shown("tightened", MADE["tightened"]())
    assert entry.source == "audit n1, n2, n3 at 10"
    assert [line.text for line in rest if "drill" in line.text] == [
        "risk state changed trading=halted cause=drill index=10"
    ]
    assert any("role=leader" in line.text for line in rest)


def test_late_orders_are_shown_and_not_those_in_time() -> None:
    found = shown("silent", "kill n1: 1 orders later than 100 ms, the last 200 ms after it began")
    assert [line.source for line in found if line.source.startswith("ledger")][-1] == "ledger 3"


def test_a_node_that_ended_is_shown_with_its_last_words() -> None:
    texts = [line.text for line in shown("ended_well", MADE["ended_well"]()) if line.source == "log n1"]
    assert texts[:2] == ["role changed role=candidate term=1", "role changed role=leader term=1"]


def test_a_fault_of_several_nodes_is_not_one_of_them() -> None:
    found = shown("leader_kept", "kill n1,n2: n3 became leader")
    assert found[-1].text != "kill n1 is healed"
    whole = retell(run(), {**LIVE, "faults": [{**KILL, "target": "n1,n2"}]}, "")
    assert excerpt("gap", "kill n1: 200 ms, over 100", run(), whole) == ()


def test_a_long_one_is_cut_and_says_so() -> None:
    ledger = [asked(seq, seq, "n1", CANCEL) for seq in range(1, 60)]
    found = excerpt("one_send", CANCEL, Left(ledger, {}, evolve(honest(), nodes=())), retell(left(), LIVE, ""))
    assert len(found) == MOST_LINES
    assert found[-1].text == f"... and {59 - MOST_LINES + 1} more lines"


def test_of_a_long_one_the_last_lines_of_logs_go_first() -> None:
    many = tuple(role(3000 + at, "candidate") for at in range(60))
    found = shown("gap", MADE["gap"](), evolve(run(), logs={**LOGS, "n3": many}))
    assert len(found) == MOST_LINES
    assert found[-3].text.startswith("an order of n2")
    assert "more lines" in found[-1].text


def test_orders_within_a_time_are_few() -> None:
    requests = [evolve(honest().requests[0], seq=seq, admitted_ns=(3000 + seq) * MS) for seq in range(1, 100)]
    what = evolve(run(), history=evolve(honest(), requests=tuple(requests)))
    found = [line for line in shown("gap", MADE["gap"](), what) if line.source.startswith("ledger")]
    assert [line.source for line in found[:3]] == ["ledger 1", "ledger 2", "ledger 3"]
    assert found[3].text == "... and 93 more orders are let through"


def test_a_ledger_s_own_lines() -> None:
    found = shown("ledger_whole", MADE["ledger_whole"](), evolve(run(), ledger=(*LEDGER, seen(9, 9000, "fill"))))
    assert [line.source for line in found] == ["ledger 2", "ledger 3", "ledger 4", "ledger 5", "ledger 6"]
