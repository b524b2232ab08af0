"""The CBOR of envelopes and receipts, read before anything about the sender is proven.

    item = head [argument] [bytes or items]     head = major type << 5 | argument or its length
    major 0 uint, 2 bstr, 3 tstr, 4 array; definite lengths; the shortest head only (RFC 8949, section 4.2.1)

Why not the library: it also knows tags, big floats and shared references, which a stranger could use against the receiver. Here one
item has one spelling, so that two different messages never mean the same.
"""

from __future__ import annotations

Item = int | bytes | str | list["Item"]

# receipt > list of streams > stream > list of intervals > interval; one to spare.
_NESTING_MAX = 6
_ARGUMENT_BYTES = {24: 1, 25: 2, 26: 4, 27: 8}
_MAJOR_UINT, _MAJOR_BSTR, _MAJOR_TSTR, _MAJOR_ARRAY = 0, 2, 3, 4


class StrictCborError(ValueError):
    """Not the one spelling of an item of these types."""


def read(data: bytes) -> Item:
    """The one item that `data` holds. Raises StrictCborError."""
    item, end = _item(data, 0, _NESTING_MAX)
    if end != len(data):
        raise StrictCborError(f"{len(data) - end} bytes behind the item")
    return item


def _item(data: bytes, at: int, nesting_left: int) -> tuple[Item, int]:
    major, argument, at = _head(data, at)
    if major == _MAJOR_UINT:
        return argument, at
    if argument > len(data) - at:  # each item of an array takes a byte at least
        raise StrictCborError("cut short")
    if major == _MAJOR_ARRAY:
        return _array(data, at, argument, nesting_left)
    chunk = data[at : at + argument]
    if major == _MAJOR_BSTR:
        return chunk, at + argument
    if major == _MAJOR_TSTR:
        return _text(chunk), at + argument
    raise StrictCborError(f"major type {major} has no place here")


def _head(data: bytes, at: int) -> tuple[int, int, int]:
    if at >= len(data):
        raise StrictCborError("cut short")
    major, short = divmod(data[at], 32)
    at += 1
    if short < 24:
        return major, short, at
    size = _ARGUMENT_BYTES.get(short)
    if size is None or at + size > len(data):
        raise StrictCborError("cut short, or a length that is not definite")
    argument = int.from_bytes(data[at : at + size], "big")
    if argument < 24 or argument.bit_length() <= size * 4 * (size > 1):
        raise StrictCborError("a longer head than needed")
    return major, argument, at + size


def _array(data: bytes, at: int, length: int, nesting_left: int) -> tuple[Item, int]:
    if nesting_left == 0:
        raise StrictCborError(f"nested deeper than {_NESTING_MAX}")
    items: list[Item] = []
    for _ in range(length):
        item, at = _item(data, at, nesting_left - 1)
        items.append(item)
    return items, at


def _text(chunk: bytes) -> str:
    try:
        return chunk.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise StrictCborError("text that is not UTF-8") from fault
