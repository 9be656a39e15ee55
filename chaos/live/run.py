"""Run: one scenario on a fresh cluster, from its plan to a judged document.

Only the order of events may live here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import trio
from attrs import define, field, frozen

from chaos.checkers.history import History
from chaos.checkers.verdict import Check
from chaos.demo.timeline import PhaseMark, marks_of
from chaos.live.claims import filled, leader_lost, long_enough, no_authority, silent, unseen_fills
from chaos.live.closed import Closed, failed_closed, stormed
from chaos.live.cluster import WINDOW_MS, Cluster, RigProcesses, open_cluster, window_ms
from chaos.live.disks import ENDS_WITHIN, Disks
from chaos.live.document import Played
from chaos.live.doors import FOLDER as DOORS
from chaos.live.doors import STRIKES_WITHIN, TAKEN_WITHIN, Doors
from chaos.live.fills import Fills
from chaos.live.folders import WRITTEN_WITHIN, Folders
from chaos.live.growth import Growth, not_grown
from chaos.live.hands import DONE_WITHIN, HandFault, Hands
from chaos.live.instants import COMES_WITHIN, Instants
from chaos.live.judge import (
    acknowledged,
    all_done,
    brief,
    cancelled,
    denied,
    disturbed,
    ended_well,
    leader_kept,
    paused_briefly,
    tightened,
    unaided,
)
from chaos.live.lifts import with_lifts
from chaos.live.mandated import mandated
from chaos.live.nemeses import (
    DISK,
    FILLED,
    FOLDER,
    INSIDE,
    INSTANT,
    NEMESES,
    NETWORK,
    OPERATOR,
    PROCESS,
    SAYS,
    STRAIT,
    TIME,
    VENUE,
    VOLUME,
)
from chaos.live.nodes import STOPPED_WITHIN, UNDO_WITHIN, End, Nodes
from chaos.live.pauses import Back, Gap, Run, gaps, in_bound, recovered
from chaos.live.plan import Fault, Plan
from chaos.live.scenarios import ITSELF
from chaos.live.sight import LEADER_WITHIN, Sight
from chaos.live.straits import Straits
from chaos.live.strike import Breaks, Striker, Struck
from chaos.live.takeovers import with_phases
from chaos.live.times import Times
from chaos.live.traffic import TABLE, Ends, Traffic, looked, over
from chaos.live.traffic import WITHIN as PROXIED_WITHIN
from chaos.live.venue import VenueFault, open_venue
from chaos.live.volume import NoVolume, Volumes, open_volumes
from chaos.live.workload import STORM, Lifted, Operators
from chaos.rig.broken import words
from chaos.rig.gather import gather, json_lines, ledger_whole
from chaos.rig.processes import NODES, RigFault
from chaos.rig.pulse import Pulse
from chaos.rig.steps import (
    MEASURED,
    admitted,
    at_any_moment,
    cluster_of,
    elections,
    halted,
    judged,
    rested,
)
from chaos.rig.watch import ActRefused, Watcher, open_watcher
from chaos.toxiproxy.build import Missing
from chaos.toxiproxy.proxies import ToxiproxyFault

TRADING_WITHIN: Final = 90.0  # seconds, from readiness
LEAST_ORDERS: Final = 10  # admitted before the plan begins
HEALING: Final = 3.0  # seconds behind the last fault, which belong to it
HALTED: Final = 1.0  # seconds in which orders are asked for by hand though all is halted: each must be refused
BACK_WITHIN: Final = 20.0  # from the last healing to steady trading
AMID: Final = 3  # times longer may an operator's action take where anything else may be broken meanwhile
STEADY: Final = 2.0  # a pause up to which is none, once trading is back
TELL_EVERY: Final = 2.0
SECOND: Final = 1_000_000_000


class NoTrade(Exception):
    """Nobody traded, before anything was broken; the message says where the logs are."""


FAULTS: Final = (
    NoTrade,
    RigFault,
    ToxiproxyFault,
    VenueFault,
    HandFault,
    NoVolume,
    Missing,
    ActRefused,
    trio.TooSlowError,
    OSError,
)


@frozen
class Wish:
    """One run."""

    plan: Plan
    folder: Path
    slower: int  # times that election timers, window and bound are longer
    kept: bool
    mutant: str = ""  # what is broken in the product, by its name in the catalogue; "": nothing


@define
class Runner:
    """Plays one wish; `say` is told what happens."""

    wish: Wish
    say: Callable[[str], None]
    done: list[Struck] = field(factory=list)
    begun: list[Fault] = field(factory=list)
    operators: Operators = field(init=False)
    nodes: Nodes = field(init=False)
    hands: Hands = field(init=False)
    last: dict[str, int] = field(factory=dict)  # with which code each node ended when all were asked to
    pulse: Pulse = field(init=False)
    growth: Growth = field(init=False)
    proxied: Check = field(init=False)
    ended: Collection[Ends] = ()  # connections that had ended before any process of this run was started
    traffic: Traffic = field(init=False)
    rest: Check = field(init=False)
    closed: list[Closed] = field(factory=list)  # nodes that were to end, or to refuse to start
    came_back: bool = False  # trading was seen to be steady behind the last healing
    until_ns: int = 0  # when trading is halted at the end; 0: it was not

    async def run(self) -> Played:
        """To its end; every process has ended when it returns or raises.  Raises one of FAULTS."""
        wish = self.wish
        self.say("starting a venue, three nodes, and a proxy in each link")
        kinds = {fault.kind for fault in wish.plan.faults}
        self.ended = over(TABLE.read_text())  # by whoever had these ports before: no process of ours runs yet
        async with (
            open_volumes() as volumes,  # outermost: what is in them is taken out when no node runs any more
            open_cluster(
                wish.folder,
                wish.plan.seed,
                wish.slower,
                wish.mutant,
                inside=any(NEMESES[kind].room in INSIDE for kind in kinds),
                keeps=wish.plan.scenario.keeps,
                volumes=volumes if FILLED in kinds else None,
            ) as cluster,
        ):
            await self._sampled(cluster, volumes)
        # In a thread, as it takes a while: signals are heeded meanwhile.
        return await trio.to_thread.run_sync(self.judged, abandon_on_cancel=True)

    async def _sampled(self, cluster: Cluster, volumes: Volumes) -> None:
        pids = cluster.rig.pids
        self.pulse = Pulse(pids)
        self.growth = Growth(lambda: {name: pid for name, pid in pids().items() if name in NODES})
        self.traffic = Traffic(cluster.network.links, before=self.ended)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.pulse.run)
            nursery.start_soon(self.growth.run)
            nursery.start_soon(self.traffic.run)
            await self._play(cluster, volumes)
            nursery.cancel_scope.cancel()

    def judged(self) -> Played:
        """What came of a run that was played to its end; one that can't be judged has failed."""
        try:
            return self._judged()
        except Exception as error:  # noqa: BLE001 - a damaged store, or a fault of our own: told, never the run's loss
            return self.failed("judged", error)

    def failed(self, check: str, error: BaseException) -> Played:
        """All that can be told of a run that `error` broke off, or of which it keeps us from judging more.

        What it broke off for comes first; then what holds at any moment, as far as what is there can be judged.
        """
        try:
            found = self._gaps(gather(self.wish.folder, ()))  # the ledger alone
        except Exception:  # noqa: BLE001 - there may be none yet; what the run broke off for is told anyway
            found = ()
        checks = (Check(check, 1, (words(error),)), *self._besides(check))
        wish, lifted = self.wish, tuple(each.document() for each in self._lifted)
        ends = tuple(self._ends)
        return Played(wish.plan, found, checks, wish.slower, str(wish.folder), lifted, wish.mutant, ends)

    def _besides(self, check: str) -> tuple[Check, ...]:
        """The checks that hold at any moment, beside the one that says why there are no others."""
        if not (self.wish.folder / "ledger.jsonl").exists():
            return ()  # nobody came so far as to do anything
        try:
            return self._by_now()
        except Exception as error:  # noqa: BLE001 - a damaged store, or a fault of our own: told
            return () if check == "judged" else (Check("judged", 1, (words(error),)),)

    def _by_now(self) -> tuple[Check, ...]:
        """What holds at any moment, of what is there.  Raises whatever keeps it from being judged."""
        unasked = tuple(f"{end}" for end in self._ends if not end.why)
        ends = (Check("ended_well", len(self._ends), unasked),) if self._ends else ()
        return (*at_any_moment(judged(self.wish.folder)[1]), *ends)

    @property
    def _ends(self) -> Sequence[End]:
        return self.nodes.ends if hasattr(self, "nodes") else ()  # it may have ended before there were any

    def so_far(self) -> tuple[str, ...]:
        """What of a run that somebody ended is wrong at any moment, whatever would have come of the rest."""
        try:
            checks = self._by_now()
        except Exception as error:  # noqa: BLE001 - a damaged store, or a fault of our own: told
            return (f"judged: {words(error)}",)
        return tuple(f"{one.name}: {what}" for one in checks for what in one.violations)

    async def _play(self, cluster: Cluster, volumes: Volumes) -> None:
        folder, ledger = self.wish.folder, cluster.rig.ledger_path
        async with (
            open_watcher(folder, cluster.apis, ledger) as watcher,
            open_watcher(folder, cluster.operators, ledger) as through,
            open_venue(cluster.venue) as venue,
        ):
            self.operators = Operators(through, seed=self.wish.plan.seed)
            sight = Sight(watcher, cluster_of(folder), LEADER_WITHIN * self.wish.slower)
            nodes = self.nodes = Nodes(
                RigProcesses(cluster.rig), self.say, UNDO_WITHIN * self.wish.slower, STOPPED_WITHIN * self.wish.slower
            )
            patience = self.wish.slower * (AMID if self.wish.plan.scenario.mixture else 1)
            hands = self.hands = Hands(self.operators, sight, DONE_WITHIN * patience)
            rooms: dict[str, Breaks] = {NETWORK: cluster.network, PROCESS: nodes, VENUE: venue, OPERATOR: hands}
            rooms |= self._inside(nodes)
            rooms[VOLUME] = Fills(volumes, nodes, self.say)
            rooms[STRAIT] = Straits(folder, nodes, cluster.rig.pids, cluster.rig.warden.watch)
            striker = Striker(rooms, sight, self.say, self.done, self.begun)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(sight.run)
                nursery.start_soon(self.operators.run, sight)
                await self._until_trading(sight)
                self.proxied = await looked(cluster.network.links, PROXIED_WITHIN * self.wish.slower)
                nursery.start_soon(self._tell, sight, nodes)
                nursery.start_soon(nodes.run)
                await striker.play(self.wish.plan)
                await self._until_back(sight)
                nodes.look()
                self.until_ns = time.monotonic_ns()
                self.say(f"of orders by hand {self.operators}")
                self.say("halting; every order is to be closed and all nodes equal")
                ready = await self._halted(watcher)
                nursery.cancel_scope.cancel()
            if ready:
                self.rest = await rested(cluster.rig, watcher)
                self.last = {name: int(cluster.rig.children[name].process.returncode or 0) for name in NODES}

    def _inside(self, nodes: Nodes) -> dict[str, Breaks]:
        """Who strikes nodes from inside."""
        folder, slower = self.wish.folder, self.wish.slower
        doors = Doors(folder / DOORS, nodes.go, TAKEN_WITHIN * slower, STRIKES_WITHIN * slower)
        return {
            INSTANT: Instants(doors, nodes, self.say, COMES_WITHIN * slower),
            DISK: Disks(folder, doors, nodes, ENDS_WITHIN * slower, self.closed),
            FOLDER: Folders(folder, doors, nodes, self.say, self.closed, WRITTEN_WITHIN * slower),
            TIME: Times(doors, nodes),
        }

    async def _halted(self, watcher: Watcher) -> bool:
        """Halt, with operators at work for a while still; whether anybody could be halted."""
        try:
            await halted(watcher)
        except trio.TooSlowError:
            self.rest = Check("came_to_rest", 1, ("nobody could be halted: no node traded for a minute",))
            return False
        await trio.sleep(HALTED)
        return True

    async def _until_trading(self, sight: Sight) -> None:
        with trio.move_on_after(TRADING_WITHIN * self.wish.slower):
            while sight.total < LEAST_ORDERS:  # noqa: ASYNC110 - another process is watched, by polling
                await trio.sleep(0.1)
            self.say("trading")
            return
        raise NoTrade(f"nobody traded within {TRADING_WITHIN * self.wish.slower:g} s: see {self.wish.folder / 'logs'}")

    async def _until_back(self, sight: Sight) -> None:
        """Until trading is steady, so that there is something to judge; whether it was in time, the ledger says."""
        await trio.sleep(HEALING)
        with trio.move_on_after(BACK_WITHIN * self.wish.slower - HEALING) as waiting:
            while not sight.steady():  # noqa: ASYNC110 - another process is watched, by polling
                await trio.sleep(0.1)
        self.came_back = not waiting.cancelled_caught

    async def _tell(self, sight: Sight, nodes: Nodes) -> None:
        while True:
            await trio.sleep(TELL_EVERY)
            found = sight.active()
            who = "nobody trades" if found is None else f"{found[0]} trades in epoch {found[1]}"
            down = f", down: {', '.join(sorted(nodes.down))}" if nodes.down else ""
            self.say(f"{who}: {sight.of_last_second()} orders in the last second{down}")

    def _judged(self) -> Played:
        wish, done = self.wish, self.done
        history, checks = judged(wish.folder)
        times, found = _times(history), with_phases(self._gaps(history), history, _marks(wish.folder))
        back = Back(self.came_back, int(BACK_WITHIN * SECOND) * wish.slower, int(STEADY * SECOND) * wish.slower)
        own = [
            all_done(wish.plan, done),
            recovered(done, times, self.until_ns, back),
            acknowledged(history, self.operators.told),
            denied(history, self.operators.denied),
            mandated(history, _logs(wish.folder)),
            tightened(_logs(wish.folder), {STORM, MEASURED, *self.hands.causes}),
            ended_well(self.nodes.ends, self.last, done, history),
            self.proxied,
            self.traffic.used(),
            ledger_whole(wish.folder),
            self.rest,
        ]
        mixture = wish.plan.scenario.mixture
        if self.closed if mixture else any(fault.kind in SAYS for fault in wish.plan.faults):
            own.append(failed_closed(self.closed, disturbed(done) if mixture else ()))
        if self.hands.cancels and not mixture:
            own.append(cancelled(history, self.hands.cancels))
        if wish.plan.scenario.grows_mib is not None:
            own.append(not_grown(self.growth.found, done, self.until_ns, wish.plan.scenario.grows_mib))
        own += self._claims(history)
        own += in_bound(wish.plan.scenario, Run(done, times, self.until_ns, wish.slower, self.pulse.within))
        lifted = tuple(each.document() for each in self._lifted)
        kept = str(wish.folder) if wish.kept else ""
        ends = tuple(self.nodes.ends)
        return Played(wish.plan, found, (*checks, *own), wish.slower, kept, lifted, wish.mutant, ends)

    def _claims(self, history: History) -> list[Check]:
        """What the scenario says of the lead and of sends."""
        scenario, slower = self.wish.plan.scenario, self.wish.slower
        elected = elections(self.wish.folder)
        sent = [(at, epoch) for at, epoch, request in admitted(history) if not request.is_cancel]
        found = []
        if scenario.leader_kept:
            found.append(leader_kept(self.done, elected))
            if brief(self.wish.plan.faults, window_ms(slower)):
                found.append(paused_briefly(self.done, window_ms(slower)))
        long = long_enough(self.wish.plan.faults, slower, window_ms(slower))
        if scenario.leader_lost and long:
            found.append(leader_lost([one for one in self.done if one.fault.number in long], elected, sent))
        if scenario.silent_within_ms is not None:
            found.append(silent(self.done, sent, NODES, scenario.silent_within_ms + window_ms(slower) - WINDOW_MS))
        if scenario.no_authority:
            found.append(no_authority(self.done, elected, sent))
        if scenario.storms and slower == 1:  # with longer ones a leader may outlast what is to cost it the lead
            trail = max((node.audit for node in history.nodes), key=len, default=())
            found.append(stormed(trail, _logs(self.wish.folder)))
        if scenario.recovers == ITSELF and slower == 1:  # where they are longer, the machine itself may cost leaders
            found.append(unaided(self.operators.lifted))
        if scenario.unseen_fills:
            ledger = json_lines(self.wish.folder / "ledger.jsonl")
            found.append(unseen_fills(self.done, filled(ledger, history.account)))
        return found

    def _gaps(self, history: History) -> tuple[Gap, ...]:
        """Of all that was done; in a run that broke off, up to the last that is known of."""
        done, times = sorted(self.done, key=lambda one: one.begin_ns), _times(history)
        found = gaps(done, times, self.until_ns or max([*times[-1:], *(one.end_ns for one in done)], default=0))
        return with_lifts(found, history, self._lifted)

    @property
    def _lifted(self) -> Sequence[Lifted]:
        return self.operators.lifted if hasattr(self, "operators") else ()  # it may have ended before there was any


def _times(history: History) -> list[int]:
    """When the venue let an order through, sorted."""
    return [at for at, _, request in admitted(history) if not request.is_cancel]


def _marks(folder: Path) -> list[PhaseMark]:
    """What the nodes' logs say of their takeovers."""
    return [mark for name, lines in _logs(folder).items() for mark in marks_of(name, lines)]


def _logs(folder: Path) -> Mapping[str, Iterable[Mapping[str, Any]]]:
    return {name: json_lines(folder / "logs" / f"{name}.jsonl") for name in NODES}
