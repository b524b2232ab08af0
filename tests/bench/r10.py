"""Readings of the reference station R10 without its lines: 39 devices, 519 points, 106 values a second, under the day's physics of the simulator.

What is stored and sent is as large as its digits wander: every value has the resolution and the noise of its kind of meter, an idle pile shows
zeros, and answers come a few milliseconds off their grid. Reads nothing, writes nothing; a seed gives the same day again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from heapq import heapify, heapreplace
from typing import NamedTuple

from edgegw.model import ClockTrust, Point, Reading, Source, Stream
from edgegw.sim import physics

# 2027-01-15 00:00:00 in Shanghai.
MIDNIGHT_MS = 1_799_942_400_000
_JITTER_MS = 8
_ON_TCP = frozenset({"PV-1", "DC-1", "DC-2", *(f"AC-{number}" for number in range(1, 9))})
_PHASES = "abc"
_POWER_FACTOR = 0.985

Values = Callable[[float], list[int]]
"""Seconds since midnight to the scaled integers of one source."""


class Row(NamedTuple):
    """One source: its points with their decimals and unit, its period, and what it measures."""

    source: Source
    values: Values


class Station:
    """All sources, with numbers from 1."""

    def __init__(self, seed: int = 1) -> None:
        self._dice = random.Random(seed)
        self.rows: list[Row] = []
        self._seed = seed
        self._build()

    @property
    def sources(self) -> list[Source]:
        return [row.source for row in self.rows]

    def readings(self, from_s: float, to_s: float) -> Iterator[Reading]:
        """Every poll between two times of the day, in order."""
        # Serial lines are read one device after the other, at any time; devices on TCP share their ticks.
        shifts = [0.0 if row.source.device in _ON_TCP else self._dice.random() for row in self.rows]
        due = [(from_s * 1000 + shifts[index] * row.source.period_ms, index) for index, row in enumerate(self.rows)]
        heapify(due)
        while due[0][0] < to_s * 1000:
            at_ms, index = due[0]
            row = self.rows[index]
            mono_ms = round(at_ms) + self._dice.randrange(_JITTER_MS)
            yield Reading(row.source, MIDNIGHT_MS + mono_ms, mono_ms, ClockTrust.SYNCHRONISED, tuple(row.values(at_ms / 1000)))
            heapreplace(due, (at_ms + row.source.period_ms, index))

    def _add(self, device: str, group: str, period_s: float, points: Sequence[tuple[str, int, str]], values: Values, stream: Stream = Stream.TELEMETRY) -> None:
        row = tuple(Point(name, decimals, unit, "measure" if unit != "1" else "state") for name, decimals, unit in points)
        self.rows.append(Row(Source(len(self.rows) + 1, device, group, round(period_s * 1000), row, "meter", stream), values))

    # -- what is measured

    def _noise(self, value: float, digits: float) -> int:
        """A scaled value with the unrest of its last digits; what is exactly zero stays zero."""
        return round(value + self._dice.gauss(0, digits)) if value else 0

    def _build(self) -> None:
        dice = self._dice
        ac = [physics.ac_sessions(dice) for _ in range(8)]
        guns = [physics.dc_sessions(dice) for _ in range(4)]

        def gun_kw(index: int, at_s: float) -> float:
            return physics.dc_power_kw(guns[index].progress(at_s)) / 2

        def ac_kw(index: int, at_s: float) -> float:
            return physics.ac_power_kw(ac[index].progress(at_s))

        def pv_kw(at_s: float) -> float:
            return physics.pv_power_kw(at_s, self._seed)

        def all_kw(at_s: float) -> float:
            return sum(gun_kw(i, at_s) for i in range(4)) / 0.95 + sum(ac_kw(i, at_s) for i in range(8)) + physics.AUXILIARY_KW - pv_kw(at_s)

        for pile in range(2):
            self._three_phase(f"DC-M{pile + 1}", lambda s, p=pile: (gun_kw(2 * p, s) + gun_kw(2 * p + 1, s)) / 0.95)  # type: ignore[misc]
        self._three_phase("MAIN", all_kw)
        self._three_phase("PV-M", pv_kw)
        for gun in range(4):
            self._dc_meter(f"GUN-{gun + 1}", lambda s, g=gun: gun_kw(g, s))  # type: ignore[misc]
        for pile in range(8):
            self._one_phase(f"AC-M{pile + 1}", lambda s, p=pile: ac_kw(p, s))  # type: ignore[misc]
        self._one_phase("AUX", lambda _: physics.AUXILIARY_KW)
        for pile in range(2):
            self._pile(f"DC-{pile + 1}", [lambda s, g=2 * pile + i: gun_kw(g, s) for i in range(2)])  # type: ignore[misc]
        for pile in range(8):
            self._pile(f"AC-{pile + 1}", [lambda s, p=pile: ac_kw(p, s)])  # type: ignore[misc]
        self._others(pv_kw)

    def _volt(self, at_s: float, phase: int) -> float:
        return physics.PHASE_V + physics.wander(at_s, 2.1 * phase + self._seed, 2.5)

    def _three_phase(self, device: str, power_kw: Callable[[float], float]) -> None:
        names = [(f"phase_voltage.{p}", 1, "V") for p in _PHASES] + [(f"line_voltage.{p}", 1, "V") for p in ("ab", "bc", "ca")]
        names += [(f"current.{p}", 2, "A") for p in _PHASES]
        for quantity, unit in (("active_power", "kW"), ("reactive_power", "kvar"), ("apparent_power", "kVA"), ("power_factor", "1")):
            names += [(f"{quantity}{p}", 3, unit) for p in ("", ".a", ".b", ".c")]
        names += [("frequency", 2, "Hz"), ("voltage_unbalance", 1, "%")]

        def values(at_s: float) -> list[int]:
            volts = [self._volt(at_s, phase) for phase in range(3)]
            watts = [power_kw(at_s) / 3 * (1 + 0.02 * phase) for phase in range(3)]
            apparent = [abs(kw) / _POWER_FACTOR for kw in watts]
            lines = [(volts[i] + volts[(i + 1) % 3]) / 2 * 3**0.5 for i in range(3)]
            out = [self._noise(v * 10, 1) for v in (*volts, *lines)]
            out += [self._noise(kva * 1000 / v * 100, 3) for kva, v in zip(apparent, volts, strict=True)]
            for parts, share in ((watts, 1.0), (apparent, 0.17), (apparent, 1.0)):
                scaled = [self._noise(kw * share * 1000, 4) for kw in parts]
                out += [sum(scaled), *scaled]
            out += [self._noise(_POWER_FACTOR * 1000, 1) if any(watts) else 1000 for _ in range(4)]
            return [*out, self._noise((50 + physics.wander(at_s, 0.7, 0.04)) * 100, 0.6), self._noise(4, 0.4)]

        self._add(device, "electrical", 5, names, values)
        self._energy(device, 14 if device == "MAIN" else 8, power_kw)

    def _dc_meter(self, device: str, power_kw: Callable[[float], float]) -> None:
        def values(at_s: float) -> list[int]:
            kw = power_kw(at_s)
            volts = 380 + 40 * physics.wander(at_s, self._seed, 1.0) if kw else 0.0
            return [self._noise(volts * 10, 2), self._noise(kw * 1000 / volts * 100, 8) if volts else 0, self._noise(kw * 1000, 20)]

        self._add(device, "electrical", 5, [("voltage", 1, "V"), ("current", 2, "A"), ("power", 3, "kW")], values)
        self._energy(device, 5, power_kw)

    def _one_phase(self, device: str, power_kw: Callable[[float], float]) -> None:
        names = [
            ("phase_voltage.a", 1, "V"),
            ("current.a", 3, "A"),
            ("active_power", 3, "kW"),
            ("reactive_power", 3, "kvar"),
            ("power_factor", 3, "1"),
            ("frequency", 2, "Hz"),
        ]

        def values(at_s: float) -> list[int]:
            volts, kw = self._volt(at_s, 0), power_kw(at_s) * (1 + physics.wander(at_s, self._seed, 0.01))
            amps = kw * 1000 / volts / _POWER_FACTOR
            head = [self._noise(volts * 10, 1), self._noise(amps * 1000, 20), self._noise(kw * 1000, 5), self._noise(kw * 170, 4)]
            return [*head, self._noise(_POWER_FACTOR * 1000, 1) if kw else 1000, self._noise((50 + physics.wander(at_s, 0.7, 0.04)) * 100, 0.6)]

        self._add(device, "electrical", 5, names, values)
        self._energy(device, 5, power_kw)

    def _energy(self, device: str, count: int, power_kw: Callable[[float], float]) -> None:
        """Registers that only grow, read at the quarter hour."""
        registers = [self._dice.randrange(10**6) for _ in range(count)]

        def values(at_s: float) -> list[int]:
            step = abs(round(power_kw(at_s) * 25))
            for index in (0, 1 + int(at_s // 21_600) % max(1, count - 1)):
                registers[index] += step
            return list(registers)

        self._add(device, "energy", 900, [(f"energy.{index}", 2, "kWh") for index in range(count)], values, Stream.ENERGY)

    def _pile(self, device: str, guns: Sequence[Callable[[float], float]]) -> None:
        states = [(f"gun{n}.{word}", 0, "1") for n in range(1, len(guns) + 1) for word in ("state", "fault_code")]
        states += [("state", 0, "1")] if len(guns) > 1 else []

        def state(at_s: float) -> list[int]:
            found = [word for power in guns for word in ((3 if power(at_s) else 1), 0)]
            return [*found, 1] if len(guns) > 1 else found

        self._add(device, "state", 1, states, state)
        words = [
            ("voltage", 1, "V"),
            ("current", 1, "A"),
            ("temp", 1, "C"),
            *((("soc", 0, "%"), ("power", 1, "kW"), ("minutes", 0, "min")) if len(guns) > 1 else (("power", 2, "kW"),)),
        ]

        def values(at_s: float) -> list[int]:
            out: list[int] = []
            for power in guns:
                kw = power(at_s)
                volts = 400 if len(guns) > 1 else self._volt(at_s, 0)
                out += [self._noise(volts * 10, 1), self._noise(kw * 1000 / volts * 10, 2), self._noise(280 + kw * 2, 1)]
                out += [round(at_s / 40) % 100, self._noise(kw * 10, 1), round(at_s / 60) % 50] if len(guns) > 1 else [self._noise(kw * 100, 2)]
            return out

        self._add(device, "electrical", 5, [(f"gun{n}.{word}", decimals, unit) for n in range(1, len(guns) + 1) for word, decimals, unit in words], values)

    def _others(self, pv_kw: Callable[[float], float]) -> None:
        self._add("DI-1", "inputs", 0.5, [(f"input.{n}", 0, "1") for n in range(1, 10)], lambda _: [0] * 9)

        def ups(at_s: float) -> list[int]:
            wandering = [self._noise(v, 1) for v in (self._volt(at_s, 1) * 10, 2200, 500, 320, 273, 260, 1000, 412, 501)]
            return [*wandering, 1, 0, 0, 100, 2, 0]

        self._add("UPS-1", "status", 2, [(f"ups.{n}", 1 if n < 9 else 0, "V" if n < 9 else "1") for n in range(15)], ups)

        def inverter(at_s: float) -> list[int]:
            kw = pv_kw(at_s)
            phases = [self._noise(self._volt(at_s, n % 3) * 10, 1) for n in range(6)]
            return [*phases, *(self._noise(kw * 1000 / 690 * 100, 5) for _ in range(3)), *(self._noise(kw * (60 + n), 6) for n in range(15))]

        self._add("PV-1", "electrical", 5, [(f"pv.{n}", 1, "V") for n in range(24)], inverter)
        self._add("PV-1", "strings", 30, [(f"string.{n}.current", 2, "A") for n in range(1, 21)], lambda s: [self._noise(pv_kw(s) * 10, 4) for _ in range(20)])
        self._add("PV-1", "energy", 300, [(f"energy.{n}", 2, "kWh") for n in range(3)], lambda s: [round(s), round(s / 3), 7], Stream.ENERGY)
        for number in range(6):
            both = [("temperature", 1, "C"), ("humidity", 1, "%RH")]
            self._add(
                f"TH-{number + 1}",
                "climate",
                10,
                both,
                lambda s, n=number: [self._noise(240 + physics.wander(s, n, 30), 0.5), self._noise(520 + physics.wander(s, n + 9, 80), 1)],
            )  # type: ignore[misc]
        self._add(
            "PT-1", "joints", 10, [(f"joint.{n}", 1, "C") for n in range(8)], lambda s: [self._noise(420 + physics.wander(s, n, 60), 0.7) for n in range(8)]
        )
        self._add(
            "GW",
            "status",
            60,
            [(f"status.{n}", 0, "1") for n in range(67)],
            lambda s: [self._noise(50, 2) if n < 18 else round(s) if n == 18 else 1 for n in range(67)],
        )
