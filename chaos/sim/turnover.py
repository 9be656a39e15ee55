"""Turnover: storms of replication alone in which operators also have nodes replaced, one after the other.

Only what happens to who takes part may live here: the old node is healthy, killed, cut off, frozen or lost for good,
a fault strikes while its replacement is under way, and whoever was removed runs on, and dials everybody.  What becomes
of all where only one is left is `bereft`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from random import Random
from typing import Any, Final

from chaos.sim import rot, strikes
from chaos.sim.bereft import Bereft
from chaos.sim.desk import Desk, Replacement, founding, in_force, member, settled
from chaos.sim.history import History, RegisterMachine, Violation
from chaos.sim.network import MS, SECOND, Process
from chaos.sim.plan import Fault
from chaos.sim.profiles import ASKED_ALONE, FATES, MEANWHILE, WAITING, WENT_BACK
from chaos.sim.storm import Storm
from chaos.sim.wentback import WentBack
from cluster.members import AddLearner, Change, Configuration
from cluster.replica import Replica
from cluster.types import ApplyOutcome, LogIndex, Peer, Term, Token

LINGER: Final = 2  # who was removed and runs on, at most
STRANGER: Final = Peer("n0")  # a machine that nobody ever starts
COMPLETED_WITHIN: Final = 10 * SECOND  # with everything healed
_VOUCHES: Final = 25  # entries from one digest to the next


class VouchedMachine(RegisterMachine):
    """A machine of registers whose states the nodes compare (`cluster.types.Accountable`)."""

    def about(self) -> bytes:
        """Something, so that all say it."""
        return b"simulated"

    def vouch(self, index: LogIndex) -> bytes | None:
        """The chain, now and then."""
        return self.chain if index % _VOUCHES == 0 else None

    def stopped(self, index: LogIndex, digest: str, error: Exception) -> str:
        """Never: nothing here raises but for a reason."""
        raise Violation(f"apply of entry {index} ({digest}) raised {error!r}")

    def ahead(self, _index: LogIndex, _term: Term, _commands: tuple[bytes, ...]) -> bool:
        """Nothing is isolated."""
        return False

    def speaks_of_stop(self, _command: bytes) -> bool:
        """Nothing stops."""
        return False

    def isolate(self, index: LogIndex, _term: Term, _commands: tuple[bytes, ...]) -> ApplyOutcome:
        """Never asked for."""
        raise Violation(f"entry {index} is to be isolated")


class Turnover(Storm):
    """One run."""

    def __init__(self, seed: int, profile: str = "tcp", *, nodes: int = 3, **more: Any) -> None:
        """As a storm's."""
        first = founding(nodes)
        super().__init__(seed, profile, nodes=nodes, members=first, machine=VouchedMachine, **more)
        self.operators = Random(f"operators {self._seed}")  # what they do, and of whom they ask it
        self.desk = Desk(self.network, self.history.recorder, self.operators, self._next_token, self._accepted)
        self.replacements: list[Replacement] = []  # under way
        self.gone: set[Peer] = set()  # machines that never run again
        self._removed: list[Peer] = []  # in that order
        self.wanted = nodes  # voters
        self._newest = first  # the newest that a leader knew to be committed, when somebody looked last
        self._made = nodes  # names
        self._careful = False  # a node is lost for good: nothing but its replacement is asked for
        self._begin_at = 1500 * MS
        self._changed_at = 0  # when a change was asked for last
        self._waiting: list[Fault] = []  # strikes whose moment has not come
        self.bereft = Bereft(self)
        self.went_back = WentBack(self)

    def _plan(self, seed: int, profile: str, duration: int, rest: int) -> tuple[Fault, ...]:
        short_logs = self.network.retention is not None
        return strikes.strikes(seed, profile, duration, rest, short_logs=short_logs, turnover=True)

    def run(self) -> History:
        """As a storm's."""
        self.network.at(SECOND, self._work)
        return super().run()

    def _next_token(self) -> Token:
        self._token += 1
        return Token(self._token)

    # Who is there

    def _struck(self) -> tuple[Peer, ...]:
        """As long as only one is left the others count too: nothing comes of what strikes them."""
        coming = [one.new.name for one in self.replacements]
        names = dict.fromkeys([*self._newest.voting, *self._newest.learning, *coming])
        there = [name for name in names if name in self.network.processes]
        return tuple([name for name in there if name not in self.gone or self.bereft.alone])

    def _asked(self) -> Peer:
        """Now and then somebody who has not heard that another group has taken the old one's place."""
        others = self.bereft.strangers()
        return self._load.choice(others) if others and self._load.random() < 0.05 else super()._asked()

    def _leaders(self) -> list[Peer]:
        """Of the group that there is."""
        processes, group = self.network.processes, self.network.group
        return [name for name in super()._leaders() if processes[name].group == group]

    def _lingering(self) -> list[Peer]:
        return [name for name in (*self._removed, *self.bereft.strangers()) if name not in self.gone]

    def _someone(self) -> Peer:
        """Mostly of those who take part."""
        lingering = self._lingering()
        return self.random.choice(lingering) if lingering and self.random.random() < 0.1 else super()._someone()

    def _look(self) -> Configuration:
        for name in self._leaders():
            replica = self.network.processes[name].replica
            if replica is not None and (found := settled(replica)).number > self._newest.number:
                self._newest = found
                known = {*self._removed, STRANGER}
                self._removed += [peer for peer in found.removed if peer not in known]
        return self._newest

    def _owing(self) -> list[Process]:
        members = {*self._look().voting, *self._newest.learning}
        return [process for process in self.network.alive() if process.name in members]

    def _start(self, name: Peer) -> None:
        if name not in self.gone:
            super()._start(name)

    # What operators do

    def _work(self) -> None:
        if self.network.now >= self._duration:
            return
        if self.bereft.alone:
            self.network.at(50 * MS, self._work)
            return
        self._look()
        under_way = [one for one in self.replacements if not one.done and not one.hopeless]
        if len(under_way) < len(self.replacements):
            self.replacements = under_way
            self._careful = self._careful and bool(under_way)
            self._begin_at = self.network.now + self.operators.randint(0, 1500) * MS
        self._part()
        second = len(under_way) == 1 and not self._careful and self.operators.random() < 0.002
        if second or (not under_way and self.network.now >= self._begin_at):
            self._begin()
        elif under_way:
            self._ask(self.operators.choice(under_way))
        self.network.at(self.operators.randint(5, 60) * MS, self._work)

    def _part(self) -> None:
        """Of those who were removed a few run on; who was removed first is turned off."""
        lingering = [name for name in self._removed if name not in self.gone]
        for name in lingering[:-LINGER]:
            self.turn_off(name)

    def stop(self, name: Peer, *, power: bool, keep: int | None) -> None:
        """Its process ends, or its machine: then `keep` batches survive of what it had not synced, or any number."""
        self._end(name, power=power, keep=keep)

    def turn_off(self, name: Peer, *, power: bool = False) -> None:
        """It never runs again, unless somebody says so."""
        self._end(name, power=power)
        self.gone.add(name)

    def start(self, name: Peer) -> None:
        """It runs, if it may."""
        self._start(name)

    def cut_off(self, name: Peer, length: int) -> None:
        """It and the others do not hear each other for so long."""
        self._separate([pair for pair in self.network.links if name in pair], length)

    def members(self) -> tuple[Peer, ...]:
        """Who takes part, as far as anybody has looked."""
        return (*self._newest.voting, *self._newest.learning)

    def voting(self) -> tuple[Peer, ...]:
        """Who of them votes."""
        return self._newest.voting

    def _ask(self, replacement: Replacement) -> None:
        chance = self.operators.random()
        if self._come(ASKED_ALONE) is not None:
            self._ask_alone(replacement)
        elif chance < 0.1 and not self._careful:
            self._changed_at = self.network.now
            self.desk.blunder(self._whom(), self._newest, (STRANGER,))
        else:
            asked = [self._whom()] * (2 if chance < 0.2 else 1)
            if chance > 0.9:
                asked.append(self.operators.choice(self._struck()))
            for name in asked:
                self.desk.ask(name, replacement)

    def _whom(self) -> Peer:
        leaders = self._leaders()
        return self.operators.choice(leaders if leaders and self.operators.random() < 0.8 else self._struck())

    # Strikes that wait for their moment

    def _strike(self, fault: Fault) -> None:
        if fault.kind in WAITING:
            self._waiting.append(fault)
        elif fault.kind in WENT_BACK:  # counted if it comes to be
            self._struck_by(fault)
            self.went_back.strike(fault.kind, self._someone(), self.random, self._lasts)
        else:
            super()._strike(fault)

    def _come(self, *kinds: str) -> Fault | None:
        """What waited for this moment longest strikes now."""
        for fault in self._waiting:
            if fault.kind in kinds:
                self._waiting.remove(fault)
                self._count(fault.kind)
                self._struck_by(fault)
                return fault
        return None

    def _ask_alone(self, replacement: Replacement) -> None:
        """A leader that hears nobody any more, and does not know it yet."""
        for name in self._leaders()[:1]:
            self._leave(name)
            self.network.at(self.random.randint(0, 300) * MS, self.desk.ask, name, replacement)

    def _accepted(self, name: Peer, change: Change) -> None:
        """A change is about to be appended; now and then something happens to it on its way."""
        self._changed_at = self.network.now
        self.bereft.changed()
        if self.network.now >= self._duration - SECOND // 2 or self._come(MEANWHILE) is None:
            return
        new = change.member.name if isinstance(change, AddLearner) else change.name
        found: list[Callable[[], None]] = [
            self._hand_over, self._resign, self._kill, self._partition, self._power_all, self._stall_disk, self._freeze,
            partial(self._power_off_on, name), partial(self._restart, name), partial(self._unplug_tail, name),
            partial(self._leave, name),
        ]  # fmt: skip
        if new in self.network.processes:
            found += [partial(self._power_off_on, new), partial(self._kill_one, new), partial(self._leave, new)]
        wait = self.random.choice((0, 1, self.random.randint(1, 80))) * MS
        self._later(wait, self.random.choice(found))

    def _unplug_tail(self, name: Peer) -> None:
        """What it has not synced is lost."""
        self._end(name, power=True, keep=0)
        self._start_later(name, self._lasts)

    def _leave(self, name: Peer) -> None:
        """It is cut off from everybody."""
        self._separate([pair for pair in self.network.links if name in pair])

    # A replacement begins

    def _begin(self, old: Peer | None = None) -> None:
        """Somebody is to go, or went before; another machine is there."""
        configuration = self._look()
        if old is None and len(configuration.voting) < self.wanted and configuration.removed:
            old = configuration.removed[-1]
        elif old is None:
            leaders = [name for name in self._leaders() if name in configuration.voting]
            old = self.operators.choice(leaders if leaders and self.operators.random() < 0.3 else configuration.voting)
            if old in {one.old for one in self.replacements}:
                return
            self._befall(old)
        new = self.named()
        self.network.add(new)
        self.network.at(self.operators.choice((0, self.operators.randint(0, 400))) * MS, self._start, new)
        self.replacements.append(Replacement(old, member(new)))

    def _befall(self, old: Peer) -> None:
        """Why it is replaced; nothing has befallen it, mostly."""
        fault = self._come(*FATES)
        if fault is None:
            return
        fate, away = fault.kind, self._lasts
        if fate == "old_lost" and self.may_lose():
            self._end(old, power=True)
            self.gone.add(old)
            self._careful = True
        elif fate == "old_cut_off":
            self._separate([pair for pair in self.network.links if old in pair], away)
        elif fate == "old_frozen":
            self.network.freeze(old, away)
        else:
            self._end(old, power=self.random.random() < 0.5)
            self._start_later(old, away)

    def may_lose(self) -> bool:
        """Whether one voter may be lost for good: no change is under way in any log, nor asked for just now."""
        network = self.network
        names = self._struck()
        voting = self._newest.voting
        alive = [process for name in names if (process := network.processes[name]).replica is not None]
        if self.replacements or self.bereft.alone:
            return False
        if len(voting) < 3 or len(alive) < len(names) or self.gone.intersection(voting):
            return False
        if network.now - self._changed_at < SECOND or any(one.frozen_until > network.now for one in alive):
            return False
        found = {in_force(one.replica) for one in alive if one.replica is not None}
        return found == {self._newest} and len(self._leaders()) == 1

    def _flip_bit(self) -> None:
        """As a storm's: whose disk is damaged is replaced."""
        name = self._someone()
        if self.rotten or name not in self._newest.voting or not self.may_lose():
            return
        self.lose(name)
        disk = self.network.processes[name].disk
        damage = rot.flip(disk, self.random)
        if disk.damaged:
            self.network.at(self._lasts, self._end_and_start, name)
        else:
            self._end(name, power=False)
            if damage:
                self.away[name] = damage
            self._start_later(name, self._lasts)

    def lose(self, name: Peer) -> None:
        """What its disk had is lost, or may be: another node takes its place; nothing else is asked for meanwhile."""
        self.rotten = name
        self._careful = True
        self._begin(name)

    def _pass_on(self, replica: Replica, to: Peer) -> None:
        if to in in_force(replica).voting:
            replica.transfer(to)

    # All but one are lost

    def _recover(self) -> None:
        self.bereft.strike(self.random, self._lasts, self._duration - SECOND)

    def refounded(self, configuration: Configuration, lost: Iterable[Peer]) -> None:
        """Another group is there; who is lost of the one before is not there any more, and nothing is under way."""
        self.replacements.clear()
        self.gone.update(lost)
        self._newest, self._removed = configuration, []
        self.away = {name: why for name, why in self.away.items() if name not in configuration.voting}
        self.rotten = None if self.rotten in configuration.voting else self.rotten  # the name is another disk's now
        self.wanted = len(configuration.voting)
        self._careful = False
        self._begin_at = self.network.now + self.operators.randint(300, 2000) * MS

    def named(self) -> Peer:
        """A name that nobody had."""
        self._made += 1
        return Peer(f"n{self._made}")

    # The end

    def _heal(self) -> None:
        self.bereft.heal()
        super()._heal()

    def _start_all(self) -> None:
        for name in self.network.names:
            self.network.go_on(name)
            self._start(name)
        voting = self._look().voting
        there = [name for name in voting if self.network.processes[name].replica is not None]
        if len(there) <= len(voting) // 2:
            raise Violation(f"the storm itself: healed, and of {', '.join(voting)} only {', '.join(there)} are there")

    def _finish(self) -> None:
        self._settle()
        self._complete()
        self._settle()
        for name in self.bereft.strangers():
            self.turn_off(name)
        self.history.finish()
        if self.went_back.unsaid:
            raise Violation("; ".join(self.went_back.unsaid))

    def _complete(self) -> None:
        """Operators go on, and nothing stands in their way."""
        end = self.network.now + COMPLETED_WITHIN
        while under_way := [one for one in self.replacements if not one.done and not one.hopeless]:
            if self.network.now >= end:
                names = ", ".join(f"{one.old} by {one.new.name}" for one in under_way)
                raise Violation(f"liveness: {COMPLETED_WITHIN // SECOND} s after the healing not replaced: {names}")
            for name in self._leaders():
                self.desk.ask(name, under_way[0])
            self.network.run(20 * MS)
