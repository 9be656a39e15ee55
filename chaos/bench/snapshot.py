"""Snapshot: what a client's commits feel of one that is taken, and of one that is sent.

Only the order of things may live here.  Three nodes begin with so many open orders, and keep next to nothing of their
logs.  A round: orders at a steady pace (`beside`) with all three; a standby is killed until nobody's log has what it
lacks, and the same is measured with the two.  Then its process, which was started and held back before that, so that no
start runs beside what is measured, opens its folder, and needs a snapshot; its leader takes and sends it beside the
orders, until that standby has caught up.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from chaos.bench.beside import NOTHING, SENDING, TAKING, phase_of
from chaos.bench.child import READY_WITHIN, BenchFault, Child, Disturbed
from chaos.bench.disk import Syncs
from chaos.bench.figures import Row, Turn, Who, row_of
from chaos.bench.restart import STARTS, Writer, caught_up
from chaos.bench.systems import NODES, PATIENCE, OurCluster, Ours
from chaos.rig.broken import Broken, so_far
from cluster import pki
from cluster.types import Peer

KEPT: Final = 100  # entries of a log
AGAIN: Final = 3 * KEPT  # commands until it is looked whether the standby lacks what the log had
TRANSFER: Final = 300.0  # seconds that one may take
TRIES: Final = 3  # of a round, when elections end it
HELD: Final = "standby held"
NOTES: Final = {
    "three nodes": "an order every 5 ms, timed from when it is due; nothing of snapshots",
    "one away": "the same with a standby down: what taking and sending are compared with",
    TAKING: "the same while the leader reads its state to name it by its digest, one standby as yet without",
    SENDING: "the same while the leader sends it and that standby stages, verifies and installs it",
    HELD: "the longest step of the standby that installs it, until it has caught up: it answers nobody meanwhile",
    "transfer": "from the first reading of the state until the leader has sent it and heard that it is installed",
}


@define
class Snapshot:
    """One run of it."""

    folder: Path
    syncs: Syncs
    samples: int
    say: Callable[[str], None]
    took: dict[str, list[Turn]] = field(factory=dict)
    lasted: list[dict[str, float]] = field(factory=list)
    disturbed: int = 0
    broken: Broken = field(factory=Broken)

    def run(self, orders: int, rounds: int) -> list[Row]:
        """The state once, then so many snapshots of it."""
        pki.create(self.folder / "pki", "bench", [Peer(one) for one in NODES], dt.datetime.now(dt.UTC))
        began = time.monotonic()
        size = Writer(self.folder).fill(orders, self.say)
        self.say(
            f"a state of {orders:,} open orders, {size / 1e6:,.1f} MB, took {time.monotonic() - began:.0f} s to make"
        )
        with so_far(self.lasted) as self.broken, Ours("core", retention=KEPT).running(self.folder, STARTS) as cluster:
            for number in range(rounds):
                self.syncs.look()
                self._round(cluster, number)
        return self._rows(size, orders)

    def _rows(self, size: int, orders: int) -> list[Row]:
        whole = Turn(tuple(one[TAKING] + one[SENDING] for one in self.lasted))
        rows = [row_of("snapshot", _who(each), self.took[each]) for each in NOTES if each in self.took]
        more = {each: [round(one[each]) for one in self.lasted] for each in (TAKING, SENDING)}
        return [*rows, row_of("snapshot", _who("transfer"), [whole], None, bytes=size, orders=orders, **_ms(more))]

    def _round(self, cluster: OurCluster, number: int) -> None:
        for _ in range(TRIES):
            leader = cluster.leader()
            name = [one for one in NODES if cluster.children[one] is not leader][number % (len(NODES) - 1)]
            try:
                self._once(cluster, leader, name)
            except Disturbed as why:
                self.disturbed += 1
                self.say(f"an election ended this round ({why}); it is made again")
                cluster.children[name].kill()
                cluster.children[name].end()
                cluster.start(name)
                cluster.children[name].heard(STARTS)
                _at_rest(cluster, name)
            else:
                return
        raise BenchFault("no election held still for one round: the machine is too busy")

    def _once(self, cluster: OurCluster, leader: Child, name: str) -> None:
        found = {"three nodes": _plain(leader, self.samples)}
        cluster.children[name].kill()
        cluster.children[name].end()
        cluster.start(name, hold=True)
        cluster.children[name].heard(READY_WITHIN)
        _leave_behind(leader, name)
        found["one away"] = _plain(leader, self.samples)
        leader.tell(do="beside", seconds=TRANSFER)
        cluster.children[name].ask(STARTS, do="go")
        said = leader.heard(TRANSFER + PATIENCE)
        if not said["over"] or not said["us"][TAKING] or not said["us"][SENDING]:
            raise BenchFault(f"no whole snapshot was sent to {name} within {TRANSFER:g} s: {said['lasted_ms']}")
        caught_up(cluster, name)
        held = float(cluster.children[name].ask(PATIENCE, do="status")["held_ms"])
        found[HELD] = Turn((held,))
        for phase in (TAKING, SENDING):
            found[phase] = Turn(tuple(us / 1e3 for us in said["us"][phase]))
        for each, turn in found.items():
            self.took.setdefault(each, []).append(turn)
        self.lasted.append(said["lasted_ms"])
        lasted = ", ".join(f"{phase} {ms:,.0f} ms" for phase, ms in said["lasted_ms"].items())
        around = f"{len(said['us'][NOTHING])} commits around it, held for {held:,.0f} ms"
        self.say(f"snapshot {len(self.lasted)}: {name}: {lasted}, {around}")


def _plain(leader: Child, samples: int) -> Turn:
    """So many orders; looked at in the same way."""
    said = leader.ask(TRANSFER + PATIENCE, do="beside", count=samples, seconds=TRANSFER)
    if said["us"][TAKING] or said["us"][SENDING]:
        raise BenchFault("a snapshot was sent where none was to be")
    return Turn(tuple(us / 1e3 for us in said["us"][NOTHING]))


def _at_rest(cluster: OurCluster, name: str) -> None:
    """That standby, which may lack what the log had, has been sent its snapshot: the next try shall meet none of it."""
    caught_up(cluster, name)
    deadline = time.monotonic() + TRANSFER
    while time.monotonic() < deadline:
        said = [child.ask(PATIENCE, do="status") for child in cluster.children.values()]
        if all(phase_of(one["snapshot"]) == NOTHING and not one["lacking"] for one in said):
            return
        time.sleep(0.05)
    raise BenchFault(f"a snapshot was still sent {TRANSFER:g} s after a round that an election had ended")


def _leave_behind(leader: Child, name: str) -> None:
    """Until the log has no more what that standby lacks."""
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        leader.ask(2 * PATIENCE, do="commit", callers=1, count=AGAIN, seconds=PATIENCE, size=0)
        if name in leader.ask(PATIENCE, do="status")["lacking"]:
            return
    raise BenchFault(f"the log was not shortened behind {name} within {READY_WITHIN:g} s")


def _who(variant: str) -> Who:
    return Who("meltica", variant, NOTES[variant])


def _ms(more: dict[str, Any]) -> dict[str, Any]:
    return {f"{name}_ms": values for name, values in more.items()}
