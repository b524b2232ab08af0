"""A serial line at 9600 with ten devices of 20 registers: share of the legal limit, single points, and one dead device (P1, P2, P3).

The line is a process of its own that paces every byte and counts what its master does wrong, from the last byte that it sent. The legal limit is
8 + 3.5 + 45 + 3.5 characters a poll: 16.0 polls/s. For P2 each register is a point of its own, in no order, of five types. For P3 all devices
are due all the time; the share of the others is that of their polls from 10 s after the failure on.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvloop

from edgegw.bus.task import BusTask
from edgegw.bus.trace import Trace
from edgegw.clock import Clock
from edgegw.config.model import Bus, Device
from edgegw.drivers.catalogue import load_profile
from edgegw.drivers.plan import line_facts
from edgegw.drivers.planning import plan_device
from edgegw.model import Reading
from tests.bench.marks import Figure
from tests.bench.serial_server import UNITS

BAUDRATE, REGISTERS = 9600, 20
LIMIT_POLLS_S = BAUDRATE / 10 / 60
WARM_S, MEASURED_S = 2.0, 30.0
DEAD = 5
# The marks count from here after the failure, and to here after the return.
SETTLED_S, BACK_S_MAX = 10.0, 30.0
HEAD = '[profile]\nname = "bench"\nmaker = "none"\ntitle = "Bench"\ntitle_zh = "测试"\nclass = "meter"\nprotocol = "modbus"\nsource = "bench"\n[group.g]\nperiod_s = 1\n'
ROW = '[[point]]\npoint = "{}"\ngroup = "g"\naddress = {}\ntype = "{}"\n{}\n'
TYPES = (
    ("string.{}.current", "u16", 'scale = "0.01"'),
    ("string.{}.current", "i16", 'scale = "0.1"'),
    ("alarm_word.{}", "bits", "mask = 255"),
    ("alarm_word.{}", "u16", ""),
    ("input.{}", "bit", "bit = 3"),
)


def block_profile() -> str:
    """Twenty registers of one type, in their order."""
    return HEAD + "".join(ROW.format(f"string.{address + 1}.current", address, "u16", 'scale = "0.01"') for address in range(REGISTERS))


def mixed_profile() -> str:
    """Twenty registers, each a point of its own, five types in turn, in no order."""
    rows = []
    for address in range(REGISTERS):
        name, kind, rest = TYPES[address % len(TYPES)]
        rows.append(ROW.format(name.format(address + 1), address, kind, rest))
    random.Random(1).shuffle(rows)
    return HEAD + "".join(rows)


class Line:
    """The serial server as a process."""

    def __init__(self, profile: Path) -> None:
        command = (sys.executable, "-m", "tests.bench.serial_server", str(profile), str(BAUDRATE))
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.path: str = self._answer()

    def tell(self, command: str) -> dict[str, int]:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        found: dict[str, int] = self._answer()
        return found

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


@contextmanager
def polled(profile_text: str, period_s: float, on_reading: Callable[[Reading], None]) -> Iterator[tuple[Line, Callable[[], BusTask]]]:
    """The line, and what makes the bus task that polls it; to be called in the loop."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "bench.toml"
        path.write_text(profile_text, encoding="utf-8")
        line = Line(path)
        bus = Bus(name="line", kind="serial", path=line.path, baudrate=BAUDRATE)
        profile = load_profile(str(path))
        devices = [Device(code=f"D{unit}", bus="line", unit=unit, profile=str(path), period_s={"g": period_s}) for unit in range(1, UNITS + 1)]
        plans = [plan_device(device, profile, line_facts(bus), 100 * device.unit) for device in devices]
        try:
            yield line, lambda: BusTask(bus, plans, Clock(), on_reading)
        finally:
            line.close()


