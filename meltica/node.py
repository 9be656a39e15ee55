"""Node: the wiring of one node; the one nursery tree, start order, stop order.

Only making the parts and putting them together may live here.

Start: store, machine, replica (which loads the state), leader, venues, replication, API, and then the line that says
that the node is ready.  Stop: the leader hands over if it is active, the API takes no more, replication ends, the store
closes.
"""

from __future__ import annotations

import json
import os
import random
import signal
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import trio
import trio.lowlevel
from attrs import define, field
from structlog.typing import FilteringBoundLogger

from cluster.driver import ClusterNode
from cluster.home import attested
from cluster.pki import Credentials
from cluster.replica import Replica
from cluster.rocks import RocksStore
from cluster.tls import TlsTransport
from cluster.types import MonoNs, Peer
from meltica import __version__, diverged, inforce, lastly, orphans
from meltica.api.server import context_of, place_of, serve_api
from meltica.archive.files import Folder
from meltica.archive.keeper import Archived, Keeper
from meltica.archive.plan import Keep
from meltica.archive.trail import Trail
from meltica.build import own_build
from meltica.config import NodeSettings, VenueSettings
from meltica.core.apply import RULES
from meltica.core.commands import Configured, NodeReport, StrategyPolicy
from meltica.core.values import Epoch, Gap, Mode, Nanos, NodeName, StrategyId, Venue
from meltica.founding import founders, links_document, members_document, misplaced, places
from meltica.group import Group
from meltica.keeping import HOUR
from meltica.leader.leader import Leader
from meltica.leader.ports import ActionResult, StrategySpec
from meltica.leader.settings import LeaderSettings
from meltica.machine import Machine
from meltica.metered import MeteredPort
from meltica.numbers import NumbersFile
from meltica.peers import PeerBoard, keep_asking
from meltica.pump import LeadersCluster, Pump, mono_now, wall_now
from meltica.renewal import Renewal, keep_renewing
from meltica.replacement import Replacement
from meltica.reporter import Reporter
from meltica.reserve import MIB, Reserve, keep_measuring
from meltica.shortening import Shortener
from meltica.strategies.catalogue import make_strategy
from meltica.telemetry.logs import make_logger
from meltica.telemetry.metrics import Metrics
from meltica.telemetry.observer import NodeObserver
from meltica.venues.base import Capabilities, VenuePort
from meltica.venues.binance_spot.adapter import run_adapter
from meltica.venues.binance_spot.settings import CAPABILITIES, Secret, Settings
from meltica.venues.clock import apart
from meltica.view import Marks, View

STOP_WITHIN: Final = 3.0  # seconds for a hand-over when the node is asked to stop
GAUGES_EVERY: Final = 1.0
# An operator's own orders belong to a strategy as any others do; a person who placed one to rest wants it to rest.
BY_HAND: Final = StrategyPolicy(StrategyId("operator"), Gap.LEAVE)


@define(eq=False)
class Node:
    """The parts of one node, made and joined, not yet running."""

    settings: NodeSettings
    log: FilteringBoundLogger
    metrics: Metrics
    reporter: Reporter
    pump: Pump
    machine: Machine
    store: RocksStore
    cluster: ClusterNode
    leader: Leader
    board: PeerBoard
    group: Group
    marks: Marks
    reserve: Reserve
    renewal: Renewal
    ports: dict[str, VenuePort] = field(factory=dict)
    trail: Trail = field(init=False)

    @trail.default
    def _trail(self) -> Trail:
        return Trail(self.store.audit, Folder(self.settings.node.data), self.store.gaps)

    @property
    def name(self) -> str:
        """Its name."""
        return self.settings.node.name


