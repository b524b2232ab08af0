"""Mistakes in what is judged and computed: each with its line, and with what was probably meant."""

from __future__ import annotations

import pytest

from edgegw.config.check import read
from edgegw.config.truth_check import LOST_ALONE_MS
from edgegw.truth import contact

HEAD = """\
[gateway]
operator = "O"
station = "S"
gateway = "G"
[[bus]]
name = "lan"
kind = "tcp"
host = "10.0.0.9"
[[device]]
code = "M-01"
bus = "lan"
unit = 1
profile = "acrel.dtsd1352"
[[device]]
code = "DI-01"
bus = "lan"
unit = 2
profile = "waveshare.io8"
"""
SUM = '[[computed]]\ncode = "STATION"\npoint = "active_power"\noperation = "sum"\ninputs = ["M-01.active_power.a", "M-01.active_power.b"]\n'
BALANCE = '[[balance]]\nname = "b"\ntotal = "M-01.energy.import"\nparts = ["-M-01.energy.export"]\n'
RULE = '[[rule]]\nname = "r"\ncondition = "high"\npoint = "active_power"\nlimit = 1\ndevices = ["STATION"]\n'

MISTAKES = [
    (
        SUM.replace("active_power.b", "activ_power.b"),
        'config.toml:23: error E-CFG-POINT: computed "STATION.active_power": M-01 has no point "activ_power.b"; did you mean "active_power.b"?',
    ),
    (
        SUM.replace("M-01.active_power.b", "M-02.active_power.b"),
        'config.toml:23: error E-CFG-POINT: computed "STATION.active_power": unknown device "M-02" in "M-02.active_power.b"; did you mean "M-01"?; it is written DEVICE.point',
    ),
    (
        SUM.replace('"active_power"', '"activ_power"'),
        'config.toml:21: error E-CFG-POINT: computed "STATION.activ_power": unknown point; did you mean "active_power"?',
    ),
    (SUM.replace("active_power.b", "frequency"), 'config.toml:23: error E-CFG-VALUE: computed "STATION.active_power": M-01.frequency is in Hz, the sum in kW'),
    (
        SUM.replace(', "M-01.active_power.b"', ""),
        'config.toml:23: error E-CFG-VALUE: computed "STATION.active_power": a sum needs two inputs at least, found 1',
    ),
    (SUM.replace("STATION", "M-01"), 'config.toml:20: error E-CFG-DUP: computed "M-01.active_power": the code belongs to a device already'),
    (SUM + SUM, 'config.toml:26: error E-CFG-DUP: computed "STATION.active_power": stands twice'),
    (
        SUM.replace('"sum"', '"summ"'),
        'config.toml:22: error E-CFG-VALUE: computed "STATION": operation must be one of "dew_margin", "dew_point", "difference", "ratio", "sum", "unbalance", found "summ"; did you mean "sum"?',
    ),
    (
        BALANCE.replace("energy.export", "active_power"),
        'config.toml:22: error E-CFG-VALUE: balance "b": M-01.active_power is a measure in kW, the whole a counter in kWh',
    ),
    (
        BALANCE.replace("energy.import", "enrgy.import"),
        'config.toml:21: error E-CFG-POINT: balance "b": M-01 has no point "enrgy.import"; did you mean "energy.import"?',
    ),
    (BALANCE.replace('["-M-01.energy.export"]', "[]"), 'config.toml:22: error E-CFG-VALUE: balance "b": needs one part at least'),
    (BALANCE + BALANCE, 'config.toml:24: error E-CFG-DUP: balance "b": the name stands twice'),
    ('input = { "9" = { contact = "nc" } }\n', 'config.toml:19: error E-CFG-POINT: device "DI-01": waveshare.io8 has no input "9"; it has 1 to 8'),
    (
        'input = { "4" = { contact = "nz" } }\n',
        'config.toml:19: error E-CFG-VALUE: device "DI-01": input.4: contact must be one of "nc", "no", found "nz"',
    ),
    (
        '[device.input.4]\ndebounce_ms = "1 s"\n',
        'config.toml:20: error E-CFG-TYPE: device "DI-01": input.4: debounce_ms must be a whole number, found "1 s"; write the number alone: 1',
    ),
    ('input = { "4" = 1 }\n', 'config.toml:19: error E-CFG-TYPE: device "DI-01": input.4 must be a table, as in { key = value }, found 1'),
    ("input = 4\n", 'config.toml:19: error E-CFG-TYPE: device "DI-01": input must be a table by number, as in { "4" = { contact = "nc" } }, found 4'),
    ("sleep_states = [2]\n", 'config.toml:19: warning W-CFG-UNUSED: device "DI-01": sleep_states has a meaning for inverters only'),
    ("rated_kw = -1\n", 'config.toml:19: error E-CFG-RANGE: device "DI-01": rated_kw must be from 0 to 1000000, found -1'),
]


def told(tmp_path, text: str) -> list[str]:
    path = tmp_path / "config.toml"
    path.write_text(HEAD + text, encoding="utf-8")
    return [str(finding) for finding in read(path).findings if finding.id != "W-CFG-LINE"]


@pytest.mark.parametrize(("text", "line"), MISTAKES)
def test_a_mistake_is_said_with_its_line(tmp_path, text, line):
    """
    One line says where, what, and what was meant.
    """
    found = [finding.replace(": E-", " E-") for finding in told(tmp_path, text)]
    assert line in found


def test_what_is_right_is_said_nothing_about(tmp_path):
    """
    Computed points may be judged by rules like any other.
    """
    text = 'input = { "4" = { contact = "nc", fail_safe = true, debounce_ms = 1000, name = "烟感" } }\n' + SUM + BALANCE + RULE
    assert [] == told(tmp_path, text)


@pytest.mark.parametrize(("guard_ms", "kind", "warned"), [(3499, "rtu-over-tcp", False), (3500, "rtu-over-tcp", True), (9000, "tcp", False)])
def test_a_guard_that_makes_safety_inputs_blind_is_told(tmp_path, guard_ms, kind, warned):
    """
    Where one lost answer is not asked again before its fail-safe inputs count as lost; over Modbus TCP nothing is held back.
    """
    bus = HEAD.replace('kind = "tcp"', f'kind = "{kind}"\nlate_answer_guard_ms = {guard_ms}')
    path = tmp_path / "config.toml"
    path.write_text(bus + 'input = { "4" = { fail_safe = true } }\n', encoding="utf-8")
    found = [str(finding) for finding in read(path).findings if finding.id == "W-CFG-GUARD"]
    assert warned == bool(found)
    assert all(line.startswith('config.toml:20: warning W-CFG-GUARD: device "DI-01": bus lan asks again 4500 ms after a lost answer') for line in found)
    assert contact.LOST_ALONE_MS == LOST_ALONE_MS


def test_half_a_place_is_no_place(tmp_path):
    """
    A latitude without a longitude is told.
    """
    path = tmp_path / "config.toml"
    path.write_text(HEAD.replace('gateway = "G"\n', 'gateway = "G"\nlatitude = 31.2\n'), encoding="utf-8")
    assert any("latitude alone is no place" in finding.text for finding in read(path).findings)
