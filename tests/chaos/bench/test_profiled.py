"""Samples of processor time: which function had it, and what is told of them."""

from __future__ import annotations

import signal
import threading
import time
import zlib

import pytest

from chaos.bench import apply
from chaos.bench.commit import Commit
from chaos.bench.disk import Syncs
from chaos.bench.figures import Turn, Who
from chaos.bench.profiled import OTHER_THREADS, Profile, Sampled, by_function, cumulated, itself, module_of
from chaos.bench.run import run_bench, wish_of
from chaos.bench.sampler import Sampler
from chaos.bench.systems import OurCluster

STACKS = {"trio._run:run;cluster.a:f;cluster.b:g": 30.0, "trio._run:run;cluster.a:f": 10.0, OTHER_THREADS: 60.0}


def test_a_function_has_what_it_used_itself_and_what_it_called():
    assert by_function(STACKS) == {"cluster.b:g": 30.0, "cluster.a:f": 10.0, OTHER_THREADS: 60.0}
    assert itself(STACKS) == {"cluster.b": 30.0, "cluster.a": 10.0, OTHER_THREADS: 60.0}
    whole = cumulated(STACKS, module_of)
    assert whole == {"trio": 40.0, "cluster.a": 40.0, "cluster.b": 30.0, OTHER_THREADS: 60.0}


def test_what_calls_itself_counts_once():
    assert cumulated({"m:f;m:f;m:g": 5.0}, str) == {"m:f": 5.0, "m:g": 5.0}


def test_turns_of_one_part_stand_together_and_a_share_is_told_a_command_too():
    profile = Profile()
    for _ in range(2):
        profile.add("a part", Sampled(STACKS, {"cluster.b:g line 7": 30.0}, 25, 100.0, 20, 50.0, 5, 1000.0), 10)
    text = profile.text().splitlines()
    assert text[0] == "== a part"
    assert text[1] == "50 samples; 20 commands; 10.0 us of this process's processor time a command"
    assert text[2].endswith("2.00 a command, 2.5 us each on the clock")
    assert text[3] == "syncs: 0.50 a command, 200.0 us each on the clock"
    assert next(line.split() for line in text if "cluster.b:g" in line) == ["30.0%", "3.0", "cluster.b:g"]
    assert " 60.0%       6.0  (other threads)" in text
    assert " 30.0%       3.0  cluster.b:g line 7" in text


def burn(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        zlib.crc32(bytes(1000))


@pytest.fixture
def sampler():
    found = Sampler()
    yield found
    if found.running:
        found.end()


def test_it_is_seen_which_function_had_the_processor(sampler):
    sampler.begin()
    burn(0.1)
    found = sampler.end()
    assert found.samples >= 5
    name = f"{__name__}:burn"
    assert by_function(found.stacks)[name] > 0.5 * sum(found.stacks.values())
    assert cumulated(found.stacks, str)[f"{__name__}:test_it_is_seen_which_function_had_the_processor"] > 50_000
    assert any(line.startswith(f"{name} line ") for line in found.lines)
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


def test_what_another_thread_used_is_no_function_of_this_one(sampler):
    sampler.begin()
    thread = threading.Thread(target=zlib.crc32, args=(bytes(100_000_000),))  # without the interpreter's lock
    thread.start()
    thread.join()
    found = sampler.end()
    assert found.stacks[OTHER_THREADS] > 0.5 * sum(found.stacks.values())


def test_steps_and_syncs_are_heard_while_it_samples_and_no_longer(sampler):
    sampler.stepped(9)
    sampler.begin()
    sampler.stepped(3_000)
    sampler.synced(5_000)
    found = sampler.end()
    sampler.synced(9)
    assert (found.steps, found.steps_us, found.syncs, found.syncs_us) == (1, 3.0, 1, 5.0)
    assert len(sampler.syncs) == 1


class Nodes(OurCluster):
    """Three nodes that are none."""

    def pids(self):
        return []

    def commit(self, callers, count, seconds):
        return Turn((1.0,), 10, 1.0)

    def sample(self):
        self.children["asked"] = None

    def sampled(self):
        return [(role, Sampled({"cluster.a:f": 1.0}, {}, 1, 50.0)) for role in ("leader", "standbys", "standbys")]


class One:
    who = Who("meltica", "core")

    def __init__(self, tmp_path):
        self.nodes = Nodes(tmp_path, "core", {})

    def running(self, _folder):
        return self

    def __enter__(self):
        return self.nodes

    def __exit__(self, *_):
        return None


@pytest.mark.parametrize("profile", [None, Profile()])
def test_a_commit_is_sampled_by_role_and_callers_only_if_it_was_asked_for(profile, tmp_path):
    one = One(tmp_path)
    Commit(tmp_path, Syncs(tmp_path), [one], 10, lambda _text: None, 1.0, profile).run(2)
    assert bool(one.nodes.children) is (profile is not None)
    if profile is not None:
        roles = [(callers, role) for callers in (1, 32) for role in ("leader", "standbys")]
        assert [*profile.found] == [f"commit, core, {callers} callers: {role}" for callers, role in roles]
        assert [*profile.commands.values()] == [20, 40, 20, 40]  # a standby's own, of each of two


def test_apply_writes_its_profile_where_it_was_asked_to(tmp_path, monkeypatch):
    monkeypatch.setattr("chaos.bench.run.quiet", lambda _wait, _say: 0.0)
    monkeypatch.setattr(apply, "BATCHES", (1,))
    path = tmp_path / "profile.txt"
    wish = wish_of("apply", rounds=1, samples=300, folder=str(tmp_path), profile=str(path))
    found = run_bench(wish, lambda _text: None)
    assert found["profiled"] is True
    heads = [line for line in path.read_text().splitlines() if line.startswith("==")]
    assert heads == [f"== {what}, 1 an entry" for what in ("apply", "decode", "encode")]
    assert "profiled" not in run_bench(
        wish_of("apply", rounds=1, samples=300, folder=str(tmp_path)), lambda _text: None
    )
