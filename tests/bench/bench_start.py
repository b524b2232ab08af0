"""Start of the command: `edgegw --version` against `python -c "import click"` (P17).

Both are started in turn, so that whatever else the machine does falls on both; the median counts.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench.marks import Figure

ROUNDS = 25
EDGEGW = str(Path(sys.executable).with_name("edgegw"))
CLICK = (sys.executable, "-c", "import click")


def run_s(command: Sequence[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def measure() -> Iterator[Figure]:
    run_s(CLICK), run_s((EDGEGW, "--version"))  # compiles what is not compiled yet
    click_s, version_s = zip(*((run_s(CLICK), run_s((EDGEGW, "--version"))) for _ in range(ROUNDS)), strict=True)
    yield Figure("", 'python -c "import click"', statistics.median(click_s) * 1000, "ms")
    yield Figure("", "edgegw --version", statistics.median(version_s) * 1000, "ms")
    yield Figure("P17a", "edgegw --version, times import click", statistics.median(version_s) / statistics.median(click_s), "x")
