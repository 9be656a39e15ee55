"""Rule 4, every fill once: trades lost, doubled or misread.

Only mutants of fills, of positions and of reads of trades may live here.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve

from chaos.mutants.mutant import mutant
from chaos.mutants.patches import Patches
from chaos.mutants.scenes import DOUBLED, FAILING, LOST_REPORTS, MIXED, QUIET
from meltica.core import apply, apply_fills
from meltica.core import commands as c
from meltica.core.events import Rejection
from meltica.core.indexes import Trades
from meltica.core.loading import Loading
from meltica.core.values import TradeId
from meltica.leader import reconcile
from meltica.leader.reads import Question, Reads
from meltica.leader.reconcile import Learnt
from meltica.venues.base import ReadKind
from meltica.venues.binance_spot import events


@mutant("4", DOUBLED, "every_fill_once")
def a_trade_told_twice_counts_twice(patches: Patches) -> None:
    """A trade that is told twice counts twice."""
    patches.attribute(Trades, "known", lambda *_args: False)


@mutant("4", MIXED, "ours_alone")
def events_of_another_account_are_ours(patches: Patches) -> None:
    """Whose an event is, is not looked at: what another account was told on our connection counts as ours."""
    patches.attribute(events, "subscription_of", lambda _value: None)


@mutant("4", QUIET, "every_fill_once")
def trades_are_keyed_by_number_alone(patches: Patches) -> None:
    """Trades are known by their number alone: another symbol's trade of that number is dropped."""

    def known(self: Trades, _key: object, trade_id: Any) -> bool:
        return any(trade_id in seen for seen in self.seen.values())

    patches.attribute(Trades, "known", known)


@mutant("4", LOST_REPORTS, "every_fill_once")
def a_closed_order_takes_no_fill(patches: Patches) -> None:
    """A fill of an order that is closed is refused."""
    whole = apply.ROOMS[c.FillSeen]

    def refuse(turn: Any, command: Any) -> Rejection | None:
        order = turn.state.order_named(command.venue, command.symbol, command.venue_order_id, command.order)
        if order is not None and order.closed:
            return Rejection("order_closed", "too late")
        return whole(turn, command)

    patches.item(apply.ROOMS, c.FillSeen, refuse)


@mutant("4", LOST_REPORTS, "every_fill_once")
def trades_that_a_read_shows_are_ignored(patches: Patches) -> None:
    """What a read of trades shows is not looked at."""
    patches.attribute(reconcile, "trades", lambda *_args: Learnt())


@mutant("4", LOST_REPORTS, "every_fill_once", "liveness")
def trades_are_read_from_the_highest_id_seen(patches: Patches) -> None:
    """A read of trades begins behind the newest trade that is known, not at the low-water mark."""
    whole = Reads.ask

    def ask(self: Any, question: Question) -> None:
        if question.kind is ReadKind.TRADES:
            seen = [
                trade
                for (venue, _, symbol), trades in self._desk.state.trades.seen.items()
                if (venue, symbol) == (question.venue, question.symbol)
                for trade in trades
            ]
            question = evolve(question, from_trade=TradeId(max(seen) + 1)) if seen else question
        whole(self, question)

    patches.attribute(Reads, "ask", ask)


@mutant("4", QUIET, "positions")
def fees_are_not_taken(patches: Patches) -> None:
    """A position is what was traded, the fees that the venue took in the asset itself forgotten."""
    whole = apply_fills._hold  # noqa: SLF001 # what is broken is inside

    def hold(state: Any, fill: Any, instrument: Any) -> None:
        whole(state, evolve(fill, fee=fill.fee * 0), instrument)

    patches.attribute(apply_fills, "_hold", hold)


@mutant("4", FAILING, "state_equal", "positions", "every_fill_once", "state_machine_safety")
def a_restart_forgets_which_trades_counted(patches: Patches) -> None:
    """The trades that are known are not read back at a start: a read that shows them counts them again."""
    whole = Loading._trade  # noqa: SLF001 # what is broken is inside

    def load(self: Any, parts: Any, value: Any) -> Any:
        kept = whole(self, parts, value)
        self.state.trades.seen.clear()
        return kept

    patches.attribute(Loading, "_trade", load)
