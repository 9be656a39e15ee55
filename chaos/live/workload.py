"""Workload: what operators do to a live cluster all the time, through their own proxied links, and what they were told.

Only asking may live here.  Each order by hand is a marker: an acknowledgement is kept, and must be in every log in the
end; so is a refusal, which must be in none.  What was not answered is asked once more, elsewhere, under the same
request id.  Somebody is on duty, who lifts one thing: the halt behind a third leader lost within ten minutes.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

import trio
from attrs import asdict, define, field, frozen

from chaos.live.sight import EVERY, Sight
from chaos.rig.beat import ORDER, Beat
from chaos.rig.watch import ActRefused, Watcher

BEAT_MS: Final = 450  # of each of three operators, each with a node of its own: an order every 150 ms
LATE: Final = 0.4  # seconds for an answer; an operator who waits for longer asks elsewhere
SHUNNED: Final = 1.0  # seconds, behind an answer that did not come or was none
TURN_EVERY: Final = 0.1
DUTY_EVERY: Final = 0.5
STORM: Final = "takeover_storm"
NOT_DONE: Final = frozenset({400, 401, 403, 404, 409, 413, 503})  # HTTP statuses that promise that nothing was done


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

    async def act(self, node: str, action: str, body: Mapping[str, Any], reason: str) -> dict[str, Any]:
        """Ask `node`, or, if it is not known what came of it, the next one too.  Raises ActRefused."""
        request = uuid.uuid4().hex
        wish = {"request_id": request, **body}
        try:
            with self.reach.asked(node):
                answer = await self.asks.act(node, action, wish, reason)
        except ActRefused as error:
            if error.status is not None and error.status in NOT_DONE:
                self.denied.append(Denied(request, error.status))
                raise
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
                beat = Beat(self, name, BEAT_MS, order=self.order)
                nursery.start_soon(beat.run)
                nursery.start_soon(self._turn, beat, name)

    async def _turn(self, beat: Beat, own: str) -> None:
        """Have an operator ask its own node, or, while that is out of reach, the next that is not."""
        names = list(self.asks.apis)
        place = names.index(own)
        while True:
            beat.node = next((name for name in (*names[place:], *names[:place]) if self.reach.good(name)), own)
            await trio.sleep(TURN_EVERY)

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
