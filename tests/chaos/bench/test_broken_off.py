"""A bench that something ends in the middle: the figures so far are told, and that they are not all."""

from __future__ import annotations

import json
import signal
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from chaos.bench import failover, growth, heal, laden, memory, restart, run, snapshot
from chaos.bench.child import BenchFault
from chaos.bench.commit import Commit
from chaos.bench.disk import Syncs
from chaos.bench.failover import Failover, OursStruck
from chaos.bench.figures import Row, Turn, Who
from chaos.bench.gathered import gathered, markdown, newest
from chaos.bench.growth import applies
from chaos.bench.heal import A_TURN, Heal, Ours, Theirs
from chaos.bench.peers import Beaten
from chaos.bench.restart import Restart
from chaos.bench.snapshot import Snapshot
from chaos.checkers.verdict import Check
from chaos.demo.measure import Found
from chaos.rig.broken import so_far
from meltica.api.outcomes import Exit
from meltica.cli.main import commands

HELD = (Check("one_trader", 9, ()),)
TWICE = (*HELD, Check("one_send", 9, ("an order was sent twice",)))
STRIKE = {"gap_ms": 300.0, "phases_ms": {}}


def quiet(_text):
    pass


def strikes(monkeypatch, *checks):
    """So many turns of two strikes, each judged so."""
    left = [*checks]

    async def played(_kind, rounds, *_words):
        return Found([STRIKE] * rounds, left.pop(0), 0)

    monkeypatch.setattr(failover, "measure", played)


def test_strikes_before_one_that_a_checker_finds_something_in_are_told_with_what_it_found(tmp_path, monkeypatch):
    strikes(monkeypatch, HELD, HELD, TWICE)
    found = Failover(tmp_path, Syncs(tmp_path), [OursStruck("kill"), OursStruck("idle")], quiet)
    rows = found.run(100)
    assert [(row.who.variant, row.n) for row in rows] == [("quoting", 2), ("idle", 2)]
    assert "one_send ['an order was sent twice']" in found.broken.why


def test_where_there_is_nothing_yet_it_is_an_error(tmp_path, monkeypatch):
    strikes(monkeypatch, TWICE)
    with pytest.raises(BenchFault, match="one_send"):
        Failover(tmp_path, Syncs(tmp_path), [OursStruck("kill")], quiet).run(100)


def test_cuts_before_a_turn_that_was_broken_off_are_told(tmp_path, monkeypatch):
    left = [1, 2]

    def turn(self, _folder, _rounds):
        if len(left) == 0:
            raise BenchFault("heal: TooSlowError()")
        self.documents.append(left.pop())

    monkeypatch.setattr(Ours, "turn", turn)
    monkeypatch.setattr(Ours, "rows", lambda self: [Row("heal", Who("meltica", str(self.lost)), len(self.documents))])
    found = Heal(tmp_path, Syncs(tmp_path), [Ours(lost, 4, tmp_path) for lost in (False, True)], quiet)
    assert [(row.who.variant, row.n) for row in found.run(2 * A_TURN)] == [("False", 1), ("True", 1)]
    assert found.broken.why == "BenchFault: heal: TooSlowError()"


class Peer:
    """One that is whole for so many times, cut off or not."""

    who = Who("etcd", "tuned")

    def __init__(self, times):
        self.left = times

    @contextmanager
    def running(self, _folder, *, cables=False):
        yield self

    def beaten(self, *_given):
        self.left -= 1
        if self.left < 0:
            raise BenchFault("no leader")
        return Beaten(100.0, (1,))


def test_a_cut_of_a_peer_without_its_equal_time_is_left_out(tmp_path):
    found = Heal(tmp_path, Syncs(tmp_path), [Theirs(Peer(5), lost=False, seconds=4)], quiet)
    assert [(row.who.system, row.n) for row in found.run(10)] == [("etcd", 2)]
    assert found.broken.why == "BenchFault: no leader"


def test_what_a_drill_was_broken_off_for_is_in_the_bench_s_own_words():
    checks = [{"name": "played", "held": False, "violations": ["TooSlowError"]}]
    with pytest.raises(BenchFault, match="played \\['TooSlowError'\\]"):
        heal.checked({"checks": checks})


class System:
    """One that gives what it was told to, and then ends."""

    def __init__(self, name, turns):
        self.who, self.left = Who(name, "v"), turns

    @contextmanager
    def running(self, _folder):
        self.left -= 1
        if self.left < 0:
            raise BenchFault(f"{self.who.system} ended with code 1")
        yield self

    def pids(self):
        return []

    def commit(self, _callers, count, _seconds):
        return Turn((1.0,), count, 1.0)


def test_commits_before_a_system_that_ended_are_told(tmp_path):
    found = Commit(tmp_path, Syncs(tmp_path), [System("a", 9), System("b", 0)], 10, quiet)
    assert [(row.who.system, row.callers, row.n) for row in found.run(2)] == [("a", 1, 1), ("a", 32, 1)]
    assert found.broken.why == "BenchFault: b ended with code 1"


