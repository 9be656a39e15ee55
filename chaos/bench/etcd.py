"""Etcd: the peer that syncs as we do; its members from the system's packages, its client on etcd's own library.

Only how it is started, measured and struck may live here.  Its certificates are made by our own `cluster.pki`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from chaos.bench.cables import Cables
from chaos.bench.child import READY_WITHIN, BenchFault, Child, leashed, start
from chaos.bench.figures import Turn, Who
from chaos.bench.peers import Peers
from chaos.bench.ports import HOST, free_ports
from chaos.bench.systems import PATIENCE, SIZE, turn_of
from cluster import pki
from cluster.types import Peer, Timers

ROOT: Final = Path(__file__).resolve().parents[2]
CLIENT: Final = ROOT / ".tools" / "etcdclient"
SOURCE: Final = ROOT / "chaos" / "bench" / "etcdclient"
SOURCES: Final = ("main.go", "go.mod", "go.sum")  # what the client is made of
SAID_WITHIN: Final = 30.0  # seconds, for it to say of what; a hundredth of one does
MEMBERS: Final = ("e1", "e2", "e3")
MILLISECOND: Final = 1_000_000
OURS: Final = Timers()
TUNED: Final = (  # as ours; it draws each election timeout from this to its double; later releases always ask first
    "--pre-vote",
    f"--heartbeat-interval={OURS.heartbeat // MILLISECOND}",
    f"--election-timeout={OURS.election_min // MILLISECOND}",
)
CONNECTIONS: Final = 8  # of the tuned one's client to each member: one is one stream of frames, and one writer
FIRST_WITHIN: Final = 40.0  # seconds: more than its client waits for the next leader


class Missing(Exception):
    """A peer can't run on this machine; `next_step` says what to install."""

    def __init__(self, what: str, next_step: str) -> None:
        super().__init__(what)
        self.next_step = next_step


def source() -> str:
    """Which source of its client lies here, as the Makefile counts it."""
    return hashlib.sha256(b"".join((SOURCE / name).read_bytes() for name in SOURCES)).hexdigest()


def _built_of() -> str:
    """Of which source the client that is there was built, by its own word; "" where it has none."""
    words = [str(CLIENT), "-built-of"]
    try:
        said = subprocess.run(words, check=False, capture_output=True, text=True, timeout=SAID_WITHIN)  # noqa: S603 - our own
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return said.stdout.strip()


def version() -> str:
    """Which etcd `which` finds, by its own word; a first line that says nothing of it as it is.  Raises OSError."""
    said = subprocess.run(["etcd", "--version"], check=False, capture_output=True, text=True, timeout=SAID_WITHIN)  # noqa: S607 - the one that is measured
    first = (said.stdout.splitlines() or [said.stderr.strip() or "unknown"])[0]
    return first.removeprefix("etcd Version:").strip()


def check_installed() -> None:
    """Raises Missing, with what to do, unless etcd and its client, of the source that lies here, are installed."""
    if shutil.which("etcd") is None:
        raise Missing("etcd is not installed", "apt-get install etcd-server, or put etcd 3.4 or later on the path")
    go = "make etcdclient" if shutil.which("go") else "install Go 1.25 or later (go.dev/dl), then make etcdclient"
    if not CLIENT.exists():
        raise Missing("the bench's client for etcd is not built (.tools/etcdclient)", go)
    if _built_of() != source():
        raise Missing("the bench's client for etcd (.tools/etcdclient) was built of another source", go)


