"""Visits: suites on a cluster that somebody else deployed: which of their plans can be played, and by whom.

Only that may live here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import trio
from attrs import field, frozen

from chaos.abroad.here import proxies_of
from chaos.abroad.place import BadPlace, Place, read
from chaos.abroad.reach import Reach, links_between, playable
from chaos.abroad.visit import FAULTS_ABROAD, Visitor
from chaos.abroad.ways import broken
from chaos.live.document import Played
from chaos.live.plan import Plan
from chaos.live.run import Wish
from chaos.live.suite import played
from chaos.rig.broken import words
from chaos.toxiproxy.proxies import ToxiproxyFault


@frozen
class Visits:
    """Of one place; `skipped`: by scenario, why nothing of it could be done."""

    place: Place
    reach: Reach
    skipped: dict[str, list[dict[str, Any]]] = field(factory=dict)

    def plans(self, plans: Iterable[Plan]) -> Iterator[Plan]:
        """What of them can be done here."""
        return playable(plans, self.reach, self.skipped)

    def __call__(self, wish: Wish, say: Callable[[str], None]) -> Played:
        """One run.  Raises Stopped."""
        return played(wish, say, partial(Visitor, self.place), FAULTS_ABROAD)

    def __str__(self) -> str:
        every = len(links_between(self.reach.nodes))
        paper = "the venue's faults and its ledger" if self.reach.paper else "no fault of the venue, and no ledger"
        return (
            f"within reach: {len(self.reach.links)} of {every} links, {paper}, and operators; no process, disk or clock"
        )


def visits(path: Path) -> Visits:
    """Of the place that a file tells of, as it is now.  Raises BadPlace."""
    place = read(path)
    try:
        there = trio.run(_looked, place)
    except ToxiproxyFault as error:
        raise BadPlace(f"{path}: [toxiproxy]: {words(error)}") from error
    return Visits(place, place.reach(there))


async def _looked(place: Place) -> frozenset[str]:
    """The links that have a proxy, none of which somebody else has broken.  Raises BadPlace or ToxiproxyFault."""
    there = await (await proxies_of(place)).all()
    wrong = list(broken(there))
    if wrong:
        raise BadPlace(f"somebody else breaks this cluster already: {'; '.join(wrong)}")
    return frozenset(there)
