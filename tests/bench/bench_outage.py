"""An outage of the broker of 60 s: what 20 SIGKILLs of the gateway in it lose or double, and the first message after the broker's return.

The whole way of the data on real ports: simulated station at 1 s, gateway, mosquitto, receiver. What the devices sent is compared with what the receiver has;
answers younger than 50 ms at a kill are excused.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from edgegw.cli.rig import IDENTITY, Rig, wait_for
from edgegw.sim.audit import audit
from tests.bench.marks import Figure
from tests.bench.subscriber import Subscriber

OUTAGE_S = 60.0
KILLS = 20
RETURNS = 3
EXCUSED_NS = 50_000_000
# What a machine with other work may need more until a commit.
BUSY_NS = 200_000_000
# A start takes a second: kills nearer to each other hit the same start.
_LIFE_S_MIN = 0.2


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="edgegw-bench-outage-") as directory:
        rig = Rig(Path(directory))
        try:
            rig.make_keys()
            rig.start_station()
            rig.start_broker()
            rig.start_receiver()
            rig.write_config()
            rig.start_gateway()
            wait_for("values at the receiver", rig.values_received)
            yield from _killed(rig)
            yield from _returns(rig)
        finally:
            rig.close()


def _killed(rig: Rig) -> Iterator[Figure]:
    dice = random.Random(20)
    excused: list[tuple[int, int]] = []
    rig.stop("broker")
    began_s = time.monotonic()
    for moment_s in sorted(dice.uniform(1.0, OUTAGE_S - 2.0) for _ in range(KILLS)):
        wait_until(max(began_s + moment_s, time.monotonic() + _LIFE_S_MIN))
        kill_ns = time.monotonic_ns()
        rig.kill("gateway")
        excused.append((kill_ns - EXCUSED_NS, time.monotonic_ns()))
        rig.start_gateway()
    wait_until(began_s + OUTAGE_S)
    rig.start_broker()
    wait_until(time.monotonic() + 5.0)
    rig.drain(120.0)
    found = audit(rig.journal, rig.sink, IDENTITY, kills=excused)
    yield Figure("P11", "lost, doubled or wrong, of 20 SIGKILLs in one outage of 60 s", found.lost_count + found.duplicates + found.wrong + found.unexplained)
    yield Figure("", "SIGKILLs", len(excused))
    yield Figure("", "lost", found.lost_count)
    yield Figure("", "duplicates", found.duplicates)
    later = audit(rig.journal, rig.sink, IDENTITY, kills=[(from_ns - BUSY_NS, to_ns) for from_ns, to_ns in excused])
    yield Figure("", "the same, answers older than 250 ms: where other work holds the cores", later.lost_count + later.duplicates + later.wrong)
    yield Figure("", "answers", found.answers)
    yield Figure("", "of them younger than 50 ms at a kill, and lost", found.excused)
    yield Figure("", "damaged files", len(list((rig.directory / "state").glob("edgegw.db.damaged-*"))))


def _returns(rig: Rig) -> Iterator[Figure]:
    """The station is silent by now; what polls say of it is sent all the same."""
    taken_s = []
    for _ in range(RETURNS):
        rig.stop("broker")
        wait_until(time.monotonic() + OUTAGE_S)
        rig.start_broker()
        back_s = time.perf_counter()
        with Subscriber(rig) as subscriber:
            taken_s.append(subscriber.first_s("enth", 0.0) - back_s)
    yield Figure("P14", "first batch after the broker's return, the slowest of three", max(taken_s), "s")
    yield Figure("", "the same, the fastest", min(taken_s), "s")


def wait_until(monotonic_s: float) -> None:
    while (left_s := monotonic_s - time.monotonic()) > 0:
        time.sleep(left_s)
