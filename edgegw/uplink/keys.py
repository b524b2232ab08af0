"""The keys of gateway and cloud: made by a command, private halves 0600 in a directory 0700, public halves exchanged as files.

    gateway: gateway-sign.pem   Ed25519, signs batches                     public half in gateway.pub
    cloud:   cloud-open.pem     X25519, opens batches                      public halves in cloud.pub
             cloud-sign.pem     Ed25519, signs receipts
             gateways/*.pub     gateway.pub of each gateway

A private file is PKCS#8 PEM. A public file is JSON: {"edgegw-keys": 1, "kind": "gateway" or "cloud", "created", "gateway", "sign", "open"},
keys as base64 of 32 raw bytes. A gateway's key speaks for one gateway only: the identity in the file, else in the name of the file
below `gateways` (OPERATOR.STATION.GATEWAY.pub).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from edgegw.config.model import Uplink
from edgegw.errors import EXIT_USAGE, EdgegwError
from edgegw.uplink.envelope import key_id
from edgegw.uplink.private_file import read_private, read_public, write_new

GATEWAY_SIGN = "gateway-sign.pem"
GATEWAY_PUBLIC = "gateway.pub"
CLOUD_OPEN = "cloud-open.pem"
CLOUD_SIGN = "cloud-sign.pem"
CLOUD_PUBLIC = "cloud.pub"
GATEWAYS = "gateways"

_VERSION = 1
_IDENTITY = re.compile(r"[A-Za-z0-9_-]{1,16}(/[A-Za-z0-9_-]{1,16}){2}")
_PrivateKey = Ed25519PrivateKey | X25519PrivateKey
# RFC 8410, section 7: what stands before the 32 bytes of a private key in PKCS#8 without attributes.
_PKCS8_HEADS: dict[bytes, type[Ed25519PrivateKey | X25519PrivateKey]] = {
    bytes.fromhex("302e020100300506032b657004220420"): Ed25519PrivateKey,
    bytes.fromhex("302e020100300506032b656e04220420"): X25519PrivateKey,
}
_PEM = re.compile(rb"-----BEGIN PRIVATE KEY-----\s+([A-Za-z0-9+/=]+)\s+-----END PRIVATE KEY-----\s*")


class GatewayKeys(msgspec.Struct, frozen=True):
    """What a gateway signs with."""

    sign: Ed25519PrivateKey

    @property
    def fingerprint(self) -> str:
        return key_id(self.sign.public_key().public_bytes_raw()).hex()


class CloudPublic(msgspec.Struct, frozen=True):
    """What a gateway knows of its cloud."""

    seal: X25519PublicKey
    verify: Ed25519PublicKey


class UplinkKeys(msgspec.Struct, frozen=True):
    """All keys that one uplink works with."""

    own: GatewayKeys
    cloud: CloudPublic
    password: str | None = None
    """For the broker, where it wants one."""


class CloudKeys(msgspec.Struct, frozen=True):
    """What a receiver opens with and signs with."""

    open: X25519PrivateKey
    sign: Ed25519PrivateKey


class GatewayPublic(msgspec.Struct, frozen=True):
    """What a receiver knows of a gateway."""

    gateway: str
    verify: Ed25519PublicKey


class KeyInfo(msgspec.Struct, frozen=True):
    """One key as `edgegw keys list` shows it."""

    kind: str
    """gateway-sign, cloud-open, cloud-sign (private halves), gateway, cloud (public halves)"""
    fingerprint: str
    created: str
    path: str
    gateway: str = ""


class _PublicFile(msgspec.Struct, frozen=True, omit_defaults=True):
    version: int = msgspec.field(name="edgegw-keys", default=0)
    kind: str = ""
    created: str = ""
    gateway: str = ""
    sign: str = ""
    open: str = ""


# -- making


def new_gateway_keys(directory: str | Path, gateway: str = "") -> str:
    """Makes the key of a gateway and gateway.pub for its cloud; returns the fingerprint. `gateway` is operator/station/gateway. Raises EdgegwError."""
    if gateway and not _IDENTITY.fullmatch(gateway):
        raise EdgegwError("E-KEY-GATEWAY", f'"{gateway}" is no operator/station/gateway', "name the three codes of the gateway", EXIT_USAGE)
    sign = Ed25519PrivateKey.generate()
    public = _PublicFile(_VERSION, "gateway", _now(), gateway, sign=_base64(sign.public_key()))
    _write(Path(directory), {GATEWAY_SIGN: sign}, GATEWAY_PUBLIC, public)
    return GatewayKeys(sign).fingerprint


def new_cloud_keys(directory: str | Path) -> str:
    """Makes the keys of a cloud, cloud.pub for its gateways and the directory for theirs; returns the fingerprint of the opening key. Raises EdgegwError."""
    opening, sign = X25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    public = _PublicFile(_VERSION, "cloud", _now(), sign=_base64(sign.public_key()), open=_base64(opening.public_key()))
    _write(Path(directory), {CLOUD_OPEN: opening, CLOUD_SIGN: sign}, CLOUD_PUBLIC, public)
    (Path(directory) / GATEWAYS).mkdir(mode=0o700, exist_ok=True)
    return key_id(opening.public_key().public_bytes_raw()).hex()


def enrol_gateway(public_file: str | Path, cloud_directory: str | Path, gateway: str) -> Path:
    """Puts a gateway's public half where the receiver looks for it, under the name of the gateway that it speaks for. Raises EdgegwError."""
    if not _IDENTITY.fullmatch(gateway):
        raise EdgegwError("E-KEY-GATEWAY", f'"{gateway}" is no operator/station/gateway', "name the three codes of the gateway", EXIT_USAGE)
    source = Path(public_file)
    _load_gateway_public(source, gateway)
    target = Path(cloud_directory) / GATEWAYS / f"{gateway.replace('/', '.')}.pub"
    target.parent.mkdir(mode=0o700, exist_ok=True)
    write_new(target, source.read_bytes(), 0o644)
    return target


