"""A station whose ports have names that stay: the reference station's way, and commands to it from another terminal."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from edgegw.sim.gateway_config import fixed_ports
from edgegw.sim.simulator import Simulator
from edgegw.sim.station import load_station
from tests import leftovers

STATION = """
links = "{links}"

[[bus]]
name = "com1"
kind = "serial"

[[bus]]
name = "lan"
kind = "tcp"

[[device]]
code = "TH-01"
bus = "com1"
unit = 1
profile = "xy-md02"
role = "cabinet"
"""


@pytest.fixture
def station(tmp_path):
    file = tmp_path / "station.toml"
    file.write_text(STATION.format(links=tmp_path / "links"))
    return file


def simulate(*arguments, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "edgegw", "simulate", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
    )


def test_a_port_has_its_name_until_the_end(tmp_path, station):
    """
    The link leads to the pty, takes the place of one that was left behind, follows the adapter to its new number, and is gone afterwards.
    """
    link = tmp_path / "links" / "com1"
    link.parent.mkdir()
    link.symlink_to("/dev/pts/left-behind")
    facts = load_station(station)
    with Simulator(facts, journal=tmp_path / "journal.jsonl", control=tmp_path / "control.sock") as running:
        assert str(link) == running.ports["com1"].path
        first = str(link.readlink())
        assert first.startswith("/dev/pts/")
        fixed = fixed_ports(facts)["buses"][0]
        assert fixed == {key: value for key, value in running.description()["buses"][0].items() if key in fixed}
        running._lines["com1"].unplug(0.05)
        assert leftovers.wait_until(lambda: link.is_symlink() and str(link.readlink()) != first, 10)
        assert link.exists()
    assert not link.is_symlink()


def test_what_is_no_link_is_left_alone(tmp_path, station):
    """
    A file of somebody else is not replaced: the station says which one is in the way.
    """
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "com1").write_text("mine")
    process = simulate(station)
    _, error = process.communicate(timeout=20)
    assert (1, True) == (process.returncode, "links/com1" in error)
    assert "mine" == (tmp_path / "links" / "com1").read_text()


def test_a_command_reaches_the_running_station(tmp_path, station):
    """
    `--tell` prints the station's answer; what it refuses, and a station that is not there, are one clear line and exit code 1.
    """
    running = simulate(station)
    try:
        assert str(tmp_path / "links" / "station.sock") == json.loads(running.stdout.readline())["control"]
        told = simulate(station, "--tell", "silence device=TH-01 seconds=30")
        assert ({"ok": True}, 0) == (json.loads(told.communicate(timeout=20)[0]), told.returncode)
        refused = simulate(station, "--tell", "fault device=TH-01 kind=flood")
        assert (True, 1) == ('"flood" cannot happen on the serial bus "com1"' in refused.communicate(timeout=20)[1], refused.returncode)
        stopped = simulate(station, "--tell", "stop")
        assert ('{"ok": true}\n', "") == stopped.communicate(timeout=20)
        assert 0 == running.wait(timeout=20)
    finally:
        running.kill()
        running.communicate()
    alone = simulate(station, "--tell", "counts")
    assert (True, 1) == ("no station answers" in alone.communicate(timeout=20)[1], alone.returncode)
    assert not (tmp_path / "links" / "station.sock").exists()
