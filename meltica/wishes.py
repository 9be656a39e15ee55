"""Wishes: what an operator asks for over the API, in the leader's words.

Only that passage may live here: pure.  What a wish does is decided by the leader and by `core.apply`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Final

from attrs import frozen

from meltica.api.ports import (
    Action,
    ActivateVersion,
    ApproveBuild,
    ApproveOpening,
    CancelOrders,
    HaltTrading,
    KillTrading,
    Promote,
    ReduceOnly,
    ResumeTrading,
    SetMode,
    SkipEntry,
    StartStrategy,
    StopStrategy,
    SubmitOrder,
    Wish,
)
from meltica.core import commands
from meltica.core.values import Account, Asset, Epoch, Money, Nanos, NodeName, OrderType, Price, Quantity
from meltica.leader import ports as leader_ports

NO_PRICE: Final = Price(Decimal(0))  # the leader fills in the price that it sees, or refuses


@frozen
class Known:
    """What a wish may name on this node."""

    nodes: Collection[str]
    accounts: Mapping[str, str]  # by venue
    build: str


def translated(action: Action, known: Known) -> leader_ports.OperatorAction | str:
    """The wish in the leader's words; a text says why it can't be one."""
    wish, by = action.wish, action.by
    if isinstance(wish, Promote):
        to = None if wish.node is None else NodeName(wish.node)
        if to is not None and to not in known.nodes:
            return f"there is no node {to}: choose one of {', '.join(sorted(known.nodes))}"
        return leader_ports.Promote(by, to, epoch_of(wish))
    if isinstance(wish, KillTrading) and wish.without_quorum:
        return leader_ports.WithoutQuorum(by)
    if isinstance(wish, SkipEntry):
        return leader_ports.Skip(by, wish.index, wish.digest, str(wish.role))
    command = _command(wish, by, known)
    return command if isinstance(command, str) else leader_ports.Order(command)


def epoch_of(wish: Promote) -> Epoch | None:
    """The one that the operator saw."""
    return None if wish.epoch is None else Epoch(wish.epoch)


def _command(wish: Wish, by: commands.By, known: Known) -> commands.Command | str:
    epoch = Epoch(0)  # the leader fills epoch and time in
    at = Nanos(0)
    match wish:
        case HaltTrading() | ReduceOnly() | ResumeTrading() | KillTrading():
            return _of_risk(wish, by)
        case SetMode():
            return commands.ModeSet(epoch, at, wish.mode, by)
        case CancelOrders():
            if wish.order is not None:
                return commands.Cancel(epoch, at, wish.order, by.reason, by)
            return commands.CancelAll(epoch, at, by.reason, wish.strategy, wish.symbol, by)
        case SubmitOrder():
            return _submit(wish, by, known)
        case ActivateVersion():
            return commands.ActivateVersion(epoch, at, wish.version, known.build, by)
        case ApproveBuild():
            return commands.ApproveBuild(epoch, at, wish.build, wish.config, wish.only, by)
        case StartStrategy():
            return commands.StrategyStarted(epoch, at, wish.strategy, by)
        case StopStrategy():
            return commands.StrategyStopped(epoch, at, wish.strategy, f"by {by.actor}: {by.reason}", by)
        case ApproveOpening():
            return _opening(wish, by, known)
        case _:
            return f"{type(wish).__name__} is no action"


def _of_risk(wish: HaltTrading | ReduceOnly | ResumeTrading | KillTrading, by: commands.By) -> commands.Command:
    epoch, at = Epoch(0), Nanos(0)
    match wish:
        case HaltTrading():
            return commands.Halt(epoch, at, wish.cause, wish.leave_quotes, by)
        case ReduceOnly():
            return commands.Reduce(epoch, at, wish.cause, by)
        case ResumeTrading():
            return commands.Resume(epoch, at, wish.causes, wish.risk_index, by)
        case KillTrading():
            return commands.Kill(epoch, at, wish.cause, by)


def _submit(wish: SubmitOrder, by: commands.By, known: Known) -> commands.Command | str:
    account = known.accounts.get(wish.venue)
    if account is None:
        return _no_venue(wish.venue, known)
    if wish.order_type is OrderType.LIMIT and wish.price is None:
        return "a limit order needs a price"
    return commands.Submit(
        epoch=Epoch(0),
        at=Nanos(0),
        strategy=wish.strategy,
        venue=wish.venue,
        account=Account(account),
        symbol=wish.symbol,
        side=wish.side,
        order_type=wish.order_type,
        quantity=Quantity(wish.quantity),
        price=None if wish.price is None else Price(wish.price),
        time_in_force=wish.time_in_force,
        post_only=wish.post_only,
        reference=NO_PRICE,
        book_age=Nanos(0),
        by=by,
    )


def _opening(wish: ApproveOpening, by: commands.By, known: Known) -> commands.Command | str:
    account = known.accounts.get(wish.venue)
    if account is None:
        return _no_venue(wish.venue, known)
    balances = tuple((Asset(asset), Money(amount)) for asset, amount in wish.balances)
    return commands.OpeningApproved(Epoch(0), Nanos(0), wish.venue, Account(account), balances, by)


def _no_venue(venue: str, known: Known) -> str:
    return f"there is no venue {venue}: choose one of {', '.join(sorted(known.accounts))}"
