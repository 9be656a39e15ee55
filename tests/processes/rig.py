"""Rig: real processes under a test: a cluster's venue and nodes, the command line, and HTTP.

Only starting, asking and ending may live here.  Each child's stdin is a pipe that ends with this process, and a warden
ends those that are stopped and can't read, so that nothing outlives the tests, however they end.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx
from attrs import define, field

from chaos.rig.processes import claimed_ports, meltica
from chaos.rig.settings import set_retention, steadily
from chaos.rig.warden import Warden, open_warden

NODES = ("n1", "n2", "n3")
# Generous: they cost nothing while all is well, and a machine that does five other things is slow, not wrong.
READY_S = 90.0
GRACE_S = 30.0
CALL_S = 120.0
WITHIN_S = 60.0
LOOK_S = 0.05
AGAIN_S = 0.2
# These tests are about what happens, not how fast: a machine that does five other things stands still for half a second
# and more, and would lose a leader each time.  The demo's and the measures' clusters keep the timers that are shipped.
PATIENT = """
[timers]
heartbeat_ms = 50
election_min_ms = 2000
election_max_ms = 3000
fallback_ms = 1800
"""
WINDOW = ("window_ms = 300", "window_ms = 1000")
NOISE = ("intents_applied", '"event": "stall"', "stood still")
KEPT = 100  # entries of a forgetful node's log, whatever the others have
UNANSWERED = (3, 7)  # exit codes after which an operator asks again, with the same request id
# Away from the demo's own first choice (7400), so that a demo and a cluster beside it do not race for ports.
FIRST_PORT = 21400

Found = TypeVar("Found")


class EndedEarly(Exception):
    """A process ended before it was ready."""

    def __init__(self, name: str, code: int, log: str) -> None:
        super().__init__(f"{name} ended with {code}: {log[-2000:]}")
        self.code = code
        self.log = log


def wait_for(what: str, look: Callable[[], Found], within: float = WITHIN_S) -> Found:
    """Look until there is something; its value.  A failed test, with the last thing seen, otherwise."""
    deadline = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}; last seen: {found!r:.500}"
        time.sleep(LOOK_S)
    return found


def eventually(check: Callable[[], Found], within: float = WITHIN_S) -> Found:
    """Its value, once none of its asserts fails: for what is true of a cluster that has come to rest, not of a moment.

    Within the time the last failure is passed on, so that the test says what was seen.
    """
    deadline = time.monotonic() + within
    while True:
        try:
            return check()
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        time.sleep(AGAIN_S)


def environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("MELTICA_")}


def cli(*words: str, cluster: Path | None = None, within: float = CALL_S) -> subprocess.CompletedProcess[str]:
    """The command line, to its end."""
    place = () if cluster is None else ("--cluster", str(cluster))
    return subprocess.run(  # noqa: S603 - our own command line
        meltica(*place, *words),
        check=False,
        capture_output=True,
        text=True,
        timeout=within,
        stdin=subprocess.DEVNULL,
        env=environment(),
    )


@define
class Child:
    """One running process; its stdout is drained, its stderr is a file."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    ready: dict[str, Any] = field(factory=dict)

    def lines(self) -> list[dict[str, Any]]:
        """What it logged."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The lines with this event."""
        return [line for line in self.lines() if event in str(line.get("event"))]

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.terminate()
        return self.ended()

    def kill(self) -> None:
        """SIGKILL, and until it is gone."""
        self.process.kill()
        self.ended()

    def ended(self, within: float = GRACE_S) -> int:
        """Its exit code, once it has ended."""
        code = self.process.wait(within)
        if self.process.stdin is not None:
            self.process.stdin.close()
        return code


