"""A whole run on a deployed cluster that is not there: what is done and said, and how it is left, whatever ends it."""

from __future__ import annotations

import json
import time

import httpx
import pytest
import trio
from click.testing import CliRunner

from chaos.abroad import here, visits
from chaos.abroad.place import BadPlace, read
from chaos.abroad.reach import links_between, reached
from chaos.abroad.visit import Visitor, steady
from chaos.checkers.history import History
from chaos.cli import main
from chaos.live.document import one
from chaos.live.library import chosen
from chaos.live.plan import plan
from chaos.live.run import NoTrade, Wish
from chaos.report.folder import incident_in
from chaos.report.page import page
from chaos.toxiproxy.proxies import ToxiproxyFault
from chaos.toxiproxy.toxics import toxic
from meltica.core.ids import make_id
from tests.chaos.abroad.deployed import AT_PAPER, NODES, ORDERS, SERVER, Deployed, place_file
from tests.chaos.toxiproxy.twin import Twin

SECOND = 1_000_000_000
START = 10**12


@pytest.fixture
def clock(monkeypatch, autojump_clock):
    """The machine's monotonic clock, on the tests' own."""

    def now():
        return START + round(autojump_clock.current_time() * SECOND)

    monkeypatch.setattr(time, "monotonic_ns", now)
    return now


@pytest.fixture
def deployed(clock, monkeypatch):
    found, client = Deployed(clock), httpx.AsyncClient
    monkeypatch.setattr(
        here.httpx,
        "AsyncClient",
        lambda **named: client(transport=httpx.MockTransport(found), base_url=named.get("base_url", "")),
    )
    monkeypatch.setattr(here, "_trust", lambda _: None)
    return found


@pytest.fixture
async def twin(monkeypatch):
    """A server with a proxy in each link, and one of somebody else's."""
    found = Twin()
    for place, name in enumerate(["other", *(link.name for link in links_between(NODES))]):
        await found.create(name, f"127.0.0.1:{9000 + place}", "127.0.0.1:1")
        await found.enable(name)
    monkeypatch.setattr(here, "client", lambda _port, _host: found)
    return found


WHOLE = (SERVER, ORDERS, AT_PAPER)


def visitor(tmp_path, name, *parts, says=None, links=None):
    place = read(place_file(tmp_path / "far", *(parts or WHOLE)))
    reach = place.reach(links if links is not None else [link.name for link in links_between(NODES)])
    made = reached(plan(chosen(name), 1), reach)
    return Visitor(place, Wish(made, tmp_path / "run", 1, kept=True), (says if says is not None else []).append)


def held(found):
    return {check.name: check.violations or check.looked_at > 0 for check in found.checks}


async def test_a_run_breaks_what_it_can_reach_and_leaves_all_as_it_was(deployed, twin, tmp_path, autojump_clock):
    says = []
    before = await twin.all()
    twin.done.clear()
    found = await visitor(tmp_path, "leader-held", says=says).run()
    assert held(found) == dict.fromkeys(held(found), True)
    assert set(held(found)) >= {"faults_played", "recovered", "left_as_found", "trails_equal", "came_to_rest", "gap"}
    assert set(held(found)) >= {"one_trader", "one_send", "every_fill_once", "orders_equal", "ledger_whole"}
    assert set(held(found)) >= {"acknowledged", "denied", "unaided"}
    assert await twin.all() == before
    assert {(how, len({name for one, name, *_ in twin.done if one == how})) for how, *_ in twin.done} == {
        ("add", 8),
        ("remove", 8),
    }
    assert deployed.halts == []
    kinds = [kind for kind, _ in deployed.acted]
    assert (kinds.count("halt"), kinds.count("resume")) == (1, 1)
    assert kinds.count("submit") > 50
    (gap,) = found.gaps
    assert gap.span.ms == pytest.approx(150, abs=1)  # the pace of the orders, on our clock


async def test_its_page_is_made_of_what_was_seen_and_says_what_was_not(deployed, twin, tmp_path, autojump_clock):
    found = await visitor(tmp_path, "takeover-without-venue").run()
    document = one(found)
    assert {left["name"] for left in document["left_out"]["checks"]} >= {"intent_first", "ended_well"}
    (left,) = document["left_out"]["faults"]
    assert (left["kind"], left["target"]) == ("kill", "leader")
    for incident in (incident_in(tmp_path / "run", document), incident_in(tmp_path / "run", document, found_nothing())):
        assert {(span.node, span.what) for span in incident.spans} == {("n1", "trades")}
        assert incident.begin_ns > START
    text = page(incident_in(tmp_path / "run", document))
    file = place_file(tmp_path / "far", *WHOLE).resolve()
    assert document["again"] == f"meltica-chaos run takeover-without-venue --seed 1 --cluster {file}"
    for words in ("somebody else", "left_as_found", f"--cluster {file}", "takes a hand on the node"):
        assert words in text


