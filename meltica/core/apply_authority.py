"""Authority: epochs start, authority is taken and released (design.md, section 5).

Only the application of those three commands, and of a leader's bare time, may live here.  Effects are ordered by the
current epoch alone, in entries of its own term, after it was taken and before it is released; the windows of a venue
are fixed for a whole epoch, so that a successor waits with the window that the older epoch had.
"""

from __future__ import annotations

from typing import Final

from attrs import evolve

from meltica.core.commands import AuthorityReleased, AuthorityTaken, ClockTold, EpochStarted
from meltica.core.events import AuthorityEvent, OrderEventKind, Rejection
from meltica.core.halting import add_halt
from meltica.core.moves import tell
from meltica.core.records import MAX_MEMBERS, EpochRecord, LossesRecord
from meltica.core.risk import HaltRecord, short
from meltica.core.state import State
from meltica.core.turn import Turn, asked
from meltica.core.values import Mode, Nanos

STORM: Final = "takeover_storm"
BY_HAND: Final = "manual_mode"  # the code of a rejection: authority in full is an operator's word
MAX_LOSSES: Final = 1000  # remembered


def epoch_started(turn: Turn, command: EpochStarted) -> Rejection | None:
    """From here on commands of older epochs have no effect.  The caller has checked epoch and term."""
    state = turn.state
    lost = state.epoch is not None and state.epoch.trades
    state.put_epoch(
        EpochRecord(
            epoch=command.epoch,
            node=command.node,
            reason=short(command.reason),
            build=short(command.build),
            started_index=turn.index,
            started_at=state.clock,
            windows={name: state.venues[name].window for name in sorted(state.venues)},
            members=tuple(sorted({*command.members}))[:MAX_MEMBERS],
        )
    )
    turn.emit(AuthorityEvent("started", command.epoch, command.node))
    doubt_all(turn, "the leader that may have sent it is no more")
    if lost:
        _count_loss(turn)
    return None


def doubt_all(turn: Turn, why: str) -> None:
    """Whatever is in flight may have been sent by someone who will not say: it is in doubt from here on."""
    state = turn.state
    waiting = sorted({intent.order for intent in state.intents.values() if not intent.in_doubt})
    for name in waiting:
        order = state.orders[name]
        order = asked(order, tuple((send, True) for send, _ in order.unanswered))
        state.put_order(order)
        tell(turn, order, OrderEventKind.IN_DOUBT, why)


def _count_loss(turn: Turn) -> None:
    """An active leader was lost: it was taken in full, and never released.

    That is what a takeover storm counts: a planned hand-over releases first, so neither a promote nor a transfer
    counts whatever its reason says, nor does an election in which nobody had been trading.
    """
    state, settings = turn.state, turn.state.settings
    recent = [time for time in state.losses.times if time + settings.storm_window > state.clock]
    times = (*recent, state.clock)[-min(max(settings.storm_takeovers, 1), MAX_LOSSES) :]
    state.put_losses(LossesRecord(times))
    if 0 < settings.storm_takeovers <= len(times):
        reason = f"{len(times)} active leaders lost within {settings.storm_window} ns"
        add_halt(turn, HaltRecord(STORM, turn.index, state.clock, reason=reason))


def authority_taken(turn: Turn, command: AuthorityTaken) -> Rejection | None:
    """The epoch may send.  Cancels alone may become everything; nothing is taken twice or after the release.

    The mode is the log's of here: an operator's `manual` may stand before this in the very same entry.
    """
    state, epoch = turn.state, turn.state.epoch
    if epoch is None or epoch.released_index is not None:
        return Rejection("released", "this epoch was released: it never sends again")
    if epoch.taken_index is not None and (command.cancels_only or not epoch.cancels_only):
        return Rejection("already_taken", f"taken at index {epoch.taken_index}")
    if state.mode is Mode.MANUAL and not (command.cancels_only or command.promoted):
        return Rejection(BY_HAND, "in manual mode an epoch takes authority for cancels alone, until it is promoted")
    taken = evolve(epoch, taken_index=turn.index, taken_at=state.clock, cancels_only=command.cancels_only)
    state.put_epoch(taken)
    turn.emit(AuthorityEvent("taken", epoch.epoch, epoch.node, command.cancels_only))
    return None


def authority_released(turn: Turn, command: AuthorityReleased) -> Rejection | None:
    """Nothing of this epoch will be sent any more.  Valid only once it was taken, and once."""
    state, epoch = turn.state, turn.state.epoch
    if epoch is None or epoch.taken_index is None:
        return Rejection("not_taken", "an epoch that was never taken has not outwaited the older ones")
    if epoch.released_index is not None:
        return Rejection("released", f"released at index {epoch.released_index}")
    state.put_epoch(evolve(epoch, released_index=turn.index, released_to=command.to))
    turn.emit(AuthorityEvent("released", epoch.epoch, epoch.node, epoch.cancels_only))
    doubt_all(turn, "released without an answer")
    return None


def clock_told(turn: Turn, command: ClockTold) -> Rejection | None:  # noqa: ARG001 - the caller has moved the clock
    """Nothing happened but time."""
    return None


def window_of_new_venues(state: State) -> None:
    """A venue that is configured during an epoch has its window at once: no older authority could send there."""
    epoch = state.epoch
    if epoch is None:
        return
    missing = {name: Nanos(state.venues[name].window) for name in state.venues if name not in epoch.windows}
    if missing:
        windows = {**missing, **epoch.windows}
        state.put_epoch(evolve(epoch, windows={name: windows[name] for name in sorted(windows)}))
