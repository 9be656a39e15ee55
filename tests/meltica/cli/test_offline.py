"""What `prepare`, `rotate` and `attest` have in common, and the hosts that a node's certificate names; no node runs."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import threading
from datetime import UTC, datetime

import pytest
from cryptography import x509

from cluster import pki
from cluster.rocks import RocksStore
from cluster.types import Peer
from meltica.cli import prepare as preparing
from meltica.cli.offline import NOTES
from meltica.cli.place import FILE, find_place

from .conftest import meltica

PLACES = ("--address", "10.0.0.4:7404", "--api", "127.0.0.9:7414")


@pytest.fixture
def folder(cluster_folder, tmp_path):
    return shutil.copytree(cluster_folder, tmp_path / "demo")


def files(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def certificate(folder, name):
    return pki.read_certificate((folder / "pki" / f"{name}.pem").read_bytes())


def notes(folder):
    return [json.loads(line) for line in (folder / NOTES).read_text().splitlines()]


def done(*words, code=0):
    found = meltica("cluster", *words)
    assert found.returncode == code, found.stderr
    return found


# The hosts


def greeted(folder, name, address):
    """Whom a client that goes by addresses takes for `address`: curl, Prometheus, a browser."""
    mine, theirs = socket.socketpair()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(folder / "pki" / f"{name}.pem", folder / "pki" / f"{name}.key")

    def serve():
        with theirs:
            try:
                server.wrap_socket(theirs, server_side=True).close()
            except ssl.SSLError:
                return

    thread = threading.Thread(target=serve)
    thread.start()
    trust = ssl.create_default_context(cafile=str(folder / "pki" / "ca.pem"))
    try:
        with mine, trust.wrap_socket(mine, server_hostname=address):
            return True
    except ssl.SSLCertVerificationError:
        return False
    finally:
        thread.join(10)


def test_a_new_node_s_certificate_names_the_hosts_of_both_its_addresses(folder):
    done("prepare", folder, "n4", "--address", "n4.example.org:7404", "--api", "[fd00::4]:7414")
    found = certificate(folder, "n4")
    assert found.names == ("n4", "localhost", "n4.example.org")
    assert found.addresses == ("127.0.0.1", "fd00::4")
    done("prepare", folder, "n5", *PLACES)
    assert [greeted(folder, "n5", one) for one in ("127.0.0.9", "10.0.0.4", "n5", "127.0.0.8")] == [True] * 3 + [False]


@pytest.mark.parametrize("host", ["n2", "N2", "trader", "0.0.0.0", "-x.org"])  # noqa: S104 # what is refused
def test_a_host_that_could_be_another_node_s_name_or_nobody_s_is_not_in_it(folder, host):
    """With such a certificate one node could speak as another."""
    done("prepare", folder, "n4", "--address", f"{host}:7404", "--api", f"{host}:7414")
    assert (certificate(folder, "n4").names, certificate(folder, "n4").addresses) == (
        ("n4", "localhost"),
        ("127.0.0.1",),
    )


def test_new_certificates_name_where_the_nodes_are_by_cluster_toml_and_settings(folder):
    file, settings = folder / "cluster.toml", folder / "nodes" / "n2" / "meltica.toml"
    port = file.read_text().partition("[nodes.n1]")[2].partition("127.0.0.1:")[2].partition('"')[0]
    file.write_text(file.read_text().replace(f"https://127.0.0.1:{port}", f"https://one.example.org:{port}"))
    settings.write_text(settings.read_text().replace('[peers.n2]\npeer = "127.0.0.1', '[peers.n2]\npeer = "10.0.0.2'))
    shutil.rmtree(folder / "nodes" / "n1")  # that one is on another machine
    done("rotate", folder, "--yes")
    assert certificate(folder, "n1").names == ("n1", "localhost", "one.example.org")
    assert certificate(folder, "n2").addresses == ("127.0.0.1", "10.0.0.2")
    assert certificate(folder, "operator").names == ("operator",)
    (folder / "pki" / "n1.pem").unlink()
    (folder / "pki" / "n1.key").unlink()
    done("rotate", folder, "n1", "--make", "--yes")
    assert certificate(folder, "n1").names == ("n1", "localhost", "one.example.org")


def test_what_an_old_certificate_named_beside_the_new_one_names_too(folder):
    """Somebody made it by hand, of the same authority."""
    place = folder / "pki"
    more = [x509.DNSName("trader.example.org"), x509.DNSName("desk"), *pki.named(["192.0.2.7"])]
    pair = pki.Authority.read(place).issue("n2", datetime.now(UTC), server=True, more=more)
    for kind, content in zip(("pem", "key"), pair, strict=True):
        (place / f"n2.{kind}").write_bytes(content)
    for _ in range(2):
        done("rotate", folder, "n2", "--yes")
        assert certificate(folder, "n2").names == ("n2", "localhost", "trader.example.org", "desk")
        assert certificate(folder, "n2").addresses == ("127.0.0.1", "192.0.2.7")


# What every acting command takes


def test_a_dry_run_of_prepare_is_refused_for_what_it_would_be_and_changes_nothing(folder):
    before = files(folder)
    found = json.loads(done("prepare", folder, "n4", *PLACES, "--dry-run", "--yes", "-o", "json").stdout)
    assert (found["schema"], found["node"], found["dry_run"]) == ("meltica.prepare/1", "n4", True)
    assert "nothing was changed" in done("prepare", folder, "n4", *PLACES, "--dry-run").stdout
    assert files(folder) == before
    done("prepare", folder, "n3", *PLACES, "--dry-run", code=5)
    (folder / "pki" / "n4.key").write_text("left")
    done("prepare", folder, "n4", *PLACES, "--dry-run", code=5)
    (folder / "pki" / "n4.key").unlink()
    (folder / "pki" / "ca.key").unlink()
    assert "ca.key may be kept elsewhere" in done("prepare", folder, "n4", *PLACES, "--dry-run", code=5).stderr


def test_why_is_kept_in_the_cluster_s_folder_with_who_and_when(folder):
    made = json.loads(done("prepare", folder, "n4", *PLACES, "--reason", "n3's disk died", "-o", "json").stdout)
    assert made["next"][1] == "meltica cluster replace OLD --with n4 --address 10.0.0.4:7404"
    done("rotate", folder, "n2", "--yes", "--reason", "its key was on a laptop")
    first, second = notes(folder)
    assert (first["did"], first["reason"], first["node"]) == ("prepare", "n3's disk died", "n4")
    assert (second["did"], second["reason"], second["certificates"]) == ("rotate", "its key was on a laptop", ["n2"])
    assert first["at"] <= second["at"]
    assert (folder / NOTES).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("words", [("rotate", "n2", "--dry-run"), ("rotate", "n2"), ("prepare", "n3", *PLACES)])
def test_what_was_not_done_is_not_kept(folder, words):
    before = files(folder)
    meltica("cluster", words[0], folder, *words[1:], "--reason", "why")
    assert files(folder) == before


def test_new_certificates_are_told_to_programs(folder):
    dry = json.loads(done("rotate", folder, "n2", "--dry-run", "-o", "json").stdout)
    (row,) = dry["certificates"]
    assert (dry["schema"], dry["dry_run"], row["name"], row["certificate"]) == ("meltica.rotate/1", True, "n2", None)
    assert row["days_left_before"] == 3649
    (row,) = json.loads(done("rotate", folder, "n2", "--yes", "-o", "json").stdout)["certificates"]
    assert row["certificate"]["sha256"] == certificate(folder, "n2").sha256
    assert (row["certificate"]["names"], row["certificate"]["addresses"]) == (["n2", "localhost"], ["127.0.0.1"])


def test_who_vouches_for_a_folder_is_told_to_programs(tmp_path):
    RocksStore(tmp_path / "n1", "c1", Peer("n1"), first_start=True).close()
    copy = shutil.copytree(tmp_path / "n1", tmp_path / "copy")
    words = ("attest", copy, "--reason", "moved", "-o", "json")
    for more, dry in ((("--dry-run",), True), (("--yes",), False)):
        found = json.loads(done(*words, *more).stdout)
        assert (found["schema"], found["node"], found["dry_run"]) == ("meltica.attest/1", "n1", dry)
        assert (found["reason"], found["last_index"]) == ("moved", 0)
    done(*words, "--yes", code=5)


# Two at once, and what is refused before anything is replaced


@pytest.mark.parametrize("left", [("n2.pem", "n2.key"), ("n2.key",)])
def test_certificates_that_are_there_are_not_made_and_nothing_is_kept_of_it(folder, left):
    for name in {"n2.pem", "n2.key"} - {*left}:
        (folder / "pki" / name).unlink()
    before = files(folder)
    told = done("rotate", folder, "n2", "--make", "--yes", "--reason", "why", code=5).stderr
    assert files(folder) == before
    assert "File exists" not in told
    assert ("leave out --make" in told, "remove" in told) == (len(left) == 2, len(left) == 1)
    done("rotate", folder, "n2", "--make", "--dry-run", code=5)


def test_all_hosts_are_known_before_the_first_certificate_is_replaced(folder):
    """n1 and n2 had new ones, and the folder's third row ended it with a traceback."""
    file = folder / "cluster.toml"
    head, table, rest = file.read_text().partition("[nodes.n3]\n")
    file.write_text(f'{head}{table}api = "https://fd00::3:7413"\n{rest.partition(chr(10))[2]}')
    before = files(folder)
    for more in ((), ("--dry-run",)):
        told = done("rotate", folder, "--yes", *more, code=5).stderr
        assert "[nodes.n3]" in told
    assert files(folder) == before
    done("rotate", folder, "n1", "--yes")


