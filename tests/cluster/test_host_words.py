"""A host that is all numbers is an IPv4 address, and one with a colon an IPv6 address, in brackets."""

from __future__ import annotations

import pytest

from cluster.hosts import Address


@pytest.mark.parametrize("host", ["127.0.0.01", "10.0.0.256", "1.2.3", "1.2.3.4.5", "7", "10.0.0.4."])
def test_numbers_are_an_ipv4_address_or_nothing(host):
    with pytest.raises(ValueError, match="is no IPv4 address"):
        Address.of(f"{host}:7404")


@pytest.mark.parametrize("text", ["fd00::4:7404", "::1:7404"])
def test_an_ipv6_address_without_brackets_is_told_how_to_be_written(text):
    host = text.removesuffix(":7404")
    with pytest.raises(ValueError, match=rf"in brackets: \[{host}\]:7404"):
        Address.of(text)


@pytest.mark.parametrize(
    "text", ["1:2:3", "[10.0.0.4]:7404", "[fd00::4:7404", "fd00::4]:7404", "[fe80::1%lo]:7404", "[]:1"]
)
def test_what_is_neither_is_refused(text):
    with pytest.raises(ValueError, match="no host:port"):
        Address.of(text)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("10.0.0.4:7404", "10.0.0.4:7404"),
        ("[fd00::4]:7404", "[fd00::4]:7404"),
        ("[FD00:0:0::4]:7404", "[fd00::4]:7404"),
        ("1a.2:7404", "1a.2:7404"),
    ],
)
def test_an_address_is_one_text_that_reads_as_it_again(text, same):
    assert str(Address.of(text)) == same
    assert Address.of(same) == Address.of(text)
