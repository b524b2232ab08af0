"""The published vectors, opened here and by a second decoder in another language."""

from __future__ import annotations

import json
import shutil
import subprocess
from io import BytesIO
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from edgegw.block import decode_block, decode_events, decode_schema, encode_block, encode_events, encode_schema, pack, schema_hash, unpack
from edgegw.model import ClockTrust, Event, Identity, Quality, Reading
from edgegw.uplink.envelope import (
    BATCH,
    NO_IDENTITY,
    SCHEMA,
    Command,
    Receipt,
    Sealed,
    Sealer,
    check_signature,
    grouped,
    intervals_of,
    open_command,
    open_receipt,
    open_sealed,
    sign_command,
    sign_receipt,
    take_apart,
)
from edgegw.uplink.padding import padded
from edgegw.uplink.parcel import PARCEL, Frames, read_frames
from edgegw.uplink.schema_parts import joined, messages_of, read_part
from tests.uplink_rig import DOCUMENT, EPOCH, IDENTITY, SOURCE, alarm, readings
from tests.uplink_rig import SCHEMA as SCHEMA_HASH

GOLDEN = Path(__file__).parent.parent / "golden" / "uplink"
VECTORS = ["readings", "events", "schema", "receipt", "command", "padded", "parcel", "volatile", "schema-parts"]
RECIPIENT = X25519PrivateKey.from_private_bytes(bytes(range(32)))
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
CLOUD = Ed25519PrivateKey.from_private_bytes(bytes(range(64, 96)))


def vector(kind: str) -> dict:
    return json.loads((GOLDEN / f"{kind}.json").read_text(encoding="utf-8"))


def rows_as_json(packed: bytes, first: int) -> list:
    return [
        [row.seq, row.source_id, row.read_at_ms, list(row.values), [int(row.quality.get(i, 0)) for i in range(3)]] for row in decode_block(packed, first)[1]
    ]


def opened_envelope(case: dict, message: bytes) -> tuple[Sealed, bytes]:
    sealed = take_apart(message)
    context = case["context"].encode()
    check_signature(sealed, context, Ed25519PublicKey.from_public_bytes(bytes.fromhex(case["signer_public"])))
    return sealed, open_sealed(sealed, context, X25519PrivateKey.from_private_bytes(bytes.fromhex(case["recipient_private"])))


def open_schema_parts(case: dict) -> dict:
    parts = [read_part(unpack(opened_envelope(case, bytes.fromhex(message))[1])) for message in case["messages"]]
    whole = joined(sorted((part.offset, part.content) for part in parts), parts[0].total_bytes)
    assert {parts[0].schema} == {part.schema for part in parts}
    assert schema_hash(whole) == parts[0].schema
    return {"schema": parts[0].schema.hex(), "content": sources_as_json(whole)}


def sources_as_json(document: bytes) -> list:
    sources = decode_schema(document).values()
    return [[s.source_id, s.device, s.device_class, s.period_ms, [[p.name, p.decimals, p.unit] for p in s.points]] for s in sources]


def open_here(case: dict) -> dict:
    if case["kind"] == "schema-parts":
        return open_schema_parts(case)
    if case["kind"] in ("receipt", "command", "parcel"):
        return open_word(case)
    return open_batch(case)


def open_word(case: dict) -> dict:
    message = bytes.fromhex(case["message"])
    signer = Ed25519PublicKey.from_public_bytes(bytes.fromhex(case["signer_public"]))
    if case["kind"] == "receipt":
        receipt = open_receipt(message, IDENTITY, signer)
        return {"gateway": receipt.gateway, "at": receipt.at_ms, "intervals": [[f"{i.epoch:016x}", i.stream, i.first, i.last] for i in receipt.intervals]}
    if case["kind"] == "command":
        command = open_command(message, IDENTITY, signer)
        times = {"counter": command.counter, "at": command.at_ms, "expires": command.expires_ms}
        ranges = [[f"{i.epoch:016x}", i.stream, i.first, i.last] for i in intervals_of(command.arguments)]
        return {"gateway": command.gateway, **times, "name": command.name, "intervals": ranges}
    return {"messages": [one.hex() for one in read_frames(BytesIO(message), PARCEL, "parcel")]}


def open_batch(case: dict) -> dict:
    sealed, packed = opened_envelope(case, bytes.fromhex(case["message"]))
    assert case["plain"] == packed.hex()
    identity = sealed.identity
    opened = {"gateway": sealed.gateway, "epoch": f"{identity.epoch:016x}", "stream": identity.stream, "first": identity.first, "last": identity.last}
    if case["kind"] in ("readings", "padded", "volatile"):
        schema, rows = decode_block(packed, identity.first)
        mark = {"volatile": True} if case["kind"] == "volatile" else {}
        return opened | mark | {"schema": schema.hex(), "clock": int(rows[0].clock), "rows": rows_as_json(packed, identity.first)}
    if case["kind"] == "events":
        return opened | {"content": [[e.at_ms, e.mono_ms, int(e.clock), e.kind, e.device, dict(e.body)] for e in decode_events(packed)]}
    return opened | {"content": sources_as_json(unpack(packed))}