def test_one_that_broke_off_is_judged_by_what_the_ledger_tells(tmp_path):
    played, order = visitor(tmp_path, "leader-held"), make_id("0a0b0c", 1, 1, 0)
    (folder := played.wish.folder).mkdir()
    sent = {"type": "request", "method": "order.place", "account": played.place.account, "client_order_id": order}
    times = {"received_mono_ns": 1000, "admitted_mono_ns": 1000, "user_agent": "meltica/1 (n1)"}
    (folder / "ledger.jsonl").write_text("".join(json.dumps({"seq": seq, **sent, **times}) + "\n" for seq in (1, 2)))
    found = held(played.failed("played", NoTrade("nobody came back")))
    assert found.keys() == {"played", "one_trader", "one_send"}
    assert (found["played"], found["one_trader"]) == (("NoTrade: nobody came back",), True)
    assert order in found["one_send"][0]
    (folder / "ledger.jsonl").unlink()
    assert held(played.failed("played", NoTrade("nobody came back"))) == {"played": ("NoTrade: nobody came back",)}


def found_nothing():
    return History("main", "0a0b0c", (), (), ())


async def test_without_a_ledger_it_goes_by_what_was_acknowledged_and_says_so(deployed, twin, tmp_path, autojump_clock):
    found = await visitor(tmp_path, "leader-held", SERVER, ORDERS).run()
    assert held(found) == dict.fromkeys(held(found), True)
    assert "one_trader" not in held(found)
    assert dict(found.unjudged)["one_trader"].startswith("it takes the ledger")
    assert found.gaps[0].span.ms == pytest.approx(150, abs=1)
    incident = incident_in(tmp_path / "run", one(found))
    assert START < incident.begin_ns < incident.end_ns
    assert incident.spans


async def test_without_a_toxiproxy_operators_and_the_venue_are_left(deployed, tmp_path, autojump_clock):
    found = await visitor(tmp_path, "halt-and-kill", ORDERS, AT_PAPER, links=()).run()
    assert [fault.kind for fault in found.plan.faults] == ["halt"]
    assert held(found) == dict.fromkeys(held(found), True)
    assert "halt_kept" in held(found)
    refused = await visitor(tmp_path / "b", "venue-closed", ORDERS, AT_PAPER, links=()).run()
    assert not next(check for check in refused.checks if check.name == "faults_played").held  # nothing was asked for
    assert deployed.faults.running == {}


async def test_what_a_scenario_is_there_for_is_judged_by_the_ledger(deployed, twin, tmp_path, autojump_clock):
    found = await visitor(tmp_path / "a", "venue-away-for-minutes").run()
    assert held(found)["unseen_fills"] is True
    played, submit = visitor(tmp_path / "b", "venue-away-for-minutes"), deployed.submit

    def unfilled(body):
        """While it is away nothing of ours is filled."""
        if not played.begun or played.done:
            submit(body)

    deployed.submit = unfilled
    found = await played.run()
    (said,) = held(found)["unseen_fills"]
    assert said.endswith("nothing of ours was filled meanwhile")


async def test_cancels_by_hand_that_find_nothing_are_told(deployed, twin, tmp_path, autojump_clock):
    found = await visitor(tmp_path / "a", "commands-and-kills").run()
    assert held(found)["cancelled"] is True
    deployed.quotes = False
    found = await visitor(tmp_path / "b", "commands-and-kills").run()
    (said,) = held(found)["cancelled"]
    assert "no order was to be cancelled by any of them" in said


async def test_what_nobody_can_judge_there_is_left_out_by_name(deployed, twin, tmp_path, autojump_clock):
    resets = one(await visitor(tmp_path / "a", "rounds-of-resets").run())
    assert "not_grown" in {left["name"] for left in resets["left_out"]["checks"]}
    blind = one(await visitor(tmp_path / "b", "leader-cut-off", SERVER, ORDERS).run())
    assert {left["name"] for left in blind["left_out"]["checks"]} >= {"leader_lost", "silent"}
    assert blind["closes"] == []


# What it does not begin with


def wrong_cluster(deployed):
    deployed.status = lambda node: {**Deployed.status(deployed, node), "cluster": "ffffff"}


@pytest.mark.parametrize(
    "case",
    [
        (lambda one: one.down.add("n2"), NoTrade, "n2 does not answer"),
        (lambda one: one.halts.append("lunch"), NoTrade, "trading is halted: resume it before"),
        (wrong_cluster, BadPlace, "the nodes are of cluster ffffff, not 0a0b0c"),
    ],
)
async def test_a_cluster_that_is_not_well_is_not_broken(deployed, twin, tmp_path, autojump_clock, case):
    doctor, error, words = case
    doctor(deployed)
    twin.done.clear()
    with pytest.RaisesGroup(pytest.RaisesExc(error, match=words), flatten_subgroups=True):
        await visitor(tmp_path, "leader-held").run()
    assert not twin.done
    assert not deployed.acted


