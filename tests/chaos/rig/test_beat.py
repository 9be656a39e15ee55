"""The beat: orders at a fixed pace, whether answers come or not."""

from __future__ import annotations

import trio

from chaos.rig.beat import AT_ONCE, EVERY_MS, Beat
from chaos.rig.watch import ActRefused

LONG = 60.0  # seconds


class Venue:
    """Stands in for the watcher: keeps when it was asked for what, and answers late, never, or with a refusal."""

    def __init__(self, late=0.0, *, refuses=False):
        self.asked = []
        self.late, self.refuses = late, refuses

    async def act(self, node, action, body, _reason):
        self.asked.append((round(trio.current_time() * 1000), node, action, body["side"]))
        await trio.sleep(self.late)
        if self.refuses:
            raise ActRefused("no")


async def beaten(venue, seconds):
    beat = Beat(venue, "n1")
    with trio.move_on_after(seconds):
        await beat.run()
    return beat


async def test_it_asks_for_one_side_and_the_other_at_its_pace_though_no_answer_came(autojump_clock):
    venue = Venue(late=0.35)
    start = round(trio.current_time() * 1000)
    beat = await beaten(venue, 0.95)
    assert [at - start for at, *_ in venue.asked] == [EVERY_MS * number for number in range(10)]
    assert [side for *_, side in venue.asked] == ["BUY", "SELL"] * 5
    assert (beat.counts["asked"], beat.counts["taken"]) == (10, 6)


async def test_a_cluster_that_does_not_answer_is_not_asked_without_end(autojump_clock):
    venue = Venue(late=LONG)
    beat = await beaten(venue, LONG / 2)
    assert len(venue.asked) == AT_ONCE
    assert beat.counts["skipped"] == LONG / 2 * 1000 / EVERY_MS - AT_ONCE


async def test_a_refusal_does_not_end_it(autojump_clock):
    beat = await beaten(Venue(refuses=True), 0.45)
    assert (beat.counts["asked"], beat.counts["taken"]) == (5, 0)
