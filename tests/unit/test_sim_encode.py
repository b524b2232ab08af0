"""The simulated registers against captured and documented frames, and against themselves."""

from __future__ import annotations

import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegw.drivers.catalogue import parse_profile
from edgegw.sim import frames
from edgegw.sim.bodies import build_body
from edgegw.sim.encode import encoders
from edgegw.sim.frames import Request
from edgegw.sim.image import Image

# Profile, what the device measures, the request, and the whole answer as the golden exchanges have it.
EXCHANGES = [
    (
        "acrel.dtsd1352",
        {"phase_voltage.a": 232.0, "phase_voltage.b": 231.5, "phase_voltage.c": 232.9, "current.a": 12.5, "current.b": 12.49, "current.c": 12.51},
        "03030061000695F4",
        "03030C0910090B091904E204E104E359C4",
    ),
    (
        "acrel.dtsd1352",
        {"active_power.a": 2.900, "active_power.b": 2.891, "active_power.c": -2.913, "active_power": 2.878},
        "03030164000805CD",
        "03031000000B5400000B4BFFFFF49F00000B3E2D6B",
    ),
    (
        "acrel.dtsd1352",
        {"energy.total": 5601.23, "energy.total.sharp": 10.0, "energy.total.peak": 2000.0, "energy.total.flat": 1591.23, "energy.total.valley": 2000.0},
        "03030000000AC42F",
        "03031400088BFB000003E800030D4000026D9300030D4027E7",
    ),
    (
        "acrel.djsf1352",
        {"voltage": 750.3, "current": -160.5, "wire_break": 0.0, "temperature.internal": 40.2, "power": -120.4},
        "07030000000AC5AB",
        "0703141D4F0002F9BB00020000019200000000FB4C0005AEA8",
    ),
    ("xy-md02", {"temperature": 30.5, "humidity": 54.6}, "010400010002200B", "01040401310222 2ACE"),
    ("xy-md02", {"temperature": -20.5}, "010400010001600A", "010402FF33B8D5"),
    ("renke.rs-ws-n01", {"humidity": 65.8, "temperature": -10.1}, "010300000002C40B", "0103040292FF9B5A3D"),
    ("waveshare.io8", {"input.6": 1.0}, "01020000000879CC", "01020120A050"),
]


@pytest.mark.parametrize(("profile", "values", "request_hex", "answer_hex"), EXCHANGES)
def test_the_registers_are_those_of_the_real_frames(profile, values, request_hex, answer_hex):
    """
    What a device measures goes onto the line as the exact bytes that the captured and documented exchanges hold.
    """
    request = frames.parse_rtu(bytes.fromhex(request_hex))
    pdu, said = build_body(profile).read(request, values, {})
    assert bytes.fromhex(answer_hex) == frames.rtu_frame(request.unit, pdu)
    assert set(values) <= set(said)


@pytest.mark.parametrize(
    ("values", "request_hex", "data_hex"),
    [
        ({"state": 0xA000}, "7d59 0001", "a000"),
        ({"energy.yield": 207.34}, "7d6a 0002", "000050fe"),
        ({"alarm_word.3": 0x40}, "7d0a 0001", "0040"),
        ({"model": "SUN2000-3KTL-L1"}, "7530 000f", "53554e323030302d334b544c2d4c31" + "00" * 15),
    ],
)
def test_the_inverter_sends_what_the_captured_one_sent(values, request_hex, data_hex):
    """
    State, yield, alarm bits and model of the inverter are encoded as in the captured frames.
    """
    address, count = struct.unpack(">HH", bytes.fromhex(request_hex))
    pdu, _ = build_body("huawei.sun2000").read(Request(1, 3, address, count), values, {})
    assert bytes.fromhex(data_hex) == pdu[2:]


def test_single_phase_meter_sends_ieee_floats():
    """
    230.25 V, -1530.5 W and 12345.625 kWh are the words that the floats of the documented frames have.
    """
    values = {"phase_voltage.a": 230.25, "active_power": -1.5305, "energy.import": 12345.625}
    image = build_body("eastron.sdm120")
    assert "43664000" == image.read(Request(1, 4, 0, 2), values, {})[0][2:].hex()
    assert "c4bf5000" == image.read(Request(1, 4, 12, 2), values, {})[0][2:].hex()
    assert "4640e680" == image.read(Request(1, 4, 72, 2), values, {})[0][2:].hex()


ORDERS = [("ABCD", "12345678"), ("CDAB", "56781234"), ("BADC", "34127856"), ("DCBA", "78563412")]
_HEAD = """
[profile]
name = "made"
maker = "none"
title = "made"
title_zh = "made"
class = "meter"
protocol = "modbus"
source = "made for this test"
[group.all]
period_s = 1
"""


def made(*points: str) -> Image:
    return Image(parse_profile(_HEAD + "".join(f'[[point]]\ngroup = "all"\n{point}\n' for point in points), "made.toml"))


@pytest.mark.parametrize(("order", "words"), ORDERS)
def test_every_byte_order(order, words):
    """
    A value's bytes lie on the wire in the order that the profile names, A being the most significant.
    """
    image = made(f'point = "energy.import"\naddress = 0\ntype = "u32"\norder = "{order}"\nscale = "0.01"')
    assert words == image.read(Request(1, 3, 0, 2), {"energy.import": 0x12345678 / 100}, {})[0][2:].hex()