async def test_links_that_somebody_else_has_broken_are_left_alone(deployed, twin, tmp_path, autojump_clock):
    await twin.add("n1-n2-peer", toxic("theirs", "latency", "upstream", latency=5))
    with pytest.raises(BadPlace, match="n1-n2-peer has toxics: theirs"):
        await visitor(tmp_path, "leader-held").run()
    await twin.remove("n1-n2-peer", "theirs")
    await twin.disable("other")  # which stands in no link
    assert held(await visitor(tmp_path / "b", "leader-held").run())["left_as_found"] is True


# How it is left


async def test_whatever_ends_it_all_is_healed_and_resumed(deployed, twin, tmp_path, autojump_clock):
    before = await twin.all()
    played = visitor(tmp_path, "leader-held")
    broken = []

    async def ended():
        while not played.begun:  # noqa: ASYNC110 - the run is watched, by polling
            await trio.sleep(0.1)
        await trio.sleep(0.1)
        broken.append(await twin.all())
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ended)
        await played.run()
    assert broken != [before]
    assert await twin.all() == before
    played = visitor(tmp_path / "b", "leader-held")
    deployed.status = lambda node: {**Deployed.status(deployed, node), "orders": {"open": 1, "in_doubt": 0}}
    with trio.move_on_after(60):  # halted, and waiting for it to come to rest
        await played.run()
    assert "halt" in [kind for kind, _ in deployed.acted]
    assert deployed.halts == []
    assert played.so_far() == ()


async def test_a_halt_that_can_not_be_resumed_is_told(deployed, twin, tmp_path, autojump_clock):
    act = deployed.act

    def refuses(action, body):
        return httpx.Response(409, json={}) if action == "resume" else act(action, body)

    deployed.act = refuses
    found = await visitor(tmp_path, "leader-held").run()
    assert held(found)["left_as_found"] == ("trading is halted still, for measured",)


async def test_trading_that_does_not_come_back_is_told(deployed, twin, tmp_path, autojump_clock):
    played = visitor(tmp_path, "leader-held")
    submit = deployed.submit
    deployed.submit = lambda body: submit(body) if not played.begun else None
    found = await played.run()
    assert "recovered" in {name for name, what in held(found).items() if what is not True}
    assert "gap" in {name for name, what in held(found).items() if what is not True}


def test_steady_is_an_order_again_and_again_in_the_last_two_seconds():
    now = 100 * SECOND
    assert steady([now - tenth * SECOND // 10 for tenth in range(25, 0, -9)], now)
    assert not steady([now - 19 * SECOND // 10, now - 5 * SECOND // 10], now)
    assert not steady([], now)


# From the command line


def test_a_suite_says_what_it_leaves_out_and_asks_for_no_server_of_its_own(tmp_path, monkeypatch):
    file, reach = place_file(tmp_path / "far", *WHOLE), [link.name for link in links_between(NODES)]

    async def looked(_place):
        return frozenset(reach)

    played = []

    def plays(self, wish, say):
        played.append(wish.plan.scenario.name)
        return Visitor(self.place, wish, say).failed("played", NoTrade("it is not there"))

    monkeypatch.setattr(visits, "_looked", looked)
    monkeypatch.setattr(visits.Visits, "__call__", plays)
    words = ("run", "--suite", "smoke", "--seed", "1", "--cluster", str(file), "-o", "json")
    done = CliRunner().invoke(main, words)
    assert played == ["leader-cut-off", "takeover-without-venue"]
    found = json.loads(done.stdout)
    assert (done.exit_code, found["cluster"], found["played"]) == (1, "0a0b0c", 2)
    assert set(found["left_out"]) == {"leader-killed", "leader-paused"}
    suite = f"meltica-chaos run --suite smoke --seed 1 --cluster {file.resolve()} --report DIR"
    assert [found["again"], *(each["again"] for each in found["failures"])] == [
        suite,
        *(f"meltica-chaos run {name} --seed 1 --cluster {file.resolve()}" for name in played),
    ]
    assert "within reach: 24 of 24 links" in done.stderr
    assert "not played: leader-killed: kill: it takes a hand on the node's machine" in done.stderr
    for more, said in (
        (("run", "leader-killed", "--cluster", str(file)), "nothing of it can be done to this cluster"),
        (("run", "leader-held", "--cluster", str(file), "--mutant", "no deadline"), "--mutant starts nodes of its own"),
    ):
        done = CliRunner().invoke(main, more)
        assert (done.exit_code, said in done.stderr) == (2, True), done.stderr


def test_a_server_that_is_not_there_is_wrong_usage(tmp_path, monkeypatch):
    file = place_file(tmp_path / "far", *WHOLE)

    async def gone(_place):
        raise ToxiproxyFault("its proxies: refused")

    monkeypatch.setattr(visits, "_looked", gone)
    done = CliRunner().invoke(main, ("run", "leader-held", "--cluster", str(file)))
    assert (done.exit_code, "[toxiproxy]: ToxiproxyFault: its proxies: refused" in done.stderr) == (2, True)
