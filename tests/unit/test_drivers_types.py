"""Every type that a row of a profile can have, in every order of its bytes, each against a number worked out beside the decoder."""

from __future__ import annotations

import struct
from fractions import Fraction

import pytest
from modbus_rig import profile_of

from edgegw.drivers.decode import BlockDecoder, compile_block
from edgegw.errors import EdgegwError
from edgegw.model import Answer, Quality

WIDE = {"ABCD": "ABCDEFGH", "CDAB": "GHEFCDAB", "BADC": "BADCFEHG", "DCBA": "HGFEDCBA"}
NUMBERS = [
    ("u16", ">H", 43981, 1),
    ("i16", ">h", -21555, 1),
    ("u32", ">I", 2882400001, "1e-6"),
    ("i32", ">i", -1412567295, "1e-6"),
    ("u64", ">Q", 81985529216486895, "1e-14"),
    ("i64", ">q", -81985529216486895, "1e-14"),
    ("f32", ">f", -1234.5, 1),
    ("f64", ">d", 1234.015625, 1),
]


def decode(rows, data):
    profile = profile_of(rows)
    return compile_block(profile, profile.point, 0, len(data) // 2)([Answer(data, 0)])


def on_the_wire(number, code, order):
    """The bytes as the product sends them: letter A is the most significant."""
    packed = struct.pack(code, number)
    letters = {2: "BA" if order in ("BADC", "DCBA") else "AB", 4: order, 8: WIDE[order]}[len(packed)]
    return letters, bytes(packed["ABCDEFGH".index(letter)] for letter in letters)


@pytest.mark.parametrize("order", sorted(WIDE))
@pytest.mark.parametrize(("kind", "code", "number", "scale"), NUMBERS, ids=[kind for kind, *_ in NUMBERS])
def test_a_number_in_every_byte_and_word_order(kind, code, number, scale, order):
    """Sixteen to sixty-four bits, signed, unsigned and floating, come out as they were put in."""
    letters, wire = on_the_wire(number, code, order)
    values, quality = decode(f"active_power, address = 0; type = '{kind}'; order = '{letters}'; scale = '{scale}'; decimals = 9", wire)
    assert ((round(Fraction(number) * Fraction(scale) * 10**9),), {}) == (values, dict(quality))


@pytest.mark.parametrize(
    ("row", "data", "expected"),
    [
        ("alarm_word.1, address = 0; type = 'bcd16'", "1234", 1234),
        ("alarm_word.1, address = 0; type = 'bcd16'", "0000", 0),
        ("alarm_word.1, address = 0; type = 'bcd16'; order = 'BA'", "3412", 1234),
        ("alarm_word.1, address = 0; type = 'bcd32'", "01239876", 1239876),
        ("alarm_word.1, address = 0; type = 'bcd32'; order = 'CDAB'", "98760123", 1239876),
        ("energy.import, address = 0; type = 'bcd32'; scale = '0.01'", "00123456", 123456),
        ("temperature, address = 0; type = 'bcd16'; scale = '0.1'; offset = -40", "0653", 253),
        ("alarm_word.1, address = 0; type = 'bits'; mask = 0x0F00", "AB12", 0xB),
        ("alarm_word.1, address = 0; type = 'bits'; mask = 0x8001", "8000", 0x8000),
        ("gun1.state, address = 0; type = 'bits'; mask = 0x0030; map = { 2 = 3 }", "FFEF", 3),
        ("ups.status, address = 0; type = 'bits'; mask = 0xC000; map = { 1 = 'OL' }", "7FFF", "OL"),
        ("temperature, address = 0; type = 'bits'; mask = 0x00FF; offset = -50", "FF4B", 250),
        ("input.1, address = 0; type = 'bit'; bit = 3", "0008", 1),
        ("temperature, address = 0; type = 'i16'; scale = '0.1'; offset = -40", "028D", 253),
        ("temperature, address = 0; type = 'u16'; offset = '-273.15'", "012A", 2485),
        ("temperature, address = 0; type = 'f32'; offset = '-273.15'; decimals = 2", struct.pack(">f", 298.15).hex(), 2500),
        ("active_power, address = 0; type = 'i16'; scale = '0.001'; exponent = 1; decimals = 3", "FFF60002", -1000),
        ("active_power, address = 0; type = 'i16'; scale = '0.001'; exponent = 1; decimals = 3", "7530FFFE", 300),
        ("energy.import, address = 0; type = 'u64'; scale = '0.001'; exponent = 4; decimals = 2", "000000000012D687FFFF", 12346),
    ],
)
def test_what_stands_in_a_register_becomes_the_value(row, data, expected):
    """Digits, fields of bits, codes, offsets and a device's own scale factor, its sign included."""
    values, quality = decode(row, bytes.fromhex(data))
    assert ((expected,), {}) == (values, dict(quality))


@pytest.mark.parametrize(
    ("row", "data"),
    [
        ("alarm_word.1, address = 0; type = 'bcd16'", "12A4"),
        ("alarm_word.1, address = 0; type = 'bcd32'", "1234567F"),
        ("alarm_word.1, address = 0; type = 'bcd16'; invalid = [0x9999]", "9999"),
        ("humidity, address = 0; type = 'bcd16'", "0101"),
        ("temperature, address = 0; type = 'u16'; offset = -400", "000A"),
        ("temperature, address = 0; type = 'f32'; offset = -400", struct.pack(">f", 10.0).hex()),
        ("temperature, address = 0; type = 'i16'; offset = -40; invalid = [-1]", "FFFF"),
        ("active_power, address = 0; type = 'i16'; exponent = 1", "00018000"),
        ("active_power, address = 0; type = 'i16'; exponent = 1", "0001FFF3"),
        ("active_power, address = 0; type = 'i16'; exponent = 1; invalid = [-32768]", "80000000"),
        ("energy.import, address = 0; type = 'u32'; invalid = [0xFFFFFFFF]", "FFFFFFFF"),
    ],
)
def test_what_is_no_value_is_bad(row, data):
    """A nibble that is no digit, a sentinel, "not implemented" as SunSpec writes it, and what lies outside the plausible range."""
    assert ((None,), {0: Quality.BAD}) == decode(row, bytes.fromhex(data))


@pytest.mark.parametrize(
    ("row", "mistake"),
    [
        ("alarm_word.1, address = 0; type = 'u16'; mask = 3", "mask has no meaning for u16"),
        ("input.1, address = 0; type = 'bit'; offset = 1", "offset has no meaning for bit"),
        ("alarm_word.1, address = 0; offset = 'much'", "is not a number"),
        ("gun1.state, address = 0; type = 'bits'; mask = 0x0030; map = { 4 = 3 }", "bits is never 4"),
        ("temperature, address = 0; type = 'f32'; exponent = 2", "exponent has no meaning for f32|exponent needs an integer type"),
    ],
)
def test_a_key_without_meaning_is_refused(row, mistake):
    """What would be passed over in silence is a mistake in the profile."""
    with pytest.raises(EdgegwError, match=mistake):
        profile_of(row)


def test_a_block_of_all_types_is_read_by_one_struct():
    """The block is unpacked once; a field of bits and a plain register beside it may be the same register."""
    rows = """alarm_word.1, address = 0; type = 'bits'; mask = 0xFF00
        alarm_word.2, address = 0; type = 'bits'; mask = 0x00FF
        alarm_word.3, address = 1; type = 'bcd32'
        voltage, address = 3; type = 'f32'; order = 'CDAB'
        energy.import, address = 5; type = 'u64'; scale = '0.01' """
    data = bytes.fromhex("1234" + "00001995") + struct.pack(">f", 230.5)[2:] + struct.pack(">f", 230.5)[:2] + (123456).to_bytes(8, "big")
    profile = profile_of(rows)
    decoder = compile_block(profile, profile.point, 0, 9)
    assert isinstance(decoder, BlockDecoder)
    values, quality = decoder([Answer(data, 0)])
    assert ((0x12, 0x34, 1995, 2305, 123456), {}) == (values, dict(quality))
