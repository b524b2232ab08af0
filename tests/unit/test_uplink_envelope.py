"""Nothing but the untouched message of the right gateway for the right cloud is opened."""

from __future__ import annotations

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from edgegw.block import PACKED_BYTES_MAX
from edgegw.model import Identity
from edgegw.uplink.envelope import (
    BATCH,
    NO_IDENTITY,
    SCHEMA,
    SEALED_BYTES_MAX,
    Command,
    EnvelopeError,
    Receipt,
    Sealer,
    check_signature,
    grouped,
    intervals_of,
    key_id,
    open_command,
    open_receipt,
    open_sealed,
    sign_command,
    sign_receipt,
    take_apart,
)

CLOUD_OPEN = X25519PrivateKey.from_private_bytes(bytes(range(32)))
GATEWAY_SIGN = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
CLOUD_SIGN = Ed25519PrivateKey.from_private_bytes(bytes(range(64, 96)))
SEALER = Sealer("op/st/gw", CLOUD_OPEN.public_key(), GATEWAY_SIGN)
BATCH_IDENTITY = Identity(0xFFFF_0000_0000_0001, 3, 1, 24)
RECEIPT = Receipt("op/st/gw", 1_800_000_000_000, (Identity(1, 3, 1, 9), Identity(1, 3, 20, 30), Identity(2, 1, 1, 1)))


def open_fully(message: bytes, context: bytes = BATCH, signer=GATEWAY_SIGN, recipient=CLOUD_OPEN) -> bytes:
    sealed = take_apart(message)
    check_signature(sealed, context, signer.public_key())
    return open_sealed(sealed, context, recipient)


def reason(function, *arguments) -> str:
    with pytest.raises(EnvelopeError) as refused:
        function(*arguments)
    return refused.value.reason


def resealed(*header: object) -> bytes:
    """A message whose header has other fields, signed all the same."""
    raw = cbor2.dumps(list(header))
    return cbor2.dumps([raw, b"c" * 40, bytes(64)])


@given(st.binary(max_size=2000), st.integers(0, 2**64 - 1), st.integers(1, 5), st.integers(1, 2**40), st.integers(0, 2**20))
def test_what_is_sealed_opens(plain, epoch, stream, first, more):
    """
    A sealed document opens to itself, with gateway and identity in the header.
    """
    identity = Identity(epoch, stream, first, first + more)
    message = SEALER.seal(BATCH, identity, plain)
    assert (plain, "op/st/gw", identity) == (open_fully(message), take_apart(message).gateway, take_apart(message).identity)


def test_each_altered_byte_of_a_batch_is_refused():
    """
    Whatever byte of a message is altered, in whatever bit, it is refused.
    """
    message = SEALER.seal(BATCH, BATCH_IDENTITY, b"12 V")
    opened = []
    for at in range(len(message)):
        for bit in range(8):
            altered = bytearray(message)
            altered[at] ^= 1 << bit
            try:
                opened.append((at, bit, open_fully(bytes(altered))))
            except EnvelopeError:
                continue
    assert [] == opened


def test_each_altered_byte_of_a_receipt_is_refused():
    """
    Whatever byte of a receipt is altered, in whatever bit, it is refused.
    """
    message = sign_receipt(RECEIPT, CLOUD_SIGN)
    opened = []
    for at in range(len(message)):
        for bit in range(8):
            altered = bytearray(message)
            altered[at] ^= 1 << bit
            try:
                opened.append((at, bit, open_receipt(bytes(altered), "op/st/gw", CLOUD_SIGN.public_key())))
            except EnvelopeError:
                continue
    assert [] == opened


