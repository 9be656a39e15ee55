"""What operators do as part of a plan: halt and resume, hand over, cancel; and what was not done is said."""

from __future__ import annotations

import pytest
import trio

from chaos.live.hands import HandFault, Hands
from chaos.live.plan import Aim, Fault
from chaos.live.workload import Operators
from chaos.rig.watch import ActRefused

AIM = Aim(("n1",))


class Cluster:
    """Stands in for the watcher and the sight: one cluster that can be halted, and whose leader can be moved."""

    def __init__(self, refuses=0, promotable=("n3",)):
        self.apis = dict.fromkeys(("n1", "n2", "n3"), "")
        self.active, self.halts, self.index, self.asked = "n2", [], 4, []
        self.refuses, self.ready = refuses, promotable

    @property
    def words(self):
        nodes = [{"name": name, "promotable": name in self.ready} for name in self.apis]
        risk = {"halts": [{"cause": cause} for cause in self.halts], "index": self.index}
        return dict.fromkeys(self.apis, (0, {"risk": risk, "nodes": nodes}))

    async def leader(self):
        return self.active and (self.active, 3)

    async def act(self, node, action, body, reason):
        await trio.sleep(0.01)
        self.asked.append((node, action))
        if self.refuses:
            self.refuses -= 1
            raise ActRefused("not now", 503)
        self.index += 1
        if action == "halt":
            self.halts.append(body["cause"])
        elif action == "resume":
            assert body["risk_index"] == self.index - 1
            self.halts = [cause for cause in self.halts if cause not in body["causes"]]
        elif action == "promote":
            self.active = body["node"]
        return {"request_id": body["request_id"], "index": self.index}


def hands(cluster):
    return Hands(Operators(cluster), cluster)


def fault(kind):
    return Fault(7, kind, "any", 0, 1, 0, "", "both", ())


@pytest.mark.parametrize("refuses", [0, 3])
async def test_what_is_halted_by_hand_is_resumed_by_hand_when_it_heals(autojump_clock, refuses):
    cluster = Cluster(refuses)
    own = hands(cluster)
    async with own.struck(fault("halt"), AIM) as not_done:
        assert cluster.halts == ["drill_7"]
        cluster.halts.append("another")
        cluster.refuses = refuses
    assert (cluster.halts, own.causes, not_done) == (["another"], ["drill_7"], [])
    assert ("n2", "resume") in cluster.asked
    assert len(own.operators.told) == 2


async def test_a_halt_that_nobody_takes_is_said(autojump_clock):
    cluster = Cluster(refuses=10_000)
    async with hands(cluster).struck(fault("halt"), AIM) as not_done:
        assert not_done == ["nothing was halted"]


async def test_a_halt_that_can_not_be_lifted_ends_the_run(autojump_clock):
    cluster = Cluster()
    with pytest.raises(HandFault, match="drill_7"):
        async with hands(cluster).struck(fault("halt"), AIM):
            cluster.refuses = 10_000


async def test_one_that_is_cancelled_resumes_nothing(autojump_clock):
    cluster = Cluster()
    with trio.move_on_after(1):
        async with hands(cluster).struck(fault("halt"), AIM):
            await trio.sleep_forever()
    assert ("n2", "resume") not in cluster.asked


async def test_trading_is_handed_to_a_standby_that_can_take_it(autojump_clock):
    cluster = Cluster(refuses=2)
    async with hands(cluster).struck(fault("promote"), AIM) as not_done:
        assert (cluster.active, not_done) == ("n3", [])


async def test_a_hand_over_that_nobody_can_take_is_said(autojump_clock):
    cluster = Cluster(promotable=("n2",))  # which trades already
    async with hands(cluster).struck(fault("promote"), AIM) as not_done:
        assert (cluster.active, not_done) == ("n2", ["nothing was handed over"])


@pytest.mark.parametrize(("refuses", "said"), [(0, []), (10_000, ["nothing was cancelled"])])
async def test_orders_are_cancelled_again_and_again(autojump_clock, refuses, said):
    cluster = Cluster(refuses)
    own = hands(cluster)
    async with own.struck(fault("cancel"), AIM) as not_done:
        await trio.sleep(2)
    assert not_done == said
    assert cluster.asked.count(("n1", "cancel")) >= 4
    assert own.cancels == {7: [one.request for one in own.operators.told]}
