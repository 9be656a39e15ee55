"""Library: the scenario files that are shipped, and suites of them.

Only reading the folder may live here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from chaos.live.compose import composed
from chaos.live.plan import Plan, plan
from chaos.live.scenarios import BadScenario, Scenario, read

FOLDER: Final = Path(__file__).resolve().parents[1] / "scenarios"
ENDLESS: Final = "endless"
COMPOSED: Final = re.compile(rf"{ENDLESS}-(\d+)")


def shipped(folder: Path = FOLDER) -> tuple[Scenario, ...]:
    """Every scenario, by name.  Raises BadScenario with everything that is wrong with any."""
    found, wrong = [], []
    for path in sorted(folder.glob("*.toml")):
        try:
            found.append(read(path.read_text(), path.stem))
        except BadScenario as error:
            wrong.append(str(error))
    if wrong:
        raise BadScenario("\n".join(wrong))
    return tuple(found)


def chosen(name: str, folder: Path = FOLDER) -> Scenario:
    """The one of that name; `endless-SEED` is composed.  Raises BadScenario."""
    made_up = COMPOSED.fullmatch(name)
    if made_up is not None:
        return composed(int(made_up[1]))
    scenarios = {one.name: one for one in shipped(folder)}
    if name not in scenarios:
        raise BadScenario(f"there is no scenario {name!r}; there are {', '.join(scenarios)}, {ENDLESS}-SEED")
    return scenarios[name]


def plans_of(suite: str, seed: int, rounds: int | None, folder: Path = FOLDER) -> Iterator[Plan]:
    """Every run of a suite, each round with a seed of its own.  Without `rounds`: one, but endless goes on for ever."""
    number = 0
    while rounds is None or number < rounds:
        if suite == ENDLESS:
            yield plan(composed(seed + number), seed + number)
        else:
            yield from (plan(one, seed + number) for one in shipped(folder) if suite in one.suites)
            rounds = 1 if rounds is None else rounds
        number += 1
