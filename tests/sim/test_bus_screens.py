"""`edgegw bus` on a gateway that polls the simulated station: screens, JSON, and frames while polling goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from itertools import pairwise

import pytest

from edgegw.cli.cells import cells
from edgegw.cli.rig import Rig, wait_for
from edgegw.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_UNKNOWN, EXIT_WARNINGS
from tests.unit.cli_daemon import WAIT_S, edgegw


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    """A gateway on the station without a broker; TH-02 is silent from the start, M-DC2 often breaks its frames."""
    rig = Rig(tmp_path_factory.mktemp("bus"))
    try:
        rig.make_keys()
        rig.start_station()
        rig.tell_station("silence", device="TH-02")
        rig.tell_station("fault", device="M-DC2", kind="crc", probability=0.5)
        rig.write_config()
        rig.start_gateway()
        wait_for("the socket", (rig.directory / "control.sock").exists)
        wait_for("the hints", lambda: {"H1", "H2"} <= {hint for unit in units(rig) for hint in unit["hints"]}, 40)
        yield rig
    finally:
        rig.close()


def units(rig, *options):
    (bus,) = json.loads(edgegw("bus", "stats", "rs485b", "--json", "-c", rig.config, *options).stdout)["data"]
    return bus["units"]


def frames(text):
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_stats_name_the_silent_and_the_disturbed_device(rig, language):
    """Each gets its hint, each hint its sentence, and no line is wider than 80 cells."""
    done = edgegw("bus", "stats", "rs485b", "--lang", language, "-c", rig.config)
    assert EXIT_WARNINGS == done.returncode, done.stderr
    lines = done.stdout.splitlines()
    assert [] == [line for line in lines if cells(line) > 80]
    assert next(line for line in lines if "TH-02" in line).endswith("H1")
    assert next(line for line in lines if "M-DC2" in line).endswith("H2")
    sentences = {line[:3] for line in lines if line.startswith("H")}
    assert {"H1 ", "H2 "} <= sentences
    assert lines[-1].endswith("edgegw bus monitor rs485b")


def test_stats_since_some_seconds_count_what_came_since(rig):
    """What happened before does not show in them, and the time that they are of is told."""
    wait_for("a look at the counters", lambda: sum(unit["asked"] for unit in units(rig, "--since", "10s")) < sum(unit["asked"] for unit in units(rig)), 40)
    (bus,) = json.loads(edgegw("bus", "stats", "rs485b", "--since", "10s", "--json", "-c", rig.config).stdout)["data"]
    (ever,) = json.loads(edgegw("bus", "stats", "rs485b", "--json", "-c", rig.config).stdout)["data"]
    assert 10 <= bus["span_s"] < ever["span_s"]
    recent = {unit["device"]: unit["asked"] for unit in bus["units"] if not unit["silent"]}
    assert all(0 < asked < unit["asked"] for unit in ever["units"] if (asked := recent.get(unit["device"])) is not None)
    assert 0.0 < bus["busy_share"] < 1.0


@pytest.mark.parametrize("language", ["en", "zh"])
def test_list_shows_every_line(rig, language):
    """All buses of the station, in 80 cells."""
    done = edgegw("bus", "list", "--lang", language, "-c", rig.config)
    lines = done.stdout.splitlines()
    assert {bus["name"] for bus in rig.station["buses"]} == {line.split()[0] for line in lines[1:]}
    assert [] == [line for line in lines if cells(line) > 80]


def test_an_unknown_bus_is_named_with_those_there_are(rig):
    """Exit 4, and the names to choose from."""
    for command in ("stats", "monitor"):
        done = edgegw("bus", command, "nowhere", "-c", rig.config)
        assert EXIT_UNKNOWN == done.returncode
        assert done.stderr.startswith('E-BUS-UNKNOWN: no bus "nowhere". Next: one of ')
        assert "rs485b" in done.stderr


def test_monitor_shows_the_frames_while_polling_goes_on(rig):
    """Questions and answers of several devices, each frame once, every good answer decoded as many registers as were asked."""
    asked = sum(unit["asked"] for unit in units(rig))
    done = edgegw("bus", "monitor", "rs485b", "--seconds", "3", "--json", "-c", rig.config)
    assert EXIT_OK == done.returncode, done.stderr
    start, *found, end = frames(done.stdout)
    assert ("start", "end", 0, len(found)) == (start["event"], end["event"], end["lost"], end["frames"])
    assert list(range(found[0]["number"], found[-1]["number"] + 1)) == [frame["number"] for frame in found]
    assert sum(unit["asked"] for unit in units(rig)) - asked >= sum(frame["kind"] == "question" for frame in found) > 5
    for question, answer in pairwise(found):
        if answer["kind"] == "answer" and question["kind"] == "question":
            words = question["words"]
            assert words["unit"] == answer["words"]["unit"]
            assert len(answer["words"]["values"]) == ((words["count"] + 7) // 8 if words["function"] in (1, 2) else words["count"])
            assert answer["delta_ms"] > 5


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_screen_of_monitor_is_80_cells_wide(rig, language):
    """Title, frames with their bytes, and the last line."""
    done = edgegw("bus", "monitor", "rs485b", "--seconds", "2", "--hex", "--lang", language, "-c", rig.config)
    lines = done.stdout.splitlines()
    assert [] == [line for line in lines if cells(line) > 80]
    assert 10 < sum(" > " in line for line in lines) + sum(" < " in line for line in lines)


def test_monitor_writes_what_it_shows(rig, tmp_path):
    """The file holds the JSON lines, whatever the screen shows; --last begins with frames from before."""
    path = tmp_path / "trace.jsonl"
    done = edgegw("-q", "bus", "monitor", "rs485b", "--last", "--seconds", "0.5", "--write", path, "-c", rig.config)
    assert (EXIT_OK, "") == (done.returncode, done.stdout)
    start, *found, end = frames(path.read_text(encoding="utf-8"))
    assert ("edgegw.bus-monitor/1", "serial", len(found)) == (start["schema"], start["settings"]["kind"], end["frames"])
    assert len(found) > 50


def test_read_tells_the_registers_of_the_last_poll(rig):
    """Address and registers stand beside each value of what was polled just now; a device that is silent has none."""
    frame = json.loads(edgegw("read", "TH-01", "--json", "-c", rig.config).stdout)
    found = {value["point"]: value for value in frame["data"]}
    assert [1, 2] == [found[point]["address"] for point in ("temperature", "humidity")]
    assert [value["value"] for value in found.values()] == [int(value["raw"], 16) / 10 for value in found.values()]
    tcp = json.loads(edgegw("read", "PV-01", "--json", "-c", rig.config).stdout)["data"]
    assert [] == [value for value in tcp if value["quality"] == "good" and (not value["raw"] or not isinstance(value["address"], int))]
    assert any(value["quality"] == "good" for value in tcp)
    silent = json.loads(edgegw("read", "TH-02", "--json", "-c", rig.config).stdout)["data"]
    assert [(None, None)] * len(silent) == [(value["raw"], value["address"]) for value in silent]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_registers_are_shown_to_whoever_wants_them(rig, language):
    """With --raw or --fresh, in 80 cells; without, the column is not there."""
    plain, raw, fresh = (edgegw("read", "M-IN", *more, "--lang", language, "-c", rig.config).stdout.splitlines() for more in ((), ("--raw",), ("--fresh",)))
    assert [] == [line for line in (*plain, *raw, *fresh) if cells(line) > 80]
    head = "RAW" if language == "en" else "原始值"
    assert [False, True, True] == [any(line.endswith(f"  {head}") for line in lines) for lines in (plain, raw, fresh)]


def test_ctrl_c_ends_monitor_with_its_last_line(rig):
    """Nothing of what was shown is lost, and the exit code says that it was interrupted."""
    command = [sys.executable, "-m", "edgegw", "bus", "monitor", "rs485b", "--json", "-c", str(rig.config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert "start" == json.loads(process.stdout.readline())["event"]
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=WAIT_S)
    assert EXIT_INTERRUPTED == process.returncode
    assert "end" == frames(rest)[-1]["event"]
