"""Config: one node's settings, frozen, validated whole.

Only the settings' shape, `load` and what is derived from settings alone may live here.  A key's unit is in its
name (`_ms`, `_ppm`, `_bps`); amounts are exact decimals in text; secrets are given only as paths of files;
unknown keys are errors.  `load` tells every error at once, each with its path, what was found and what is
allowed.  What two nodes must agree on (limits, policies, windows) is only proposed from here: it enters the
log as the command `Configured` (design.md rule 7).
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Final

from attrs import asdict, evolve, frozen

from cluster.hosts import Address
from cluster.types import NO_NODE_S, Timers
from meltica.core.commands import Limits, StrategyPolicy, VenuePolicy
from meltica.core.values import Account, Gap, Mode, Money, Nanos, StrategyId, Symbol, Venue, text_of
from meltica.keeping import ArchiveSettings, RetentionSettings, archive_of, retention_of
from meltica.strategies.catalogue import KINDS, BadParameter, make_strategy
from meltica.structure import Misfit
from meltica.tables import Reader

MS: Final = 1_000_000  # nanoseconds
MAX_BYTES: Final = 256 * 1024  # of a settings file
NAME: Final = r"[a-z][a-z0-9_-]{0,30}"
NAME_WORDS: Final = "a lower-case letter, then at most 30 lower-case letters, digits, _ or -"
SYMBOL: Final = r"[A-Z0-9]{2,20}"
NODES: Final = (3, 5, 7)  # an even number tolerates no more losses than the odd one below it; one alone elects nobody

# The shortest deadline that a kind of venue takes.  W must hold it, and what happens inside W besides: the
# commit, the way to the venue, and twice the uncertainty of its clock (design.md section 5).
DEADLINE_FLOOR_MS: Final = {"binance_spot": 1}
COMMIT_MS: Final = 20
TRANSIT_MS: Final = 20
UNCERTAINTY_MS: Final = 5
LOG_LEVELS: Final = ("debug", "info", "warning", "error")


class ConfigErrors(Exception):
    """Every error of one settings file."""

    def __init__(self, file: Path, errors: tuple[Misfit, ...]) -> None:
        lines = "\n".join(f"  {error}" for error in errors)
        super().__init__(f"{file}: {len(errors)} error(s)\n{lines}")
        self.file = file
        self.errors = errors


@frozen
class PeerSettings:
    """Where a node of the cluster listens: for its peers, and for operators."""

    peer: Address
    api: Address


@frozen
class NodeIdentity:
    """Who this node is.

    `cluster`: six hex digits, the first part of every client order id; `disk_reserve_mib`: what is to be kept free
    where `data` is.  `place`: where it listens, if it was not there when the cluster was founded, so that [peers] does
    not name it; it takes part as the log says then, and by nothing else.
    """

    name: str
    data: Path
    cluster: str
    cluster_name: str
    disk_reserve_mib: int
    place: PeerSettings | None = None


@frozen
class TlsFiles:
    """This node's certificate, its key, and the authority that signed every node's."""

    ca: Path
    cert: Path
    key: Path


@frozen
class TokenFiles:
    """Files with the API's tokens, one a role."""

    viewer_file: Path
    operator_file: Path
    approver_file: Path | None = None  # the second role, for what no one person may do; None: nobody has it


@frozen
class TimerSettings:
    """Replication's timers, milliseconds (design.md section 6)."""

    heartbeat_ms: int
    election_min_ms: int
    election_max_ms: int
    fallback_ms: int
    second_stands_after_ms: int


@frozen
class AuthoritySettings:
    """What holds for a venue that says nothing else of its own (design.md section 5)."""

    window_ms: int
    drift_ppm: int
    mandate_after_ms: int


@frozen
class VenueSettings:
    """One connection to a venue, one account."""

    name: Venue
    kind: str
    rest: str
    ws_api: str
    stream: str
    api_key_file: Path
    secret_file: Path
    account: Account
    symbols: tuple[Symbol, ...]
    window_ms: int
    settle_ms: int
    drift_ppm: int
    approve_opening: bool
    mandate_after_ms: int

    @property
    def policy(self) -> VenuePolicy:
        """What the cluster agrees on about it."""
        return VenuePolicy(
            venue=self.name,
            account=self.account,
            window=Nanos(self.window_ms * MS),
            settle=Nanos(self.settle_ms * MS),
            drift_ppm=self.drift_ppm,
            approve_opening=self.approve_opening,
            mandate_after=Nanos(self.mandate_after_ms * MS),
        )


Parameter = str | int | bool | tuple[str, ...]


