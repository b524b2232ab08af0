"""Makes traces of this directory anew: `python tests/golden/traces/record.py [NAME...]`.

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
from edgegw.sim.gateway_config import bus_and_device_tables  # noqa: E402
from edgegw.sim.journal import Entry, read  # noqa: E402
from edgegw.sim.station import load_station  # noqa: E402

# What the default station does not have: meters of DL/T 645 in both editions beside Modbus on one line, and a UPS.
OTHERS = """
bus = [{ name = "meters", kind = "serial", baudrate = 9600, parity = "E" }, { name = "ups", kind = "serial", baudrate = 2400 }]
device = [
  { code = "M3", bus = "meters", address = "240118000017", profile = "dlt645.2007-3p", role = "incoming", turnaround_ms = 20 },
  { code = "M97", bus = "meters", address = "000000063295", profile = "dlt645.1997", role = "incoming", turnaround_ms = 20 },
  { code = "TH", bus = "meters", unit = 2, profile = "xy-md02", role = "cabinet" },
  { code = "UPS", bus = "ups", profile = "voltronic.qgs", role = "ups", turnaround_ms = 40 },
]
"""
# Name of the trace: bus, faults (device, kind) switched on meanwhile.
Traces = dict[str, tuple[str, tuple[tuple[str, str], ...]]]
TRACES: Traces = {
    "clean": ("rs485b", ()),
    "disturbed": ("rs485b", (("M-DC1", "noise"), ("M-DC2", "crc"), ("TH-01", "truncate"), ("DI-01", "exception"))),
    "tcp": ("lan", (("PV-01", "exception"),)),
    "tcp-late": ("lan", (("PV-01", "delay"),)),
}
OTHER_TRACES: Traces = {
    "dlt645": ("meters", ()),
    "dlt645-disturbed": ("meters", (("M3", "crc"), ("M97", "noise"))),
    "ups": ("ups", (("UPS", "noise"),)),
}
SECONDS = 4.0
TIMES = "[[bus]]\nanswer_timeout_ms = 300\nlate_answer_guard_ms = 400\n"
# An answer of a UPS takes half a second at 2400 baud.
OTHER_TIMES = "[[bus]]\nanswer_timeout_ms = 700\nlate_answer_guard_ms = 800\n"
# Meters have many questions: so long a round of the other station takes.
OTHER_PERIOD_S = 4.0
PROBABILITY = 0.4
# Of the fault "delay": longer than the time-out of the default station.
DELAY_MS = 400
# The device stamps the end of its answer, the gateway its arrival.
ARRIVES_NS_MAX = 50_000_000


def record(rig: Rig, name: str) -> None:
    bus, faults = (TRACES | OTHER_TRACES)[name]
    for device, kind in faults:
        rig.tell_station("fault", device=device, kind=kind, probability=PROBABILITY, milliseconds=DELAY_MS)
    path = HERE / f"{name}.jsonl"
    command = [sys.executable, "-m", "edgegw", "-q", "-c", str(rig.config), "bus", "monitor", bus, "--seconds", str(SECONDS), "--write", str(path)]
    subprocess.run(command, check=True)
    for device, _ in faults:
        rig.tell_station("fault", device=device, kind="none")
    decimals, entries = read(rig.journal)
    profiles = {device["code"]: device["profile"] for device in rig.station["devices"]}
    modbus = {device["code"] for device in rig.station["devices"] if device["unit"]}
    lines: list[dict[str, Any]] = []
    for event in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        lines.append(event)
        if event["event"] == "frame" and event["kind"] == "answer":
            entry = _sent([entry for entry in entries if entry.bus == bus and (entry.device not in modbus or entry.unit == event["unit"])], event)
            values = {point: [value, decimals[entry.device].get(point, 0)] for point, value in entry.values.items()}
            lines.append({"event": "reading", "profile": profiles[entry.device], "address": entry.address, "count": entry.count, "values": values})
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines), encoding="utf-8")


def _sent(entries: list[Entry], event: dict[str, Any]) -> Entry:
    """What the device says that it sent in this answer."""
    near = [entry for entry in entries if abs(event["mono_ns"] - entry.finished_ns) < ARRIVES_NS_MAX]
    return min(near, key=lambda entry: abs(event["mono_ns"] - entry.finished_ns))


def record_all(names: list[str], station: Path | None = None) -> None:
    with tempfile.TemporaryDirectory() as directory:
        rig = Rig(Path(directory))
        try:
            rig.make_keys()
            rig.start_station(*([str(station)] if station else []))
            rig.write_config(bus_and_device_tables(load_station(station), rig.station, OTHER_PERIOD_S) if station else None)
            rig.config.write_text(rig.config.read_text().replace("[[bus]]\n", OTHER_TIMES if station else TIMES))
            rig.start_gateway()
            wait_for("the socket", (rig.directory / "control.sock").exists)
            codes = [device["code"] for device in rig.station["devices"]]
            wait_for("all values", lambda: all(value["age_s"] is not None for code in codes for value in rig.ask_gateway("read", {"device": code})["values"]))
            for name in names:
                record(rig, name)
        finally:
            rig.close()


def main() -> None:
    wanted = set(sys.argv[1:] or TRACES | OTHER_TRACES)
    if names := [name for name in TRACES if name in wanted]:
        record_all(names)
    if names := [name for name in OTHER_TRACES if name in wanted]:
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as station:
            station.write(OTHERS)
            station.flush()
            record_all(names, Path(station.name))


if __name__ == "__main__":
    main()
