"""What only shows across the tables of a configuration."""

from __future__ import annotations

import re
import time
from pathlib import Path

import msgspec
import pytest
from msgspec import inspect

from edgegw.config.check import read
from edgegw.config.load import _file_text, load
from edgegw.config.model import Config
from edgegw.config.uplink_check import is_loopback
from edgegw.config.walk import bare

HEAD = '[gateway]\noperator = "OP"\nstation = "ST"\ngateway = "GW"\n'
BUS = '[[bus]]\nname = "rs485a"\nkind = "serial"\npath = "/dev/edgegw/rs485a"\n'
LAN = '[[bus]]\nname = "lan"\nkind = "tcp"\nhost = "10.0.0.9"\n'
METER = '[[device]]\ncode = "AC-07"\nbus = "rs485a"\nunit = 7\nprofile = "acrel.dtsd1352"\n'
SENSOR = '[[device]]\ncode = "TH-01"\nbus = "rs485a"\nunit = 1\nprofile = "xy-md02"\n'
BASE = HEAD + BUS + METER  # 13 lines
EXAMPLE = Path(__file__).parents[2] / "config.example.toml"


def _rule(**changes: str) -> str:
    keys = {"name": '"r"', "condition": '"high"', "point": '"phase_voltage.a"', "limit": "235"} | changes
    return "[[rule]]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())


def _uplink(broker: str = "mqtts://mq:8883", more: str = "") -> str:
    return f'[[uplink]]\nname = "u"\nbroker = "{broker}"\nrecipient_file = "/dev/null"\n{more}'


def _lines(tmp_path: Path, text: str, *, running: bool = False) -> list[str]:
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    return [str(finding) for finding in read(tmp_path / "config.toml", running=running).findings]