def at_once(*calls):
    threads = [threading.Thread(target=call) for call in calls]
    for one in threads:
        one.start()
    for one in threads:
        one.join(20)


def test_two_rotations_at_once_leave_pairs_that_match(folder):
    """One's key stood beside the other's certificate, and the node could not be started again."""
    now, failed = datetime.now(UTC), []

    def rotate():
        try:
            pki.renew(folder / "pki", "n2", now)
        except Exception as error:  # noqa: BLE001 # any is one too many
            failed.append(error)

    for _ in range(8):
        at_once(rotate, rotate, rotate)
        assert not failed
        pki.check(pki.credentials(folder / "pki", "n2"), "n2", datetime.now(UTC))


def test_two_nodes_prepared_at_once_are_both_in_the_operators_file(folder, monkeypatch):
    """Each wrote the file as it had read it, and itself into it."""
    both, read = threading.Barrier(2), preparing.Path.read_text

    def slowly(file, *words):
        found = read(file, *words)
        if file.name == FILE:
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait(0.3)  # where both come here at once, both have read before either writes
        return found

    def new(name, port):
        places = {"address": f"127.0.0.1:{port}", "api": f"127.0.0.1:{port + 10}"}
        preparing.prepare.callback(
            folder=folder, name=name, like=None, reason=None, dry_run=False, yes=True, output="json", **places
        )

    monkeypatch.setattr(preparing.Path, "read_text", slowly)
    at_once(lambda: new("n4", 7404), lambda: new("n5", 7405))
    assert {"n4", "n5"} <= find_place(folder).apis.keys()
