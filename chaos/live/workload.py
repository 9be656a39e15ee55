"""Workload: what operators do to a live cluster all the time, through their own proxied links, and what they were told.

Only asking may live here; what for is each operator's agenda.  Each order and each cancel by hand is a marker: an
acknowledgement is kept, and must be in every log in the end; so is a refusal, which must be in none.  What was not
answered is asked once more, elsewhere, under the same request id.  Somebody is on duty, who lifts one thing: the halt
behind a third leader lost within ten minutes.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import Any, Final

import trio
from attrs import asdict, define, field, frozen

from chaos.live.agenda import Item, items
from chaos.live.sight import EVERY, Sight
from chaos.rig.beat import ORDER, Beat
from chaos.rig.watch import ActRefused, Watcher

BEAT_MS: Final = 450  # of each of three operators, each with a node of its own: an order every 150 ms
LATE: Final = 0.4  # seconds for an answer; an operator who waits for longer asks elsewhere
SHUNNED: Final = 1.0  # seconds, behind an answer that did not come or was none
TURN_EVERY: Final = 0.1
DUTY_EVERY: Final = 0.5
RESTING: Final = "live chaos: an order that rests for a while"
SUBMIT: Final = "submit"
STORM: Final = "takeover_storm"
NOT_DONE: Final = frozenset({400, 401, 403, 404, 409, 413, 503})  # HTTP statuses that promise that nothing was done
REFUSED: Final = NOT_DONE - {503}  # and that asking again changes nothing


@frozen
class Told:
    """An action that was acknowledged, and where in the log."""

    request: str
    index: int


@frozen
class Denied:
    """An action of which it was said that nothing was done, and by which HTTP status."""

    request: str
    status: int


@frozen
class Lifted:
    """A halt that whoever is on duty lifted, by which request, applied at which index."""

    cause: str
    request: str
    index: int

    def document(self) -> dict[str, Any]:
        """As in contracts.md section 8."""
        return asdict(self)


@define
class Reach:
    """Which nodes do what they are asked: so that one which is out of reach leaves no hole in the pace of orders."""

    _waiting: dict[str, list[float]] = field(factory=dict)  # since when, of each that was asked and has not answered
    _failed: dict[str, float] = field(factory=dict)  # when last

    @contextmanager
    def asked(self, node: str) -> Iterator[None]:
        """While one is asked; it has failed if the block does."""
        since = trio.current_time()
        self._waiting.setdefault(node, []).append(since)
        try:
            yield
        except ActRefused as error:
            if error.status is None or error.status >= 500:
                self._failed[node] = trio.current_time()
            raise
        finally:
            self._waiting[node].remove(since)

    def good(self, node: str) -> bool:
        """Whether it neither keeps anybody waiting nor has just failed."""
        now = trio.current_time()
        waits = min(self._waiting.get(node, ()), default=now)
        return now - waits <= LATE and now - self._failed.get(node, -SHUNNED) >= SHUNNED


@define
class Operators:
    """All of them, and what they were told."""

    asks: Watcher  # through the proxies
    told: list[Told] = field(factory=list)
    denied: list[Denied] = field(factory=list)
    lifted: list[Lifted] = field(factory=list)
    reach: Reach = field(factory=Reach)
    order: Mapping[str, Any] | None = field(factory=lambda: ORDER)  # asked for again and again; None: nothing is
    seed: int = 0
    doubtful: set[str] = field(factory=set)  # requests of which it was not known once what came of them
    counts: Counter[str] = field(factory=Counter)  # orders by hand that rested, and those of them cancelled by id

    def __str__(self) -> str:
        return f"{self.counts['rested']} rested, and {self.counts['cancelled']} of these were cancelled by their ids"

    async def act(self, node: str, action: str, body: Mapping[str, Any], reason: str) -> dict[str, Any]:
        """Ask `node`, or, if it is not known what came of it, the next one too.  Raises ActRefused.

        A body that has its `request_id` is asked for once more under that.
        """
        wish = {"request_id": uuid.uuid4().hex, **body}
        request = str(wish["request_id"])
        try:
            with self.reach.asked(node):
                answer = await self.asks.act(node, action, wish, reason)
        except ActRefused as error:
            if error.status is not None and error.status in NOT_DONE:
                if request not in self.doubtful:  # else it may have been done when it was asked for before
                    self.denied.append(Denied(request, error.status))
                raise
            self.doubtful.add(request)
            answer = await self.asks.act(self._following(node), action, wish, reason)  # known by its id if it was done
        if answer.get("index") is not None:
            self.told.append(Told(request, int(answer["index"])))
        return answer

    def _following(self, node: str) -> str:
        names = list(self.asks.apis)
        return names[(names.index(node) + 1) % len(names)]

    async def run(self, sight: Sight) -> None:
        """Work, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._on_duty, sight)
            if self.order is None:
                return
            for place, name in enumerate(self.asks.apis):
                await trio.sleep(BEAT_MS / 1000 / len(self.asks.apis) if place else 0)
                operator = Operator(self, name, items(self.seed, place), sight.prices)
                beat = Beat(operator, name, BEAT_MS, order=self.order)
                nursery.start_soon(beat.run)
                nursery.start_soon(self._turn, beat, name)

    async def _turn(self, beat: Beat, own: str) -> None:
        """Have an operator ask its own node, or, while that is out of reach, the next that is not."""
        while True:
            beat.node = self.within_reach(own)
            await trio.sleep(TURN_EVERY)

    def within_reach(self, own: str) -> str:
        """The node that an operator asks, whose own is this."""
        names = list(self.asks.apis)
        place = names.index(own)
        return next((name for name in (*names[place:], *names[:place]) if self.reach.good(name)), own)

    async def _on_duty(self, sight: Sight) -> None:
        while True:
            found = sight.active()
            if found is not None:
                await self._lift(found[0], sight.words[found[0]][1])
            await trio.sleep(DUTY_EVERY + EVERY)

    async def _lift(self, node: str, status: Mapping[str, Any]) -> None:
        risk = status.get("risk", {})
        if STORM in [one["cause"] for one in risk.get("halts", ())]:
            wish = {"causes": [STORM], "risk_index": risk["index"]}
            with suppress(ActRefused):
                answer = await self.act(node, "resume", wish, "live chaos: leaders were lost on purpose")
                self.lifted.append(Lifted(STORM, str(answer["request_id"]), int(answer.get("index") or 0)))


