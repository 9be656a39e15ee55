"""Listening: what is behind an address at which a lost node was: a node, or something else, as far as it shows it.

Only the look may live here; what follows from it is `cli/recover.py`'s.  That it shows nothing of a node proves
nothing: one that hangs says nothing either, and a certificate may have been made anew, or by another authority.  So
this never finds that a listener is no node; it finds that one is, whatever an operator says of it.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Collection
from typing import Final

from attrs import frozen

from cluster import hosts, pki
from cluster.tls import protocol_of

ANSWERS_WITHIN: Final = 1.0  # seconds; the lost node's machine is in the same house, or it is lost
SHOWS_WITHIN: Final = 3.0  # seconds; a node on a machine that is busy is one


@frozen
class Heard:
    """Of something that takes connections."""

    node: bool  # it has shown that it is one
    shows: str


def look(address: str, cluster: str, names: Collection[str]) -> Heard | None:
    """What takes connections there; None: nothing does.  `names`: the nodes that are looked for, anywhere."""
    try:
        opened = socket.create_connection(hosts.split(address), timeout=ANSWERS_WITHIN)
    except (OSError, ValueError):  # the second: no name service knows of such a host
        return None
    with opened:
        return _shown(opened, protocol_of(cluster), names)


def _shown(opened: socket.socket, protocol: str, names: Collection[str]) -> Heard:
    """What TLS's own greeting says: it comes before anybody is asked who he is."""
    asks = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asks.check_hostname = False
    asks.verify_mode = ssl.CERT_NONE  # an expired certificate of a node is a node's
    asks.set_alpn_protocols([protocol])
    opened.settimeout(SHOWS_WITHIN)
    try:
        with asks.wrap_socket(opened) as secure:
            return _greeted(secure, protocol, names)
    except TimeoutError:
        return Heard(node=False, shows="it says nothing in time: it may be a node that hangs; look at its machine")
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):  # which one it is, is a matter of moments
        return Heard(node=False, shows="it ends the connection")
    except ssl.SSLError as error:
        plain = error.reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}
        return Heard(node=False, shows="it speaks no TLS, as every node does" if plain else f"it refuses TLS: {error}")
    except OSError as error:
        return Heard(node=False, shows=f"it ends the connection: {error}")


def _greeted(secure: ssl.SSLSocket, protocol: str, names: Collection[str]) -> Heard:
    if secure.selected_alpn_protocol() == protocol:
        return Heard(node=True, shows=f"it names this cluster ({protocol}) as its nodes do")
    certified = _names(secure.getpeercert(binary_form=True) or b"")
    whose = f"it shows a certificate of {', '.join(certified) or 'nobody'}"
    return Heard(node=not {*certified}.isdisjoint(names), shows=f"{whose}, and names no cluster or another")


def _names(der: bytes) -> tuple[str, ...]:
    try:
        return pki.read_certificate(ssl.DER_cert_to_PEM_cert(der).encode()).names
    except ValueError:
        return ()
