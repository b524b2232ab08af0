"""Every mistake of a profile at once, each on its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegw.config.profile_lint import lint

GOOD = """[profile]
name = "x"
maker = "x"
title = "x"
title_zh = "某"
class = "meter"
protocol = "modbus"
source = "a manual"

[group.g]
period_s = 5

[[point]]
point = "frequency"
group = "g"
address = 1
"""


def found(text):
    return [(finding.line, finding.id, finding.text) for finding in lint(text, "f.toml")]


def test_a_right_profile_has_no_finding():
    """Nothing is said of what is right."""
    assert [] == found(GOOD)


@pytest.mark.parametrize(
    ("wrong", "line", "words"),
    [
        (GOOD.replace('class = "meter"', 'class = "metre"'), 6, 'did you mean "meter"?'),
        (GOOD.replace("period_s = 5", "period = 5"), 11, 'did you mean "period_s"?'),
        (GOOD.replace("period_s = 5", "period_s = 0"), 11, "must be above 0"),
        (GOOD.replace("frequency", "frequenzy"), 14, 'did you mean "frequency"?'),
        (GOOD.replace('group = "g"', 'group = "h"'), 15, 'group "h" does not exist'),
        (GOOD.replace("address = 1", 'address = "1"'), 16, "must be a whole number, found a text"),
        (GOOD.replace("address = 1", "address = 70000"), 16, "at most 65535"),
        (GOOD + 'type = "uint16"\n', 17, 'did you mean "u16"?'),
        (GOOD + "adress = 2\n", 17, 'did you mean "address"?'),
        (GOOD + "scale = 0\n", 17, "scale is 0"),
        (GOOD + 'invalid = [1, "x"]\n', 17, "invalid, element 2"),
        (GOOD + GOOD[GOOD.index("[[point]]") :], 18, "stands there twice"),
        (GOOD + "[[also]]\npoint = 'alarms.1'\naddress = 2\ntype = 'bits'\n[also.faults]\n77 = { id = 'a', en = 'a', zh = '甲' }\n", 21, "no bit 77"),
        (GOOD.replace("[group.g]", "[group.g"), 10, "Expected"),
        (GOOD.replace('protocol = "modbus"', 'protocol = "modbuss"'), 7, "does not exist"),
    ],
)
def test_a_mistake_is_told_with_its_line(wrong, line, words):
    """One mistake is one finding, where it stands."""
    told = found(wrong)
    assert [line] == [place for place, _, _ in told]
    assert words in told[0][2]


def test_all_mistakes_are_told_at_once():
    """Seven mistakes of four tables are seven findings, in the order of the file."""
    wrong = GOOD.replace('title_zh = "某"\n', "").replace('class = "meter"', "class = 3").replace("period_s = 5", 'period_s = "x"')
    wrong = wrong.replace("address = 1", "adres = 1\nscale = 0") + "[[point]]\npoint = 'humidity'\ngroup = 'q'\naddress = 2\nbit = 9\n"
    assert [1, 5, 10, 15, 16, 19, 21] == [place for place, _, _ in found(wrong)]


def test_another_protocol_tells_its_first_mistake():
    """A profile of another protocol is read by its own reader."""
    told = found('[profile]\nprotocol = "dlt645"\n')
    assert 1 == len(told)
    assert "E-PROFILE-KEY" == told[0][1]


@given(st.integers(0, len(GOOD)), st.sampled_from(['"', "[", "]", "=", "\n", "x", "3", "{", "'", "#"]), st.integers(0, 8))
def test_a_damaged_file_is_told_without_an_error(at, put, gone):
    """Whatever is wrong with a file, lint says it and does not break."""
    damaged = GOOD[:at] + put + GOOD[at + gone :]
    assert all(finding.text for finding in lint(damaged, "f.toml"))
