"""Proxies: what a Toxiproxy server is asked for, whoever asks it, and how it can fail.

Only the interface, its values and its errors may live here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from attrs import frozen

from chaos.toxiproxy.toxics import Toxic


class ToxiproxyFault(Exception):
    """The server did not do as it was told, or can't be asked: what it does now is not known, so a run ends."""


class AlreadyThere(ToxiproxyFault):
    """A proxy, or a toxic of a proxy, of that name is there: nothing was changed."""


class NotThere(ToxiproxyFault):
    """There is no proxy, or no toxic of that proxy, of that name: nothing was changed."""


class NotTaken(ToxiproxyFault):
    """It answered as if all were well, or not at all, and what it tells now is not what was asked for."""


@frozen
class Proxy:
    """One proxy as the server tells it; addresses are numeric, 127.0.0.1:7421."""

    name: str
    listen: str
    upstream: str
    enabled: bool
    toxics: tuple[Toxic, ...] = ()  # by name


class Proxies(Protocol):
    """The proxies of one server.  Each call returns once the change was seen to be there.

    The name of a proxy, and of a toxic, has letters, digits, - and _ only.  Raises ToxiproxyFault.
    """

    async def all(self) -> Mapping[str, Proxy]:
        """Every proxy, by name."""

    async def create(self, name: str, listen: str, upstream: str) -> None:
        """A new proxy, which does not listen yet: toxics come first.  Raises AlreadyThere."""

    async def destroy(self, name: str) -> None:
        """End it and its connections.  Raises NotThere."""

    async def enable(self, name: str) -> None:
        """Listen; one that does is left as it is.  Raises NotThere, or NotTaken if the port is another's."""

    async def disable(self, name: str) -> None:
        """Listen no more, and end all connections; its toxics stay.  Raises NotThere."""

    async def add(self, name: str, toxic: Toxic) -> None:
        """One more toxic, for every connection, those that are open too.  Raises NotThere or AlreadyThere."""

    async def remove(self, name: str, toxic: str) -> None:
        """One toxic less.  Raises NotThere."""
