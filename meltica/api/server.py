"""Server: the API on its port, over TLS.

Only listening and stopping may live here.  `serve_api` runs until `stop` is set, then finishes the requests
that are under way within a second and returns; it is not to be cancelled instead, which leaves sockets behind.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable
from contextlib import closing
from typing import Final

import trio
from attrs import frozen
from hypercorn.config import Config, Sockets
from hypercorn.trio import serve
from structlog.typing import FilteringBoundLogger

from cluster.hosts import Address
from meltica.api.app import Api, build_app
from meltica.api.forward import make_forwarder
from meltica.api.ports import NodeView
from meltica.api.tokens import BadToken, Tokens, read_tokens
from meltica.config import NodeSettings, TlsFiles, TokenFiles

GRACE_S: Final = 1.0
KEEP_ALIVE_S: Final = 30.0
HANDSHAKE_S: Final = 5.0
RESTART_S: Final = 0.2
BACKLOG: Final = 100


Newest = Callable[[], ssl.SSLContext | None]


class ApiError(Exception):
    """The API can't be served; the message names the next step."""


@frozen
class ApiPlace:
    """Where to listen, and with what."""

    address: Address
    tls: TlsFiles
    tokens: TokenFiles
    newest: Newest = lambda: None  # the certificate of now, where it is not the one of the start any more


def place_of(settings: NodeSettings, newest: Newest = lambda: None) -> ApiPlace:
    """The place that a node's settings give its API."""
    return ApiPlace(address=settings.own.api, tls=settings.tls, tokens=settings.api, newest=newest)


async def serve_api(
    place: ApiPlace,
    view: NodeView,
    exposition: Callable[[], bytes],
    log: FilteringBoundLogger,
    stop: trio.Event,
    *,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `stop`; reports "https://host:port" once it listens.

    Raises, before it reports that: ApiError (the port is taken, a file can't be used).
    """
    api = Api(
        view=view,
        tokens=_tokens(place.tokens),
        forward=make_forwarder(view.name, place.tls.ca),
        exposition=exposition,
        log=log,
    )
    _check_tls(place.tls)
    app = build_app(api)
    with closing(_listen(place.address)) as listener:
        task_status.started(f"https://{Address(*listener.getsockname()[:2])}")
        while not stop.is_set():
            # A fault in one connection ends hypercorn's whole serving: the node must outlive that.
            try:
                await serve(app, _config(place, listener), shutdown_trigger=stop.wait)
            except* Exception as group:  # whatever it is, trading goes on and the API comes back
                log.exception("the API stopped and is started again", exc_info=group)
                await trio.sleep(RESTART_S)


def _tokens(files: TokenFiles) -> Tokens:
    try:
        return read_tokens(files.viewer_file, files.operator_file, files.approver_file)
    except BadToken as error:
        raise ApiError(str(error)) from error
    except OSError as error:
        raise ApiError(f"{error.filename}: {error.strerror}: put a token there, readable by this node alone") from error


def _listen(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((address.host, address.port))
        listener.listen(BACKLOG)  # before it is said to be ready: who comes early waits, and is not refused
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            following = "another process listens there: stop it, or change this node's `api` in every node's settings"
        else:
            following = f"{error.strerror}: correct this node's `api` in every node's settings"
        raise ApiError(f"the API can't listen on {address}: {following}") from error
    return listener


def _check_tls(tls: TlsFiles) -> None:
    """Told before anything listens: hypercorn would tell it as a bare ssl.SSLError."""
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tls.ca))
        context.load_cert_chain(tls.cert, tls.key)
    except OSError as error:  # ssl.SSLError is one
        message = f"{tls.cert} and {tls.key} can't be used ({error}): give a certificate and its own key, in PEM"
        raise ApiError(message) from error


class _Config(Config):
    """Hypercorn's settings, with a listener of ours: we know then when it is closed, which hypercorn does not say.

    And with certificates that change: hypercorn makes one context for as long as it serves, so each handshake is given
    the newest one as it begins.  All of it: OpenSSL takes trust and protocols from there too.
    """

    def __init__(self, listener: socket.socket, newest: Newest) -> None:
        super().__init__()
        self._listener = listener
        self._newest = newest

    def create_ssl_context(self) -> ssl.SSLContext | None:
        """Hypercorn's own, but for the certificate."""
        context = super().create_ssl_context()
        if context is not None:
            context.sni_callback = self._greeted
        return context

    def _greeted(self, handshake: ssl.SSLObject, _name: str, _context: ssl.SSLContext) -> None:
        newest = self._newest()
        if newest is not None:
            handshake.context = newest

    def create_sockets(self) -> Sockets:
        """The one listener."""
        return Sockets([self._listener], [], [])


def context_of(tls: TlsFiles) -> ssl.SSLContext:
    """All that a handshake takes from it: certificate, trust and protocols; raises OSError (ssl.SSLError is one)."""
    context = _secure(Config(), tls).create_ssl_context()
    if context is None:
        raise OSError("no certificate is named")
    return context


def _secure(config: Config, tls: TlsFiles) -> Config:
    config.certfile, config.keyfile, config.ca_certs = str(tls.cert), str(tls.key), str(tls.ca)
    # A certificate is not asked of who has none, the token decides; one that is shown must be of this cluster.
    config.verify_mode = ssl.VerifyMode.CERT_OPTIONAL
    return config


def _config(place: ApiPlace, listener: socket.socket) -> Config:
    config = _Config(listener, place.newest)
    _secure(config, place.tls)
    config.backlog = BACKLOG
    config.graceful_timeout = GRACE_S
    config.keep_alive_timeout = KEEP_ALIVE_S
    config.ssl_handshake_timeout = HANDSHAKE_S
    config.include_server_header = False
    config.errorlog = None  # the routes log through structlog
    return config
