"""State: the replicated state, its change log, its digest.

Only the containers and the bookkeeping that must hold whatever is put into them may live here: decisions are in the
rooms of `apply`.  Records are frozen; the containers belong to `apply` and change in place, through the `put_…`
methods alone, which keep the derived indexes and note which stored keys changed.

The digest is the sum, modulo 2^256, of the BLAKE2b-256 of each stored key and value, hashed with what every entry
changes (index, term, clock, chain): equal states have equal digests by whatever path, and a change costs two
hashes.  The chain is a hash over all commands ever applied, the rejected ones included.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from hashlib import blake2b
from operator import itemgetter
from typing import Any, Final

from meltica.core.commands import InstrumentSeen, Limits, VenuePolicy
from meltica.core.exact import mul
from meltica.core.indexes import MINUTE, SECOND, AssetKey, Expiry, OrderIndex, SymbolKey, Trades, Window
from meltica.core.keys import FORMS, META, hash_of, key_of
from meltica.core.orders import Order
from meltica.core.positions import Position
from meltica.core.records import (
    ApprovedRecord,
    BalanceRecord,
    CrewRecord,
    EpochRecord,
    FillRecord,
    HoldingRecord,
    IsolatedRecord,
    LineageRecord,
    LossesRecord,
    LowWaterRecord,
    MetaRecord,
    OpeningRecord,
    ReferenceRecord,
    RequestRecord,
    Settings,
    StrategyRecord,
)
from meltica.core.risk import RiskState
from meltica.core.values import (
    Account,
    Asset,
    ClientOrderId,
    Epoch,
    Index,
    Mode,
    Money,
    Nanos,
    Price,
    RequestId,
    StrategyId,
    Symbol,
    Venue,
    VenueOrderId,
)

FIRST_VERSION: Final = 1  # of apply: what a log begins with (rule 7; see `rules`)
EPOCHS_KEPT: Final = 16  # a successor waits for older epochs with the windows that they had
EPOCHS_MOST: Final = 256  # however young they are
# A closed order owes nothing once its fills add up; late evidence of one that never was at the venue comes within
# minutes.  An hour is far beyond both, and keeps the memory of a busy day small.  Its fills stay for ever.
ORDERS_KEPT: Final = 3600 * SECOND
REQUESTS_KEPT: Final = 24 * 3600 * SECOND  # an operator's retry is recognised for a day
_MODULUS: Final = (1 << 256) - 1
_KEY: Final = itemgetter(0)


class State:
    """Everything that apply reads and changes.  Fields are public to be read; only `apply` may change them."""

    def __init__(self) -> None:
        self.version = FIRST_VERSION  # by which apply decides now
        self.index = Index(0)
        self.term = Epoch(0)
        self.clock = Nanos(0)  # the log's: the largest time that a command has carried
        self.chain_bytes = bytes(32)
        self.settings = Settings()
        self.risk = RiskState()
        self.losses = LossesRecord()
        self.crew = CrewRecord()
        self.approved = ApprovedRecord()
        self.isolated: dict[Index, IsolatedRecord] = {}
        self.lineage = LineageRecord()
        self.epoch: EpochRecord | None = None
        self.epochs: dict[Epoch, EpochRecord] = {}
        self.venues: dict[Venue, VenuePolicy] = {}
        self.strategies: dict[StrategyId, StrategyRecord] = {}
        self.left: dict[StrategyId, StrategyRecord] = {}  # configured no more; what each must remember if it comes back
        self.instruments: dict[tuple[Venue, Symbol], InstrumentSeen] = {}
        self.references: dict[tuple[Venue, Symbol], Price] = {}
        self.orders: dict[ClientOrderId, Order] = {}
        self.positions: dict[SymbolKey, Position] = {}
        self.holdings: dict[AssetKey, Money] = {}
        self.balances: dict[AssetKey, BalanceRecord] = {}
        self.openings: dict[tuple[Venue, Account], OpeningRecord] = {}
        self.requests: dict[RequestId, RequestRecord] = {}
        # derived from the above
        self.order_index = OrderIndex(partial(_assets_of, self.instruments))  # not this object: see `swap`
        self.by_venue_id = self.order_index.by_venue_id
        self.intents = self.order_index.intents
        self.trades = Trades()
        self.low_water = self.trades.low_water
        self.executed_minute = Window(MINUTE)
        self.submits_second = Window(SECOND)
        self.old_orders = Expiry(ORDERS_KEPT)
        self.old_requests = Expiry(REQUESTS_KEPT)
        # the change log
        self._dirty: dict[bytes, tuple[str, Any]] = {}  # prefix and record; a record of None deletes its key
        self._changes: dict[bytes, bytes | None] = {}
        self._hashes: dict[bytes, int] = {}  # of stored pairs that may change: attributed trades never do
        self._sum = 0

    # --- reading ------------------------------------------------------------------------------------------

    @property
    def cluster(self) -> str:
        """The first part of every client order id; empty before the first configuration."""
        return self.settings.cluster

    @property
    def clusters(self) -> tuple[str, ...]:
        """The first parts of all ids that are ours: this cluster's, and those of the clusters it was recovered from."""
        return (self.cluster, *(one.cluster for one in self.lineage.former))

    @property
    def limits(self) -> Limits | None:
        """The bounds of the risk decision; None before the first configuration."""
        return self.settings.limits

    @property
    def mode(self) -> Mode:
        """Whether a new leader takes authority by itself."""
        return self.settings.mode

    @property
    def config_digest(self) -> str:
        """Of the document that the operators approved."""
        return self.settings.digest

    @property
    def chain(self) -> str:
        """The hash chain over all commands applied, in hex."""
        return self.chain_bytes.hex()

    def digest(self) -> str:
        """The state's digest in hex: equal on all nodes at equal index."""
        self._flush()
        head = b"%d:%d:%d:%d:" % (self.version, self.index, self.term, self.clock)
        return blake2b(head + self.chain_bytes + self._sum.to_bytes(32, "big"), digest_size=32).hexdigest()

    def assets_of(self, venue: Venue, symbol: Symbol) -> tuple[Asset, Asset]:
        """Base and quote of an instrument that is known; KeyError otherwise."""
        return _assets_of(self.instruments, venue, symbol)

    def live_orders(self) -> list[Order]:
        """Every order that is not closed, by client order id."""
        exposures = self.order_index.exposures.values()
        names = sorted(name for exposure in exposures for name in exposure.live)
        return [self.orders[name] for name in names]

    def live_orders_of(self, key: SymbolKey) -> list[Order]:
        """Those of one symbol, by client order id."""
        return [self.orders[name] for name in sorted(self.order_index.exposure(key).live)]

    def order_named(
        self, venue: Venue, symbol: Symbol, venue_order_id: VenueOrderId | None, *names: str | None
    ) -> Order | None:
        """The order of this venue and symbol with that venue id, else with one of those client ids.

        A client id may be the order's own, or that of a cancel which the venue renamed it to.
        """
        if venue_order_id is not None:
            found = self.by_venue_id.get((venue, symbol, venue_order_id))
            if found is not None:
                return self.orders[found]
        for name in names:
            if name:
                own = ClientOrderId(name)
                order = self.orders.get(self.order_index.cancel_of.get(own, own))
                if order is not None and order.venue == venue and order.symbol == symbol:
                    return order
        return None

    def position_of(self, key: SymbolKey) -> Position:
        """A symbol's position; before its first fill, its opening balance."""
        found = self.positions.get(key)
        return Position() if found is None else found

    # --- changing: for apply alone ---------------------------------------------------------------------------

    def put_order(self, order: Order) -> None:
        """The order as it is now."""
        old = self.orders.get(order.id)
        self.orders[order.id] = order
        self.order_index.replace(old, order)
        self._note("order", order, order.id)
        if order.closed and not order.leaves:
            self.old_orders.file(order.closed_at, order.id)

    def put_fill(self, fill: FillRecord, *, new: bool) -> None:
        """A trade; `new` if it was not known before, else an orphan that an order now claims."""
        self.trades.note(fill)
        if new:
            self.executed_minute.add(fill.at, mul(fill.price, fill.quantity))
        self._note("trade", fill, fill.venue, fill.account, fill.symbol, f"{fill.trade_id:020d}")

    def put_position(self, key: SymbolKey, position: Position) -> None:
        """A symbol's position."""
        self.positions[key] = position
        self._note("position", position, *key)

    def put_holding(self, key: AssetKey, amount: Money) -> None:
        """What we hold of an asset."""
        self.holdings[key] = amount
        self._note("holding", HoldingRecord(amount), *key)

    def put_balance(self, key: AssetKey, balance: BalanceRecord) -> None:
        """What the venue shows of an asset."""
        self.balances[key] = balance
        self._note("balance", balance, *key)

    def put_opening(self, venue: Venue, account: Account, opening: OpeningRecord) -> None:
        """The balances that an account starts from."""
        self.openings[venue, account] = opening
        self._note("opening", opening, venue, account)

    def put_instrument(self, instrument: InstrumentSeen) -> None:
        """An instrument's rules."""
        self.instruments[instrument.venue, instrument.symbol] = instrument
        self._note("instrument", instrument, instrument.venue, instrument.symbol)

    def put_reference(self, venue: Venue, symbol: Symbol, price: Price) -> None:
        """The newest reference price of a symbol."""
        self.references[venue, symbol] = price
        self._note("reference", ReferenceRecord(price), venue, symbol)

    def put_low_water(self, key: SymbolKey, record: LowWaterRecord) -> None:
        """Every trade below is confirmed."""
        self.trades.raise_low_water(key, record.trade_id)
        self._note("low_water", record, *key)

    def put_settings(self, settings: Settings) -> None:
        """Limits and the like."""
        self.settings = settings
        self._note("settings", settings)

    def put_venue(self, venue: Venue, policy: VenuePolicy | None) -> None:
        """A venue's policy; None: it is configured no more."""
        _replace(self.venues, venue, policy)
        self._note("venue", policy, venue)

    def put_strategy(self, strategy: StrategyId, record: StrategyRecord | None) -> None:
        """A strategy; None: it is configured no more."""
        _replace(self.strategies, strategy, record)
        self._note("strategy", record, strategy)

    def put_left(self, strategy: StrategyId, record: StrategyRecord | None) -> None:
        """What a strategy must remember that is configured no more; None: it is back."""
        _replace(self.left, strategy, record)
        self._note("left", record, strategy)

    def put_risk(self, risk: RiskState) -> None:
        """The risk state."""
        self.risk = risk
        self._note("risk", risk)

    def put_losses(self, losses: LossesRecord) -> None:
        """When active leaders were lost."""
        self.losses = losses
        self._note("losses", losses)

    def put_crew(self, crew: CrewRecord) -> None:
        """The cluster's nodes."""
        self.crew = crew
        self._note("crew", crew)

    def put_approved(self, approved: ApprovedRecord) -> None:
        """Which builds and configurations may trade."""
        self.approved = approved
        self._note("approved", approved)

    def put_isolated(self, record: IsolatedRecord) -> None:
        """An entry that was passed without effect."""
        self.isolated[record.index] = record
        self._note("isolated", record, f"{record.index:020d}")

    def put_lineage(self, lineage: LineageRecord) -> None:
        """The clusters that this log was recovered from."""
        self.lineage = lineage
        self._note("lineage", lineage)

    def put_epoch(self, epoch: EpochRecord) -> None:
        """The current epoch; the oldest beyond what is kept is forgotten, if nothing of it can still be on its way."""
        self.epoch = epoch
        self.epochs[epoch.epoch] = epoch
        self._note("epoch", epoch, f"{epoch.epoch:010d}")
        while len(self.epochs) > EPOCHS_KEPT:
            oldest, following = self._oldest_epochs()
            widest = max(self.epochs[oldest].windows.values(), default=Nanos(0))
            over = self.epochs[following].started_at + 2 * widest + MINUTE  # the log's clock is several nodes' clocks
            if over > self.clock and len(self.epochs) <= EPOCHS_MOST:
                return
            del self.epochs[oldest]
            self._note("epoch", None, f"{oldest:010d}")

    def amend_epoch(self, epoch: EpochRecord) -> None:
        """An epoch that is known already, the current one or an older."""
        self.epochs[epoch.epoch] = epoch
        if self.epoch is not None and self.epoch.epoch == epoch.epoch:
            self.epoch = epoch
        self._note("epoch", epoch, f"{epoch.epoch:010d}")

    def _oldest_epochs(self) -> tuple[Epoch, Epoch]:
        """The oldest epoch that may be forgotten, and the next that is kept behind it.

        The newest before the current one that took authority may not: our orders and the gap are told by it, and many
        may have started since and taken nothing.
        """
        kept = sorted(self.epochs)
        taken = [epoch for epoch in kept[:-1] if self.epochs[epoch].taken_index is not None]
        place = 1 if taken and taken[-1] == kept[0] else 0
        return kept[place], kept[place + 1]

    def put_request(self, request: RequestRecord) -> None:
        """What an operator's request came to."""
        self.requests[request.request] = request
        self.old_requests.file(request.at, request.request)
        self._note("request", request, request.request)

    def forget(self) -> None:
        """Drop what is older than what is kept; a function of the records and the clock alone."""
        for at, name in self.old_orders.due(self.clock):
            order = self.orders.get(ClientOrderId(name))
            if order is not None and order.closed and order.closed_at == at and not order.leaves:
                del self.orders[order.id]
                self.order_index.replace(order, None)
                self._note("order", None, order.id)
        for _, name in self.old_requests.due(self.clock):
            if self.requests.pop(RequestId(name), None) is not None:
                self._note("request", None, name)

    # --- the change log ------------------------------------------------------------------------------------------

    def take_changes(self) -> tuple[tuple[bytes, bytes | None], ...]:
        """What changed since it was last taken, by key, `meta` included; None deletes."""
        self._flush()
        changes = self._changes
        self._changes = {}
        changes[META] = self._meta_bytes()
        return tuple(sorted(changes.items(), key=_KEY))

    def meta(self) -> MetaRecord:
        """What every entry changes, and the sum that the stored pairs add up to."""
        self._flush()
        return MetaRecord(self.version, self.index, self.term, self.clock, self.chain, f"{self._sum:064x}")

    def reload(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Become the state that was stored as `pairs`, in this very object: others hold on to it.

        Raises BadState, and is then not to be used.
        """
        from meltica.core.loading import load_state  # noqa: PLC0415 # it needs this class

        State.__init__(self)
        load_state(self, pairs)

    def swap(self, other: State) -> None:
        """Become what `other` is, and it what this is, each in its very object: at once, however large they are."""
        self.__dict__, other.__dict__ = other.__dict__, self.__dict__

    def _meta_bytes(self) -> bytes:
        """What `FORMS["meta"]` makes of `meta()`: written with every entry, so at once, without the record."""
        return (
            f'{{"chain":"{self.chain}","clock":{self.clock},"index":{self.index},"sum":"{self._sum:064x}",'
            f'"term":{self.term},"version":{self.version}}}'
        ).encode("ascii")

    @classmethod
    def load(cls, pairs: Iterable[tuple[bytes, bytes]]) -> State:
        """The state that was stored as `pairs`, in key order.

        Raises BadState if they do not add up: then this node's disk is not to be trusted.
        """
        from meltica.core.loading import load_state  # noqa: PLC0415 # it needs this class

        return load_state(cls(), pairs)

    def adopt_sum(self, hashes: dict[bytes, int], total: int) -> None:
        """Loading alone: the sum of the stored pairs, and the hashes of those that may change."""
        self._dirty, self._changes = {}, {}
        self._hashes, self._sum = hashes, total & _MODULUS

    def kept(self) -> tuple[dict[bytes, Any], ...]:
        """Leaving alone: what is kept of each stored pair."""
        return self._dirty, self._changes, self._hashes

    def _note(self, prefix: str, record: object, *parts: str) -> None:
        self._dirty[key_of(prefix, *parts)] = (prefix, record)

    def _flush(self) -> None:
        if not self._dirty:
            return
        for key, (prefix, record) in self._dirty.items():
            value = None if record is None else FORMS[prefix].write(record)
            before = self._hashes.pop(key, 0)
            after = 0 if value is None else hash_of(key, value)
            if before != after:
                self._sum = (self._sum + after - before) & _MODULUS
                self._changes[key] = value
            if after and not settled_trade(record):
                self._hashes[key] = after
        self._dirty = {}


def _assets_of(
    instruments: dict[tuple[Venue, Symbol], InstrumentSeen], venue: Venue, symbol: Symbol
) -> tuple[Asset, Asset]:
    instrument = instruments[venue, symbol]
    return instrument.base, instrument.quote


def settled_trade(record: object) -> bool:
    """Whether this is a trade that an order claims: it never changes again."""
    return isinstance(record, FillRecord) and record.order is not None


def _replace(container: dict[Any, Any], name: str, record: object) -> None:
    if record is None:
        container.pop(name, None)
    else:
        container[name] = record
