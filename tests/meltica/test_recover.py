"""A new cluster out of the one folder that is left: what is planned, what is made, and what a kill leaves of it."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import socket
import subprocess
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from chaos.rig.processes import claimed_ports
from cluster import founding, members
from cluster.adopted import Adopted, Placed
from cluster.founding import check_place, unfinished
from cluster.members import Configuration, Member
from cluster.rocks import RocksStore, open_readonly
from cluster.store import Memory, Meta, StoredEntry, StoreFault, WrongFolder
from cluster.survivor import Survivor, founding_term
from cluster.types import LogIndex, Peer, Term
from cluster.wire import pack_commands
from meltica.archive.records import read_record
from meltica.build import own_build
from meltica.cli.cluster_files import Plan as Layout
from meltica.cli.cluster_files import texts
from meltica.config import NodeSettings, load
from meltica.core import commands as c
from meltica.core.codec import encode_command
from meltica.core.state import State
from meltica.core.values import Mode, Nanos, NodeName, Side, Trading
from meltica.machine import Machine
from meltica.recover import CAUSE, CantRecover, Plan, Wish, carry_out, held, plan, seek
from meltica.together import together
from meltica.verify import verify
from tests.meltica.core.harness import wish
from tests.meltica.test_machine import history
from tests.meltica.test_verify import Writer, clone, files_of

OLD, N1, NODES = "c0ffee", Peer("n1"), ("n1", "n2", "n3")
WISH = Wish("ann", "two machines burned")
TAIL = 3  # entries that the survivor never heard to be committed
PAPERS = {"recovered.json": b"{}\n"}


def quiet(*_told: Any) -> None:
    """Nobody listens."""


@cache
def base() -> int:
    """Of ports that are this process's for as long as it lives: a recovery asks whether anybody listens there."""
    held = ExitStack()
    atexit.register(held.close)
    return held.enter_context(claimed_ports(23900))


def settings_in(folder: Path, cluster: str = OLD) -> NodeSettings:
    layout = Layout("demo", cluster, 3, base(), base() + 80, "k" * 64)
    for path, text in texts(layout).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text.replace('account = "trader"', 'account = "main"'))  # the history's
    return load(folder / "nodes" / "n1" / "meltica.toml", check_files=False)


@pytest.fixture
def settings(tmp_path: Path) -> NodeSettings:
    return settings_in(tmp_path / "cluster")


def survived(folder: Path) -> Path:
    """A node's folder as kill -9 leaves it, with a tail that is not committed; a bid of it was never sent."""
    writer = Writer(folder / "live")
    hand = history()
    for _, _, commands in hand.log:
        writer.entry(1, *commands)
    bid = evolve(wish(Side.BUY, "0.1", "59000"), epoch=hand.epoch, at=Nanos(hand.now + 1))
    writer.log(1, encode_command(bid))
    writer.log(1)
    writer.log(1)
    writer.store.set_memory(Memory((1, 2), (0, 0), ((Peer("n2"), (1, 2)),)))
    writer.store.commit()
    (folder / "live" / "mandate.numbers").write_bytes(b"epoch 00000000000000000001 next 00000000000000000000\n")
    (folder / "live" / "archive").mkdir()
    (folder / "live" / "archive" / "a note").write_text("kept")
    image = writer.image(folder / "image")
    writer.store.close()
    return image


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return survived(tmp_path_factory.mktemp("recover"))


@pytest.fixture
def folder(image: Path, tmp_path: Path) -> Path:
    return clone(image, tmp_path / "data")


def answering(folder: Path, settings: NodeSettings) -> list[str]:
    """Who is not lost."""
    return [str(one) for one in seek(folder, settings) if one.heard]


def planned(folder: Path, settings: NodeSettings, wish: Wish = WISH) -> Plan:
    return plan(folder, verify(folder, quiet), settings, wish, ())


def recovered(folder: Path, settings: NodeSettings, out: Path, wish: Wish = WISH) -> Plan:
    with held(folder):
        made = planned(folder, settings, wish)
        carry_out(made, out, PAPERS, quiet)
    return made


def change(folder: Path, how: Any) -> None:
    store = RocksStore(folder, OLD, N1)
    how(store)
    store.commit()
    store.sync()
    store.close()


def state_in(store: RocksStore) -> State:
    return State.load(store.state())