def make_node(settings: NodeSettings, log: FilteringBoundLogger) -> Node:
    """Open the store and make the parts.  Raises StoreFault, WrongFolder, TransportError."""
    name = Peer(settings.node.name)
    metrics = Metrics(
        node=name,
        version=__version__,
        cluster=settings.node.cluster,
        venues=sorted(settings.venues),
        peers=sorted(settings.others),
    )
    symbols = frozenset((str(v.name), str(s)) for v in settings.venues.values() for s in v.symbols)
    reporter = Reporter(log, NodeObserver(metrics, symbols), mono_now, wall_now, name)
    diverged.refuse(settings.node.data)
    store = RocksStore(settings.node.data, settings.node.cluster, name)
    say_home(settings.node.data, log, suspect=store.suspect)
    machine = Machine(own_report(settings), api=f"https://{settings.own.api}")
    try:
        replica = Replica(
            name,
            [Peer(one) for one in sorted(settings.others)],
            settings.replication_timers,
            store,
            machine,
            _mono,
            random.Random(),  # noqa: S311 - jitter of timers, no secret
            settings.retention.rule,
            members=founders(settings),
        )
        inforce.say_ignored(settings, machine.state, log)
        orphans.refuse(settings.node.data, machine.state.orders.values(), settings.accounts)
        transport = _transport(settings, name, log)
        numbers = NumbersFile(settings.node.data)
    except BaseException:
        store.close()
        raise
    board = PeerBoard(
        tuple([str(peer.name) for peer in replica.status().peers]), wrong=lambda: misplaced(replica.status())
    )
    pump = Pump(
        mono_now,
        wall_now,
        partial(_ends, log.error, "replication stopped: nothing more is sent", "reason"),
        partial(_ends, log.critical, "the leader failed: nothing more is sent", "where"),
    )
    cluster = ClusterNode(replica, store, transport, pump, clock=_mono, observer=reporter)
    group = Group(settings.node.name, board, cluster.status, mono_now, wall_now, len(settings.peers))
    leader = Leader(
        NodeName(name),
        leader_settings(settings),
        machine.state,
        LeadersCluster(cluster, group, pump),
        (),
        strategy_specs(settings),
        mono_now,
        wall_now,
        reporter,
        numbers,
    )
    renewal = _renewal(settings, transport, reporter)
    reserve = Reserve(settings.node.data, settings.node.disk_reserve_mib * MIB)
    metrics.disk_reserve.set(reserve.keep)
    reporter.state = machine.state
    reporter.marks = lambda: leader.status().marks_ns
    reporter.bad_frames = lambda: replica.bad_frames
    node = Node(
        settings, log, metrics, reporter, pump, machine, store, cluster, leader, board, group, Marks(), reserve, renewal
    )
    _tell(node)
    pump.bind(leader)
    return node


def _tell(node: Node) -> None:
    """Who hears of what before the leader does, in this order."""
    pump, reporter, group = node.pump, node.reporter, node.group
    pump.watchers += [reporter.on_applied, group.on_applied]
    pump.install_watchers += [reporter.on_installed, group.on_installed]
    pump.role_watchers += [reporter.on_role, group.on_role]
    pump.role_watchers.append(lambda _change: diverged.mark(node.settings.node.data, node.cluster.status()))
    pump.market_watchers += [node.marks.on_market, reporter.on_market]
    pump.stall_watchers.append(reporter.on_stall)
    pump.health_watchers.append(reporter.on_health)
    pump.gap_watchers.append(reporter.on_gap)


def own_report(settings: NodeSettings) -> NodeReport:
    """What this node says of itself to its peers."""
    name = NodeName(settings.node.name)
    return NodeReport(name, own_build(), settings.agreed_digest, RULES.oldest, RULES.newest)


def say_home(data: Path, log: FilteringBoundLogger, *, suspect: bool) -> None:
    """Whether this folder is taken for a copy, what to do then, and who has vouched for it by hand."""
    for said in attested(data):
        log.warning("this data folder was vouched for by hand", **{str(key): value for key, value in said.items()})
    if suspect:
        log.warning(
            "this data folder is a copy of a node's, or was empty when the others had begun: the node stands in no "
            "election until a leader has brought its log up to date",
            data=str(data),
            next="wait for that; if no leader can be elected, follow runbooks/folder-is-a-copy.md "
            f"(`meltica cluster attest {data} --reason ...`)",
        )


def _mono() -> MonoNs:
    return MonoNs(mono_now())


def credentials(settings: NodeSettings) -> Credentials:
    """Where this node's certificate and key are."""
    return Credentials(settings.tls.ca, settings.tls.cert, settings.tls.key)


def _renewal(settings: NodeSettings, transport: TlsTransport, reporter: Reporter) -> Renewal:
    made = Renewal(
        credentials(settings),
        settings.node.name,
        transport.renew,
        partial(context_of, settings.tls),
        partial(_say_certificate, reporter),
    )
    made.start()
    return made


def _say_certificate(reporter: Reporter, what: str, text: str) -> None:
    if what == "refused":
        reporter.alert("CertificateRefused", f"{text}: the old one is used on")
    else:
        reporter.log.info("the certificate was renewed", text=text)


def _transport(settings: NodeSettings, name: Peer, log: FilteringBoundLogger) -> TlsTransport:
    peers = {Peer(one): p.peer for one, p in settings.others.items()}
    return TlsTransport(
        name,
        settings.own.peer,
        peers,
        credentials(settings),
        random=random.Random(),  # noqa: S311 - jitter of reconnection, no secret
        cluster=settings.node.cluster,
        log=lambda event, fields: log.info(event, **fields),
    )