def open_with_node(case: dict) -> dict:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    done = subprocess.run([node, str(GOLDEN / "open.mjs")], input=json.dumps(case), capture_output=True, text=True, timeout=30, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    return json.loads(done.stdout)


def make(kind: str) -> dict:
    """A vector of today's code, with the keys of the published ones."""
    keys = {"signer_public": SIGNER.public_key().public_bytes_raw().hex(), "recipient_private": RECIPIENT.private_bytes_raw().hex()}
    sealer = Sealer(IDENTITY, RECIPIENT.public_key(), SIGNER)
    if kind == "schema-parts":
        document = encode_schema([msgspec.structs.replace(SOURCE, source_id=number, device=f"meter-{number:02}") for number in range(1, 9)])
        made = messages_of(schema_hash(document), document, lambda packed: sealer.seal(SCHEMA, NO_IDENTITY, packed) if len(packed) < 100 else None)
        assert made is not None
        assert len(made) > 2
        case = keys | {"context": SCHEMA.decode(), "messages": [message.hex() for message in reversed(made)]}
    elif kind == "parcel":
        out = BytesIO()
        frames = Frames(out, PARCEL)
        for one in ("schema", "readings"):
            frames.add(bytes.fromhex(make(one)["message"]))
        frames.end()
        case = {"message": out.getvalue().hex(), "signer_public": keys["signer_public"]}
    elif kind == "command":
        ranges = grouped((Identity(EPOCH, 3, 1, 4), Identity(2**64 - 1, 1, 7, 70_000)))
        command = Command(IDENTITY, 1_800_000_200_000, 1_800_000_200_000, 1_800_086_600_000, "resend", ranges)
        case = {"message": sign_command(command, CLOUD).hex(), "signer_public": CLOUD.public_key().public_bytes_raw().hex()}
    elif kind == "receipt":
        receipt = Receipt(IDENTITY, 1_800_000_100_000, (Identity(EPOCH, 3, 1, 4), Identity(EPOCH, 3, 9, 70_000), Identity(2**64 - 1, 1, 1, 1)))
        case = {"message": sign_receipt(receipt, CLOUD).hex(), "signer_public": CLOUD.public_key().public_bytes_raw().hex()}
    else:
        context, identity, packed = {
            "readings": (BATCH, Identity(EPOCH, 3, 501, 506), encode_block(SCHEMA_HASH, mixed())),
            "padded": (BATCH, Identity(EPOCH, 3, 501, 506), padded(encode_block(SCHEMA_HASH, mixed()), 256)),
            "volatile": (BATCH, Identity(EPOCH, 3, 501, 506), encode_block(SCHEMA_HASH, mixed(), stored=False)),
            "events": (BATCH, Identity(EPOCH, 1, 1, 2), encode_events([alarm(1), Event("clock", 5, 6, ClockTrust.CORRECTED, None, {"offset": -3_600_000})])),
            "schema": (SCHEMA, NO_IDENTITY, pack(DOCUMENT)),
        }[kind]
        case = keys | {"context": context.decode(), "plain": packed.hex(), "message": sealer.seal(context, identity, packed).hex()}
    case = {"kind": kind} | case
    return case | {"opened": open_here(case)}


def mixed() -> list[Reading]:
    """Readings with every kind of column: differences, a constant, literals, holes and qualities."""
    plain = readings(3)
    failed = Reading(SOURCE, 1_800_000_003_007, 3007, ClockTrust.SYNCHRONISED, (None, None, None), dict.fromkeys(range(3), Quality.OFFLINE))
    suspect = Reading(SOURCE, 1_800_000_004_000, 4000, ClockTrust.SYNCHRONISED, (9999, None, 1.5), {0: Quality.SUSPECT, 1: Quality.BAD})
    late = Reading(SOURCE, 1_800_000_005_000, 5000, ClockTrust.SYNCHRONISED, (-5, 2**40, 0), {2: Quality.LATE})
    return [*plain, failed, suspect, late]


@pytest.mark.parametrize("kind", VECTORS)
def test_published_vectors_open(kind):
    """
    What was sealed when the format was published opens today to the same content.
    """
    assert vector(kind)["opened"] == open_here(vector(kind))


@pytest.mark.parametrize("kind", VECTORS)
def test_a_second_decoder_opens_the_published_vectors(kind):
    """
    A decoder written from the documentation in another language finds the same content in the published vectors.
    """
    assert vector(kind)["opened"] == open_with_node(vector(kind))


@pytest.mark.parametrize("kind", VECTORS)
def test_a_second_decoder_opens_what_is_sealed_now(kind):
    """
    A decoder written from the documentation in another language finds the same content in a message sealed a moment ago.
    """
    case = make(kind)
    assert case["opened"] == open_with_node(case)


def test_a_second_decoder_refuses_an_altered_message():
    """
    The second decoder does verify: a message with one altered byte does not pass it.
    """
    case = vector("readings")
    message = bytearray.fromhex(case["message"])
    message[len(message) // 2] ^= 1
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    done = subprocess.run(
        [node, str(GOLDEN / "open.mjs")], input=json.dumps(case | {"message": message.hex()}), capture_output=True, text=True, timeout=30, check=False
    )
    assert (1, "signature\n") == (done.returncode, done.stderr)
