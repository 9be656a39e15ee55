"""The cancel mandate of a live run, judged by what its logs and its ledger say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve

from chaos.checkers.history import History, NodeOrder, VenueOrder
from chaos.checkers.verdict import Check
from chaos.live.mandated import mandated
from tests.chaos.checkers import honest as h

MS = 1_000_000
WAIT = 2000
LAST = 5000  # when n1 had applied what it sent last
CONFIGURED = h.record(4, 1, "configured", venues=[{"venue": "paper", "window": 300 * MS, "mandate_after": WAIT * MS}])

Line = dict[str, Any]


def led(at: int, term: int = 1) -> Line:
    return {"event": "role changed", "role": "leader", "term": term, "mono_ns": at * MS}


def fell(at: int) -> Line:
    return {"event": "role changed", "role": "follower", "term": 1, "mono_ns": at * MS}


def applied(at: int, term: int = 1) -> Line:
    return {"event": "intents_applied", "index": 10, "term": term, "mono_ns": at * MS, "intents": [h.PLACED]}


def cancels(order: str = h.PLACED, *, by_hand: bool = False) -> Line:
    return {"event": "mandate_cancel", "order": order, "by_hand": by_hand}


READY: Line = {"event": "ready"}
LOG = (READY, led(100), applied(LAST), fell(LAST + 300), cancels(), led(30_000, 4))


def judged(
    *log: Line, received: int = LAST + WAIT + 10, node: str = "n1", method: str = "order.cancel", **sent: Any
) -> Check:
    """Of a run in which one cancel under the mandate of epoch 1 reached the venue, of order 500."""
    request = evolve(h.request(9, node, method, h.IN_MANDATE, received * MS, **{**h.GONE, **sent}))
    order = VenueOrder("BTCUSDT", "500", h.PLACED, "CANCELED", h.ORDER["quantity"])
    ours = NodeOrder(h.PLACED, "BTCUSDT", "500", "cancelled", h.ORDER["quantity"], in_doubt=False)
    nodes = tuple(evolve(one, audit=(CONFIGURED,), orders=(ours,)) for one in h.honest().nodes)
    history = History(h.ACCOUNT, h.CLUSTER, (request,), (), (order,), nodes)
    logs: Mapping[str, tuple[Line, ...]] = {"n1": log or LOG, "n2": (READY, led(LAST + 700, 2)), "n3": (READY,)}
    found = mandated(history, logs)
    assert (found.name, found.looked_at) == ("mandate", 1)
    return found


def test_who_led_and_waited_may_cancel() -> None:
    assert judged().held


def test_a_cancel_before_the_wait_is_over_is_told() -> None:
    (told,) = judged(received=LAST + WAIT - 1).violations
    assert "1999 ms after its last commit" in told
    assert judged(received=LAST + WAIT).held


def test_a_cancel_that_was_held_on_its_way_is_judged_as_of_when_it_was_handed_over() -> None:
    """By a log in which the lead came back, and was committed in, before the venue heard of it; and by one without."""
    back = (*LOG[:-1], applied(LAST + WAIT + 500))
    assert judged(*back, received=LAST + WAIT + 600).held
    early = (READY, led(100), applied(LAST), cancels(), fell(LAST + 300))
    (told,) = judged(*early, received=LAST + WAIT + 9000).violations
    assert "300 ms after its last commit" in told


def test_of_several_cancels_of_one_order_the_last_that_can_be_it_counts() -> None:
    again = (*LOG[:-1], fell(LAST + WAIT + 20), cancels(), fell(LAST + 3 * WAIT))
    assert judged(*again, received=LAST + 2 * WAIT + 50).held
    soon = (*LOG[:-1], applied(LAST + WAIT + 500), cancels(), fell(LAST + WAIT + 900))
    (told,) = judged(*soon, received=LAST + WAIT + 800).violations
    assert "300 ms after its last commit" in told
    later = (*LOG[:-1], applied(LAST + WAIT + 500), fell(LAST + WAIT + 900), cancels(), fell(LAST + 3 * WAIT))
    assert judged(*later, received=LAST + WAIT + 800).held
    other = (READY, led(100), applied(LAST), cancels(h.SECOND), fell(LAST + 300))  # of another order: it says nothing
    assert judged(*other, received=LAST + WAIT).held


@pytest.mark.parametrize(
    "log",
    [
        (READY, fell(LAST), cancels()),
        (READY, led(100, 2), applied(LAST, 2), cancels()),  # of another epoch
        (READY, led(100), applied(LAST), READY, fell(LAST + 400), cancels()),  # in its life before
    ],
)
def test_a_cancel_by_who_did_not_lead_that_epoch_in_this_life_is_told(log: tuple[Line, ...]) -> None:
    (told,) = judged(*log, received=LAST + 2 * WAIT).violations
    assert "did not lead in term 1 in this life" in told


def test_one_that_was_handed_over_before_its_process_ended_is_of_that_life() -> None:
    assert judged(READY, led(100), applied(LAST), cancels(), READY, fell(LAST + 2 * WAIT)).held


def test_another_node_s_lead_is_not_this_one_s() -> None:
    assert "n2 wrote" in judged(node="n2").violations[0]


def test_what_an_operator_ordered_needs_no_lead() -> None:
    assert judged(READY, fell(LAST), cancels(by_hand=True)).held


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"method": "order.place"}, "under the mandate is order.place"),
        ({"names": ("500", "501")}, "names ('500', '501'), not one order of ours"),
        ({"names": ("777",)}, "names ('777',), not one order of ours"),
    ],
)
def test_anything_but_a_cancel_of_one_order_of_ours_is_told(sent: dict[str, Any], words: str) -> None:
    (told,) = judged(**sent).violations
    assert words in told
