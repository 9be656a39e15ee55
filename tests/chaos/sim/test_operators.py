"""A promote in the simulation: asked again out of the same epoch, done at most once, and held to what was answered."""

from __future__ import annotations

from chaos.sim.network import MS
from chaos.sim.operators import HandOver, not_led
from chaos.sim.plan import SECOND, Fault, Plan
from chaos.sim.product import Product
from chaos.sim.run import Run
from meltica.core.commands import By
from meltica.core.values import Epoch, NodeName, RequestId
from meltica.leader.ports import Done, Refused

BY = By(RequestId("promote-1"), "sim", "promote")


def promoted(*others: Fault) -> Run:
    run = Run(Plan(3, (Fault(3 * SECOND, 3 * SECOND, "promote", 1), *others)), Product(3))
    outcome = run.play()
    assert not outcome.violations
    return run


def answers(run: Run) -> list[object]:
    return [event[3] for event in run.product.trace if event[1] == "promote"]


def test_a_promote_names_the_epoch_that_was_seen_and_is_done() -> None:
    run = promoted()
    (handover,) = run.operators.handovers
    assert isinstance(handover.answer, Done)
    assert handover.epoch > 0
    assert not_led(handover, run.product.leaders) == ""
    assert answers(run) == ["Done"]


def test_whoever_asked_and_heard_nothing_asks_again_and_nothing_is_done_twice() -> None:
    """The one that was asked is killed as it hands over."""
    run = promoted(Fault(3 * SECOND + MS // 10, 4 * SECOND, "kill_active", 0))
    (handover,) = run.operators.handovers
    assert handover.tries > 1
    assert isinstance(handover.answer, Refused)
    assert handover.answer.code == "stale_epoch"


def test_an_acknowledged_promote_that_led_nowhere_is_told() -> None:
    handover = HandOver(NodeName("n2"), Epoch(4), BY, answer=Done("n2 leads"))
    assert not_led(handover, {3: "n1", 4: "n1", 5: "n2"}) == ""
    assert not_led(handover, {4: "n2"}) == "", "it was asked before it had taken authority (seed venue-75)"
    assert "did not lead from then on" in not_led(handover, {3: "n2", 4: "n1", 5: "n3"})
    assert not_led(HandOver(NodeName("n2"), Epoch(4), BY, answer=Refused("stale_epoch", "")), {}) == ""
    assert not_led(HandOver(NodeName("n2"), Epoch(4), BY), {}) == ""
