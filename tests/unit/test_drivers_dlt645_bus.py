"""The real bus polls simulated DL/T 645 meters of both editions, beside a Modbus device, on one paced pty."""

from __future__ import annotations

import os
import select
import time
import tty
from contextlib import asynccontextmanager, contextmanager

import pytest
from bus_rig import Polled, SerialServer, good, run, running
from dlt645_rig import frame, reply

from edgegw.bus.task import BusTask, Extras
from edgegw.clock import Clock
from edgegw.config.model import Bus, Device
from edgegw.drivers.catalogue import load_profile
from edgegw.drivers.plan import line_facts
from edgegw.drivers.planning import plan_device
from edgegw.model import Quality
from edgegw.sim.device import SwitchedFault
from edgegw.sim.simulator import Simulator
from edgegw.sim.station import SimBus, SimDevice, Station

THREE, ONE, OLD = "240118000017", "202003000202", "000000063295"
PROFILES = {"M3": ("dlt645.2007-3p", THREE), "M1": ("dlt645.2007-1p-single", ONE), "M97": ("dlt645.1997", OLD)}
# What each kind of point is set to; signs, and digits down to the last one.
SETTINGS = {
    "phase_voltage": 231.0,
    "current": 12.34,
    "active_power": 7.1234,
    "reactive_power": -1.0203,
    "power_factor": 0.998,
    "frequency": 49.98,
    "energy": 123456.78,
    "status_word": 20.0,
    "clock_battery": 1.0,
    "relay_open": 1.0,
}


def setting(point, number):
    """The value of a point; different for each of a kind where its digits allow."""
    kind = point.split(".")[0]
    step = {"phase_voltage": 1, "current": 0.01, "active_power": 0.0001, "energy": 0.01}.get(kind, 0)
    return round(SETTINGS[kind] + number * step, 4)


@contextmanager
def station(tmp_path, codes, *, modbus=False, baudrate=9600):
    devices = [SimDevice(code=code, bus="a", address=PROFILES[code][1], profile=PROFILES[code][0], role="incoming", turnaround_ms=20) for code in codes]
    devices += [SimDevice(code="TH", bus="a", unit=2, profile="xy-md02", role="cabinet")] * modbus
    bus = SimBus(name="a", kind="serial", baudrate=baudrate, parity="E")
    with Simulator(Station(bus=[bus], device=devices), journal=tmp_path / "journal.jsonl", control=tmp_path / "control.sock") as simulator:
        for code in codes:
            for number, point in enumerate(load_profile(PROFILES[code][0]).point):
                if getattr(point, "bit", None) is None:
                    simulator.devices[code].force(point.point, setting(point.point, number))
        yield simulator


@asynccontextmanager
async def polling(simulator, on_introduced=lambda _device, _introduction: None, **settings):
    port = simulator.ports["a"]
    bus = Bus(**{"name": "a", "kind": "serial", "path": port.path, "baudrate": port.baudrate, "parity": port.parity, "answer_timeout_ms": 800, **settings})
    plans = []
    for device in simulator.station.device:
        profile = load_profile(device.profile)
        wanted = Device(code=device.code, bus="a", unit=device.unit, address=device.address, profile=device.profile, period_s=dict.fromkeys(profile.group, 2))
        plans.append(plan_device(wanted, profile, line_facts(bus), 1 + 100 * len(plans)))
    polled = Polled()
    task = BusTask(bus, plans, Clock(), polled, Extras(on_introduced=on_introduced))
    async with running(task):
        yield task, polled, plans


def latest(polled, plan):
    """Source id to the newest reading."""
    return {reading.source.source_id: reading for reading in polled.of(plan.device)}


def newest(polled, group):
    """The newest reading of one group of the one meter; the very first one until there is any."""
    return ([polled.readings[0]] + [reading for reading in polled.readings if reading.source.group == group])[-1]


