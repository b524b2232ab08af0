"""Where a value stood and what stood there, of every protocol: what a technician holds against the manual."""

from __future__ import annotations

import pytest
from dlt645_rig import METER, reply
from modbus_rig import plan_of, profile_of
from sunspec_rig import common, image, introduce, model, plan

from edgegw.bus.holes import Heard
from edgegw.bus.origins import locate
from edgegw.config.model import Bus, Device
from edgegw.drivers.catalogue import available, load_profile
from edgegw.drivers.plan import line_facts
from edgegw.drivers.planning import plan_device
from edgegw.model import Answer, Fault

BUS = Bus(name="a", kind="serial", path="/dev/null")


def sources_of(profile_name, **device):
    return plan_device(Device(code="D", bus="a", profile=profile_name, **device), load_profile(profile_name), line_facts(BUS), 1).sources


def located(planned, *datas):
    """Point to (address, raw)."""
    found = locate(planned, [Answer(data, 7) for data in datas])
    assert 7 == found.arrived_ns
    return dict(zip([point.name for point in planned.source.points], map(tuple, found.origins), strict=True))


def test_registers_of_a_modbus_block():
    """Each point has its own registers, also where two share one or a gap lies between."""
    rows = "alarm_word.1, address = 10; type = 'u32'\nalarm_word.2, address = 13\nrelay.1, address = 13; type = 'bit'; bit = 0"
    (planned,) = plan_of(profile_of(rows, head="max_gap = 4"), BUS).sources
    assert {"alarm_word.1": (10, "001B D2E0"), "alarm_word.2": (13, "0001"), "relay.1": (13, "0001")} == located(planned, bytes.fromhex("001BD2E0FFFF0001"))


def test_bits_are_bits():
    """Of inputs that a device reads as bits each stands for itself."""
    (planned,) = plan_of(profile_of("input.1, address = 5; function = 2; type = 'bit'\ninput.2, address = 6; function = 2; type = 'bit'"), BUS).sources
    assert {"input.1": (5, "0"), "input.2": (6, "1")} == located(planned, b"\x02")


def test_the_parts_of_a_refused_block():
    """What was refused stood nowhere; the rest has its registers, and the time is that of the last answer."""
    (planned,) = plan_of(profile_of("\n".join(f"alarm_word.{n}, address = {n - 1}" for n in (1, 2, 3))), BUS).sources
    division = planned.divide(frozenset({(0, 3), (0, 1)}))
    assert [(1, 3)] == [part.positions for part in division.parts]
    heard = Heard(division, {division.parts[0].pieces: Answer(bytes.fromhex("0009000A"), 5)})
    assert (5, [None, (1, "0009"), (2, "000A")]) == (locate(planned, heard).arrived_ns, list(locate(planned, heard).origins))


def test_no_answer_stood_nowhere():
    """Before the first poll, after a silence, and where nothing of a block was answered."""
    (planned,) = plan_of(profile_of("alarm_word.1, address = 1"), BUS).sources
    nothing = Heard(planned.divide(frozenset({(0, 1)})), {})
    assert [None] * 3 == [locate(planned, result) for result in (None, Fault("timeout", "no answer"), nothing)]


def test_items_of_a_meter():
    """Identifier and place in the block, and the digits as the meter shows them."""
    planned = next(one for one in sources_of("dlt645.2007-3p", address=METER) if one.block.startswith("0201FF00"))
    data = planned.questions[0].parse(reply("0201FF00", "FFFF23212310")).data
    assert {"phase_voltage.a": ("0201FF00", "2310"), "phase_voltage.b": ("0201FF00/1", "2321"), "phase_voltage.c": ("0201FF00/2", "FFFF")} == located(
        planned, data
    )


def test_items_of_a_meter_that_are_read_alone():
    """A meter without blocks has its values at the same places."""
    planned = next(one for one in sources_of("dlt645.2007-3p", address=METER) if one.block.startswith("0201FF00"))
    division = planned.divide(frozenset({(0, 3)}))
    answers = {
        part.pieces: Answer(part.question.parse(reply(f"0201{number}00", f"23{number}")).data, 1)
        for part, number in zip(division.parts, ("01", "02", "03"), strict=True)
    }
    assert [("0201FF00", "2301"), ("0201FF00/1", "2302"), ("0201FF00/2", "2303")] == [*locate(planned, Heard(division, answers)).origins]


def test_fields_of_a_ups():
    """Command and field, and the whole reply as it came."""
    planned = next(one for one in sources_of("megatec.q1") if one.block.endswith(":Q1"))
    text = "(208.4 140.0 208.4 034 59.9 2.05 35.0 00110000"
    found = located(planned, text.encode())
    assert ("Q1 input.voltage", text) == found["input.voltage"]
    assert {text} == {raw for _, raw in found.values()}


def test_fields_of_a_sunspec_device():
    """Addresses are those of this very device, wherever its models begin."""
    device = image(common(), model(103, {"W": 5000, "W_SF": 1, "St": 4}))
    introduction, _ = introduce(plan(), device)
    planned = next(one for one in introduction.sources if "active_power" in [point.name for point in one.source.points])
    found = located(planned, *[device.answer(question).data for question in planned.questions])
    assert (40070 + 14, "1388") == found["active_power"]


@pytest.mark.parametrize("name", available())
def test_every_source_of_every_profile_knows_where_its_values_stand(name):
    """No profile leaves a technician without an address; those of SunSpec are known once the device has said where its models stand."""
    address = METER if load_profile(name).addressing == "address" else ""
    unit = 1 if load_profile(name).addressing == "unit" else 0
    sources = sources_of(name, address=address, unit=unit)
    assert all(planned.locate is not None or not planned.questions for planned in sources)
    assert sources
