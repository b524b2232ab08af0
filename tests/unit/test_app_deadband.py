"""A deadband in the running daemon: a real device on a real socket, readings that say nothing new, and an alarm inside the band."""

from __future__ import annotations

import asyncio

import msgspec
from bus_rig import TcpDevice, tcp_answer

from edgegw import app
from edgegw.config.model import Bus, Config, Deadband, Device, Gateway, Paths, Rule
from tests.uplink_rig import until

PROFILE = """\
[profile]
name = "bench"
maker = "none"
title = "A thermometer"
title_zh = "温度计"
class = "sensor"
protocol = "modbus"
source = "this test"
[group.all]
period_s = 0.1
[[point]]
point = "temperature"
group = "all"
address = 0
scale = "0.1"
"""


class Thermometer:
    """One register that a test sets."""

    def __init__(self) -> None:
        self.tenths = 200
        self.asked = 0

    def answer(self, number: int, unit: int, function: int, address: int, count: int) -> list[tuple[float, bytes]]:
        self.asked += 1
        return [(0, tcp_answer(number, unit, function, b"".join(self.tenths.to_bytes(2, "big") for _ in range(count))))]


def config(directory, port: int) -> Config:
    (directory / "bench.toml").write_text(PROFILE, encoding="utf-8")
    return Config(
        gateway=Gateway(operator="op", station="st", gateway="gw"),
        paths=Paths(state_dir=str(directory / "state"), control_socket=str(directory / "control.sock")),
        bus=[Bus(name="eth", kind="tcp", host="127.0.0.1", port=port)],
        device=[Device(code="T-01", bus="eth", unit=1, profile=str(directory / "bench.toml"))],
        rule=[Rule(name="warm", condition="high", point="temperature", limit=22.0, text="warm")],
        deadband=[Deadband(point="temperature", absolute=5.0, heartbeat_s=3600)],
    )


def test_what_says_nothing_new_is_shown_and_judged_but_not_stored(tmp_path):
    """
    Of dozens of equal readings one is stored; a value inside the band that is beyond a limit is an alarm at once, and is stored with it; screens show every value.
    """
    stored: list[tuple[float, int]] = []
    thermometer = Thermometer()

    async def body() -> None:
        async with TcpDevice(thermometer.answer) as server:
            daemon = app.Daemon(config(tmp_path, server.port), {})
            accept = daemon.buffer.accept

            def noted(readings, events=(), states=msgspec.UNSET):
                stored.extend((one.values[0], len([event for event in events if event.kind == "alarm"])) for one in readings if one.source.device == "T-01")
                return accept(readings, events, {} if states is msgspec.UNSET else states)

            daemon.buffer.accept = noted
            living = asyncio.create_task(daemon.live())
            try:
                await until(lambda: thermometer.asked >= 20)
                before = list(stored)
                thermometer.tenths = 230
                await until(lambda: any(alarm.rule == "warm" for alarm in daemon.engine.open_alarms()))
                thermometer.tenths = 240
                await until(lambda: shown(daemon) == 24.0)
            finally:
                daemon._supervisor.stop_requested.set()
                await living
                daemon.buffer.close()
            assert [200] == [value for value, _ in before]

    asyncio.run(body())
    assert [(200, 0), (230, 1)] == stored


def shown(daemon: app.Daemon) -> float | None:
    values = daemon.latest.values("T-01", daemon.clock.mono_ms())
    return next((value.number for value in values if value.point.name == "temperature"), None)