CROSS = [
    (METER.replace("AC-07", "AC-08"), 'config.toml:17: error E-CFG-UNIT-DUP: bus "rs485a": unit 7 twice: AC-07, AC-08'),
    (METER.replace("unit = 7", "unit = 8"), 'config.toml:15: error E-CFG-DUP: device "AC-07": the code stands twice'),
    (BUS.replace("rs485a", "rs485b", 1).replace("rs485a", "b"), None),
    (SENSOR.replace("rs485a", "rs485aa"), 'config.toml:16: error E-CFG-BUS: device "TH-01": unknown bus "rs485aa"; did you mean "rs485a"?'),
    (SENSOR.replace("xy-md02", "xymd02"), 'config.toml:18: error E-CFG-PROFILE: device "TH-01": unknown profile "xymd02"; did you mean "xy-md02"?'),
    (SENSOR + "period_s = { climat = 5 }\n", 'config.toml:19: error E-CFG-GROUP: device "TH-01": profile xy-md02 has no poll group "climat"; did you mean "climate"?'),
    (SENSOR + "period_s = { xyz = 5 }\n", 'config.toml:19: error E-CFG-GROUP: device "TH-01": profile xy-md02 has no poll group "xyz"; it has climate'),
    (BUS, 'config.toml:15: error E-CFG-DUP: bus "rs485a": the name stands twice'),
    (BUS.replace('"rs485a"', '"x"'), 'config.toml:14: error E-CFG-PORT-DUP: bus "x": /dev/edgegw/rs485a belongs to bus "rs485a" already; one bus has all devices of a line'),
    (LAN + LAN.replace('"lan"', '"lan2"'), 'config.toml:18: error E-CFG-PORT-DUP: bus "lan2": 10.0.0.9:502 belongs to bus "lan" already; one bus has all devices of a line'),
    ('[[bus]]\nname = "b"\nkind = "serial"\n', 'config.toml:14: error E-CFG-MISSING: bus "b": kind "serial" needs "path", the serial port'),
    ('[[bus]]\nname = "b"\nkind = "tcp"\n', 'config.toml:14: error E-CFG-MISSING: bus "b": kind "tcp" needs "host", the address of the server'),
    (LAN + 'path = "/dev/x"\n', 'config.toml:18: warning W-CFG-UNUSED: bus "lan": path has no meaning for kind "tcp"'),
    (BUS.replace("rs485a", "b", 1).replace("/dev/edgegw/rs485a", "/dev/ttyUSB1"), 'config.toml:17: warning W-CFG-PORT: bus "b": the name /dev/ttyUSB1 can change when something is plugged in; use its name below /dev/serial/by-path'),
    ('[[bus]]\nname = "b"\nkind = "serial"\npath = "/tmp"\n', 'config.toml:17: warning W-CFG-NOPORT: bus "b": /tmp is no serial port; `ls /dev/serial/by-path` shows those that are there'),
    (LAN.replace("10.0.0.9", "10.0.0.9:502"), 'config.toml:17: error E-CFG-VALUE: bus "lan": host must be a name or an address alone, as in "192.168.1.10", found "10.0.0.9:502"; the port has its own key: port = 502'),
    (LAN.replace("10.0.0.9", "fe80::1"), None),
    (LAN.replace("10.0.0.9", "gateway-1.station.local"), None),
    (SENSOR.replace("unit = 1", "unit = 255"), 'config.toml:17: error E-CFG-VALUE: device "TH-01": unit 255: devices of a serial line have units up to 247; only over kind "tcp" there are more'),
    (LAN + SENSOR.replace("unit = 1", "unit = 255").replace("rs485a", "lan"), None),
    (_uplink().replace("/dev/null", "/tmp"), 'config.toml:17: error E-CFG-VALUE: uplink "u": recipient_file: /tmp is a directory, not a file'),
    (_rule(point='"phase_voltage"'), 'config.toml:17: error E-CFG-POINT: rule "r": unknown point "phase_voltage"; did you mean "phase_voltage.c"?'),
    (_rule(point='"humidity"'), None),
    (_rule(device_class='"ups"'), 'config.toml:17: warning W-CFG-RULE: rule "r": none of its devices of class "ups" has the point "phase_voltage.a"; the rule never acts'),
    (_rule(devices='["AC-*"]'), None),
    (_rule(devices='["AC-70"]'), 'config.toml:19: warning W-CFG-RULE: rule "r": no device has the code "AC-70"; did you mean "AC-07"?'),
    (_rule() + _rule(), 'config.toml:20: error E-CFG-DUP: rule "r": the name stands twice'),
    (_uplink("mqtt://mq.example.cn:1883"), 'config.toml:16: error E-CFG-PLAIN: uplink "u": mqtt:// to mq.example.cn would go unencrypted over the network; use mqtts://'),
    (_uplink("mqtt://127.0.0.1:1883"), None),
    (_uplink("mqtt://localhost"), None),
    (_uplink("mqtts://me:secret@mq:8883"), 'config.toml:16: error E-CFG-SECRET: uplink "u": no name or password in the broker\'s address; use username and password_file'),
    (_uplink("mqtts://mq:99999"), 'config.toml:16: error E-CFG-VALUE: uplink "u": broker must be like mqtts://host:8883, with a port from 1 to 65535'),
    (_uplink(more='ack = "broker"\n'), 'config.toml:18: warning W-CFG-ACK: uplink "u": ack = "broker": what the broker or anyone behind it drops is lost to the cloud, unless it asks for it again while it is stored'),
    (_uplink(more='topic = "$oc/devices/{client_id}/sys/{kind}"\n'), None),
    (_uplink(more='topic = "a/{site}/{kind}"\n'), 'config.toml:18: error E-CFG-TOPIC: uplink "u": topic: {site} is none of {client_id}, {gateway}, {kind}, {operator}, {station}'),
    (_uplink(more='topic_receipt = "a/{kind}"\n'), 'config.toml:18: error E-CFG-TOPIC: uplink "u": topic_receipt: {kind} is none of {client_id}, {gateway}, {operator}, {station}'),
    (_uplink(more='topic = "a/{gateway/b"\n'), 'config.toml:18: error E-CFG-TOPIC: uplink "u": topic: a brace without its partner'),
    (_uplink(more='topic_status = "a/#"\n'), 'config.toml:18: error E-CFG-TOPIC: uplink "u": topic_status: +, # and control characters are for subscribers'),
    (_uplink(more='topic_receipt = ""\n'), 'config.toml:18: error E-CFG-TOPIC: uplink "u": ack = "receipt" needs topic_receipt'),
    (_uplink(more='topic_command = "x"\ntopic_status = "x"\n'), 'config.toml:18: error E-CFG-TOPIC: uplink "u": topic_command: another topic of this uplink is the same'),
    (_uplink(more='cert_file = "/dev/null"\n'), 'config.toml:14: error E-CFG-MISSING: uplink "u": a client certificate needs cert_key_file too'),
]  # fmt: skip


@pytest.mark.parametrize(("added", "line"), CROSS)
def test_what_does_not_fit_together_is_said_at_its_line(tmp_path, added, line):
    """
    Each cross reference that fails has one exact line; what fits has none beyond what its base has.
    """
    found = _lines(tmp_path, BASE + added)
    if line is None:
        assert not [text for text in found if " error " in text or ("humidity" not in text and "W-CFG-RULE" in text)]
    else:
        assert line in found


def test_a_code_that_stands_twice_makes_no_rule_doubtful(tmp_path):
    """
    The rule finds both devices of the code; only the code is a mistake.
    """
    twice = METER.replace("unit = 7", "unit = 8").replace("acrel.dtsd1352", "xy-md02")
    found = [line for line in _lines(tmp_path, BASE + twice + _rule(device_class='"meter"')) if "W-CFG-LINE" not in line]
    assert ['config.toml:15: error E-CFG-DUP: device "AC-07": the code stands twice'] == found


def test_a_good_configuration_has_no_finding(tmp_path):
    """
    Nothing is found where nothing is wrong, and the exit code is 0.
    """
    assert [] == _lines(tmp_path, BASE + _rule() + _uplink())
    assert 0 == read(tmp_path / "config.toml").exit_code


def test_no_device_is_a_doubt(tmp_path):
    """
    A file without devices is read, with a warning and exit code 10.
    """
    assert ["config.toml:1: warning W-CFG-EMPTY: no [[device]]: nothing will be polled"] == _lines(tmp_path, HEAD)
    assert 10 == read(tmp_path / "config.toml").exit_code


def test_two_names_of_one_port_are_one_port(tmp_path):
    """
    A port is the same under each of its links.
    """
    (tmp_path / "link").symlink_to("/dev/edgegw/rs485a")
    found = _lines(tmp_path, BASE + BUS.replace('"rs485a"', '"b"').replace("/dev/edgegw/rs485a", str(tmp_path / "link")))
    assert ["E-CFG-PORT-DUP"] == [text.split()[2].rstrip(":") for text in found]


def test_line_settings_unlike_the_maker_s_are_said_once_a_bus(tmp_path):
    """
    Two devices of one product on one bus give one warning about baud rate and parity.
    """
    bus = BUS + "baudrate = 19200\n"
    found = _lines(tmp_path, HEAD + bus + SENSOR + SENSOR.replace("TH-01", "TH-02").replace("unit = 1", "unit = 2"))
    text = 'device "TH-01": xy-md02 leaves its maker at 9600 N, bus "rs485a" runs at 19200 N; right if the device was set so'
    assert [f"config.toml:14: warning W-CFG-LINE: {text}"] == found


def _busy(period_s: float, meters: int) -> str:
    devices = (
        METER.replace("AC-07", f"M-{n}").replace("unit = 7", f"unit = {n}") + f"period_s = {{ electrical = {period_s} }}\n" for n in range(1, meters + 1)
    )
    return HEAD + BUS + "".join(devices)


