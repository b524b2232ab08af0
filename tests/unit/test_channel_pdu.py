"""SMS as bytes: published examples, limits, and a decoder of its own that reads back whatever was encoded."""

from __future__ import annotations

import string
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegw.rules.notifiers.pdu import ALPHABET, CUT, ESCAPE, EXTENSION, PARTS_MAX, pack, submits

NUMBER = "+8613800138000"
CHINESE = "站点R10 烟感报警：设备DI-01，一次变压器室，值1。第一步：切断电源，通知值班。"


class Read(NamedTuple):
    """What a telephone makes of one message."""

    smsc: str
    number: str
    coding: int
    reference: int | None
    parts: int
    part: int
    text: str
    octets: int


def read(pdu: str) -> Read:
    """3GPP TS 23.040, 9.2.2.2, read from the bits: written without a look at the encoder."""
    raw = bytes.fromhex(pdu)
    smsc = digits(raw[1], raw[2 : 1 + raw[0]]) if raw[0] else ""
    tpdu = raw[1 + raw[0] :]
    first, count = tpdu[0], tpdu[2]
    assert (0b01, 0b10) == (first & 3, first >> 3 & 3)
    at = 4 + (count + 1) // 2
    number = digits(tpdu[3], tpdu[4:at])[: count + (tpdu[3] == 0x91)]
    coding, length, data = tpdu[at + 1], tpdu[at + 3], tpdu[at + 4 :]
    header = data[: data[0] + 1] if first & 0x40 else b""
    reference, parts, part = (header[3], header[4], header[5]) if header else (None, 1, 1)
    if header:
        assert (5, 0, 3) == tuple(header[:3])
    if coding == 8:
        assert length == len(data)
        text = data[len(header) :].decode("utf-16-be")
    else:
        assert (length * 7 + 7) // 8 == len(data)
        skipped = (len(header) * 8 + 6) // 7
        bits = "".join(f"{byte:08b}"[::-1] for byte in data)
        text = signs([int(bits[7 * n : 7 * n + 7][::-1], 2) for n in range(skipped, length)])
    return Read(smsc, number, coding, reference, parts, part, text, len(tpdu))


def digits(kind: int, raw: bytes) -> str:
    swapped = "".join(f"{byte:02X}"[::-1] for byte in raw)
    return ("+" if kind == 0x91 else "") + swapped.rstrip("F")


def signs(codes: list[int]) -> str:
    table = {code: sign for sign, code in EXTENSION.items()}
    text, escaped = "", False
    for code in codes:
        if code == ESCAPE:
            escaped = True
        else:
            text += table[code] if escaped else ALPHABET[code]
            escaped = False
    assert not escaped
    return text


@pytest.mark.parametrize(
    ("text", "packed"),
    [
        ("hellohello", "E8329BFD4697D9EC37"),  # Lars Pettersson, "SMS and the PDU format" (dreamfabric.com/sms), and many since
        ("How are you?", "C8F71D14969741F977FD07"),  # the same page, example of an SMS-DELIVER
        ("Hello", "C8329BFD06"),
        ("1234567", "31D98C56B3DD00"),  # seven signs take seven bytes, the last bit pattern is 00
        ("12345678", "31D98C56B3DD70"),  # eight take seven
    ],
)
def test_septets_are_packed_as_published(text: str, packed: str) -> None:
    """Published examples of the GSM 7 bit packing."""
    assert packed == pack([ALPHABET.index(sign) for sign in text]).hex().upper()


def test_a_message_is_as_published() -> None:
    """The well-known example: hellohello to +46708251358, but for the reference and the validity period, which are ours."""
    (message,) = submits("hellohello", "+46708251358", 0, 1)
    published = "0011000B916407281553F80000AA0AE8329BFD4697D9EC37"
    assert (published.replace("0000AA0A", "00008F0A"), 23) == (message.pdu, message.size)


def test_chinese_is_as_published() -> None:
    """UCS-2 by the code charts of Unicode: 4F60 and 597D; coding 08H, four bytes."""
    assert submits("你好", "+46708251358", 0, 1)[0].pdu.endswith("00088F044F60597D")


def test_parts_are_joined_as_the_standard_says() -> None:
    """3GPP TS 23.040, 9.2.3.24: header of six bytes, one fill bit, 153 septets: 160 in 140 bytes; x is 78H, so that the first byte behind it is 78H shifted by the fill bit."""
    first, second = submits("x" * 161, "+46708251358", 0xAB, 2)
    assert first.pdu.startswith("0051000B916407281553F800008FA0050003AB0201" + "F0")
    assert second.pdu.startswith("0051000B916407281553F800008F0F050003AB0202" + "F0")
    assert (14 + 140, 14 + 14) == (first.size, second.size)