def _write(directory: Path, private: dict[str, _PrivateKey], public_name: str, public: _PublicFile) -> None:
    """All or nothing where one of the files is already there."""
    for name in (*private, public_name):
        if (directory / name).is_symlink() or (directory / name).exists():
            raise EdgegwError("E-KEY-EXISTS", f"{directory / name} is already there and is never overwritten", "name another directory", EXIT_USAGE)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as fault:
        raise EdgegwError("E-KEY-WRITE", f"directory {directory} cannot be made: {fault.strerror}", "check the path", EXIT_USAGE) from fault
    for name, key in private.items():
        write_new(directory / name, _pem(key), 0o600)
    write_new(directory / public_name, msgspec.json.format(msgspec.json.encode(public)) + b"\n", 0o644)


def _pem(key: _PrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - a gateway that only loads its key does without

    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _base64(key: Ed25519PublicKey | X25519PublicKey) -> str:
    return base64.b64encode(key.public_bytes_raw()).decode()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# -- loading


def load_uplink_keys(uplink: Uplink, state_dir: str) -> UplinkKeys:
    """Everything secret that an uplink is configured with, checked. Raises EdgegwError with EXIT_USAGE: `run` ends with it."""
    own = load_gateway_keys(uplink.key_dir or Path(state_dir) / "keys")
    cloud = load_cloud_public(uplink.recipient_file)
    if uplink.cert_key_file:
        read_private(Path(uplink.cert_key_file), "put the private key of the client certificate there")
    password = None
    if uplink.password_file:
        password = _password(Path(uplink.password_file))
    return UplinkKeys(own, cloud, password)


def _password(path: Path) -> str:
    content = read_private(path, "put the broker's password there")
    try:
        return content.decode().rstrip("\r\n")
    except UnicodeDecodeError as fault:
        raise EdgegwError("E-KEY-BAD", f"the password in {path} is not UTF-8", "write it again", EXIT_USAGE) from fault


def load_gateway_keys(directory: str | Path) -> GatewayKeys:
    """The private half of a gateway. Raises EdgegwError."""
    key = _load_private(Path(directory) / GATEWAY_SIGN, f"edgegw keys new gateway --dir {directory}")
    if not isinstance(key, Ed25519PrivateKey):
        raise _bad(Path(directory) / GATEWAY_SIGN, "is not Ed25519")
    return GatewayKeys(key)


def load_cloud_keys(directory: str | Path) -> CloudKeys:
    """The private halves of a cloud. Raises EdgegwError."""
    make_it = f"edgegw keys new cloud --dir {directory}"
    opening = _load_private(Path(directory) / CLOUD_OPEN, make_it)
    sign = _load_private(Path(directory) / CLOUD_SIGN, make_it)
    if not isinstance(opening, X25519PrivateKey):
        raise _bad(Path(directory) / CLOUD_OPEN, "is not X25519")
    if not isinstance(sign, Ed25519PrivateKey):
        raise _bad(Path(directory) / CLOUD_SIGN, "is not Ed25519")
    return CloudKeys(opening, sign)


def load_cloud_public(path: str | Path) -> CloudPublic:
    """cloud.pub. Raises EdgegwError."""
    path = Path(path)
    public = _load_public(path, "cloud", f"copy {CLOUD_PUBLIC} of the cloud's keys there")
    return CloudPublic(X25519PublicKey.from_public_bytes(_raw(path, public.open)), Ed25519PublicKey.from_public_bytes(_raw(path, public.sign)))


def load_gateway_publics(directory: str | Path) -> dict[bytes, GatewayPublic]:
    """{key id: gateway} of KEYS/gateways/*.pub. Raises EdgegwError."""
    loaded = [_load_gateway_public(path, "") for path in sorted((Path(directory) / GATEWAYS).glob("*.pub"))]
    return {key_id(public.verify.public_bytes_raw()): public for public in loaded}


def _load_gateway_public(path: Path, gateway: str) -> GatewayPublic:
    public = _load_public(path, "gateway", f"copy {GATEWAY_PUBLIC} of the gateway there")
    named = path.stem.replace(".", "/")
    claimed = [identity for identity in (gateway, public.gateway, named) if _IDENTITY.fullmatch(identity)]
    if not claimed:
        raise EdgegwError("E-KEY-GATEWAY", f"{path} does not say whose key it is", f"mv {path} {path.parent}/OPERATOR.STATION.GATEWAY.pub", EXIT_USAGE)
    if len(set(claimed)) > 1:
        raise EdgegwError("E-KEY-GATEWAY", f"{path} is the key of {public.gateway}, not of {claimed[0]}", "ask that gateway for its gateway.pub", EXIT_USAGE)
    return GatewayPublic(claimed[0], Ed25519PublicKey.from_public_bytes(_raw(path, public.sign)))


def list_keys(directory: str | Path) -> Sequence[KeyInfo]:
    """Every key in a directory of keys, private halves first; names and fingerprints only. Raises EdgegwError."""
    directory = Path(directory)
    found: list[KeyInfo] = []
    for name in (GATEWAY_SIGN, CLOUD_OPEN, CLOUD_SIGN):
        if (path := directory / name).exists() or path.is_symlink():
            public = _load_private(path, "").public_key().public_bytes_raw()
            found.append(KeyInfo(path.stem, key_id(public).hex(), _created(path), str(path)))
    for path in [directory / GATEWAY_PUBLIC, directory / CLOUD_PUBLIC, *sorted((directory / GATEWAYS).glob("*.pub"))]:
        if path.exists():
            public_file = _load_public(path, None, "")
            raw = _raw(path, public_file.open or public_file.sign)
            found.append(KeyInfo(public_file.kind, key_id(raw).hex(), public_file.created, str(path), public_file.gateway))
    return found


def _created(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _load_private(path: Path, make_it: str) -> _PrivateKey:
    content = read_private(path, make_it)
    try:
        key = _short_key(content) or _any_key(content)
    except (ValueError, TypeError, UnsupportedAlgorithm) as fault:
        raise _bad(path, "is damaged") from fault
    if not isinstance(key, Ed25519PrivateKey | X25519PrivateKey):
        raise _bad(path, "is of another kind")
    return key


def _short_key(content: bytes) -> _PrivateKey | None:
    """A file as edgegw and openssl write it; None for every other. Raises ValueError."""
    found = _PEM.fullmatch(content)
    if found is None:
        return None
    der = base64.b64decode(found[1], validate=True)
    kind = _PKCS8_HEADS.get(der[:-32])
    return kind.from_private_bytes(der[-32:]) if kind else None


def _any_key(content: bytes) -> object:
    """Raises ValueError, TypeError and UnsupportedAlgorithm."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - 1 MB for what stands in hardly any gateway's file

    return serialization.load_pem_private_key(content, None)


def _load_public(path: Path, kind: str | None, make_it: str) -> _PublicFile:
    content = read_public(path, make_it)
    try:
        public = msgspec.json.decode(content, type=_PublicFile)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise _bad(path, "is damaged") from fault
    if public.version != _VERSION or public.kind not in ("gateway", "cloud") or (kind is not None and public.kind != kind):
        raise _bad(path, f"is no public key file of a {kind or 'gateway or cloud'}")
    return public


def _raw(path: Path, text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as fault:
        raise _bad(path, "is damaged") from fault
    if len(raw) != 32:
        raise _bad(path, "is damaged")
    return raw


def _bad(path: Path, what: str) -> EdgegwError:
    return EdgegwError(
        "E-KEY-BAD", f"the key in {path} {what}", "restore it from its copy, or make a new one elsewhere and exchange the public halves", EXIT_USAGE
    )
