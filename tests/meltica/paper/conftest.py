"""A venue on a still market, driven by hand: what its tests share."""

import json
from decimal import Decimal

import pytest

from meltica.paper.exchange import PaperExchange
from meltica.paper.ledger import MemoryLedger
from meltica.paper.market import StillMarket
from meltica.paper.ports import AccountSettings, Delays, Frame, OrderLimits, Reply, Span, Times
from meltica.paper.signing import sign, ws_payload
from meltica.paper.symbols import BTCUSDT, ETHUSDT
from meltica.paper.venue import PaperVenue

WALL = 1_700_000_000_000_000_000
MONO = 5_000_000_000
MS = 1_000_000
AGENT = "meltica/0.1.0 (n1)"

FIXED = Delays(
    network=Span(1 * MS, 1 * MS),
    engine=Span(2 * MS, 2 * MS),
    answer=Span(1 * MS, 1 * MS),
    event=Span(2 * MS, 2 * MS),
    read=Span(1 * MS, 1 * MS),
    lag=Span(0, 0),
)


class Rig:
    """A venue and hands: signs, sends, moves time, collects what comes."""

    def __init__(self, delays=FIXED, limits=None, seed=1):
        self.ledger = MemoryLedger()
        self.mono = MONO
        money = {"BTC": Decimal(10), "ETH": Decimal(100), "USDT": Decimal(1_000_000)}
        self.accounts = {
            name: AccountSettings(name, f"{name}key" * 8, f"{name}secret", money) for name in ("main", "other")
        }
        exchange = PaperExchange([BTCUSDT, ETHUSDT], StillMarket(), start_us=WALL // 1000)
        self.venue = PaperVenue(
            exchange, list(self.accounts.values()), seed, self.ledger, delays=delays, limits=limits or OrderLimits()
        )
        self.got = []
        self.ids = 0

    @property
    def now(self):
        return Times(self.mono, WALL + self.mono - MONO)

    def run(self, milliseconds=20):
        """Let time pass, stopping at every event, as a simulator does."""
        end = self.mono + int(milliseconds * MS)
        while (due := self.venue.next_event_at()) is not None and due <= end:
            self.mono = max(self.mono, due)
            self.venue.advance(self.now)
        self.mono = end
        self.venue.advance(self.now)
        self.got += self.venue.take()

    def open(self, kind="ws_api", agent=AGENT, target="", address="127.0.0.1"):
        return self.venue.open_connection(kind, agent, self.now, target=target, address=address)

    def signed(self, account="main", secret=None, *, stamp=None, **params):
        owner = self.accounts[account]
        stamp = self.now.wall_ns // MS if stamp is None else stamp
        full = {name: str(value) for name, value in params.items()} | {"apiKey": owner.api_key, "timestamp": str(stamp)}
        return full | {"signature": sign(secret or owner.secret, ws_payload(full))}

    def send(self, conn, method, params, **more):
        self.ids += 1
        message = {"id": self.ids, "method": method, "params": params, **more}
        self.venue.ws_message(conn, json.dumps(message), self.now)
        return self.ids

    def call(self, conn, method, account="main", wait=20, **params):
        """A signed request over the WebSocket API and its answer, None if none came in `wait` ms."""
        asked = self.send(conn, method, self.signed(account, **params))
        self.run(wait)
        return self.answer(asked)

    def answer(self, asked):
        return next((frame for frame in self.frames() if frame.get("id") == asked), None)

    def place(self, conn, account="main", wait=20, **params):
        order = {
            "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01",
            "price": "50000", "newClientOrderId": f"c{self.ids + 1}",
        }  # fmt: skip
        order = {name: value for name, value in (order | params).items() if value is not None}
        return self.call(conn, "order.place", account, wait, **order)

    def rest(self, method, path, *, query="", body="", account=None, conn=None, wait=20, headers=None, **params):
        """A REST request and its (status, headers, JSON); signed if an account is named."""
        conn = self.open("rest", "") if conn is None else conn
        given = {"User-Agent": AGENT} | (headers or {})
        if account:
            owner = self.accounts[account]
            pairs = params | {"timestamp": self.now.wall_ns // MS}
            query = "&".join(f"{name}={value}" for name, value in pairs.items())
            query += "&signature=" + sign(owner.secret, query + body)
            given["X-MBX-APIKEY"] = owner.api_key
        elif params:
            query = "&".join(f"{name}={value}" for name, value in params.items())
        self.got += self.venue.take()
        before = len(self.got)
        self.venue.rest(conn, method, path, query, body.encode(), given, self.now)
        self.run(wait)
        reply = next((each for each in self.got[before:] if isinstance(each, Reply) and each.conn == conn), None)
        if reply is None:
            return None
        return reply.status, dict(reply.headers), json.loads(reply.body) if reply.body else None

    def fault(self, kind, **more):
        return self.venue.begin_fault({"kind": kind, **more}, self.now)

    def frames(self, conn=None):
        """Frames, parsed, of one connection or of all."""
        self.got += self.venue.take()
        return [json.loads(each.text) for each in self.got if isinstance(each, Frame) and conn in {None, each.conn}]

    def events(self, conn=None, kind="executionReport"):
        return [frame["event"] for frame in self.frames(conn) if frame.get("event", {}).get("e") == kind]

    def subscribe(self, account="main", agent=AGENT):
        conn = self.open("ws_api", agent)
        assert self.call(conn, "userDataStream.subscribe.signature", account)["status"] == 200
        return conn

    def records(self, kind):
        return [record for record in self.ledger.records if record["type"] == kind]


@pytest.fixture
def rig():
    return Rig()


@pytest.fixture
def make_rig():
    return Rig
