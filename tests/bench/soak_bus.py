"""Ten thousand transactions on real ports with peers that do all of F23-F39 at random: no value may be wrong.  [COUNT [SEED]]

Half of them on a pty without pacing, which is pulled out and plugged in again under another number now and then, the rest on Modbus TCP and through
a serial server that cuts and joins frames. The three run side by side, with short time-outs; the code is that of tests/unit/test_bus_hostile.py. Beside them a device process is stopped (SIGSTOP) for a minute while it is polled.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# The rigs of the unit tests are modules without a package.
sys.path.insert(0, str(Path(__file__).parent.parent / "unit"))

COUNT, SEED = 10_000, 1
STOPPED_S = 60.0
PROGRESS_EACH = 500


def main(arguments: list[str]) -> int:
    count = int(arguments[0]) if arguments else COUNT
    return asyncio.run(soak(count, int(arguments[1]) if len(arguments) > 1 else SEED))


async def soak(count: int, seed: int) -> int:
    from hostile_rig import attack_pty, attack_tcp
    from stopped_rig import stop_and_go

    started_s = time.monotonic()
    names = ("pty", "tcp", "rtu-over-tcp")
    counts = (count - count // 4 * 2, count // 4, count // 4)
    with tempfile.TemporaryDirectory(prefix="edgegw-soak-") as folder:
        told = [progress(name, part) for name, part in zip(names, counts, strict=True)]
        *tallies, stopped = await asyncio.gather(
            attack_pty(Path(folder), seed, counts[0], told[0]),
            attack_tcp("tcp", seed + 1, counts[1], told[1]),
            attack_tcp("rtu-over-tcp", seed + 2, counts[2], told[2]),
            stop_and_go(STOPPED_S),
        )
    for name, tally in zip(names, tallies, strict=True):
        total = tally.statistics.total
        counters = ("asked", "answered", "timed_out", "crc", "short", "exceptions", "late", "doubled", "echo", "foreign", "noise_bytes")
        print(f"\n{name}: " + ", ".join(f"{counter} {total(counter)}" for counter in counters))
        print("\n".join(f"  {line}" for line in tally.lines()))
    print(f"\nstopped for {STOPPED_S:g} s: values {stopped.values}, old values {stopped.old}, late answers {stopped.statistics.total('late')}")
    wrong = sum(tally.wrong for tally in tallies) + stopped.old
    values = sum(tally.values for tally in tallies)
    print(f"\n{sum(counts):,} transactions, {values:,} values, {wrong} wrong values, {time.monotonic() - started_s:.0f} s")
    return 1 if wrong else 0


def progress(name: str, count: int) -> Callable[[int], None]:
    def done(number: int) -> None:
        if (number + 1) % PROGRESS_EACH == 0:
            print(f"soak bus: {name} {number + 1:,} of {count:,}", file=sys.stderr, flush=True)

    return done