# --- what is found ----------------------------------------------------------------------------------------------


def test_it_says_what_there_is_and_takes_the_log_s_end(folder: Path, settings: NodeSettings) -> None:
    made = planned(folder, settings)
    survivor = made.survivor
    assert (survivor.cluster, survivor.node, survivor.first, survivor.tail) == (OLD, "n1", 1, TAIL)
    assert (survivor.missing, survivor.lacks) == (0, ())
    assert (made.stored.open, made.taken.open, made.taken.in_doubt) == (3, 4, 3)
    assert made.taken.clock == made.stored.clock + 1
    assert made.taken.positions[0] == ("paper", "BTCUSDT", "1.04")
    assert made.founding.nodes == NODES
    assert made.founding.term == 1_000_000
    assert made.lost == ("n2", "n3")


def test_what_it_knows_to_be_missing_is_counted(folder: Path, settings: NodeSettings) -> None:
    last = planned(folder, settings).survivor.last
    change(folder, lambda store: store.set_memory(Memory((1, last + 7), (2, last - 2), ((Peer("n2"), (1, last)),))))
    survivor = planned(folder, settings).survivor
    assert [(lack.rank, lack.at_least) for lack in survivor.lacks] == [((2, last - 2), 1), ((1, last + 7), 7)]
    assert survivor.missing == 7


NOBODY = Survivor(OLD, N1, 1, 9, 3, 4, 8, 8, Memory(), (), suspect=False)


@pytest.mark.parametrize(
    ("survivor", "term"),
    [
        (NOBODY, 1_000_000),
        (evolve(NOBODY, term=999_999), 1_000_000),
        (evolve(NOBODY, last_term=1_000_000), 2_000_000),
        (evolve(NOBODY, term=1_000_003), 2_000_000),
        (evolve(NOBODY, memory=Memory((1_000_000, 4))), 2_000_000),
        (evolve(NOBODY, memory=Memory(owed=(2_000_000, 4))), 3_000_000),
        (evolve(NOBODY, memory=Memory(peers=((Peer("n2"), (3_999_999, 1)),))), 4_000_000),
    ],
)
def test_the_term_is_above_all_that_the_folder_knows_of(survivor: Survivor, term: int) -> None:
    assert founding_term(survivor) == term


def test_planning_changes_nothing(folder: Path, settings: NodeSettings) -> None:
    before = files_of_all(folder)
    planned(folder, settings)
    assert files_of_all(folder) == before


def files_of_all(folder: Path) -> dict[str, Any]:
    archive = {path.name: path.read_bytes() for path in (folder / "archive").iterdir()}
    hidden = folder.parent / "archive aside"
    shutil.move(folder / "archive", hidden)
    try:
        found = files_of(folder)
    finally:
        shutil.move(hidden, folder / "archive")
    found.pop("")
    return {**found, **archive}


def test_the_lost_nodes_are_the_old_cluster_s_whatever_nodes_the_settings_name_now(
    folder: Path, settings: NodeSettings
) -> None:
    report = [c.NodeReport(NodeName(name), "B", "config", 1, 1) for name in ("n1", "n4", "n5")]
    state = stored(folder)
    assert state.epoch is not None
    said = encode_command(c.NodesReported(state.epoch.epoch, Nanos(state.clock), tuple(report)))

    def how(store: RocksStore) -> None:
        store.append(StoredEntry(LogIndex(store.bounds()[1] + 1), Term(1), pack_commands((said,))))

    change(folder, how)
    assert planned(folder, settings).lost == ("n4", "n5")


# --- what is made -----------------------------------------------------------------------------------------------


def test_each_node_has_a_folder_that_is_whole_and_starts_halted_under_its_name_alone(
    folder: Path, settings: NodeSettings, tmp_path: Path
) -> None:
    before = files_of_all(folder)
    made = recovered(folder, settings, tmp_path / "out")
    assert files_of_all(folder) == before, "the evidence"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [*NODES, "recovered.json"]
    looked = [verify(tmp_path / "out" / name, quiet) for name in NODES]
    assert [[one.text for one in each.findings if not one.held] for each in looked] == [[], [], []]
    assert {(each.digest, each.replayed, each.cluster) for each in looked} == {
        (made.digest, made.digest, made.founding.cluster)
    }
    assert all(one.held for one in together(looked, quiet))
    for name in NODES:
        store = RocksStore(tmp_path / "out" / name, made.founding.cluster, Peer(name))
        state = state_in(store)
        assert (state.risk.trading, state.mode) == (Trading.HALTED, Mode.MANUAL)
        assert list(state.risk.halts) == [CAUSE]
        assert not store.suspect
        store.close()
        for cluster, other in ((OLD, name), (made.founding.cluster, "n9"), (OLD, "n1")):
            with pytest.raises(WrongFolder, match="belongs to node"):
                RocksStore(tmp_path / "out" / name, cluster, Peer(other))


