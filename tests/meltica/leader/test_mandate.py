"""The operator's cancel without a quorum: it ends, it says what it did, and no id is sent twice."""

from __future__ import annotations

from decimal import Decimal

import pytest
from attrs import evolve

from cluster.types import AppliedEntry, LogIndex, MonoNs, Status, Term
from meltica.core import commands as c
from meltica.core.codec import encode_command
from meltica.core.ids import parse_id
from meltica.core.values import Epoch, Gap, Nanos, NodeName, Quantity, VenueOrderId
from meltica.leader.mandate import BY_HAND_MOST, LATER, MOST, places_of
from meltica.leader.ports import Done, Order, Promote, Refused, WithoutQuorum
from meltica.venues.base import Accepted, ReadKind
from tests.meltica.leader.world import CONFIGURED, MS, QUOTER, SETTINGS, Node, S, World, by

SHARE = 1024  # of each of three


def by_hand(world: World, name: str) -> str:
    (result,) = world.act(name, WithoutQuorum(by(f"kill-{name}")))
    assert isinstance(result, Done)
    return result.message


def sent(node: Node) -> int:
    return [name for name, _ in node.notes.events].count("mandate_cancel")


def places(world: World) -> list[int]:
    parts = [parse_id(name) for name in world.exchange.written]
    return [each.place - 0xF000 for each in parts if each is not None and each.mandate]


def test_it_ends_with_the_orders_that_were_open_at_the_command() -> None:
    world = World()
    world.start()
    assert "2 orders" in by_hand(world, "n2")
    for _ in range(120):
        world.run(1 * S)
        world.tick()
    assert sent(world.nodes["n2"]) == 2
    done = [fields for name, fields in world.nodes["n2"].notes.events if name == "mandate_done"]
    assert done == [{"settled": 2, "unsettled": 0}]
    assert len(world.exchange.open()) == 2, "what the healthy active node quotes since then is its own"
    assert world.nodes["n1"].leader.status().active


def test_without_answers_it_gives_up_after_some_tries_and_says_so() -> None:
    world = World()
    world.start()
    world.kill("n1")
    world.exchange.answers = "lose"
    by_hand(world, "n3")
    world.run(60 * S)
    assert sent(world.nodes["n3"]) == 2 * BY_HAND_MOST
    names = [name for name, _ in world.nodes["n3"].notes.alerts]
    assert names.count("MandateIncomplete") == 1


def ended(node: Node) -> tuple[list[dict[str, object]], list[str]]:
    """What was told of commands by hand that ended, and the alerts of it."""
    done = [fields for name, fields in node.notes.events if name == "mandate_done"]
    return done, [text for name, text in node.notes.alerts if name == "MandateIncomplete"]


@pytest.mark.parametrize(
    ("leader", "why"),
    [("n2", "another node leads in epoch 2"), ("n3", "this node has taken authority in epoch 2")],
)
def test_a_newer_lead_ends_it_and_it_says_what_is_left(leader: str, why: str) -> None:
    world = World()
    world.start()
    world.kill("n1")
    world.exchange.answers = "lose"
    by_hand(world, "n3")
    world.run(1 * S)
    world.elect(leader)
    world.run(10 * S)
    done, (alert,) = ended(world.nodes["n3"])
    assert done == [{"settled": 0, "unsettled": 2}]
    assert why in alert
    assert all(str(order.placed_as) in alert for order in world.exchange.open())


def test_a_newer_lead_ends_it_without_an_alert_where_nothing_is_left() -> None:
    world = World()
    world.start()
    world.kill("n1")
    world.exchange.answers = "drop"
    node = world.nodes["n3"]
    by_hand(world, "n3")
    world.run(10 * MS)
    for cancel in list(node.leader._mandate._mine):
        node.port.answer(cancel, Accepted(VenueOrderId("1001"), "cancelled", Quantity(Decimal(0))))
    world.elect("n2")
    assert ended(node) == ([{"settled": 2, "unsettled": 0}], [])


def test_without_a_place_left_it_says_what_is_left_each_time() -> None:
    world = World()
    world.start()
    node = world.nodes["n2"]
    assert node.state.epoch is not None
    node.numbers(node.state.epoch.epoch, SHARE)
    for times in (1, 2):
        by_hand(world, "n2")
        world.run(1 * S)
        done, alerts = ended(node)
        assert done == times * [{"settled": 0, "unsettled": 2}]
        assert len(alerts) == times
        assert "no id is left" in alerts[0]
        assert all(str(order.placed_as) in alerts[0] for order in world.exchange.open())


