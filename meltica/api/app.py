"""App: the HTTP routes of one node.

Only routing, roles and the shape of answers may live here: what is read or done is the `NodeView`'s.  Every
path needs a token, the health paths too (they tell who leads), and without one every path, also one that does
not exist, gives the same 401.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final

import trio
from attrs import frozen
from quart import Response, request
from quart_trio import QuartTrio
from structlog.typing import FilteringBoundLogger
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, RequestTimeout

from meltica.api.bodies import MAX_BODY, SECONDED, WISHES, BadBody, action_of
from meltica.api.forward import FORWARDED_BY, Answer, Forwarder, no_leader
from meltica.api.outcomes import HTTP, action_document, error_document
from meltica.api.ports import Action, ActionOutcome, NodeView, Page, ReadFault, Role, Row, Stamp, at_any_node
from meltica.api.tokens import Tokens
from meltica.telemetry.metrics import CONTENT_TYPE

DRAINED: Final = 1024 * 1024  # bytes; so much of a body that is too large is read, so that its sender hears why
MAX_ROWS: Final = 1000
DEFAULT_ROWS: Final = 100
BODY_S: Final = 5.0  # an honest body is there at once
HELP_BEARER: Final = "Send `Authorization: Bearer TOKEN`; the tokens are files, one a role, named in the settings."
HELP_ROLE: Final = "Use the operator's token."
HELP_PATHS: Final = "The paths are listed in the README, under HTTP."


@frozen
class Api:
    """What the routes need."""

    view: NodeView
    tokens: Tokens
    forward: Forwarder
    exposition: Callable[[], bytes]  # of the node's metrics
    log: FilteringBoundLogger


def build_app(api: Api) -> QuartTrio:
    """The ASGI application."""
    app = QuartTrio("meltica.api", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = DRAINED
    _guard(app, api)
    _health(app, api)
    _reads(app, api)
    _actions(app, api)
    return app


# --- who, and what went wrong ---------------------------------------------------------------------------------


def _guard(app: QuartTrio, api: Api) -> None:
    async def need_token() -> Response | None:
        if api.tokens.role_of(request.headers.get("Authorization")) is None:
            return _error(HTTPStatus.UNAUTHORIZED, "unauthorized", "a valid token is needed", HELP_BEARER)
        return None

    async def http_error(error: HTTPException) -> Response:
        status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
        code = status.phrase.lower().replace(" ", "_").replace("'", "")
        if status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return _error(status, "too_large", f"the body is larger than {MAX_BODY} bytes", "Send a smaller body.")
        return _error(status, code, status.description or status.phrase, HELP_PATHS)

    async def fault(error: Exception) -> Response:
        api.log.error("an API request failed", path=request.path, exc_info=error)
        return _error(
            HTTPStatus.INTERNAL_SERVER_ERROR, "fault", "a fault of the program", "Read this node's log at this time."
        )

    app.before_request(need_token)
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(Exception, fault)


def _error(status: HTTPStatus, code: str, message: str, following: str) -> Response:
    response = _json(error_document(code, message, following), status)
    if status is HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="meltica"'
    return response


def _json(document: Row, status: int = HTTPStatus.OK) -> Response:
    response = Response(json.dumps(dict(document), default=dict) + "\n", status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response


# --- health ---------------------------------------------------------------------------------------------------


def _health(app: QuartTrio, api: Api) -> None:
    view = api.view

    async def livez() -> Response:
        return _word("live", good=view.health().live)

    async def readyz() -> Response:
        health = view.health()
        if "verbose" not in request.args:
            return _word("ready", good=health.ready)
        marks = [("+" if one.ok else "-", one.name, "ok" if one.ok else one.text or "failed") for one in health.checks]
        text = "".join(f"[{mark}]{name} {word}\n" for mark, name, word in marks)
        return _text(f"{text}{'ready' if health.ready else 'not ready'}\n", good=health.ready)

    async def leader() -> Response:
        return _word("active", good=view.health().active)

    async def standby() -> Response:
        return _word("standby", good=view.health().standby)

    async def metrics() -> Response:
        return Response(api.exposition(), content_type=CONTENT_TYPE)

    for path, handler in (
        ("/livez", livez),
        ("/readyz", readyz),
        ("/leader", leader),
        ("/standby", standby),
        ("/metrics", metrics),
    ):
        app.add_url_rule(path, path, handler, methods=["GET"])


def _word(word: str, *, good: bool) -> Response:
    return _text(f"{word if good else f'not {word}'}\n", good=good)


def _text(text: str, *, good: bool) -> Response:
    status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
    return Response(text, status, content_type="text/plain; charset=utf-8")


# --- reads ----------------------------------------------------------------------------------------------------


def _reads(app: QuartTrio, api: Api) -> None:
    view = api.view

    async def status() -> Response:
        document = dict(view.status())
        stamp = view.stamp()
        document["as_of"] = {**_as_of(stamp), **_mapping(document.get("as_of"))}
        return _json(document)

    async def orders() -> Response:
        return _rows(view, "orders", view.orders(closed=request.args.get("all") in ("1", "true")))

    async def positions() -> Response:
        return _rows(view, "positions", view.positions())

    async def strategies() -> Response:
        return _rows(view, "strategies", await view.strategies())

    async def fills() -> Response:
        return await _page(view, "fills", view.fills, view.newest_fills)

    async def audit() -> Response:
        return await _page(view, "audit", view.audit, view.newest_audit)

    for name, handler in (
        ("status", status),
        ("orders", orders),
        ("positions", positions),
        ("strategies", strategies),
        ("fills", fills),
        ("audit", audit),
    ):
        app.add_url_rule(f"/api/v1/{name}", name, handler, methods=["GET"])


def _as_of(stamp: Stamp) -> dict[str, object]:
    age = None if stamp.age_ns is None else stamp.age_ns / 1e9
    return {"wall_ns": stamp.wall_ns, "index": stamp.index, "age_s": age}


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _rows(view: NodeView, what: str, rows: object) -> Response:
    document = {"schema": f"meltica.{what}/1", "node": view.name, "as_of": _as_of(view.stamp()), what: rows}
    return _json(document)


async def _page(
    view: NodeView,
    what: str,
    read: Callable[[int, int], Awaitable[Page]],
    newest: Callable[[int, int | None], Awaitable[Page]],
) -> Response:
    """`after` and `limit` read on from there, `last` (and `before`) from the end back."""
    back = "last" in request.args
    if (back and request.args.keys() & {"after", "limit"}) or (not back and "before" in request.args):
        message = "`after` and `limit` go together, and `last` and `before` do"
        return _error(HTTPStatus.BAD_REQUEST, "bad_query", message, "Correct the query.")
    start, count = _whole("before" if back else "after", 0), _whole("last" if back else "limit", DEFAULT_ROWS)
    if start is None or count is None or not 1 <= count <= MAX_ROWS:
        message = f"`after` and `before` are whole numbers, 0 or more; `limit` and `last` are from 1 to {MAX_ROWS}"
        return _error(HTTPStatus.BAD_REQUEST, "bad_query", message, "Correct the query.")
    try:
        page = await (newest(count, start or None) if back else read(start, count))
    except ReadFault as fault:
        return _error(HTTPStatus.INTERNAL_SERVER_ERROR, "damaged", str(fault), fault.following)
    document = {
        "schema": f"meltica.{what}/1",
        "node": view.name,
        "as_of": _as_of(view.stamp()),
        what: list(page.rows),
        "next_after": page.next_after,
        "gaps": list(page.gaps),
        **({"next_before": page.next_before} if back else {}),
    }
    return _json(document)


def _whole(key: str, default: int) -> int | None:
    text = request.args.get(key, str(default))
    digits = len(str(2**63)) - 1
    return int(text) if text.isascii() and text.isdigit() and len(text) <= digits else None


# --- actions --------------------------------------------------------------------------------------------------


def _actions(app: QuartTrio, api: Api) -> None:
    async def act(kind: str) -> Response:
        role = api.tokens.role_of(request.headers.get("Authorization"))
        if role is not Role.OPERATOR and not (role is Role.APPROVER and kind in SECONDED):
            return _error(HTTPStatus.FORBIDDEN, "not_allowed", _not_allowed(role), HELP_ROLE)
        if kind not in WISHES:
            message = f"there is no action {kind:.40}; there are {', '.join(WISHES)}"
            return _error(HTTPStatus.NOT_FOUND, "no_such_action", message, HELP_PATHS)
        raw = await _body()
        try:
            action = action_of(kind, raw, role)
        except BadBody as error:
            return _error(HTTPStatus.BAD_REQUEST, "bad_body", str(error), "Correct the body; nothing was done.")
        return await _carry_out(api, kind, action, raw)

    app.add_url_rule("/api/v1/actions/<kind>", "act", act, methods=["POST"])


def _not_allowed(role: Role | None) -> str:
    if role is Role.APPROVER:
        return f"an approver may only second: {', '.join(sorted(SECONDED))}"
    return "a viewer may not act"


async def _body() -> bytes:
    """The request's body.  Raises RequestEntityTooLarge once all of a too large one was read, or RequestTimeout."""
    kept = bytearray()
    try:
        with trio.fail_after(BODY_S):
            async for chunk in request.body:
                if len(kept) <= MAX_BODY:
                    kept += chunk
    except trio.TooSlowError:
        raise RequestTimeout from None
    if len(kept) > MAX_BODY:
        raise RequestEntityTooLarge
    return bytes(kept)


async def _carry_out(api: Api, kind: str, action: Action, raw: bytes) -> Response:
    """Here if this node leads (or the action is any node's), else on the leader, one hop and no more."""
    view = api.view
    here = view.leads() or at_any_node(action.wish)
    leader = None if here or FORWARDED_BY in request.headers else view.leader_api()
    if here:
        result: Answer | ActionOutcome = await view.act(action)
        by = action.by
        api.log.info("an action was carried out", kind=kind, request=by.request, actor=by.actor, reason=by.reason)
    elif leader is None:
        return _json(no_leader(action.by.request, view.name), HTTPStatus.SERVICE_UNAVAILABLE)
    else:
        name, place = leader
        url = f"{place.rstrip('/')}/api/v1/actions/{kind}"
        result = await api.forward(name, url, request.headers["Authorization"], raw)
    if isinstance(result, Answer):
        return Response(result.body, result.status, content_type="application/json")
    return _outcome(result, action, view.name)


def _outcome(outcome: ActionOutcome, action: Action, node: str) -> Response:
    return _json(action_document(outcome, action.by.request, node), HTTP[outcome.kind])
