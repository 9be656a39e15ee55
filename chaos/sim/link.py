"""Link: one node's way to the simulated venue, in one life; the adapter's decisions without its sockets.

Implements `VenuePort` and `Carrier`, in the place of `binance_spot.adapter`: what is written, when, and what is
concluded is `binance_spot.conversation`, the same object that runs on sockets; only the cables and the time differ.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from attrs import define, field

from chaos.sim.exchange import ACCOUNT, KEY, SECRET, SimExchange, agent_of
from chaos.sim.lines import Market, Orders, Pool, User, market_target, user_target
from meltica.core.effects import Effect
from meltica.core.values import Account, Nanos, Symbol, Venue
from meltica.venues.backoff import Backoff
from meltica.venues.base import Capabilities, Health, Read, VenueListener
from meltica.venues.binance_spot.conversation import TICK, WARM, Conversation
from meltica.venues.binance_spot.settings import Secret, Settings

VENUE: Final = Venue("paper")
SYMBOLS: Final = (Symbol("BTCUSDT"), Symbol("ETHUSDT"))
ADDRESS: Final = "ws://paper"

Later = Callable[[int, Callable[[], None]], None]


def settings_of(node: str) -> Settings:
    """As a node's file would give them, but for addresses that nobody dials."""
    return Settings(
        venue=VENUE,
        account=Account(ACCOUNT),
        symbols=SYMBOLS,
        rest_url="",
        ws_api_url=f"{ADDRESS}/ws-api/v3",
        stream_url=ADDRESS,
        api_key=KEY,
        secret=Secret(SECRET),
        user_agent=agent_of(node),
    )


@define(eq=False)
class SimLink:
    """See the module.  `later` and `on_node` run an action on this node, in this life, frozen with it."""

    node: str
    exchange: SimExchange
    listener: VenueListener
    clock: Callable[[], Nanos]
    wall: Callable[[], Nanos]
    later: Later
    on_node: Callable[[Callable[[], None]], None]
    random: Random  # jitters what is begun again
    settings: Settings = field(init=False)
    talk: Conversation = field(init=False)
    pool: Pool = field(init=False)
    orders: Orders = field(init=False)
    user: User = field(init=False)
    market: Market = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.settings = settings = settings_of(self.node)
        self.talk = talk = Conversation(settings, self.listener, self.clock, self.wall, self)
        target = user_target(settings)
        self.pool = Pool(self)
        self.orders = Orders(self, "ws_api", target, self._backoff(), lane=talk.lane)
        self.user = User(self, "ws_api", target, self._backoff(), events=talk.events)
        self.market = Market(
            self,
            "stream",
            market_target(settings),
            self._backoff(),
            feed=talk.feed,
            pool=self.pool,
            snapshots=talk.reads.depth,
        )

    def _backoff(self) -> Backoff:
        return Backoff(self.settings.backoff_first, self.settings.backoff_cap, self.random)

    # --- VenuePort --------------------------------------------------------------------------------------------

    @property
    def venue(self) -> Venue:
        """Our name for it."""
        return VENUE

    @property
    def account(self) -> Account:
        """The account it trades on."""
        return self.settings.account

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return self.settings.capabilities

    def send(self, effect: Effect, send_by: Nanos, may_send: Callable[[], bool]) -> None:
        """See `VenuePort.send`."""

        def gate() -> bool:
            """A simulated cable always has room: what the gate lets through is written."""
            if not may_send():
                return False
            self.exchange.sent(self.node, effect.intent, self.clock())
            return True

        self.talk.send(effect, send_by, gate)

    def read(self, read: Read) -> None:
        """See `VenuePort.read`."""
        reading = self.talk.begin_read(read)
        if reading is None:
            self.later(0, lambda: self.talk.refuse_read(read))
        else:
            self.pool.carry(reading, lambda: self.talk.end_read(read, reading))

    def reading(self, query: int) -> bool:
        """See `VenuePort.reading`."""
        return self.talk.reading(query)

    def health(self) -> Health:
        """Now."""
        return self.talk.health()

    # --- Carrier ----------------------------------------------------------------------------------------------

    def deliver_soon(self) -> None:
        """See `Carrier`."""
        self.later(0, self.talk.lane.deliver)

    def resubscribe(self, reason: str) -> None:
        """See `Carrier`."""
        self.user.lost(reason)

    def fetch_book(self, symbol: Symbol) -> None:
        """See `Carrier`."""
        self.market.fetch(symbol)

    def user_heard_at(self) -> Nanos | None:
        """See `Carrier`."""
        return self.user.vigil.heard_at

    # --- a life -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect, and look at the clock for ever."""
        for line in (self.orders, self.user, self.market):
            line.open()
        self.later(TICK, self._tick)
        self._stay_warm()

    def close(self) -> None:
        """The process ends."""
        for line in (self.orders, self.user, self.market):
            line.close()
        self.pool.close()

    def _tick(self) -> None:
        self.talk.tick()
        self.later(TICK, self._tick)

    def _stay_warm(self) -> None:
        reading = self.talk.reads.begin(WARM)
        self.pool.carry(reading, lambda: self.later(self.talk.warmed(reading), self._stay_warm))