@pytest.fixture
def no_nodes(monkeypatch):
    """Nothing is made, and nothing runs."""

    @contextmanager
    def running(*_given):
        yield None

    for module in (restart, snapshot):
        monkeypatch.setattr(module.pki, "create", lambda *_given: None)
        monkeypatch.setattr(module.Ours, "running", running)
    monkeypatch.setattr(restart.Writer, "write", lambda *_given: None)
    monkeypatch.setattr(restart.Writer, "fill", lambda *_given: 9)


def test_restarts_before_one_that_never_caught_up_are_told(tmp_path, monkeypatch, no_nodes):
    left = [(700.0, 500.0)]

    def restarted(*_given):
        if not left:
            raise BenchFault("n2 did not catch up")
        return left.pop()

    (tmp_path / "n1").mkdir()
    monkeypatch.setattr(Restart, "_restart", restarted)
    found = Restart(tmp_path, Syncs(tmp_path), quiet)
    (row,) = found.run(1000, 5)
    assert (row.n, row.max_ms, found.broken.why) == (1, 700.0, "BenchFault: n2 did not catch up")


def test_snapshots_before_one_that_was_not_sent_are_told(tmp_path, monkeypatch, no_nodes):
    def once(self, _cluster, number):
        if number:
            raise BenchFault("no whole snapshot was sent to n2")
        self.lasted.append({"taking": 5.0, "sending": 6.0})

    monkeypatch.setattr(Snapshot, "_round", once)
    found = Snapshot(tmp_path, Syncs(tmp_path), 10, quiet)
    assert [(row.who.variant, row.n) for row in found.run(10, 5)] == [("transfer", 1)]
    assert "no whole snapshot" in found.broken.why


def laden_rows(*_given):
    yield Row("growth failover", Who("meltica", "1 open, 0 in doubt"), 5)
    raise BenchFault("100 open, 10 in doubt: TooSlowError()")


def test_a_document_says_it_and_the_exit_code_too_and_the_table_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(laden, "rows", laden_rows)
    monkeypatch.setattr(run, "quiet", lambda *_given: 0.0)
    words = ["bench", "growth", "--of", "failover", "--folder", str(tmp_path)]
    done = CliRunner().invoke(commands, [*words, "-o", "json"])
    assert done.exit_code == Exit.FAILED
    found = json.loads(done.stdout)
    assert found["broken_off"] == "failover: BenchFault: 100 open, 10 in doubt: TooSlowError()"
    assert [row["variant"] for row in found["rows"]] == ["1 open, 0 in doubt"]
    text = "\n".join(markdown(gathered(newest([found]))))
    assert f"**Broken off**, so that some of it is missing: growth failover: {found['broken_off']}" in text
    done = CliRunner().invoke(commands, words)
    assert (done.exit_code, "BROKEN OFF" in done.stdout) == (Exit.FAILED, True)


def ended(_wish, _syncs, _say):
    """A bench that somebody ends after its first turn."""
    found = [Row("apply", Who("meltica", "1 an entry"), 5)]
    with so_far(found) as broken:
        signal.raise_signal(signal.SIGTERM)
    return run.Found(found, 0, broken.why)


def test_who_ends_a_bench_is_told_the_figures_so_far(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "quiet", lambda *_given: 0.0)
    monkeypatch.setitem(run.RUNS, "apply", ended)
    done = CliRunner().invoke(commands, ["bench", "apply", "--folder", str(tmp_path), "-o", "json"])
    found = json.loads(done.stdout)
    assert (done.exit_code, found["broken_off"]) == (Exit.FAILED, "KeyboardInterrupt: SIGTERM came")
    assert [row["n"] for row in found["rows"]] == [5]
    assert not [*tmp_path.iterdir()]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def wished(tmp_path, of):
    return run.wish_of("growth", folder=str(tmp_path), rounds=2, samples=9, of=of, commands=100)


def test_a_kind_of_growth_that_is_broken_off_keeps_its_rows_and_the_others(tmp_path, monkeypatch):
    def applies(*_given):
        yield Row("growth apply", Who("meltica", "10 orders"), 5)

    def held(_self, _commands):
        raise BenchFault("no election held still for one slice")

    monkeypatch.setattr(laden, "rows", laden_rows)
    monkeypatch.setattr(run, "applies", applies)
    monkeypatch.setattr(memory, "core_rows", lambda *_given: [Row("growth memory", Who("meltica", "core"), 9)])
    monkeypatch.setattr(memory.Nodes, "rows", held)
    found = run._growth(wished(tmp_path, "failover,memory,apply"), Syncs(tmp_path), quiet)
    assert [row.what for row in found.rows] == ["growth failover", "growth memory", "growth apply"]
    assert found.broken_off == (
        "failover: BenchFault: 100 open, 10 in doubt: TooSlowError(); "
        "memory: BenchFault: no election held still for one slice"
    )

    def nothing(*_given):
        raise BenchFault("no disk")

    monkeypatch.setattr(run.Commits, "rows", nothing)
    with pytest.raises(BenchFault, match="commit: BenchFault: no disk"):
        run._growth(wished(tmp_path, "commit"), Syncs(tmp_path), quiet)


