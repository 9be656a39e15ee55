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
