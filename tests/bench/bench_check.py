"""`edgegw config check` of 5,000 devices (P19), from exec to exit."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.marks import Figure

BUSES, DEVICES_A_BUS, ROUNDS = 50, 100, 5
HEAD = '[gateway]\noperator = "o"\nstation = "s"\ngateway = "g"\n'


def configuration() -> str:
    rows = [HEAD]
    for bus in range(BUSES):
        rows.append(f'[[bus]]\nname = "lan{bus}"\nkind = "tcp"\nhost = "10.0.0.{bus}"\n')
        rows += [f'[[device]]\ncode = "D-{bus}-{unit}"\nbus = "lan{bus}"\nunit = {unit}\nprofile = "eastron.sdm120"\n' for unit in range(1, DEVICES_A_BUS + 1)]
    return "\n".join(rows)


def check_s(path: Path) -> float:
    started = time.perf_counter()
    done = subprocess.run((sys.executable, "-m", "edgegw", "config", "check", str(path)), capture_output=True, text=True, check=False)
    assert done.returncode in (0, 10), done.stdout
    return time.perf_counter() - started


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "config.toml"
        path.write_text(configuration())
        check_s(path)
        yield Figure("P19", f"config check of {BUSES * DEVICES_A_BUS} devices", statistics.median(check_s(path) for _ in range(ROUNDS)), "s")
