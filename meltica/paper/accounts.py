"""Accounts: what each one has free and locked, and what the venue took in fees.

Only balances may live here.  Amounts are exact decimals; nothing here may go below zero but `outside`, the account of
whoever trades without one (the market's agents, the recording), which exists so that every sum can be checked.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal

from attrs import define, field

from meltica.paper.orders import ATOM

ZERO = Decimal(0)


class AccountError(Exception):
    """A balance would fall below zero: a fault of the engine, never of a client."""


@define(eq=False)
class Balance:
    """One asset of one account."""

    free: Decimal = ZERO
    locked: Decimal = ZERO


def fee_of(amount: Decimal, rate: Decimal) -> Decimal:
    """The fee on a received amount, cut to the eight decimals in which the venue keeps balances."""
    return (amount * rate).quantize(ATOM, rounding=ROUND_DOWN)


@define(eq=False)
class Accounts:
    """All accounts' balances."""

    _balances: dict[str, dict[str, Balance]] = field(factory=dict)
    fees: dict[str, Decimal] = field(factory=dict)
    outside: dict[str, Decimal] = field(factory=dict)

    def __contains__(self, account: str) -> bool:
        return account in self._balances

    def open(self, account: str, balances: dict[str, Decimal]) -> None:
        """Add an account.

        Raises:
            ValueError: if it exists, has no name, or a balance is negative or finer than eight decimals.
        """
        if not account or account in self._balances:
            raise ValueError(f"account {account!r} has no name or exists already")
        for asset, amount in balances.items():
            if not amount.is_finite() or amount < 0 or amount % ATOM != 0:
                raise ValueError(f"balance of {asset} for {account} must be at least 0, with at most 8 decimals")
        self._balances[account] = {asset: Balance(amount) for asset, amount in balances.items()}

    def of(self, account: str, asset: str) -> Balance:
        """The balance of an asset, created at zero if it was not there; KeyError for an unknown account."""
        return self._balances[account].setdefault(asset, Balance())

    def all_of(self, account: str) -> list[tuple[str, Decimal, Decimal]]:
        """Asset, free and locked, by asset's name."""
        return [(asset, each.free, each.locked) for asset, each in sorted(self._balances[account].items())]

    def lock(self, account: str, asset: str, amount: Decimal) -> bool:
        """Move from free to locked; False, and nothing moved, if there is not enough."""
        balance = self.of(account, asset)
        if balance.free < amount:
            return False
        balance.free -= amount
        balance.locked += amount
        return True

    def unlock(self, account: str, asset: str, amount: Decimal) -> None:
        """Move from locked back to free."""
        balance = self.of(account, asset)
        balance.locked -= amount
        balance.free += amount
        self._check(balance, account, asset)

    def pay(self, account: str, asset: str, amount: Decimal) -> None:
        """Take a locked amount away; "" is the outside, which may owe."""
        if not account:
            self.outside[asset] = self.outside.get(asset, ZERO) - amount
            return
        balance = self.of(account, asset)
        balance.locked -= amount
        self._check(balance, account, asset)

    def receive(self, account: str, asset: str, amount: Decimal, fee: Decimal) -> None:
        """Credit an amount less its fee; "" is the outside, which pays none."""
        if not account:
            self.outside[asset] = self.outside.get(asset, ZERO) + amount
            return
        self.of(account, asset).free += amount - fee
        self.fees[asset] = self.fees.get(asset, ZERO) + fee

    @staticmethod
    def _check(balance: Balance, account: str, asset: str) -> None:
        if balance.locked < 0:
            raise AccountError(f"{account} would have {balance.locked} {asset} locked")
