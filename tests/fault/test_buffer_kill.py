"""SIGKILL at any moment: what was committed is there, once, under its identity, and what one call brought is there together."""

from __future__ import annotations

import random
import subprocess
import sys
import time

from edgegw.model import Stream
from tests.unit.buffer_rig import events_of, look, rows_of, running

KILLS = 10
# The promise is 50 ms; a busy machine gets room (the project's own allowance for its end-to-end test).
EXCUSED_NS = 250_000_000


def _run_until_killed(directory, first, life_s):
    """Returns ([(number, accepted at)], time of the kill)."""
    child = subprocess.Popen([sys.executable, "-m", "tests.fault.buffer_child", str(directory), str(first)], stdout=subprocess.PIPE)
    try:
        head = child.stdout.readline()
        time.sleep(life_s)
        killed_ns = time.monotonic_ns()
        child.kill()
        lines = (head + child.stdout.read()).split(b"\n")
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    return [tuple(map(int, line.split())) for line in lines if line.count(b" ") == 1], killed_ns


def test_kills_lose_nothing_and_double_nothing(tmp_path):
    """
    Over several kills: all that was accepted 250 ms before is handed out, no identity ever has two contents, sequences have no hole, and state, event and reading of one call agree.
    """
    dice = random.Random(7)
    contents, promised, accepted, epochs = {}, set(), set(), set()
    first = 1
    for _ in range(KILLS):
        told, killed_ns = _run_until_killed(tmp_path, first, dice.uniform(0.05, 0.9))
        accepted |= {number for number, _ in told}
        promised |= {number for number, at_ns in told if at_ns < killed_ns - EXCUSED_NS}
        first = max(accepted) + 2
        with running(tmp_path, window_idle_s=0.05) as rig:
            assert [(0,)] == look(rig.path, "SELECT count(*) FROM tail"), "what the killed start left is sealed at once"
            batches = rig.batches()
            rows = rows_of(batches)
            epochs |= {epoch for epoch, _, _ in rows}
            assert rig.buffer.epoch not in epochs
            for identity, row in rows.items():
                assert row == contents.setdefault(identity, row)
            assert contents.keys() == rows.keys()
            numbers = [row[3][0] for row in rows.values()]
            assert len(numbers) == len(set(numbers))
            assert promised <= set(numbers)
            assert b"%d" % max(numbers) == rig.buffer.states()["n"]
            assert {number for number in numbers if number % 10 == 0} == {one.body["n"] for _, one in events_of(batches)}
            for epoch in epochs:
                for stream in (Stream.ENERGY, Stream.TELEMETRY):
                    sequences = sorted(seq for of, kind, seq in rows if (of, kind) == (epoch, stream))
                    assert list(range(1, len(sequences) + 1)) == sequences
            last = rig.buffer.previous.last
            assert max(seq for epoch, stream, seq in rows if (epoch, stream) == (rig.buffer.previous.epoch, 3)) == last[3]
    assert len(promised) > 100
    assert KILLS == len(epochs)
