"""A lengthened message says the same; its size tells less."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegw.block import PACKED_BYTES_MAX, decode_block, pack, unpack
from edgegw.uplink.padding import padded
from tests.uplink_rig import block


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=900), st.integers(1, 1024))
def test_a_padded_document_is_the_same_in_a_round_number_of_bytes(document, multiple):
    """
    Every document keeps its content and gets a multiple of the bytes asked for.
    """
    packed = padded(pack(document), multiple)
    assert document == unpack(packed)
    assert 0 == len(packed) % multiple


def test_blocks_of_different_size_look_alike():
    """
    Blocks of a night and of a noon are of one size when padded, and open as before.
    """
    night, noon = block(1, 1, 5), block(2, 1, 60)
    assert len(night.body) != len(noon.body)
    assert {512} == {len(padded(one.body, 512)) for one in (night, noon)}
    assert decode_block(noon.body, 1) == decode_block(padded(noon.body, 512), 1)


@pytest.mark.parametrize("multiple", [0, 1024])
def test_what_has_no_room_stays_as_it_is(multiple):
    """
    Without a multiple, or where the message would grow beyond what travels, nothing is added; what is no deflate is left alone.
    """
    large = pack(random.Random(1).randbytes(PACKED_BYTES_MAX - 20))
    assert large == padded(large, 0)
    assert len(padded(large, multiple)) <= PACKED_BYTES_MAX
    assert b"\x07abc" == padded(b"\x07abc", multiple)