@frozen
class StrategySettings:
    """One strategy: what it is, where it trades, and what becomes of its orders while nobody trades."""

    id: StrategyId
    kind: str
    venue: Venue
    symbols: tuple[Symbol, ...]
    gap: Gap
    gap_after_ms: int
    parameters: dict[str, Parameter]  # the strategy's own; it checks them

    @property
    def policy(self) -> StrategyPolicy:
        """What the cluster agrees on about it."""
        return StrategyPolicy(self.id, self.gap, Nanos(self.gap_after_ms * MS))


@frozen
class TradingSettings:
    """`mode`: whether a new leader takes over by itself; `ramp_ms`: sizes grow to full over so long."""

    mode: Mode
    ramp_ms: int


@frozen
class NodeSettings:
    """All of one node's settings."""

    file: Path
    node: NodeIdentity
    peers: dict[str, PeerSettings]  # who founded the cluster, this node included if it did
    tls: TlsFiles
    api: TokenFiles
    timers: TimerSettings
    authority: AuthoritySettings
    venues: dict[str, VenueSettings]
    limits: Limits
    strategies: tuple[StrategySettings, ...]
    trading: TradingSettings
    archive: ArchiveSettings
    retention: RetentionSettings
    log_level: str
    warnings: tuple[str, ...] = ()

    @property
    def own(self) -> PeerSettings:
        """Where this node listens."""
        return self.node.place or self.peers[self.node.name]

    @property
    def others(self) -> dict[str, PeerSettings]:
        """Every node but this one."""
        return {name: peer for name, peer in self.peers.items() if name != self.node.name}

    @property
    def accounts(self) -> dict[str, str]:
        """The account that is traded at each venue."""
        return {name: str(venue.account) for name, venue in self.venues.items()}

    @property
    def replication_timers(self) -> Timers:
        """The timers as replication takes them."""
        timers = self.timers
        return Timers(
            heartbeat=timers.heartbeat_ms * MS,
            election_min=timers.election_min_ms * MS,
            election_max=timers.election_max_ms * MS,
            fallback=timers.fallback_ms * MS,
            second_stands_after=timers.second_stands_after_ms * MS,
        )

    @property
    def venue_policies(self) -> tuple[VenuePolicy, ...]:
        """As the command `Configured` carries them."""
        return tuple(self.venues[name].policy for name in sorted(self.venues))

    @property
    def strategy_policies(self) -> tuple[StrategyPolicy, ...]:
        """As the command `Configured` carries them."""
        return tuple(strategy.policy for strategy in sorted(self.strategies, key=lambda one: one.id))

    @property
    def agreed_digest(self) -> str:
        """SHA-256 of what every node must agree on; equal files give equal digests, whatever the order of keys."""
        limits = {key: str(value) for key, value in asdict(self.limits).items()}
        document = {
            "cluster": self.node.cluster,
            "limits": limits,
            "venues": [{key: str(value) for key, value in asdict(one).items()} for one in self.venue_policies],
            "strategies": [
                [one.id, one.kind, one.venue, one.symbols, one.gap, one.gap_after_ms, sorted(one.parameters.items())]
                for one in sorted(self.strategies, key=lambda one: one.id)
            ],
            "mode": self.trading.mode,
            "ramp_ms": self.trading.ramp_ms,
        }
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def load(path: Path, *, check_files: bool = True) -> NodeSettings:
    """One node's settings.

    With `check_files`, certificate, key, token and secret files must be there and readable; one that others
    may read gives a warning in `warnings`.  Raises ConfigErrors with every error.
    """
    errors: list[Misfit] = []
    document = read_document(path, errors)
    if errors:
        raise ConfigErrors(path, tuple(errors))
    top = Reader("", document, path.resolve().parent, errors)
    settings = _settings(path, top)
    top.finish()
    _check_whole(settings, errors)
    warnings = _check_files(settings, errors) if check_files else ()
    if errors:
        raise ConfigErrors(path, tuple(errors))
    return evolve(settings, warnings=warnings)


def read_document(path: Path, errors: list[Misfit]) -> dict[str, object]:
    """The TOML document in `path`; {} with an error noted where there is none."""
    allowed = "a TOML file of at most 256 KiB"
    try:
        raw = path.read_bytes()
        if len(raw) > MAX_BYTES:
            errors.append(Misfit(str(path), f"{len(raw)} bytes", allowed))
            return {}
        return tomllib.loads(raw.decode())
    except OSError as error:
        errors.append(Misfit(str(path), error.strerror or str(error), allowed))
    except UnicodeDecodeError as error:
        errors.append(Misfit(str(path), f"a byte that is not UTF-8 at offset {error.start}", allowed))
    except (ValueError, RecursionError) as error:  # a number too long and what nests too deep are no TOMLDecodeError
        errors.append(Misfit(str(path), f"broken TOML: {error}", allowed))
    return {}


