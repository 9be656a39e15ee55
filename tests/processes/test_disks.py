"""Bad disks, folders, ports and settings: each ends with a clear line that names the next step, and loses nothing."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from cluster import firststart
from cluster.folder import newest_marker, synced
from tests.ci import lacking
from tests.processes.rig import NODES, Cluster, EndedEarly, cli, eventually, made_cluster, trades, wait_for

pytestmark = [pytest.mark.processes, pytest.mark.patient(65)]

SMALL = "64m"  # a disk for one node
RESERVE = 16  # MiB of it that are to be kept free
ROOM = 64 * 1024  # bytes that the log may still grow by, so that the node can say what happened


def private_disk(data: Path) -> list[str]:
    """Words before a command: it runs with a small disk of its own mounted at `data`, which ends with it."""
    mark = f'"{data}/{firststart.MARK}"'  # of a first start: it moves to the small disk
    mount = f'mount -t tmpfs -o size={SMALL} small "{data}"'
    script = f'mark=$(cat {mark}) && {mount} && printf %s "$mark" > {mark} && exec "$@"'
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]


def may_mount(folder: Path) -> bool:
    """Whether this machine lets us mount one."""
    if shutil.which("unshare") is None:
        return False
    done = subprocess.run([*private_disk(folder), "true"], check=False, capture_output=True)  # noqa: S603 - our own words
    return done.returncode == 0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Cluster:
    """Three nodes that trade; n3's data folder is a small disk of its own where that can be mounted."""
    with made_cluster(tmp_path_factory.mktemp("disks") / "cluster") as found:
        small = found.data("n3")
        settings = found.config("n3")
        named = 'cluster_name = "test"\n'
        assert named in settings.read_text()
        settings.write_text(settings.read_text().replace(named, f"{named}disk_reserve_mib = {RESERVE}\n"))
        found.start_venue()
        found.start_node("n3", private_disk(small) if may_mount(small) else ())
        found.start_nodes(("n1", "n2"))
        found.until_trading()
        yield found


@pytest.fixture
def idle(tmp_path) -> Cluster:
    """A folder from which nothing runs; whatever a test starts ends with it."""
    with made_cluster(tmp_path / "cluster") as found:
        yield found


def refused(cluster: Cluster, name: str) -> EndedEarly:
    """Start a node that must not start."""
    with pytest.raises(EndedEarly) as caught:
        cluster.start_node(name)
    assert caught.value.code == 1
    lines = [json.loads(line) for line in caught.value.log.splitlines()]  # JSON and nothing else
    assert any(line["level"] == "error" for line in lines)
    return caught.value


# --- settings, folders and ports ------------------------------------------------------------------------------


def test_every_error_of_broken_settings_is_told_at_once(idle):
    file = idle.config("n1")
    text = file.read_text()
    for found, wrong in (
        ("window_ms = 1000", "window_ms = -1"),
        ('mode = "automatic"', 'mode = "sometimes"'),
        ('level = "info"', 'level = "info"\nsurprise = 1'),
        ("collar_bps = 500", 'collar_bps = "wide"'),
    ):
        assert found in text
        text = text.replace(found, wrong)
    file.write_text(text)
    error = refused(idle, "n1")
    for path in ("[authority] window_ms", "[trading] mode", "[log] surprise", "[limits] collar_bps"):
        assert path in error.log
    assert "meltica config check" in error.log
    checked = cli("config", "check", str(file))
    assert checked.returncode == 1
    assert "4 error(s)" in checked.stdout


def test_a_second_node_on_the_same_folder(cluster):
    error = refused(Cluster(cluster.folder), "n1")  # the running one keeps its place in the fixture
    assert f"pid {cluster.children['n1'].process.pid}" in error.log
    assert "stop it first" in error.log
    wait_for("the first one serves", lambda: cluster.own("n1").get("reachable"))


def test_the_folder_of_another_node_and_of_another_cluster(idle):
    idle.start_node("n1").stop()
    file = idle.config("n2")
    file.write_text(file.read_text().replace('data = "data"', 'data = "../n1/data"'))
    other_node = refused(idle, "n2")
    assert "belongs to node n1" in other_node.log
    assert "correct the node's data folder" in other_node.log
    file = idle.config("n1")
    text = file.read_text()
    start = text.index('cluster = "') + len('cluster = "')
    file.write_text(text[:start] + "0a0b0c" + text[start + 6 :])
    other_cluster = refused(idle, "n1")
    assert "not to n1 of 0a0b0c" in other_cluster.log


