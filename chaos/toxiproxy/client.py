"""Client: a running server, asked through toxiproxy-python, with everything that it leaves unsaid checked.

Only that may live here: it blocks, so each call is in a worker thread, bounded; it takes no notice of most failures,
so each change is read back; it keeps the server's address in its class, so there is one server a process.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.request import getproxies, proxy_bypass

import trio
from attrs import frozen
from toxiproxy import Toxiproxy
from toxiproxy.api import APIConsumer
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

from chaos.toxiproxy.proxies import AlreadyThere, NotTaken, NotThere, Proxy, ToxiproxyFault
from chaos.toxiproxy.toxics import Toxic, toxic_of

ANSWER_WITHIN: Final = 30.0  # seconds; the server gives its own handlers 25
NAME: Final = re.compile(r"[\w-]+")  # names stand in addresses, unescaped
HOST: Final = "127.0.0.1"  # the server asks nobody who they are

_T = TypeVar("_T")


@frozen
class Client:
    """Implements `Proxies`.  Calls may run side by side."""

    port: int
    host: str = HOST

    async def version(self) -> str:
        """What the server calls itself; a build from source says "git"."""
        return await self._asked("its version", self._version)

    async def all(self) -> Mapping[str, Proxy]:
        """Every proxy, by name."""
        return await self._asked("its proxies", _all)

    async def create(self, name: str, listen: str, upstream: str) -> None:
        """A new proxy, which does not listen yet.  Raises AlreadyThere."""
        wanted = Proxy(_named(name), listen, upstream, enabled=False)
        await self._changed(
            f"create {name}",
            name,
            lambda: Toxiproxy().create(upstream, name, listen, enabled=False),
            lambda now: now == wanted,
        )

    async def destroy(self, name: str) -> None:
        """End it and its connections.  Raises NotThere."""
        await self._changed(f"destroy {name}", name, lambda: _proxy(name).destroy(), lambda now: now is None)

    async def enable(self, name: str) -> None:
        """Listen.  Raises NotThere, or NotTaken if the port is another's."""
        await self._changed(
            f"enable {name}", name, lambda: _proxy(name).enable(), lambda now: bool(now and now.enabled)
        )

    async def disable(self, name: str) -> None:
        """Listen no more, and end all connections.  Raises NotThere."""
        await self._changed(
            f"disable {name}", name, lambda: _proxy(name).disable(), lambda now: now is not None and not now.enabled
        )

    async def add(self, name: str, toxic: Toxic) -> None:
        """One more toxic.  Raises NotThere or AlreadyThere."""
        _named(toxic.name)
        wish = {"type": toxic.kind, "stream": toxic.stream, "name": toxic.name, "attributes": dict(toxic.attributes)}
        await self._changed(
            f"add {toxic.name} to {name}",
            name,
            lambda: _proxy(name).add_toxic(**wish, toxicity=1.0),
            lambda now: now is not None and toxic in now.toxics,
        )

    async def remove(self, name: str, toxic: str) -> None:
        """One toxic less.  Raises NotThere."""
        await self._changed(
            f"remove {_named(toxic)} of {name}",
            name,
            lambda: _proxy(name).destroy_toxic(toxic),
            lambda now: now is not None and toxic not in [one.name for one in now.toxics],
        )

    async def _changed(
        self, what: str, name: str, change: Callable[[], object], seen: Callable[[Proxy | None], bool]
    ) -> None:
        """Change, then read back; raises NotTaken if it is not `seen`."""
        _named(name)

        def both() -> Proxy | None:
            failed: Exception | None = None
            try:
                change()
            except (ValueError, KeyError) as error:  # an answer that is none: what was done shows when it is read
                failed = error
            found = _all().get(name)
            if not seen(found):
                raise NotTaken(f"{what}: it now tells {found} ({failed!r})") from failed
            return found

        await self._asked(what, both)

    async def _asked(self, what: str, ask: Callable[[], _T]) -> _T:
        """In a thread; one that hangs is left behind."""

        def ours() -> _T:
            if (APIConsumer.host, APIConsumer.port) != (self.host, self.port):
                raise ToxiproxyFault(f"{what}: the library was led to {APIConsumer.host}:{APIConsumer.port} meanwhile")
            return ask()

        try:
            with trio.fail_after(ANSWER_WITHIN):
                return await trio.to_thread.run_sync(ours, abandon_on_cancel=True)
        except trio.TooSlowError as error:
            raise ToxiproxyFault(f"{what}: the server did not answer within {ANSWER_WITHIN:g} s") from error
        except ProxyExists as error:
            raise AlreadyThere(f"{what}: {_said(error)}") from error
        except NotFound as error:
            raise NotThere(f"{what}: {_said(error)}") from error
        except (InvalidToxic, OSError, ValueError, KeyError) as error:  # what requests raises is an OSError
            raise ToxiproxyFault(f"{what}: {_said(error)}") from error

    def _version(self) -> str:
        told: bytes | None = Toxiproxy().version()
        if told is None:
            raise ConnectionRefusedError("nobody listens there yet")
        return str(json.loads(told)["version"])


def client(port: int, host: str = HOST) -> Client:
    """A client of the server there, on this machine if nothing else is said; the whole process asks that one from now.

    Raises ToxiproxyFault if the environment leads that host elsewhere.
    """
    if "http" in getproxies() and not proxy_bypass(host):
        raise ToxiproxyFault(f"HTTP_PROXY leads {host} elsewhere: add it to NO_PROXY")
    Toxiproxy().update_api_consumer(host, port)
    return Client(port, host)


def _named(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ToxiproxyFault(f"{name!r}: a name has letters, digits, - and _ only")
    return name


def _proxy(name: str) -> Any:
    found = Toxiproxy().get_proxy(name)
    if found is None:
        raise NotFound("there is no such proxy")
    return found


def _all() -> dict[str, Proxy]:
    """One reading of everything: the library's own way leaves the toxics out."""
    told = APIConsumer.get("/proxies").json()
    return {str(name): _read(one) for name, one in told.items()}


def _read(told: Mapping[str, Any]) -> Proxy:
    partial = [one["name"] for one in told["toxics"] if one["toxicity"] != 1]
    if partial:
        raise ToxiproxyFault(f"{told['name']}: toxics of somebody else, for some connections only: {partial}")
    toxics = tuple(sorted((toxic_of(one) for one in told["toxics"]), key=lambda one: one.name))
    return Proxy(str(told["name"]), str(told["listen"]), str(told["upstream"]), bool(told["enabled"]), toxics)


def _said(error: Exception) -> str:
    """The server's own words, where the library passes them on as bytes."""
    told = error.args[0] if error.args else ""
    return told.decode(errors="replace").strip() if isinstance(told, bytes) else f"{error!r}"