@define
class EtcdCluster(Peers):
    """Three members and a client."""

    folder: Path
    flags: tuple[str, ...]
    clients: dict[str, int]  # ports
    peers: dict[str, int]  # where each listens for the others
    dialled: dict[str, int]  # where they dial it: the same, or its cable's end
    connections: int = 1  # of its client to each member
    term: int = 0  # of the leader that was looked for last
    cables: Cables = field(init=False)
    members: dict[str, Child] = field(factory=dict)
    etcds: dict[str, int] = field(factory=dict)  # process ids of the members, which are on leashes

    def __attrs_post_init__(self) -> None:
        self.cables = Cables(lambda: self.etcds)

    def command(self, name: str) -> list[str]:
        """One member's command line."""
        files, own = pki.credentials(self.folder / "pki", name), self.url(name)
        trusted = [f"--{kind}trusted-ca-file={files.authority}" for kind in ("", "peer-")]
        certs = [f"--{kind}cert-file={files.certificate}" for kind in ("", "peer-")]
        keys = [f"--{kind}key-file={files.key}" for kind in ("", "peer-")]
        return [
            "etcd",
            f"--name={name}",
            f"--data-dir={self.folder / name}",
            f"--listen-client-urls={own}",
            f"--advertise-client-urls={own}",
            f"--listen-peer-urls=https://{HOST}:{self.peers[name]}",
            f"--initial-advertise-peer-urls={self._peer(name)}",
            "--initial-cluster=" + ",".join(f"{one}={self._peer(one)}" for one in MEMBERS),
            "--client-cert-auth",
            "--peer-client-cert-auth",
            "--logger=zap",
            "--log-level=error",
            *trusted,
            *certs,
            *keys,
            *self.flags,
        ]

    def url(self, name: str) -> str:
        """Where its clients reach a member."""
        return f"https://{HOST}:{self.clients[name]}"

    def _peer(self, name: str) -> str:
        return f"https://{HOST}:{self.dialled[name]}"

    def start(self, name: str) -> None:
        """Start a member, or start it again on its data."""
        child = start(name, leashed(self.command(name)), self.folder / f"{name}.log")
        self.members[name] = child
        self.etcds[name] = int(child.heard(READY_WITHIN)["pid"])

    def pids(self) -> list[int]:
        """Of the three members and the client."""
        return [*self.etcds.values(), self.client.pid]

    @property
    def client(self) -> Child:
        """The process that puts."""
        return self.members["client"]

    def connecting(self) -> list[str]:
        """The client's command line."""
        files = pki.credentials(self.folder / "pki", pki.OPERATOR)
        words = [f"-endpoints={','.join(self.url(one) for one in MEMBERS)}", f"-ca={files.authority}"]
        keys = [f"-cert={files.certificate}", f"-key={files.key}", f"-connections={self.connections}"]
        return [str(CLIENT), *words, *keys]

    def connect(self) -> None:
        """Start the client and wait for a leader."""
        self.members["client"] = start("the client of etcd", self.connecting(), self.folder / "client.log")
        self.client.heard(READY_WITHIN)
        self.leader()

    def leader(self) -> str:
        """The leader's address, once every member answers; its term is kept."""
        found = self.client.ask(PATIENCE, do="wait")
        self.term = int(found["term"])
        return str(found["leader"])

    def commit(self, callers: int, count: int, seconds: float) -> Turn:
        """Puts over TLS to the leader from one client process."""
        words = {"callers": callers, "count": count, "seconds": seconds, "size": SIZE}
        return turn_of(self.client.ask(seconds + PATIENCE, do="commit", **words))

    def leads(self) -> str:
        """Who leads, once every member answers and a put through each is done."""
        leader = self.leader()
        return next(one for one in MEMBERS if self.url(one) == leader)

    def names(self) -> tuple[str, ...]:
        """All members."""
        return MEMBERS

    def pid(self, name: str) -> int:
        """Of the member itself, not of its leash."""
        return self.etcds[name]

    def down(self, name: str) -> None:
        """SIGKILL, and its leash goes with it."""
        os.kill(self.etcds[name], signal.SIGKILL)
        self.members[name].end()

    def up(self, name: str) -> None:
        """Start it again on its data."""
        self.start(name)

    def ask_first(self, leader: str) -> None:
        """By the client, at the other two."""
        self.client.tell(do="first", leader=self.url(leader), term=self.term)

    def ask_moved(self, leader: str) -> None:
        """By the client, at all three."""
        self.client.tell(do="promote", leader=self.url(leader), term=self.term)

    def heard_first(self, leader: str) -> int:  # noqa: ARG002 - there is one client, whoever leads
        """When a put was done in a newer term."""
        return int(self.client.heard(FIRST_WITHIN)["at_ns"])

    def ask_beat(self, leader: str, seconds: float) -> None:
        """By the client, at the leader."""
        self.client.tell(do="beat", leader=self.url(leader), seconds=seconds)

    def heard_beat(self, leader: str, within: float) -> dict[str, Any]:  # noqa: ARG002 - as above
        """What the client met."""
        return self.client.heard(within)

    def end(self) -> None:
        """End all of it."""
        for child in self.members.values():
            child.end()


@define
class Etcd:
    """Three members of etcd, at its defaults or with timers as ours and a client with more connections."""

    variant: str  # defaults, tuned
    who: Who = field(init=False)

    def __attrs_post_init__(self) -> None:
        tuned = (
            f" ({' '.join(TUNED)}, {CONNECTIONS} connections of the client to each member)"
            if self.variant == "tuned"
            else ""
        )
        self.who = Who("etcd", self.variant, f"{SIZE} bytes, put over TLS to the leader by a client in Go{tuned}")

    @contextmanager
    def running(self, folder: Path, *, cables: bool = False) -> Iterator[EtcdCluster]:
        """Three members with TLS between them and to their client; `cables`: their links can be cut."""
        check_installed()
        if not (folder / "pki").exists():
            pki.create(folder / "pki", "bench", [Peer(one) for one in MEMBERS], dt.datetime.now(dt.UTC))
        ports = iter(free_ports(3 * len(MEMBERS)))
        clients, listens, dialled = ({name: next(ports) for name in MEMBERS} for _ in range(3))
        flags, connections = (TUNED, CONNECTIONS) if self.variant == "tuned" else ((), 1)
        cluster = EtcdCluster(folder, flags, clients, listens, dialled if cables else listens, connections)
        with cluster.cables.carried(dialled, listens) if cables else nullcontext():
            try:
                for name in MEMBERS:
                    cluster.start(name)
                cluster.connect()
                yield cluster
            except BenchFault as fault:
                raise BenchFault(f"etcd {self.variant}: {fault}; {_words(cluster)}") from fault
            finally:
                cluster.end()


def _words(cluster: EtcdCluster) -> str:
    return "; ".join(f"{name}: {child.last_words()}" for name, child in cluster.members.items())
