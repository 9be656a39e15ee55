"""Toxics as values: what the server would not survive, or would block on, can't be made."""

from __future__ import annotations

import pytest

from chaos.toxiproxy.toxics import BadToxic, Toxic, toxic, toxic_of


@pytest.mark.parametrize(
    ("kind", "stream", "attributes", "words"),
    [
        ("noise", "upstream", {}, "kind: found 'noise', allowed: latency"),
        ("latency", "sideways", {}, "stream: found 'sideways', allowed: upstream, downstream"),
        ("latency", "upstream", {"delay": 1}, "latency: found .*delay.*, allowed: latency, jitter"),
        ("latency", "upstream", {"latency": -1}, "latency latency: found -1, allowed: 0 to"),
        ("slicer", "upstream", {}, "slicer average_size: found 0, allowed: 1 to"),
        ("slicer", "upstream", {"average_size": 8, "size_variation": 8}, "the server itself crashes"),
        ("reset_peer", "upstream", {"timeout": 5}, "reset_peer timeout: found 5, allowed: 0 to 0"),
    ],
)
def test_what_is_not_safe_can_not_be_made(kind, stream, attributes, words):
    with pytest.raises(BadToxic, match=words):
        toxic("t", kind, stream, **attributes)


def test_one_is_read_as_it_was_written():
    made = toxic("t", "slicer", "downstream", average_size=64, size_variation=32, delay=100)
    told = {"name": "t", "type": "slicer", "stream": "downstream", "toxicity": 1, "attributes": dict(made.attributes)}
    assert toxic_of(told) == made
    assert toxic("t", "latency", "upstream", latency=5).attributes == (("jitter", 0), ("latency", 5))
    assert isinstance(made, Toxic)