def test_the_message_centre_is_as_published() -> None:
    """+31624000000 as 07 91 13 26 04 00 00 F0 (the SMS-DELIVER of the same page has this centre)."""
    assert submits("a", NUMBER, 0, 1, "+31624000000")[0].pdu.startswith("07911326040000F0")


def test_the_alphabet_is_that_of_the_standard() -> None:
    """3GPP TS 23.038, 6.2.1: 128 places, no sign twice; what ASCII has beside it has its own code or is escaped."""
    assert (128, 128) == (len(ALPHABET), len(set(ALPHABET)))
    places = {sign: ALPHABET.index(sign) for sign in "@$_ !AZaz09\u00e9\u00a7\u00e0"}
    assert {
        "@": 0,
        "$": 2,
        "_": 17,
        " ": 32,
        "!": 33,
        "A": 65,
        "Z": 90,
        "a": 97,
        "z": 122,
        "0": 48,
        "9": 57,
        "\u00e9": 5,
        "\u00a7": 95,
        "\u00e0": 127,
    } == places
    assert {"`"} == {sign for sign in string.printable if sign not in ALPHABET and sign not in EXTENSION} - set("\t\v")


@pytest.mark.parametrize(
    ("text", "coding", "parts"),
    [
        ("x" * 160, 0, 1),
        ("x" * 161, 0, 2),
        ("x" * 306, 0, 2),
        ("x" * 307, 0, 3),
        ("{" * 80, 0, 1),
        ("{" * 81, 0, 2),
        ("告" * 70, 8, 1),
        ("告" * 71, 8, 2),
        ("告" * 134, 8, 2),
        ("告" * 135, 8, 3),
        ("\U0001f525" * 35, 8, 1),
        ("\U0001f525" * 36, 8, 2),
        ("", 0, 1),
    ],
)
def test_a_text_takes_as_few_messages_as_it_can(text: str, coding: int, parts: int) -> None:
    """160 and 153 septets, 70 and 67 units of UCS-2."""
    found = [read(message.pdu) for message in submits(text, NUMBER, 7, PARTS_MAX)]
    assert [(coding, parts, number + 1) for number in range(parts)] == [(part.coding, part.parts, part.part) for part in found]
    assert text == "".join(part.text for part in found)


def test_what_is_too_long_is_cut_and_marked() -> None:
    """As much as fits, and it shows that there was more."""
    for text, most in (("告警" * 300, 2), ("x" * 900, 3), ("告" * 200, 1), ("x" * 400 + "告", 2)):
        found = [read(message.pdu).text for message in submits(text, NUMBER, 7, most)]
        assert most >= len(found)
        whole = "".join(found)
        assert whole.endswith(CUT)
        assert text.startswith(whole.removesuffix(CUT))
    assert 2 * 67 == len("".join(read(message.pdu).text for message in submits("告警" * 300, NUMBER, 7, 2)))


TEXTS = st.one_of(
    st.text(alphabet=[sign for sign in ALPHABET if sign != "\x1b"] + list(EXTENSION), max_size=500),
    st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=300),
    st.text(alphabet=[*CHINESE, "\U0001f525", "{"], max_size=300),
)


@given(TEXTS, st.from_regex(r"\A\+?[0-9]{3,15}\Z"), st.integers(0, 255), st.from_regex(r"\A(\+?[0-9]{3,15})?\Z"))
def test_what_is_sent_is_what_is_read(text: str, number: str, reference: int, smsc: str) -> None:
    """Any text to any number: every part has at most 140 bytes of user data, and a telephone joins them to the same text."""
    messages = submits(text, number, reference, 12, smsc)
    found = [read(message.pdu) for message in messages]
    assert text == "".join(part.text for part in found)
    assert {(smsc, number)} == {(part.smsc, part.number) for part in found}
    assert [message.size for message in messages] == [part.octets for part in found]
    assert all(part.octets <= 164 for part in found)
    if len(found) > 1:
        assert [(reference, len(found), at + 1) for at in range(len(found))] == [(part.reference, part.parts, part.part) for part in found]


@given(TEXTS, st.integers(1, PARTS_MAX))
def test_never_more_parts_than_allowed(text: str, most: int) -> None:
    """What does not fit is cut at the end, never in the middle of a sign."""
    found = [read(message.pdu) for message in submits(text, NUMBER, 1, most)]
    whole = "".join(part.text for part in found)
    assert most >= len(found)
    assert whole == text or text.startswith(whole.removesuffix(CUT))
