"""Where a node is dialled, and where it is by its own word: places are compared, not texts."""

from __future__ import annotations

import pytest

from meltica.cli.astray import astray


def told(word, dialled):
    links = [{"name": "n2", "address": dialled, "up": False, "why": "refused"}]
    one, other = {"name": "n1", "links": links}, {"name": "n2", "peer": word, "links": []}
    return astray({"n1": {"nodes": [one]}, "n2": {"nodes": [other]}})


@pytest.mark.parametrize(
    ("word", "dialled"),
    [
        ("[fd00::2]:7402", "fd00::2:7402"),
        ("[fd00::2]:7402", "[FD00:0::2]:7402"),
        ("N2.example.org:7402", "n2.example.org:7402"),
        ("localhost:7402", "127.0.0.1:7402"),
        ("0.0.0.0:7402", "10.0.0.2:7402"),
        ("[::]:7402", "10.0.0.2:7402"),
        ("127.0.0.1:7402", "10.0.0.2:7402"),
        ("127.0.0.1:7402", "n2.example.org:7402"),
        ("[::1]:7402", "[fd00::2]:7402"),
        ("nonsense", "10.0.0.2:7402"),
    ],
)
def test_one_place_in_two_spellings_and_what_tells_nothing_is_no_trouble(word, dialled):
    """It listens at all its addresses, or behind a tunnel: nobody should write that into a settings file."""
    assert told(word, dialled) == []


@pytest.mark.parametrize(
    ("word", "dialled"),
    [
        ("10.9.9.2:7402", "10.0.0.2:7402"),
        ("10.0.0.2:7403", "10.0.0.2:7402"),
        ("127.0.0.1:7403", "127.0.0.1:7402"),
        ("[fd00::3]:7402", "fd00::2:7402"),
        ("n3.example.org:7402", "n2.example.org:7402"),
    ],
)
def test_another_place_is_told(word, dialled):
    (sentence,) = told(word, dialled)
    assert f"n1 dials n2 at {dialled}, in vain, and n2 is at {word} by its own word" in sentence
