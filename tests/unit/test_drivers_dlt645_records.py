"""Whole freezes and load records of DL/T 645-2007: told value by value where they come out even, told as bytes where they do not."""

from __future__ import annotations

import pytest
from dlt645_rig import frame

from edgegw.cli.decode_dlt645 import screen
from edgegw.drivers.dlt645_explain import explain
from edgegw.drivers.dlt645_records import family, read_record

TIME = "00 10 18 01 20"
ENERGIES = "00 01 00 00" * 5
POWERS = "00 10 00" * 8
DEMAND = f"34 12 00 {TIME}"
FREEZE = "AA".join([TIME, *[ENERGIES] * 8, DEMAND, DEMAND, POWERS]) + "AA"
VOLTS_AMPERES_HERTZ = "01 22" * 3 + "00 10 00" * 3 + "00 50"
CLASSES = [VOLTS_AMPERES_HERTZ, POWERS, "00 10" * 4, "00 01 00 00" * 4, "00 02 00 00" * 4, "00 10 00" * 2]


def record(*classes):
    return f"A0 A0 60 {TIME}" + "".join(f"{one}AA" for one in classes) + "11 E5"


def told(di, data):
    [found] = explain(frame(0x91, bytes.fromhex(di)[::-1].hex() + data))
    return found


def values(found):
    return {value.item.name: value.number for value in found.values}


def test_an_hourly_freeze_holds_its_time_and_two_energies():
    """The blocks between AAH are those of the single identifiers, in their order."""
    found = told("0504FF01", f"{TIME} AA 00 01 00 00 AA 00 02 00 00 AA")
    names = ["freeze.hourly.1.time", "freeze.hourly.1.energy.import", "freeze.hourly.1.energy.export"]
    assert ["2020-01-18 10:00", 1.0, 2.0] == [values(found)[name] for name in names]
    assert found.reason is None


def test_a_daily_freeze_is_told_where_its_last_frame_is():
    """It is longer than a frame: what the frames before held is told with the last one."""
    data = bytes.fromhex(FREEZE)
    first = frame(0xB1, "01FF0605" + data[:150].hex())
    last = frame(0x92, "01FF0605" + data[150:].hex() + "01")
    [begun, ended] = explain(first + last)
    assert (None, "unknown") == (begun.values[0].number, begun.reason.id)
    assert ("2020-01-18 10:00", 0.1) == (values(ended)["freeze.daily.1.time"], values(ended)["freeze.daily.1.active_power"])
    assert None is ended.reason
    assert [] == [line for line in screen("en", first + last, [begun, ended]) if len(line) > 80]


def test_a_load_record_holds_six_classes():
    """Voltages to demands, each class with AAH behind it."""
    found = told("06000001", record(*CLASSES))
    wanted = {"load.1.time": "2020-01-18 10:00", "load.1.phase_voltage.c": 220.1, "load.1.frequency": 50.0, "load.1.energy.reactive_q4": 2.0}
    assert wanted == {name: values(found)[name] for name in wanted}
    assert (30, None) == (len(found.values), found.reason)


def test_classes_that_a_meter_does_not_keep_are_empty():
    """Two records of voltages alone, and one of energies by its own identifier."""
    two = told("06000002", record(VOLTS_AMPERES_HERTZ, *[""] * 5) * 2)
    assert (["load.1", "load.2"], 16) == (sorted({name[:6] for name in values(two)}), len(two.values))
    assert 1.0 == values(told("06040000", record(CLASSES[3])))["load.1.energy.export"]


@pytest.mark.parametrize(
    ("di", "data"),
    [
        ("0506FF01", f"{TIME} AA {ENERGIES} AA"),
        ("0504FF01", f"{TIME} AA 00 01 00 AA 00 01 00 00"),
        ("0544FF01", f"{TIME} AA {ENERGIES} AA {ENERGIES}"),
        ("050601FF", ENERGIES),
        ("06000001", record(*CLASSES[:5])),
        ("06000001", record("00", *[""] * 5)),
        ("06000001", record(*CLASSES)[:-2] + "E6"),
        ("06000001", "A0 A1" + record(*CLASSES)[5:]),
        ("06070001", record(CLASSES[0])),
        ("06000001", "A0 A0 60"),
        ("E8010101", "00 11 22 33"),
        ("10010201", "01 02 03"),
    ],
)
def test_what_does_not_come_out_even_is_not_read(di, data):
    """No value is guessed; what the identifier is about is said all the same."""
    found = told(di, data)
    assert (True, "unknown", [None]) == (found.valid, found.reason.id, [value.number for value in found.values])
    assert () == read_record(di, bytes.fromhex(data))


def test_a_damaged_value_of_a_record_is_none():
    """A digit above 9 costs that value alone."""
    found = told("06010001", record("0A 22" + VOLTS_AMPERES_HERTZ[5:]))
    assert (None, 220.1) == (values(found)["load.1.phase_voltage.a"], values(found)["load.1.phase_voltage.b"])
    assert ("damage", ("load.1.phase_voltage.a", "220A holds a digit above 9")) == (found.reason.id, found.reason.words)


def test_every_identifier_is_about_something():
    """Also those that no table reads."""
    assert ["energy", "freezes", "load records", "event records"] == [family(di)[0] for di in ("00FFFFFF", "05060000", "06000000", "1A000000")]
    assert ("not of the standard", "标准以外") == (family("E8010101")[0][:19], family("E8010101")[1][:4])
