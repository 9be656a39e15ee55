"""Questions to a venue: how many requests are before it at once, and how long an answer is waited for.

Where it matters how long the adapter takes, it is the real one's decisions, carried by hand on virtual time.
"""

from __future__ import annotations

import json
from types import SimpleNamespace

from meltica.core.values import Account, ClientOrderId, Epoch, Nanos, Symbol, Venue
from meltica.leader.reads import IN_FLIGHT, Question, Reads
from meltica.leader.settings import LeaderSettings
from meltica.venues.base import ReadDone, ReadFailed, ReadKind
from meltica.venues.binance_spot.conversation import Conversation
from meltica.venues.binance_spot.settings import SECOND, Secret, Settings
from meltica.venues.clock import Sample
from meltica.venues.rates import RateLimit

PAPER, BTC = Venue("paper"), Symbol("BTCUSDT")
TIMEOUT = LeaderSettings.__attrs_attrs__.read_timeout.default


class Desk:
    """As much of one as reads need; the venue keeps what it was asked."""

    def __init__(self):
        self.now = Nanos(0)
        self.epoch = Epoch(1)
        self.settings = SimpleNamespace(read_timeout=TIMEOUT)
        self.written = []
        self.working = set()  # the queries that the adapter works on
        self.venues = {PAPER: SimpleNamespace(read=self.written.append, reading=lambda query: query in self.working)}

    def mono(self):
        return self.now


