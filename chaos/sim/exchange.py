"""Exchange: the paper venue on the simulation's heap, and the cables from nodes to it.

Only carrying lives here: what the venue answers is `meltica.paper`'s, what a node makes of it is `link`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from random import Random
from typing import Any, Final

from attrs import define, field

from chaos.sim.network import MS, Network, between
from meltica.paper.exchange import PaperExchange, open_exchange
from meltica.paper.ledger import MemoryLedger
from meltica.paper.ports import AccountSettings, Close, ConnId, Frame, Ping, Reply, Times
from meltica.paper.types import BestChange
from meltica.paper.venue import PaperVenue

WALL_START: Final = 1_700_000_000_000_000_000  # Unix nanoseconds at the simulation's zero
ACCOUNT: Final = "main"
KEY: Final = "k" * 64
SECRET: Final = "s" * 64  # an account of a simulated venue
BALANCES: Final = {"BTC": Decimal(10), "ETH": Decimal(100), "USDT": Decimal(1_000_000)}
CABLE: Final = (MS // 10, 2 * MS)  # one way, nanoseconds

OnReply = Callable[[int, dict[str, str], bytes], None]


def agent_of(node: str) -> str:
    """By what the venue knows whose request it is."""
    return f"meltica/sim ({node})"


@define(eq=False)
class Cable:
    """One connection of one node's life to the venue."""

    conn: ConnId
    on_frame: Callable[[str], None]
    on_reply: OnReply
    on_close: Callable[[], None]
    up: bool = True
    busy_in: int = 0  # one TCP stream each way: nothing overtakes
    busy_out: int = 0