# --- one function a table -----------------------------------------------------------------------------------


def _settings(path: Path, top: Reader) -> NodeSettings:
    authority = _authority(top.table_of("authority"))
    return NodeSettings(
        file=path,
        node=_identity(top.table_of("node", required=True)),
        peers=_peers(top.table_of("peers", required=True)),
        tls=_tls(top.table_of("tls", required=True)),
        api=_tokens(top.table_of("api", required=True)),
        timers=_timers(top.table_of("timers")),
        authority=authority,
        venues=_venues(top.table_of("venues", required=True), authority),
        limits=_limits(top.table_of("limits", required=True)),
        strategies=tuple(_strategy(one) for one in top.tables_of("strategies")),
        trading=_trading(top.table_of("trading")),
        archive=archive_of(top.table_of("archive")),
        retention=retention_of(top.table_of("retention")),
        log_level=_log_level(top.table_of("log")),
    )


def _identity(table: Reader) -> NodeIdentity:
    identity = NodeIdentity(
        name=table.text("name", NAME_WORDS, NAME),
        data=table.file("data"),
        cluster=table.text("cluster", "six lower-case hex digits", r"[0-9a-f]{6}"),
        cluster_name=table.text("cluster_name", "at most 40 letters, digits, spaces, _ or -", r"[\w -]{1,40}"),
        disk_reserve_mib=table.integer("disk_reserve_mib", 1, 1_048_576, "MiB", 256),
        place=PeerSettings(table.address("peer"), table.address("api")) if table.has("peer") else None,
    )
    table.finish()
    return identity


def _peers(table: Reader) -> dict[str, PeerSettings]:
    peers = {}
    for name, one in table.named_tables(NAME, NAME_WORDS):
        peers[name] = PeerSettings(peer=one.address("peer"), api=one.address("api"))
        one.finish()
    return peers


def _tls(table: Reader) -> TlsFiles:
    tls = TlsFiles(ca=table.file("ca"), cert=table.file("cert"), key=table.file("key"))
    table.finish()
    return tls


def _tokens(table: Reader) -> TokenFiles:
    inner = table.table_of("tokens", required=True)
    tokens = TokenFiles(
        viewer_file=inner.file("viewer_file"),
        operator_file=inner.file("operator_file"),
        approver_file=inner.file("approver_file") if inner.has("approver_file") else None,
    )
    inner.finish()
    table.finish()
    return tokens


def _timers(table: Reader) -> TimerSettings:
    unit = "milliseconds"
    timers = TimerSettings(
        heartbeat_ms=table.integer("heartbeat_ms", 5, 5_000, unit, 50),
        election_min_ms=table.integer("election_min_ms", 50, 60_000, unit, 400),
        election_max_ms=table.integer("election_max_ms", 60, 120_000, unit, 600),
        fallback_ms=table.integer("fallback_ms", 20, 60_000, unit, 350),
        second_stands_after_ms=table.integer("second_stands_after_ms", 1, 5_000, unit, 50),
    )
    if timers.election_max_ms <= timers.election_min_ms:
        table.note("election_max_ms", str(timers.election_max_ms), "more than election_min_ms")
    if timers.fallback_ms >= timers.election_min_ms:
        table.note("fallback_ms", str(timers.fallback_ms), "less than election_min_ms: a leader must step down first")
    if timers.fallback_ms < 2 * timers.heartbeat_ms:
        table.note("fallback_ms", str(timers.fallback_ms), "at least two heartbeats")
    table.finish()
    return timers


def _authority(table: Reader) -> AuthoritySettings:
    authority = AuthoritySettings(
        window_ms=table.integer("window_ms", 1, 60_000, "milliseconds", 300),
        drift_ppm=table.integer("drift_ppm", 0, 100_000, "parts per million", 1_000),
        mandate_after_ms=table.integer("mandate_after_ms", 100, 600_000, "milliseconds", 2_000),
    )
    table.finish()
    return authority


def _venues(table: Reader, authority: AuthoritySettings) -> dict[str, VenueSettings]:
    return {name: _venue(name, one, authority) for name, one in table.named_tables(NAME, NAME_WORDS)}


