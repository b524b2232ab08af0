"""`edgegw decode dlt645`: for programs as fixed, for people every byte."""

from __future__ import annotations

import json
import re

import pytest
from dlt645_rig import frame, golden, reply
from hypothesis import given
from hypothesis import strategies as st

from edgegw.cli import texts_dlt645
from edgegw.cli.cells import WIDTH, cells
from edgegw.cli.decode_dlt645 import screen
from edgegw.cli.main import run
from edgegw.drivers.dlt645_explain import explain

GOOD = "FEFE6812907856341268910833333433896745335416"
KEYS = ["valid", "reason", "direction", "control", "address", "di", "error", "values", "offset", "length"]
BROKEN = [
    (GOOD[:-4] + "5516", "checksum is 55H"),
    (GOOD[:-2] + "17", "end byte is 17H"),
    (GOOD[:-6], "incomplete: 20 bytes announced, 17 there"),
    ("681290785634126891FF3333", "length 255 is more than 200"),
    (GOOD.replace("126891", "126991"), "not followed by a second 68H"),
    ("6812", "incomplete"),
]


def decoded(capsys, *words):
    """(exit code, data) of the command with --json."""
    code = run(["--json", "decode", "dlt645", *words])
    return code, json.loads(capsys.readouterr().out)["data"]


def test_a_frame_has_just_these_fields(capsys):
    """
    A good frame has the fields of the interface, with their values in the dictionary's unit.
    """
    code, [entry] = decoded(capsys, GOOD)
    assert (0, KEYS) == (code, list(entry))
    assert [True, "", "response", "91", "123456789012", "00010000", None] == [entry[key] for key in KEYS[:7]]
    assert ([{"name": "energy.import", "value": 1234.56, "unit": "kWh"}], 2, 20) == (entry["values"], entry["offset"], entry["length"])


@pytest.mark.parametrize("one", golden(), ids=lambda one: one.hex[:24])
def test_every_published_frame_through_the_command(capsys, one):
    """
    The command tells of each published frame what its source tells, and 6 where nothing valid was found.
    """
    code, [entry] = decoded(capsys, one.hex)
    assert (6 if one.fault else 0, not one.fault) == (code, entry["valid"])
    assert [one.control, one.address, one.di, one.error] == [entry[key] for key in ("control", "address", "di", "error")]
    assert one.wanted == [value["value"] for value in entry["values"]]
    assert bool(one.fault or one.error) == bool(entry["reason"])


@pytest.mark.parametrize(("text", "why"), BROKEN)
def test_a_broken_frame_ends_with_6_and_its_reason(capsys, text, why):
    """
    Nothing valid is exit code 6; the entry says what is wrong.
    """
    code, [entry] = decoded(capsys, text)
    assert (6, False, []) == (code, entry["valid"], entry["values"])
    assert why in entry["reason"]


def test_bytes_without_any_frame_are_no_entry(capsys):
    """
    Preamble alone is nothing.
    """
    assert (6, []) == decoded(capsys, "FE FE", "FEFE")


def test_a_status_word_is_one_integer_and_no_value_is_null(capsys):
    """
    Several items are several values; FFH is null, a status word an integer.
    """
    _, [word] = decoded(capsys, reply("04000501", "0014").hex())
    _, [block] = decoded(capsys, reply("0201FF00", "FFFFFFFF2256").hex())
    assert [{"name": "status_word.1", "value": 20, "unit": "bits"}] == word["values"]
    assert [225.6, None, None] == [value["value"] for value in block["values"]]


def test_a_damaged_value_is_null_with_its_reason(capsys):
    """
    The frame is valid, its value is not there, and the reason names it.
    """
    code, [entry] = decoded(capsys, reply("02010100", "22A6").hex())
    assert (0, True, None) == (code, entry["valid"], entry["values"][0]["value"])
    assert "phase_voltage.a" in entry["reason"]


def test_the_edition_can_be_told(capsys):
    """
    03H means something else in each edition.
    """
    again = frame(0x83, "1090 56341200").hex()
    assert [1234.56] == [value["value"] for value in decoded(capsys, "--year", "1997", again)[1][0]["values"]]
    assert [] == decoded(capsys, again)[1][0]["values"]


@pytest.mark.parametrize("text", ["zz", "686", "6 8 z"])
def test_what_is_no_hexadecimal_is_refused(capsys, text):
    """
    Other letters and half bytes are wrong usage.
    """
    assert 2 == run(["decode", "dlt645", text])
    assert "E-USAGE" in capsys.readouterr().err


def shown(lines):
    """The bytes of the left column, in their order."""
    return "".join(match.group(1) for line in lines if (match := re.match(r"  ((?:[0-9A-F]{2} ?)+)(?: |$)", line))).replace(" ", "")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_byte_stands_on_the_screen_within_80_columns(language):
    """
    Of every published frame, and of broken ones behind noise, each byte is shown once and in its order.
    """
    for text in [*(one.hex for one in golden()), *(row[0] for row in BROKEN), "0068113368AA" + GOOD + "00FF" + GOOD[:-4]]:
        received = bytes.fromhex(text)
        lines = screen(language, received, explain(received))
        assert max(map(cells, lines)) <= WIDTH
        assert received.hex().upper() == shown(lines)


@given(
    st.lists(st.sampled_from([one.raw for one in golden()]), min_size=1, max_size=3), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=5)
)
def test_every_byte_of_damaged_frames_stands_on_the_screen(frames, changes):
    """
    Whatever bytes of joined frames are damaged, all are shown once, in their order, within 80 columns.
    """
    received = bytearray(b"".join(frames))
    for place, value in changes:
        received[place % len(received)] = value
    told = explain(bytes(received))
    lines = screen("en", bytes(received), told)
    assert not told or received.hex().upper() == shown(lines)
    assert max(map(cells, lines)) <= WIDTH


@given(st.sampled_from(["0001FF00", "0203FF00", "04000403", "03300001"]), st.binary(max_size=60), st.binary(max_size=60))
def test_every_byte_of_follow_up_frames_stands_on_the_screen(di, first, second):
    """
    Also where a value begins in one frame and ends in the next, or the bytes are no value at all.
    """
    wire = bytes(reversed(bytes.fromhex(di))).hex()
    received = frame(0xB1, wire + first.hex()) + frame(0x92, wire + second.hex() + "01")
    lines = screen("zh", received, explain(received))
    assert received.hex().upper() == shown(lines)
    assert max(map(cells, lines)) <= WIDTH


def test_the_screen_tells_what_a_technician_asks():
    """
    Who says what to whom, the value in its unit, and why a frame is refused.
    """
    received = bytes.fromhex(GOOD + GOOD[:-4] + "5516")
    text = " ".join(" ".join(screen("en", received, explain(received))).split())
    for words in ("address 123456789012", "reply, read data", "energy.import = 1234.56 kWh", "CHECK SUM WRONG: 54H would be right", "another parity or speed"):
        assert words in text


def test_a_password_is_not_explained():
    """
    What a write carries is shown as bytes of the line only.
    """
    received = frame(0x14, "01 04 00 04 02 11 22 33 00000000 0800")
    text = "\n".join(screen("en", received, explain(received)))
    assert "password" in text
    assert "11 22 33" not in text


def test_every_word_stands_in_both_languages():
    """
    No text is missing in one language or holds other places to fill in.
    """
    for english, chinese in texts_dlt645.TEXTS.values():
        assert re.findall(r"\{[^}]*\}", english) == re.findall(r"\{[^}]*\}", chinese)
        assert english and chinese
