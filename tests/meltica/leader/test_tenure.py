"""Who should not lead: a wrong clock never enters the log, and a leader that is held up does not keep the lead."""

from __future__ import annotations

import pytest
from attrs import evolve

from meltica.core import commands as c
from meltica.core.apply import LEAP
from meltica.core.codec import decode_command
from meltica.core.values import Epoch, Nanos, NodeName
from meltica.leader.ports import ActionResult, Done, Order, Promote
from meltica.leader.status import Phase
from meltica.venues.base import ReadKind
from tests.meltica.leader.world import CONFIGURED, MS, POLICY, SETTINGS, VENUE, Idle, Node, S, World, by, submit

DAY = 24 * 3600 * S


def alerts(node: Node, name: str) -> list[str]:
    return [text for alert, text in node.notes.alerts if alert == name]


def epochs(world: World) -> int:
    return world.proposed.count("EpochStarted")


def live_on(world: World, duration: int) -> list[str]:
    """Time passes; whoever steps down is followed by the next node.  Returns who led."""
    led, names = [], list(world.nodes)
    for _ in range(duration // (50 * MS)):
        world.run(50 * MS)
        if world.leader is None:
            after = names[(names.index(led[-1]) + 1) % len(names)] if led else names[0]
            led.append(after)
            world.elect(after)
    return led


# --- wrong clocks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [300 * DAY, -300 * DAY, 2 * S])
def test_a_winner_whose_clock_the_venue_contradicts_proposes_nothing_and_hands_the_lead_on(shift: int) -> None:
    world = World()
    world.start()
    wrong, right = world.nodes["n2"], world.nodes["n3"]
    wrong.wall_shift, wrong.cluster.ready = shift, NodeName("n3")
    begun = epochs(world)
    world.kill("n1")
    world.elect("n2")
    world.tick()
    world.run(100 * MS)
    assert world.leader is right
    assert epochs(world) == begun + 1, "the one of n3"
    assert right.state.epoch is not None
    assert right.state.epoch.node == "n3"
    assert abs(right.state.clock - world.wall()) < 1 * S
    assert "clock" in alerts(wrong, "LeaderUnfit")[0]
    world.run(1 * S)
    assert right.leader.status().active


def test_a_wrong_clock_without_a_ready_standby_steps_down_and_its_status_says_why() -> None:
    world = World()
    world.start()
    wrong = world.nodes["n2"]
    wrong.wall_shift = 300 * DAY
    world.kill("n1")
    world.elect("n2")
    world.run(2 * S)
    assert world.leader is wrong
    assert wrong.leader.status().phase is Phase.ELECTED
    assert "ahead" in wrong.leader.status().waiting
    world.run(2 * S)
    assert world.leader is None
    assert len(wrong.cluster.stops) == 1


def test_where_every_clock_is_wrong_alike_the_lead_does_not_go_round_for_ever() -> None:
    world = World()
    for node in world.nodes.values():
        node.wall_shift = 300 * DAY
    led = live_on(world, 120 * S)
    assert len(led) <= 3 * 5, "each steps down once in thirty seconds"
    assert epochs(world) == 0, "and all of them wait"
    assert all(alerts(node, "LeaderUnfit") for node in world.nodes.values())


def test_a_clock_that_is_set_right_lets_the_waiting_leader_go_on() -> None:
    world = World(names=("n1",))
    node = world.nodes["n1"]
    node.wall_shift = 300 * DAY
    world.elect("n1")
    world.tick()
    world.run(60 * S)
    assert node.cluster.stops == [], "alone, there is nobody to step down for"
    assert epochs(world) == 0
    node.wall_shift = 0
    world.run(1 * S)
    world.tick()
    world.run(1 * S)
    assert node.leader.status().active


def test_a_wall_clock_that_is_set_in_the_middle_of_an_epoch_does_not_move_the_logs_clock() -> None:
    world = World()
    node = world.start()
    node.wall_shift = 300 * DAY
    world.run(1 * S)
    world.act("n1", Order(c.Reduce(Epoch(0), Nanos(0), "drill", by())))
    world.run(1 * S)
    assert "drill" in node.state.risk.reduces
    assert abs(node.state.clock - world.wall()) < 3 * S


def test_a_first_leader_waits_until_it_knows_a_venues_clock() -> None:
    world = World()
    for node in world.nodes.values():
        node.port.clock_known = False
    node = world.start()
    world.run(1 * S)
    assert epochs(world) == 0
    node.port.clock_known = True
    world.tick()
    world.run(200 * MS)
    assert node.leader.status().active


def test_a_successor_that_hears_no_venue_goes_on_near_the_logs_clock_but_may_not_leap() -> None:
    world = World()
    world.start()
    near, far = world.nodes["n2"], world.nodes["n3"]
    near.port.clock_known = far.port.clock_known = False
    world.kill("n1")
    far.wall_shift = LEAP + 60 * S
    world.elect("n3")
    world.run(200 * MS)
    assert epochs(world) == 1
    world.elect("n2")
    world.run(200 * MS)
    assert epochs(world) == 2
    assert near.state.epoch is not None
    assert near.state.epoch.node == "n2"


def test_a_leader_with_nothing_to_say_tells_the_time() -> None:
    world = World(make=Idle)
    node = world.start()
    node.port.failing = set(ReadKind)
    world.run(20 * 60 * S)
    assert world.wall() - node.state.clock < LEAP // 2
    assert world.leader is node
    node.port.failing = set()
    world.act("n1", Order(c.Reduce(Epoch(0), Nanos(0), "drill", by())))
    world.run(100 * MS)
    assert "drill" in node.state.risk.reduces


def test_a_lone_node_that_stood_still_for_longer_than_a_leap_begins_a_new_epoch() -> None:
    world = World(make=Idle, names=("n1",))
    node = world.start()
    world.now = Nanos(world.now + 2 * LEAP)
    led = live_on(world, 2 * S)
    assert led == ["n1"]
    assert node.leader.status().active
    assert world.wall() - node.state.clock < 5 * S
    world.tick()
    results = world.act("n1", Order(submit()))
    world.run(10 * MS)
    assert isinstance(results[0], Done)


# --- held up ----------------------------------------------------------------------------------------


def too_small(node: Node) -> None:
    """This node measures a venue for which the window is too small."""
    node.port.capabilities = evolve(node.port.capabilities, deadline_floor=Nanos(POLICY.window))


def test_a_leader_that_is_held_up_hands_over_to_a_standby_that_is_fit() -> None:
    world = World()
    world.start()
    held = world.nodes["n2"]
    too_small(held)
    held.cluster.ready = NodeName("n3")
    world.kill("n1")
    world.elect("n2")
    world.run(2 * S)
    assert world.leader is held
    assert not held.leader.status().promotable
    world.run(2 * S)
    assert world.leader is world.nodes["n3"]
    assert "window" in alerts(held, "LeaderUnfit")[0]
    assert world.nodes["n3"].leader.status().active


def test_where_all_are_held_up_alike_each_steps_down_once_in_a_while() -> None:
    world = World()
    for node in world.nodes.values():
        too_small(node)
    assert 3 <= len(live_on(world, 60 * S)) <= 9


def test_an_epoch_that_apply_refuses_is_told_and_not_kept_for_ever() -> None:
    world = World()
    world.start()
    world.wall_shift = 400 * DAY  # the venue's clock agrees: this is no node's fault
    world.kill("n1")
    world.elect("n2")
    world.run(4 * S)
    node = world.nodes["n2"]
    assert "too far ahead" in alerts(node, "EpochRejected")[0]
    assert len(node.cluster.stops) == 1


@pytest.mark.parametrize(("window", "fit"), [(42, False), (43, True)])
def test_a_window_has_room_for_the_clocks_uncertainty_the_commit_and_the_transit(window: int, *, fit: bool) -> None:
    policy = evolve(POLICY, window=Nanos(window * MS))
    world = World(settings=evolve(SETTINGS, configuration=evolve(CONFIGURED, venues=(policy,))))
    node = world.start()
    assert node.leader.status().active is fit
    if not fit:
        assert "42000000 ns" in node.leader.status().waiting


def test_a_window_whose_clock_is_not_known_is_not_taken_for_long_enough() -> None:
    world = World()
    world.start()
    node = world.nodes["n2"]
    node.port.clock_known = False
    world.kill("n1")
    world.elect("n2")
    world.run(500 * MS)
    assert VENUE in node.leader.status().waiting
    assert "clock is not known" in node.leader.status().waiting
    assert not node.leader.status().active


def test_authority_that_is_slow_to_commit_is_not_asked_for_twice() -> None:
    """Both would apply, the second be refused, and a leader that trades be called unfit for it."""
    world = World()
    world.tick()
    world.elect("n1")
    node = world.nodes["n1"]
    real, held = world._commit, list[int]()

    def commit() -> None:
        if not held and node.leader._takeover.phase is Phase.TAKING:
            held.append(1)
            world.after(Nanos(700 * MS), real)  # a disk that hesitates, longer than a proposal is waited for
        else:
            real()

    world._commit = commit  # type: ignore[method-assign] # the disk
    node.cluster.ready, world.nodes["n2"].cluster.ready = NodeName("n2"), NodeName("n1")
    for _ in range(100):
        world.run(100 * MS)
        world.tick()
    kinds = [decode_command(raw)[0] for entry in world.log for raw in entry.commands]
    assert kinds.count("authority_taken") == 1
    assert node.leader.status().active
    assert node.notes.alerts == []


def test_a_hand_over_in_the_moment_of_taking_releases_what_was_taken() -> None:
    """Else a planned hand-over would count as a lost leader, and three of them as a storm."""
    world = World()
    world.tick()
    world.elect("n1")
    node = world.nodes["n1"]
    while node.leader._takeover.phase is not Phase.TAKING:
        world.run(100_000)
    world.act("n1", Promote(by("p"), NodeName("n2")))
    world.run(2 * S)
    state = world.nodes["n2"].state
    first = state.epochs[Epoch(1)]
    assert first.taken_index is not None
    assert first.released_index is not None
    assert state.losses.times == ()
    assert world.nodes["n2"].leader.status().active


def test_strategies_are_told_how_long_nobody_traded_and_not_how_long_the_takeover_took() -> None:
    world = World()
    world.start()
    world.run(1 * S)
    world.kill("n1")
    world.run(3600 * S)
    world.tick()
    world.elect("n2")
    world.run(2 * S)
    gap = world.made[-1].contexts[-1].gap
    assert 3600 * S <= gap <= 3602 * S


# --- a disk that is nearly full -----------------------------------------------------------------------

FULL = "the disk is nearly full: 3 MiB are free at /data, and 256 are to be kept: free space there"


def asked(world: World, command: c.Command) -> ActionResult:
    """What n1's operator hears of a wish."""
    results = world.act("n1", Order(command))
    world.run(100 * MS)
    (result,) = results
    return result


def test_a_leader_whose_disk_is_nearly_full_orders_nothing_new_and_hands_the_lead_on() -> None:
    world = World()
    node = world.start()
    node.cluster.ready = NodeName("n2")
    node.call("on_disk", FULL)
    assert FULL in str(asked(world, submit()))
    status = node.leader.status()
    assert (status.promotable, status.why_not) == (False, FULL)
    world.run(SETTINGS.unfit_after + 1 * S)
    assert world.leader is world.nodes["n2"]
    assert alerts(node, "LeaderUnfit") == [FULL]
    world.tick()
    world.run(1 * S)
    assert world.nodes["n2"].leader.status().active


def test_without_a_fit_standby_it_leads_on_and_cancels_and_orders_again_once_there_is_room() -> None:
    world = World(Idle)
    node = world.start()
    assert isinstance(asked(world, submit()), Done)
    assert len(world.exchange.open()) == 1
    node.call("on_disk", FULL)
    world.run(10 * S)
    assert world.leader is node
    world.tick()
    assert FULL in str(asked(world, submit(request="r2")))
    cancelled = asked(world, c.CancelAll(Epoch(0), Nanos(0), "by hand", by=by("r3")))
    assert isinstance(cancelled, Done)
    world.run(1 * S)
    assert world.exchange.open() == []
    node.call("on_disk", "")
    assert isinstance(asked(world, submit(request="r4")), Done)
    world.run(100 * MS)
    assert len(world.exchange.open()) == 1


def test_a_winner_whose_disk_is_nearly_full_takes_no_authority() -> None:
    world = World()
    node = world.nodes["n1"]
    node.call("on_disk", FULL)
    world.elect("n1")
    world.tick()
    world.run(2 * S)
    assert not node.leader.status().active
    node.call("on_disk", "")
    world.run(1 * S)
    assert node.leader.status().active
