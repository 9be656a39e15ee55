"""Intake: operators' wishes into commands, and outcomes into answers.

Only that passage may live here.  A request id makes a retry after an unknown outcome safe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import evolve

from cluster.types import Applied, NotLeader, Outcome
from meltica.core import commands
from meltica.core.commands import Command, Submit
from meltica.core.events import Rejection
from meltica.core.orders import Order
from meltica.core.values import Nanos, NodeName
from meltica.leader.context import Market
from meltica.leader.desk import Desk, describe, result_of
from meltica.leader.ports import ActionResult, Done, InQuestion, NotActive, Refused

OnResult = Callable[[ActionResult], None]

# What an operator may ask for; the rest of the commands are this node's own evidence.
ALLOWED: Final = (
    commands.Submit,
    commands.Cancel,
    commands.CancelAll,
    commands.Halt,
    commands.Reduce,
    commands.Resume,
    commands.Kill,
    commands.ModeSet,
    commands.OpeningApproved,
    commands.StrategyStopped,
    commands.StrategyStarted,
    commands.Configured,
    commands.ActivateVersion,
    commands.ApproveBuild,
    commands.MembersAsked,
)


class Intake:
    """See the module."""

    def __init__(self, desk: Desk, market: Market, quoting: Callable[[Submit], str]) -> None:
        self._desk = desk
        self._market = market
        self._quoting = quoting

    def order(self, command: Command, leader: NodeName | None, on_result: OnResult) -> None:
        """Propose an operator's command; `leader` is who leads, if it is another."""
        desk = self._desk
        if not isinstance(command, ALLOWED):
            on_result(Refused("not_an_operators", f"{type(command).__name__} is not for operators to propose"))
            return
        if not desk.can_propose:
            on_result(NotActive(leader))
            return
        before = self._submitted_before(command)
        if before is not None:
            on_result(before)
            return
        stamped = self._stamped(command)
        if isinstance(stamped, Refused):
            on_result(stamped)
            return
        try:
            desk.propose(stamped, lambda outcome: on_result(answer(outcome)))
        except ValueError as fault:  # BadCommand is one
            on_result(Refused("bad_command", str(fault)[:300]))

    def _submitted_before(self, command: Command) -> ActionResult | None:
        """What a Submit's request came to, if this is a retry of it.

        Its reference price is filled in here, so that apply would take a retry for something else.
        """
        if not isinstance(command, Submit) or command.by is None:
            return None
        record = self._desk.state.requests.get(command.by.request)
        if record is None or record.kind != "submit":
            return None
        order = self._desk.state.orders.get(record.order) if record.order is not None else None
        if order is not None and not _same(order, command):
            return Refused("request_reused", f"request {record.request} was another order: take a new request id")
        if record.code:
            return Refused(record.code, record.text)
        return Done("done before, under this request id", record.index)

    def _stamped(self, command: Command) -> Command | Refused:
        desk = self._desk
        if not isinstance(command, Submit):
            return evolve(command, epoch=desk.epoch, at=desk.at)
        ticker = self._market.tickers.get((command.venue, command.symbol))
        shut = self._quoting(command)
        if shut or ticker is None:
            return Refused("not_now", shut or "no market was heard for this symbol")
        age = Nanos(max(0, desk.mono() - ticker.mono))
        return evolve(command, epoch=desk.epoch, at=desk.at, reference=ticker.mid, book_age=age)


def _same(order: Order, command: Submit) -> bool:
    asked = (command.venue, command.symbol, command.side, command.quantity, command.price, command.order_type)
    return asked == (order.venue, order.symbol, order.side, order.quantity, order.price, order.order_type)


def answer(outcome: Outcome) -> ActionResult:
    """What an operator is told of a proposal's outcome."""
    result = result_of(outcome)
    if isinstance(outcome, Applied) and result is not None:
        if result.rejection is not None:
            return Refused(result.rejection.code, _told(result.rejection))
        return Done("done" if not result.duplicate else "done before, under this request id", result.index, result)
    if isinstance(outcome, NotLeader):
        return NotActive(NodeName(outcome.leader) if outcome.leader is not None else None)
    return InQuestion(describe(outcome))


def _told(rejection: Rejection) -> str:
    """A rejection by a limit names it, the value that it would have had, and the bound."""
    if not rejection.limit:
        return rejection.text
    return f"{rejection.text} ({rejection.limit}: {rejection.value}, bound {rejection.bound})"
