"""Polling alone over TCP: CPU a poll against a libmodbus loop in C on the same servers (P6), and 200 devices at one second.

P6: 20 devices of 50 registers, a connection each, asked as fast as that goes: the buses by one loop as in the daemon, which asks all at once,
libmodbus in turn, as it must. The bus decodes all 50 values and makes the reading; the loop in C throws its registers away. The floor is what Python
cannot go below here: a protocol that sends the same bytes again for each answer and looks at nothing. CPU is that of the client alone, user and
system; all three run several times in changing order, and the ratio is the median of the rounds'. Who asks in turn sleeps once for each answer, and
what that costs is the machine's affair: much where a core has nothing else to do and is put to rest, little where it is kept awake. So the same is
measured once more with spinning processes of the lowest priority on every core. With one device there is nothing to share: each poll pays for a waking
of its own. The 200 devices are 200 buses in one process.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgegw.bus.schedule import Slot, grid_shifts
from edgegw.bus.task import BusTask, Extras
from edgegw.clock import Clock
from edgegw.config.model import Bus, Device
from edgegw.drivers.base import DevicePlan
from edgegw.drivers.catalogue import load_profile
from edgegw.drivers.plan import line_facts
from edgegw.drivers.planning import plan_device
from edgegw.model import Reading
from tests.bench.bench_bus import run
from tests.bench.bench_way import write_profile
from tests.bench.marks import Figure

CLIENT_C = Path(__file__).with_name("libmodbus_client.c")
# Devices, and whether the cores are kept awake: the work of P4, which is P6's, and its other extremes.
P6_CASES = ((20, False), (20, True), (1, False))
ROUNDS, POLLS, WARM_POLLS = 9, 30_000, 2_000
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
    for devices, is_awake in P6_CASES:
        with servers(devices) as ports, spinning(os.cpu_count() or 1 if is_awake else 0):
            plans = [plan(directory, port, number, 1.0) for number, port in enumerate(ports, 1)]
            ways: dict[str, Callable[[], float]] = {"the bus": lambda plans=plans: run(own_us(plans)), "the floor": lambda ports=ports: run(floor_us(ports))}
            if client:
                ways["libmodbus in C"] = lambda ports=ports: theirs_us(client, ports)
            rounds = [alternated(ways, number) for number in range(ROUNDS)]
        what = ("one device" if devices == 1 else f"{devices} devices") + (", cores awake" if is_awake else "")
        for way in ways:
            yield Figure("", f"{what} x 50 registers over TCP, CPU a poll of {way}", statistics.median(found[way] for found in rounds), "us")
        for way in [way for way in ways if client and way != "libmodbus in C"]:
            ratio = statistics.median(found[way] / found["libmodbus in C"] for found in rounds)
            is_mark = (way, devices, is_awake) == ("the bus", *P6_CASES[0])
            yield Figure("P6" if is_mark else "", f"{what}: {way} against libmodbus", ratio, "x")


@contextmanager
def spinning(count: int) -> Iterator[None]:
    """So many processes that use what nobody else wants."""
    idle = "import os\nos.nice(19)\nwhile True: pass"
    processes = [subprocess.Popen((sys.executable, "-c", idle)) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def alternated(ways: dict[str, Callable[[], float]], number: int) -> dict[str, float]:
    """Each once, beginning with another one each time."""
    names = [*ways]
    first = number % len(names)
    return {name: ways[name]() for name in names[first:] + names[:first]}


def theirs_us(client: str, ports: list[int]) -> float:
    return float(subprocess.run((client, str(POLLS), *map(str, ports)), check=True, capture_output=True, text=True).stdout)


async def spent_us(polls: Callable[[], int]) -> float:
    """CPU a poll of this process, in microseconds, from some polls on."""
    while polls() < WARM_POLLS:  # noqa: ASYNC110 - polls are awaited
        await asyncio.sleep(0.002)
    before, cpu_ns = polls(), time.process_time_ns()
    while polls() < before + POLLS:  # noqa: ASYNC110 - polls are awaited
        await asyncio.sleep(0.02)
    return (time.process_time_ns() - cpu_ns) / 1000 / (polls() - before)


class Floor(asyncio.Protocol):
    """Asks again as soon as bytes come."""

    REQUEST = bytes.fromhex("000100000006 01 03 0000 0032")

    def __init__(self) -> None:
        self.polls = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert hasattr(transport, "write")
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._write = transport.write
        self._write(self.REQUEST)

    def data_received(self, _: bytes) -> None:
        self.polls += 1
        self._write(self.REQUEST)


async def floor_us(ports: list[int]) -> float:
    loop = asyncio.get_running_loop()
    pairs = [await loop.create_connection(Floor, "127.0.0.1", port) for port in ports]
    used_us = await spent_us(lambda: sum(protocol.polls for _, protocol in pairs))
    for transport, _ in pairs:
        transport.abort()
    return used_us


def compiled(directory: Path) -> str | None:
    """The loop in C; without compiler and libmodbus-dev there is nothing to compare with, and that is said."""
    program = directory / "client"
    compiler = shutil.which("cc")
    if compiler is None or subprocess.run((compiler, "-O2", "-o", program, CLIENT_C, "-lmodbus"), check=False, stderr=subprocess.DEVNULL).returncode:
        print("libmodbus cannot be compiled here (apt-get install gcc libmodbus-dev): P6 has nothing to be compared with", file=sys.stderr)
        return None
    return str(program)


async def own_us(plans: list[tuple[Bus, DevicePlan]]) -> float:
    """Each poll makes the next one of its device due at once."""
    polls = 0
    slots: dict[int, Slot] = {}

    def again(reading: Reading) -> None:
        nonlocal polls
        assert not reading.quality, reading
        polls += 1
        slots[reading.source.source_id].due_ms = reading.mono_ms

    clock = Clock()
    tasks = [BusTask(bus, [planned], clock, again) for bus, planned in plans]
    slots |= {slot.planned.source.source_id: slot for task in tasks for slot in task._schedule.slots}
    running = [asyncio.create_task(task.run()) for task in tasks]
    used_us = await spent_us(lambda: polls)
    for one in running:
        one.cancel()
    await asyncio.gather(*running, return_exceptions=True)
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
