"""Dialling: a TCP connection to a venue's host, whose every failure is an OSError.

Only that may live here.  The settings take no host that no name service would; this is for whoever made them otherwise.
"""

from __future__ import annotations

import trio


async def dial(host: str, port: int) -> trio.SocketStream:
    """Connect; raises OSError."""
    try:
        return await trio.open_tcp_stream(host, port)
    except UnicodeError as error:  # an empty part of the name, or one that is too long
        raise OSError(f"{host!r:.80} can't be looked up ({error}): correct it in the settings") from error
