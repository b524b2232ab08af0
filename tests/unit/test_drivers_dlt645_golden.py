"""Published DL/T 645 frames: whole, cut anywhere, behind noise, before the next frame, and refused for the right reason."""

from __future__ import annotations

import pytest
from dlt645_rig import golden, streams

from edgegw.drivers.dlt645_explain import explain

FRAMES = [pytest.param(one, id=f"{number}-{one.di or one.control}") for number, one in enumerate(golden())]
GOOD = [param for param in FRAMES if not param.values[0].fault]
NOISES = [b"\x00", bytes.fromhex("0068113368AA"), b"\xfe\x68", bytes(range(64)), b"\x68" * 20, b"\xfe" * 9]
NEXT = bytes.fromhex("FEFE6832000000000068D101350916")


def valid(received):
    return [told for told in explain(received) if told.valid]


def said(told):
    return [told.frame.address, f"{told.frame.control:02X}", told.di, told.error.hex().upper() or None, [value.number for value in told.values]]


@pytest.mark.parametrize("one", GOOD)
def test_a_frame_says_what_its_source_says(one):
    """
    Direction, control, address, identifier, error, values and unit are as published, and nothing is wrong.
    """
    [told] = explain(one.raw)
    assert [one.address, one.control, one.di, one.error, one.wanted] == said(told)
    assert {one.unit} >= {value.item.unit for value in told.values}
    assert told.reason is None or one.error
    assert ("response" if int(one.control, 16) & 0x80 else "request") == told.direction


@pytest.mark.parametrize("one", [param for param in FRAMES if param.values[0].fault])
def test_a_frame_with_a_wrong_check_is_refused(one):
    """
    A frame that was published with a wrong check sum gives no value, and says why.
    """
    [told] = explain(one.raw)
    assert (False, one.fault, ()) == (told.valid, told.frame.fault, told.values)
    assert one.di == told.di


@pytest.mark.parametrize("one", FRAMES)
def test_a_frame_cut_anywhere_is_none(one):
    """
    Until the last byte there is no frame, and no mistake but the codec's own word for it.
    """
    assert [] == [cut for cut in range(len(one.raw)) if valid(one.raw[:cut])]


@pytest.mark.parametrize("one", GOOD)
@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise[:4].hex())
def test_a_frame_is_found_behind_noise(one, noise):
    """
    Noise before a frame changes nothing of it, whatever 68H it holds.
    """
    [alone], [found] = valid(one.raw), valid(noise + one.raw)
    assert said(alone) == said(found)
    assert len(noise) == found.frame.offset - alone.frame.offset


@pytest.mark.parametrize("one", GOOD)
def test_a_frame_is_found_before_the_next_one(one):
    """
    Joined frames are two frames.
    """
    [alone], [first, second] = valid(one.raw), valid(one.raw + NEXT)
    assert (said(alone), "02") == (said(first), second.error.hex())


@pytest.mark.parametrize("one", GOOD)
def test_one_wrong_bit_anywhere_and_the_frame_is_refused(one):
    """
    Each bit is turned in turn: nothing is valid, save where it is a bit of the preamble.
    """
    start = one.raw.index(b"\x68")
    for place in range(start, len(one.raw)):
        damaged = bytearray(one.raw)
        damaged[place] ^= 1 << place % 8
        assert [] == valid(bytes(damaged))


@pytest.mark.parametrize("stream", [pytest.param(stream, id=stream.name) for stream in streams()])
def test_a_stream_holds_just_these_frames(stream):
    """
    Whole frames are found, broken ones are named with their fault.
    """
    told = explain(bytes.fromhex(stream.hex))
    assert stream.controls == [f"{one.frame.control:02X}" for one in told if one.valid]
    assert ([stream.fault] if stream.fault else []) == [one.frame.fault for one in told if not one.valid]
