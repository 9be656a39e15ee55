"""Verify: each kind of damage to a stopped node's folder is told, and looking changes nothing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from random import Random

import pytest
from attrs import evolve

from cluster import members
from cluster.members import AddLearner, Configuration, Member, follow
from cluster.rocks import RocksStore, open_readonly
from cluster.sides import SIDES
from cluster.snapshot.faces import Splice
from cluster.snapshot.splicing import splice_of
from cluster.store import Memory, StoredEntry, WrongFolder
from cluster.stored import encode_sides
from cluster.types import LogIndex, Peer, Term
from cluster.wire import NO_OP, pack_commands
from meltica import diverged, verify
from meltica.core import commands as c
from meltica.core.codec import encode_command
from meltica.core.keys import FORMS, hash_of
from meltica.core.state import META, State
from meltica.core.values import Epoch, Index, Nanos, RequestId
from meltica.core.wire import encode
from meltica.machine import Machine
from tests.meltica.core.harness import by
from tests.meltica.test_machine import history

N1 = Peer("n1")
FLIPS = 6  # a file
NAMES = ["files", "write-ahead log", "sides", "log", "members", "remembered", "audit", "state", "replay", "agreed"]


class Writer:
    """A node that applies what it is given, and keeps it as a node does."""

    def __init__(self, folder: Path, name: Peer = N1) -> None:
        self.machine = Machine()
        self.store = RocksStore(folder, "c0ffee", name, first_start=True)
        self.index = 0
        self.term = 1

    def log(self, term: int, *commands: bytes) -> int:
        self.index += 1
        self.term = term
        payload = pack_commands(commands) if commands else NO_OP
        self.store.append(StoredEntry(LogIndex(self.index), Term(term), payload))
        return self.index

    def keep(self, index: int, outcome) -> None:
        for key, value in outcome.writes:
            self.store.put_state(key, value)
        for place, record in enumerate(outcome.audit):
            self.store.put_audit(LogIndex(index), place, record)
        self.store.set_vote(Term(self.term), N1)
        self.store.set_commit(LogIndex(self.index))
        self.store.set_applied(LogIndex(index))
        self.store.commit()

    def entry(self, term: int, *commands: bytes) -> None:
        index = self.log(term, *commands)
        self.keep(index, self.machine.apply(LogIndex(index), Term(term), commands))

    def install(self, other: Writer, *, splice: Callable[[Splice], Splice] = lambda one: one) -> None:
        """The state of another, as a replica installs it."""
        store, source = self.store, other.store.source()
        store.stage_anew(b"offer")
        store.stage(source.read(b"", 1 << 40))
        store.commit()
        store.install(source.entry, splice(splice_of(self.machine, b"digest", store.read_staged)))
        store.commit()
        source.close()
        self.index = other.index
        self.machine.load(LogIndex(self.index), store.state())

    def flush(self) -> None:
        """Out of the write-ahead log, into files of sorted data."""
        for family in ("meta", "entries", "state", "audit"):
            self.store._db.get_column_family(family).flush()

    def image(self, to: Path) -> Path:
        """As kill -9 leaves it."""
        self.store._noted_at = 0
        self.store.sync()
        shutil.copytree(self.store.path, to)
        (to / "home").unlink()
        os.link(self.store.path / "home", to / "home")  # no copy, as far as the folder is concerned
        return to


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A node's folder, as kill -9 leaves it: files of every family, and a write-ahead log; and its state's digest."""
    folder = tmp_path_factory.mktemp("verify")
    writer = Writer(folder / "live")
    writer.entry(1)
    log = history().log
    for _, _, commands in log[: len(log) // 2]:
        writer.entry(1, *commands)
    writer.flush()
    for _, _, commands in log[len(log) // 2 :]:
        writer.entry(1, *commands)
    writer.store.set_memory(Memory((1, 2), (0, 0), ((Peer("n2"), (1, 2)),)))
    writer.store.commit()
    digest = writer.machine.state.digest()
    image = writer.image(folder / "image")
    writer.store.close()
    return image, digest


@pytest.fixture
def folder(written, tmp_path):
    return clone(written[0], tmp_path / "data")


def clone(image: Path, to: Path) -> Path:
    shutil.copytree(image, to)
    (to / "home").unlink()
    os.link(image / "home", to / "home")
    return to


def look(folder: Path, *, replay: bool = True) -> dict[str, verify.Finding]:
    found = verify.verify(folder, lambda _what, _done, _most: None, replay=replay)
    return {one.name: one for one in found.findings}


def damaged(folder: Path) -> dict[str, str]:
    return {name: one.text for name, one in look(folder).items() if one.held is False}


def change(folder: Path, how: Callable[[RocksStore], None]) -> None:
    """Something is written into the folder, checksums and all."""
    store = RocksStore(folder, "c0ffee", N1)
    how(store)
    store.commit()
    store.sync()
    store.close()


def files_of(folder: Path) -> dict[str, object]:
    found: dict[str, object] = {"": folder.stat().st_mtime_ns}
    for file in folder.iterdir():
        stat = file.lstat()
        found[file.name] = (stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_nlink, file.read_bytes())
    return found


def test_a_whole_folder_is_whole_and_each_check_has_looked_at_something(written, folder):
    found = verify.verify(folder, lambda _what, _done, _most: None)
    assert [one.name for one in found.findings] == NAMES
    assert [one.text for one in found.findings if not one.held] == []
    assert all(one.looked_at for one in found.findings)
    assert found.whole
    assert (found.node, found.cluster) == ("n1", "c0ffee")
    assert (found.digest, found.replayed) == (written[1], written[1])


def test_looking_changes_nothing_not_even_a_time_and_leaves_nothing_behind(folder, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    before = files_of(folder)
    look(folder)
    assert files_of(folder) == before
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_folder_without_the_lock_s_file_gets_none(folder):
    (folder / "meltica.lock").unlink()
    before = files_of(folder)
    assert damaged(folder) == {}
    assert files_of(folder) == before


def test_a_folder_that_a_process_has_open_is_refused(folder):
    store = RocksStore(folder, "c0ffee", N1)
    with pytest.raises(WrongFolder, match=f"pid {os.getpid()}"):
        look(folder)
    store.close()
    assert damaged(folder) == {}


def test_a_bit_flipped_in_any_file_is_told_or_harmless(written, tmp_path):
    """Harmless is only what a node does not read, or rebuilds: then all is found as it was."""
    image, digest = written
    random, told = Random(6), set()  # noqa: S311  # seeded
    for name in sorted(file.name for file in image.iterdir() if file.stat().st_size):
        for turn in range(FLIPS):
            folder = clone(image, tmp_path / f"{name}-{turn}")
            raw = bytearray((folder / name).read_bytes())
            place = random.randrange(len(raw))
            raw[place] ^= 1 << random.randrange(8)
            (folder / name).write_bytes(raw)
            found = verify.verify(folder, lambda _what, _done, _most: None)
            if found.whole:
                assert (found.digest, found.replayed) == (digest, digest), f"{name}: byte {place}"
            else:
                told.add(name.split("-")[0].split(".")[-1])
            shutil.rmtree(folder)
    assert told >= {"sst", "log", "MANIFEST", "CURRENT"}


def test_damage_is_told_of_the_folder_and_not_of_where_it_was_read(folder):
    for table in folder.glob("*.sst"):
        raw = bytearray(table.read_bytes())
        raw[10] ^= 1
        table.write_bytes(raw)
    found = damaged(folder)
    assert found.keys() >= {"audit", "state"}
    assert all("meltica-reading" not in text for text in found.values())


def test_a_write_ahead_log_that_lost_its_end_is_told(folder):
    log = max(folder.glob("*.log"), key=lambda file: int(file.stem))
    log.write_bytes(log.read_bytes()[:-100])
    assert "lost its end" in damaged(folder)["write-ahead log"]


def test_a_value_that_was_changed_without_its_sum_does_not_add_up(folder):
    def how(store: RocksStore) -> None:
        key, value = next((key, value) for key, value in store.state() if key.startswith(b"position"))
        store.put_state(key, value.replace(b"0.04", b"0.05"))

    change(folder, how)
    found = damaged(folder)
    assert "does not add up" in found["state"]
    assert "position/" in found["replay"]


def test_a_value_that_was_changed_together_with_its_sum_is_seen_by_the_replay_alone(written, folder):
    def how(store: RocksStore) -> None:
        pairs = dict(store.state())
        key = next(key for key in pairs if key.startswith(b"position"))
        new = pairs[key].replace(b"0.04", b"0.05")
        assert new != pairs[key]
        state = State.load(sorted(pairs.items()))
        total = (int(state.meta().sum, 16) + hash_of(key, new) - hash_of(key, pairs[key])) % (1 << 256)
        store.put_state(key, new)
        store.put_state(META, FORMS["meta"].write(evolve(state.meta(), sum=f"{total:064x}")))

    change(folder, how)
    found = damaged(folder)
    assert found.keys() == {"replay"}
    assert "the state differs from what the log makes, in " in found["replay"]
    assert "position/paper/main/BTCUSDT" in found["replay"]
    quick = look(folder, replay=False)
    assert {one.held for one in quick.values()} == {True, None}
    assert quick["replay"].held is None
    assert "was not asked for" in quick["replay"].text


def test_a_state_whose_chain_is_another_than_the_trail_s_is_told(folder):
    def how(store: RocksStore) -> None:
        state = State.load(sorted(store.state()))
        store.put_state(META, FORMS["meta"].write(evolve(state.meta(), chain="00" * 32)))

    change(folder, how)
    assert "of another history than the audit trail" in damaged(folder)["state"]


def test_a_broken_chain_is_told_with_its_place(folder):
    def how(store: RocksStore) -> None:
        index, place, raw = store.audit(LogIndex(3), 1)[0]
        chain = raw.index(b'"chain":"') + 9
        store.put_audit(index, place, raw[:chain] + b"00000000" + raw[chain + 8 :])

    change(folder, how)
    found = damaged(folder)
    assert "chain breaks at index 4 place 0" in found["audit"]
    assert found.keys() == {"audit", "replay"}


def test_a_changed_decision_which_the_chain_does_not_cover_is_told_by_the_replay(folder):
    def how(store: RocksStore) -> None:
        refused = next(one for one in store.audit(LogIndex(0), 999) if b'"accepted":false' in one[2])
        store.put_audit(refused[0], refused[1], refused[2].replace(b'"accepted":false', b'"accepted":true'))

    change(folder, how)
    found = damaged(folder)
    assert found.keys() == {"replay"}
    assert "the trail's decision at index" in found["replay"]


def test_a_changed_command_of_a_record_is_told(folder):
    def how(store: RocksStore) -> None:
        index, place, raw = next(one for one in store.audit(LogIndex(0), 999) if b'"kind":"submit"' in one[2])
        store.put_audit(index, place, raw.replace(b'"quantity":"0.1"', b'"quantity":"0.2"'))

    change(folder, how)
    assert "of another command than the log's" in damaged(folder)["audit"]


@pytest.mark.parametrize("which", [0, -1])
def test_a_record_that_is_gone_is_told(folder, which):
    def how(store: RocksStore) -> None:
        index, place, _ = store.audit(LogIndex(0), 999)[which]
        store._writing().delete(index.to_bytes(8, "big") + place.to_bytes(4, "big"), store._handles["audit"])

    change(folder, how)
    assert "audit" in damaged(folder)


def test_a_missing_entry_is_told(folder):
    change(folder, lambda store: store._writing().delete((3).to_bytes(8, "big"), store._handles["entries"]))
    found = damaged(folder)
    assert found["log"] == found["audit"] == "log entry 3 is damaged or missing"


def test_a_state_of_another_index_than_was_applied_is_told(folder):
    change(folder, lambda store: store.set_applied(LogIndex(store.meta().applied_index - 1)))
    found = damaged(folder)
    assert "was applied last" in found["state"]


def test_what_a_node_acknowledged_and_lacks_is_told_and_is_no_damage(folder):
    change(folder, lambda store: store.set_memory(Memory((1, 99), (1, 99), ())))
    found = look(folder)
    assert found["remembered"].held
    assert "acknowledged entry 99 of term 1 and lacks it" in found["remembered"].text


def test_a_copy_is_told_and_is_no_damage(written, tmp_path):
    copy = Path(shutil.copytree(written[0], tmp_path / "copy"))
    found = look(copy)
    assert all(one.held for one in found.values())
    assert "the folder is a copy" in found["remembered"].text


FOUNDERS = Configuration(0, tuple([Member(Peer(name), f"{name}:7400") for name in ("n1", "n2", "n3")]))
LEARNS = follow(FOUNDERS, AddLearner(Member(Peer("n4"), "n4:7400")))


def says(store, configuration):
    """An entry that says who takes part, at the log's end; its index."""
    index = LogIndex(store.bounds()[1] + 1)
    store.append(StoredEntry(index, Term(1), members.encode(configuration)))
    return index


def test_who_takes_part_as_the_log_says_it_is_whole(folder):
    change(folder, lambda store: store.set_places(((LogIndex(0), members.encode(FOUNDERS)),)))
    assert look(folder)["members"].held, "of the settings"
    change(folder, lambda store: store.set_places(((says(store, LEARNS), members.encode(LEARNS)),)))
    found = look(folder)["members"]
    assert (found.held, found.text) == (True, "configuration 1")


@pytest.mark.parametrize(
    ("places", "told"),
    [
        (lambda at: ((at, members.encode(FOUNDERS)),), "is not the configuration that is stored beside the log"),
        (lambda at: ((LogIndex(at + 5), members.encode(LEARNS)),), "is not the configuration that is stored"),
        (lambda at: ((at, b"\x11what"),), "what is stored of who takes part can't be read"),
        (lambda _: (), "says who takes part, and what is stored beside the log does not have it"),
    ],
)
def test_what_is_stored_of_who_takes_part_and_is_not_the_log_s_is_told(folder, places, told):
    """A node would not start on it, or start with others than the log says."""
    change(folder, lambda store: store.set_places(places(says(store, LEARNS))))
    assert told in damaged(folder)["members"]


def test_a_record_of_who_takes_part_that_can_t_be_read_is_told(folder):
    change(folder, lambda store: store._writing().put(b"members", b"torn", store._handles["meta"]))
    assert "the record of who takes part is damaged" in damaged(folder)["members"]


def test_a_side_that_is_named_and_not_there_is_told(folder):
    """The node would not start."""

    def how(store):
        sides = evolve(store._sides, staging=(99, b"an offer"))
        store._writing().put(SIDES, encode_sides(sides), store._handles["meta"])

    reader = open_readonly(folder)
    assert reader.sides().staging is None
    reader.close()
    change(folder, how)
    assert "what is staged of a snapshot, is missing" in damaged(folder)["sides"]


def test_a_node_that_differed_from_the_majority_is_told(folder):
    (folder / diverged.MARK).write_text("this node's state differed from the majority's at index 1000\n")
    assert "runbooks/states-differ.md" in damaged(folder)["agreed"]


def test_a_log_that_begins_later_says_what_can_t_be_shown(folder):
    """The trail begins at the first entry all the same."""
    change(folder, lambda store: store.drop_before(LogIndex(5)))
    found = look(folder)
    assert {name for name, one in found.items() if not one.held} == {"replay"}
    assert found["replay"].held is None
    assert "the log begins at entry 5" in found["replay"].text


def test_a_trail_that_begins_later_has_lost_its_beginning_unless_a_snapshot_was_installed(folder):
    def how(store: RocksStore) -> None:
        store.drop_before(LogIndex(5))
        store.drop_audit_before(LogIndex(5))

    change(folder, how)
    assert "chain breaks" in damaged(folder)["audit"]


FIRST, SECOND = (4, 7), (9, 10)  # entries applied before a snapshot, and the one that it brings


@pytest.fixture
def twice(tmp_path):
    """Writes a node that installed two snapshots of another's states, and applied the rest of the log itself."""

    def write(*, splice: Callable[[Splice], Splice] = lambda one: one, begins: int = FIRST[0]) -> Path:
        writer, other = Writer(tmp_path / "spliced"), Writer(tmp_path / "other")
        for place, (_, _, commands) in enumerate(history().log, start=1):
            other.entry(1, *commands)
            if place in {FIRST[1], SECOND[1]}:
                writer.install(other, splice=splice)
            elif place <= begins or FIRST[1] < place <= SECOND[0] or place > SECOND[1]:
                writer.entry(1, *commands)
        assert writer.machine.state.digest() == other.machine.state.digest()
        assert place > SECOND[1] + 1
        other.store.close()
        writer.store.sync()
        writer.store.close()
        return tmp_path / "spliced"

    return write


@pytest.mark.parametrize("begins", [0, FIRST[0]])
def test_where_snapshots_were_installed_the_trail_ends_and_goes_on_with_their_chains(twice, begins):
    folder = twice(begins=begins)
    found = verify.verify(folder, lambda _what, _done, _most: None)
    assert [one.name for one in found.findings if one.held is not True] == ["replay"]
    assert [(one.first, one.last) for one in found.gaps] == [(begins + 1, FIRST[1]), (SECOND[0] + 1, SECOND[1])]
    text = next(one.text for one in found.findings if one.name == "audit")
    assert f"over the entries from {begins + 1} to {FIRST[1]} (snapshot {b'digest'.hex()}) and the entries from" in text
    assert "other nodes have these" in text


def _lose(index: int) -> Callable[[RocksStore], None]:
    def how(store: RocksStore) -> None:
        found = [one for one in store.audit(LogIndex(index - 1), 99) if one[0] == index]
        assert found
        for _, place, _ in found:
            store._writing().delete(index.to_bytes(8, "big") + place.to_bytes(4, "big"), store._handles["audit"])

    return how


@pytest.mark.parametrize("index", [2, FIRST[0], FIRST[1] + 1, SECOND[0], SECOND[1] + 1])
def test_a_record_that_lacks_beside_a_snapshot_s_gap_is_told(twice, index):
    folder = twice()
    change(folder, _lose(index))
    assert "audit" in damaged(folder)


@pytest.mark.parametrize("kept", [0, 1])
def test_a_gap_that_no_installation_explains_is_damage(twice, kept):
    """The record of installations says less than what lacks."""
    folder = twice()
    change(folder, lambda store: store._set_sides(evolve(store._sides, gaps=(store.gaps()[kept],))))
    assert "audit" in damaged(folder)


@pytest.mark.parametrize("end", ["before", "behind"])
def test_a_snapshot_of_another_history_than_the_trail_is_damage(twice, end):
    folder = twice(splice=lambda one: evolve(one, **{end: b"x" * 32}))
    assert "audit" in damaged(folder)


def test_a_changed_command_behind_a_snapshot_s_gap_is_told_though_the_log_has_dropped_it(twice):
    folder = twice()

    def how(store: RocksStore) -> None:
        index, place, raw = store.audit(LogIndex(FIRST[1]), 1)[0]
        document = json.loads(raw)
        assert index < store.bounds()[0]
        document["command"]["at"] = 12345
        store.put_audit(index, place, encode(document).encode())

    change(folder, how)
    assert "chain breaks" in damaged(folder)["audit"]


def test_an_entry_that_was_isolated_is_passed_in_the_replay_too(tmp_path):
    """Though this build could apply it."""
    writer = Writer(tmp_path / "data")
    writer.entry(1)
    for _, _, commands in history().log:
        writer.entry(1, *commands)
    poison = (b"{}", b"\xff")
    digest = blake2b(pack_commands(poison), digest_size=32).hexdigest()
    index = writer.log(1, *poison)
    skips = [
        encode_command(c.SkipEntry(Epoch(1), Nanos(0), Index(index), digest, role, by(RequestId(role))))
        for role in ("operator", "approver")
    ]
    for skip in skips:
        writer.log(1, skip)
    writer.machine.stopped(LogIndex(index), digest, ValueError("a fault"))
    writer.keep(index, writer.machine.isolate(LogIndex(index), Term(1), poison))
    for behind, skip in enumerate(skips, index + 1):
        writer.keep(behind, writer.machine.apply(LogIndex(behind), Term(1), (skip,)))
    writer.store.close()
    found = look(tmp_path / "data")
    assert {one.text for one in found.values() if not one.held} == set()
    assert list(writer.machine.state.isolated) == [index]
