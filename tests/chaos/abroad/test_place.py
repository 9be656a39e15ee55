"""What may be reached of a deployed cluster, as its file says: read whole, and all that is wrong is told at once."""

from __future__ import annotations

import pytest

from chaos.abroad.place import BadPlace, read
from tests.chaos.abroad.deployed import AT_PAPER, CLUSTER, NODES, ORDERS, SERVER, TOKEN, place_file

LINKS = '[toxiproxy.links]\nn1-n2-peer = "raft_12"'
THROUGH = '[through]\nn1 = "https://127.0.0.1:21001"'


def test_all_that_may_be_said_is_read(tmp_path):
    place = read(place_file(tmp_path, SERVER, LINKS, THROUGH, ORDERS, AT_PAPER))
    assert (place.nodes, place.cluster.cluster) == (NODES, CLUSTER)
    assert (str(place.toxiproxy), place.links) == ("127.0.0.1:8474", {"n1-n2-peer": "raft_12"})
    assert place.apis == {"n1": "https://127.0.0.1:21001", "n2": "https://n2:7411", "n3": "https://n3:7411"}
    assert place.order == {"venue": "paper", "symbol": "BTCUSDT", "quantity": "0.0002", "type": "MARKET"}
    assert (place.paper, place.account, place.tokens()) == ("http://venue", "main", (TOKEN, TOKEN))


def test_each_part_may_be_left_out(tmp_path):
    place = read(place_file(tmp_path, ORDERS))
    assert (place.toxiproxy, place.paper, place.account, place.links) == (None, None, "", {})
    assert read(place_file(tmp_path, AT_PAPER)).order is None


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((), "neither [paper] nor [orders]"),
        ((ORDERS, "[toxiproxy]"), "[toxiproxy] address: found nothing"),
        ((ORDERS, SERVER, '[toxiproxy.links]\nn1-n9-peer = "x"'), "n1-n9-peer: found an unknown key"),
        ((ORDERS, SERVER, '[toxiproxy.links]\nn1-n2-peer = "a b"'), "a proxy's name"),
        ((ORDERS, '[through]\nn4 = "https://x"'), "n4: found an unknown key"),
        ((ORDERS, '[through]\nn1 = "http://x"'), "https://host"),
        ((ORDERS, '[paper]\napi = "http://x"'), "[paper] account: found nothing"),
        ((ORDERS.replace("0.0002", "-1"),), "[orders] quantity"),
        ((ORDERS, "[disk]"), "[disk]: found an unknown key"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, parts, words):
    with pytest.raises(BadPlace) as caught:
        read(place_file(tmp_path, *parts))
    assert words in str(caught.value)


def test_everything_wrong_is_said_at_once(tmp_path):
    with pytest.raises(BadPlace) as caught:
        read(place_file(tmp_path, "[toxiproxy]", "[paper]"))
    assert len(str(caught.value).splitlines()) >= 4


def test_a_cluster_that_is_no_such_is_said(tmp_path):
    path = place_file(tmp_path, ORDERS, nodes=("n1", "n2", "n3", "n4", "n5"))
    with pytest.raises(BadPlace, match="found 5 nodes; allowed: 3"):
        read(path)
    (tmp_path / "cluster.toml").unlink()
    with pytest.raises(BadPlace, match="no cluster's folder"):
        read(path)
    with pytest.raises(BadPlace, match="No such file"):
        read(tmp_path / "none.toml")


def test_a_token_that_is_none_is_said_and_never_told(tmp_path):
    path = place_file(tmp_path, ORDERS)
    (tmp_path / "tokens" / "operator").write_text("short")
    with pytest.raises(BadPlace, match="operator") as caught:
        read(path)
    assert "short" not in str(caught.value)


def test_a_link_has_the_proxy_that_is_named_for_it_or_is_called_like_it(tmp_path):
    place = read(place_file(tmp_path, SERVER, LINKS, THROUGH, ORDERS))
    there = dict.fromkeys(["raft_12", "n1-n2-peer", "n2-n1-peer", "operator-n1-operator", "operator-n2-operator", "x"])
    assert place.proxies(there) == {
        "n1-n2-peer": "raft_12",
        "n2-n1-peer": "n2-n1-peer",
        "operator-n1-operator": "operator-n1-operator",  # and nobody goes by that of n2
    }
    with pytest.raises(BadPlace, match="has no raft_12; it has x"):
        place.proxies({"x": None})
