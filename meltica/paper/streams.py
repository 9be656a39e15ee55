"""Streams: what a client may say on a connection to /ws or /stream, and what a connection's address asks for.

Sans-IO.  A name that is no stream of ours is taken, as Binance takes it, and nothing ever comes on it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote

from meltica.paper import render
from meltica.paper.calls import Conn
from meltica.paper.errors import ApiError, error
from meltica.paper.floor import Floor
from meltica.paper.hub import Hub
from meltica.paper.ports import Frame, Times

MOST_STREAMS = 1_024
MESSAGES_A_SECOND = 5
LARGEST_ID = 2**63

_METHODS = "`SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`"


class _RefusedError(Exception):
    """A control message that cannot be; carries the pages' code and text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def time_unit(text: str | None) -> bool:
    """Whether times are asked for in microseconds.

    Raises:
        ApiError: -1194 for a unit that is neither.
    """
    if text is None or text.upper() == "MILLISECOND":
        return False
    if text.upper() == "MICROSECOND":
        return True
    raise error(-1194)


def asked_by_address(target: str) -> tuple[list[str], bool, bool]:
    """Streams, whether combined, and whether in microseconds, of a path and query like `/stream?streams=a/b`."""
    path, _, text = (target or "/stream").partition("?")
    query = parse_qs(text)
    try:
        micro = time_unit(query["timeUnit"][0] if "timeUnit" in query else None)
    except ApiError:
        micro = False  # the handshake was answered already; Binance refuses it there
    if path.startswith("/stream"):
        return [name for group in query.get("streams", []) for name in group.split("/") if name], True, micro
    return [name for name in unquote(path).removeprefix("/ws").split("/") if name], False, micro


class StreamDesk:
    """Answers control messages."""

    def __init__(self, floor: Floor, hub: Hub) -> None:
        self._floor = floor
        self._hub = hub
        self._methods: dict[str, Callable[[Conn, list[Any]], object]] = {
            "SUBSCRIBE": self._subscribe,
            "UNSUBSCRIBE": self._unsubscribe,
            "LIST_SUBSCRIPTIONS": lambda conn, _params: list(conn.streams),
            "SET_PROPERTY": self._set,
            "GET_PROPERTY": self._get,
        }

    def message(self, conn: Conn, text: str, now: Times) -> None:
        """One frame from the client."""
        second = now.mono_ns // 1_000_000_000
        conn.messages = conn.messages + 1 if conn.second == second else 1
        conn.second = second
        if conn.messages > MESSAGES_A_SECOND:
            self._floor.drop(conn, 1008, "Too many requests")
            return
        self._floor.emit(conn, Frame(conn.id, render.dump(self._answer(conn, text))))

    def _answer(self, conn: Conn, text: str) -> render.Json:
        asked_id: object = None
        try:
            asked = _parse(text)
            asked_id = asked.get("id")
            _check_id(asked_id)
            return {"result": self._call(conn, asked), "id": asked_id}
        except _RefusedError as no:
            refusal: render.Json = {"code": no.code, "msg": no.text}
            return refusal | {"id": asked_id} if isinstance(asked_id, int | str) else refusal

    def _call(self, conn: Conn, asked: dict[str, Any]) -> object:
        if "method" not in asked:
            raise _RefusedError(2, "Invalid request: missing field `method` at line 1 column 1")
        method, params = asked["method"], asked.get("params", [])
        if method not in self._methods:
            unknown = f"unknown variant `{method}`, expected one of {_METHODS} at line 1 column 1"
            raise _RefusedError(2, f"Invalid request: {unknown}")
        if not isinstance(params, list) or set(asked) - {"method", "params", "id"}:
            raise _RefusedError(2, "Invalid request: too many parameters")
        return self._methods[method](conn, params)

    def _subscribe(self, conn: Conn, params: list[Any]) -> None:
        for name in _names(params):
            if name not in conn.streams and len(conn.streams) >= MOST_STREAMS:
                raise _RefusedError(2, "Invalid request: too many parameters")
            self._hub.listen(conn, name)

    def _unsubscribe(self, conn: Conn, params: list[Any]) -> None:
        for name in _names(params):
            self._hub.leave(conn, name)

    def _set(self, conn: Conn, params: list[Any]) -> None:
        if len(params) != 2:
            raise _RefusedError(2, "Invalid request: too many parameters")
        _check_property(params[0])
        if not isinstance(params[1], bool):
            raise _RefusedError(1, "Invalid value type: expected Boolean")
        conn.combined = params[1]

    def _get(self, conn: Conn, params: list[Any]) -> bool:
        if len(params) != 1:
            raise _RefusedError(2, "Invalid request: too many parameters")
        _check_property(params[0])
        return conn.combined


def _parse(text: str) -> dict[str, Any]:
    try:
        asked = json.loads(text)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise _RefusedError(3, "Invalid JSON: expected value at line 1 column 1")
    return asked


def _check_id(asked_id: object) -> None:
    fits = asked_id is None or (
        isinstance(asked_id, int) and not isinstance(asked_id, bool) and -LARGEST_ID <= asked_id < LARGEST_ID
    )
    if fits or (isinstance(asked_id, str) and len(asked_id) <= 36):
        return
    raise _RefusedError(2, "Invalid request: request ID must be an unsigned integer")


def _check_property(name: object) -> None:
    if not isinstance(name, str):
        raise _RefusedError(2, "Invalid request: property name must be a string")
    if name != "combined":
        raise _RefusedError(0, "Unknown property")


def _names(params: list[Any]) -> list[str]:
    if not all(isinstance(name, str) for name in params):
        raise _RefusedError(2, "Invalid request: property name must be a string")
    return params
