"""Who would be told: what is wrong with channels, recipients and routes together, each with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgegw.config.check import read

HEAD = (
    '[gateway]\noperator = "OP"\nstation = "ST"\ngateway = "GW"\n'
    '[[bus]]\nname = "lan"\nkind = "tcp"\nhost = "10.0.0.9"\n'
    '[[device]]\ncode = "M-01"\nbus = "lan"\nunit = 1\nprofile = "acrel.dtsd1352"\n'
    '[[channel]]\nname = "sms"\nkind = "sms_modem"\npath = "/dev/serial/by-id/modem"\n'
)  # 17 lines
JOURNAL = '[[channel]]\nname = "log"\nkind = "syslog"\n'


def _recipient(address: str = '{ sms = "+8613800000000" }', name: str = "duty") -> str:
    return f'[[recipient]]\nname = "{name}"\naddress = {address}\n'


def _route(name: str = "all", recipients: str = '["duty"]', **more: str) -> str:
    keys = {"name": f'"{name}"', "recipients": recipients, **more}
    return "[[route]]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())


WHOLE = _recipient() + _route()
FOUND = [
    (WHOLE, None),
    ("", "config.toml:14: warning W-CFG-UNTOLD: there are channels but no [[route]]: nobody is told of any alarm"),
    (JOURNAL + _route(recipients="[]", channels='["log"]'), None),
    (
        _recipient('{ sms = "+8613800000000", smss = "1" }') + _route(),
        'config.toml:20: error E-CFG-TOLD: recipient "duty": no channel "smss"; did you mean "sms"?',
    ),
    (_recipient('{ sms = "office" }') + _route(), 'config.toml:20: error E-CFG-VALUE: recipient "duty": sms must be like +8613800000000, found "office"'),
    (_recipient('{ sms = "" }') + _route(), 'config.toml:20: error E-CFG-VALUE: recipient "duty": sms must be like +8613800000000, found ""'),
    (_recipient("{}") + _route(), 'config.toml:18: error E-CFG-MISSING: recipient "duty": no address; address = { mail = "duty@example.cn" }'),
    (WHOLE + _recipient(), 'config.toml:25: error E-CFG-DUP: recipient "duty": the name stands twice'),
    (WHOLE + _recipient(name="boss"), 'config.toml:25: warning W-CFG-UNTOLD: recipient "boss": no route names it: it is told nothing'),
    (
        JOURNAL + _recipient('{ sms = "123", log = "x" }') + _route(),
        'config.toml:23: warning W-CFG-UNUSED: recipient "duty": channel "log" of kind "syslog" needs no address',
    ),
    (WHOLE + _route(), 'config.toml:25: error E-CFG-DUP: route "all": the name stands twice'),
    (_recipient() + _route(recipients='["dut"]'), 'config.toml:23: error E-CFG-TOLD: route "all": no recipient "dut"; did you mean "duty"?'),
    (_recipient() + _route(recipients="[]"), 'config.toml:21: error E-CFG-MISSING: route "all": it leads to nobody; recipients is missing'),
    (_recipient() + _route(channels='["mail"]'), 'config.toml:24: error E-CFG-TOLD: route "all": no channel "mail"'),
    (JOURNAL + _recipient() + _route(channels='["log"]'), 'config.toml:26: error E-CFG-TOLD: route "all": "duty" has no address for log'),
    (
        WHOLE + _route("b", levels='["majr"]'),
        'config.toml:27: error E-CFG-LEVEL: route "b": no level "majr"; did you mean "major"?; there are critical, major, minor, notice',
    ),
    (
        _recipient() + _route(hours='"08:00-08:00"'),
        'config.toml:24: error E-CFG-VALUE: route "all": hours that end when they begin; leave them out for the whole day',
    ),
    (_recipient() + _route(hours='"8-20"'), 'config.toml:24: error E-CFG-VALUE: route "all": hours must be like 08:00-20:00, found "8-20"'),
    (_recipient() + _route(weekdays="[0]"), 'config.toml:24: error E-CFG-RANGE: route "all": weekdays: element 1 must be from 1 to 7, found 0'),
    (_recipient() + _route(escalate_after_min="5"), 'config.toml:21: error E-CFG-MISSING: route "all": an escalation needs escalate_to too'),
    (_recipient() + _route(escalate_to='["duty"]'), 'config.toml:21: error E-CFG-MISSING: route "all": an escalation needs escalate_after_min too'),
    (
        _recipient() + _route(levels='["critical", "major", "minor"]'),
        'config.toml:21: warning W-CFG-UNTOLD: alarms of level "notice" may be told to nobody: no route takes all of them',
    ),
    (WHOLE + JOURNAL, 'config.toml:25: warning W-CFG-UNTOLD: channel "log": no route has it in its channels: it is told nothing'),
    (
        WHOLE + '[[channel]]\nname = "post"\nkind = "mail"\nhost = "mx.example.cn"\nsender = "g@example.cn"\n',
        'config.toml:25: warning W-CFG-UNTOLD: channel "post": no recipient has an address for it: it reaches nobody',
    ),
    (
        JOURNAL + WHOLE + _route("b", recipients="[]", channels='["log", "sms"]'),
        'config.toml:30: warning W-CFG-UNTOLD: route "b": sms cannot tell anybody without recipients',
    ),
    (WHOLE + _route("b", devices='["M-*", "lan", "GW"]') + JOURNAL + _route("c", recipients="[]", channels='["log"]'), None),
    (WHOLE + _route("b", devices='["M-1*"]'), 'config.toml:27: warning W-CFG-UNTOLD: route "b": no device or bus has the name "M-1*"; did you mean "M-01"?'),
    (
        _recipient() + _route(levels='["critical", "minor"]', hours='"08:00-20:00"') + _route("rest", levels='["major", "notice"]'),
        'config.toml:21: warning W-CFG-UNTOLD: alarms of level "critical" wait where no route to people is open, as at 00:00 of weekday 1',
    ),
    (_recipient() + _route(hours='"08:00-20:00"') + _route("night", hours='"20:00-08:00"'), None),
    (
        _recipient()
        + _route(weekdays="[1, 2, 3, 4, 5]")
        + _route("end", weekdays="[6, 7]", hours='"00:00-12:00"')
        + _route("late", weekdays="[6, 7]", hours='"12:00-00:00"'),
        None,
    ),
    (
        _recipient('"+86138"') + _route(),
        'config.toml:20: error E-CFG-TYPE: recipient "duty": address must be a table of texts, as in { mail = "duty@example.cn" }, found "+86138"',
    ),
]


@pytest.mark.parametrize(("tail", "expected"), FOUND)
def test_what_is_wrong_with_telling_is_told_with_its_line(tmp_path, tail, expected):
    """
    Names that are not there, routes that lead nowhere, levels that nobody hears of; a whole table of people has no finding.
    """
    path: Path = tmp_path / "config.toml"
    path.write_text(HEAD + tail, encoding="utf-8")
    assert ([expected] if expected else []) == [str(finding) for finding in read(path).findings]


def test_a_level_of_the_station_is_covered_by_its_former_name(tmp_path):
    """
    A route that names what a level was called before takes the level.
    """
    levels = "".join(f'[[level]]\nname = "{name}"\n{more}' for name, more in (("red", 'formerly = ["critical", "major"]\n'), ("minor", ""), ("notice", "")))
    path: Path = tmp_path / "config.toml"
    path.write_text(HEAD + levels + _recipient() + _route(levels='["major", "minor", "notice"]'), encoding="utf-8")
    assert [] == [str(finding) for finding in read(path).findings]
