"""Etcd: the peer that syncs as we do; its members from the system's packages, its client on etcd's own library.

Only how it is started, measured and struck may live here.  Its certificates are made by our own `cluster.pki`.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from attrs import define, field

from chaos.bench.child import READY_WITHIN, BenchFault, Child, leashed, start
from chaos.bench.figures import Turn, Who
from chaos.bench.ports import HOST, free_ports
from chaos.bench.systems import PATIENCE, SIZE, turn_of
from cluster import pki
from cluster.types import Peer, Timers

ROOT: Final = Path(__file__).resolve().parents[2]
CLIENT: Final = ROOT / ".tools" / "etcdclient"
MEMBERS: Final = ("e1", "e2", "e3")
MILLISECOND: Final = 1_000_000
OURS: Final = Timers()
TUNED: Final = (  # as ours; it draws each election timeout from this to its double
    f"--heartbeat-interval={OURS.heartbeat // MILLISECOND}",
    f"--election-timeout={OURS.election_min // MILLISECOND}",
)
CONNECTIONS: Final = 8  # of the tuned one's client to each member: one is one stream of frames, and one writer
FAILOVER_WITHIN: Final = 40.0  # seconds


class Missing(Exception):
    """A peer can't run on this machine; `next_step` says what to install."""

    def __init__(self, what: str, next_step: str) -> None:
        super().__init__(what)
        self.next_step = next_step


def check_installed() -> None:
    """Raises Missing, with what to do, unless etcd and its client are here."""
    if shutil.which("etcd") is None:
        raise Missing("etcd is not installed", "apt-get install etcd-server, or put etcd 3.4 or later on the path")
    if not CLIENT.exists():
        go = "make etcdclient" if shutil.which("go") else "install Go 1.25 or later (go.dev/dl), then make etcdclient"
        raise Missing("the bench's client for etcd is not built (.tools/etcdclient)", go)


@define
class EtcdCluster:
    """Three members and a client."""

    folder: Path
    flags: tuple[str, ...]
    clients: dict[str, int]  # ports
    peers: dict[str, int]
    connections: int = 1  # of its client to each member
    members: dict[str, Child] = field(factory=dict)
    etcds: dict[str, int] = field(factory=dict)  # process ids of the members, which are on leashes

    def command(self, name: str) -> list[str]:
        """One member's command line."""
        files, own, peer = pki.credentials(self.folder / "pki", name), self.url(name), self._peer(name)
        trusted = [f"--{kind}trusted-ca-file={files.authority}" for kind in ("", "peer-")]
        certs = [f"--{kind}cert-file={files.certificate}" for kind in ("", "peer-")]
        keys = [f"--{kind}key-file={files.key}" for kind in ("", "peer-")]
        return [
            "etcd",
            f"--name={name}",
            f"--data-dir={self.folder / name}",
            f"--listen-client-urls={own}",
            f"--advertise-client-urls={own}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
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
        return f"https://{HOST}:{self.peers[name]}"

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
        """The leader's address, once every member answers."""
        return str(self.client.ask(PATIENCE, do="wait")["leader"])

    def commit(self, callers: int, count: int, seconds: float) -> Turn:
        """Puts over TLS to the leader from one client process."""
        words = {"callers": callers, "count": count, "seconds": seconds, "size": SIZE}
        return turn_of(self.client.ask(seconds + PATIENCE, do="commit", **words))

    def fail_over(self) -> float:
        """Milliseconds from SIGKILL of the leader to the first put that succeeds; then it is started again."""
        leader = self.leader()
        (name,) = [one for one in MEMBERS if self.url(one) == leader]
        said = self.client.ask(FAILOVER_WITHIN, do="failover", pid=self.etcds[name], leader=leader)
        self.members[name].end()
        self.start(name)
        self.leader()
        return float(said["ms"])

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
    def running(self, folder: Path) -> Iterator[EtcdCluster]:
        """Three members with TLS between them and to their client."""
        check_installed()
        if not (folder / "pki").exists():
            pki.create(folder / "pki", "bench", [Peer(one) for one in MEMBERS], dt.datetime.now(dt.UTC))
        ports = free_ports(2 * len(MEMBERS))
        flags = TUNED if self.variant == "tuned" else ()
        clients, peers = ports[: len(MEMBERS)], ports[len(MEMBERS) :]
        both = (dict(zip(MEMBERS, clients, strict=True)), dict(zip(MEMBERS, peers, strict=True)))
        cluster = EtcdCluster(folder, flags, *both, CONNECTIONS if self.variant == "tuned" else 1)
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
