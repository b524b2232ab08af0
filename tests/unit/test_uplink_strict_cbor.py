"""Envelopes are read by a reader that knows one spelling of few types."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegw.uplink.strict_cbor import StrictCborError, read

ITEMS = st.recursive(st.integers(0, 2**64 - 1) | st.binary(max_size=300) | st.text(max_size=40), lambda inner: st.lists(inner, max_size=30), max_leaves=20)


def depth(item) -> int:
    return 1 + max(map(depth, item), default=0) if isinstance(item, list) else 0


@given(ITEMS.filter(lambda item: depth(item) <= 6))
def test_what_is_written_canonically_is_read(item):
    """
    Every item of the known types is read back as it was written.
    """
    assert item == read(cbor2.dumps(item))


@given(st.binary(max_size=60))
def test_what_is_read_has_no_other_spelling(data):
    """
    Any bytes either are the one spelling of an item or are refused.
    """
    try:
        item = read(data)
    except StrictCborError:
        return
    assert data == cbor2.dumps(item)


@pytest.mark.parametrize(
    "data",
    [
        "",
        "1800",
        "1817",
        "1900ff",
        "1a0000ffff",
        "1b00000000ffffffff",
        "9fff",
        "5f4100ff",
        "c100",
        "f6",
        "20",
        "a0",
        "0000",
        "8101ff",
        "62c328",
        "9bffffffffffffffff",
        "81" * 7 + "00",
        "1c",
    ],
)
def test_other_types_and_spellings_are_refused(data):
    """
    Longer heads, indefinite lengths, tags, maps, negative numbers, bad text, absurd lengths and deep nesting are refused.
    """
    with pytest.raises(StrictCborError):
        read(bytes.fromhex(data))
