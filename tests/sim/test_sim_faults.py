"""Every fault that a station can have, switched on and off while the gateway polls: its effect is seen, and no value is ever wrong."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from edgegw.cli.rig import IDENTITY, Rig, wait_for
from edgegw.sim.audit import audit
from edgegw.sim.gateway_config import bus_and_device_tables
from edgegw.sim.station import load_station

pytestmark = pytest.mark.broker

STATION = Path(__file__).with_name("faults-station.toml")
PERIOD_S = 0.5
# Short waits, so that a fault costs half a second and not three; larger steps of the registers of M-AC1 are judged by its rating.
BUS_KEYS = "answer_timeout_ms = 200\nlate_answer_guard_ms = 400\n"
DEVICE_KEYS = "offline_after_s = 1\nrated_kw = 400\n"
# A silent device is asked at most every 10 s; a busy machine gets room.
WAIT_S = 30
# Not every answer: a device that fails three times in a row is silent, and then asked seldom.
OFTEN = 0.25


# Of 32 bits in hundredths of a kWh: the inverter's 40 kW need some seconds from there.
NEAR_END_KWH = 2**32 / 100 - 0.06


class Case(NamedTuple):
    """One fault and how it shows."""

    number: str
    command: str
    arguments: dict[str, object]
    effect: str
    """A counter of the device or bus that grows, a quality of `point`, a state, or an event's word."""

    @property
    def target(self) -> str:
        return str(self.arguments.get("device") or self.arguments["bus"])


def fault(number, device, effect, kind, **more):
    return Case(number, "fault", {"device": device, "kind": kind, "probability": OFTEN, **more}, effect)


def line(number, bus, effect, kind, **more):
    return Case(number, "line", {"bus": bus, "kind": kind, **more}, effect)


def value(number, device, point, sent):
    return Case(number, "set", {"device": device, "point": point, "value": sent}, "bad")


# What happens to several devices at once, because it takes its time.
ACTS = [
    [fault("F23", "M-AC1", "noise_bytes", "garbage"), fault("F23", "M-AC3", "noise_bytes", "noise"), fault("F23", "UPS-01", "noise_bytes", "noise")],
    [fault("F24", "M-AC1", "short", "truncate"), fault("F24", "M-AC3", "timed_out", "truncate"), fault("F24", "UPS-01", "short", "truncate")],
    [fault("F25", "M-AC1", "crc", "crc"), fault("F25", "M-AC3", "crc", "crc")],
    [fault("F26", device, "timed_out", "delay", milliseconds=300) for device in ("M-AC1", "M-AC3", "UPS-01", "PV-01")],
    [fault("F27", device, "foreign", "foreign_unit") for device in ("M-AC1", "M-AC3", "PV-01")],
    [fault("F28", "M-AC1", "late", "short"), fault("F28", "UPS-01", "late", "short"), fault("F28", "PV-01", "foreign", "short")],
    [fault("F28", "M-AC1", "late", "long"), fault("F28", "UPS-01", "late", "long"), fault("F28", "PV-01", "foreign", "long")],
    [fault("F28", "M-AC1", "late", "other_function"), fault("F28", "M-AC3", "late", "other_function"), fault("F28", "PV-01", "foreign", "other_function")],
    [fault("F29", "M-AC1", "exceptions", "exception", code=4), fault("F29", "PV-01", "exceptions", "exception", code=4)],
    [fault("F30", device, "timed_out", "reboot", milliseconds=400) for device in ("M-AC1", "PV-01")],
    [line("F31", "a", "down", "unplug", seconds=1.5), line("F35", "t", "silent", "taken")],
    [line("F32", "b", "silent", "wrong_speed"), Case("F34", "silence", {"device": "M-AC1"}, "silent"), line("F39", "t", "silent", "mute")],
    [fault("F33", "M-AC1", "doubled", "twin"), fault("F33", "M-AC3", "doubled", "twin")],
    [line("F36", "t", "connections", "hang_up")],
    [fault("F37", "PV-01", "late", "transaction")],
    [fault("F38", "PV-01", "timed_out", "flood")],
    [value("F40", "M-AC1", "active_power", "nan"), value("F40", "M-AC2", "current.a", "inf"), value("F41", "PV-01", "temperature.internal", "none")],
    [value("F41", "M-AC3", "phase_voltage.a", "none"), value("F41", "UPS-01", "ups.load", "none"), value("F42", "M-IN", "phase_voltage.b", 6000)],
    [
        Case("F43", "shift", {"device": "PV-01", "point": "energy.yield", "to": NEAR_END_KWH}, "rollover"),
        Case("F44", "shift", {"device": "M-IN", "point": "energy.import", "to": 0}, "reset"),
        Case("F46", "shift", {"device": "M-AC1", "point": "energy.import", "to": 90_000}, "step_large"),
    ],
    [Case("F45", "set", {"device": "PV-01", "point": "serial_number", "value": "SIM-OTHER"}, "SIM-OTHER")],
    [Case("F47", "hold", {"device": "M-AC2", "points": "*"}, "standing")],
]
NAMES = ["+".join(dict.fromkeys(case.number for case in act)) + "-" + str(act[0].arguments.get("kind", act[0].command)) for act in ACTS]


class Bench:
    """The running station, and what the gateway says of it."""

    def __init__(self, directory: Path) -> None:
        self.rig = Rig(directory, period_s=PERIOD_S)
        self.file = directory / "station.toml"
        self.file.write_text(STATION.read_text(encoding="utf-8").replace("LINKS", str(directory / "links")), encoding="utf-8")
        self.facts = load_station(self.file)

    def start(self) -> None:
        self.rig.make_keys()
        self.rig.start_station(str(self.file))
        self.rig.start_broker()
        self.rig.start_receiver()
        tables = bus_and_device_tables(self.facts, self.rig.station, PERIOD_S).partition("[[rule]]")[0]
        self.rig.write_config(tables.replace("[[bus]]\n", f"[[bus]]\n{BUS_KEYS}").replace("[[device]]\n", f"[[device]]\n{DEVICE_KEYS}"))
        self.rig.start_gateway()
        wait_for("the socket", (self.rig.directory / "control.sock").exists)
        wait_for("good values of every device", lambda: not self.ailing(), WAIT_S)

    def tell(self, command: str, **arguments: object) -> None:
        answer = self.rig.tell_station(command, **arguments)
        assert answer["ok"], answer

    def end(self, case: Case) -> None:
        """Ends the fault of one case."""
        target = {key: value for key, value in case.arguments.items() if key in ("device", "bus")}
        match case.command:
            case "fault" | "line":
                self.tell(case.command, kind="none", **target)
            case "silence":
                self.tell("speak", **target)
            case _:
                self.tell("release", **target)

    def values(self, device: str) -> list[dict]:
        return self.rig.ask_gateway("read", {"device": device})["values"]

    def ailing(self) -> list[str]:
        """Devices of which a value is not good or old."""
        polled = ((device.code, value) for device in self.facts.device for value in self.values(device.code) if not value["point"].startswith("link."))
        return [code for code, value in polled if value["quality"] != "good" or value["age_s"] > 4 * PERIOD_S]

    def counted(self, target: str, counter: str) -> int:
        """Of a device, or of all on a bus."""
        keys = {(device.bus, device.key) for device in self.facts.device if target in (device.code, device.bus)}
        units = ((bus["name"], unit) for bus in self.rig.ask_gateway("bus-stats")["buses"] for unit in bus["units"])
        return sum(unit[counter] for bus, unit in units if (bus, unit["unit"]) in keys)

    def told(self, word: str) -> int:
        """Events with this word at the receiver."""
        with closing(sqlite3.connect(f"file:{self.rig.sink}?mode=ro", uri=True)) as sink:
            return sum(word in json.dumps(json.loads(body)) for (body,) in sink.execute("SELECT body FROM events"))

    def look(self, case: Case) -> object:
        """What the effect is judged by: a number that grows from the start, or a truth."""
        match case.effect:
            case "bad":
                return any(value["point"] == case.arguments["point"] and value["quality"] in ("bad", "not fitted") for value in self.values(case.target))
            case "standing":
                return [(value["value"], value["time"]) for value in self.values(case.target) if value["point"] == "phase_voltage.a"]
            case "silent":
                codes = [device.code for device in self.facts.device if case.target in (device.code, device.bus)]
                return all(value["quality"] in ("offline", "stale") for code in codes for value in self.values(code) if not value["point"].startswith("link."))
            case "down":
                return next(bus["error"] for bus in self.rig.ask_gateway("status")["buses"] if bus["name"] == case.target) is not None
            case _:
                return self.amount(case)

    def amount(self, case: Case) -> int:
        """Of what is counted."""
        match case.effect:
            case "connections":
                return next(bus["connections"] for bus in self.rig.tell_station("counts")["buses"] if bus["bus"] == case.target)
            case "rollover" | "reset" | "step_large" | "SIM-OTHER":
                return self.told(case.effect)
        return self.counted(case.target, case.effect)

    def shows(self, case: Case, before: object) -> bool:
        now = self.look(case)
        if case.effect == "standing":
            # A voltage is never the same twice, unless it is held: another answer, the same value.
            later = wait_for("another answer", lambda: (again := self.look(case)) != now and again, WAIT_S)
            return later[0][0] == now[0][0]
        return now if isinstance(now, bool) else now > before


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A gateway, its station, broker and receiver for all tests: every fault must leave it as it was."""
    bench = Bench(tmp_path_factory.mktemp("faults"))
    try:
        bench.start()
        yield bench
    finally:
        bench.rig.close()


@pytest.mark.parametrize("act", ACTS, ids=NAMES)
def test_a_fault_has_its_effect_and_ends(bench, act):
    """
    A fault that is switched on shows in the device that has it, its neighbours go on, and when it is switched off every value is good again.
    """
    before = [bench.look(case) for case in act]
    try:
        for case in act:
            bench.tell(case.command, **case.arguments)
        for case, seen in zip(act, before, strict=True):
            wait_for(f"the effect of {case.number} on {case.target}", lambda case=case, seen=seen: bench.shows(case, seen), WAIT_S)
        assert "a" in [case.target for case in act] or "TH-01" not in bench.ailing()
    finally:
        for case in act:
            bench.end(case)
    assert wait_for("good values of every device", lambda: not bench.ailing(), WAIT_S)


def test_every_fault_was_tried():
    """
    None of the faults of lines, devices and values is left out.
    """
    assert {f"F{number}" for number in range(23, 48)} == {case.number for act in ACTS for case in act}


def test_no_value_was_wrong(bench):
    """
    After all of them nothing has reached the cloud that a device did not send as an answer to that question, and nothing twice.
    """
    bench.rig.must_run()
    bench.rig.drain()
    assert 0 == bench.rig.stop("gateway")
    found = audit(bench.rig.journal, bench.rig.sink, IDENTITY)
    # What is lost is not judged: an answer that came while the gateway made sure of its line is no reading.
    assert (0, 0, 0, []) == (found.wrong, found.unexplained, found.duplicates, found.examples)
    assert found.matched > 1000
