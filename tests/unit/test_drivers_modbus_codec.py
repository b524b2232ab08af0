"""Modbus frames: never a value from what is not provably the answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modbus_rig import answer_frame, exception_frame
from pymodbus.framer import FramerRTU
from pymodbus.pdu import DecodePDU

from edgegw.drivers.modbus_codec import request_pdu, rtu_question, sealed, tcp_question
from edgegw.model import Unproven

UNIT, FUNCTION, ADDRESS, COUNT = 7, 3, 0x0010, 4
QUESTION = rtu_question(UNIT, FUNCTION, ADDRESS, COUNT)
DATA = bytes.fromhex("0102030405060708")
GOOD = answer_frame(UNIT, FUNCTION, DATA)
FOREIGN = answer_frame(9, FUNCTION, DATA)
LATE = answer_frame(UNIT, FUNCTION, DATA[:4])

NOT_THE_ANSWER = {
    "wrong check sum": GOOD[:-1] + bytes((GOOD[-1] ^ 1,)),
    "another unit": FOREIGN,
    "another function": answer_frame(UNIT, 4, DATA),
    "too few registers": LATE,
    "too many registers": answer_frame(UNIT, FUNCTION, DATA + b"\x00\x00"),
    "an exception to another function": exception_frame(UNIT, 4, 2),
    "an exception of another unit": exception_frame(9, FUNCTION, 2),
    "byte count that lies": sealed(bytes((UNIT, FUNCTION, 6)) + DATA),
    "our own request": QUESTION.payload,
    "a second master's request": sealed(bytes((UNIT,)) + request_pdu(3, 0x40, 2)),
    "nothing": b"",
}


@pytest.mark.parametrize("received", NOT_THE_ANSWER.values(), ids=NOT_THE_ANSWER.keys())
def test_what_does_not_fit_is_no_answer(received):
    """A frame that differs in unit, function, byte count or check is no answer, and does not hide the one behind it."""
    assert QUESTION.parse(received) is None
    assert QUESTION.parse(received + GOOD).data == DATA


def test_requests_are_what_pymodbus_makes():
    """An independent encoder makes the same request frames."""
    for function in (1, 2, 3, 4):
        _, pdu = FramerRTU(DecodePDU(True)).handleFrame(rtu_question(UNIT, function, ADDRESS, COUNT).payload, UNIT, 0)
        assert (UNIT, function, ADDRESS, COUNT) == (pdu.dev_id, pdu.function_code, pdu.address, pdu.count)


@pytest.mark.parametrize("code", [1, 2, 3, 4, 6, 0x0B])
def test_an_exception_is_an_answer_without_data(code):
    """An exception to the asked function is proven like any answer."""
    parsed = QUESTION.parse(b"\xff" + exception_frame(UNIT, FUNCTION, code))
    assert (code, None, 1) == (parsed.exception_code, parsed.data, parsed.noise)


def test_whole_frames_of_others_are_counted_as_such():
    """Frames of another unit, late frames of the own one and echoes are no noise."""
    parsed = QUESTION.parse(QUESTION.payload + FOREIGN + LATE + b"\x00" + GOOD)
    assert (1, 1, 1, 1) == (parsed.echo, parsed.foreign, parsed.late, parsed.noise)


def test_a_frame_inside_a_foreign_frame_is_data():
    """The bytes of a good answer inside the data of another unit's whole frame are not an answer."""
    around = answer_frame(9, FUNCTION, b"\x00" + GOOD + b"\x00\x00")
    assert QUESTION.parse(around) is None
    assert GOOD in around


@pytest.mark.parametrize(
    ("received", "kind"),
    [
        (b"", "timeout"),
        (QUESTION.payload, "timeout"),
        (NOT_THE_ANSWER["wrong check sum"], "crc"),
        (GOOD[:-3], "short"),
        (FOREIGN, "foreign"),
        (LATE, "foreign"),
        (b"\xf8\x00\xff", "noise"),
    ],
)
def test_what_was_heard_instead_is_named(received, kind):
    """The time-out says what the line carried."""
    assert kind == QUESTION.explain(received).kind
    assert isinstance(QUESTION.explain(received), Unproven)


def test_late_answers_fit_by_unit_function_and_byte_count():
    """Two questions whose answers look alike have one key, shorter parts of a question another."""
    assert (UNIT, FUNCTION, 8) == QUESTION.fits
    assert QUESTION.fits == rtu_question(UNIT, FUNCTION, 0x999, COUNT).fits
    assert QUESTION.fits != rtu_question(UNIT, FUNCTION, ADDRESS, COUNT - 1).fits
    assert () == tcp_question(UNIT, FUNCTION, ADDRESS, COUNT).fits


TCP = tcp_question(UNIT, FUNCTION, ADDRESS, COUNT)
TCP_GOOD = b"\x00\x00\x00\x0b" + bytes((UNIT, FUNCTION, 8)) + DATA


@pytest.mark.parametrize(
    "frame",
    [
        b"\x00\x01" + TCP_GOOD[2:],
        TCP_GOOD[:3] + b"\x0c" + TCP_GOOD[4:],
        TCP_GOOD[:4] + b"\x09" + TCP_GOOD[5:],
        TCP_GOOD[:5] + b"\x04" + TCP_GOOD[6:],
        TCP_GOOD[:6] + b"\x06" + TCP_GOOD[7:],
        TCP_GOOD + b"\x00",
        TCP_GOOD[:-1],
        b"\x00\x00\x00\x03\x07\x84\x02",
        b"",
    ],
    ids=["protocol", "length", "unit", "function", "byte count", "too long", "too short", "exception elsewhere", "empty"],
)
def test_a_tcp_frame_that_does_not_fit_is_no_answer(frame):
    """On TCP every field of the frame is held against the question."""
    assert TCP.parse(frame) is None


def test_a_tcp_answer_and_exception_are_proven():
    """The good frame gives its data, the exception its code."""
    assert DATA == TCP.parse(TCP_GOOD).data
    assert 2 == TCP.parse(b"\x00\x00\x00\x03\x07\x83\x02").exception_code


PIECES = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.sampled_from([GOOD[:-1], GOOD[1:], FOREIGN, LATE, QUESTION.payload, exception_frame(9, 3, 2), NOT_THE_ANSWER["wrong check sum"]]),
    ),
    max_size=6,
).map(b"".join)


@given(PIECES)
def test_only_the_true_data_ever_comes_out(before):
    """Whatever stands before it, an answer found is the true one, and it is found."""
    parsed = QUESTION.parse(before + GOOD)
    assert parsed is not None
    assert (DATA, None) == (parsed.data, parsed.exception_code)


@given(st.binary(max_size=300))
def test_noise_is_never_a_value(received):
    """Random bytes give no value, and the parser raises nothing."""
    parsed = QUESTION.parse(received)
    assert parsed is None or parsed.data is None
    assert QUESTION.explain(received).kind in {"timeout", "crc", "short", "foreign", "noise"}
