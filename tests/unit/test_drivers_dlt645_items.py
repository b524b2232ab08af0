"""Data identifiers of DL/T 645 and the values in their bytes."""

from __future__ import annotations

import pytest
from dlt645_rig import METER, frame, reply

from edgegw.drivers.dlt645_explain import explain
from edgegw.drivers.dlt645_format import DamagedError, decode, parse_formats, time_text
from edgegw.drivers.dlt645_items import bit_texts, find
from edgegw.points import lookup

# (identifier, value most significant byte first, name, value, unit)
SINGLE = [
    ("00010000", "00123456", "energy.import", 1234.56, "kWh"),
    ("00000000", "80012345", "energy.total", -123.45, "kWh"),
    ("00010100", "12345678", "energy.import.sharp", 123456.78, "kWh"),
    ("00020400", "00000001", "energy.export.valley", 0.01, "kWh"),
    ("00010001", "00000100", "energy.import.settlement1", 1.0, "kWh"),
    ("00010205", "00000100", "energy.import.peak.settlement5", 1.0, "kWh"),
    ("00030000", "80000100", "energy.reactive_combined.1", -1.0, "kvarh"),
    ("00050000", "00000250", "energy.reactive_q1", 2.5, "kvarh"),
    ("00090000", "00000250", "energy.apparent_import", 2.5, "kVAh"),
    ("00150000", "00000250", "energy.import.a", 2.5, "kWh"),
    ("003E0000", "00000250", "energy.export.c", 2.5, "kWh"),
    ("00810000", "00000250", "energy.import.fundamental", 2.5, "kWh"),
    ("00900100", "00012345", "energy.remaining", 123.45, "kWh"),
    ("02010200", "2304", "phase_voltage.b", 230.4, "V"),
    ("02020300", "812345", "current.c", -12.345, "A"),
    ("02030000", "871234", "active_power", -7.1234, "kW"),
    ("02040000", "001234", "reactive_power", 0.1234, "kvar"),
    ("02050100", "001234", "apparent_power.a", 0.1234, "kVA"),
    ("02060000", "8999", "power_factor", -0.999, ""),
    ("02070100", "1205", "phase_angle.a", 120.5, "deg"),
    ("02080200", "0123", "voltage_thd.b", 1.23, "%"),
    ("020A0103", "0123", "voltage_harmonic.a.3", 1.23, "%"),
    ("02800001", "800123", "current.neutral", -0.123, "A"),
    ("02800002", "5001", "frequency", 50.01, "Hz"),
    ("02800004", "812345", "demand.active", -1.2345, "kW"),
    ("02800007", "8125", "temperature.internal", -12.5, "C"),
    ("02800008", "0365", "clock_battery.voltage", 3.65, "V"),
    ("0280000A", "00001234", "battery_time", 1234, "min"),
    ("03300D00", "000017", "cover_open.count", 17, ""),
    ("03110000", "000003", "power_down.count", 3, ""),
    ("1D000001", "000002", "relay_trip.count", 2, ""),
    ("04000101", "24011804", "date", "2024-01-18 w4", ""),
    ("04000102", "215355", "time", "21:53:55", ""),
    ("0400010C", "24011804215355", "clock", "2024-01-18 w4 21:53:55", ""),
    ("04000106", "2401182153", "zone_change_time", "2024-01-18 21:53", ""),
    ("04000204", "04", "tariff_count", 4, ""),
    ("04000401", "240118000017", "address", "240118000017", ""),
    ("04000409", "001600", "constant.active", 1600, "imp/kWh"),
    ("0400040B", "44445A59313335320000", "model", "DDZY1352", ""),
    ("04000503", "0010", "status_word.3", 16, "bits"),
    ("04000703", "08", "rate_word.1", "08", ""),
    ("04000B01", "0100", "settlement_day.1", "01 00", ""),
    ("05060001", "2401180000", "freeze.daily.1.time", "2024-01-18 00:00", ""),
    ("9010", "00123456", "energy.import", 1234.56, "kWh"),
    ("9013", "00123456", "energy.import.flat", 1234.56, "kWh"),
    ("9410", "00123456", "energy.import.month1", 1234.56, "kWh"),
    ("9820", "00123456", "energy.export.month2", 1234.56, "kWh"),
    ("9110", "00123456", "energy.reactive_import", 1234.56, "kvarh"),
    ("9140", "00123456", "energy.reactive_q4", 1234.56, "kvarh"),
    ("A010", "123456", "demand_max.import", 12.3456, "kW"),
    ("B010", "11230915", "demand_max.import.time", "11-23 09:15", ""),
    ("B212", "0012", "programming.count", 12, ""),
    ("B611", "0231", "phase_voltage.a", 231, "V"),
    ("B622", "1234", "current.b", 12.34, "A"),
    ("B630", "123456", "active_power", 12.3456, "kW"),
    ("B650", "0998", "power_factor", 0.998, ""),
    ("C020", "04", "status_word.1", 4, "bits"),
    ("C032", "201708176934", "serial_number", "201708176934", ""),
]
BLOCKS = [
    ("0001FF00", "00000002 00000003 00000060 00000062 00000129", [1.29, 0.62, 0.60, 0.03, 0.02]),
    ("0002FF00", "00000002 00000129", [1.29, 0.02]),
    ("000100FF", "00000002 00000129", [1.29, 0.02]),
    ("0201FF00", "FFFF FFFF 2256", [225.6, None, None]),
    ("0202FF00", "FFFFFF 000500 812345", [-12.345, 0.5, None]),
    ("0203FF00", "FFFFFF FFFFFF 000001 000002", [0.0002, 0.0001, None, None]),
    ("0206FF00", "1000 0000 1000 8999", [-0.999, 1.0, 0.0, 1.0]),
    ("040005FF", "0007 0006 0005 0004 0003 0002 0014", [20, 2, 3, 4, 5, 6, 7]),
    ("01010000", "2401182153 001234", [0.1234, "2024-01-18 21:53"]),
    ("0101FF00", "0000000000 000000 2401182153 001234", [0.1234, "2024-01-18 21:53", 0.0, None]),
    ("05060101", "00000002 00000003 00000060 00000062 00000129", [1.29, 0.62, 0.60, 0.03, 0.02]),
    ("05061001", "000000 000000 000000 000000 000000 000000 000000 871234", [-7.1234, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
    ("03110001", "240118100500 240118100000", ["2024-01-18 10:00:00", "2024-01-18 10:05:00"]),
    ("03300401", "240118100500 240118100000 00000001", ["00000001", "2024-01-18 10:00:00", "2024-01-18 10:05:00"]),
    ("03050000", "000012 000003", [3, 12]),
    ("901F", "00000012 00000024 00000003 00000000 00000039", [0.39, 0.0, 0.03, 0.24, 0.12]),
    ("901F", "AA 00000012 00000024 00000003 00000000 00000039", [0.39, 0.0, 0.03, 0.24, 0.12]),
    ("B61F", "0232 0231 0230", [230, 231, 232]),
    ("B63F", "000000 000001 000002 123456", [12.3456, 0.0002, 0.0001, 0.0]),
]


def one(received):
    [told] = explain(received)
    return told


@pytest.mark.parametrize(("di", "raw", "name", "value", "unit"), SINGLE, ids=[f"{row[0]}-{row[2]}" for row in SINGLE])
def test_an_identifier_has_its_value(di, raw, name, value, unit):
    """
    Name, value and unit are those of the standard's annex A, in the dictionary's unit.
    """
    told = one(reply(di, raw))
    assert [(name, value, unit)] == [(found.item.name, found.number, found.item.unit) for found in told.values]
    assert (di, None) == (told.di, told.reason)


@pytest.mark.parametrize("row", [row for row in SINGLE if lookup(row[2])], ids=lambda row: row[0])
def test_a_name_of_the_dictionary_has_its_unit(row):
    """
    What bears a name of the dictionary is in the dictionary's unit.
    """
    assert lookup(row[2]).unit == (row[4] if row[4] not in {"", "bits"} else "1")


@pytest.mark.parametrize(("di", "raw", "values"), BLOCKS, ids=[row[0] for row in BLOCKS])
def test_a_block_has_its_values_in_order(di, raw, values):
    """
    A block gives one value an item, as many as the meter has; FFH is none.
    """
    told = one(reply(di, raw.replace(" ", "")))
    assert values == [found.number for found in told.values]
    assert told.reason is None


@pytest.mark.parametrize("di", ["0001FF00", "0203FF00", "0202FF00", "901F", "B63F"])
def test_the_members_of_a_block_read_its_values_alone(di):
    """
    Each member of a block is an identifier of the same name, digits and unit.
    """
    block = find(di, 1997 if len(di) == 4 else 2007)
    members = [find(member, 1997 if len(di) == 4 else 2007) for member in block.members]
    assert list(block.items) == [item for member in members for item in member.items]


@pytest.mark.parametrize(
    ("di", "raw", "why"),
    [
        ("02010100", "22A6", "damage"),
        ("00010000", "0012345A", "damage"),
        ("02030000", "FA1234", "damage"),
        ("04000101", "24131804", "damage"),
        ("04000102", "216355", "damage"),
        ("02010100", "002256", "not_whole"),
        ("00010000", "1234", "not_whole"),
        ("0001FF00", "0000000212", "not_whole"),
        ("0201FF00", "2256225622562256", "not_whole"),
        ("04990101", "1234", "unknown"),
    ],
)
def test_bytes_that_are_no_value_give_none(di, raw, why):
    """
    Digits above 9, impossible times, a wrong number of bytes and unknown identifiers give no value and the reason; the frame itself is valid.
    """
    told = one(reply(di, raw))
    assert (True, why) == (told.valid, told.reason.id)
    assert None in [value.number for value in told.values]


def test_a_block_over_two_frames_is_cut_anywhere():
    """
    A value that the first frame cuts is whole with the second; the number of the follow-up frame is no part of it.
    """
    received = frame(0xB1, "00 FF 01 00 29 01 00 00 62 00") + frame(0x92, "00 FF 01 00 00 00 60 00 00 00 01")
    first, second = explain(received)
    assert [1.29] == [value.number for value in first.values]
    assert [("energy.import.sharp", 0.62), ("energy.import.peak", 0.6)] == [(value.item.name, value.number) for value in second.values]
    assert 1 == second.sequence


def test_a_status_word_is_told_in_both_languages():
    """
    Bits that are set say what they mean; phases B and C as phase A; a bit without meaning has its number.
    """
    assert ["clock battery low", "active power reversed"] == bit_texts("04000501", 2007, 0x14, chinese=False)
    assert ["失压", "位15"] == bit_texts("04000506", 2007, 0x8001, chinese=True)
    assert ["电池欠压"] == bit_texts("C020", 1997, 4, chinese=True)


def test_a_time_that_has_not_been_is_none():
    """
    A date of zeros is no date and no damage; a time of zeros is midnight.
    """
    assert time_text(bytes(5), ("YY", "MM", "DD", "hh", "mm")) is None
    assert "00:00:00" == time_text(bytes(3), ("hh", "mm", "ss"))


@pytest.mark.parametrize("text", ["00220000", "80FF"])
def test_text_that_is_none_is_damage(text):
    """
    Control characters and bytes above 7FH are no text.
    """
    with pytest.raises(DamagedError):
        decode(bytes.fromhex(text.replace("22", "01")), parse_formats("A32")[0])
    assert "220V" == decode(bytes.fromhex("000056303232"), parse_formats("A6")[0])


def test_an_error_reply_to_security_has_two_bytes():
    """
    The refusal of 03H holds two error bytes; its bits are others than those of a read.
    """
    told = one(frame(0xC3, "0400"))
    assert ("0004", "error", METER) == (told.error.hex(), told.reason.id, told.frame.address)


def test_every_known_identifier_can_be_read():
    """
    Whatever two first bytes an identifier has, asking for it ends with what it reads or with nothing.
    """
    found = [find(f"{high:04X}{low}") for high in range(0x2100) for low in ("0000", "FF00")]
    assert {"energy.import", "phase_voltage.a", "active_power"} <= {known.items[0].name for known in found if known}
