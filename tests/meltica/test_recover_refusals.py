"""A recovery where something is not as it seems: who still runs, what was on its way, what the settings name now."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from cluster import founding
from cluster.members import Configuration, Member
from cluster.members import encode as encode_members
from cluster.rocks import RocksStore
from cluster.snapshot.summing import DIGEST
from cluster.snapshot.words import Offer, encode
from cluster.store import StoredEntry, StoreFault
from cluster.survivor import founding_term
from cluster.types import LogIndex, Peer, Term
from cluster.wire import pack_commands
from meltica.cli.output import moment
from meltica.cli.statement import missing
from meltica.config import NodeSettings, load
from meltica.core import commands as c
from meltica.core.codec import encode_command
from meltica.core.values import Nanos, NodeName
from meltica.recover import CantRecover, carry_out, seek
from meltica.verify import verify
from tests.meltica.test_machine import history
from tests.meltica.test_recover import (
    NODES,
    PAPERS,
    answering,
    change,
    planned,
    quiet,
    recovered,
    settings_in,
    stored,
    survived,
    with_members,
)
from tests.meltica.test_verify import Writer, clone


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return survived(tmp_path_factory.mktemp("recover"))


@pytest.fixture
def folder(image: Path, tmp_path: Path) -> Path:
    return clone(image, tmp_path / "data")


@pytest.fixture
def settings(tmp_path: Path) -> NodeSettings:
    return settings_in(tmp_path / "cluster")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who only listens is not waited for."""
    monkeypatch.setattr("meltica.listening.SHOWS_WITHIN", 0.1)


@contextmanager
def listening(port: int = 0) -> Iterator[int]:
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind(("127.0.0.1", port))
        door.listen()
        yield int(door.getsockname()[1])


# --- who still runs ---------------------------------------------------------------------------------------------


def test_a_node_that_runs_is_seen_whosever_settings_are_given(folder: Path, settings: NodeSettings) -> None:
    """With n2's settings and n1's folder n2 was asked least of all: it was taken for the one whose folder this is."""
    theirs = load(settings.file.parents[1] / "n2" / "meltica.toml", check_files=False)
    with listening(settings.peers["n2"].peer.port):
        assert answering(folder, theirs) == [f"n2 ({settings.peers['n2'].peer})"]


def test_the_node_itself_may_run_on_another_copy_of_its_folder(folder: Path, settings: NodeSettings) -> None:
    """Or as the cluster that was founded out of this folder before."""
    with listening(settings.peers["n1"].peer.port):
        assert answering(folder, settings) == [f"n1 ({settings.peers['n1'].peer})"]


def test_a_node_that_the_log_names_is_seen_whatever_nodes_the_settings_name_now(
    folder: Path, settings: NodeSettings
) -> None:
    """n4 took n3's place; the settings, a copy made for the new cluster, name neither it nor where it is."""
    with listening() as port:
        voters = tuple(Member(Peer(name), f"127.0.0.1:{port + place}") for place, name in enumerate(("n4", "n5")))
        with_members(folder, encode_members(Configuration(5, voters, (), (Peer("n3"),))))
        assert answering(folder, settings) == [f"n4 (127.0.0.1:{port})"]


def test_where_the_nodes_were_before_peers_was_rewritten_is_known_by_the_folder(
    folder: Path, settings: NodeSettings
) -> None:
    """The log has said nothing of who takes part, and a copy of the settings names the new cluster's machines: n2 and
    n3, which lived and traded, were looked for at the new addresses alone.
    """
    with listening() as port:
        begun = [f"127.0.0.1:{port + 1}", f"127.0.0.1:{port}", f"127.0.0.1:{port + 2}"]
        voters = tuple([Member(Peer(name), address) for name, address in zip(NODES, begun, strict=True)])
        places = ((LogIndex(0), encode_members(Configuration(0, voters))),)
        change(folder, lambda store: store.set_places(places))
        assert answering(folder, settings) == [f"n2 (127.0.0.1:{port})"]
        assert [one.address for one in seek(folder, settings) if one.name == "n2"] == sorted(
            [f"127.0.0.1:{port}", str(settings.peers["n2"].peer)]
        )


def test_a_damaged_folder_s_nodes_are_those_of_the_settings(folder: Path, settings: NodeSettings) -> None:
    (folder / "CURRENT").unlink()
    with listening(settings.peers["n3"].peer.port):
        assert answering(folder, settings) == [f"n3 ({settings.peers['n3'].peer})"]


# --- what was on its way ----------------------------------------------------------------------------------------


def offered(index: int, term: int) -> bytes:
    return encode(Offer(term, index, term, b"\x10", 3, 4096, b"d" * DIGEST))