def start(name: str, log: Path, words: Sequence[str], wrap: Sequence[str] = ()) -> Child:
    """Start a process that stays and wait for its line.  Raises EndedEarly."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as errors:
        before = errors.tell()
        process = subprocess.Popen(  # noqa: S603 - our own command line
            [*wrap, *meltica(*words, "--stop-with-stdin")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment(),
        )
    child = Child(name, process, log)
    reading = threading.Thread(target=_read_ready, args=(child,), daemon=True)
    reading.start()
    deadline = time.monotonic() + READY_S
    while not child.ready and process.poll() is None and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    if not child.ready:
        process.kill()
        code = child.ended()
        with log.open("rb") as file:
            file.seek(before)
            raise EndedEarly(name, code, file.read().decode(errors="replace"))
    return child


def _read_ready(child: Child) -> None:
    assert child.process.stdout is not None
    with child.process.stdout as stdout:
        for line in stdout:
            if not child.ready:
                child.ready = json.loads(line)


def end(children: Mapping[str, Child]) -> None:
    """All of them, whatever state they are in."""
    for child in children.values():
        if child.process.poll() is None:
            child.process.terminate()
    for child in children.values():
        try:
            child.ended()
        except subprocess.TimeoutExpired:
            child.kill()


@define
class Cluster:
    """A cluster's folder and its running processes."""

    folder: Path
    warden: Warden | None = None  # ends what is frozen when the tests are killed
    children: dict[str, Child] = field(factory=dict)
    wraps: dict[str, Sequence[str]] = field(factory=dict)  # words before a node's own command line, by its name
    asked: int = 0

    # --- processes ------------------------------------------------------------------------------------------

    def start_venue(self) -> Child:
        words = ("paper", "run", "--config", str(self.folder / "paper.toml"), "--seed", "7")
        ledger = ("--ledger", str(self.folder / "ledger.jsonl"))
        return self._begin("venue", (*words, *ledger))

    def start_node(self, name: str, wrap: Sequence[str] | None = None) -> Child:
        words = ("node", "run", "--config", str(self.config(name)))
        return self._begin(name, words, self.wraps.get(name, ()) if wrap is None else wrap)

    def _begin(self, name: str, words: Sequence[str], wrap: Sequence[str] = ()) -> Child:
        child = self.children[name] = start(name, self.folder / "logs" / f"{name}.jsonl", words, wrap)
        if self.warden is not None:
            self.warden.watch(child.process.pid)
        return child

    def start_nodes(self, names: Sequence[str] = NODES) -> None:
        """Side by side."""
        failed: list[BaseException] = []

        def one(name: str) -> None:
            try:
                self.start_node(name)
            except BaseException as error:  # noqa: BLE001 - told by the thread that asked
                failed.append(error)

        threads = [threading.Thread(target=one, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]

    def config(self, name: str) -> Path:
        return self.folder / "nodes" / name / "meltica.toml"

    def data(self, name: str) -> Path:
        return self.folder / "nodes" / name / "data"

    # --- asking ---------------------------------------------------------------------------------------------

    def cli(self, *words: str) -> subprocess.CompletedProcess[str]:
        return cli(*words, cluster=self.folder)

    def act(self, *words: str, reason: str = "a test", request: str | None = None) -> subprocess.CompletedProcess[str]:
        """Do it, as an operator does: where no answer came, again with the same request id, which is done once at most.

        Not for `promote`, which names an epoch: see `promoted`.
        """
        self.asked += 1
        name = request or f"test-{os.getpid()}-{self.asked}"
        deadline = time.monotonic() + WITHIN_S
        while True:
            done = self.cli(*words, "--yes", "--reason", reason, "--request-id", name)
            if done.returncode not in UNANSWERED or time.monotonic() > deadline:
                return done
            time.sleep(AGAIN_S)

    def promoted(self, to: str) -> None:
        """It is active, promoted by hand as often as it takes: another election may come between look and act."""
        told: list[str] = []

        def look() -> bool:
            if self._active() == to:
                return True
            done = self.cli("promote", to, "--yes", "--reason", "a test")
            told.append(f"{done.returncode}: {done.stdout} {done.stderr}")
            return False

        try:
            wait_for(f"{to} is active after a promote", look)
        except AssertionError as error:
            raise AssertionError(f"{error}; {told[-3:]}") from None

    # --- what a slow machine may do at any moment ------------------------------------------------------------

    def settle(self) -> None:
        """Whatever came before: all nodes run, takeovers need nobody, no cause is left, quotes lie in the market."""
        for name in NODES:
            if name in self.children and self.children[name].process.poll() is not None:
                self.start_node(name)

        def settled() -> bool:
            documents = [one for one in map(self.quick, NODES) if one]
            words = _amends(documents)
            if words:
                self.cli(*words, "--yes", "--reason", "a test settles the cluster")
            return bool(documents) and not words and self._active() is not None and all(map(trades, documents))

        wait_for("it trades, and no cause is left", settled, 2 * WITHIN_S)

    def elections(self) -> set[int]:
        """The terms in which a node became leader."""
        lines = [line for name in NODES if name in self.children for line in self.children[name].logged("role changed")]
        return {int(line["term"]) for line in lines if line["role"] == "leader"}

    def undisturbed(self, step: Callable[[], Found], own: int = 0) -> Found:
        """Do a step whose promise holds only while no election comes between; `own` are those that it causes itself.

        A machine that stands still for longer than the election timeout loses leaders, and the third loss within ten
        minutes halts: all legal, and not what the step is about.  So it is done again if there was such an election,
        by the nodes' own logs, and only then.
        """
        while True:
            self.settle()
            before = self.elections()
            try:
                return step()
            except AssertionError:
                if len(self.elections() - before) <= own:
                    raise

    def status(self) -> dict[str, Any]:
        """`meltica status -o json`."""
        done = self.cli("status", "-o", "json")
        assert done.returncode in (0, 6), done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def token(self, role: str) -> str:
        return (self.folder / "tokens" / role).read_text().strip()

    def api(self, name: str) -> str:
        return str(self.children[name].ready["api"])

    @contextmanager
    def http(self, role: str | None = "viewer") -> Iterator[httpx.Client]:
        """A client that trusts the cluster's authority, with a role's token."""
        import ssl  # noqa: PLC0415 - here alone

        trust = ssl.create_default_context(cafile=str(self.folder / "pki" / "ca.pem"))
        headers = {} if role is None else {"Authorization": f"Bearer {self.token(role)}"}
        with httpx.Client(verify=trust, headers=headers, timeout=10, trust_env=False) as client:
            yield client

    def quick(self, name: str) -> dict[str, Any] | None:
        """One node's own status, over HTTP; None if it does not answer."""
        try:
            with self.http() as client:
                answer = client.get(f"{self.api(name)}/api/v1/status")
        except httpx.HTTPError:
            return None
        document: dict[str, Any] | None = answer.json() if answer.status_code == 200 else None
        return document

    def own(self, name: str) -> dict[str, Any]:
        """A node's own line; empty if it does not answer."""
        document = self.quick(name)
        return next((dict(row) for row in document["nodes"] if row["name"] == name), {}) if document else {}

    def base(self, name: str) -> int:
        """Where a node's log begins, by its own word; 0 if it does not answer."""
        row = self.own(name)
        return int(row["log"]["base_index"]) if row else 0

    def active(self, within: float = WITHIN_S) -> str:
        """Who trades, once somebody does."""
        return wait_for("a node that is active", self._active, within)

    def _active(self) -> str | None:
        for name in NODES:
            if name in self.children and self.children[name].process.poll() is None and self.own(name).get("active"):
                return name
        return None

    def promotable(self, within: float = WITHIN_S) -> str:
        """A standby that says it could take over, and that the active node knows of."""

        def look() -> str | None:
            active = self._active()
            rows = (self.quick(active) or {}).get("nodes", ()) if active else ()
            return next((str(r["name"]) for r in rows if r["name"] != active and r.get("promotable")), None)

        return wait_for("a promotable standby", look, within)

    def until(self, what: str, holds: Callable[[dict[str, Any]], bool], within: float = WITHIN_S) -> None:
        """Until every running node's own status is so."""

        def look() -> bool:
            found = [self.quick(n) for n in NODES if n in self.children and self.children[n].process.poll() is None]
            return all(document is not None and holds(document) for document in found)

        wait_for(what, look, within)

    def until_trading(self) -> None:
        """Until orders of ours lie in the market."""
        self.active()
        self.until("open orders", lambda s: s["trading"] == "running" and s["orders"]["open"] > 0)

    def last_logged(self, lines: int = 60) -> dict[str, str]:
        """The end of each process's log, without what every order, or a busy machine, writes."""
        found = {}
        for name in sorted(self.children):
            log = self.folder / "logs" / f"{name}.jsonl"
            told = [
                one for one in log.read_text(errors="replace").splitlines() if not any(map(one.__contains__, NOISE))
            ]
            found[name] = "\n".join(told[-lines:])
        return found

    def ledger(self) -> list[dict[str, Any]]:
        """What the venue saw."""
        lines = (self.folder / "ledger.jsonl").read_bytes().split(b"\n")[:-1]
        return [json.loads(line) for line in lines]


def _amends(documents: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """What an operator would do next so that the cluster trades; nothing if it does, or will by itself."""
    if any(one["mode"] != "automatic" for one in documents):
        return ("mode", "automatic")
    if any(one.get("waiting") for one in documents):
        return ("promote",)
    if any(one["risk"]["halts"] or one["risk"]["reduces"] for one in documents):
        return ("resume", "--all")
    for strategy in (each for one in documents for each in one["strategies"]):
        if strategy["stopped"]:  # a callback that waits for a processor for 250 ms is stopped for that
            return ("start", strategy["id"])
    return ()


def trades(document: Mapping[str, Any]) -> bool:
    """Whether a status document shows a cluster that may trade, and does."""
    return bool(document["trading"] == "running" and document["orders"]["open"] > 0)


@contextmanager
def made_cluster(folder: Path, first: int = FIRST_PORT) -> Iterator[Cluster]:
    """The folder, with ports of its own; nothing runs yet, and whatever is started ends with the block."""
    with claimed_ports(first) as base, open_warden() as warden:
        ports = ("--base-port", str(base), "--venue-port", str(base + 80))
        done = cli("cluster", "create", str(folder), "--name", "test", *ports)
        assert done.returncode == 0, done.stderr
        cluster = Cluster(folder, warden)
        for name in NODES:
            text = cluster.config(name).read_text()
            assert WINDOW[0] in text
            cluster.config(name).write_text(text.replace(*WINDOW) + PATIENT)
        try:
            yield cluster
        finally:
            end(cluster.children)


@contextmanager
def running(folder: Path, *, nodes: Sequence[str] = NODES) -> Iterator[Cluster]:
    """A cluster that trades; everything ends with the block."""
    with made_cluster(folder) as cluster:
        cluster.start_venue()
        cluster.start_nodes(nodes)
        cluster.until_trading()
        yield cluster


@contextmanager
def forgetful(folder: Path) -> Iterator[Cluster]:
    """A cluster that trades, and keeps next to nothing of its logs; everything ends with the block."""
    with made_cluster(folder) as cluster:
        steadily(folder)
        set_retention(folder, KEPT)
        cluster.start_venue()
        cluster.start_nodes()
        cluster.until_trading()
        yield cluster


def python_processes_of(folder: Path) -> list[str]:
    """The command lines of processes that name a folder; of this machine's /proc."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(str(folder).encode() in word for word in words) and Path(words[0].decode()).name.startswith("python"):
            found.append(b" ".join(words).decode())
    return found


def holders_of(folder: Path) -> list[str]:
    """The command lines of processes that have a file of a folder open: whatever they are, if they log there."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            if any(str(each.readlink()).startswith(f"{folder}/") for each in (entry / "fd").iterdir()):
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


@contextmanager
def frozen(cluster: Cluster, names: Sequence[str]) -> Iterator[None]:
    """SIGSTOP: their connections stay up, and nothing is said on them."""
    processes = [cluster.children[name].process for name in names]
    try:
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)