def test_a_folder_whose_data_is_gone(idle):
    shutil.rmtree(idle.data("n2"))
    error = refused(idle, "n2")
    assert "its data is gone" in error.log
    assert "do not start this node" in error.log


@pytest.mark.parametrize("what", ["peer", "api"])
def test_a_port_that_is_in_use(idle, what):
    text = idle.config("n1").read_text()
    host, port = text.split("[peers.n1]")[1].split(f'{what} = "')[1].split('"')[0].split(":")
    with socket.create_server((host, int(port))):
        error = refused(idle, "n1")
    assert f"{host}:{port}" in error.log
    assert "stop" in error.log


# --- disks ----------------------------------------------------------------------------------------------------


def write_ahead_log(data: Path) -> Path:
    return max(data.glob("*.log"), key=lambda path: int(path.stem))


def killed_standby(cluster: Cluster) -> tuple[str, Path]:
    """n1 or n2, not the active one, whose disk stays; and its log, with several writes in it."""
    cluster.settle()
    active = cluster.active()
    name = next(name for name in ("n1", "n2") if name != active)
    wait_for("several writes", lambda: write_ahead_log(cluster.data(name)).stat().st_size > 16 * 1024)
    cluster.children[name].kill()
    return name, write_ahead_log(cluster.data(name))


def caught_up(cluster: Cluster, name: str) -> None:
    """It has applied what the active node had when it was started."""
    target = max(row["applied_index"] for row in map(cluster.own, NODES) if row)
    wait_for(f"{name} has caught up", lambda: cluster.own(name).get("applied_index", 0) >= target)


def killed_amid_writes(cluster: Cluster) -> tuple[str, Path]:
    """As above, and its last write is not noted as synced: one that is was no torn one, and its loss is refused."""
    while True:
        name, log = killed_standby(cluster)
        data = cluster.data(name)
        if newest_marker(data) > synced(data).ticket:
            return name, log


def test_a_torn_last_write_is_dropped_and_caught_up(cluster):
    name, log = killed_amid_writes(cluster)
    size = log.stat().st_size
    with log.open("r+b") as file:
        file.truncate(size - 7)
    cluster.start_node(name)
    caught_up(cluster, name)


def test_a_flipped_bit_in_the_write_ahead_log_is_refused(cluster):
    name, log = killed_standby(cluster)
    whole = log.read_bytes()
    place = len(whole) // 2
    log.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
    for _ in range(2):  # a second start finds it as damaged as the first
        error = refused(cluster, name)
        assert "the write-ahead log is damaged before its end" in error.log
        assert "restore this node's folder from a copy" in error.log
    log.write_bytes(whole)  # the copy
    cluster.start_node(name)
    caught_up(cluster, name)


