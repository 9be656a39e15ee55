"""Claims: what a venue showed of orders, and what was proposed of it, until the log has it.

Only that memory may live here, and only while a full read is what trading waits for: before authority, and after a
gap.  A fill that was proposed is in the log before whatever is proposed behind it, so it counts here at once; an
order that was executed beyond such fills is one whose trades are still to be read.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, field

from meltica.core.commands import Command, FillSeen, OrderUpdated
from meltica.core.exact import add
from meltica.core.orders import ZERO
from meltica.core.state import State
from meltica.core.values import Account, ClientOrderId, Quantity, Symbol, TradeId, Venue, VenueOrderId


@define
class Claims:
    """See the module."""

    executed: dict[ClientOrderId, Quantity] = field(factory=dict)  # as the venue showed it
    fills: dict[tuple[Venue, Account, Symbol, TradeId], tuple[ClientOrderId, Quantity]] = field(factory=dict)
    names: dict[tuple[Venue, Symbol, VenueOrderId], ClientOrderId] = field(factory=dict)

    def clear(self) -> None:
        """This node leads no more, or begins anew."""
        self.executed.clear()
        self.fills.clear()
        self.names.clear()

    def behind(self, state: State) -> None:
        """Take over what the log itself says was executed beyond its fills."""
        for name in sorted(state.order_index.behind):
            self.executed[name] = state.orders[name].executed

    def proposed(self, command: Command) -> None:
        """This was proposed."""
        if isinstance(command, FillSeen) and command.order is not None:
            key = (command.venue, command.account, command.symbol, command.trade_id)
            self.fills[key] = (command.order, command.quantity)
        elif isinstance(command, OrderUpdated) and command.order is not None:
            if command.venue_order_id is not None:
                self.names[command.venue, command.symbol, command.venue_order_id] = command.order
            if command.executed > self.executed.get(command.order, ZERO):
                self.executed[command.order] = command.executed

    def settle(self, state: State) -> None:
        """Forget what the log has."""
        if not self.fills and not self.executed and not self.names:
            return
        self.fills = {key: each for key, each in self.fills.items() if not state.trades.known(key[:3], key[3])}
        self.executed = {name: executed for name, executed in self.executed.items() if _short(state, name, executed)}
        self.names = {key: name for key, name in self.names.items() if key not in state.by_venue_id}

    def named(self, venue: Venue) -> Mapping[tuple[Symbol, VenueOrderId], ClientOrderId]:
        """Orders by the venue's ids that were proposed and may not be applied yet."""
        return {(symbol, order): name for (where, symbol, order), name in self.names.items() if where == venue}

    def lacking(self, state: State, venue: Venue, symbol: Symbol) -> bool:
        """Whether the fills that the log has or will have don't add up to what was executed there."""
        return any(
            _is_of(state, name, venue, symbol) and executed > self._filled(state, name)
            for name, executed in self.executed.items()
        )

    def short(self, state: State, venue: Venue, symbol: Symbol) -> ClientOrderId | None:
        """An order there whose fills in the log don't add up to what was executed."""
        short = (
            name
            for name, executed in self.executed.items()
            if _is_of(state, name, venue, symbol) and _short(state, name, executed)
        )
        return next(short, None)

    def _filled(self, state: State, name: ClientOrderId) -> Quantity:
        total = state.orders[name].filled
        for key, (order, quantity) in self.fills.items():
            if order == name and not state.trades.known(key[:3], key[3]):
                total = Quantity(add(total, quantity))
        return total


def _short(state: State, name: ClientOrderId, executed: Quantity) -> bool:
    order = state.orders.get(name)
    return order is not None and executed > order.filled


def _is_of(state: State, name: ClientOrderId, venue: Venue, symbol: Symbol) -> bool:
    order = state.orders.get(name)
    return order is not None and (order.venue, order.symbol) == (venue, symbol)
