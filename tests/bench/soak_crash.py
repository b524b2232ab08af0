"""Power cuts at every write and sync boundary of recorded runs of the buffer, 45,000 states; then the same without syncs, which must fail.  [STATES [SEED]]

The code is that of tests/fault/test_crash.py, with larger counts. Exit 0 when no state lost a synced reading, none held an identity with two contents,
each opened, and both weakened runs were noticed.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

STATES, SEED = 45_000, 1
# One run has some 15,000 boundaries: each of three runs is cut at all of them.
RUNS, STEPS = 3, 400
WEAK_STATES = 1_000
PROCESSES = 2


def main(arguments: list[str]) -> int:
    count = int(arguments[0]) if arguments else STATES
    seed = int(arguments[1]) if len(arguments) > 1 else SEED
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None, prefix="edgegw-crash-") as directory:
        return soak(Path(directory), count, seed)


def soak(directory: Path, count: int, seed: int) -> int:
    from tests.fault import crash_check

    started_s = time.monotonic()
    total = crash_check.Verdict()
    for run in range(RUNS):
        operations = crash_check.record(directory / "record", STEPS, seed + run)
        boundaries = sum(operation[0] != "mark" for operation in operations)
        verdict = crash_check.judge_all(operations, count // RUNS, seed + run, directory / "states", PROCESSES)
        print(f"run {run + 1}: {boundaries:,} boundaries, {', '.join(sorted(crash_check.deeds(operations)))}; {verdict.line()}", flush=True)
        total.add(verdict)
    print("\n".join(total.examples) + f"all: {total.line()}")
    noticed = 0
    for level in ("normal", "off"):
        weak = crash_check.judge_all(crash_check.record(directory / "record", STEPS, seed, level), WEAK_STATES, seed, directory / "states", PROCESSES)
        noticed += bool(weak.lost)
        print(f"synchronous={level.upper()} throughout: {weak.line()}: {'noticed' if weak.lost else 'NOT NOTICED'}", flush=True)
    print(f"{time.monotonic() - started_s:.0f} s")
    return 1 if total.faults or noticed < 2 else 0