def test_behind_who_ends_it_no_kind_of_growth_is_tried(tmp_path, monkeypatch):
    tried = []

    def rows(*_given):
        yield Row("growth failover", Who("meltica", "1 open, 0 in doubt"), 5)
        raise KeyboardInterrupt

    monkeypatch.setattr(laden, "rows", rows)
    monkeypatch.setattr(run, "applies", lambda *_given: tried.append(1) or [])
    found = run._growth(wished(tmp_path, "failover,apply"), Syncs(tmp_path), quiet)
    assert (len(found.rows), found.broken_off, tried) == (1, "failover: KeyboardInterrupt", [])


@pytest.mark.parametrize("kind", ["commit", "apply", "failover"])
def test_turns_of_growth_before_one_that_was_broken_off_are_told(kind, tmp_path, monkeypatch):
    left = [1.0] * 3

    def seconds(*_given):
        if not left:
            raise BenchFault("no leader")
        return left.pop()

    @contextmanager
    def running(*_given):
        yield None

    monkeypatch.setattr(growth.Ours, "running", running)
    monkeypatch.setattr(growth.Commits, "_filled", lambda *_given: tmp_path)
    monkeypatch.setattr(growth.Commits, "_turn", lambda *_given: Turn((seconds(),), 1, 1.0))
    monkeypatch.setattr(growth, "log_beside", lambda *_given: ([], [()]))
    monkeypatch.setattr(growth, "_seconds", seconds)
    monkeypatch.setattr(laden, "_struck", lambda *_given: {"gap_ms": seconds(), "had": 1, "age_ms": 1.0})
    made, of = {
        "commit": (growth.Commits(tmp_path, 1, 2, quiet).rows([10, 1_000]), "orders"),
        "apply": (applies([10, 1_000], 1, 2, quiet), "orders"),
        "failover": (laden.rows([10, 1_000], [0], 2, tmp_path, quiet), "open, 0 in doubt"),
    }[kind]
    rows = [next(made), next(made)]
    assert [(row.who.variant, row.n) for row in rows] == [(f"10 {of}", 2), (f"1,000 {of}", 1)]
    with pytest.raises(BenchFault, match="no leader"):
        next(made)


def test_looks_at_nodes_before_a_slice_that_was_broken_off_are_told(tmp_path, monkeypatch):
    @contextmanager
    def running(*_given):
        yield None

    def slice_(_self, _cluster, commands):
        if commands > 1 and not made.append(commands) and len(made) > 2:
            raise BenchFault("no election held still")
        return commands

    made = []
    monkeypatch.setattr(memory.Ours, "running", running)
    monkeypatch.setattr(memory.pki, "create", lambda *_given: None)
    monkeypatch.setattr(memory.Nodes, "_slice", slice_)
    monkeypatch.setattr(
        memory.Nodes, "_look", lambda _self, _cluster, done, found: [one.append((done, 9.0)) for one in found.values()]
    )
    rows = memory.Nodes(tmp_path, quiet).rows(100)
    found = [next(rows) for _ in range(6)]
    assert [row.value("commands") for row in found] == [0, 10, 20] * 2
    with pytest.raises(BenchFault, match="no election"):
        next(rows)


def test_a_figure_of_the_core_is_of_a_process_of_its_own():
    rows = memory.core_rows(40, quiet)
    assert len(rows) == memory.SLICES + 1
    assert rows[-1].value("commands") >= 40


def test_figures_of_two_builds_are_none_of_either(tmp_path, monkeypatch):
    builds = iter(["0123456789ab", "0123456789ab-dirty"])
    monkeypatch.setattr(run, "quiet", lambda *_given: 0.0)
    monkeypatch.setattr(run, "commit", lambda: next(builds))
    monkeypatch.setitem(run.RUNS, "apply", lambda *_given: run.Found([]))
    found = run.run_bench(run.wish_of("apply", folder=str(tmp_path)), quiet)
    assert found["commit"] == "0123456789ab"
    assert "from 0123456789ab to 0123456789ab-dirty" in found["broken_off"]


def test_a_whole_one_says_nothing_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "quiet", lambda *_given: 0.0)
    monkeypatch.setitem(run.RUNS, "apply", lambda *_given: run.Found([]))
    done = CliRunner().invoke(commands, ["bench", "apply", "--folder", str(tmp_path), "-o", "json"])
    assert (done.exit_code, "broken_off" in json.loads(done.stdout)) == (0, False)
