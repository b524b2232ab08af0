"""A gateway that raises an alarm every so often: `python -m tests.bench.alarm_child CONFIG EACH_S COUNT AFTER_S`.

The whole daemon; an event is put in where a bus would, with the monotonic time of that moment in it.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import uvloop

from edgegw.app import Daemon
from edgegw.config.load import load
from edgegw.model import Event
from edgegw.uplink.keys import load_uplink_keys

KIND = "bench"


async def live(daemon: Daemon, each_s: float, count: int, after_s: float) -> None:
    async def raise_alarms() -> None:
        await asyncio.sleep(after_s)
        for number in range(count):
            await asyncio.sleep(each_s)
            mono_ms = daemon.clock.mono_ms()
            event = Event(KIND, daemon.clock.wall_ms(), mono_ms, daemon.clock.trust, None, {"number": number, "at_ns": time.monotonic_ns()})
            daemon.buffer.accept((), (event,))

    task = asyncio.create_task(raise_alarms())
    await daemon.live()
    task.cancel()


def main() -> None:
    path, each_s, count, after_s = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    config = load(path).config
    assert config is not None
    daemon = Daemon(config, {uplink.name: load_uplink_keys(uplink, config.paths.state_dir) for uplink in config.uplink})
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(live(daemon, each_s, count, after_s))
    finally:
        daemon.buffer.close()


if __name__ == "__main__":
    main()
