"""A small certificate authority for the demo and the tests: P-256, valid from an hour ago. Not for production."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Clocks of a demo on several machines may differ.
_VALID_BEFORE = timedelta(hours=1)
_VALID_FOR = timedelta(days=30)


class DemoPki(msgspec.Struct, frozen=True):
    """Paths of what was made."""

    ca: Path
    server_cert: Path
    server_key: Path
    gateway_cert: Path
    gateway_key: Path
    receiver_cert: Path
    receiver_key: Path


class Authority:
    """One certificate authority that signs what it is asked to."""

    def __init__(self, common_name: str = "edgegw demo CA", now: datetime | None = None) -> None:
        self._now = now or datetime.now(UTC)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        builder = self._builder(self._name, self._key.public_key(), _VALID_FOR).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.certificate = builder.add_extension(usage, critical=True).sign(self._key, hashes.SHA256())

    def issue(self, path: Path, common_name: str, hostnames: Sequence[str] = (), valid_for: timedelta = _VALID_FOR) -> tuple[Path, Path]:
        """Writes `path`.crt and `path`.key; with host names it is a server's, without it is a client's."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if hostnames else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = self._builder(name, key.public_key(), valid_for).add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        if hostnames:
            builder = builder.add_extension(x509.SubjectAlternativeName([_host(name) for name in hostnames]), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        cert_path, key_path = path.with_name(path.name + ".crt"), path.with_name(path.name + ".key")
        cert_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        _write_key(key_path, key)
        return cert_path, key_path

    def write(self, path: Path) -> Path:
        path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, valid_for: timedelta) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(self._now - _VALID_BEFORE).not_valid_after(self._now + valid_for)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        return builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)


def make_demo_pki(directory: str | Path, hostnames: Sequence[str] = ("localhost", "127.0.0.1")) -> DemoPki:
    """An authority, a server certificate for `hostnames`, client certificates of a gateway and a receiver. Private keys are 0600; the authority's is not kept."""
    directory = Path(directory)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = Authority()
    server = authority.issue(directory / "server", hostnames[0], hostnames)
    gateway = authority.issue(directory / "gateway", "gateway")
    receiver = authority.issue(directory / "receiver", "receiver")
    return DemoPki(authority.write(directory / "ca.crt"), *server, *gateway, *receiver)


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
