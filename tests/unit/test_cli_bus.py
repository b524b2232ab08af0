"""The screens of `edgegw bus` for every protocol: what frames say, and tables that stay within 80 cells."""

from __future__ import annotations

import click
import pytest
from dlt645_rig import METER, frame, reply

from edgegw.bus.statistics import Counters
from edgegw.cli.bus import _list_screen, _seconds, render
from edgegw.cli.bus_frames import decode, sentence
from edgegw.cli.cells import cells
from edgegw.drivers.modbus_codec import sealed

LANGUAGES = ["en", "zh"]


def heard(kind, data, protocol="dlt645", **more):
    found = {"kind": kind, "hex": data.hex(), "unit": 1, "address": METER if protocol.startswith("dlt") else "", "protocol": protocol, **more}
    return {**found, "words": decode(found, tcp=False)}


def test_a_question_and_an_answer_of_a_meter_are_told_in_its_own_words():
    """Address, function, identifier and the value with its unit; never a unit and a function of Modbus."""
    asked = heard("question", b"\xfe" * 4 + frame(0x11, "00 01 01 02"))
    said = heard("answer", reply("02010100", "2310"))
    assert {"address": METER, "control": "11", "di": "02010100"} == {name: asked["words"][name] for name in ("address", "control", "di")}
    assert [{"name": "phase_voltage.a", "value": 231.0, "unit": "V"}] == said["words"]["values"]
    assert (f"{METER}  read data  02010100", f"{METER}  reply  02010100  231.0V") == (sentence(asked, "en")[:33], sentence(said, "en"))
    assert sentence(asked, "zh").startswith(f"{METER}  读数据  02010100 ")


def test_a_refusal_and_the_old_edition_are_told():
    """The error byte of a meter that has no such data; an identifier of two bytes."""
    assert f"{METER}  refuses, error 02H" == sentence(heard("exception", frame(0xD1, "02")), "en")
    old = heard("answer", reply("9010", "00123456"), "dlt645-1997")
    assert ("81", "9010", 1234.56) == (old["words"]["control"], old["words"]["di"], old["words"]["values"][0]["value"])


def test_command_and_reply_of_a_ups_are_text():
    """What a technician knows from the manual stands there as it was sent."""
    text = "(208.4 140.0 208.4 034 59.9 2.05 35.0 00110000"
    asked, said = heard("question", b"Q1\r", "megatec"), heard("answer", text.encode() + b"\r", "megatec")
    assert ({"command": "Q1"}, {"reply": text}) == (asked["words"], said["words"])
    assert ("Q1", text) == (sentence(asked, "en"), sentence(said, "en"))


def test_a_frame_of_another_protocol_is_told_all_the_same():
    """On a line that Modbus and a meter share, what the one says while the other is asked is described as what it is."""
    assert 3 == heard("foreign", sealed(bytes.fromhex("0b0300010002")))["words"]["function"]
    assert "91" == heard("foreign", reply("02010100", "2310"), "modbus")["words"]["control"]


@pytest.mark.parametrize(("protocol", "words"), [("dlt645", f"no answer, {METER}"), ("megatec", "no answer, the UPS"), ("modbus", "no answer, unit 1")])
def test_silence_names_who_was_asked(protocol, words):
    """By its address, as the UPS, or by its unit."""
    assert words == sentence(heard("timeout", b"", protocol), "en")


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_happened_to_the_line_is_told_with_its_reason(language):
    """Opened, closed, or not to be opened."""
    told = [sentence({"kind": kind, "text": "why"}, language) for kind in ("opened", "closed", "not_opened")]
    assert 3 == len({text for text in told if text.endswith("  why")})


def unit(number, address="", **counts):
    numbers = {"asked": 604_800, "answered": 600_000, "timed_out": 4800, "latency_p50_ms": 344.0, "latency_p95_ms": 1210.0, **counts}
    common = {
        "unit": number,
        "address": address,
        "device": f"METER-{number}-OF-THE-HALL",
        "ok_percent": 99.2,
        "last_answer_age_s": 90_000,
        "silent": False,
        "refused_points": [],
    }
    return {**Counters().as_dict(), **numbers, **common, "hints": ["H5", "H2", "H7", "H6", "H12"]}


def bus(units):
    return {
        "name": "rs485-meters-hall", "line": "115200 8N1", "where": "/dev/serial/by-path/platform-3f980000.usb-port0", "span_s": 600.0, "error": None,
        "busy_share": 0.41, "lateness_p99_ms": 1500, "idle_noise_bytes": 7, "requests_per_s": 123.4, "energy_reads": 9000, "energy_late": 12, "energy_skew_max_ms": 59_999, "hints": ["H4", "H8", "H9", "H11"], "units": units,
    }  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_tables_with_long_addresses_and_many_hints_stay_within_80_cells(language):
    """Twelve digits, counts of a week and every hint at once: no line is wider, no address and no hint is cut."""
    found = bus([unit(1), unit(int(METER), METER, crc=900, short=80, exceptions=7000, late=123_456, doubled=99_999, echo=99_999, foreign=99_999)])
    lines = [*render(found, language), *_list_screen([found], language)]
    assert [] == [line for line in lines if cells(line) > 80]
    assert any(line.lstrip().startswith(METER) and line.endswith("H5 H2") for line in lines)
    assert any("H7  H6  H12" in line for line in lines)


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("10m", 600), ("1h", 3600), ("", 0)])
def test_a_time_is_told_with_its_unit(text, seconds):
    """Seconds, minutes, hours."""
    assert seconds == _seconds(text)


@pytest.mark.parametrize("text", ["10", "2h", "0m", "-5m", "m", "1e3s", "10 m", "٣m", "9999999999s"])
def test_another_time_is_refused(text):
    """What is not kept, and what is no time."""
    with pytest.raises(click.UsageError) as refused:
        _seconds(text)
    assert "--since" in refused.value.message
