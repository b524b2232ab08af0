"""A mistake of ours in the rules costs neither readings nor polling."""

from __future__ import annotations

import asyncio

from bus_rig import TcpDevice, tcp_answer

from edgegw import app
from edgegw.config.model import Bus, Config, Device, Gateway, Paths
from edgegw.rules.engine import Engine
from tests.uplink_rig import until


def answer(number, unit, function, _address, count):
    return [(0, tcp_answer(number, unit, function, bytes(2 * count)))]


def broken(*_: object) -> None:
    raise TypeError("a mistake of ours")


def test_a_fault_in_a_rule_costs_no_reading(tmp_path, monkeypatch, caplog):
    """
    Every answer is stored and shown, the bus goes on over the same connection, and the fault is in the log.
    """
    monkeypatch.setattr(Engine, "evaluate", broken)
    paths = Paths(state_dir=str(tmp_path / "state"), control_socket=str(tmp_path / "control.sock"))

    async def body() -> None:
        async with TcpDevice(answer) as server:
            config = Config(
                gateway=Gateway(operator="op", station="st", gateway="gw"),
                paths=paths,
                bus=[Bus(name="eth", kind="tcp", host="127.0.0.1", port=server.port)],
                device=[Device(code="th-01", bus="eth", unit=1, profile="xy-md02", period_s={"climate": 0.05})],
            )
            daemon = app.Daemon(config, {})
            living = asyncio.create_task(daemon.live())
            await until(lambda: daemon.buffer.status().tail_readings >= 5)
            assert ["good", "good"] == [value.quality for value in daemon.latest.values("th-01", daemon.clock.mono_ms())]
            assert 1 == server.connections
            daemon._supervisor.stop_requested.set()
            await living
            daemon.buffer.close()

    asyncio.run(body())
    assert "a mistake of ours" in caplog.text
