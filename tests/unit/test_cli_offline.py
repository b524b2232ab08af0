"""Commands that need no service: a device read directly, keys made and listed."""

from __future__ import annotations

import json
import socketserver
import stat
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli_daemon import edgegw

REGISTERS = {1: 235, 2: 481}
"""What the sensor sends: 23.5 C and 48.1 %RH in tenths."""
CLOSED = 0b1000_0001
"""What the module with contacts sends: inputs 1 and 8 are closed."""


class _Sensor(socketserver.StreamRequestHandler):
    """Modbus TCP as the specification says it: header of 7 bytes, function, byte count, registers."""

    def handle(self) -> None:
        while len(head := self.rfile.read(7)) == 7:
            transaction, _, length, unit = struct.unpack(">HHHB", head)
            function, first, count = struct.unpack(">BHH", self.rfile.read(length - 1))
            data = b"".join(struct.pack(">H", REGISTERS.get(first + number, 0)) for number in range(count))
            if function == 2:
                data = bytes((CLOSED,))
            refused = unit == 9 or (unit == 8 and first <= 2 < first + count)
            if refused:
                function, data = function | 0x80, b""
            body = struct.pack(">BB", function, 2 if refused else len(data)) + data
            self.wfile.write(struct.pack(">HHHB", transaction, 0, len(body) + 1, unit) + body)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A station with a sensor that answers, one that refuses and one behind a closed port."""
    directory = tmp_path_factory.mktemp("offline")
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Sensor) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        (directory / "config.toml").write_text(
            f"""
            gateway = {{ operator = "OP", station = "ST", gateway = "GW" }}
            paths = {{ state_dir = "{directory}" }}
            bus = [
              {{ name = "lan", kind = "tcp", host = "127.0.0.1", port = {server.server_address[1]} }},
              {{ name = "dead", kind = "tcp", host = "127.0.0.1", port = 1 }},
            ]
            device = [
              {{ code = "TH-01", bus = "lan", unit = 1, profile = "xy-md02", name = "配电间" }},
              {{ code = "TH-08", bus = "lan", unit = 8, profile = "xy-md02" }},
              {{ code = "DI-01", bus = "lan", unit = 3, profile = "waveshare.io8", input = {{ "4" = {{ contact = "nc" }}, "8" = {{ contact = "nc" }} }} }},
              {{ code = "TH-09", bus = "lan", unit = 9, profile = "xy-md02" }},
              {{ code = "TH-02", bus = "dead", unit = 1, profile = "xy-md02" }},
            ]
            """,
            encoding="utf-8",
        )
        yield directory / "config.toml"
        server.shutdown()
        thread.join()


def test_a_device_is_read_without_the_service(config):
    """
    With --offline the line is opened here, which is said first, and the values are those of the device.
    """
    done = edgegw("read", "TH-01", "--offline", "-c", config)
    assert 0 == done.returncode, done.stderr
    assert done.stderr.startswith("The service is not used: opening 127.0.0.1:")
    assert "23.5  C     good" in done.stdout
    assert "48.1  %RH   good" in done.stdout
    assert "TH-01  配电间  xy-md02  lan unit 1" == done.stdout.split("\n")[0]


def test_the_json_of_a_direct_read_is_that_of_the_service(config):
    """
    A script needs not know whether the service ran.
    """
    frame = json.loads(edgegw("read", "TH-01", "temperature", "--offline", "--json", "-c", config).stdout)
    (value,) = frame["data"]
    assert ("edgegw.read/1", "OP/ST/GW", True) == (frame["schema"], frame["gateway"], frame["ok"])
    assert ("TH-01", "temperature", 23.5, "C", "good") == tuple(value[key] for key in ("device", "point", "value", "unit", "quality"))


def values(config, code):
    frame = json.loads(edgegw("read", code, "--offline", "--json", "-c", config).stdout)
    return {value["point"]: tuple(value[key] for key in ("value", "quality", "address", "raw")) for value in frame["data"]}


def test_a_direct_read_tells_the_registers(config):
    """
    Beside each value stands where it is, as the profile has it, and what the device sent; on the screen too, in 80 cells.
    """
    assert {"temperature": (23.5, "good", 1, "00EB"), "humidity": (48.1, "good", 2, "01E1")} == values(config, "TH-01")
    lines = edgegw("read", "TH-01", "--offline", "-c", config).stdout.splitlines()
    assert any(line.startswith("temperature") and line.endswith("1 00EB") for line in lines)
    assert [] == [line for line in lines if len(line) > 80]


def test_a_direct_read_halves_a_refused_block(config):
    """
    A sensor without its second register has its first value; what it refuses has neither value nor register.
    """
    assert {"temperature": (23.5, "good", 1, "00EB"), "humidity": (None, "refused", None, None)} == values(config, "TH-08")


def test_a_direct_read_turns_normally_closed_contacts_round(config):
    """
    An open circuit of such a contact is the alarm, as for the service; raw is what the module said.
    """
    found = values(config, "DI-01")
    assert [(1, "1"), (0, "0"), (1, "0"), (0, "1")] == [(found[f"input.{number}"][0], found[f"input.{number}"][3]) for number in (1, 2, 4, 8)]


@pytest.mark.parametrize(
    ("exit_code", "message_id", "arguments"),
    [
        (4, "E-DEVICE", ["TH-10"]),
        (4, "E-POINT", ["TH-01", "temperatur"]),
        (6, "E-BUS-REFUSED: TH-09 (bus lan, unit 9) refuses", ["TH-09"]),
        (None, "E-BUS-CONNECT", ["TH-02"]),
    ],
)
def test_what_cannot_be_read_directly_is_said(config, exit_code, message_id, arguments):
    """
    Unknown device or point 4, a device that refuses 6, a line that cannot be had is named.
    """
    done = edgegw("read", *arguments, "--offline", "-c", config)
    assert exit_code is None or exit_code == done.returncode
    assert done.returncode != 0
    assert message_id in done.stderr
    assert "Traceback" not in done.stderr


def test_a_direct_read_needs_a_configuration_without_mistakes(tmp_path):
    """
    What `config check` would say first is said, with exit code 2.
    """
    (tmp_path / "config.toml").write_text("[gateway]\n")
    done = edgegw("read", "TH-01", "--offline", "-c", tmp_path / "config.toml")
    assert (2, "") == (done.returncode, done.stdout)
    assert "E-CFG: config.toml:1: error E-CFG-MISSING" in done.stderr


def test_keys_are_made_once_and_listed(config, tmp_path):
    """
    The gateway's keys lie where the configuration says, private, and are never overwritten.
    """
    made = json.loads(edgegw("keys", "new", "gateway", "-c", config, "--json").stdout)["data"]
    directory = config.parent / "keys"
    assert (str(directory), "OP/ST/GW") == (made["directory"], made["gateway"])
    named = edgegw("keys", "new", "gateway", "--dir", tmp_path / "g", "-c", config).stdout
    assert f"Next: copy {tmp_path}/g/gateway.pub to the cloud, as gateways/OP.ST.GW.pub in the directory of its keys" in named
    assert [0o600] == [stat.S_IMODE(file.stat().st_mode) for file in directory.glob("*.pem")]
    again = edgegw("keys", "new", "gateway", "-c", config)
    assert 0 != again.returncode
    assert again.stderr.startswith("E-KEY-EXISTS")
    listed = json.loads(edgegw("keys", "list", "-c", config, "--json").stdout)["data"]
    assert made["fingerprint"] in {key["fingerprint"] for key in listed}
    assert {"kind", "fingerprint", "created", "path", "gateway"} == set(listed[0])


def test_a_cloud_has_keys_of_its_own(tmp_path):
    """
    The keys of a cloud are made in the directory that is named, and the public half is the one to copy.
    """
    done = edgegw("keys", "new", "cloud", "--dir", tmp_path / "cloud")
    assert 0 == done.returncode, done.stderr
    assert "Next: copy " in done.stdout
    assert (tmp_path / "cloud" / "cloud.pub").exists()
    assert (tmp_path / "cloud" / "gateways").is_dir()
    assert "cloud-open" in edgegw("keys", "list", "--dir", tmp_path / "cloud").stdout


def test_the_receiver_refuses_a_start_that_cannot_work(tmp_path):
    """
    Missing options and missing keys end in one line with exit code 2.
    """
    assert 2 == edgegw("cloud", "receive").returncode
    done = edgegw("cloud", "receive", "--broker", "mqtts://localhost:1", "--keys", tmp_path, "--sink", f"sqlite:{tmp_path}/sink.db")
    assert 2 == done.returncode
    assert "E-KEY-MISSING" in done.stderr
