"""A process that feeds a buffer until it is killed: `python -m tests.fault.buffer_child DIRECTORY FIRST`.

Reading number n holds n in its first value; the call that brings it sets the state `n` to n, and every tenth brings the event n as
well. What is accepted is told on stdout, one number and its time a line.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from pathlib import Path

from edgegw.model import Stream
from tests.unit.buffer_rig import ENERGY, METER, OTHER, Rig, event, reading

# Seals several times between two kills, so that a kill can meet one.
WINDOW_S = 0.05
PAUSE_S = 0.001


def main() -> None:
    rig = Rig(Path(sys.argv[1]), window_idle_s=WINDOW_S)
    for number in itertools.count(int(sys.argv[2])):
        of = ENERGY if number % 50 == 0 else (METER, OTHER)[number % 2]
        mono_ms = time.monotonic_ns() // 1_000_000
        events = [event("tick", mono_ms, n=number)] if number % 10 == 0 else []
        rig.buffer.accept([reading(of, mono_ms, (number, int(of.stream == Stream.ENERGY), number * 31, 4))], events, {"n": b"%d" % number})
        os.write(1, b"%d %d\n" % (number, time.monotonic_ns()))
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
