"""Makes the traces of this directory anew: `python tests/golden/traces/record.py`.

A real gateway polls the simulated station, `edgegw bus monitor --write` records, and what the devices wrote into their journal of the values
that they sent is put behind each answer: two witnesses that know nothing of each other.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2]))

from edgegw.cli.rig import Rig, wait_for  # noqa: E402 - the package lies above this directory
from edgegw.sim.journal import Entry, read  # noqa: E402

# Name of the trace: bus, faults (device, kind) switched on meanwhile.
TRACES: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "clean": ("rs485b", ()),
    "disturbed": ("rs485b", (("M-DC1", "noise"), ("M-DC2", "crc"), ("TH-01", "truncate"), ("DI-01", "exception"))),
    "tcp": ("lan", (("PV-01", "exception"),)),
    "tcp-late": ("lan", (("PV-01", "delay"),)),
}
SECONDS = 4.0
PROBABILITY = 0.4
# Of the fault "delay": longer than the time-out below.
DELAY_MS = 400
# The device stamps the end of its answer, the gateway its arrival.
ARRIVES_NS_MAX = 50_000_000


def record(rig: Rig, name: str) -> None:
    bus, faults = TRACES[name]
    for device, kind in faults:
        rig.tell_station("fault", device=device, kind=kind, probability=PROBABILITY, milliseconds=DELAY_MS)
    path = HERE / f"{name}.jsonl"
    command = [sys.executable, "-m", "edgegw", "-q", "-c", str(rig.config), "bus", "monitor", bus, "--seconds", str(SECONDS), "--write", str(path)]
    subprocess.run(command, check=True)
    for device, _ in faults:
        rig.tell_station("fault", device=device, kind="none")
    decimals, entries = read(rig.journal)
    profiles = {(device["bus"], device["unit"]): device["profile"] for device in rig.station["devices"]}
    lines: list[dict[str, Any]] = []
    for event in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        lines.append(event)
        if event["event"] == "frame" and event["kind"] == "answer":
            entry = _sent(entries, bus, event)
            values = {point: [value, decimals[entry.device].get(point, 0)] for point, value in entry.values.items()}
            lines.append({"event": "reading", "profile": profiles[bus, event["unit"]], "address": entry.address, "count": entry.count, "values": values})
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines), encoding="utf-8")


def _sent(entries: list[Entry], bus: str, event: dict[str, Any]) -> Entry:
    """What the device says that it sent in this answer."""
    near = [entry for entry in entries if (entry.bus, entry.unit) == (bus, event["unit"]) and abs(event["mono_ns"] - entry.finished_ns) < ARRIVES_NS_MAX]
    return min(near, key=lambda entry: abs(event["mono_ns"] - entry.finished_ns))


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        rig = Rig(Path(directory))
        try:
            rig.make_keys()
            rig.start_station()
            rig.write_config()
            rig.config.write_text(rig.config.read_text().replace("[[bus]]\n", "[[bus]]\nanswer_timeout_ms = 300\nlate_answer_guard_ms = 400\n"))
            rig.start_gateway()
            wait_for("the socket", (rig.directory / "control.sock").exists)
            wait_for("all devices", lambda: all(bus["p95_ms"] for bus in rig.ask_gateway("status")["buses"]))
            for name in TRACES:
                record(rig, name)
        finally:
            rig.close()


if __name__ == "__main__":
    main()
