"""Place: what may be reached of a cluster that somebody else deployed, as its file says.

Only reading that file may live here.  Every error is told at once.  The nodes' addresses, the authority and the tokens
are those of the operator's own `cluster.toml`; the file adds what chaos needs besides, and each part may be left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from attrs import evolve, frozen

from chaos.abroad.reach import Reach, links_between
from chaos.live.links import OPERATOR
from chaos.live.scenarios import NODES
from chaos.toxiproxy.client import NAME as PROXY
from cluster.hosts import Address
from meltica.api.tokens import BadToken, read_token
from meltica.cli.errors import CliError
from meltica.cli.place import ClusterPlace, find_place
from meltica.config import read_document
from meltica.structure import Misfit
from meltica.tables import Reader

MOST_WORD: Final = r"[A-Za-z0-9_-]{1,40}"
NOTHING_SEEN: Final = "give [paper], whose ledger shows it, or [orders], whose answers do: else nobody sees who trades"


class BadPlace(Exception):
    """The file can't be used; the text has a line an error."""


@frozen
class Place:
    """A deployed cluster, and what of it may be reached."""

    cluster: ClusterPlace
    toxiproxy: Address | None
    links: Mapping[str, str]  # the proxies of links that are not called as their links
    through: Mapping[str, str]  # by which address an operator reaches a node through a proxy
    order: Mapping[str, str] | None  # what operators ask for by hand, again and again
    paper: str | None  # the paper venue's own door
    account: str  # at that venue
    file: Path = Path()  # that tells of it, wherever one stands

    @property
    def nodes(self) -> tuple[str, ...]:
        """Their names, in the order of its file: the first is who a scenario calls n1."""
        return tuple(self.cluster.apis)

    @property
    def apis(self) -> Mapping[str, str]:
        """Where operators reach each node: through its proxy, if it has one."""
        return {name: self.through.get(name, api) for name, api in self.cluster.apis.items()}

    def tokens(self) -> tuple[str, str]:
        """The viewer's and the operator's.  Raises BadPlace."""
        try:
            return read_token(self.cluster.viewer_file), read_token(self.cluster.operator_file)
        except (OSError, BadToken) as error:
            raise BadPlace(f"the tokens of {self.cluster.folder}: {error}") from error

    def proxies(self, there: Mapping[str, object]) -> dict[str, str]:
        """By link, the proxy that stands in it; `there`: those of the server.  Raises BadPlace for one that is not."""
        gone = sorted(set(self.links.values()) - set(there))
        if gone:
            raise BadPlace(
                f"the Toxiproxy server has no {', '.join(gone)}; it has {', '.join(sorted(there)) or 'none'}"
            )
        used = [link for link in links_between(self.nodes) if link.what != OPERATOR or link.to in self.through]
        called = {link.name: self.links.get(link.name, link.name) for link in used}
        return {name: proxy for name, proxy in called.items() if proxy in there}

    def reach(self, links: Iterable[str]) -> Reach:
        """What faults can be done, where these links have a proxy."""
        return Reach(self.nodes, frozenset(links), paper=self.paper is not None)


def read(path: Path) -> Place:
    """The place that a file tells of.  Raises BadPlace."""
    errors: list[Misfit] = []
    top = Reader("", read_document(path, errors), path.parent.resolve(), errors)
    if errors:
        raise BadPlace(_lines(path, errors))
    try:
        cluster = find_place(top.file("cluster"))
    except CliError as error:
        raise BadPlace(f"{path}: [cluster]: {error.message}") from error
    place = _place(top, cluster)
    if errors:
        raise BadPlace(_lines(path, errors))
    place.tokens()
    return evolve(place, file=path.resolve())


def _place(top: Reader, cluster: ClusterPlace) -> Place:
    proxies, paper = top.table_of("toxiproxy"), top.table_of("paper")
    links = proxies.table_of("links")
    names = [link.name for link in links_between(tuple(cluster.apis))]
    place = Place(
        cluster=cluster,
        toxiproxy=proxies.address("address") if top.has("toxiproxy") else None,
        links={name: links.text(name, "a proxy's name", PROXY.pattern) for name in names if links.has(name)},
        through=_through(top.table_of("through"), cluster),
        order=_order(top.table_of("orders")) if top.has("orders") else None,
        paper=paper.url("api", ("http", "https")) if top.has("paper") else None,
        account=paper.text("account", "the account's name at the venue", MOST_WORD) if top.has("paper") else "",
    )
    for table in (links, proxies, paper, top):
        table.finish()
    if len(cluster.apis) != len(NODES):
        top.note("cluster", f"{len(cluster.apis)} nodes", f"{len(NODES)}: scenarios are about so many")
    if place.order is None and place.paper is None:
        top.note("paper", "neither [paper] nor [orders]", NOTHING_SEEN)
    return place


def _through(table: Reader, cluster: ClusterPlace) -> dict[str, str]:
    found = {name: table.url(name, ("https",)) for name in cluster.apis if table.has(name)}
    table.finish()
    return found


def _order(table: Reader) -> dict[str, str]:
    found = {word: table.text(word, f"a {word}", MOST_WORD) for word in ("venue", "symbol")}
    found["quantity"] = str(table.amount("quantity", "an amount of the base asset"))
    table.finish()
    return {**found, "type": "MARKET"}


def _lines(path: Path, errors: list[Misfit]) -> str:
    return "\n".join([f"{path} can't be used:", *(f"  {error}" for error in errors)])