async def during(task: BusTask, body: Coroutine[Any, Any, Any]) -> Any:
    running = asyncio.create_task(task.run())
    try:
        return await body
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def run(main: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


class Good:
    """Counts polls and values without a fault."""

    def __init__(self) -> None:
        self.values = 0
        self.polls: dict[str, int] = {}

    def __call__(self, reading: Reading) -> None:
        if not reading.quality:
            self.values += len(reading.values)
            self.polls[reading.source.device] = self.polls.get(reading.source.device, 0) + 1

    def of_others(self) -> int:
        return sum(count for device, count in self.polls.items() if device != f"D{DEAD}")


def flat_out(profile_text: str) -> tuple[float, float, dict[str, int], float]:
    """Answers and values a second, what the line saw meanwhile, and CPU seconds."""
    good = Good()
    with polled(profile_text, 0.05, good) as (line, make):

        async def main() -> tuple[float, float, float]:
            task = make()

            async def body() -> tuple[float, float, float]:
                await asyncio.sleep(WARM_S)
                answered, values, from_s, cpu_s = task.statistics.total("answered"), good.values, time.monotonic(), time.process_time()
                await asyncio.sleep(MEASURED_S)
                took_s = time.monotonic() - from_s
                return (task.statistics.total("answered") - answered) / took_s, (good.values - values) / took_s, time.process_time() - cpu_s

            found: tuple[float, float, float] = await during(task, body())
            return found

        polls_s, values_s, cpu_s = run(main())
        return polls_s, values_s, line.tell("counts"), cpu_s


def wrong(counts: dict[str, int]) -> int:
    return counts["violations"] + counts["overlaps"] + counts["bad_requests"] + counts["foreign"]


def measure() -> Iterator[Figure]:
    polls_s, _, counts, cpu_s = flat_out(block_profile())
    yield Figure("P1" if not wrong(counts) else "", "9600, 10 x 20 registers: share of 16.0 polls/s, no violation", polls_s / LIMIT_POLLS_S)
    yield Figure("", "violations of the silence, collisions, bad requests", wrong(counts))
    yield Figure("", f"CPU of the bus, {polls_s:.1f} polls/s", 100 * cpu_s / MEASURED_S, "%")
    _, values_s, counts, _ = flat_out(mixed_profile())
    yield Figure("P2" if not wrong(counts) else "", "the same, single points of five types in no order", values_s, "points/s")
    yield Figure("", "violations of the silence, collisions, bad requests", wrong(counts))
    yield from one_dead("flat out", 0.05, "P3")
    yield from one_dead("each device once a second", 1.0, "")
    yield Figure("", "trace: cost of a frame", trace_us(), "us")


def one_dead(title: str, period_s: float, mark: str) -> Iterator[Figure]:
    good = Good()
    with polled(block_profile(), period_s, good) as (line, make):

        async def rate() -> float:
            before, from_s = good.of_others(), time.monotonic()
            await asyncio.sleep(MEASURED_S)
            return (good.of_others() - before) / (time.monotonic() - from_s)

        async def back_s(task: BusTask) -> float:
            before, from_s = good.polls[f"D{DEAD}"], time.monotonic()
            line.tell(f"speak {DEAD}")
            while good.polls[f"D{DEAD}"] == before and time.monotonic() - from_s < BACK_S_MAX:  # noqa: ASYNC110 - a reading is awaited
                await asyncio.sleep(0.01)
            return time.monotonic() - from_s

        async def body(task: BusTask) -> tuple[float, float, float]:
            await asyncio.sleep(WARM_S)
            healthy = await rate()
            line.tell(f"silence {DEAD}")
            await asyncio.sleep(SETTLED_S)
            return healthy, await rate(), await back_s(task)

        async def main() -> tuple[float, float, float]:
            task = make()
            found: tuple[float, float, float] = await during(task, body(task))
            return found

        healthy, dead, returned_s = run(main())
        counts = line.tell("counts")
        yield Figure(mark, f"one of ten dead, {title}: rate of the others, dead over healthy", dead / healthy)
        yield Figure("", f"one of ten dead, {title}: back after (must be <= 10)", returned_s, "s")
        yield Figure("", "violations of the silence, collisions, bad requests", wrong(counts))


def trace_us() -> float:
    """Best of five: what else runs only makes it slower."""
    trace, data, rounds = Trace(), bytes(45), 50_000
    best_ns = float("inf")
    for _ in range(5):
        start_ns = time.perf_counter_ns()
        for number in range(rounds):
            trace.heard(number, "answer", data)
        best_ns = min(best_ns, (time.perf_counter_ns() - start_ns) / rounds)
    return best_ns / 1000
