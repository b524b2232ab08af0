"""Truth: time for a value with nothing to judge, of a meter, of a pile, of inputs, and for rules on the same readings beside it.

40 devices with 50 points each that nothing judges; 20 three-phase meters, piles and modules as a station has them. The median round counts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence

from edgegw.config.model import Config, Contact, Device, Gateway
from edgegw.model import ClockTrust, Point, Reading, Source
from edgegw.rules.engine import Engine
from edgegw.truth.judge import Judge
from edgegw.wiring import Judging
from tests.bench.marks import Figure

DEVICES, POINTS, ROUNDS = 40, 50, 60
WALL_MS = 1_800_000_000_000
PHASES = [Point(f"{name}.{x}", 3, "", "measure") for x in "abc" for name in ("phase_voltage", "current", "active_power", "power_factor")]
ELECTRICAL = (*PHASES, Point("active_power", 3, "kW", "measure"), Point("power_factor", 3, "1", "measure"))
ENERGY = tuple(Point(f"energy.{name}", 2, "kWh", "counter") for name in ("import", "import.sharp", "import.peak", "import.flat", "import.valley", "export"))
GUNS = tuple(Point(f"gun{n}.state", 0, "1", "state") for n in (1, 2))
INPUTS = tuple(Point(f"input.{n}", 0, "1", "flag") for n in range(1, 9))
PLAIN = tuple(Point(f"string.{n}.voltage", 1, "V", "measure") for n in range(1, POINTS + 1))
# 230 V x 10 A x 1.0 = 2.3 kW in each phase.
ELECTRICAL_VALUES = (*(230_000, 10_000, 2_300, 1_000) * 3, 6_900, 1_000)


def measure() -> Iterator[Figure]:
    """Microseconds a value of each kind of source, and what the whole step between bus and store costs without truth and with it."""
    for name, points, values in (
        ("nothing to judge", PLAIN, (3000,) * POINTS),
        ("three-phase meter, electrical", ELECTRICAL, ELECTRICAL_VALUES),
        ("meter, registers", ENERGY, (50_000,) * len(ENERGY)),
        ("pile, two connectors", GUNS, (1, 3)),
        ("eight safety inputs", INPUTS, (0,) * 8),
    ):
        sources = [Source(number, f"d-{number:02}", "all", 1000, points, "meter") for number in range(DEVICES)]
        bare, judged = _measure(sources, values)
        yield Figure("", f"rules alone: {name}", bare, "us/value")
        yield Figure("", f"truth and rules: {name}", judged, "us/value")


def _measure(sources: Sequence[Source], values: Sequence[int]) -> tuple[float, float]:
    contacts = {str(n): Contact(fail_safe=True, debounce_ms=100) for n in range(1, 9)}
    devices = [Device(code=source.device, bus="b", unit=1, profile="none", rated_kw=100, input=contacts) for source in sources]
    config = Config(gateway=Gateway(operator="o", station="s", gateway="g"), device=devices)
    engine = Engine([], devices, sources, 1, {})
    judging = Judging(Judge(config, sources, [], {}, {}), engine)
    both: list[Callable[[Reading], object]] = [engine.evaluate, judging.take]
    times: list[list[float]] = [[], []]
    for second in range(1, ROUNDS + 1):
        readings = [
            Reading(source, WALL_MS + 1000 * second, 1000 * second + number, ClockTrust.SYNCHRONISED, tuple(values)) for number, source in enumerate(sources)
        ]
        for step, taken in zip(both, times, strict=True):
            start_ns = time.perf_counter_ns()
            for reading in readings:
                step(reading)
            taken.append((time.perf_counter_ns() - start_ns) / 1000 / len(sources) / len(values))
    return statistics.median(times[0]), statistics.median(times[1])
