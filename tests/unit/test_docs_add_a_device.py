"""The page "add a device in ten minutes" does what it says: its file is linted, its exchange decoded, its device asked."""

from __future__ import annotations

import json
import re
import shlex
import socketserver
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli_daemon import edgegw

PAGE = (Path(__file__).parents[2] / "docs" / "add-a-device.md").read_text(encoding="utf-8")
PROFILE = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)[0]
CONSOLE = [block.split("\n", 1) for block in re.findall(r"```console\n\$ edgegw (.*?)```", PAGE, re.DOTALL)]
REGISTERS = {0: 0x0901, 1: 0x04E2, 2: 0xFFFF, 3: 0xF1F0, 4: 0x0008, 10: 0x0001, 11: 0xE240, 100: 0x0001, 101: 0x0203}


class _Meter(socketserver.StreamRequestHandler):
    """The meter of the page, unit 7, over Modbus TCP; it has no register 5."""

    def handle(self) -> None:
        while len(head := self.rfile.read(7)) == 7:
            transaction, _, length, unit = struct.unpack(">HHHB", head)
            function, first, count = struct.unpack(">BHH", self.rfile.read(length - 1))
            body = struct.pack(">BB", function, 2 * count) + b"".join(struct.pack(">H", REGISTERS.get(first + k, 0)) for k in range(count))
            if not all(first + k in REGISTERS for k in range(count)):
                body = bytes((function | 0x80, 2))
            self.wfile.write(struct.pack(">HHHB", transaction, 0, len(body) + 1, unit) + body)


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with the page's profile and a configuration whose bus `lan` has the meter on it."""
    directory = tmp_path_factory.mktemp("page")
    (directory / "my-meter.toml").write_text(PROFILE, encoding="utf-8")
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Meter) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        text = f"""
            gateway = {{ operator = "OP", station = "ST", gateway = "GW" }}
            paths = {{ state_dir = "{directory}" }}
            bus = [{{ name = "lan", kind = "tcp", host = "127.0.0.1", port = {server.server_address[1]} }}]
            device = [
              {{ code = "TH-01", bus = "lan", unit = 1, profile = "xy-md02" }},
              {{ code = "M-01", bus = "lan", unit = 7, profile = "{directory}/my-meter.toml" }},
            ]
        """
        (directory / "config.toml").write_text(text, encoding="utf-8")
        yield directory
        server.shutdown()


def run(station: Path, command: str, *more: str):
    words = [str(station / word) if word == "my-meter.toml" else word for word in shlex.split(command)]
    return edgegw("--config", station / "config.toml", *words, *more)


def test_the_page_has_its_three_commands():
    """The page shows lint, decode and try."""
    assert ["profiles lint", "decode modbus", "profiles try"] == [" ".join(command.split()[:2]) for command, _ in CONSOLE]


@pytest.mark.parametrize(("command", "shown"), CONSOLE[:2], ids=["lint", "decode"])
def test_a_command_of_the_page_prints_what_the_page_shows(station, command, shown):
    """What stands below a command is what it prints."""
    done = run(station, command)
    assert 0 == done.returncode
    assert shown.strip() in done.stdout.strip()


def test_the_page_s_exchange_has_the_values_of_its_display(station):
    """The example decodes to volts, amperes, kilowatts and the named fault."""
    data = json.loads(run(station, CONSOLE[1][0], "--json").stdout)["data"]
    wanted = {"phase_voltage.a": 230.5, "current.a": 12.5, "active_power": -3.6, "alarm_word.1": 8, "alarms.1": "cover_open"}
    assert wanted == {point: found["value"] for point, found in data["values"].items()}


def test_the_page_s_device_is_tried(station):
    """Every value of the device comes with its quality and its registers; nothing is refused."""
    done = run(station, CONSOLE[2][0], "--json")
    data = json.loads(done.stdout)["data"]
    assert 0 == done.returncode
    assert (True, []) == (data["unproven"], data["refused"])
    found = {value["point"]: (value["value"], value["quality"], value["raw"]) for value in data["values"]}
    assert (230.5, "good", "0901") == found["phase_voltage.a"]
    assert (1234.56, "good", "0001 E240") == found["energy.import"]


def test_a_point_that_the_device_does_not_have_is_named(station):
    """A block that is refused is asked value by value: one hole costs no other point its value."""
    wrong = PROFILE.replace('point = "energy.import"', 'point = "frequency"\ngroup = "electrical"\naddress = 6\n\n[[point]]\npoint = "energy.import"')
    (station / "wrong.toml").write_text(wrong, encoding="utf-8")
    done = edgegw("--config", station / "config.toml", "--json", "profiles", "try", station / "wrong.toml", "lan", "--unit", 7)
    data = json.loads(done.stdout)["data"]
    assert ["frequency"] == data["refused"]
    assert {"good"} == {value["quality"] for value in data["values"] if value["point"] != "frequency"}


def test_an_unproven_profile_says_so_when_its_device_is_read(station):
    """Beside the values of a device stands that no captured exchange has shown its profile yet; a proven one says nothing."""
    config = ["--config", station / "config.toml", "--offline"]
    assert "unproven profile" in edgegw(*config, "read", "M-01").stdout.splitlines()[1]
    assert "unproven" not in edgegw(*config, "read", "TH-01").stdout
