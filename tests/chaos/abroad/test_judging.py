"""What a run on a deployed cluster shows: each check is seen failing, on what faces and ledger tell."""

from __future__ import annotations

import json

import httpx
import pytest
from attrs import evolve

from chaos.abroad.faces import Face, face
from chaos.abroad.judge import acknowledged, by_ledger, cancelled, denied, halt_kept, history_of, trails_equal, unjudged
from chaos.abroad.seen import Seen
from chaos.checkers.all import CHECKS
from chaos.live.judge import leader_kept
from chaos.live.plan import Aim, Fault
from chaos.live.strike import Struck
from chaos.live.workload import Denied, Told
from chaos.report.page import OF_A_RUN
from chaos.rig.watch import ActRefused, Watcher
from tests.chaos.abroad.deployed import CLUSTER, NODES, TOKEN, Deployed

S = 1_000_000_000
APIS = {name: f"https://{name}" for name in NODES}


@pytest.fixture
def deployed():
    moments = iter(range(10**12, 10**13, 10**6))
    return Deployed(lambda: next(moments))


@pytest.fixture
async def watcher(deployed, tmp_path):
    async with httpx.AsyncClient(transport=httpx.MockTransport(deployed)) as client:
        yield Watcher(client, APIS, TOKEN, TOKEN, tmp_path / "ledger.jsonl")


@pytest.fixture
async def faces(deployed, watcher):
    """After four orders by hand, of which three belong to the run."""
    for number in range(4):
        side = {"side": "BUY", "symbol": "BTCUSDT", "quantity": "1"}
        await watcher.act("n1", "submit", {"request_id": f"r{number}", **side}, f"why (r{number})")
    return [await face(watcher, name, 101) for name in NODES]


def ledger(deployed, after=43):
    """From the second order on."""
    return [record for record in deployed.sink.records if record["seq"] > after]


async def test_a_face_is_all_pages_of_a_node(faces):
    assert [[row["index"] for row in one.audit] for one in faces] == [[102, 103, 104]] * 3
    assert [len(one.fills) for one in faces] == [3, 3, 3]
    assert [len(one.orders) for one in faces] == [4, 4, 4]  # of these nobody says when


async def test_a_node_that_can_not_be_read_is_told(deployed, watcher):
    deployed.down.add("n2")
    with pytest.raises(ActRefused, match=r"audit.* of n2"):
        await face(watcher, "n2", 0)


def judged(deployed, faces):
    found = by_ledger(history_of(ledger(deployed), "main", CLUSTER, faces))
    return {check.name: check for check in found}


async def test_ledger_and_faces_that_agree_hold(deployed, faces):
    found = judged(deployed, faces)
    assert set(found) == {"one_trader", "one_send", "every_fill_once", "orders_equal"}
    assert {name: check.violations for name, check in found.items()} == dict.fromkeys(found, ())
    assert [check.looked_at for check in found.values()] == [3, 3, 9, 9]


async def test_a_trade_that_a_node_lacks_or_has_otherwise_is_told(deployed, faces):
    lacks = evolve(faces[1], fills=faces[1].fills[1:])
    other = evolve(faces[2], fills=({**faces[2].fills[0], "price": "1"}, *faces[2].fills[1:]))
    assert [said[:9] for said in judged(deployed, [faces[0], lacks, other])["every_fill_once"].violations] == [
        "n2 lacks ",
        "n3 has tr",
    ]


async def test_an_order_that_a_node_shows_otherwise_is_told(deployed, faces):
    open_still = {**faces[0].orders[3], "state": "open"}
    said = judged(deployed, [evolve(faces[0], orders=(*faces[0].orders[:3], open_still))])["orders_equal"].violations
    assert any("as open, the venue as FILLED" in one for one in said)


async def test_what_is_sent_twice_or_by_two_is_told(deployed, faces):
    last = next(record for record in reversed(deployed.sink.records) if record["type"] == "request")
    deployed.sink.records.append({**last, "seq": last["seq"] + 5, "user_agent": "meltica/1 (n2)"})
    found = judged(deployed, faces)
    assert not found["one_send"].held
    assert not found["one_trader"].held


async def test_trails_that_part_or_lack_a_record_are_told(faces):
    assert (trails_equal(faces).held, trails_equal(faces).looked_at) == (True, 9)
    parted = evolve(faces[1], audit=(faces[1].audit[0], {**faces[1].audit[1], "chain": "x"}, faces[1].audit[2]))
    (said,) = trails_equal([faces[0], parted, faces[2]]).violations
    assert said.startswith("the trails part at index 103")
    lacks = evolve(faces[1], audit=(faces[1].audit[0], faces[1].audit[2]))
    (said,) = trails_equal([faces[0], lacks, faces[2]]).violations
    assert said == "n2 has no record of index 103, and others do"
    assert trails_equal([faces[0], evolve(lacks, gaps=((103, 103),)), faces[2]]).held
    short = evolve(faces[1], audit=faces[1].audit[:2])  # it was asked a moment before
    assert trails_equal([faces[0], short, faces[2]]).held
    assert not trails_equal([Face("n1", (), (), ())]).held


