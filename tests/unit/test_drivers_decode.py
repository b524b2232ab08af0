"""Registers to scaled values: exact, in every word order, and never a value where there is none."""

from __future__ import annotations

import math
import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modbus_rig import profile_of

from edgegw.drivers.decode import compile_block
from edgegw.model import Answer, Quality


def decode(rows, data, head="", address=0):
    profile = profile_of(rows, head)
    return compile_block(profile, profile.point, address, len(data) // 2)([Answer(data, 0)])


def one(row, data, head=""):
    values, _ = decode(row, data, head)
    return values[0]


@pytest.mark.parametrize(
    ("row", "data", "expected"),
    [
        ('phase_voltage.a, address = 0; scale = "0.1"', "0910", 2320),
        ('phase_voltage.a, address = 0; scale = "0.01"', "5A9D", 23197),
        ('current.a, address = 0; scale = "0.01"', "04E2", 12500),
        ('temperature, address = 0; type = "i16"; scale = "0.1"', "FF33", -205),
        ('active_power, address = 0; type = "i32"; scale = "0.001"', "FFFFF49F", -2913),
        ('active_power, address = 0; type = "i32"; order = "CDAB"; scale = "0.001"', "F49FFFFF", -2913),
        ('active_power, address = 0; type = "i32"; order = "BADC"; scale = "0.001"', "FFFF9FF4", -2913),
        ('active_power, address = 0; type = "i32"; order = "DCBA"; scale = "0.001"', "9FF4FFFF", -2913),
        ('energy.import, address = 0; type = "u64"; scale = "0.00001"; decimals = 5', "000000000012D687", 1234567),
        ('energy.import, address = 0; type = "u64"; order = "GHEFCDAB"; scale = "0.01"', "D687001200000000", 1234567),
        ('active_power, address = 0; type = "f32"; scale = "0.001"', "C4BF5000", -1530),
        ('frequency, address = 0; type = "f32"; order = "CDAB"', struct.pack(">f", 49.98).hex()[4:] + struct.pack(">f", 49.98).hex()[:4], 4998),
        ('frequency, address = 0; type = "f64"', struct.pack(">d", 49.98).hex(), 4998),
        ('voltage, address = 0; type = "u16"; order = "BA"; scale = "0.1"', "1009", 2320),
        ("alarm_word.1, address = 0; type = 'bits'", "8001", 0x8001),
        ("input.1, address = 0; type = 'bit'; bit = 15", "8000", 1),
        ("input.1, address = 0; type = 'bit'; bit = 14", "8000", 0),
        ('model, address = 0; type = "string"; length = 4', b"ABC \0\0\0\0".hex(), "ABC"),
        ('model, address = 0; type = "string"; length = 4', b"AB\0CD\0\0\0".hex(), "AB"),
        ('active_power, address = 0; type = "i16"; scale = -1', "0005", -5000),
        ('active_power, address = 0; type = "u16"; scale = "0.001"; decimals = 1', "0A41", 26),
        ("gun1.state, address = 0; map = { 2 = 3, 0x0A = 255 }", "000A", 255),
        ('ups.status, address = 0; map = { 2 = "OL" }', "0002", "OL"),
        ('clock, address = 0; type = "datetime"', "1803130E1409", "2024-03-19 14:20:09"),
        ('alarms.1, address = 0; type = "bits"; faults = { 0 = { id = "a", en = "a", zh = "甲" }, 3 = { id = "d", en = "d", zh = "丁" } }', "0009", "a d"),
        ('alarms.1, address = 0; type = "bits"; faults = { 0 = { id = "a", en = "a", zh = "甲" } }', "8001", "a unknown_bit_15"),
        ('alarms.1, address = 0; type = "u32"; faults = { 17 = { id = "r", en = "r", zh = "丙" } }', "00020000", "r"),
        ('alarms.1, address = 0; type = "bits"; faults = { 0 = { id = "a", en = "a", zh = "甲" } }', "0000", ""),
    ],
)
def test_a_register_becomes_the_scaled_value(row, data, expected):
    """Type, word order, scale and map give the value in units of the last decimal."""
    assert expected == one(row, bytes.fromhex(data))


@pytest.mark.parametrize("word_order", ["ABCD", "CDAB", "BADC", "DCBA"])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_a_text_is_not_turned_round(word_order, length):
    """The word order of a product is that of its numbers: a text of any length reads as it was sent."""
    text = "ABCDEFGHIJ"[: 2 * length]
    row = f'model, address = 0; type = "string"; length = {length}'
    assert text == one(row, text.encode(), f'word_order = "{word_order}"')


@pytest.mark.parametrize(
    ("row", "data"),
    [
        ('phase_voltage.a, address = 0; scale = "0.1"', "FFFF"),
        ('temperature, address = 0; type = "i16"; scale = "0.1"; invalid = [-1]', "FFFF"),
        ('energy.import, address = 0; type = "u32"; scale = "0.01"; invalid = [0x7FFFFFFF]', "7FFFFFFF"),
        ("frequency, address = 0; type = 'f32'", "7FC00000"),
        ("frequency, address = 0; type = 'f32'", "7F800000"),
        ("frequency, address = 0; type = 'f32'", "FF800000"),
        ("frequency, address = 0; type = 'f32'; scale = '0.001'", "7F7FFFFF"),
        ("frequency, address = 0; type = 'f64'", "7FF8000000000000"),
        ('ups.status, address = 0; map = { 2 = "OL" }', "0009"),
        ("gun1.state, address = 0; map = { 2 = 3 }", "0009"),
        ("gun1.state, address = 0; type = 'bits'; mask = 0x0030; map = { 2 = 3 }", "FFDF"),
        ('clock, address = 0; type = "datetime"', "180D130E1409"),
        ('alarms.1, address = 0; type = "bits"; invalid = [0xFFFF]; faults = { 0 = { id = "a", en = "a", zh = "甲" } }', "FFFF"),
        ('model, address = 0; type = "string"; length = 1', "FFFE"),
        ('humidity, address = 0; scale = "0.1"', "03E9"),
        ("voltage, address = 0; type = 'i16'; exponent = 1", "00010063"),
        ("voltage, address = 0; type = 'i16'; exponent = 1", "7FFF0001"),
    ],
)
def test_what_is_no_value_is_bad(row, data):
    """Sentinels, NaN, infinities, what is outside the plausible range and unknown texts are bad and None."""
    values, quality = decode(row, bytes.fromhex(data))
    assert ((None,), {0: Quality.BAD}) == (values, dict(quality))


def test_a_bad_value_harms_no_other():
    """The other points of the block keep their values."""
    rows = 'phase_voltage.a, address = 0; scale = "0.1"\nphase_voltage.b, address = 1; scale = "0.1"\nfrequency, address = 2; type = "f32"'
    values, quality = decode(rows, bytes.fromhex("0910FFFF") + struct.pack(">f", 50.0))
    assert ((2320, None, 5000), {1: Quality.BAD}) == (values, dict(quality))


def test_gaps_overlaps_and_order_of_rows_do_not_matter():
    """Values come in the order of the rows, wherever their registers lie."""
    rows = 'phase_voltage.c, address = 5; scale = "0.1"\nphase_voltage.a, address = 1; scale = "0.1"\nalarm_word.1, address = 1\nalarm_word.2, address = 0; type = "u32"'
    assert (500, 100, 100, 100) == decode(rows, struct.pack(">6H", 0, 100, 0, 0, 0, 500))[0]


def test_an_exponent_scales_its_mantissa():
    """DJSF1352: 7503 and 10^2 are 750.3 V."""
    rows = 'voltage, address = 0; type = "i16"; scale = "0.001"; exponent = 1; decimals = 3'
    assert 750300 == one(rows, struct.pack(">hH", 7503, 2))
    assert -7503000 // 1000 == one(rows, struct.pack(">hH", -7503, 0))


@pytest.mark.parametrize(("data", "expected"), [(b"\x20", [0, 0, 0, 0, 0, 1, 0, 0]), (b"\x81", [1, 0, 0, 0, 0, 0, 0, 1])])
def test_bits_are_counted_from_the_lowest(data, expected):
    """Bit 0 of the first data byte is the first input."""
    rows = "\n".join(f"input.{n + 1}, address = {n}; function = 2; type = 'bit'" for n in range(8))
    profile = profile_of(rows)
    assert tuple(expected) == compile_block(profile, profile.point, 0, 8)([Answer(data, 0)])[0]


@given(st.integers(-(2**31), 2**31 - 1), st.integers(0, 6), st.sampled_from(["ABCD", "CDAB", "BADC", "DCBA"]))
def test_integers_scale_without_error(raw, places, order):
    """Every digit of an integer register survives, whatever its decimal scale."""
    scale = Fraction(1, 10**places)
    row = f'energy.total, address = 0; type = "i32"; order = "{order}"; scale = "{scale.numerator / scale.denominator:.{places}f}"'
    profile = profile_of(row)
    wire = bytes(struct.pack(">i", raw)["ABCD".index(letter)] for letter in order)
    value = compile_block(profile, profile.point, 0, 2)([Answer(wire, 0)])[0][0]
    assert raw * scale == Fraction(value, 10 ** profile.row_point(profile.point[0]).decimals)


@given(st.floats(width=32, allow_nan=True, allow_infinity=True))
def test_a_float_is_rounded_once_or_bad(number):
    """A 32-bit float becomes the nearest scaled integer, or nothing when it is not finite or not plausible."""
    value = one("current.a, address = 0; type = 'f32'", struct.pack(">f", number))
    if math.isfinite(number) and abs(number) <= 10_000:
        assert abs(Fraction(number) * 1000 - value) <= Fraction(1, 2)
    else:
        assert value is None


@given(st.binary(min_size=24, max_size=24))
def test_any_registers_decode_without_an_error(data):
    """No content of the registers raises; a value is there exactly when its quality has one."""
    rows = """phase_voltage.a, address = 0; scale = "0.1"
        voltage, address = 1; type = "i16"; scale = "0.001"; exponent = 2
        frequency, address = 3; type = "f32"; order = "CDAB"
        model, address = 5; type = "string"; length = 3
        gun1.state, address = 8; map = { 1 = 2 }
        ups.status, address = 8; map = { 1 = "OL" }
        energy.import, address = 8; type = "u64"; scale = "0.001" """
    values, quality = decode(rows, data)
    assert {i for i, value in enumerate(values) if value is None} == set(quality)