def test_bits_share_a_register_and_a_word_is_named_twice():
    """
    Points on single bits of one register do not disturb each other, and a state told as number and as word is one register whichever was forced.
    """
    pdu, said = made(
        'point = "input.1"\naddress = 7\ntype = "bit"\nbit = 0',
        'point = "input.2"\naddress = 7\ntype = "bit"\nbit = 3',
        'point = "input.3"\naddress = 7\ntype = "bit"\nbit = 15',
    ).read(Request(1, 3, 7, 1), {"input.1": 0.0, "input.2": 1.0, "input.3": 1.0}, {})
    assert ("8008", {"input.1": 0, "input.2": 1, "input.3": 1}) == (pdu[2:].hex(), said)
    ups = build_body("huawei.ups2000")
    for forced in ({"ups.status": "OB"}, {"ups.route": 3.0}):
        pdu, said = ups.read(Request(1, 3, 11024, 1), {"ups.status": "OL", "ups.route": 2.0}, forced)
        assert ("0003", {"ups.status": "OB", "ups.route": 3}) == (pdu[2:].hex(), said)


def test_a_sentinel_says_nothing_and_too_much_is_cut():
    """
    A raw value that the profile calls invalid says None, and what does not fit is sent as the type's limit.
    """
    inverter = build_body("huawei.sun2000")
    assert {"power_factor": None} == inverter.read(Request(1, 3, 32084, 1), {"power_factor": 32.767}, {})[1]
    assert {"fault_code": 65535} == inverter.read(Request(1, 3, 32090, 1), {"fault_code": 1e9}, {})[1]


def test_only_whole_points_are_in_an_answer():
    """
    A point of which one register is missing is not said, nor a mantissa without its exponent.
    """
    meter = build_body("acrel.djsf1352")
    values = {"voltage": 750.3, "current": 1.0, "energy.import": 5.0, "energy.export": 6.0}
    assert {"energy.import"} == set(meter.read(Request(1, 3, 12, 3), values, {})[1])
    assert set() == set(meter.read(Request(1, 3, 0, 1), values, {})[1])
    assert {"voltage"} == set(meter.read(Request(1, 3, 0, 2), values, {})[1])


@pytest.mark.parametrize(
    ("profile", "request_", "code"),
    [
        ("xy-md02", Request(1, 3, 1, 2), 1),
        ("xy-md02", Request(1, 16, 1, 2), 1),
        ("xy-md02", Request(1, 4, 0, 2), 2),
        ("xy-md02", Request(1, 4, 1, 3), 2),
        ("xy-md02", Request(1, 4, 1, 126), 3),
        ("xy-md02", Request(1, 4, 1, 0), 3),
        ("xy-md02", Request(1, 4, 1, 2), None),
        ("eastron.sdm120", Request(1, 4, 0, 80), None),
        ("eastron.sdm120", Request(1, 4, 0, 81), 2),
        ("huawei.sun2000", Request(1, 3, 32064, 27), None),
        ("huawei.sun2000", Request(1, 3, 32116, 1), 2),
        ("waveshare.io8", Request(1, 2, 0, 8), None),
        ("waveshare.io8", Request(1, 2, 0, 2001), 3),
    ],
)
def test_what_a_device_refuses(profile, request_, code):
    """
    A function not offered is exception 1, a register that is not there 2, a count that no request may have 3; holes that the profile allows are read.
    """
    image = build_body(profile)
    assert code == (frames.refusal(request_, image.functions) or image.hole(request_))


@given(st.floats(-9_999, 9_999, width=32), st.integers(0, 4))
def test_a_float_never_lies_between_two_last_digits(value, decimals):
    """
    What a float register says in whole last digits is the same however halves are rounded.
    """
    profile = parse_profile(_HEAD + f'[[point]]\ngroup = "all"\npoint = "power"\naddress = 0\ntype = "f32"\ndecimals = {decimals}\n', "made.toml")
    raw = encoders(profile)[0].encode(value)
    (sent,) = struct.unpack(">f", struct.pack(">HH", *raw.registers))
    assert abs(Fraction(sent) * 10**decimals - raw.said) < Fraction(1, 2)
    assert sent == pytest.approx(value, rel=3e-7, abs=1e-37)


@pytest.mark.parametrize(
    ("row", "value", "data_hex", "said"),
    [
        ('point = "gun1.temp"\naddress = 0\noffset = "-50"', 35.0, "0055", 350),
        ('point = "alarms.1"\naddress = 0\ntype = "bits"\nfaults = { 3 = { id = "door", en = "door", zh = "门" } }', "door", "0008", "door"),
        ('point = "alarms.1"\naddress = 0\ntype = "bits"\nfaults = { 3 = { id = "door", en = "door", zh = "门" } }', "", "0000", ""),
        ('point = "clock"\naddress = 0\ntype = "datetime"', "2024-03-19 14:20:09", "1803130e1409", "2024-03-19 14:20:09"),
        ('point = "clock"\naddress = 0\ntype = "datetime"', "", "ffffffffffff", None),
    ],
)
def test_offsets_fault_words_and_clocks_are_sent(row, value, data_hex, said):
    """
    What a profile adds, names or writes as a date is turned round on the way to the register.
    """
    point = row.split('"')[1]
    pdu, told = made(row).read(Request(1, 3, 0, len(data_hex) // 4), {point: value}, {})
    assert (data_hex, said) == (pdu[2:].hex(), told[point])
