"""Machine: the core as the cluster's state machine, bytes in, bytes out.

Only the fitting of `core` to `cluster.types.StateMachine` may live here, and the form of an audit record.  A record
is one canonical JSON object for each command, `meltica.audit/1`.  Its `command` is the command's own bytes, which
are canonical JSON: so the chain can be checked, and the state replayed, from the audit trail alone.  Garbage is kept
as the hex of its first KiB, with its length and its BLAKE2b-256, over which the chain runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, Final

from cluster.types import ApplyOutcome, LogIndex, Term
from meltica.core.apply import GARBAGE, CoreFault, apply_entry
from meltica.core.effects import PlaceOrder
from meltica.core.events import CommandResult
from meltica.core.loading import BadState
from meltica.core.state import State
from meltica.core.values import Epoch, Index
from meltica.core.wire import encode

AUDIT_SCHEMA: Final = "meltica.audit/1"
GARBAGE_KEPT: Final = 1024  # bytes
ACCEPTED: Final = '{"accepted":true}'


class Machine:
    """The replicated trading state behind replication's face.  `state` is public to be read."""

    def __init__(self) -> None:
        self.state = State()

    def load(self, applied: LogIndex, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Become the state that was stored with `applied`; raises BadState if the pairs are not that state.

        Every entry is applied, no-ops included, and writes the index that it was applied at: a state of any other
        index than `applied`, the empty one of an applied 0 excepted, was not stored in one batch with it.
        """
        state = State.load(pairs)
        if int(state.index) != int(applied):
            raise BadState(
                f"the state is of index {state.index}, the log says that {applied} was applied last: do not trust this "
                "disk; keep it as evidence and replace this node's data from a healthy node"
            )
        self.state = state

    def apply(self, index: LogIndex, term: Term, commands: tuple[bytes, ...]) -> ApplyOutcome:
        """Apply one entry; total as far as the commands go.  Raises CoreFault if it is not the next one."""
        if int(index) != self.state.index + 1:
            raise CoreFault(f"entry {index} after entry {self.state.index}: an entry was skipped or comes twice")
        results = apply_entry(self.state, Index(index), Epoch(term), commands)
        audit = tuple(
            [audit_record(result, term, raw, self.state.clock) for result, raw in zip(results, commands, strict=True)]
        )
        return ApplyOutcome(results=results, writes=self.state.take_changes(), audit=audit)


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
    return b"%b%b%b" % (head.encode(), _garbage(raw) if result.kind == GARBAGE else raw, tail.encode())


def _garbage(raw: bytes) -> bytes:
    digest = blake2b(raw, digest_size=32).hexdigest()
    return encode({"blake2b": digest, "bytes": len(raw), "hex": raw[:GARBAGE_KEPT].hex()}).encode()


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