class Adapter:
    """The real one's decisions; each request takes a second, or what the rate limit makes it wait."""

    def __init__(self, desk, trades=0):
        self.desk, self.trades, self.results, self.due, self.asked = desk, trades, [], [], []
        settings = Settings(
            venue=PAPER, account=Account("a"), symbols=(BTC,), rest_url="", ws_api_url="", stream_url="", api_key="",
            secret=Secret("s"), user_agent="",
        )  # fmt: skip
        listener = SimpleNamespace(on_read=lambda _venue, result: self.results.append(result))
        carrier = SimpleNamespace(deliver_soon=None, fetch_book=None)
        self.talk = Conversation(settings, listener, desk.mono, desk.mono, carrier)
        desk.venues = {PAPER: self}
        self.reading = self.talk.reading

    def read(self, read):
        self.due.append((self.desk.now, read, self.talk.begin_read(read), False))

    def run(self, seconds, reads, ask=lambda: None):
        """Second by second; `ask` is what the leader does besides."""
        for _ in range(seconds):
            self.desk.now = now = Nanos(self.desk.now + SECOND)
            self.talk.venue_clock.add(Sample(now, Nanos(now + 1), now, Nanos(1000)))
            due, self.due = [each for each in self.due if each[0] <= now], [each for each in self.due if each[0] > now]
            for _, read, reading, written in due:
                self.step(read, reading, written)
            while self.results:
                reads.answered(self.results.pop(0))
            yield from reads.overdue(now)
            ask()

    def step(self, read, reading, written):
        if written:
            first = json.loads(written)
            page = [a_trade(number) for number in range(first, min(first + 1000, self.trades))]
            reading.took(200, {}, json.dumps(page).encode())
        if reading.over:
            self.talk.end_read(read, reading)
        elif (wait := reading.wait()) > 0:
            self.due.append((self.desk.now + wait, read, reading, False))
        else:
            text, now = reading.text(), self.desk.now
            self.asked.append((reading.path, now // SECOND))
            first = next((each[7:] for each in text.split("&") if each.startswith("fromId=")), "0")
            self.due.append((now + SECOND, read, reading, first))


def a_trade(number):
    return {
        "symbol": BTC, "id": number, "orderId": 1, "price": "1", "qty": "1", "commission": "0",
        "commissionAsset": "BNB", "time": 1499865549590, "isBuyer": True, "isMaker": False,
    }  # fmt: skip


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


def test_a_question_that_the_adapter_works_on_no_more_is_given_up():
    desk = Desk()
    reads = Reads(desk)
    reads.ask(about(0, 1))
    reads.ask(about(1, 5))
    desk.working = {each.query for each in desk.written[1:]}
    assert reads.next_due() == TIMEOUT
    assert reads.overdue(Nanos(TIMEOUT - 1)) == []
    assert [question for question, _ in reads.overdue(TIMEOUT)] == [about(0, 1)]
    assert reads.next_due() == 2 * TIMEOUT, "to look again, and not before"
    assert reads.overdue(Nanos(2 * TIMEOUT)) == []
    desk.working.clear()
    assert [question for question, _ in reads.overdue(Nanos(3 * TIMEOUT))] == [about(1, 5)]
    assert reads.next_due() is None


def test_trades_that_take_long_to_page_are_read_all_the_same():
    """A first start on an account with 40,000 trades of its own: each page in time, all of them in 41 s."""
    desk = Desk()
    reads, question = Reads(desk), Question(PAPER, ReadKind.TRADES, BTC)
    adapter, found = Adapter(desk, trades=40_000), []

    def heard(result):
        found.append(len(result.trades))
        assert answered(result) == question, "it was dropped: it had been given up"

    answered, reads.answered = reads.answered, heard

    def again():
        if not reads.pending(question) and not found:
            reads.ask(question)

    again()
    given_up = list(adapter.run(60, reads, again))
    assert (given_up, found) == ([], [40_000])
    assert adapter.asked == [("myTrades", 1 + page) for page in range(41)]


def test_what_waits_for_the_rate_limit_is_asked_once_however_often_the_leader_asks():
    """The limit is used up early in the minute; by its end a period, a gap or another takeover has asked again."""
    desk = Desk()
    reads, adapter = Reads(desk), Adapter(desk)
    limit = RateLimit("REQUEST_WEIGHT", "MINUTE", 1, 6000, 5990)
    adapter.talk.budget.learn((limit,), desk.now)
    survey = [Question(PAPER, ReadKind.OPEN_ORDERS), Question(PAPER, ReadKind.TRADES, BTC)]

    def ask():
        desk.epoch = Epoch(1 + desk.now // (20 * SECOND))
        if desk.now % (4 * SECOND) == 0 and desk.now < 59 * SECOND:
            for question in survey:
                reads.ask(question)

    given_up = list(adapter.run(70, reads, ask))
    assert given_up == []
    assert adapter.asked == [("openOrders", 60), ("myTrades", 60)]
    assert not any(map(reads.pending, survey)), "that was begun after it was asked for last: it answers them all"


def test_what_was_written_already_is_asked_again_once_it_is_answered():
    desk = Desk()
    reads, question = Reads(desk), Question(PAPER, ReadKind.OPEN_ORDERS)
    reads.ask(question)
    for desk.now in (Nanos(5), Nanos(7)):
        reads.ask(question)
    assert [each.query for each in desk.written] == [1]
    assert reads.answered(ReadDone(desk.written[0], Nanos(6), Nanos(9))) == question
    assert [each.query for each in desk.written] == [1, 2], "it was begun before it was asked for last"
    reads.ask(about(0, 1))
    assert len(desk.written) == 3, "others wait for nothing"


def test_one_that_failed_is_asked_at_once_where_it_was_asked_for_again_meanwhile():
    desk = Desk()
    reads, question = Reads(desk), Question(PAPER, ReadKind.OPEN_ORDERS)
    reads.ask(question)
    desk.now = Nanos(5)
    reads.ask(question)
    assert reads.answered(ReadFailed(desk.written[0], "broken")) == question
    assert reads.answered(ReadFailed(desk.written[1], "broken")) == question
    assert len(desk.written) == 2


def test_what_waits_for_the_same_question_is_forgotten_with_the_lead():
    desk = Desk()
    reads, question = Reads(desk), Question(PAPER, ReadKind.OPEN_ORDERS)
    reads.ask(question)
    desk.now = Nanos(5)
    reads.ask(question)
    desk.epoch = Epoch(2)
    reads.answered(ReadDone(desk.written[0], Nanos(1), Nanos(9)))
    assert len(desk.written) == 1
    assert not reads.pending(question)
