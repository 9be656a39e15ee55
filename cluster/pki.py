"""Pki: a cluster's own certificate authority, and the certificates that it signs.

`meltica cluster create` writes them, `meltica cluster rotate` replaces them; nodes only read them.  A node's
certificate names it (its name in the cluster is its identity on the peer port, and what ours verify on its API), and
the hosts at which others reach it, for curl, Prometheus and browsers; the operator's can dial the API and is refused on
the peer port.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import frozen
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cluster.lock import alone
from cluster.types import NO_NODE_S, Peer

OPERATOR: Final = "operator"
LIFE: Final = dt.timedelta(days=3650)
_EARLY: Final = dt.timedelta(hours=1)  # valid a little before now: nodes' clocks differ
_DOTTED: Final = r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)+"


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
    authority = Authority.new(cluster, now)
    _write(folder / "ca.pem", authority.certificate_pem, 0o644)
    _write(folder / "ca.key", authority.key_pem, 0o600)
    for name in nodes:
        _write_pair(folder, name, authority.issue(name, now, server=True))
    _write_pair(folder, OPERATOR, authority.issue(OPERATOR, now, server=False))


def issue(folder: Path, name: Peer, now: dt.datetime, hosts: Iterable[str] = ()) -> None:
    """Make a certificate and key for one node more, of the authority in `folder`; `hosts`: where it is reached.

    Raises:
        ValueError: no node can be called so, or the authority's files are not what they should be.
        FileExistsError: `name` has a file there already; nothing is overwritten.
        OSError: the authority's key is not there, or a file can't be written.
    """
    if name in NO_NODE_S:
        raise ValueError(f"a node can't be called {name!r}: {NO_NODE_S[name]}")
    _write_pair(folder, name, Authority.read(folder).issue(name, now, server=True, more=named(hosts)))


def renew(folder: Path, name: str, now: dt.datetime, hosts: Iterable[str] = ()) -> Certificate:
    """Replace `name`'s certificate and key by new ones of the same authority, each file at once as a whole.

    What the old one names beside, and `hosts`, at which the node is reached, the new one names too.
    The key first: who reads between the two finds a pair that does not match, and reads again.  Repeated, it mends
    what a crash between them left.  Of two at once one waits for the other: else a key of one could stay beside a
    certificate of the other.

    Raises:
        ValueError: the authority's files, or the old certificate, are not what they should be.
        OSError: one of the files is not there, or can't be written.
    """
    with alone(folder):
        return _renewed(folder, name, now, hosts)


def _renewed(folder: Path, name: str, now: dt.datetime, hosts: Iterable[str]) -> Certificate:
    pem = (folder / f"{name}.pem").read_bytes()
    old, more = read_certificate(pem), [*_general_names(pem), *named(hosts)]
    if name not in old.names:
        raise ValueError(f"{folder / name}.pem is not a certificate of {name}: it names {', '.join(old.names)}")
    authority = Authority.read(folder)
    certificate, key = authority.issue(name, now, server=name != OPERATOR, more=more)
    _replace(folder / f"{name}.key", key, 0o600)
    _replace(folder / f"{name}.pem", certificate, 0o644)
    return read_certificate(certificate)


@frozen
class Certificate:
    """What one certificate says."""

    names: tuple[str, ...]  # a node's own first
    addresses: tuple[str, ...]
    not_before: dt.datetime
    not_after: dt.datetime
    sha256: str  # of its DER form, in hex

    def document(self) -> dict[str, object]:
        """As documents tell it."""
        return {"not_after_wall_ns": int(self.not_after.timestamp()) * 1_000_000_000, "sha256": self.sha256}

    def days_left(self, now: dt.datetime) -> int:
        """Whole days until it is no longer valid; negative behind that."""
        return (self.not_after - now) // dt.timedelta(days=1)


def read_certificate(pem: bytes) -> Certificate:
    """What the first certificate in there says; raises ValueError."""
    found, general = x509.load_pem_x509_certificate(pem), _general_names(pem)
    names = tuple([one.value for one in general if isinstance(one, x509.DNSName)])
    addresses = tuple([str(one.value) for one in general if isinstance(one, x509.IPAddress)])
    digest = found.fingerprint(hashes.SHA256()).hex()
    return Certificate(names, addresses, found.not_valid_before_utc, found.not_valid_after_utc, digest)


def _general_names(pem: bytes) -> list[x509.GeneralName]:
    for extension in x509.load_pem_x509_certificate(pem).extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            return [*extension.value]
    return []


def named(hosts: Iterable[str]) -> list[x509.GeneralName]:
    """Those of `hosts` that a node's certificate may name beside the node.

    A host name without a dot is left out: it could be another node's name, as whom the certificate's owner could speak
    on the peer port then.  So is what nobody dials (0.0.0.0).  Ours need neither: they verify the node's name.
    """
    found: list[x509.GeneralName] = []
    for host in hosts:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            if re.fullmatch(_DOTTED, host.lower()):
                found.append(x509.DNSName(host.lower()))
        else:
            if not address.is_unspecified:
                found.append(x509.IPAddress(address))
    return found


def check(files: Credentials, name: str, now: dt.datetime) -> Certificate:
    """The certificate, if `name` can be known by it now.

    Raises:
        ValueError: why not.
        OSError: a file can't be read.
    """
    pem = files.certificate.read_bytes()
    certificate, said = x509.load_pem_x509_certificate(pem), read_certificate(pem)
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    if key.public_key() != certificate.public_key():
        raise ValueError("the key is not the certificate's")
    if name not in said.names:
        raise ValueError(f"the certificate names {', '.join(said.names) or 'nobody'}, not {name}")
    authorities = x509.load_pem_x509_certificates(files.authority.read_bytes())
    if not any(_issued(certificate, one) for one in authorities):
        raise ValueError("the certificate is not of the cluster's own authority")
    if not said.not_before <= now < said.not_after:
        raise ValueError(f"the certificate is valid from {said.not_before} to {said.not_after}, not now")
    return said


def _issued(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


class Authority:
    """A certificate authority: its certificate and its key."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key
        self._name = certificate.subject
        self.certificate_pem = certificate.public_bytes(serialization.Encoding.PEM)
        self.key_pem = _key_pem(key)

    @classmethod
    def read(cls, folder: Path) -> Authority:
        """The one that `create` made; raises ValueError or OSError."""
        certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
        key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise ValueError(f"{folder / 'ca.key'} is not the key of {folder / 'ca.pem'}")
        return cls(certificate, key)

    @classmethod
    def new(cls, cluster: str, now: dt.datetime) -> Authority:
        """With a key of its own."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(f"{cluster} authority")
        usage = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        builder = _builder(name, name, key.public_key(), now)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(usage, critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        return cls(builder.add_extension(identifier, critical=False).sign(key, hashes.SHA256()), key)

    def issue(
        self, name: str, now: dt.datetime, *, server: bool, more: Iterable[x509.GeneralName] = ()
    ) -> tuple[bytes, bytes]:
        """A certificate for `name` and its key, PEM; one for a server names this machine's loopback too, and `more`."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(name), self._name, key.public_key(), now)
        names: list[x509.GeneralName] = [x509.DNSName(name)]
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if server:
            names += [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            purposes.append(ExtendedKeyUsageOID.SERVER_AUTH)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        shown = x509.SubjectAlternativeName(dict.fromkeys([*names, *more]))
        builder = builder.add_extension(shown, critical=False)
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


def _replace(path: Path, content: bytes, mode: int) -> None:
    """The new file takes the old one's place at once, durably, with the old one's owner where we may."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    _write(beside, content, mode)
    with suppress(PermissionError, FileNotFoundError):
        owner = path.stat()
        os.chown(beside, owner.st_uid, owner.st_gid)
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write(path: Path, content: bytes, mode: int) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(file, "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
