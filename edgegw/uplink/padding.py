"""A packed document lengthened without changing what it says, so that the size of a message tells less. Pure.

    padded = codec byte || empty blocks || the deflate stream

Deflate knows blocks without content (RFC 1951, 3.2.3 to 3.2.6): 5 bytes of a stored one at a byte's border, 6 with a fixed one before it. From
20 on every number is a sum of fives and sixes. Any inflater skips them: a receiver needs to know nothing of it.
"""

from __future__ import annotations

from typing import Final

from edgegw.block import CODEC_DEFLATE, PACKED_BYTES_MAX

# BFINAL 0, BTYPE 00, LEN 0, NLEN FFFF.
_FIVE: Final = bytes.fromhex("000000ffff")
# BFINAL 0, BTYPE 01, end of block, then the same.
_SIX: Final = bytes.fromhex("02000000ffff")
# Largest number that is no sum of fives and sixes.
_GAP_BYTES_MAX: Final = 19


def padded(packed: bytes, multiple_bytes: int) -> bytes:
    """The same document in a multiple of so many bytes, as far as a message holds them; 0: as it is."""
    if not multiple_bytes or packed[:1] != bytes((CODEC_DEFLATE,)):
        return packed
    missing = -len(packed) % multiple_bytes
    while missing and missing <= _GAP_BYTES_MAX and missing % 5 > missing // 5:
        missing += multiple_bytes
    if len(packed) + missing > PACKED_BYTES_MAX:
        return packed
    sixes = missing % 5
    return packed[:1] + _SIX * sixes + _FIVE * ((missing - 6 * sixes) // 5) + packed[1:]
