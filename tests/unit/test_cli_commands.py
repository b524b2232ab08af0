"""The command as people and scripts run it: exit codes, JSON alone on stdout, options in both places, 80 cells a line."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edgegw.cli.cells import cells
from tests.unit.cli_daemon import STATUS, WAIT_S, daemon, edgegw

HEAD = '[gateway]\noperator = "OP"\nstation = "ST"\ngateway = "GW"\n'
GOOD = HEAD + '[[bus]]\nname = "lan"\nkind = "tcp"\nhost = "127.0.0.1"\nport = 9\n[[device]]\ncode = "TH-01"\nbus = "lan"\nunit = 1\nprofile = "xy-md02"\n'
WRONG = GOOD + '[[bus]]\nname = "rs485a"\nkind = "serial"\npath = "/dev/null"\nbaud = 9600\n'


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with daemon(tmp_path_factory.mktemp("cli") / "control.sock") as found:
        yield found


def _file(tmp_path: Path, text: str) -> Path:
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    return tmp_path / "config.toml"


# -- exit codes


@pytest.mark.parametrize(
    ("exit_code", "arguments"),
    [
        (0, ["read", "GOOD"]),
        (10, ["status"]),
        (10, ["read", "DC-01"]),
        (0, ["read", "DC-01", "gun1.voltage"]),
        (5, ["read", "SILENT"]),
        (4, ["read", "NOBODY"]),
        (5, ["read", "SLOW", "--timeout", "0.2"]),
        (3, ["status", "--offline"]),
        (2, ["read"]),
        (2, ["nothing"]),
        (2, ["status", "--nothing"]),
        (2, ["--lang", "fr", "status"]),
        (0, ["version"]),
        (0, ["explain", "E-CFG-KEY"]),
        (0, ["explain", "e-cfg-key"]),
        (4, ["explain", "E-CFG-KEI"]),
        (0, ["-h"]),
        (2, []),
    ],
)
def test_a_command_ends_with_its_exit_code(path, exit_code, arguments):
    """
    The documented code tells a script how it went, never with a traceback.
    """
    done = edgegw("--socket", path, *arguments) if arguments else edgegw()
    assert exit_code == done.returncode, done.stderr
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize(("exit_code", "text"), [(0, GOOD), (10, HEAD), (1, GOOD + "x = 1\n"), (2, "x = \n"), (2, None)])
def test_config_check_ends_as_documented(tmp_path, exit_code, text):
    """
    Good 0, warnings 10, errors 1, not readable as TOML or not there 2.
    """
    file = _file(tmp_path, text) if text is not None else tmp_path / "none.toml"
    assert exit_code == edgegw("config", "check", file).returncode
    assert exit_code == edgegw("config", "check", "-c", file).returncode
    assert exit_code == edgegw("config", "check", EDGEGW_CONFIG=str(file)).returncode


def test_config_check_prints_each_finding_in_one_line(tmp_path):
    """
    In a pipe a finding is never broken, whatever its length; the last line counts.
    """
    done = edgegw("config", "check", _file(tmp_path, WRONG), "--lang", "en")
    assert 'config.toml:19: error E-CFG-KEY: bus "rs485a": unknown key "baud"; did you mean "baudrate"?' == done.stdout.split("\n")[0]
    assert "1 error, 0 warnings. Running configuration unchanged." in done.stdout.split("\n")[1]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_config_check_tells_what_each_bus_will_carry(tmp_path, language):
    """
    Busy share and longest lateness of every bus with devices, on the screen and in JSON; it is no warning.
    """
    file = _file(tmp_path, GOOD + '[[bus]]\nname = "idle"\nkind = "tcp"\nhost = "127.0.0.2"\n')
    done = edgegw("config", "check", file, "--json")
    (bus,) = json.loads(done.stdout)["buses"]
    assert (0, "lan", 1) == (done.returncode, bus["bus"], bus["devices"])
    assert 0 < bus["busy_share"] < 0.6
    assert 0 <= bus["lateness_ms"] < 1000 * bus["requests"]
    title, row, last = edgegw("config", "check", file, "--lang", language).stdout.splitlines()
    assert ["lan", "1", str(bus["requests"]), f"{100 * bus['busy_share']:.0f}", "%"] == row.split()[:5]
    assert {"en": "LATE AT MOST", "zh": "最长延迟"}[language] in title
    assert "TH-01" not in last


def test_without_a_service_the_next_step_is_named(tmp_path):
    """
    Who asks a service that is not there is told so in one line, with exit code 3.
    """
    for command in (["status"], ["read", "DC-01"]):
        done = edgegw(*command, "--socket", tmp_path / "none.sock")
        assert (3, "") == (done.returncode, done.stdout)
        assert done.stderr.startswith("E-DAEMON-ABSENT: the service is not running")
        assert "Next: systemctl status edgegw" in done.stderr


def test_the_socket_of_a_named_configuration_is_used(tmp_path, path):
    """
    Who names a configuration need not name its socket too.
    """
    file = _file(tmp_path, GOOD + f'[paths]\ncontrol_socket = "{path}"\n')
    assert 10 == edgegw("status", "-c", file).returncode


def test_ctrl_c_ends_with_130(path):
    """
    An interrupted command leaves with 130 and without a traceback.
    """
    command = [sys.executable, "-m", "edgegw", "read", "SLOW", "-v", "--socket", str(path)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        _wait_for_socket(process.pid)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=WAIT_S)
    assert (130, "") == (process.returncode, error)


def _wait_for_socket(pid: int) -> None:
    """Until the command has connected: then it waits for its answer."""
    until_s = time.monotonic() + WAIT_S
    while not any(target.startswith("socket:") for target in _open_files(pid)):
        assert time.monotonic() < until_s


def _open_files(pid: int) -> list[str]:
    found: list[str] = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.append(str(entry.readlink()))
    return found


def test_a_closed_pipe_is_no_fault(path):
    """
    `edgegw ... | head -0` prints no complaint.
    """
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run([sys.executable, "-m", "edgegw", "-h"], stdout=write_end, stderr=subprocess.PIPE, timeout=WAIT_S, check=False)
    os.close(write_end)
    assert (0, b"") == (done.returncode, done.stderr)


def test_a_bug_is_one_line_and_a_traceback_only_on_request(tmp_path):
    """
    What nobody expected says what to do; with -v it shows where.
    """
    program = "import sys; from edgegw.cli import main; main.make_group = lambda: 1 / 0; sys.argv = ['edgegw', {}]; main.main()"
    for word, shown in (("'status'", False), ("'-v'", True)):
        done = subprocess.run([sys.executable, "-c", program.format(word)], capture_output=True, text=True, timeout=WAIT_S, check=False)
        assert 1 == done.returncode
        assert shown == ("Traceback" in done.stderr)
        assert done.stderr.strip().split("\n")[-1].startswith("E-BUG: a mistake of edgegw")


# -- JSON


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        ("alarms", ["alarms"]),
        ("alarms", ["alarms", "list"]),
        ("alarms", ["alarms", "--wrong"]),
        ("alarms-show", ["alarms", "show", "7"]),
        ("alarms-report", ["alarms", "show", "7", "--report"]),
        *((f"alarms-{deed}", ["alarms", deed, "7", *more]) for deed, *more in (["ack"], ["reset"], ["recheck"], ["shelve", "--for", "1h"], ["shelve"])),
        ("alarms-out-of-service", ["alarms", "out-of-service", "AC-01", "--for", "1h"]),
        *((f"alarms-{name}", ["alarms", name]) for name in ("history", "stats", "notifications")),
        ("alarms-test", ["alarms", "test", "all"]),
        ("rules-test", ["rules", "test", "x", "--days", "-1"]),
        ("rules-show", ["rules", "show"]),
        ("bus-stats", ["bus", "stats", "nowhere"]),
        ("edgegw", ["nothing"]),
    ],
)
def test_the_json_of_an_error_has_the_schema_of_its_command(tmp_path, schema, arguments):
    """
    Without a service, or called wrongly: who reads the frames knows whose it is.
    """
    done = edgegw("--json", *arguments, "--socket", tmp_path / "none.sock")
    frame = json.loads(done.stdout)
    assert (f"edgegw.{schema}/1", False) == (frame["schema"], frame["ok"])
    assert done.returncode in (2, 3)


@pytest.mark.parametrize(
    ("command", "arguments", "data"),
    [
        ("status", ["status"], dict),
        ("read", ["read", "DC-01"], list),
        ("version", ["version"], dict),
        ("explain", ["explain", "E-BUG"], dict),
        ("read", ["read", "NOBODY"], type(None)),
        ("status", ["status", "--wrong"], type(None)),
        ("config-check", ["config", "check", "/nothing/config.toml"], list),
        ("keys-list", ["keys", "list", "--dir", "/nothing"], list),
    ],
)
def test_json_is_one_object_alone_on_stdout(path, command, arguments, data):
    """
    With --json, before or after the command, stdout is one frame of the documented form and nothing else.
    """
    frames = [json.loads(edgegw(*words, "--socket", path).stdout) for words in (["--json", *arguments], [*arguments, "--json"])]
    for frame in frames:
        assert f"edgegw.{command}/1" == frame["schema"]
        assert {"schema", "time", "gateway", "ok", "data", "warnings", "error"} <= set(frame)
        assert data is type(frame["data"])
        assert frame["time"].endswith("Z")
        assert (frame["error"] is None) == (data is not type(None))
    assert {key: found for key, found in frames[0].items() if key != "time"} == {key: found for key, found in frames[1].items() if key != "time"}


def test_json_of_read_carries_value_unit_quality_and_age(path):
    """
    A good value older than three periods is stale; everything else is as the service said.
    """
    frame = json.loads(edgegw("read", "DC-01", "--json", "--socket", path).stdout)
    assert ("WHPARK/GG2/GW-4201-0007", True) == (frame["gateway"], frame["ok"])
    assert {"device", "point", "value", "unit", "quality", "age_s", "time", "time_trusted", "raw", "address"} <= set(frame["data"][0])
    assert ["good", "good", "stale", "not fitted", "suspect"] == [found["quality"] for found in frame["data"]]
    assert "acme-dc120" == frame["device"]["profile"]


def test_an_error_in_json_has_id_text_cause_and_next(path):
    """
    A script finds the same error that a person reads on stderr.
    """
    done = edgegw("--json", "read", "NOBODY", "--socket", path)
    assert {"id": "E-DEVICE", "text": 'no device "NOBODY"', "next": ["edgegw status"]}.items() <= json.loads(done.stdout)["error"].items()
    assert done.stderr.startswith("E-DEVICE: ")


# -- the other forms


def test_options_count_before_and_after_the_command(path):
    """
    Every global option is taken in both places, and the later one wins.
    """
    assert edgegw("--lang", "zh", "--socket", path, "read", "GOOD").stdout == edgegw("read", "--lang", "zh", "GOOD", "--socket", path).stdout
    assert "测点" in edgegw("--lang", "en", "read", "GOOD", "--lang", "zh", "--socket", path).stdout
    assert "POINT" in edgegw("--lang", "en", "read", "GOOD", "--socket", path).stdout


def test_plain_has_tabs_and_no_header(path):
    """
    A script without JSON gets the bare fields.
    """
    assert "DC-01\tgun1.voltage\t412.3\tV\tgood\t0.4\n" == edgegw("read", "DC-01", "gun1.voltage", "--plain", "--socket", path).stdout


def test_quiet_leaves_the_exit_code(path):
    """
    With -q nothing is printed that is no error.
    """
    done = edgegw("-q", "status", "--socket", path)
    assert (10, "", "") == (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("arguments", [["status"], ["read", "DC-01"], ["read", "DC-01", "--fresh"], ["explain", "E-CFG-UNIT-DUP"], ["-h"], ["read", "-h"]])
def test_a_screen_is_80_cells_wide(path, language, arguments):
    """
    No line of a screen is wider than 80 cells, a Chinese character being two.
    """
    done = edgegw("--lang", language, "--socket", path, *arguments)
    lines = done.stdout.split("\n")
    assert len(lines) > 3
    assert [] == [line for line in lines if cells(line) > 80]


def test_the_language_is_found_in_its_order(path):
    """
    Option, variable, locale, and at last the gateway's own.
    """

    def chinese(*options: str, **variables: str) -> bool:
        return "时钟" in edgegw("status", "--socket", path, *options, **variables).stdout

    assert [True, False, True, False, False, True] == [
        chinese(),
        chinese(LC_ALL="en_US.UTF-8"),
        chinese(LC_ALL="en_US.UTF-8", EDGEGW_LANG="zh"),
        chinese("--lang", "en", EDGEGW_LANG="zh"),
        chinese(PYTHONIOENCODING="ascii"),
        chinese(LC_ALL="zh_CN.UTF-8"),
    ]


def test_a_terminal_without_chinese_shows_the_screen_all_the_same(path):
    """
    Names that cannot be shown become question marks, nothing fails.
    """
    done = edgegw("status", "--socket", path, PYTHONIOENCODING="ascii")
    assert (10, "") == (done.returncode, done.stderr)
    assert "WHPARK/GG2/GW-4201-0007  ?????" in done.stdout


def _on_terminal(path: Path, *arguments: str, **variables: str) -> str:
    """What a person sees: stdout is a pty."""
    main, end = pty.openpty()
    command = [sys.executable, "-m", "edgegw", "--lang", "en", "--socket", str(path), *arguments]
    environment = {**{name: found for name, found in os.environ.items() if name != "NO_COLOR"}, "TERM": "xterm", **variables}
    with subprocess.Popen(command, stdout=end, env=environment) as process:
        os.close(end)
        seen = b""
        try:
            while chunk := os.read(main, 65536):
                seen += chunk
        except OSError:
            pass  # how Linux says that the other end of a pty is closed
        process.wait(WAIT_S)
    os.close(main)
    return seen.decode()


def test_colour_is_for_terminals_that_want_it(path):
    """
    A terminal gets colour around a word that says the same; NO_COLOR, --no-color and a pipe get none.
    """
    assert "\033[33mWARN" in _on_terminal(path, "status")
    plain = [_on_terminal(path, "status", NO_COLOR="1"), _on_terminal(path, "status", "--no-color"), _on_terminal(path, "status", TERM="dumb")]
    assert [] == [seen for seen in [*plain, edgegw("status", "--socket", path).stdout] if "\033" in seen]


def test_a_finding_is_broken_at_the_width_of_a_terminal(tmp_path, path):
    """
    On a terminal of 80 columns a long finding goes on under itself.
    """
    file = _file(tmp_path, WRONG)
    first, second, *_ = _on_terminal(path, "--no-color", "config", "check", str(file)).split("\r\n")
    assert cells(first) <= 80
    assert second.startswith(" " * 16)


def test_status_of_the_service_is_the_data_of_the_frame(path):
    """
    The JSON of status is what the service knows, unchanged.
    """
    assert STATUS == json.loads(edgegw("status", "--json", "--socket", path).stdout)["data"]
