"""The promises of `Proxies`, held by the real server behind its checked face, and by its twin in memory."""

from __future__ import annotations

import pytest
import trio

from chaos.toxiproxy.proxies import AlreadyThere, NotTaken, NotThere, Proxy
from chaos.toxiproxy.toxics import BOTH, RANGES, toxic
from tests.chaos.toxiproxy.twin import Twin

WITHIN = 60.0
LATE = toxic("late", "latency", "upstream", latency=5, jitter=2)
HELD = toxic("held", "bandwidth", "downstream")


@pytest.fixture
def twin():
    return Twin()


@pytest.fixture(params=["server", "twin"])
def proxies(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
async def one(proxies, ports):
    """A proxy that was just created, and what asks for it."""
    await proxies.create("one", f"127.0.0.1:{ports + 1}", f"127.0.0.1:{ports + 2}")
    return proxies


async def the_one(proxies):
    return (await proxies.all())["one"]


async def test_a_new_one_does_not_listen_and_has_no_toxics(one, ports):
    assert await one.all() == {"one": Proxy("one", f"127.0.0.1:{ports + 1}", f"127.0.0.1:{ports + 2}", enabled=False)}


async def test_a_name_is_taken_once(one, ports):
    before = await one.all()
    with pytest.raises(AlreadyThere):
        await one.create("one", f"127.0.0.1:{ports + 3}", f"127.0.0.1:{ports + 4}")
    assert await one.all() == before


async def test_it_is_enabled_and_disabled_twice_if_asked_twice(one):
    for _ in range(2):
        await one.enable("one")
        assert (await the_one(one)).enabled
    for _ in range(2):
        await one.disable("one")
        assert not (await the_one(one)).enabled


async def test_what_is_destroyed_is_gone(one):
    await one.destroy("one")
    assert await one.all() == {}


async def test_toxics_are_told_as_they_were_added_and_go_one_by_one(one):
    await one.add("one", LATE)
    await one.add("one", HELD)
    assert (await the_one(one)).toxics == (HELD, LATE)
    await one.remove("one", "late")
    assert (await the_one(one)).toxics == (HELD,)


async def test_toxics_outlive_being_disabled(one):
    await one.add("one", LATE)
    await one.enable("one")
    await one.disable("one")
    await one.enable("one")
    assert (await the_one(one)).toxics == (LATE,)


@pytest.mark.parametrize("kind", RANGES)
async def test_every_kind_goes_both_ways(one, kind):
    least = {name: low for name, (low, _) in RANGES[kind].items()}
    made = [toxic(f"t_{stream}", kind, stream, **least) for stream in BOTH]
    for each in made:
        await one.add("one", each)
    assert set((await the_one(one)).toxics) == set(made)


async def test_a_toxic_of_the_same_name_is_refused_and_the_first_stays(one):
    await one.add("one", LATE)
    with pytest.raises(AlreadyThere):
        await one.add("one", toxic("late", "latency", "upstream", latency=9))
    assert (await the_one(one)).toxics == (LATE,)


async def test_what_is_not_there_is_said_not_to_be(one):
    for change in (one.enable, one.disable, one.destroy):
        with pytest.raises(NotThere):
            await change("other")
    with pytest.raises(NotThere):
        await one.add("other", LATE)
    with pytest.raises(NotThere):
        await one.remove("other", "late")
    with pytest.raises(NotThere):
        await one.remove("one", "late")


async def test_a_port_of_somebody_else_is_no_silent_failure(one, ports):
    await one.enable("one")
    await one.create("two", f"127.0.0.1:{ports + 1}", f"127.0.0.1:{ports + 2}")
    with pytest.raises(NotTaken):
        await one.enable("two")
    assert not (await one.all())["two"].enabled


async def test_many_are_asked_side_by_side(proxies, ports):
    with trio.fail_after(WITHIN):
        async with trio.open_nursery() as nursery:
            for number in range(12):

                async def make(name=f"p{number}", port=ports + 1 + number):
                    await proxies.create(name, f"127.0.0.1:{port}", f"127.0.0.1:{ports + 50}")
                    await proxies.add(name, LATE)
                    await proxies.enable(name)

                nursery.start_soon(make)
    found = await proxies.all()
    assert len(found) == 12
    assert all(one.enabled and one.toxics == (LATE,) for one in found.values())
