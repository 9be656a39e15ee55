"""Apply: the one function in which the replicated state changes.

Only the way of a command to its room may live here: decoding, the epoch, the log's clock, retried requests.
`apply_entry` is total: whatever the bytes say it returns a result for each command.  It reads nothing but the state
and the entry; what it cannot explain is a fault of the program and raises, and then the node stops.

The log's clock.  A command's `at` moves it forward, never back.  It may not run more than `LEAP` ahead of the clock:
a leader in the middle of its epoch is never silent for so long (with nothing else to say it tells the time, by
`ClockTold`), so such a time is wrong, and would outlive its leader in the clock for ever.  `EpochStarted` alone may
pass a longer silence, `STANDSTILL`: a cluster that was switched off starts again.  The core can't tell such a leap
from a wrong clock; the leader can, and compares its wall clock with the venues' before it proposes that command
(design.md, section 4; `meltica/leader/fitness.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from meltica.core import (
    apply_accounts,
    apply_authority,
    apply_config,
    apply_fills,
    apply_orders,
    apply_recovery,
    apply_risk,
    apply_strategies,
    apply_upgrades,
)
from meltica.core import (
    commands as words,
)
from meltica.core.codec import KIND_OF, BadCommand, content_of, decode_command
from meltica.core.events import CommandResult, Rejection
from meltica.core.records import RequestRecord
from meltica.core.rules import Room, Rules
from meltica.core.state import State
from meltica.core.turn import Turn
from meltica.core.values import Epoch, Index, Nanos

SECOND: Final = 1_000_000_000
LEAP: Final = 300 * SECOND
STANDSTILL: Final = 366 * 24 * 3600 * SECOND
LATEST: Final = 8_000_000_000 * SECOND  # in the year 2223; times fit 63 bits
GARBAGE: Final = "garbage"
ISOLATED: Final = "isolated"

ROOMS: Final[dict[type, Room]] = {
    words.EpochStarted: apply_authority.epoch_started,
    words.AuthorityTaken: apply_authority.authority_taken,
    words.AuthorityReleased: apply_authority.authority_released,
    words.Configured: apply_config.configured,
    words.InstrumentSeen: apply_config.instrument_seen,
    words.ModeSet: apply_config.mode_set,
    words.Submit: apply_orders.submit,
    words.Cancel: apply_orders.cancel,
    words.CancelAll: apply_orders.cancel_all,
    words.Answered: apply_orders.answered,
    words.InDoubt: apply_orders.in_doubt,
    words.Lapsed: apply_orders.lapsed,
    words.OrderUpdated: apply_orders.order_updated,
    words.NotFound: apply_orders.not_found,
    words.FillSeen: apply_fills.fill_seen,
    words.BalanceSeen: apply_accounts.balance_seen,
    words.OpeningApproved: apply_accounts.opening_approved,
    words.Reconciled: apply_accounts.reconciled,
    words.Discrepancy: apply_accounts.discrepancy,
    words.Halt: apply_risk.halt,
    words.Reduce: apply_risk.reduce,
    words.Kill: apply_risk.kill,
    words.Resume: apply_risk.resume,
    words.Checkpoint: apply_strategies.checkpoint,
    words.StrategyStopped: apply_strategies.strategy_stopped,
    words.StrategyStarted: apply_strategies.strategy_started,
    words.ClockTold: apply_authority.clock_told,
    words.NodesReported: apply_upgrades.nodes_reported,
    words.ActivateVersion: apply_upgrades.activate_version,
    words.ApproveBuild: apply_upgrades.approve_build,
    words.SkipEntry: apply_upgrades.skip_entry,
    words.ClusterRecovered: apply_recovery.cluster_recovered,
    words.MembersAsked: apply_upgrades.members_asked,
}
RULES: Final = Rules({1: ROOMS})  # what this build has


class CoreFault(Exception):
    """An entry that a log cannot hold: the caller is broken, and the node must stop."""


def apply_entry(
    state: State, index: Index, term: Epoch, commands: Sequence[bytes], rules: Rules = RULES
) -> tuple[CommandResult, ...]:
    """Apply one committed entry to `state`, in place, and say what each of its commands did.

    Raises CoreFault if the index or the term goes back: that is no command's doing.  Raises TooOld where the log goes
    on by a version of apply that `rules` do not have.
    """
    turn = _turn(state, index, term, rules)
    results = tuple([_apply(turn, place, raw) for place, raw in enumerate(commands)])
    state.forget()
    return results


def isolate_entry(
    state: State, index: Index, term: Epoch, commands: Sequence[bytes], *, digest: str, rules: Rules = RULES
) -> tuple[CommandResult, ...]:
    """Pass one committed entry, whose apply raises, without any effect but that this is on record.

    Its commands count in the hash chain as any do; none of them is read.
    """
    turn = _turn(state, index, term, rules)
    results = []
    for place, raw in enumerate(commands):
        state.chain_bytes = chained(state.chain_bytes, index, place, raw)
        turn.begin()
        results.append(_result(turn, place, ISOLATED, Rejection(ISOLATED, "passed without effect", value=digest)))
    apply_upgrades.isolate(turn, digest, commands)
    state.forget()
    return tuple(results)


def _turn(state: State, index: Index, term: Epoch, rules: Rules) -> Turn:
    if index <= state.index or term < state.term:
        raise CoreFault(f"entry {index} of term {term} after entry {state.index} of term {state.term}")
    state.index, state.term = index, term
    return Turn(state, index, term, rules)


def chained(chain: bytes, index: Index, place: int, raw: bytes) -> bytes:
    """The hash chain after the command `raw`: over its own hash, so that a record need not repeat garbage."""
    return linked(chain, index, place, blake2b(raw, digest_size=32).digest())


def linked(chain: bytes, index: Index, place: int, content: bytes) -> bytes:
    """The same by the command's hash."""
    return blake2b(chain + index.to_bytes(8, "big") + place.to_bytes(4, "big") + content, digest_size=32).digest()


