"""Polling alone over TCP: CPU a poll against a libmodbus loop in C on the same server (P6), and 200 devices at one second.

P6: 50 registers; both poll the same server, in turn, several times, and the medians are compared. The bus decodes all 50 values and makes the
reading; the loop in C throws its registers away. The 200 devices are 200 buses in one process, as the daemon has them.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgegw.bus.schedule import grid_shifts
from edgegw.bus.task import BusTask, Extras
from edgegw.clock import Clock
from edgegw.config.model import Bus, Device
from edgegw.drivers.base import DevicePlan
from edgegw.drivers.plan import line_facts, plan_device
from edgegw.drivers.profile import load_profile
from edgegw.model import Reading
from tests.bench.bench_bus import run
from tests.bench.bench_way import write_profile
from tests.bench.marks import Figure

SOURCE = Path(__file__).with_name("libmodbus_client.c")
ROUNDS, POLLS = 7, 8_000
# The bus polls as fast as it can for this long in each round.
ROUND_S = 1.0
DEVICES, WARM_S, MEASURED_S = 200, 5.0, 20.0
LATENESS_MS_MAX = 100


@contextmanager
def servers(count: int) -> Iterator[list[int]]:
    process = subprocess.Popen((sys.executable, "-m", "tests.bench.modbus_server", str(count)), stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def plan(directory: Path, port: int, number: int, period_s: float) -> tuple[Bus, DevicePlan]:
    bus = Bus(name=f"lan{number}", kind="tcp", host="127.0.0.1", port=port)
    device = Device(code=f"D{number}", bus=bus.name, unit=1, profile=str(directory / "bench.toml"), period_s={"electrical": period_s})
    return bus, plan_device(device, load_profile(device.profile), line_facts(bus), 10 * number)


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as directory:
        write_profile(Path(directory) / "bench.toml")
        yield from against_libmodbus(Path(directory))
        yield from many(Path(directory))


# -- P6


def against_libmodbus(directory: Path) -> Iterator[Figure]:
    client = compiled(directory)
    with servers(1) as (port,):
        ours_us, theirs_us = [], []
        for _ in range(ROUNDS):
            ours_us.append(run(own_us(*plan(directory, port, 1, 0.02))))
            if client:
                theirs_us.append(float(subprocess.run((client, str(port), str(POLLS)), check=True, capture_output=True, text=True).stdout))
    yield Figure("", "TCP, 50 registers, CPU a poll of the bus", statistics.median(ours_us), "us")
    if client:
        yield Figure("", "TCP, 50 registers, CPU a poll of libmodbus in C", statistics.median(theirs_us), "us")
        yield Figure("P6", "the bus against libmodbus", statistics.median(ours_us) / statistics.median(theirs_us), "x")


def compiled(directory: Path) -> str | None:
    """The loop in C; without compiler and libmodbus-dev there is nothing to compare with, and that is said."""
    program = directory / "client"
    compiler = shutil.which("cc")
    if compiler is None or subprocess.run((compiler, "-O2", "-o", program, SOURCE, "-lmodbus"), check=False, stderr=subprocess.DEVNULL).returncode:
        print("libmodbus cannot be compiled here (apt-get install gcc libmodbus-dev): P6 has nothing to be compared with", file=sys.stderr)
        return None
    return str(program)


async def own_us(bus: Bus, planned: DevicePlan) -> float:
    """CPU a poll, as fast as the bus polls: each poll makes the next one due at once."""
    polls = 0
    slots: list[Any] = []

    def count(_: Reading) -> None:
        nonlocal polls
        polls += 1
        for slot in slots:
            slot.due_ms = 0

    task = BusTask(bus, [planned], Clock(), count)
    slots += task._schedule.slots
    running = asyncio.create_task(task.run())
    while polls < 100:  # noqa: ASYNC110 - polls are awaited
        await asyncio.sleep(0.01)
    before, cpu_ns = polls, time.process_time_ns()
    await asyncio.sleep(ROUND_S)
    used_us = (time.process_time_ns() - cpu_ns) / 1000 / (polls - before)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return used_us


# -- 200 devices


def many(directory: Path) -> Iterator[Figure]:
    with servers(DEVICES) as ports:
        late_ms, polls, cpu_s = run(poll_many([plan(directory, port, number, 1.0) for number, port in enumerate(ports, 1)]))
    ordered = sorted(late_ms)
    yield Figure("", f"{DEVICES} TCP devices at 1 s: polls/s", polls / MEASURED_S, "1/s")
    yield Figure("", f"{DEVICES} TCP devices at 1 s: lateness p50", ordered[len(ordered) // 2], "ms")
    yield Figure("", f"{DEVICES} TCP devices at 1 s: lateness p99 (must be < {LATENESS_MS_MAX})", ordered[len(ordered) * 99 // 100], "ms")
    yield Figure("", f"{DEVICES} TCP devices at 1 s: CPU of the buses", 100 * cpu_s / MEASURED_S, "%")


async def poll_many(plans: list[tuple[Bus, DevicePlan]]) -> tuple[list[float], int, float]:
    """How long after its due time each question was asked, polls without a fault, and CPU seconds."""
    clock = Clock()
    readings: list[Reading] = []
    shifts = grid_shifts([(False, 1000)] * len(plans))
    tasks = [BusTask(bus, [planned], clock, readings.append, Extras(shift_ms)) for (bus, planned), shift_ms in zip(plans, shifts, strict=True)]
    running = [asyncio.create_task(task.run()) for task in tasks]
    await asyncio.sleep(WARM_S)
    readings.clear()
    for task in tasks:
        task.statistics.lateness_ms.clear()
    cpu_s = time.process_time()
    await asyncio.sleep(MEASURED_S)
    cpu_s = time.process_time() - cpu_s
    late_ms = [float(late) for task in tasks for late in task.statistics.lateness_ms]
    found = [reading for reading in readings if not reading.quality]
    for one in running:
        one.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert len({reading.source.device for reading in found}) == len(plans), "a device was never read"
    return late_ms, len(found), cpu_s
