"""The links of a live cluster: one proxy each, and which of them a fault touches."""

from __future__ import annotations

import pytest

from chaos.live.links import SCOPES, links_of, struck, ways_of
from chaos.toxiproxy.client import NAME

NODES = ("n1", "n2", "n3")
PEERS = dict(zip(NODES, (7401, 7402, 7403), strict=True))
APIS = dict(zip(NODES, (7411, 7412, 7413), strict=True))
LINKS = links_of(NODES, 7420, PEERS, APIS, dict.fromkeys(("rest", "ws_api", "stream"), 7480))


def hit(scope, nodes, direction="both", *, between=False):
    return {(link.name, stream) for link, stream in struck(LINKS, scope, nodes, direction, between=between)}


def test_every_way_has_a_port_and_a_name_of_its_own():
    assert len(LINKS) == 6 + 6 + 9 + 3
    assert [link.port for link in LINKS] == list(range(7420, 7420 + len(LINKS)))
    assert len({link.name for link in LINKS}) == len(LINKS)
    assert all(NAME.fullmatch(link.name) for link in LINKS)
    assert {link.leads_to for link in LINKS} == {*PEERS.values(), *APIS.values(), 7480}


def test_a_node_goes_through_all_that_it_dials_and_through_nothing_else():
    ways = ways_of(LINKS, "n2")
    own = {link.port for link in LINKS if link.dials == "n2"}
    assert {*ways.peers.values(), *ways.apis.values(), *ways.venue.values()} == own
    assert set(ways.peers) == set(ways.apis) == {"n1", "n3"}
    assert set(ways.venue) == {"rest", "ws_api", "stream"}


def test_a_node_that_is_hit_is_hit_on_every_link_that_ends_at_it():
    names = {name for name, _ in hit("peers", ["n1"])}
    assert names == {
        f"{a}-{b}-{w}" for w in ("peer", "api") for a, b in (("n1", "n2"), ("n2", "n1"), ("n1", "n3"), ("n3", "n1"))
    }
    assert len(hit("peers", ["n1"])) == 2 * len(names)


def test_in_and_out_are_as_the_node_sees_it_and_together_they_are_both():
    inwards, outwards = hit("peers", ["n1"], "in"), hit("peers", ["n1"], "out")
    assert ("n1-n2-peer", "downstream") in inwards
    assert ("n2-n1-peer", "upstream") in inwards
    assert not inwards & outwards
    assert inwards | outwards == hit("peers", ["n1"])
    assert hit("ws_api", ["n3"], "in") == {("n3-venue-ws_api", "downstream")}
    assert hit("operator", ["n3"], "in") == {("operator-n3-operator", "upstream")}


def test_between_two_nodes_is_nothing_of_the_third():
    names = {name for name, _ in hit("peers", ["n1", "n3"], between=True)}
    assert names == {"n1-n3-peer", "n3-n1-peer", "n1-n3-api", "n3-n1-api"}
    assert not hit("venue", ["n1", "n3"], between=True)


@pytest.mark.parametrize("scope", SCOPES)
def test_all_nodes_are_all_links_of_a_scope_once(scope):
    found = list(struck(LINKS, scope, NODES, "both"))
    assert len(found) == len(set(found)) == 2 * len([link for link in LINKS if link.what in SCOPES[scope]])
