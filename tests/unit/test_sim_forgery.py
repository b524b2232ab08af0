"""What a simulated device can be told to send that is no answer, and what it can be told to be: pure parts."""

from __future__ import annotations

import pytest

from edgegw.errors import EdgegwError
from edgegw.sim import forgery, frames
from edgegw.sim.bodies import build_body
from edgegw.sim.device import SERIAL_FAULTS, TCP_FAULTS, Device, SwitchedFault
from edgegw.sim.encode import NO_NUMBERS
from edgegw.sim.frames import Request
from edgegw.sim.station import SimDevice
from edgegw.sim.tell import parse_words

# Function 3, two registers: 12.34 and 56.78 of something.
PDU = bytes.fromhex("0304 04d2 162e")
ASKED = Request(unit=7, function=3, address=0, count=2)
# DL/T 645-2007, voltage of phase A of the meter 1 as 230.1 V.
DLT_FRAME = bytes.fromhex("fefefefe 68 010000000000 68 91 06 33343435 3456 00 16")
BIT_KINDS = sorted(forgery.KINDS)


def dlt(frame):
    """The frame with the right sum."""
    start = frame.index(0x68)
    return frame[:-2] + bytes((sum(frame[start:-2]) % 256, 0x16))


@pytest.mark.parametrize("kind", BIT_KINDS)
def test_a_forged_modbus_answer_has_a_right_check_and_other_values(kind):
    """
    Whatever is wrong with it, its check is right, it fits into a frame, and it says something else than the true answer.
    """
    true, forged = frames.rtu_frame(7, PDU), forgery.modbus(kind, ASKED, PDU)
    assert frames.crc(forged[:-2]) == forged[-2:]
    assert forged[3:-2] != true[3:-2]
    assert (kind == "foreign_unit", kind == "other_function") == (forged[0] != 7, forged[1] != 3)
    assert {"short": -2, "long": 2}.get(kind, 0) == len(forged) - len(true) == forged[2] - 4


@pytest.mark.parametrize("kind", BIT_KINDS)
def test_a_forged_dlt645_answer_has_a_right_sum_and_decimal_digits(kind):
    """
    The sum and the length fit, the value differs and is still a number.
    """
    true = dlt(DLT_FRAME)
    forged = forgery.dlt645(kind, ASKED, true)
    assert dlt(forged) == forged
    assert forged[13] == len(forged) - 4 - 12
    assert (kind == "foreign_unit", kind == "other_function") == (forged[5:11] != true[5:11], forged[12] != true[12])
    assert all(nibble < 10 for byte in forged[18:-2] for nibble in divmod((byte - 0x33) & 0xFF, 16))
    assert forged[18:-2] != true[18:-2]


@pytest.mark.parametrize(("kind", "said"), [("short", b"(230.0 50.0\r"), ("long", b"(230.0 50.0 031 000.0\r"), ("other_function", b"(V 50.0\r")])
def test_a_forged_ups_answer_has_another_shape(kind, said):
    """
    Without check and address only the number and the shape of the words can be wrong; the other kinds are refused for a UPS.
    """
    assert said == forgery.megatec(kind, ASKED, b"(230.0 50.0 031\r")
    assert frozenset({"crc", "foreign_unit", "twin"}) == build_body("voltronic.qgs").tongue.without


def test_a_line_has_faults_that_a_socket_has_not():
    """
    Bytes are damaged on wires alone, transactions are wrong on sockets alone.
    """
    assert {"crc", "truncate", "noise", "garbage", "twin"} == SERIAL_FAULTS - TCP_FAULTS
    assert {"transaction", "flood"} == TCP_FAULTS - SERIAL_FAULTS


# -- registers that are put elsewhere, values that are held


def device(profile, values, **facts):
    return Device(SimDevice(code="D", bus="a", profile=profile, role="ac_pile", **facts), build_body(profile), lambda: values, seed=1)


def said(one, request):
    return one.answer(request).values


ENERGY = Request(unit=1, function=3, address=64, count=2)


def test_a_shifted_register_goes_on_and_begins_anew():
    """
    It stands where it was put, grows as the station's does, passes its width as a real one, and is back after release.
    """
    values = {"energy.import": 100.0}
    one = device("generic.meter-3p", values, unit=1)
    one.shift("energy.import", 2**32 / 100 - 0.02)
    assert {"energy.import": 2**32 - 2} == said(one, ENERGY)
    values["energy.import"] += 0.05
    assert {"energy.import": 3} == said(one, ENERGY)
    one.release("energy.import")
    assert {"energy.import": 10_005} == said(one, ENERGY)


