"""Hosts: what a place to listen or to dial may be called, for whoever is told one.

Pure; only that rule and its words may live here.  It is kept at the doors (settings, an operator's words, the API, a
new entry of the log): what a log says already is taken as it is, and dialled in vain.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from attrs import frozen

WORDS: Final = (
    "the host an IP address, or a name of at most 253 characters whose parts between the dots are 1 to 63 letters, "
    "digits, - or _"
)
_LONGEST: Final = 253  # characters, as names go
_LABEL: Final = 63
_PORT: Final = re.compile(r"[0-9]{1,5}")
_NUMBERS: Final = re.compile(r"[0-9.]*[0-9][0-9.]*")
_ODD: Final = re.compile(r"[^A-Za-z0-9_.-]")


def why_not(host: str) -> str:
    """Why nobody can be there, or "".  Underscores are taken, as container networks have them."""
    if not host:
        return "it names no host"
    if ":" in host:
        return "" if _is_ipv6(host) else f"{host!r:.60} is no IPv6 address"
    odd = _ODD.search(host)
    if odd is not None:
        return f"{odd[0]!r} is in its host"
    if len(host) > _LONGEST:
        return f"its host has more than {_LONGEST} characters"
    labels = host.removesuffix(".").split(".")  # a dot at the end: a name that no search list is tried with
    if not all(labels):
        return "its host has nothing between two dots, or before the first"
    if max(map(len, labels)) > _LABEL:
        return f"its host has a part of more than {_LABEL} characters"
    if _NUMBERS.fullmatch(host) and not _is_ipv4(host):
        return f"{host!r:.60} is no IPv4 address, which is four numbers up to 255 without zeros before them"
    return ""


def _is_ipv6(host: str) -> bool:
    try:
        return not ipaddress.IPv6Address(host).scope_id  # a scope means something on one machine alone
    except ValueError:
        return False


def _is_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def apart(text: str) -> tuple[str, str]:
    """Host and port as they are written; an IPv6 host may stand in brackets."""
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    return (host[1:-1] if bracketed else host), port


def fault(text: str) -> str:
    """Why it is no host:port at which somebody can be, or ""."""
    host, port = apart(text)
    if not _PORT.fullmatch(port) or not 0 < int(port) < 1 << 16:
        return "it has no port from 1 to 65535"
    if text.startswith("[") and host and ":" not in host:
        return f"{host!r:.60} is no IPv6 address"
    why = why_not(host)
    if not why and ":" in host and not text.startswith("["):
        return f"an IPv6 address stands in brackets: [{host}]:{port}"
    return why


def split(text: str) -> tuple[str, int]:
    """The host and the port of host:port.

    Raises:
        ValueError: it is none, or nobody can be there; the text says why.
    """
    why = fault(text)
    if why:
        raise ValueError(f"no host:port: {text!r:.80} ({why})")
    host, port = apart(text)
    return host, int(port)


@frozen
class Address:
    """A host and a port, to listen on or to dial; as a text, an IPv6 host stands in brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @classmethod
    def of(cls, text: str) -> Address:
        """From host:port; raises ValueError, which says why it is none."""
        host, port = split(text)
        return cls(_one_text(host), port)

    @classmethod
    def logged(cls, text: str) -> Address:
        """From what an entry of the log says, whatever that is: it can't be taken back, and is dialled in vain."""
        host, port = apart(text)
        return cls(_one_text(host), int(port))


def _one_text(host: str) -> str:
    """An IPv6 address in the one spelling by which two are compared; any other host as it is."""
    return str(ipaddress.IPv6Address(host)) if ":" in host and _is_ipv6(host) else host
