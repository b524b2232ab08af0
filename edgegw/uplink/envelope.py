"""What travels: sealed batches and schema documents towards the cloud, signed receipts back (docs/uplink.md, `cloud/uplink.cddl`). Pure.

    sealed  = [ hdr: bstr, ct: bstr, sig: bstr .size 64 ]
    hdr     = [ 1, suite, kid: bstr .size 8, skid: bstr .size 8, gw: tstr, epoch: bstr .size 8, stream, first, last ]
    ct      = HPKE(recipient, info = context 00 hdr, plain)          plain = codec byte || compressed document
    sig     = Ed25519(context 00 || SHA-256(hdr) || SHA-256(ct))     each part hashed: no byte can move from one to the other
    receipt = [ body: bstr, sig: bstr .size 64 ]                     sig = Ed25519("edgegw/1 receipt" 00 || SHA-256(body))
    body    = [ 1, suite, skid, gw, at_ms, [ * [ epoch, stream, [ + [ first, last ] ] ] ] ]
    command = [ body: bstr, sig: bstr .size 64 ]                     sig = Ed25519("edgegw/1 command" 00 || SHA-256(body))
    body    = [ 1, suite, skid, gw, counter, at_ms, expires_ms, name, [ * argument ] ]

context is "edgegw/1 batch" or "edgegw/1 schema"; a schema document is in no stream: epoch, stream, first and last are 0.
Suite 1 is HPKE base mode with X25519, HKDF-SHA256, AES-256-GCM, and Ed25519. 2 is kept for the ML-KEM-768 + X25519 hybrid, 16-31 for
SM2/SM3/SM4, 32-47 for COSE. A fresh ephemeral key for each message: no nonce to lose in a power cut, none to repeat after a restore.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

import cbor2
import msgspec
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from edgegw.block import PACKED_BYTES_MAX
from edgegw.model import Identity
from edgegw.uplink.strict_cbor import Item, StrictCborError, read

VERSION: Final = 1
SUITE: Final = 1
BATCH = b"edgegw/1 batch"
SCHEMA = b"edgegw/1 schema"
RECEIPT = b"edgegw/1 receipt"
COMMAND = b"edgegw/1 command"

# The packed document, 173-190 bytes of envelope, room for a longer gateway identity. With topic and TLS below one record of 16,384 bytes.
SEALED_BYTES_MAX = PACKED_BYTES_MAX + 512
# Three codes of at most 16 characters and two slashes, and the fixed parts.
HEADER_BYTES_MAX = 160
# 15 KiB hold more than 500 intervals: more than a receiver settles in the longest receipt interval.
RECEIPT_BYTES_MAX = 15 * 1024
COMMAND_NAME_MAX = 32
KID_BYTES = 8
EPOCH_BYTES = 8
SIGNATURE_BYTES = 64
SEQUENCE_MAX = 2**63 - 1
NO_IDENTITY = Identity(0, 0, 0, 0)
"""What a schema document bears instead of an identity."""

_HPKE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


class EnvelopeError(ValueError):
    """Refused. `reason` is a stable word: size, form, version, suite, identity, key, signer, signature, sealed, gateway."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(f"{reason}: {text}")
        self.reason = reason


class Sealed(msgspec.Struct, frozen=True):
    """A message taken apart. Nothing in it is proven before `check_signature`."""

    suite: int
    kid: bytes
    """Recipient's key."""
    skid: bytes
    """Signer's key."""
    gateway: str
    identity: Identity
    header: bytes
    ciphertext: bytes
    signature: bytes


class Receipt(msgspec.Struct, frozen=True):
    """The cloud's signed word that these ranges are stored."""

    gateway: str
    at_ms: int
    intervals: tuple[Identity, ...]


class Command(msgspec.Struct, frozen=True):
    """The cloud's signed wish. `counter` only ever grows: the milliseconds of UTC will do."""

    gateway: str
    counter: int
    at_ms: int
    expires_ms: int
    name: str
    arguments: Sequence[object] = ()


def key_id(public_raw: bytes) -> bytes:
    """The name of a public key: the first 8 bytes of the SHA-256 of its 32 raw bytes."""
    return hashlib.sha256(public_raw).digest()[:KID_BYTES]


# -- batches and schema documents


class Sealer(msgspec.Struct, frozen=True):
    """One gateway's side of the envelope: packed documents to messages that only the recipient can open and only this gateway can have made."""

    gateway: str
    recipient: X25519PublicKey
    signer: Ed25519PrivateKey

    def seal(self, context: bytes, identity: Identity, plain: bytes) -> bytes:
        """Raises EnvelopeError when the document is too large to travel."""
        if len(plain) > PACKED_BYTES_MAX:
            raise EnvelopeError("size", f"{len(plain)} bytes to seal, at most {PACKED_BYTES_MAX}")
        header = _header(self.gateway, identity, key_id(self.recipient.public_bytes_raw()), key_id(self.signer.public_key().public_bytes_raw()))
        ciphertext = _HPKE.encrypt(plain, self.recipient, info=context + b"\0" + header)
        return cbor2.dumps([header, ciphertext, self.signer.sign(_signed(context, header, ciphertext))])


