"""Truth in the running daemon: a real device on a real socket whose register falls, which is exchanged, and whose contact opens."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest
from bus_rig import TcpDevice, tcp_answer

from edgegw import app, wiring
from edgegw.config.model import Bus, Computed, Config, Contact, Device, Gateway, Paths
from edgegw.truth.judge import Judge
from tests.uplink_rig import until

PROFILE = """\
[profile]
name = "bench"
maker = "none"
title = "A meter with inputs"
title_zh = "电表"
class = "meter"
protocol = "modbus"
source = "this test"
[identity]
serial_number = { address = 100, type = "u32" }
[group.all]
period_s = 0.1
[[point]]
point = "energy.import"
group = "all"
address = 0
type = "u32"
scale = "0.01"
[[point]]
point = "energy.export"
group = "all"
address = 2
type = "u32"
scale = "0.01"
[[point]]
point = "input.4"
group = "all"
address = 4
"""


class Meter:
    """Registers that a test sets."""

    def __init__(self) -> None:
        self.registers = dict.fromkeys(range(200), 0)
        self.serial(17)
        self.energy(50_000)
        self.registers[4] = 1

    def serial(self, number: int) -> None:
        self.registers[100], self.registers[101] = divmod(number, 1 << 16)

    def energy(self, value: int) -> None:
        self.registers[0], self.registers[1] = divmod(value, 1 << 16)

    def answer(self, number: int, unit: int, function: int, address: int, count: int) -> list[tuple[float, bytes]]:
        data = b"".join(self.registers[address + n].to_bytes(2, "big") for n in range(count))
        return [(0, tcp_answer(number, unit, function, data))]


class Station:
    """The daemon and its one device."""

    def __init__(self, tmp_path, meter: Meter, serial_number: str = "", period_s: float = 0.1) -> None:
        self.directory = tmp_path
        self.period_s = period_s
        self.meter = meter
        self.serial_number = serial_number
        (tmp_path / "bench.toml").write_text(PROFILE, encoding="utf-8")

    def config(self, port: int) -> Config:
        contact = {"4": Contact(contact="nc", name="烟感")}
        return Config(
            gateway=Gateway(operator="op", station="st", gateway="gw"),
            paths=Paths(state_dir=str(self.directory / "state"), control_socket=str(self.directory / "control.sock")),
            bus=[Bus(name="eth", kind="tcp", host="127.0.0.1", port=port)],
            device=[
                Device(code="m-01", bus="eth", unit=1, profile=str(self.directory / "bench.toml"), rated_kw=7, input=contact, serial_number=self.serial_number)
            ],
            computed=[Computed(code="SUM", point="energy.import", operation="sum", inputs=["m-01.energy.import", "m-01.energy.export"], period_s=0.1)],
        )

    def run(self, story: Callable[[app.Daemon, Station], object]) -> None:
        """Lives until the story is told; the story is a coroutine function."""

        async def body() -> None:
            async with TcpDevice(self.meter.answer) as server:
                daemon = app.Daemon(self.config(server.port), {})
                living = asyncio.create_task(daemon.live())
                try:
                    await until(lambda: self.number(daemon, "energy.import") is not None)
                    await story(daemon, self)
                finally:
                    daemon._supervisor.stop_requested.set()
                    await living
                    daemon.buffer.close()

        asyncio.run(body())

    def value(self, daemon: app.Daemon, point: str, device: str = "m-01"):
        return next(value for value in daemon.latest.values(device, daemon.clock.mono_ms()) if value.point.name == point)

    def number(self, daemon: app.Daemon, point: str, device: str = "m-01"):
        return self.value(daemon, point, device).number

    def states(self) -> dict[str, bytes]:
        with closing(sqlite3.connect(self.directory / "state" / "edgegw.db")) as store:
            return dict(store.execute("SELECT key, value FROM state"))


def test_a_register_that_falls_is_asked_again_and_accepted(tmp_path):
    """
    The reset is told within the time of three polls, the computed point follows it, and nothing of the values was changed.
    """

    async def story(daemon: app.Daemon, station: Station) -> None:
        told: list[str] = []
        accept = daemon.buffer.accept
        daemon.buffer.accept = lambda readings, events=(), states=None: (
            told.extend(e.body.get("what", e.kind) for e in events),
            accept(readings, events, states or {}),
        )[1]
        await until(lambda: station.number(daemon, "energy.import", "SUM") == 500.0)
        station.meter.energy(0)
        await until(lambda: "reset" in told)
        await until(lambda: station.value(daemon, "energy.import").quality == "good")
        assert 0.0 == station.number(daemon, "energy.import")
        await until(lambda: station.number(daemon, "energy.import", "SUM") == 0.0)

    Station(tmp_path, Meter()).run(story)


def test_a_register_that_is_read_seldom_is_decided_soon(tmp_path):
    """
    With a period of ten minutes two more reads follow the doubtful one within seconds.
    """

    async def story(daemon: app.Daemon, station: Station) -> None:
        station.meter.energy(0)
        await daemon._buses[0].ask_now("m-01")
        assert "suspect" == station.value(daemon, "energy.import").quality
        await until(lambda: station.value(daemon, "energy.import").quality == "good")
        assert 0.0 == station.number(daemon, "energy.import")

    Station(tmp_path, Meter(), period_s=600).run(story)


def test_a_contact_that_is_normally_closed_is_shown_as_the_alarm_that_it_is(tmp_path):
    """
    1 on the wire is 0 on the screen.
    """

    async def story(daemon: app.Daemon, station: Station) -> None:
        assert 0 == station.number(daemon, "input.4")
        station.meter.registers[4] = 0
        await until(lambda: station.number(daemon, "input.4") == 1)
        assert "good" == station.value(daemon, "input.4").quality

    Station(tmp_path, Meter()).run(story)


def test_the_wrong_meter_is_an_alarm_over_a_restart(tmp_path):
    """
    A meter with another serial number than the configured one is an open alarm, its values suspect, and a restart neither raises it again nor forgets it.
    """
    meter = Meter()
    numbers = []

    async def wrong(daemon: app.Daemon, station: Station) -> None:
        await until(lambda: [alarm.rule for alarm in daemon.engine.open_alarms()] == ["wrong device"])
        await until(lambda: station.value(daemon, "energy.import").quality == "suspect")
        numbers.append(daemon.engine.open_alarms()[0].number)
        assert 500.0 == station.number(daemon, "energy.import")

    async def right(daemon: app.Daemon, _station: Station) -> None:
        await until(lambda: not daemon.engine.open_alarms())

    Station(tmp_path, meter, "23").run(wrong)
    Station(tmp_path, meter, "23").run(wrong)
    assert 1 == len(set(numbers))
    meter.serial(23)
    Station(tmp_path, meter, "23").run(right)


def test_a_meter_that_was_exchanged_while_the_gateway_was_off_is_recognised(tmp_path):
    """
    Its serial number tells; the low register of the new one is no fall.
    """
    meter = Meter()

    async def first(daemon: app.Daemon, _station: Station) -> None:
        await until(lambda: daemon._judging.judge.note("m-01").get("serial_number") == "17")

    async def second(daemon: app.Daemon, station: Station) -> None:
        await until(lambda: daemon._judging.judge.note("m-01").get("serial_number") == "18")
        await until(lambda: station.number(daemon, "energy.import") == 0.07)
        assert "good" == station.value(daemon, "energy.import").quality

    Station(tmp_path, meter).run(first)
    meter.serial(18)
    meter.energy(7)
    station = Station(tmp_path, meter)
    station.run(second)
    assert "18" == json.loads(station.states()["truth/identity/m-01"])["serial_number"]


def broken(*_: object) -> None:
    raise TypeError("a mistake of ours")


def test_a_fault_in_truth_costs_no_reading(tmp_path, monkeypatch, caplog):
    """
    What could not be judged is stored and shown as it came, and nothing of it is good.
    """
    monkeypatch.setattr(Judge, "judge", broken)

    async def story(daemon: app.Daemon, station: Station) -> None:
        await until(lambda: daemon.buffer.status().tail_readings >= 5)
        assert {"suspect"} == {value.quality for value in daemon.latest.values("m-01", daemon.clock.mono_ms())}
        assert 500.0 == station.number(daemon, "energy.import")

    Station(tmp_path, Meter()).run(story)
    assert "a mistake of ours" in caplog.text


@pytest.mark.parametrize(
    ("lines", "width"),
    [
        ('type = "u32"\nscale = "0.01"', (1 << 32, 1)),
        ('type = "u32"', (100 << 32, 100)),
        ('type = "i32"\nscale = "0.1"', (10 << 31, 10)),
        ('type = "bcd32"\nscale = "0.01"', (10**8, 1)),
        ('type = "f32"', (None, 1)),
        ('type = "u32"\nexponent = 4', (None, 1)),
    ],
)
def test_the_profile_says_where_a_register_ends(tmp_path, lines, width):
    """
    In scaled integers of hundredths; a float ends nowhere, and neither does what is scaled by another register.
    """
    station = Station(tmp_path, Meter())
    text = PROFILE.replace('address = 0\ntype = "u32"\nscale = "0.01"', f"address = 0\n{lines}")
    (tmp_path / "bench.toml").write_text(text, encoding="utf-8")
    assert width == tuple(wiring.registers_of(station.config(1))["m-01", "energy.import"])
