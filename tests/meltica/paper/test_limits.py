import pytest

from meltica.paper.errors import ApiError
from meltica.paper.limits import MINUTE, AccountLimits, AddressLimits
from meltica.paper.ports import OrderLimits

NOW = 1_700_000_000_000_000 // MINUTE * MINUTE


def refused(call, *args):
    with pytest.raises(ApiError) as caught:
        call(*args)
    return caught.value


def test_weight_is_counted_by_the_minute():
    address = AddressLimits(OrderLimits(weight_per_minute=10))
    address.ask(10, NOW)
    no = refused(address.ask, 1, NOW + 1)
    assert (no.code, no.status, no.retry_after_s) == (-1003, 429, 60)
    assert no.retry_at_ms == (NOW + MINUTE) // 1000
    address.ask(10, NOW + MINUTE)


def test_going_on_after_429_is_a_ban_and_the_next_is_longer():
    address = AddressLimits(OrderLimits(weight_per_minute=0))
    answers = [refused(address.ask, 1, NOW).status for _ in range(11)]
    assert answers == [429] * 10 + [418]
    assert refused(address.ask, 1, NOW + 2 * MINUTE - 1).status == 418
    later = NOW + 2 * MINUTE
    answers = [refused(address.ask, 1, later) for _ in range(11)]
    assert [no.status for no in answers] == [429] * 10 + [418]
    assert answers[-1].retry_after_s == 240


def test_unfilled_orders_as_in_the_pages_maker_example():
    account = AccountLimits(OrderLimits())
    for _ in range(5):
        account.placed(NOW)
    account.first_fill(NOW, maker=True)
    assert account.rows(NOW)[0]["count"] == 0
    account.placed(NOW)
    account.placed(NOW)
    account.first_fill(NOW, maker=False)
    assert account.rows(NOW)[0]["count"] == 1


def test_too_many_orders_in_ten_seconds():
    account = AccountLimits(OrderLimits(orders_per_10_s=2))
    account.placed(NOW)
    account.placed(NOW)
    no = refused(account.ask, NOW)
    assert (no.code, no.status, no.retry_after_s) == (-1015, 429, None)
    account.ask(NOW + 10_000_000)
