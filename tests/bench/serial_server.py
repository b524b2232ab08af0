"""Ten devices on one paced serial line for benches: `python -m tests.bench.serial_server PROFILE BAUDRATE` prints the port.

Then one line in, one JSON line out: `counts` (what the line saw of its master), `silence UNIT`, `speak UNIT`. Units 1 to 10; they answer 3.5
characters after the request, as early as the standard lets them.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import msgspec

from edgegw.drivers.catalogue import load_profile
from edgegw.sim.device import Device
from edgegw.sim.image import Image
from edgegw.sim.journal import Journal
from edgegw.sim.serial_line import SILENCE_CHARACTERS, SerialLine
from edgegw.sim.station import SimDevice

UNITS = 10


def make_devices(profile: str, character_ns: float) -> dict[int, Device]:
    image = Image(load_profile(profile))
    turnaround_ms = SILENCE_CHARACTERS * character_ns / 1e6
    facts = [SimDevice(code=f"D{unit}", bus="line", unit=unit, profile=profile, role="inputs", turnaround_ms=turnaround_ms) for unit in range(1, UNITS + 1)]
    return {fact.unit: Device(fact, image, dict, fact.unit) for fact in facts}


def main(profile: str, baudrate: int) -> None:
    character_ns = 10e9 / baudrate
    devices = make_devices(profile, character_ns)
    with tempfile.TemporaryDirectory() as directory:
        line = SerialLine("line", character_ns, devices, Journal(Path(directory) / "journal", {}))
        line.start()
        print(json.dumps(line.path), flush=True)
        for command in sys.stdin:
            word, _, unit = command.strip().partition(" ")
            if word == "silence":
                devices[int(unit)].silence(None)
            elif word == "speak":
                devices[int(unit)].silence(0)
            print(json.dumps(msgspec.to_builtins(line.counts)), flush=True)
        line.stop()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
