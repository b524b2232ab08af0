"""Rules: time for a value with 500 rules on 2,000 points, on a quiet day, with every alarm open, and in a storm.

40 devices with 50 points each; each rule judges one point of four devices, so that every value has one rule. In the storm every value
jumps over one of its limits and back from poll to poll; the rest of the gateway is not part of it.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator

from edgegw.config.model import Device, Rule
from edgegw.model import ClockTrust, Point, Reading, Source
from edgegw.rules.engine import Engine
from tests.bench.marks import Figure

DEVICES, POINTS, RULES = 40, 50, 500
WALL_MS = 1_800_000_000_000
# A round is one poll of every device, a second apart; the median round counts.
ROUNDS = 60
# What the points with a high limit (800 V) and those with a low one (100 V, deadband 5 V) may read, in tenths of a volt.
DAYS = {
    "quiet": ((1500, 3000, 7000), (1500, 3000, 7000)),
    "all active": ((8500, 8600), (900, 950)),
    "storm": ((8500, 5000), (900, 5000)),
}


def measure() -> Iterator[Figure]:
    """Microseconds a value, of each kind of day."""
    for day, values in DAYS.items():
        yield Figure("", f"rules, {RULES} on {DEVICES * POINTS} points, {day}", _measure_us(values), "us/value")


def _measure_us(choices: tuple[tuple[int, ...], ...]) -> float:
    drawn = random.Random(1)
    sources = [_source(number) for number in range(DEVICES)]
    engine = Engine(
        _rules(),
        [Device(code=source.device, bus=f"bus{number // 10}", unit=1 + number % 10, profile="any") for number, source in enumerate(sources)],
        sources,
        1,
        {},
    )
    rounds_us = []
    for second in range(1, ROUNDS + 1):
        readings = [_reading(source, 1000 * second + number, drawn, choices) for number, source in enumerate(sources)]
        start_ns = time.thread_time_ns()
        for reading in readings:
            engine.evaluate(reading)
        rounds_us.append((time.thread_time_ns() - start_ns) / 1000 / (DEVICES * POINTS))
    return statistics.median(rounds_us)


def _source(number: int) -> Source:
    points = tuple(Point(f"string.{position}.voltage", 1, "V", "measure") for position in range(1, POINTS + 1))
    return Source(number, f"pv-{number:02}", "electrical", 1000, points, "inverter")


def _reading(source: Source, mono_ms: int, drawn: random.Random, choices: tuple[tuple[int, ...], ...]) -> Reading:
    return Reading(source, WALL_MS + mono_ms, mono_ms, ClockTrust.SYNCHRONISED, tuple(drawn.choice(choices[position % 2]) for position in range(POINTS)))


def _rules() -> list[Rule]:
    """Alternately a high and a low limit."""
    return [
        Rule(
            name=f"rule-{number}",
            condition="low" if number % 2 else "high",
            point=f"string.{number % POINTS + 1}.voltage",
            limit=100.0 if number % 2 else 800.0,
            deadband=5.0,
            on_delay_s=3.0,
            off_delay_s=3.0,
            devices=[f"pv-{4 * (number // POINTS) + step:02}" for step in range(DEVICES * POINTS // RULES)],
        )
        for number in range(RULES)
    ]