def values_of(polled, plan):
    readings = latest(polled, plan).values()
    return {point.name: reading.values[k] for reading in readings for k, point in enumerate(reading.source.points)}


def wanted_of(plan, code):
    """Every point as the simulator was told, in units of its last decimal."""
    points = {point.name: point for planned in plan.sources for point in planned.source.points}
    rows = load_profile(PROFILES[code][0]).point
    told = {row.point: setting(row.point, number) for number, row in enumerate(rows) if row.bit is None}
    bits = {row.point: int(told[f"status_word.{1 if row.di in ('04000501', 'C020') else 3}"]) >> row.bit & 1 for row in rows if row.bit is not None}
    return {name: bits[name] if name in bits else round(told[name] * 10 ** points[name].decimals) for name in points}


def test_meters_of_both_editions_beside_modbus(tmp_path):
    """
    Blocks, single items, the edition of 1997 and Modbus share a line; every value is the one that the meter holds, to the last digit.
    """

    async def main():
        with station(tmp_path, ["M3", "M1", "M97"], modbus=True) as simulator:
            told = {}
            async with polling(simulator, lambda device, introduction: told.update({device: introduction.identity})) as (task, polled, plans):
                meters = dict(zip(PROFILES, plans, strict=False))
                await polled.until(lambda: all(wanted_of(plan, code) == values_of(polled, plan) for code, plan in meters.items()) and good(polled.of("TH")))
                for code, plan in meters.items():
                    assert wanted_of(plan, code) == values_of(polled, plan)
                assert [0, 0, 0] == [task.statistics.unit(plan.unit).foreign for plan in meters.values()]
            assert {"M3": THREE, "M1": ONE, "M97": OLD} == {device: identity["serial_number"] for device, identity in told.items() if device in PROFILES}
            assert (0, 0) == (simulator.counts["a"].violations, simulator.counts["a"].bad_requests)

    run(main())


def test_meters_behind_a_serial_server(tmp_path):
    """
    Through a TCP connection that carries the bytes of the line, meters of both editions are read as on the line itself, every value to the last digit.
    """

    async def main():
        with station(tmp_path, ["M3", "M97"]) as simulator:
            async with SerialServer(simulator.ports["a"].path) as server:
                behind = {"kind": "rtu-over-tcp", "path": "", "host": "127.0.0.1", "port": server.port}
                async with polling(simulator, **behind) as (task, polled, plans):
                    meters = dict(zip(("M3", "M97"), plans, strict=True))
                    await polled.until(lambda: all(wanted_of(plan, code) == values_of(polled, plan) for code, plan in meters.items()))
                    for code, plan in meters.items():
                        assert wanted_of(plan, code) == values_of(polled, plan)
                    assert [] == [reading for reading in polled.readings if reading.quality]
                    assert (1, 1) == (server.connections, task.statistics.opened)
            assert (0, 0) == (simulator.counts["a"].bad_requests, simulator.counts["a"].overlaps)

    run(main())


def test_blocks_that_come_in_follow_up_frames(tmp_path):
    """
    Meters that send at most seven bytes of value in a frame are read as well, in both editions; no value is cut.
    """

    async def main():
        with station(tmp_path, ["M3", "M97"]) as simulator:
            for code in ("M3", "M97"):
                simulator.devices[code].force("quirk.part_bytes", 7)
                simulator.devices[code].force("quirk.preamble", 1)
            async with polling(simulator) as (task, polled, plans):
                meters = dict(zip(("M3", "M97"), plans, strict=True))
                await polled.until(lambda: all(wanted_of(plan, code) == values_of(polled, plan) for code, plan in meters.items()))
                for code, plan in meters.items():
                    assert wanted_of(plan, code) == values_of(polled, plan)
                assert sum(task.statistics.unit(plan.unit).asked for plan in plans) > sum(len(plan.sources) for plan in plans) + 6

    run(main())