def test_a_snapshot_that_was_being_sent_to_it_tells_what_it_lacks(folder: Path, settings: NodeSettings) -> None:
    """Its own log ends at 15; a leader had the state of entry 900, which was committed."""
    change(folder, lambda store: store.stage_anew(offered(900, 4)))
    survivor = planned(folder, settings).survivor
    (lack,) = survivor.lacks
    assert (lack.rank, lack.at_least, survivor.missing) == ((4, 900), 885, 885)
    assert "snapshot" in lack.why
    assert founding_term(evolve(survivor, staged=(7_000_001, 900))) == 8_000_000


@pytest.mark.parametrize("offer", [b"offer", offered(3, 1)])
def test_what_is_staged_and_says_nothing_is_passed_over(folder: Path, settings: NodeSettings, offer: bytes) -> None:
    """It can't be read, or its entry is in the log."""
    change(folder, lambda store: store.stage_anew(offer))
    assert planned(folder, settings).survivor.missing == 0


def test_what_may_be_gone_begins_where_it_last_heard_of_a_commit_and_not_at_its_log_s_end(
    folder: Path, settings: NodeSettings
) -> None:
    """A leader that stood still wrote on when it woke; the others had elected another meanwhile, and acknowledged."""
    state = stored(folder)
    assert state.epoch is not None
    woke = Nanos(state.clock + 30 * 10**9)
    report = [c.NodeReport(NodeName(name), "B", "config", 1, 1) for name in ("n1", "n2", "n3")]
    own = encode_command(c.NodesReported(state.epoch.epoch, woke, tuple(report)))

    def how(store: RocksStore) -> None:
        store.append(StoredEntry(LogIndex(store.bounds()[1] + 1), Term(1), pack_commands((own,))))

    change(folder, how)
    made = planned(folder, settings)
    assert made.taken.clock == woke
    (gone,) = [text for label, text in missing(made) if label == "not known"]
    assert f"acknowledged without n1, after {moment(int(state.clock))}, is GONE" in gone


def test_what_only_the_lost_nodes_had_of_the_audit_trail_is_said(settings: NodeSettings, tmp_path: Path) -> None:
    """It installed a snapshot: the records of what it left out were on the others, and they are gone."""
    other, writer = Writer(tmp_path / "other"), Writer(tmp_path / "writer")
    for place, (_, _, commands) in enumerate(history().log, 1):
        other.entry(1, *commands)
        if place <= 3:
            writer.entry(1, *commands)
    writer.install(other)
    writer.store.sync()
    for each in (other, writer):
        each.store.close()
    made = recovered(tmp_path / "writer", settings, tmp_path / "out")
    (said,) = [text for label, text in missing(made) if label == "audit trail"]
    assert said.startswith(f"the records of the entries from 4 to {made.survivor.first}: ")
    assert [verify(tmp_path / "out" / name, quiet).whole for name in NODES] == [True] * 3


# --- what the settings name now ---------------------------------------------------------------------------------


def test_settings_of_another_account_lose_sight_of_orders_as_those_of_another_venue_do(
    folder: Path, settings: NodeSettings
) -> None:
    other = evolve(settings, venues={"paper": evolve(settings.venues["paper"], account="another")})
    with pytest.raises(CantRecover, match="4 at paper, account main") as told:
        planned(folder, other)
    assert "with that account" in told.value.following


def test_a_log_that_was_never_configured_is_refused(settings: NodeSettings, tmp_path: Path) -> None:
    writer = Writer(tmp_path / "data")
    writer.entry(1)
    writer.store.close()
    with pytest.raises(CantRecover, match="was never configured"):
        planned(tmp_path / "data", settings)


# --- the disk ---------------------------------------------------------------------------------------------------


def test_a_disk_that_fills_while_files_are_settled_leaves_nothing_and_is_told(
    folder: Path, settings: NodeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RocksDB says it by an exception of its own, which no operator could read."""
    made, start = planned(folder, settings), RocksStore._start

    class Full:
        def flush(self) -> None:
            raise Exception("IO error: No space left on device")  # noqa: TRY002 - the library's own

    def starting(self: RocksStore, *whose: Any) -> None:
        start(self, *whose)
        if isinstance(self, founding.FoundingStore):
            self._families = {"meta": Full()}

    monkeypatch.setattr(RocksStore, "_start", starting)
    with pytest.raises(StoreFault, match=r"can't be written .*No space left.*--to"):
        carry_out(made, tmp_path / "out", PAPERS, quiet)
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


def test_a_name_that_may_not_be_durable_is_taken_back(
    folder: Path, settings: NodeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, sync = planned(folder, settings), founding.sync_folder

    def refusing(path: Path) -> None:
        if path == tmp_path:
            raise OSError(5, "Input/output error")
        sync(path)

    monkeypatch.setattr(founding, "sync_folder", refusing)
    with pytest.raises(StoreFault, match=r"can't be written .*Input/output"):
        carry_out(made, tmp_path / "out", PAPERS, quiet)
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []
