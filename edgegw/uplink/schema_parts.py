"""A schema document that no single message holds, in parts. Pure.

    part = [ 3, schema: bstr .size 8, total: uint, offset: uint, bytes: bstr ]     on topic m, packed and sealed like a whole document

`schema` is the name of the whole document (the first 8 bytes of its SHA-256), `total` its length; `bytes` stand at `offset` in it. A whole document begins with
1, so the two cannot be confused. Parts come in any order, come again, and may be cut differently the second time: what counts is that all bytes have come and
that the whole has its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import cbor2
import msgspec

from edgegw.block import INFLATED_BYTES_MAX, BlockError, pack
from edgegw.uplink.strict_cbor import StrictCborError, read

VERSION: Final = 3
# Smaller parts cost more envelope than they carry: a broker that takes no more takes no alarm either.
PART_BYTES_MIN: Final = 64
# Of one document; a receiver keeps no more of them (docs/uplink.md).
PARTS_MAX: Final = 4096
# An array of five that begins with 3.
_BEGINS: Final = b"\x85\x03"
_NAME_BYTES: Final = 8


class SchemaPart(msgspec.Struct, frozen=True):
    """Some bytes of a schema document."""

    schema: bytes
    total_bytes: int
    offset: int
    content: bytes


def messages_of(schema: bytes, document: bytes, sealed: Callable[[bytes], bytes | None]) -> list[bytes] | None:
    """The whole document as one message where it fits, else in the fewest parts of equal size, halved until they fit. `sealed` makes a message of what is
    packed, None where that is larger than may travel. None: it does not fit in parts either.
    """
    whole = sealed(pack(document))
    if whole is not None:
        return [whole]
    count = 2
    while count <= PARTS_MAX and len(document) >= count * PART_BYTES_MIN:
        made = _all_sealed(_cut(schema, document, count), sealed)
        if made is not None:
            return made
        count *= 2
    return None


def _cut(schema: bytes, document: bytes, count: int) -> Iterable[bytes]:
    size = -(-len(document) // count)
    for offset in range(0, len(document), size):
        yield cbor2.dumps([VERSION, schema, len(document), offset, document[offset : offset + size]])


def _all_sealed(parts: Iterable[bytes], sealed: Callable[[bytes], bytes | None]) -> list[bytes] | None:
    messages = []
    for part in parts:
        message = sealed(pack(part))
        if message is None:
            return None
        messages.append(message)
    return messages


def read_part(document: bytes) -> SchemaPart | None:
    """What came on topic m, unpacked; None where it is no part. Raises BlockError."""
    if not document.startswith(_BEGINS):
        return None
    try:
        fields = read(document)
    except StrictCborError as fault:
        raise BlockError(f"a part of a schema document: {fault}") from fault
    match fields:
        case [_, bytes(schema), int(total), int(offset), bytes(content)] if len(schema) == _NAME_BYTES and content:
            if offset + len(content) <= total <= INFLATED_BYTES_MAX:
                return SchemaPart(schema, total, offset, content)
    raise BlockError("a part of a schema document has other fields than version 3, or lies outside of it")


def joined(parts: Iterable[tuple[int, bytes]], total_bytes: int) -> bytes | None:
    """The document of its parts, (offset, bytes) in ascending order, which may overlap; None while something of it has not come."""
    document = bytearray()
    for offset, content in parts:
        if offset > len(document):
            return None
        document[offset : offset + len(content)] = content
    return bytes(document) if len(document) == total_bytes else None
