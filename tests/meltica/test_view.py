"""A node as its API shows it, and operators' wishes in the leader's words."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from types import SimpleNamespace

import pytest
from attrs import define, evolve, field

from cluster.snapshot.faces import Gap, Splice
from cluster.types import ApplyStop, LogIndex, Peer, PeerStatus, Receipt, Role, Status, Term
from meltica.api import ports as api
from meltica.api.ports import Action, OutcomeKind, Page, ReadFault
from meltica.archive.records import BrokenTrail, Record, whole_entries
from meltica.core import commands
from meltica.core.commands import By
from meltica.core.orders import Asked
from meltica.core.state import State
from meltica.core.values import (
    Epoch,
    Index,
    Mode,
    Nanos,
    OrderType,
    Price,
    Quantity,
    RequestId,
    Side,
    StrategyId,
    Symbol,
    Venue,
)
from meltica.group import Group
from meltica.leader import ports as leader_ports
from meltica.leader.status import LeaderStatus, Phase
from meltica.machine import Standing
from meltica.peers import PeerBoard
from meltica.venues.base import Ticker
from meltica.view import ACT_WITHIN, Marks, View

BY = By(RequestId("r-1"), "operator:ann", "because")
LEADER = LeaderStatus(True, Phase.ACTIVE, True, "", Epoch(4), True, "", {}, {}, 0, {}, (), 1)
HEARD = {"epoch": 4, "nodes": [{"name": "n2", "promotable": True, "applied_index": 9}]}


@define
class FakeLeader:
    now: LeaderStatus = LEADER
    result: object = None
    acted: list = field(factory=list)

    def status(self):
        return self.now

    def act(self, action, on_result):
        self.acted.append(action)
        if self.result is not None:
            on_result(self.result)


class FakeTrail:
    gaps = staticmethod(lambda _after, _last: [])

    def __init__(self, records=()):
        self.records = [(LogIndex(r["index"]), r["place"], json.dumps(r).encode()) for r in records]

    async def page(self, after, limit):
        found = whole_entries(
            lambda behind, most: [row for row in self.records if row[0] > behind][:most], after, limit
        )
        return [Record(index, place, raw, json.loads(raw)) for index, place, raw in found]


def status(role=Role.LEADER, *, heard=None, stalled=None, leader="n1"):
    one = LogIndex(9)
    peers = (
        PeerStatus(Peer("n2"), connected=True, heard=heard, match=one),
        PeerStatus(Peer("n3"), connected=False, heard=None, match=LogIndex(0)),
    )
    return Status(Peer("n1"), role, Term(4), leader and Peer(leader), one, one, one, one, peers, stalled)


def view(**changes):
    board = PeerBoard(("n2", "n3"))
    board.heard("n2", HEARD)
    found = changes.get("cluster_status", status)
    made = {
        "group": Group("n1", changes.get("board", board), found, time.monotonic_ns, time.time_ns),
        "node": "n1",
        "version": "0.1.0",
        "cluster_name": "test",
        "state": State(),
        "trail": FakeTrail(),
        "leader": FakeLeader(),
        "cluster_status": status,
        "ports": {},
        "board": board,
        "apis": lambda: {name: f"https://{name}" for name in ("n1", "n2", "n3")},
        "marks": Marks(),
        "accounts": {"paper": "trader"},
    }
    return View(**{**made, **changes})


async def outcome(wish, found=None, *, dry_run=False):
    found = found or view()
    return await found.act(Action(wish, BY, dry_run))


# --- actions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "command"),
    [
        (api.HaltTrading("drill", leave_quotes=True), commands.Halt(Epoch(0), Nanos(0), "drill", True, BY)),
        (api.ReduceOnly("tight"), commands.Reduce(Epoch(0), Nanos(0), "tight", BY)),
        (api.ResumeTrading(("drill",), 7), commands.Resume(Epoch(0), Nanos(0), ("drill",), 7, BY)),
        (api.KillTrading("enough"), commands.Kill(Epoch(0), Nanos(0), "enough", BY)),
        (api.ActivateVersion(2), commands.ActivateVersion(Epoch(0), Nanos(0), 2, "0.1.0", BY)),
        (api.SetMode(Mode.MANUAL), commands.ModeSet(Epoch(0), Nanos(0), Mode.MANUAL, BY)),
        (api.CancelOrders(order="a" * 32), commands.Cancel(Epoch(0), Nanos(0), "a" * 32, "because", BY)),
        (api.CancelOrders(symbol="X"), commands.CancelAll(Epoch(0), Nanos(0), "because", None, "X", BY)),
    ],
)
async def test_a_wish_becomes_its_command_with_the_operators_hand(wish, command):
    found = view()
    await_result = leader_ports.Done("done", Index(12))
    found.leader.result = await_result
    answer = await outcome(wish, found)
    assert found.leader.acted == [leader_ports.Order(command)]
    assert (answer.kind, answer.index) == (OutcomeKind.DONE, 12)


SUBMIT = api.SubmitOrder(Venue("paper"), Symbol("BTCUSDT"), Side.BUY, OrderType.MARKET, Decimal("0.5"))


async def test_an_order_by_hand_carries_no_price_of_its_own_making():
    """The leader fills in what it sees; the limits are judged by that, never by what the operator typed."""
    found = view()
    found.leader.result = leader_ports.Done("done", Index(1))
    await outcome(SUBMIT, found)
    (order,) = found.leader.acted
    assert (order.command.reference, order.command.account) == (0, "trader")
    assert order.command.strategy == StrategyId("operator")


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        (evolve(SUBMIT, venue=Venue("moon")), "choose one of paper"),
        (evolve(SUBMIT, order_type=OrderType.LIMIT), "needs a price"),
        (api.Promote("n9"), "choose one of n1, n2, n3"),
    ],
)
async def test_what_cannot_be_is_refused_before_the_leader_hears_of_it(wish, told):
    found = view()
    answer = await outcome(wish, found)
    assert answer.kind is OutcomeKind.REFUSED
    assert told in answer.message
    assert not found.leader.acted


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        (leader_ports.Refused("limit", "too large"), OutcomeKind.REFUSED),
        (leader_ports.NotActive("n2"), OutcomeKind.NO_LEADER),
        (leader_ports.InQuestion("deposed"), OutcomeKind.UNKNOWN),
    ],
)
async def test_surely_not_done_and_perhaps_done_are_two_things(result, kind):
    found = view()
    found.leader.result = result
    assert (await outcome(api.ReduceOnly("x"), found)).kind is kind


async def test_no_outcome_in_time_is_unknown_and_says_how_to_repeat(autojump_clock):
    answer = await outcome(api.ReduceOnly("x"))
    assert answer.kind is OutcomeKind.UNKNOWN
    assert f"{ACT_WITHIN:g} s" in answer.message
    assert "--request-id" in answer.next


PROMOTES = [
    (api.Promote("n2"), LEADER, OutcomeKind.DONE, "n1 would hand over to n2"),
    (api.Promote(), LEADER, OutcomeKind.DONE, "n1 would hand over to n2"),
    (api.Promote("n3"), LEADER, OutcomeKind.REFUSED, "n3 is not promotable: unreachable"),
    (api.Promote("n1"), LEADER, OutcomeKind.REFUSED, "n1 is active already"),
    (api.Promote("n2", 3), LEADER, OutcomeKind.REFUSED, "the epoch is 4, not 3"),
    (api.Promote(), evolve(LEADER, active=False), OutcomeKind.DONE, "n1 would take over itself"),
]


@pytest.mark.parametrize(("wish", "leader", "kind", "told"), PROMOTES)
async def test_a_promote_is_refused_as_its_dry_run_says(wish, leader, kind, told):
    found = view(leader=FakeLeader(leader, leader_ports.Done("done", None)))
    dry = await outcome(wish, found, dry_run=True)
    assert (dry.kind, dry.message) == (kind, told)
    assert [one["name"] for one in dry.detail["nodes"]] == ["n1", "n2", "n3"]
    assert not found.leader.acted
    real = await outcome(wish, found)
    assert real.kind is kind
    assert len(found.leader.acted) == (1 if kind is OutcomeKind.DONE else 0)


async def test_without_a_standby_that_could_there_is_no_best_one():
    found = view(board=PeerBoard(("n2", "n3")))
    answer = await outcome(api.Promote(), found)
    assert answer.kind is OutcomeKind.REFUSED
    assert "n2: its API does not answer" in answer.message
    assert "n3: unreachable" in answer.message


LOST = evolve(status().peers[0], lost=True)
AGAINST = [
    ({"promotable": False, "why_not": "paper: refused: -2015"}, status(), "paper: refused: -2015"),
    ({"promotable": False, "why_not": "build 2 is not approved"}, status(), "build 2 is not approved"),
    ({"promotable": False, "why_not": "the disk is nearly full"}, status(), "the disk is nearly full"),
    ({"promotable": False, "why_not": "apply stopped at entry 9"}, status(), "apply stopped at entry 9"),
    ({"promotable": False, "why_not": "replication: its state differs"}, status(), "its state differs"),
    ({"promotable": False, "why_not": "replication: the folder is a copy"}, status(), "the folder is a copy"),
    ({}, evolve(status(), peers=(LOST,)), "its disk went back"),
    ({}, evolve(status(), peers=(evolve(LOST, lost=False, connected=False),)), "unreachable"),
    ({}, evolve(status(), peers=(evolve(LOST, lost=False, match=LogIndex(5)),)), "it is 4 entries and "),
]


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(("row", "now", "why"), AGAINST)
async def test_no_node_is_promoted_that_could_not_take_over_at_once(row, now, why, named):
    """By name or as the best: the leader is not even asked."""
    found = view(cluster_status=lambda: now)
    found.group.milestones.passed(9, time.monotonic_ns() - 10**9)
    found.board.heard("n2", {"epoch": 4, "nodes": [{**HEARD["nodes"][0], **row}]})
    answer = await outcome(api.Promote("n2" if named else None), found)
    assert answer.kind is OutcomeKind.REFUSED
    assert why in answer.message
    assert not found.leader.acted
    assert answer.next


async def test_whom_the_plan_chose_is_whom_the_leader_hands_over_to():
    found = view(leader=FakeLeader(LEADER, leader_ports.Done("n2 leads")))
    found.board.heard("n3", {"epoch": 4, "nodes": [{"name": "n3", "promotable": True}]})
    await outcome(api.Promote(), found)
    assert found.leader.acted == [leader_ports.Promote(BY, "n2", None)]


async def test_a_refused_promote_names_who_could_instead():
    found = view()
    answer = await outcome(api.Promote("n3"), found)
    assert answer.next == "promote n2 instead, or mend n3 first"


async def test_a_leader_that_waits_and_could_not_trade_says_so_in_its_dry_run():
    unfit = evolve(LEADER, active=False, promotable=False, why_not="paper: no order connection")
    answer = await outcome(api.Promote(), view(leader=FakeLeader(unfit)), dry_run=True)
    assert answer.message == "n1 would take over itself, once this is over: paper: no order connection"


@pytest.mark.parametrize("wish", [api.Promote("n2"), api.ReduceOnly("x")])
async def test_a_dry_run_elsewhere_sends_one_to_the_leader(wish):
    found = view(cluster_status=lambda: status(Role.FOLLOWER, leader="n2"))
    assert (await outcome(wish, found, dry_run=True)).kind is OutcomeKind.NO_LEADER


async def test_a_dry_resume_of_what_has_changed_is_refused():
    wish = api.ResumeTrading(("x",), 99)
    assert (await outcome(wish, dry_run=True)).kind is OutcomeKind.REFUSED
    assert (await outcome(evolve(wish, risk_index=0), dry_run=True)).kind is OutcomeKind.DONE


# --- pages ----------------------------------------------------------------------------------------------------


def record(index, kind="fill_seen", place=0, **result):
    command = {"order": None, "symbol": "BTCUSDT", "trade_id": str(index), "venue": "paper"}
    outcome = {"accepted": True, **result}
    return {
        "index": index,
        "term": 1,
        "place": place,
        "kind": kind,
        "command": command,
        "result": outcome,
        "at": 1,
        "chain": "c",
    }


async def test_a_fill_that_is_told_again_is_shown_once():
    records = [record(1), record(2, duplicate=True), record(3, accepted=False), record(4, kind="halt"), record(5)]
    page = await view(trail=FakeTrail(records)).fills(0, 100)
    assert [row["seq"] for row in page.rows] == [1, 5]


@pytest.mark.parametrize("what", ["fills", "audit"])
async def test_pages_cut_no_entry_in_two_and_lose_nothing(what):
    records = [record(index, place=place) for index in (1, 2, 3) for place in (0, 1)]
    found = view(trail=FakeTrail(records))
    seen, after = [], 0
    for _ in range(10):
        page = await getattr(found, what)(after, 1)
        seen.extend(row["seq"] for row in page.rows)
        if page.next_after is None or not page.rows:
            break
        after = page.next_after
    assert seen == [1, 1, 2, 2, 3, 3]


async def test_fills_are_found_behind_much_that_is_none():
    """A page of no rows says where to go on."""
    records = [record(index, kind="halt") for index in range(1, 400)] + [record(400), record(401)]
    found = view(trail=FakeTrail(records))
    page = await found.fills(0, 1)
    assert ([row["seq"] for row in page.rows], page.next_after) == ([400], 400)
    page = await found.fills(page.next_after, 1)
    assert ([row["seq"] for row in page.rows], page.next_after) == ([401], 401)
    assert (await found.fills(401, 1)) == Page([], None)


@pytest.mark.parametrize("what", ["fills", "audit"])
async def test_a_page_tells_where_a_snapshot_was_installed(what, monkeypatch):
    found, asked = view(trail=FakeTrail([record(index) for index in (1, 2, 9, 10)])), []
    gap = Gap(LogIndex(3), LogIndex(8), Splice(b"\xd1", b"\xb4", b"\xbe"))

    def gaps(after, last):
        asked.append((after, last))
        return [gap]

    monkeypatch.setattr(found.trail, "gaps", gaps, raising=False)
    row = {"first": 3, "last": 8, "snapshot": "d1", "chain_before": "b4", "chain": "be"}
    assert (await getattr(found, what)(1, 2)).gaps == (row,)
    assert (await getattr(found, what)(2, 99)).gaps == (row,)
    assert asked == [(1, 9), (2, None)]


@pytest.mark.parametrize("what", ["fills", "audit"])
async def test_a_trail_that_is_not_whole_is_told_with_what_to_do(what, monkeypatch):
    async def page(_after, _limit):
        raise BrokenTrail("the archive lacks the entries from 1 to 10: copy it")

    found = view()
    monkeypatch.setattr(found.trail, "page", page)
    with pytest.raises(ReadFault, match="lacks the entries from 1 to 10: copy it") as told:
        await getattr(found, what)(0, 1)
    assert "runbooks/archive-stands.md" in told.value.following


# --- reads ----------------------------------------------------------------------------------------------------


def test_a_mark_is_the_newest_mid():
    marks = Marks()
    one = Quantity(Decimal(1))
    for bid in (99, 100):
        ticker = Ticker(Symbol("X"), Price(Decimal(bid)), one, Price(Decimal(bid + 2)), one, Nanos(1))
        marks.on_market(Venue("paper"), ticker)
    assert (marks.of("paper", "X"), marks.of("paper", "Y")) == (Decimal(101), None)


def test_a_standby_that_hears_its_leader_is_fresh_and_one_that_does_not_is_old():
    now = time.monotonic_ns()
    heard = view(cluster_status=lambda: status(Role.FOLLOWER, heard=now, leader="n2"))
    assert heard.stamp().age_ns < 10**9
    assert next(one for one in heard.health().checks if one.name == "caught_up").ok
    old = view(cluster_status=lambda: status(Role.FOLLOWER, heard=now - 10**11, leader="n2"))
    assert old.stamp().age_ns >= 10**11
    assert not next(one for one in old.health().checks if one.name == "caught_up").ok
    lost = view(cluster_status=lambda: status(Role.FOLLOWER, leader=None))
    assert lost.stamp().age_ns is None
    assert lost.leader_api() is None


def test_a_journal_that_stands_still_is_not_live():
    health = view(cluster_status=lambda: status(stalled="the disk is full")).health()
    assert not health.live
    assert [one.text for one in health.checks if not one.ok] == ["the disk is full"]


def test_a_disk_without_room_is_told_by_readiness_and_restarts_nothing():
    health = view(disk=lambda: "the disk is nearly full").health()
    assert health.live
    assert ("disk", "the disk is nearly full") in [(one.name, one.text) for one in health.checks if not one.ok]


def test_who_is_active_by_its_own_word_or_by_the_others():
    assert view().status()["active"] == "n1"
    found = view(leader=FakeLeader(evolve(LEADER, active=False, waiting="promote it")))
    assert found.status()["active"] is None
    assert found.status()["waiting"] == "promote it"
    found.board.heard("n2", {"epoch": 5, "nodes": [{"name": "n2", "active": True}]})
    assert found.status()["active"] == "n2"
    assert [row["name"] for row in found.status()["nodes"]] == ["n1", "n2", "n3"]


def test_a_leader_that_waits_does_not_name_the_one_that_it_has_replaced():
    """Its board still holds what the killed one said in the epoch before."""
    waiting = evolve(LEADER, active=False, epoch=Epoch(5), waiting="promote it")
    found = view(leader=FakeLeader(waiting), cluster_status=lambda: evolve(status(), term=Term(5)))
    found.board.heard("n2", {"epoch": 4, "nodes": [{"name": "n2", "active": True}]})
    document = found.status()
    assert (document["active"], document["waiting"]) == (None, "promote it")
    assert not any(row["active"] for row in document["nodes"])


async def test_in_manual_mode_a_promote_without_its_epoch_is_refused_before_it_is_tried():
    found = view(leader=FakeLeader(evolve(LEADER, active=False), leader_ports.Done("done", None)))
    found.state.settings = evolve(found.state.settings, mode=Mode.MANUAL)
    answer = await outcome(api.Promote(), found)
    assert answer.kind is OutcomeKind.REFUSED
    assert "--epoch" in answer.next
    assert not found.leader.acted
    assert (await outcome(api.Promote(epoch=4), found)).kind is OutcomeKind.DONE


# --- where apply has stopped --------------------------------------------------------------------------------------

STANDING = Standing(7, "d" * 64, "KeyError: 'x'", asked=("operator",))


def test_status_says_where_the_log_begins_and_what_of_a_snapshot_has_come():
    now = evolve(status(), base_index=LogIndex(5), snapshot="receives", receipt=Receipt(LogIndex(9), 100, 40))
    received = {"index": 9, "size": 100, "taken": 40}
    assert view(cluster_status=lambda: now).own_row()["log"] == {
        "base_index": 5, "snapshot": "receives", "receiving": received,
    }  # fmt: skip
    assert view().own_row()["log"] == {"base_index": 1, "snapshot": "", "receiving": None}


def stopped_view():
    stop = ApplyStop(LogIndex(7), Term(3), "d" * 64, "KeyError: 'x'")
    return view(cluster_status=lambda: evolve(status(), stopped=stop), standing=lambda: STANDING)


def test_status_and_readyz_say_where_apply_stopped_why_and_what_comes_next():
    found = stopped_view()
    (row,) = [row for row in found.status()["nodes"] if row["name"] == "n1"]
    assert row["stopped"]["index"] == 7
    assert row["stopped"]["asked"] == ["operator"]
    (check,) = [check for check in found.health().checks if check.name == "apply"]
    assert not check.ok
    for word in ("entry 7", "KeyError: 'x'", "meltica log skip 7", "--approve"):
        assert word in check.text
    assert found.health().live, "a restart would not help"
    too_old = view(standing=lambda: evolve(STANDING, needs_build="0.3.0"))
    (row,) = [row for row in too_old.status()["nodes"] if row["name"] == "n1"]
    assert row["stopped"]["next"] == "start build 0.3.0"


def test_a_node_that_diverged_says_so_and_does_not_ask_to_be_restarted():
    gone = evolve(status(stalled="its state differs"), diverged=LogIndex(1000))
    found = view(cluster_status=lambda: gone)
    (row,) = [row for row in found.status()["nodes"] if row["name"] == "n1"]
    assert row["diverged"] == 1000
    assert found.health().live
    assert not found.health().ready


async def test_a_dry_skip_says_who_has_said_so_and_refuses_another_entry():
    found = stopped_view()
    done = await outcome(api.SkipEntry(7, "", api.Role.OPERATOR), found, dry_run=True)
    assert done.kind is OutcomeKind.DONE
    assert done.message.endswith("said: operator")
    for wish in (api.SkipEntry(8, "", api.Role.OPERATOR), api.SkipEntry(7, "e" * 64, api.Role.OPERATOR)):
        assert (await outcome(wish, found, dry_run=True)).kind is OutcomeKind.REFUSED
    assert (await outcome(api.SkipEntry(7, "", api.Role.OPERATOR), dry_run=True)).kind is OutcomeKind.REFUSED


@pytest.mark.parametrize(
    ("orders", "age"),
    [
        ([("open", Asked.NOTHING, 900), ("open", Asked.CANCEL_IN_DOUBT, 900)], None),
        (
            [("open", Asked.SUBMIT_IN_DOUBT, 40), ("absent", Asked.NOTHING, 70), ("open", Asked.NOTHING, 9)],
            70,
        ),
    ],
)
def test_how_long_nobody_has_known_of_an_order_is_told(orders, age, monkeypatch):
    """Of what the venue may not have: an order that is known and whose cancel is asked for anew each second is not."""
    now = 10**18
    live = [SimpleNamespace(state=state, asked=asked, at=now - s * 10**9) for state, asked, s in orders]
    monkeypatch.setattr(State, "live_orders", lambda _state: live)
    monkeypatch.setattr(time, "time_ns", lambda: now)
    assert view().status()["oldest_doubt_s"] == age


def test_who_takes_part_is_told_by_every_node():
    told = {"configuration": 3, "voters": [{"name": "n1", "peer": "n1:1"}], "learners": [], "removed": ["n3"]}
    assert view(members=lambda: told).status()["members"] == told
    assert view().status()["members"] is None


def test_a_removed_node_says_so_and_is_good_for_nothing():
    found = view(removed=lambda: "n1 was removed from this cluster")
    row = next(one for one in found.status()["nodes"] if one["name"] == "n1")
    assert (row["removed"], row["why_not"], row["promotable"], row["votes"]) == (
        "n1 was removed from this cluster",
        "n1 was removed from this cluster",
        False,
        False,
    )
    assert [(check.ok, check.text) for check in found.health().checks if check.name == "member"] == [
        (False, "n1 was removed from this cluster")
    ]
    row = next(one for one in view().status()["nodes"] if one["name"] == "n1")
    assert (row["removed"], row["votes"], row["configuration"]) == (None, True, 0)
