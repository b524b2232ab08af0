"""The siren on the simulated station: a relay module among sensors on one paced line, polled and switched by the gateway's own bus."""

from __future__ import annotations

import asyncio
import os
import time
import tty
from pathlib import Path

import pytest

from edgegw.app import plan_buses
from edgegw.bus.task import BusTask, Extras
from edgegw.channel_parts import make_parts, writable_of
from edgegw.clock import Clock
from edgegw.config.load import parse
from edgegw.model import Event, Reading
from edgegw.rules.notifiers.factory import make_channels
from edgegw.rules.notifiers.siren import Siren
from edgegw.sim import frames, journal
from edgegw.sim.simulator import Simulator
from edgegw.sim.station import SimBus, SimDevice, Station
from tests.unit.channel_rig import NOTICE, until

STATION = Station(
    bus=[SimBus(name="com4", kind="serial", baudrate=9600)],
    device=[
        SimDevice(code="TH-1", bus="com4", unit=21, profile="xy-md02", role="cabinet", turnaround_ms=5),
        SimDevice(code="DO-01", bus="com4", unit=31, profile="waveshare.relay8", role="inputs", turnaround_ms=5),
    ],
)
CONFIG = """
[gateway]
operator = "op"
station = "R10"
gateway = "gw1"
[[bus]]
name = "com4"
kind = "serial"
path = "{path}"
[[device]]
code = "TH-1"
bus = "com4"
unit = 21
profile = "xy-md02"
period_s = {{ climate = 0.5 }}
[[device]]
code = "DO-01"
bus = "com4"
unit = 31
profile = "waveshare.relay8"
period_s = {{ relays = 0.5 }}
[[channel]]
name = "siren"
kind = "siren"
device = "DO-01"
point = "relay.1"
"""


def test_the_siren_is_switched_in_the_middle_of_the_polls(tmp_path: Path) -> None:
    """On within a poll, seen by the polls as well, off again; every silence of the line is kept and no poll is lost."""
    relays: list[int] = []
    events: list[Event] = []

    def note(reading: Reading) -> None:
        if reading.source.device == "DO-01" and not reading.quality:
            value = reading.values[0]
            assert isinstance(value, int)
            relays.append(value)

    async def main(path: str) -> None:
        config = parse(Path("config.toml"), CONFIG.format(path=path).encode()).config
        assert config is not None
        clock = Clock()
        bus = BusTask(config.bus[0], plan_buses(config)["com4"], clock, note, Extras(writable=writable_of(config)["com4"]))
        siren = make_channels(config, make_parts(config, clock, lambda: [bus], list, events.append))["siren"]
        assert isinstance(siren, Siren)
        polling = asyncio.create_task(bus.run())
        await until(lambda: len(relays) > 1)
        assert "relay.1 of DO-01 is on, read back 1" == await siren.send(NOTICE, "")
        await until(lambda: relays[-1] == 1)
        assert "relay.1 of DO-01 is off, read back 0" == await siren.quiet("the test")
        await until(lambda: relays[-1] == 0)
        await siren.close()
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)

    with Simulator(STATION, journal=tmp_path / "journal.jsonl", control=tmp_path / "control.sock", speed=1.0) as simulator:
        asyncio.run(main(simulator.ports["com4"].path))
        counts = simulator.counts["com4"]
    assert (0, 0, 0) == (counts.violations, counts.overlaps, counts.bad_requests)
    assert ["on", "off"] == [event.body["state"] for event in events]
    written = [(entry.function, entry.address, entry.count) for entry in journal.read(tmp_path / "journal.jsonl")[1] if entry.function == 5]
    assert [(5, 0, 0xFF00), (5, 0, 0)] == written


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ((31, 5, 1, 0xFF00), b"\x05\x00\x01\xff\x00"),
        ((31, 5, 1, 0), b"\x05\x00\x01\x00\x00"),
        ((31, 5, 99, 0xFF00), b"\x85\x01"),
        ((31, 5, 1, 0x5500), b"\x85\x01"),
        ((21, 5, 0, 0xFF00), b"\x85\x01"),
    ],
)
def test_only_a_relay_that_its_product_has_can_be_switched(tmp_path: Path, question: tuple[int, int, int, int], expected: bytes) -> None:
    """The simulated module repeats a good order and refuses any other; a sensor has nothing to switch."""
    unit, function, address, value = question
    with Simulator(STATION, journal=tmp_path / "journal.jsonl", control=tmp_path / "control.sock", speed=1.0) as simulator:
        line = os.open(simulator.ports["com4"].path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(line)
        body = bytes((unit, function)) + address.to_bytes(2, "big") + value.to_bytes(2, "big")
        os.write(line, body + frames.crc(body))
        received, deadline_s = b"", time.monotonic() + 20
        while len(received) < len(expected) + 3 and time.monotonic() < deadline_s:
            received += os.read(line, 64)
        os.close(line)
    assert expected == received[1:-2]
