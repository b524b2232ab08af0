"""SunSpec images served by pymodbus, read by the command and by the bus as a service would."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Self

import pytest
from bus_rig import Polled, PtyDevice, TcpDevice, run, running, serial_bus, tcp_answer, tcp_bus
from modbus_rig import answer_frame
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
from sunspec_rig import Image, common, image, load_image, model, plan

from edgegw.bus.task import BusTask
from edgegw.config.model import Bus
from edgegw.drivers.modbus_codec import sealed
from edgegw.model import Quality
from tests.unit.cli_daemon import edgegw

# A Kostal Plenticore's chain (evcc-io/evcc issue 15726): integers and floats of the same inverter, its strings, its meter.
KOSTAL = image(
    common("9055123"),
    model(103, {"W": 3210, "W_SF": 0, "A": 140, "A_SF": -1, "WH": 12345678, "WH_SF": 0, "Hz": 5001, "Hz_SF": -2, "St": 4}),
    model(113, {"W": 3211.5, "A": 14.02, "St": 4}),
    model(120, {"WRtg": 10000, "WRtg_SF": 0, "DERTyp": 4}),
    model(123),
    model(160, {"DCA_SF": -2, "DCV_SF": -1, "DCW_SF": 0, "N": 3}, modules=[{"DCA": 512, "DCV": 6201, "DCW": 3175}, {"DCA": 0, "DCV": 12, "DCW": 0}, {}]),
    model(203, {"W": -150, "W_SF": 0, "TotWhImp": 1000, "TotWhExp": 2000, "TotWh_SF": 0}),
)
READS = [
    ("solaredge-3ph-with-meter", "sunspec.inverter"),
    ("solaredge-3ph-with-meter", "sunspec.meter"),
    ("constructed-103-120-160-124", "sunspec.inverter"),
]


class Served:
    """pymodbus's own server with one image, in a thread of its own; what is not in the image it refuses itself."""

    def __init__(self, device: Image) -> None:
        bits = [SimData(0, values=[False], datatype=DataType.BITS)]
        nothing = [SimData(0, values=[0], datatype=DataType.REGISTERS)]
        registers = [SimData(device.base, values=list(device.registers), datatype=DataType.REGISTERS)]
        blocks = (bits, bits, registers, nothing) if 3 in device.functions else (bits, bits, nothing, registers)
        self._device = SimDevice(1, simdata=blocks)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        server = ModbusTcpServer(self._device, address=("127.0.0.1", 0))
        serving = asyncio.create_task(server.serve_forever())
        await Polled.until(lambda: server.transport is not None)
        self.port = server.transport.sockets[0].getsockname()[1]
        self._ready.set()
        await self._end.wait()
        await server.shutdown()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


def read_offline(directory, port, profile):
    """(exit code, frame) of `edgegw read PV-01 --offline --json`."""
    (directory / "config.toml").write_text(
        'gateway = { operator = "OP", station = "ST", gateway = "GW" }\n'
        f'paths = {{ state_dir = "{directory}" }}\n'
        f'bus = [{{ name = "lan", kind = "tcp", host = "127.0.0.1", port = {port} }}]\n'
        f'device = [{{ code = "PV-01", bus = "lan", unit = 1, profile = "{profile}" }}]\n'
    )
    done = edgegw("read", "PV-01", "--offline", "--json", "--timeout", "60", "-c", directory / "config.toml")
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize(("name", "profile"), READS)
def test_the_command_reads_golden_images(tmp_path, name, profile):
    """
    Every value that was worked out by hand, in its unit and good; everything else is not fitted, and the exit code is 0.
    """
    device, table = load_image(name)
    with Served(device) as server:
        code, frame = read_offline(tmp_path, server.port, profile)
    assert 0 == code
    assert table["expected"][profile] == {value["point"]: value["value"] for value in frame["data"] if value["quality"] == "good"}
    assert {"not fitted"} == {value["quality"] for value in frame["data"] if value["value"] is None}


@pytest.mark.parametrize(("base", "function"), [(0, 3), (50000, 3), (40000, 4)])
def test_the_command_finds_the_map(tmp_path, base, function):
    """
    Wherever the marker stands, and with input registers alone, a Plenticore's own chain is read.
    """
    with Served(KOSTAL._replace(base=base, functions=(function,))) as server:
        code, frame = read_offline(tmp_path, server.port, "kostal.inverter")
    values = {value["point"]: value["value"] for value in frame["data"]}
    assert 0 == code
    points = (
        "active_power",
        "current",
        "energy.yield",
        "frequency",
        "state.text",
        "rated.power",
        "mppt.1.power",
        "mppt.2.voltage",
        "mppt.3.power",
        "serial_number",
    )
    assert (3.21, 14.0, 12345.678, 50.01, "running", 10.0, 3.175, 1.2, None, "9055123") == tuple(values[point] for point in points)


def test_a_server_without_sunspec_is_refused(tmp_path):
    """
    A device that answers but has no map ends with the exit code of a refusal.
    """
    with Served(Image([1, 2, 3, 4, 5], base=100)) as server:
        code, frame = read_offline(tmp_path, server.port, "sunspec.inverter")
    assert 6 == code
    assert {"refused"} == {value["quality"] for value in frame["data"]}