def _venue(name: str, table: Reader, authority: AuthoritySettings) -> VenueSettings:
    symbols = table.texts("symbols", 'a list of different symbols, like ["BTCUSDT"]', SYMBOL)
    venue = VenueSettings(
        name=Venue(name),
        kind=table.choice("kind", tuple(DEADLINE_FLOOR_MS)),
        rest=table.url("rest", ("https", "http")),
        ws_api=table.url("ws_api", ("wss", "ws")),
        stream=table.url("stream", ("wss", "ws")),
        api_key_file=table.file("api_key_file"),
        secret_file=table.file("secret_file"),
        account=Account(table.text("account", NAME_WORDS, NAME)),
        symbols=tuple(Symbol(symbol) for symbol in symbols),
        window_ms=table.integer("window_ms", 1, 60_000, "milliseconds", authority.window_ms),
        settle_ms=table.integer("settle_ms", 1, 600_000, "milliseconds", 10_000),
        drift_ppm=table.integer("drift_ppm", 0, 100_000, "parts per million", authority.drift_ppm),
        approve_opening=table.flag("approve_opening", default=False),
        mandate_after_ms=table.integer("mandate_after_ms", 100, 600_000, "milliseconds", authority.mandate_after_ms),
    )
    least = least_window_ms(venue.kind)
    if venue.window_ms < least:
        table.note(
            "window_ms",
            f"{venue.window_ms} milliseconds",
            f"at least {least}: the venue's shortest deadline, commit, transit, and twice its clock's uncertainty",
        )
    table.finish()
    return venue


def least_window_ms(kind: str) -> int:
    """The smallest authority window with which anything could be sent to a venue of this kind."""
    return DEADLINE_FLOOR_MS[kind] + COMMIT_MS + TRANSIT_MS + 2 * UNCERTAINTY_MS


def _limits(table: Reader) -> Limits:
    quote = "an amount of the quote asset"
    limits = Limits(
        order_notional=Money(table.amount("order_notional", quote)),
        position=Money(table.amount("position", quote)),
        gross_notional=Money(table.amount("gross_notional", quote)),
        open_orders_symbol=table.integer("open_orders_symbol", 1, 1_000, "orders"),
        open_orders=table.integer("open_orders", 1, 10_000, "orders"),
        executed_notional_minute=Money(table.amount("executed_notional_minute", quote)),
        collar_bps=table.integer("collar_bps", 1, 10_000, "basis points"),
        book_age=Nanos(table.integer("book_age_ms", 10, 60_000, "milliseconds") * MS),
        orders_second=table.integer("orders_second", 1, 1_000, "orders"),
    )
    if limits.order_notional > limits.position:
        table.note("order_notional", f'"{text_of(limits.order_notional)}"', "at most position")
    if limits.position > limits.gross_notional:
        table.note("position", f'"{text_of(limits.position)}"', "at most gross_notional")
    if limits.open_orders_symbol > limits.open_orders:
        table.note("open_orders_symbol", str(limits.open_orders_symbol), "at most open_orders")
    table.finish()
    return limits


def _strategy(table: Reader) -> StrategySettings:
    symbols = table.texts("symbols", "a list of different symbols of its venue", SYMBOL)
    strategy = StrategySettings(
        id=StrategyId(table.text("id", NAME_WORDS, NAME)),
        kind=table.choice("kind", tuple(KINDS)),
        venue=Venue(table.text("venue", "the name of a table under [venues]", NAME)),
        symbols=tuple(Symbol(symbol) for symbol in symbols),
        gap=Gap(table.choice("gap", tuple(Gap), Gap.CANCEL)),
        gap_after_ms=table.integer("gap_after_ms", 0, 600_000, "milliseconds", 2_000),
        parameters=_parameters(table.table_of("parameters")),
    )
    try:
        make_strategy(strategy.kind, strategy.parameters)
    except BadParameter as error:
        table.note("parameters", str(error), f"what meltica/strategies/{strategy.kind}.py takes")
    table.finish()
    return strategy


def _parameters(table: Reader) -> dict[str, Parameter]:
    parameters: dict[str, Parameter] = {}
    for key, value in table.table.items():
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            parameters[key] = tuple(str(item) for item in value)
        elif isinstance(value, (str, int)):
            parameters[key] = value
        else:
            table.note(key, type(value).__name__, "text, a whole number, true or false, or a list of texts")
    return parameters


def _trading(table: Reader) -> TradingSettings:
    trading = TradingSettings(
        mode=Mode(table.choice("mode", tuple(Mode), Mode.AUTOMATIC)),
        ramp_ms=table.integer("ramp_ms", 0, 3_600_000, "milliseconds", 0),
    )
    table.finish()
    return trading


def _log_level(table: Reader) -> str:
    level = table.choice("level", LOG_LEVELS, "info")
    table.finish()
    return level


