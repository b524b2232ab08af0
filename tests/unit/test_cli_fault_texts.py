"""What the tokens of a fault word mean, under the values of `edgegw read`."""

from __future__ import annotations

import pytest

from edgegw.cli.cells import cells
from edgegw.cli.fault_texts import fault_texts
from edgegw.cli.read import render
from edgegw.cli.settings import Settings

DEVICE = {"bus": "lan", "unit": 1, "name": "", "profile": "huawei.sun2000"}


def shown(value, language="en", profile="huawei.sun2000", point="alarms.3"):
    row = {"point": point, "value": value, "unit": "1", "quality": "good", "age_s": 1.0, "address": 32010, "raw": "0040"}
    data = {"device": {**DEVICE, "profile": profile}, "values": [row], "requests": 0, "milliseconds": 0}
    return list(render(data, "PV-01", language, Settings(), raw=False))


@pytest.mark.parametrize(
    ("profile", "point", "value", "english", "chinese"),
    [
        ("huawei.sun2000", "alarms.3", "2015", "2015  string loss", "2015  "),
        ("generic.pile-dc", "gun1.faults", "door_open", "door_open  ", "door_open  "),
        ("voltronic.qgs", "ups.alarm", "battery_disconnected", "battery_disconnected  battery not connected", "battery_disconnected  电池未接"),
        ("sunspec.inverter", "faults", "ground_fault", "ground_fault  ", "ground_fault  "),
        ("huawei.sun2000", "alarms.3", "unknown_bit_15", "unknown_bit_15  bit 15, which the profile does not name", "unknown_bit_15  第 15 位，型号中未说明"),
    ],
)
def test_each_token_has_its_words(profile, point, value, english, chinese):
    """English and Chinese, of Modbus and SunSpec profiles and of UPS; a bit that nobody names is said to be that."""
    [en], [zh] = (fault_texts(language, profile, point, value) for language in ("en", "zh"))
    assert (english.casefold(), chinese) == (en[: len(english)].casefold(), zh[: len(chinese)])
    assert not zh.isascii()


@pytest.mark.parametrize(
    ("profile", "point", "value"),
    [
        ("huawei.sun2000", "alarms.3", ""),
        ("huawei.sun2000", "alarms.3", None),
        ("huawei.sun2000", "state.text", "2015"),
        ("none.such", "alarms.3", "2015"),
        ("megatec.q1", "ups.status", "OL"),
    ],
)
def test_what_is_no_fault_word_has_no_words(profile, point, value):
    """No fault, another point, a profile that is not there."""
    assert [] == fault_texts("en", profile, point, value)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_faults_stand_under_their_value(language):
    """Many bits at once push no column off the screen."""
    value = " ".join(f"unknown_bit_{bit}" for bit in range(16)) + " 2015"
    lines = shown(value, language)
    assert 17 == len([line for line in lines if line.startswith("    ")])
    assert [] == [line for line in lines if cells(line) > 80]


def test_a_long_text_stands_under_its_name():
    """The state of an inverter in words."""
    text = "Standby: detecting insulation resistance"
    lines = shown(text, point="state.text")
    assert f"    {text}" in lines
    assert [] == [line for line in lines if cells(line) > 80]
