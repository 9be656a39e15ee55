"""Signing: what Binance signs, and whether a signature is its HMAC-SHA256.

Pure.  REST signs the raw query string and body, put together without a joiner, as they were sent (percent-encoded);
the WebSocket API signs its parameters sorted by name.  The signature itself is never part of what is signed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

SIGNATURE = "signature"


def sign(secret: str, payload: str) -> str:
    """The lower-case hex HMAC-SHA256 of `payload`."""
    return hmac.new(secret.encode("utf-8"), payload.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def matches(secret: str, payload: str, signature: str) -> bool:
    """Whether `signature` is right; upper and lower case are the same."""
    given = signature.lower().encode("utf-8", "replace")
    return hmac.compare_digest(sign(secret, payload).encode(), given)


def rest_payload(query: str, body: str) -> str:
    """What a REST request signs: query and body, each without its `signature` part."""
    return _without_signature(query) + _without_signature(body)


def ws_payload(params: Mapping[str, str]) -> str:
    """What a WebSocket API request signs."""
    return "&".join(f"{name}={params[name]}" for name in sorted(params) if name != SIGNATURE)


def _without_signature(part: str) -> str:
    if SIGNATURE not in part:
        return part
    return "&".join(piece for piece in part.split("&") if piece.partition("=")[0] != SIGNATURE)
