"""Questions to a venue: how many requests are before it at once, and how long an answer is waited for."""

from __future__ import annotations

from types import SimpleNamespace

from meltica.core.values import ClientOrderId, Epoch, Nanos, Symbol, Venue
from meltica.leader.reads import IN_FLIGHT, Question, Reads
from meltica.leader.settings import LeaderSettings
from meltica.venues.base import ReadDone, ReadKind

PAPER, BTC = Venue("paper"), Symbol("BTCUSDT")
TIMEOUT = LeaderSettings.__attrs_attrs__.read_timeout.default


class Desk:
    """As much of one as reads need; the venue keeps what it was asked."""

    def __init__(self):
        self.now = Nanos(0)
        self.epoch = Epoch(1)
        self.settings = SimpleNamespace(read_timeout=TIMEOUT)
        self.written = []
        self.venues = {PAPER: SimpleNamespace(read=self.written.append)}

    def mono(self):
        return self.now


def about(number, ids):
    return Question(PAPER, ReadKind.ORDER, BTC, order_ids=tuple(ClientOrderId(f"{number}-{one}") for one in range(ids)))


def test_orders_of_many_ids_are_as_many_requests_and_the_rest_wait_for_an_answer():
    desk = Desk()
    reads = Reads(desk)
    for number in range(8):
        reads.ask(about(number, 16))
    assert sum(len(each.order_ids) for each in desk.written) == IN_FLIGHT
    (first, *_) = desk.written
    reads.answered(ReadDone(first, Nanos(0), Nanos(1)))
    assert len(desk.written) == IN_FLIGHT // 16 + 1


def test_one_of_more_ids_than_there_is_room_is_asked_all_the_same():
    desk = Desk()
    Reads(desk).ask(about(0, IN_FLIGHT + 1))
    assert len(desk.written) == 1


def test_an_answer_is_waited_for_as_long_as_its_requests_may_take():
    desk = Desk()
    reads = Reads(desk)
    reads.ask(about(0, 1))
    reads.ask(about(1, 5))
    assert reads.next_due() == TIMEOUT + 1
    assert [question.order_ids for question, _ in reads.overdue(Nanos(TIMEOUT + 1))] == [about(0, 1).order_ids]
    assert reads.next_due() == 5 * TIMEOUT + 1
    assert reads.overdue(Nanos(5 * TIMEOUT)) == []
    assert [question.order_ids for question, _ in reads.overdue(Nanos(5 * TIMEOUT + 1))] == [about(1, 5).order_ids]
    assert reads.next_due() is None
