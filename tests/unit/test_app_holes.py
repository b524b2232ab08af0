"""What a bus has learnt about its devices outlives the daemon's process."""

from __future__ import annotations

import asyncio

from bus_rig import TcpDevice, tcp_answer

from edgegw import app
from edgegw.config.model import Bus, Config, Device, Gateway, Paths
from tests.uplink_rig import until


def test_a_hole_is_known_at_the_next_start(tmp_path):
    """A sensor without its second register: found in the first run and shown as refused; the second run never asks for it."""
    asked: list[tuple[int, int]] = []
    paths = Paths(state_dir=str(tmp_path / "state"), control_socket=str(tmp_path / "control.sock"))

    def behave(number, unit, function, address, count):
        asked.append((address, count))
        if address + count > 2:
            return [(0, number.to_bytes(2, "big") + bytes((0, 0, 0, 3, unit, function | 0x80, 2)))]
        return [(0, tcp_answer(number, unit, function, bytes((0, 230) * count)))]

    async def start() -> None:
        async with TcpDevice(behave) as server:
            config = Config(
                gateway=Gateway(operator="op", station="st", gateway="gw"),
                paths=paths,
                bus=[Bus(name="eth", kind="tcp", host="127.0.0.1", port=server.port)],
                device=[Device(code="th-01", bus="eth", unit=1, profile="xy-md02", period_s={"climate": 0.05})],
            )
            daemon = app.Daemon(config, {})
            living = asyncio.create_task(daemon.live())
            await until(lambda: daemon.buffer.status().tail_readings >= 5)
            assert ["good", "refused"] == [value.quality for value in daemon.latest.values("th-01", daemon.clock.mono_ms())]
            assert {"th-01": ["humidity"]} == daemon._buses[0].refused_points
            daemon._supervisor.stop_requested.set()
            await living
            daemon.buffer.close()

    asyncio.run(start())
    assert [(1, 2), (1, 1), (2, 1)] == asked[:3]
    asked.clear()
    asyncio.run(start())
    assert {(1, 1)} == set(asked)
