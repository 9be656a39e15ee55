"""The bench's smaller parts: what a child says, where files lie, what was asked, and the market maker's mix."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from importlib import metadata
from itertools import islice
from pathlib import Path

import pytest
from click.testing import CliRunner

from chaos.bench import document, etcd, machine, restart, run, trading
from chaos.bench.apply import apply_log, log_of
from chaos.bench.child import BenchFault, Disturbed, cpu_us, leashed, start
from chaos.bench.commit import Commit
from chaos.bench.disk import IN_MEMORY, Syncs, kind_of
from chaos.bench.figures import Turn, Who
from chaos.bench.systems import OurCluster, turn_of
from meltica.api.outcomes import Exit
from meltica.cli.main import commands

# One line each of what the measuring processes answered, recorded from etcdclient and stock_node.
RECORDED = {
    "etcdclient": '{"us":[1220.108,998.5,4416.799],"commands":3,"seconds":0.0066}',
    "stock_node": '{"us": [422.997, 10254.573], "commands": 2, "seconds": 0.0106}',
}


@pytest.mark.parametrize("who", RECORDED)
def test_what_a_peer_answers_is_read(who):
    turn = turn_of(json.loads(RECORDED[who]))
    assert turn.commands == len(turn.took_ms)
    assert max(turn.took_ms) in (4.416799, 10.254573)


def test_a_child_answers_a_line_or_says_what_is_wrong(tmp_path):
    script = 'while read -r _; do echo "$1"; done'
    said = {'{"ok": 1}': None, '{"fault": "no"}': BenchFault, '{"disturbed": "an election"}': Disturbed}
    for answer, error in said.items():
        child = start("child", ["/bin/sh", "-c", script, "sh", answer], tmp_path / "log")
        if error is None:
            assert child.ask(10.0, do="anything") == {"ok": 1}
        else:
            with pytest.raises(error):
                child.ask(10.0, do="anything")
        child.end()
        assert child.process.returncode == 0  # it ended with its stdin, not by force


def test_a_child_that_ends_says_its_last_words(tmp_path):
    child = start("child", ["/bin/sh", "-c", "echo no disk >&2; exit 3"], tmp_path / "log")
    with pytest.raises(BenchFault, match="ended with code 3: no disk"):
        child.heard(10.0)
    child.end()


def test_what_does_not_end_with_its_stdin_is_ended_on_a_leash(tmp_path):
    child = start("child", leashed(["sleep", "600"]), tmp_path / "log")
    pid = child.heard(10.0)["pid"]
    assert Path(f"/proc/{pid}").exists()
    child.end()
    assert not Path(f"/proc/{pid}").exists()  # the leash waits for it


def test_processor_time_is_of_all_that_is_named():
    began, used = time.process_time(), cpu_us([os.getpid()])
    while time.process_time() - began < 0.1:
        pass
    assert cpu_us([os.getpid()]) - used >= 80_000
    assert cpu_us([os.getpid(), os.getpid()]) >= 2 * used


def test_a_machine_that_is_not_quiet_is_waited_for_and_not_for_ever(monkeypatch):
    def waited(wait, *shares):
        looked, said, synced = [], [], []
        left = iter(shares)
        monkeypatch.setattr(machine, "busy", lambda seconds: looked.append(seconds) or next(left))
        monkeypatch.setattr(machine.os, "sync", lambda: synced.append(1))
        return machine.quiet(wait, said.append), looked, len(said), len(synced)

    assert waited(300, 0.9, 0.9, 0.05) == (0.05, [machine.LOOK] * 3, 1, 1)
    assert waited(3 * machine.LOOK, *[0.9] * 9) == (0.9, [machine.LOOK] * 3, 1, 1)
    assert waited(300, 0.0) == (0.0, [machine.LOOK], 0, 1)
    assert waited(1, 0.9) == (0.9, [1], 0, 1)  # no longer than it may take


def test_what_others_had_of_the_processors_is_what_all_had_less_what_we_had():
    stat = "cpu  300 100 200 9000 50 70 80 100 0 0\ncpu0 1 1 1 1 1 1 1 1\n"
    assert machine.busy_of(stat) == 700 / machine.TICKS
    before = machine.Used(10.0, 100.0, 5.0)
    assert before.others(machine.Used(20.0, 115.0, 18.0), 2) == 0.1
    assert before.others(machine.Used(20.0, 115.0, 25.0), 2) == 0.0  # counts are of ticks
    assert before.others(before, 2) == 0.0
    now = machine.used()
    assert now.by_all > now.by_us > 0


def test_a_run_waits_and_tells_what_others_had_in_it(tmp_path, monkeypatch):
    had = iter([machine.Used(0.0, 0.0, 0.0), machine.Used(10.0, 10.0, 2.0)])
    waited = []
    monkeypatch.setattr(run, "quiet", lambda wait, _say: waited.append(wait) or 0.1)
    monkeypatch.setattr(run, "used", lambda: next(had))
    monkeypatch.setattr(run.os, "cpu_count", lambda: 2)
    monkeypatch.setitem(run.RUNS, "apply", lambda *_given: run.Found([]))
    found = run.run_bench(run.wish_of("apply", folder=str(tmp_path)), lambda _text: None)
    assert (found["machine"]["busy_by_others"], found["machine"]["quiet"], waited) == (0.4, False, [300])


MOUNTS = """\
/dev/vda / ext4 rw 0 0
tmpfs /mem tmpfs rw 0 0
/dev/vdb /home/a\\040b xfs rw 0 0
"""


@pytest.mark.parametrize(("folder", "kind"), [("/srv/x", "ext4"), ("/mem/x", "tmpfs"), ("/home/a b/c", "xfs")])
def test_the_file_system_of_a_folder_is_known(folder, kind):
    assert kind_of(Path(folder), MOUNTS) == kind
    assert (kind in IN_MEMORY) == (kind == "tmpfs")


def test_syncs_are_looked_at_all_through_a_run(tmp_path):
    syncs = Syncs(tmp_path)
    syncs.look()
    syncs.look()
    assert len(syncs.appended) == len(syncs.in_place) == 100
    assert syncs.p50(syncs.appended) > 0


def test_the_defaults_are_filled_in():
    wish = run.wish_of("commit", "pysyncobj", None, 50, None)
    assert (wish.against, wish.rounds, wish.samples) == (("pysyncobj",), run.BENCHES["commit"].rounds, 50)


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(run.BadWish, match="counts is measured against nothing"):
        run.wish_of("counts", "etcd", None, None, None)
    with pytest.raises(run.BadWish, match="not against 'redis'"):
        run.wish_of("commit", "redis", None, None, None)
    with pytest.raises(run.BadWish, match="at least 300 samples"):
        run.wish_of("apply", "", None, 20, None)


def test_where_no_peer_has_what_is_measured_that_is_told_and_no_fault(tmp_path, monkeypatch):
    """Whoever asks for each budget beside the peers gets a document for each of them."""
    monkeypatch.setattr(run, "quiet", lambda _wait, _say: 0.0)
    monkeypatch.setattr(etcd.shutil, "which", lambda _name: None)
    for what in ("apply", "snapshot", "restart", "growth"):
        monkeypatch.setitem(run.RUNS, what, lambda *_given: run.Found([]))
        wish, said = run.wish_of(what, "etcd,pysyncobj", folder=str(tmp_path)), []
        found = run.run_bench(wish, said.append)
        assert found["alone"] == run.BENCHES[what].alone
        assert said == [f"{what}: no peer is measured: {found['alone']}"]
        assert f"no peer is measured: {found['alone']}" in document.lines(found)
        assert run.run_bench(run.wish_of(what, folder=str(tmp_path)), said.append)["alone"] is None
    with pytest.raises(etcd.Missing):
        run.wish_of("promote", "etcd,pysyncobj")


@pytest.mark.parametrize(
    ("there", "following"),
    [((), "apt-get install etcd-server"), (("etcd",), "install Go"), (("etcd", "go"), "make etcdclient")],
)
def test_without_etcd_or_its_client_it_says_what_to_install(there, following, monkeypatch, tmp_path):
    monkeypatch.setattr(etcd.shutil, "which", lambda name: name if name in there else None)
    monkeypatch.setattr(etcd, "CLIENT", tmp_path / "etcdclient")
    done = CliRunner().invoke(commands, ["bench", "commit", "--against", "etcd"])
    assert done.exit_code == Exit.USAGE
    assert following in done.stderr


@pytest.mark.parametrize(
    ("said", "taken"),
    [(f"echo {etcd.source()}", True), ("echo 0123abcd", False), ("echo unknown flag >&2; exit 2", False)],
)
def test_a_client_that_was_built_of_another_source_is_not_taken(said, taken, monkeypatch, tmp_path):
    monkeypatch.setattr(etcd, "CLIENT", tmp_path / "etcdclient")
    etcd.CLIENT.write_text(f'#!/bin/sh\n[ "$*" = -built-of ] || exit 9\n{said}\n')
    etcd.CLIENT.chmod(0o755)
    monkeypatch.setattr(etcd.shutil, "which", lambda name: name)
    if taken:
        etcd.check_installed()
        return
    with pytest.raises(etcd.Missing, match="another source") as missing:
        etcd.check_installed()
    assert missing.value.next_step == "make etcdclient"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("echo etcd Version: 3.4.23; echo Git SHA: none", "3.4.23"),
        ("echo etcd Version: 3.6.0-rc.1", "3.6.0-rc.1"),
        ("echo what >&2; exit 1", "what"),
        ("exit 1", "unknown"),
    ],
)
def test_a_peer_s_version_is_told_by_itself(said, told, monkeypatch, tmp_path):
    fake = tmp_path / "etcd"
    fake.write_text(f'#!/bin/sh\n[ "$*" = --version ] || exit 9\n{said}\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(run, "quiet", lambda _wait, _say: 0.0)
    monkeypatch.setitem(run.RUNS, "heal", lambda *_given: run.Found([]))
    found = run.run_bench(run.Wish("heal", ("etcd", "pysyncobj"), 1, 1, tmp_path, {}), lambda _text: None)
    assert found["machine"]["python"] == " ".join([platform.python_implementation(), *sys.version.split()])
    assert found["peers"] == {"etcd": told, "pysyncobj": metadata.version("pysyncobj")}
    assert run.run_bench(run.Wish("heal", (), 1, 1, tmp_path, {}), lambda _text: None)["peers"] == {}


def test_the_source_of_a_client_is_told_as_the_makefile_counts_it():
    words = f"cat {' '.join(etcd.SOURCES)} | sha256sum | cut -d' ' -f1"
    assert f"$$({words})" in (etcd.ROOT / "Makefile").read_text()
    said = subprocess.run(["/bin/sh", "-c", words], cwd=etcd.SOURCE, check=True, capture_output=True, text=True)  # noqa: S603 - our own words
    assert said.stdout.strip() == etcd.source()


def test_the_tuned_etcds_client_has_more_connections_and_says_so(tmp_path):
    ports = dict.fromkeys(etcd.MEMBERS, 1)
    counts = (1, etcd.CONNECTIONS)
    made = [etcd.EtcdCluster(tmp_path, (), ports, ports, ports, count).connecting()[-1] for count in counts]
    assert made == ["-connections=1", "-connections=8"]
    notes = [etcd.Etcd(variant).who.note for variant in ("defaults", "tuned")]
    assert ["8 connections" in note for note in notes] == [False, True]


def test_the_mix_is_taken_by_the_core_and_comes_to_one_state():
    for batch in (1, 4):
        log = log_of(200, batch)
        assert log.commands >= 200
        assert apply_log(log).state.digest() == log.digest
        kinds = {json.loads(raw)["kind"] for entry in log.entries for raw in entry}
        assert kinds >= {"submit", "answered", "order_updated", "fill_seen", "cancel"}


def test_a_bench_does_not_measure_refusals():
    log = log_of(40, 1)
    with pytest.raises(ValueError, match="the core refused"):
        trading.taken(list(islice(_refused(log), 1)))


def _refused(log):
    machine = apply_log(log)
    raw = trading.encoded(trading.submit(1), 99, trading.now(machine.state))  # of an epoch that is not the log's
    yield from machine.apply(machine.state.index + 1, 1, (raw,)).results


class Scripted:
    """A system that gives what it was told to; an election ends some of its turns."""

    def __init__(self, name, ends=0):
        self.who = Who(name, "v")
        self.ends = ends
        self.asked = []

    def running(self, folder):
        assert not list(folder.iterdir()), "each turn has a new folder"
        (folder / "data").touch()
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def pids(self):
        return [os.getpid()]

    def commit(self, callers, count, seconds):
        self.asked.append((self.who.system, callers, count, seconds))
        if self.ends and callers == 1:
            self.ends -= 1
            raise Disturbed("an election")
        return Turn((1.0,), count, 1.0)


def test_turns_are_interleaved_and_one_that_an_election_ends_is_made_again_and_counted(tmp_path):
    said = []
    systems = [Scripted("a"), Scripted("b", ends=1)]
    commit = Commit(tmp_path, Syncs(tmp_path), systems, 10, said.append, 7.0)
    rows = commit.run(2)
    assert [text.split(":")[1].split()[0] for text in said if text.startswith("round")] == ["a", "b", "a", "b"]
    assert commit.disturbed == 1
    assert [(row.who.system, row.callers, row.n) for row in rows] == [
        ("a", 1, 2),
        ("b", 1, 2),
        ("a", 32, 2),
        ("b", 32, 2),
    ]
    warm, one, many = ("a", 32, 300, 1.0), ("a", 1, 10, 10.0), ("a", 32, 1 << 40, 7.0)
    assert systems[0].asked == [warm, one, many] * 2  # 32 callers go on until the time is up, however quick they are


def test_a_system_that_only_holds_elections_ends_the_bench(tmp_path):
    commit = Commit(tmp_path, Syncs(tmp_path), [Scripted("a", ends=9)], 10, lambda _text: None)
    with pytest.raises(BenchFault, match="too busy"):
        commit.run(1)


class Restarted:
    """A cluster whose nodes do what they are asked; an election ends the first of all, and what else is told to."""

    def __init__(self, folder, ends=1):
        self.folder, self.ends = folder, [ends, 1]
        self.children = dict.fromkeys(("n1", "n2", "n3"), self)
        self.done = []

    def leader(self):
        return self.children["n1"]

    leader_now = leader

    def leader_without(self, name):
        assert name == "n2"
        return self.leader()

    def ask(self, _within, **words):
        self.done.append((words["do"], words.get("callers"), words.get("count")))
        if len(self.done) in self.ends:
            raise Disturbed("an election")
        return {"committed": 9, "applied": 9, "leader": "n1", "at_ns": time.monotonic_ns()}

    def kill(self):
        self.done.append(("kill",))
        (self.folder / "n2").mkdir()
        (self.folder / "n2" / "000007.log").write_bytes(b"x" * 77)

    def end(self):
        pass

    def heard(self, _within):
        return {}

    def start(self, name):
        self.done.append(("start", name))


def test_a_node_is_killed_with_something_in_its_write_ahead_log(tmp_path):
    run = restart.Restart(tmp_path, Syncs(tmp_path), lambda _text: None)
    cluster = Restarted(tmp_path)
    cluster.children = {"n1": cluster, "n2": Restarted(tmp_path), "n3": Restarted(tmp_path)}
    cluster.children["n2"].done = cluster.done
    run._restart(cluster, 0, restart.BEFORE)
    filled = ("commit", 32, 40_000)
    assert cluster.done[:5] == [filled, filled, ("kill",), ("commit", 1, restart.MEANWHILE), ("start", "n2")]
    assert (run.disturbed, run.unsorted) == (1, [77])


def test_an_election_among_those_who_are_left_does_not_end_the_bench_of_restarts(tmp_path):
    run = restart.Restart(tmp_path, Syncs(tmp_path), lambda _text: None)
    cluster = Restarted(tmp_path, ends=4)
    cluster.children = {"n1": cluster, "n2": Restarted(tmp_path), "n3": Restarted(tmp_path)}
    cluster.children["n2"].done = cluster.done
    run._restart(cluster, 0, restart.BEFORE)
    meanwhile = ("commit", 1, restart.MEANWHILE)
    assert cluster.done[2:6] == [("kill",), meanwhile, meanwhile, ("start", "n2")]
    assert run.disturbed == 2


class Said:
    """A node that tells its status."""

    def __init__(self, *, leads, down=False):
        self.leads, self.down = leads, down

    def ask(self, _within, **_words):
        if self.down:
            raise BenchFault("it has ended")
        return {"leads": self.leads, "links": 1}


def test_the_leader_of_those_who_are_left_is_found_without_asking_the_one_that_is_down(tmp_path):
    cluster = OurCluster(tmp_path, "core", {})
    cluster.children = {"n1": Said(leads=False, down=True), "n2": Said(leads=False), "n3": Said(leads=True)}
    assert cluster.leader_without("n1") is cluster.children["n3"]
    with pytest.raises(BenchFault, match="it has ended"):
        cluster.leader_now()