def test_the_bus_reads_inverter_and_meter_of_one_unit():
    """
    The daemon's bus introduces both devices on the unit and polls them; their values are those worked out by hand.
    """
    device, table = load_image("solaredge-3ph-with-meter")

    async def main(port):
        bus = Bus(name="lan", kind="tcp", host="127.0.0.1", port=port, answer_timeout_ms=5000)
        polled = Polled()
        plans = [plan("sunspec.inverter", bus, code="PV-01"), plan("sunspec.meter", bus, code="MTR-01")]
        task = BusTask(bus, plans, polled.clock, polled)
        wanted = {(one.source.device, one.source.group) for planned in plans for one in planned.sources}
        async with running(task):
            await polled.until(lambda: wanted <= {(reading.source.device, reading.source.group) for reading in polled.readings})
        return polled

    with Served(device) as server:
        found = {}
        run(collected(main(server.port), found))
    for code, profile in (("PV-01", "sunspec.inverter"), ("MTR-01", "sunspec.meter")):
        assert table["expected"][profile] == found[code]


async def collected(main, found):
    """The values of each device, in their units."""
    polled = await main
    for reading in polled.readings:
        for point, value in zip(reading.source.points, reading.values, strict=True):
            if value is not None:
                scaled = round(value / 10**point.decimals, point.decimals) if isinstance(value, int) and point.decimals else value
                found.setdefault(reading.source.device, {})[point.name] = scaled


@pytest.mark.parametrize("base", [0, 40000])
def test_a_device_that_is_silent_where_it_has_nothing_is_found_and_comes_back(base):
    """
    Where the marker is not, no answer comes at all; the bus goes on to the next base, and probes the device where it answers.
    """
    device, readings = KOSTAL._replace(base=base), []
    mute = False

    def behave(number, unit, function, address, count):
        data = None if mute else device.ask(function, address, count)
        return [] if data is None else [(0.0, tcp_answer(number, unit, function, data))]

    async def main():
        nonlocal mute
        async with TcpDevice(behave) as server:
            bus = tcp_bus(server.port, answer_timeout_ms=400)
            polled = Polled()
            task = BusTask(bus, [plan("kostal.inverter", bus, period_s={"electrical": 0.05}, points=["active_power", "serial_number"])], polled.clock, polled)
            async with running(task):
                await polled.until(lambda: any(reading.values == (321000,) for reading in polled.readings))
                mute = True
                await polled.until(lambda: task.silent_devices)
                mute, before = False, len(polled.readings)
                await polled.until(lambda: any(reading.values == (321000,) for reading in polled.readings[before:]))
            readings.extend(polled.readings)

    run(main())
    assert {(321000,), ("9055123",), (None,)} == {reading.values for reading in readings}


def test_a_device_that_moved_its_models_is_met_again(monkeypatch):
    """
    Switched from integers to floats while the line stays open, it gives bad values, never wrong ones, until it was introduced again.
    """
    monkeypatch.setattr("edgegw.bus.introducing.INTRODUCTION_RETRY_MS", 300)
    device, values = image(common(), model(103, {"W": 5000, "W_SF": 1})), []

    def behave(number, unit, function, address, count):
        data = device.ask(function, address, count)
        refusal = number.to_bytes(2, "big") + bytes((0, 0, 0, 3, unit, function | 0x80, 2))
        return [(0.0, refusal if data is None else tcp_answer(number, unit, function, data))]

    async def main():
        nonlocal device
        async with TcpDevice(behave) as server:
            bus = tcp_bus(server.port, answer_timeout_ms=5000)
            polled = Polled()
            planned = plan("fronius.inverter", bus, period_s={"electrical": 0.05}, points=["active_power"])
            async with running(BusTask(bus, [planned], polled.clock, polled)):
                await polled.until(lambda: polled.readings)
                device = image(common(length=65), model(120), model(113, {"W": 70000.0}))
                await polled.until(lambda: polled.readings[-1].values == (7000000,))
            values.extend((reading.values, *reading.quality.values()) for reading in polled.readings)

    run(main())
    assert {((5000000,),), ((None,), Quality.BAD), ((7000000,),)} == set(values)


def test_a_serial_line_carries_it_too():
    """
    Modbus RTU on a real pty: the whole introduction and the polls behind it, with a device that answers 50 registers at most.
    """
    device, found = KOSTAL._replace(longest=50), {}

    def behave(asked):
        data = device.ask(asked.function, asked.address, asked.count)
        frame = sealed(bytes((asked.unit, asked.function | 0x80, 2))) if data is None else answer_frame(asked.unit, asked.function, data)
        return [(0.0, frame)]

    async def main(path):
        bus = serial_bus(path, answer_timeout_ms=1000)
        polled, planned = Polled(), plan("kostal.inverter", bus)
        async with running(BusTask(bus, [planned], polled.clock, polled)):
            await polled.until(lambda: {one.source.group for one in planned.sources} == {reading.source.group for reading in polled.readings})
        return polled

    with PtyDevice(behave) as line:
        run(collected(main(line.path), found))
    expected = {"active_power": 3.21, "current": 14.0, "energy.yield": 12345.678, "frequency": 50.01, "mppt.1.power": 3.175, "mppt.2.voltage": 1.2}
    assert expected == {point: found["PV-01"][point] for point in expected}
