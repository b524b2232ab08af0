"""The marks of docs/performance.md as data, and how a measured figure is told.

A bench is a module `bench_NAME.py` here with a function `measure()` that yields a `Figure` for each number; a soak is a module
`soak_NAME.py` with a function `main(arguments)` that returns an exit code. The first line of the module's docstring says what it does.
Machines are noisy: a bench measures two things side by side in one run and tells their ratio, counts, or bytes.
"""

from __future__ import annotations

from typing import NamedTuple


class Mark(NamedTuple):
    """What a figure must reach. `x` as unit: times the other thing measured in the same run."""

    sense: str
    limit: float
    unit: str

    def text(self) -> str:
        return f"{self.sense} {self.limit:,.12g}{self.unit if self.unit == 'x' else f' {self.unit}'.rstrip()}"

    def met(self, value: float) -> bool:
        return value <= self.limit if self.sense == "<=" else value >= self.limit


class Figure(NamedTuple):
    """One number that a bench measured."""

    mark: str
    """Name in MARKS; empty for a figure without a mark."""
    what: str
    value: float
    unit: str = ""

    def line(self) -> str:
        mark = MARKS.get(self.mark)
        verdict = f"{mark.text():>20}  {'reached' if mark.met(self.value) else 'NOT REACHED'}" if mark else ""
        return f"{self.mark:<5}{self.what:<64}{self.value:>12.4g} {self.unit:<9}{verdict}".rstrip()


# A row of docs/performance.md with two figures has two names here.
MARKS = {
    "P1": Mark(">=", 0.97, ""),
    "P2": Mark(">=", 301, "points/s"),
    "P3": Mark(">=", 0.98, ""),
    "P4": Mark("<=", 0.25, "x"),
    "P5": Mark("<=", 0.5, "x"),
    "P6": Mark("<=", 0.8, "x"),
    "P7a": Mark("<=", 0.85, "x"),
    "P7b": Mark("<=", 0.7, "x"),
    "P8a": Mark("<=", 2.2, "B"),
    "P8b": Mark("<=", 0.85, "B"),
    "P9a": Mark("<=", 1.2, "B"),
    "P9b": Mark("<=", 2.6, "B"),
    "P10a": Mark("<=", 10, "ms"),
    "P10b": Mark("<=", 20, "ms"),
    "P11": Mark("<=", 0, ""),
    "P12": Mark(">=", 1_200_000, "values/s"),
    "P13": Mark(">=", 96_000, "values/s"),
    "P14": Mark("<=", 2, "s"),
    "P15": Mark(">=", 100, "%"),
    "P16": Mark("<=", 0.3, "x"),
    "P17a": Mark("<=", 1.5, "x"),
    "P17b": Mark("<=", 2.5, "x"),
    "P18": Mark("<=", 1.5, "x"),
    "P19": Mark("<=", 2, "s"),
}
