"""What is wrong with a channel is said with its line, and what docs/notifications.md shows can be copied."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgegw.config.check import check, read
from edgegw.config.load import parse
from edgegw.config.model import Config
from edgegw.rules.notifiers.factory import make_channels
from tests.unit.channel_rig import Recorder

DOCS = Path(__file__).parents[2] / "docs" / "notifications.md"
BASE = """
[gateway]
operator = "o"
station = "s"
gateway = "g"
[[bus]]
name = "a"
kind = "serial"
path = "/dev/edgegw/a"
[[device]]
code = "RELAY-01"
bus = "a"
unit = 11
profile = "waveshare.relay8"
[[device]]
code = "T-01"
bus = "a"
unit = 12
profile = "xy-md02"
"""
MAIL = 'kind = "mail"\nhost = "smtp.example.cn"\nsender = "a@example.cn"\n'
HTTP = 'kind = "sms_http"\nurl = "https://sms.example.cn/send"\nbody = "{number} {text}"\n'
SIREN = 'kind = "siren"\ndevice = "RELAY-01"\npoint = "relay.1"\n'
RULE = '[[rule]]\nname = "r"\ncondition = "equals"\npoint = "{point}"\nlimit = 1\ndevices = ["{devices}"]\n'


def findings(text: str, *, running: bool = False) -> list[str]:
    """Ids, without what is said of the rest of the file."""
    loaded = parse(Path("config.toml"), text.encode())
    found = [*loaded.findings, *(check(loaded.config, loaded.index, running=running) if loaded.config else [])]
    return [finding.id for finding in found if finding.id != "W-CFG-UNTOLD"]


def of_channel(rows: str, *, running: bool = False) -> list[str]:
    return findings(f'{BASE}[[channel]]\nname = "c"\n{rows}', running=running)


def snippets() -> list[str]:
    return re.findall(r"^```toml\n(.*?)^```", DOCS.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("number", range(len(snippets())))
def test_what_the_page_shows_can_be_copied(number: int) -> None:
    """Each piece of docs/notifications.md loads behind a plain configuration; only files that are not there yet are doubtful, and a channel is made of it."""
    text = BASE.replace("RELAY-01", "RELAY-09") + snippets()[number]
    assert {"W-CFG-KEYFILE"} >= set(findings(text))
    config = parse(Path("config.toml"), text.encode()).config
    assert isinstance(config, Config)
    channels = make_channels(config, Recorder(line=lambda _table: None, relay=object()).parts)  # type: ignore[arg-type,return-value]
    assert [table.name for table in config.channel] == list(channels) == [channel.name for channel in channels.values()]


def test_the_page_shows_every_kind() -> None:
    """No kind of channel is without its piece."""
    shown = {kind for text in snippets() for kind in re.findall(r'^kind = "(\w+)"', text[text.index("[[channel]]") :], re.MULTILINE)}
    assert {"mail", "sms_modem", "sms_http", "siren", "syslog"} == shown


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ('kind = "mail"\n', ["E-CFG-MISSING"] * 2),
        ('kind = "sms_modem"\n', ["E-CFG-MISSING"]),
        ('kind = "sms_http"\n', ["E-CFG-MISSING"]),
        ('kind = "siren"\n', ["E-CFG-MISSING"] * 2),
        ('kind = "syslog"\n', []),
        (MAIL, []),
        (MAIL + 'security = "none"\n', ["E-CFG-PLAIN"]),
        ('kind = "mail"\nhost = "127.0.0.1"\nsender = "a@b.cn"\nsecurity = "none"\n', []),
        (MAIL + 'username = "u"\n', ["E-CFG-MISSING"]),
        (MAIL + 'baudrate = 9600\nurl = "https://x"\n', ["W-CFG-UNUSED"] * 2),
        ('kind = "mail"\nhost = "h"\nsender = "Gateway <a@b.cn>"\n', ["E-CFG-VALUE"]),
        ('kind = "mail"\nhost = "smtp.b.cn:465"\nsender = "a@b.cn"\n', ["E-CFG-VALUE"]),
        ('kind = "mail"\nhost = "a..b"\nsender = "a@b.cn"\n', ["E-CFG-VALUE"]),
        ('kind = "mail"\nhost = "fe80::1"\nsender = "a@b.cn"\n', []),
        ('kind = "mail"\nhost = "h"\nsender = "值班@b.cn"\n', ["E-CFG-VALUE"]),
        ('kind = "sms_http"\nurl = "https://b.cn/短信"\nbody = "{number}{text}"\n', ["E-CFG-VALUE"]),
        ('kind = "sms_modem"\npath = "/dev/edgegw/a"\n', ["E-CFG-PORT-DUP"]),
        ('kind = "sms_modem"\npath = "/dev/ttyUSB2"\n', ["W-CFG-PORT"]),
        ('kind = "sms_modem"\npath = "/dev/m"\nsmsc = "0049 170"\n', ["E-CFG-VALUE"]),
        ('kind = "sms_modem"\npath = "/dev/m"\nsmsc = "008613800100500"\n', ["E-CFG-VALUE"]),
        ('kind = "sms_modem"\npath = "/dev"\n', ["W-CFG-NOPORT"]),
        ('kind = "sms_modem"\npath = "/dev/null"\n', []),
        ('kind = "sms_modem"\npath = "/dev/m"\n[[channel]]\nname = "d"\nkind = "sms_modem"\npath = "/dev/../dev/m"\n', ["E-CFG-PORT-DUP"]),
        (MAIL + "port = 465\n", []),
        (MAIL + 'port = 465\nsecurity = "starttls"\n', ["W-CFG-TLS"]),
        (MAIL + "port = 587\n", ["W-CFG-TLS"]),
        (MAIL + "port = 25\n", ["W-CFG-TLS"]),
        (MAIL + "port = 2525\n", []),
        (MAIL + 'port = 465\nsecurity = "none"\n', ["E-CFG-PLAIN"]),
        ('kind = "mail"\nhost = "127.0.0.1"\nport = 25\nsender = "a@b.cn"\nsecurity = "none"\n', []),
        ('kind = "mail"\nhost = "127.0.0.1"\nport = 465\nsender = "a@b.cn"\nsecurity = "none"\n', ["W-CFG-TLS"]),
        ('kind = "syslog"\nhost = "127.0.0.1"\nport = 514\n', ["W-CFG-TLS"]),
        ('kind = "syslog"\nhost = "127.0.0.1"\nport = 6514\nsecurity = "none"\n', ["W-CFG-TLS"]),
        (HTTP, ["W-CFG-EXPECT"]),
        (HTTP + "expect_status = [201]\n", []),
        (HTTP + 'expect_text = "OK"\n', []),
        (HTTP.replace("/send", "/send?apikey=1234") + 'expect_text = "OK"\n', ["W-CFG-SECRET"]),
        (
            HTTP.replace(" {text}", '{text}","appSecret": "8f3a').replace('"{number}', "'{number}").replace('8f3a"', "8f3a'") + 'expect_text = "OK"\n',
            ["W-CFG-SECRET"],
        ),
        (HTTP.replace("/send", "/send?templatekeys=3&sign=Park") + 'expect_text = "OK"\n', []),
        ('kind = "sms_http"\nurl = "https://sms.example.cn/{number}"\nbody = "{text}"\n', ["W-CFG-EXPECT"]),
        ('kind = "sms_http"\nurl = "https://sms.example.cn/"\nbody = "{text}"\n', ["E-CFG-MISSING"]),
        ('kind = "sms_http"\nurl = "http://sms.example.cn/"\nbody = "{number}{text}"\n', ["E-CFG-PLAIN"]),
        ('kind = "sms_http"\nurl = "https://u:p@sms.example.cn/"\nbody = "{number}{text}"\n', ["E-CFG-SECRET"]),
        ('kind = "sms_http"\nurl = "https://{number}.example.cn/"\nbody = "{text}"\n', ["E-CFG-VALUE"]),
        ('kind = "sms_http"\nurl = "sms.example.cn"\nbody = "{number}{text}"\n', ["E-CFG-VALUE"]),
        (HTTP + 'headers = ["X-Api-Key: 1234"]\n', ["E-CFG-SECRET"]),
        (HTTP + 'headers = ["no header"]\n', ["E-CFG-VALUE"]),
        (HTTP + 'headers = ["X-Key: {secret}"]\n', ["E-CFG-MISSING"]),
        (HTTP + 'method = "GET"\n', ["E-CFG-VALUE"]),
        ('kind = "sms_http"\nurl = "https://sms.example.cn/"\nbody = "{number}{text}{txt}"\n', ["E-CFG-VALUE"]),
        (SIREN, []),
        ('kind = "siren"\ndevice = "RELAY-09"\npoint = "relay.1"\n', ["E-CFG-WRITE"]),
        ('kind = "siren"\ndevice = "RELAY-01"\npoint = "relay.9"\n', ["E-CFG-WRITE"]),
        ('kind = "siren"\ndevice = "T-01"\npoint = "temperature.1"\n', ["E-CFG-WRITE"]),
        ('kind = "siren"\ndevice = "RELAY-01"\npoint = "relay.1"\non_time_s_max = 0\n', ["E-CFG-RANGE"]),
        (f'{SIREN}[[channel]]\nname = "d"\n{SIREN}', ["E-CFG-DUP"]),
        (SIREN + RULE.format(point="relay.*", devices="RELAY-*"), ["W-CFG-SIREN"]),
        (SIREN + RULE.format(point="relay.2", devices="RELAY-01"), []),
        (f'{SIREN}[[device]]\ncode = "R-2"\nbus = "a"\nunit = 13\nprofile = "waveshare.relay8"\n{RULE.format(point="relay.1", devices="R-2")}', []),
        (f'{SIREN}[[channel]]\nname = "c"\nkind = "syslog"\n', ["E-CFG-DUP"]),
        ('kind = "syslog"\nhost = "10.0.0.9"\nsecurity = "none"\n', ["W-CFG-PLAIN"]),
        ('kind = "syslog"\nhost = "10.0.0.9"\nsecurity = "starttls"\n', ["E-CFG-VALUE"]),
        ('kind = "mail"\nhost = "h"\nsender = "a@b.cn"\npassword = "inline"\nusername = "u"\n', ["E-CFG-KEY"]),
    ],
)
def test_a_channel_that_cannot_work_is_told(rows: str, expected: list[str]) -> None:
    """What its kind needs, what would go in the clear, what stands in the wrong place, and which relay may not be switched."""
    found = of_channel(rows)
    assert expected == found or ("E-CFG-KEY" in expected and "E-CFG-KEY" in found)


def test_files_are_looked_at(tmp_path: Path) -> None:
    """A password that is missing or that others may read, a directory: warnings before the first start, errors when it runs."""
    word = tmp_path / "word"
    rows = f'{MAIL}username = "u"\npassword_file = "{word}"\n'
    assert (["W-CFG-KEYFILE"], ["E-CFG-KEYFILE"]) == (of_channel(rows), of_channel(rows, running=True))
    word.write_text("x", encoding="utf-8")
    word.chmod(0o644)
    assert (["W-CFG-MODE"], ["E-CFG-MODE"]) == (of_channel(rows), of_channel(rows, running=True))
    word.chmod(0o600)
    assert [] == of_channel(rows, running=True)
    assert ["E-CFG-VALUE"] == of_channel(f'{MAIL}ca_file = "{tmp_path}"\n')


def test_a_siren_is_not_blamed_for_a_device_with_a_mistake(tmp_path: Path) -> None:
    """What is wrong stands in the device's table, and only that is told."""
    path = tmp_path / "config.toml"
    path.write_text(f'{BASE.replace("unit = 11", "unit = true")}[[channel]]\nname = "c"\n{SIREN}', encoding="utf-8")
    assert ["E-CFG-TYPE"] == [finding.id for finding in read(path).findings if finding.id != "W-CFG-UNTOLD"]
