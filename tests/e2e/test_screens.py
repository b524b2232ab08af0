"""What a technician sees of a running gateway when a device, a line or the gateway itself is silent."""

from __future__ import annotations

import json
import re
import time

import pytest

from edgegw.cli.rig import Rig, wait_for
from edgegw.errors import EXIT_NO_ANSWER, EXIT_OK, EXIT_WARNINGS, EdgegwError
from tests.unit.cli_daemon import edgegw

GONE = "/dev/edgegw-not-there"


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    """A gateway on the simulated station without a broker; the port of its bus rs232 is not there, TH-02 is silent."""
    rig = Rig(tmp_path_factory.mktemp("screens"))
    try:
        rig.make_keys()
        rig.start_station()
        rig.write_config()
        port = next(bus["path"] for bus in rig.station["buses"] if bus["name"] == "rs232")
        rig.config.write_text(rig.config.read_text().replace(f'"{port}"', f'"{GONE}"'))
        rig.start_gateway()
        wait_for("the polls", lambda: online(rig) == 11)
        rig.tell_station("silence", device="TH-02")
        yield rig
    finally:
        rig.close()


def online(rig):
    try:
        return sum(bus["online"] for bus in rig.ask_gateway("status")["buses"])
    except EdgegwError:
        return 0


def test_a_question_under_way_is_no_error(rig):
    """
    Looked at in the middle of questions, the share of errors of a healthy bus is 0.
    """
    until_s = time.monotonic() + 2
    shares = set()
    while time.monotonic() < until_s:
        shares |= {bus["error_percent"] for bus in rig.ask_gateway("status")["buses"] if bus["name"] not in {"rs232", "rs485b"}}
    assert {0.0} == shares


def test_the_screen_says_what_is_wrong_with_a_line(rig):
    """
    A port that is not there stands on the status screen with its path, not only in the journal.
    """
    done = edgegw("status", "-c", rig.config)
    assert EXIT_WARNINGS == done.returncode
    assert f'rs232: E-BUS-PORT: bus "rs232": {GONE} does not' in done.stdout
    bus = next(bus for bus in json.loads(edgegw("status", "--json", "-c", rig.config).stdout)["data"]["buses"] if bus["name"] == "rs232")
    assert "E-BUS-PORT" == bus["error"]["id"]


def test_a_fresh_read_on_a_line_that_is_down_names_the_line(rig):
    """
    Exit 5, and the reason is the port, not the device.
    """
    done = edgegw("read", "UPS-01", "--fresh", "-c", rig.config)
    assert EXIT_NO_ANSWER == done.returncode
    assert done.stderr.startswith("E-BUS-PORT: UPS-01: ")
    assert GONE in done.stderr


def test_a_fresh_read_that_nobody_answers_is_no_success(rig):
    """
    The old value stays visible as stale, but the command says that the device is silent and ends with 5.
    """
    assert EXIT_OK == edgegw("read", "TH-01", "--fresh", "-c", rig.config).returncode
    rig.tell_station("silence", device="TH-01")
    done = edgegw("read", "TH-01", "--fresh", "-c", rig.config)
    assert EXIT_NO_ANSWER == done.returncode
    assert done.stderr.startswith("E-BUS-TIMEOUT: TH-01 (bus rs485b, unit 11) does not answer. Next: ")
    assert "stale" in done.stdout
    frame = json.loads(edgegw("read", "TH-01", "--fresh", "--json", "-c", rig.config).stdout)
    assert (False, "E-BUS-TIMEOUT", "stale") == (frame["ok"], frame["error"]["id"], frame["data"][0]["quality"])


def test_an_alarm_says_its_figures_once_and_in_the_caller_s_language(rig):
    """
    `no answer for 15 s` is not followed by `15 s (limit 15)`; a Chinese screen has the Chinese sentence.
    """
    wait_for("the alarm", lambda: any(alarm["device"] == "TH-02" for alarm in rig.ask_gateway("status")["alarms"]), 30)
    english = next(line for line in edgegw("status", "-c", rig.config).stdout.splitlines() if "TH-02" in line)
    assert re.search(r" TH-02 +no answer for 1\d s$", english), english
    chinese = next(line for line in edgegw("status", "--lang", "zh", "-c", rig.config).stdout.splitlines() if "TH-02" in line)
    assert chinese.endswith("秒无应答")


def test_without_the_service_a_read_opens_the_line_itself(rig):
    """
    The same command works with the service stopped, and says so first.
    """
    assert 0 == rig.stop("gateway")
    done = edgegw("read", "M-IN", "frequency", "-c", rig.config)
    assert EXIT_OK == done.returncode, done.stderr
    assert done.stderr.startswith("The service is not running: opening /dev/")
    assert "Hz    good" in done.stdout
