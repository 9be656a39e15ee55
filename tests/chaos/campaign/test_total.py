"""Many pieces as one: the same whatever came first, each profile by itself, failures with their profile."""

from __future__ import annotations

from itertools import permutations
from typing import Any

from chaos.campaign.total import total


def piece(profile: str, first: int, **more: Any) -> dict[str, Any]:
    return {
        "profile": profile,
        "seeds": [first, first + 25],
        "passed": 24,
        "failed": [],
        "did_not_count": [],
        "faults": {"kill": 2},
        "commands": 10,
        "checks": [{"name": "one_trader", "looked_at": 7}],
        "virtual_s": 30,
        "cpu_s": 2.0,
        "trace_digest": f"{profile}{first}",
        **more,
    }


FAILED = {"seed": 26, "check": "one_trader", "message": "two", "replay": "meltica-chaos sim --seed 26"}
PIECES = [
    piece("disks", 0, orders=5),
    piece("everything", 25, failed=[FAILED], orders=6, operators={"promote": 1}),
    piece("everything", 0, did_not_count=[{"seed": 3, "why": "4 faults of 5"}]),
    piece("everything", 75),
]


def test_the_order_of_playing_does_not_matter() -> None:
    first = total(PIECES, "p")
    assert all(total(order, "p") == first for order in permutations(PIECES))


def test_everything_is_added_up() -> None:
    document = total(PIECES, "p")
    assert (document["schema"], document["product"], document["passed"]) == ("meltica.campaign/1", "p", 96)
    assert (document["commands"], document["orders"], document["fills"]) == (40, 11, 0)
    assert document["failed"] == [{"profile": "everything", **FAILED}]
    assert document["did_not_count"] == [{"profile": "everything", "seed": 3, "why": "4 faults of 5"}]
    assert (document["faults"], document["operators"]) == ({"kill": 8}, {"promote": 1})
    assert document["checks"] == {"one_trader": 28}
    assert (document["virtual_s"], document["cpu_s"], document["virtual_s_per_cpu_s"]) == (120, 8.0, 15.0)


def test_each_profile_says_which_seeds_it_played() -> None:
    disks, everything = total(PIECES, "p")["profiles"]
    assert (disks["profile"], disks["seeds"]) == ("disks", [[0, 25]])
    assert (everything["profile"], everything["seeds"], everything["passed"]) == (
        "everything",
        [[0, 50], [75, 100]],
        72,
    )


def test_another_trace_is_another_digest() -> None:
    other = [*PIECES[1:], piece("disks", 0, trace_digest="else")]
    assert total(other, "p")["trace_digest"] != total(PIECES, "p")["trace_digest"]
    assert total([], "p")["virtual_s_per_cpu_s"] == 0.0
