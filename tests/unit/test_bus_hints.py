"""What counters hint at, and that the technician's page knows every counter and every hint."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgegw.bus.hints import judge
from edgegw.bus.statistics import Counters
from edgegw.cli.texts import TEXTS

PAGE = (Path(__file__).parents[2] / "docs" / "bus.md").read_text(encoding="utf-8")


def unit(number, *, silent=False, **counts):
    made = Counters()
    made.asked = 1000
    for name, count in counts.items():
        assert hasattr(made, name)
        setattr(made, name, count)
    return {**made.as_dict(), "unit": number, "silent": silent}


FINE = unit(1)


@pytest.mark.parametrize(
    ("line", "of_unit_2", "units", "idle_noise_bytes"),
    [
        ((), (), [FINE, unit(2)], 0),
        ((), ("H1",), [FINE, unit(2, silent=True, timed_out=3)], 0),
        ((), ("H2",), [FINE, unit(2, crc=20, timed_out=20)], 0),
        ((), ("H2",), [FINE, unit(2, short=20, timed_out=20, noise_bytes=300)], 0),
        (("H3",), (), [unit(1, silent=True), unit(2, silent=True)], 0),
        (("H4",), (), [FINE, unit(2, foreign=3)], 0),
        ((), ("H5",), [FINE, unit(2, doubled=3)], 0),
        ((), ("H6",), [FINE, unit(2, exceptions=500)], 0),
        ((), ("H7",), [FINE, unit(2, late=50, timed_out=50)], 0),
        (("H8",), (), [unit(1, crc=20, timed_out=20), unit(2, crc=20, timed_out=20)], 0),
        (("H9",), (), [FINE, unit(2, missed_slots=200)], 0),
        (("H11",), (), [FINE, unit(2)], 500),
        (("H11",), (), [FINE, unit(2, noise_bytes=500)], 0),
        ((), ("H12",), [FINE, unit(2, timed_out=50)], 0),
        ((), (), [FINE, unit(2, timed_out=2, crc=2, exceptions=2, doubled=2, late=2, foreign=2, missed_slots=2)], 2),
    ],
)
def test_counters_hint_at_their_cause(line, of_unit_2, units, idle_noise_bytes):
    """Each fault is named once, at the device or at the line, and a rare one is not named at all."""
    judgement = judge(units, idle_noise_bytes, is_up=True)
    assert (line, (), of_unit_2) == (judgement.line, judgement.units.get(1, ()), judgement.units.get(2, ()))


def test_a_line_that_is_not_open_hints_at_nothing_else():
    """What cannot be asked is not judged."""
    assert (("H10",), {}) == judge([unit(1, silent=True)], 500, is_up=False)


def test_a_lone_silent_device_is_hinted_at_as_a_device():
    """With one device on the line nobody can tell it from the line."""
    assert ((), {1: ("H1",)}) == judge([unit(1, silent=True)], 0, is_up=True)


def explained(heading):
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return [name for row in re.findall(r"^\| (.*?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`|\b(H\d+)\b", row)]


def test_the_page_explains_every_counter():
    """No counter of a device is without its meaning, and none is explained that is not there."""
    counted = set(Counters().as_dict()) - {"latency_p50_ms", "latency_p95_ms"}
    assert counted | {"refused_points"} == {name for name, _ in explained("What is counted for each device")}
    assert "latency_p50_ms" in PAGE


def test_the_page_and_the_screens_know_every_hint():
    """Each hint has a row on the page and a sentence in both languages."""
    source = Path(judge.__code__.co_filename).read_text(encoding="utf-8").split('"""', 2)[2]
    hints = set(re.findall(r'"(H\d+)"', source))
    assert hints == {hint for _, hint in explained("Hints")}
    assert hints == {text_id.removeprefix("hint.") for text_id in TEXTS if text_id.startswith("hint.")}
