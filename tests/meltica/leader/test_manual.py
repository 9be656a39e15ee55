"""Manual mode: what a leader that waits for a promote does meanwhile, and what it asks of the promote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import evolve

from meltica.core import commands as c
from meltica.core.values import Epoch, Mode, Nanos
from meltica.leader.ports import Done, Order, Promote, Refused
from meltica.leader.status import Phase
from tests.meltica.leader.world import CONFIGURED, MS, QUOTER, SETTINGS, S, World, by


def waiting(world: World) -> None:
    """Two quotes rest, the mode is manual, n1 dies, and n2 waits for its promote."""
    world.start()
    world.act("n1", Order(c.ModeSet(Epoch(0), Nanos(0), Mode.MANUAL, by("m"))))
    world.run(400 * MS)
    assert len(world.exchange.open()) == 2
    world.kill("n1")
    world.elect("n2")
    world.run(50 * MS)
    assert world.nodes["n2"].leader.status().phase is Phase.WAITING_PROMOTE


def test_quotes_do_not_lie_unattended_while_a_promote_is_awaited() -> None:
    world = World()
    waiting(world)
    assert len(world.exchange.open()) == 2, "their policy gives them two seconds"
    world.run(1800 * MS)
    assert len(world.exchange.open()) == 2
    world.run(250 * MS)
    assert world.exchange.open() == []
    assert all(order.closed for order in world.nodes["n2"].state.orders.values())
    assert not [
        each for each in world.exchange.admitted if each.effect.epoch == 2 and not hasattr(each.effect, "order")
    ]


def test_quotes_whose_policy_leaves_them_to_the_market_stay_while_a_promote_is_awaited() -> None:
    leave = (c.StrategyPolicy(QUOTER, c.Gap.LEAVE),)
    world = World(settings=evolve(SETTINGS, configuration=evolve(CONFIGURED, strategies=leave)))
    waiting(world)
    world.run(10 * S)
    assert len(world.exchange.open()) == 2


def test_a_promote_in_time_keeps_the_quotes() -> None:
    world = World()
    waiting(world)
    world.run(1 * S)
    world.act("n2", Promote(by("p"), None, Epoch(2)))
    world.run(5 * S)
    assert world.nodes["n2"].leader.status().active
    assert len(world.exchange.written) == 2, "the two that n1 placed"


def test_the_promote_that_lets_a_waiting_leader_trade_names_the_epoch() -> None:
    world = World()
    waiting(world)
    (unnamed,) = world.act("n2", Promote(by("p")))
    world.run(100 * MS)
    assert isinstance(unnamed, Refused)
    assert unnamed.code == "epoch_needed"
    assert "2" in unnamed.text
    assert world.nodes["n2"].leader.status().phase is Phase.WAITING_PROMOTE
    (named,) = world.act("n2", Promote(by("q"), None, Epoch(2)))
    assert isinstance(named, Done)


def test_manual_that_is_committed_just_before_authority_is_obeyed() -> None:
    """Review 5, finding 6: both stood in one entry, `manual` first and acknowledged, and the leader traded on."""
    world = World()
    world.start()
    world.kill("n1")
    world.elect("n2")
    node = world.nodes["n2"]
    world.run(5 * MS)
    world.run(node.leader._takeover.wait_over - world.now - MS // 2)
    answers = world.act("n2", Order(c.ModeSet(Epoch(0), Nanos(0), Mode.MANUAL, by("m"))))
    world.run(2 * MS)
    assert len(answers) == 1
    assert isinstance(answers[0], Done)
    world.run(50 * MS)
    assert world.proposed[-2:] == ["AuthorityTaken", "AuthorityTaken"], "in full it was refused"
    assert node.leader.status().phase is Phase.WAITING_PROMOTE
    assert node.state.epoch is not None
    assert node.state.epoch.cancels_only
    assert not [one for one in world.exchange.admitted if one.effect.epoch == 2]
    assert "AuthorityRejected" not in [name for name, _ in node.notes.alerts], "nothing is wrong"
    world.act("n2", Promote(by("p"), None, Epoch(2)))
    world.run(50 * MS)
    assert node.leader.status().active


def test_a_promote_that_named_no_epoch_is_none_once_the_mode_is_manual() -> None:
    world = World()
    world.start()
    world.kill("n1")
    world.elect("n2")
    world.run(5 * MS)
    (early,) = world.act("n2", Promote(by("p")))
    assert isinstance(early, Done)
    world.act("n2", Order(c.ModeSet(Epoch(0), Nanos(0), Mode.MANUAL, by("m"))))
    world.run(1 * S)
    assert world.nodes["n2"].leader.status().phase is Phase.WAITING_PROMOTE


def test_a_leader_that_waits_for_a_promote_goes_on_waiting_if_the_mode_is_manual_again_at_once() -> None:
    """What it has for cancels alone is not asked for a second time."""
    world = World()
    waiting(world)
    node = world.nodes["n2"]

    def mode(to: Mode, then: Callable[[Any], None]) -> None:
        node.leader.act(Order(c.ModeSet(Epoch(0), Nanos(0), to, by(to))), then)

    def automatic(_result: Any) -> None:
        mode(Mode.MANUAL, lambda _: None)
        node.leader.wake()  # the mode that it reads is automatic still; `manual` is before it in the log

    mode(Mode.AUTOMATIC, automatic)
    before = world.proposed.count("AuthorityTaken")
    world.run(1 * S)
    assert world.proposed.count("AuthorityTaken") == before + 1, "it had begun to take it in full"
    assert node.leader.status().phase is Phase.WAITING_PROMOTE
    assert node.leader.status().waiting == "n2 would take over in epoch 2: promote it"
    assert "AuthorityRejected" not in [name for name, _ in node.notes.alerts]
