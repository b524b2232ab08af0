"""200 SIGKILLs of the running gateway at random moments: no answer older than 50 ms is lost or doubled, no file is damaged.  [KILLS [SEED]]

The whole way of the data on real ports: simulated station at 1 s, gateway, mosquitto, receiver; what the devices sent is compared with what the receiver
has. tests/fault/test_buffer_kill.py does the same to the buffer alone, a few times.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

KILLS, SEED = 200, 1
# Committed at most 50 ms after the answer; what is younger may be lost with the process.
EXCUSED_NS = 50_000_000
LIFE_S = (0.3, 3.0)
PROGRESS_EACH = 20


def main(arguments: list[str]) -> int:
    kills = int(arguments[0]) if arguments else KILLS
    seed = int(arguments[1]) if len(arguments) > 1 else SEED
    with tempfile.TemporaryDirectory(prefix="edgegw-kill-") as directory:
        return soak(Path(directory), kills, random.Random(seed))


def soak(directory: Path, kills: int, dice: random.Random) -> int:
    from edgegw.cli.rig import IDENTITY, Rig, wait_for
    from edgegw.sim.audit import audit

    started_s = time.monotonic()
    rig = Rig(directory, period_s=1.0)
    excused: list[tuple[int, int]] = []
    killed_ms: list[int] = []
    try:
        rig.make_keys()
        rig.start_station()
        rig.start_broker()
        rig.start_receiver()
        rig.write_config()
        rig.start_gateway()
        wait_for("values at the receiver", rig.values_received)
        for number in range(1, kills + 1):
            wait_for_life(dice.uniform(*LIFE_S))
            kill_ns = time.monotonic_ns()
            killed_ms.append(time.time_ns() // 1_000_000)
            rig.kill("gateway")
            excused.append((kill_ns - EXCUSED_NS, time.monotonic_ns()))
            rig.start_gateway()
            if number % PROGRESS_EACH == 0:
                print(f"soak kill: {number} of {kills}", file=sys.stderr, flush=True)
        wait_for_life(LIFE_S[1])
        rig.must_run()
        rig.drain(120.0)
        code = rig.stop("gateway")
    finally:
        rig.close()
    damaged = [file.name for file in (directory / "state").glob("edgegw.db.damaged-*")]
    found = audit(rig.journal, rig.sink, IDENTITY, kills=excused)
    print(f"{kills} kills, {found.answers:,} answers, {found.matched:,} there, {found.excused} excused (younger than 50 ms)")
    print(
        f"lost {found.lost_count}, doubled {found.duplicates}, wrong {found.wrong}, unexplained {found.unexplained}, files set aside {len(damaged)}, exit {code}"
    )
    print(
        "\n".join([*(f"{line}, {age_ms(line, killed_ms)} ms before a kill" for line in found.lost), *found.examples])
        + f"\n{time.monotonic() - started_s:.0f} s"
    )
    return 1 if found.lost_count or found.duplicates or found.wrong or found.unexplained or damaged or code else 0


def age_ms(line: str, killed_ms: Sequence[int]) -> int:
    """How old a lost answer was: on a machine that is busy with other things the 50 ms are exceeded by little, a mistake of ours by much."""
    at_ms = int(line.rsplit(" ", 1)[1])
    return min((kill_ms - at_ms for kill_ms in killed_ms if kill_ms >= at_ms), default=-1)


def wait_for_life(seconds: float) -> None:
    """The life of one start is a matter of time alone."""
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        time.sleep(left_s)
