"""Signing: Binance's HMAC-SHA256 over a payload, percent-encoded first.

Only pure functions may live here.  Nothing here logs, and no error shows a secret or a signature.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import quote

from meltica.venues.binance_spot.settings import Secret


def sign(secret: Secret, payload: str) -> str:
    """The signature of `payload`, which must be ASCII: lower-case hex."""
    return hmac.new(secret.reveal().encode("ascii"), payload.encode("ascii"), hashlib.sha256).hexdigest()


def query_of(parameters: Mapping[str, str]) -> str:
    """`parameters` as a query string in their own order, percent-encoded: what REST signs and sends, alike."""
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in parameters.items())


def signed_query(secret: Secret, parameters: Mapping[str, str]) -> str:
    """A REST query string with its signature last, as Binance wants it."""
    query = query_of(parameters)
    return f"{query}&signature={sign(secret, query)}" if query else f"signature={sign(secret, query)}"


def socket_payload(parameters: Mapping[str, str | int]) -> str:
    """What the WebSocket API signs: all parameters but the signature, sorted by name."""
    return "&".join(f"{name}={parameters[name]}" for name in sorted(parameters))
