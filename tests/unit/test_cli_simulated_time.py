"""`edgegw run --simulated-time` and `edgegw simulate --from`: how a simulated station and a gateway come to one day, and who may not."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from tests.unit.cli_daemon import edgegw

CONFIG = """\
[gateway]
operator = "a"
station = "b"
gateway = "c"

[paths]
state_dir = "{0}/state"
control_socket = "{0}/control.sock"
"""
TIME = "40@1000000000=1800000000000"


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(tmp_path))
    return path


def test_a_service_cannot_live_in_simulated_time(config):
    """
    Whoever leaves the option in a unit file gets no service that tells people of a day that never was.
    """
    done = edgegw("run", "--config", str(config), "--simulated-time", TIME, NOTIFY_SOCKET="/run/systemd/notify")
    assert (2, True) == (done.returncode, "E-SIM-TIME" in done.stderr)
    assert not (config.parent / "state").exists()


@pytest.mark.parametrize("words", ["40", "0@1=1", "1001@1=1", "x@1=1", "40@1"])
def test_time_that_is_none_is_refused(config, words):
    """
    Speed, a stamp of the monotonic clock and its wall time; nothing is guessed.
    """
    done = edgegw("run", "--config", str(config), "--simulated-time", words)
    assert (2, True) == (done.returncode, words in done.stderr)


def test_nobody_is_told_of_it_who_asks_for_help():
    """
    It is for simulated stations alone.
    """
    assert "simulated" not in edgegw("run", "--help").stdout


def test_it_says_loudly_what_it_is(config):
    """
    Before anything else, on standard error.
    """
    command = (sys.executable, "-m", "edgegw", "run", "--config", str(config), "--simulated-time", TIME)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        first = process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
    assert first.startswith("SIMULATED TIME: 40 times as fast")


def test_the_station_tells_its_time(tmp_path):
    """
    Speed, the hour at which its day began and when that was: what the gateway's option is made of.
    """
    command = (sys.executable, "-m", "edgegw", "simulate", "--scenario", "day", "--speed", "30", "--from", "15:10", "--control", str(tmp_path / "s.sock"))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True) as process:
        told = json.loads(process.stdout.readline())["time"]
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
    assert (30.0, pytest.approx(15 + 1 / 6)) == (told["speed"], told["hour"])
    assert told["monotonic_ns"] > 0


def test_a_time_of_the_day_that_is_none_is_refused():
    """
    25:00 is no time.
    """
    done = edgegw("simulate", "--from", "25:00")
    assert (2, True) == (done.returncode, "25:00" in done.stderr)
