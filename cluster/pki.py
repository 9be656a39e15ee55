"""Pki: a cluster's own certificate authority, and the certificates that it signs.

`meltica cluster create` writes them; nodes only read them.  A node's certificate names it (its name in the cluster
is its identity on the peer port); the operator's can dial the API and is refused on the peer port.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cluster.types import NO_NODE_S, Peer

OPERATOR: Final = "operator"
LIFE: Final = dt.timedelta(days=3650)
_EARLY: Final = dt.timedelta(hours=1)  # valid a little before now: nodes' clocks differ


@frozen
class Credentials:
    """Paths of PEM files: the authority that is trusted, our certificate, and its key."""

    authority: Path
    certificate: Path
    key: Path


def credentials(folder: Path, name: str) -> Credentials:
    """Where `create` puts what `name` needs."""
    return Credentials(folder / "ca.pem", folder / f"{name}.pem", folder / f"{name}.key")


def create(folder: Path, cluster: str, nodes: Sequence[Peer], now: dt.datetime) -> None:
    """Make an authority for `cluster`, a certificate for each node and one for the operator, in `folder`.

    Files: `ca.pem`, `ca.key` (keep it off the nodes), `<name>.pem`, `<name>.key`; keys are readable by their owner
    only.

    Raises:
        ValueError: a node is called as the operator's certificate is, or as every node's is beside its name.
        FileExistsError: a file is there already; nothing is ever overwritten.
    """
    for name in nodes:
        if name in NO_NODE_S:
            raise ValueError(f"a node can't be called {name!r}: {NO_NODE_S[name]}")
    folder.mkdir(parents=True, exist_ok=True)
    authority = Authority(cluster, now)
    _write(folder / "ca.pem", authority.certificate_pem, 0o644)
    _write(folder / "ca.key", authority.key_pem, 0o600)
    for name in nodes:
        _write_pair(folder, name, authority.issue(name, now, server=True))
    _write_pair(folder, OPERATOR, authority.issue(OPERATOR, now, server=False))


class Authority:
    """A new certificate authority, with a key of its own."""

    def __init__(self, cluster: str, now: dt.datetime) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(f"{cluster} authority")
        usage = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        builder = _builder(self._name, self._name, self._key.public_key(), now)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(usage, critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        self._certificate = builder.add_extension(identifier, critical=False).sign(self._key, hashes.SHA256())
        self.certificate_pem = self._certificate.public_bytes(serialization.Encoding.PEM)
        self.key_pem = _key_pem(self._key)

    def issue(self, name: str, now: dt.datetime, *, server: bool) -> tuple[bytes, bytes]:
        """A certificate for `name` and its key, PEM; one for a server names this machine's loopback too."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(name), self._name, key.public_key(), now)
        names: list[x509.GeneralName] = [x509.DNSName(name)]
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if server:
            names += [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            purposes.append(ExtendedKeyUsageOID.SERVER_AUTH)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = builder.add_extension(signer, critical=False).sign(self._key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: dt.datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - _EARLY).not_valid_after(now + LIFE)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption())


def _write_pair(folder: Path, name: str, pair: tuple[bytes, bytes]) -> None:
    _write(folder / f"{name}.pem", pair[0], 0o644)
    _write(folder / f"{name}.key", pair[1], 0o600)


def _write(path: Path, content: bytes, mode: int) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(file, "wb") as opened:
        opened.write(content)
