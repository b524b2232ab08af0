"""Start of the command: `edgegw --version` and `edgegw status` against `python -c "import click"` (P17).

They are started in turn, so that whatever else the machine does falls on all; the median counts. The gateway that is asked polls the simulated station.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgegw.cli.rig import Rig, wait_for
from edgegw.errors import EXIT_CHECK_FAILED, EXIT_OK, EXIT_WARNINGS
from tests.bench.marks import Figure

ROUNDS = 25
EDGEGW = str(Path(sys.executable).with_name("edgegw"))
CLICK = (sys.executable, "-c", "import click")
# An alarm of the simulated day, or a cloud that is not there yet, is an answer too.
_ANSWERED = frozenset({EXIT_OK, EXIT_WARNINGS, EXIT_CHECK_FAILED})


def run_s(command: Sequence[str]) -> float:
    started = time.perf_counter()
    code = subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode
    took_s = time.perf_counter() - started
    assert code in _ANSWERED, f"{' '.join(command)} ended with {code}"
    return took_s


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as directory:
        rig = Rig(Path(directory))
        try:
            rig.make_keys()
            rig.start_station()
            rig.write_config()
            rig.start_gateway()
            wait_for("the gateway", (rig.directory / "control.sock").exists)
            yield from compared((EDGEGW, "status", "--socket", str(rig.directory / "control.sock")))
        finally:
            rig.close()


def compared(status: Sequence[str]) -> Iterator[Figure]:
    commands = (CLICK, (EDGEGW, "--version"), status)
    for command in commands:
        run_s(command)  # compiles what is not compiled yet
    click_s, version_s, status_s = (statistics.median(times) for times in zip(*([run_s(command) for command in commands] for _ in range(ROUNDS)), strict=True))
    yield Figure("", 'python -c "import click"', click_s * 1000, "ms")
    yield Figure("", "edgegw --version", version_s * 1000, "ms")
    yield Figure("P17a", "edgegw --version, times import click", version_s / click_s, "x")
    yield Figure("", "edgegw status", status_s * 1000, "ms")
    yield Figure("P17b", "edgegw status, times import click", status_s / click_s, "x")
