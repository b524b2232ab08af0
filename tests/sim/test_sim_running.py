"""The whole simulated station: read by pymodbus as an independent witness, commanded over its socket, and ended."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path

import pytest
from pymodbus.client import ModbusSerialClient, ModbusTcpClient
from pymodbus.exceptions import ModbusIOException

from edgegw.drivers.catalogue import load_profile
from edgegw.sim import journal
from edgegw.sim.simulator import Simulator
from edgegw.sim.station import load_station
from tests import leftovers

STATION = load_station(None)
READ = {1: "read_coils", 2: "read_discrete_inputs", 3: "read_holding_registers", 4: "read_input_registers"}
TYPES = {"u16": "UINT16", "bits": "UINT16", "i16": "INT16", "u32": "UINT32", "i32": "INT32", "f32": "FLOAT32", "string": "STRING"}


@contextmanager
def simulator(tmp_path, speed=1.0):
    with Simulator(STATION, journal=tmp_path / "journal.jsonl", control=tmp_path / "control.sock", speed=speed) as running:
        yield running


class Control:
    """Speaks to the control socket."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(5)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("rb")

    def say(self, line):
        self._socket.sendall(line + b"\n")
        return json.loads(self._lines.readline())

    def tell(self, command, **arguments):
        return self.say(json.dumps({"command": command, **arguments}).encode())

    def close(self):
        self._lines.close()
        self._socket.close()


def client_of(port, timeout_s=3):
    if port.kind == "tcp":
        return ModbusTcpClient(port.host, port=port.port, timeout=timeout_s, retries=0)
    return ModbusSerialClient(port.path, baudrate=port.baudrate, timeout=timeout_s, retries=0)


def witnessed(client, unit, row):
    """What pymodbus makes of the registers of one point, in the dictionary's unit."""
    first, last = row.span
    answer = getattr(client, READ[row.function])(first, count=last - first + 1, device_id=unit)
    assert not answer.isError(), (row.point, answer)
    if row.function in (1, 2):
        return int(answer.bits[0])
    own = answer.registers[row.address - first :][: row.count]
    value = client.convert_from_registers(own, getattr(client.DATATYPE, TYPES[row.type]))
    if row.type == "string":
        return value.rstrip("\0")
    if row.map:
        return row.codes[value]
    if row.faults:
        return " ".join(row.fault_bits[bit].id for bit in range(32) if value >> bit & 1)
    exponent = 0 if row.exponent is None else answer.registers[row.exponent - first]
    return Fraction(value) * 10**exponent * row.ratio


def test_pymodbus_reads_every_point_as_the_journal_has_it(tmp_path):
    """
    An independent client reads each point of each device over TCP and pty, and gets what the station wrote down that it sent.
    """
    seen = []
    with simulator(tmp_path, speed=2.0) as running:
        for bus in STATION.bus:
            with client_of(running.ports[bus.name]) as client:
                for device in STATION.device:
                    rows = load_profile(device.profile).point if device.bus == bus.name else []
                    seen += [(device.code, row.point, witnessed(client, device.unit, row)) for row in rows]
    decimals, entries = journal.read(tmp_path / "journal.jsonl")
    assert len(seen) == len(entries) == sum(len(load_profile(device.profile).point) for device in STATION.device)
    for (code, point, value), entry in zip(seen, entries, strict=True):
        assert (code, True) == (entry.device, point in entry.values)
        sent = entry.values[point]
        assert value == sent if isinstance(value, str) else abs(value * 10 ** decimals[code][point] - sent) < Fraction(1, 2), point
    assert {device.code for device in STATION.device} == {entry.device for entry in entries}


def test_values_set_by_command_hold_until_released(tmp_path):
    """
    A forced point is sent until it is released, a word on a state's register changes the state too.
    """
    with simulator(tmp_path) as running, closing(Control(running.control_path)) as control, client_of(running.ports["rs485b"]) as client:

        def inputs():
            return client.read_discrete_inputs(0, count=8, device_id=20).bits[:8]

        assert not any(inputs())
        assert {"ok": True} == control.tell("set", device="DI-01", point="input.2", value=1)
        assert [False, True] + [False] * 6 == inputs() == inputs()
        assert {"ok": True} == control.tell("release", device="DI-01", point="input.2")
        assert not any(inputs())
        control.tell("set", device="DI-01", point="input.8", value=1)
        control.tell("release", device="DI-01")
        assert not any(inputs())
        assert {"ok": True} == control.tell("set", device="UPS-01", point="ups.status", value="OB")
        with client_of(running.ports["rs232"]) as ups:
            assert [3] == ups.read_holding_registers(11024, count=1, device_id=1).registers