@define
class Operator:
    """One of them, at a node of its own, as a beat asks it; `prices`: by symbol, the last.

    What rests is cancelled by its id, again and again until it is known to be gone, and nothing else of this operator's
    rests meanwhile: of all that faults make of the answers, never more than one order of each lies there unwatched.
    """

    operators: Operators
    own: str
    agenda: Iterator[Item]
    prices: Mapping[str, Decimal]
    busy: bool = False  # with one that rests

    async def act(self, node: str, action: str, body: Mapping[str, Any], reason: str) -> dict[str, Any]:
        """The next of the agenda, instead of what the beat asks for.  Raises ActRefused."""
        item = next(self.agenda)
        order, last = {**body, "side": item.side}, self.prices.get(str(body["symbol"]))
        if not item.rests or self.busy or last is None:
            return await self.operators.act(node, action, order, reason)
        order |= {"type": "LIMIT", "price": str(away(last, item))}
        self.busy = True
        try:
            return await self._rest(node, order, item.rests * BEAT_MS / 1000)
        finally:
            self.busy = False

    async def _rest(self, node: str, order: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """Ask for it, and have it gone after so long."""
        answer = await self._known(node, SUBMIT, order, RESTING)
        name = answer.get("detail", {}).get("order")
        if name is None:
            return answer
        self.operators.counts["rested"] += 1
        await trio.sleep(seconds)
        with suppress(ActRefused):  # it is gone already: filled, or by a halt
            await self._known(self.operators.within_reach(self.own), "cancel", {"order": name}, RESTING)
            self.operators.counts["cancelled"] += 1
        return answer

    async def _known(self, node: str, action: str, body: Mapping[str, Any], reason: str) -> dict[str, Any]:
        """Until what came of it is known, and of a cancel until there is nothing to do.  Raises ActRefused."""
        wish, doubtful = {**body, "request_id": uuid.uuid4().hex}, self.operators.doubtful
        while True:
            try:
                return await self.operators.act(node, action, wish, reason)
            except ActRefused as error:
                if error.status in REFUSED or (action == SUBMIT and wish["request_id"] not in doubtful):
                    raise
            if wish["request_id"] not in doubtful:  # that one was refused, and must never be done
                wish["request_id"] = uuid.uuid4().hex
            await trio.sleep(BEAT_MS / 1000)
            node = self.operators.within_reach(self.own)


def away(last: Decimal, item: Item) -> Decimal:
    """The price of one that rests: below the last to buy, above it to sell, as fine as that."""
    way = -1 if item.side == "BUY" else 1
    return (last * (10_000 + way * item.away_bps) / 10_000).quantize(last)
