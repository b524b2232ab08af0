"""`[supply]`, roles and the newer keys of rules: mistakes are told with their line, and what is right is taken."""

from __future__ import annotations

import pytest

from edgegw.config.check import read

STATION = """[gateway]
operator = "o"
station = "s"
gateway = "g"
[[bus]]
name = "b"
kind = "tcp"
host = "127.0.0.1"
[[device]]
code = "M-01"
bus = "b"
unit = 1
profile = "generic.meter-3p"
[[device]]
code = "PT-01"
bus = "b"
unit = 2
profile = "pt100.8"
"""
RULE = '[[rule]]\nname = "r"\ncondition = "{}"\npoint = "active_power"\nlimit = 5\ndevices = ["M-01"]\n'


def told(tmp_path, text):
    path = tmp_path / "config.toml"
    path.write_text(STATION + text, encoding="utf-8")
    return [str(finding).removeprefix(str(tmp_path / "")).replace(f"{tmp_path}/", "") for finding in read(path).findings]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[supply]\nmeter = "M-02"\n', 'config.toml:20: error E-CFG-POINT: supply: no device has the code "M-02"; did you mean "M-01"?'),
        ("[supply]\ncontracted_kw = 300\n", "config.toml:20: warning W-CFG-UNUSED: supply: contracted_kw is not judged without meter"),
        ('[supply]\nmeter = "PT-01"\n', "config.toml:20: warning W-CFG-UNUSED: supply: PT-01 has none of active_power, apparent_power, power_factor"),
        ('roles = { "temperature.9" = "busbar" }\n', 'E-CFG-POINT: device "PT-01": pt100.8 has no point "temperature.9"; did you mean "temperature.8"?'),
        ('roles = { "temperature.1" = "bus" }\n', "busbar"),
        (RULE.format("word"), 'E-CFG-MISSING: rule "r": condition "word" needs "word"'),
        (RULE.format("bit") + "average_s = 60\n", 'E-CFG-VALUE: rule "r": only high and low can judge a mean, not "bit"'),
        (
            '[[computed]]\ncode = "AIR"\npoint = "dew_margin"\noperation = "dew_margin"\ninputs = ["PT-01.temperature.1", "PT-01.temperature.2"]\n',
            "a dew_margin needs exactly three inputs, found 2",
        ),
        (
            '[[computed]]\ncode = "AIR"\npoint = "dew_point"\noperation = "dew_point"\ninputs = ["PT-01.temperature.1", "PT-01.temperature.2"]\n',
            "PT-01.temperature.2 is in C, input 2 of dew_point is in %RH",
        ),
    ],
)
def test_a_mistake_is_told(tmp_path, text, expected):
    """Where it stands, what is wrong, and what was perhaps meant."""
    assert any(expected in line for line in told(tmp_path, text)), told(tmp_path, text)


def test_a_station_that_says_everything_has_no_mistakes(tmp_path):
    """Connection, roles, a rule on the gateway itself and one on its links."""
    text = (
        'roles = { "temperature.1" = "busbar", "temperature.8" = "ambient" }\n[supply]\nmeter = "M-01"\ncontracted_kw = 300\ntransformer_kva = 400\n'
        '[[rule]]\nname = "full"\ncondition = "high"\npoint = "buffer.used"\nlimit = 50\ndevice_class = "gateway"\n'
        '[[rule]]\nname = "lossy"\ncondition = "high"\npoint = "link.error_rate"\nlimit = 2\naverage_s = 60\ndevice_class = "link"\ndevices = ["M-01"]\n'
        '[[computed]]\ncode = "IN"\npoint = "voltage_unbalance"\noperation = "unbalance"\n'
        'inputs = ["M-01.line_voltage.ab", "M-01.line_voltage.bc", "M-01.line_voltage.ca"]\n'
    )
    assert [] == [line for line in told(tmp_path, text) if "W-CFG-UNTOLD" not in line]