def test_silence_and_speech(tmp_path):
    """
    A silenced device answers nothing until it is told to speak or the time is over; its neighbours answer.
    """
    with simulator(tmp_path) as running, closing(Control(running.control_path)) as control, client_of(running.ports["rs485b"], timeout_s=0.3) as client:

        def answers(unit):
            try:
                return not client.read_input_registers(1, count=2, device_id=unit).isError()
            except ModbusIOException as fault:
                assert "No response" in str(fault)
                return False

        control.tell("silence", device="TH-01")
        assert (False, True) == (answers(11), answers(12))
        control.tell("speak", device="TH-01")
        assert answers(11)
        control.tell("silence", device="TH-01", seconds=0.2)
        assert not answers(11)
        assert answers(11)
        counts = {device["device"]: device for device in control.tell("counts")["devices"]}
        assert (4, 2, 2) == tuple(counts["TH-01"][key] for key in ("requests", "answers", "unanswered"))


def test_counts_name_every_bus_and_device(tmp_path):
    """
    The counts list each bus with requests, answers, violations and bad requests, and each device with its answers.
    """
    with simulator(tmp_path) as running, closing(Control(running.control_path)) as control:
        with client_of(running.ports["lan"]) as client:
            assert 27 == len(client.read_holding_registers(32064, count=27, device_id=1).registers)
            assert 11 == client.read_holding_registers(1, count=1, device_id=9).exception_code
            assert 2 == client.read_holding_registers(1, count=1, device_id=1).exception_code
        counts = control.tell("counts")
    assert [bus.name for bus in STATION.bus] == [bus["bus"] for bus in counts["buses"]]
    lan = counts["buses"][-1]
    assert (3, 2, 0, 0, 1) == tuple(lan[key] for key in ("requests", "answers", "violations", "bad_requests", "foreign"))
    assert ("PV-01", 2, 2, 1) == tuple(counts["devices"][-1][key] for key in ("device", "requests", "answers", "refused"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"command":"explode"}', "explode"),
        (b"no json", "malformed"),
        (b'{"command":"set","device":"X","point":"input.1","value":1}', 'no device "X"; there are M-IN'),
        (b'{"command":"set","device":"DI-01","point":"voltage","value":1}', '"DI-01" has no point "voltage"; it has input.1'),
        (b'{"command":"set","device":"DI-01","point":"input.1","value":"on"}', "'on' is no number"),
        (b'{"command":"set","device":"UPS-01","point":"ups.status","value":"XX"}', "'XX' is none of OFF, BYPASS"),
        (b'{"command":"fault","device":"PV-01","kind":"crc"}', '"crc" cannot happen on the TCP bus "lan"'),
        (b'{"command":"fault","device":"PV-01","kind":"fire"}', "fire"),
        (b'{"command":"silence","device":"DI-01","minutes":3}', "minutes"),
        (b'{"command":"line","bus":"lan","kind":"unplug"}', '"unplug" cannot happen on the TCP bus "lan"'),
        (b'{"command":"line","bus":"rs485a","kind":"taken"}', '"taken" cannot happen on the serial bus "rs485a"'),
        (b'{"command":"line","bus":"lan","kind":"mute","seconds":3}', '"mute" has no seconds'),
        (b'{"command":"line","bus":"com9","kind":"mute"}', 'no bus "com9"; there are rs485a'),
        (b'{"command":"shift","device":"TH-01","point":"temperature","to":"begin"}', "begin"),
        (b'{"command":"shift","device":"DI-01","point":"input.1","to":"end"}', '"input.1" of "DI-01" never begins anew'),
        (b'{"command":"set","device":"TH-01","point":"temperature","value":"nan"}', "'nan' is no number"),
    ],
)
def test_a_wrong_command_is_refused_in_words(tmp_path, line, said):
    """
    A command that cannot be done is answered with what is wrong, and the socket goes on.
    """
    with simulator(tmp_path) as running, closing(Control(running.control_path)) as control:
        answer = control.say(line)
        assert (False, True) == (answer["ok"], said in answer["error"]), answer
        assert control.tell("counts")["ok"]


