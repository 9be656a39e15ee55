"""Balances: what can be locked, paid and received, and what is refused."""

from __future__ import annotations

from decimal import Decimal

import pytest

from meltica.paper.accounts import AccountError, Accounts, fee_of


def accounts() -> Accounts:
    opened = Accounts()
    opened.open("a", {"USDT": Decimal(100)})
    return opened


def test_what_is_locked_is_not_free() -> None:
    held = accounts()
    assert held.lock("a", "USDT", Decimal(60))
    assert not held.lock("a", "USDT", Decimal(41))
    assert held.all_of("a") == [("USDT", Decimal(40), Decimal(60))]
    held.pay("a", "USDT", Decimal(50))
    held.unlock("a", "USDT", Decimal(10))
    held.receive("a", "BTC", Decimal(1), Decimal("0.001"))
    assert held.all_of("a") == [("BTC", Decimal("0.999"), Decimal(0)), ("USDT", Decimal(50), Decimal(0))]
    assert held.fees == {"BTC": Decimal("0.001")}


def test_more_than_is_locked_cannot_be_paid() -> None:
    with pytest.raises(AccountError, match="-1 USDT"):
        accounts().pay("a", "USDT", Decimal(1))


def test_the_outside_may_owe_and_pays_no_fee() -> None:
    held = accounts()
    held.pay("", "BTC", Decimal(2))
    held.receive("", "USDT", Decimal(5), Decimal(0))
    assert held.outside == {"BTC": Decimal(-2), "USDT": Decimal(5)}


def test_fees_are_cut_to_eight_decimals() -> None:
    assert fee_of(Decimal("0.00001"), Decimal("0.001")) == Decimal("0.00000001")
    assert fee_of(Decimal("0.000019"), Decimal("0.001")) == Decimal("0.00000001")


@pytest.mark.parametrize(
    ("name", "balances"),
    [("a", {}), ("", {}), ("b", {"USDT": Decimal(-1)}), ("b", {"USDT": Decimal("NaN")}), ("b", {"X": Decimal("1E-9")})],
)
def test_a_bad_account_is_refused(name: str, balances: dict[str, Decimal]) -> None:
    with pytest.raises(ValueError, match=r"account|balance"):
        accounts().open(name, balances)