@pytest.mark.parametrize(("severity", "period_s", "meters"), [("error E-CFG-LOAD", 1, 12), ("warning W-CFG-LOAD", 1, 3), (None, 10, 12), (None, 1, 1)])
def test_a_bus_that_cannot_carry_its_load_is_found(tmp_path, severity, period_s, meters):
    """
    Above 100 % of the line's time is an error, above 60 % a warning, at the line of the bus.
    """
    found = _lines(tmp_path, _busy(period_s, meters))
    assert [severity] * (severity is not None) == [" ".join(text.split()[1:3]).rstrip(":") for text in found]
    assert all(text.startswith("config.toml:5: ") for text in found)


def test_the_load_is_told_with_its_arithmetic_and_a_period_that_works(tmp_path):
    """
    The sentence multiplies right, and the configuration that it proposes is calm.
    """
    (line,) = _lines(tmp_path, _busy(1, 12))
    told = re.search(r'bus "rs485a": (\d+) requests x (\d+) ms = ([\d.]+) s per round, period is 1 s\. Proposal: period_s = \{ electrical = (\d+) \}', line)
    assert told
    requests, each_ms, round_s, proposal_s = map(float, told.groups())
    assert abs(requests * each_ms / 1000 - round_s) < requests * 0.5 / 1000 + 0.05
    assert [] == _lines(tmp_path, _busy(proposal_s, 12))


@pytest.mark.parametrize(("running", "found"), [(False, "warning W-CFG-KEYFILE"), (True, "error E-CFG-KEYFILE")])
def test_a_missing_key_file_is_a_warning_before_the_start_and_an_error_at_it(tmp_path, running, found):
    """
    Keys may still be on their way when a configuration is checked; a start without them is refused.
    """
    text = BASE + _uplink().replace("/dev/null", str(tmp_path / "cloud.pub"))
    (line,) = _lines(tmp_path, text, running=running)
    assert line == f'config.toml:17: {found}: uplink "u": recipient_file: no file {tmp_path}/cloud.pub'


def test_a_secret_that_others_may_read_is_named_with_its_repair(tmp_path):
    """
    A password file of mode 0644 is told with the chmod that closes it.
    """
    secret = tmp_path / "password"
    secret.write_text("x")
    secret.chmod(0o644)
    (line,) = _lines(tmp_path, BASE + _uplink(more=f'password_file = "{secret}"\n'))
    assert line.endswith(f"others may read {secret} (mode 0644); chmod 600 {secret}")
    secret.chmod(0o600)
    assert [] == _lines(tmp_path, BASE + _uplink(more=f'password_file = "{secret}"\n'))


@pytest.mark.parametrize(("host", "loopback"), [("localhost", True), ("127.3.2.1", True), ("::1", True), ("localhost.example.cn", False), ("128.0.0.1", False)])
def test_only_this_machine_itself_is_loopback(host, loopback):
    """
    A name that merely looks local may lead anywhere.
    """
    assert loopback == is_loopback(host)


