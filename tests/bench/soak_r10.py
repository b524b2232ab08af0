"""The reference station on real ports: every point good and every value the one that was sent, in the dictionary's unit.  [SECONDS]

Simulated station, gateway, mosquitto and receiver, each its own process; 300 s unless told otherwise. tests/e2e/test_r10.py does the same for a minute.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

SECONDS = 300.0
# A list of five hundred points helps nobody.
TOLD_MAX = 40


def main(arguments: list[str]) -> int:
    from tests.r10_rig import poll

    seconds = float(arguments[0]) if arguments else SECONDS
    with tempfile.TemporaryDirectory(prefix="edgegw-r10-") as directory:
        verdict = poll(Path(directory), seconds)
    found = verdict.audit
    told = [*(f"missing: {device} {point}" for device, point in verdict.missing), *verdict.doubtful, *verdict.lines, *found.lost, *found.examples]
    if told:
        print("\n".join(told[:TOLD_MAX]))
    print(f"r10, {seconds:g} s: {verdict.line()}")
    return 0 if verdict.clean else 1