def test_no_vote_no_word_and_nothing_of_the_old_node_s_life_goes_along(
    folder: Path, settings: NodeSettings, tmp_path: Path
) -> None:
    change(folder, lambda store: (store.stage_anew(b"offer"), store.set_vote(Term(7), Peer("n3"))))
    made = recovered(folder, settings, tmp_path / "out")
    last = LogIndex(made.index)
    for name in NODES:
        reader = open_readonly(tmp_path / "out" / name)
        assert reader.meta() == Meta(made.founding.term, None, last, last)
        assert (reader.memory(), reader.home()) == (Memory(), None)
        assert reader.sides().staging is None
        assert reader.bounds() == (1, last)
        reader.close()
        names = {path.name for path in (tmp_path / "out" / name).iterdir()}
        assert not names & {"home", "meltica.lock", "attested.jsonl", "first-start", "mandate.numbers"}
        assert (tmp_path / "out" / name / "archive" / "a note").read_text() == "kept"


def test_the_trail_says_who_did_it_and_why_and_what_is_missing(
    folder: Path, settings: NodeSettings, tmp_path: Path
) -> None:
    last = planned(folder, settings).survivor.last
    change(folder, lambda store: store.set_memory(Memory((1, last + 7))))
    made = recovered(folder, settings, tmp_path / "out")
    reader = open_readonly(tmp_path / "out" / "n2")
    records = [read_record(*found) for found in reader.audit(LogIndex(made.index - 1), 99)]
    kinds = [json.loads(found[2])["kind"] for found in reader.audit(LogIndex(made.index - 1), 99)]
    halt = State.load(reader.state()).risk.halts[CAUSE]
    reader.close()
    assert len(records) == len(kinds)
    assert kinds == ["epoch_started", "halt", "mode_set", "cluster_recovered", "approve_build"]
    assert halt.actor == "ann"
    assert halt.reason == (
        f"cluster c0ffee recovered from n1 at entry {last}, at least 7 entries are missing: two machines burned"
    )


def test_nothing_of_the_tail_is_lost_and_what_it_ordered_is_in_doubt(
    folder: Path, settings: NodeSettings, tmp_path: Path
) -> None:
    """One of the lost nodes may have committed it and sent: the venue is asked."""
    made = recovered(folder, settings, tmp_path / "out")
    state = stored(tmp_path / "out" / "n1")
    (bid,) = [order for order in state.orders.values() if order.price == 59000]
    assert int(bid.index) == made.survivor.last - 2
    assert all(intent.in_doubt for intent in state.intents.values())
    assert bid.id in state.intents


def stored(folder: Path) -> State:
    reader = open_readonly(folder)
    try:
        return State.load(reader.state())
    finally:
        reader.close()


def test_the_build_and_the_settings_under_the_new_name_may_trade(
    folder: Path, settings: NodeSettings, tmp_path: Path
) -> None:
    made = recovered(folder, settings, tmp_path / "out")
    new = settings_in(tmp_path / "cluster", made.founding.cluster)
    assert new.agreed_digest != settings.agreed_digest

    assert stored(tmp_path / "out" / "n3").approved.covers(own_build(), new.agreed_digest)


def test_quotes_are_to_be_gone_or_left_as_the_operator_says(
    folder: Path, settings: NodeSettings, tmp_path: Path
) -> None:
    recovered(folder, settings, tmp_path / "gone")
    recovered(folder, settings, tmp_path / "left", evolve(WISH, leave_quotes=True))
    assert all(order.to_be_gone for order in stored(tmp_path / "gone" / "n1").live_orders())
    assert not any(order.to_be_gone for order in stored(tmp_path / "left" / "n1").live_orders())


