"""What is changed in the files of a cluster's folder: the ways that a node goes, and nothing else."""

from __future__ import annotations

import pytest

from chaos.rig.settings import Ways, api_ports, led, peer_ports, set_window, settings_of, steadily, venue_ports
from meltica.cli.cluster_files import Plan, node_toml

PLAN = Plan(name="test", cluster="0a0b0c", nodes=3, base_port=7400, venue_port=7480, api_key="k")
TEXT = node_toml(PLAN, "n2")
WAYS = Ways({"n1": 1, "n3": 3}, {"n1": 11, "n3": 13}, {"rest": 21, "ws_api": 22, "stream": 23})


def test_what_stands_in_the_files_of_a_new_cluster_is_read():
    assert peer_ports(TEXT) == {"n1": 7401, "n2": 7402, "n3": 7403}
    assert api_ports(TEXT) == {"n1": 7411, "n2": 7412, "n3": 7413}
    assert venue_ports(TEXT) == {"rest": 7480, "ws_api": 7480, "stream": 7480}


def test_each_way_is_led_elsewhere_and_a_node_listens_where_it_did():
    text = led(TEXT, WAYS)
    assert peer_ports(text) == {"n1": 1, "n2": 7402, "n3": 3}
    assert api_ports(text) == {"n1": 11, "n2": 7412, "n3": 13}
    assert venue_ports(text) == {"rest": 21, "ws_api": 22, "stream": 23}
    assert 'ws_api = "ws://127.0.0.1:22/ws-api/v3"' in text


def test_nothing_else_changes():
    back = Ways({"n1": 7401, "n3": 7403}, {"n1": 7411, "n3": 7413}, dict.fromkeys(("rest", "ws_api", "stream"), 7480))
    assert led(TEXT, Ways()) == TEXT
    assert led(led(TEXT, WAYS), back) == TEXT


def test_the_window_is_set_on_every_node_and_one_that_is_not_found_is_said(tmp_path):
    for name in ("n1", "n2", "n3"):
        settings_of(tmp_path, name).parent.mkdir(parents=True)
        settings_of(tmp_path, name).write_text(node_toml(PLAN, name))
    set_window(tmp_path, 900)
    texts = [settings_of(tmp_path, name).read_text() for name in ("n1", "n2", "n3")]
    assert all(text.count("window_ms = 900") == 1 and "window_ms = 300" not in text for text in texts)
    settings_of(tmp_path, "n3").write_text("nothing")
    with pytest.raises(ValueError, match="window_ms"):
        set_window(tmp_path, 900)


def test_the_makers_quote_steadily_on_every_node_and_one_that_is_not_found_is_said(tmp_path):
    for name in ("n1", "n2", "n3"):
        settings_of(tmp_path, name).parent.mkdir(parents=True)
        settings_of(tmp_path, name).write_text(node_toml(PLAN, name))
    steadily(tmp_path)
    assert all("requote_ms = 160" in settings_of(tmp_path, name).read_text() for name in ("n1", "n2", "n3"))
    settings_of(tmp_path, "n2").write_text('kind = "maker"')
    with pytest.raises(ValueError, match="there is not one kind"):
        steadily(tmp_path)
