"""The simulated SunSpec device against the gateway's driver: each is written apart, and each value must come out as it went in."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest
from bus_rig import Polled, run, running
from sunspec_rig import GOLDEN, introduce, load_image, plan, read, request_of

from edgegw.bus.task import BusTask
from edgegw.config.model import Bus
from edgegw.drivers.catalogue import load_profile
from edgegw.errors import EdgegwError
from edgegw.model import Answer, Fault
from edgegw.sim import sunspec_device
from edgegw.sim.bodies import build_body
from edgegw.sim.frames import Request
from edgegw.sim.simulator import Simulator
from edgegw.sim.station import SimBus, SimDevice, Station, load_station

PV = {
    "active_power": 33.37,
    "reactive_power": -4.2,
    "apparent_power": 34.0,
    "power_factor": 0.985,
    "frequency": 50.02,
    "dc_power": 34.1,
    "energy.yield": 123456.78,
    "temperature.internal": 41.25,
    "serial_number": "SIM-PV",
    **{f"phase_voltage.{phase}": 231.34 for phase in "abc"},
    **{f"current.{phase}": 48.123 for phase in "abc"},
}


class Body:
    """A simulated body as the tests' introduction asks a device."""

    def __init__(self, body, values=PV, forced=None):
        self.body, self.values, self.forced = body, values, forced or {}
        self.said = {}

    def answer(self, question):
        function, address, count = request_of(question)
        said = self.body.answer(Request(1, function, address, count), self.values, self.forced)
        if said.exception is not None:
            return Fault("exception", "refused", said.exception)
        self.said |= said.values
        return Answer(said.payload[2:], 0)


def in_units(body, said):
    return {
        point: round(value / 10 ** body.decimals[point], body.decimals[point]) if isinstance(value, int) and body.decimals[point] else value
        for point, value in said.items()
    }


@pytest.mark.parametrize("profile", ["sunspec.inverter", "sunspec.meter", "sunspec"])
def test_what_it_says_is_what_is_read(profile):
    """
    Every value that the simulated device says it sent is the one that the driver reads.
    """
    body = sunspec_device.SunspecBody(load_profile(profile))
    device = Body(body)
    introduction, _ = introduce(plan(profile), device)
    values, _ = read(introduction, device)
    said = {point: value for point, value in in_units(body, device.said).items() if value is not None}
    assert said == {point: value for point, value in values.items() if value is not None}
    assert (33.37, 231.3, 0.985) == (values["active_power"], values["phase_voltage.a"], values["power_factor"])


def test_what_is_forced_is_read():
    """
    State, fault bits and a module's voltage can be set, and come out as they were set.
    """
    forced = {"state": 7.0, "faults": "ground_fault over_temperature", "mppt.1.voltage": 712.3, "energy.yield": 5.0, "storage.soc": 55.0}
    device = Body(sunspec_device.SunspecBody(load_profile("sunspec.inverter")), forced=forced)
    introduction, _ = introduce(plan(), device)
    values, _ = read(introduction, device)
    assert {**forced, "state": 7} == {point: values[point] for point in forced}
    assert (0x81, "fault") == (values["fault_code"], values["state.text"])


def test_an_image_file_is_served_as_it_stands():
    """
    The registers of a golden file, with a value forced into one of them.
    """
    name = "solaredge-3ph-with-meter"
    body = sunspec_device.load_image(Path(GOLDEN / f"{name}.toml"), load_profile("sunspec.inverter"))
    device = Body(body)
    expected = load_image(name)[1]["expected"]["sunspec.inverter"]
    introduction, _ = introduce(plan(), device)
    assert expected == {point: value for point, value in read(introduction, device)[0].items() if value is not None}
    device.forced = {"active_power": 1.23}
    assert 1.23 == read(introduction, device)[0]["active_power"]


def test_what_cannot_be_sent_is_refused():
    """
    A text for a number, a point that it has not, a register outside, a function that it has not.
    """
    body = sunspec_device.SunspecBody(load_profile("sunspec.inverter"))
    for point, value in (("active_power", "much"), ("state.text", "dancing"), ("no.point", 1.0)):
        with pytest.raises(ValueError, match=point):
            body.check(point, value)
    refused = [(3, 39999, 2), (4, 40000, 2), (3, 40000, 126), (3, 0, 2)]
    assert [2, 1, 3, 2] == [body.answer(Request(1, *one), PV, {}).exception for one in refused]
    assert struct.pack(">BB", 0x83, 6) == body.refuse(Request(1, 3, 40000, 2)).payload


def test_the_simulated_station_has_one_on_a_real_port(tmp_path):
    """
    A SunSpec inverter on the simulator's TCP port is introduced and polled by the bus, asleep or running.
    """
    station = Station(bus=[SimBus(name="lan", kind="tcp")], device=[SimDevice(code="PV-01", bus="lan", unit=3, profile="sunspec.inverter", role="pv")])

    async def main(port):
        bus = Bus(name="lan", kind="tcp", host="127.0.0.1", port=port, answer_timeout_ms=5000)
        polled, planned = Polled(), plan(bus=bus, unit=3)
        async with running(BusTask(bus, [planned], polled.clock, polled)):
            await polled.until(lambda: {one.source.group for one in planned.sources} == {reading.source.group for reading in polled.readings})
        first = next(reading for reading in polled.readings if reading.source.group == "electrical")
        return dict(zip([point.name for point in first.source.points], first.values, strict=True))

    found = {}

    async def keep(port):
        found.update(await main(port))

    with Simulator(station, journal=tmp_path / "journal", control=tmp_path / "control.sock") as simulator:
        run(keep(simulator.ports["lan"].port))
    assert found["active_power"] >= 0
    assert found["state"] == (4 if found["active_power"] else 2)
    assert 180_000 < found["phase_voltage.a"] < 260_000


STATION = """
[[bus]]
name = "lan"
kind = "tcp"

[[device]]
code = "PV-01"
bus = "lan"
unit = 1
profile = "sunspec.inverter"
role = "pv"
image = "image.toml"
"""


def test_a_station_file_names_an_image(tmp_path):
    """
    The image stands beside the station file; its device answers at its own base, with its own values.
    """
    name = "constructed-103-120-160-124"
    shutil.copy(GOLDEN / f"{name}.toml", tmp_path / "image.toml")
    (tmp_path / "station.toml").write_text(STATION, encoding="utf-8")
    [sim] = load_station(tmp_path / "station.toml").device
    device = Body(build_body(sim.profile, sim.image))
    introduction, asked = introduce(plan(), device)
    expected = load_image(name)[1]
    values, _ = read(introduction, device)
    assert (50000, expected["expected"]["sunspec.inverter"]["active_power"]) == (expected["base"], values["active_power"])
    assert 50000 in [request_of(question)[1] for question in asked]


@pytest.mark.parametrize(
    ("content", "profile", "words"),
    [
        (None, "sunspec.inverter", "cannot be read: No such file"),
        ("base = 40000", "sunspec.inverter", "is none: 'registers'"),
        ('base = 40000\nregisters = "5375 no"', "sunspec.inverter", "is none: "),
        ("base = ", "sunspec.inverter", "is none: "),
        ('base = 40000\nregisters = "5375"', "xy-md02", "xy-md02 is no SunSpec profile"),
    ],
)
def test_a_wrong_image_is_told(tmp_path, content, profile, words):
    """
    No file, no registers, no words, no TOML, no SunSpec: each with the file and what to do.
    """
    path = tmp_path / "image.toml"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(EdgegwError, match="image") as told:
        build_body(profile, str(path))
    assert ("E-SIM-STATION", True) == (told.value.message_id, words in told.value.text)
