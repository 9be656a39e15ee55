"""An opening balance, approved over the API by whoever saw what the venue shows: all the way to an order."""

from __future__ import annotations

from decimal import Decimal

import pytest
from attrs import evolve

from meltica.api import ports as api
from meltica.api.ports import Action, OutcomeKind
from meltica.core.commands import By
from meltica.core.values import OrderType, RequestId, Side
from meltica.leader.status import LeaderStatus
from tests.meltica.leader.world import ACCOUNT, CONFIGURED, POLICY, QUOTER, SETTINGS, SYMBOL, VENUE, Idle, S, World
from tests.meltica.test_view import view

ASKING = evolve(
    SETTINGS, configuration=evolve(CONFIGURED, venues=(evolve(POLICY, approve_opening=False),))
)  # as the shipped settings


class Driven:
    """A node's leader whose world goes on while somebody waits for an answer."""

    def __init__(self, world, node):
        self._world, self._node = world, node

    def status(self) -> LeaderStatus:
        return self._node.leader.status()

    def act(self, action, on_result):
        self._node.leader.act(action, on_result)
        self._world.run(S)


@pytest.fixture
def node():
    world = World(make=Idle, settings=ASKING)
    node = world.start()
    world.run(2 * S)
    return view(
        state=node.state,
        leader=Driven(world, node),
        ports={VENUE: node.port},
        accounts={VENUE: ACCOUNT},
    )


async def act(node, wish, request="r-1", *, dry_run=False):
    return await node.act(Action(wish, By(RequestId(request), "operator:ann", "because"), dry_run))


def seen(node):
    """What `meltica opening show` shows, as a wish."""
    (row,) = node.status()["openings"]
    return api.ApproveOpening(VENUE, tuple((asset, Decimal(amount)) for asset, amount in row["balances"].items()))


ORDER = api.SubmitOrder(VENUE, SYMBOL, Side.BUY, OrderType.LIMIT, Decimal("0.1"), Decimal(60_000), strategy=QUOTER)


async def test_no_order_is_accepted_before_an_operator_approved_the_opening_and_one_is_after(node):
    refused = await act(node, ORDER)
    assert (refused.kind, refused.detail["code"]) == (OutcomeKind.REFUSED, "opening_not_approved")
    assert "meltica opening approve" in refused.next

    (row,) = node.status()["openings"]
    assert (row["venue"], row["account"], row["approved"], row["by"]) == (VENUE, ACCOUNT, False, None)
    assert row["balances"], "what the venue shows"
    assert isinstance(row["wall_ns"], int)
    wish = seen(node)
    assert (await act(node, wish, "r-2", dry_run=True)).kind is OutcomeKind.DONE
    assert not node.state.openings, "a dry run changes nothing"
    done = await act(node, wish, "r-2")
    assert done.kind is OutcomeKind.DONE, done

    (row,) = node.status()["openings"]
    assert (row["approved"], row["by"], row["index"]) == (True, "operator:ann", done.index)
    assert dict(node.state.openings[VENUE, ACCOUNT].balances) == dict(wish.balances)
    accepted = await act(node, ORDER, "r-3")
    assert accepted.kind is OutcomeKind.DONE, accepted


async def test_what_has_changed_since_it_was_seen_is_not_approved(node):
    wish = seen(node)
    (asset, amount), *rest = wish.balances
    told = await act(node, evolve(wish, balances=((asset, amount + 1), *rest)))
    assert told.kind is OutcomeKind.REFUSED
    assert f"{amount} {asset}, not {amount + 1}" in told.message
    assert "meltica opening show" in told.next
    assert (await act(node, evolve(wish, balances=tuple(rest)))).kind is OutcomeKind.REFUSED
    assert not node.state.openings


async def test_what_an_unconnected_venue_showed_is_not_approved(node):
    node.ports[VENUE].connected = False
    told = await act(node, seen(node))
    assert told.kind is OutcomeKind.REFUSED
    assert "not connected" in told.message


async def test_a_repetition_is_recognised_and_a_second_approval_is_not_one(node):
    wish = seen(node)
    first = await act(node, wish)
    again = await act(node, wish)
    assert (again.kind, again.detail["duplicate"]) == (OutcomeKind.DONE, True), again
    second = await act(node, wish, "r-2")
    assert (first.kind, second.kind, second.detail["code"]) == (
        OutcomeKind.DONE,
        OutcomeKind.REFUSED,
        "already_approved",
    )
    assert "meltica opening show" in second.next
    assert (await act(node, wish, "r-9", dry_run=True)).kind is OutcomeKind.REFUSED


async def test_of_an_account_without_anything_nothing_is_approved(node):
    node.state.balances.clear()
    told = await act(node, api.ApproveOpening(VENUE, ()))
    assert (told.kind, told.message) == (OutcomeKind.REFUSED, f"{VENUE} shows no balance of {ACCOUNT}")


async def test_a_venue_that_there_is_not_is_named(node):
    told = await act(node, api.ApproveOpening("moon", (("BTC", Decimal(1)),)))
    assert (told.kind, told.message) == (OutcomeKind.REFUSED, f"there is no venue moon: choose one of {VENUE}")
