"""Who would be told: what is wrong with channels, recipients and routes together, each with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgegw.config.check import read
from edgegw.config.number_check import doubt_of

HEAD = (
    '[gateway]\noperator = "OP"\nstation = "ST"\ngateway = "GW"\n'
    '[[bus]]\nname = "lan"\nkind = "tcp"\nhost = "10.0.0.9"\n'
    '[[device]]\ncode = "M-01"\nbus = "lan"\nunit = 1\nprofile = "acrel.dtsd1352"\n'
    '[[channel]]\nname = "sms"\nkind = "sms_modem"\npath = "/dev/serial/by-id/modem"\n'
)  # 17 lines
JOURNAL = '[[channel]]\nname = "log"\nkind = "syslog"\n'
POST = '[[channel]]\nname = "post"\nkind = "mail"\nhost = "mx.example.cn"\nsender = "g@example.cn"\n'
OWN_RULE = '[[rule]]\nname = "mine"\ncondition = "high"\npoint = "active_power"\nlimit = 5\n'


def _recipient(address: str = '{ sms = "+8613800000000" }', name: str = "duty") -> str:
    return f'[[recipient]]\nname = "{name}"\naddress = {address}\n'


def _route(name: str = "all", recipients: str = '["duty"]', **more: str) -> str:
    keys = {"name": f'"{name}"', "recipients": recipients, **more}
    return "[[route]]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())


WHOLE = _recipient() + _route()
FOUND = [
    (WHOLE, None),
    ("", "config.toml:14: warning W-CFG-UNTOLD: there are channels but no [[route]]: nobody is told of any alarm"),
    (
        JOURNAL + _route(recipients="[]", channels='["log"]'),
        'config.toml:15: warning W-CFG-UNTOLD: channel "sms": no recipient has an address for it: it reaches nobody',
    ),
    (
        _recipient('{ sms = "+8613800000000", smss = "1" }') + _route(),
        'config.toml:20: error E-CFG-TOLD: recipient "duty": no channel "smss"; did you mean "sms"?',
    ),
    (_recipient('{ sms = "office" }') + _route(), 'config.toml:20: error E-CFG-VALUE: recipient "duty": sms must be like +8613800000000, found "office"'),
    (_recipient('{ sms = "" }') + _route(), 'config.toml:20: error E-CFG-VALUE: recipient "duty": sms must be like +8613800000000, found ""'),
    (_recipient("{}") + _route(), 'config.toml:18: error E-CFG-MISSING: recipient "duty": no address; address = { mail = "duty@example.cn" }'),
    (WHOLE + _recipient(), 'config.toml:25: error E-CFG-DUP: recipient "duty": the name stands twice'),
    (
        WHOLE + _recipient(name="boss") + _route("b", recipients='["boss"]'),
        'config.toml:26: warning W-CFG-SAME: recipient "boss": sms +8613800000000 is that of "duty": notices come twice, and an escalation reaches nobody new',
    ),
    (WHOLE + _recipient('{ sms = "13900000000" }', "boss"), 'config.toml:25: warning W-CFG-UNTOLD: recipient "boss": no route names it: it is told nothing'),
    (
        JOURNAL + _recipient('{ sms = "13800000000", log = "x" }') + _route(channels='["sms", "log"]'),
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
        WHOLE + POST,
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
        _recipient('{ sms = "008613800000000" }') + _route(),
        'config.toml:20: error E-CFG-VALUE: recipient "duty": sms must be +8613800000000, not 008613800000000: a modem does not turn 00 into a country code',
    ),
    (
        _recipient('{ sms = "057188880000" }') + _route(),
        'config.toml:20: warning W-CFG-NUMBER: recipient "duty": sms 057188880000 has no country code: it is reached only in the country of the card, if it is a mobile; write it like +8613800000000',
    ),
    (
        POST + _recipient('{ sms = "13800000000", post = "duty@example.cn" }') + _route(channels='["sms"]'),
        'config.toml:19: warning W-CFG-UNTOLD: channel "post": no route leads by it to anybody who has an address for it: it is told nothing',
    ),
    (POST + _recipient('{ sms = "13800000000", post = "duty@example.cn" }') + _route(), None),
    (
        WHOLE + _route("b", device_class='"metre"'),
        'config.toml:27: warning W-CFG-UNTOLD: route "b": no device of this station is of class "metre"; did you mean "meter"?',
    ),
    (WHOLE + _route("b", device_class='"ups"'), 'config.toml:27: warning W-CFG-UNTOLD: route "b": no device of this station is of class "ups"'),
    (WHOLE + _route("b", device_class='"meter"') + _route("c", device_class='"gateway"'), None),
    (
        WHOLE + _route("b", rules='["mains-lst", "smoke"]'),
        'config.toml:27: warning W-CFG-UNTOLD: route "b": no rule has the name "mains-lst"; did you mean "mains-lost" or "mains-suspect" or "mains-lost-phases"?',
    ),
    (
        WHOLE + _route("b", rules='["heat*"]'),
        'config.toml:27: warning W-CFG-UNTOLD: route "b": no rule has the name "heat*"; `edgegw rules list` shows them',
    ),
    (
        OWN_RULE + WHOLE + _route("b", rules='["mine", "mains-*", "bus offline", "meter frozen", "channel sms fails", "certificate *", "uplink main*", "q*"]'),
        None,
    ),
    (
        "[alarms]\nshipped_rules = false\n" + WHOLE + _route("b", rules='["smoke"]'),
        'config.toml:29: warning W-CFG-UNTOLD: route "b": no rule has the name "smoke"; `edgegw rules list` shows them',
    ),
    (
        _recipient() + _route(escalate_after_min="5", escalate_to='["duty"]'),
        'config.toml:25: warning W-CFG-ESCALATION: route "all": "duty" has been told by then: an escalation tells only who has not',
    ),
    (
        _recipient()
        + _recipient('{ sms = "13900000000" }', "boss")
        + _route(levels='["critical"]', escalate_after_min="240", escalate_to='["boss"]')
        + _route("rest"),
        'config.toml:28: warning W-CFG-ESCALATION: route "all": after 240 min the first promise of level "critical" (plan in 4 h) is over',
    ),
    (_recipient() + _recipient('{ sms = "13900000000" }', "boss") + _route(escalate_after_min="119", escalate_to='["boss"]'), None),
    (
        "[telling]\nretry_first_s = 600\n" + WHOLE,
        "config.toml:18: error E-CFG-RANGE: [telling]: retry_max_s must be at least retry_first_s, 600, found 300",
    ),
    (
        "[telling]\nstorm_notices = 20\nstorm_notices_severe = 5\n" + WHOLE,
        "config.toml:20: error E-CFG-RANGE: [telling]: storm_notices_severe must be at least storm_notices, 20, found 5",
    ),
    ("[telling]\nsettle_s = 61\n" + WHOLE, "config.toml:19: error E-CFG-RANGE: [telling]: settle_s must be from 0 to 60, found 61"),
    ("[telling]\nsettle_s = 0\nchatter_span_s = 0\nretry_first_s = 60\nretry_max_s = 60\n" + WHOLE, None),
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


NUMBERS = [
    ("+8613800000000", None, None),
    ("13800000000", None, None),
    ("+4915112345678", None, None),
    ("office", "error", "error"),
    ("138 0000 0000", "error", "error"),
    ("12", "error", "error"),
    ("+86138000000000000", "error", "error"),
    ("1380000000", "error", "error"),
    ("138000000000", "error", "error"),
    ("+861380000000", "error", "error"),
    ("+86138000000000", "error", "error"),
    ("+08613800000000", "error", "error"),
    ("+49151", "error", "error"),
    ("+8657188880000", "warning", "warning"),
    ("008613800000000", "error", None),
    ("8613800000000", "warning", None),
    ("057188880000", "warning", None),
    ("10086", "warning", None),
]


@pytest.mark.parametrize(("number", "by_modem", "by_provider"), NUMBERS)
def test_a_number_is_judged_by_who_sends_to_it(number, by_modem, by_provider):
    """
    A modem sends what stands there, a provider knows the forms of its country; letters, blanks and a digit too few are wrong for both.
    """
    found = [doubt_of(number, dialled=dialled) for dialled in (True, False)]
    assert [by_modem, by_provider] == [doubt.severity if doubt else None for doubt in found]


def test_a_rule_with_a_mistake_is_not_missed_by_a_route(tmp_path):
    """
    While the table of the rule cannot be read, nobody says that the route names none.
    """
    path: Path = tmp_path / "config.toml"
    path.write_text(HEAD + OWN_RULE.replace("limit = 5", 'limit = "five"') + WHOLE + _route("b", rules='["mine"]'), encoding="utf-8")
    assert ["E-CFG-TYPE"] == [finding.id for finding in read(path).findings]
