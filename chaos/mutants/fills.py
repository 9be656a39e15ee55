"""Rule 4, every fill once: trades lost, doubled or misread.

Only mutants of fills, of positions and of reads of trades may live here.
"""

from __future__ import annotations

from typing import Any

from chaos.mutants.mutant import mutant
from chaos.mutants.patches import Patches
from chaos.mutants.scenes import DOUBLED, LOST_REPORTS, QUIET
from meltica.core import apply
from meltica.core import commands as c
from meltica.core.events import Rejection
from meltica.core.indexes import Trades
from meltica.leader import reconcile
from meltica.leader.reconcile import Learnt


@mutant("4", DOUBLED, "every_fill_once")
def a_trade_told_twice_counts_twice(patches: Patches) -> None:
    """A trade that is told twice counts twice."""
    patches.attribute(Trades, "known", lambda *_args: False)


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
