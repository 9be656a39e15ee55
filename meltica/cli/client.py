"""Client: an operator's calls to the nodes' APIs.

Only HTTP calls and their meaning for an operator may live here.  Reads ask every node at once and take the
freshest answer.  An action is tried on one node after another for as long as it is surely not done; once it
may have been done it is never sent again, and the exit code says so.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import trio
from attrs import frozen

from meltica.api.calls import NoAddress, ask, calling
from meltica.api.outcomes import EXIT_OF_ERROR, Exit
from meltica.api.tokens import BadToken, read_token
from meltica.cli.errors import CliError
from meltica.cli.place import ClusterPlace

READ_S: Final = 3.0  # a node on one network answers in milliseconds; longer is as good as not
ACT_S: Final = 40.0  # the node itself says "unknown" well before
TRY_S: Final = 6.0  # an election takes less than two seconds
PAUSE_S: Final = 0.2
NOTHING: Final = "; nothing was done"  # by this one action, which reached nobody who does it, or was a dry run

Document = Mapping[str, Any]


@frozen
class NoAnswer:
    """Why a node did not answer; `code` is the exit code if no other node did."""

    message: str
    code: Exit = Exit.UNREACHABLE


class Client:
    """One cluster's nodes, with one role's token."""

    def __init__(self, place: ClusterPlace, *, operator: bool = False, token_file: Path | None = None) -> None:
        """`token_file`: of another role than these two."""
        self.place = place
        file = token_file or (place.operator_file if operator else place.viewer_file)
        try:
            self._token = read_token(file)
            self._context = ssl.create_default_context(cafile=str(place.ca))
            if place.cert.exists() and place.key.exists():
                self._context.load_cert_chain(place.cert, place.key)
        except (OSError, BadToken) as error:
            where = getattr(error, "filename", None)
            message = f"{where}: {error}" if where else str(error)
            raise CliError(message, "look at the paths in cluster.toml, and whether you may read them") from None

    def _http(self) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        timeout = httpx.Timeout(None, connect=READ_S)
        return calling(self._context, headers=headers, timeout=timeout)

    # --- reads --------------------------------------------------------------------------------------------

    async def read_all(self, path: str) -> dict[str, Document | NoAnswer]:
        """What each node answers."""
        found: dict[str, Document | NoAnswer] = {}

        async def ask(name: str, http: httpx.AsyncClient) -> None:
            found[name] = await self._read(http, name, path)

        async with self._http() as http, trio.open_nursery() as nursery:
            for name in self.place.apis:
                nursery.start_soon(ask, name, http)
        return {name: found[name] for name in self.place.apis}

    async def freshest(self, path: str, node: str | None = None) -> Document:
        """The answer of the node that has applied most, or of `node`.  Raises CliError where there is none."""
        if node is not None:
            self._known(node)
            async with self._http() as http:
                found = {node: await self._read(http, node, path)}
        else:
            found = await self.read_all(path)
        return freshest_of(found)

    async def _read(self, http: httpx.AsyncClient, name: str, path: str) -> Document | NoAnswer:
        try:
            with trio.fail_after(READ_S):
                answer = await ask(http, "GET", name, f"{self.place.apis[name]}{path}")
        except trio.TooSlowError:
            return NoAnswer(f"no answer within {READ_S:g} s")
        except httpx.HTTPError as error:
            return NoAnswer(_told(error, name))
        document = _document(answer.content)
        if answer.status_code == httpx.codes.OK and document is not None:
            return document
        code = EXIT_OF_ERROR.get(answer.status_code, Exit.FAILED)
        return NoAnswer(f"HTTP {answer.status_code} {(document or {}).get('message', '')}".strip(), code)

    def _known(self, node: str) -> None:
        if node not in self.place.apis:
            raise CliError(f"there is no node {node}", f"the nodes are {', '.join(self.place.apis)}", Exit.USAGE)

    # --- actions ------------------------------------------------------------------------------------------

    async def act(self, kind: str, body: Document, node: str | None = None) -> Document:
        """The action's document.  Raises CliError where it was surely not done, or may have been."""
        if node is not None:
            self._known(node)
        names = [node] if node is not None else list(self.place.apis)
        deadline = trio.current_time() + TRY_S
        last = NoAnswer("no node was asked")
        async with self._http() as http:
            while True:
                for name in names:
                    result = await self._try(http, name, kind, body)
                    if not isinstance(result, NoAnswer):
                        return result
                    last = NoAnswer(f"{name}: {result.message}", result.code)
                if trio.current_time() > deadline:
                    told = last.message.removesuffix(", so nothing was done")
                    raise CliError(f"{told}{NOTHING}", _next(last.code), last.code)
                await trio.sleep(PAUSE_S)

    async def _try(self, http: httpx.AsyncClient, name: str, kind: str, body: Document) -> Document | NoAnswer:
        """One node, once.  NoAnswer: surely not done, another may be tried."""
        url = f"{self.place.apis[name]}/api/v1/actions/{kind}"
        try:
            with trio.fail_after(ACT_S):
                answer = await ask(http, "POST", name, url, json=dict(body))
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            return NoAnswer(_told(error, name))
        except (httpx.HTTPError, trio.TooSlowError) as error:
            raise self._unknown(f"{name} did not answer ({_told(error, name)})", body) from None
        document = _document(answer.content)
        if document is None:
            raise self._unknown(f"{name} answered HTTP {answer.status_code} without a document", body)
        if document.get("schema") != "meltica.action/1":
            code = EXIT_OF_ERROR.get(answer.status_code, Exit.FAILED)
            raise CliError(str(document.get("message", "refused")), str(document.get("next", "")), code)
        if document.get("outcome") == "no_leader":
            return NoAnswer(str(document.get("message", "no node leads")))
        if document.get("outcome") == "unknown" and body.get("dry_run"):
            raise self._unknown(str(document.get("message")).removesuffix(", so it may have been done"), body)
        return document

    def _unknown(self, message: str, body: Document) -> CliError:
        if body.get("dry_run"):
            return CliError(f"{message}{NOTHING}", "look at `meltica status`, then ask again", Exit.UNREACHABLE)
        following = f"look at `meltica status`; to try again safely, repeat with --request-id {body['request_id']}"
        return CliError(f"{message}: it may have been done", following, Exit.UNKNOWN)


def freshest_of(found: Mapping[str, Document | NoAnswer]) -> Document:
    """The answer with the highest applied index.  Raises CliError, with every node's reason, where none is."""
    answers = [one for one in found.values() if not isinstance(one, NoAnswer)]
    if answers:
        return max(answers, key=lambda one: int(one.get("as_of", {}).get("index", 0)))
    reasons = "\n".join(f"  {name}: {one.message}" for name, one in found.items() if isinstance(one, NoAnswer))
    codes = [one.code for one in found.values() if isinstance(one, NoAnswer)]
    code = next((one for one in codes if one is not Exit.UNREACHABLE), Exit.UNREACHABLE)
    raise CliError(f"no node answered:\n{reasons}", _next(code), code)


def _next(code: Exit) -> str:
    if code is Exit.NOT_ALLOWED:
        return "the tokens in DIR/tokens are not those of the nodes' settings: give the right --cluster"
    if code is Exit.UNREACHABLE:
        return "are the nodes running? Start each as DIR/README.md says, and read its log"
    return "read the nodes' logs"


def _told(error: Exception, name: str) -> str:
    if isinstance(error, NoAddress):
        return f"[nodes.{name}] of cluster.toml says where it is, and {error}: correct it"
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _document(content: bytes) -> Document | None:
    try:
        found = json.loads(content)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
