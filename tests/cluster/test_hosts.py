"""What a host may be called: one rule, for all who are told where a node is."""

from __future__ import annotations

import pytest

from cluster import hosts
from cluster.hosts import Address

LONGEST = ".".join(["x" * 63] * 3 + ["y" * 61])


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:7401", "127.0.0.1", 7401),
        ("n1:1", "n1", 1),
        ("a_b-c.Example.:65535", "a_b-c.Example.", 65535),
        ("[::1]:7401", "::1", 7401),
        ("[2001:db8::7]:7401", "2001:db8::7", 7401),
        ("x" * 63 + ".example:7404", "x" * 63 + ".example", 7404),
        (f"{LONGEST}:1", LONGEST, 1),
    ],
)
def test_a_place_is_a_host_and_a_port(text: str, host: str, port: int) -> None:
    assert hosts.split(text) == (host, port)
    assert Address.of(text) == Address(host, port)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("n4..example:7404", "nothing between two dots"),
        (".example:7404", "nothing between two dots"),
        ("x" * 64 + ".example:7404", "a part of more than 63 characters"),
        (f"{LONGEST}z:1", "more than 253 characters"),
        ("n4 example:7404", "' '"),
        ("nöde:7404", "'ö'"),
        ("n4/x:7404", "'/'"),
        ("[n4]:7404", "no IPv6 address"),
        ("[::1:7404", "no IPv6 address"),
        ("::g:7404", "no IPv6 address"),
        ("fe80::1%eth0:7404", "no IPv6 address"),
        (".:7404", "nothing between two dots"),
        (":7404", "no host"),
        ("[]:7404", "no host"),
        ("n4", "no port"),
        ("n4:", "no port"),
        ("n4:0", "no port"),
        ("n4:65536", "no port"),
        ("n4:٣", "no port"),
        ("n4:" + "9" * 5000, "no port"),
    ],
)
def test_what_can_t_be_looked_up_is_none_and_why_is_said(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why.replace("[", r"\[")):
        hosts.split(text)
    with pytest.raises(ValueError, match="no host:port"):
        Address.of(text)
    assert why in hosts.fault(text)