def leader_settings(settings: NodeSettings) -> LeaderSettings:
    """The leader's numbers; what must be agreed on goes in as the command that it would propose."""
    return LeaderSettings(
        configuration=Configured(
            epoch=Epoch(0),
            at=Nanos(0),
            cluster=settings.node.cluster,
            digest=settings.agreed_digest,
            limits=settings.limits,
            venues=settings.venue_policies,
            strategies=(*settings.strategy_policies, BY_HAND),
            mode=Mode(settings.trading.mode),
            ramp=Nanos(settings.trading.ramp_ms * 1_000_000),
        ),
        symbols=tuple((Venue(name), venue.symbols) for name, venue in sorted(settings.venues.items())),
        build=own_build(),
    )


def strategy_specs(settings: NodeSettings) -> Sequence[StrategySpec]:
    """The strategies of the settings, each made anew whenever this node becomes active."""
    return [
        StrategySpec(
            strategy=one.id,
            venue=one.venue,
            symbols=one.symbols,
            make=partial(make_strategy, one.kind, one.parameters),
            kind=one.kind,
        )
        for one in settings.strategies
    ]


def venue_settings(settings: NodeSettings, venue: VenueSettings) -> Settings:
    """One venue connection, with its secrets read from their files."""
    return Settings(
        venue=venue.name,
        account=venue.account,
        symbols=venue.symbols,
        rest_url=venue.rest,
        ws_api_url=venue.ws_api,
        stream_url=venue.stream,
        api_key=venue.api_key_file.read_text().strip(),
        secret=Secret(venue.secret_file.read_text().strip()),
        user_agent=f"meltica/{__version__} ({settings.node.name})",
        capabilities=_capabilities(venue),
        clock_drift_ppm=apart(venue.drift_ppm),
    )


def _capabilities(venue: VenueSettings) -> Capabilities:
    """Of Binance as its pages have it; settle as configured."""
    return Capabilities(
        has_deadline=CAPABILITIES.has_deadline,
        deadline_floor=CAPABILITIES.deadline_floor,
        settle=Nanos(venue.settle_ms * 1_000_000),
        read_lag=CAPABILITIES.read_lag,
        id_form=CAPABILITIES.id_form,
        dead_man_switch=CAPABILITIES.dead_man_switch,
    )


def run(settings: NodeSettings) -> int:
    """Run one node until SIGTERM or SIGINT; the exit code.

    Raises StoreFault, WrongFolder, ApplyFault, TransportError, ApiError: each names the next step.  They come alone,
    but for causes of which none came of another.
    """
    log = make_logger(settings.node.name, settings.log_level)
    trio.run(_main, settings, log)
    return 0


async def _main(settings: NodeSettings, log: FilteringBoundLogger) -> None:
    node = make_node(settings, log)
    try:
        await _until_stopped(node)
    except BaseExceptionGroup as group:
        raise what_ended(group, node.cluster.fault) from group
    finally:
        node.trail.close()
    log.info("stopped")


async def _until_stopped(node: Node) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            stop_api = trio.Event()
            api = await _start(node, nursery, stop_api)
            _say_ready(node, api)
            async for number in signals:
                node.log.info("stopping", signal=signal.Signals(number).name)
                break
            await _stop(node)
            stop_api.set()
            await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()


def what_ended(group: BaseExceptionGroup[BaseException], fault: Exception | None) -> BaseException:
    """What is told of a node's end: why replication ended, if it did, else the one cause, or all that there are."""
    if fault is not None:
        return fault  # its words name the next step; what else is in the group came of it
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup) and len(found.exceptions) == 1:
        found = found.exceptions[0]
    return found


def _say_ready(node: Node, api: str) -> None:
    document = {
        "schema": "meltica.ready/1",
        "name": node.name,
        "pid": os.getpid(),
        "api": api,
        "peer": node.cluster.address,
    }
    print(json.dumps(document), flush=True)  # noqa: T201 - the one line of stdout (contracts.md section 2)
    node.log.info("ready", api=api, peer=node.cluster.address)


async def _start(node: Node, nursery: trio.Nursery, stop_api: trio.Event) -> str:
    """Venues first, so that a takeover finds them warm; the API last, so that it never lies.  Its address."""
    settings = node.settings
    for name, venue in sorted(settings.venues.items()):
        rng = random.Random()  # noqa: S311 - jitter of reconnection, no secret
        port: VenuePort = await nursery.start(
            run_adapter, venue_settings(settings, venue), node.pump, mono_now, wall_now, rng
        )
        node.ports[name] = port
        node.leader.add_venue(MeteredPort(port, node.reporter.on_write))
    await nursery.start(keep_measuring, node.reserve, partial(_say_disk, node))
    await nursery.start(node.cluster.run)
    nursery.start_soon(node.pump.run)
    nursery.start_soon(lastly.Watchdog().go_round)
    nursery.start_soon(_keep_gauges, node)
    nursery.start_soon(keep_renewing, node.renewal)
    nursery.start_soon(make_keeper(node).run)
    view = make_view(node)
    api: str = await nursery.start(
        serve_api, place_of(settings, node.renewal.newest), view, node.metrics.text, node.log, stop_api
    )
    nursery.start_soon(_ask_peers, node)
    return api


