"""A device in a process of its own that is stopped in the middle of polling and goes on, and what was polled of it."""

from __future__ import annotations

import asyncio
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bus_rig import FAST, Polled, good, running, serial_bus
from modbus_rig import plan_of, profile_of

from edgegw.bus.statistics import BusStatistics
from edgegw.bus.task import BusTask

DEVICE = """
import sys
from bus_rig import PtyDevice
with PtyDevice() as device:
    print(device.path, flush=True)
    sys.stdin.read()
"""
# Four values whose answers look alike.
ALIKE = "\n".join(f"alarm_word.{n + 1}, address = {1000 * n}; type = 'u32'" for n in range(4))


class Seen(NamedTuple):
    values: int
    old: int
    """Values that were the answer to another request than the last one."""
    silent: list[str]
    """Devices when it had been stopped for that long."""
    statistics: BusStatistics


@contextmanager
def device_process() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that serves a pty, and the path of that."""
    process = subprocess.Popen([sys.executable, "-c", DEVICE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent)
    try:
        readable, _, _ = select.select([process.stdout], [], [], 20)
        assert readable, "the device does not start"
        yield process, process.stdout.readline().strip()
    finally:
        process.send_signal(signal.SIGCONT)
        process.communicate(timeout=20)


async def stop_and_go(stopped_s: float) -> Seen:
    """Polls two units whose answers look alike before, while and after their process is stopped."""
    with device_process() as (process, path):
        polled = Polled()
        old: list[int] = []

        def told(reading):
            polled(reading)
            if not reading.quality and reading.values[0] != task.statistics.total("asked") - 1:
                old.append(reading.values[0])

        bus = serial_bus(path, late_answer_guard_ms=300)
        task = BusTask(bus, [plan_of(profile_of(ALIKE, group=FAST), bus, unit, first=unit * 4) for unit in (1, 2)], polled.clock, told)
        async with running(task):
            await polled.until(lambda: len(good(polled.readings)) > 20)
            process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(stopped_s)
            silent, seen = task.silent_devices, len(good(polled.readings))
            process.send_signal(signal.SIGCONT)
            await polled.until(lambda: len(good(polled.readings)) > seen + 20 and not task.silent_devices)
        return Seen(len(good(polled.readings)), len(old), silent, task.statistics)
