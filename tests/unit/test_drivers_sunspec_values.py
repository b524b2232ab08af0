"""SunSpec registers to values: golden images, every type's "not implemented", scale factors, power factors, double publication."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sunspec_rig import Image, common, image, introduce, load_image, met, model, plan, read

from edgegw.drivers.sunspec_models import find_model
from edgegw.model import Quality

GOLDEN_READS = [
    ("solaredge-3ph-with-meter", "sunspec.inverter"),
    ("solaredge-3ph-with-meter", "sunspec.meter"),
    ("constructed-103-120-160-124", "sunspec.inverter"),
]
# A usual inverter: 100.0 kW at 230.0 V, integers and floats of the same thing.
INTEGERS = {"A": 1450, "A_SF": -1, "W": 10000, "W_SF": 1, "PhVphA": 2300, "V_SF": -1, "Hz": 5000, "Hz_SF": -2, "WH": 123456789, "WH_SF": 0, "St": 4}
FLOATS = {"A": 145.0, "W": 100000.0, "PhVphA": 230.0, "Hz": 50.0, "WH": 123456789.0, "St": 4}


@pytest.mark.parametrize(("name", "profile"), GOLDEN_READS)
def test_golden_images(name, profile):
    """
    Every value is the one worked out by hand; what the device has not is not fitted, and nothing else is anything but good.
    """
    device, table = load_image(name)
    values, doubts = met(device, profile)
    assert table["expected"][profile] == {point: value for point, value in values.items() if value is not None}
    assert {Quality.NOT_FITTED} == set(doubts.values())
    assert {point for point, value in values.items() if value is None} == set(doubts)


def inverter(model_id=103, **values):
    given_values = {**(FLOATS if model_id in (111, 112, 113) else INTEGERS), **values}
    return image(common(), model(model_id, given_values))


@pytest.mark.parametrize("model_id", [101, 102, 103, 111, 112, 113])
def test_all_six_inverter_models_say_the_same(model_id):
    """
    One, split and three phases, integers and floats: the same numbers in the same units.
    """
    values, _ = met(inverter(model_id))
    assert (100.0, 145.0, 230.0, 50.0, 4) == tuple(values[point] for point in ("active_power", "current", "phase_voltage.a", "frequency", "state"))
    assert values["energy.yield"] == pytest.approx(123456.789, abs=0.008)


@pytest.mark.parametrize("model_id", [201, 202, 203, 204, 211, 212, 213, 214])
def test_all_eight_meter_models_say_the_same(model_id):
    """
    Single, split, star and delta, integers and floats.
    """
    integers = {"W": -2500, "W_SF": 1, "WphA": -800, "VAr": 30, "VAr_SF": 1, "TotWhImp": 7654321, "TotWhExp": 1000, "TotWh_SF": 0, "PPVphAB": 4001, "V_SF": -1}
    floats = {"W": -25000.0, "WphA": -8000.0, "VAr": 300.0, "TotWhImp": 7654321.0, "TotWhExp": 1000.0, "PPVphAB": 400.1}
    values, _ = met(image(common(), model(model_id, integers if model_id < 210 else floats)), "sunspec.meter")
    points = ("active_power", "active_power.a", "reactive_power", "energy.import", "energy.export", "line_voltage.ab")
    assert (-25.0, -8.0, 0.3, 7654.321, 1.0, 400.1) == tuple(values[point] for point in points)


def test_every_field_that_is_not_implemented_is_not_fitted():
    """
    A device that has its models but nothing in them gives no value at all, whatever the type.
    """
    empty = [model(model_id, modules=[{}] if model_id == 160 else ()) for model_id in (103, 120, 121, 122, 124, 160)]
    values, doubts = met(image(common(), *empty))
    assert {"serial_number", "model", "firmware"} == {point for point, value in values.items() if value is not None}
    assert {Quality.NOT_FITTED} == set(doubts.values())


@pytest.mark.parametrize("model_id", [1, 103, 113, 120, 121, 122, 123, 124, 160, 203, 213])
def test_not_implemented_of_every_type(model_id):
    """
    FFFFH, 8000H, zero accumulators, NaN and empty text, as the specification's table of types has them.
    """
    table = {
        "int16": -0x8000,
        "uint16": 0xFFFF,
        "count": 0xFFFF,
        "acc32": 0,
        "acc64": 0,
        "enum16": 0xFFFF,
        "bitfield16": 0xFFFF,
        "bitfield32": 0xFFFFFFFF,
        "uint32": 0xFFFFFFFF,
        "float32": math.nan,
        "string": b"\0\0 ",
        "sunssf": -0x8000,
    }
    found = find_model(model_id)
    fields = [*found.fields.values(), *found.modules.values()]
    assert fields
    assert [] == [field.name for field in fields if not field.is_none(table[field.type])]


@pytest.mark.parametrize(("field", "raw", "point"), [("WH", 0xFFFFFFFF, "energy.yield"), ("SN", "", "serial_number"), ("SN", "\xff" * 32, "serial_number")])
def test_all_bits_set_is_not_implemented_either(field, raw, point):
    """
    Products that fill what they have not with FFH, accumulators and text included, show nothing there.
    """
    serial = common()
    if field == "SN":
        serial[50:66] = struct.unpack(">16H", raw.encode("latin-1").ljust(32, b"\0"))
    values, doubts = met(image(serial, model(103, {**INTEGERS, **({field: raw} if field == "WH" else {})})))
    assert (None, Quality.NOT_FITTED) == (values[point], doubts[point])
    assert 100.0 == values["active_power"]


def test_a_value_that_went_is_bad_and_one_that_came_is_good():
    """
    What the device had at the introduction and has no more is bad; an accumulator that stood at zero counts as soon as it moves.
    """
    introduction, _ = introduce(plan(), inverter(WH=0))
    values, doubts = read(introduction, inverter(WH=1500, Hz=0xFFFF))
    assert (1.5, None) == (values["energy.yield"], values["frequency"])
    assert Quality.BAD == doubts["frequency"]
    assert "energy.yield" not in doubts
    introduction, _ = introduce(plan(), inverter())
    assert Quality.BAD == read(introduction, inverter(WH=0))[1]["energy.yield"]


@pytest.mark.parametrize("state", [1, 2])
def test_what_a_sleeping_inverter_does_not_say_is_offline(state):
    """
    Off or asleep it has no measurements; nothing is bad, and its state is told.
    """
    introduction, _ = introduce(plan(), inverter(113))
    values, doubts = read(introduction, inverter(113, W=math.nan, A=math.nan, PhVphA=math.nan, Hz=math.nan, WH=FLOATS["WH"], St=state))
    assert state == values["state"]
    assert [Quality.OFFLINE] * 4 == [doubts[point] for point in ("active_power", "current", "phase_voltage.a", "frequency")]
    assert Quality.BAD not in doubts.values()


def test_an_input_sleeps_by_its_own_state():
    """
    Of two MPPTs the one that sleeps is offline and the one that should run is bad; where no state is told, sleep is told by no offline.
    """

    def inputs(first, second):
        powers = {"DCW_SF": 0, "DCV_SF": 0, "N": 2}
        return image(common(), model(103, INTEGERS), model(160, powers, modules=[first, second]))

    running, asleep = {"DCW": 900, "DCSt": 4}, {"DCSt": 2}
    introduction, _ = introduce(plan(), inputs(running, running))
    _, doubts = read(introduction, inputs(asleep, {"DCSt": 4}))
    assert (Quality.OFFLINE, Quality.BAD) == (doubts["mppt.1.power"], doubts["mppt.2.power"])
    introduction, _ = introduce(plan(points=["active_power"]), inverter(113))
    assert {"active_power": Quality.NOT_FITTED} == read(introduction, inverter(113, W=math.nan, St=2))[1]


@pytest.mark.parametrize(("factor", "expected"), [(-10, 0.0), (-2, 0.12345), (-1, 1.2345), (0, 12.345), (1, 123.45), (2, 1234.5), (3, 12345.0)])
def test_scale_factors_are_read_with_their_points(factor, expected):
    """
    Whatever the factor is at this moment, the value is right and no digit is lost.
    """
    introduction, _ = introduce(plan(), inverter())
    values, doubts = read(introduction, inverter(W=12345, W_SF=factor))
    assert expected == values["active_power"]
    assert "active_power" not in doubts


@pytest.mark.parametrize("factor", [11, -11, 100, 0x7FFF, -0x7FFF])
def test_a_scale_factor_out_of_range_is_bad(factor):
    """
    Only -10 to 10 are powers of ten; the value is not guessed.
    """
    introduction, _ = introduce(plan(), inverter())
    values, doubts = read(introduction, inverter(W_SF=factor))
    assert (None, Quality.BAD) == (values["active_power"], doubts["active_power"])
    assert 145.0 == values["current"]


def test_a_value_without_its_scale_factor_is_none():
    """
    A factor of 8000H makes its points not available, and only them.
    """
    values, doubts = met(inverter(W_SF=-0x8000))
    assert (None, Quality.NOT_FITTED) == (values["active_power"], doubts["active_power"])
    assert 50.0 == values["frequency"]


@pytest.mark.parametrize(
    ("field", "point", "value"), [("PhVphA", "phase_voltage.a", 60000), ("Hz", "frequency", 30000), ("TmpCab", "temperature.internal", 400)]
)
def test_what_cannot_be_is_bad(field, point, value):
    """
    Outside the dictionary's range there is no value.
    """
    values, doubts = met(inverter(**{field: value, "Tmp_SF": 0}))
    assert (None, Quality.BAD) == (values[point], doubts[point])


def test_an_infinite_float_and_bits_behind_the_highest_are_bad():
    """
    Neither is a number nor "not implemented".
    """
    values, doubts = met(inverter(113, W=math.inf, Evt1=0x80000001))
    assert (None, None, None) == (values["active_power"], values["fault_code"], values["faults"])
    assert {Quality.BAD} == {doubts[point] for point in ("active_power", "fault_code", "faults")}


@pytest.mark.parametrize(
    ("said", "expected", "doubt"),
    [
        ({"PF": 9983, "PF_SF": -2, "W": 5520, "VA": 5528}, 0.9983, None),
        ({"PF": -100, "PF_SF": 0}, -1.0, None),
        ({"PF": 985, "PF_SF": -3}, 0.985, None),
        ({"PF": 9850, "PF_SF": -4}, 0.985, None),
        ({"PF": 98, "PF_SF": -2, "W": 980, "VA": 1000}, 0.98, None),
        ({"PF": 63, "PF_SF": -2, "W": 6, "VA": 1000}, 0.0063, None),
        ({"PF": 0, "PF_SF": -2}, 0.0, None),
        ({"PF": 98, "PF_SF": -2}, 0.98, Quality.SUSPECT),
    ],
)
def test_a_power_factor_is_percent_or_the_cosine(said, expected, doubt):
    """
    Above 1 it is percent; else its digits or active over apparent power tell; where nothing tells it is suspect.
    """
    values, doubts = met(inverter(**{"W_SF": 0, "VA_SF": 0, **said}))
    assert expected == values["power_factor"]
    assert doubt == doubts.get("power_factor")


def test_one_phase_in_percent_makes_all_percent():
    """
    A meter whose phase A says 0.63 has 0.63 % when phase B says 64.7.
    """
    values, _ = met(image(common(), model(203, {"PF": 63, "PFphA": 63, "PFphB": 6470, "PF_SF": -2})), "sunspec.meter")
    assert (0.0063, 0.0063, 0.647) == (values["power_factor"], values["power_factor.a"], values["power_factor.b"])


def test_integers_and_floats_of_one_thing_are_one_thing():
    """
    A device that publishes both is read once: the integers with their digits, or the floats where they say more.
    """
    both = image(common(), model(103, INTEGERS), model(113, {**FLOATS, "W": 1.0}))
    assert 100.0 == met(both)[0]["active_power"]
    better = image(common(), model(103, {"St": 4}), model(113, {**FLOATS, "W": 1000.0}))
    assert 1.0 == met(better)[0]["active_power"]


def test_the_second_meter_is_another_one():
    """
    Each instance is read by its own profile, with its own serial number, behind common models of its own or one after another.
    """
    one, other = model(203, {"W": 1, "W_SF": 3}), model(203, {"W": 2, "W_SF": 3})
    apart = image(common("INV"), model(103, INTEGERS), common("M1"), one, common("M2"), other)
    together = image(common("M0"), one, model(213, {"W": 1000.0}), other, model(213, {"W": 2000.0}))
    assert [(1.0, "M1"), (2.0, "M2")] == [
        (met(apart, name)[0]["active_power"], met(apart, name)[0]["serial_number"]) for name in ("sunspec.meter", "sunspec.meter2")
    ]
    assert [1.0, 2.0] == [met(together, name)[0]["active_power"] for name in ("sunspec.meter", "sunspec.meter2")]
    assert {Quality.REFUSED} == set(met(together, "sunspec.meter3")[1].values())


def test_models_of_another_logical_device_are_left_alone():
    """
    The inputs of a second inverter are not the first one's.
    """
    two = image(common("A"), model(103, INTEGERS), common("B"), model(103, INTEGERS), model(160, {"DCW_SF": 0, "N": 1}, modules=[{"DCW": 500}]))
    values, doubts = met(two)
    assert (None, Quality.NOT_FITTED) == (values["mppt.1.power"], doubts["mppt.1.power"])


def test_the_sign_of_a_meter_can_be_the_other_one():
    """
    A profile with invert turns active power, total and phases, and nothing else.
    """
    device, table = load_image("solaredge-3ph-with-meter")
    values, _ = met(device, "solaredge.meter")
    expected = table["expected"]["sunspec.meter"]
    turned = {point: -value if point.startswith("active_power") else value for point, value in expected.items()}
    assert turned == {point: value for point, value in values.items() if value is not None}


def test_a_header_that_changed_makes_every_value_bad():
    """
    A device that moved its models is not believed until it was met again.
    """
    introduction, _ = introduce(plan(), inverter())
    values, doubts = read(introduction, image(common(), model(113, FLOATS)))
    assert values["active_power"] is None
    assert Quality.BAD == doubts["active_power"]


@settings(max_examples=200, deadline=None)
@given(registers=st.lists(st.integers(0, 0xFFFF), min_size=50, max_size=50))
def test_whatever_an_inverter_says_a_value_is_there_or_a_reason(registers):
    """
    Random registers behind an honest header decode without an error, and no value is outside its range.
    """
    introduction, _ = introduce(plan(), inverter())
    body = [*image(common(), [103, 50, *registers]).registers]
    values, doubts = read(introduction, Image(body))
    assert {point for point, value in values.items() if value is None} == {point for point, quality in doubts.items() if not quality.has_value}
    assert values["frequency"] is None or 0 <= values["frequency"] <= 100


def test_a_device_of_any_kind_is_read_as_what_comes_first():
    """
    The general profile reads the inverter where there is one and the meter where there is nothing else, and never a mixture.
    """
    device, table = load_image("solaredge-3ph-with-meter")
    values, _ = met(device, "sunspec")
    assert table["expected"]["sunspec.inverter"] == {point: value for point, value in values.items() if value is not None}
    alone = image(common("M1"), model(203, {"W": -25, "W_SF": 0, "WphA": -25, "TotWhImp": 5000, "TotWh_SF": 0}))
    values, _ = met(alone, "sunspec")
    expected = {"active_power": -0.025, "active_power.a": -0.025, "energy.import": 5.0, "serial_number": "M1", "model": "Model", "firmware": "1.0"}
    assert expected == {point: value for point, value in values.items() if value is not None}
    together = image(common("K1"), model(103, INTEGERS), model(203, {"W": -25, "W_SF": 0, "WphA": -25, "TotWhImp": 5000, "TotWh_SF": 0}))
    values, _ = met(together, "sunspec")
    assert (100.0, None, None) == (values["active_power"], values["active_power.a"], values["energy.import"])