def test_delay_on_tcp_and_its_end(tmp_path):
    """
    A delayed TCP answer comes late and is journalled as not whole; without the fault it is whole again.
    """
    with simulator(tmp_path) as running, closing(Control(running.control_path)) as control, client_of(running.ports["lan"]) as client:
        for kind in ("delay", "none"):
            assert {"ok": True} == control.tell("fault", device="PV-01", kind=kind, probability=1, milliseconds=150)
            started = time.monotonic()
            assert not client.read_holding_registers(32080, count=2, device_id=1).isError()
            assert (time.monotonic() - started > 0.15) == (kind == "delay")
    assert [False, True] == [entry.whole for entry in journal.read(tmp_path / "journal.jsonl")[1]]


def test_what_is_no_modbus_ends_the_connection(tmp_path):
    """
    Bytes that are no Modbus TCP close their connection and are counted; the port goes on.
    """
    with simulator(tmp_path) as running:
        port = running.ports["lan"]
        with socket.create_connection((port.host, port.port), 5) as line:
            line.sendall(b"GET / HTTP/1.1\r\n")
            assert b"" == line.recv(100)
        with client_of(port) as client:
            assert not client.read_holding_registers(32080, count=2, device_id=1).isError()
        assert 1 == running.counts["lan"].bad_requests


def started(tmp_path, *options):
    command = [sys.executable, "-m", "edgegw", "simulate", "--journal", str(tmp_path / "journal.jsonl"), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, "stop"])
def test_the_command_tells_its_ports_and_ends_cleanly(tmp_path, end):
    """
    The first line says where everything is; a signal or the command stop ends the process with 0, without a word of error, socket or pty.
    """
    process = started(tmp_path, "--json")
    try:
        said = json.loads(process.stdout.readline())
        assert "edgegw.simulate/1" == said["schema"]
        assert [(device.code, device.bus, device.unit, device.address, device.profile) for device in STATION.device] == [
            tuple(device.values()) for device in said["devices"]
        ]
        assert ["serial"] * 5 + ["tcp"] == [bus["kind"] for bus in said["buses"]]
        paths = [bus["path"] for bus in said["buses"][:5]]
        assert all(Path(path).exists() for path in [*paths, said["control"], said["journal"]])
        if end == "stop":
            with closing(Control(said["control"])) as control:
                assert {"ok": True} == control.tell("stop")
        else:
            process.send_signal(end)
        out, error = process.communicate(timeout=5)
    finally:
        process.kill()
    assert (0, "", "") == (process.returncode, out, error)
    assert not Path(said["control"]).parent.exists()
    assert Path(said["journal"]).exists()


def test_a_wrong_station_file_ends_the_command_with_2(tmp_path):
    """
    A station that cannot be read is one clear line and exit code 2.
    """
    process = started(tmp_path, str(tmp_path / "absent.toml"))
    _, error = process.communicate(timeout=10)
    assert 2 == process.returncode
    assert "absent.toml: cannot be read" in error
    assert "Traceback" not in error


def test_a_path_that_cannot_be_opened_ends_the_command(tmp_path):
    """
    A control socket in a directory that is not there is one clear line, and nothing is left open.
    """
    process = started(tmp_path, "--control", str(tmp_path / "absent" / "control.sock"))
    out, error = process.communicate(timeout=10)
    assert (1, "") == (process.returncode, out)
    assert "the simulated station cannot open its ports and files" in error
    assert "Traceback" not in error


def test_the_scenario_day_runs_fast(tmp_path):
    """
    The compressed day starts before sunrise and an hour of it takes a minute: the sun is up within seconds at a higher speed.
    """
    process = started(tmp_path, "--scenario", "day", "--speed", "20000", "--json")
    try:
        port = json.loads(process.stdout.readline())["buses"][-1]
        with ModbusTcpClient(port["host"], port=port["port"], timeout=3) as client:
            assert leftovers.wait_until(lambda: any(client.read_holding_registers(32080, count=2, device_id=1).registers), 5)
        process.terminate()
        process.communicate(timeout=5)
    finally:
        process.kill()