async def _stop(node: Node) -> None:
    """Hand over, if this node is active and can; for so long at most."""
    done = trio.Event()

    def on_result(_result: ActionResult) -> None:
        done.set()

    with trio.move_on_after(STOP_WITHIN):
        node.leader.stop(on_result)
        await done.wait()


def make_view(node: Node) -> View:
    """The node as its API shows it."""
    settings = node.settings
    return View(
        node=node.name,
        version=own_build(),
        cluster_name=settings.node.cluster_name,
        state=node.machine.state,
        trail=node.trail,
        leader=node.leader,
        cluster_status=node.cluster.status,
        ports=node.ports,
        board=node.board,
        group=node.group,
        marks=node.marks,
        apis=partial(_apis, node),
        members=partial(_members, node),
        replacement=Replacement(
            node.cluster, node.leader, node.group, lambda: node.machine.state.mode, len(settings.peers)
        ),
        shortener=Shortener(node.name, node.cluster),
        removed=partial(_removed, node),
        links=lambda: links_document(node.cluster.links()),
        accounts=settings.accounts,
        config=settings.agreed_digest,
        settled=inforce.settled_by(settings),
        standing=lambda: node.machine.standing,
        disk=lambda: node.reserve.why,
        disk_free=lambda: node.reserve.free,
        peer_address=str(settings.own.peer),
        certificate=node.renewal.document,
    )


def _say_disk(node: Node, why: str) -> None:
    node.pump.on_disk(why)
    if why:
        node.log.error("the disk's reserve is used: this node trades no more", why=why)
    else:
        node.log.info("the disk's reserve is whole again", free=node.reserve.free)


def make_keeper(node: Node) -> Keeper:
    """What moves old audit records into the archive, if the settings want that."""
    wanted, state = node.settings.archive, node.machine.state
    return Keeper(
        node.store,
        Folder(node.settings.node.data),
        Keep(wanted.keep_entries, wanted.keep_hours * HOUR) if wanted.enabled else None,
        lambda: (int(state.index), int(state.clock)),
        partial(_say_archive, node),
        lambda: node.reserve.tight,
        gaps=node.store.gaps,
    )


def _say_archive(node: Node, archived: Archived) -> None:
    node.metrics.archive_last_index.set(archived.last)
    node.metrics.archive_bytes.set(archived.bytes)
    node.metrics.archive_stands.set(bool(archived.trouble))
    if archived.trouble:
        node.reporter.alert("ArchiveStands", archived.trouble)
    elif archived.last:
        node.log.info("the audit trail is archived", last=archived.last, bytes=archived.bytes)


def _ends(say: Callable[..., object], event: str, word: str, why: str) -> None:
    """This node has only to end by now; whatever keeps it from that, it does."""
    lastly.end_within(lastly.WITHIN)
    say(event, **{word: why})


async def _keep_gauges(node: Node) -> None:
    told = ""
    while True:
        removed = _removed(node)
        if removed != told:
            told = removed
            node.reporter.alert("NodeRemoved", removed)
        leader = node.leader.status()
        node.reporter.gauges(
            node.cluster.status(), gate_open=leader.gate_open, gate_reason=leader.gate_reason, active=leader.active
        )
        node.metrics.disk_free.set(node.reserve.free)
        node.reporter.venues(node.ports)
        node.reporter.frames()
        await trio.sleep(GAUGES_EVERY)


def _members(node: Node) -> dict[str, object] | None:
    """Who takes part, by what is in force here."""
    found = node.cluster.members
    return None if found is None else members_document(found)


def _removed(node: Node) -> str:
    """What a peer says that refuses this node for good; "": none does."""
    return next((link.trouble for link in node.cluster.links() if link.refused), "")


async def _ask_peers(node: Node) -> None:
    settings = node.settings
    trust = ssl.create_default_context(cafile=str(settings.tls.ca))
    token = settings.api.viewer_file.read_text().strip()
    await keep_asking(node.board, partial(_places, node), trust, token)


def _places(node: Node) -> dict[str, str | None]:
    """Where each other member's API is."""
    settled = {name: f"https://{peer.api}" for name, peer in node.settings.peers.items()}
    return places(node.cluster.status(), settled)


def _apis(node: Node) -> dict[str, str]:
    """Where each member's API is, this node's own included, as far as anybody knows."""
    own = {node.name: f"https://{node.settings.own.api}"}
    return own | {name: place for name, place in _places(node).items() if place is not None}