def test_five_thousand_devices_are_checked_in_two_seconds(tmp_path):
    """
    Mark P19: the whole check of 5,000 devices takes at most 2 s of processor time, with and without mistakes.
    """
    buses = "".join(LAN.replace('"lan"', f'"lan{n}"').replace("10.0.0.9", f"10.0.0.{n}") for n in range(50))
    row = '[[device]]\ncode = "D-{0}"\nname = "电表 {0}"\nbus = "lan{1}"\nunit = {2}\nprofile = "acrel.dtsd1352"\nperiod_s = {{ electrical = 60 }}\n'
    devices = "".join(row.format(n, n // 100, n % 100 + 1) for n in range(5000))
    for text, findings in ((HEAD + buses + devices, 0), (HEAD + buses + devices.replace("acrel.dtsd1352", "acrel.dtsd1353"), 5000)):
        (tmp_path / "config.toml").write_text(text)
        started_s = time.process_time()
        assert findings == len(read(tmp_path / "config.toml").findings)
        assert time.process_time() - started_s < 2


# -- the example


def _tables() -> dict[str, inspect.StructType]:
    root = inspect.type_info(Config)
    assert isinstance(root, inspect.StructType)
    kinds = {field.encode_name: bare(field.type) for field in root.fields}
    return {name: kind.item_type if isinstance(kind, inspect.ListType) else kind for name, kind in kinds.items()}  # type: ignore[misc]


def test_the_example_is_a_station_without_mistakes():
    """
    config.example.toml loads, and all that is doubtful in it are key files that are not there yet.
    """
    found = read(EXAMPLE)
    assert found.config is not None
    assert {"W-CFG-KEYFILE"} >= {finding.id for finding in found.findings}
    assert found.config.bus and found.config.device and found.config.rule and found.config.uplink


def test_the_commented_defaults_of_the_example_are_the_real_ones(tmp_path):
    """
    The example with every commented default made real is the same configuration.
    """
    text = re.sub(r"^#(?=\w+ = )", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    assert msgspec.to_builtins(load(EXAMPLE).config) == msgspec.to_builtins(load(tmp_path / "config.toml").config)


@pytest.mark.parametrize("name", list(_tables()))
def test_the_example_explains_every_key_with_its_own_sentence(name):
    """
    Each key of each table stands in the example, right under the description that its struct has.
    """
    lines = EXAMPLE.read_text(encoding="utf-8").split("\n")
    start = next(number for number, line in enumerate(lines) if line in (f"[{name}]", f"[[{name}]]"))
    end = lines.index("", start)
    shown = dict(zip((re.sub(r"^#?(\w+) = .*", r"\1", line) for line in lines[start + 2 : end : 2]), lines[start + 1 : end : 2], strict=True))
    described = {field.encode_name: f"# {field.type.extra_json_schema['description']}" for field in _tables()[name].fields}  # type: ignore[union-attr,index]
    assert described == shown


def test_a_file_that_may_not_be_read_says_who_may():
    """
    Without permission the finding names the service's user.
    """
    assert "sudo -u edgegw" in _file_text(Path("config.toml"), PermissionError(13, "Permission denied"))


def test_wrong_fields_and_faults_across_tables_are_told_at_once(tmp_path):
    """
    One run names an unknown key, a wrong type, a doubled unit, an unknown bus and an unknown profile, each with its line, and blames nothing on what was left out.
    """
    path = tmp_path / "config.toml"
    path.write_text(
        '[gateway]\noperator = "o"\nstation = "s"\ngateway = "g"\n'
        '[[bus]]\nname = "a"\nkind = "tcp"\nhost = "10.0.0.1"\nprot = 502\n'
        '[[bus]]\nname = "b"\nkind = "tcp"\nhost = "10.0.0.2"\n'
        '[[bus]]\nname = "c"\nkind = "tpc"\nhost = "10.0.0.3"\n'
        '[[device]]\ncode = "D-1"\nbus = "a"\nunit = "7"\nprofile = "xy-md02"\n'
        '[[device]]\ncode = "D-2"\nbus = "b"\nunit = 8\nprofile = "xy-md02"\n'
        '[[device]]\ncode = "D-3"\nbus = "b"\nunit = 8\nprofile = "xy-md2"\n'
        '[[device]]\ncode = "D-4"\nbus = "c"\nunit = 1\nprofile = "xy-md02"\n'
    )
    assert [(9, "E-CFG-KEY"), (16, "E-CFG-VALUE"), (21, "E-CFG-TYPE"), (31, "E-CFG-UNIT-DUP"), (32, "E-CFG-PROFILE")] == [
        (finding.line, finding.id) for finding in read(path).findings
    ]


def test_a_file_without_a_gateway_is_checked_all_the_same(tmp_path):
    """
    What is wrong among devices is told although the file does not say whose they are.
    """
    path = tmp_path / "config.toml"
    path.write_text('[[bus]]\nname = "a"\nkind = "tcp"\nhost = "h"\n[[device]]\ncode = "D"\nbus = "b"\nunit = 1\nprofile = "xy-md02"\n')
    assert ["E-CFG-MISSING", "E-CFG-BUS"] == [finding.id for finding in read(path).findings]
