"""Pki: what `cluster create` writes, and that it can't do harm by being run again."""

from __future__ import annotations

import datetime as dt
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from cluster import pki
from cluster.types import Peer

NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pki.create(tmp_path / "pki", "demo", [Peer("n1"), Peer("n2")], NOW)
    return tmp_path / "pki"


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_every_file_is_there_and_keys_are_their_owner_s(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert names == {f"{name}.{kind}" for name in ("ca", "n1", "n2", "operator") for kind in ("pem", "key")}
    for path in folder.glob("*.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["n1", "n2", "operator"])
def test_a_certificate_names_its_owner_and_is_signed_by_the_authority(folder: Path, name: str) -> None:
    certificate = load(folder / f"{name}.pem")
    certificate.verify_directly_issued_by(load(folder / "ca.pem"))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName)[0] == name
    assert certificate.not_valid_before_utc < NOW < certificate.not_valid_after_utc


def test_the_operator_s_can_t_serve(folder: Path) -> None:
    purposes = load(folder / "operator.pem").extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_nothing_is_overwritten(folder: Path) -> None:
    before = (folder / "ca.key").read_bytes()
    with pytest.raises(FileExistsError):
        pki.create(folder, "demo", [Peer("n1")], NOW)
    assert (folder / "ca.key").read_bytes() == before


@pytest.mark.parametrize("name", ["operator", "localhost"])
def test_a_node_can_t_be_called_what_other_certificates_name(tmp_path: Path, name: str) -> None:
    """Whoever holds one of those could speak as that node: every node's names localhost."""
    with pytest.raises(ValueError, match=f"can't be called '{name}'"):
        pki.create(tmp_path, "demo", [Peer("n1"), Peer(name)], NOW)
    assert list(tmp_path.iterdir()) == []


# --- renewing -----------------------------------------------------------------------------------------------------

LATER = NOW + dt.timedelta(days=3000)


@pytest.mark.parametrize("name", ["n1", "operator"])
def test_a_renewed_pair_is_of_the_same_authority_newer_and_whole(folder: Path, name: str) -> None:
    old = pki.check(pki.credentials(folder, name), name, NOW)
    authority = (folder / "ca.pem").read_bytes()
    new = pki.renew(folder, name, LATER)
    assert new == pki.check(pki.credentials(folder, name), name, LATER)
    assert new.sha256 != old.sha256
    assert new.not_after - old.not_after == LATER - NOW
    assert (old.days_left(NOW), new.days_left(LATER)) == (3650, 3650)
    assert stat.S_IMODE((folder / f"{name}.key").stat().st_mode) == 0o600
    assert (folder / "ca.pem").read_bytes() == authority
    assert not list(folder.glob(".*"))
    assert purposes(folder, name) == purposes(folder, "n2" if name == "n1" else "operator")


def purposes(folder: Path, name: str) -> list[object]:
    return list(load(folder / f"{name}.pem").extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_a_crash_between_the_two_files_is_mended_by_another_renewal(folder: Path) -> None:
    old = (folder / "n1.pem").read_bytes()
    pki.renew(folder, "n1", NOW)
    (folder / "n1.pem").write_bytes(old)
    (folder / ".n1.pem.new").write_bytes(b"half")
    with pytest.raises(ValueError, match="the key is not the certificate's"):
        pki.check(pki.credentials(folder, "n1"), "n1", NOW)
    renewed = pki.renew(folder, "n1", NOW)
    assert pki.check(pki.credentials(folder, "n1"), "n1", NOW) == renewed


def test_a_renewal_needs_the_authority_s_own_key_and_the_node_s_certificate(folder: Path) -> None:
    before = (folder / "n1.pem").read_bytes(), (folder / "n1.key").read_bytes()
    key = (folder / "ca.key").read_bytes()
    (folder / "ca.key").write_bytes((folder / "n2.key").read_bytes())
    with pytest.raises(ValueError, match=r"is not the key of"):
        pki.renew(folder, "n1", NOW)
    (folder / "ca.key").unlink()
    with pytest.raises(FileNotFoundError):
        pki.renew(folder, "n1", NOW)
    (folder / "ca.key").write_bytes(key)
    (folder / "n3.pem").write_bytes(before[0])
    with pytest.raises(ValueError, match="is not a certificate of n3: it names n1"):
        pki.renew(folder, "n3", NOW)
    assert before == ((folder / "n1.pem").read_bytes(), (folder / "n1.key").read_bytes())


@pytest.mark.parametrize(
    ("name", "days", "why"),
    [("n2", 0, "the certificate names n1, localhost, not n2"), ("n1", 3651, "not now"), ("n1", -1, "not now")],
)
def test_a_pair_of_another_s_or_of_another_time_is_not_to_be_used(folder: Path, name: str, days: int, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        pki.check(pki.credentials(folder, "n1"), name, NOW + dt.timedelta(days=days))


def test_a_pair_of_another_authority_is_not_to_be_used(folder: Path, tmp_path: Path) -> None:
    pki.create(tmp_path / "other", "demo", [Peer("n1")], NOW)
    mixed = pki.Credentials(folder / "ca.pem", tmp_path / "other" / "n1.pem", tmp_path / "other" / "n1.key")
    with pytest.raises(ValueError, match="not of the cluster's own authority"):
        pki.check(mixed, "n1", NOW)
