"""Links: every way that bytes go between the processes of a live cluster, each with a proxy of its own.

Pure.  A node dials each of the others twice (`peer`, and `api` for an action that it carries on to the leader) and the
venue three times (`rest`, `ws_api`, `stream`); the operator dials each node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from typing import Final

from attrs import frozen

from chaos.rig.settings import Ways
from chaos.toxiproxy.toxics import BOTH, DOWN, UP

PEER, API, OPERATOR = "peer", "api", "operator"
VENUE: Final = ("rest", "ws_api", "stream")
SCOPES: Final[Mapping[str, tuple[str, ...]]] = {
    "peers": (PEER, API),
    "venue": VENUE,
    **{way: (way,) for way in VENUE},
    OPERATOR: (OPERATOR,),
}
INWARDS, OUTWARDS, EITHER = "in", "out", "both"
DIRECTIONS: Final = (EITHER, INWARDS, OUTWARDS)


@frozen
class Link:
    """One directed link: whoever dials, to whom, on which loopback port its proxy listens and where it leads."""

    what: str
    dials: str  # a node, or OPERATOR
    to: str  # a node, or "venue"
    port: int
    leads_to: int

    @property
    def name(self) -> str:
        """As its proxy is called."""
        return f"{self.dials}-{self.to}-{self.what}"

    def ends_at(self, node: str) -> bool:
        """Whether that node is one of its ends."""
        return node in (self.dials, self.to)


def links_of(
    nodes: Sequence[str], first: int, peers: Mapping[str, int], apis: Mapping[str, int], venue: Mapping[str, int]
) -> tuple[Link, ...]:
    """All of them, on ports from `first` on; the others are where each process listens itself."""
    ends = [
        *((PEER, one, other, peers[other]) for one, other in permutations(nodes, 2)),
        *((API, one, other, apis[other]) for one, other in permutations(nodes, 2)),
        *((way, node, "venue", venue[way]) for node in nodes for way in VENUE),
        *((OPERATOR, OPERATOR, node, apis[node]) for node in nodes),
    ]
    return tuple(Link(what, dials, to, first + place, port) for place, (what, dials, to, port) in enumerate(ends))


def ways_of(links: Sequence[Link], node: str) -> Ways:
    """The ports that a node's settings are to name."""
    own = [link for link in links if link.dials == node]
    return Ways(
        peers={link.to: link.port for link in own if link.what == PEER},
        apis={link.to: link.port for link in own if link.what == API},
        venue={link.what: link.port for link in own if link.what in VENUE},
    )


def struck(
    links: Sequence[Link], scope: str, nodes: Sequence[str], direction: str, *, between: bool = False
) -> Iterator[tuple[Link, str]]:
    """The links of a scope that touch one of `nodes`, or, `between`, that join two of them; and which stream of each.

    In and out are as the first of `nodes` sees it; what a link of two other nodes carries is out for whoever dials.
    """
    for link in links:
        if link.what not in SCOPES[scope]:
            continue
        ends = [node for node in nodes if link.ends_at(node)]
        if len(ends) < (2 if between else 1):
            continue
        for stream in _streams(link, ends[0], direction):
            yield link, stream


def _streams(link: Link, node: str, direction: str) -> Sequence[str]:
    if direction == EITHER:
        return BOTH
    return (UP,) if (link.dials == node) == (direction == OUTWARDS) else (DOWN,)