async def test_what_was_acknowledged_is_in_every_trail_at_its_place(faces):
    told = [Told("r1", 102), Told("r2", 103)]
    assert acknowledged(faces, told).held
    assert acknowledged(faces, [*told, Told("r3", 103)]).violations[0] == "n1 lacks r3, acknowledged at index 103"
    lost = evolve(faces[2], audit=faces[2].audit[1:])
    assert acknowledged([*faces[:2], lost], told).violations == ("n3 lacks r1, acknowledged at index 102",)
    assert not acknowledged(faces, []).held


async def test_what_was_denied_is_in_none(faces):
    assert denied(faces, [Denied("r9", 409)], []).held
    said = "n1 has done r1, of which 409 was answered, that nothing was done"
    assert denied(faces[:1], [Denied("r1", 409)], []).violations == (said,)
    refused = evolve(faces[0], audit=({**faces[0].audit[0], "rejection": "halted: x"},))
    assert denied([refused], [Denied("r1", 409)], []).held


def test_what_is_sent_behind_a_halt_by_hand_is_told():
    halt = Struck(Fault(0, "halt", "any", 0, 8 * S, 0, "", "both", ()), Aim(("n1",)), 10 * S, 20 * S, 11 * S, "n1")
    assert halt_kept([halt], [9 * S, 11 * S + S // 2, 20 * S + 1]).held
    assert halt_kept([halt], [19 * S + S // 2]).held  # it was being lifted, and not everybody knew
    assert halt_kept([halt], [13 * S]).violations == ("halt n1: 1 orders, the last 2000 ms behind it",)
    assert not halt_kept([evolve(halt, not_done=("nothing was halted",))], [13 * S]).held


async def test_a_cancel_by_hand_that_found_nothing_to_cancel_is_told_by_what_the_venue_was_asked(deployed, watcher):
    for number, quotes in enumerate((True, False)):
        deployed.quotes = quotes
        await watcher.act("n1", "cancel", {"request_id": f"c{number}", "all": True}, "why")
    history, told = history_of(ledger(deployed, 0), "main", CLUSTER, []), [Told("c0", 101), Told("c1", 102)]
    assert cancelled(history, told, {4: ["c1", "c0"]}).held
    (said,) = cancelled(history, told, {4: ["c0"], 5: ["c1"]}).violations
    assert said.startswith("cancel 5: 1 requests were acknowledged, and no order was to be cancelled")


def test_what_can_not_be_looked_at_is_said_by_the_names_of_the_checks():
    names = {name for name, _ in unjudged(ledger=False)}
    assert (
        names <= {check.__name__ for check in CHECKS} | {"in_authority", "windows_apart", "halt_kept"} | OF_A_RUN.keys()
    )
    assert {check.__name__ for check in CHECKS} <= names
    assert not {name for name, _ in unjudged(ledger=True)} & {
        "one_trader",
        "one_send",
        "every_fill_once",
        "orders_equal",
    }


# Who led, as the nodes answered


def test_changes_are_noted_once_in_the_words_of_a_log(deployed, tmp_path):
    seen = Seen()
    for at in (1, 2):
        for node in NODES:
            seen.look(node, at * S, deployed.status(node))
    deployed.epoch, deployed.halts, deployed.risk = 4, ["measured"], 120
    seen.look("n1", 3 * S, deployed.status("n1"))
    events = [(line["event"], line["mono_ns"] // S) for line in seen.lines["n1"]]
    assert events == [
        ("role changed", 1),
        ("takeover_phases", 1),
        ("role changed", 3),
        ("takeover_phases", 3),
        ("risk state changed", 3),
    ]
    assert [(one["node"], one["term"]) for one in seen.elections()] == [("n1", 3), ("n1", 4)]
    cut = Struck(Fault(0, "cut", "any", 0, 1, 0, "peers", "both", ()), Aim(("n2",)), 2 * S, 4 * S, 2 * S, "n1")
    assert not leader_kept([cut], seen.elections()).held
    assert leader_kept([evolve(cut, begin_ns=30 * S, end_ns=31 * S)], seen.elections()).held
    seen.put(tmp_path)
    assert [json.loads(line) for line in (tmp_path / "logs" / "n1.jsonl").read_text().splitlines()] == seen.lines["n1"]


def test_a_node_that_does_not_tell_of_itself_is_passed_over(deployed):
    seen = Seen()
    seen.look("n9", S, deployed.status("n1"))
    assert seen.lines == {}
