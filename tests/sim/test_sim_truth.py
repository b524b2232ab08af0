"""Truth on the simulated station: a register that falls, an exchanged inverter, a lost module."""

from __future__ import annotations

import json

import pytest

from edgegw.cli.rig import Rig, wait_for
from tests.unit.cli_daemon import edgegw

# The station polls a hundred points a second on a machine that does other things too.
WAIT_S = 60


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    """A gateway on the station without a broker. PV-01 must be the inverter that it is; four inputs of DI-01 are fail-safe."""
    rig = Rig(tmp_path_factory.mktemp("truth"))
    try:
        rig.make_keys()
        rig.start_station()
        rig.write_config()
        text = rig.config.read_text(encoding="utf-8")
        rig.config.write_text(text.replace('code = "PV-01"\n', 'code = "PV-01"\nserial_number = "SIM-PV-01"\n', 1), encoding="utf-8")
        rig.start_gateway()
        wait_for("the socket", (rig.directory / "control.sock").exists)
        wait_for("every register", lambda: good(rig, "M-IN", "energy.import") and good(rig, "PV-01", "active_power"), WAIT_S)
        yield rig
    finally:
        rig.close()


def read(rig, device, point):
    (value,) = rig.ask_gateway("read", {"device": device, "points": [point]})["values"]
    return value


def good(rig, device, point):
    return read(rig, device, point)["quality"] == "good"


def told(rig, device, kind):
    """The words of truth in the log, in order."""
    lines = [json.loads(line) for line in rig.log_of("gateway").read_text().splitlines() if line.startswith("{")]
    texts = [" ".join(str(part) for part in line.values()) for line in lines]
    return [text for text in texts if f"{device} {kind}: " in text]


def test_a_register_that_steps_back_is_told_and_accepted(rig):
    """
    Half of its energy is no value that a meter can come to; two more reads decide, and the value is the meter's.
    """
    half = round(read(rig, "M-IN", "energy.import")["value"] / 2)
    assert rig.tell_station("set", device="M-IN", point="energy.import", value=half)["ok"]
    wait_for("the step back", lambda: any("what step_back" in text for text in told(rig, "M-IN", "counter")), WAIT_S)
    wait_for("a good value again", lambda: good(rig, "M-IN", "energy.import"), WAIT_S)
    assert half == read(rig, "M-IN", "energy.import")["value"]


def test_another_inverter_is_the_wrong_device_until_the_right_one_is_back(rig):
    """
    Its alarm is open and its values are suspect; with the configured serial number both end.
    """
    assert rig.tell_station("set", device="PV-01", point="serial_number", value="SIM-OTHER")["ok"]
    wait_for("the alarm", lambda: wrong(rig), WAIT_S)
    wait_for("doubt", lambda: read(rig, "PV-01", "active_power")["quality"] == "suspect", WAIT_S)
    second_line = edgegw("read", "PV-01", "--lang", "en", "-c", rig.config).stdout.splitlines()[1]
    assert second_line.startswith("WRONG DEVICE: serial number SIM-OTHER  serial number SIM-PV-01")
    rig.tell_station("release", device="PV-01")
    wait_for("the end of the alarm", lambda: not wrong(rig), WAIT_S)
    wait_for("good values", lambda: good(rig, "PV-01", "active_power"), WAIT_S)
    assert 2 == len(told(rig, "PV-01", "identity"))


def wrong(rig):
    return [alarm for alarm in rig.ask_gateway("status")["alarms"] if alarm["device"] == "PV-01" and "SIM-OTHER" in alarm["text"]]


def test_a_silent_module_is_a_fault_of_its_fail_safe_inputs(rig):
    """
    All four are lost within seconds, and come back with the first value.
    """
    rig.tell_station("silence", device="DI-01")
    wait_for("four lost inputs", lambda: len(told(rig, "DI-01", "input_lost")) == 4, WAIT_S)
    rig.tell_station("speak", device="DI-01")
    wait_for("all back", lambda: len(told(rig, "DI-01", "input_lost")) == 8, WAIT_S)
    assert ["raised"] * 4 + ["cleared"] * 4 == [text.split("edge ")[1].split(",")[0] for text in told(rig, "DI-01", "input_lost")]