def test_a_meter_without_blocks_is_read_item_by_item(tmp_path):
    """
    Where blocks are refused with error 02H their values are asked alone; what is refused alone too is refused, the rest good.
    """

    async def main():
        with station(tmp_path, ["M3"]) as simulator:
            simulator.devices["M3"].force("quirk.no_blocks", 1)
            simulator.devices["M3"].force("quirk.refuse", "02010200")
            async with polling(simulator) as (_, polled, [plan]):
                known = wanted_of(plan, "M3") | {"phase_voltage.b": None}
                await polled.until(lambda: known == values_of(polled, plan))
                voltage = latest(polled, plan)[plan.sources[0].source.source_id]
                assert {1: Quality.REFUSED} == dict(voltage.quality)

    run(main())


def test_what_the_meter_has_not_and_what_is_damaged(tmp_path):
    """
    FFH is not fitted, a digit above 9 is bad, and the values beside them are good.
    """

    async def main():
        with station(tmp_path, ["M3"]) as simulator:
            simulator.devices["M3"].force("quirk.absent", "phase_voltage.b energy.import.valley")
            simulator.devices["M3"].force("quirk.damaged", "phase_voltage.c")
            async with polling(simulator) as (_, polled, _plans):
                await polled.until(lambda: polled.readings and {1: Quality.NOT_FITTED, 2: Quality.BAD} == newest(polled, "electrical").quality)
                assert [2310, None, None] == list(newest(polled, "electrical").values)
                await polled.until(lambda: {4: Quality.NOT_FITTED} == newest(polled, "energy").quality)
                assert [None] == [value for value in newest(polled, "energy").values if value is None]

    run(main())


@pytest.mark.parametrize("kind", ["crc", "truncate", "noise", "delay"])
def test_no_wrong_value_on_a_disturbed_line(tmp_path, kind):
    """
    Whatever happens to each seventh answer, what is read is what the meters hold.
    """

    async def main():
        with station(tmp_path, ["M3", "M1"], baudrate=115200) as simulator:
            for code in ("M3", "M1"):
                simulator.devices[code].switch(SwitchedFault(kind, 0.15, delay_ms=260.0))
            async with polling(simulator, answer_timeout_ms=200, late_answer_guard_ms=600) as (_, polled, plans):
                # A delayed answer collides with the next question, so a meter may be silent for a while: few good readings must do.
                await polled.until(lambda: len(good(polled.readings)) >= 10 and any(reading.quality for reading in polled.readings) | (kind == "noise"))
                for plan, code in zip(plans, ("M3", "M1"), strict=True):
                    known = wanted_of(plan, code)
                    wrong = [
                        (point.name, value)
                        for reading in polled.of(code)
                        for point, value in zip(reading.source.points, reading.values, strict=True)
                        if value not in (None, known[point.name])
                    ]
                    assert [] == wrong

    run(main())


def test_a_meter_alone_answers_to_anybody(tmp_path):
    """
    The wildcard address is answered by the one meter of a line, with its own address, for 13H and for a read.
    """
    with station(tmp_path, ["M3"]) as simulator:
        line = os.open(simulator.ports["a"].path, os.O_RDWR | os.O_NOCTTY)
        try:
            tty.setraw(line)
            heard = [ask(line, b"\xfe\xfe" + request) for request in (frame(0x13, "", "AA" * 6), frame(0x11, "00 01 01 02", "AA" * 6))]
        finally:
            os.close(line)
    assert b"\xfe" * 4 + frame(0x93, "17 00 00 18 01 24", THREE) == heard[0]
    assert b"\xfe" * 4 + reply("02010100", "2310", THREE) == heard[1]


def ask(line, request):
    """What comes within the answer's time."""
    os.write(line, request)
    received, until_s = b"", time.monotonic() + 5
    while (left_s := until_s - time.monotonic()) > 0 and not (received and received[-1] == 0x16 and len(received) >= 20):
        if select.select([line], [], [], left_s)[0]:
            received += os.read(line, 256)
    return received
