"""Bereft: all nodes of a storm's group but one are lost for good, and the one that is left is made a group of its own.

Only that may live here: when it strikes, who is lost and how, what the operator waits for, and who comes back after
all.  What he makes of the disk is `recovery`'s, by the product's own decisions.

Of those who are lost one may only have been away: switched off, or out of everybody's reach and running.  It comes
back once the new group is there, under the name, the settings and the log that it had, and dials everybody.  More of
them could be a majority of the old group, which nothing could keep from going on: then they were not lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import TYPE_CHECKING, Final

from attrs import define, field

from chaos.checkers.facts import KILL
from chaos.sim.desk import member
from chaos.sim.network import FIRST, MS, SECOND, Network, Process
from chaos.sim.recovery import Refounded, refound, removed_by
from cluster.types import LogIndex, Peer

if TYPE_CHECKING:
    from chaos.sim.turnover import Turnover

IDLE, AWAITED, STRUCK, ALONE = "idle", "awaited", "struck", "alone"  # where it stands
NOW, CHANGE, SNAPSHOT, TAIL, BEHIND = "now", "change", "snapshot", "tail", "behind"  # the moment that it is awaited for
MOMENTS: Final = (NOW, CHANGE, CHANGE, SNAPSHOT, SNAPSHOT, TAIL, TAIL, BEHIND, BEHIND, BEHIND)
PATIENCE: Final = 3 * SECOND  # to wait for that; then it is now
LOOKS: Final = 5 * MS  # from one look for it to the next
LEAST: Final = 2  # entries of a log: the core's own first one is nothing to go on with


@define(eq=False)
class Bereft:
    """What befalls one storm; it may befall it more than once, one after the other."""

    storm: Turnover
    recovered: int = 0
    _phase: str = IDLE
    _random: Random = field(factory=lambda: Random(0))  # of the strike that strikes
    _takes: int = 0  # from the loss until the operator has done it
    _moment: str = NOW
    _until: int = 0  # that the moment is waited for
    _survivor: Peer = Peer("")
    _away: Peer | None = None  # who is not lost at all, until it is back
    _back: list[Peer] = field(factory=list)
    _names: list[str] = field(factory=lambda: [FIRST])  # that clusters had, the newest first

    @property
    def alone(self) -> bool:
        """Whether the others are lost, and nothing was made of it yet."""
        return self._phase == ALONE

    def strangers(self) -> list[Peer]:
        """Who is of an older group, and runs, or may run again."""
        return [*self._back, *([self._away] if self._away is not None and not self.alone else [])]

    @property
    def _network(self) -> Network:
        return self.storm.network

    def _ours(self) -> list[Process]:
        """The machines of the group that there is."""
        network = self._network
        return [process for name in network.names if (process := network.processes[name]).group == network.group]

    # When it strikes

    def strike(self, random: Random, takes: int, latest: int) -> None:
        """It is to be, at the next moment of some kind; not while the last one is under way."""
        if self._phase == IDLE and self._away is None:
            self._phase, self._random, self._takes = AWAITED, random, takes
            self._moment = random.choice(MOMENTS)
            self._until = min(self._network.now + PATIENCE, latest)
            self._survivor = Peer("")
            if self._moment == BEHIND:
                self._leave_behind()
            else:
                self._look()

    def changed(self) -> None:
        """A change of who takes part is about to be appended."""
        if self._phase == AWAITED and self._moment == CHANGE:
            self._soon()

    def _look(self) -> None:
        if self._phase != AWAITED:
            return
        if self._network.now >= self._until or self._has_come():
            self._soon()
        else:
            self._network.at(LOOKS, self._look)

    def _has_come(self) -> bool:
        """A snapshot is being staged somewhere; or two have written what they have not synced."""
        if self._moment == SNAPSHOT:
            return any(process.disk.staging is not None for process in self._ours())
        if self._moment == TAIL:
            stores = [process.store for process in self._ours()]
            return sum(store is not None and store.unsynced > 0 for store in stores) > 1
        return self._moment == NOW

    def _soon(self) -> None:
        self._phase = STRUCK
        self._network.at(self._random.choice((0, 1, self._random.randint(1, 80))) * MS, self._lose)

    def _leave_behind(self) -> None:
        """The others go on for a while without the one that will be left; it may have led them."""
        left = [process.name for process in self._ours() if self._could_be_left(process)]
        leaders = [name for name in left if self.storm.history.leading.get(name)]
        length = self._random.choice((self._random.randint(100, 700), self._random.randint(300, 2000))) * MS
        self._phase = STRUCK
        if left:
            self._survivor = self._random.choice(leaders or left if self._random.random() < 0.6 else left)
            if self._random.random() < 0.5:
                self._network.freeze(self._survivor, length)
            else:
                self.storm.cut_off(self._survivor, length)
        # Sometimes it hears the others anew, before they are lost.
        heard = self._random.choice((0, self._random.randint(1, 30), self._random.randint(1, 400))) * MS
        self._network.at(length + heard, self._lose)

    # Who is lost

    def _lose(self) -> None:
        if self._phase != STRUCK:
            return
        left = [process for process in self._ours() if self._could_be_left(process)]
        if not left:
            self._phase = IDLE
            return
        self._phase = ALONE
        self._survivor = self._chosen(left)
        others = [process for process in self._ours() if process.name != self._survivor]
        may_be_away = [process for process in others if process.name not in self.storm.gone and process.disk.entries]
        if may_be_away and self._random.random() < 0.8:
            leaders = [process for process in may_be_away if self.storm.history.leading.get(process.name)]
            self._switch_off(self._random.choice(leaders if leaders and self._random.random() < 0.4 else may_be_away))
        for process in others:
            if process.name != self._away:
                self.storm.turn_off(process.name, power=True)
        if self._random.random() < 0.5:
            self.storm.stop(self._survivor, power=True, keep=self._random.choice((None, 0, 0)))
            if self._random.random() < 0.5:
                self._network.at(self._random.randint(1, 300) * MS, self.storm.start, self._survivor)
        self._network.at(self._takes, self._refound)

    def _chosen(self, left: list[Process]) -> Peer:
        """Who is left: who was left behind, or is being sent a snapshot, where that is the moment; else anybody."""
        staging = [process for process in left if process.disk.staging is not None]
        if self._survivor in {process.name for process in left}:
            return self._survivor
        if self._moment == SNAPSHOT and staging and self._random.random() < 0.7:
            left = staging
        return self._random.choice(left).name

    def _could_be_left(self, process: Process) -> bool:
        """A damaged disk is refused, as the product refuses it; a node that was removed is no operator's choice."""
        disk, name = process.disk, process.name
        whole = not disk.damaged and name not in self.storm.away and name != self.storm.rotten
        return whole and name in self.storm.members() and disk.first - 1 + len(disk.entries) >= LEAST

    def _switch_off(self, process: Process) -> None:
        """It seems lost: off, or out of reach.  A process that only stands still would take connections."""
        self._away = process.name
        if process.replica is not None and self._random.random() < 0.6:
            self._network.part(process.name)
            self.storm.gone.add(process.name)  # so that nobody starts it, whatever befalls it there
        else:
            self.storm.turn_off(process.name, power=self._random.random() < 0.5)

    # What is made of it

    def _refound(self) -> None:
        if self._phase != ALONE:
            return
        survivor = self._survivor
        self.storm.stop(survivor, power=self._random.random() < 0.5, keep=None)
        disk = self._network.processes[survivor].disk
        self._read(self._network.processes[survivor])
        members = [member(name) for name in self._named(removed_by(disk))]
        made = refound(disk, tuple(self._names), members, self.storm.history.made(), self._random)
        self._take(made)
        self._phase = IDLE
        if self._away is not None:
            self._network.at(self._random.choice((0, 1, self._random.randint(1, 3000))) * MS, self._come_back)

    def _read(self, process: Process) -> None:
        """What the operator finds on that disk is noted, as of a process that looked at it and ended."""
        history, disk = self.storm.history, process.disk
        history.machine(process.name).load(LogIndex(disk.meta.applied_index), sorted(disk.state.items()))
        history.recorder.started(process)
        history.recorder.ended(process.name, KILL)

    def _named(self, removed: frozenset[Peer]) -> Iterator[Peer]:
        """As many as there were: the survivor's name, mostly, lost ones on new machines, and new ones."""
        names = [process.name for process in self._ours() if process.name != self._away]
        old = [name for name in names if name not in removed]
        wanted = self.storm.wanted
        for name in self._random.sample(old, len(old)):
            if wanted and self._random.random() < (0.8 if name == self._survivor else 0.4):
                wanted -= 1
                yield name
        for _ in range(wanted):
            yield self.storm.named()

    def _take(self, made: Refounded) -> None:
        """The new group is there; nothing of the one before runs but who was away."""
        storm, network = self.storm, self._network
        self.recovered += 1
        storm.desk.asked["recover"] += 1
        self._names.insert(0, made.founding.cluster)
        lost = {process.name for process in self._ours()} - {*made.disks}
        storm.history.recorder.recovered(made.facts(network.now))
        network.found(made.founding.cluster, made.members, made.disks)
        storm.gone.difference_update(made.disks)
        storm.refounded(made.in_force, lost)
        for name in made.disks:
            network.at(self._random.choice((0, self._random.randint(1, 300))) * MS, storm.start, name)

    # Who was not lost at all

    def _come_back(self) -> None:
        if self._away is None:
            return
        name, self._away = self._away, None
        self.storm.gone.discard(name)
        self._back.append(name)
        self._network.rejoin(name)
        self.storm.start(name)

    def heal(self) -> None:
        """What is under way is done, what has not begun is not; and who was away is back."""
        if self._phase == ALONE:
            self._refound()
        self._phase = IDLE
        self._come_back()
