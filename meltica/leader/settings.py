"""Settings: the numbers of one node's leader.

Only frozen values may live here.  What two nodes must agree on is in `configuration`, which enters the log;
everything else may differ between nodes without harm.
"""

from __future__ import annotations

from attrs import frozen

from meltica.core.commands import Configured
from meltica.core.values import Nanos, Symbol, Venue

MS = 1_000_000
S = 1_000_000_000


@frozen
class LeaderSettings:
    """One node's leader.  Times in nanoseconds."""

    configuration: Configured  # its epoch and time are filled in when it is proposed
    symbols: tuple[tuple[Venue, tuple[Symbol, ...]], ...]  # what is traded where
    build: str = "0"
    # The gate is shut until a full pass when wake() has not run for so long: a stalled loop sends nothing.
    stall_after: Nanos = Nanos(150 * MS)
    watch_every: Nanos = Nanos(25 * MS)  # next_wake() is never later than this while leading
    idle_every: Nanos = Nanos(100 * MS)  # ... and than this otherwise
    wall_jump: Nanos = Nanos(50 * MS)  # wall against mono between two passes
    clock_age: Nanos = Nanos(5 * S)  # an older estimate of the venue's clock sends nothing (design.md 5)
    wall_off: Nanos = Nanos(1 * S)  # a node whose wall clock is further from the venue's is not promotable
    signed_read_age: Nanos = Nanos(150 * S)
    # What a window must have room for, beside the venue's shortest deadline and its clock's uncertainty (design.md 5).
    commit: Nanos = Nanos(20 * MS)
    transit: Nanos = Nanos(20 * MS)
    # A leader that should not lead: its clock is wrong, or it is held up before authority.
    unfit_after: Nanos = Nanos(3 * S)  # before it hands the lead on; a clock known to be wrong waits for nothing
    unfit_again: Nanos = Nanos(2 * S)  # between two hand-overs to a standby that says it is ready
    unfit_pause: Nanos = Nanos(30 * S)  # between two times that it steps down without one
    # Reconciliation (design.md 7).
    open_orders_every: Nanos = Nanos(10 * S)
    trades_every: Nanos = Nanos(60 * S)
    balances_every: Nanos = Nanos(60 * S)
    meet_within: Nanos = Nanos(2 * S)  # an execution that the venue shows, and the trades that it is made of
    instruments_every: Nanos = Nanos(300 * S)
    read_timeout: Nanos = Nanos(4 * S)  # between two looks whether the adapter, which alone gives up, works on a read
    read_retry: Nanos = Nanos(100 * MS)  # after a failed read; doubles up to 2 s
    takeover_patience: Nanos = Nanos(1 * S)  # beyond the wait: then unread symbols take cancels only
    balance_pause: Nanos = Nanos(250 * MS)  # between two tellings of the stream's balances to the log
    balance_margin: Nanos = Nanos(2 * S)  # fills this near a balance read may be in it or not
    balance_lag: Nanos = Nanos(
        15 * S
    )  # so old may a balance read be, as a venue's engine may stand still (contracts 5)
    drop_copy_after: Nanos = Nanos(5 * S)  # a fill heard so long ago and not in the log raises an alert
    recancel_every: Nanos = Nanos(1 * S)
    answer_backstop: Nanos = Nanos(12 * S)  # a send that nothing was heard of is in doubt by then
    retry_evidence: Nanos = Nanos(50 * MS)
    # Strategies.
    callback_budget: Nanos = Nanos(250 * MS)  # a callback that takes longer stops its strategy
    checkpoint_every: Nanos = Nanos(1 * S)
    kline: Nanos = Nanos(1 * S)
    # Hand-over.
    transfer_timeout: Nanos = Nanos(500 * MS)  # then step down and stand again, in a new term
    drain_timeout: Nanos = Nanos(5 * S)  # beyond the widest window: then it steps down without a release
    venue_lost_after: Nanos = Nanos(3 * S)
    venue_lost_pause: Nanos = Nanos(30 * S)  # between two hand-overs for a lost venue
    dispute_patience: Nanos = Nanos(1 * S)  # for a third node's word when two states differ; then trading halts
    commit_stall: Nanos = Nanos(500 * MS)  # an own proposal this old without an outcome: no majority

    def symbols_of(self, venue: Venue) -> tuple[Symbol, ...]:
        """What is traded on `venue`."""
        return next((symbols for name, symbols in self.symbols if name == venue), ())
