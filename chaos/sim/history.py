"""History: what replicas did in a run of the cluster alone, and the machine that they run there.

A watcher of `chaos.sim.network`.  It has everything noted as facts, and judges nothing itself but the state machine's
own order; `finish` has the checkers judge the facts.  It repairs and hides nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from attrs import define, field

from chaos.checkers.all import check_replication
from chaos.checkers.facts import FAULT, Answered, Ended, Facts, Led, Started, Voted
from chaos.checkers.liveness import liveness
from chaos.checkers.lives import lives
from chaos.checkers.registers import NOTHING, decode
from chaos.checkers.verdict import Check
from chaos.sim.facts import Recorder
from chaos.sim.network import Process
from cluster.members import Configuration
from cluster.replica import Ready
from cluster.types import ApplyOutcome, Coming, LogIndex, Outcome, Peer, Role, RoleChanged, Term, Token

_CHAIN: Final = b"chain"
_REGISTER: Final = b"r:"
_TAKEN: Final = 2  # pairs at once


class Violation(AssertionError):
    """Something that may not happen has happened."""


class RegisterMachine:
    """A state machine of registers, and a hash chain over everything applied, so that any difference shows."""

    def __init__(self) -> None:
        self.chain = b""
        self.applied = 0
        self.chains: dict[int, bytes] = {}  # by index; what this process applied, and what it found
        self.registers: dict[bytes, bytes] = {}

    def load(self, applied: LogIndex, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Become what was stored."""
        stored = dict(pairs)
        self.applied = applied
        self.chain = stored.pop(_CHAIN, b"")
        self.chains[applied] = self.chain
        self.registers = {key.removeprefix(_REGISTER): value for key, value in stored.items()}

    def prepare(self) -> Coming:
        """Begin to become what a snapshot brings."""
        return _Coming(self)

    def apply(self, index: LogIndex, term: Term, commands: tuple[bytes, ...]) -> ApplyOutcome:
        """Add an entry to the chain; a register's command answers with what it saw, any other with the chain."""
        if index != self.applied + 1:
            raise Violation(f"entry {index} applied after {self.applied}")
        self.applied = index
        entry = b"%d:%d:%d:" % (index, term, len(commands)) + b"\0".join(commands)
        self.chain = self.chains[index] = hashlib.blake2b(self.chain + entry, digest_size=16).digest()
        changed: dict[bytes, bytes | None] = {_CHAIN: self.chain}
        results = tuple([self._run(command, changed) for command in commands])
        return ApplyOutcome(results, tuple(changed.items()), commands)

    def _run(self, command: bytes, changed: dict[bytes, bytes | None]) -> bytes:
        operation = decode(command)
        if operation is None:
            return self.chain
        saw = self.registers.get(operation.key, NOTHING)
        after = operation.after(saw)
        if after != saw:
            self.registers[operation.key] = after
            changed[_REGISTER + operation.key] = after
        return saw


class _Coming:
    """The pairs of a machine's next state, few at once, so that much happens while it is made; see `cluster.types`."""

    def __init__(self, machine: RegisterMachine) -> None:
        self._machine = machine
        self._pairs: list[tuple[bytes, bytes]] = []
        self._applied = LogIndex(0)

    def take(self, pairs: Sequence[tuple[bytes, bytes]]) -> int:
        self._pairs += pairs[:_TAKEN]
        return min(_TAKEN, len(pairs))

    def end(self, applied: LogIndex) -> None:
        self._applied = applied

    def take_over(self) -> None:
        self._machine.load(self._applied, self._pairs)

    def leave(self) -> bool:
        del self._pairs[:_TAKEN]
        return bool(self._pairs)


@define(eq=False)
class History:
    """One run."""

    now: Callable[[], int] = field(default=lambda: 0)
    machines: dict[Peer, RegisterMachine] = field(factory=dict)
    outcomes: dict[Token, Outcome] = field(factory=dict)
    leaders: dict[int, Peer] = field(factory=dict)  # by term
    leading: dict[Peer, bool] = field(factory=dict)  # whether it leads now
    roles: list[tuple[Peer, RoleChanged]] = field(factory=list)
    faults: list[tuple[Peer, Exception]] = field(factory=list)
    checks: tuple[Check, ...] = ()
    made: Callable[[], RegisterMachine] = RegisterMachine
    members: Configuration | None = None  # who takes part at first, where that may change
    recorder: Recorder = field(init=False)

    def __attrs_post_init__(self) -> None:
        now = lambda: self.now()  # noqa: E731, PLW0108 # `now` is set when there is a network
        self.recorder = Recorder(now, self._state, self.members)

    def _state(self, name: Peer, index: int) -> bytes:
        return self.machines[name].chains[index]

    def machine(self, name: Peer) -> RegisterMachine:
        """A new machine for a node that starts."""
        self.machines[name] = self.made()
        return self.machines[name]

    def started(self, process: Process) -> None:
        """It loaded the state of an index."""
        self.leading[process.name] = False
        self.recorder.started(process)

    def fault(self, process: Process, error: Exception) -> None:
        """A replica raised: never, unless the test does it."""
        self.recorder.ended(process.name, FAULT)
        self.faults.append((process.name, error))
        if isinstance(error, Violation):
            raise error

    def ready(self, process: Process, ready: Ready) -> None:
        """A step."""
        self.recorder.stepped(process, ready)
        if not (ready.roles or ready.outcomes):
            return
        for change in ready.roles:
            self.roles.append((process.name, change))
            self.leading[process.name] = change.role is Role.LEADER
            if change.role is Role.LEADER:
                self.leaders.setdefault(change.term, process.name)
        self.outcomes.update(ready.outcomes)

    def facts(self) -> Facts:
        """What was noted."""
        return self.recorder.history()

    def finish(self) -> None:
        """At the end, with everything healed.

        Raises:
            Violation: a check has not held.
        """
        facts = self.facts()
        newest = lives(facts)[-1]
        self._same_registers(newest.nodes)
        self.checks = (*check_replication(facts, registers=True), liveness(newest))
        for check in self.checks:
            if check.violations:
                raise Violation(f"{check.name}: {check.violations[0]} ({len(check.violations)} such)")

    def _same_registers(self, nodes: Collection[str]) -> None:
        """The chain is over what was applied, the registers are what came of it: a snapshot brings both."""
        found: dict[int, tuple[Peer, dict[bytes, bytes]]] = {}
        for name, machine in sorted(self.machines.items()):
            if name not in nodes:
                continue
            other, registers = found.setdefault(machine.applied, (name, machine.registers))
            if registers != machine.registers:
                raise Violation(f"state_machine_safety: {name} and {other} differ in registers at {machine.applied}")

    def digest(self, *, whole: bool = True) -> str:
        """One value for the run: equal runs have equal digests.

        Not `whole`: over elections, votes, outcomes and the nodes' last states, which is a tenth of the work.
        """
        chosen = self.recorder.facts if whole else self.facts().only(Answered, Led, Voted, Ended)
        ends = [(name, machine.applied, machine.chain) for name, machine in sorted(self.machines.items())]
        starts = sum(isinstance(fact, Started) for fact in chosen)
        return hashlib.sha256(repr((chosen, ends, starts)).encode()).hexdigest()
