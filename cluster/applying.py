"""Applying: what is committed goes to the state machine, each index once, in order; and what happens when it raises.

No I/O but the Store's batch.  Met here: hazards 9 and 20 of pysyncobj.md.  An entry whose apply raises stops apply, not
replication: the machine goes back to the state before it, and the log behind it is searched for what isolates it.  So
all nodes, also one that restarts or joins later, raise at the same entry and pass it alike.  See DESIGN.md, "When
apply raises".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Final, Protocol

from attrs import frozen

from cluster.journal import JournalFault
from cluster.store import Meta
from cluster.types import Accountable, ApplyOutcome, ApplyStop, Coming, LogIndex, StateMachine, Term
from cluster.wire import Entry, WireError, unpack_commands

APPLY_COMMANDS: Final = 512  # commands applied in one step, before the driver may look elsewhere
_READ: Final = 64  # entries read at once for that


class ApplyFault(Exception):
    """The state machine raised: a fault of the program.  The node must stop; `index` says at which entry."""

    def __init__(self, index: LogIndex, why: str) -> None:
        super().__init__(f"applying entry {index} failed ({why}): the node stops there; isolate that entry")
        self.index = index


class _Raised(Exception):
    """Apply of one entry raised; what the machine holds in memory is no longer to be trusted."""

    def __init__(self, entry: Entry, error: Exception) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.entry = entry
        self.error = error


@frozen
class Passed:
    """An entry that was applied, or isolated."""

    index: LogIndex
    term: Term
    commands: tuple[bytes, ...]
    outcome: ApplyOutcome
    digest: bytes | None  # of the state, where nodes compare it


class Log(Protocol):
    """The entries, as the journal gives them."""

    metered: bool

    def read(self, first: int, count: int) -> list[Entry]:
        """Up to `count` entries from `first` on."""
        ...


class Results(Protocol):
    """What apply keeps, as the store keeps it: see `cluster.store.Store`."""

    def meta(self) -> Meta:
        """Its applied index."""
        ...

    def state(self) -> Iterator[tuple[bytes, bytes]]:
        """All committed pairs."""
        ...

    def put_state(self, key: bytes, value: bytes | None) -> None:
        """A changed key; None deletes."""

    def put_audit(self, index: LogIndex, place: int, record: bytes) -> None:
        """A record of an applied entry."""

    def set_applied(self, index: LogIndex) -> None:
        """Up to here."""


class Applying:
    """One node's way through the committed log."""

    def __init__(self, machine: StateMachine, store: Results, journal: Log, coming: Coming | None = None) -> None:
        """Loads the machine from the store, or has it take over `coming`: that state, made already."""
        self.applied = int(store.meta().applied_index)
        self.stop: ApplyStop | None = None
        self.accountable = machine if isinstance(machine, Accountable) else None
        self._machine = machine
        self._store = store
        self._journal = journal
        self._raised: _Raised | None = None
        self._scanned = 0  # up to here the log was searched for what isolates the entry that apply stopped at
        if coming is None:
            machine.load(LogIndex(self.applied), store.state())
        else:
            coming.take_over()

    def about(self) -> bytes:
        """What this node says that it is."""
        return b"" if self.accountable is None else self.accountable.about()

    def takes(self, command: bytes) -> bool:
        """Whether it may be proposed: while apply is stopped, only what speaks of that."""
        return self.stop is None or (self.accountable is not None and self.accountable.speaks_of_stop(command))

    def behind(self, commit: int) -> bool:
        """Whether `run` has something to do."""
        return (self.applied if self.stop is None else self._scanned) < commit

    def run(self, commit: int, recorded: Callable[[int, int], None], *, ahead: int = 0) -> list[Passed]:
        """Apply up to `commit`, a bounded number of commands; after a stop, look ahead up to there, or to `ahead`.

        `recorded` hears index and term of what is committed behind a stop.  After a raise nothing behind that entry
        is applied: `recover` is to be called once this step's batch is committed.

        Raises:
            ApplyFault: the machine raised and can't go back, or isolating raised.
        """
        passed: list[Passed] = []
        if self.stop is not None and not self._look_ahead(self.stop, max(commit, ahead), passed, recorded):
            return passed
        try:
            self._go_on(commit, passed)
        except _Raised as raised:
            self._raised = raised
        if passed:
            self._store.set_applied(LogIndex(self.applied))
            self._journal.metered = True
        return passed

    def recover(self) -> bool:
        """If apply raised in this step, go back to what is committed before that entry; whether it did."""
        raised, self._raised = self._raised, None
        if raised is None or self.accountable is None:
            return False
        payload, number, term = raised.entry
        index, digest = LogIndex(number), blake2b(payload, digest_size=32).hexdigest()
        try:
            self._machine.load(LogIndex(self.applied), self._store.state())
            why = self.accountable.stopped(index, digest, raised.error)
        except Exception as error:
            raise ApplyFault(index, f"{raised}; and then {type(error).__name__}: {error}") from error
        self.stop = ApplyStop(index, Term(term), digest, why)
        self._scanned = number
        return True

    def _go_on(self, commit: int, passed: list[Passed]) -> None:
        done = 0
        while self.applied < commit and done < APPLY_COMMANDS:
            entries = self._journal.read(self.applied + 1, min(_READ, commit - self.applied))
            if not entries:
                raise JournalFault(f"entry {self.applied + 1} is committed, but the log does not hold it")
            for entry in entries:
                one = self._apply(entry)
                passed.append(one)
                done += 1 + len(one.commands)
                if done >= APPLY_COMMANDS:
                    break

    def _apply(self, entry: Entry) -> Passed:
        payload, number, term = entry
        try:
            commands = unpack_commands(payload)
            outcome = self._machine.apply(LogIndex(number), Term(term), commands)
            _check(commands, outcome)
        except Exception as error:
            if self.accountable is None:
                raise ApplyFault(LogIndex(number), f"{type(error).__name__}: {error}") from error
            raise _Raised(entry, error) from error
        return self._pass(entry, commands, outcome)

    def _pass(self, entry: Entry, commands: tuple[bytes, ...], outcome: ApplyOutcome) -> Passed:
        """What that entry wrote goes into this step's batch."""
        index = LogIndex(entry[1])
        for key, value in outcome.writes:
            self._store.put_state(key, value)
        for place, record in enumerate(outcome.audit):
            self._store.put_audit(index, place, record)
        self.applied = entry[1]
        digest = None if self.accountable is None else self.accountable.vouch(index)
        return Passed(index, Term(entry[2]), commands, outcome, digest)

    def _look_ahead(
        self, stop: ApplyStop, commit: int, passed: list[Passed], recorded: Callable[[int, int], None]
    ) -> bool:
        """Search what is committed behind the stop, a bounded part a step; whether the entry was isolated."""
        machine = self.accountable
        if machine is None:
            return False
        for payload, number, term in self._journal.read(self._scanned + 1, min(_READ, commit - self._scanned)):
            self._scanned = number
            if machine.ahead(LogIndex(number), Term(term), _commands_of(payload)):
                self._isolate(machine, stop, passed)
                return True
            recorded(number, term)
        return False

    def _isolate(self, machine: Accountable, stop: ApplyStop, passed: list[Passed]) -> None:
        (entry,) = self._journal.read(stop.index, 1)
        commands = _commands_of(entry[0])
        try:
            outcome = machine.isolate(stop.index, stop.term, commands)
            _check(commands, outcome)
        except Exception as error:
            raise ApplyFault(stop.index, f"isolating it failed: {type(error).__name__}: {error}") from error
        self.stop = None
        passed.append(self._pass(entry, commands, outcome))


def _check(commands: tuple[bytes, ...], outcome: ApplyOutcome) -> None:
    if len(outcome.results) != len(commands):
        raise ValueError(f"{len(commands)} commands gave {len(outcome.results)} results")


def _commands_of(payload: bytes) -> tuple[bytes, ...]:
    """An entry's commands; none of one that is no entry: that is what its apply raised for."""
    try:
        return unpack_commands(payload)
    except WireError:
        return ()
