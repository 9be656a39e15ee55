"""Authority: may this node send, and from when (design.md section 5; spec/Authority.tla has the same names).

Pure: times are passed in, nothing is proposed or sent here.  Only the gate, the window and the wait may live
here.  Every time is of this node's own monotonic clock; windows come from the log, never from settings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import define, field, frozen

from meltica.core.effects import CancelOrder, Effect
from meltica.core.records import EpochRecord
from meltica.core.state import State
from meltica.core.values import ClientOrderId, Epoch, Nanos, Venue
from meltica.venues.base import Health
from meltica.venues.clock import SetBack

MILLION = 1_000_000
KEEP_LIMITS = 4096  # deadlines of answered intents kept before they are pruned


def stretched(window: Nanos, drift_ppm: int) -> Nanos:
    """`window` times (1 + rho) / (1 - rho), rounded up: of the wait, and the bound of the drain.

    With each clock off by rho, the ratio of two clocks is off by that much: rho alone is too short.
    """
    return Nanos(-(-window * (MILLION + drift_ppm) // (MILLION - drift_ppm)))


@frozen
class Ordered:
    """A send that an applied entry of this node's own ordered: what the gate looks at."""

    effect: Effect
    term: Epoch  # of the entry
    own: bool  # this node appended the entry itself, as leader, in `term`
    proposed: Nanos  # s
    send_by: Nanos  # s + W

    @property
    def is_cancel(self) -> bool:
        """Whether it opens nothing."""
        return isinstance(self.effect, CancelOrder)


@frozen
class OlderSend:
    """When this node last appended an entry of `epoch` whose apply ordered a send to `venue`."""

    epoch: Epoch
    venue: Venue
    appended: Nanos
    window: Nanos  # W of that epoch there, kept here: the log forgets old epochs


@frozen
class Jump:
    """The wall clock jumped: what this node took for its time before `at` is in doubt."""

    at: Nanos  # when it was noticed
    why: str


@define
class Gate:
    """The switches of the gate.  `leading` is the term that this node leads in, in Raft's sense, or None."""

    leading: Epoch | None = None
    shut_epoch: Epoch = Epoch(0)  # this epoch and all before it never send again (Released, and never reopened)
    pauses: dict[str, str] = field(factory=dict)  # cause -> text: a stall, apply that stands
    jump: Jump | None = None  # the last one; each venue's pause ends by itself

    def shut_for_good(self, epoch: Epoch) -> None:
        """From here on nothing of `epoch` is sent, whatever happens."""
        self.shut_epoch = max(self.shut_epoch, epoch)


def jumped(gate: Gate, health: Health | None) -> str:
    """Why no deadline can be computed for the venue that stands so, or "": its clock was not estimated since the jump.

    Each venue's own affair: one that is away must not keep the others' cancels.
    """
    if gate.jump is None:
        return ""
    known = health is not None and health.clock_at is not None and health.clock_at > gate.jump.at
    return "" if known else gate.jump.why


def paused(gate: Gate, health: Health | None) -> str:
    """Why nothing may be sent for now to the venue that stands so, or ""."""
    return next(iter(gate.pauses.values()), jumped(gate, health))


def all_paused(gate: Gate, healths: Mapping[Venue, Health]) -> str:
    """Why nothing may be sent for now to any venue, or ""."""
    found = [paused(gate, health) for health in healths.values()]
    return found[0] if found and all(found) else next(iter(gate.pauses.values()), "")


def why_not_active(gate: Gate, epoch: EpochRecord | None) -> str:
    """Why this node holds no authority, or "": Leads, the epoch is its own, Taken, not Released."""
    if gate.leading is None:
        return "does not lead"
    if epoch is None or epoch.epoch != gate.leading:
        return "its epoch is not committed"
    if epoch.taken_index is None:
        return "authority is not taken"
    if epoch.released_index is not None or gate.shut_epoch >= gate.leading:
        return "authority is released"
    return ""


def why_shut(gate: Gate, epoch: EpochRecord | None, ordered: Ordered, now: Nanos, health: Health | None) -> str:
    """Why `ordered` may not be written to the socket at `now`, or "": GateOpen of Authority.tla.

    `health` is its venue's.  Committed and applied it is, or there were no `Ordered`.  At the tie `now = s + W` it
    may not.
    """
    if not ordered.own or ordered.term != ordered.effect.epoch:
        return "ordered by another leader's entry"
    if gate.leading != ordered.term:
        return "does not lead in its term"
    held = why_not_active(gate, epoch)
    if held:
        return held
    if epoch is not None and epoch.cancels_only and not ordered.is_cancel:
        return "authority is for cancels only"
    if now >= ordered.send_by:
        return "past s + W"
    return paused(gate, health) or _undated(gate, ordered, health)


def _undated(gate: Gate, ordered: Ordered, health: Health | None) -> str:
    """Why no deadline of today is true of `ordered`, or "": its s is of before the clocks were in doubt.

    A machine may be suspended together with its monotonic clock: s + W then lies later in the venue's time by as much,
    and so would a deadline that is computed from what is known of the venue's clock since.
    """
    if gate.jump is not None and ordered.proposed <= gate.jump.at:
        return f"proposed before {gate.jump.why}"
    if health is not None and health.clock_since is not None and ordered.proposed <= health.clock_since:
        return "proposed before the venue's clock was estimated anew"
    return ""


