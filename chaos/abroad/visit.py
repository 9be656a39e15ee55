"""Visit: one scenario on a cluster that somebody else deployed, from its plan to a judged document.

Only the order of events may live here.  Nothing is started or ended: what is broken is healed, what is halted is
resumed, whatever ends the run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any, Final

import trio
from attrs import define, field

from chaos.abroad.faces import Face, face
from chaos.abroad.here import Here, open_here
from chaos.abroad.judge import acknowledged, by_ledger, cancelled, denied, halt_kept, history_of, trails_equal, unjudged
from chaos.abroad.place import BadPlace, Place
from chaos.abroad.seen import Seen
from chaos.abroad.ways import left_as_found
from chaos.checkers.history import History
from chaos.checkers.one_send import one_send
from chaos.checkers.one_trader import one_trader
from chaos.checkers.verdict import Check
from chaos.live.claims import filled, leader_lost, long_enough, no_authority, silent, unseen_fills
from chaos.live.cluster import WINDOW_MS, window_ms
from chaos.live.document import Played
from chaos.live.hands import DONE_WITHIN, Hands
from chaos.live.judge import all_done, leader_kept, unaided
from chaos.live.lifts import with_lifts
from chaos.live.nemeses import HALT, NETWORK, OPERATOR, VENUE
from chaos.live.pauses import Back, Gap, Run, gaps, in_bound, recovered
from chaos.live.plan import Fault
from chaos.live.run import (
    AMID,
    BACK_WITHIN,
    FAULTS,
    HALTED,
    HEALING,
    LEAST_ORDERS,
    SECOND,
    STEADY,
    TELL_EVERY,
    TRADING_WITHIN,
    NoTrade,
    Wish,
)
from chaos.live.scenarios import ITSELF
from chaos.live.sight import LEADER_WITHIN, Sight
from chaos.live.strike import Breaks, Striker, Struck
from chaos.live.workload import Lifted, Operators
from chaos.report.folder import ABROAD
from chaos.rig.broken import words
from chaos.rig.gather import json_lines, ledger_whole
from chaos.rig.steps import MEASURED, SETTLED_WITHIN, WITHIN, admitted, halted, settled
from chaos.rig.watch import ActRefused

REASON: Final = "live chaos: the end"
FAULTS_ABROAD: Final = (*FAULTS, BadPlace)


@define
class Visitor:
    """Plays one wish on a place; `say` is told what happens."""

    place: Place
    wish: Wish
    say: Callable[[str], None]
    done: list[Struck] = field(factory=list)
    begun: list[Fault] = field(factory=list)
    seen: Seen = field(factory=Seen)
    faces: list[Face] = field(factory=list)
    operators: Operators = field(init=False)
    hands: Hands | None = None
    answered: Sequence[int] = ()  # when orders by hand were acknowledged
    after: int = 0  # the ledger's last record before this run
    found: Check = Check("left_as_found", 0, ())
    rest: Check = Check("came_to_rest", 0, ())
    came_back: bool = False
    until_ns: int = 0

    async def run(self) -> Played:
        """To its end.  Raises one of FAULTS_ABROAD."""
        self._opened()
        for one in self.wish.plan.left_out:
            self.say(f"left out: {one.kind} {one.target} {one.links}: {one.why}")
        try:
            async with open_here(self.place, self.wish.folder) as here:
                try:
                    await self._play(here)
                finally:
                    await self._as_found(here)
        finally:
            self.seen.put(self.wish.folder)
        return await trio.to_thread.run_sync(self.judged, abandon_on_cancel=True)

    def _opened(self) -> None:
        """Its folder, and what a report needs to know of the cluster besides."""
        folder, place = self.wish.folder, self.place
        folder.mkdir(parents=True, exist_ok=True)
        about = {"account": place.account, "cluster": place.cluster.cluster, "nodes": [*place.nodes]}
        (folder / ABROAD).write_text(json.dumps(about))
        (folder / "ledger.jsonl").touch()

    async def _play(self, here: Here) -> None:
        self.operators = Operators(here.asks, order=self.place.order, seed=self.wish.plan.seed)
        self.answered = here.asks.answered
        self.after = here.ledger.after if here.ledger else 0
        sight = Sight(here.watcher, self.place.cluster.cluster, LEADER_WITHIN * self.wish.slower)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sight.run)
            nursery.start_soon(self.seen.run, sight)
            if here.ledger is not None:
                nursery.start_soon(here.ledger.run)
            start = await self._found_well(sight)
            nursery.start_soon(self.operators.run, sight)
            await self._until_trading(sight)
            nursery.start_soon(self._tell, sight)
            await self._striker(here, sight).play(self.wish.plan)
            await self._until_back(sight)
            self.until_ns = time.monotonic_ns()
            self.say(f"of orders by hand {self.operators}")
            self.say("halting, for a while: every order is to be closed and all nodes equal")
            await self._rested(here)
            for name in self.place.nodes:
                self.faces.append(await face(here.watcher, name, start))
            if here.ledger is not None:
                await here.ledger.fetch()
            nursery.cancel_scope.cancel()

    async def _found_well(self, sight: Sight) -> int:
        """All nodes answer, it is the cluster that its file says, and it trades; how far its log was.

        Raises NoTrade or BadPlace.
        """
        with trio.move_on_after(TRADING_WITHIN):
            while len(sight.words) < len(self.place.nodes) or sight.active() is None:  # noqa: ASYNC110 - they are asked
                await trio.sleep(0.1)
        missing = sorted(set(self.place.nodes) - sight.words.keys())
        if missing or sight.active() is None:
            raise NoTrade(f"{', '.join(missing)} does not answer" if missing else "no node trades")
        statuses = [status for _, status in sight.words.values()]
        others = {str(status["cluster"]) for status in statuses} - {self.place.cluster.cluster}
        if others:
            raise BadPlace(f"the nodes are of cluster {', '.join(sorted(others))}, not {self.place.cluster.cluster}")
        tight = {str(status["trading"]) for status in statuses} - {"running"}
        if tight:
            raise NoTrade(f"trading is {', '.join(sorted(tight))}: resume it before it is broken on purpose")
        return min(int(status["as_of"]["index"]) for status in statuses)

    def _striker(self, here: Here, sight: Sight) -> Striker:
        patience = self.wish.slower * (AMID if self.wish.plan.scenario.mixture else 1)
        hands = self.hands = Hands(self.operators, sight, DONE_WITHIN * patience)
        rooms: dict[str, Breaks] = {NETWORK: here.network, OPERATOR: hands}
        if here.venue is not None:
            rooms[VENUE] = here.venue
        return Striker(rooms, sight, self.say, self.done, self.begun, self.place.nodes)

    def _times(self, sight: Sight) -> Sequence[int]:
        return sight.admitted if self.place.paper else self.answered

    async def _until_trading(self, sight: Sight) -> None:
        with trio.move_on_after(TRADING_WITHIN * self.wish.slower):
            while len(self._times(sight)) < LEAST_ORDERS:  # noqa: ASYNC110 - another process is watched, by polling
                await trio.sleep(0.1)
            self.say("trading")
            return
        raise NoTrade(f"fewer than {LEAST_ORDERS} orders within {TRADING_WITHIN * self.wish.slower:g} s")

    async def _until_back(self, sight: Sight) -> None:
        await trio.sleep(HEALING)
        with trio.move_on_after(BACK_WITHIN * self.wish.slower - HEALING) as waiting:
            while not steady(self._times(sight), time.monotonic_ns()):  # noqa: ASYNC110 - another process is watched
                await trio.sleep(0.1)
        self.came_back = not waiting.cancelled_caught

    async def _rested(self, here: Here) -> None:
        """Halt, until all is quiet and equal."""
        try:
            await halted(here.watcher)
        except trio.TooSlowError:
            self.rest = Check("came_to_rest", 1, ("nobody could be halted: no node traded for a minute",))
            return
        await trio.sleep(HALTED)
        with trio.move_on_after(SETTLED_WITHIN) as waiting:
            while not settled(await here.watcher.statuses()):  # noqa: ASYNC110 - other processes are asked
                await trio.sleep(0.2)
        late = (f"open, in doubt, or unlike {SETTLED_WITHIN:g} s after the halt",) if waiting.cancelled_caught else ()
        self.rest = Check("came_to_rest", 1, late)

    async def _as_found(self, here: Here) -> None:
        """Whatever ended the run: our own halt goes, and all is looked at once more."""
        with trio.CancelScope(shield=True), suppress(Exception):  # what is left is a violation, and told
            left = await self._resumed(here)
            self.found = left_as_found(here.before, await here.proxies.all(), left)

    async def _resumed(self, here: Here) -> list[str]:
        """The causes of ours for which trading is halted still."""
        causes = ["it is not known which, as no node answers"]
        with trio.move_on_after(WITHIN):
            while True:
                statuses = await here.watcher.statuses()
                if statuses:
                    causes = sorted({cause for status in statuses.values() for cause in _ours(status)})
                if not causes:
                    return []
                if statuses:
                    name, status = max(statuses.items(), key=lambda one: int(one[1]["risk"]["index"]))
                    with suppress(ActRefused):
                        wish = {"causes": _ours(status), "risk_index": status["risk"]["index"]}
                        await here.watcher.act(name, "resume", wish, REASON)
                await trio.sleep(0.2)
        return causes

    async def _tell(self, sight: Sight) -> None:
        while True:
            await trio.sleep(TELL_EVERY)
            found = sight.active()
            who = "nobody trades" if found is None else f"{found[0]} trades in epoch {found[1]}"
            recent = sum(at >= time.monotonic_ns() - SECOND for at in self._times(sight))
            self.say(f"{who}: {recent} orders in the last second")

    def judged(self) -> Played:
        """What came of a run that was played to its end; one that can't be judged has failed."""
        try:
            return self._judged()
        except Exception as error:  # noqa: BLE001 - a fault of our own: told, never the run's loss
            return self.failed("judged", error)

    def failed(self, check: str, error: BaseException) -> Played:
        """All that can be told of a run that `error` broke off, or of which it keeps us from judging more."""
        found: tuple[Gap, ...] = ()
        checks = [Check(check, 1, (words(error),)), *((self.found,) if self.found.looked_at else ())]
        with suppress(Exception):  # what the run broke off for is told anyway
            found = self._gaps(self._history())
            checks += [one for one in self._by_now() if one.looked_at]
        return self._played(found, tuple(checks))

    def so_far(self) -> tuple[str, ...]:
        """What of a run that somebody ended is wrong at any moment."""
        return tuple(f"{check.name}: {what}" for check in self._by_now() for what in check.violations)

    def _by_now(self) -> tuple[Check, ...]:
        """What holds at any moment, of what the ledger tells."""
        history = self._history()
        return (one_trader(history), one_send(history)) if self.place.paper else ()

    def _judged(self) -> Played:
        wish, history = self.wish, self._history()
        times, found = self._traded(history), self._gaps(history)
        back = Back(self.came_back, int(BACK_WITHIN * SECOND) * wish.slower, int(STEADY * SECOND) * wish.slower)
        checks = [all_done(wish.plan, self.done), recovered(self.done, times, self.until_ns, back)]
        checks += [trails_equal(self.faces), self.rest, self.found]
        told, refused = self.operators.told, self.operators.denied
        if told or refused or self.place.order is not None:
            checks += [acknowledged(self.faces, told), denied(self.faces, refused, told)]
        if self.place.paper:
            checks += [*by_ledger(history), ledger_whole(wish.folder, self.after)]
            if any(one.fault.kind == HALT for one in self.done):
                checks.append(halt_kept(self.done, times))
            if self.hands is not None and self.hands.cancels and not wish.plan.scenario.mixture:
                checks.append(cancelled(history, told, self.hands.cancels))
        checks += self._claims(history)
        checks += in_bound(wish.plan.scenario, Run(self.done, times, self.until_ns, wish.slower, _nobody_waited))
        return self._played(found, tuple(checks))

    def _claims(self, history: History) -> list[Check]:
        """What the scenario says still: what takes a ledger that is not there it does not."""
        scenario, slower, elected = self.wish.plan.scenario, self.wish.slower, self.seen.elections()
        sent = [(at, epoch) for at, epoch, request in admitted(history) if not request.is_cancel]
        found = [leader_kept(self.done, elected)] if scenario.leader_kept else []
        if scenario.recovers == ITSELF and slower == 1:
            found.append(unaided(self.operators.lifted))
        long = long_enough(self.wish.plan.faults, slower, window_ms(slower))
        if scenario.leader_lost and long:
            found.append(leader_lost([one for one in self.done if one.fault.number in long], elected, sent))
        if scenario.silent_within_ms is not None:
            within = scenario.silent_within_ms + window_ms(slower) - WINDOW_MS
            found.append(silent(self.done, sent, self.place.nodes, within))
        if scenario.no_authority:
            found.append(no_authority(self.done, elected, sent))
        if scenario.unseen_fills:
            ledger = json_lines(self.wish.folder / "ledger.jsonl")
            found.append(unseen_fills(self.done, filled(ledger, history.account)))
        return found

    def _history(self) -> History:
        ledger = list(json_lines(self.wish.folder / "ledger.jsonl"))
        return history_of(ledger, self.place.account, self.place.cluster.cluster, self.faces)

    def _traded(self, history: History) -> list[int]:
        """When the venue let an order through; where it does not tell, when one by hand was acknowledged."""
        if not self.place.paper:
            return sorted(self.answered)
        return [at for at, _, request in admitted(history) if not request.is_cancel]

    def _gaps(self, history: History) -> tuple[Gap, ...]:
        done, times = sorted(self.done, key=lambda one: one.begin_ns), self._traded(history)
        found = gaps(done, times, self.until_ns or max([*times[-1:], *(one.end_ns for one in done)], default=0))
        return with_lifts(found, history, self._lifted)

    @property
    def _lifted(self) -> Sequence[Lifted]:
        return self.operators.lifted if hasattr(self, "operators") else ()  # it may have ended before there was any

    def _played(self, found: tuple[Gap, ...], checks: tuple[Check, ...]) -> Played:
        wish = self.wish
        lifted = tuple(each.document() for each in self._lifted)
        kept = str(wish.folder) if wish.kept else ""
        left = (*unjudged(ledger=bool(self.place.paper)), *wish.plan.unclaimed)
        return Played(wish.plan, found, checks, wish.slower, kept, lifted, unjudged=left, place=str(self.place.file))


def _nobody_waited(_begin: int, _end: int) -> dict[str, float]:
    """How long processes of other machines waited for a processor is not known."""
    return {}


def _ours(status: dict[str, Any]) -> list[str]:
    """The causes of halts by this run's own hand, the plan's that were left included."""
    causes = [str(one["cause"]) for one in status["risk"]["halts"]]
    return [cause for cause in causes if cause == MEASURED or cause.startswith("drill_")]


def steady(times: Sequence[int], now: int) -> bool:
    """Whether there was an order again and again in the last two seconds."""
    since = now - 2 * SECOND
    marks = [since, *(at for at in times if at >= since), now]
    return max(later - at for at, later in pairwise(marks)) <= SECOND
