"""From a contact that closes to its alarm at the receiver: debounce, on-delay, up to one period, and the way.

The simulated station's input module on its serial line, the whole gateway, mosquitto with mutual TLS, the receiver's database. Each contact is closed
at random moments of its period. Allowed is debounce + on-delay + one period + 0.5 s; half a period is what a mean moment waits for. A poll that the
simulated module answers too late costs three seconds or more: on busy cores that is what the longest figure tells, and one that never comes is explained.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.marks import Figure
from tests.latency_rig import KINDS, PERIOD_S, Stopwatch, running

# Of each kind; two contacts of a kind make four a minute.
TIMES = 20


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as directory, running(Path(directory)) as rig:
        stopwatch = Stopwatch(rig, 1)
        rounds = [[stopwatch.measure_s(kind) for kind in KINDS] for _ in range(TIMES)]
    for kind, took_s in zip(KINDS, map(sorted, zip(*rounds, strict=True)), strict=True):
        what = f"{kind.name}: debounce {kind.debounce_s:g} s, on-delay {kind.on_delay_s:g} s"
        yield Figure("", f"{what}, period {PERIOD_S:g} s: median", statistics.median(took_s), "s")
        for name, value in (("quickest", took_s[0]), ("95 %", took_s[-1 - TIMES // 20]), ("longest", took_s[-1])):
            yield Figure("", f"{kind.name}: {name}", value, "s")
        yield Figure("", f"{kind.name}: longest, of the {kind.allowed_s:g} s that are allowed", took_s[-1] / kind.allowed_s, "x")