def _header(gateway: str, identity: Identity, kid: bytes, skid: bytes) -> bytes:
    epoch = identity.epoch.to_bytes(EPOCH_BYTES, "big")
    return cbor2.dumps([VERSION, SUITE, kid, skid, gateway, epoch, identity.stream, identity.first, identity.last])


def _signed(context: bytes, *parts: bytes) -> bytes:
    return context + b"\0" + b"".join(hashlib.sha256(part).digest() for part in parts)


def take_apart(message: bytes) -> Sealed:
    """A received message to its parts, form and limits checked, nothing proven. Raises EnvelopeError."""
    if len(message) > SEALED_BYTES_MAX:
        raise EnvelopeError("size", f"{len(message)} bytes, at most {SEALED_BYTES_MAX}")
    match _read(message):
        case [bytes(header), bytes(ciphertext), bytes(signature)] if len(signature) == SIGNATURE_BYTES:
            return _with_header(header, ciphertext, signature)
    raise EnvelopeError("form", "not [header, ciphertext, signature]")


def _with_header(header: bytes, ciphertext: bytes, signature: bytes) -> Sealed:
    if len(header) > HEADER_BYTES_MAX:
        raise EnvelopeError("size", f"header of {len(header)} bytes, at most {HEADER_BYTES_MAX}")
    fields = _read(header)
    suite = _checked_suite(fields)
    match fields:
        case [_, _, bytes(kid), bytes(skid), str(gateway), bytes(epoch), int(stream), int(first), int(last)] if {len(kid), len(skid), len(epoch)} == {
            KID_BYTES
        }:
            identity = _identity(epoch, stream, first, last)
            return Sealed(suite, kid, skid, gateway, identity, header, ciphertext, signature)
    raise EnvelopeError("form", "the header has other fields than version 1")


def check_signature(sealed: Sealed, context: bytes, signer: Ed25519PublicKey) -> None:
    """Proves that the owner of `signer` made header and ciphertext for this purpose. Raises EnvelopeError."""
    if sealed.skid != key_id(signer.public_bytes_raw()):
        raise EnvelopeError("signer", f"signed by key {sealed.skid.hex()}")
    _verify(signer, sealed.signature, _signed(context, sealed.header, sealed.ciphertext))


def open_sealed(sealed: Sealed, context: bytes, recipient: X25519PrivateKey) -> bytes:
    """The packed document. Check the signature first. Raises EnvelopeError."""
    if sealed.kid != key_id(recipient.public_key().public_bytes_raw()):
        raise EnvelopeError("key", f"sealed for key {sealed.kid.hex()}, which is not ours")
    try:
        return _HPKE.decrypt(sealed.ciphertext, recipient, info=context + b"\0" + sealed.header)
    except InvalidTag as fault:
        raise EnvelopeError("sealed", "does not open with our key") from fault


# -- receipts


def sign_receipt(receipt: Receipt, signer: Ed25519PrivateKey) -> bytes:
    """A receipt to its message. Raises EnvelopeError when it has grown too large: give fewer intervals."""
    skid = key_id(signer.public_key().public_bytes_raw())
    body = cbor2.dumps([VERSION, SUITE, skid, receipt.gateway, receipt.at_ms, grouped(receipt.intervals)])
    message = cbor2.dumps([body, signer.sign(_signed(RECEIPT, body))])
    if len(message) > RECEIPT_BYTES_MAX:
        raise EnvelopeError("size", f"receipt of {len(message)} bytes, at most {RECEIPT_BYTES_MAX}")
    return message


def grouped(intervals: Iterable[Identity]) -> list[list[object]]:
    """Ranges as receipts and the command `resend` write them."""
    streams: dict[tuple[int, int], list[list[int]]] = {}
    for interval in intervals:
        streams.setdefault((interval.epoch, interval.stream), []).append([interval.first, interval.last])
    return [[epoch.to_bytes(EPOCH_BYTES, "big"), stream, ranges] for (epoch, stream), ranges in streams.items()]


def open_receipt(message: bytes, gateway: str, signer: Ed25519PublicKey) -> Receipt:
    """A received receipt, proven to be the cloud's and for this gateway. Raises EnvelopeError."""
    if len(message) > RECEIPT_BYTES_MAX:
        raise EnvelopeError("size", f"receipt of {len(message)} bytes, at most {RECEIPT_BYTES_MAX}")
    body, signature = _body_and_signature(message)
    match _fields(body):
        case [_, _, bytes(skid), str(addressee), int(at_ms), [*streams]]:
            pass
        case _:
            raise EnvelopeError("form", "the receipt has other fields than version 1")
    _check_cloud(RECEIPT, body, signature, skid, signer)
    if addressee != gateway:
        raise EnvelopeError("gateway", f"receipt for {addressee}")
    return Receipt(addressee, at_ms, intervals_of(streams))


