"""Machine: the core as the cluster's state machine, bytes in, bytes out.

Only the fitting of `core` to `cluster.types.StateMachine` may live here, and the form of an audit record.  A record
is one canonical JSON object for each command, `meltica.audit/1`.  Its `command` is the command's own bytes, which
are canonical JSON: so the chain can be checked, and the state replayed, from the audit trail alone.  Garbage is kept
as the hex of its first KiB, with its length and its BLAKE2b-256, over which the chain runs; an isolated entry's
commands, which nobody may read, as the hex of all of them.

The machine answers for its state as well (`cluster.types.Accountable`): its digest every `VOUCH_EVERY` entries, what
this build is, and, where apply raised, which commands behind that entry ask for its isolation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final

from attrs import evolve, field, frozen

from cluster.types import ApplyOutcome, Coming, LogIndex, Term
from meltica.core.apply import GARBAGE, ISOLATED, RULES, CoreFault, apply_entry, isolate_entry
from meltica.core.apply_upgrades import ROLES
from meltica.core.codec import BadCommand, decode_command
from meltica.core.commands import NodeReport, SkipEntry
from meltica.core.effects import PlaceOrder
from meltica.core.events import CommandResult
from meltica.core.keys import FORMS, META
from meltica.core.leaving import leave
from meltica.core.loading import BadState, Loading
from meltica.core.reports import written
from meltica.core.rules import Rules, TooOld
from meltica.core.state import State
from meltica.core.values import Epoch, Index
from meltica.core.wire import encode

AUDIT_SCHEMA: Final = "meltica.audit/1"
GARBAGE_KEPT: Final = 1024  # bytes
ACCEPTED: Final = '{"accepted":true}'
VOUCH_EVERY: Final = 1000  # entries from one comparison of the nodes' digests to the next


@frozen
class Standing:
    """The entry that apply stopped at on this node, and what was heard about it since."""

    index: int
    digest: str
    why: str
    needs_build: str = ""  # it raised because this build is too old: a newer one goes on, nothing is to be skipped
    asked: tuple[str, ...] = field(default=())  # the roles that want it isolated


class Machine:
    """The replicated trading state behind replication's face.  `state` and `standing` are public to be read."""

    def __init__(
        self,
        report: NodeReport | None = None,
        rules: Rules = RULES,
        *,
        vouch_every: int = VOUCH_EVERY,
        api: str = "",
    ) -> None:
        """`report`: what this node is; None says nothing.  `api`: where its API is, for its peers."""
        self.state = State()
        self.standing: Standing | None = None
        self._report = report
        self._rules = rules
        self._vouch_every = vouch_every
        self._api = api

    def load(self, applied: LogIndex, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Become the state that was stored with `applied`; raises BadState if the pairs are not that state.

        Every entry is applied, no-ops included, and writes the index that it was applied at: a state of any other
        index than `applied`, the empty one of an applied 0 excepted, was not stored in one batch with it.  Raises
        TooOld if the log goes on by a version of apply that this build does not have.
        """
        state = self.state
        try:
            state.reload(pairs)
            _check_loaded(state, int(applied), self._rules)
        except (BadState, TooOld):
            state.reload(())
            raise
        self.standing = None

    def prepare(self) -> Coming:
        """Begin to make another state beside this one (`cluster.types.Preparing`)."""
        return _Coming(self, self._rules)

    def adopt(self, state: State) -> None:
        """Have that state, in the very object that others hold, as if it had been loaded; `state` is the former one."""
        self.state.swap(state)
        self.standing = None

    # --- where its audit trail goes on (`cluster.types.Trailed`) ----------------------------------------------

    def mark(self) -> bytes:
        """The chain behind all that was applied."""
        return self.state.chain_bytes

    def mark_in(self, read: Callable[[bytes, int], Sequence[tuple[bytes, bytes]]]) -> bytes:
        """The chain in the state that `read` gives; empty if it is none."""
        pairs = read(META[:-1], 1)
        while pairs and pairs[0][0] < META:
            pairs = read(pairs[0][0], 1)
        if not pairs or pairs[0][0] != META:
            return b""
        return bytes.fromhex(FORMS[META.decode()].load(pairs[0][1]).chain)

    # --- applying ---------------------------------------------------------------------------------------------

    def apply(self, index: LogIndex, term: Term, commands: tuple[bytes, ...]) -> ApplyOutcome:
        """Apply one entry; total as far as the commands go.  Raises CoreFault if it is not the next one."""
        if int(index) != self.state.index + 1:
            raise CoreFault(f"entry {index} after entry {self.state.index}: an entry was skipped or comes twice")
        results = apply_entry(self.state, Index(index), Epoch(term), commands, self._rules)
        return self._outcome(term, commands, results)

    def _outcome(self, term: Term, commands: tuple[bytes, ...], results: tuple[CommandResult, ...]) -> ApplyOutcome:
        at = self.state.clock
        audit = [audit_record(result, term, raw, at) for result, raw in zip(results, commands, strict=True)]
        return ApplyOutcome(results=results, writes=self.state.take_changes(), audit=tuple(audit))

    # --- answering for the state (`cluster.types.Accountable`) ------------------------------------------------

    def about(self) -> bytes:
        """What this node is, for its peers."""
        return b"" if self._report is None else written(self._report, self._api)

    def vouch(self, index: LogIndex) -> bytes | None:
        """The state's digest, once in a while."""
        return bytes.fromhex(self.state.digest()) if int(index) % self._vouch_every == 0 else None

    def stopped(self, index: LogIndex, digest: str, error: Exception) -> str:
        """Apply of that entry raised, and the state before it was loaded anew.  Returns why, for people."""
        old = isinstance(error, TooOld)
        why = str(error) if old else f"{type(error).__name__}: {error}"[:300]
        needed = (error.build or "a newer one") if isinstance(error, TooOld) else ""
        self.standing = Standing(int(index), digest, why, needed)
        return why

    def ahead(self, index: LogIndex, term: Term, commands: tuple[bytes, ...]) -> bool:  # noqa: ARG002 # see the port
        """One more committed entry behind the one that apply stopped at: do both roles ask for its isolation now?"""
        standing = self.standing
        if standing is None or standing.needs_build:
            return False
        asked = {*standing.asked}
        for raw in commands:
            skip = _skip_of(raw)
            if skip is not None and int(skip.epoch) == int(term) and _names(skip, standing):
                asked.add(skip.role)
        self.standing = evolve(standing, asked=tuple(sorted(asked)))
        return asked == {*ROLES}

    def speaks_of_stop(self, command: bytes) -> bool:
        """Whether a command may be proposed though apply has stopped: a role's word on that entry."""
        return _skip_of(command) is not None

    def isolate(self, index: LogIndex, term: Term, commands: tuple[bytes, ...]) -> ApplyOutcome:
        """Pass the entry that apply stopped at, without any effect but that it was passed."""
        standing = self.standing
        if standing is None or standing.index != int(index) or int(index) != self.state.index + 1:
            raise CoreFault(f"entry {index} is not the one that apply stopped at")
        digest, self.standing = standing.digest, None
        results = isolate_entry(self.state, Index(index), Epoch(term), commands, digest=digest, rules=self._rules)
        return self._outcome(term, commands, results)


class _Coming:
    """A state that is made beside the machine's; see `cluster.types.Coming`."""

    def __init__(self, machine: Machine, rules: Rules) -> None:
        self._machine = machine
        self._rules = rules
        self._state = State()
        self._loading = Loading(self._state)

    def take(self, pairs: Sequence[tuple[bytes, bytes]]) -> int:
        return self._loading.take(pairs)

    def end(self, applied: LogIndex) -> None:
        _check_loaded(self._loading.end(), int(applied), self._rules)

    def take_over(self) -> None:
        self._machine.adopt(self._state)

    def leave(self) -> bool:
        return leave(self._state)


def _check_loaded(state: State, applied: int, rules: Rules) -> None:
    if int(state.index) != applied:
        raise BadState(
            f"the state is of index {state.index}, the log says that {applied} was applied last: do not trust this "
            "disk; keep it as evidence, and replace this node (`meltica cluster replace`, runbooks/replace-a-node.md)"
        )
    rules.of(state.version)


def _names(skip: SkipEntry, standing: Standing) -> bool:
    return (int(skip.index), skip.digest) == (standing.index, standing.digest) and skip.role in ROLES


def _skip_of(raw: bytes) -> SkipEntry | None:
    """The command, if it is one; whatever else the bytes say is not looked at before its turn."""
    if b'"skip_entry"' not in raw:
        return None
    try:
        _, command = decode_command(raw)
    except BadCommand:
        return None
    return command if isinstance(command, SkipEntry) else None


def audit_record(result: CommandResult, term: int, raw: bytes, at: int) -> bytes:
    """One command, the decision on it and the reason; `at` is the log's clock after its entry."""
    said = (
        ACCEPTED if result.rejection is None and not result.effects and not result.duplicate else encode(_said(result))
    )
    head = f'{{"at":{at},"chain":"{result.chain.hex()}","command":'
    tail = (
        f',"index":{result.index},"kind":"{result.kind}","place":{result.place},"result":{said},'
        f'"schema":"{AUDIT_SCHEMA}","term":{term}}}'
    )
    if result.kind == GARBAGE:
        raw = _garbage(raw, GARBAGE_KEPT)
    elif result.kind == ISOLATED:
        raw = _garbage(raw, len(raw))
    return b"%b%b%b" % (head.encode(), raw, tail.encode())


def _garbage(raw: bytes, kept: int) -> bytes:
    digest = blake2b(raw, digest_size=32).hexdigest()
    return encode({"blake2b": digest, "bytes": len(raw), "hex": raw[:kept].hex()}).encode()


def _said(result: CommandResult) -> dict[str, Any]:
    """Keys in their order: this is canonical JSON too."""
    said: dict[str, Any] = {"accepted": result.accepted}
    rejection = result.rejection
    if rejection is not None:
        said |= {"bound": rejection.bound, "code": rejection.code}
    if result.duplicate:
        said["duplicate"] = True
    if result.effects:
        said["intents"] = [
            {"intent": effect.intent, "what": "place" if isinstance(effect, PlaceOrder) else "cancel"}
            for effect in result.effects
        ]
    if rejection is not None:
        said |= {"limit": rejection.limit, "text": rejection.text, "value": rejection.value}
    return said
