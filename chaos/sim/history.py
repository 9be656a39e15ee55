"""History: what nodes did in a simulated run, and what may not happen in one.

A watcher of `chaos.sim.network`: each observation is checked as it is made, so that the first violation names its
moment.  It raises Violation; it repairs and hides nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from attrs import define, field

from chaos.sim.network import Process
from cluster.replica import Ready
from cluster.types import (
    Applied,
    AppliedEntry,
    ApplyOutcome,
    LogIndex,
    NotLeader,
    Outcome,
    Peer,
    Role,
    RoleChanged,
    Term,
    Token,
)

_CHAIN: Final = b"chain"


class Violation(AssertionError):
    """Something that may not happen has happened."""


class ChainMachine:
    """A state machine that only remembers: a hash chain over everything applied, so that any difference shows."""

    def __init__(self) -> None:
        self.chain = b""
        self.applied = 0
        self.chains: dict[int, bytes] = {}  # by index; what this process applied

    def load(self, applied: LogIndex, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Become what was stored."""
        self.applied = applied
        self.chain = dict(pairs).get(_CHAIN, b"")

    def apply(self, index: LogIndex, term: Term, commands: tuple[bytes, ...]) -> ApplyOutcome:
        """Add an entry to the chain; the result of each command is the chain behind it."""
        if index != self.applied + 1:
            raise Violation(f"entry {index} applied after {self.applied}")
        self.applied = index
        for part in (b"%d:%d" % (index, term), *commands):
            self.chain = hashlib.blake2b(self.chain + part, digest_size=16).digest()
        self.chains[index] = self.chain
        return ApplyOutcome(tuple(self.chain for _ in commands), ((_CHAIN, self.chain),), commands)


@define(eq=False)
class History:
    """One run."""

    leaders: dict[int, Peer] = field(factory=dict)  # by term
    entries: dict[int, tuple[int, tuple[bytes, ...], bytes]] = field(factory=dict)  # term, commands, chain
    places: dict[bytes, int] = field(factory=dict)  # where a command was applied first
    proposed: dict[Token, bytes] = field(factory=dict)
    outcomes: dict[Token, Outcome] = field(factory=dict)
    machines: dict[Peer, ChainMachine] = field(factory=dict)
    roles: list[tuple[Peer, RoleChanged]] = field(factory=list)
    faults: list[tuple[Peer, Exception]] = field(factory=list)
    trace: list[tuple[object, ...]] = field(factory=list)

    def machine(self, name: Peer) -> ChainMachine:
        """A new machine for a node that starts."""
        self.machines[name] = ChainMachine()
        return self.machines[name]

    def started(self, process: Process) -> None:
        """It loaded the state of an index: that must be the state that everyone had there."""
        machine = self.machines[process.name]
        self.trace.append((process.name, "started", machine.applied))
        if machine.applied and self.entries[machine.applied][2] != machine.chain:
            raise Violation(f"{process.name} loaded at {machine.applied} a state that nobody had there")

    def fault(self, process: Process, error: Exception) -> None:
        """A replica raised: never, unless the test does it."""
        self.faults.append((process.name, error))
        if isinstance(error, Violation):
            raise error

    def ready(self, process: Process, ready: Ready) -> None:
        """A step."""
        for change in ready.roles:
            self._role(process.name, change)
        for entry in ready.applied:
            self._applied(process.name, entry)
        for token, outcome in ready.outcomes:
            self._outcome(token, outcome)

    def finish(self) -> None:
        """At the end, with everything healed: what was refused is nowhere, what was acknowledged is in its place."""
        for token, outcome in self.outcomes.items():
            command = self.proposed[token]
            if isinstance(outcome, NotLeader) and command in self.places:
                raise Violation(f"{command!r} was refused as not appended, and applied at {self.places[command]}")
        chains = {name: (m.applied, m.chain) for name, m in self.machines.items()}
        if len(set(chains.values())) != 1:
            raise Violation(f"the states differ at the end: {chains}")

    def digest(self) -> str:
        """One value for the whole run: equal runs have equal digests."""
        return hashlib.sha256(repr(self.trace).encode()).hexdigest()

    def _role(self, name: Peer, change: RoleChanged) -> None:
        self.roles.append((name, change))
        self.trace.append((name, change.role.value, change.term, change.leader, change.reason))
        if change.role is Role.LEADER and self.leaders.setdefault(change.term, name) != name:
            raise Violation(f"{name} and {self.leaders[change.term]} both lead in term {change.term}")

    def _applied(self, name: Peer, entry: AppliedEntry) -> None:
        chain = self.machines[name].chains[entry.index]
        self.trace.append((name, "applied", entry.index, entry.term, chain))
        known = self.entries.get(entry.index)
        if known is None:
            self.entries[entry.index] = (entry.term, entry.commands, chain)
            for command in entry.commands:
                if self.places.setdefault(command, entry.index) != entry.index:
                    raise Violation(f"{command!r} applied at {self.places[command]} and at {entry.index}")
        elif known != (entry.term, entry.commands, chain):
            raise Violation(f"{name} applied {entry} where others applied {known}")
        if entry.own and self.leaders.get(entry.term) != name:
            raise Violation(f"{name} calls entry {entry.index} of term {entry.term} its own, but did not lead then")

    def _outcome(self, token: Token, outcome: Outcome) -> None:
        if token in self.outcomes:
            raise Violation(f"proposal {token} had two outcomes: {self.outcomes[token]} and {outcome}")
        self.outcomes[token] = outcome
        self.trace.append((token, type(outcome).__name__))
        if isinstance(outcome, Applied):
            at = self.places.get(self.proposed[token])
            if at != outcome.index or self.entries[outcome.index][0] != outcome.term:
                raise Violation(f"proposal {token} was acknowledged at {outcome.index}, but applied at {at}")