def test_a_folder_recovered_twice_makes_two_clusters_that_share_no_name(
    folder: Path, settings: NodeSettings, tmp_path: Path
) -> None:
    one = recovered(folder, settings, tmp_path / "one")
    other = recovered(folder, settings, tmp_path / "other")
    assert len({OLD, one.founding.cluster, other.founding.cluster}) == 3
    with pytest.raises(WrongFolder, match="belongs to node"):
        RocksStore(tmp_path / "one" / "n1", other.founding.cluster, N1)


def test_a_recovered_folder_can_be_recovered_again(folder: Path, settings: NodeSettings, tmp_path: Path) -> None:
    one = recovered(folder, settings, tmp_path / "one")
    again = settings_in(tmp_path / "cluster", one.founding.cluster)
    two = recovered(tmp_path / "one" / "n2", again, tmp_path / "two")
    assert two.founding.term == 2_000_000
    state = stored(tmp_path / "two" / "n3")
    assert state.clusters == (two.founding.cluster, OLD, one.founding.cluster)
    assert verify(tmp_path / "two" / "n3", quiet).whole


def test_a_folder_is_a_copy_like_any_other_once_it_was_started(
    folder: Path, settings: NodeSettings, tmp_path: Path
) -> None:
    """Before that it may be copied to where its node will run."""
    made = recovered(folder, settings, tmp_path / "out")
    moved = Path(shutil.copytree(tmp_path / "out" / "n2", tmp_path / "moved"))
    store = RocksStore(moved, made.founding.cluster, Peer("n2"))
    assert not store.suspect
    store.close()
    copied = Path(shutil.copytree(moved, tmp_path / "copied"))
    store = RocksStore(copied, made.founding.cluster, Peer("n2"))
    assert store.suspect
    store.close()