def flipped(message: bytes, part: bytes, bits: int):
    """The message with one bit of this part of it altered, bit by bit."""
    start = message.index(part)
    for bit in range(bits):
        altered = bytearray(message)
        altered[start + bit // 8] ^= 1 << bit % 8
        yield bytes(altered)


def reasons_of(function, messages) -> set[str]:
    return {reason(function, message) for message in messages}


def test_256_altered_batches_are_refused_for_the_right_reason():
    """
    An altered signer's name is refused as an unknown signer; altered names of the recipient, content and signature as content that was never signed.
    """
    message = SEALER.seal(BATCH, BATCH_IDENTITY, b"12 V")
    sealed = take_apart(message)
    parts = {"kid": sealed.kid, "skid": sealed.skid, "content": sealed.ciphertext[:8], "signature": sealed.signature[:8]}
    altered = {name: list(flipped(message, part, 64)) for name, part in parts.items()}
    assert 256 == len({message for messages in altered.values() for message in messages})
    found = {name: reasons_of(open_fully, messages) for name, messages in altered.items()}
    assert {"kid": {"signature"}, "skid": {"signer"}, "content": {"signature"}, "signature": {"signature"}} == found


@pytest.mark.parametrize("kind", ["receipt", "command"])
def test_256_altered_words_of_the_cloud_are_refused_for_the_right_reason(kind):
    """
    Receipts and commands alike: an altered signer's name is another signer, everything else is what the cloud never signed.
    """
    key = CLOUD_SIGN.public_key()
    if kind == "receipt":
        message = sign_receipt(RECEIPT, CLOUD_SIGN)
    else:
        message = sign_command(Command("op/st/gw", 2**40, 2**41, 2**41 + 9, "resend", grouped(RECEIPT.intervals)), CLOUD_SIGN)
    body, signature = cbor2.loads(message)
    parts = {"skid": key_id(key.public_bytes_raw()), "epoch": (1).to_bytes(8, "big"), "signature": signature[:16]}
    altered = {name: list(flipped(message, part, 8 * len(part))) for name, part in parts.items()}
    assert 256 == len({message for messages in altered.values() for message in messages})
    found = {
        name: reasons_of(lambda one: (open_receipt if kind == "receipt" else open_command)(one, "op/st/gw", key), all_of) for name, all_of in altered.items()
    }
    assert {"skid": {"signer"}, "epoch": {"signature"}, "signature": {"signature"}} == found
    assert body in message


def test_a_word_of_the_cloud_for_one_purpose_is_none_for_another():
    """
    A receipt is no command and a command no receipt, whatever its fields; a command opens to what was signed.
    """
    command = Command("op/st/gw", 7, 1, 2, "resend", grouped(RECEIPT.intervals))
    message = sign_command(command, CLOUD_SIGN)
    key = CLOUD_SIGN.public_key()
    opened = open_command(message, "op/st/gw", key)
    assert (command, RECEIPT.intervals) == (opened, intervals_of(opened.arguments))
    assert {"form", "signature"} >= {reason(open_receipt, message, "op/st/gw", key), reason(open_command, sign_receipt(RECEIPT, CLOUD_SIGN), "op/st/gw", key)}
    body, signature = cbor2.loads(sign_receipt(RECEIPT, CLOUD_SIGN))
    as_command = cbor2.dumps([cbor2.loads(body)[0], 1, key_id(key.public_bytes_raw()), "op/st/gw", 9, 1, 2, "resend", []])
    assert "signature" == reason(open_command, cbor2.dumps([as_command, signature]), "op/st/gw", key)
    assert "gateway" == reason(open_command, message, "op/st/other", key)
    assert "size" == reason(open_command, b"x" * 20_000, "op/st/gw", key)


@pytest.mark.parametrize("cut", [0, 1, 5, 100, -1])
def test_cut_or_lengthened_messages_are_refused(cut):
    """
    A message that is cut short or has bytes behind it is refused for its form.
    """
    message = SEALER.seal(BATCH, BATCH_IDENTITY, b"12 V")
    assert "form" == reason(take_apart, message[:cut] if cut >= 0 else message + b"\0")


def test_a_byte_cannot_move_between_header_and_ciphertext():
    """
    The signature binds the border: the last byte of the header moved to the ciphertext is refused.
    """
    header, ciphertext, signature = cbor2.loads(SEALER.seal(BATCH, BATCH_IDENTITY, b"12 V"))
    moved = cbor2.dumps([header[:-1], header[-1:] + ciphertext, signature])
    assert reason(open_fully, moved) in {"form", "signature"}


def test_foreign_messages_have_their_own_reasons():
    """
    Another signer, another recipient, another purpose and the gateway's signature on it are told apart.
    """
    message = SEALER.seal(BATCH, BATCH_IDENTITY, b"12 V")
    stranger, other_cloud = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
    assert "signer" == reason(open_fully, message, BATCH, stranger)
    assert "key" == reason(open_fully, message, BATCH, GATEWAY_SIGN, other_cloud)
    assert "signature" == reason(open_fully, message, SCHEMA)
    assert "sealed" == reason(open_sealed, take_apart(message), SCHEMA, CLOUD_OPEN)


def test_a_stranger_cannot_sign_a_message_anew():
    """
    A stranger who puts his own key id and signature on a batch cannot make it open: the header is bound into the encryption.
    """
    header, ciphertext, _ = cbor2.loads(SEALER.seal(BATCH, BATCH_IDENTITY, b"12 V"))
    stranger = Ed25519PrivateKey.generate()
    theirs = take_apart(Sealer("op/st/gw", CLOUD_OPEN.public_key(), stranger).seal(BATCH, BATCH_IDENTITY, b"-"))
    forged = take_apart(cbor2.dumps([theirs.header, ciphertext, theirs.signature]))
    assert "sealed" == reason(open_sealed, forged, BATCH, CLOUD_OPEN)
    assert header != theirs.header


@pytest.mark.parametrize(
    ("expected", "header"),
    [
        ("version", (2, 1, b"k" * 8, b"s" * 8, "a/b/c", b"e" * 8, 3, 1, 2)),
        ("suite", (1, 2, b"k" * 8, b"s" * 8, "a/b/c", b"e" * 8, 3, 1, 2)),
        ("suite", (1, 16, b"k" * 8, b"s" * 8)),
        ("form", (1, 1, b"k" * 7, b"s" * 8, "a/b/c", b"e" * 8, 3, 1, 2)),
        ("form", (1, 1, b"k" * 8, b"s" * 8, "a/b/c", b"e" * 8, 3, 1, 2, 0)),
        ("form", ("1", 1)),
        ("identity", (1, 1, b"k" * 8, b"s" * 8, "a/b/c", b"e" * 8, 3, 2, 1)),
        ("identity", (1, 1, b"k" * 8, b"s" * 8, "a/b/c", b"e" * 8, 0, 1, 1)),
        ("identity", (1, 1, b"k" * 8, b"s" * 8, "a/b/c", b"e" * 8, 3, 1, 2**64 - 1)),
        ("size", (1, 1, b"k" * 8, b"s" * 8, "a" * 200, b"e" * 8, 3, 1, 2)),
    ],
)
def test_headers_that_are_not_ours_have_their_own_reasons(expected, header):
    """
    Unknown versions and suites, wrong fields and impossible identities are refused before any key is used.
    """
    assert expected == reason(take_apart, resealed(*header))


def test_sizes_are_bounded_both_ways():
    """
    Too large a document is not sealed, too large a message not looked at; the largest document fits into one TLS record.
    """
    assert "size" == reason(SEALER.seal, BATCH, BATCH_IDENTITY, bytes(PACKED_BYTES_MAX + 1))
    assert "size" == reason(take_apart, bytes(SEALED_BYTES_MAX + 1))
    longest = Sealer("/".join(["x" * 16] * 3), CLOUD_OPEN.public_key(), GATEWAY_SIGN).seal(
        BATCH, Identity(2**64 - 1, 3, 2**62, 2**62 + 9), bytes(PACKED_BYTES_MAX)
    )
    assert len(longest) <= SEALED_BYTES_MAX < 16_384 - 128
    assert bytes(PACKED_BYTES_MAX) == open_fully(longest)


def test_the_envelope_costs_as_published():
    """
    Header, encapsulated key, tag and signature cost 163 bytes for a gateway identity of 8 characters, however long the document.
    """
    assert 163 == len(SEALER.seal(BATCH, BATCH_IDENTITY, bytes(1000))) - 1000


def test_a_schema_document_has_no_identity():
    """
    A schema document travels in no stream.
    """
    assert NO_IDENTITY == take_apart(SEALER.seal(SCHEMA, NO_IDENTITY, b"document")).identity


def test_a_receipt_opens_to_its_ranges():
    """
    A signed receipt gives gateway, time and every range of every stream.
    """
    assert RECEIPT == open_receipt(sign_receipt(RECEIPT, CLOUD_SIGN), "op/st/gw", CLOUD_SIGN.public_key())


def test_foreign_receipts_have_their_own_reasons():
    """
    A receipt for another gateway, of another cloud, or by a stranger in the cloud's name is refused.
    """
    message = sign_receipt(RECEIPT, CLOUD_SIGN)
    body, _ = cbor2.loads(message)
    assert "gateway" == reason(open_receipt, message, "op/st/gw2", CLOUD_SIGN.public_key())
    assert "signer" == reason(open_receipt, message, "op/st/gw", GATEWAY_SIGN.public_key())
    assert "signature" == reason(open_receipt, cbor2.dumps([body, bytes(64)]), "op/st/gw", CLOUD_SIGN.public_key())
    assert "size" == reason(sign_receipt, Receipt("op/st/gw", 0, tuple(Identity(1, 3, n * 2**40, n * 2**40 + 1) for n in range(1, 2000))), CLOUD_SIGN)
