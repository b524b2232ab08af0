"""Brokers that are wrong in one way: certificates, TLS versions, passwords, topics. Each is the real mosquitto with other files."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edgegw.cloud.pki import Authority
from tests.uplink_rig import Place

_DAY = timedelta(days=1)
# Where the certificates of a kind begin; the authority has 30 days, and lives on where only the server's one day is over.
_SHIFTS = {"expired": -20 * _DAY, "ancient": -4000 * _DAY, "future": 20 * _DAY}


def tls(here: Place, **changes: str) -> str:
    """Broker settings: the right ones, with some exchanged or, where empty, left out."""
    pki = here.pki
    settings = {
        "cafile": str(pki.ca),
        "certfile": str(pki.server_cert),
        "keyfile": str(pki.server_key),
        "require_certificate": "true",
        "allow_anonymous": "true",
    }
    return "\n".join(f"{key} {value}" for key, value in (settings | changes).items() if value)


def other_server(here: Place, kind: str) -> dict[str, str]:
    """A server certificate that is foreign, self-signed, for another name, expired, ancient or of the future; `here` trusts the authority of the last four."""
    name = here.directory / f"server-{kind}"
    if kind == "self-signed":
        return _self_signed(name)
    authority = Authority(now=datetime.now(UTC) + _SHIFTS.get(kind, 0 * _DAY))
    cert, key = authority.issue(name, "server", ["other.example"] if kind == "name" else ["localhost"], _DAY if kind == "expired" else 30 * _DAY)
    if kind != "foreign":
        here.trusted_ca = str(authority.write(here.directory / f"ca-{kind}.crt"))
    return {"certfile": str(cert), "keyfile": str(key)}


def _self_signed(name: Path) -> dict[str, str]:
    key, cert = f"{name}.key", f"{name}.crt"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", *subject, "-days", "1", "-keyout", key, "-out", cert]
    subprocess.run(made, check=True, capture_output=True)
    return {"certfile": cert, "keyfile": key}


def password_file(here: Place, user: str, password: str) -> str:
    """A broker's file of passwords with one user."""
    passwords = here.directory / "passwords"
    program = shutil.which("mosquitto_passwd")
    if program is None:
        pytest.skip("mosquitto_passwd is not installed")
    subprocess.run([program, "-b", "-c", str(passwords), user, password], check=True)
    return str(passwords)


def secret_file(here: Place, password: str) -> str:
    """A gateway's file with its password, as it must be."""
    secret = here.directory / "password"
    secret.write_text(password)
    secret.chmod(0o600)
    return str(secret)


def acl_file(here: Place, *lines: str) -> str:
    """A broker's file of what everybody may do."""
    rules = here.directory / "acl"
    rules.write_text("".join(f"{line}\n" for line in lines))
    return str(rules)