def relieved(epochs: Mapping[Epoch, EpochRecord], own: Epoch) -> bool:
    """Whether the newest older epoch was released: only that excuses from waiting (Relieved)."""
    older = [epoch for epoch in epochs if epoch < own]
    if not older:
        return False
    return epochs[max(older)].released_index is not None


def wait_over_at(epochs: Mapping[Epoch, EpochRecord], sends: Iterable[OlderSend], own: Epoch, drift_ppm: int) -> Nanos:
    """The mono time from which the successor may send (WaitOver); 0 where nothing older may still be sent."""
    return Nanos(0) if relieved(epochs, own) else windows_end_at(sends, own, drift_ppm)


def windows_end_at(sends: Iterable[OlderSend], own: Epoch, drift_ppm: int) -> Nanos:
    """When the last window of what older epochs ordered ends, whoever was relieved of it; 0 if nothing was ordered."""
    ends = [send.appended + stretched(send.window, drift_ppm) for send in sends if send.epoch < own]
    return Nanos(max(ends, default=0))


def wait_longer(ends: Nanos, set_backs: Iterable[SetBack], window: Nanos, longest: Nanos) -> Nanos:
    """By how much what was to end at `ends` ends later, as venues' clocks went back around it.

    A venue that has set its clock back by D lets in for D longer what is on its way.  It matters where a send that is
    still in time by the new clock may have been dated by the old one: whose estimate of it is good for `longest`, in
    whose `window` the send was ordered.  More than `settle` is not waited for: the caller cuts `by` down to it.
    """
    if ends == 0:
        return Nanos(0)
    return Nanos(max((one.by for one in set_backs if one.at >= ends - window - longest - one.by), default=0))


def drift_of(state: State) -> int:
    """The bound of one clock's rate error, ppm: the widest of the venues' policies."""
    return max((policy.drift_ppm for policy in state.venues.values()), default=1000)


def window_at(state: State, epoch: Epoch, venue: Venue) -> Nanos:
    """The W that `epoch` has for `venue`; what is not known is taken to be the widest."""
    record = state.epochs.get(epoch)
    if record is not None and venue in record.windows:
        return record.windows[venue]
    return widest_window(state)


def widest_window(state: State) -> Nanos:
    """The widest window that any policy or epoch in the log has: what an unknown older epoch is taken to have had.

    The policies alone would not do: a window that was lowered since says nothing of a send before.
    """
    policies = [policy.window for policy in state.venues.values()]
    epochs = [window for record in state.epochs.values() for window in record.windows.values()]
    return Nanos(max([*policies, *epochs], default=0))


@define
class Sends:
    """What this node knows of when sends were ordered: the source of the wait and of each intent's deadline.

    Kept on every node, for every applied entry: a standby may be the successor a moment later.
    """

    born: Nanos  # entries that were loaded at start, or came with a snapshot, count from here
    last: dict[tuple[Epoch, Venue], OlderSend] = field(factory=dict)
    limits: dict[ClientOrderId, Nanos] = field(factory=dict)

    def loaded(self, state: State) -> None:
        """The state was loaded: any epoch that it knows may have ordered a send just before the start."""
        for epoch, record in state.epochs.items():
            for venue in {**record.windows, **state.venues}:
                self.last[(epoch, venue)] = OlderSend(epoch, venue, self.born, window_at(state, epoch, venue))

    def installed(self, state: State, now: Nanos) -> None:
        """The state has jumped, by a snapshot: what it was ordered by counts from now, as entries loaded at a start do.

        Any of them may have been ordered just before, and this node never saw when.
        """
        self.born = now
        self.loaded(state)

    def ordered(self, effect: Effect, term: Epoch, appended: Nanos, limit: Nanos, window: Nanos) -> None:
        """An applied entry of `term`, appended here at `appended`, ordered `effect`; late by `limit`."""
        key = (term, effect.venue)
        before = self.last.get(key)
        newest = appended if before is None else max(before.appended, appended)
        self.last[key] = OlderSend(term, effect.venue, newest, window)
        self.limits[effect.intent] = limit

    def older(self) -> list[OlderSend]:
        """All that is remembered."""
        return list(self.last.values())

    def limit_of(self, intent: ClientOrderId, state: State) -> Nanos:
        """The mono time after which the venue's deadline check lets `intent` pass no more."""
        known = self.limits.get(intent)
        if known is not None:
            return known
        return Nanos(self.born + stretched(widest_window(state), drift_of(state)))

    def prune(self, state: State) -> None:
        """Forget deadlines that nothing will ask for again, and epochs that the log has forgotten."""
        if len(self.limits) <= KEEP_LIMITS + 2 * len(state.intents):
            return
        self.limits = {
            intent: limit
            for intent, limit in self.limits.items()
            if intent in state.intents or (intent in state.orders and not state.orders[intent].closed)
        }
        newest = max(state.epochs, default=Epoch(0))
        self.last = {key: at for key, at in self.last.items() if key[0] >= newest - KEEP_LIMITS}
