"""Links: one TCP connection's bytes, to and from the words of the venue.

No I/O here: a link is fed bytes and collects bytes.  It begins as HTTP/1.1 (h11) and may become a WebSocket
(wsproto).  What waits to be written is bounded; a client that does not read is dropped, as Binance drops it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h11
import wsproto
from attrs import define, field
from wsproto import events as ws
from wsproto.frame_protocol import FrameProtocol
from wsproto.utilities import ProtocolError

from meltica.paper import render
from meltica.paper.ports import ConnId, Frame, Ping, Reply, Times
from meltica.paper.venue import LARGEST_BODY, PaperVenue

LARGEST_BACKLOG = 8 * 1024 * 1024  # bytes that may wait for a client to read

WS_PATHS = {"/ws-api/v3": "ws_api", "/ws": "stream", "/stream": "stream"}

Clock = Callable[[], Times]


class Encoder:
    """Text frames as bytes; a text that goes to many is encoded once.

    Servers do not mask and we agree on no extension, so the bytes are the same for everyone.
    """

    def __init__(self) -> None:
        self._protocol = FrameProtocol(client=False, extensions=[])
        self._text: str | None = None
        self._bytes = b""

    def encode(self, text: str) -> bytes:
        """The frame of `text`."""
        if text is not self._text:
            self._text, self._bytes = text, bytes(self._protocol.send_data(text, fin=True))
        return self._bytes


@define(eq=False)
class Link:
    """One connection.  After `feed` and `put`, `backlog` has what is to be written, and `ended` says if it is over."""

    venue: PaperVenue
    clock: Clock
    encoder: Encoder
    address: str
    on_open: Callable[[ConnId], None]
    http: h11.Connection = field(factory=lambda: h11.Connection(h11.SERVER))
    socket: wsproto.WSConnection | None = None
    conn: ConnId | None = None
    kind: str = "rest"
    backlog: list[bytes] = field(factory=list)
    waiting: int = 0  # bytes in the backlog
    ended: bool = False
    broken: bool = False  # to be cut off without a last word
    _request: h11.Request | None = None
    _body: bytearray = field(factory=bytearray)
    _text: list[str] = field(factory=list)
    _length: int = 0

    # --- from the client --------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Bytes came in; none means the client has closed."""
        if self.socket is not None:
            self._feed_socket(self.socket, data)
            return
        try:
            self.http.receive_data(data)
            self._requests()
        except h11.RemoteProtocolError as bad:
            self._say(bad.error_status_hint, {"code": -1100, "msg": f"This is not HTTP/1.1: {bad}"}, last=True)

    def _requests(self) -> None:
        while not self.ended and self.socket is None:
            event = self.http.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return
            if isinstance(event, h11.Request):
                self._request, self._body = event, bytearray()
                if self.http.they_are_waiting_for_100_continue:
                    self._send(self.http.send(h11.InformationalResponse(status_code=100, headers=[])))
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > LARGEST_BODY:
                    text = f"The body is longer than {LARGEST_BODY} bytes."
                    self._say(413, {"code": -1100, "msg": text}, last=True)
            elif isinstance(event, h11.EndOfMessage):
                self._whole_request()
            else:  # ConnectionClosed
                self.ended = True

    def _whole_request(self) -> None:
        request = self._request
        if request is None:
            return
        target = request.target.decode("ascii", "replace")
        headers = {name.decode(): value.decode("latin-1") for name, value in request.headers}
        path, _, query = target.partition("?")
        kind = WS_PATHS.get(path) or ("stream" if path.startswith("/ws/") else None)
        if kind is not None:
            self._upgrade(kind, target, headers, request)
            return
        now = self.clock()
        if self.conn is None:
            self.conn = self.venue.open_connection("rest", headers.get("user-agent", ""), now, address=self.address)
            self.on_open(self.conn)
        method = request.method.decode("ascii", "replace")
        self.venue.rest(self.conn, method, path, query, bytes(self._body), headers, now)

    def _upgrade(self, kind: str, target: str, headers: dict[str, str], request: h11.Request) -> None:
        if headers.get("upgrade", "").lower() != "websocket":
            self._say(426, {"code": -1020, "msg": "This path speaks WebSocket."}, last=True)
            return
        socket = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        try:
            socket.initiate_upgrade_connection(list(request.headers), target)
            answer = socket.send(ws.AcceptConnection())
        except ProtocolError as bad:
            self._say(400, {"code": -1100, "msg": f"This is no WebSocket handshake: {bad}"}, last=True)
            return
        self._send(answer)
        self.socket, self.kind = socket, kind
        agent = headers.get("user-agent", "")
        self.conn = self.venue.open_connection(kind, agent, self.clock(), target=target, address=self.address)
        self.on_open(self.conn)
        early, _ = self.http.trailing_data
        if early:
            self._feed_socket(socket, early)

    def _feed_socket(self, socket: wsproto.WSConnection, data: bytes) -> None:
        try:
            socket.receive_data(data or None)
            for event in socket.events():
                self._socket_event(socket, event)
        except ProtocolError as bad:
            self._end_socket(getattr(bad, "code", None) or 1002, "")

    def _socket_event(self, socket: wsproto.WSConnection, event: ws.Event) -> None:
        if self.ended:
            return
        if isinstance(event, ws.TextMessage):
            self._text_part(event)
        elif isinstance(event, ws.Ping):
            self._send(socket.send(event.response()))
        elif isinstance(event, ws.Pong):
            if self.conn is not None:
                self.venue.pong(self.conn, self.clock())
        elif isinstance(event, ws.CloseConnection):
            if socket.state is wsproto.connection.ConnectionState.REMOTE_CLOSING:
                self._send(socket.send(event.response()))
            self.ended = True
        elif isinstance(event, ws.BytesMessage):
            self._end_socket(1003, "text frames only")

    def _text_part(self, event: ws.TextMessage) -> None:
        self._text.append(event.data)
        self._length += len(event.data)
        if self._length > LARGEST_BODY:
            self._end_socket(1009, f"a message may have {LARGEST_BODY} characters")
        elif event.message_finished and self.conn is not None:
            text = self._text[0] if len(self._text) == 1 else "".join(self._text)
            self._text, self._length = [], 0
            receive = self.venue.ws_message if self.kind == "ws_api" else self.venue.stream_message
            receive(self.conn, text, self.clock())

    # --- to the client ----------------------------------------------------------------------------------------

    def put_frame(self, frame: Frame) -> None:
        """A text frame."""
        self._send(self.encoder.encode(frame.text))

    def put_ping(self, ping: Ping) -> None:
        """A ping."""
        if self.socket is not None:
            self._send(self.socket.send(ws.Ping(payload=ping.payload)))

    def put_reply(self, reply: Reply) -> None:
        """The answer to a REST request; then the next one, if it is already here."""
        if self.http.our_state is not h11.SEND_RESPONSE:
            return
        self._respond(reply.status, list(reply.headers), reply.body)
        try:
            self.http.start_next_cycle()
            self._requests()
        except h11.ProtocolError:
            self.ended = True  # the client asked for it to be closed, or went on with garbage

    def close(self, code: int, reason: str) -> None:
        """The venue closes; 1006 is no code to be sent: the connection just breaks."""
        if code == 1006:
            self.broken = True
        elif self.socket is not None:
            self._end_socket(code, reason)
        self.ended = True

    def take(self) -> bytes:
        """What is to be written now."""
        data = self.backlog[0] if len(self.backlog) == 1 else b"".join(self.backlog)
        self.backlog = []
        self.waiting = 0
        return data

    def _end_socket(self, code: int, reason: str) -> None:
        if self.socket is not None and self.socket.state is wsproto.connection.ConnectionState.OPEN:
            self._send(self.socket.send(ws.CloseConnection(code=code, reason=reason)))
        self.ended = True

    def _say(self, status: int, body: dict[str, Any], *, last: bool) -> None:
        if self.http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            headers = [("Content-Type", "application/json;charset=UTF-8"), ("Connection", "close")]
            self._respond(status, headers, render.dump(body).encode())
        self.ended = self.ended or last

    def _respond(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        response = h11.Response(status_code=status, headers=[*headers, ("Content-Length", str(len(body)))])
        parts = (self.http.send(event) for event in (response, h11.Data(data=body), h11.EndOfMessage()))
        self._send(b"".join(part for part in parts if part))

    def _send(self, data: bytes | None) -> None:
        if not data or self.ended:
            return
        self.backlog.append(data)
        self.waiting += len(data)
        if self.waiting > LARGEST_BACKLOG:
            self.backlog, self.waiting = [], 0
            self.broken = self.ended = True
