"""Frames of a Modbus TCP stream (MBAP), cut and matched by the transaction id, which is the line's and not the question's.

0-1     transaction id  ours comes back in the answer
2-3     protocol        0
4-5     length          of all that follows: unit, function and data, 2-254 bytes
6..     unit, PDU
"""

from __future__ import annotations

import struct

# Unit and function at least, 254 bytes at most; anything else means that the stream is no longer cut where we think.
_LENGTH_MIN = 2
_LENGTH_MAX = 254
HEAD = struct.Struct(">HHH")


class StreamError(ValueError):
    """The stream does not hold Modbus TCP frames here."""


def take_frame(received: bytearray) -> tuple[int, bytes] | None:
    """Takes the first whole frame off the front: (transaction id, all its bytes); None while there is none. Raises StreamError."""
    if len(received) < HEAD.size:
        return None
    transaction_id, protocol, length = HEAD.unpack_from(received)
    if protocol != 0 or not _LENGTH_MIN <= length <= _LENGTH_MAX:
        raise StreamError(f"protocol id {protocol}, length {length}")
    end = HEAD.size + length
    if len(received) < end:
        return None
    raw = bytes(received) if len(received) == end else bytes(received[:end])
    del received[:end]
    return transaction_id, raw