def test_said_again_it_is_done_again() -> None:
    world = World()
    world.start()
    world.kill("n1")
    world.exchange.answers = "lose"
    by_hand(world, "n3")
    world.run(30 * S)
    world.exchange.answers = "answer"
    by_hand(world, "n3")
    world.run(100 * MS)
    assert world.exchange.open() == []


def test_two_nodes_send_no_id_twice_and_a_restarted_one_neither() -> None:
    world = World()
    world.start()
    world.kill("n1")
    world.exchange.answers = "lose"
    for name in ("n2", "n3"):
        by_hand(world, name)
    world.run(5 * S)
    reborn = world.nodes["n3"]
    reborn.leader = reborn.build()
    by_hand(world, "n3")
    world.run(5 * S)
    written = [name for name in world.exchange.written if parse_id(name).mandate]
    assert len(written) > 10
    assert len(set(written)) == len(written)
    assert {place // SHARE for place in places(world)} == {1, 2}


def knows(world: World, asked: str, *others: str) -> None:
    """As `asked` knows it, these take part beside it."""
    port = world.nodes[asked].cluster
    status = port.status

    def changed() -> Status:
        found = status()
        return evolve(found, peers=tuple([peer for peer in found.peers if peer.name in others]))

    port.status = changed  # type: ignore[method-assign]  # a test's own port


def reported(world: World, *names: str) -> None:
    """The leader has these in its report of the crew."""
    assert world.leader is not None
    nodes = tuple([c.NodeReport(NodeName(name), "B", "config", 1, 1) for name in names])
    said = c.NodesReported(Epoch(world.term), Nanos(world.leader.state.clock + 1), nodes)
    world.append(encode_command(said), lambda _outcome: None, "NodesReported")
    world.run(10 * MS)


def test_a_node_that_takes_another_s_place_does_not_take_its_ids() -> None:
    """n3, cut off, cancels under its mandate; n1 leads and never takes authority; n4 comes in n3's place, and an
    operator cancels from there: the first cancels of both had one id (review of 2026-11-30)."""
    world = World(names=("n1", "n2", "n3", "n4"))
    for name, others in (("n1", ("n2", "n3")), ("n2", ("n1", "n3")), ("n3", ("n1", "n2")), ("n4", ("n1", "n2"))):
        knows(world, name, *others)
    third = world.start("n3")
    world.run(1 * S)
    world.exchange.answers = "lose"
    world.majority = False
    world.depose()
    third.cut = True
    world.run(7 * S)
    world.nodes["n1"].port.failing = {ReadKind.OPEN_ORDERS}
    world.elect("n1")
    reported(world, "n1", "n2", "n4")
    for name in ("n4", "n2"):
        by_hand(world, name)
    world.run(500 * MS)
    fourth = world.nodes["n4"]
    assert fourth.state.epoch is not None
    assert (fourth.state.epoch.epoch, fourth.state.epoch.taken_index) == (2, None), "the mandate is epoch 1's"
    assert (sent(third) >= 4, sent(fourth), sent(world.nodes["n2"])) == (True, 2, 2)
    written = [name for name in world.exchange.written if parse_id(name).mandate]
    assert len(written) == sum(sent(node) for node in world.nodes.values())
    assert len(set(written)) == len(written)


def test_each_has_as_much_of_its_own_whoever_comes() -> None:
    """Those of the epoch's start share three quarters of all places; who comes later has some as well, as they last."""
    world = World()
    begun = world.start().state.epochs[Epoch(1)]
    epoch = evolve(begun, late=tuple([NodeName(f"n{at}") for at in range(4, 12)]))
    taken: set[int] = set()
    for name, many in (*[(f"n{at}", SHARE) for at in (1, 2, 3)], *[(f"n{at}", LATER) for at in range(4, 12)]):
        first, size = places_of(epoch, NodeName(name))
        taken |= set(range(first, first + size))
        assert size == many
    assert taken == set(range(MOST))
    assert places_of(epoch, NodeName("n99")) == (0, 0)
    one = evolve(epoch, members=(NodeName("n1"),))
    assert places_of(one, NodeName("n1")) == (0, MOST - 8 * LATER)


def test_a_node_that_the_log_has_not_named_yet_cancels_nothing_and_says_so() -> None:
    world = World(names=("n1", "n2", "n3", "n4"))
    knows(world, "n1", "n2", "n3")
    world.start()
    (refused,) = world.act("n4", WithoutQuorum(by("kill-n4")))
    assert isinstance(refused, Refused)
    assert "the log has not named this node in epoch 1 yet" in refused.text
    world.run(1 * S)
    assert places(world) == []
    reported(world, "n1", "n2", "n3", "n4")
    by_hand(world, "n4")
    world.run(1 * S)
    assert places(world) == [MOST - 8 * LATER, MOST - 8 * LATER + 1], "none was used up"


def test_its_time_begins_again_when_something_commits_under_a_newer_lead_of_its_own() -> None:
    """Simulated, small-187: back in the lead for a moment, it had a majority, though never authority in that term."""
    world = World()
    node = world.start()
    world.run(1 * S)
    world.majority = False
    world.depose()
    world.run(1500 * MS)
    world.elect("n1")
    older = AppliedEntry(LogIndex(world.index), Term(1), (), (), False, None, MonoNs(world.now))
    node.call("on_applied", older)
    world.majority = False  # before its epoch has begun
    world.depose()
    world.run(1900 * MS)
    assert sent(node) == 0
    world.run(200 * MS)
    assert sent(node) == 2


def test_its_time_begins_again_with_what_commits_in_the_step_that_ends_its_lead() -> None:
    """Simulated, elections-512: as it woke it committed and fell back in one step, of which the role is told first."""
    world = World()
    node = world.start()
    world.run(1 * S)
    world.majority = False
    node.frozen = True
    world.run(1 * S)
    world.depose()
    node.call("on_applied", AppliedEntry(LogIndex(world.index), Term(1), (), (), False, None, MonoNs(world.now)))
    node.thaw()
    world.run(1990 * MS)
    assert sent(node) == 0
    world.run(100 * MS)
    assert sent(node) == 2


def test_a_node_without_a_place_left_says_so_and_sends_nothing() -> None:
    world = World()
    world.start()
    epoch = world.nodes["n2"].state.epoch
    assert epoch is not None
    world.nodes["n2"].numbers(epoch.epoch, SHARE - 1)
    by_hand(world, "n2")
    world.run(30 * S)
    assert places(world) == [2 * SHARE - 1], "the last of its own"
    assert [name for name, _ in world.nodes["n2"].notes.alerts].count("MandateSpent") == 1


def cut_off_for_good(world: World) -> None:
    world.majority = False
    if world.leader is not None:
        world.depose()
    world.run(10 * S)


def test_an_epoch_of_its_own_in_which_it_took_nothing_leaves_the_older_mandate_in_force() -> None:
    """Back in the lead for a moment, its new epoch committed, and the majority gone again before the takeover's end."""
    world = World()
    node = world.start()
    world.run(1 * S)
    world.majority = False
    world.depose()
    world.run(600 * MS)
    node.port.failing = {ReadKind.OPEN_ORDERS}
    world.majority = True
    world.elect("n1")
    world.run(20 * MS)
    assert node.state.epoch is not None
    assert (node.state.epoch.epoch, node.state.epoch.taken_index) == (2, None)
    world.run(500 * MS)
    assert node.state.epoch.taken_index is None
    world.majority = False
    world.depose()
    world.run(1900 * MS)
    assert sent(node) == 0
    world.run(1 * S)
    assert (sent(node), len(world.exchange.open())) == (2, 0)


def lost_twice(world: World) -> Node:
    """n1 traded in term 1, led for a moment in term 2, and leads in term 3 without authority."""
    node = world.start()
    world.run(1 * S)
    for _ in range(2):
        world.majority = False
        world.depose()
        world.run(300 * MS)
        node.port.failing = {ReadKind.OPEN_ORDERS}
        world.elect("n1")
    return node


def applies_an_epoch_in_between(world: World, by_whom: str) -> None:
    """EpochStarted of term 2, appended then, commits with the first entry of term 3."""
    world.index += 1
    start = c.EpochStarted(Epoch(2), Nanos(world.nodes["n1"].state.clock + 1), NodeName(by_whom), "election", "0")
    entry = AppliedEntry(LogIndex(world.index), Term(2), (encode_command(start),), (), False, None, MonoNs(world.now))
    world.log.append(entry)
    for each in world.nodes.values():
        each.apply(evolve(entry, own=each.name == "n1", proposed=MonoNs(world.now)))


@pytest.mark.parametrize(("by_whom", "cancelled"), [("n1", 2), ("n2", 0)])
def test_an_epoch_in_between_ends_the_mandate_only_where_it_was_anothers(by_whom: str, cancelled: int) -> None:
    world = World()
    node = lost_twice(world)
    applies_an_epoch_in_between(world, by_whom)
    world.run(20 * MS)
    assert node.state.epoch is not None
    assert (node.state.epoch.epoch, node.state.epoch.taken_index) == (3, None)
    cut_off_for_good(world)
    assert (sent(node), len(world.exchange.open())) == (cancelled, 2 - cancelled)


@pytest.mark.parametrize(("by_whom", "cancelled"), [(("n1",), 2), (("n2",), 0), (("n2", "n1"), 0)])
def test_a_snapshot_ends_the_mandate_only_where_it_knows_of_anothers_epoch(by_whom: tuple[str], cancelled: int) -> None:
    world = World()
    node = world.start()
    world.run(1 * S)
    world.majority = False
    world.depose()
    for term, name in enumerate(by_whom, 2):
        start = c.EpochStarted(Epoch(term), Nanos(node.state.clock + 1), NodeName(name), "election", "0")
        world.index += 1
        node.machine.apply(LogIndex(world.index), Term(term), (encode_command(start),))  # as the snapshot has it
    node.leader.on_installed()
    cut_off_for_good(world)
    assert (sent(node), len(world.exchange.open())) == (cancelled, 2 - cancelled)


def test_a_release_that_nobody_follows_up_leaves_the_mandate_in_force() -> None:
    world = World()
    node = world.start()
    world.run(1 * S)
    node.cluster.transfers_work = False
    world.act("n1", Promote(by("p"), NodeName("n2")))
    world.run(50 * MS)
    assert node.state.epoch is not None
    assert node.state.epoch.released_index is not None
    cut_off_for_good(world)
    assert (sent(node), len(world.exchange.open())) == (2, 0)


def test_another_nodes_epoch_ends_the_mandate_of_a_released_one() -> None:
    world = World()
    node = world.start()
    world.run(1 * S)
    world.act("n1", Promote(by("p"), NodeName("n2")))
    world.run(10 * S)
    assert world.nodes["n2"].leader.status().active
    assert sent(node) == 0


def test_what_a_kill_wants_gone_is_named_whatever_its_strategys_policy_says() -> None:
    leave = evolve(CONFIGURED, strategies=(c.StrategyPolicy(QUOTER, Gap.LEAVE),))
    world = World(settings=evolve(SETTINGS, configuration=leave))
    node = world.start()
    world.run(1 * S)
    node.port.connected = False
    world.act("n1", Order(c.Kill(epoch=Epoch(0), at=Nanos(0), cause="x", by=by("k"))))
    world.run(20 * MS)
    node.port.connected = True
    cut_off_for_good(world)
    assert len(world.exchange.open()) == 0
    assert sent(node) == 2


@pytest.mark.parametrize("back_for", [2 * MS, 100 * MS])
def test_a_cancel_that_waits_at_the_socket_does_not_leave_once_this_node_leads_again(back_for: int) -> None:
    """After 2 ms it has a majority and no authority yet, after 100 ms both: its strategies want the quotes."""
    world = World()
    node = world.start()
    world.run(1 * S)
    world.majority = False
    world.depose()
    node.port.hold = held = []
    while not sent(node):
        world.run(10 * MS)
    world.elect("n1")
    world.run(back_for)
    assert node.leader.status().active == (back_for > 2 * MS)
    waiting, node.port.hold = held[:2], None
    for write in waiting:
        write()
    world.run(1 * S)
    assert places(world) == []
    assert len(world.exchange.open()) == 2


def asleep_without_a_majority(world: World, node: Node) -> None:
    """Stopped in the middle of trading, a proposal on its way; another node takes over meanwhile."""
    node.cluster.propose = lambda _command, _outcome: None  # type: ignore[method-assign] # on its way, for ever
    node.leader._desk.propose(c.ClockTold(node.leader._desk.epoch, node.leader._desk.at))
    world.run(10 * MS)
    node.frozen = True
    world.elect("n2")
    world.run(3 * S)
    assert world.nodes["n2"].leader.status().active


def test_a_node_that_slept_reads_what_came_before_its_mandate_acts() -> None:
    world = World()
    node = world.start()
    asleep_without_a_majority(world, node)
    node.frozen = False
    node.leader.wake()  # before it reads that n2 leads
    node.thaw()
    node.leader.wake()
    world.run(5 * S)
    assert sent(node) == 0
    assert len(world.exchange.open()) == 2


def test_a_node_that_slept_and_hears_nobody_takes_its_quotes_from_the_market_two_seconds_later() -> None:
    world = World()
    node = world.start()
    asleep_without_a_majority(world, node)
    node.frozen = False
    node.queue.clear()
    world.depose()
    world.kill("n2")
    world.run(1800 * MS)  # before it slept, and of its sleep, 160 ms count
    assert sent(node) == 0
    world.run(200 * MS)
    assert sent(node) == 2


def test_a_node_whose_passes_are_slow_takes_them_too() -> None:
    world = World()
    node = world.start()
    world.majority = False
    world.depose()
    node.frozen = True
    passes = 0
    while sent(node) == 0:
        passes += 1
        assert passes < 20
        world.run(300 * MS)  # each of them half of it asleep
        node.leader.wake()
    assert 2000 // 150 <= passes <= 2000 // 150 + 1
