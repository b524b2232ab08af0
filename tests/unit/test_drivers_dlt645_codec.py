"""DL/T 645 questions and the proof of their answers in a stream of bytes."""

from __future__ import annotations

import pytest
from dlt645_rig import METER, frame, reply
from hypothesis import given
from hypothesis import strategies as st

from edgegw.drivers import dlt645_codec as codec
from edgegw.drivers.dlt645_codec import Meter, address_question, joined, read_question
from edgegw.drivers.dlt645_explain import explain
from edgegw.drivers.permit import may_leave
from edgegw.model import Answer

UNIT = int(METER)
OTHER = "240118000018"
ASKED = read_question(Meter(UNIT, METER), "00010000", 4)
ANSWER = reply("00010000", "00123456")
BLOCK = read_question(Meter(UNIT, METER), "0001FF00", 20)


def of(address, di="02010100", year=2007):
    return read_question(Meter(1, address, year), di, 2)


def test_a_question_is_four_fe_and_the_frame():
    """
    The request is the published one, behind the preamble.
    """
    assert "FEFEFEFE68129078563412681104333334336816" == read_question(Meter(1, "123456789012"), "00010000", 4).payload.hex().upper()
    assert "FEFEFEFE68AAAAAAAAAAAA681300DF16" == address_question(1).payload.hex().upper()
    assert "FEFEFEFE6899999999999968010243C36F16" == of("999999999999", "9010", 1997).payload.hex().upper()


@pytest.mark.parametrize("question", [ASKED, BLOCK, address_question(1), of(METER, "901F", 1997)], ids=["item", "block", "address", "1997"])
def test_a_question_may_leave(question):
    """
    What the codec asks is what the port lets out.
    """
    assert may_leave(question.protocol, question.payload)


def test_the_answer_is_proven_and_its_preamble_is_no_noise():
    """
    Any number of FEH before the answer, also none, is part of it.
    """
    for count in (0, 1, 4, 30):
        parsed = ASKED.parse(b"\xfe" * count + ANSWER)
        assert (count + len(ANSWER), 0, "91563412 00".replace(" ", "")) == (parsed.end, parsed.noise, parsed.data.hex())


def test_no_part_of_the_answer_is_an_answer():
    """
    Byte by byte there is nothing until the last one has come.
    """
    whole = b"\xfe\xfe" + ANSWER
    assert [None] * len(whole) == [ASKED.parse(whole[:cut]) for cut in range(len(whole))]
    assert ASKED.parse(whole) is not None


def test_echo_late_and_foreign_frames_are_stepped_over():
    """
    The own request, an answer of the meter to another question, and another meter are counted and not taken.
    """
    received = ASKED.payload + reply("02010100", "2304") + reply("00010000", "00000009", OTHER) + b"\x00\x68" + ANSWER
    parsed = ASKED.parse(received)
    assert (1, 1, 1, 2, len(received)) == (parsed.echo, parsed.late, parsed.foreign, parsed.noise, parsed.end)
    assert "9156341200" == parsed.data.hex()


@pytest.mark.parametrize(
    "received",
    [
        reply("00010000", "00123456", OTHER),
        reply("00010100", "00123456"),
        reply("00010000", "00123456", control=0x92),
        reply("00010000", "00123456", control=0x81),
        reply("00010000", "00123456", control=0x11),
        frame(0x91, "0000"),
        frame(0x81, "1090 56341200"),
    ],
    ids=["address", "identifier", "follow-up", "1997", "request", "short", "edition"],
)
def test_what_answers_another_question_is_no_answer(received):
    """
    Address, function, direction, edition and identifier must all fit.
    """
    assert ASKED.parse(received) is None
    assert "foreign" == ASKED.explain(received).kind


@pytest.mark.parametrize(("error", "code"), [("02", 2), ("06", 2), ("04", 3), ("01", 4), ("40", 4), ("", 4)])
def test_a_refusal_is_an_answer(error, code):
    """
    The error byte without 33H: no such data and not authorised are refusals, everything else is a fault of the meter.
    """
    parsed = ASKED.parse(frame(0xD1, error))
    assert (None, code) == (parsed.data, parsed.exception_code)


@pytest.mark.parametrize(
    ("asked", "heard", "fits"),
    [
        ("AAAAAAAAAAAA", METER, True),
        ("AAAAAAAA0017", METER, True),
        ("AAAAAAAA0018", METER, False),
        ("999999999999", METER, True),
        ("3A2107000481", "3A2107000481", True),
        ("17", "000000000017", True),
        (METER, OTHER, False),
    ],
)
def test_a_wildcard_fits_the_full_address_of_the_reply(asked, heard, fits):
    """
    AAH stands for any byte, all 99H for everybody, missing digits are zeros; an address may hold bytes that are no digits.
    """
    assert fits == (of(asked).parse(reply("02010100", "2304", heard)) is not None)


def test_the_address_is_read_and_must_be_the_frames_own():
    """
    The reply to 13H holds the address that it comes from, or it is none.
    """
    wire = bytes(reversed(bytes.fromhex(METER))).hex()
    assert "93" + wire == address_question(1).parse(frame(0x93, wire)).data.hex()
    assert address_question(1).parse(frame(0x93, wire, OTHER)) is None


def test_an_address_of_start_bytes_is_no_frame_inside():
    """
    68H and 16H in address and data do not end or begin a frame.
    """
    question = of("686816166868", "00010000")
    parsed = question.parse(b"\xfe" + reply("00010000", "35353535", "686816166868"))
    assert "9135353535" == parsed.data.hex()


