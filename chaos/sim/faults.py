"""Faults: what each kind of fault does to the simulated product, and how it ends.

Only strikes may live here, one method a kind (`_active` taken off): when and how often is the plan's, the tables are
in `profiles`.  A strike that finds nothing to strike is not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, Final, TypeVar

from attrs import define, evolve, field

from chaos.sim import rot
from chaos.sim.exchange import ACCOUNT
from chaos.sim.network import MS, SECOND
from chaos.sim.plan import NAMES, Fault
from chaos.sim.product import DRIFT, Product
from cluster.types import Peer
from meltica.core.commands import By
from meltica.core.values import NodeName, RequestId
from meltica.leader.ports import Promote
from meltica.leader.status import Phase

SOONEST: Final = 20 * MS  # a process is not back earlier
UNPLUG_WITHIN: Final = SECOND  # so long is waited for a write to tear
WORDS_LATE: Final = (60 * MS, 250 * MS, 600 * MS, 1500 * MS)
LONG_STALL: Final = 9500 * MS  # below `settle` (10 s), above all else that lasts
LAGS: Final = (300, 800, 2000)  # of reads, milliseconds: up to the adapter's `read_lag`
# With three picks of eight (those of the pinned plans are none of them).  Together with what an engine's stall held
# back it is less than `read_lag` and `settle` (12 s), behind which an absence proves that an order is dead; a balance
# may be older (`balance_lag`, 15 s).
LONG_LAGS: Final = (3000, 6000, 11_000)
LAG_LONG: Final = frozenset({3, 5, 7})
LAG_LASTS: Final = 9 * SECOND  # two reads, each compared two seconds later, and some time for something to ask for them
PROVEN: Final = 11_500 * MS  # the same, with some room
WALL_JUMPS: Final = (-3600 * SECOND, -2 * SECOND, -300 * MS, -60 * MS, 60 * MS, 400 * MS, 3 * SECOND, 86_400 * SECOND)
VENUE_OFFSETS: Final = (-2000, -300, -20, 20, 300, 2000)  # milliseconds
PHASE_WITHIN: Final = 2 * SECOND
TAKING: Final = (Phase.ELECTED, Phase.RECONCILING, Phase.TAKING)
DRAINING: Final = (Phase.DRAINING, Phase.RELEASED)
LINK_DELAYS: Final = (5 * MS, 30 * MS, 80 * MS, 200 * MS)

_K = TypeVar("_K")


def _forget(values: dict[_K, int], key: _K) -> None:
    values.pop(key, None)


@define(eq=False)
class Faults:
    """Strikes a product, and keeps count."""

    product: Product
    counted: Counter[str] = field(factory=Counter)
    pauses_end: int = 0  # when the venue's last request to be asked nothing is surely over
    stall_began: int = -(1 << 62)  # when the engine's newest stall did, or the first of those that overlap
    stall_ends: int = 0  # when the engine's stall, or those that overlap, are over
    stall_most: int = 0  # when they must be

    def strike(self, fault: Fault) -> None:
        """Do it; whom it meets is decided now."""
        name = self._whom(fault)
        if name is None:
            return
        struck: Callable[[Peer, Fault], bool | None] = getattr(self, f"_do_{fault.kind.removesuffix('_active')}")
        if struck(name, fault) is not False:
            self.counted[fault.kind] += 1
            self.product.note("fault", fault.kind, name)

    def heal(self) -> None:
        """Everything works again, clocks excepted: what a rate is, it stays; and nobody comes back here."""
        network, exchange = self.product.network, self.product.exchange
        network.mend_disks()
        for name in network.processes:
            network.go_on(name)
        network.heal_all()
        self.product.wall_off.clear()
        exchange.cut.clear()
        exchange.slow.clear()
        exchange.heal(None)

    def _whom(self, fault: Fault) -> Peer | None:
        alive = [process.name for process in self.product.network.alive()]
        if fault.kind.endswith("_active"):
            found = self.product.active() or self.product.leading()
            if found is not None:
                return found
        return alive[fault.pick % len(alive)] if alive else None

    def _later(self, fault: Fault, action: Callable[[], None]) -> None:
        self.product.network.at(fault.until - fault.at, action)

    def _random(self, fault: Fault) -> Random:
        return Random(f"{self.product.seed}-{fault.at}-{fault.pick}")

    # --- processes ------------------------------------------------------------------------------------------------

    def _end(self, name: Peer, after: int, *, power: bool) -> None:
        self.product.kill(name, power=power)
        self.product.network.at(max(SOONEST, after), lambda: self.product.start(name))

    def _do_kill(self, name: Peer, fault: Fault) -> None:
        self._end(name, fault.until - fault.at, power=False)

    def _do_power(self, name: Peer, fault: Fault) -> None:
        self._end(name, fault.until - fault.at, power=True)

    def _do_torn(self, name: Peer, fault: Fault) -> None:
        """Unplugged while something is written: a prefix of it survives, the torn end of it does not."""
        process, network = self.product.network.processes[name], self.product.network
        life, end = process.life, network.now + UNPLUG_WITHIN

        def look() -> None:
            if process.life != life or process.store is None:
                return
            if process.store.unsynced > 1 or network.now >= end:
                self._end(name, fault.until - fault.at, power=True)
            else:
                network.at(MS // 5, look)

        look()

    def _do_kill_all(self, _name: Peer, fault: Fault) -> None:
        self._end_all(fault, power=False)

    def _do_power_all(self, _name: Peer, fault: Fault) -> None:
        self._end_all(fault, power=True)

    def _end_all(self, fault: Fault, *, power: bool) -> None:
        """All in one instant; they come back one after the other, in an order of the seed's."""
        random = self._random(fault)
        for process in self.product.network.alive():
            self._end(process.name, random.randint(0, 500) * MS, power=power)

    def _do_restarts(self, name: Peer, fault: Fault) -> None:
        random, network = self._random(fault), self.product.network
        end = network.now + max(SECOND, fault.until - fault.at)

        def again() -> None:
            self.product.kill(name, power=random.random() < 0.5)
            network.at(SOONEST, lambda: self.product.start(name))
            if network.now < end:
                network.at(SOONEST + random.choice((1, 30, 200, 600)) * MS, again)

        again()

    def _do_pause(self, name: Peer, fault: Fault) -> None:
        self.product.network.freeze(name, fault.until - fault.at)

    # --- in a moment that matters -----------------------------------------------------------------------------------

    def _do_kill_taking(self, name: Peer, fault: Fault) -> None:
        self._strike_taking(name, fault, self._do_kill)

    def _do_pause_taking(self, name: Peer, fault: Fault) -> None:
        self._strike_taking(name, fault, self._do_pause)

    def _do_isolate_taking(self, name: Peer, fault: Fault) -> None:
        self._strike_taking(name, fault, self._do_isolate)

    def _do_kill_draining(self, name: Peer, fault: Fault) -> None:
        self._strike_draining(name, fault, self._do_kill)

    def _do_pause_draining(self, name: Peer, fault: Fault) -> None:
        self._strike_draining(name, fault, self._do_pause)

    def _do_isolate_draining(self, name: Peer, fault: Fault) -> None:
        self._strike_draining(name, fault, self._do_isolate)

    def _strike_taking(self, name: Peer, fault: Fault, strike: Callable[[Peer, Fault], None]) -> None:
        """It is killed, and then whoever takes over, while he does."""
        self._do_kill(name, fault)
        self._in_phase(TAKING[fault.pick % len(TAKING)], lambda found: strike(found, fault))

    def _strike_draining(self, name: Peer, fault: Fault, strike: Callable[[Peer, Fault], None]) -> None:
        """It is asked to hand over, and struck while it does."""
        others = [NodeName(p) for p in NAMES if p != name]
        by = By(RequestId(f"drain-{self.product.seed}-{fault.at}"), "sim", "drain")
        self.product.act(name, Promote(by, others[fault.pick // 8 % len(others)]), lambda _result: None)
        self._in_phase(DRAINING[fault.pick % len(DRAINING)], lambda found: strike(found, fault))

    def _in_phase(self, phase: Phase, strike: Callable[[Peer], None]) -> None:
        """As soon as somebody is in that phase; never, if nobody is for too long."""
        network = self.product.network
        begun = network.now

        def look() -> None:
            for life in self.product.living():
                if life.leader is not None and life.leader.phase is phase:
                    strike(life.process.name)
                    return
            waited = network.now - begun
            if waited < PHASE_WITHIN:  # a hand-over drains within a millisecond, an election takes its time
                network.at(MS // 10 if waited < 50 * MS else MS, look)

        look()

    # --- clocks ---------------------------------------------------------------------------------------------------

    def _do_clock_rate(self, name: Peer, fault: Fault) -> None:
        self.product.network.set_rate(name, 1.0 + DRIFT * (1, -1, 0.5)[fault.pick % 3])

    def _do_wall_jump(self, name: Peer, fault: Fault) -> None:
        """Somebody sets the clock; later it is set right."""
        off = self.product.wall_off
        off[name] = WALL_JUMPS[fault.pick % len(WALL_JUMPS)]
        self._later(fault, partial(_forget, off, name))

    # --- network --------------------------------------------------------------------------------------------------

    def _do_isolate(self, name: Peer, fault: Fault) -> None:
        self._cut(fault, self._towards(name) + self._from(name))

    def _do_one_way_in(self, name: Peer, fault: Fault) -> None:
        self._cut(fault, self._towards(name))

    def _do_one_way_out(self, name: Peer, fault: Fault) -> None:
        self._cut(fault, self._from(name))

    def _do_bridge(self, name: Peer, fault: Fault) -> None:
        a, b = (Peer(p) for p in NAMES if p != name)
        self._cut(fault, [(a, b), (b, a)])

    def _do_hold(self, name: Peer, fault: Fault) -> None:
        """As a cable that loses packets: what TCP carries comes late, and nothing breaks."""
        self._cut(fault, self._from(name) + self._towards(name), hold=True)

    def _do_reset(self, name: Peer, fault: Fault) -> None:
        """One connection breaks and is made again: what it carried is lost."""
        self.product.network.reset(*self._from(name)[fault.pick % 2])

    def _do_slow_link(self, name: Peer, fault: Fault) -> None:
        self._slow(fault, [self._from(name)[fault.pick % 2]])

    def _do_slow_links(self, _name: Peer, fault: Fault) -> None:
        self._slow(fault, list(self.product.network.links))

    def _slow(self, fault: Fault, links: list[tuple[Peer, Peer]]) -> None:
        network, random = self.product.network, self._random(fault)
        for pair in links:
            least = random.choice(LINK_DELAYS)
            network.links[pair].slow = (least, 2 * least)

        def heal() -> None:
            for pair in links:
                network.links[pair].slow = (0, 0)

        self._later(fault, heal)

    def _towards(self, name: Peer) -> list[tuple[Peer, Peer]]:
        return [(Peer(p), name) for p in NAMES if p != name]

    def _from(self, name: Peer) -> list[tuple[Peer, Peer]]:
        return [(name, Peer(p)) for p in NAMES if p != name]

    def _cut(self, fault: Fault, links: list[tuple[Peer, Peer]], *, hold: bool = False) -> None:
        network = self.product.network
        for a, b in links:
            (network.hold if hold else network.cut)(a, b)

        def heal() -> None:
            for a, b in links:
                network.heal(a, b)

        self._later(fault, heal)

    # --- disks ----------------------------------------------------------------------------------------------------

    def _do_disk_stall(self, name: Peer, fault: Fault) -> None:
        self.product.network.stall_disk(name, fault.until - fault.at)

    def _do_sync_error(self, name: Peer, fault: Fault) -> None:
        self._fail_disk(name, fault, full=False)

    def _do_disk_full(self, name: Peer, fault: Fault) -> None:
        self._fail_disk(name, fault, full=True)

    def _fail_disk(self, name: Peer, fault: Fault, *, full: bool) -> None:
        """Rule 8: the process ends, and the next one finds a disk that works."""
        self.product.network.fail_disk(name, full=full)
        wait = max(200 * MS, fault.until - fault.at)
        self.product.network.at(wait, lambda: self.product.start(name))

    def _do_bit_flip(self, name: Peer, fault: Fault) -> bool:
        """It goes on until it reads what is damaged, or ends and finds it at its start: it stays away, as one may."""
        product = self.product
        if product.rotten or product.copied:
            return False
        product.rotten = name
        disk = product.network.processes[name].disk
        damage = rot.flip(disk, self._random(fault))
        if disk.damaged:
            product.network.at(max(SOONEST, fault.until - fault.at), lambda: self._end(name, SOONEST, power=False))
        else:
            self._end(name, fault.until - fault.at, power=False)
            if damage:
                product.away[name] = damage
        return True

    def _do_old_copy(self, name: Peer, fault: Fault) -> bool:
        """Somebody keeps a copy of its disk, and later puts that in the place of the disk: one node's, as one may."""
        product = self.product
        if product.rotten or product.copied:
            return False
        product.copied = name
        copy = product.network.processes[name].disk.copy()
        copy.suspect = True  # as the store on a real disk finds by itself: tests/cluster/test_went_back.py

        def put() -> None:
            product.replace_disk(name, copy)
            product.network.at(SOONEST, lambda: product.start(name))

        self._later(fault, put)
        return True

    # --- venue ----------------------------------------------------------------------------------------------------

    def _do_slow(self, name: Peer, fault: Fault) -> None:
        """Its words to the venue are late: as a pause between the last check and the wire is, and a slow cable."""
        exchange = self.product.exchange
        exchange.slow[name] = WORDS_LATE[fault.pick % 4]
        self._later(fault, partial(_forget, exchange.slow, str(name)))

    def _do_venue_cut(self, name: Peer, fault: Fault) -> None:
        self.product.exchange.cut.add(name)
        self._later(fault, lambda: self.product.exchange.cut.discard(name))

    def _venue(self, fault: Fault, kind: str, **more: Any) -> None:
        exchange = self.product.exchange
        number = exchange.begin_fault({"kind": kind, **more})
        self._later(fault, lambda: exchange.heal(number))

    def _do_drop_answer(self, _name: Peer, fault: Fault) -> None:
        method = ("order.place", "order.cancel")[fault.pick // 4 % 2] if fault.pick & 8 else "order.place"
        self._venue(fault, "drop_answer", target=method, count=1 + fault.pick % 3)

    def _do_delay_answer(self, _name: Peer, fault: Fault) -> None:
        self._venue(fault, "delay_answer", target="order.place", count=2, delay_ms=700)

    def _do_drop_request(self, _name: Peer, fault: Fault) -> None:
        self._venue(fault, "drop_request", count=1 + fault.pick % 3)

    def _do_reject(self, _name: Peer, fault: Fault) -> None:
        code = (-1000, -1003, -1007, -2010)[fault.pick // 4 % 4]
        self._venue(fault, "reject", count=1 + fault.pick % 4, code=code)

    def _do_duplicate_event(self, _name: Peer, fault: Fault) -> None:
        self._venue(fault, "duplicate_event", count=5)

    def _do_reorder_events(self, _name: Peer, fault: Fault) -> None:
        self._venue(fault, "reorder_events", count=3)

    def _do_silence(self, name: Peer, fault: Fault) -> None:
        self._venue(fault, "silence", target=f"node:{name}")

    def _do_disconnect(self, name: Peer, fault: Fault) -> None:
        self._venue(fault, "disconnect", target=f"node:{name}", count=3)

    def _do_rate_limit(self, _name: Peer, fault: Fault) -> None:
        """Two to four requests are refused; from some of them on the address of whoever asks is banned."""
        pause, ban = (1, 2, 4)[fault.pick % 3], (2, 3, 5)[fault.pick // 3 % 3]
        count, refusals = 2 + fault.pick // 9 % 3, 1 + fault.pick // 27 % 3
        self._venue(fault, "rate_limit", count=count, refusals=refusals, ban_seconds=ban, pause_seconds=pause)
        self.pauses_end = max(self.pauses_end, max(fault.until, self.product.network.now) + max(pause, ban) * SECOND)

    def _do_maintenance(self, _name: Peer, fault: Fault) -> None:
        self._venue(fault, "maintenance")

    def _do_clock_offset(self, _name: Peer, fault: Fault) -> None:
        self._venue(fault, "clock_offset", offset_ms=VENUE_OFFSETS[fault.pick % len(VENUE_OFFSETS)])

    def _do_slow_venue(self, _name: Peer, fault: Fault) -> None:
        self._venue(fault, "slow", delay_ms=(50, 200, 500, 1200)[fault.pick % 4])

    def _do_stale_reads(self, _name: Peer, fault: Fault) -> None:
        """Where they are old, for so long that a balance is read twice meanwhile: only then is it believed."""
        lag, long = LONG_LAGS[fault.pick % 3], evolve(fault, until=fault.at + LAG_LASTS)
        if fault.pick // 3 % 8 not in LAG_LONG or self._hide_too_much(long, lag * MS):
            lag, long = LAGS[fault.pick % 3], fault
        self._venue(long, "stale_reads", lag_ms=lag)

    def _hide_too_much(self, fault: Fault, lag: int) -> bool:
        """Whether reads so old might not show what the engine held back when its absence proves it dead.

        Or are of before there was an account: nobody held anything then.
        """
        if fault.at <= lag + SECOND:
            return True
        return fault.until >= self.stall_began + PROVEN and fault.at <= self.stall_began + LONG_STALL + lag

    def _do_engine_stall(self, _name: Peer, fault: Fault) -> None:
        """Every fourth for nearly as long as `settle`, which must outlast it: what waits is admitted after all.

        Those that overlap last no longer together: an order that waited for 15 s was rightly called dead (venue 470).
        """
        if fault.at >= self.stall_ends:
            self.stall_began, self.stall_most = fault.at, fault.at + LONG_STALL
        until = min(fault.at + LONG_STALL if fault.pick % 4 == 0 else fault.until, self.stall_most)
        self.stall_ends = max(self.stall_ends, until)
        self._venue(evolve(fault, until=until), "engine_stall")

    def _do_lose_event(self, _name: Peer, fault: Fault) -> None:
        self._venue(fault, "lose_event", target=ACCOUNT, count=1 + fault.pick % 2)

    def _do_mix_events(self, _name: Peer, fault: Fault) -> None:
        """Every other time a few, else as long as it lasts."""
        self._venue(fault, "mix_events", target=ACCOUNT, **({} if fault.pick % 2 else {"count": 12}))
