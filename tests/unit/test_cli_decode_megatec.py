"""`edgegw decode megatec`: for programs as fixed, for people in 80 columns."""

from __future__ import annotations

import json

import pytest
from megatec_rig import EXCHANGES, IDS

from edgegw.cli import decode_megatec
from edgegw.cli.cells import WIDTH, cells
from edgegw.drivers import megatec_codec
from tests.unit.cli_daemon import edgegw

GOOD = "(208.4 140.0 208.4 034 59.9 2.05 35.0 00110000"
KINDS = ("empty_reply", "short_reply", "not_supported", "foreign_reply", "crc", "unknown_command")


def test_the_dialects_of_the_command_are_those_of_the_codec():
    """They stand twice, so that the command starts without the codec."""
    assert megatec_codec.DIALECTS == decode_megatec.DIALECTS


def test_for_programs_it_is_valid_reason_and_values():
    """The frame of every JSON answer, with what the reply says under NUT's names."""
    done = edgegw("decode", "megatec", "Q1", GOOD + "\\r", "--json")
    frame = json.loads(done.stdout)
    assert (0, "edgegw.decode-megatec/1", True, None) == (done.returncode, frame["schema"], frame["data"]["valid"], frame["data"]["reason"])
    assert ("OL BYPASS", 2.05, ["ups_failed"]) == tuple(frame["data"]["values"][name] for name in ("ups.status", "battery.voltage", "ups.alarm"))


def test_what_is_refused_has_a_reason_and_no_values():
    """Exit 6, as for every device's error."""
    done = edgegw("decode", "megatec", "Q1", "(", "--json")
    data = json.loads(done.stdout)["data"]
    assert (6, False, {}) == (done.returncode, data["valid"], data["values"])
    assert data["reason"].startswith("short_reply: ")


def test_raw_bytes_are_given_as_hexadecimal():
    """In one piece or apart, as a trace shows them."""
    exchange = next(one for one in EXCHANGES if one.dialect == "voltronic-qs-hex")
    done = [
        edgegw("decode", "megatec", "--dialect", exchange.dialect, "--hex", "QS", *words, "--json")
        for words in ([exchange.body.hex()], exchange.body.hex(" ").split())
    ]
    assert [exchange.values] * 2 == [json.loads(one.stdout)["data"]["values"] for one in done]


def test_a_rating_adds_the_estimates():
    """Under names that say so."""
    done = edgegw("decode", "megatec", "--nominal", "24", "Q1", "(215.0 195.0 230.0 014 49.0 22.7 30.0 00000000", "--json")
    assert 37 == json.loads(done.stdout)["data"]["values"]["battery.charge.estimated"]


@pytest.mark.parametrize("words", [["--nominal", "much", "Q1", GOOD], ["--hex", "Q1", "zz"], ["--dialect", "nobody", "Q1", GOOD]])
def test_what_was_typed_wrong_is_told(words):
    """Exit 2 and a sentence, no traceback."""
    done = edgegw("decode", "megatec", *words)
    assert (2, "") == (done.returncode, done.stdout)
    assert "E-USAGE" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("exchange", EXCHANGES, ids=IDS)
def test_the_screen_explains_every_value_in_80_columns(exchange, language):
    """Each name stands there, and no line is longer than a terminal."""
    told = megatec_codec.decode(exchange.dialect, exchange.command, exchange.body)
    lines = list(decode_megatec.screen(language, exchange.dialect, exchange.command, exchange.body, told))
    assert all(cells(line) <= WIDTH for line in lines)
    assert [] == [name for name in told.values if not any(line.lstrip().startswith(name) for line in lines)]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_screen_says_why_and_what_to_try(language, kind):
    """For every reason there is."""
    told = megatec_codec.Decoded({}, kind, "so it is", "F")
    lines = list(decode_megatec.screen(language, "megatec", "Q1", b"(\xff", told))
    assert kind == "empty_reply" or "so it is" in " ".join(lines)
    assert (True, "F") == (len(lines) >= 4, lines[-1].rstrip(".。")[-1])
    assert all(cells(line) <= WIDTH for line in lines)


def test_who_gives_only_the_reply_is_told_that_the_query_comes_first():
    """The screen shows what to write; to programs it stays an unknown command."""
    done = edgegw("decode", "megatec", GOOD)
    assert 6 == done.returncode
    assert "The query comes before it: edgegw decode megatec Q1" in done.stdout
    assert json.loads(edgegw("decode", "megatec", GOOD, "--json").stdout)["data"]["reason"].startswith("unknown_command: ")
