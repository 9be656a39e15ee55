"""The venue's ledger by its own door: from where a run begins, whole, and on our clock."""

from __future__ import annotations

import json

import httpx
import pytest

from chaos.abroad.ledger import AT_ONCE, Offset, begun, last_of, on_our_clock
from chaos.live.venue import VenueFault
from chaos.rig.gather import ledger_whole
from tests.chaos.abroad.deployed import AHEAD, PAPER, Deployed


@pytest.fixture
def now():
    """Our monotonic clock, which goes on by a millisecond whenever it is read."""
    moments = iter(range(10**12, 10**13, 10**6))
    return lambda: next(moments)


@pytest.fixture
def deployed(now, monkeypatch):
    monkeypatch.setattr("chaos.abroad.ledger.time.monotonic_ns", now)
    return Deployed(now)


@pytest.fixture
async def door(deployed):
    async with httpx.AsyncClient(base_url=f"http://{PAPER}", transport=httpx.MockTransport(deployed)) as client:
        yield client


async def test_the_venue_s_clock_is_known_within_what_an_answer_takes(deployed, door, tmp_path):
    ledger = await begun(door, tmp_path / "ledger.jsonl")
    assert abs(ledger.offset.ns - AHEAD) <= ledger.offset.within_ns <= 3 * 10**6
    assert deployed.faults.running == {}


def test_only_moments_of_the_monotonic_clock_are_moved():
    record = {"seq": 4, "mono_ns": 107, "wall_ns": 107, "admitted_mono_ns": None, "received_mono_ns": 105}
    assert on_our_clock(record, Offset(100, 1)) == {**record, "mono_ns": 7, "received_mono_ns": 5}


@pytest.mark.parametrize("records", [0, 1, 2, 3, 7, 8, 1000])
async def test_the_newest_record_is_found(deployed, door, records):
    del deployed.sink.records[:]
    deployed.recorder._seq = 0
    for _ in range(records):
        deployed.recorder.write({"type": "fault"}, deployed.times())
    assert await last_of(door) == records


async def test_what_came_before_is_not_fetched_and_what_comes_is_whole(deployed, door, tmp_path):
    file = tmp_path / "ledger.jsonl"
    ledger = await begun(door, file)
    assert ledger.after == len(deployed.sink.records)
    for number in (3, AT_ONCE + 2):
        for _ in range(number):
            deployed.recorder.write({"type": "fault", "kind": "slow"}, deployed.times())
        await ledger.fetch()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["seq"] for line in lines] == list(range(ledger.after + 1, ledger.after + AT_ONCE + 6))
    assert ledger_whole(tmp_path, ledger.after).held
    assert not ledger_whole(tmp_path, ledger.after - 1).held
    assert all(10**12 < line["mono_ns"] < 10**13 for line in lines)


async def test_a_door_that_does_not_answer_is_a_fault(deployed, door, tmp_path, monkeypatch):
    ledger = await begun(door, tmp_path / "ledger.jsonl")
    monkeypatch.setattr(Deployed, "times", lambda _: 1 / 0)

    async def broken(_):
        return httpx.Response(500)

    async with httpx.AsyncClient(base_url=f"http://{PAPER}", transport=httpx.MockTransport(broken)) as other:
        ledger.client = other
        with pytest.raises(VenueFault, match="500"):
            await ledger.fetch()
