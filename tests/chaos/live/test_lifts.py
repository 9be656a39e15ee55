"""A pause is an operator's where the halt behind the third lost lead was lifted in it, by the log's own indexes."""

from __future__ import annotations

import pytest
from attrs import evolve

from chaos.checkers.history import History, Request
from chaos.live.allowed import kind_of
from chaos.live.lifts import with_lifts
from chaos.live.pauses import Gap, gaps, pauses
from chaos.live.plan import Aim, Fault
from chaos.live.strike import Struck
from chaos.live.workload import Lifted
from meltica.core.ids import make_id

MS = 1_000_000
SECOND = 1000 * MS
CLUSTER = "0a0b0c"
FAULT = Fault(0, "cut", "leader", 0, 2 * SECOND, 0, "peers", "both", ())
CUT = Struck(FAULT, Aim(("n1",)), 10 * SECOND, 12 * SECOND, 10 * SECOND, "n1", 1)
STORM = Lifted("takeover_storm", "r", 374)


def order(at: int, index: int, method: str = "order.place") -> Request:
    return Request(index, "n1", method, make_id(CLUSTER, 1, index, 0), at, at, "accepted", None)


BEFORE, BEHIND = order(10 * SECOND, 353), order(12 * SECOND, 375)
TRADED = (
    *(order(at * SECOND, 340 + at) for at in range(7, 10)),
    BEFORE,
    BEHIND,
    *(order(at * SECOND, 380 + at) for at in range(13, 20)),
)


def told(*lifted: Lifted, requests: tuple[Request, ...] = TRADED) -> tuple[Gap, ...]:
    found = gaps([CUT], sorted(one.received_ns for one in requests if not one.is_cancel), 20 * SECOND)
    return with_lifts(found, History("a", CLUSTER, requests, (), ()), lifted)


@pytest.mark.parametrize(
    ("lifted", "stood"),
    [
        ((), False),
        ((STORM,), True),
        ((evolve(STORM, index=375),), True),  # the entry that lifts it may be what orders
        ((evolve(STORM, index=353),), False),  # an order of that index was let through before the pause
        ((evolve(STORM, index=376),), False),  # nobody halted until behind it
        ((evolve(STORM, index=12), STORM), True),
        ((evolve(STORM, index=0),), False),  # it is not known where it was lifted
    ],
)
def test_a_halt_stood_in_a_pause_if_it_was_lifted_between_the_orders_around_it(
    lifted: tuple[Lifted, ...], *, stood: bool
) -> None:
    (gap,) = told(*lifted)
    (pause,) = pauses([gap])
    assert (gap.span.ms, gap.lifted, pause.lifted, pause.document()["lifted"]) == (2000, stood, stood, stood)


def test_a_cancel_in_the_pause_says_nothing_of_when_it_ended() -> None:
    (gap,) = told(STORM, requests=(*TRADED, order(11 * SECOND, 380, "order.cancel")))
    assert gap.lifted


def test_where_no_ledger_tells_of_orders_no_halt_is_known() -> None:
    (gap,) = with_lifts(
        gaps([CUT], [10 * SECOND, 12 * SECOND], 20 * SECOND), History("a", CLUSTER, (), (), ()), [STORM]
    )
    assert not gap.lifted


def test_such_a_pause_is_in_no_row_of_a_budget() -> None:
    rows = [kind_of({**pauses(told(*lifted))[0].document(), "whom": "leader"}) for lifted in ((), (STORM,))]
    assert rows == [("freeze", "cut off"), ("halt", "lifted")]