# --- across tables --------------------------------------------------------------------------------------------


def _check_whole(settings: NodeSettings, errors: list[Misfit]) -> None:
    """What one table alone does not show."""
    names = list(settings.peers)
    own, place = settings.node.name, settings.node.place
    if own and place is None and own not in settings.peers:
        allowed = f"a table under [peers]: {', '.join(names) or 'there is none'}; or, of a node that joins, its own"
        errors.append(Misfit("[node] name", f"'{own}'", f"{allowed} `peer` and `api` beside its name"))
    if place is not None and own in settings.peers:
        errors.append(Misfit("[node] peer", f"'{place.peer}'", f"nothing, as [peers.{own}] says it"))
    if len(names) not in NODES:
        errors.append(Misfit("[peers]", f"{len(names)} nodes", "3, 5 or 7 nodes"))
    errors += [
        Misfit(f"[peers.{name}]", f"'{name}'", f"another name: {NO_NODE_S[name]}")
        for name in names
        if name in NO_NODE_S
    ]
    if place is not None and own in NO_NODE_S:
        errors.append(Misfit("[node] name", f"'{own}'", f"another name: {NO_NODE_S[own]}"))
    _check_addresses(settings, errors)
    if place is not None and place.peer.port and place.peer == place.api:
        errors.append(Misfit("[node] api", f"'{place.api}'", "an address that [node] peer has not"))
    if not settings.venues:
        errors.append(Misfit("[venues]", "no venue", "at least one table [venues.NAME]"))
    _check_strategies(settings, errors)


def _check_addresses(settings: NodeSettings, errors: list[Misfit]) -> None:
    taken: dict[Address, str] = {}
    for name, peer in settings.peers.items():
        for key, address in (("peer", peer.peer), ("api", peer.api)):
            path = f"[peers.{name}] {key}"
            if address.port and address in taken:
                errors.append(Misfit(path, f"'{address}'", f"an address that {taken[address]} has not"))
            taken.setdefault(address, path)


def _check_strategies(settings: NodeSettings, errors: list[Misfit]) -> None:
    seen: list[str] = []
    for place, strategy in enumerate(settings.strategies, 1):
        path = f"[strategies.{place}]"
        if strategy.id and strategy.id in seen:
            errors.append(Misfit(f"{path} id", f"'{strategy.id}' again", "an id that no other strategy has"))
        seen.append(strategy.id)
        venue = settings.venues.get(strategy.venue)
        if venue is None:
            if strategy.venue:
                known = ", ".join(settings.venues) or "there is none"
                errors.append(Misfit(f"{path} venue", f"'{strategy.venue}'", f"a table under [venues]: {known}"))
            continue
        for symbol in strategy.symbols:
            if symbol not in venue.symbols:
                allowed = f"symbols of [venues.{venue.name}]: {', '.join(venue.symbols)}"
                errors.append(Misfit(f"{path} symbols", f"'{symbol}'", allowed))


def _check_files(settings: NodeSettings, errors: list[Misfit]) -> tuple[str, ...]:
    """Whether the files are there; returns warnings of secrets that others may read."""
    tokens, tls = settings.api, settings.tls
    public = [("[tls] ca", tls.ca), ("[tls] cert", tls.cert)]
    secret = [
        ("[tls] key", tls.key),
        ("[api.tokens] viewer_file", tokens.viewer_file),
        ("[api.tokens] operator_file", tokens.operator_file),
    ]
    if tokens.approver_file is not None:
        secret.append(("[api.tokens] approver_file", tokens.approver_file))
    for name, venue in settings.venues.items():
        secret.append((f"[venues.{name}] api_key_file", venue.api_key_file))
        secret.append((f"[venues.{name}] secret_file", venue.secret_file))
    for path, file in public + secret:
        _check_file(path, file, errors)
    return tuple(warning for path, file in secret if (warning := _mode_warning(path, file)))


def _check_file(path: str, file: Path, errors: list[Misfit]) -> None:
    allowed = "a readable file that is not empty"
    try:
        with file.open("rb") as opened:
            if not opened.read(1):
                errors.append(Misfit(path, f"an empty file {file}", allowed))
    except OSError as error:
        errors.append(Misfit(path, f"{file}: {error.strerror}", allowed))


def _mode_warning(path: str, file: Path) -> str:
    try:
        mode = file.stat().st_mode & 0o777
    except OSError:
        return ""
    if not mode & 0o077:
        return ""
    return f"{path}: {file} has mode {mode:04o}, so others may read or change it; run: chmod 600 '{file}'"