def test_a_file_that_may_not_grow_silences_the_node_and_loses_nothing(cluster):
    """RLIMIT_FSIZE, set on the running process: the next write to its write-ahead log fails in the kernel."""
    cluster.settle()
    name = active_among(cluster, ("n1", "n2"))
    child = cluster.children[name]
    told = cluster.act("halt", "--cause", "before", "-o", "json")
    assert told.returncode == 0
    acknowledged = json.loads(told.stdout)["index"]
    assert cluster.act("resume", "--cause", "before").returncode == 0
    epoch = cluster.own(name)["term"]
    limit = max(write_ahead_log(cluster.data(name)).stat().st_size, child.log.stat().st_size + ROOM)
    resource.prlimit(child.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
    went_silent(cluster, name, epoch)
    cluster.start_node(name)
    caught_up(cluster, name)
    rows = json.loads(cluster.cli("audit", "--node", name, "--after", str(acknowledged - 1), "-o", "json").stdout)
    halts = [row for row in rows["audit"] if (row["index"], row["kind"]) == (acknowledged, "halt")]
    assert [(row["reason"], row["rejection"]) for row in halts] == [("a test", None)]  # beside others of that entry
    nothing_lost(cluster, NODES)


def small_disk(cluster: Cluster) -> Path:
    """n3's, as it sees it; the test is skipped where none could be mounted."""
    data = cluster.data("n3")
    if not may_mount(data):
        lacking("no file system can be mounted here: only RLIMIT_FSIZE was tried")
    return Path(f"/proc/{cluster.children['n3'].process.pid}/root") / data.relative_to("/")


def test_a_disk_that_is_nearly_full_ends_trading_there_while_the_node_still_writes(cluster):
    seen = small_disk(cluster)
    cluster.settle()
    active_among(cluster, ("n3",))
    filler = seen / "filler"
    fill_up(filler, leave=(RESERVE - 4) * 1024 * 1024)
    wait_for("another trades", lambda: cluster.active() not in {None, "n3"})
    child = cluster.children["n3"]
    assert child.process.poll() is None
    said = child.logged("the disk's reserve is used: this node trades no more")[-1]["why"]
    assert f"MiB are free at {cluster.data('n3')}, and {RESERVE} are to be kept: free space there" in said
    row = cluster.own("n3")
    assert row["promotable"] is False
    assert "the disk is nearly full" in row["why_not"]
    filler.unlink()
    wait_for("n3 is promotable again", lambda: cluster.own("n3").get("promotable"))
    nothing_lost(cluster, NODES)


def test_a_full_disk_silences_the_node_and_loses_nothing(cluster):
    """ENOSPC, on a small file system of its own; the last of these tests, as that disk ends with its process."""
    seen = small_disk(cluster)
    cluster.settle()
    active_among(cluster, ("n3",))
    epoch = cluster.own("n3")["term"]
    fill_up(seen / "filler")
    went_silent(cluster, "n3", epoch)
    nothing_lost(cluster, ("n1", "n2"))


def fill_up(path: Path, leave: int = 0) -> None:
    """Until nothing more goes on that file system, or only so many bytes."""
    with path.open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while not leave or os.statvfs(path).f_bavail * os.statvfs(path).f_frsize > leave:
            filler.write(b"\0" * 4096)


def active_among(cluster: Cluster, names: tuple[str, ...]) -> str:
    """One of them trades; promoted by hand if need be."""
    active = cluster.active()
    if active in names:
        return active
    cluster.promoted(names[0])
    return names[0]


def went_silent(cluster: Cluster, name: str, epoch: int) -> None:
    """It ends, having said why and what to do; another trades; nothing of it reached the venue behind that."""
    child = cluster.children[name]
    assert child.ended(120) == 1
    (stopped,) = child.logged("replication stopped: nothing more is sent")
    assert "can't be written" in stopped["reason"] or "can't be synced" in stopped["reason"]
    assert "then start the node again" in stopped["reason"]
    (last,) = child.logged("stopped by an error")[-1:]
    assert "StoreFault" in last["error"]
    assert cluster.active() != name
    cluster.until("a newer epoch", lambda status: status["epoch"] > epoch)
    cluster.until("orders again", lambda s: s["trading"] == "halted" or trades(s))


def nothing_lost(cluster: Cluster, nodes) -> None:
    """All nodes agree, and every trade that the venue made for us is on every node, once; then trading goes on."""
    assert cluster.act("halt", "--cause", "count").returncode == 0
    cluster.until("quiet", lambda s: s["orders"] == {"open": 0, "in_doubt": 0} and s["trading"] == "halted")

    def digests() -> set[tuple[int, str]]:
        return {(row.get("digest_index", 0), row.get("state_digest", "")) for row in map(cluster.own, nodes)}

    wait_for("equal digests", lambda: len(digests()) == 1)

    def held(name: str) -> list[tuple[str, str]]:
        document = json.loads(cluster.cli("fills", "--node", name, "--limit", "100000", "-o", "json").stdout)
        return [(row["symbol"], str(row["trade_id"])) for row in document["fills"]]

    def check() -> None:
        made = {(r["symbol"], str(r["trade_id"])) for r in cluster.ledger() if r["type"] == "fill" and r["account"]}
        assert made
        for name in nodes:
            assert sorted(held(name)) == sorted(made), name

    eventually(check)
    wait_for("trading goes on", lambda: cluster.act("resume", "--all").returncode == 0)