def _body_and_signature(message: bytes) -> tuple[bytes, bytes]:
    match _read(message):
        case [bytes(body), bytes(signature)] if len(signature) == SIGNATURE_BYTES:
            return body, signature
    raise EnvelopeError("form", "not [body, signature]")


def _fields(body: bytes) -> Item:
    fields = _read(body)
    _checked_suite(fields)
    return fields


def _check_cloud(context: bytes, body: bytes, signature: bytes, skid: bytes, signer: Ed25519PublicKey) -> None:
    if skid != key_id(signer.public_bytes_raw()):
        raise EnvelopeError("signer", f"signed by key {skid.hex()}, which is not the cloud's")
    _verify(signer, signature, _signed(context, body))


def intervals_of(streams: Sequence[object]) -> tuple[Identity, ...]:
    """[[epoch, stream, [[first, last], ...]], ...] of a receipt or of the command `resend`. Raises EnvelopeError."""
    return tuple(interval for stream in streams for interval in _intervals(stream))


# -- commands


def sign_command(command: Command, signer: Ed25519PrivateKey) -> bytes:
    """A command to its message. Raises EnvelopeError when it has grown too large."""
    skid = key_id(signer.public_key().public_bytes_raw())
    fields = [command.gateway, command.counter, command.at_ms, command.expires_ms, command.name, list(command.arguments)]
    body = cbor2.dumps([VERSION, SUITE, skid, *fields])
    message = cbor2.dumps([body, signer.sign(_signed(COMMAND, body))])
    if len(message) > RECEIPT_BYTES_MAX:
        raise EnvelopeError("size", f"command of {len(message)} bytes, at most {RECEIPT_BYTES_MAX}")
    return message


def open_command(message: bytes, gateway: str, signer: Ed25519PublicKey) -> Command:
    """A received command, proven to be the cloud's and for this gateway; not yet that it is new and in time. Raises EnvelopeError."""
    if len(message) > RECEIPT_BYTES_MAX:
        raise EnvelopeError("size", f"command of {len(message)} bytes, at most {RECEIPT_BYTES_MAX}")
    body, signature = _body_and_signature(message)
    match _fields(body):
        case [_, _, bytes(skid), str(addressee), int(counter), int(at_ms), int(expires_ms), str(name), [*arguments]] if len(name) <= COMMAND_NAME_MAX:
            pass
        case _:
            raise EnvelopeError("form", "the command has other fields than version 1")
    _check_cloud(COMMAND, body, signature, skid, signer)
    if addressee != gateway:
        raise EnvelopeError("gateway", f"command for {addressee}")
    return Command(addressee, counter, at_ms, expires_ms, name, arguments)


def _intervals(stream: object) -> Sequence[Identity]:
    match stream:
        case [bytes(epoch), int(number), [*ranges]] if len(epoch) == EPOCH_BYTES and ranges:
            return [_range(epoch, number, pair) for pair in ranges]
    raise EnvelopeError("form", "a stream of the receipt is not [epoch, stream, ranges]")


def _range(epoch: bytes, stream: int, pair: object) -> Identity:
    match pair:
        case [int(first), int(last)]:
            return _identity(epoch, stream, first, last)
    raise EnvelopeError("form", "a range of the receipt is not [first, last]")


# -- both


def _read(data: bytes) -> Item:
    try:
        return read(data)
    except StrictCborError as fault:
        raise EnvelopeError("form", str(fault)) from fault


def _checked_suite(fields: Item) -> int:
    match fields:
        case [int(version), int(suite), *_]:
            pass
        case _:
            raise EnvelopeError("form", "begins with no version and suite")
    if version != VERSION:
        raise EnvelopeError("version", f"version {version}, not {VERSION}")
    if suite != SUITE:
        raise EnvelopeError("suite", f"suite {suite}, not {SUITE}")
    return suite


def _identity(epoch: bytes, stream: int, first: int, last: int) -> Identity:
    identity = Identity(int.from_bytes(epoch, "big"), stream, first, last)
    if identity != NO_IDENTITY and not (0 < first <= last <= SEQUENCE_MAX and 0 < stream < 256):
        raise EnvelopeError("identity", f"stream {stream}, sequences {first} to {last}")
    return identity


def _verify(signer: Ed25519PublicKey, signature: bytes, signed: bytes) -> None:
    try:
        signer.verify(signature, signed)
    except InvalidSignature as fault:
        raise EnvelopeError("signature", "the signature is not of this content") from fault