@pytest.mark.parametrize(
    ("received", "kind"),
    [
        (b"", "timeout"),
        (ANSWER[:-1], "short"),
        (ANSWER[:11], "short"),
        (ANSWER[:-2] + b"\x00\x16", "crc"),
        (ANSWER[:-1] + b"\x17", "crc"),
        (b"\x00\xfe\x13", "noise"),
        (ANSWER[:9] + b"\xff" + ANSWER[10:], "crc"),
        (reply("00010000", "00123456", OTHER)[:-1] + b"\x00", "noise"),
        (ASKED.payload, "timeout"),
    ],
    ids=["nothing", "end missing", "cut", "check", "end", "noise", "length", "of another", "echo"],
)
def test_what_was_no_answer_is_named(received, kind):
    """
    Nothing, the beginning of an answer, a damaged one and noise are told apart.
    """
    assert kind == ASKED.explain(received).kind
    assert ASKED.parse(received) is None


def test_follow_up_frames_are_asked_and_joined():
    """
    A reply that says more leads to the next question with its number, until one does not; their bytes without identifier and number are the value.
    """
    first = Answer(BLOCK.parse(frame(0xB1, "00FF0100 78563412 0000")).data, 0)
    second_question = BLOCK.follow(first)
    assert "FEFEFEFE6817000018012468120533323433343B16" == second_question.payload.hex().upper()
    assert second_question.parse(frame(0x92, "00FF0100 0100 02")) is None
    second = Answer(second_question.parse(frame(0xB2, "00FF0100 0100 01")).data, 0)
    third_question = second_question.follow(second)
    third = Answer(third_question.parse(frame(0x92, "00FF0100 00000200 02")).data, 0)
    assert third_question.follow(third) is None
    assert (bytes.fromhex("78563412 00000100 00000200"), True) == joined([first, second, third])
    assert 3 == len({BLOCK.fits, second_question.fits, third_question.fits})


def test_follow_up_frames_of_1997_have_no_number():
    """
    The edition of 1997 asks with 02H and the identifier alone.
    """
    question = of(METER, "901F", 1997)
    follow = question.follow(Answer(question.parse(frame(0xA1, "1F90 00000000")).data, 0))
    assert (0x02, 2) == (follow.payload[12], follow.payload[13])
    assert "8200000000" == follow.parse(frame(0x82, "1F90 00000000")).data.hex()


def test_follow_up_frames_come_to_an_end():
    """
    A meter that always says more is asked a bounded number of times, and the value is not whole.
    """
    question, answers = BLOCK, []
    while question is not None:
        number = "" if not answers else f"{len(answers):02X}"
        answers.append(Answer(question.parse(frame(0xB2 if answers else 0xB1, f"00FF0100 00000000 {number}")).data, 0))
        question = question.follow(answers[-1])
    assert 1 + codec.FOLLOW_MAX == len(answers)
    assert not joined(answers)[1]


@pytest.mark.parametrize("text", ["1234567890123", "12X4"])
def test_an_address_that_is_none_is_refused(text):
    """
    More than twelve digits, or other letters, are a mistake of the caller.
    """
    with pytest.raises(ValueError):
        of(text)
    assert bytes.fromhex("340000000000") == codec.address_bytes("34")


# -- properties

HEX_ADDRESSES = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex().upper())


@given(HEX_ADDRESSES, st.integers(0, 255), st.binary(max_size=codec.LENGTH_MAX), st.binary(max_size=8))
def test_whatever_is_built_is_found(address, control, data, noise):
    """
    A built frame is found whole, with its address, control and data, behind any noise that holds no whole frame itself.
    """
    [found] = codec.valid_frames(noise + codec.build(address, control, data, codec.PREAMBLE))
    assert (address, control, data, len(noise) + 4) == (found.address, found.control, found.data, found.offset)


@given(st.binary(max_size=400))
def test_no_bytes_make_the_codec_fail(received):
    """
    Whatever comes, the scan ends with an answer or with a reason, and the explanation with frames.
    """
    parsed, heard = ASKED.parse(received), ASKED.explain(received)
    assert parsed is None or parsed.end <= len(received)
    assert heard.kind in {"timeout", "crc", "short", "foreign", "noise"}
    assert all(0 <= told.frame.offset < len(received) for told in explain(received))


@given(st.integers(0, 255), st.binary(max_size=codec.LENGTH_MAX), st.sampled_from([1997, 2007]))
def test_no_valid_frame_makes_the_explanation_fail(control, data, year):
    """
    A whole frame with any control and data is explained: nothing is raised, and a value is there or its reason.
    """
    [told] = explain(codec.build(METER, control, data), year)
    assert told.valid
    assert all(value.raw is not None or value.damage or value.item.form.kind != "bits" for value in told.values)


@given(
    st.sampled_from(["00010000", "0001FF00", "02030000", "0203FF00", "01010000", "04000101", "0400040B", "04000501", "9010", "901F", "B611"]),
    st.binary(max_size=64),
)
def test_no_value_bytes_make_the_explanation_fail(di, value):
    """
    Whatever a meter sends behind a known identifier is a value, no value, or refused with its reason.
    """
    [told] = explain(reply(di, value.hex()))
    assert (di, True) == (told.di, told.valid)
    assert all(isinstance(found.number, (int, float, str)) or found.raw is None for found in told.values)