def test_only_a_register_can_be_shifted():
    """
    What nothing drives has no place to go on from.
    """
    with pytest.raises(ValueError, match=r"nothing in the station drives energy\.import of D"):
        device("generic.meter-3p", {}, unit=1).shift("energy.import", 0)


def test_held_values_stand_still():
    """
    All points of the pattern keep their value of that moment, and only those.
    """
    values = {"energy.import": 1.0, "energy.export": 2.0, "active_power": 3.0}
    one = device("generic.meter-3p", values, unit=1)
    assert ["energy.import", "energy.export"] == one.hold("energy.*")
    values |= {"energy.import": 9.0, "energy.export": 9.0}
    assert {"energy.import": 100} == said(one, ENERGY)
    one.release(None)
    assert {"energy.import": 900} == said(one, ENERGY)


@pytest.mark.parametrize(
    ("profile", "point", "width"),
    [("generic.meter-3p", "energy.import", 2**32 / 100), ("dlt645.2007-1p", "energy.import", 1e6), ("voltronic.qgs", "ups.load", None)],
)
def test_where_a_register_ends(profile, point, width):
    """
    32 bits in hundredths, eight digits of which two are behind the point, or nowhere.
    """
    assert width == build_body(profile).width(point)


@pytest.mark.parametrize(
    ("profile", "point", "value", "request_", "data_hex"),
    [
        ("eastron.sdm120", "active_power", "nan", (4, 0x0C, 2), "7fc00000"),
        ("eastron.sdm120", "active_power", "inf", (4, 0x0C, 2), "7f800000"),
        ("eastron.sdm120", "active_power", "-inf", (4, 0x0C, 2), "ff800000"),
        ("eastron.sdm120", "active_power", "none", (4, 0x0C, 2), "7fc00000"),
        ("huawei.sun2000", "temperature.internal", "none", (3, 32087, 1), "7fff"),
    ],
)
def test_what_is_no_value_is_sent_as_the_device_sends_it(profile, point, value, request_, data_hex):
    """
    Floats that are no number, and the profile's own word for none; the journal has None.
    """
    body, (function, address, count) = build_body(profile), request_
    body.check(point, value)
    told = body.answer(Request(1, function, address, count), {}, {point: value})
    assert (bytes.fromhex(data_hex), None) == (told.payload[2:], told.values[point])


def test_an_integer_cannot_be_infinite():
    """
    A register of 16 bits holds no such thing, and the command says so.
    """
    for value in NO_NUMBERS:
        with pytest.raises(ValueError, match=r"temperature\.internal"):
            build_body("huawei.sun2000").check("temperature.internal", value)


# -- exceptions, reboots, and what the journal says of them


def test_an_exception_has_the_code_that_was_asked_for():
    """
    Without a code the device is busy, with one it says that.
    """
    one = device("generic.meter-3p", {}, unit=1)
    for code, expected in ((None, 6), (4, 4)):
        one.switch(SwitchedFault("exception", 1.0, code=code))
        assert (expected, bytes((0x83, expected))) == (one.answer(ENERGY).exception, one.answer(ENERGY).payload)


def test_a_device_that_starts_anew_answers_once_more():
    """
    It is away behind that answer, and the fault is over.
    """
    one = device("generic.meter-3p", {}, unit=1)
    one.switch(SwitchedFault("reboot", 1.0, 60_000.0))
    assert one.answer(ENERGY).whole
    assert one.answer(ENERGY) is None
    one.silence(0)
    assert one.answer(ENERGY).whole


def test_the_journal_has_no_values_of_what_is_no_answer():
    """
    So that a value that is taken from it all the same is found to be nobody's.
    """
    one = device("generic.meter-3p", {"energy.import": 1.0}, unit=1)
    for kind in ("garbage", "foreign_unit", "short"):
        one.switch(SwitchedFault(kind, 1.0))
        assert (False, {}) == (one.answer(ENERGY).whole, one.answer(ENERGY).values)


# -- the words of --tell


def test_words_become_a_command():
    """
    Numbers are numbers, everything else is text, NaN too.
    """
    text = "set device=M-IN point=phase_voltage.b value=6000"
    assert {"command": "set", "device": "M-IN", "point": "phase_voltage.b", "value": 6000} == parse_words(text)
    assert {"command": "set", "value": "nan"} == parse_words("set value=nan")
    assert {"command": "set", "value": "NaN"} == parse_words("set value=NaN")


@pytest.mark.parametrize("text", ["", "fault device", 'fault "device=M-IN'])
def test_what_is_no_command_is_refused(text):
    """
    The next step shows a right one.
    """
    with pytest.raises(EdgegwError, match="fault device=M-IN kind=crc"):
        parse_words(text)