def _apply(turn: Turn, place: int, raw: bytes) -> CommandResult:
    state = turn.state
    state.chain_bytes = chained(state.chain_bytes, turn.index, place, raw)
    turn.begin()
    try:
        kind, command = decode_command(raw)
    except BadCommand as error:
        return _result(turn, place, GARBAGE, Rejection(GARBAGE, str(error)))
    room = turn.rules.of(state.version).get(type(command))
    if room is None:
        return _result(turn, place, GARBAGE, Rejection(GARBAGE, f"version {state.version} knows no {kind}"))
    return _result(turn, place, kind, _decide(turn, place, command, room))


def _result(turn: Turn, place: int, kind: str, rejection: Rejection | None) -> CommandResult:
    return CommandResult(
        index=turn.index,
        place=place,
        kind=kind,
        rejection=rejection,
        effects=tuple(turn.effects),
        events=tuple(turn.events),
        duplicate=turn.duplicate,
        order=turn.order,
        chain=turn.state.chain_bytes,
    )


def _decide(turn: Turn, place: int, command: words.Command, room: Room) -> Rejection | None:
    state = turn.state
    if isinstance(command, words.SkipEntry):
        return _decide_skip(turn, place, command, room)
    refused = _epoch_refused(turn, command) or _clock_refused(state, command)
    if refused is not None:
        return refused
    state.clock = max(state.clock, command.at)
    by: words.By | None = getattr(command, "by", None)
    if by is None:
        return room(turn, command)
    return _asked(turn, place, command, room, by)


def _asked(turn: Turn, place: int, command: words.Command, room: Room, by: words.By) -> Rejection | None:
    """An operator's command: done once for each request."""
    first = turn.state.requests.get(by.request)
    if first is not None:
        return _again(turn, first, command)
    refused = room(turn, command)
    turn.state.put_request(_remembered(turn, place, command, by, refused))
    return refused


def _decide_skip(turn: Turn, place: int, command: words.SkipEntry, room: Room) -> Rejection | None:
    """It is said by a leader that stands before an entry: its epoch has not started yet, and its time is far ahead."""
    if command.epoch != turn.term:
        return Rejection("not_own_term", f"epoch {command.epoch} in an entry of term {turn.term}")
    return _asked(turn, place, command, room, command.by)


def _epoch_refused(turn: Turn, command: words.Command) -> Rejection | None:
    current = 0 if turn.state.epoch is None else turn.state.epoch.epoch
    if isinstance(command, words.EpochStarted):
        if command.epoch != turn.term or command.epoch >= 1 << 32:
            return Rejection("not_own_term", f"epoch {command.epoch} in an entry of term {turn.term}")
        if command.epoch <= current:
            return Rejection("stale_epoch", f"epoch {command.epoch} is not newer than {current}")
        return None
    if command.epoch != current or current == 0:
        return Rejection("stale_epoch", f"epoch {command.epoch}, and the current one is {current or 'none'}")
    if command.epoch != turn.term:
        return Rejection("not_own_term", f"epoch {command.epoch} in an entry of term {turn.term}")
    return None


def _clock_refused(state: State, command: words.Command) -> Rejection | None:
    leap = STANDSTILL if isinstance(command, words.EpochStarted) else LEAP
    latest = LATEST if state.clock == 0 else min(LATEST, state.clock + leap)
    if command.at <= latest:
        return None
    return Rejection("implausible_clock", "too far ahead of the log's clock", "at", str(command.at), str(latest))


def _again(turn: Turn, first: RequestRecord, command: words.Command) -> Rejection | None:
    if first.fingerprint != _fingerprint(command):
        return Rejection("request_reused", f"request {first.request} was something else: take a new request id")
    turn.duplicate, turn.order = True, first.order
    if not first.code:
        return None
    return Rejection(first.code, first.text, first.limit, first.value, first.bound)


def _remembered(
    turn: Turn, place: int, command: words.Command, by: words.By, refused: Rejection | None
) -> RequestRecord:
    said = refused or Rejection("", "")
    return RequestRecord(
        request=by.request,
        at=Nanos(turn.state.clock),
        index=turn.index,
        place=place,
        kind=KIND_OF[type(command)],
        fingerprint=_fingerprint(command),
        code=said.code,
        text=said.text,
        limit=said.limit,
        value=said.value,
        bound=said.bound,
        order=turn.order,
    )


def _fingerprint(command: words.Command) -> str:
    return blake2b(content_of(command), digest_size=16).hexdigest()