def test_one_node_s_life_changes_no_other_s_folder(folder: Path, settings: NodeSettings, tmp_path: Path) -> None:
    """Their files of sorted data are one and the same until they are copied away."""
    made = recovered(folder, settings, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out" / "n2").iterdir() if path.is_file()}
    assert any((tmp_path / "out" / "n2" / name).stat().st_nlink == 3 for name in before if name.endswith(".sst"))
    store = RocksStore(tmp_path / "out" / "n1", made.founding.cluster, N1)
    for index in range(made.index + 1, made.index + 400):
        store.append(StoredEntry(LogIndex(index), Term(made.founding.term + 1), b"\x10" + b"x" * 1000))
    store.commit()
    for family in store._families.values():
        family.flush()
        family.compact_range(None, None)
    store.close()
    assert {path.name: path.read_bytes() for path in (tmp_path / "out" / "n2").iterdir() if path.is_file()} == before
    assert verify(tmp_path / "out" / "n3", quiet).whole


# --- who takes part ---------------------------------------------------------------------------------------------


def configured(*names: str, removed: tuple[str, ...] = (), number: int = 1) -> bytes:
    voters = tuple(Member(Peer(name), f"127.0.0.1:{place + 1000}") for place, name in enumerate(names))
    return members.encode(Configuration(number, voters, (), tuple(Peer(name) for name in removed)))


def with_members(folder: Path, entry: bytes) -> None:
    def how(store: RocksStore) -> None:
        index = LogIndex(store.bounds()[1] + 1)
        store.append(StoredEntry(index, Term(1), entry))
        store.set_places(((index, entry),))

    change(folder, how)


def test_where_the_log_says_who_takes_part_it_says_so_anew(
    folder: Path, settings: NodeSettings, tmp_path: Path
) -> None:
    old = configured("n1", "n2", "n4", removed=("n7",), number=5)
    with_members(folder, old)
    made = recovered(folder, settings, tmp_path / "out")
    reader = open_readonly(tmp_path / "out" / "n3")
    ((index, entry),) = reader.places()
    (kept,) = reader.entries(index, 1)
    reader.close()
    assert (int(index), kept.command) == (made.index - 1, entry)
    book = Adopted(Placed(made.survivor.last, members.decode(old)))
    assert book.appended(int(index), entry)
    now = book.in_force.configuration
    assert (now.voting, now.learning, now.removed) == (NODES, (), ("n4", "n7"))
    assert [member.address for member in now.voters] == [str(settings.peers[name].peer) for name in NODES]
    assert verify(tmp_path / "out" / "n3", quiet).whole


@pytest.mark.parametrize("begun", [("n1", "n2", "n3"), ("n1", "n8", "n9"), ()], ids=["so", "with others", "before"])
def test_where_the_log_says_nothing_each_folder_is_begun_with_the_nodes_that_are_named(
    folder: Path, settings: NodeSettings, tmp_path: Path, begun: tuple[str, ...]
) -> None:
    """What the old folder was begun with would refuse them, and what it was not would take any settings."""
    change(folder, lambda store: store.set_places(((LogIndex(0), configured(*begun, number=0)),) if begun else ()))
    made = recovered(folder, settings, tmp_path / "out")
    assert len(made.founding.entries) == 1
    for name in NODES:
        reader = open_readonly(tmp_path / "out" / name)
        ((index, entry),) = reader.places()
        reader.close()
        kept = members.decode(entry)
        assert (index, kept.number, kept.parts, kept.removed) == (0, 0, (NODES, ()), ())
        assert [member.address for member in kept.voters] == [str(settings.peers[name].peer) for name in NODES]


def test_who_was_removed_by_the_log_can_not_be_named_again(
    folder: Path, settings: NodeSettings, tmp_path: Path
) -> None:
    with_members(folder, configured("n1", "n2", removed=("n3",)))
    with pytest.raises(CantRecover, match="n3 was removed from the cluster once"):
        recovered(folder, settings, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# --- what is refused --------------------------------------------------------------------------------------------


def test_settings_of_another_cluster_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CantRecover, match="is of cluster abcdef, the folder of c0ffee"):
        planned(folder, settings_in(tmp_path / "other", "abcdef"))


def test_a_folder_that_a_node_runs_on_is_refused_and_none_can_start_on_it_meanwhile(
    folder: Path, settings: NodeSettings
) -> None:
    store = RocksStore(folder, OLD, N1)
    with pytest.raises(WrongFolder, match=f"pid {os.getpid()}"), held(folder):
        pass
    store.close()
    with held(folder), pytest.raises(WrongFolder, match="another process"):
        RocksStore(folder, OLD, N1)


def test_settings_that_lose_sight_of_an_order_are_refused(folder: Path, settings: NodeSettings) -> None:
    blind = evolve(settings, venues={"elsewhere": settings.venues["paper"]})
    with pytest.raises(CantRecover, match="4 at paper"):
        planned(folder, blind)


def test_an_entry_that_this_build_can_not_apply_is_refused(folder: Path, settings: NodeSettings) -> None:
    with pytest.MonkeyPatch.context() as patch:

        def raising(self: Machine, *_: Any) -> None:
            raise ValueError("not this one")

        verified = verify(folder, quiet)
        patch.setattr(Machine, "apply", raising)
        with pytest.raises(CantRecover, match=r"this build can't apply entry .*not this one"):
            plan(folder, verified, settings, WISH, ())


def test_nothing_is_ever_replaced_and_nothing_put_into_the_evidence(
    folder: Path, settings: NodeSettings, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(StoreFault, match="is there already"):
        check_place(folder, tmp_path / "there", 3)
    with pytest.raises(StoreFault, match="which is evidence"):
        check_place(folder, folder / "out", 3)
    with pytest.raises(StoreFault, match="is no folder"):
        check_place(folder, tmp_path / "nowhere" / "out", 3)
    check_place(folder, tmp_path / "out", 3)
    unfinished(tmp_path / "out").mkdir()
    with pytest.raises(StoreFault, match="an earlier recovery was interrupted"):
        recovered(folder, settings, tmp_path / "out")


def test_a_disk_without_room_is_told_before(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = os.statvfs(tmp_path)
    monkeypatch.setattr(founding.os, "statvfs", lambda _path: os.statvfs_result((*full[:4], 10, *full[5:])))
    with pytest.raises(StoreFault, match=r"MiB free, and \d+ may be needed"):
        check_place(folder, tmp_path / "out", 3)


def test_a_node_that_takes_connections_is_not_lost(folder: Path, settings: NodeSettings) -> None:
    assert [str(one) for one in seek(folder, settings)] == [f"{name} ({settings.peers[name].peer})" for name in NODES]
    assert answering(folder, settings) == []
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", settings.peers["n3"].peer.port))
        listening.listen()
        assert answering(folder, settings) == [f"n3 ({settings.peers['n3'].peer})"]


def test_what_was_written_wrongly_does_not_appear(
    folder: Path, settings: NodeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = planned(folder, settings)
    with pytest.raises(StoreFault, match="is not what was planned"):
        carry_out(evolve(made, digest="another"), tmp_path / "out", PAPERS, quiet)
    settle = founding.FoundingStore.settle

    def flipped(self: founding.FoundingStore) -> None:
        settle(self)
        for table in self.path.glob("*.sst"):
            raw = bytearray(table.read_bytes())
            raw[10] ^= 1
            table.unlink()
            table.write_bytes(raw)

    monkeypatch.setattr(founding.FoundingStore, "settle", flipped)
    with pytest.raises(StoreFault, match="damaged"):
        carry_out(made, tmp_path / "out", PAPERS, quiet)
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


# --- kills ------------------------------------------------------------------------------------------------------


WRITES = (
    (founding.shutil, "copyfile"),
    (founding.os, "link"),
    (founding.os, "fsync"),
    (Path, "mkdir"),
    (Path, "rename"),
    (Path, "unlink"),
    (Path, "write_bytes"),
    (founding.FoundingStore, "commit"),
    (founding.FoundingStore, "sync"),
    (founding.FoundingStore, "settle"),
    (founding.FoundingStore, "close"),
)


def watched(write: Any, look: Any, name: str) -> Any:
    def watching(*args: Any, **kwargs: Any) -> Any:
        look(name)
        return write(*args, **kwargs)

    return watching


def test_a_kill_at_every_write_leaves_nothing_or_the_whole(
    folder: Path, settings: NodeSettings, tmp_path: Path
) -> None:
    """A kill loses nothing that was written: what is there before each write is what it leaves."""
    made, place, before = planned(folder, settings), tmp_path / "place", files_of_all(folder)
    place.mkdir()
    seen: list[tuple[str, list[str]]] = []

    def look(what: str) -> None:
        seen.append((what, sorted(path.name for path in place.iterdir())))
        if what in {"commit", "settle", "close"}:
            image_of(unfinished(place / "out"), killed / str(len(seen)))

    killed = tmp_path / "killed"
    killed.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in WRITES:
            patch.setattr(owner, name, watched(getattr(owner, name), look, name))
        carry_out(made, place / "out", PAPERS, quiet)
    assert len(seen) > 100
    assert [left for _, left in seen if left not in ([], [".out.unfinished"])] == [["out"]], (
        "before the last sync alone"
    )
    files = list((place / "out").rglob("*"))
    assert [what for what, _ in seen[-len(files) - 2 : -2]] == ["fsync"] * len(files), (
        "all that it is, and nothing behind"
    )
    assert seen[-2:] == [("rename", [".out.unfinished"]), ("fsync", ["out"])]
    assert [verify(place / "out" / name, quiet).digest for name in NODES] == [made.digest] * 3
    assert len(list(killed.iterdir())) >= 9
    for left in killed.iterdir():
        assert_harmless(left)
    assert files_of_all(folder) == before


def image_of(live: Path, target: Path) -> None:
    """As a kill leaves it; again where the database merged files meanwhile and removed some that were to be copied."""
    for _ in range(20):
        if subprocess.run(["cp", "-r", live, target], stderr=subprocess.DEVNULL, check=False).returncode == 0:  # noqa: S603, S607 - a test's own
            return
        shutil.rmtree(target)
    raise AssertionError(f"{live} did not stand still")


def assert_harmless(left: Path) -> None:
    """As the old cluster's node, what a kill left takes part in no election."""
    for folder in left.iterdir():
        try:
            store = RocksStore(folder, OLD, N1)
        except StoreFault:
            continue
        assert store.suspect
        store.close()


@pytest.mark.parametrize("name", ["copyfile", "link", "fsync", "write_bytes", "rename"])
def test_a_disk_that_refuses_leaves_nothing_and_is_told(
    folder: Path, settings: NodeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    made = planned(folder, settings)
    (owner,) = [owner for owner, each in WRITES if each == name]

    def full(*_args: Any, **_kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(owner, name, full)
    if name == "link":  # a file system without links: the files are copied
        carry_out(made, tmp_path / "out", PAPERS, quiet)
        assert verify(tmp_path / "out" / "n3", quiet).digest == made.digest
        return
    with pytest.raises(StoreFault, match=r"can't be written .*No space left"):
        carry_out(made, tmp_path / "out", PAPERS, quiet)
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []
