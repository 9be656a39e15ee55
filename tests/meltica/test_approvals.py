"""An approval is looked at before it is taken: what no node has, and what would leave nobody who may trade, is not."""

from __future__ import annotations

import pytest
from attrs import evolve

from cluster.types import LogIndex, Peer, PeerStatus
from meltica.api import ports as api
from meltica.api.ports import Action, OutcomeKind
from meltica.approvals import Outlook, away, outlook_of
from meltica.core import commands
from meltica.core.apply_upgrades import MAX_APPROVALS
from meltica.core.commands import NodeReport
from meltica.core.records import Approval, ApprovedRecord, CrewRecord
from meltica.core.state import State
from meltica.core.values import Epoch, Index, Nanos, RequestId
from meltica.leader import ports as leader_ports
from tests.meltica.core.harness import Hand, by
from tests.meltica.test_view import BY, FakeLeader, status, view

OLD, NEW = "a1" * 32, "b2" * 32
N1, N2, N3 = (NodeReport(name, "0.1.0", OLD, 1, 1) for name in ("n1", "n2", "n3"))
SILENT = NodeReport("n3", "", "", 0, 0)
NEW_BUILD = [evolve(one, build="0.2.0") for one in (N1, N2)]
RUNNING = (("0.2.0", OLD), ("0.1.0", OLD))


def state_of(*crew, approved=(("0.1.0", OLD),)):
    state = State()
    state.put_crew(CrewRecord(tuple(crew)))
    state.put_approved(ApprovedRecord(tuple(Approval(*pair, Index(1)) for pair in approved)))
    return state


def linked(*peers, learner=""):
    """What n1 knows, which leads: links to these."""
    one = LogIndex(9)
    known = [
        PeerStatus(Peer(name), connected=name in peers, match=one, heard=None, votes=name != learner)
        for name in ("n2", "n3")
    ]
    return lambda: evolve(status(), peers=tuple(known))


def wish(build="0.1.0", config=OLD, **more):
    return api.ApproveBuild(build, config, **more)


ALL = {"cluster_status": linked("n2", "n3")}


async def asked(state, wanted, *, dry_run=False, known=False, **changes):
    """On n1, which leads; what the leader heard of it."""
    found = view(state=state, leader=FakeLeader(result=leader_ports.Done("done", Index(12))), **{**ALL, **changes})
    if known:
        state.requests[RequestId("r-1")] = None
    told = await found.act(Action(wanted, BY, dry_run))
    return told, found.leader.acted


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (wish(config=OLD[:-1] + "0"), "which differs from that of n1 from digit 64 on"),
        (wish(config=OLD[:12]), "which has 12 of the 64 digits of that of n1"),
        (wish(config="c" * 64), "no node has build 0.1.0 with configuration cccccccccccc…: n1, n2 and n3 have"),
        (wish("0.2.0"), "n1, n2 and n3 have build 0.1.0 with configuration a1a1a1a1a1a1…"),
        (wish(config="c" * 64), "it would let no node take over"),
        (wish(config="c" * 64, only=True), "with --only nobody could trade"),
    ],
)
async def test_what_no_node_has_is_refused_and_says_who_has_what(wanted, told):
    for dry_run in (True, False):
        answer, heard = await asked(state_of(N1, N2, N3), wanted, dry_run=dry_run)
        assert (answer.kind, heard) == (OutcomeKind.REFUSED, [])
        assert told in answer.message
        assert "meltica version show" in answer.next
        assert "--in-advance" in answer.next


async def test_while_no_node_has_reported_nothing_is_known():
    answer, heard = await asked(state_of(), wish())
    assert (answer.kind, heard) == (OutcomeKind.REFUSED, [])
    assert "no node has reported what it is yet" in answer.message


async def test_what_a_node_has_is_approved_and_says_which():
    changed = evolve(N2, config=NEW)
    answer, heard = await asked(state_of(N1, changed, SILENT), wish(config=NEW), dry_run=True)
    assert (answer.kind, heard) == (OutcomeKind.DONE, [])
    assert answer.message == "build 0.1.0 with configuration b2b2b2b2b2b2… would be approved; had by n2"
    assert answer.detail == {"have": ["n2"], "may_trade": ["n1", "n2"], "may_no_more": [], "may_later": []}
    answer, heard = await asked(state_of(N1, changed, SILENT), wish(config=NEW))
    command = commands.ApproveBuild(Epoch(0), Nanos(0), "0.1.0", NEW, False, BY)
    assert (answer.kind, heard) == (OutcomeKind.DONE, [leader_ports.Order(command)])


async def test_in_advance_of_the_roll_out_it_is_taken_and_a_digest_that_no_node_has_is_pointed_out():
    answer, heard = await asked(state_of(N1, N2, N3), wish("0.2.0", in_advance=True))
    assert (answer.kind, bool(heard)) == (OutcomeKind.DONE, True)
    dry, _ = await asked(state_of(N1, N2, N3), wish("0.2.0", in_advance=True), dry_run=True)
    assert "no node has it yet" in dry.message
    assert "64 digits" not in dry.message
    dry, _ = await asked(state_of(N1, N2, N3), wish("0.2.0", NEW, in_advance=True), dry_run=True)
    assert "nor does any have this configuration: compare all 64 digits" in dry.message


@pytest.mark.parametrize("config", [OLD[:-1], OLD + "0", OLD.upper(), "x" * 64, OLD[:12]])
async def test_in_advance_too_a_digest_is_whole(config):
    answer, heard = await asked(state_of(N1, N2, N3), wish("0.2.0", config, in_advance=True))
    assert (answer.kind, heard) == (OutcomeKind.REFUSED, [])
    assert "all 64 digits" in answer.next
    assert "--in-advance" not in answer.next, "it was given"


async def test_alone_and_in_advance_it_would_leave_nobody():
    answer, heard = await asked(state_of(N1, N2, N3), wish("0.2.0", only=True, in_advance=True))
    assert (answer.kind, heard) == (OutcomeKind.REFUSED, [])
    assert "this withdraws what n1, n2 and n3 may trade by, and nobody could trade" in answer.message
    assert "runbooks/upgrade.md" in answer.next


async def test_what_alone_makes_the_leader_or_every_standby_unfit_says_so_and_is_done():
    both = (("0.1.0", OLD), ("0.1.0", NEW))
    state = state_of(N1, evolve(N2, config=NEW), N3, approved=both)
    dry, _ = await asked(state, wish(config=NEW, only=True), dry_run=True)
    assert "n1 and n3 MAY TRADE NO MORE" in dry.message
    assert "n1 leads now, and hands over" in dry.message
    assert "NO STANDBY" not in dry.message
    dry, _ = await asked(
        state_of(N1, evolve(N2, config=NEW), SILENT, approved=both), wish(config=OLD, only=True), dry_run=True
    )
    assert "n2 MAY TRADE NO MORE" in dry.message
    assert "NO STANDBY COULD TAKE OVER from n1" in dry.message
    assert "hands over" not in dry.message
    assert dry.detail == {"have": ["n1"], "may_trade": ["n1"], "may_no_more": ["n2"], "may_later": []}
    answer, heard = await asked(state, wish(config=NEW, only=True))
    assert (answer.kind, bool(heard)) == (OutcomeKind.DONE, True)


async def test_where_nobody_may_trade_already_the_right_one_mends_it():
    """A cluster that a wrong digest left without anybody fit, before approvals were looked at."""
    state = state_of(N1, N2, N3, approved=(("0.1.0", "c" * 64),))
    answer, heard = await asked(state, wish(only=True))
    assert (answer.kind, bool(heard)) == (OutcomeKind.DONE, True)


async def test_one_too_many_withdraws_the_oldest_and_says_so():
    others = [(f"0.2.{number}", OLD) for number in range(MAX_APPROVALS - 1)]
    state = state_of(N1, N2, N3, approved=(("0.1.0", OLD), *others))
    answer, heard = await asked(state, wish("0.3.0", in_advance=True))
    assert (answer.kind, heard) == (OutcomeKind.REFUSED, [])
    assert "withdraws what n1, n2 and n3 may trade by" in answer.message
    assert f"`meltica version approve 0.1.0 {OLD}`" in answer.next
    assert "beside the others" not in answer.next, "that is what was done"


async def test_the_way_out_of_too_many_is_one():
    """What the refusal says to do first makes the running pair the newest, and then the other one is taken."""
    hand = Hand()
    hand.start()
    for number in range(MAX_APPROVALS):
        hand.ok(commands.ApproveBuild(Epoch(0), Nanos(0), f"0.{number + 1}.0", OLD, False, by(f"old{number}")))
    hand.state.put_crew(CrewRecord((N1, N2, N3)))
    wanted = wish("0.9.0", in_advance=True)
    refused, _ = await asked(hand.state, wanted)
    _, words, _ = refused.next.split("`")
    *_, build, config = words.split()
    first, _ = await asked(hand.state, wish(build, config))
    assert (refused.kind, first.kind) == (OutcomeKind.REFUSED, OutcomeKind.DONE)
    hand.ok(commands.ApproveBuild(Epoch(0), Nanos(0), build, config, False, by("again")))
    then, _ = await asked(hand.state, wanted, dry_run=True)
    assert (then.kind, then.detail["may_trade"]) == (OutcomeKind.DONE, ["n1", "n2", "n3"])


async def test_a_dead_node_and_a_learner_are_nobody_who_could_trade():
    """n3 was of the old build when it was heard last; alone approved, that leaves nobody (review of 2026-11-30)."""
    state = state_of(*NEW_BUILD, N3, approved=RUNNING)
    for more, why in ((linked("n2"), "which is not connected"), (linked("n2", "n3", learner="n3"), "has no vote")):
        for dry_run in (True, False):
            answer, heard = await asked(state, wish(only=True), cluster_status=more, dry_run=dry_run)
            assert (answer.kind, heard) == (OutcomeKind.REFUSED, [])
            assert "what n1 and n2 may trade by, and nobody could trade now; n3 (" in answer.message
            assert why in answer.message
            assert (answer.detail["may_trade"], answer.detail["may_later"]) == ([], ["n3"])
    answer, heard = await asked(state, wish(only=True))
    assert (answer.kind, bool(heard)) == (OutcomeKind.DONE, True), "n3 is there"


def test_who_is_away():
    crew = [evolve(N1, node=name) for name in ("n1", "n2", "n3", "n4")]
    gone = {"n3": "which is not connected", "n4": "which is not connected"}
    assert away(crew, linked("n2")()) == gone, "n4 is none of the group any more"
    alone = evolve(linked("n2")(), votes=False)
    assert away(crew, alone) == {**gone, "n1": "which has no vote"}
    back = [evolve(one, lost=True) for one in linked("n2", "n3")().peers]
    assert away(crew[1:3], evolve(alone, peers=back)) == dict.fromkeys(("n2", "n3"), "whose disk went back")


async def test_a_dead_node_is_no_standby():
    state = state_of(N1, evolve(N2, build="0.2.0"), N3, approved=RUNNING)
    dry, _ = await asked(state, wish(only=True), cluster_status=linked("n2"), dry_run=True)
    assert dry.kind is OutcomeKind.DONE
    assert "had by n1 and n3 (which is not connected); n2 MAY TRADE NO MORE" in dry.message
    assert "NO STANDBY COULD TAKE OVER from n1 now; n3 (which is not connected) could later" in dry.message
    dry, _ = await asked(state, wish("0.2.0", only=True), cluster_status=linked("n2"), dry_run=True)
    assert "n1 and n3 (which is not connected) MAY TRADE NO MORE" in dry.message
    assert "NO STANDBY" not in dry.message


async def test_where_nobody_connected_may_trade_what_makes_it_no_worse_is_taken():
    """An emergency: n1 and n2 came back with a build that is not approved, and n3 is dead."""
    state = state_of(*NEW_BUILD, N3)
    for wanted in (wish("0.2.0", only=True), wish("0.2.0"), wish(only=True), wish("0.3.0", in_advance=True)):
        answer, heard = await asked(state, wanted, cluster_status=linked("n2"))
        assert (answer.kind, bool(heard)) == (OutcomeKind.DONE, True), wanted
    answer, _ = await asked(state, wish("0.3.0", only=True, in_advance=True), cluster_status=linked("n2"))
    assert answer.kind is OutcomeKind.REFUSED, "n3, which may come back, could trade no more either"
    apart = state_of(*NEW_BUILD, N3, evolve(N3, node="n4", config=NEW), approved=(("0.1.0", OLD), ("0.1.0", NEW)))
    answer, _ = await asked(apart, wish(only=True), cluster_status=linked("n2"))
    assert answer.kind is OutcomeKind.DONE


@pytest.mark.parametrize("only", [True, False])
@pytest.mark.parametrize("build", ["0.1.0", "0.2.0", "0.9.0"])
@pytest.mark.parametrize("count", [0, 1, MAX_APPROVALS - 1, MAX_APPROVALS])
def test_it_judges_as_the_log_decides(only, build, count):
    hand = Hand()
    hand.start()
    for number in range(count):
        hand.ok(commands.ApproveBuild(Epoch(0), Nanos(0), f"0.{number + 1}.0", OLD, False, by(f"old{number}")))
    crew = tuple(NodeReport(f"n{number}", f"0.{number}.0", OLD, 1, 1) for number in range(1, 10))
    hand.state.put_crew(CrewRecord(crew))
    before = {one.node for one in crew if hand.state.approved.covers(one.build, one.config)}
    found = outlook_of(api.ApproveBuild(build, OLD, only), hand.state, {})
    hand.ok(commands.ApproveBuild(Epoch(0), Nanos(0), build, OLD, only, by("new")))
    after = {one.node for one in crew if hand.state.approved.covers(one.build, one.config)}
    have = [one.node for one in crew if one.build == build]
    assert found == Outlook(tuple(have), tuple(sorted(after)), tuple(sorted(before - after)))


async def test_a_retry_is_the_logs_affair_and_another_node_s_too():
    state = state_of(N1, N2, N3)
    answer, heard = await asked(state, wish(config="c" * 64), known=True)
    assert (answer.kind, bool(heard)) == (OutcomeKind.DONE, True)
    follows = status(role="follower", leader="n2")
    _, heard = await asked(state_of(N1), wish(config="c" * 64), cluster_status=lambda: follows)
    assert heard