@define(eq=False)
class SimExchange:
    """The venue that all nodes trade on."""

    network: Network
    seed: int
    ledger: MemoryLedger = field(factory=MemoryLedger)
    cables: dict[ConnId, Cable] = field(factory=dict)
    cut: set[str] = field(factory=set)  # nodes that can't reach the venue now; nobody is told
    sent: Callable[[str, str, int], None] = lambda _node, _intent, _clock: None  # told of each intent on its way
    slow: dict[str, int] = field(factory=dict)  # nodes whose words take so much longer to the venue, nanoseconds
    exchange: PaperExchange = field(init=False)
    venue: PaperVenue = field(init=False)
    random: Random = field(init=False)
    stepped: Callable[[int], None] = lambda _off: None  # told when its clock was moved, and how far off it is then
    _off_ms: int = 0  # by how much faults move its clock
    _due: int = 1 << 62
    _alarm: int = 0  # the number of the newest alarm: an older one rings for nobody

    def __attrs_post_init__(self) -> None:
        self.random = Random(self.seed ^ 0x5EED)
        self.exchange = open_exchange("synthetic", self.seed, (WALL_START + self.network.now) // 1000)
        accounts = [AccountSettings(ACCOUNT, KEY, SECRET, BALANCES)]
        self.venue = PaperVenue(self.exchange, accounts, self.seed, self.ledger)
        self._rearm()

    def now(self) -> Times:
        """The venue's clocks."""
        return Times(self.network.now, WALL_START + self.network.now)

    def best(self, symbol: str) -> BestChange:
        """The best prices now."""
        return self.exchange.best(symbol)

    def connect(  # noqa: PLR0917 - a connection's two ends
        self,
        kind: str,
        node: str,
        target: str,
        on_frame: Callable[[str], None],
        on_reply: OnReply,
        on_close: Callable[[], None],
    ) -> Cable:
        """A node connects; at once, as the cable's delay is on what it carries."""
        address = f"10.0.0.{node.removeprefix('n')}"
        conn = self.venue.open_connection(kind, agent_of(node), self.now(), target=target, address=address)
        cable = Cable(conn, on_frame, on_reply, on_close)
        self.cables[conn] = cable
        self._flush()
        return cable

    def drop(self, cable: Cable) -> None:
        """A node's end of the cable is gone; what is on its way to the venue still arrives."""
        cable.up = False
        self._towards(cable, lambda: self._forget(cable))

    def frame(self, cable: Cable, node: str, text: str) -> None:
        """A node wrote a frame."""
        if node not in self.cut:
            self._towards(cable, lambda: self._ws(cable, text), self.slow.get(node, 0))

    def ping(self, cable: Cable, node: str, on_pong: Callable[[], None]) -> None:
        """A node wrote a ping frame: the venue's library answers it, whatever the venue thinks."""
        if node not in self.cut:
            back = lambda: self._back(cable, lambda: on_pong() if cable.up else None)  # noqa: E731 - the way back
            self._towards(cable, back, self.slow.get(node, 0))

    def get(self, cable: Cable, node: str, path: str, query: str) -> None:
        """A node wrote a GET."""
        headers = {"User-Agent": agent_of(node), "X-MBX-APIKEY": KEY}

        def ask() -> None:
            self.venue.rest(cable.conn, "GET", f"/api/v3/{path}", query, b"", headers, self.now())
            self._flush()

        if node not in self.cut:
            self._towards(cable, ask, self.slow.get(node, 0))

    def placed_since(self, at: int) -> bool:
        """Whether an order was admitted later than that."""
        newest = (
            record["admitted_mono_ns"] or 0
            for record in reversed(self.ledger.records)
            if record["type"] == "request" and record["method"] == "order.place"
        )
        return any(each > at for each in newest)

    def orders(self) -> int:
        """How many orders were received."""
        return sum(1 for record in self.ledger.records if record.get("method") == "order.place")

    def begin_fault(self, asked: dict[str, Any]) -> int:
        """Start a fault of contracts.md section 5; its number."""
        number = self.venue.begin_fault(asked, self.now())
        self._flush()
        return number

    def heal(self, number: int | None) -> None:
        """End one fault, or all."""
        self.venue.heal(number, self.now())
        self._flush()

    # --- inside -----------------------------------------------------------------------------------------------

    def _ws(self, cable: Cable, text: str) -> None:
        self.venue.ws_message(cable.conn, text, self.now())
        self._flush()

    def _forget(self, cable: Cable) -> None:
        self.cables.pop(cable.conn, None)
        self.venue.close_connection(cable.conn)

    def _towards(self, cable: Cable, action: Callable[[], None], slow: int = 0) -> None:
        at = max(self.network.now + between(self.random.getrandbits, CABLE) + slow, cable.busy_in)
        cable.busy_in = at
        self.network.at(at - self.network.now, action)

    def _back(self, cable: Cable, action: Callable[[], None]) -> None:
        at = max(self.network.now + between(self.random.getrandbits, CABLE), cable.busy_out)
        cable.busy_out = at
        self.network.at(at - self.network.now, action)

    def _flush(self) -> None:
        for output in self.venue.take():
            cable = self.cables.get(output.conn)
            if cable is not None:
                self._deliver(cable, output)
        self._rearm()

    def _deliver(self, cable: Cable, output: Reply | Frame | Ping | Close) -> None:
        match output:
            case Frame():
                self._back(cable, lambda: cable.on_frame(output.text) if cable.up else None)
            case Reply():
                self._back(
                    cable,
                    lambda: cable.on_reply(output.status, dict(output.headers), output.body) if cable.up else None,
                )
            case Ping():
                self._towards(cable, lambda: self.venue.pong(cable.conn, self.now()))
            case Close():
                self._back(cable, lambda: cable.on_close() if cable.up else None)

    def _rearm(self) -> None:
        off = self.venue.clock_off_ms()
        if off != self._off_ms:
            self._off_ms = off
            self.stepped(off * MS)
        due = self.venue.next_event_at()
        if due is None or due >= self._due:
            return
        self._due = due
        self._alarm += 1
        number = self._alarm
        self.network.at(due - self.network.now, lambda: self._ring(number))

    def _ring(self, number: int) -> None:
        if number != self._alarm:
            return
        self._due = 1 << 62
        self.venue.advance(self.now())
        self._flush()


def symbols_of(exchange: SimExchange) -> Sequence[str]:
    """What is traded."""
    return sorted(exchange.exchange.rules)
